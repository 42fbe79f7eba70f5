"""The page of results holds the published numbers, and says nothing stronger than they are."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from made_scan import made_scan


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as where it is run
    return importlib.import_module("publish")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("published")


PAGES = ("results.md", "results_paper.md", "results_imbalance.md")


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_those_of_the_files(publish: ModuleType, name: str) -> None:
    path = publish.DOCS / name
    page, tables = path.read_text(), publish.PAGES[path]
    assert publish.filled(page, tables, publish.Published()) == page
    used = re.findall(r"<!-- table: (\w+) -->", page)
    assert sorted(used) == sorted(table.__name__ for table in tables)
    assert page.count("<!-- end -->") == len(used)


@pytest.mark.parametrize("name", PAGES)
def test_the_text_of_a_page_says_the_numbers_of_its_tables(publish: ModuleType, name: str) -> None:
    """Every decimal number in words is one of a table, rounded."""
    page, table = (publish.DOCS / name).read_text(), r"<!-- table:.*?<!-- end -->"
    tables = "".join(re.findall(table, page, flags=re.DOTALL))
    known = np.abs([float(one) for one in re.findall(r"(?<![\w.])[+-]?\d*\.\d+", tables)])
    words = re.sub(rf"{table}|`[^`]*`", "", page, flags=re.DOTALL)
    said = re.findall(r"(?<!\w)\d*\.\d+", words)
    assert len(said) > 5
    for one in said:
        near = 0.5 * 10 ** -len(one.split(".")[1])
        assert (np.abs(known - float(one)) <= near + 1e-9).any(), one


def test_a_changed_number_changes_each_page(publish: ModuleType) -> None:
    assert {path.name for path in publish.PAGES} == set(PAGES)
    for path, tables in publish.PAGES.items():
        numbers, page = publish.Published(), path.read_text()
        for frame in (numbers.runs, numbers.paper, numbers.imbalance):
            frame["test_auc"] += 0.1
        assert publish.filled(page, tables, numbers) != page


def test_no_stage_that_is_published_ended_worse_than_it_began(published: ModuleType) -> None:
    stages = published.Published().stages
    known = stages.dropna(subset=["start", "loss"])
    post = known[known["stage"] == "posttrain"]
    assert len(post) > 100
    assert (post["loss"] <= post["start"]).all()


def test_a_difference_has_students_interval_and_p_value(published: ModuleType) -> None:
    """1 to 5: mean 3, deviation sqrt(2.5), t(4) = 2.776 for 95 %, t = 3 / 0.7071 = 4.243."""
    told, p_value = published.difference(pd.Series([1.0, 2, 3, 4, 5]), pd.Series(np.zeros(5)), 3)
    assert told == "+3.000 +- 1.963"
    assert p_value == pytest.approx(0.0132, abs=1e-4)
    told, p_value = published.difference(pd.Series([1.0, 2.0]), pd.Series([0.0, 0.0]))
    assert told == "+1.5000"
    assert np.isnan(p_value)


def test_holm_and_the_verdict(published: ModuleType) -> None:
    assert published.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert published.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert published.verdict(0.1, 0.04) == "better"
    assert published.verdict(0.1, 0.04, higher_is_better=False) == "worse"
    assert published.verdict(-0.1, 0.06) == "no difference seen"
    assert published.verdict(-0.1, float("nan")) == "no difference seen"


def test_runs_become_rows(
    publish: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "FOLDER", tmp_path)
    publish.collect_numbers([made_scan(tmp_path / "first"), made_scan(tmp_path / "second")])
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert runs["scan"].value_counts().to_dict() == {"first": 38, "second": 38}
    assert runs.groupby("scan")["key"].nunique().to_dict() == {"first": 38, "second": 38}
    assert {path.stem for path in tmp_path.glob("*.csv")} == set(publish.FRAMES)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda it: it.stem)
def test_a_benchmark_finds_what_it_uses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(path.parent)  # as where it is run
    specification = importlib.util.spec_from_file_location(f"_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    specification.loader.exec_module(module)
    assert module.__doc__
