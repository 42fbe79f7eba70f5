"""The answer on top of the page: which chain is selected, how sure, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.plots.against import number_of_runs
from msnas.report.tables import (
    INTERVAL,
    NamedTable,
    differences_table,
    methods_table,
    weights_of,
)
from msnas.results.choice import Choice, choices_over_seeds
from msnas.results.constrained import Recommended
from msnas.results.quantity import number_of
from msnas.results.result import TASK_WEIGHT, Result
from msnas.results.runs import Runs
from msnas.results.statistics import FEWEST_SEEDS, median_of
from msnas.terminal import CHAIN, told

Lines = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """The runs of the answer, alike but for the seed; why they were taken; their tables."""

    label: str
    runs: Sequence[Result]
    why: str
    tables: Mapping[str, NamedTable]

    @property
    def told(self) -> str:
        return self.label + (", one training (YOTO)" if self.runs[0].conditioned else "")

    @property
    def weights(self) -> Mapping[str, float]:
        return weights_of(self.runs[0])


def answer(
    runs: Runs, recommended: Sequence[Recommended], tables: Mapping[str, NamedTable]
) -> Lines:
    """Pairs of a term and a sentence about it; none without a finished run.

    Method and task weights are chosen on validation events alone, so the test numbers have no
    influence on the choice. `tables` are the tables of the report by their names.
    """
    if not runs.finished:
        return []
    taken = _taken(runs, recommended, tables)
    choice = _choice(taken)
    votes = Counter(run.chain for run in taken.runs)
    ((voted, count),) = votes.most_common(1)
    chain = voted
    if choice is not None:
        tied = [CHAIN.join(choice.paths[one]) for one in choice.sure.order][: choice.sure.tied]
        chain = tied[0] if len(tied) == 1 else f"one of {len(tied)} that are tied: {_all(tied)}"
    said = [] if choice is None else choice.words()
    if len(taken.runs) > 1 or choice is None:
        said.append(f"{count} of {number_of_runs(len(taken.runs))} selected {voted}.")
    told_weights = [f"{name} = {value:g}" for name, value in taken.weights.items()]
    return [
        ("Selected chain", chain),
        ("How sure", " ".join(said)),
        ("Taken from", f"{', '.join([taken.told, *told_weights])}: {taken.why}"),
        *(("Test number", one) for one in _test_numbers(taken)),
        ("Against the reference", _against(taken, runs)),
        ("What to do next", _next(runs, taken, choice)),
    ]


def _taken(
    runs: Runs, recommended: Sequence[Recommended], tables: Mapping[str, NamedTable]
) -> _Taken:
    """The runs at the best recommended v1; else the runs with the best validation median."""
    labels = _labels(runs)
    last = runs.quantities.last
    sign = -1.0 if last is None else last.sign
    for one in sorted(recommended, key=lambda one: -sign * _value(one)):
        own = [run for run in one.runs if run.v1 is not None and round(run.v1, 9) == one.v1]
        if own or (one.v1 is not None and one.runs[0].conditioned):
            share = next(row.share for row in one.candidates if row.v1 == one.v1)
            why = (
                f"v1 = {one.v1:g} has the best {one.quantity} on validation events among those "
                f"with honest intermediate outputs (chosen by {100 * share:.0f} % of resamplings)."
            )
            if own:
                return _Taken(label=labels[id(own[0])], runs=own, why=why, tables=tables)
            return _at_condition(runs, one, why)
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for run in runs.finished:
        groups.setdefault((labels[id(run)], *weights_of(run).values()), []).append(run)
    name = "loss" if last is None else last.name
    medians = {
        key: median_of(known).median
        for key, ones in groups.items()
        if (known := [value for run in ones if (value := number_of(run.valid, name)) is not None])
    }
    key = max(medians, key=lambda key: sign * medians[key]) if medians else next(iter(groups))
    label = "loss" if last is None else last.label
    words = "methods" if len(key) == 1 else "combinations of method and task weights"
    why = f"the best median {label} on validation events among {len(groups)} {words}."
    why = why if len(groups) > 1 else "all runs."
    return _Taken(label=key[0], runs=groups[key], why=why, tables=tables)


def _at_condition(runs: Runs, one: Recommended, why: str) -> _Taken:
    """The numbers that runs trained once for all v1 have at the recommended one."""
    made = {
        run: run.at(condition)
        for run in runs.finished
        for condition in run.along(TASK_WEIGHT)
        if round(condition["parameters"][TASK_WEIGHT], 9) == one.v1
    }
    there = Runs([*made.values()])
    own = [made[run] for run in one.runs]
    tables = {table.name: table for table in (methods_table(there), differences_table(there))}
    return _Taken(label=_labels(there)[id(own[0])], runs=own, why=why, tables=tables)


def _labels(runs: Runs) -> dict[int, str]:
    return dict(zip(map(id, runs.finished), runs.wide["label"], strict=True))


def _value(one: Recommended) -> float:
    return next((row.value for row in one.candidates if row.v1 == one.v1), float("nan"))


def _choice(taken: _Taken) -> Choice | None:
    """The choice among chains by all seeds together; for a single run its own choice."""
    found = choices_over_seeds(taken.runs)
    return found[0] if found else Choice.of(taken.runs[0]) if len(taken.runs) == 1 else None


def _row(taken: _Taken, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    same = {"method": taken.label, **taken.weights}
    return [row for row in rows if all(row[name] == value for name, value in same.items())]


def _test_numbers(taken: _Taken) -> list[str]:
    """A text for each quantity: test number, interval over seeds, error due to the test events."""
    found, methods = [], taken.tables["methods"]
    (row,) = _row(taken, methods.table.to_dict("records"))
    for name, (how, _) in methods.numbers.items():
        if how == "rounded" and f"{name}, {INTERVAL}" in methods.numbers and name in row:
            error, interval = row.get(f"{name}, test error"), row.get(f"{name}, {INTERVAL}")
            over = f"{INTERVAL} over {row['runs']} seeds: {interval}"
            if not isinstance(interval, str):
                over = f"no interval over seeds below {FEWEST_SEEDS} of them, here {row['runs']}"
            test = "" if error is None or error != error else f"; ± {error:.2g} from test events"
            found.append(f"{name}: {told(row[name])} ({over}{test})")
    return found


def _against(taken: _Taken, runs: Runs) -> str:
    """The last task's difference to the reference, with both errors."""
    last, differences = runs.quantities.last, taken.tables.get("differences")
    rows = [] if differences is None else differences.table.to_dict("records")
    if any(row["reference"] == taken.label for row in rows):
        return f"{taken.label} is what the other methods are compared with."
    for row in _row(taken, rows):
        if last is not None and row["quantity"] == last.axis:
            interval = row.get(INTERVAL)
            over = f"; {INTERVAL}: {interval}" if isinstance(interval, str) else ""
            error = row.get("test error")
            test = f"; ± {error:.2g} from test events" if error is not None else ""
            return (
                f"{last.axis} {row['median difference']:+.3g} to {row['reference']} in the median "
                f"of {row['pairs']} pairs of the same seed ({row['ahead']} ahead{over}{test})."
            )
    return "not known: no other method has runs with the same seeds, task weights and settings."


