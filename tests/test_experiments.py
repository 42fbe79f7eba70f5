"""Every experiment is the scan its file says it is."""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import CONF, composer
from hydra import compose, initialize_config_dir

from msnas.config import plain
from msnas.scan.find import find_scan
from msnas.scan.work import RunWork

RUNS = {
    "fig2": 9 * 2,
    "fig3": 6 + 3,
    "fig4": 2,
    "fig5": 3 * 6,
    "fig6": 3 * 6,
    "fig7": 4 * 3,
    "talk_methods": 4 * 2 + 1,
    "v1_yoto": 5 + 1 + 3,
    "cb_scan": 7,
    "cb_yoto": 7 + 1,
    "multitask_scan": 11 + 1,
    "pareto": 11 + 8,
    "losses": 5 * 2,
    "darts_dummies": 9,
}
"""Runs of one seed."""


@functools.cache
def runs_of(experiment: str, *arguments: str) -> list[RunWork]:
    words = [f"experiment={experiment}", "trainer=cpu", *arguments]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        sweeper = compose("sweep", words, return_hydra_config=True).hydra.sweeper
    runs, impossible = find_scan(
        words,
        params=plain(sweeper.params),
        parts=plain(sweeper.parts),
        default_params=plain(sweeper.default_params),
        composer=composer("sweep"),
        elsewhere=False,
    )
    assert impossible == []
    return runs


def test_every_experiment_is_tested() -> None:
    assert {path.stem for path in (CONF / "experiment").glob("*.yaml")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_an_experiment_is_so_many_runs(name: str) -> None:
    assert len(runs_of(name, "seed=0")) == RUNS[name]


def test_an_experiment_brings_its_seeds() -> None:
    assert {run.plan.config["seed"] for run in runs_of("fig4")} == {0, 1, 2}
    assert len(runs_of("fig4")) == 3 * RUNS["fig4"]


@pytest.mark.parametrize("name", RUNS)
def test_an_experiment_opens_with_its_command_and_what_to_expect(name: str) -> None:
    lines = Path(CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    header = " ".join(line[2:] for line in lines if line.startswith("# "))
    assert f"experiment={name}" in header
    assert re.search(r"[Aa]bout \d+ (minutes|hours)", header)
    assert "Expected" in header


def test_the_command_line_beats_an_experiment() -> None:
    (only,) = runs_of("cb_scan", "seed=7", "tasks.tau_id.loss.one_minus_beta=0.5")
    assert only.plan.config["seed"] == 7
    assert only.plan.config["tasks"]["tau_id"]["loss"]["one_minus_beta"] == 0.5


def test_published_sizes() -> None:
    runs = runs_of("cb_yoto", "scale=paper", "seed=0")
    for run in runs:
        network = run.plan.config["tasks"]["tau_id"]["candidates"]["residual_cnn"]
        assert (network["planes"], network["stride"], network["width"]) == (256, 1, 256)
    assert all(run.plan.config["data"]["events"] == "all" for run in runs_of("fig4", "scale=paper"))


def test_parts_share_runs_of_other_experiments() -> None:
    fixed = {run.plan.key for run in runs_of("cb_scan", "seed=0")}
    runs = runs_of("cb_yoto", "seed=0")
    assert fixed < {run.plan.key for run in runs}
    kinds = Counter(run.plan.config["conditioning"] is None for run in runs)
    assert kinds == {True: 7, False: 1}


def test_a_constant_law_is_at_its_own_weight() -> None:
    constant = [
        run.plan
        for run in runs_of("v1_yoto", "seed=0")
        if run.plan.config["conditioning"] is not None
        and "value" in run.plan.config["conditioning"]["laws"]["task_weight"]
    ]
    assert sorted(plan.weights["tau_calibration"] for plan in constant) == [0.1, 0.5, 0.9]
    for plan in constant:
        law = plan.config["conditioning"]["laws"]["task_weight"]
        assert law["value"] == plan.weights["tau_calibration"]
