"""The parts of TensorFlow that a served graph needs: types, errors, sessions and the loader of SavedModels.

`import tensorflow` imports the whole Python API, Keras's and TensorFlow Lite's too, which takes two thirds of the time
and of the memory of an import. The modules here are the public names' own places in the version that the lock names.
Whoever asks the package for anything else gets all of it, as ever.
"""

from __future__ import annotations

from mainspring.components.common import deferred_imports

with deferred_imports.deferred(roots=("tensorflow", "tensorflow.python")):
    from tensorflow.core.protobuf import config_pb2, saved_model_pb2
    from tensorflow.python.client.session import Session
    from tensorflow.python.framework import errors_impl as errors
    from tensorflow.python.framework.dtypes import as_dtype, string
    from tensorflow.python.framework.ops import Graph
    from tensorflow.python.framework.tensor import TensorSpec
    from tensorflow.python.framework.tensor_shape import TensorShape
    from tensorflow.python.ops.array_ops import placeholder
    from tensorflow.python.ops.array_ops_stack import unstack
    from tensorflow.python.platform.tf_logging import get_logger
    from tensorflow.python.saved_model.loader_impl import load

__all__ = [
    "Graph",
    "Session",
    "TensorShape",
    "TensorSpec",
    "as_dtype",
    "config_pb2",
    "errors",
    "get_logger",
    "load",
    "placeholder",
    "saved_model_pb2",
    "string",
    "unstack",
]
