"""HDF5 files of others: what is damaged, too large or elsewhere is refused and named."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from made_scan import made_result

import msnas.model
from msnas.data import hdf5
from msnas.data.compact import Compact
from msnas.data.event_file import EventFile
from msnas.data.events import check_events
from msnas.data.fields import ClassLabel, Field, Numbers
from msnas.data.hdf5 import read_hdf5
from msnas.errors import DataError
from msnas.predict import Settings, predict
from msnas.results.outputs import Outputs, read_outputs

EVENTS = 40
LIMIT = 100_000_000
KEY = "0123456789abcdef"

Spoil = Callable[[h5py.File, str], object]


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limit on every machine."""
    monkeypatch.setattr(hdf5, "_half_of_memory", lambda: LIMIT)


def write(path: Path, name: str, spoil: Spoil | None) -> None:
    """A file of a few events, whose data set `name` is `spoil`'s instead."""
    arrays = {
        "x": np.linspace(0, 1, EVENTS, dtype=np.float32),
        "label": np.arange(EVENTS, dtype=np.uint8) % 2,
        "id/output": np.linspace(0, 1, EVENTS, dtype=np.float32),
        "id/target": np.arange(EVENTS) % 2,
        "inputs/jet": np.ones((EVENTS, 4), dtype=np.float32),
    }
    with h5py.File(path, "w") as file:
        file.attrs["key"] = KEY
        for one, values in arrays.items():
            if spoil is None or one != name:
                file.create_dataset(one, data=values, chunks=True, compression="gzip")
        if spoil is not None:
            spoil(file, name)


def read_events(path: Path) -> dict[str, np.ndarray]:
    fields: dict[str, Field] = {"x": Numbers(shape=[]), "label": ClassLabel(classes=2)}
    arrays = EventFile(file=str(path)).load(list(fields))
    check_events(arrays, fields, where=str(path))
    return arrays


def outputs_of(folder: Path) -> Outputs:
    config = {
        "problem": {"name": "made", "chain": ["id"]},
        "data": {"fields": {"jet": {}, "image": {}}},
        "tasks": {"id": {}},
    }
    return read_outputs(made_result(folder, config, key=KEY))


def readers(path: Path) -> list[tuple[Callable[[Path], object], str]]:
    """Those of events and of outputs, with what they call the file."""
    return [(read_events, str(path)), (lambda one: outputs_of(one.parent), path.name)]


def beside(file: h5py.File) -> Path:
    """Another file with numbers, for those that point to it."""
    path = Path(file.filename).with_name("other.h5")
    with h5py.File(path, "w") as other:
        other["values"] = np.ones(EVENTS, dtype=np.float32)
    return path


def external_link(file: h5py.File, name: str) -> None:
    file[name] = h5py.ExternalLink(beside(file).name, "/values")


def soft_link(file: h5py.File, name: str) -> None:
    file[name] = h5py.SoftLink("/id/target")


def soft_to_external(file: h5py.File, name: str) -> None:
    file[f"{name}_there"] = h5py.ExternalLink(beside(file).name, "/")
    file[name] = h5py.SoftLink(f"/{name}_there/values")


