"""Cross-fitting: every event is judged once, by a chain that was not trained on it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, ROOT, compose_config, epochs
from killable_run import Death, finish, python, start
from made_events import load, numbered
from same_numbers import tensor_bytes, without_volatile
from scan_process import said, sweep
from sklearn.metrics import roc_auc_score
from torch import Tensor

import msnas.parts
from msnas.confidence import how_sure
from msnas.data.events import Events
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.problems.toy import Toy
from msnas.report.run_views import told
from msnas.results.folds import Folds
from msnas.results.losses import read_losses
from msnas.results.result import Result
from msnas.run import run

EVENTS, FOLDS = 300, 3
WORDS = [
    *("problem=toy", "trainer=cpu", "logger=none", f"data.source.events={EVENTS}"),
    "candidate/toy_regression=[plane,curve]",
    "candidate/toy_classification=[logistic]",
    *epochs(1),
]
CHAIN, SCORE = "toy_regression", "toy_classification"


def words(output: Path, *more: str) -> list[str]:
    return [*WORDS, "method=grid_search", f"data.folds={FOLDS}", f"output={output}", *more]


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """`python train.py data.folds=3`."""
    output = tmp_path_factory.mktemp("folds") / "runs"
    done = python("train.py", *words(output))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"of {FOLDS} folds" in done.stdout
    (found,) = output.glob("toy/grid_search/*/result.json")
    return Result.read(found.parent)


def fold(crossed: Result, number: int) -> Result:
    return Result.read(crossed.directory / "folds" / str(number))


def arrays(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        return {name: file[name][()] for name in names}


# ------------------------------------------------------------------ the events


def test_folds_share_out_the_events() -> None:
    """Each event is once a test event and once a validation event, and else trains."""
    loaded = [load(numbered(11, 30), fold=(number, 5)) for number in range(5)]
    for one, after in zip(loaded, [*loaded[1:], loaded[0]], strict=True):
        assert sorted(np.concatenate(list(one.origin.indices.values()))) == list(range(41))
        assert set(one.origin.indices["valid"]) == set(after.origin.indices["test"])
        for part, rows in one.origin.indices.items():
            assert getattr(one, part)["number"].int().tolist() == rows.tolist()
        labels = one.test["label"].tolist()
        assert (labels.count(0) in (2, 3), labels.count(1)) == (True, 6)
    assert sorted(np.concatenate([one.origin.indices["test"] for one in loaded])) == list(range(41))
    again = load(numbered(11, 30), fold=(2, 5), fractions={"train": 9, "valid": 1, "test": 1})
    assert again.origin.indices["train"].tolist() == loaded[2].origin.indices["train"].tolist()
    other = load(numbered(11, 30), fold=(2, 5), split_seed=1)
    assert set(other.origin.indices["test"]) != set(loaded[2].origin.indices["test"])


def test_events_that_cannot_be_shared_out() -> None:
    with pytest.raises(DataError, match=r"data\.folds: found 5 folds for the 4 events of a class"):
        load(numbered(4, 30), fold=(0, 5))
    given = numbered(10, 10, part=np.arange(20, dtype=np.uint8) % 3)
    with pytest.raises(DataError, match=r"data\.folds: part is given"):
        load(given, fold=(0, 5))


# ------------------------------------------------------------------ settings and keys


def test_without_folds_a_run_is_what_it_was() -> None:
    plain, null = (make_plan(compose_config([*WORDS, *more])) for more in ([], ["data.folds=null"]))
    assert plain.key == null.key
    assert not plain.folds
    assert not plain.config["data"].keys() & {"folds", "fold"}


def test_a_fold_is_a_run_in_the_folder_of_all() -> None:
    plan, third = (
        make_plan(compose_config([*WORDS, "data.folds=4", *more])) for more in ([], ["data.fold=3"])
    )
    assert len({plan.key, *(one.key for one in plan.folds)}) == 5
    assert plan.folds[3].config == third.config
    assert plan.folds[3].data_identity == third.data_identity
    assert third.key == plan.folds[3].key
    assert third.directory == plan.directory / "folds" / "3"
    assert third.folds == []
    assert make_plan(compose_config([*WORDS, "data.folds=5"])).folds[3].key != third.key


BAD: dict[str, tuple[list[str], str]] = {
    "two_folds": (["data.folds=2"], "data.folds: expected a whole number >= 3 or null, found 2"),
    "half_a_fold": (["data.folds=3.5"], "data.folds: expected a whole number >= 3 or null"),
    "no_such_fold": (["data.folds=4", "data.fold=4"], "data.fold: found 4, expected 0 to 3"),
    "negative": (["data.folds=4", "data.fold=-1"], "data.fold: expected a whole number >= 0"),
    "of_none": (["data.fold=1"], "data.fold: found 1, expected data.folds=<number> beside it"),
}


@pytest.mark.parametrize(("more", "message"), BAD.values(), ids=BAD)
def test_folds_that_cannot_be(more: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(compose_config([*WORDS, *more]))
    assert message in str(caught.value)


def test_the_commands_of_the_documentation_compose(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "folds.md").read_text()
    train, scan = re.findall(r"^python (?:train|sweep).py (.*)$", text, flags=re.MULTILINE)
    plan = make_plan(compose_config([*train.split(), "trainer=cpu"]))
    assert len(plan.folds) == 5
    done = sweep(tmp_path, *scan.split(), "trainer=cpu", "dry_run=true")
    assert done == 0, said(tmp_path)
    assert "2 of 2 runs to do" in said(tmp_path)


def test_more_folds_than_events_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"toy: data\.folds: found 200 folds for the 1\d\d events"):
        run(compose_config(words(tmp_path, "data.folds=200")), console=QUIET)


def test_a_source_that_splits_itself_has_no_folds(tmp_path: Path) -> None:
    config = ["problem=digit_sum", "trainer=cpu", "logger=none", "data.folds=3", *epochs(1)]
    with pytest.raises(DataError, match=r"digit_sum: data\.folds: part is given"):
        run(compose_config([*config, f"output={tmp_path}"]), console=QUIET)


# ------------------------------------------------------------------ what is put together


def test_every_event_is_judged_once_by_the_fold_it_tested(crossed: Result) -> None:
    """Applied anew, the chain of an event's fold says of it what outputs.h5 says."""
    found = arrays(crossed.directory / "outputs.h5")
    raw = Toy(events=EVENTS, seed=0).load([])
    assert found["event"].tolist() == list(range(EVENTS))
    assert np.array_equal(found["inputs/x"], raw["x"])
    assert np.array_equal(found[f"{SCORE}/target"], raw["label"])
    assert np.bincount(found["fold"]).min() >= EVENTS // FOLDS - 2
    for number in range(FOLDS):
        mine = found["fold"] == number
        chain = msnas.load(crossed.directory / "folds" / str(number))
        said = chain.predict({"x": raw["x"][mine]})
        assert np.allclose(said[CHAIN], found[f"{CHAIN}/output"][mine], atol=1e-6)
        assert np.allclose(said[SCORE], found[f"{SCORE}/output"][mine], atol=1e-6)
        others = chain.predict({"x": raw["x"][~mine]})[SCORE]
        assert not np.allclose(others, found[f"{SCORE}/output"][~mine], atol=1e-3)


