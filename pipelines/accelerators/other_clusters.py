"""Profiles of a cluster that is not GKE, from a YAML file.

h100:
  resource: nvidia.com/gpu
  count: 1
  selectors: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
  tolerations: [{key: nvidia.com/gpu}]      # without a value: whatever it is; effect NoSchedule
  cpu: "14"
  memory: 200Gi
  shared_memory: 16Gi
  spot: {selectors: {pool: preemptible}, tolerations: [{key: preemptible, value: "true"}]}
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.pipelines.accelerators.profiles import Profile, Toleration

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_TEXTS = ("resource", "machine_type", "cpu", "memory", "shared_memory")
_COUNTS = ("count", "machines")
_KEYS = (*_TEXTS, *_COUNTS, "selectors", "tolerations", "spot")


def read(path: Path | str) -> dict[str, Profile]:
    """Returns a file's profiles by name.

    Raises:
        UserError: The file cannot be read, or a profile in it is not one.
    """
    document = strict_yaml.read(Path(path))
    if not isinstance(document, dict) or not document:
        raise UserError(f"{path}: must hold profiles by name, such as `h100: {{resource: nvidia.com/gpu, count: 1}}`")
    return {str(name): _profile(str(name), fields, f"{path}: {name}") for name, fields in document.items()}


def _profile(name: str, fields: Any, where: str) -> Profile:
    fields = _mapping(fields, where)
    for key in fields:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise UserError(
                f"{where}: has no {key}; {f'did you mean {close[0]}?' if close else 'there are ' + ', '.join(_KEYS)}"
            )
    for key in ("resource", "selectors"):
        if not fields.get(key):
            raise UserError(f"{where}: needs {key}")
    texts = {key: fields.get(key, "") for key in _TEXTS if key != "shared_memory"}
    texts["shared_memory"] = fields.get("shared_memory", "8Gi")
    for key, text in texts.items():
        if not isinstance(text, str):
            raise UserError(f"{where}: {key} is {text!r}; it must be text (put it in quotes)")
    counts = {key: fields.get(key, 1) for key in _COUNTS}
    for key, count in counts.items():
        if type(count) is not int or count < 1:
            raise UserError(f"{where}: {key} is {count!r}; it must be a whole number of 1 or more")
    spot = _mapping(fields.get("spot", {}), f"{where}: spot")
    if unknown := set(spot) - {"selectors", "tolerations"}:
        raise UserError(f"{where}: spot has no {', '.join(map(str, unknown))}; there are selectors, tolerations")
    return Profile(
        name=name,
        **texts,
        **counts,
        selectors=_labels(fields["selectors"], f"{where}: selectors"),
        tolerations=_tolerations(fields.get("tolerations", []), where),
        spot_selectors=_labels(spot.get("selectors", {}), f"{where}: spot: selectors"),
        spot_tolerations=_tolerations(spot.get("tolerations", []), f"{where}: spot"),
    )


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: is {value!r}; it must be a mapping")
    return value


def _labels(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    labels = _mapping(value, where)
    for label, text in labels.items():
        if not isinstance(label, str) or not isinstance(text, str):
            raise UserError(f"{where}: {label} is {text!r}; a label's value must be text (put it in quotes)")
    return tuple(labels.items())


def _tolerations(value: Any, where: str) -> tuple[Toleration, ...]:
    if not isinstance(value, list):
        raise UserError(f"{where}: tolerations is {value!r}; it must be a list")
    return tuple(_toleration(item, where) for item in value)


def _toleration(item: Any, where: str) -> Toleration:
    if not isinstance(item, dict) or not isinstance(item.get("key"), str) or set(item) - {"key", "value", "effect"}:
        raise UserError(f"{where}: a toleration is {item!r}; it must have key, and may have value and effect")
    effect = item.get("effect", "NoSchedule")
    if effect not in EFFECTS:
        raise UserError(f"{where}: a toleration's effect is {effect!r}; it must be one of {', '.join(EFFECTS)}")
    return Toleration(item["key"], str(item.get("value", "")), effect)
