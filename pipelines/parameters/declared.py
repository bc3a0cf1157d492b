"""What a pipeline declares of its parameters: types, defaults, descriptions and choices.

A compiled pipeline says of a list no more than that it is one. What its elements are is in the source of the component
that takes it, and that is in the compiled pipeline: it is read there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from mainspring.pipelines.compiling.light_kfp import PipelineSpec

LISTS, MAPPINGS = ("list", "List", "Sequence"), ("dict", "Dict", "Mapping")
KINDS = {"str": "STRING", "int": "NUMBER_INTEGER", "float": "NUMBER_DOUBLE", "bool": "BOOLEAN"}
WORDS = {
    "STRING": "text",
    "NUMBER_INTEGER": "whole number",
    "NUMBER_DOUBLE": "number",
    "BOOLEAN": "true or false",
    "LIST": "list",
    "STRUCT": "mapping",
}
CHOICES = re.compile(r"One of ((?:`[^`]*`(?:, | or |, or )?)+)")


@dataclass(frozen=True)
class Kind:
    """A parameter's type."""

    name: str
    """KFP's word: STRING, NUMBER_INTEGER, NUMBER_DOUBLE, BOOLEAN, LIST or STRUCT; empty: not known."""
    element: Kind | None = None
    """Of a list's elements, or of a mapping's values; None if nothing is said of them."""


UNKNOWN = Kind("")


@dataclass(frozen=True)
class Declared:
    """One parameter of a pipeline."""

    name: str
    kind: Kind
    is_needed: bool
    default: Any
    """As the compiled pipeline has it: whole numbers may be floats. None where there is none."""
    description: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it may be, where its description lists them as "One of `a`, `b`."."""
        found = CHOICES.search(self.description)
        return tuple(re.findall(r"`([^`]*)`", found[1])) if found else ()

    @property
    def in_words(self) -> str:
        """Type, default and description, in one line."""
        kind = WORDS[self.kind.name]
        if self.kind.element and self.kind.element.name in WORDS:
            kind = f"{kind} of {WORDS[self.kind.element.name]}"
        default = self.default
        if isinstance(default, float) and default.is_integer() and self.kind.name == "NUMBER_INTEGER":
            default = int(default)
        said = "needed" if self.is_needed else f"default {default!r}" if default not in ("", [], {}, None) else ""
        about = " ".join(self.description.split())
        return f"[{'; '.join(filter(None, (kind, said)))}] {about}".strip()


def parameters(spec: PipelineSpec) -> dict[str, Declared]:
    """Returns a pipeline's parameters by name."""
    kinds = spec.root.input_definitions.DESCRIPTOR.fields_by_name["parameters"].message_type  # The map's entries.
    enum = kinds.fields_by_name["value"].message_type.fields_by_name["parameter_type"].enum_type
    takers = _Takers(spec)
    found = {}
    for name, given in spec.root.input_definitions.parameters.items():
        kind = Kind(enum.values_by_number[given.parameter_type].name)
        if kind.name in ("LIST", "STRUCT"):
            kind = Kind(kind.name, takers.of(spec.root, name))
        has_default = given.HasField("default_value")
        default = json_format.MessageToDict(given.default_value) if has_default else None
        description = given.description or takers.description(spec.root, name)
        found[name] = Declared(name, kind, not (given.is_optional or has_default), default, description)
    return found


def effective(spec: PipelineSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that a run works with: what is given, and the defaults of the rest."""
    found = {name: each.default for name, each in parameters(spec).items() if each.default is not None}
    for name, each in parameters(spec).items():
        if name in found and each.kind.name == "NUMBER_INTEGER":
            found[name] = int(found[name])  # The compiled pipeline has whole numbers as floats.
    return found | dict(arguments)


class _Takers:
    """Finds what the pipeline itself does not say of a parameter, by following it to the component that takes it."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self._kinds: dict[str, dict[str, Kind]] = {}

    def of(self, component: Any, name: str) -> Kind | None:
        """Returns the kind of the elements of a component's input; None if nobody says."""
        if component.WhichOneof("implementation") != "dag":
            return self._declared(component.executor_label).get(name, UNKNOWN).element
        for _, task in sorted(component.dag.tasks.items()):
            for inner, given in task.inputs.parameters.items():
                if given.component_input_parameter == name and not given.parameter_expression_selector:
                    found = self.of(self._spec.components[task.component_ref.name], inner)
                    if found:
                        return found
        return None

    def description(self, component: Any, name: str) -> str:
        """Returns how the component that takes a parameter describes it; empty if none does."""
        if component.WhichOneof("implementation") != "dag":
            return str(component.input_definitions.parameters[name].description)
        for _, task in sorted(component.dag.tasks.items()):
            for inner, given in task.inputs.parameters.items():
                taker = self._spec.components[task.component_ref.name]
                if given.component_input_parameter == name and (found := self.description(taker, inner)):
                    return found
        return ""

    def _declared(self, executor: str) -> dict[str, Kind]:
        if executor not in self._kinds:
            source = self._source(executor)
            self._kinds[executor] = _kinds_of_arguments(source)
        return self._kinds[executor]

    def _source(self, executor: str) -> str:
        executors = self._spec.deployment_spec["executors"]
        container = executors[executor]["container"] if executor in executors else None
        command = list(container["command"]) if container is not None and "command" in container else []
        return str(command[-1]) if command else ""


def _kinds_of_arguments(source: str) -> dict[str, Kind]:
    """Returns the kinds of a function's arguments, of the last function in a component's source."""
    try:
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except (SyntaxError, ValueError):
        return {}
    if not functions:
        return {}
    arguments = functions[-1].args
    return {argument.arg: kind_of(argument.annotation) for argument in (*arguments.args, *arguments.kwonlyargs)}


def kind_of(annotation: Any) -> Kind:
    """Returns what an annotation says: `List[str]`, `dict[str, int]`, `Optional[float]`."""
    if isinstance(annotation, ast.Name):
        if annotation.id in LISTS or annotation.id in MAPPINGS:
            return Kind("LIST" if annotation.id in LISTS else "STRUCT")
        return Kind(KINDS.get(annotation.id, ""))
    if isinstance(annotation, ast.Attribute):
        return kind_of(ast.Name(annotation.attr))
    if not isinstance(annotation, ast.Subscript):
        return UNKNOWN
    outer = (
        annotation.value.attr if isinstance(annotation.value, ast.Attribute) else getattr(annotation.value, "id", "")
    )
    if outer == "Optional":
        return kind_of(annotation.slice)
    if outer in LISTS:
        return Kind("LIST", _known(annotation.slice))
    if outer in MAPPINGS and isinstance(annotation.slice, ast.Tuple) and len(annotation.slice.elts) == 2:
        return Kind("STRUCT", _known(annotation.slice.elts[1]))
    return UNKNOWN


def _known(annotation: Any) -> Kind | None:
    kind = kind_of(annotation)
    return kind if kind.name else None
