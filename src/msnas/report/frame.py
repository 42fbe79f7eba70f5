"""Runs as a table: one row per run, or per condition a run was evaluated at. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import pandas as pd

from msnas.report.collect import FinishedRun
from msnas.report.settings import differing, labels, settings_of

FIRST = ("key", "problem", "method", "label", "seed", "split_seed", "v1", "chain")
"""The first columns, in this order."""


def frame_of(runs: Sequence[FinishedRun]) -> pd.DataFrame:
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
    settings = [settings_of(run) for run in runs]
    rows = [_row(run) for run in runs]
    for problem in dict.fromkeys(str(run.result["problem"]) for run in runs):
        places = [place for place, run in enumerate(runs) if run.result["problem"] == problem]
        own = [settings[place] for place in places]
        told = labels([runs[place].method for place in places], own)
        keys = differing(own)
        for place, label in zip(places, told, strict=True):
            rows[place]["label"] = label
            rows[place] |= {
                f"set/{key}": settings[place][key] for key in keys if key in settings[place]
            }
    table = pd.DataFrame(rows, columns=_order(rows))
    for name in table.columns:
        if name.startswith("set/"):
            table[name] = _one_type(table[name])
    return table


def conditions_frame(runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """One row per run and condition, for runs trained once for a range of parameters.

    Columns as in `frame_of`, but for label, v1, weights and numbers, which are the condition's, and
    `parameter/<name>`. Empty, with the columns of `frame_of`, if no run has conditions: at least
    two of them, as one says no more than the run's own numbers.
    """
    several = [run for run in runs if len(run.result.get("conditions") or []) > 1]
    if not several:
        return frame_of(runs).iloc[:0]
    told = labels(
        [run.method for run in several],
        [settings_of(run) for run in several],
        without=["conditioning"],
    )
    rows = []
    for run, label, row in zip(several, told, frame_of(several).to_dict("records"), strict=True):
        fixed = {
            name: value
            for name, value in row.items()
            if not name.startswith(("valid/", "test/", "weight/"))
        }
        for condition in run.result["conditions"]:
            parameters = condition["parameters"]
            weights = _weights_of(run, parameters)
            others = "".join(
                f" {name}={value:g}" for name, value in parameters.items() if name != "task_weight"
            )
            rows.append(
                {
                    **fixed,
                    "label": f"{label}, one training (YOTO){others}",
                    "v1": _v1(run, weights),
                    **{f"weight/{task}": weight for task, weight in weights.items()},
                    **{f"parameter/{name}": value for name, value in parameters.items()},
                    **_numbers(condition.get("valid", {}), "valid/"),
                    **_numbers(condition.get("test", {}), "test/"),
                }
            )
    return pd.DataFrame(rows)


def relabelled(
    table: pd.DataFrame, runs: Sequence[FinishedRun], without: Sequence[str]
) -> pd.Series:
    """Labels of the rows of `table` that do not tell the settings in `without`.

    `runs` are those of the table, in its order, and of one problem.
    """
    told = labels(list(table["method"]), [settings_of(run) for run in runs], without=without)
    return pd.Series(told, index=table.index)


def _row(run: FinishedRun) -> dict[str, Any]:
    result, config = run.result, run.config
    weights: Mapping[str, float] = result["task_weights"]
    stages: Mapping[str, Mapping[str, Any]] = result.get("stages", {})
    here = {name: float(stage.get("seconds", 0)) for name, stage in stages.items()}
    total = {name: here[name] + float(stages[name].get("cached_seconds", 0)) for name in here}
    return {
        "key": _key(run),
        "directory": str(run.directory),
        "problem": str(result["problem"]),
        "method": run.method,
        "seed": run.seed,
        "split_seed": config["data"].get("split_seed"),
        "data": settings_of(run)["data.content"],
        "v1": _v1(run, weights),
        "chain": "-".join(run.selected),
        **{f"weight/{task}": weight for task, weight in weights.items()},
        **{f"selected/{task}": name for task, name in zip(run.tasks, run.selected, strict=True)},
        **_numbers(result["metrics"].get("valid", {}), "valid/"),
        **_numbers(result["metrics"].get("test", {}), "test/"),
        **{f"seconds/{name}": seconds for name, seconds in total.items()},
        **(
            {"seconds/total": sum(total.values()), "seconds/this_run": sum(here.values())}
            if stages
            else {}
        ),
        **{
            f"epochs/{name}": sum(stage["epochs"].values())
            for name, stage in stages.items()
            if stage.get("epochs")
        },
        "parameters": result.get("parameters"),
        "events": result["data"].get("events"),
        "pretrained": bool(
            config.get("pretrain", {}).get("enabled", True)
            and stages.get("pretrain", {}).get("epochs")
        ),
        **{f"versions/{name}": version for name, version in result.get("versions", {}).items()},
    }


def _v1(run: FinishedRun, weights: Mapping[str, float]) -> float | None:
    """The weight of the first task that has one."""
    return weights[run.supervised[0]] if run.supervised else None


def _weights_of(run: FinishedRun, parameters: Mapping[str, Any]) -> dict[str, float]:
    """Task weights of a condition: from v1 in a chain of two, else the run's own."""
    if "task_weight" in parameters and len(run.supervised) == 2:
        first, second = run.supervised
        v1 = float(parameters["task_weight"])
        return {first: v1, second: 1 - v1}
    return dict(run.result["task_weights"])


def _numbers(values: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """All numbers of nested `values`, as `<prefix>a/b`."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, Real) and not isinstance(value, bool):
            found[prefix + name] = float(value)
    return found


def _order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All columns: `FIRST`, then in groups as a row has them, settings and `directory` last."""
    names = dict.fromkeys(name for row in rows for name in row)
    groups = list(dict.fromkeys(name.split("/")[0] for name in names if "/" in name))
    last = [name for name in groups if name in ("set", "versions")]
    groups = [name for name in groups if name not in last] + last
    grouped = [name for group in groups for name in names if name.startswith(f"{group}/")]
    plain = [name for name in names if "/" not in name and name not in (*FIRST, "directory")]
    return [*FIRST, *plain, *grouped, "directory"]


def _one_type(column: pd.Series) -> pd.Series:
    """Numbers or truth values as they are, anything mixed as text (a file has typed columns)."""
    there = [value for value in column if not _missing(value)]
    kinds = {
        bool if isinstance(value, bool) else float if isinstance(value, Real) else str
        for value in there
    }
    if kinds <= {float}:
        return pd.to_numeric(column)
    if kinds == {bool}:
        return column.astype("boolean")
    texts = [None if _missing(value) else str(value) for value in column]
    return pd.Series(texts, index=column.index, dtype="str")


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _key(run: FinishedRun) -> str:
    return str(run.result.get("key", run.directory.name))
