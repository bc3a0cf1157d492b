"""Pipelines by name: the built-in ones, anybody's function, or a compiled file."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.compiling.light_kfp import PipelineSpec, components

BUILT_IN = ("continuous_training", "continuous_monitoring")
"""Each is a module of this package with a pipeline of the same name, compiled beside it."""

TRAINING = "training/"
"""Before an accelerator profile's name: `train_model` as a pipeline of one step on that node pool."""

SPOT = "-spot"
"""After it: on spot machines."""


def load_pipeline(pipeline: str) -> PipelineSpec:
    """Returns the compiled specification of a pipeline.

    Args:
        pipeline: A built-in name (dashes for underscores will do), `training/` and an accelerator profile (such as
            `training/l4-x4` or `training/v5e-2x4-spot`), `module:function`, or a compiled YAML file.

    Raises:
        UserError: There is no such pipeline, or what is there is none.
    """
    return load(pipeline).pipeline_spec


def load(pipeline: str) -> Any:
    """Returns the pipeline as a component of KFP's, as `load_pipeline` finds it."""
    name = pipeline.replace("-", "_")
    if name in BUILT_IN:
        return getattr(importlib.import_module(f"mainspring.pipelines.{name}"), name)
    if pipeline.endswith((".yaml", ".yml")):
        return _from_file(Path(pipeline))
    if pipeline.startswith(TRAINING):
        from mainspring.pipelines.training import training_on

        profile = pipeline.removeprefix(TRAINING)
        return training_on(profile.removesuffix(SPOT), spot=profile.endswith(SPOT))
    module, separator, function = pipeline.partition(":")
    if separator and module and function:
        return _from_module(module, function)
    close = difflib.get_close_matches(name, BUILT_IN, n=1)
    raise UserError(
        f"no pipeline {pipeline!r}{f' (did you mean {close[0]}?)' if close else ''}; "
        f"give a built-in name ({', '.join(BUILT_IN)}, training/l4), module:function, or a compiled YAML file"
    )


def typed_arguments(spec: PipelineSpec, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments in the types that the pipeline's parameters have.

    Args:
        spec: The pipeline.
        given: Values by name; a string is read as the parameter's type: `true`, `3`, `0.5`, JSON, or a list with
            commas.

    Raises:
        UserError: A parameter is unknown or missing, or a value does not fit its type.
    """
    parameters = spec.root.input_definitions.parameters
    for name in given:
        if name not in parameters:
            close = difflib.get_close_matches(name, list(parameters), n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(parameters))}"
            raise UserError(f"{spec.pipeline_info.name} has no parameter {name}; {hint}")
    missing = sorted(name for name, given_to in parameters.items() if name not in given and not _is_optional(given_to))
    if missing:
        raise UserError(f"{spec.pipeline_info.name} needs {', '.join(missing)}; give it as -p {missing[0]}=…")
    kinds = spec.root.input_definitions.DESCRIPTOR.fields_by_name["parameters"].message_type  # The map's entries.
    enum = kinds.fields_by_name["value"].message_type.fields_by_name["parameter_type"].enum_type
    return {
        name: _typed(name, value, enum.values_by_number[parameters[name].parameter_type].name)
        for name, value in given.items()
    }


def _is_optional(parameter: Any) -> bool:
    return parameter.is_optional or parameter.HasField("default_value")


def _typed(name: str, value: Any, kind: str) -> Any:
    reader, what, types = _KINDS[kind]
    if not isinstance(value, str) or kind == "STRING":
        if not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise UserError(f"parameter {name} is {value!r}; it must be {what}")
        return value
    try:
        typed = reader(value)
    except ValueError as error:
        raise UserError(f"parameter {name} is {value!r}; it must be {what}") from error
    return typed


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _refuse(text)


def _list(text: str) -> list[Any]:
    import json

    if text.strip().startswith("["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _struct(text: str) -> dict[str, Any]:
    import json

    value = json.loads(text)
    return value if isinstance(value, dict) else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)


_KINDS: dict[str, tuple[Callable[[str], Any], str, tuple[type, ...]]] = {
    "STRING": (str, "text", (str,)),
    "NUMBER_INTEGER": (int, "a whole number", (int,)),
    "NUMBER_DOUBLE": (float, "a number", (int, float)),
    "BOOLEAN": (_boolean, "true or false", (bool,)),
    "LIST": (_list, "a list, such as a,b or [1, 2]", (list,)),
    "STRUCT": (_struct, "a JSON object", (dict,)),
}


def _from_file(path: Path) -> Any:
    try:
        return components.load_component_from_file(str(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except Exception as error:  # KFP raises whatever its YAML and proto parsers raise.
        raise UserError(f"{path}: is no compiled pipeline: {error}") from error


def _from_module(module: str, function: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise UserError(f"{module}:{function}: there is no module {error.name} here or on PYTHONPATH") from error
        raise
    pipeline = getattr(found, function, None)
    if not hasattr(pipeline, "pipeline_spec"):
        raise UserError(f"{module}:{function}: is no pipeline or component; decorate the function with @dsl.pipeline")
    return pipeline
