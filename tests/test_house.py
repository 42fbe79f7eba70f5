"""The rooms of the house: who imports whom, and how large they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

SRC = ROOT / "src"

TRAINING = frozenset(
    {"candidates", "chain", "conditioning", "data", "evaluation", "losses", "methods", "problems"}
    | {"measurement", "shifts", "training", "weighting", "build", "momentum"}
)
"""Rooms that train."""

REPORTING = frozenset({"compare", "plots", "report", "results"})
"""Rooms that read what was trained."""

FILES = frozenset(
    {"msnas.data.hdf5", "msnas.data.checks"}
    | {f"msnas.{name}" for name in ("code", "command_line", "config", "errors", "folders", "help")}
    | {f"msnas.{name}" for name in ("identity", "kinds", "packages", "run_directory", "storage")}
    | {"msnas.locks", "msnas.terminal", "msnas.convert.image", "msnas.auc", "msnas.confidence"}
    | {"msnas.elsewhere"}
)
"""What both sides stand on: texts, files, keys, processes."""

APPLIES_AGAIN = "msnas.compare.shared_events"
"""Applies trained chains to the test events once more, so it needs the training side."""

LINES, FILES_IN_ALL, LONGEST, LARGEST = 36_091, 305, 347, 0.22
"""Lines and files of src/, lines of a file, share of a room: lowered, or raised by a new part."""


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, *, lazily: bool) -> set[str]:
    """The own modules that one imports: when it is loaded, or also later, in a function."""
    found = set()
    for node in _statements(ast.parse(modules()[name].read_text()).body, lazily=lazily):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {one for one in found if one in modules()}


def _statements(body: list[ast.stmt], *, lazily: bool) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ast.walk(node) if lazily else ()
        elif isinstance(node, ast.ClassDef):
            yield from _statements(node.body, lazily=lazily)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _statements(node.body, lazily=lazily)
            yield from _statements(getattr(node, "orelse", []), lazily=lazily)
        else:
            yield node


def room(name: str) -> str:
    """The folder of a module, or the module itself."""
    return name.split(".")[1] if "." in name else name


def side(rooms: frozenset[str]) -> list[str]:
    return [name for name in modules() if room(name) in rooms and name.startswith("msnas.")]


@pytest.mark.parametrize("name", side(TRAINING))
def test_what_trains_knows_nothing_of_reports(name: str) -> None:
    assert not {one for one in imported(name, lazily=True) if room(one) in REPORTING}


@pytest.mark.parametrize("name", [one for one in side(REPORTING) if one != APPLIES_AGAIN])
def test_what_reports_knows_nothing_of_training(name: str) -> None:
    allowed = {*FILES, APPLIES_AGAIN, "msnas"}
    assert not {one for one in imported(name, lazily=True) if room(one) not in REPORTING} - allowed
    if room(name) == "results":
        assert not {one for one in imported(name, lazily=True) if room(one) in REPORTING} - set(
            side(frozenset({"results"}))
        )
    if room(name) == "plots":
        assert not {one for one in imported(name, lazily=True) if room(one) == "report"}


def test_results_are_read_without_pytorch_and_without_drawing() -> None:
    names = [name for name in side(frozenset({"results"})) if modules()[name].stem != "__init__"]
    heavy = "{'torch', 'pytorch_lightning', 'matplotlib', 'plotly', 'hydra'}"
    program = f"import sys, {', '.join(names)}; print(sorted(sys.modules.keys() & {heavy}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_no_module_needs_itself() -> None:
    """No circle of imports, not even through functions."""
    needs = {name: imported(name, lazily=True) for name in modules()}
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    assert not needs


def test_the_budget() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert sum(lines.values()) <= LINES
    assert len(lines) <= FILES_IN_ALL
    assert max(lines.values()) <= LONGEST
    rooms: Counter[str] = Counter()
    for name, count in lines.items():
        rooms[room(name)] += count
    largest, count = rooms.most_common(1)[0]
    assert count <= LARGEST * sum(lines.values()), largest
