"""Imports of what a model server needs of KServe and TensorFlow, and of no more.

KServe's root imports its client of Kubernetes' API, and pandas for data frames that no request here becomes: half of
its import's time and memory. They are there for whoever asks. TensorFlow's parts are in `tensorflow_parts`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import threading
from pathlib import Path

from mainspring.components.common import deferred_imports

UNUSED = ("kubernetes", "kubernetes.client", "kubernetes.config", "pandas")
"""Imported on first use."""

ANNOTATIONS = ("pandas.DataFrame",)

LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_cc.2.dylib")


def run() -> None:
    """Imports the server's modules, while another thread loads TensorFlow's library: that needs no Python."""
    library = threading.Thread(target=_load_library, daemon=True)
    library.start()
    with deferred_imports.deferred((), UNUSED, ANNOTATIONS):
        import kserve.model_server  # noqa: F401
    library.join()
    from mainspring.components.serving.model import tabular_model  # noqa: F401
    from mainspring.components.serving.protocol import kserve_app  # noqa: F401


def _load_library() -> None:
    # Where it lies elsewhere, TensorFlow finds it by itself, later.
    found = importlib.util.find_spec("tensorflow")
    for folder in found.submodule_search_locations or () if found else ():
        for path in (Path(folder, name) for name in LIBRARIES):
            if path.is_file():
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path))
