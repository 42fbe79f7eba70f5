"""Events kept in less memory: the same numbers, from the file to the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, Compose, epochs
from made_events import Arrays, load

from msnas.data import compact
from msnas.data.compact import Growing, Sparse, in_pieces
from msnas.data.event_file import EventFile
from msnas.data.events import Events
from msnas.data.fields import ClassLabel, LogPixels, Numbers
from msnas.data.kept import KeptTensor, tensor_of
from msnas.data.source import PARTS
from msnas.errors import ConfigError, DataError, StorageError
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.run import run


def mostly_zero(events: int = 50, *shape: int) -> np.ndarray:
    """A tenth of the numbers filled, whole events empty, a zero with a sign among them."""
    draw = np.random.default_rng(0)
    shape = (events, *(shape or (2, 3, 4)))
    array = np.where(draw.random(shape) < 0.1, draw.normal(size=shape), 0).astype(np.float32)
    array[3:5] = 0
    array.reshape(events, -1)[7, 2] = -0.0
    return array


def bits(array: np.ndarray | torch.Tensor) -> bytes:
    return np.asarray(array).tobytes()


ROWS = {
    "some in the middle": slice(2, 9),
    "the end": slice(45, 60),
    "none": slice(3, 3),
    "every third": slice(0, 50, 3),
    "numbers, some twice": np.array([4, 4, 49, 0, 7]),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows_of_a_sparse_array_are_those_of_the_array(rows: Any) -> None:
    array = mostly_zero()
    sparse = Sparse.of(array)
    assert (sparse.shape, sparse.dtype, len(sparse)) == (array.shape, array.dtype, 50)
    assert sparse[rows].shape == array[rows].shape
    assert bits(sparse[rows]) == bits(array[rows])


def test_sparse_arrays_are_joined_and_small() -> None:
    array = mostly_zero(2000, 100)
    pieces = [Sparse.of(array[:7]), Sparse.of(array[7:7]), Sparse.of(array[7:])]
    joined = Sparse.joined(pieces)
    assert bits(joined[:]) == bits(array)
    assert joined.nbytes < 0.2 * array.nbytes


@pytest.mark.parametrize("memory", ["plain", "sparse", "mapped"])
def test_an_array_grows_piece_by_piece(memory: str) -> None:
    array = mostly_zero()
    growing = Growing(50, memory)
    for start in range(0, 50, 11):
        growing.add(array[start : start + 11])
    kept = growing.done()
    assert isinstance(kept, Sparse) is (memory == "sparse")
    assert isinstance(kept, np.memmap) is (memory == "mapped")
    assert bits(kept[:]) == bits(array)


def test_auto_is_sparse_for_what_is_large_and_mostly_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(array: np.ndarray) -> type:
        growing = Growing(len(array), "auto")
        growing.add(array)
        return type(growing.done())

    assert kind(mostly_zero()) is np.ndarray  # small
    monkeypatch.setattr(compact, "LARGE", mostly_zero().nbytes)
    assert kind(mostly_zero()) is Sparse
    assert kind(mostly_zero() + 1) is np.ndarray  # filled
    assert kind(mostly_zero()[:49]) is np.ndarray


def test_a_disk_without_room_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(StorageError, match=r"data.memory: mapped: no room .* TMPDIR names another"):
        Growing(2, "mapped").add(np.zeros((1, 3)))


OPERATIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "a slice": lambda one: one[3:8],
    "numbers": lambda one: one[torch.tensor([5, 0, 5])],
    "a mask": lambda one: one[torch.arange(50) % 2 == 0],
    "a slice of another axis": lambda one: one[:, 1:],
    "numbers of two axes": lambda one: one[torch.tensor([1, 2]), torch.tensor([0, 1])],
    "one event": lambda one: one[7],
    "flattened": lambda one: one.flatten(1),
    "a sum": lambda one: one.sum(0),
    "a view by event": lambda one: one.view(50, -1),
    "joined with itself": lambda one: torch.cat([one, one])[48:53],
    "joined with another": lambda one: torch.cat([one, torch.ones(1, 2, 3, 4)]),
    "moved": lambda one: one.to(torch.float64),
    "numbers for numpy": lambda one: torch.from_numpy((one + 0).numpy()),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_kept_tensor_is_like_the_tensor(operation: Callable[[torch.Tensor], Any]) -> None:
    array = mostly_zero()
    found, expected = operation(tensor_of(Sparse.of(array))), operation(torch.from_numpy(array))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert type(found) is torch.Tensor
    assert bits(found) == bits(expected)


def test_joined_tensors_stay_sparse_and_half_ones_are_rounded() -> None:
    kept = tensor_of(Sparse.of(mostly_zero()))
    joined = torch.cat([kept, kept])
    assert isinstance(joined, KeptTensor)
    assert isinstance(joined.kept, Sparse)
    half = tensor_of(mostly_zero().astype(np.float16))
    assert half.dtype == half[:2].dtype == torch.float32
    assert torch.equal(half[:], torch.from_numpy(mostly_zero()).half().float())


def events_of(compose: Compose, file: Path, *words: str) -> Events:
    plan = make_plan(compose(f"data.file={file}", "data.events=600", "trainer=cpu", *words))
    return read_events(plan)


@pytest.mark.parametrize("frame", ["canonical", "detector"])
@pytest.mark.parametrize("memory", ["sparse", "mapped", "auto", "float16"])
def test_the_same_events_in_every_memory(
    compose: Compose,
    event_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: str,
    frame: str,
) -> None:
    plain = events_of(compose, event_file, "data.memory=plain", f"frame={frame}")
    monkeypatch.setattr(compact, "LARGE", 1)
    for module in ("compact", "events"):  # several pieces
        monkeypatch.setattr(f"msnas.data.{module}.PIECE", 100)
    other = events_of(compose, event_file, f"data.memory={memory}", f"frame={frame}")
    assert isinstance(other.train["image"], KeptTensor) is (memory != "mapped")
    for name, field in plain.fields.items():
        assert field.scales() == other.fields[name].scales()
    for part in PARTS:
        one, two = getattr(plain, part), getattr(other, part)
        assert one.keys() == two.keys()
        for name, values in one.items():
            expected = values
            if memory == "float16" and name == "image":
                expected = values.half().float()
                assert float((values - expected).abs().max()) < 2e-3
            assert torch.equal(expected, two[name][:]), (part, name)


def test_a_file_in_pieces_is_refused_as_a_whole_one_is(tmp_path: Path) -> None:
    images = mostly_zero(250, 1, 4, 4)
    images[240, 0, 1, 2] = np.nan
    images[101, 0, 0, 0] = -1
    label = np.arange(250, dtype=np.uint8) % 2
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file.create_dataset("image", data=images, chunks=(33, 1, 4, 4), compression="gzip")
        file["label"] = label
    fields = {"image": LogPixels(shape=[1, 4, 4]), "label": ClassLabel(classes=2)}
    said = set()
    for memory in ("plain", "sparse", "mapped"):
        with pytest.raises(DataError) as refused:
            load(EventFile(file=str(tmp_path / "bad.h5")), fields, memory=memory)
        said.add(str(refused.value))
    assert len(said) == 1
    assert "NaN or infinity in 1 events (first: event 240)" in said.pop()


def test_arrays_of_ones_own_are_kept_sparse_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "LARGE", 1)
    source = Arrays(x=mostly_zero(), label=np.arange(50) % 2)
    fields = {"x": Numbers(shape=[2, 3, 4]), "label": ClassLabel(classes=2)}
    events = load(source, fields)
    assert isinstance(events.train["x"], KeptTensor)
    used = events.for_use()
    assert isinstance(used.train["x"], KeptTensor)
    assert torch.equal(used.train["x"][:], torch.cat([events.train["x"][:], events.valid["x"][:]]))


def test_only_what_changes_numbers_is_part_of_the_key(compose: Compose) -> None:
    keys = {
        one: make_plan(compose("trainer=cpu", f"data.memory={one}")).key for one in compact.MEMORIES
    }
    assert len({keys[one] for one in ("auto", "plain", "sparse", "mapped")}) == 1
    assert keys["float16"] != keys["plain"]
    with pytest.raises(ConfigError, match=r"data.memory: .*'plain', 'sparse'.* found 'much'"):
        make_plan(compose("data.memory=much"))


def test_a_run_on_sparse_events_gives_the_same_numbers(compose: Compose, tmp_path: Path) -> None:
    results = {}
    for memory in ("plain", "sparse", "float16"):
        chosen = [f"data.memory={memory}", f"output={tmp_path / memory}", *epochs(1)]
        chain = ["method=fixed_chain", "method.chain=[mlp,mass]", "data.events=100"]
        results[memory] = run(compose(*chosen, *chain), console=QUIET)["metrics"]
    assert results["sparse"] == results["plain"]
    losses = [results[one]["valid"]["loss"] for one in ("plain", "float16")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "PIECE", 7)
    for array in (mostly_zero(), Sparse.of(mostly_zero())):
        assert bits(np.concatenate(list(in_pieces(array)))) == bits(mostly_zero())
