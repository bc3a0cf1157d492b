"""The space that tuning searches: what each hyperparameter may be, and how a value is suggested."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_json
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.spelling import suggestion

if TYPE_CHECKING:  # What is searched is said where nothing searches, too: on a cluster, Katib does.
    import optuna

DEFAULT_SPACE = (
    '{"learning_rate": {"low": 0.0003, "high": 0.01, "log": true}, "dropout": {"low": 0.0, "high": 0.4}, '
    '"embedding_size": {"choices": [8, 16, 32]}, "hidden_units": {"choices": [[64], [128, 64], [256, 128]]}}'
)
RANGE_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter's values: some given ones, or a range."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Whether a factor means as much as another, as it does for step sizes."""
    step: float | None = None

    @property
    def is_integer(self) -> bool:
        """Whether both ends of the range are whole, and the values between them shall be."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: optuna.Trial) -> Any:
        """Returns the trial's value."""
        if self.choices:
            # Optuna wants choices that can be hashed; lists of widths cannot.
            texts = [json.dumps(choice) for choice in self.choices]
            return json.loads(trial.suggest_categorical(self.name, texts))
        if self.is_integer:
            step = int(self.step or 1)
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)


def read_space(text: str) -> tuple[Dimension, ...]:
    """Reads the space.

    Args:
        text: JSON: by hyperparameter, `{"choices": […]}` or `{"low": …, "high": …}` with `"log": true` or `"step": …`;
            a module's own are named `custom.<name>`. Empty: `DEFAULT_SPACE`.

    Raises:
        UserError: It is no such object, a name is no hyperparameter, or a value would be out of its range.
    """
    try:
        content = strict_json.loads(text.strip() or DEFAULT_SPACE, "space")
    except ValueError as error:
        raise UserError(f"space: not JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise UserError('space: give a JSON object, such as {"learning_rate": {"low": 0.001, "high": 0.01}}')
    return tuple(_dimension(name, given) for name, given in content.items())


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values by hyperparameter, those named `custom.<name>` gathered under `custom`."""
    own = {name.removeprefix("custom."): value for name, value in values.items() if name.startswith("custom.")}
    rest = {name: value for name, value in values.items() if not name.startswith("custom.")}
    return rest | ({"custom": own} if own else {})


def merged(fixed: Mapping[str, Any], tried: Mapping[str, Any]) -> dict[str, Any]:
    """Returns hyperparameters that are fixed together with those that are tried, a module's own too."""
    both = {**fixed, **tried}
    if "custom" in fixed and "custom" in tried:
        both["custom"] = {**fixed["custom"], **tried["custom"]}
    return both


def searched(text: str, fixed: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Reads the space and leaves out what is fixed, where the space is the default one.

    Raises:
        UserError: As `read_space`; or a hyperparameter is both searched and fixed, or none is left.
    """
    custom = fixed.get("custom", {})
    names = {*fixed, *(f"custom.{name}" for name in (custom if isinstance(custom, Mapping) else {}))}
    space = read_space(text)
    both = [one.name for one in space if one.name in names]
    if both and text.strip():
        raise UserError(f"space: {both[0]!r} is in hyperparameters, too, where it is fixed; leave it out of one")
    left = tuple(one for one in space if one.name not in names)
    if not left:
        raise UserError("space: all that would be searched is fixed by hyperparameters; give a space, or fix fewer")
    return left


def _dimension(name: str, given: Any) -> Dimension:
    searchable = [known for known in hyper.NAMES if known not in ("seed", "custom")]
    if name not in searchable and (not name.startswith("custom.") or name == "custom."):
        raise UserError(f"space: {name!r} is no hyperparameter{suggestion(name, searchable)}")
    if not isinstance(given, dict) or not (given.keys() == {"choices"} or {"low", "high"} <= given.keys()):
        raise UserError(f'space: {name}: give {{"choices": […]}} or {{"low": …, "high": …}}')
    unknown = [key for key in given if key not in ("choices", *RANGE_KEYS)]
    if unknown:
        raise UserError(f"space: {name}: {unknown[0]!r} is not known{suggestion(unknown[0], RANGE_KEYS)}")
    if "choices" in given:
        if not isinstance(given["choices"], list):
            raise UserError(f"space: {name}: choices is {given['choices']!r}; give a list")
        dimension = Dimension(name, tuple(given["choices"]))
        tried = list(dimension.choices)
    else:
        if name in hyper.WHOLE:  # 64.0 is as good as 64; a search between them is for whole numbers all the same.
            given = {key: int(value) if _is_whole(value) else value for key, value in given.items()}
        dimension = Dimension(name, **given)
        tried = [dimension.low, dimension.high]
        _check_range(dimension)
    if not tried:
        raise UserError(f"space: {name}: there is no choice")
    if not name.startswith("custom."):
        for value in tried:
            hyper.checked({name: value})
    return dimension


def _check_range(dimension: Dimension) -> None:
    ends = (dimension.low, dimension.high)
    if not all(map(_is_number, ends)) or ends[0] > ends[1]:
        raise UserError(f"space: {dimension.name}: low and high must be numbers, low the smaller one")
    if not isinstance(dimension.log, bool):
        raise UserError(f"space: {dimension.name}: log is {dimension.log!r}; give true or false")
    step = dimension.step
    if step is not None and not (_is_number(step) and step > 0 and (isinstance(step, int) or not dimension.is_integer)):
        raise UserError(
            f"space: {dimension.name}: step is {step!r}; give a number above 0, whole where low and high are"
        )
    if dimension.log and (dimension.low <= 0 or dimension.step):
        raise UserError(f"space: {dimension.name}: log needs a low above 0, and no step")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()
