"""Outputs of a run's chain for the test events: its outputs.h5 read back. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from msnas.data.checks import finite
from msnas.data.hdf5 import Content, read_hdf5
from msnas.errors import DataError
from msnas.results.result import Result
from msnas.run_directory import OUTPUTS as NAME

BINARY = "msnas.chain.output.Binary"
MOMENTUM = "msnas.chain.output.TauMomentum"
JET = "msnas.data.fields.JetMomentum"
"""Classes, as in the setting `_target_`, that say what an array holds."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Test events of one run in the user's units: small inputs, and each task's output and truth.

    All arrays are [event, ...]; `weight` is [event], ones if the data have no weights. `counts` has
    tasks for which not every object of an event counts: 1 or 0, [event, object].
    """

    run: Result
    inputs: Mapping[str, np.ndarray]
    output: Mapping[str, np.ndarray]
    target: Mapping[str, np.ndarray]
    weight: Float[np.ndarray, " event"]
    counts: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Momenta:
    """Jets before and after their calibration, each [event, particle, component].

    `jet` is (pT [GeV], eta, phi, m [GeV]), `output` and `true` are (pT [GeV], eta, phi).
    """

    jet: Float[np.ndarray, "event particle 4"]
    output: Float[np.ndarray, "event particle 3"]
    true: Float[np.ndarray, "event particle 3"]

    def only(self, counts: np.ndarray | None) -> Momenta:
        """The particles with non-zero `counts` [event, particle], each as an event of its own.

        All momenta as they are for None. Raises DataError if the shapes do not fit.
        """
        if counts is None:
            return self
        if counts.shape != self.jet.shape[:2] or not (chosen := counts != 0).any():
            raise DataError(
                f"{NAME}: counts: expected some of {list(self.jet.shape[:2])} particles"
            )
        rows = (one[chosen][:, None] for one in (self.jet, self.output, self.true))
        return Momenta(**dict(zip(("jet", "output", "true"), rows, strict=True)))


def read_own(run: Result, name: str, arrays: Sequence[str], *attributes: str) -> Content:
    """Arrays of a run's file; raise DataError if it is absent, damaged or from another run."""
    path = run.directory / name
    if not path.is_file():
        raise DataError(f"no {name}: written by an earlier version; force=true makes it")
    if damage := run.damage(name):
        raise DataError(damage)
    content = read_hdf5(path, arrays, where=name, attributes=["key", *attributes])
    if (key := content.attributes.get("key", "unknown")) != run.key:
        raise DataError(f"{name} is of run {key}, expected {run.key}")
    return content


def read_outputs(run: Result, *, only: Collection[str] | None = None) -> Outputs:
    """Read a run's outputs.h5; raise DataError if it is absent, unreadable or does not fit.

    Of the tasks `only`, if given, their outputs and truth alone, and the output of the last task.
    """
    inputs, outputs, targets, counts = _names(run)
    if only is not None:
        inputs, counts = {}, {}
        targets = {name: task for name, task in targets.items() if task in only}
        outputs = {name: task for name, task in outputs.items() if task in (*only, run.tasks[-1])}
    content = read_own(run, NAME, [*inputs, *outputs, *targets, *counts, "weight"])
    if missing := [task for name, task in outputs.items() if name not in content.arrays]:
        raise DataError(f"{NAME}: no output of {', '.join(missing)}")
    for name, values in content.arrays.items():
        if not values.size:
            raise DataError(f"{NAME}: {name} holds no event")
        if not values.ndim:
            raise DataError(f"{NAME}: {name} is a single number, expected some for each event")
        if not finite(values).all():
            raise DataError(f"{NAME}: {name} holds NaN or infinity")
    count = len(content.arrays[f"{run.tasks[-1]}/output"])
    for name, values in content.arrays.items():
        if len(values) != count:
            raise DataError(f"{NAME}: {name} has {len(values)} events, expected {count}")
    weight = content.arrays.get("weight", np.ones(count)).astype(float)
    if weight.ndim != 1 or not weight.sum() > 0:
        raise DataError(f"{NAME}: weight: expected shape [event] and a sum above 0")

    def of(names: Mapping[str, str]) -> dict[str, np.ndarray]:
        there = content.arrays
        return {short: there[name] for name, short in names.items() if name in there}

    return Outputs(
        run=run,
        inputs=of(inputs),
        output=of(outputs),
        target=of(targets),
        weight=weight,
        counts=of(counts),
    )


def names_of(run: Result) -> list[str]:
    """The data sets that a run's outputs.h5 may have."""
    return [*(name for names in _names(run) for name in names), "weight"]


def _names(run: Result) -> list[dict[str, str]]:
    """Data sets of inputs, outputs, targets and counts, each mapped to its field or task."""
    fields = run.config["data"].get("fields", {})
    kinds = ("output", "target", "counts")
    of_tasks = [{f"{task}/{kind}": task for task in run.tasks} for kind in kinds]
    return [{f"inputs/{name}": name for name in fields}, *of_tasks]


def last_task_with(run: Result, kind: str) -> str | None:
    """The last task with a loss whose output is of the class `kind`, such as `BINARY`.

    A `BINARY` output counts if it classifies the event, not several objects in it.
    """
    tasks = run.config["tasks"]
    found = [
        task
        for task in run.tasks
        if (output := tasks[task].get("output", {})).get("_target_") == kind
        and tasks[task].get("loss")
        and not (kind == BINARY and output.get("shape"))
    ]
    return found[-1] if found else None


def jet_field(run: Result) -> str | None:
    """The field with the jets' momenta, if the data have one."""
    fields = run.config["data"].get("fields", {})
    return next((name for name, one in fields.items() if one.get("_target_") == JET), None)


def binary_of(outputs: Outputs, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Probability of class 1 and class (0 or 1) of every event, each [event].

    Raises DataError for other shapes or classes, and if a class has no event or no weight.
    """
    score = outputs.output[task]
    label = outputs.target.get(task)
    if label is None or score.ndim != 1 or label.shape != score.shape:
        raise DataError(f"{NAME}: {task}: expected output and target of shape [event]")
    if (values := np.unique(label)).tolist() != [0, 1]:
        raise DataError(f"{NAME}: {task}: found classes {values[:5].tolist()}, expected [0, 1]")
    for one in (0, 1):
        if not (total := outputs.weight[label == one].sum()) > 0:
            raise DataError(f"{NAME}: {task}: class {one} weighs {total:g}, expected > 0")
    return score.astype(float), label.astype(int)


def momenta_of(outputs: Outputs, task: str, jet: str) -> Momenta:
    """Momenta of every event; for one particle per event, the particle's axis may be absent.

    Raises DataError if the shapes do not fit.
    """
    arrays = (outputs.inputs.get(jet), outputs.output[task], outputs.target.get(task))
    found = []
    for name, values, size in zip(
        (f"inputs/{jet}", f"{task}/output", f"{task}/target"), arrays, (4, 3, 3), strict=True
    ):
        if values is None:
            raise DataError(f"{NAME}: no {name}")
        if values.ndim not in (2, 3) or values.shape[-1] != size:
            raise DataError(
                f"{NAME}: {name}: shape {list(values.shape)}, expected [event, particle, {size}]"
            )
        found.append(values.astype(float).reshape(len(values), -1, size))
    before, after, true = found
    if not before.shape[1] == after.shape[1] == true.shape[1]:
        raise DataError(
            f"{NAME}: {before.shape[1]} jets, {after.shape[1]} outputs and {true.shape[1]} truths "
            "an event, expected as many of each"
        )
    return Momenta(jet=before, output=after, true=true)
