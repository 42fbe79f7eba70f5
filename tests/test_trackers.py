"""What every tracker keeps to, on runs of every kind: whole, as measured, or not there at all."""

from __future__ import annotations

import errno
import io
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import CONF, QUIET, ROOT, compose_config, epochs, finished_below, telling_imports
from golden_runs import COMMON, RUNS
from killable_run import Death, finish, start
from offline_run import made, offline_runs
from omegaconf import OmegaConf
from rich.console import Console
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import backend_context

from msnas.build import build
from msnas.errors import StorageError
from msnas.plan import make_plan
from msnas.report.tracker import Tracker
from msnas.report.wandb_tracker import WandbTracker
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.storage import sha256_of

TRACKERS = sorted(path.stem for path in (CONF / "logger").glob("*.yaml"))
PLACES = {"csv": "history.csv", "tensorboard": "tensorboard", "wandb": "wandb"}
"""Where a mirror lies in the run directory."""

KINDS = {
    "toy": "spos",
    "three tasks": "three_tasks",
    "digits": "digit_sum",
    "objects that count": "htautau_fakes",
    "numbers of each variable": "htautau",
    "one task": "htautau_direct",
    "rare taus": "focal",
    "a task without loss": "shared_layers",
    "conditioned on v1": "yoto_task_weight",
    "conditioned on two": "yoto_affinity",
    "gradnorm": "weighting_gradnorm",
    "mgda": "weighting_mgda",
    "alpha": "darts",
    "theta": "asng",
}
"""Kinds of runs, and the golden run that each is like."""

Curves = dict[str, list[tuple[int, float, float]]]
"""`<stage>/<model>/<number>`: epoch, value and time of every point."""


@dataclass
class Mirrored:
    """What a mirror holds, read back; some hold the curves alone."""

    curves: Curves
    final: dict[str, float] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def tracker(name: str) -> Tracker:
    config = OmegaConf.load(CONF / "logger" / f"{name}.yaml")
    return build(OmegaConf.to_container(config), key="logger", of=Tracker)


def words(output: Path, *overrides: str) -> list[str]:
    """The overrides of a small run."""
    return [*COMMON, *epochs(1), f"output={output}", *overrides]


def flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by their whole name: no mapping here is deeper than three levels."""
    found: dict[str, float] = {}
    for first, one in values.items():
        for second, two in one.items() if isinstance(one, Mapping) else [("", one)]:
            for third, three in two.items() if isinstance(two, Mapping) else [("", two)]:
                if not isinstance(three, str):
                    found["/".join(name for name in (first, second, third) if name)] = three
    return found


def measured(directory: RunDirectory) -> Curves:
    """The curves as history.jsonl holds them."""
    curves: Curves = {}
    for line in directory.history():
        for name, value in flat(line).items():
            if name not in ("epoch", "time"):
                points = curves.setdefault(f"{line['stage']}/{line['model']}/{name}", [])
                points.append((line["epoch"], value, line["time"]))
    return curves


def contents(directory: RunDirectory, *, without: str | None = None) -> dict[str, str]:
    """Every file with its checksum, but for those in the place `without`."""
    return {
        str(path.relative_to(directory.path)): sha256_of(path)
        for path in sorted(directory.path.rglob("*"))
        if path.is_file() and path.relative_to(directory.path).parts[0] != without
    }


# ------------------------------------------------------------------ reading back


def read_csv(directory: RunDirectory) -> Mirrored:
    table = pd.read_csv(directory.path / "history.csv")
    numbers = table.drop(columns=["stage", "model"])
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes), numbers.dtypes
    curves: Curves = {}
    for row in table.to_dict("records"):
        for name in numbers.columns.difference(["epoch", "time"]):
            if not math.isnan(row[name]):
                points = curves.setdefault(f"{row['stage']}/{row['model']}/{name}", [])
                points.append((row["epoch"], row[name], row["time"]))
    return Mirrored(curves)


def read_tensorboard(directory: RunDirectory) -> Mirrored:
    """Scalars, and what the tab HPARAMS shows."""
    folder = str(directory.path / "tensorboard")
    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    curves = {
        tag: [(one.step, one.value, one.wall_time) for one in events.Scalars(tag)]
        for tag in tags
        if not tag.startswith("final/")
    }
    final = {
        tag.removeprefix("final/"): events.Scalars(tag)[0].value
        for tag in tags
        if tag.startswith("final/")
    }
    experiment = hparams(directory.path / "tensorboard")
    assert {f"final/{name}" for name in final} <= {one.name.tag for one in experiment.metric_infos}
    settings = {
        one.name: one.domain_discrete[0] if one.domain_discrete else one.domain_interval.min_value
        for one in experiment.hparam_infos
    }
    return Mirrored(curves, final, settings)


def hparams(folder: Path) -> Any:
    """Settings and metrics as the tab HPARAMS has them of all runs below a folder."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    shown = backend_context.Context(
        base_plugin.TBContext(data_provider=MultiplexerDataProvider(runs, str(folder)))
    )
    request = context.RequestContext()
    return shown.experiment_from_metadata(
        request, "", True, shown.hparams_metadata(request, ""), []
    )


