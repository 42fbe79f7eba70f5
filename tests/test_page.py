"""The report's page: what it holds, read back with an HTML parser of its own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from made_page import EVIL, made_page, made_run

from msnas.report.config_difference import beside, common_part
from msnas.report.page import page_table, write_page
from msnas.report.tables import NamedTable
from msnas.results.runs import Runs


class Parsed(HTMLParser):
    """Elements with their attributes, and the text inside each id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
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
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def all(self, attribute: str) -> list[str]:
        return [found[attribute] or "" for _, found in self.elements if attribute in found]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_page(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def parsed(page: Path) -> Parsed:
    return Parsed(page.read_text())


def test_every_link_leads_somewhere(page: Path, parsed: Parsed) -> None:
    ids = parsed.all("id")
    assert len(ids) == len(set(ids))
    links = parsed.all("href")
    inside = {link[1:] for link in links if link.startswith("#")}
    assert inside <= set(ids)
    assert {"run-aaaa", "run-bbbb", "run-cccc"} <= inside
    outside = [link for link in links if not link.startswith("#")]
    for link in outside:
        assert not re.match(r"[a-z]+:|//|/", link), link
        assert (page.parent / unquote(link)).exists(), link
    for wanted in (
        "../runs/toy/spos/bbbb/",
        "../runs/toy/spos/bbbb/config.yaml",
        "../runs/toy/spos/dddd/",
        "fig3.png",
        "fig%202.pdf",
    ):
        assert wanted in outside


def test_nothing_is_loaded_from_elsewhere(parsed: Parsed) -> None:
    assert parsed.all("src") == []
    assert not [found for tag, found in parsed.elements if tag in ("link", "iframe", "img")]


def test_the_policy_names_the_two_scripts_that_may_run(parsed: Parsed) -> None:
    """A browser refuses any other, and any address."""
    (policy,) = [text for text in parsed.all("content") if "script-src" in text]
    plotly = gzip.decompress(base64.b64decode(parsed.scripts["plotly"])).decode()
    expected = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (parsed.scripts[""], plotly)
    }
    assert set(re.findall(r"'sha256-(.*?)'", policy)) == expected
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_texts_from_outside_stay_texts(tmp_path: Path) -> None:
    text = made_page(tmp_path, note=EVIL).read_text()
    evil = Parsed(text)
    plain = Parsed(made_page(tmp_path / "plain").read_text())
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in plain.elements]
    shown = " ".join(evil.texts)
    for place in ("Caption", "failed:", "no images", "note:"):
        assert f"{place} {EVIL}" in re.sub(r"\s+", " ", shown)
    trace = json.loads(evil.scripts["figure-fig3-data"])["data"][0]
    assert trace["name"] == EVIL


def test_the_best_chain_is_chosen_on_validation(parsed: Parsed) -> None:
    said = " ".join(" ".join(parsed.texts).split())
    assert "3 finished runs; 1 other run without a usable result." in said
    assert "a → b : two/auc 0.875 on validation, 0.865 on test data" in said
    assert "(spos, v1 = 0.5, seed 0; run bbbb )" in said


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    text = write_page(Runs([], []), [], [("fig3", "no finished run")], [], tmp_path / "report")
    empty = Parsed(text.read_text())
    said = " ".join(" ".join(empty.texts).split())
    assert "0 finished runs." in said
    assert "fig3 : no finished run" in said
    assert text.stat().st_size < 30_000, "Plotly is there for nothing"


def test_the_same_run_in_two_places_has_two_sections(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / place, "aaaa", v1=0.5, seed=0, valid=0.75) for place in ("one", "two")
    ]
    parsed = Parsed(write_page(Runs(runs, []), [], [], [], tmp_path / "report").read_text())
    assert [name for name in parsed.all("id") if name.startswith("run-")] == [
        "run-aaaa",
        "run-aaaa-2",
    ]


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for name, value in other.items():
        below = result.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[name] = merged(below, value) if both else value
    return result


def test_common_part_and_rest_are_the_whole() -> None:
    configs = [
        {"a": 0, "b": {"x": [1, 2], "y": {"z": None}}, "c": {"one": 1}, "d": {}, "flag": True},
        {"a": 0.0, "b": {"x": [1, 2], "y": {"z": None}}, "c": {"two": 2}, "d": {"e": 1}, "flag": 1},
        {"a": 0, "b": {"x": [2, 1], "y": {"z": None}}, "c": 5, "f": "text", "flag": True},
    ]
    common = common_part(configs)
    assert common == {"b": {"y": {"z": None}}}
    for config in configs:
        rest = beside(config, common)
        assert json.dumps(merged(common, rest), sort_keys=True) == json.dumps(
            config, sort_keys=True
        )
    assert common_part(configs[:1]) == configs[0]
    assert beside(configs[0], configs[0]) == {}


def test_numbers_are_sorted_by_their_full_value() -> None:
    table = pd.DataFrame(
        {
            "method": ["spos", "darts"],
            "auc median": [0.123456, None],
            "auc": [12345678, 3],
            "run": ["aaaa", "<b>"],
        }
    )
    named = NamedTable(name="t", title="", caption="", table=table)
    shown = page_table(named, {"aaaa": "#run-aaaa"})
    assert shown["columns"] == [
        *(("method", False), ("auc median", True), ("auc", True), ("run", False))
    ]
    assert [[cell["text"] for cell in row] for row in shown["rows"]] == [
        ["spos", "0.1235", "12345678", "aaaa"],
        ["darts", "", "3", "<b>"],
    ]
    assert [cell["value"] for cell in shown["rows"][0]] == [None, "0.123456", "12345678", None]
    assert shown["rows"][0][3]["link"] == "#run-aaaa"


def test_a_thousand_runs_stay_small(tmp_path: Path) -> None:
    """A configuration of a real size is on the page once, not a thousand times."""
    big = {f"setting_{number}": number for number in range(300)}
    runs = []
    for number in range(1000):
        run = made_run(tmp_path, f"{number:04}", v1=0.5, seed=number, valid=0.75)
        config = {**run.config, "big": big}
        runs.append(replace(run, config=config))
    page = write_page(Runs(runs, []), [], [], [], tmp_path / "report")
    assert page.read_text().count("setting_299: 299") == 1
    assert page.stat().st_size < 2_000_000
