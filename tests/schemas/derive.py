"""Writes `<source>.json` beside this file: the structure of each kind as JSON Schema, from the projects' releases.

    python -m tests.schemas.derive CLONES

CLONES holds a git clone of each repository of `sources.py` by its name (`CLONES/kserve`, `CLONES/trainer`, …; for
kubernetes-client/python, `CLONES/python`) with the tags named there. Only structure is kept: no descriptions and no
defaults.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from .sources import SOURCES, Source

FOLDER = Path(__file__).parent
KEPT = (
    "type",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-map-keys",
)
SHARED_FROM = 160
"""Characters from which a part that occurs twice is written once and referred to."""
INT_OR_STRING = {"type": ["integer", "string"]}
QUANTITY = {"type": ["number", "string"]}

Schema = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Writes every source's file; returns the exit status."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    for source in SOURCES:
        clone = Path(arguments[0]) / source.repository.rpartition("/")[2]
        document = derived(source, clone)
        path = FOLDER / f"{source.name}.json"
        path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(document['kinds'])} kinds, {path.stat().st_size // 1024} kB")
    return 0


def derived(source: Source, clone: Path) -> Schema:
    """Returns a source's file: where it comes from, the schema of each kind, and the parts that they share."""
    kinds: dict[str, Schema] = {}
    shared: dict[str, Schema] = {}
    for file in source.files:
        text = _git(clone, "show", f"{source.tag}:{file}")
        if source.kinds or source.definitions:
            kinds, shared = _from_openapi(
                json.loads(text) if file.endswith((".json", "unprocessed")) else yaml.safe_load(text), source
            )
        else:
            kinds |= _from_definition(yaml.safe_load(text))
    if not shared:
        kinds, shared = _sharing(kinds)
    return {
        "repository": source.repository,
        "tag": source.tag,
        "commit": _git(clone, "rev-parse", f"{source.tag}^{{commit}}").strip(),
        "licence": source.licence,
        "kinds": kinds,
        "$defs": shared,
    }


def _git(clone: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=True).stdout


def _from_definition(definition: Schema) -> dict[str, Schema]:
    spec = definition["spec"]
    return {
        f"{spec['group']}/{version['name']}/{spec['names']['kind']}": _root(
            _structural(version["schema"]["openAPIV3Schema"])
        )
        for version in spec["versions"]
        if version["served"]
    }


def _root(schema: Schema) -> Schema:
    # The API server checks every kind's own metadata against one and the same type: so does `validate`.
    if "apiVersion" in schema.get("properties", {}):
        schema["properties"] |= {name: {"type": "string"} for name in ("apiVersion", "kind")}
        schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _structural(schema: Schema) -> Schema:
    """Returns a structural schema of Kubernetes as JSON Schema that refuses what an API server would refuse or drop."""
    if schema.get("x-kubernetes-int-or-string"):
        return dict(INT_OR_STRING)
    kept = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("nullable"):
        kept["type"] = [schema["type"], "null"]
    if rules := schema.get("x-kubernetes-validations"):
        kept["x-kubernetes-validations"] = [rule["rule"] for rule in rules]
    if "items" in schema:
        kept["items"] = _structural(schema["items"])
    properties = schema.get("properties", {})
    if properties:
        kept["properties"] = {name: _structural(value) for name, value in properties.items()}
    if required := [name for name in schema.get("required", ()) if "default" not in properties.get(name, {})]:
        kept["required"] = required
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        kept["additionalProperties"] = _structural(extra)
    elif schema.get("type") == "object" and not extra and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept["additionalProperties"] = False
    return kept


def _from_openapi(document: Schema, source: Source) -> tuple[dict[str, Schema], dict[str, Schema]]:
    definitions = document.get("definitions") or document["components"]["schemas"]
    named = dict(source.definitions)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            key = "/".join(part for part in (kind["group"], kind["version"], kind["kind"]) if part)
            if key in source.kinds:
                named[key] = name
    if missing := set(source.kinds) - set(named):
        raise KeyError(f"{source.repository} {source.tag} has no {', '.join(sorted(missing))}")
    shared: dict[str, Schema] = {}
    kinds = {key: _root(_referring(definitions[name], definitions, shared)) for key, name in named.items()}
    if source.name == "kubernetes":
        _referring({"$ref": f"#/definitions/{OBJECT_META}"}, definitions, shared)
    return kinds, shared


OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _referring(schema: Schema, definitions: dict[str, Schema], shared: dict[str, Schema]) -> Schema:
    """Returns an OpenAPI schema as JSON Schema, and gathers what it refers to in `shared`."""
    if "allOf" in schema:
        schema = schema["allOf"][0] if len(schema["allOf"]) == 1 else _merged(schema, definitions)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name.endswith("IntOrString"):
            return dict(INT_OR_STRING)
        if name.endswith("Quantity"):
            return dict(QUANTITY)
        if name not in shared:
            shared[name] = {}  # Before its parts: a definition can contain itself.
            shared[name] = _referring(definitions[name], definitions, shared)
        return {"$ref": f"#/$defs/{name}"}
    if "oneOf" in schema:
        return {"oneOf": [_referring(part, definitions, shared) for part in schema["oneOf"]]}
    kept = {key: schema[key] for key in KEPT if key in schema}
    if "items" in schema:
        kept["items"] = _referring(schema["items"], definitions, shared)
    properties = schema.get("properties", {})
    if properties:
        kept["properties"] = {name: _referring(value, definitions, shared) for name, value in properties.items()}
        kept["additionalProperties"] = False
    if required := [name for name in schema.get("required", ()) if "default" not in properties.get(name, {})]:
        kept["required"] = required
    if isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = _referring(schema["additionalProperties"], definitions, shared)
    return kept


def _merged(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Returns a definition that is made of others as one with all their fields, so that unknown ones can be refused."""
    if "$ref" in schema:
        return _merged(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    whole: Schema = {**schema, "properties": {}, "required": []}
    whole.pop("allOf", None)
    for part in [*(_merged(each, definitions) for each in schema.get("allOf", ())), schema]:
        whole["properties"] |= part.get("properties", {})
        whole["required"] += part.get("required", ())
        if "type" in part:
            whole["type"] = part["type"]
    return whole


def _sharing(kinds: dict[str, Schema]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Writes what occurs more than once (a pod's template, hundreds of times) once; returns kinds and parts."""
    seen: dict[str, int] = {}
    parts: dict[str, Schema] = {}

    def key_of(schema: Schema) -> str:
        text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10] if len(text) >= SHARED_FROM else ""

    def count(schema: Schema) -> None:
        key = key_of(schema)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 1 or not key:
            for _, _, part in _parts(schema):
                count(part)

    def refer(schema: Schema, top: bool = False) -> Schema:
        key = key_of(schema)
        is_shared = bool(key) and seen[key] > 1 and not top
        if is_shared and key in parts:
            return {"$ref": f"#/$defs/{key}"}
        copy = json.loads(json.dumps(schema))
        for holder, name, part in _parts(copy):
            holder[name] = refer(part)
        if not is_shared:
            return copy
        parts[key] = copy
        return {"$ref": f"#/$defs/{key}"}

    for schema in kinds.values():
        count(schema)
    return {kind: refer(schema, top=True) for kind, schema in kinds.items()}, parts


def _parts(schema: Schema) -> list[tuple[Schema, str, Schema]]:
    """Returns the schemas directly below one, each with what holds it and its key there."""
    below = [(schema["properties"], name, part) for name, part in schema.get("properties", {}).items()]
    return below + [
        (schema, name, schema[name]) for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
