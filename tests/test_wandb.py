"""Weights & Biases: offline runs read back from their files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import small_run
from killable_run import Death, finish, start
from loopback import loopback
from offline_run import OfflineRun, made, offline_runs, tracker
from PIL import Image

from msnas.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> OfflineRun:
    directory, result = made(tmp_path_factory.mktemp("runs"))
    tracker("a scan").mirror(directory, result)
    (run,) = offline_runs(directory.path)
    return run


def test_the_run_is_named_and_grouped(written: OfflineRun) -> None:
    run = written.run
    assert (run.run_id, run.run_group, run.job_type) == ("0123456789abcdef", "a scan", "darts")
    assert run.project == "msnas"
    assert run.display_name == "toy-darts-0123456789abcdef"
    assert set(run.tags) == {"toy", "darts", "seed 3"}
    assert written.config["recipe"] == {"lr": 0.25}
    assert written.exit_codes == [0]


def test_curves_of_stages_and_beliefs_against_their_epochs(written: OfflineRun) -> None:
    assert written.series("pretrain/one/a/train/loss") == [(0, 2.0), (1, 1.0)]
    assert written.series("search/super-network/valid/loss") == [(0, 1.5), (1, 0.5)]
    assert written.series("search/super-network/alpha/one/b") == [(0, 0.0), (1, -0.25)]


def test_final_numbers_chains_and_figures(written: OfflineRun) -> None:
    for name, value in {
        "test/two/auc": 0.75,
        "test/validity/joint": 0.25,
        "valid/one/bias/x": 0.5,
        "v1": 0.75,
        "task_weight/two": 0.25,
        "selected/one": "a",
        "chain": "a-c",
    }.items():
        assert written.summary[name] == value
    (last,) = [line for line in written.history if "chains/path" in line]
    table = json.loads((written.folder / "files" / last["chains/path"]).read_text())
    assert table["columns"] == ["stage", "one", "two", "selected", "loss", "two/auc"]
    assert table["data"] == [
        ["search", "a", "c", True, None, 0.5],
        ["search", "b", "c", False, None, 0.75],
        ["posttrain", "a", "c", True, None, 0.875],
    ]
    picture = written.folder / "files" / last["figures/alpha/path"]
    with Image.open(picture) as opened:
        assert opened.size == (4, 4)


def test_a_repeated_run_is_the_same_run(tmp_path: Path) -> None:
    """What mirrors of every kind keep to: test_trackers.py."""
    directory, result = made(tmp_path)
    tracker().mirror(directory, result)
    (first,) = offline_runs(directory.path)
    directory.write_config({**directory.config(), "seed": 4})
    said = tracker().mirror(directory, {**result, "seed": 4})
    (second,) = offline_runs(directory.path)
    assert first.run.run_group == second.run.run_group == "toy"
    assert "seed 4" in second.run.tags
    assert second.run.run_id == first.run.run_id
    assert said.endswith(second.folder.name)


def test_an_error_leaves_the_next_run_its_own(tmp_path: Path) -> None:
    harmed, result = made(tmp_path, "harmed")
    (harmed.path / "alpha.png").unlink()
    (harmed.path / "alpha.png").mkdir()  # a figure that cannot be read
    with pytest.raises(IsADirectoryError):
        tracker().mirror(harmed, result)
    directory, result = made(tmp_path, "sound")
    tracker().mirror(directory, result)
    (run,) = offline_runs(directory.path)
    assert run.run.run_id == "sound"
    assert len(run.history) == 5


def test_the_file_is_whole_when_the_tracker_returns(tmp_path: Path) -> None:
    """A process killed after its run is finished must not take the end of the file with it."""
    code = (
        "import os, signal; from pathlib import Path; from offline_run import made, tracker\n"
        f"tracker().mirror(*made(Path({str(tmp_path)!r}), 'killed'))\n"
        "os.killpg(0, signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tests", start_new_session=True, check=False
    )
    assert done.returncode == -9
    (run,) = offline_runs(tmp_path / "killed")
    assert run.summary["chain"] == "a-c"
    assert run.exit_codes == [0]


def test_an_offline_run_asks_nobody(tmp_path: Path) -> None:
    """The address of W&B is a server here, which hears nothing."""
    code = (
        "from pathlib import Path; from offline_run import made, tracker\n"
        f"tracker().mirror(*made(Path({str(tmp_path)!r}), 'alone'))"
    )
    with loopback(lambda query, variables: {}, str(tmp_path)) as server:
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT / "tests", env=server.environment, check=True
        )
    assert offline_runs(tmp_path / "alone")
    assert server.paths == []


def test_parallel_runs_are_complete_each(tmp_path: Path) -> None:
    """Two processes at once, two runs in each: four whole runs."""
    code = (
        "import sys; from pathlib import Path; from offline_run import made, tracker\n"
        "for key in sys.argv[2:]: tracker('scan').mirror(*made(Path(sys.argv[1]), key))"
    )
    keys = [f"{number:016x}" for number in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), *keys[number::2]], cwd=ROOT / "tests"
        )
        for number in range(2)
    ]
    assert [process.wait(120) for process in processes] == [0] * 2
    for key in keys:
        (run,) = offline_runs(tmp_path / key)
        assert (run.run.run_id, run.run.run_group) == (key, "scan")
        assert len(run.history) == 5
        assert run.exit_codes == [0]


def test_a_killed_and_resumed_run_is_one_run(event_file: Path, tmp_path: Path) -> None:
    """Killed when W&B has its run, which is not yet in its place."""
    death = Death("half the mirror")
    overrides = [*small_run(event_file, tmp_path / "runs"), "logger=wandb", "logger.group=night"]
    codes = [
        finish(start(overrides, journal=tmp_path / "journal", said=tmp_path / "said", death=one))
        for one in (death, None)
    ]
    assert codes == [-signal.SIGKILL, 0], (tmp_path / "said.error").read_text()
    assert "This run is finished" in (tmp_path / "said").read_text()
    (result,) = (tmp_path / "runs").glob("htautau/spos/*/result.json")
    directory = RunDirectory(result.parent)
    (run,) = offline_runs(directory.path)
    assert (run.run.run_id, run.run.run_group) == (result.parent.name, "night")
    assert run.exit_codes == [0]
    expected = [
        (line["epoch"], line["valid/loss"])
        for line in directory.history()
        if line["stage"] == "search"
    ]
    assert run.series("search/super-network/valid/loss") == expected


def test_sync_accepts_the_runs_of_a_scan(tmp_path: Path) -> None:
    """As far as that goes without an account: the client lists them as runs to upload."""
    for key in ("one", "two"):
        directory, result = made(tmp_path, key)
        tracker().mirror(directory, result)
    folders = [str(folder) for folder in tmp_path.glob("*/wandb/offline-run-*")]
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", *folders],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    said = done.stdout + done.stderr
    assert "2" in said
    for key in ("one", "two"):
        assert f"run-{key}.wandb" in said
