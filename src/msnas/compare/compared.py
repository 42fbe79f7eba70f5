"""Compares the runs of a group: searches against tables of all chains, and test metrics.

Imports PyTorch only where trained chains are applied to the test events again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.compare.groups import Group, first_of
from msnas.errors import MsnasError
from msnas.results.quality import (
    TABLE_METHOD,
    Path,
    agreement,
    agreement_of_seeds,
    missing_chains,
)
from msnas.results.records import is_number
from msnas.results.statistics import paired

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A group with its rows of results: for their columns see `agreement` and `_performance`."""

    group: Group
    agreement: Sequence[Row]
    performance: Sequence[Row]
    notes: Sequence[str]


def compare_group(group: Group, *, reference: str, confidence: float) -> Compared:
    """All comparisons within a group; notes name the comparisons that are not possible."""
    ranked, notes = rankings(group, confidence=confidence)
    performance, more = _performance(group, reference=reference, confidence=confidence)
    return Compared(group=group, agreement=ranked, performance=performance, notes=[*notes, *more])


def rankings(group: Group, *, confidence: float) -> tuple[list[Row], list[str]]:
    """Rows of rank agreement, regret and hits of every method but grid search; and notes."""
    tables, notes = _tables(group)
    rows = []
    for label, runs in group.runs.items():
        if label in group.labels_of(TABLE_METHOD):
            continue
        if missing := [str(seed) for seed in runs if seed not in tables]:
            notes.append(f"{label}: no {TABLE_METHOD} run of seeds {', '.join(missing)}")
        rows += agreement(label, runs, tables, confidence=confidence)
    return [*rows, *agreement_of_seeds(tables, rows, confidence=confidence)] if rows else [], notes


def _tables(group: Group) -> tuple[dict[int, Mapping[Path, Mapping[str, float]]], list[str]]:
    """Grid search's complete table of each seed, the first of several; and notes on others."""
    tables: dict[int, Mapping[Path, Mapping[str, float]]] = {}
    notes = []
    for label in group.labels_of(TABLE_METHOD):
        for seed, run in group.runs[label].items():
            table = run.search_table()
            if missing := missing_chains(run):
                notes.append(
                    f"{label}, seed {seed}: holds {len(table)} of {len(table) + missing} chains, "
                    f"left out ({run.directory})"
                )
            else:
                tables.setdefault(seed, table)
    return tables, notes


def _performance(group: Group, *, reference: str, confidence: float) -> tuple[list[Row], list[str]]:
    """The differences of every other method's runs to the reference's; and notes for the user.

    A row for each method and test metric: method, reference, quantity, better (the direction), the
    entries of `Estimate.row` for the differences at seeds that both have, method_mean,
    reference_mean, and test_error where it is known.
    """
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
            first, second = (
                [float(group.runs[one][seed].test[name]) for seed in seeds]
                for one in (other, label)
            )
            found = paired(
                first, second, confidence=confidence, event_error=errors.get((other, name))
            )
            row = {
                "method": other,
                "reference": label,
                "quantity": name,
                "better": "higher" if higher else "lower",
                **found.mean.row(seeds, found.values),
                "method_mean": found.first_mean,
                "reference_mean": found.second_mean,
                "test_error": found.event_error,
            }
            rows.append({key: value for key, value in row.items() if value is not None})
    return rows, notes


def find_reference(group: Group, reference: str) -> tuple[str | None, list[str]]:
    """The label of `reference` (a label, or a method with a single label), or None; and notes."""
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
    """The tasks' metrics and the last task's loss, each with whether higher is better."""
    run = group.first
    found = {**run.directed(), f"{run.tasks[-1]}/loss": False}
    runs = [one for by_seed in group.runs.values() for one in by_seed.values()]
    return {
        name: higher
        for name, higher in found.items()
        if all(is_number(one.test.get(name)) for one in runs)
    }


def _test_errors(
    group: Group, label: str, pairs: dict[str, list[int]], quantities: list[str]
) -> tuple[dict[tuple[str, str], float], str]:
    """Standard errors by method and quantity, and why some are missing ("" if all are there)."""
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
