"""The values of a pipeline's parameters: the same on every engine, or refused in one line.

KFP carries numbers as 64-bit floats and has no dates, no null and no keys but text. What would arrive as something else
is refused here. What YAML alone would take for something else (`no`, 2026-11-01) is taken as it is spelled where the
pipeline wants text.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.components.evaluation.policy import early_check
from mainspring.components.evaluation.policy.policy import Policy
from mainspring.pipelines.compiling.light_kfp import PipelineSpec
from mainspring.pipelines.parameters import early
from mainspring.pipelines.parameters.declared import UNKNOWN, Declared, Kind, parameters
from mainspring.pipelines.parameters.notation import Repeated
from mainspring.pipelines.parameters.written import Written

EVALUATION_POLICY = "evaluation_policy"
"""The pipelines' parameter that is `evaluate_model`'s policy."""

RISES_WITH, MODEL = "rises_with", "model"
HELD_KINDS = ("trees", "auto")
"""The kinds of model that can be held to a direction; `auto` is trees then."""

LARGEST_WHOLE = 2**53
"""Beyond it a 64-bit float, in which KFP carries numbers, cannot tell two neighbours apart."""

NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?|[-+]?\.\d+([eE][-+]?\d+)?")
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
WORDS = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a list, such as a,b or [1, 2]",
    "STRUCT": "a mapping (a JSON object)",
}
QUOTE = "write it in quotes if it is text"


def typed_arguments(spec: PipelineSpec, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments in the types that the pipeline's parameters have.

    Args:
        spec: The pipeline.
        given: Values by name: as a file or a command line writes them, or plain ones. A text is read as the
            parameter's type: `true`, `3`, `0.5`, JSON, or a list with commas.

    Raises:
        UserError: A parameter is unknown or missing, or a value does not fit its type, or no engine can carry it;
            or what a step would refuse is wrong already: a policy, a target, a rollout, hyperparameters.
    """
    declared, pipeline = parameters(spec), spec.pipeline_info.name
    for name, value in given.items():
        if name not in declared:
            close = difflib.get_close_matches(name, list(declared), n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(declared))}"
            where = f"{value.where}: " if isinstance(value, Written) else ""
            raise UserError(f"{where}{pipeline} has no parameter {name}; {hint}")
    missing = sorted(name for name, parameter in declared.items() if parameter.is_needed and name not in given)
    if missing:
        raise UserError(f"{pipeline} needs {', '.join(missing)}; give it as -p {missing[0]}=…")
    typed = {name: _argument(declared[name], value) for name, value in given.items()}
    if typed.get(EVALUATION_POLICY):
        # Before anything is ingested or trained: evaluation would say the same when all of that is done.
        policy = early_check.check(str(typed[EVALUATION_POLICY]), str(typed.get("task", "auto")))
        typed |= _held_to(declared, typed, policy)
    early.check(spec, typed)
    return typed


def _held_to(declared: dict[str, Declared], typed: dict[str, Any], policy: Policy | None) -> dict[str, Any]:
    """Returns what trees are held to while they are trained, because the evaluation policy tests it afterwards."""
    if policy is None or RISES_WITH not in declared or typed.get(RISES_WITH):
        return {}
    held = early_check.directions(policy) if typed.get(MODEL) in HELD_KINDS else {}
    return {RISES_WITH: json.dumps(held, ensure_ascii=False)} if held else {}


def typed_defaults(spec: PipelineSpec, given: dict[str, Any]) -> None:
    """Makes values the defaults of a pipeline's parameters.

    Raises:
        UserError: A parameter is unknown, or a value does not fit its type.
    """
    declared = parameters(spec)
    for name, value in given.items():
        if name not in declared:
            raise UserError(f"{spec.pipeline_info.name} has no parameter {name}")
        parameter = spec.root.input_definitions.parameters[name]
        json_format.ParseDict(_argument(declared[name], value), parameter.default_value)
        parameter.is_optional = True


@dataclass(frozen=True)
class _Place:
    """Where a value stands: how an error about it begins."""

    name: str
    where: str = ""

    def inner(self, key: int | str) -> _Place:
        return _Place(f"{self.name}[{key!r}]", self.where)

    def at(self, written: Written) -> _Place:
        return _Place(self.name, f"{written.where}: " if written.where else self.where)

    def refused(self, value: Any, cure: str) -> UserError:
        return UserError(f"{self.where}parameter {self.name} is {strict_yaml.shown(value)}; {cure}")


def _argument(parameter: Declared, given: Any) -> Any:
    place = _Place(parameter.name)
    if isinstance(given, Repeated):
        if parameter.kind.name != "LIST":
            raise UserError(f"parameter {parameter.name} is given {len(given.texts)} times; give it once")
        return [element for text in given.texts for element in _from_text(parameter.kind, text, place)]
    value = _value(parameter.kind, given, place)
    if parameter.choices and value not in parameter.choices:
        listed = ", ".join(repr(choice) for choice in parameter.choices)
        place = place.at(given) if isinstance(given, Written) else place
        raise place.refused(value, f"it must be one of {listed}")
    return value


