"""The page of results holds the published numbers, and says nothing stronger than they are."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        "publish", ROOT / "benchmarks" / "publish.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_those_of_the_files(publish: ModuleType) -> None:
    page = publish.PAGE.read_text()
    assert publish.filled(page, publish.Published()) == page
    used = re.findall(r"<!-- table: (\w+) -->", page)
    assert sorted(used) == sorted(table.__name__ for table in publish.TABLES)
    assert page.count("<!-- end -->") == len(used)


def test_a_changed_number_changes_the_page(publish: ModuleType) -> None:
    numbers, page = publish.Published(), publish.PAGE.read_text()
    chosen = (numbers.runs["scan"] == "best") & (numbers.runs["seed"] == 0)
    numbers.runs.loc[chosen, "test_auc"] += 0.1
    assert publish.filled(page, numbers) != page


def test_no_stage_that_is_published_ended_worse_than_it_began(publish: ModuleType) -> None:
    stages = publish.Published().stages
    known = stages.dropna(subset=["start", "loss"])
    post = known[known["stage"] == "posttrain"]
    assert len(post) > 100
    assert (post["loss"] <= post["start"]).all()


def test_a_difference_has_students_interval_and_p_value(publish: ModuleType) -> None:
    """1 to 5: mean 3, deviation sqrt(2.5), t(4) = 2.776 for 95 %, t = 3 / 0.7071 = 4.243."""
    told, p_value = publish.difference(pd.Series([1.0, 2, 3, 4, 5]), pd.Series(np.zeros(5)), 3)
    assert told == "+3.000 +- 1.963"
    assert p_value == pytest.approx(0.0132, abs=1e-4)
    told, p_value = publish.difference(pd.Series([1.0, 2.0]), pd.Series([0.0, 0.0]))
    assert told == "+1.5000"
    assert np.isnan(p_value)


def test_holm_and_the_verdict(publish: ModuleType) -> None:
    assert publish.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert publish.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert publish.verdict(0.1, 0.04) == "better"
    assert publish.verdict(0.1, 0.04, higher_is_better=False) == "worse"
    assert publish.verdict(-0.1, 0.06) == "no difference seen"
    assert publish.verdict(-0.1, float("nan")) == "no difference seen"


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
