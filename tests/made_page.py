"""Made runs, and a page about them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import yaml
from made_scan import made_result
from plotly.subplots import make_subplots

from msnas.plots.draw import Drawn
from msnas.report.page import write_page
from msnas.report.tables import NamedTable
from msnas.results.result import Result
from msnas.results.runs import OtherRun, Runs

EVIL = "</script><script>alert('here')</script><img src=x onerror=alert(1)>"


def made_run(
    folder: Path, key: str, *, v1: float, seed: int, valid: float, note: str = "none"
) -> Result:
    directory = folder / "runs" / "toy" / "spos" / key
    directory.mkdir(parents=True)
    config = {
        "seed": seed,
        "note": note,
        "recipe": {"lr": 0.1, "batch": 8},
        "problem": {"name": "toy", "chain": ["one", "two"]},
        "tasks": {"one": {"candidates": {"a": {}}}, "two": {"candidates": {"b": {}}}},
    }
    result = {
        "key": key,
        "problem": "toy",
        "method": "spos",
        "seed": seed,
        "task_weights": {"one": v1, "two": 1 - v1},
        "selected": {"one": "a", "two": "b"},
        "metrics": {
            "valid": {"one/mse": 0.5, "two/auc": valid},
            "test": {"one/mse": 0.25, "two/auc": valid - 0.01, "validity/joint": 0.5},
        },
        "directions": {"one/mse": False, "two/auc": True},
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "result.json").write_text(json.dumps(result))
    return made_result(directory, config, **result)


def made_page(folder: Path, *, note: str = "none") -> Path:
    """Three runs, three figures, one table, something missing, one run that failed."""
    runs = [
        made_run(folder, "aaaa", v1=0.1, seed=0, valid=0.75, note=note),
        made_run(folder, "bbbb", v1=0.5, seed=0, valid=0.875),
        made_run(folder, "cccc", v1=0.9, seed=10, valid=0.8),
    ]
    keys = [run.key for run in runs]
    v1 = [run.v1 for run in runs]
    points = go.Figure(go.Scatter(x=v1, y=[0.5, 0.75, 1.0], customdata=keys, mode="markers"))
    points.update_traces(marker={"size": 30}, name=note)
    points.update_layout(width=2000, xaxis_title="v1")
    violin = go.Figure(
        go.Violin(y=[1.0, 2.0, 4.0], customdata=[[key] for key in keys], points="all")
    )
    panels = make_subplots(rows=1, cols=3)
    for column in (1, 2, 3):
        panels.add_trace(go.Scatter(x=[1, 2], y=[2, 1]), row=1, col=column)
    out = folder / "report"
    out.mkdir()
    names = ("fig3", "fig 2", "panels")
    files = {name: (out / f"{name}.png", out / f"{name}.pdf") for name in names}
    for file in sum(files.values(), ()):
        file.write_bytes(b"")
    table = pd.DataFrame({"run": keys, "v1": v1, "auc": [0.1, 1e-3, None], "seeds": [9, 10, 8]})
    failed = folder / "runs" / "toy" / "spos" / "dddd"
    failed.mkdir()
    return write_page(
        Runs(runs, [OtherRun(directory=failed, reason=f"failed: {note}")]),
        [
            Drawn(
                name=name,
                title=f"Title of {name}",
                caption=f"Caption {note}",
                interactive=interactive,
                files=files[name],
            )
            for name, interactive in zip(names, (points, violin, panels), strict=True)
        ],
        [("fig8_data", f"no images {note}")],
        [NamedTable(name="summary", title="By run", caption="Numbers.", table=table)],
        out,
    )
