"""Checks that a run's other settings do not contradict its weighting."""

from __future__ import annotations

from msnas.errors import ConfigError
from msnas.weighting.weighting import Weighting


def check_weighting(
    weighting: Weighting, *, given: bool, drawn: bool, last_task_only: str | None, precision: str
) -> None:
    """Raise ConfigError for settings that contradict `weighting`.

    `given`: the user chose task weights; `drawn`: a conditioning draws them for every event;
    `last_task_only`: the method's name, if it trains on the last task's loss alone.
    """
    name = type(weighting).__name__
    if drawn and last_task_only is not None:
        raise ConfigError(
            f"conditioning.parameters: task_weight: method={last_task_only} trains on the last "
            "task's loss alone; leave it out"
        )
    if not weighting.takes_task_weights:
        if given:
            raise ConfigError(
                f"task_weight, task_weights: {name} finds its own weights; leave them out, or use "
                "weighting=fixed"
            )
        if drawn:
            raise ConfigError(
                f"conditioning.parameters: task_weight is drawn for every event, but {name} finds "
                "its own; use weighting=fixed"
            )
        if last_task_only is not None:
            raise ConfigError(
                f"weighting: {name} has nothing to weigh, as method={last_task_only} trains on the "
                "last task's loss alone; use weighting=fixed"
            )
    if weighting.uses_gradients and precision == "16-mixed":
        raise ConfigError(
            f"trainer.precision: {name} compares gradients, which 16-mixed scales; use 32-true or "
            "bf16-mixed"
        )
