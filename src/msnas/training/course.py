"""Learning rate, schedule, clipping and weight average of a stage, from the recipe's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from msnas.training.stage_module import OptimizerFactory, StageModule


def set_course(
    module: StageModule, settings: Mapping[str, Any], *, steps: int, machine: Mapping[str, Any]
) -> None:
    """Set a module's learning rate, schedule, clipping and average; an epoch has `steps` steps.

    The keys of `settings`: `lr` is the stage's learning rate (default: the optimiser's). `schedule`
    is `constant`, `cosine` (falls to 0 at the end of the last epoch) or `one_cycle` (rises from a
    25th of the rate in the first 30 % of the steps, then falls to 0). `clip` is the largest norm of
    the gradients, unless `machine` clips them. `average` is the decay of the weight average.
    """
    if (rate := settings.get("lr")) is not None:
        module.make_optimizer = partial(_at_rate, make=module.make_optimizer, rate=rate)
    total = settings["epochs"] * steps
    schedules: Mapping[str, Callable[[Optimizer], LRScheduler] | None] = {
        "constant": None,
        "cosine": partial(CosineAnnealingLR, T_max=total),
        "one_cycle": partial(_one_cycle, total=total),
    }
    module.schedule = schedules[settings.get("schedule") or "constant"]
    module.clip = clipping(
        machine if machine.get("gradient_clip_val") else {"gradient_clip_val": settings.get("clip")}
    )
    module.decay = settings.get("average")


def clipping(machine: Mapping[str, Any]) -> Callable[[Iterable[nn.Parameter]], object] | None:
    """The function that clips the gradients of given parameters in place; None without a limit."""
    if (limit := machine.get("gradient_clip_val")) is None:
        return None
    if machine.get("gradient_clip_algorithm") == "value":
        return partial(nn.utils.clip_grad_value_, clip_value=limit)
    return partial(nn.utils.clip_grad_norm_, max_norm=limit)


def _at_rate(parameters: list[nn.Parameter], *, make: OptimizerFactory, rate: float) -> Optimizer:
    optimizer = make(parameters)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return optimizer


def _one_cycle(optimizer: Optimizer, *, total: int) -> LRScheduler:
    rate = optimizer.param_groups[0]["lr"]
    return OneCycleLR(optimizer, max_lr=rate, total_steps=total, cycle_momentum=False)
