"""Imports of TensorFlow and TFMA, without what an evaluation never asks of them.

TFMA's root imports its Beam evaluators, writers and notebook widgets; through these, Keras and Beam come IPython, NLTK,
SciPy's statistics and Google's clients for BigQuery, Pub/Sub and Dataflow: a quarter of the imports' processor time.
They are deferred, not left out: each one is imported as ever when something is asked of it for the first time.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

ROOT = "tensorflow_model_analysis"

UNUSED = (
    f"{ROOT}.metrics.bleu",  # With sacreBLEU and lxml.
    f"{ROOT}.metrics.rouge",  # With NLTK and rouge_score.
    "IPython",  # Of Keras' viewer of weight files.
    "google.cloud.bigquery",  # Of Beam's readers, with tqdm's and Jupyter's widgets.
    "google.cloud.bigquery_storage_v1",
    "google.cloud.dataflow",
    "google.cloud.pubsub",
    "googleapiclient.discovery",  # Of TensorFlow's way to find machines in Google's cloud.
    "scipy.ndimage",  # Of tf_keras' image generators.
    "scipy.stats",  # Of TFMA's confidence intervals; those here are the jackknife's.
)
"""Imported on first use, not with what names them."""


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defers what is imported inside, first, of `UNUSED` and of TFMA's root; what was there before stays as it is."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds modules where they are, and changes how they are loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != ROOT and name not in UNUSED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _OnFirstUse(spec.loader)
        return spec


class _OnFirstUse(Loader):
    """Runs a module's code when something is asked of it; of TFMA's root, something that is no submodule.

    The standard library's `LazyLoader` would run the root for its first submodule, and every module as soon as
    something looks through `sys.modules` for a file's module, as `inspect` does for TensorFlow.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        content, loader = module.__dict__, self._loader
        content["__spec__"].loader = content["__loader__"] = loader
        path: dict[str, Any] = {}
        if module.__name__ != ROOT and "__path__" in content:  # Asked for when a submodule is imported.
            path["__path__"] = content.pop("__path__")

        def ask(name: str) -> Any:
            if name.startswith("__") and name not in ("__all__", "__version__", *path):
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            if module.__name__ == ROOT and importlib.util.find_spec(f"{ROOT}.{name}") is not None:
                return importlib.import_module(f"{ROOT}.{name}")
            del content["__getattr__"]
            content.update(path)
            loader.exec_module(module)
            return getattr(module, name)

        content["__getattr__"] = ask