def test_the_numbers_are_means_over_all_events(crossed: Result) -> None:
    found = arrays(crossed.directory / "outputs.h5")
    error = np.square(found[f"{CHAIN}/output"] - found[f"{CHAIN}/target"]).sum(1).mean()
    assert crossed.test[f"{CHAIN}/mse"] == pytest.approx(float(error), rel=1e-5)
    areas, sizes = [], []
    for number in range(FOLDS):
        mine = found["fold"] == number
        sizes.append(mine.sum())
        areas.append(roc_auc_score(found[f"{SCORE}/target"][mine], found[f"{SCORE}/output"][mine]))
        own = fold(crossed, number)
        assert own.test[f"{SCORE}/auc"] == pytest.approx(areas[-1], abs=1e-6)
        told = crossed.folds[number]
        assert (told["selected"], told["test"]) == (own.selected, own.test)
    area = float(np.average(areas, weights=sizes))
    assert crossed.test[f"{SCORE}/auc"] == pytest.approx(area, abs=1e-6)
    assert crossed.data["events"] == EVENTS
    assert sum(crossed.data["classes"]["test"].values()) == EVENTS
    assert crossed.chains[-1]["valid"] == crossed.valid


def test_the_choice_is_by_the_validation_losses_of_all_events(crossed: Result) -> None:
    by_fold = [read_losses(fold(crossed, number)).ranked for number in range(FOLDS)]
    paths = list(by_fold[0])
    losses = np.stack([np.concatenate([one[path] for one in by_fold]) for path in paths])
    assert losses.shape == (2, EVENTS)
    expected = how_sure(losses[:, None])
    (choice,) = msnas.choose(crossed.directory)
    for path, one in zip(choice.paths, choice.sure.chains, strict=True):
        assert one == expected.chains[paths.index(path)]
    assert crossed.choice is not None
    assert crossed.choice["events"] == EVENTS
    leader = expected.order[0]
    assert crossed.choice["chains"][0]["best"] == pytest.approx(expected.chains[leader].best)
    assert any(f"one of {FOLDS} trainings" in line for line in choice.words())
    votes = [tuple(one["selected"].values()) for one in crossed.folds]
    assert votes.count(crossed.path) == max(votes.count(path) for path in votes)


