"""KFP's authoring part, imported without its client.

`import kfp` imports its client, which imports Kubernetes': three quarters of the time, and nothing here needs it to
compile or to read a pipeline. KFP leaves the client out where `_KFP_RUNTIME` says that a task is running, so that is
said while the package itself is imported, and no longer: what is imported from it afterwards is whole. `kfp.Client`
is there for whoever asks for it.

Import what is needed of KFP from here, before anything else imports it.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

RUNTIME_VARIABLE = "_KFP_RUNTIME"


def _import_kfp() -> None:
    before = os.environ.get(RUNTIME_VARIABLE)
    os.environ[RUNTIME_VARIABLE] = "true"
    try:
        kfp = importlib.import_module("kfp")
    finally:
        if before is None:
            del os.environ[RUNTIME_VARIABLE]
        else:
            os.environ[RUNTIME_VARIABLE] = before
    kfp.__dict__["__getattr__"] = _client


def _client(name: str) -> Any:
    """Returns what `kfp` has in an ordinary import."""
    if name in ("Client", "client"):
        client = importlib.import_module("kfp.client")
        return client.Client if name == "Client" else client
    raise AttributeError(f"module 'kfp' has no attribute {name!r}")


if "kfp" not in sys.modules:
    _import_kfp()

from kfp import compiler as compiler  # noqa: E402
from kfp import components as components  # noqa: E402
from kfp.compiler import pipeline_spec_builder as pipeline_spec_builder  # noqa: E402
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec as PipelineSpec  # noqa: E402
