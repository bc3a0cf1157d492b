"""Training as a pipeline of one step per accelerator profile: to import "train on an L4" by its YAML.

A component's own YAML cannot say on which nodes it runs; a pipeline's can, and keeps it when another pipeline loads it.
The files beside this one are those of `accelerators.SHIPPED`; `training_on` makes any other.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl.types.type_annotations import OutputAnnotation

from mainspring.components.training.component import train_model
from mainspring.pipelines import accelerators
from mainspring.pipelines.accelerators import Profile
from mainspring.pipelines.pods.storage_secret import with_storage

DAY = 24 * 3600


def training_on(profile: Profile | str, *, spot: bool = False, retries: int | None = None, timeout: int = DAY) -> Any:
    """Returns a pipeline whose only step is `train_model` on a node pool, with its parameters and outputs.

    Args:
        profile: A profile, or the name of a GKE one.
        spot: Use machines that may be taken away; give `checkpoints` then, or every retry starts anew.
        retries: As in `accelerators.apply`.
        timeout: Seconds until an attempt is ended; 0: no limit.

    Raises:
        UserError: As in `accelerators.apply`.
    """
    pool = accelerators.profile(profile) if isinstance(profile, str) else profile
    inputs, outputs = _interface()
    # The pool decides what must be there; a caller who could say otherwise would only fail later.
    fixed = {"accelerator": pool.expectation} if "accelerator" in inputs and pool.expectation else {}
    free = {name: parameter for name, parameter in inputs.items() if name not in fixed}
    make_type: Any = NamedTuple  # Called with fields that are only known now, which a type checker cannot follow.
    returned = [*outputs.items(), ("Output", str)]
    result = make_type("Outputs", returned)

    def train(*values: Any) -> Any:  # KFP calls it with values in the signature's order.
        task = accelerators.apply(
            train_model(**dict(zip(free, values, strict=True)), **fixed),
            pool,
            spot=spot,
            retries=retries,
            timeout=timeout,
        ).set_display_name(f"Train on {pool.name}{' (spot)' if spot else ''}")
        with_storage(task)
        return result(*(task.outputs[name] for name in outputs), task.outputs["Output"])

    train.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*free.values()], return_annotation=result
    )
    train.__annotations__ = {name: parameter.annotation for name, parameter in free.items()} | {"return": result}
    return dsl.pipeline(
        name=f"train-on-{pool.name}{'-spot' if spot else ''}",
        description=f"train_model on {pool.machine_type or pool.name}{', spot' if spot else ''}.",
    )(train)


def _interface() -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    """Returns `train_model`'s inputs, and the types of its output artifacts."""
    inputs: dict[str, inspect.Parameter] = {}
    outputs: dict[str, Any] = {}
    for name, parameter in inspect.signature(train_model.python_func).parameters.items():
        annotation = parameter.annotation
        if OutputAnnotation in getattr(annotation, "__metadata__", ()):
            outputs[name] = annotation.__origin__
        else:
            inputs[name] = parameter
    return inputs, outputs
