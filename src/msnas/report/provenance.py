"""Where a report comes from: command, date, versions, data, commit."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from msnas.errors import DataError
from msnas.results.runs import SCAN, Runs
from msnas.storage import read_record

HERE = Path(__file__).parents[1]


def provenance(runs: Runs, folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Pairs of a term and its text, shown on the page as lines to copy."""
    packages = sorted({(name, one) for run in runs.finished for name, one in run.versions.items()})
    data = {
        f"{run.data.get('file', 'made events')}, {run.data.get('events', '?')} events, sha256 "
        f"{run.data.get('sha256', 'none')}, content {content}"
        for run, content in zip(runs.finished, runs.wide.get("data", ()), strict=True)
    }
    python = ".".join(map(str, sys.version_info[:3]))
    own = {"msnas": version("msnas"), "python": python, "plotly": version("plotly")}
    return [
        ("Command", _command()),
        *(("Scan", words) for folder in folders if (words := _scan(folder))),
        ("Written", datetime.now().astimezone().isoformat(timespec="seconds")),
        ("Versions, report", ", ".join(f"{name} {one}" for name, one in own.items())),
        ("Versions, runs", ", ".join(f"{name} {one}" for name, one in packages) or "not recorded"),
        *(("Data", one) for one in sorted(data)),
        *(("Commit, report", one) for one in [_commit()] if one),
    ]


def _command() -> str:
    program = Path(sys.argv[0])
    if program.name == "msnas":
        words = ["msnas"]
    elif program.name == "__main__.py":
        words = ["python", "-m", f"msnas.{program.parent.name}"]
    else:
        words = ["python", str(program)]
    return shlex.join([*words, *sys.argv[1:]])


def _scan(folder: Path) -> str:
    """The command of a scan, from its scan.json."""
    try:
        words = read_record(folder / SCAN).get("command") if (folder / SCAN).is_file() else None
    except DataError:
        return ""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return ""
    return shlex.join(["python", "sweep.py", *words])


def _commit() -> str:
    """The commit of the repository that this package lies in; empty outside a repository."""

    def git(*words: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", HERE, *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    if not git("ls-files", "__init__.py"):
        return ""
    changed = " and changes since" if git("status", "--porcelain", "--", ".") else ""
    return git("rev-parse", "HEAD") + changed
