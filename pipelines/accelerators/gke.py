"""Google Kubernetes Engine's GPUs and TPUs: which machine types, counts and topologies there are.

Sources: Google's pages "GPU machine types" (Compute Engine: accelerator-optimized machines, and GPUs on N1), "About
GPUs in GKE" for the labels, and "Plan TPUs in GKE" for TPU machine types and topologies.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from mainspring.components.common.errors import UserError
from mainspring.pipelines.accelerators.profiles import GPU, TPU, Profile, Toleration

_SPOT = "cloud.google.com/gke-spot"
_NUMBER = "[1-9][0-9]{0,4}"
_LARGEST_V5P = 8960
"""Chips of the largest v5p slice that one job can have."""


@dataclass(frozen=True)
class _Machine:
    name: str
    cpus: int
    memory: int
    """GB."""

    @property
    def request(self) -> tuple[str, str]:
        """What a pod that has the machine to itself can ask for: the rest is the node's own and its daemons'."""
        return str(max(1, math.floor(self.cpus * 0.9) - 1)), f"{math.floor(self.memory * 0.85)}G"


@dataclass(frozen=True)
class _Gpu:
    label: str
    machines: Mapping[int, _Machine]
    """By number of GPUs."""


@dataclass(frozen=True)
class _Tpu:
    label: str
    machines: Mapping[int, _Machine]
    """By chips on a machine."""
    alone: Mapping[str, int]
    """Topologies that are one machine, with its chips."""
    together: tuple[str, ...]
    """Topologies of several machines with four chips each."""


def _series(name: str, cpus: int, memory: int, counts: tuple[int, ...]) -> dict[int, _Machine]:
    return {count: _Machine(name.format(count), cpus * count, memory * count) for count in counts}


GPUS: dict[str, _Gpu] = {
    # N1 machines come in many sizes; these are the usual partners.
    "t4": _Gpu(
        "nvidia-tesla-t4",
        {
            1: _Machine("n1-standard-8", 8, 30),
            2: _Machine("n1-standard-16", 16, 60),
            4: _Machine("n1-standard-32", 32, 120),
        },
    ),
    "l4": _Gpu(
        "nvidia-l4",
        {
            1: _Machine("g2-standard-12", 12, 48),
            2: _Machine("g2-standard-24", 24, 96),
            4: _Machine("g2-standard-48", 48, 192),
            8: _Machine("g2-standard-96", 96, 384),
        },
    ),
    "a100-40gb": _Gpu(
        "nvidia-tesla-a100",
        _series("a2-highgpu-{}g", 12, 85, (1, 2, 4, 8)) | {16: _Machine("a2-megagpu-16g", 96, 1360)},
    ),
    "a100-80gb": _Gpu("nvidia-a100-80gb", _series("a2-ultragpu-{}g", 12, 170, (1, 2, 4, 8))),
    "h100": _Gpu("nvidia-h100-80gb", _series("a3-highgpu-{}g", 26, 234, (1, 2, 4, 8))),
    "h100-mega": _Gpu("nvidia-h100-mega-80gb", {8: _Machine("a3-megagpu-8g", 208, 1872)}),
    "h200": _Gpu("nvidia-h200-141gb", {8: _Machine("a3-ultragpu-8g", 224, 2952)}),
    "b200": _Gpu("nvidia-b200", {8: _Machine("a4-highgpu-8g", 224, 3968)}),
}

_FLAT = ("2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
TPUS: dict[str, _Tpu] = {
    "v5e": _Tpu(
        "tpu-v5-lite-podslice",
        {
            1: _Machine("ct5lp-hightpu-1t", 24, 48),
            4: _Machine("ct5lp-hightpu-4t", 112, 192),
            8: _Machine("ct5lp-hightpu-8t", 224, 384),
        },
        {"1x1": 1, "2x2": 4, "2x4": 8},
        _FLAT,
    ),
    "v5p": _Tpu(
        "tpu-v5p-slice",
        {4: _Machine("ct5p-hightpu-4t", 208, 448)},
        {"2x2x1": 4},
        ("2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16"),
    ),
    "v6e": _Tpu(
        "tpu-v6e-slice",
        {
            1: _Machine("ct6e-standard-1t", 44, 176),
            4: _Machine("ct6e-standard-4t", 180, 720),
            8: _Machine("ct6e-standard-8t", 180, 1440),
        },
        {"1x1": 1, "2x2": 4, "2x4": 8},
        _FLAT,
    ),
}

SHIPPED = (
    *("t4", "l4", "l4-x4", "a100-40gb", "a100-80gb", "h100", "h200-x8", "b200-x8"),
    *("v5e-2x4", "v5p-2x2x1", "v6e-2x4"),
)
"""Profiles that have a training pipeline of one step beside this package (`pipelines/training/`)."""


def gpu(kind: str, count: int = 1) -> Profile:
    """Returns the profile of so many GPUs of a kind on one GKE machine.

    Args:
        kind: One of `GPUS`.
        count: GPUs of the machine.

    Raises:
        UserError: There is no such GPU, or no machine with so many; the possible ones are listed.
    """
    found = _known("GPU", kind, GPUS)
    if count not in found.machines:
        raise UserError(f"GKE has no machine with {count} {kind} GPUs; there are {_gpu_machines(found)}")
    machine = found.machines[count]
    cpu, memory = machine.request
    return Profile(
        name=kind if count == 1 else f"{kind}-x{count}",
        resource=GPU,
        count=count,
        machines=1,
        machine_type=machine.name,
        selectors=(("cloud.google.com/gke-accelerator", found.label),),
        tolerations=(Toleration(GPU),),
        spot_selectors=((_SPOT, "true"),),
        spot_tolerations=(Toleration(_SPOT, "true"),),
        cpu=cpu,
        memory=memory,
        shared_memory=f"{8 * count}Gi",
    )


def tpu(generation: str, topology: str, chips_per_machine: int | None = None) -> Profile:
    """Returns the profile of a GKE TPU slice.

    Args:
        generation: One of `TPUS`.
        topology: How the chips lie, such as `2x4`, or `2x2x2` for v5p.
        chips_per_machine: Only needed to ask for several machines where one would do (v5e and v6e 2x4). None: as
            few machines as possible.

    Raises:
        UserError: Generation, topology and chips do not go together; the possible combinations are listed.
    """
    found = _known("TPU", generation, TPUS)
    chips = _chips(topology)
    one_machine = topology in found.alone
    per_machine = chips_per_machine if chips_per_machine is not None else found.alone.get(topology, 4)
    fits = per_machine == (found.alone.get(topology) or 4) or (per_machine == 4 and topology in found.together)
    if not chips or not fits or not (one_machine or _is_of_several(found, topology)):
        asked = f" with {chips_per_machine} chips a machine" if chips_per_machine is not None else ""
        raise UserError(f"GKE has no TPU {generation} {topology}{asked}; there are {_slices(found)}")
    machine, machines = found.machines[per_machine], chips // per_machine
    cpu, memory = machine.request
    return Profile(
        name=f"{generation}-{topology}" + ("" if machines == 1 or not one_machine else f"-{machines}-machines"),
        resource=TPU,
        count=per_machine,
        machines=machines,
        machine_type=machine.name,
        selectors=(
            ("cloud.google.com/gke-tpu-accelerator", found.label),
            ("cloud.google.com/gke-tpu-topology", topology),
            # A topology can be one machine or several: the chips of a node tell them apart.
            ("cloud.google.com/gke-accelerator-count", str(per_machine)),
        ),
        tolerations=(Toleration(TPU),),
        spot_selectors=((_SPOT, "true"),),
        spot_tolerations=(Toleration(_SPOT, "true"),),
        cpu=cpu,
        memory=memory,
        shared_memory="16Gi",
    )


def profile(name: str) -> Profile:
    """Returns a GKE profile by its name: `l4`, `l4-x4` (four GPUs), `v5e-2x4` (a TPU slice).

    Raises:
        UserError: There is none of that name; the possible ones are listed.
    """
    kind, separator, rest = name.rpartition("-")
    if separator and kind in TPUS:
        return tpu(kind, rest)
    if separator and kind in GPUS and re.fullmatch(f"x{_NUMBER}", rest):
        return gpu(kind, int(rest[1:]))
    if name in GPUS:
        return gpu(name)
    close = difflib.get_close_matches(name, [*GPUS, *SHIPPED], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UserError(
        f"no accelerator profile {name!r}; {hint}GPUs: {', '.join(GPUS)} (several: l4-x4); "
        f"TPUs: {', '.join(f'{generation}-TOPOLOGY' for generation in TPUS)} (such as v5e-2x4)"
    )


_Kind = TypeVar("_Kind")


def _known(what: str, name: str, table: Mapping[str, _Kind]) -> _Kind:
    if name not in table:
        raise UserError(f"GKE has no {what} {name!r}; there are {', '.join(table)}")
    return table[name]


def _chips(topology: str) -> int:
    is_one = re.fullmatch(f"{_NUMBER}(x{_NUMBER})*", topology)
    return math.prod(int(part) for part in topology.split("x")) if is_one else 0


def _is_of_several(found: _Tpu, topology: str) -> bool:
    if topology in found.together:
        return True
    # Larger v5p slices: any cuboid of whole 4x4x4 cubes, sides in ascending order.
    sides = [int(part) for part in topology.split("x")]
    is_cuboid = len(sides) == 3 and sides == sorted(sides) and all(side % 4 == 0 for side in sides)
    return "2x2x2" in found.together and is_cuboid and math.prod(sides) <= _LARGEST_V5P


def _gpu_machines(found: _Gpu) -> str:
    return ", ".join(f"{count} ({machine.name})" for count, machine in found.machines.items())


def _slices(found: _Tpu) -> str:
    alone = [f"{topology} (1 {found.machines[chips].name})" for topology, chips in found.alone.items()]
    together = [f"{topology} ({_chips(topology) // 4} {found.machines[4].name})" for topology in found.together]
    more = [f"and cuboids of 4x4x4 up to {_LARGEST_V5P} chips"] if "2x2x2" in found.together else []
    return ", ".join([*alone, *together, *more])
