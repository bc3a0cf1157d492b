"""Behaviour tests: rows are changed in ways whose effect on the prediction is known beforehand.

After Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (ACL 2020): invariance and
directional expectation; golden rows and robustness to missing and extreme values are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import MULTICLASS, MULTILABEL
from mainspring.components.evaluation.gates.gates import BEHAVIOUR, CHALLENGER, Judgement
from mainspring.components.evaluation.metrics.curves import THRESHOLD
from mainspring.components.evaluation.policy.policy import FALLS, GOLDEN, INVARIANT, RISES, ROBUST, Behaviour
from mainspring.components.evaluation.scoring import scoring
from mainspring.components.evaluation.scoring.scoring import LoadedModel

EXTREMES = (-1e30, -1.0, 0.0, 1e30, float("inf"))
"""Put in each number in turn."""

ODD_TEXT = "\N{SNOWMAN}" * 1000
"""Put in each text in turn: no training has met it."""

CHANGES = {INVARIANT: "change", RISES: "fall", FALLS: "rise"}


def judge(tests: tuple[Behaviour, ...], model: LoadedModel, sample: pa.RecordBatch) -> list[Judgement]:
    """Returns a judgement for each test; a test that cannot be run has failed.

    Args:
        tests: Of the policy.
        model: The challenger.
        sample: Rows of the eval split to change.
    """
    return [_judged(test, model, sample) for test in tests]


def _judged(test: Behaviour, model: LoadedModel, sample: pa.RecordBatch) -> Judgement:
    asked = asked_in_words(test)
    try:
        held, note = _held(test, model, sample)
    except (UserError, pa.ArrowException) as error:
        says = f"{test.name}: asked {asked}; cannot be judged: {error}"
        return Judgement(test.name, {}, asked, None, None, None, None, False, says, BEHAVIOUR)
    share = float(held.mean()) if len(held) else 0.0
    passed = len(held) > 0 and share >= test.min_share
    says = f"{test.name}: asked {asked}; holds for {int(held.sum()):,} of {len(held):,} {note}: "
    says += "passes" if passed else "fails"
    return Judgement(test.name, {}, asked, share, None, share - test.min_share, None, passed, says, BEHAVIOUR)


def asked_in_words(test: Behaviour) -> str:
    """Returns what a test asks."""
    least = "" if test.min_share == 1 else f" for at least {test.min_share * 100:.4g} % of the rows"
    if test.kind == ROBUST:
        return f"usable predictions with {test.value} values"
    if test.kind == GOLDEN:
        return f"the expected output within {test.tolerance:.4g}{least}"
    how = f"set to {test.value!r}" if test.kind == INVARIANT else f"raised by {test.value:.4g}"
    return f"no {CHANGES[test.kind]} beyond {test.tolerance:.4g} with {test.feature} {how}{least}"


def _held(test: Behaviour, model: LoadedModel, sample: pa.RecordBatch) -> tuple[NDArray[np.bool_], str]:
    if test.kind == ROBUST:
        return _robust(test, model, sample)
    if test.kind == GOLDEN:
        return _golden(test, model), "golden rows"
    before = _predicted(model, sample)
    column = sample.column(test.feature)
    if test.kind == INVARIANT:
        after = _predicted(model, _with(sample, test.feature, _constant(model, test.feature, test.value, len(column))))
        change = np.abs(after - before)
        return (change if change.ndim == 1 else change.max(axis=1)) <= test.tolerance, "rows"
    numbers = scoring.rows.numeric_feed(column)
    known = np.isfinite(numbers)
    raised = pa.array(np.where(known, numbers, 0.0) + test.value)
    _refuse_swallowed(test, model, column, raised, known)
    rise = (_predicted(model, _with(sample, test.feature, raised)) - before)[known]
    return (rise if test.kind == RISES else -rise) >= -test.tolerance, "rows"


def _refuse_swallowed(
    test: Behaviour, model: LoadedModel, column: pa.Array, raised: pa.Array, known: NDArray[np.bool_]
) -> None:
    """Checks that the model sees the step: a number so large that its precision swallows it would not change.

    Raises:
        UserError: In some row the value that the model takes is the same, or the step is not half of what was asked.
    """
    before, after = (scoring.feed(model, test.feature, each).numpy() for each in (column, raised))
    with np.errstate(invalid="ignore"):
        step = after.astype(np.float64)[known] - before.astype(np.float64)[known]
    lost = ~(np.abs(step - test.value) <= test.value / 2)
    if lost.any():
        coarsest = float(np.abs(np.spacing(before[known][lost])).max())
        raise UserError(
            f"raising {test.feature} by {test.value:.4g} is lost in {int(lost.sum()):,} of {len(lost):,} rows: "
            f"the model takes {before.dtype} numbers, which are {coarsest:.4g} apart there; give a larger step"
        )


def _robust(test: Behaviour, model: LoadedModel, sample: pa.RecordBatch) -> tuple[NDArray[np.bool_], str]:
    held, broken = [], []
    for what, changed in _stressed(str(test.value), model, sample):
        try:
            fine = scoring.fault(_predicted(model, changed), model.manifest) is None
        except scoring.ModelFailure:
            fine = False
        held.append(fine)
        broken += [] if fine else [what]
    return np.array(held), "changes" + (f" (not for {', '.join(broken[:5])})" if broken else "")


def _stressed(what: str, model: LoadedModel, sample: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    everything = sample
    for feature, kind in model.manifest.features.items():
        values = [None] if what == "missing" else list(EXTREMES) if kind == "numeric" else [ODD_TEXT]
        for value in values:
            column = _constant(model, feature, value, sample.num_rows)
            everything = _with(everything, feature, column)
            shown = "missing" if value is None else f"{value:.4g}" if isinstance(value, float) else "an odd text"
            yield f"{feature} {shown}", _with(sample, feature, column)
    yield f"all features {what}", everything


def _golden(test: Behaviour, model: LoadedModel) -> NDArray[np.bool_]:
    manifest = model.manifest
    columns = {
        name: pa.array(
            [None if row[0].get(name) is None else _typed(kind, row[0][name]) for row in test.golden], _type(kind)
        )
        for name, kind in manifest.features.items()
    }
    predicted = _predicted(model, pa.RecordBatch.from_pydict(columns))
    expected = [row[1] for row in test.golden]
    if manifest.task == MULTICLASS:
        likeliest = predicted.argmax(axis=1)
        return np.array([manifest.classes[i] == str(name) for i, name in zip(likeliest, expected, strict=True)])
    if manifest.task == MULTILABEL:
        chosen = [{manifest.classes[i] for i in np.flatnonzero(row > THRESHOLD)} for row in predicted]
        return np.array([found == set(map(str, names)) for found, names in zip(chosen, expected, strict=True)])
    return np.abs(predicted - np.array(expected, np.float64)) <= test.tolerance


def _predicted(model: LoadedModel, batch: pa.RecordBatch) -> NDArray[np.float32]:
    return scoring.predict({CHALLENGER: model}, batch)[CHALLENGER]


def _with(batch: pa.RecordBatch, feature: str, column: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(feature), feature, column)


def _constant(model: LoadedModel, feature: str, value: Any, count: int) -> pa.Array:
    kind = model.manifest.features[feature]
    return pa.array([None if value is None else _typed(kind, value)] * count, _type(kind))


def _typed(kind: str, value: Any) -> float | str:
    try:
        return float(value) if kind == "numeric" else str(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{value!r} is no number") from error


def _type(kind: str) -> pa.DataType:
    return pa.float64() if kind == "numeric" else pa.string()
