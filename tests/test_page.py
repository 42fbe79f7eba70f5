"""The report's page: what it holds, and what it may load."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from made_page import EVIL, held, made_page, made_run, scan_page

from msnas.report.config_difference import beside, common_part
from msnas.report.page import Page, state_of
from msnas.report.provenance import provenance
from msnas.report.tables import NamedTable
from msnas.results.alike import flat
from msnas.results.runs import OtherRun, Runs


class Parsed(HTMLParser):
    """Elements with their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def all(self, attribute: str) -> list[str]:
        return [found[attribute] or "" for _, found in self.elements if attribute in found]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_page(tmp_path_factory.mktemp("plain"))


def test_every_link_leads_somewhere(page: Path) -> None:
    data, details = held(page)
    links = [link for one in data["figures"] for _, link in one["files"]]
    links += [link for run in details.values() for _, link in run["files"]]
    links += [run["directory"][1] for run in details.values()]
    place = data["runs"]["columns"].index("run")
    status = data["runs"]["columns"].index("status")
    runs = {row[place]: row[status] for row in data["runs"]["rows"]}
    links += [name for name, state in runs.items() if state != "finished"]
    assert {name for name, state in runs.items() if state == "finished"} == set(details)
    for link in links:
        assert not re.match(r"[a-z]+:|//|/", link), link
        assert (page.parent / unquote(link)).exists(), link
    for wanted in (
        "../runs/toy/spos/bbbb/",
        "../runs/toy/spos/bbbb/config.yaml",
        "../runs/toy/spos/dddd",
        "fig3.png",
        "fig%202.pdf",
    ):
        assert wanted in links


def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    parsed = Parsed(page.read_text())
    assert parsed.all("src") == parsed.all("href") == []
    assert not [tag for tag, _ in parsed.elements if tag in ("link", "iframe", "img")]


def test_the_policy_names_the_two_scripts_that_may_run(page: Path) -> None:
    """A browser refuses any other, any text as a program, and any address."""
    parsed = Parsed(page.read_text())
    (policy,) = [text for text in parsed.all("content") if "script-src" in text]
    plotly = gzip.decompress(base64.b64decode(parsed.scripts["plotly"])).decode()
    expected = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (parsed.scripts[""], plotly)
    }
    assert set(re.findall(r"'sha256-(.*?)'", policy)) == expected
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_texts_from_outside_stay_texts(tmp_path: Path) -> None:
    page = made_page(tmp_path, note=EVIL)
    plain = made_page(tmp_path / "plain")
    tags = [[tag for tag, _ in Parsed(one.read_text()).elements] for one in (page, plain)]
    assert tags[0] == tags[1]
    data, details = held(page)
    assert data["figures"][0]["data"][0]["name"] == EVIL
    assert data["answer"] == [["Selected chain", f"a-b {EVIL}"]]
    assert details["aaaa"]["settings"] == {"seed": 0, "note": EVIL}
    assert data["missing"] == [["fig8_data", f"no images {EVIL}"]]


def test_what_is_held_of_a_run(page: Path) -> None:
    data, details = held(page)
    run = details["bbbb"]
    assert run["told"] == "toy, spos, v1 = 0.5, seed 0, a-b"
    assert run["settings"] == {"seed": 0}
    assert ["recipe.lr", 0.1] in data["common"]
    assert run["log"] == "selected a-b none"
    assert run["numbers"]["test/two/auc"] == pytest.approx(0.865)
    first, search = run["curves"]
    assert (first["stage"], first["model"], first["epochs"]) == ("pretrain", "one/a", [1, 2, 3])
    assert first["values"]["valid/loss"] == [1.5, 0.75, 0.5]
    assert search["values"]["alpha/one/a"] == [0, 0.5, 1.0]


def test_a_history_that_was_changed_is_no_curve(tmp_path: Path) -> None:
    run = made_run(tmp_path, "aaaa", v1=0.5, seed=0, valid=0.75)
    (run.directory / "history.jsonl").write_text("[1]\n")
    _, details = held(Page(runs=Runs([run])).write(tmp_path / "report"))
    assert details["aaaa"]["curves"] == []


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    nothing = Page(runs=Runs([], []), drawn=lambda: ([], [("fig3", "no finished run")]))
    page = nothing.write(tmp_path)
    data, details = held(page)
    assert data["runs"]["rows"] == []
    assert data["missing"] == [["fig3", "no finished run"]]
    assert details == {}
    assert page.stat().st_size < 60_000, "Plotly is there for nothing"


def test_the_same_run_in_two_places_is_there_twice(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / place, "aaaa", v1=0.5, seed=0, valid=0.75)
        for place in ("one", "two", "three")
    ]
    data, details = held(Page(runs=Runs(runs)).write(tmp_path / "report"))
    assert [row[0] for row in data["runs"]["rows"]] == ["aaaa", "aaaa-2", "aaaa-3"]
    assert list(details) == ["aaaa", "aaaa-2", "aaaa-3"]