def virtual(file: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((EVENTS,), "f4")
    layout[:] = h5py.VirtualSource(beside(file), "values", (EVENTS,))
    file.create_virtual_dataset(name, layout)


def external_storage(file: h5py.File, name: str) -> None:
    raw = Path(file.filename).with_name("raw")
    raw.write_bytes(np.ones(EVENTS, dtype=np.float32).tobytes())
    file.create_dataset(name, (EVENTS,), "f4", external=[(str(raw), 0, 4 * EVENTS)])


def compound(file: h5py.File, name: str) -> None:
    file[name] = np.zeros(EVENTS, dtype=[("pt", "f4"), ("eta", "f4")])


def references(file: h5py.File, name: str) -> None:
    file[name] = np.array([file.ref] * EVENTS, dtype=h5py.ref_dtype)


def inflating(times: int) -> Spoil:
    """A chunk that declares its few bytes, and inflates to 200 MB."""

    def spoil(file: h5py.File, name: str) -> None:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((EVENTS,))
        stored = bytes(200_000_000)
        for _ in range(times):
            settings.set_deflate(4)
            stored = zlib.compress(stored, 1)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        space = h5py.h5s.create_simple((EVENTS,))
        kind = h5py.h5t.NATIVE_FLOAT
        made = h5py.h5d.create(file.id, name.encode(), kind, space, settings, links)
        made.write_direct_chunk((0,), stored)

    return spoil


def declared(shape: tuple[int, ...], **settings: object) -> Spoil:
    """Nothing is stored."""
    return lambda file, name: file.create_dataset(name, shape, "f4", **settings)


def holding(values: object, **settings: object) -> Spoil:
    return lambda file, name: file.create_dataset(name, data=values, **settings)


HOSTILE: dict[str, tuple[Spoil, str]] = {
    "32 GB without storage": (
        declared((8_000_000_000,)),
        r": declares 32\.0 GB(, 32\.0 GB with the others)?, more than the 0\.1 GB that are read",
    ),
    "a gigantic second dimension": (declared((2, 1 << 50)), r": declares 9,007,199\.3 GB, "),
    "no event of a gigantic dimension": (
        declared((0, 1 << 61)),
        r"(: found shape \[0, | holds no event| cannot be read as HDF5 \(ValueError)",
    ),
    "a chunk of 1.2 GB": (
        declared((EVENTS,), maxshape=(None,), chunks=(300_000_000,)),
        r": declares 1\.2 GB",
    ),
    "many chunks": (
        declared((20_000_000,), maxshape=(None,), chunks=(1,)),
        r": declares 20,000,000 chunks, at most 10,000,000 are read",
    ),
    "compressed zeros": (
        holding(np.zeros(120_000_000, np.uint8), compression="gzip", compression_opts=1),
        r": declares 0\.1 GB",
    ),
    "a chunk that inflates": (inflating(1), r": a chunk of [\d,]+ bytes, .* the 160 bytes it dec"),
    "a chunk that inflates twice": (inflating(2), r": a chunk of [\d,]+ bytes, .* the 160 bytes"),
    "external link": (external_link, r": \w+ is a link, expected data in the file itself"),
    "soft link": (soft_link, r": \w+ is a link, expected data in the file itself"),
    "soft link to an external one": (soft_to_external, r": \w+ is a link, expected data"),
    "virtual": (virtual, r": its values are in other files"),
    "external storage": (external_storage, r": its values are in other files"),
    "texts": (holding(["a"] * EVENTS, dtype=h5py.string_dtype()), r": found type object, expected"),
    "texts of fixed size": (holding(np.array([b"a"] * EVENTS)), r": found type \|S1, expected"),
    "references": (references, r": found type object, expected numbers"),
    "compound": (compound, r": found type \[\('pt', '<f4'\), .*, expected numbers"),
    "complex": (holding(np.ones(EVENTS, complex)), r": found type complex128, expected numbers"),
    "a group": (lambda file, name: file.create_group(name), r": found a group, expected a data"),
    "a cycle": (
        lambda file, name: file.__setitem__(name, file["/"]),
        r": found a group, expected a data set",
    ),
    "a named type": (
        lambda file, name: file.__setitem__(name, np.dtype("f4")),
        r": found a named type, expected a data set",
    ),
    "nothing": (lambda file, name: file.__setitem__(name, h5py.Empty("f4")), r": found no values"),
    "another filter": (
        holding(np.arange(EVENTS), chunks=(10,), scaleoffset=0),
        r": found filter 6, expected gzip, lzf, shuffle or fletcher32",
    ),
    "a single number": (holding(3.0), r"(: found shape \[\], expected| is a single number)"),
    "no event": (holding(np.zeros(0)), r":? holds no event"),
    "NaN": (holding(np.full(EVENTS, np.nan)), r"(: found| holds) NaN or infinity"),
    "beyond float32": (holding(np.full(EVENTS, 1e39)), r"(: found| holds) NaN or infinity"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_events_are_refused_with_file_and_data_set(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, said = HOSTILE[case]
    path = tmp_path / "events.h5"
    write(path, "x", spoil)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: x{said}") as refused:
        read_events(path)
    chain: Any = SimpleNamespace(
        tasks=[SimpleNamespace(target="label")], reads=lambda *, truths: {"x"}
    )
    fields = {"x": Numbers(shape=[])}
    trained = msnas.model.Model(chain=chain, path=(), fields=fields, provenance={})
    monkeypatch.setattr(msnas.model, "load_model", lambda directory, **_: trained)
    out = tmp_path / "out.h5"
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: x{said}") as again:
        predict(Settings(run="run", data=str(path), out=str(out)))
    assert not out.exists()
    sums = re.compile(r", [\d,.]+ GB with the others")
    assert sums.sub("", str(again.value)) == sums.sub("", str(refused.value))


@pytest.mark.parametrize("case", HOSTILE)
def test_outputs_are_refused_with_file_and_data_set(case: str, tmp_path: Path) -> None:
    spoil, said = HOSTILE[case]
    write(tmp_path / "outputs.h5", "id/output", spoil)
    with pytest.raises(DataError, match=rf"^outputs\.h5: id/output{said}"):
        outputs_of(tmp_path)


def test_what_is_not_needed_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    write(path, "", None)
    with h5py.File(path, "a") as file:
        for number, (spoil, _) in enumerate(HOSTILE.values()):
            spoil(file, f"more{number}/values")
    assert read_events(path)["x"].shape == (EVENTS,)


def test_a_group_that_is_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outputs.h5"
    write(path, "", None)
    path.rename(tmp_path / "other.h5")
    with h5py.File(path, "w") as file:
        file.attrs["key"] = KEY
        file["id"] = h5py.ExternalLink("other.h5", "/id")
    with pytest.raises(DataError, match=r"^outputs\.h5: id/output: id is a link"):
        outputs_of(tmp_path)


@pytest.mark.parametrize("name", ["weight", "part"])
def test_optional_arrays_are_refused_likewise(name: str, tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    write(path, name, external_link)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: {name}: {name} is a link"):
        read_events(path)


def test_compressed_and_boolean_numbers_and_groups_within_each_other_are_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "fine.h5"
    expected = {
        "loop/loop/gzip": np.random.default_rng(0).integers(0, 9, (1000, 3)),
        "lzf": np.arange(1000, dtype=">f8"),
        "bool": np.arange(9) % 2 == 0,
        "plain": np.arange(5, dtype=np.float16),
        "noise": np.random.default_rng(0).bytes(5000),
    }
    expected["noise"] = np.frombuffer(expected["noise"], np.uint8)
    with h5py.File(path, "w") as file:
        file["loop/loop"] = file.create_group("loop")
        file["loop"].create_dataset("gzip", data=expected["loop/loop/gzip"], compression="gzip")
        safe = {"shuffle": True, "fletcher32": True}
        file.create_dataset("lzf", data=expected["lzf"], compression="lzf", **safe)
        file["bool"] = expected["bool"]
        file["plain"] = expected["plain"]
        file.create_dataset("noise", data=expected["noise"], compression="gzip", **safe)
    # room for little more than declared, so each chunk of gzip is looked into
    found = read_hdf5(path, [*expected, "absent"], where="fine.h5", limit=130_000)
    assert found.arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert found.arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(found.arrays[name], values)
    assert sorted(found.names) == ["bool", "loop", "lzf", "noise", "plain"]


def test_a_file_that_fits_half_of_the_memory_is_read_and_one_that_does_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name, size in (("few", 400), ("many", memory)):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("x", (size // 4,), "f4")
    assert read_hdf5(tmp_path / "few", ["x"], where="few").arrays["x"].shape == (100,)
    most = f"{memory / 2e9:,.1f}"
    with pytest.raises(DataError, match=rf"^many: x: declares .* more than the {most} GB that"):
        read_hdf5(tmp_path / "many", ["x"], where="many")


def test_data_sets_are_counted_together(tmp_path: Path) -> None:
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (15_000_000,), "f4")
        file.create_dataset("y", (12_500_000,), "f4")
    read_hdf5(path, ["x"], where="two.h5")
    said = r"^two\.h5: x: declares 0\.1 GB, 0\.1 GB with the others, more than the 0\.1 GB"
    with pytest.raises(DataError, match=said):
        read_hdf5(path, ["x", "y"], where="two.h5")
    assert set(read_hdf5(path, ["x", "y"], where="two.h5", limit=110_000_000).arrays) == {"x", "y"}


def test_what_is_read_in_pieces_may_declare_more_than_it_takes(tmp_path: Path) -> None:
    """Images of 16 MB: one of them mostly zero, the other full."""
    path = tmp_path / "images.h5"
    shape, limit = (40_000, 100), 8_000_000
    with h5py.File(path, "w") as file:
        for name, every in (("empty", 50), ("full", 1)):
            image = np.zeros(shape, "f4")
            image[:, ::every] = 1
            file.create_dataset(name, data=image, chunks=(1000, 100), compression="gzip")
        file.create_dataset("endless", (10**9, 100), "f4", chunks=(1000, 100))

    def read(name: str, memory: str) -> Compact:
        content = read_hdf5(path, [name], where="it", compact=[name], memory=memory, limit=limit)
        return content.compact[name]

    with pytest.raises(DataError, match=r"^it: empty: declares 0\.0 GB, more than"):
        read_hdf5(path, ["empty"], where="it", limit=limit)
    empty = read("empty", "sparse")
    assert empty.nbytes < limit
    assert empty[:].sum() == 80_000
    assert read("full", "mapped")[:].sum() == 4_000_000
    for name, memory in (("full", "sparse"), ("full", "plain"), ("empty", "auto")):
        with pytest.raises(
            DataError, match=rf"^it: {name}: data\.memory: \w+: more than the 0\.0 GB"
        ):
            read(name, memory)
    with pytest.raises(DataError, match=r"^it: endless: declares 400\.0 GB, more than the 0\.0 GB"):
        read("endless", "sparse")


@pytest.mark.parametrize("key", [7, [KEY, KEY], b"text", "a\x1b[2J", "a" * 201])
def test_a_key_that_is_no_text_is_refused(key: object, tmp_path: Path) -> None:
    path = tmp_path / "outputs.h5"
    write(path, "", None)
    with h5py.File(path, "a") as file:
        file.attrs["key"] = np.bytes_(key) if isinstance(key, bytes) else key
    with pytest.raises(DataError, match=r"^outputs\.h5: attribute key: expected printable text"):
        outputs_of(tmp_path)


def test_no_file_no_hdf5_and_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "outputs.h5"
    for content in (b"", b"pT, eta\n", b"\x89HDF\r\n\x1a\n" + bytes(2000)):
        path.write_bytes(content)
        for read, name in readers(path):
            with pytest.raises(DataError, match=rf"^{re.escape(name)} cannot be read as HDF5"):
                read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"^outputs\.h5 cannot be read as HDF5"):
        read_hdf5(path, ["x"], where="outputs.h5")
    with pytest.raises(DataError, match=r"no outputs\.h5"):
        outputs_of(tmp_path)
    with pytest.raises(DataError, match="not found"):
        EventFile(file=str(path))


def test_a_file_that_goes_away_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    write(path, "", None)
    source = EventFile(file=str(path))
    path.unlink()
    with pytest.raises(DataError, match=rf"^data\.file: {re.escape(str(path))} cannot be read"):
        source.identity()
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} cannot be read as HDF5"):
        source.load(["x"])


def attempts(path: Path) -> list[str]:
    """What DataError says of a damaged file's events and outputs, without its name; "" if read."""
    done: list[str] = []
    for read, name in readers(path):
        try:
            read(path)
            done.append("")
        except DataError as error:
            done.append(str(error).removeprefix(name))
    return done


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "outputs.h5"
    write(path, "", None)
    whole = path.read_bytes()
    assert attempts(path) == ["", ""]
    for length in np.random.default_rng(0).integers(0, len(whole) - 1, 50):
        path.write_bytes(whole[:length])
        assert all(said.startswith(" cannot be read as HDF5") for said in attempts(path))


def test_flipped_bytes_give_other_numbers_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "outputs.h5"
    write(path, "", None)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    done: list[str] = []
    for place in generator.integers(0, len(whole), 100):
        spoilt = bytearray(whole)
        spoilt[place] ^= generator.integers(1, 256)
        path.write_bytes(spoilt)
        done += attempts(path)
    assert "" in done
    assert any(said.startswith(": ") for said in done)


def test_texts_that_lead_nowhere_are_not_followed_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "outputs.h5"
    write(path, "", None)
    content = bytearray(path.read_bytes())
    size = content.index(b"GCOL") + 16 + 8  # of the text, after the heap's head and its number
    assert content[size] == len(KEY)
    content[size] = 200
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^outputs\.h5: damaged: its texts do not fit together"):
        outputs_of(tmp_path)


def test_a_chunk_shorter_than_its_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", (8,), "f4", chunks=(8,), fletcher32=True)
        made.id.write_direct_chunk((0,), b"ab")
    with pytest.raises(DataError, match=r"^short\.h5: x: damaged: a chunk of 2 bytes with its"):
        read_hdf5(path, ["x"], where="short.h5")
