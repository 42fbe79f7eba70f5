"""losses.h5: a run's losses of every validation event, written, read back, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import QUIET, compose_config, epochs, renew_checksums

from msnas.errors import DataError
from msnas.evaluation.evaluate import ChainScore
from msnas.evaluation.outputs import MOST_CHAINS, kept_chains, write_losses
from msnas.results.losses import read_losses
from msnas.results.result import Result
from msnas.run import run

TOY = ["problem=toy", "trainer=cpu", "logger=none", "data.events=300", *epochs(1)]

SEARCHES = {
    "grid_search": ["method=grid_search"],
    "spos": ["method=spos"],
    "spos_evolution": ["method=spos", "method.ranking=evolution"],
    "asng": ["method=asng"],
    "darts_rank": ["method=darts", "method.selection=rank"],
    "one_training_for_all_v1": [
        *("method=grid_search", "conditioning=yoto", "conditioning.parameters=[task_weight]"),
        "task_weight=0.3",
    ],
    "v1_of_0": ["method=spos", "task_weight=0"],
    "fixed_chain": ["method=fixed_chain", "method.chain=[plane,logistic]"],
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "runs"


def done(output: Path, words: list[str]) -> Result:
    record = run(compose_config([*TOY, *words, f"output={output}"]), console=QUIET)
    return Result.read(output / "toy" / record["method"] / record["key"])


@pytest.mark.parametrize("words", SEARCHES.values(), ids=SEARCHES)
def test_the_losses_of_events_average_to_what_chains_are_judged_by(
    words: list[str], output: Path
) -> None:
    finished = done(output, words)
    losses = read_losses(finished)
    ranked = {
        finished.path_of(one["selected"]): one.get("ranked_by", one["valid"]["loss"])
        for one in finished.chains
        if one["stage"] == "search"
    }
    assert losses.ranked.keys() == ranked.keys()
    for path, own in losses.ranked.items():
        assert own.shape == (60,)
        assert own.mean() == pytest.approx(ranked[path], rel=1e-5)
        assert own.std() > 0
    assert losses.selected.mean() == pytest.approx(finished.valid["loss"], rel=1e-5)
    assert "losses.h5" in finished.files


def test_losses_of_events_are_the_weighted_sums_of_the_tasks(output: Path) -> None:
    """Of a chain that hardly learns, at v1 = 0, 0.3 and 1."""
    found = {}
    for v1 in (0.0, 0.3, 1.0):
        words = ["method=fixed_chain", "method.chain=[plane,logistic]", f"task_weight={v1}"]
        finished = done(
            output, [*words, "recipe.optimizer.lr=1e-30", "recipe.optimizer.fused=null"]
        )
        found[v1] = read_losses(finished).selected
    np.testing.assert_allclose(found[0.3], 0.7 * found[0.0] + 0.3 * found[1.0], rtol=1e-5)
    assert not np.allclose(found[0.0], found[1.0])


def score(loss: float, events: list[float]) -> ChainScore:
    import torch

    return ChainScore(path=("a",), values={"loss": loss}, event_losses=torch.tensor(events))


def test_the_best_chains_are_kept_and_none_that_is_not_finite() -> None:
    scores = [score(float(place), [1.0, place]) for place in range(MOST_CHAINS + 7, 0, -1)]
    scores.append(score(-1.0, [np.inf, 0.0]))
    kept = kept_chains(scores)
    assert [scores[place].ranked_by for place in kept] == list(range(1, MOST_CHAINS + 1))


def test_losses_beyond_the_range_of_half_precision_are_kept(tmp_path: Path) -> None:
    ones = [score(0.0, [1e7, 1e-9]), score(1.0, [2e7, 3e-9])]
    write_losses(tmp_path / "losses.h5", ones, ones[0], attributes={})
    with h5py.File(tmp_path / "losses.h5") as file:
        np.testing.assert_array_equal(file["chain"][()], [0, 1, 2])
        expected = np.float32([[1e7, 1e-9], [2e7, 3e-9], [1e7, 1e-9]])
        np.testing.assert_array_equal(file["loss"][()], expected)


def _drop(file: h5py.File) -> None:
    del file["loss"]


def _put(name: str, values: Any) -> Callable[[h5py.File], None]:
    def put(file: h5py.File) -> None:
        del file[name]
        file[name] = values(file) if callable(values) else values

    return put


def _of_another(file: h5py.File) -> None:
    file.attrs["key"] = "another"


def _huge(file: h5py.File) -> None:
    del file["loss"]
    file.create_dataset("loss", shape=(10, 10**13), dtype="f4", chunks=(1, 10**6))


REFUSED = {
    "no_losses": (_drop, r"loss \[0\] and chain \[10\], expected"),
    "flat": (_put("loss", np.ones(10)), r"loss \[10\] and chain \[10\]"),
    "another_run": (_of_another, "of run another"),
    "too_large": (_huge, "loss: declares"),
    "text": (_put("loss", "losses"), "loss: found type"),
    "elsewhere": (_put("loss", h5py.ExternalLink("other.h5", "/loss")), "is a link"),
    "twice": (_put("chain", [0, *range(9)]), "chain .0, 0, 1.*expected places among 10 chains"),
    "beyond": (_put("chain", [*range(9), 10]), "expected places among 10 chains"),
    "other_numbers": (_put("loss", np.ones((10, 60))), "have the mean 1, expected"),
    "not_finite": (_put("loss", np.full((10, 60), np.nan)), "have the mean nan, expected"),
}


@pytest.mark.parametrize(("spoil", "said"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_does_not_fit_is_refused(
    spoil: Callable[[h5py.File], None], said: str, output: Path, tmp_path: Path
) -> None:
    whole = done(output, SEARCHES["grid_search"])
    copied = tmp_path / whole.key
    shutil.copytree(whole.directory, copied)
    with h5py.File(copied / "losses.h5", "a") as file:
        spoil(file)
    with pytest.raises(DataError, match="checksum"):
        read_losses(Result.read(copied))
    renew_checksums(copied)
    with pytest.raises(DataError, match=said):
        read_losses(Result.read(copied))


def test_a_run_of_an_earlier_version_has_none(output: Path, tmp_path: Path) -> None:
    whole = done(output, SEARCHES["grid_search"])
    copied = tmp_path / whole.key
    shutil.copytree(whole.directory, copied)
    (copied / "losses.h5").unlink()
    with pytest.raises(DataError, match=r"no losses\.h5: written by an earlier version"):
        read_losses(Result.read(copied))
    renew_checksums(copied)  # as an earlier version wrote it
    assert "losses.h5" not in json.loads((copied / "result.json").read_text())["files"]
    assert Result.read(copied).damage() is None
