"""The manifests that travel with examples, models and published versions: who made this, of what, and how to tell."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError

EXAMPLES_MANIFEST = "manifest.json"
MODEL_MANIFEST = "manifest.json"
VERSION_MANIFEST = "version.json"
"""Written last into a published version: a folder without it is not a version."""

REQUEST_FILE = "request.json"
"""Beside a model: a V1 prediction request with a row of its eval split, for smoke tests and for people to try."""

EXAMPLES_FILE = "examples.json"
"""Beside a model: the manifest of the examples that it was trained on, with the files that these came from."""

SCHEMA_FILE = "schema.pbtxt"
"""TFDV's schema as protobuf text, under the name that TFX gives it."""

STATISTICS_FILE = "FeatureStats.pb"
"""A split's `DatasetFeatureStatisticsList`, serialised, under the name that TFX gives it."""

SPLITS = ("train", "eval")

BINARY = "binary_classification"
MULTICLASS = "multiclass_classification"
REGRESSION = "regression"
MULTILABEL = "multilabel_classification"
RANKING = "ranking"
BOOLEANS = ("false", "true")
"""The classes of a label that the source has as true and false."""

TASKS = (BINARY, MULTICLASS, REGRESSION)
"""The tasks that `train_model` trains."""

JUDGED_TASKS = (*TASKS, MULTILABEL, RANKING)
"""The tasks that evaluation judges: a team's own trainer may make models for the others."""


@dataclass(frozen=True)
class ExamplesManifest:
    """What an examples artifact holds: `<split>/<span>.parquet`, all files with the same columns."""

    rows: dict[str, int]
    """Rows by split."""
    columns: dict[str, str]
    """`int64`, `double` or `string` by column, in the files' order."""
    spans: list[str]
    """The spans read, oldest first; the last one is the newest. `["all"]` where the source has no `{SPAN}`."""
    fingerprint: str
    """`sha256:<hex>` of the rows' content and their split, whatever the order of rows or the layout of files."""
    source: dict[str, Any]
    """The pattern, and each file's `uri`, `bytes`, `generation` and, of one on this machine, `sha256`."""
    query: str
    """The SQL that made the rows from the source; empty for the source as it is."""
    versions: dict[str, str]
    """Versions of the code and libraries that made it."""
    moments: list[str] = field(default_factory=list)
    """Columns of dates or times, which are held as seconds since 1970 in UTC."""
    booleans: list[str] = field(default_factory=list)
    """Columns of true and false, which are held as 1 and 0."""
    split: dict[str, Any] = field(default_factory=dict)
    """What decided the rows' sides: `by` (source rows, rows, columns, time, source), and what else decides it alike."""
    read_as: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the files' columns were read as, in the words of `types`, by table and column; `source` is the source."""
    recipe: str = ""
    """`sha256:<hex>` of what they were made of: the files and every parameter of ingestion."""


@dataclass(frozen=True)
class ModelManifest:
    """What lies beside `saved_model.pb`."""

    task: str
    """One of `JUDGED_TASKS`."""
    label: str
    """The label's column. Multi-label: lists of classes, or texts of them with `|` between. Ranking: relevance."""
    classes: list[str]
    """Class names in the order of the model's outputs (the positive one last); empty for regression and ranking."""
    features: dict[str, str]
    """`numeric` or `categorical` by feature."""
    hyperparameters: dict[str, Any]
    seed: int
    examples_fingerprint: str
    schema_fingerprint: str
    parent: str
    """URI of the champion version this model was trained to replace, or empty."""
    fingerprint: str
    """`sha256:<hex>` of the SavedModel's files."""
    versions: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    """Training's own last metrics, by name; evaluation's are in the evaluation."""
    query: str = ""
    """Ranking: the column that says which rows are ranked against each other."""
    tried: list[dict[str, Any]] = field(default_factory=list)
    """Where the data chose the kind of model: `model`, `loss` and `metric` on held-out rows of train, `seconds`."""
    moments: list[str] = field(default_factory=list)
    """The features that the source has as dates or times, and the model takes as seconds since 1970 in UTC."""
    booleans: list[str] = field(default_factory=list)
    """The columns, label included, that the source has as true and false, and the model takes as 1 and 0."""
    integers: list[str] = field(default_factory=list)
    """The categorical features that the source has as whole numbers, and the model takes as text."""
    spans: list[str] = field(default_factory=list)
    """Of the examples, oldest first; `["all"]` where the source has none."""
    threshold: float | None = None
    """Of two classes: from this probability on, the model names the positive one. None: its trainer says none."""
    threshold_by: str = ""
    """How the threshold was found, in words."""
    code: str = ""
    """`sha256:<hex>` of Mainspring's own code that trained it."""
    lock: str = ""
    """`sha256:<hex>` of the locked requirements of the environment that trained it."""


@dataclass(frozen=True)
class VersionManifest:
    """A published, immutable version: `<models root>/<name>/<version>/version.json`."""

    name: str
    version: int
    model_fingerprint: str
    examples_fingerprint: str
    baseline: str
    """URI of the version whose data these examples were validated against, or empty."""
    replaces: int
    """The version that was served when this one was published; 0 if none was."""
    created: str
    """ISO 8601, UTC."""
    files: dict[str, str]
    """`sha256:<hex>` by relative path, for every file but this one."""
    rebaselined: str = ""
    """Why the champion was left out of the judgement, where evaluation was told to do so; else empty."""
    run: str = ""
    """The pipeline run that published it, where it was given."""
    approved_by: str = ""
    """Who approved it, where somebody was asked."""
    promoted_from: str = ""
    """URI of the version of another environment that this is a copy of, by digest; else empty."""


Manifest = TypeVar("Manifest", ExamplesManifest, ModelManifest, VersionManifest)


def write(manifest: ExamplesManifest | ModelManifest | VersionManifest, path: Path) -> None:
    """Writes a manifest as JSON, atomically."""
    storage.write_json(path, dataclasses.asdict(manifest))


def read(kind: type[Manifest], path: Path) -> Manifest:
    """Reads a manifest of the given kind.

    Raises:
        UserError: The file is missing, is no JSON, or lacks a field.
    """
    return parse(kind, storage.read_json(path), str(path))


def parse(kind: type[Manifest], content: Any, where: str) -> Manifest:
    """Returns a manifest from parsed JSON; unknown keys are ignored, so that older code reads newer files.

    Raises:
        UserError: It is no object, or lacks a field; `where` is named.
    """
    if not isinstance(content, dict):
        raise UserError(f"{where}: not a {kind.__name__}: expected a JSON object")
    known = {field.name for field in dataclasses.fields(kind)}
    try:
        return kind(**{key: value for key, value in content.items() if key in known})
    except TypeError as error:
        raise UserError(f"{where}: not a {kind.__name__}: {error}") from error


def code_versions(*distributions: str) -> dict[str, str]:
    """Returns the versions of Python, Mainspring and the given distributions."""
    import importlib.metadata
    import platform

    from mainspring.components.common.images import VERSION

    versions = {"python": platform.python_version(), "mainspring": VERSION}
    return versions | {name: importlib.metadata.version(name) for name in distributions}
