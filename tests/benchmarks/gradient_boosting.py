"""Prints the eval AUC of scikit-learn's HistGradientBoostingClassifier, at its defaults, on an examples artifact."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

MOST_CATEGORIES = 255
"""What the classifier can take as categories; a column with more values is given as ordinal numbers."""


def main(folder: Path) -> None:
    """Fits on train and prints the AUC on eval."""
    splits = {split: _read(folder / split) for split in ("train", "eval")}
    categories = []
    for column in splits["train"].select_dtypes("object"):
        values = pd.Index(splits["train"][column].dropna().unique())
        if len(values) <= MOST_CATEGORIES:
            categories.append(column)
        for rows in splits.values():
            codes = values.get_indexer(rows[column]).astype(float)
            rows[column] = pd.Series(codes, index=rows.index).where(codes >= 0)
    model = HistGradientBoostingClassifier(categorical_features=categories, random_state=0)
    model.fit(splits["train"].drop(columns="late"), splits["train"]["late"])
    scores = model.predict_proba(splits["eval"].drop(columns="late"))[:, 1]
    print(roc_auc_score(splits["eval"]["late"], scores))


def _read(folder: Path) -> pd.DataFrame:
    return pd.concat(map(pd.read_parquet, sorted(folder.glob("*.parquet"))), ignore_index=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
