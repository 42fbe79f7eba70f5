"""The answer on top of the page: which chain, how sure, where, with which numbers, what next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_scan import made_scan, write_made_run

from msnas.report.answer import answer
from msnas.report.tables import differences_table, methods_table
from msnas.results.constrained import Bounds, Candidate, Recommended
from msnas.results.runs import OtherRun, Runs, collect


def said(runs: Runs, recommended: Sequence[Recommended] = ()) -> dict[str, list[str]]:
    tables = {"methods": methods_table(runs), "differences": differences_table(runs)}
    found: dict[str, list[str]] = {}
    for term, text in answer(runs, recommended, tables):
        found.setdefault(term, []).append(text)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return collect([made_scan(tmp_path_factory.mktemp("made"))])


def test_method_and_weights_are_taken_on_validation_events(runs: Runs) -> None:
    """SPOS has six seeds of AUC 0.80 + 0.005 seed at v1 = 0, the others the two lowest."""
    found = said(runs)
    (taken,) = found["Taken from"]
    assert taken.startswith("spos, v1 = 0: the best median AUC of classify on validation events")
    # the chain is cnn-lstm where the seed is no multiple of three
    assert found["Selected chain"] == ["cnn-lstm"]
    assert found["How sure"] == ["4 of 6 runs selected cnn-lstm."]
    assert "AUC of classify: 0.8125 (68 % over 6 seeds: 0.805 to 0.82)" in found["Test number"]


def test_the_reference_is_told_with_its_pairs(runs: Runs) -> None:
    (told,) = said(runs)["Against the reference"]
    assert told.startswith("AUC of classify +0 to grid_search in the median of 2 pairs")
    grid = Runs([run for run in runs.finished if run.method == "grid_search"])
    assert said(grid)["Against the reference"][0].startswith("not known")


def test_few_seeds_and_missing_runs_are_what_to_do_next(runs: Runs) -> None:
    grid = Runs([run for run in runs.finished if run.method == "grid_search"])
    assert said(grid)["What to do next"] == [
        "Train 5 seeds or more (here 2): what seeds change is not known."
    ]
    assert "no interval over seeds below 5 of them, here 2" in said(grid)["Test number"][0]
    left = Runs(grid.finished, [OtherRun(directory=Path("x"), reason="not started")])
    assert said(left)["What to do next"][0].startswith("1 run has no result")
    (here,) = said(runs)["What to do next"]
    assert here.startswith("Train the selected chain for use")
    one = Runs([run for run in runs.finished if run.method == "spos" and run.v1 == 0.5])
    assert said(one)["What to do next"][0].startswith("Scan the task weights")


@pytest.mark.parametrize(
    ("seeds", "events", "begins"),
    [
        (12, 4000, "Train about 12 seeds to decide"),
        (None, 4000, "Judge the tied chains by more events"),
        (None, None, "Train more seeds on more events"),
    ],
)
def test_tied_chains_are_what_to_do_next(
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    seeds: int | None,
    events: int | None,
    begins: str,
) -> None:
    tied = SimpleNamespace(
        decided=False, enough_seeds=seeds, enough_events=events, order=[0, 1], tied=2
    )
    choice = SimpleNamespace(sure=tied, paths=[("cnn", "mlp"), ("cnn", "lstm")], words=list)
    monkeypatch.setattr("msnas.report.answer._choice", lambda _: choice)
    (here,) = said(runs)["What to do next"]
    assert here.startswith(begins)
    assert here.endswith("(selection=parsimonious).")


def test_a_recommended_v1_comes_first(runs: Runs) -> None:
    """Though another v1 has the better last task."""
    spos = [run for run in runs.finished if run.method == "spos"]
    rows = [
        Candidate(
            v1=v1,
            value=value,
            validity=0.96,
            leakage=None,
            low=None,
            high=None,
            refused=refused,
            share=share,
        )
        for v1, value, share, refused in (
            (0.0, 0.81, 0.0, ["validity"]),
            (0.5, 0.8, 0.75, []),
            (0.99, 0.7, 0.25, []),
        )
    ]
    one = Recommended(
        runs=spos,
        quantity="AUC",
        seeds=6,
        bounds=Bounds(),
        v1=0.5,
        candidates=rows,
        none=0.0,
    )
    (taken,) = said(runs, [one])["Taken from"]
    assert taken.startswith("spos, v1 = 0.5: v1 = 0.5 has the best AUC on validation events")
    assert "75 % of resamplings" in taken
    at = [
        {"parameters": {"task_weight": v1}, "valid": {}, "test": {"classify/auc": auc}}
        for v1, auc in ((0.0, 0.85), (0.5, 0.82))
    ]
    trained_once = [replace(run, conditions=at) for run in spos if run.v1 == 0]
    found = said(Runs(trained_once), [replace(one, runs=trained_once)])
    assert found["Taken from"][0].startswith("spos, one training (YOTO), v1 = 0.5: v1 = 0.5 has")
    (auc,) = found["Test number"]
    assert auc == "AUC of classify: 0.82 (68 % over 6 seeds: 0.82 to 0.82)", "not those at v1 = 0"
    none = replace(one, v1=None)
    assert said(runs, [none])["Taken from"][0].startswith("spos, v1 = 0: ")


def test_chains_that_are_tied_are_all_named(tmp_path: Path) -> None:
    names = [["cnn", "lstm"], ["mlp", "lstm"], ["mlp", "mlp"]]
    standing = {"loss": 1.0, "regret": 0.0, "low": 0.0, "high": 0.1}
    chains = [
        {
            "selected": dict(zip(("calibrate", "classify"), name, strict=True)),
            "best": best,
            "tied": best > 0.1,
            **standing,
        }
        for name, best in zip(names, (0.6, 0.35, 0.05), strict=True)
    ]
    choice = {
        **{"confidence": 0.95, "seeds": [0], "events": 100, "together": False},
        **{"chains": chains, "event_error": 0.01},
    }
    write_made_run(tmp_path, result={"choice": choice})
    found = said(collect([tmp_path]))
    assert found["Selected chain"] == ["one of 2 that are tied: cnn-lstm, mlp-lstm"]
    assert found["How sure"][0].startswith("Not decided (P = 0.600)")


def test_no_run_no_answer() -> None:
    assert answer(Runs([]), [], {}) == []