def _next(runs: Runs, taken: _Taken, choice: Choice | None) -> str:
    """The most useful next step, in a sentence."""
    seeds = len({run.seed for run in taken.runs})
    if runs.others:
        left = f"{number_of_runs(len(runs.others))} {'has' if len(runs.others) == 1 else 'have'}"
        return f"{left} no result: the command of the scan goes on with them."
    if seeds < FEWEST_SEEDS:
        return f"Train {FEWEST_SEEDS} seeds or more (here {seeds}): what seeds change is not known."
    weights = {tuple(run.weights) for run in runs.finished}
    if len(taken.weights) and len(weights) == 1 and not taken.runs[0].conditioned:
        return "Scan the task weights (task_weight=..., or conditioning=yoto): only one was tried."
    if choice is not None and not choice.sure.decided:
        if enough := choice.sure.enough_seeds:
            decide = f"Train about {enough} seeds to decide between the tied chains"
        elif choice.sure.enough_events:
            decide = "Judge the tied chains by more events (data.events, data.folds)"
        else:
            decide = "Train more seeds on more events to decide between the tied chains"
        return f"{decide}, or take the smallest of them (selection=parsimonious)."
    return "Train the selected chain for use (refit=all), and export it (python -m msnas.export)."


def _all(names: Sequence[str], most: int = 8) -> str:
    """At most `most` names, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
