"""A race over chains and seeds as a scan: its rounds, whatever kills it and in whatever order."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import CONF, ROOT, epochs
from drawn import check_drawn
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from rich.console import Console
from scan_process import TOY, begin, end, kill_all, numbers, results, said, sweep, wait_for

from msnas.plots.figures import race as figure
from msnas.plots.grammar import NothingToDraw
from msnas.results.choice import choices_over_seeds
from msnas.results.runs import Runs, collect
from msnas.scan.axes import make_axes
from msnas.scan.compose import Composer
from msnas.scan.engine import Engine
from msnas.scan.find import Maker, find_runs
from msnas.scan.race import find_races
from msnas.scan.scan import Scan
from msnas.scan.work import RunWork

SWEEP = Composer([f"file://{CONF}"], "sweep")
DEFAULTS = OmegaConf.load(CONF / "sweep.yaml").hydra.sweeper.default_params
SCAN = [
    *("problem=toy", "trainer=cpu", "logger=none", "pretrain.enabled=false", "method=race"),
    *("task_weight=0.5", "seed=range(0,8)", "method.regret=0"),
    "candidate/toy_regression=[plane,line]",
    "candidate/toy_classification=[logistic,cautious]",
]
LOSS = {"plane-logistic": 0.5, "plane-cautious": 0.53, "line-logistic": 0.9, "line-cautious": 1.0}


def scan_of(*more: str, scan: Sequence[str] = SCAN) -> tuple[Scan, Console]:
    axes = make_axes([*scan, *more], params={}, default_params=dict(DEFAULTS), parser=SWEEP.parser)
    found, impossible = find_runs(axes, SWEEP, elsewhere=False)
    runs, races, unable = find_races(found, make=Maker(SWEEP, elsewhere=False))
    console = Console(record=True, width=300, file=io.StringIO())
    found_scan = Scan(
        runs,
        [*impossible, *unable],
        races=races,
        settings={"report": False, "scan": {"name": "a"}},
        experiment=None,
        command=[],
        console=console,
    )
    return found_scan, console


def pretend(work: RunWork, *, tau: float = 0.02, events: int = 300) -> None:
    """Write what a run of a chain leaves: losses that depend on chain and seed alone."""
    chain, seed = work.plan.config["method"]["chain"], work.plan.config["seed"]
    place = list(LOSS).index("-".join(chain))
    of_events = np.random.default_rng(place).normal(size=events) * 0.05
    generator = np.random.default_rng([place, seed])
    losses = LOSS["-".join(chain)] + of_events + tau * generator.normal()
    losses = (losses + 0.05 * generator.normal(size=events)).astype(np.float32)
    selected = dict(zip(work.plan.chain, chain, strict=True))
    mean = float(losses.astype(float).mean())
    work.directory.path.mkdir(parents=True, exist_ok=True)
    work.directory.write_config(work.plan.config)
    with h5py.File(work.directory.losses, "w") as file:
        file.attrs["key"], file.attrs["events"] = work.key, "same"
        file["chain"], file["loss"] = [0], losses[None]
    work.directory.write_result(
        {
            **{"schema": 1, "status": "finished", "problem": "toy", "method": "fixed_chain"},
            **{"key": work.key, "seed": seed, "selected": selected, "data": {}, "stages": {}},
            "task_weights": dict.fromkeys(work.plan.chain, 0.5),
            "directions": {"toy_classification/auc": True},
            "metrics": {"valid": {"toy_classification/auc": 0.7, "loss": mean}, "test": {}},
            "chains": [{"selected": selected, "valid": {"loss": mean}, "stage": "posttrain"}],
        }
    )


class Launcher:
    """Does jobs until it is killed, at the beginning of a job or right after it."""

    def __init__(self, scan: Scan, *, killed_after: float = np.inf) -> None:
        self.scan = scan
        self.killed_after = killed_after
        self.done: list[str] = []
        self.batches: list[int] = []

    def launch(self, overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        self.batches.append(len(overrides))
        works = {tuple(work.launched_as): work for work in self.scan.ledger.runs}
        for words in reversed(overrides) if len(self.batches) % 2 else overrides:
            if len(self.done) >= self.killed_after:
                raise KeyboardInterrupt
            work = works[tuple(words)]
            pretend(work)
            self.done.append(work.key)
        answer = {"error": None, "traceback": ""}
        return [JobReturn(status=JobStatus.COMPLETED, _return_value={0: answer}) for _ in overrides]


def work_off(scan: Scan, **more: float) -> Launcher:
    launcher = Launcher(scan, **more)
    engine = Engine("submitit_slurm", OmegaConf.create(), lambda *_: launcher)  # type: ignore[arg-type,return-value]
    try:
        scan.work_off(engine)
    except KeyboardInterrupt:
        assert len(launcher.done) == launcher.killed_after
    return launcher


def state(scan: Scan) -> dict[str, Any]:
    (race,) = scan.races
    listed = json.loads((scan.ledger.folder / "scan.json").read_text())
    return {
        "rounds": race.race.rounds,
        "sure": race.race.sure,
        "words": race.words(),
        "runs": [(one["key"], one["status"]) for one in listed["runs"]],
    }


def test_a_scan_races_over_chains_and_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scan, console = scan_of()
    launcher = work_off(scan)
    (race,) = scan.races
    assert launcher.batches[0] == 4 * 2
    assert len(launcher.done) == race.race.trainings < 4 * 8
    said = console.export_text()
    assert f"Race of 4 chains: {race.race.trainings} of 32 trainings in " in said
    assert "it ended as P(best) is" in said
    assert "Best: plane-logistic" in said
    runs = [work.result for work in scan.ledger.runs if work.result is not None]
    assert len(runs) == len(launcher.done)
    assert {run.method for run in runs} == {"fixed_chain"}
    (choice,) = choices_over_seeds(runs)
    assert race.race.sure is not None
    told = {path: one.best for path, one in zip(choice.paths, choice.sure.chains, strict=True)}
    known = zip(race.paths, race.race.sure.chains, strict=True)
    assert told == pytest.approx({path: one.best for path, one in known}, abs=0.02)
    assert len(collect([scan.ledger.folder]).finished) == len(runs)


def uninterrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], dict[str, Any]]:
    """The keys of the runs that a race does, and all it says."""
    return killed(folder, monkeypatch, [])


def killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, after: Sequence[int]
) -> tuple[list[str], dict[str, Any]]:
    """The same for a race that is killed after so many runs each time, and started again."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    done: list[str] = []
    for count in after:
        done += work_off(scan_of()[0], killed_after=count).done
    scan, _ = scan_of()
    done += work_off(scan).done
    return sorted(done), state(scan)