def read_wandb(directory: RunDirectory) -> Mirrored:
    (written,) = offline_runs(directory.path)
    assert written.exit_codes == [0]
    curves: Curves = {}
    for line in written.history:
        for name, value in line.items():
            if name.startswith(("pretrain/", "search/", "posttrain/")):
                curves.setdefault(name, []).append((line["epoch"], value, line["_timestamp"]))
    final = {
        name: value
        for name, value in written.summary.items()
        if name.startswith(("valid/", "test/"))
    }
    return Mirrored(curves, final, written.summary)


READ = {"csv": read_csv, "tensorboard": read_tensorboard, "wandb": read_wandb}


def check(name: str, directory: RunDirectory, result: Mapping[str, Any]) -> None:
    """The mirror holds every number of history and result, and nothing else."""
    if name == "none":
        return
    mirrored, expected = READ[name](directory), measured(directory)
    assert mirrored.curves.keys() == expected.keys()
    for curve, points in expected.items():
        # TensorBoard keeps numbers of 32 bits, times of 64
        assert mirrored.curves[curve] == [
            (epoch, pytest.approx(value, rel=1e-6, nan_ok=True), pytest.approx(time, abs=1e-3))
            for epoch, value, time in points
        ]
    if mirrored.final is not None:
        assert mirrored.final == pytest.approx(flat(result["metrics"]), rel=1e-6, nan_ok=True)
        assert mirrored.settings["chain"] == "-".join(result["selected"].values())
        assert mirrored.settings["seed"] == result["seed"]
        for task, weight in result["task_weights"].items():
            assert mirrored.settings[f"task_weight/{task}"] == pytest.approx(weight)
        for task, candidate in result["selected"].items():
            assert mirrored.settings[f"selected/{task}"] == candidate


# ------------------------------------------------------------------ runs of every kind


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=KINDS)
def done(
    request: pytest.FixtureRequest, output: Path, event_file: Path
) -> tuple[str, RunDirectory, dict[str, Any]]:
    """A run of each kind, made once, without a tracker."""
    overrides = [one.format(few=event_file) for one in RUNS[KINDS[request.param]]]
    config = compose_config(words(output / KINDS[request.param], *overrides))
    result = run(config, console=QUIET)
    return request.param, RunDirectory(make_plan(config).directory), result


def test_every_problem_is_among_the_runs() -> None:
    problems = {
        one.removeprefix("problem=")
        for name in KINDS.values()
        for one in RUNS[name]
        if one.startswith("problem=")
    }
    assert {"htautau", *problems} == {path.stem for path in (CONF / "problem").glob("*.yaml")}
    assert {*READ, "none"} == set(TRACKERS)


