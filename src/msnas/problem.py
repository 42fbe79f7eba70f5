"""A problem: events, tasks in their order, and their candidates; by name or from arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from inspect import isclass, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from msnas.conf_folders import CONF
from msnas.config import is_name
from msnas.errors import ConfigError, DataError
from msnas.given import Arrays, give, same
from msnas.packages import allowing, is_allowed
from msnas.part import Part, public_name, settings_of

if TYPE_CHECKING:
    from torch import nn

    from msnas.chain.task import Task
    from msnas.data.fields import Field
    from msnas.data.source import Source

    Maker = Part | nn.Module | Callable[[], nn.Module]


FRACTIONS = {"train": 0.6, "valid": 0.2, "test": 0.2}


class AnyProblem:
    """A problem for `select`: choices of groups, values, and nodes that replace those of conf/."""

    def __init__(
        self,
        *,
        words: Sequence[str],
        values: Mapping[str, Any],
        nodes: Mapping[str, Any],
        folder: str | None = None,
    ) -> None:
        self.words = list(words)
        self.values = dict(values)
        self.nodes = dict(nodes)
        self.folder = folder

    def put_into(self, config: DictConfig) -> None:
        """Replace whole nodes of a composed configuration."""
        with open_dict(config):
            for name, node in self.nodes.items():
                config[name] = OmegaConf.create(node)


def load_problem(
    name: str,
    *,
    events: int | str | None = None,
    file: str | None = None,
    folder: str | None = None,
    allow: Sequence[str] = (),
) -> AnyProblem:
    """A problem of conf/problem: `htautau`, `toy`, ...

    `events` is how many to take (or "all"), `file` another file of the same layout. `folder` is
    your own configuration folder, `allow` the packages whose classes it names.
    """
    values = {"data.events": events, "data.file": file, "allow": list(allow) or None}
    return AnyProblem(
        words=[f"problem={name}"],
        values={key: value for key, value in values.items() if value is not None},
        nodes={},
        folder=folder,
    )


@final
class Problem(AnyProblem):
    """Your own problem, made in Python.

    `arrays` are [event, ...] each, by name; `weight` (event weights) and `part` (0, 1, 2 for train,
    valid, test: a given split) are optional. Instead of arrays there may be a `source` of them.
    `tasks` are in the order of the chain. `candidates[task][name]` is a candidate of msnas, any
    PyTorch module that is called with the task's inputs by name, or a function that makes a module.
    A module starts from the weights it has, whatever the seed; a module made by a function, and a
    candidate of msnas, from fresh weights. `fields` say how arrays become tensors; without a field
    numbers stay numbers, and the target of a classification becomes classes. `stratify` is the
    array by whose classes events are split and counted; by default the target of the last
    classification. `reference` names a candidate for each task, for methods of a given chain.
    `validity[task]` lets a Gaussian process judge that task's outputs: `inputs` are its input
    arrays of few numbers, `variables` names of the target's numbers; other settings as in
    conf/validity. `allow` names packages whose classes a run stores by name, not by content.
    """

    def __init__(
        self,
        name: str,
        *,
        arrays: Mapping[str, np.ndarray] | None = None,
        source: Source | None = None,
        tasks: Sequence[Task],
        candidates: Mapping[str, Mapping[str, Maker]],
        fields: Mapping[str, Field] | None = None,
        stratify: str | None = None,
        fractions: Mapping[str, float] = FRACTIONS,
        events: int | str = "all",
        split_seed: int = 0,
        reference: Sequence[str] | None = None,
        validity: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        allow: Sequence[str] = (),
    ) -> None:
        if not is_name(name):
            raise ConfigError(f"name: {name!r} is no name; expected letters, digits, _ or -")
        if (arrays is None) == (source is None):
            raise ConfigError("arrays, source: expected exactly one, found both or none")
        known = [task.name for task in tasks]
        if candidates.keys() != set(known):
            raise ConfigError(f"candidates: found {sorted(candidates)}, expected those of {known}")
        if odd := sorted(validity.keys() - set(known)):
            raise ConfigError(f"validity: found {odd[0]!r}, expected some of {known}")
        made = Arrays(_checked(arrays)) if source is None and arrays is not None else source
        assert made is not None
        with allowing(allow):
            seen = {name for judge in validity.values() for name in judge.get("inputs", ())}
            own = dict(fields or {})
            chosen = own | _usual_fields(made, tasks, candidates, seen, own)
            if stratify is None:
                classes = [one.target for one in tasks if _is_classification(one)]
                stratify = classes[-1] if classes else None
            data = {
                "events": events,
                "split_seed": split_seed,
                "fractions": dict(fractions),
                "stratify": stratify,
                "source": node_of(made, key="source"),
                "fields": {key: node_of(one, key=f"fields.{key}") for key, one in chosen.items()},
            }
            nodes = {
                "problem": {
                    "name": name,
                    "chain": known,
                    **({"reference_chain": list(reference)} if reference else {}),
                },
                "data": data,
                "tasks": {
                    task.name: _task(task, candidates[task.name])
                    | ({"validity": _judge(judge)} if (judge := validity.get(task.name)) else {})
                    for task in tasks
                },
                "task_weights": dict.fromkeys(known),
                "allow": list(allow),
            }
        super().__init__(words=["~problem"], values={}, nodes=nodes)


def _judge(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a task's validity judge: as in conf/, but it judges the target itself."""
    usual: Any = OmegaConf.to_container(OmegaConf.load(CONF / "validity" / "gaussian_process.yaml"))
    own = {"residual_of": None, "latents": len(settings.get("variables", ()))}
    return {**usual, **own, **settings}