def test_seeds_of_folds_are_a_choice_over_seeds(crossed: Result) -> None:
    output = crossed.directory.parents[2]
    config = compose_config(words(output, "seed=1"))
    other = Path(str(output)) / "toy" / "grid_search" / run(config, console=QUIET)["key"]
    (choice,) = msnas.choose([crossed.directory, other], over="both")
    assert (choice.seeds, choice.sure.events) == ([0, 1], EVENTS)
    assert choice.sure.seed_error is not None
    # a folder is looked through without the folds inside
    assert {one.directory for one in choice.runs} == {
        one.directory for one in msnas.choose(output)[0].runs
    }


# ------------------------------------------------------------------ no event is seen before


def spoilt(part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.full_like(one, math.nan) if one.is_floating_point() else 1 - one
        for name, one in part.items()
    }


def test_spoilt_events_change_no_training_of_the_fold_that_judges_them(
    crossed: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fold by fold; together all events have been spoilt, and no weight has changed."""
    spoilt_events: list[int] = []

    def read(*arguments: Any) -> Events:
        events = read_events(*arguments)
        spoilt_events.extend(events.origin.indices["test"].tolist())
        return dataclasses.replace(events, test=spoilt(events.test))

    monkeypatch.setattr(msnas.parts, "read_events", read)
    for number in range(FOLDS):
        with pytest.raises((MsnasError, ValueError)):  # a number that is not finite is no result
            run(compose_config(words(tmp_path, f"data.fold={number}")), console=QUIET)
    assert sorted(spoilt_events) == list(range(EVENTS))
    stores = [
        {
            path.relative_to(output).as_posix(): tensor_bytes(path)
            for stage in ("pretrain", "posttrain")
            for path in output.glob(f"cache/{stage}/*/weights.pt")
        }
        for output in (tmp_path, crossed.directory.parents[2])
    ]
    assert len(stores[0]) == FOLDS * 5
    assert stores[0].items() <= stores[1].items()


# ------------------------------------------------------------------ again, in parallel, killed


def numbers(directory: Path) -> dict[str, Any]:
    """Of all folds and together, but for times."""
    files = sorted(directory.rglob("result.json"))
    assert len(files) == FOLDS + 1
    return {
        **{str(one.parent.name): without_volatile(json.loads(one.read_text())) for one in files},
        "outputs": {
            name: value.tobytes() for name, value in arrays(directory / "outputs.h5").items()
        },
        "losses": arrays(directory / "losses.h5")["loss"].tobytes(),
    }


def test_a_killed_run_goes_on_with_the_fold_it_was_at(crossed: Result, tmp_path: Path) -> None:
    def go(name: str, death: Death | None = None) -> int:
        process = start(
            words(tmp_path / "runs"),
            journal=tmp_path / "journal",
            said=tmp_path / name,
            death=death,
        )
        return finish(process)

    assert go("first", Death("before the result", count=2)) < 0
    place = tmp_path / "runs" / "toy" / "grid_search" / crossed.key
    (done,) = place.rglob("result.json")
    before = done.stat().st_mtime_ns
    assert go("second") == 0
    assert done.stat().st_mtime_ns == before
    begun = (tmp_path / "journal").read_text().splitlines()
    assert set(Counter(begun).values()) == {FOLDS}  # the folds share the seeds of their trainings
    assert numbers(place) == numbers(crossed.directory)
    assert go("third") == 0
    assert "This run is finished" in (tmp_path / "third").read_text()


def test_a_repeated_run_gives_the_same(crossed: Result) -> None:
    before = numbers(crossed.directory)
    times = {one: one.stat().st_mtime_ns for one in crossed.directory.rglob("result.json")}
    run(compose_config(words(crossed.directory.parents[2], "force=true")), console=QUIET)
    assert numbers(crossed.directory) == before
    assert all(one.stat().st_mtime_ns > time for one, time in times.items())
    assert not list(crossed.directory.rglob("again"))


def test_a_scan_does_the_folds_as_runs(crossed: Result, tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        *words(Path("runs")),
        "hydra/launcher=basic",
        "task_weight=0.5",
        "seed=0",
        "report=false",
    )
    assert done == 0, said(tmp_path)
    assert "1 of 1 runs finished" in said(tmp_path)
    place = tmp_path / "runs" / "toy" / "grid_search" / crossed.key
    assert numbers(place) == numbers(crossed.directory)


# ------------------------------------------------------------------ from Python, in reports


def test_from_python_and_by_given_chains(crossed: Result) -> None:
    """Chains that are trained already are cross-fitted for nothing."""
    output = crossed.directory.parents[2]
    settings = {word.split("=")[0]: word.split("=")[1] for word in WORDS if "problem" not in word}
    settings = {
        key: value.strip("[]").split(",") if "/" in key else value
        for key, value in settings.items()
        if key != "logger"
    }
    found = msnas.select(
        "toy",
        msnas.FixedChain(chain=crossed.path),
        folds=FOLDS,
        output=output,
        settings={key: int(v) if str(v).isdigit() else v for key, v in settings.items()},
        show=False,
    )
    assert tuple(found.chain.values()) == crossed.path
    assert found.result.stages["posttrain"]["cached"] == ["chain"]
    assert found.result.choice is None
    ranked = read_losses(crossed).ranked[crossed.path]
    assert np.allclose(read_losses(found.result).selected, ranked, atol=1e-6)
    with pytest.raises(DataError, match=r"cross-fitted, a chain for every fold.*folds.0"):
        found.predict({"x": np.zeros((2, 2))})


def test_an_event_judged_twice_is_noticed(crossed: Result) -> None:
    runs = [fold(crossed, number) for number in (0, 1, 1)]
    with pytest.raises(DataError, match=r"of 300 events, \d+ of them more than once"):
        Folds(runs).write_outputs(crossed.directory / "no.h5", attributes={})
    assert not (crossed.directory / "no.h5").exists()


def test_the_page_says_so(crossed: Result) -> None:
    assert told(crossed).endswith(", cross-fitted in 3 folds")