def test_the_runs_are_of_the_kinds_they_are_for(
    done: tuple[str, RunDirectory, dict[str, Any]],
) -> None:
    kind, directory, result = done
    lines = directory.history()
    if kind in ("alpha", "theta"):
        assert any(isinstance(line.get(kind), dict) for line in lines)
    if kind in ("toy", "gradnorm", "mgda", "a task without loss"):
        assert any(isinstance(line.get("gradient_norm"), dict) for line in lines)
    assert (result["task_weights"].keys() < result["selected"].keys()) == (
        kind == "a task without loss"
    )
    assert ("conditions" in result) == kind.startswith("conditioned")
    if kind == "numbers of each variable":
        assert any(isinstance(one, dict) for one in result["metrics"]["test"].values())


@pytest.mark.parametrize("name", TRACKERS)
def test_a_mirror_holds_the_run_and_harms_nothing(
    done: tuple[str, RunDirectory, dict[str, Any]], name: str
) -> None:
    _, directory, result = done
    place = PLACES.get(name)
    before = contents(directory, without=place)
    assert tracker(name).missing(directory) == (place is not None)
    said = tracker(name).mirror(directory, result)
    assert not tracker(name).missing(directory)
    assert (said is None) == (place is None)
    assert contents(directory, without=place) == before
    assert directory.damage() is None
    check(name, directory, result)


# ------------------------------------------------------------------ one mirror after another


@pytest.mark.parametrize("name", PLACES)
def test_a_second_mirror_takes_the_place_of_the_first(tmp_path: Path, name: str) -> None:
    """Also of what a killed process has left of one."""
    directory, result = made(tmp_path)
    place = directory.path / PLACES[name]
    for left in (place, place.with_name(f".{place.name}.new")):
        if name == "csv":
            left.write_text("half a tab")
        else:
            left.mkdir()
            (left / "half").write_bytes(b"of something")
    for seed in (4, 5):
        tracker(name).mirror(directory, {**result, "seed": seed})
        check(name, directory, {**result, "seed": seed})
    assert sorted(path.name for path in directory.path.iterdir()) == sorted(
        ["alpha.png", "config.yaml", "history.jsonl", place.name]
    )
    assert not list(place.rglob("half"))


@pytest.mark.parametrize(
    ("name", "written_by"),
    [
        ("csv", "csv.DictWriter.writerows"),
        ("tensorboard", "torch.utils.tensorboard.SummaryWriter.add_scalar"),
        ("wandb", "wandb.sdk.wandb_run.Run.log"),
    ],
)
def test_half_a_mirror_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, written_by: str
) -> None:
    """One that fails on its way leaves neither a part nor the mirror of before."""
    directory, result = made(tmp_path)
    before = contents(directory)
    tracker(name).mirror(directory, result)
    with monkeypatch.context() as patched:
        patched.setattr(written_by, full_disk)
        with pytest.raises((OSError, StorageError), match="No space left"):
            tracker(name).mirror(directory, result)
    assert tracker(name).missing(directory)
    assert contents(directory) == before
    tracker(name).mirror(directory, result)
    check(name, directory, result)


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", PLACES)
def test_epochs_of_a_training_kept_before_there_were_times(tmp_path: Path, name: str) -> None:
    directory, result = made(tmp_path)
    lines = directory.history()
    directory.write_history(
        {key: value for key, value in line.items() if key != "time"} if number < 2 else line
        for number, line in enumerate(lines)
    )
    tracker(name).mirror(directory, result)
    curves = READ[name](directory).curves
    points = curves["pretrain/one/a/train/loss"] + curves["search/super-network/valid/loss"]
    assert [value for _, value, _ in points] == [2.0, 1.0, 1.5, 0.5]
    assert [time for *_, time in points][2:] == [line["time"] for line in lines[2:]]


