"""Made runs, and a page about them."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import yaml
from made_scan import made_result, made_scan
from plotly.subplots import make_subplots

from msnas.plots.draw import Drawn, figures_found
from msnas.plots.page import interactive
from msnas.report.answer import answer
from msnas.report.page import Page
from msnas.report.tables import NamedTable, tables_of
from msnas.results.result import Result
from msnas.results.runs import OtherRun, Runs, collect

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
        "data": {"split_seed": 0},
        "problem": {"name": "toy", "chain": ["one", "two"]},
        "tasks": {"one": {"candidates": {"a": {}}}, "two": {"candidates": {"b": {}}}},
    }
    result: dict[str, Any] = {
        **{"schema": 1, "chains": [], "data": {}},
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
    history = [
        {
            **{"stage": stage, "model": model, "epoch": epoch, "train/loss": 1 / (epoch + 1)},
            **{"valid/loss": 1.5 / (epoch + 1), "time": 1.0},
            **({"alpha": {"one": {"a": 0.5 * epoch, note: -0.5}}} if stage == "search" else {}),
        }
        for stage, model in (("pretrain", "one/a"), ("search", "super-network"))
        for epoch in range(3)
    ]
    (directory / "history.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in history))
    (directory / "log").write_text(f"selected a-b {note}\n")
    return made_result(directory, config, **result)


def held(page: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a page holds: its data, and what is shown of single runs."""
    scripts = dict(
        re.findall(r'<script type="[^"]*" id="(\w+)">(.*?)</script>', page.read_text(), re.DOTALL)
    )
    details = gzip.decompress(base64.b64decode(scripts["details"]))
    return json.loads(scripts["data"]), json.loads(details)


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
    table = pd.DataFrame({"name": keys, "v1": v1, "auc": [0.1, 1e-3, None], "seeds": [9, 10, 8]})
    failed = folder / "runs" / "toy" / "spos" / "dddd"
    failed.mkdir()
    figures = [
        Drawn(
            name=name,
            title=f"Title of {name}",
            caption=f"Caption {note}",
            notes=f"At v<sub>1</sub> {note}",
            interactive=json.loads(interactive.to_json()),
            files=files[name],
        )
        for name, interactive in zip(names, (points, violin, panels), strict=True)
    ]
    page = Page(
        runs=Runs(runs, [OtherRun(directory=failed, reason=f"failed: {note}")]),
        drawn=lambda: (figures, [("fig8_data", f"no images {note}")]),
        tables=[NamedTable(name="summary", title="By run", caption="Numbers.", rows=table)],
        answer=[("Selected chain", f"a-b {note}")],
        provenance=[("Command", f"python -m msnas.report {note}")],
    )
    return page.write(out)


def scan_page(folder: Path, **more: Any) -> tuple[Path, Runs]:
    """The page of a made scan with all its tables, and two figures."""
    runs = collect([made_scan(folder / "runs")])
    tables = [one for one in tables_of(runs) if len(one.rows)]
    found = [one for one in figures_found() if one.name in ("fig5_selected", "fig6_methods")]
    figures = [
        Drawn(
            name=one.name,
            title=one.title,
            caption=one.caption,
            notes="",
            interactive=interactive(one.chart(runs)),
            files=(),
        )
        for one in found
    ]
    said = answer(runs, [], {one.name: one for one in tables})
    page = Page(runs=runs, drawn=lambda: (figures, []), tables=tables, answer=said, **more)
    return page.write(folder / "report"), runs