def test_a_scan_killed_anywhere_loses_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first run, in the first round, between rounds, in later ones, before the end."""
    whole, reference = uninterrupted(tmp_path / "whole", monkeypatch)
    assert len(reference["rounds"]) > 2
    for count in (0, 3, 8, 9, len(whole) - 1):
        done = killed(tmp_path / str(count), monkeypatch, [count])
        assert done == (whole, reference)


@pytest.mark.slow
def test_a_scan_killed_after_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, reference = uninterrupted(tmp_path / "whole", monkeypatch)
    for count in range(len(whole)):
        done = killed(tmp_path / str(count), monkeypatch, [count])
        assert done == (whole, reference)
    assert killed(tmp_path / "often", monkeypatch, [1] * len(whole)) == (whole, reference)


@pytest.mark.parametrize(("method", "race"), [({"chain": ["a"]}, True), ({}, False)])
def test_a_search_that_selects_chains_unequally_is_no_race(
    method: dict[str, Any], race: bool
) -> None:
    runs = [SimpleNamespace(path=name, config={"method": method}) for name in "aab"]
    assert figure._unequal(SimpleNamespace(runs=runs)) is race


def test_races_of_a_scan_run_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each task weight; a race of one seed is a run; other methods are as ever."""
    monkeypatch.chdir(tmp_path)
    scan, _ = scan_of("task_weight=0.1,0.9")
    assert len(scan.races) == 2
    assert work_off(scan).batches[0] == 2 * 4 * 2
    scan, _ = scan_of("seed=3")
    assert scan.races == []
    assert [work.plan.config["method"]["name"] for work in scan.ledger.runs] == ["race"]
    scan, _ = scan_of(*SCAN[:-3], *SCAN[-2:], "method=race,grid_search", scan=())
    assert len(scan.races) == 1
    assert {work.plan.config["method"]["name"] for work in scan.ledger.runs} == {"grid_search"}


REFUSED = {
    "budget": (["method.budget=7"], "7 trainings are less than one round, 2 seeds of each of 4"),
    "confidence": (["method.confidence=0.3"], "method.confidence: expected above 0.5"),
    "selection": (["selection=parsimonious"], "selection: parsimonious takes one of a run's"),
}


@pytest.mark.parametrize(("more", "said"), REFUSED.values(), ids=REFUSED)
def test_a_race_that_cannot_be_is_listed(
    more: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scan, console = scan_of(*more)
    assert work_off(scan).done == []
    assert said in console.export_text()
    assert scan.ledger.failed == 1


def test_a_training_that_fails_ends_its_race(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scan, console = scan_of()
    engine = Engine("submitit_slurm", OmegaConf.create(), lambda *_: Failing())  # type: ignore[arg-type,return-value]
    assert not scan.work_off(engine)
    (race,) = scan.races
    assert race.trouble is not None
    assert "it cannot go on: " in console.export_text()
    assert scan.ledger.states()["failed"] == 8


class Failing:
    def launch(self, overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        answer = {"error": "it broke", "traceback": ""}
        return [JobReturn(status=JobStatus.COMPLETED, _return_value={0: answer}) for _ in overrides]


def test_the_figure_tells_when_chains_were_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NothingToDraw, match="no run of method=race"):
        figure.chart(Runs([]))
    scan, _ = scan_of()
    work_off(scan)
    (race,) = scan.races
    runs = collect([scan.ledger.folder])
    chart = figure.chart(runs)
    check_drawn(chart, [run.key for run in runs.finished])
    (panel,) = chart.panels
    assert panel.y.label == "seeds"
    assert sorted(chart.frame["y"]) == sorted(race.race.counts)


@pytest.mark.slow
def test_the_documented_race_killed_on_several_workers_is_the_serial_one(tmp_path: Path) -> None:
    """`kill -9` of the scan and all its workers, in the middle of the first round."""
    text = (ROOT / "docs/choice.md").read_text()
    (command,) = re.findall(r"^python (sweep.py .*method=race .*)$", text, flags=re.MULTILINE)
    words = [*shlex.split(command)[1:], *TOY[1:], *epochs(2), "seed=range(0,3)", "method.regret=0"]
    words.append("data.source.events=600")
    serial, killed = tmp_path / "serial", tmp_path / "killed"
    assert sweep(serial, *words, "hydra/launcher=basic") == 0, said(serial)
    process = begin(killed, *words)
    wait_for(lambda: len(results(killed)) > 2)
    kill_all(process)
    assert end(begin(killed, *words)) == 0, said(killed)
    assert len(results(killed)) >= 8
    assert numbers(killed) == numbers(serial)
    (told,) = (line for line in said(serial).splitlines() if "Race of 4" in line)
    assert told in said(killed)