def _task(task: Task, candidates: Mapping[str, Maker]) -> dict[str, Any]:
    key = f"tasks.{task.name}"
    if task.field is not None:
        raise ConfigError(f"{key}.field: given by the run itself; fields={{{task.target!r}: ...}}")
    return {
        "inputs": list(task.inputs),
        "target": task.target,
        "output": node_of(task.output, key=f"{key}.output"),
        "loss": None if task.loss is None else node_of(task.loss, key=f"{key}.loss"),
        **({} if task.counts is None else {"counts": task.counts}),
        "metrics": {
            name: node_of(one, key=f"{key}.metrics.{name}") for name, one in task.metrics.items()
        },
        "candidates": {
            name: node_of(one, key=f"{key}.candidates.{name}") for name, one in candidates.items()
        },
    }


def node_of(value: Any, *, key: str) -> dict[str, Any]:
    """The node of an object: name and arguments if these may be read back, else its hash."""
    if isinstance(value, Part):
        if is_allowed(type(value).__module__):
            with suppress(ConfigError):  # an argument that is neither plain nor a part
                return value.settings()
    elif not callable(value):
        raise ConfigError(f"{key}: found a {type(value).__name__}, expected a part or a module")
    elif (named := _named(value)) is not None:
        return named
    return give(value)


def _named(value: Any) -> dict[str, Any] | None:
    """The node of an allowed class, of a partial of a class, or of its object; None for others."""
    kind, arguments = value, {}
    if isinstance(value, partial) and not value.args:
        kind, arguments = value.func, value.keywords
    elif not isclass(value) and is_allowed(type(value).__module__):
        for told in (_told(value), {}):
            with suppress(Exception):  # a constructor may raise anything for wrong arguments
                if same(value, type(value)(**told)):
                    kind, arguments = type(value), told
    if not isclass(kind) or not is_allowed(kind.__module__):
        return None
    with suppress(ConfigError):
        return {"_target_": public_name(kind), **settings_of(arguments, key=kind.__name__)}
    return None


def _told(value: Any) -> dict[str, Any]:
    """Constructor arguments that an object keeps under their names and that are no defaults."""
    return {
        name: found
        for name, one in signature(type(value)).parameters.items()
        if isinstance(found := getattr(value, name, None), bool | int | float | str)
        and found != one.default
    }


def _checked(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = {name: np.asarray(value) for name, value in arrays.items()}
    for name, value in found.items():
        if not is_name(name) or value.ndim == 0 or value.dtype.kind not in "fiub":
            raise DataError(
                f"arrays: {name!r}: found type {value.dtype} of shape {list(value.shape)}, "
                "expected numbers of shape [event, ...]"
            )
    return found


def _is_classification(task: Task) -> bool:
    from msnas.chain.output import Binary, Classes

    return isinstance(task.output, Binary | Classes)


def _usual_fields(
    source: Source,
    tasks: Sequence[Task],
    candidates: Mapping[str, Mapping[str, Maker]],
    seen: Collection[str],
    known: Collection[str],
) -> dict[str, Field]:
    """Fields of the arrays that a task or candidate reads or is to find, or a judge has `seen`.

    But for those that are `known`.
    """
    from msnas.data.fields import ClassLabel, Numbers

    outputs = {task.target for task in tasks}
    labels = {task.target for task in tasks if _is_classification(task)}
    own = (getattr(one, "reads", None) for named in candidates.values() for one in named.values())
    wanted = {name for names in own for name in names or ()}.union(seen)
    wanted = wanted.union(*(task.inputs for task in tasks)) - outputs
    wanted = wanted.union(*(task.truths for task in tasks if task.supervised)).difference(known)
    if not wanted:
        return {}
    raw = source.load(sorted(wanted))
    if missing := sorted(wanted - raw.keys()):
        raise DataError(f"arrays: missing {missing[0]!r}, found {sorted(raw)}")
    found: dict[str, Field] = {}
    for name in sorted(wanted):
        shape = raw[name].shape[1:]
        if name in labels and len(raw[name]):
            found[name] = ClassLabel(classes=int(raw[name].max()) + 1, shape=list(shape))
        else:
            found[name] = Numbers(shape=list(shape))
    return found