def test_a_table_of_a_run_that_trained_nothing(tmp_path: Path) -> None:
    directory, result = made(tmp_path)
    directory.write_history([])
    tracker("csv").mirror(directory, result)
    assert list(pd.read_csv(directory.path / "history.csv")) == ["stage", "model", "epoch"]


def test_the_columns_of_a_table(tmp_path: Path) -> None:
    directory, result = made(tmp_path)
    tracker("csv").mirror(directory, result)
    table = pd.read_csv(directory.path / "history.csv")
    assert list(table) == [
        *("stage", "model", "epoch", "train/loss", "time", "valid/loss", "alpha/one/a"),
        "alpha/one/b",
    ]
    assert list(table["alpha/one/b"].dropna()) == [0.0, -0.25]


def test_tensorboard_shows_the_settings_in_which_runs_differ(tmp_path: Path) -> None:
    """Also those that only one of the runs has."""
    for key, seed, of_method in (("one", 3, {}), ("two", 4, {"order": 2})):
        directory, result = made(tmp_path, key)
        config = directory.config()
        config["method"] |= of_method
        directory.write_config(config)
        tracker("tensorboard").mirror(directory, {**result, "seed": seed})
    experiment = hparams(tmp_path)
    differs = {one.name: one.differs for one in experiment.hparam_infos}
    assert differs["seed"]
    assert not differs["recipe.lr"]
    assert "method.order" in differs


@pytest.mark.parametrize(("kept", "sent"), [("offline-run", False), ("run", True)])
def test_a_run_kept_offline_is_missing_online(tmp_path: Path, kept: str, sent: bool) -> None:
    online = WandbTracker(project="msnas", mode="online", group=None)
    directory, _ = made(tmp_path)
    (directory.path / "wandb" / f"{kept}-20200101_000000-x").mkdir(parents=True)
    assert not tracker("wandb").missing(directory)
    assert online.missing(directory) != sent


# ------------------------------------------------------------------ whole runs


@pytest.fixture(scope="module")
def finished(output: Path) -> RunDirectory:
    """A run without a mirror."""
    directory, *_ = whole_run(output / "finished", "none")
    return directory


@pytest.fixture
def trained(finished: RunDirectory, output: Path, tmp_path: Path) -> Path:
    """A folder in which the run has its trainings; only the rest is to do."""
    assert finished.path.is_dir()
    shutil.copytree(output / "finished" / "cache", tmp_path / "runs" / "cache")
    return tmp_path / "runs"


@pytest.fixture
def copied(finished: RunDirectory, output: Path, tmp_path: Path) -> RunDirectory:
    """The finished run once more, in `tmp_path / "runs"`."""
    shutil.copytree(output / "finished", tmp_path / "runs")
    return RunDirectory(tmp_path / "runs" / finished.path.relative_to(output / "finished"))


@pytest.mark.parametrize("name", TRACKERS)
def test_a_run_writes_its_mirror(trained: Path, name: str) -> None:
    directory, result, said = whole_run(trained, name)
    assert result["status"] == "finished"
    check(name, directory, result)
    assert "failed" not in said
    log = directory.log.read_text()
    assert "WARNING" not in log
    if name in PLACES:
        assert PLACES[name] in log.splitlines()[-1]
        assert PLACES[name] in said


