"""Imports of large packages without what a program never asks of them.

What is deferred is not left out: each module is imported as ever when something is asked of it for the first time.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@contextlib.contextmanager
def deferred(
    roots: Collection[str] = (), unused: Collection[str] = (), annotations: Collection[str] = ()
) -> Iterator[None]:
    """Defers what is imported inside for the first time; what was there before stays as it is.

    Args:
        roots: Packages whose own code waits, while their submodules are imported as they are asked for.
        unused: Modules that wait with all that they import.
        annotations: Their names, such as `pandas.DataFrame`, that what is imported inside only annotates with. `Any`
            stands for them there.
    """
    finder = _Finder(roots, unused, annotations)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds modules where they are, and changes how they are loaded."""

    def __init__(self, roots: Collection[str], unused: Collection[str], annotations: Collection[str]) -> None:
        self._roots = frozenset(roots)
        self._unused = frozenset(unused)
        self._annotations = frozenset(annotations)

    def is_annotation(self, name: str) -> bool:
        """Returns whether a name is asked for by an annotation: while this finds modules."""
        return name in self._annotations and self in sys.meta_path

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._roots and name not in self._unused:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _OnFirstUse(spec.loader, name in self._roots, self.is_annotation)
        return spec


class _OnFirstUse(Loader):
    """Runs a module's code when something is asked of it; of a root, something that is no submodule.

    The standard library's `LazyLoader` would run a root for its first submodule, and every module as soon as
    something looks through `sys.modules` for a file's module, as `inspect` does for TensorFlow.
    """

    def __init__(self, loader: Loader, is_root: bool, is_annotation: Callable[[str], bool]) -> None:
        self._loader = loader
        self._is_root = is_root
        self._is_annotation = is_annotation

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        content, loader, is_root, is_annotation = module.__dict__, self._loader, self._is_root, self._is_annotation
        content["__spec__"].loader = content["__loader__"] = loader
        path: dict[str, Any] = {}
        if not is_root and "__path__" in content:  # Asked for when a submodule is imported.
            path["__path__"] = content.pop("__path__")

        def ask(name: str) -> Any:
            if name.startswith("__") and name not in ("__all__", "__version__", *path):
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            if is_root and importlib.util.find_spec(f"{module.__name__}.{name}") is not None:
                return importlib.import_module(f"{module.__name__}.{name}")
            if is_annotation(f"{module.__name__}.{name}"):
                return Any
            del content["__getattr__"]
            content.update(path)
            loader.exec_module(module)
            return getattr(module, name)

        content["__getattr__"] = ask