def test_common_part_and_rest_are_the_whole() -> None:
    configs: list[dict[str, Any]] = [
        {"a": 0, "b": {"x": [1, 2], "y": {"z": None}}, "c": {"one": 1}, "d": {}, "flag": True},
        {"a": 0.0, "b": {"x": [1, 2], "y": {"z": None}}, "c": {"two": 2}, "d": {"e": 1}, "flag": 1},
        {"a": 0, "b": {"x": [2, 1], "y": {"z": None}}, "c": 5, "f": "text", "flag": True},
    ]
    common = common_part(configs)
    assert common == {"b.y.z": None}
    for config in configs:
        rest = beside(config, common)
        assert not rest.keys() & common.keys()
        assert json.dumps(common | rest, sort_keys=True) == json.dumps(flat(config), sort_keys=True)
    assert common_part(configs[:1]) == flat(configs[0])
    assert beside(configs[0], flat(configs[0])) == {}


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("failed: no space", "failed"),
        ("unfinished or still running; last in its log: x", "unfinished"),
        ("not started (seed=1)", "not started"),
        ("no run: method.chain: x", "no run"),
        ("result.json cannot be read", "unreadable"),
    ],
    ids=["failed", "unfinished", "not started", "impossible", "unreadable"],
)
def test_the_state_of_a_run_without_a_result(reason: str, state: str) -> None:
    assert state_of(OtherRun(directory=Path("x"), reason=reason)) == state


def test_where_a_report_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path, "aaaa", v1=0.5, seed=0, valid=0.75)
    known = {"file": "events.h5", "sha256": "abc", "events": 12}
    run = replace(run, data=known, versions={"torch": "2.1"})
    (tmp_path / "scan.json").write_text(
        json.dumps({"schema": 1, "runs": [], "command": ["problem=toy", "seed=range(0, 2)"]})
    )
    monkeypatch.setattr("sys.argv", ["/x/msnas/report/__main__.py", "runs=a b", "out=c"])
    lines = provenance(Runs([run]), [tmp_path])
    told = dict(lines)
    assert told["Command"] == "python -m msnas.report 'runs=a b' out=c"
    monkeypatch.setattr("sys.argv", ["/usr/bin/msnas", "report", "runs=a b"])
    assert dict(provenance(Runs([run]), []))["Command"] == "msnas report 'runs=a b'"
    assert told["Scan"] == "python sweep.py problem=toy 'seed=range(0, 2)'"
    assert told["Data"].startswith("events.h5, 12 events, sha256 abc, content ")
    assert told["Versions, runs"] == "torch 2.1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", told["Written"])
    assert re.fullmatch(r"[0-9a-f]{40}( and changes since)?", told.get("Commit, report", "0" * 40))


def test_a_scan_list_that_is_none_tells_no_command(tmp_path: Path) -> None:
    for text in ("{", '{"command": "rm"}', '{"command": [1]}'):
        (tmp_path / "scan.json").write_text(text)
        assert "Scan" not in dict(provenance(Runs([]), [tmp_path]))


def test_a_thousand_runs_stay_small(tmp_path: Path) -> None:
    """A configuration of a real size is on the page once, not a thousand times."""
    run = made_run(tmp_path, "0000", v1=0.5, seed=0, valid=0.75)
    big = {f"setting_{number}": number for number in range(50)}
    runs = [
        replace(run, key=f"{seed:04}", seed=seed, config={**run.config, "big": big, "seed": seed})
        for seed in range(1000)
    ]
    page = Page(runs=Runs(runs)).write(tmp_path / "report")
    data, details = held(page)
    assert ["big.setting_49", 49] in data["common"]
    assert len(details) == len(data["runs"]["rows"]) == 1000
    assert details["0999"]["settings"] == {"seed": 999}
    assert page.stat().st_size < 3_000_000


def test_rows_that_are_put_together() -> None:
    import pandas as pd

    rows = pd.DataFrame(
        {
            "method": ["b", "b", "a"],
            "auc": [0.25, 0.75, None],
            "whole": [7.0, 7.0, 8.0],
            "keys": [["x"], ["y"], ["z"]],
        }
    )
    named = NamedTable(
        name="t",
        title="",
        caption="",
        rows=rows,
        by=["method"],
        numbers={
            "runs": ("size", "keys"),
            "median": ("median", "auc"),
            "interval": ("interval", "auc"),
            "above": ("positive", "auc"),
            "whole": ("whole", "whole"),
        },
    )
    shown = named.table
    assert list(shown["method"]) == ["b", "a"]
    assert list(shown["runs"]) == [2, 1]
    assert shown["median"][0] == 0.5
    assert pd.isna(shown["median"][1])
    assert "interval" not in shown  # below five
    assert list(shown["above"]) == [2, 0]
    assert list(shown["whole"]) == [7, 8]


def test_the_address_of_another_problem(tmp_path: Path) -> None:
    page, _ = scan_page(tmp_path, beside=[("made", ""), ("other", "../other/index.html")])
    assert held(page)[0]["beside"] == [["made", ""], ["other", "../other/index.html"]]
