"""Objects of torchjd: making them for given tasks, and their state from step to step."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torchjd import Stateful
from torchjd.scalarization import FAMO

from msnas.arguments import OFFERED, arguments_of
from msnas.build import build
from msnas.errors import ConfigError

T = TypeVar("T", bound=nn.Module)


def made(
    settings: Any, key: str, of: type[T], *, tasks: int, rows: Sequence[int], like: Tensor
) -> T:
    """The object that `settings` describe, for the losses `rows` of `tasks`.

    An argument for the number of losses is filled in. A list becomes a tensor like `like`; of a
    number per task only those of the rows stay. Required `weights` that are null become equal.
    """
    if isinstance(settings, of):  # made in Python
        return copy.deepcopy(settings)
    if not isinstance(settings, Mapping):
        return build(settings, key=key, of=of)  # which raises the error
    needed = arguments_of(str(settings.get("_target_"))) or {}
    arguments: dict[str, Any] = {name: len(rows) for name in OFFERED[key] if name in needed}
    node = dict(settings)
    for name, value in settings.items():
        if name == "weights" and value is None and name in needed and needed[name].required:
            value = [1 / tasks] * tasks
        if isinstance(value, list):
            cut = [value[row] for row in rows] if len(value) == tasks else value
            arguments[name] = torch.tensor(cut, dtype=like.dtype, device=like.device)
            del node[name]
    return build(node, key=key, of=of, **arguments)


def check(settings: Any, key: str, of: type[nn.Module], *, on: Tensor) -> None:
    """Raise ConfigError unless the object takes `on`, the losses or gradients of all tasks."""
    thing = made(settings, key, of, tasks=len(on), rows=range(len(on)), like=on)
    try:
        with torch.random.fork_rng(devices=[]):
            thing(on)
    except Exception as error:  # it may raise anything for odd values
        raise ConfigError(f"{key}: {type(thing).__name__}: {error}") from error


def kept(thing: nn.Module) -> list[dict[str, Any]]:
    """The state of its parts beside parameters, as `torch.load(weights_only=True)` reads it."""
    return [{name: _packed(one) for name, one in _own(part).items()} for part in _parts(thing)]


def restore(thing: nn.Module, state: Sequence[Mapping[str, Any]]) -> None:
    """Give the state that `kept` returned to an object with the same settings."""
    for part, values in zip(_parts(thing), state, strict=True):
        for name in _own(part).keys() & values.keys():
            if isinstance(part, FAMO) and name == "_optimizer" and values[name] is not None:
                part._optimizer = Adam([part._w], lr=part.lr, weight_decay=part.weight_decay)
                part._optimizer.load_state_dict(values[name])
            else:
                setattr(part, name, _unpacked(values[name]))
        if callable(begin := getattr(part, "_init_optim_problem", None)):
            begin()  # of NashMTL, which calls it at step 0 only


def _parts(thing: nn.Module) -> list[Any]:
    return [part for part in thing.modules() if isinstance(part, Stateful)]


def _own(part: Any) -> dict[str, Any]:
    """A part's attributes and buffers, without those of every module and of solvers."""
    kinds = (Tensor, Optimizer, np.ndarray, torch.dtype, torch.device, NoneType)
    of_pytorch = vars(nn.Module())
    return {
        name: value
        for name, value in {**vars(part), **part._buffers}.items()
        if name not in of_pytorch and isinstance(value, (*kinds, bool, int, float, list, tuple))
    }


def _packed(value: Any) -> Any:
    if isinstance(value, Optimizer):
        return value.state_dict()
    if isinstance(value, Tensor | np.ndarray):
        place = str(value.device) if isinstance(value, Tensor) else "numpy"
        return {"tensor": torch.as_tensor(value).detach().clone(), "place": place}
    return type(value)(map(_packed, value)) if isinstance(value, list | tuple) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, Mapping):
        tensor, place = value["tensor"], value["place"]
        return tensor.numpy() if place == "numpy" else tensor.to(place)
    return type(value)(map(_unpacked, value)) if isinstance(value, list | tuple) else value
