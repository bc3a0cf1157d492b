"""`components/README.md`: every component's inputs, outputs, image and an example, from the components themselves."""

from __future__ import annotations

import inspect
from typing import Any

from google.protobuf import json_format

from mainspring import components

HEAD = """\
# Components

Each is a function to call in a pipeline of yours, from Python or from its YAML file, by path or by URL:

```python
from kfp import components
from mainspring.components import train_model

validate_examples = components.load_component_from_file("components/validation/validate_examples.yaml")
ingest_examples = components.load_component_from_url("https://…/components/ingestion/ingest_examples.yaml")
```

The YAML needs only `kfp`; nothing of Mainspring's is installed where a pipeline is compiled. To give a step its node
pool as well, load a pipeline of one step from `pipelines/training/`. This page is written by `make compile`.
"""

LINE = 120

TYPES = {
    "STRING": "text",
    "NUMBER_INTEGER": "whole number",
    "NUMBER_DOUBLE": "number",
    "BOOLEAN": "true or false",
    "LIST": "list",
    "STRUCT": "mapping",
    "TASK_FINAL_STATUS": "the status of the tasks before",
}


def page() -> str:
    """Returns the page as Markdown."""
    loaded = {name: getattr(components, name) for name in components.COMPONENTS}
    index = [f"| [`{name}`](#{name}) | {_first_line(component)} |" for name, component in loaded.items()]
    parts = [HEAD, "\n".join(["| component | does |", "|---|---|", *index])]
    parts += [_section(name, folder, loaded[name]) for name, folder in components.COMPONENTS.items()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(name: str, folder: str, component: Any) -> str:
    whole = json_format.MessageToDict(component.pipeline_spec)
    [spec] = whole["components"].values()
    [executor] = whole["deploymentSpec"]["executors"].values()
    image = executor["container"]["image"]
    inputs, outputs = spec.get("inputDefinitions", {}), spec.get("outputDefinitions", {})
    lines = [
        f"## {name}",
        "",
        _first_line(component),
        "",
        f"Image `{image}`, file [`{folder}/{name}.yaml`]({folder}/{name}.yaml).",
    ]
    lines += (
        [
            "",
            "| input | type | default | |",
            "|---|---|---|---|",
            *_rows(inputs, component.component_spec.inputs, is_input=True),
        ]
        if inputs
        else []
    )
    lines += (
        ["", "| output | type | |", "|---|---|---|", *_rows(outputs, component.component_spec.outputs, is_input=False)]
        if outputs
        else []
    )
    return "\n".join([*lines, "", "```python", _example(name, inputs), "```"])


def _rows(definitions: dict[str, Any], order: dict[str, Any] | None, *, is_input: bool) -> list[str]:
    """Returns a row for each, in the order of the signature: protobuf's maps have none."""
    rows = []
    for key, artifact in definitions.get("artifacts", {}).items():
        kind = artifact["artifactType"]["schemaTitle"].removeprefix("system.")
        default = ["optional" if artifact.get("isOptional") else "needed"] if is_input else []
        rows.append([f"`{key}`", kind, *default, artifact.get("description", "")])
    for key, parameter in definitions.get("parameters", {}).items():
        default = [_default(parameter)] if is_input else []
        rows.append([f"`{key}`", TYPES[parameter["parameterType"]], *default, parameter.get("description", "")])
    places = {f"`{key}`": place for place, key in enumerate(order or {})}
    rows.sort(key=lambda row: (places.get(row[0], len(places)), row[0]))
    return [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]


def _default(parameter: dict[str, Any]) -> str:
    if "defaultValue" not in parameter:
        return "optional" if parameter.get("isOptional") else "needed"
    value = parameter["defaultValue"]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`" if value not in ("", []) else "empty"


def _example(name: str, inputs: dict[str, Any]) -> str:
    artifacts = [key for key, artifact in inputs.get("artifacts", {}).items() if not artifact.get("isOptional")]
    parameters = {
        key: parameter["parameterType"]
        for key, parameter in inputs.get("parameters", {}).items()
        if "defaultValue" not in parameter and not parameter.get("isOptional")
    }
    needed = [f'{key}=earlier.outputs["{key}"]' for key in sorted(artifacts)]
    needed += [f'{key}="…"' if parameters[key] == "STRING" else f"{key}=…" for key in sorted(parameters)]
    lines = (f"{name}({', '.join(needed)})", f"{name}(\n    {', '.join(needed)}\n)")
    as_list = "".join(f"    {argument},\n" for argument in needed)
    # As a formatter would break it: it looks at the code in Markdown too.
    return next((text for text in lines if max(map(len, text.split("\n"))) <= LINE), f"{name}(\n{as_list})")


def _first_line(component: Any) -> str:
    text = inspect.getdoc(component.python_func) or ""
    return " ".join(text.split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
