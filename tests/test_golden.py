"""Golden runs: no number of any part changes unless it is meant to.

Each run of `golden_runs` is done anew and compared with tests/golden/<name>.json: what was
selected, all metrics and chains, every epoch, the weights, the outputs. On the kind of machine the
file was made on (its `fingerprint`) every bit counts; on another one, which the test's name then
says, numbers may differ by what rounding explains, and no choice is close enough to turn.

A step that must change numbers, be it the order of a sum, says so in its commit and renews:

    python -m pytest tests/test_golden.py --renew

What should not change stays as it is, so the commit shows which numbers have changed, and by how
much. Where it is not the source of a part that has changed but what trains it, the step raises
`NUMERICS_VERSION` (src/msnas/identity.py) as well: else earlier trainings would be taken for its
own. New runs get their file in the same way. Renew on the kind of machine that the files name:
on another one all of them are written for that one.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import runpy
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CONF, ROOT, compose_config
from golden_numbers import (
    Numbers,
    as_text,
    differences,
    fingerprint,
    numbers_of_report,
    numbers_of_run,
)
from golden_runs import COMMON, RUNS, SCAN
from rich.console import Console
from weightings import EXTRAS

from msnas.run import run
from msnas.weighting.weighting import Weighting

GOLDEN = ROOT / "tests" / "golden"
torch.set_num_threads(1)  # part of the fingerprint, which names the tests

MEANT = "(if that is meant: see the top of this file, and NUMERICS_VERSION)"


def do_run(overrides: Sequence[str]) -> tuple[dict[str, Any], Path]:
    """Do a run as `python train.py <overrides>` does; its result and directory."""
    config = compose_config(list(overrides))
    result = run(config, console=Console(file=io.StringIO()))
    return result, Path(config.output) / result["problem"] / result["method"] / result["key"]


def golden(name: str) -> dict[str, Any]:
    """What is kept of a run: its `fingerprint` and `numbers`; empty if it is new."""
    path = GOLDEN / f"{name}.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return kept


def here(name: str) -> bool:
    """Whether the numbers of a run were made on this kind of machine."""
    return golden(name).get("fingerprint", fingerprint()) == fingerprint()


def case(name: str) -> Any:
    """The run, with a name that tells how it is compared."""
    return pytest.param(name, id=name if here(name) else f"{name} with tolerance: other machine")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of runs: what is pre-trained once serves every run."""
    return tmp_path_factory.mktemp("runs")


def overrides(name: str, output: Path, event_file: Path) -> list[str]:
    """Those of a run; one with a judge has a folder of its own, where that is the only one."""
    own = [one.format(few=event_file) for one in RUNS[name]]
    folder = output / name if any(".validity" in one for one in own) else output
    return [*COMMON, f"output={folder}", *own]


def check(name: str, found: Numbers, renew: bool) -> None:
    """Compare with what is kept, or keep it."""
    if renew:
        kept = {"fingerprint": fingerprint(), "numbers": found}
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / f"{name}.json").write_text(as_text(kept) + "\n")
    assert golden(name), f"no golden numbers of {name}: python -m pytest {__file__} --renew"
    lines = differences(found, golden(name)["numbers"], exact=here(name))
    assert not lines, "\n".join([f"{name}: {len(lines)} numbers have changed", MEANT, *lines[:40]])


@pytest.mark.parametrize("name", [case(name) for name in RUNS])
def test_run(name: str, output: Path, event_file: Path, request: pytest.FixtureRequest) -> None:
    _, directory = do_run(overrides(name, output, event_file))
    check(name, numbers_of_run(directory), request.config.getoption("renew"))


@contextmanager
def interrupted_in_the_second_epoch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Inside, a run in `folder` is interrupted in the second epoch of its search."""
    descend = Weighting.descend
    steps_of_second_epoch = []

    def interrupted(self: Weighting, *arguments: Any, **named: Any) -> torch.Tensor:
        if list(folder.glob("cache/search/*.partial/epoch-*.ckpt")):
            steps_of_second_epoch.append(self)
            if len(steps_of_second_epoch) == 2:
                raise KeyboardInterrupt
        return descend(self, *arguments, **named)

    handler = signal.getsignal(signal.SIGINT)  # Lightning no longer listens once interrupted
    monkeypatch.setattr(Weighting, "descend", interrupted)
    with pytest.raises(KeyboardInterrupt):
        yield
    monkeypatch.undo()
    signal.signal(signal.SIGINT, handler)
    assert not list(folder.rglob("result.json"))


@pytest.mark.parametrize("name", ["spos", "asng"])
def test_an_interrupted_run_goes_on_to_the_same_numbers(
    name: str,
    output: Path,
    event_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, uninterrupted = do_run(overrides(name, output, event_file))
    with interrupted_in_the_second_epoch(tmp_path, monkeypatch):
        do_run(overrides(name, tmp_path, event_file))
    result, directory = do_run(overrides(name, tmp_path, event_file))
    assert result["stages"]["pretrain"]["cached"]
    assert not differences(numbers_of_run(directory), numbers_of_run(uninterrupted), exact=True)


def test_a_run_from_the_cache_has_the_same_numbers(output: Path, event_file: Path) -> None:
    _, directory = do_run(overrides("spos", output, event_file))
    trained = numbers_of_run(directory)
    shutil.rmtree(directory)
    result, directory = do_run(overrides("spos", output, event_file))
    for stage in result["stages"].values():
        assert stage["cached"] == list(stage["epochs"])
    assert not differences(numbers_of_run(directory), trained, exact=True)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The report of a scan, as `python sweep.py` writes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sweep.py", *COMMON, *SCAN])
    runpy.run_path(str(ROOT / "sweep.py"), run_name="__main__")
    return tmp_path / "sweeps" / "golden" / "report"


@pytest.mark.parametrize("name", [case("scan")])
def test_report(name: str, report: Path, request: pytest.FixtureRequest) -> None:
    check(name, numbers_of_report(report), request.config.getoption("renew"))


@pytest.mark.parametrize("group", ["method", "weighting", "conditioning", "problem", "loss"])
def test_every_part_is_in_a_run(group: str) -> None:
    """A new part needs a golden run, or its numbers are free to change."""
    named = {words[-1] for run in RUNS.values() for one in run if len(words := one.split("=")) > 1}
    by_default = {"spos", "fixed", "none", "htautau"}
    of_tasks = {
        loss
        for path in (CONF / "task").glob("*.yaml")
        for loss in re.findall(r"/loss@loss: (\w+)", path.read_text())
    }
    parts = {path.stem for path in (CONF / group).glob("*.yaml")} - EXTRAS.keys()
    assert parts <= named | by_default | of_tasks


def test_nothing_is_kept_of_runs_that_are_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*RUNS, "scan"}


def test_the_comparison_sees_a_difference() -> None:
    """Any two runs differ, even within the tolerance for other machines."""
    for first, second in itertools.combinations(RUNS, 2):
        both = [golden(name)["numbers"] for name in (first, second)]
        assert differences(*both, exact=False), f"{first} and {second} cannot be told apart"


def test_no_choice_is_a_near_tie() -> None:
    """Rounding on another machine is far below: it selects the same."""
    for name in RUNS:
        numbers = golden(name)["numbers"]
        losses = [one["valid"]["loss"] for one in numbers["chains"] if one["stage"] == "search"]
        of_tasks = [list(one.values()) for one in numbers.get("probabilities", {}).values()]
        for values in (losses, *([-value for value in one] for one in of_tasks)):
            first, second = sorted([*values, math.inf, math.inf])[:2]
            assert first == math.inf or second - first > 1e-4, name