@pytest.mark.parametrize("name", PLACES)
def test_a_tracker_that_raises_is_one_warning(
    trained: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The run is finished before, and its command tries again, if it can."""
    with monkeypatch.context() as patched:
        patched.setattr(type(tracker(name)), "mirror", full_disk)
        directory, result, said = whole_run(trained, name)
    assert directory.finished() is not None
    assert directory.damage() is None
    assert result["status"] == "finished"
    lines = (said.splitlines(), directory.log.read_text().splitlines())
    for warnings in ([line for line in some if "Tracker failed" in line] for some in lines):
        (warning,) = warnings
        assert type(tracker(name)).__name__ in warning
        assert "No space left" in warning
        assert "the run is complete" in warning
    assert [line for line in lines[1] if "WARNING" in line] == warnings
    assert tracker(name).missing(directory)
    *_, said = whole_run(trained, name)
    assert "This run is finished" in said
    assert "Tracker failed" not in said
    check(name, directory, result)


def test_a_mirror_that_cannot_be_written_leaves_exit_code_0(trained: Path, tmp_path: Path) -> None:
    """A folder lies where the table would."""
    config = compose_config(words(trained, *RUNS["spos"]))
    directory = RunDirectory(make_plan(config).directory)
    (directory.path / "history.csv").mkdir(parents=True)
    code = command(tmp_path, "logger=csv")
    said = (tmp_path / "said").read_text()
    assert code == 0, said
    assert said.count("CsvTracker failed") == 1
    assert "Traceback" not in said
    assert (tmp_path / "said.error").read_text() == ""
    assert directory.finished() is not None


# ------------------------------------------------------------------ finished runs without a mirror


@pytest.mark.parametrize("name", PLACES)
def test_a_finished_run_gets_the_mirror_that_is_asked_for(
    copied: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("msnas.run._work", None)  # nothing is trained
    before = contents(copied)
    _, result, said = whole_run(tmp_path / "runs", name)
    check(name, copied, result)
    assert f"/{PLACES[name]}" in said
    written = contents(copied)
    assert before.items() - {("log", before["log"])} <= written.items()
    # once
    *_, said = whole_run(tmp_path / "runs", name)
    assert f"/{PLACES[name]}" not in said
    assert contents(copied) == written


@pytest.mark.parametrize("name", ["none", "csv"])
def test_a_finished_run_needs_no_pytorch_for_it(
    copied: RunDirectory, tmp_path: Path, name: str
) -> None:
    script = telling_imports(tmp_path)
    done = subprocess.run(
        [sys.executable, str(script), *words(tmp_path / "runs", *RUNS["spos"], f"logger={name}")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert "This run is finished" in done.stdout
    assert "imported False" in done.stdout
    assert (copied.path / "history.csv").exists() == (name == "csv")


def test_where_nothing_can_be_written_a_finished_run_is_shown(
    copied: RunDirectory, tmp_path: Path
) -> None:
    """As in a folder that only others may write to: the lock cannot be taken."""
    directory = copied
    directory.lock.unlink(missing_ok=True)
    directory.lock.mkdir()
    before = contents(directory)
    _, result, said = whole_run(tmp_path / "runs", "csv")
    assert result["status"] == "finished"
    assert "This run is finished" in said
    assert said.count("warning: CsvTracker cannot write here") == 1
    assert contents(directory) == before


def test_killed_before_the_mirror(tmp_path: Path) -> None:
    """The same command writes it, and trains nothing."""
    code = command(tmp_path, "logger=csv", death=Death("before the mirror"))
    assert code == -signal.SIGKILL
    (directory,) = map(RunDirectory, finished_below(tmp_path))
    assert tracker("csv").missing(directory)
    epochs = (tmp_path / "journal").read_text()
    assert command(tmp_path, "logger=csv") == 0
    assert (tmp_path / "journal").read_text() == epochs
    check("csv", directory, directory.result() or {})


def whole_run(output: Path, name: str) -> tuple[RunDirectory, dict[str, Any], str]:
    """The run with a tracker: its directory, its result, and what it says."""
    config = compose_config(words(output, *RUNS["spos"], f"logger={name}"))
    said = io.StringIO()
    result = run(config, console=Console(file=said, width=500))
    return RunDirectory(make_plan(config).directory), result, said.getvalue()


def command(place: Path, *more: str, death: Death | None = None) -> int:
    """`train.py` in a process of its own, its output below `place`; its exit code."""
    overrides = words(place / "runs", *RUNS["spos"], *more)
    return finish(start(overrides, journal=place / "journal", said=place / "said", death=death))
