"""The workspace at W&B: its definition, and the command that applies it, on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from loopback import loopback
from offline_run import made, offline_runs, tracker

ROOT = Path(__file__).resolve().parents[1]


def dashboard(
    *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "msnas.dashboard", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def without_account(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**kept, "HOME": str(home)}


@pytest.fixture(scope="module")
def defined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    words = ["entity=me", "group=a scan", "metric=two/auc", "dry_run=true"]
    done = dashboard(*words, environment=without_account(tmp_path_factory.mktemp("home")))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def panels(definition: Mapping[str, Any]) -> list[Any]:
    sections = definition["spec"]["section"]["panelBankConfig"]["sections"]
    return [panel for section in sections for panel in section["panels"]]


def test_the_definition_names_what_the_tracker_writes(
    defined: dict[str, Any], tmp_path: Path
) -> None:
    """Every key and pattern finds something in a run of DARTS that was written."""
    directory, result = made(tmp_path)
    tracker().mirror(directory, result)
    (run,) = offline_runs(directory.path)
    names = {name for line in run.history for name in line}
    against = [panel["config"] for panel in panels(defined) if "Scatter" in panel["viewType"]]
    assert [one["yAxis"] for one in against] == [
        "summary:test/two/auc",
        "summary:valid/two/auc",
        "summary:test/validity/joint",
    ]
    for one in against:
        assert one["xAxis"] == "summary:v1"
        assert one["yAxis"].removeprefix("summary:") in run.summary
    curves = {
        panel["config"]["chartTitle"]: panel["config"]
        for panel in panels(defined)
        if "Line" in panel["viewType"]
    }
    assert all(one["xAxis"] == "epoch" for one in curves.values())
    found = {
        title: {name for name in names if re.search(one["metricRegex"], name)}
        for title, one in curves.items()
    }
    assert found["Pre-training: training"] == {"pretrain/one/a/train/loss"}
    assert found["Search: validation"] == {"search/super-network/valid/loss"}
    assert found["alpha (DARTS)"] == {
        f"search/super-network/alpha/one/{candidate}" for candidate in "ab"
    }
    (media,) = [panel for panel in panels(defined) if panel["viewType"] == "Media Browser"]
    assert "figures/alpha" in media["config"]["mediaKeys"]
    assert "figures/alpha/path" in names
    assert '"val": "chains"' in json.dumps(panels(defined))
    assert "chains/path" in names
    columns = defined["spec"]["section"]["runSets"][0]["runFeed"]["columnPinned"]
    assert {name.split(":")[1] for name in columns} - {"displayName"} <= set(run.summary)


def test_runs_are_grouped_by_method_and_chosen_by_group(defined: dict[str, Any]) -> None:
    (runs,) = defined["spec"]["section"]["runSets"]
    assert runs["grouping"] == [{"section": "run", "name": "jobType"}]
    (only,) = runs["filters"]["filters"]
    assert (only["key"]["name"], only["op"], only["value"]) == ("group", "=", "a scan")


def test_the_command_sends_the_workspace(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    def answer(query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" not in query:
            return {}
        sent.append(variables)
        return {"upsertView": {"view": {"id": "1", "name": variables["name"]}, "inserted": True}}

    with loopback(answer, str(tmp_path)) as server:
        done = dashboard("entity=me", "project=mine", environment=server.environment)
        assert done.returncode == 0, done.stderr
        address = server.environment["WANDB_BASE_URL"]
    (view,) = sent
    assert (view["entityName"], view["projectName"]) == ("me", "mine")
    assert len(panels({"spec": json.loads(view["spec"])})) == 13
    assert done.stdout.startswith(f"Workspace: {address}/me/mine?nw=")


def test_a_refusal_is_told(tmp_path: Path) -> None:
    with loopback(lambda query, variables: {}, str(tmp_path)) as server:
        words = ["entity=me", f"update={server.environment['WANDB_BASE_URL']}/me/mine?nw=abc"]
        done = dashboard(*words, environment=server.environment)
    assert done.returncode == 1
    assert "error: W&B did not take the workspace: " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_account_it_says_what_to_do(tmp_path: Path) -> None:
    done = dashboard("entity=me", environment=without_account(tmp_path))
    assert done.returncode == 1
    assert "run `wandb login`" in done.stderr
    assert "Traceback" not in done.stderr


def test_offline_mode_is_named(tmp_path: Path) -> None:
    done = dashboard(
        "entity=me", environment={**without_account(tmp_path), "WANDB_MODE": "offline"}
    )
    assert done.returncode == 1
    assert done.stderr == "error: WANDB_MODE=offline keeps W&B from the network; unset it\n"


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['wandb_workspaces'] = None\n"
        "from msnas.dashboard import main; main(['entity=me', 'dry_run=true'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "error: wandb-workspaces is not installed; run: pip install" in done.stderr
    assert "Traceback" not in done.stderr
