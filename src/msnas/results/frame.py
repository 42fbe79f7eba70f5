"""Runs as tables: the tidy one, and one row per run or per condition. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from msnas.results.alike import column, differing, labels, settings_of
from msnas.results.records import numbers_of
from msnas.results.result import TASK_WEIGHT, Result

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("key", "problem", "method", "label", "seed", "split_seed", "v1", "chain")
"""The first columns of every table, in this order."""


def tidy_frame(runs: Sequence[Result]) -> pd.DataFrame:
    """A row for every run, condition, part of the data, and quantity.

    | column | meaning |
    |---|---|
    | key, problem, method, label, seed, split_seed, chain | which run; label: see `alike.labels` |
    | v1 | weight of the first task, of the condition |
    | weighting, pretrained | how tasks are weighted; whether candidates were pre-trained |
    | run, condition | its place among `runs`; 0 its own numbers, 1, 2 ... those of its conditions |
    | parameter/<name> | value of a conditioned run's parameter |
    | part, quantity, value | `valid` or `test`; such as `higgs_id/auc`; the number |
    """
    import pandas as pd  # half a second: only for a table

    rows: list[dict[str, Any]] = []
    for place, (run, label) in enumerate(zip(runs, _labels(runs), strict=True)):
        fixed = {
            **_identity(run),
            "label": label,
            "weighting": run.weighting,
            "pretrained": run.pretrained,
            "run": place,
        }
        for condition, (parameters, numbers) in enumerate(_points(run)):
            own = {**fixed, "condition": condition, **_parameters(parameters)}
            own["v1"] = _first_weight(run, parameters)
            rows += [
                {
                    **own,
                    **dict(zip(("part", "quantity"), name.split("/", 1), strict=True)),
                    "value": one,
                }
                for name, one in numbers.items()
            ]
    last = ["part", "quantity", "value"]
    names = dict.fromkeys(name for row in rows for name in row)
    middle = [name for name in names if name not in (*FIRST, *last)]
    return pd.DataFrame(rows, columns=[*FIRST, *middle, *last])


def wide_frame(runs: Sequence[Result]) -> pd.DataFrame:
    """One row per run, in their order; what a run does not have is missing in its row.

    | column | meaning |
    |---|---|
    | key, directory, problem, method, seed, split_seed | which run |
    | data | tells events apart |
    | label | method, and the settings in which runs of the same problem and method differ |
    | v1, weight/<task> | weight of the first task, of each task |
    | chain, selected/<task> | the selected candidates, `cnn-lstm` and one by one |
    | valid/..., test/... | numbers of the selected chain |
    | seconds/<stage>, seconds/total | time of training, also of what came from the cache |
    | seconds/this_run | time spent in the run itself |
    | epochs/<stage>, parameters, events | size |
    | pretrained | whether its candidates were pre-trained |
    | versions/<package> | software |
    | set/<key> | every setting that differs between runs of the same problem |
    """
    import pandas as pd  # half a second: only for a table

    rows = [{**_row(run), "label": label} for run, label in zip(runs, _labels(runs), strict=True)]
    for places in _problems(runs):
        settings = [settings_of(runs[place]) for place in places]
        for key in differing(settings):
            for place, value in zip(places, column(key, settings), strict=True):
                if value is not None:
                    rows[place][f"set/{key}"] = value
    table = pd.DataFrame(rows, columns=_order(rows))
    for name in table.columns:
        if name.startswith("set/"):
            table[name] = _one_type(table[name])
    return table


def conditions_frame(runs: Sequence[Result], wide: pd.DataFrame) -> pd.DataFrame:
    """One row per run and condition, for runs trained once for a range of parameters.

    Columns as in `wide_frame`, but for label, v1, weights and numbers, which are the condition's,
    and `parameter/<name>`. Empty, with the columns of the `wide` one, if no run has conditions: at
    least two of them, as one says no more than the run's own numbers.
    """
    import pandas as pd  # half a second: only for a table

    several = [run for run in runs if len(run.conditions) > 1]
    if not several:
        return wide.iloc[:0]
    told = labels(several, without=["conditioning"])
    rows = []
    for run, label, row in zip(several, told, wide_frame(several).to_dict("records"), strict=True):
        fixed = {
            name: value
            for name, value in row.items()
            if not name.startswith(("valid/", "test/", "weight/"))
        }
        for parameters, numbers in _points(run)[1:]:
            others = "".join(
                f" {name}={value:g}" for name, value in parameters.items() if name != TASK_WEIGHT
            )
            rows.append(
                {
                    **fixed,
                    "label": f"{label}, one training (YOTO){others}",
                    "v1": _first_weight(run, parameters),
                    **_weights(run.weights_at(parameters)),
                    **_parameters(parameters),
                    **numbers,
                }
            )
    return pd.DataFrame(rows)


def _points(run: Result) -> list[tuple[Mapping[str, float], dict[str, float]]]:
    """Parameters and numbers, `valid/...` and `test/...`: of the run, then of each condition."""
    points: list[tuple[Mapping[str, float], Mapping[str, Any]]] = [
        (run.point or {}, {"valid": run.valid, "test": run.test}),
        *((one["parameters"], one) for one in run.conditions),
    ]
    return [
        (
            parameters,
            {
                name: float(value)
                for part in ("valid", "test")
                for name, value in numbers_of(values.get(part, {}), f"{part}/").items()
            },
        )
        for parameters, values in points
    ]


def _first_weight(run: Result, parameters: Mapping[str, float]) -> float | None:
    """The weight of the first task that has one, at a condition."""
    return run.weights_at(parameters)[run.supervised[0]] if run.supervised else None


def _weights(weights: Mapping[str, float]) -> dict[str, float]:
    return {f"weight/{task}": weight for task, weight in weights.items()}


def _parameters(parameters: Mapping[str, float]) -> dict[str, float]:
    return {f"parameter/{name}": value for name, value in parameters.items()}


def _problems(runs: Sequence[Result]) -> list[list[int]]:
    """The places of the runs of each problem."""
    found: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        found.setdefault(run.problem, []).append(place)
    return list(found.values())


def _labels(runs: Sequence[Result]) -> list[str]:
    """A label for each run, apart from others of the same problem."""
    found = [""] * len(runs)
    for places in _problems(runs):
        for place, label in zip(places, labels([runs[one] for one in places]), strict=True):
            found[place] = label
    return found


def _identity(run: Result) -> dict[str, Any]:
    return {
        "key": run.key,
        "problem": run.problem,
        "method": run.method,
        "seed": run.seed,
        "split_seed": run.config["data"].get("split_seed"),
        "chain": run.chain,
    }


def _row(run: Result) -> dict[str, Any]:
    seconds = run.seconds
    return {
        **_identity(run),
        "directory": str(run.directory),
        "data": settings_of(run)["data.content"],
        "v1": run.v1,
        **_weights(run.task_weights),
        **{f"selected/{task}": name for task, name in zip(run.tasks, run.path, strict=True)},
        **_points(run)[0][1],
        **{f"seconds/{name}": value for name, value in seconds.items()},
        **(
            {"seconds/total": sum(seconds.values()), "seconds/this_run": run.seconds_here}
            if seconds
            else {}
        ),
        **{
            f"epochs/{name}": sum(stage["epochs"].values())
            for name, stage in run.stages.items()
            if stage.get("epochs")
        },
        "parameters": run.parameters,
        "events": run.data.get("events"),
        "pretrained": run.pretrained,
        **{f"versions/{name}": version for name, version in run.versions.items()},
    }


def _order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All columns: `FIRST`, then in groups as a row has them, settings and `directory` last."""
    names = dict.fromkeys(name for row in rows for name in row)
    groups = list(dict.fromkeys(name.split("/")[0] for name in names if "/" in name))
    last = [name for name in groups if name in ("set", "versions")]
    groups = [name for name in groups if name not in last] + last
    grouped = [name for group in groups for name in names if name.startswith(f"{group}/")]
    plain = [name for name in names if "/" not in name and name not in (*FIRST, "directory")]
    return [*FIRST, *plain, *grouped, "directory"]


def _one_type(values: pd.Series) -> pd.Series:
    """Numbers or truth values as they are, anything mixed as text (a file has typed columns)."""
    import pandas as pd  # half a second: only for a table

    kinds = {
        bool if isinstance(value, bool) else float if isinstance(value, Real) else str
        for value in values.dropna()
    }
    if kinds <= {float}:
        return pd.to_numeric(values)
    return values.astype("boolean") if kinds == {bool} else values.map(str, "ignore").astype("str")
