"""Of which epoch a search kept its belief, and by what margin: by hand, in files and in tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import compose_config
from drawn import runs_of
from made_scan import write_made_run
from rich.console import Console

import msnas
from msnas.errors import DataError
from msnas.plots.figures import fig4_trajectories
from msnas.report.table import show_result
from msnas.results.result import Result
from msnas.results.trajectories import read_beliefs
from msnas.run import run

LAST = {"recipe": {"search": {"keep": "last"}}}


def history(margins: Sequence[float], losses: Sequence[float]) -> list[dict[str, Any]]:
    """Theta of three candidates, of which `a` leads `b` by a margin; another task has only one."""
    return [
        {
            "stage": "search",
            "epoch": epoch,
            "valid/loss": loss,
            "theta": {
                "calibrate": {"b": (1 - margin) / 2, "a": (1 + margin) / 2, "c": 0.0},
                "classify": {"only": 1.0},
            },
        }
        for epoch, (margin, loss) in enumerate(zip(margins, losses, strict=True))
    ]


RISING = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""The last five have the mean .4 and the standard deviation sqrt(.1 / 4) = .158."""

READINGS: dict[str, tuple[Sequence[float], Sequence[float], float, bool]] = {
    "at the end": (RISING, (7, 6, 5, 4, 3, 2, 1), 0.6, True),
    "inside its noise": (RISING, (4, 3, 2, 1, 2, 3, 4), 0.3, False),
    "another leads later": ((0.2, -0.5, -0.6, -0.5, -0.6, -0.5), (1, 2, 2, 2, 2, 2), 0.2, False),
    "the first of two": ((0.5, 0.5, 0.6, 0.5), (2, 1, 1, 2), 0.5, True),
}


@pytest.mark.parametrize("case", READINGS)
def test_a_margin_by_hand(case: str) -> None:
    margins, losses, margin, decided = READINGS[case]
    reading = read_beliefs(history(margins, losses), {})
    assert reading is not None
    assert reading["epoch"] == losses.index(1) + 1
    assert reading["epochs"] == len(margins)
    assert list(reading["margins"]) == ["calibrate"]
    found = reading["margins"]["calibrate"]
    assert found["margin"] == pytest.approx(margin)
    assert found["decided"] == decided
    if margins == RISING:
        assert found["noise"] == pytest.approx((0.1 / 4) ** 0.5)


def test_the_last_epoch_is_read_where_it_is_kept() -> None:
    lines = history(RISING, (1, 2, 2, 2, 2, 2, 2))
    first, last = read_beliefs(lines, {}), read_beliefs(lines, LAST)
    assert (first or {})["epoch"] == 1
    assert (last or {})["epoch"] == 7
    assert (last or {})["margins"]["calibrate"]["margin"] == pytest.approx(0.6)


def test_an_epoch_alone_decides_nothing() -> None:
    reading = read_beliefs(history([0.9], [1.0]), {})
    assert (reading or {})["margins"] == {
        "calibrate": {"margin": pytest.approx(0.9), "decided": False}
    }
    assert read_beliefs([{"stage": "search", "epoch": 0, "valid/loss": 1.0}], {}) is None


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("method", ["darts", "asng"])
def test_a_run_tells_its_epoch_and_margins(
    method: str, keep: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the belief that the search kept, which is in the result as it was."""
    words = ["problem=toy", f"method={method}", "trainer=cpu", "logger=none", "data.events=600"]
    words += [f"recipe.{stage}.epochs=1" for stage in ("pretrain", "posttrain")]
    words += ["recipe.search.epochs=4", f"+recipe.search.keep={keep}", f"output={tmp_path}"]
    result = run(compose_config(words), console=Console(width=200))
    lines = msnas.load(next(tmp_path.rglob("result.json")).parent).result.directory
    epochs = [json.loads(line) for line in (lines / "history.jsonl").read_text().splitlines()]
    losses = [one["valid/loss"] for one in epochs if one["stage"] == "search"]
    reading = result["reading"]
    assert reading["epochs"] == 4
    assert reading["epoch"] == (4 if keep == "last" else losses.index(min(losses)) + 1)
    for task, of_task in result["probabilities"].items():
        ordered = sorted(of_task.values(), reverse=True)
        margin = reading["margins"][task]["margin"]
        assert margin == pytest.approx(ordered[0] - ordered[1], abs=1e-6)
    shown = capsys.readouterr().out
    assert f"Belief of the search, read at epoch {reading['epoch']} of 4" in shown
    undecided = sum(not one["decided"] for one in reading["margins"].values())
    assert shown.count("undecided") == undecided


READ = {
    "epoch": 2,
    "epochs": 9,
    "margins": {"calibrate": {"margin": 0.0003, "noise": 0.0125, "decided": False}},
}


def test_the_table_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beliefs = {"calibrate": {"cnn": 0.3428, "mlp": 0.3425}, "classify": {}}
    directory = write_made_run(
        tmp_path, "darts", result={"probabilities": beliefs, "reading": READ}
    )
    show_result(Result.read(directory), Console(width=120))
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "0.3428" in line)
    assert row.replace("│", " ").split() == [
        *("calibrate", "cnn", "0.3428", "0.0003", "0.0125", "undecided")
    ]


def test_a_damaged_reading_is_refused(tmp_path: Path) -> None:
    directory = write_made_run(tmp_path, "darts", result={"reading": {**READ, "epoch": "two"}})
    with pytest.raises(DataError, match=r"reading\.epoch: Input should be a valid integer"):
        Result.read(directory)


def test_the_figure_counts_undecided_choices(tmp_path: Path) -> None:
    for seed, losses in enumerate(((7, 6, 5, 4, 3, 2, 1), (4, 3, 2, 1, 2, 3, 4))):
        directory = write_made_run(tmp_path, "asng", seed)
        lines = history(RISING, losses)
        (directory / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    chart = fig4_trajectories.chart(runs_of(tmp_path))
    assert "asng: 1 of 2 choices undecided, margin inside its noise." in chart.notes
