"""The hypervolume of fronts: by hand, by a second way, and in the comparison of made runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_scan import write_made_run
from rich.console import Console

from msnas.compare.__main__ import Settings, compare
from msnas.compare.output import as_json, show
from msnas.results.hypervolume import FIXED, fronts_of, hypervolume
from msnas.results.runs import collect

V1 = (0.1, 0.5, 0.9)
FRONT = {0.1: (3.0, 0.9), 0.5: (2.0, 0.85), 0.9: (1.0, 0.7)}
"""Of mse (lower is better) and AUC (higher is better) by v1."""


def numbers(pair: tuple[float, float]) -> dict[str, float]:
    return {"calibrate/mse": pair[0], "classify/auc": pair[1]}


def write_fixed(place: Path, seed: int, front: Mapping[float, tuple[float, float]]) -> None:
    for v1, pair in front.items():
        write_made_run(place, "spos", seed, weights=(v1, 1 - v1), numbers=numbers(pair))


def write_once(
    place: Path, seed: int, front: Mapping[float, tuple[float, float]], **more: str
) -> None:
    conditions = [
        {"parameters": {"task_weight": v1}, "valid": {}, "test": numbers(pair)}
        for v1, pair in front.items()
    ]
    write_made_run(
        place,
        "spos",
        seed,
        numbers=numbers(front[0.5]),
        settings={"conditioning": {"parameters": ["task_weight"], "layers": [8], **more}},
        result={"conditions": conditions},
    )


def moved(by: float) -> dict[float, tuple[float, float]]:
    return {v1: (mse, auc + by) for v1, (mse, auc) in FRONT.items()}


def test_points_at_the_reference_or_behind_another_one_add_nothing() -> None:
    front = np.array([[1.0, 0.2], [0.5, 0.5], [0.0, 1.0]])
    assert hypervolume(front) == pytest.approx(0.5 * 0.2 + 0.5 * 0.5)
    assert hypervolume(np.vstack([front, [[0.4, 0.4]]])) == hypervolume(front)
    assert hypervolume(np.array([[1.0, 1.0]])) == 1.0
    assert hypervolume(np.array([[0.0, 0.0]])) == 0.0


def test_the_share_of_random_points_that_a_front_beats() -> None:
    generator = np.random.default_rng(0)
    points, darts = generator.random((6, 2)), generator.random((40_000, 2))
    beaten = (darts[:, None] <= points).all(2).any(1)
    assert hypervolume(points) == pytest.approx(beaten.mean(), abs=0.01)


def test_one_training_against_one_for_each_v1(tmp_path: Path) -> None:
    """Five seeds; the box goes from mse 3 to 1 and from AUC .7 to the best of all, .94."""
    for seed in range(5):
        write_fixed(tmp_path, seed, moved(0.01 * seed))
        write_once(tmp_path, seed, moved(0.01 * seed - 0.01 if seed else 0.0))
    (fronts,) = fronts_of(collect([tmp_path]).finished, confidence=0.95)
    assert fronts.v1 == list(V1)
    rows = {row["method"]: row for row in fronts.rows}
    fixed, once = rows[f"spos, {FIXED}"], rows["spos conditioning=task_weight"]
    # of seed 0: v1 = .5 is half way in mse, .9 has the worst AUC, .1 the worst mse
    assert fixed["values"][0] == pytest.approx(0.5 * (0.85 - 0.7) / 0.24)
    assert fixed["values"][4] == pytest.approx((0.5 * 0.19 + 0.5 * 0.04) / 0.24)
    assert fixed["low"] < fixed["mean"] < fixed["high"]
    difference = once["difference"]
    assert once["against"] == f"spos, {FIXED}"
    assert difference["seeds"] == [0, 1, 2, 3, 4]
    assert difference["values"] == pytest.approx([0.0, *[-0.01 / 0.24] * 4])
    assert difference["low"] < difference["mean"] < difference["high"] < 0
    assert "difference" not in fixed


def test_only_v1_that_all_fronts_have_are_looked_at(tmp_path: Path) -> None:
    write_fixed(tmp_path, 0, {**FRONT, 0.0: (9.0, 0.99)})
    write_once(tmp_path, 0, FRONT)
    (fronts,) = fronts_of(collect([tmp_path]).finished, confidence=0.95)
    assert fronts.v1 == list(V1)
    assert [len(row["values"]) for row in fronts.rows] == [1, 1]
    assert not any("low" in row for row in fronts.rows)
    assert fronts.rows[0]["mean"] == fronts.rows[1]["mean"]


def test_ways_to_draw_are_told_apart(tmp_path: Path) -> None:
    write_once(tmp_path, 0, FRONT)
    write_once(tmp_path, 0, moved(0.05), draws="stratified")
    (fronts,) = fronts_of(collect([tmp_path]).finished, confidence=0.95)
    first, second = fronts.rows
    assert "stratified" in second["method"]
    assert second["mean"] > first["mean"]


NONE: dict[str, Any] = {"alone": [write_once], "fixed_alone": [write_fixed], "nothing": []}


@pytest.mark.parametrize("writers", NONE.values(), ids=NONE)
def test_there_are_two_ways_to_a_front_or_no_comparison(writers: list[Any], tmp_path: Path) -> None:
    for write in writers:
        write(tmp_path, 0, FRONT)
    assert fronts_of(collect([tmp_path]).finished, confidence=0.95) == []


def test_the_comparison_tells_it(tmp_path: Path) -> None:
    for seed in range(5):
        write_fixed(tmp_path, seed, moved(0.01 * seed))
        write_once(tmp_path, seed, moved(0.012 * seed))
    comparison = compare(Settings(runs=[str(tmp_path)]))
    (told,) = as_json(comparison)["fronts"]
    assert told["quantities"] == ["calibrate/mse", "classify/auc"]
    assert len(told["hypervolume"]) == 2
    file = io.StringIO()
    show(comparison, Console(file=file, width=200))
    assert "Hypervolume of the test front of calibrate/mse and classify/auc" in file.getvalue()
    assert f"spos, {FIXED}" in file.getvalue()
