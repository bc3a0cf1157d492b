"""What a profile is."""

from __future__ import annotations

from dataclasses import dataclass

GPU = "nvidia.com/gpu"
TPU = "google.com/tpu"


@dataclass(frozen=True)
class Toleration:
    """A taint of the node pool that the pod puts up with."""

    key: str
    value: str = ""
    """Empty: whatever the taint's value."""
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class Profile:
    """An accelerator as a pod asks for it: so many chips of a kind on a machine of a type, and how many machines."""

    name: str
    resource: str
    """The device plugin's resource, such as `nvidia.com/gpu`."""
    count: int
    """Chips that each machine's pod gets."""
    machines: int
    """Pods that work together: 1, or the machines of a TPU slice."""
    machine_type: str
    """For people, and for the node pool's making; empty: unknown."""
    selectors: tuple[tuple[str, str], ...]
    """Labels of the nodes, with their values."""
    tolerations: tuple[Toleration, ...] = ()
    spot_selectors: tuple[tuple[str, str], ...] = ()
    spot_tolerations: tuple[Toleration, ...] = ()
    cpu: str = ""
    """What each pod asks for, as Kubernetes writes it; empty: nothing."""
    memory: str = ""
    shared_memory: str = "8Gi"
    """Size of `/dev/shm`, which NCCL and data loaders use; it counts against the pod's memory."""

    @property
    def chips(self) -> int:
        """Chips in all."""
        return self.count * self.machines

    @property
    def expectation(self) -> str:
        """What `train_model`'s `accelerator` must find in the pod, such as `gpu:4`; empty: it knows no such kind.

        A TPU's chips are not counted: TensorFlow counts cores, and a chip of v5p has two.
        """
        return {GPU: f"gpu:{self.count}", TPU: "tpu"}.get(self.resource, "")

    @property
    def can_be_spot(self) -> bool:
        """Whether it is known how this cluster marks spot machines."""
        return bool(self.spot_selectors or self.spot_tolerations)