def _value(kind: Kind, given: Any, place: _Place) -> Any:
    if isinstance(given, Written):
        return _from_file(kind, given, place.at(given))
    if isinstance(given, str) and kind.name not in ("STRING", ""):
        return _from_text(kind, given, place)
    if kind.name:
        types: dict[str, tuple[type, ...]] = {
            "STRING": (str,),
            "NUMBER_INTEGER": (int,),
            "NUMBER_DOUBLE": (int, float),
            "BOOLEAN": (bool,),
            "LIST": (list, tuple),
            "STRUCT": (dict,),
        }
        is_bool = isinstance(given, bool) and kind.name != "BOOLEAN"
        if is_bool or not isinstance(given, types.get(kind.name, (object,))):
            raise place.refused(given, f"it must be {WORDS.get(kind.name, 'of another type')}")
    if isinstance(given, list | tuple):
        return [_value(kind.element or UNKNOWN, inner, place.inner(key)) for key, inner in enumerate(given)]
    if isinstance(given, dict):
        for key in given:
            if not isinstance(key, str):
                raise place.refused(given, f"its key {key!r} is no text; {QUOTE}")
        return {_text(key, place): _value(kind.element or UNKNOWN, v, place.inner(key)) for key, v in given.items()}
    if isinstance(given, str):
        return _text(given, place)
    if isinstance(given, bool):
        return given
    if isinstance(given, int | float):
        return _number(given, place)
    cure = "leave it out, or give the text" if given is None else "give text, a number, true or false; a date as text"
    raise place.refused(given, cure)


def _from_file(kind: Kind, given: Written, place: _Place) -> Any:
    content = given.content
    if isinstance(content, list | dict):
        if kind.name and kind.name != ("LIST" if isinstance(content, list) else "STRUCT"):
            what = "a list" if isinstance(content, list) else "a mapping"
            raise place.refused(what, f"it must be {WORDS.get(kind.name, 'of another type')}")
        return _value(kind, content, place)
    if given.tag == "null" and not given.is_quoted:
        raise place.refused(
            content or "empty", 'leave the line out for the default, write "" for an empty text, or put it in quotes'
        )
    if kind.name:
        return _from_text(kind, content, place)
    if given.is_quoted or given.tag == "timestamp":
        return _text(content, place)
    if given.tag == "bool":
        if content.lower() not in ("true", "false"):
            raise place.refused(content, f"YAML takes that for true or false: write one of these; {QUOTE}")
        return BOOLEANS[content.lower()]
    if NUMBER.fullmatch(content):
        is_whole = content.lstrip("+-").isdigit()
        return _number(int(content) if is_whole else float(content), place)
    if given.tag in ("int", "float"):
        raise place.refused(content, f"it must be a finite number in plain digits; {QUOTE}")
    return _text(content, place)


def _from_text(kind: Kind, text: str, place: _Place) -> Any:
    """Returns the value that a text stands for; of the same text the same, whether a file or a command line has it."""
    if kind.name in ("STRING", ""):
        return _text(text, place)
    if kind.name == "BOOLEAN" and text.strip().lower() in BOOLEANS:
        return BOOLEANS[text.strip().lower()]
    if kind.name in ("NUMBER_INTEGER", "NUMBER_DOUBLE"):
        return _number_from(kind, text, place)
    if kind.name == "LIST" and not text.strip().startswith("["):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [_from_text(kind.element or UNKNOWN, part, place.inner(key)) for key, part in enumerate(parts)]
    if kind.name in ("LIST", "STRUCT"):
        try:
            content = _from_json(text)
        except ValueError as error:
            raise place.refused(text, f"it must be {WORDS[kind.name]}: {error}") from error
        if isinstance(content.content, list if kind.name == "LIST" else dict):
            return _from_file(kind, content, place)
    raise place.refused(text, f"it must be {WORDS.get(kind.name, 'of another type')}")


def _number_from(kind: Kind, text: str, place: _Place) -> int | float:
    digits = text.strip()
    if digits.lower().lstrip("+-") in (".nan", ".inf"):
        digits = digits.replace(".", "")
    try:
        whole = int(digits)
    except ValueError:
        try:
            value = float(digits)
        except ValueError as error:
            raise place.refused(text, f"it must be {WORDS[kind.name]}") from error
        if kind.name == "NUMBER_INTEGER":
            raise place.refused(text, "it must be a whole number, in digits alone") from None
        return _number(value, place, text)
    return _number(whole, place, text) if kind.name == "NUMBER_INTEGER" else float(_number(whole, place, text))


def _number(value: int | float, place: _Place, text: str = "") -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise place.refused(text or value, "it must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise place.refused(
            text or value,
            f"KFP carries no whole number beyond {LARGEST_WHOLE} exactly; give it as text, or a smaller one",
        )
    return value


def _text(text: str, place: _Place) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise place.refused(text, "it is not UTF-8") from error
    if "\0" in text:
        raise place.refused(text, "it holds a NUL character, which no program's argument can; leave it out")
    return text


def _from_json(text: str) -> Written:
    """Returns what JSON says, with numbers as they are spelled."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(items)
        if len(content) < len(items):
            raise ValueError("a key occurs twice")
        return content

    class Spelled(str):
        """A number's text."""

    def written(value: Any) -> Written:
        if isinstance(value, dict):
            return Written({key: written(inner) for key, inner in value.items()}, "map", False, "")
        if isinstance(value, list):
            return Written([written(inner) for inner in value], "seq", False, "")
        if isinstance(value, Spelled):
            return Written(str(value), "float", False, "")
        if isinstance(value, str):
            return Written(value, "str", True, "")
        return Written(json.dumps(value), "null" if value is None else "bool", False, "")

    read = json.loads(text, parse_int=Spelled, parse_float=Spelled, parse_constant=Spelled, object_pairs_hook=pairs)
    return written(read)
