"""Checks objects against the real schemas of their kinds; like a strict API server, it refuses unknown fields."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators

FOLDER = Path(__file__).parent
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def validate(manifest: dict[str, Any]) -> list[str]:
    """Returns what an API server would refuse in an object, each as one line that names the field; empty: nothing.

    The schema is chosen by `apiVersion` and `kind`; a kind that has none here is refused as well. Unknown fields,
    missing ones, types, patterns, limits and repeated list keys are checked. Rules in CEL, admission webhooks and the
    formats of names and quantities are not (README.md).
    """
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    key = f"{api_version}/{kind}"
    if key not in _kinds():
        return [f"{api_version} {kind}: no schema of this kind here; there are {', '.join(sorted(_kinds()))}"]
    named = f"{kind} {manifest.get('metadata', {}).get('name', '(no name)')}"
    errors = [*_validator(key).iter_errors(manifest)]
    errors += _object_meta().iter_errors({"metadata": manifest.get("metadata", {})})
    return [line for error in errors for line in _lines(named, error)]


def validate_body(name: str, body: Any) -> list[str]:
    """Returns what a REST API that is none of Kubernetes' would refuse in a request or an answer; empty: nothing.

    Args:
        name: Such as `model-registry/v1alpha3/ModelVersionCreate`.
        body: Parsed JSON.
    """
    document = _document(_kinds()[name])
    errors = _Validator(document["kinds"][name] | {"$defs": document["$defs"]}).iter_errors(body)
    return [line for error in errors for line in _lines(name.rpartition("/")[2], error)]


def has_schema(manifest: dict[str, Any]) -> bool:
    """Returns whether there is a schema here for an object's kind."""
    return f"{manifest.get('apiVersion')}/{manifest.get('kind')}" in _kinds()


@functools.cache
def _document(source: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{source}.json").read_text(encoding="utf-8"))


@functools.cache
def _kinds() -> dict[str, str]:
    return {kind: path.stem for path in FOLDER.glob("*.json") for kind in _document(path.stem)["kinds"]}


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    document = _document(_kinds()[kind])
    schema = document["kinds"][kind] | {"$defs": document["$defs"]}
    return _Validator(schema | {"required": [*schema.get("required", ()), "metadata"]})


@functools.cache
def _object_meta() -> Draft202012Validator:
    defs = _document("kubernetes")["$defs"]
    return _Validator({"properties": {"metadata": {"$ref": f"#/$defs/{_OBJECT_META}"}}, "$defs": defs})


def _distinct(_: Any, keys: list[str], items: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """A list that is a map: no two items with the same keys (a key left out counts as its default, unknown here)."""
    if not isinstance(items, list):
        return
    seen: list[list[Any]] = []
    for item in items:
        key = [item.get(name) for name in keys] if isinstance(item, dict) else []
        if key in seen:
            yield ValidationError(f"two items with the same {', '.join(keys)}: {key}")
        seen.append(key)


_Validator = validators.extend(Draft202012Validator, {"x-kubernetes-list-map-keys": _distinct})


def _lines(named: str, error: ValidationError) -> Iterator[str]:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        for field in sorted(set(error.instance) - set(error.schema.get("properties", {}))):
            yield f"{named}: {f'{path}.' if path else ''}{field}: unknown field"
    else:
        yield f"{named}: {path or 'the object'}: {error.message[:300]}"
