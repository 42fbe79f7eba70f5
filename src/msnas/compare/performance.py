"""Test metrics of a group's methods against those of a reference, paired by seed and test event.

Imports PyTorch only where trained chains are applied to the test events again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from msnas.compare.groups import Group, first_of
from msnas.compare.rankings import metrics_with_direction
from msnas.errors import MsnasError
from msnas.results.statistics import Estimate, mean_estimate


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A test metric of `method` minus that of `reference`, for every seed both have.

    `test_error` is the standard error of the mean difference that comes from the choice of test
    events alone, the trained chains given; None where it could not be had.
    """

    method: str
    reference: str
    quantity: str
    higher_is_better: bool
    seeds: Sequence[int]
    values: Sequence[float]
    estimate: Estimate
    method_mean: float
    reference_mean: float
    test_error: float | None


def compare_performance(
    group: Group, *, reference: str, confidence: float
) -> tuple[list[Difference], list[str]]:
    """The differences of every other method's runs to the reference's; and notes for the user."""
    label, notes = find_reference(group, reference)
    if label is None:
        return [], notes
    pairs = {
        other: [seed for seed in runs if seed in group.runs[label]]
        for other, runs in group.runs.items()
        if other != label
    }
    pairs = {other: seeds for other, seeds in pairs.items() if seeds}
    if not pairs:
        return [], notes
    quantities = _quantities(group)
    errors, reason = _test_errors(group, label, pairs, list(quantities))
    if reason:
        notes.append(f"no test error: {reason}")
    rows = []
    for other, seeds in pairs.items():
        for name, higher in quantities.items():
            numbers = [
                [group.runs[one][seed].result["metrics"]["test"][name] for seed in seeds]
                for one in (other, label)
            ]
            values = [mine - its for mine, its in zip(*numbers, strict=True)]
            rows.append(
                Difference(
                    method=other,
                    reference=label,
                    quantity=name,
                    higher_is_better=higher,
                    seeds=seeds,
                    values=values,
                    estimate=mean_estimate(values, confidence=confidence),
                    method_mean=math.fsum(numbers[0]) / len(seeds),
                    reference_mean=math.fsum(numbers[1]) / len(seeds),
                    test_error=errors.get((other, name)),
                )
            )
    return rows, notes


def find_reference(group: Group, reference: str) -> tuple[str | None, list[str]]:
    """The label that `reference` (a label, or a method with one label) means, if there is one."""
    if reference in group.runs:
        return reference, []
    labels = group.labels_of(reference.split(" ")[0])
    if len(labels) == 1:
        return labels[0], []
    if labels:
        options = " or ".join(f"reference={label!r}" for label in labels)
        return None, [f"test metrics not compared: {reference} has several settings; {options}"]
    return None, [f"test metrics not compared: no run of {reference}"]


def _quantities(group: Group) -> dict[str, bool]:
    """What is compared, with its direction: the tasks' metrics and the last task's loss."""
    run = group.first
    *_, last = run.tasks
    found = {**metrics_with_direction(run, run.tasks), f"{last}/loss": False}
    runs = [one for by_seed in group.runs.values() for one in by_seed.values()]
    return {
        name: higher
        for name, higher in found.items()
        if all(isinstance(one.result["metrics"]["test"].get(name), int | float) for one in runs)
    }


def _test_errors(
    group: Group, label: str, pairs: dict[str, list[int]], quantities: list[str]
) -> tuple[dict[tuple[str, str], float], str]:
    """Standard errors by method and quantity, and why some are missing ("" if none is)."""
    from msnas.compare.shared_events import SharedTestEvents

    errors: dict[tuple[str, str], float] = {}
    try:
        sample = SharedTestEvents(first_of(group.runs[label]))
    except MsnasError as error:
        return {}, str(error)
    reasons = []
    for other, seeds in pairs.items():
        try:
            first = [sample.outputs(group.runs[other][seed], quantities) for seed in seeds]
            second = [sample.outputs(group.runs[label][seed], quantities) for seed in seeds]
        except MsnasError as error:
            reasons.append(f"{other}: {error}")
            continue
        for name in quantities:
            errors[other, name] = sample.error_of_difference(name, first, second)
    return errors, "; ".join(reasons)
