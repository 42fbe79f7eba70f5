"""The converter: against the reference file, against arithmetic by hand, and what it refuses."""

import math
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import uproot
from numpy.typing import NDArray

from msnas import __version__
from msnas.convert.__main__ import main
from msnas.convert.delphes import DelphesFile, Event, Jets, Particles, Towers, Tracks, Vertices
from msnas.convert.image import Deposits, jet_image
from msnas.convert.selection import (
    Drop,
    daughters,
    hadronic_taus,
    image_channels,
    make_example,
    visible_momentum,
)
from msnas.convert.writer import BLOCK, LAYOUTS, ExampleWriter
from msnas.errors import DataError

DATA = Path(__file__).parent / "data"
SIGNAL = DATA / "fixture_H.root"
BACKGROUND = DATA / "fixture_Z.root"
EXPECTED = DATA / "fixture_expected.h5"

Arrays = dict[str, NDArray[Any]]


def load(path: Path) -> Arrays:
    with h5py.File(path) as file:
        return {name: dataset[:] for name, dataset in file.items()}


def run(out: Path, *words: str) -> int:
    return main([f"out={out}", f"signal={SIGNAL}", f"background={BACKGROUND}", *words])


# --- against the reference file ---------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures converted, as a chunk a class."""
    path = tmp_path_factory.mktemp("plain") / "out.h5"
    assert run(path, "chunk=500", "generator=Pythia 8.317") == 0
    return path


@pytest.mark.parametrize("chunk", [7, 500])
def test_fixtures_give_the_expected_file(tmp_path: Path, plain: Path, chunk: int) -> None:
    path = plain if chunk == 500 else tmp_path / "out.h5"
    assert chunk == 500 or run(path, f"chunk={chunk}") == 0
    result, expected = load(path), load(EXPECTED)
    assert result.keys() == expected.keys()
    assert len(result["label"]) == 154
    for name, values in expected.items():
        assert result[name].dtype == values.dtype
        if values.dtype == np.uint8:
            np.testing.assert_array_equal(result[name], values)
        else:
            np.testing.assert_allclose(result[name], values, rtol=2e-7, atol=0, err_msg=name)


def test_file_describes_itself(plain: Path) -> None:
    with h5py.File(plain) as file:
        for name, layout in LAYOUTS.items():
            assert file[name].compression == "gzip"
            assert file[name].attrs["description"] == layout.description == file.attrs[name]
        attributes = dict(file.attrs)
    assert "22 no matched jet, 1 same jet" in attributes["signal_dropped"]
    assert "detector" not in attributes
    assert not any(str(DATA.parent) in str(value) for value in attributes.values())
    for name, value in {
        "signal_files": "fixture_H.root",
        "background_files": "fixture_Z.root",
        "order": "signal, then background, in file order",
        "generator": "Pythia 8.317",
        "msnas_version": __version__,
        **{f"{one}_read": 100 for one in ("signal", "background")},
        **{f"{one}_kept": 77 for one in ("signal", "background")},
    }.items():
        assert attributes[name] == value


def test_shuffling_permutes_whole_events_and_what_was_done_is_told(
    tmp_path: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed, chunk in (("one", 1, 500), ("again", 1, 3), ("two", 2, 500)):
        assert run(tmp_path / f"{name}.h5", f"shuffle_seed={seed}", f"chunk={chunk}") == 0
        captured = capsys.readouterr()
        lines = captured.out.splitlines()
        few = "dropped: 0 fewer than two hadronic taus in acceptance"
        assert lines == [
            f"signal: 100 events read, 77 kept; {few}, 22 no matched jet, 1 same jet",
            f"background: 100 events read, 77 kept; {few}, 23 no matched jet, 0 same jet",
            f"wrote {tmp_path / f'{name}.h5'}: 154 events",
        ]
        assert captured.err == ""
    whole, order = load(plain), np.random.default_rng(1).permutation(154)
    one, again, two = (load(tmp_path / f"{name}.h5") for name in ("one", "again", "two"))
    for name in whole:
        np.testing.assert_array_equal(one[name], whole[name][order])
        np.testing.assert_array_equal(one[name], again[name])
    assert not np.array_equal(one["jet"], two["jet"])


@pytest.mark.parametrize("seed", [None, 5])
def test_more_events_than_one_block(tmp_path: Path, seed: int | None) -> None:
    events = 2 * BLOCK + 10
    with ExampleWriter(path=tmp_path / "out.h5", shuffle_seed=seed, layouts=LAYOUTS) as writer:
        for number in range(events):
            example = {name: np.zeros(layout.shape) for name, layout in LAYOUTS.items()}
            example["jet"] += number
            example["image"] += number
            writer.append(example)
        assert not (tmp_path / "out.h5").exists()
        writer.finish({"note": "made up"})
    assert os.listdir(tmp_path) == ["out.h5"]
    numbers = np.arange(events) if seed is None else np.random.default_rng(5).permutation(events)
    result = load(tmp_path / "out.h5")
    np.testing.assert_array_equal(result["jet"][:, 1, 3], numbers)
    np.testing.assert_array_equal(result["image"][:, 0, 2, 15, 15], numbers)


# --- arithmetic by hand on the ROOT file ------------------------------------------------------


def branches(entry: int) -> Arrays:
    """All branches of one signal event, read without the converter."""
    with uproot.open(SIGNAL) as file:
        names = ["Particle.*", "Jet.*", "Track.*", "Tower.*", "Vertex.*"]
        kept = [
            name
            for name in file["Delphes"].keys(filter_name=names, full_paths=False)
            if name.split(".")[1] in "PID D1 D2 M1 E Px Py Pz PT Eta Phi Mass Z IsPU Eem Ehad Index"
        ]
        block = file["Delphes"].arrays(kept, entry_start=entry, entry_stop=entry + 1, library="np")
    return {name: values[0] for name, values in block.items()}


def test_one_event_by_hand() -> None:
    """Signal entry 3 (row 2 of the file): seven of its nine jets are not the taus'."""
    event, expected = branches(3), load(EXPECTED)
    pid, mother = event["Particle.PID"], event["Particle.M1"]
    taus = [int(i) for i in np.flatnonzero(np.abs(pid) == 15)]
    assert len(taus) == 2
    rows = []
    for tau in taus:
        products = np.flatnonzero(mother == tau)
        # the only unstable product is the neutral pion: its photons take its place
        assert set(np.abs(pid[products]).tolist()) <= {16, 111, 211}
        neutral = products[pid[products] == 111]
        charged = products[np.abs(pid[products]) == 211]
        photons = np.flatnonzero(np.isin(mother, neutral))
        assert set(pid[photons].tolist()) == {22}
        visible = np.concatenate([charged, photons])
        px, py, pz, energy = (
            event[f"Particle.{name}"][visible].astype(float).sum()
            for name in ("Px", "Py", "Pz", "E")
        )
        pt = math.sqrt(px**2 + py**2)
        eta = -math.log(math.tan(0.5 * math.atan2(pt, pz)))
        phi = math.atan2(py, px)
        mass = math.sqrt(energy**2 - px**2 - py**2 - pz**2)
        distances = []
        for jet_eta, jet_phi in zip(event["Jet.Eta"], event["Jet.Phi"], strict=True):
            turn = abs(float(jet_phi) - phi)
            turn = min(turn, 2 * math.pi - turn)
            distances.append(math.sqrt((float(jet_eta) - eta) ** 2 + turn**2))
        nearest = distances.index(min(distances))
        assert min(distances) < 0.4
        decay = [len(charged), len(neutral)]
        rows.append((nearest, tau, (pt, eta, phi, mass), decay))
    assert len(event["Jet.PT"]) == 9
    rows.sort(key=lambda row: -event["Jet.PT"][row[0]])
    assert event["Jet.PT"][rows[0][0]] > event["Jet.PT"][rows[1][0]]
    # the softer of the two jets belongs to the harder tau: jets are ordered, not taus
    assert event["Particle.PT"][rows[0][1]] < event["Particle.PT"][rows[1][1]]
    for place, (jet, tau, visible_tau, decay) in enumerate(rows):
        assert expected["jet"][2, place].tolist() == [
            event[f"Jet.{name}"][jet] for name in ("PT", "Eta", "Phi", "Mass")
        ]
        assert expected["tau"][2, place].tolist() == [
            event[f"Particle.{name}"][tau] for name in ("PT", "Eta", "Phi")
        ]
        np.testing.assert_allclose(expected["tau_visible"][2, place], visible_tau, rtol=1e-7)
        assert expected["tau_decay"][2, place].tolist() == decay
    np.testing.assert_array_equal(
        converted(3)["tau_visible"].astype(np.float32), expected["tau_visible"][2]
    )


def converted(entry: int) -> Arrays:
    """The converter's example of one signal entry."""
    example = make_example(
        list(DelphesFile(path=SIGNAL, kind=Event).read(chunk=50))[entry], label=1
    )
    assert not isinstance(example, Drop)
    return example


def pixel(eta: float, phi: float, axis: tuple[float, float]) -> tuple[int, int] | None:
    """Row and column of a deposit in the image around an axis (eta, phi)."""
    turn = phi - axis[1]
    if abs(turn) > math.pi:
        turn -= math.copysign(2 * math.pi, turn)
    row = math.floor((eta - axis[0] + 0.4) / 0.05)
    column = math.floor((turn + 0.4) / 0.05)
    return (row, column) if 0 <= row < 16 and 0 <= column < 16 else None


@pytest.mark.parametrize("entry", [3, 22])
def test_images_by_hand(entry: int) -> None:
    """In entry 22 tracks of the first jet lie across phi = +-pi."""
    event, example = branches(entry), converted(entry)
    primary = float(event["Vertex.Z"][event["Vertex.Index"] == 0][0])
    crossed = False
    for place in range(2):
        axis = float(example["jet"][place, 1]), float(example["jet"][place, 2])
        image = np.zeros((3, 16, 16))
        for i in range(len(event["Track.PT"])):
            near = abs(float(event["Track.Z"][i]) - primary) < 0.1
            if event["Track.IsPU"][i] == 0 or near:
                phi = float(event["Track.Phi"][i])
                where = pixel(float(event["Track.Eta"][i]), phi, axis)
                if where:
                    image[0][where] += float(event["Track.PT"][i])
                    crossed = crossed or phi * axis[1] < 0
        for i in range(len(event["Tower.Eem"])):
            eta = float(event["Tower.Eta"][i])
            where = pixel(eta, float(event["Tower.Phi"][i]), axis)
            if where:
                transverse = 2 / (math.exp(eta) + math.exp(-eta))
                image[1][where] += float(event["Tower.Eem"][i]) * transverse
                image[2][where] += float(event["Tower.Ehad"][i]) * transverse
        assert image[0].sum() > 0
        assert image[1:].sum() > 0
        np.testing.assert_allclose(example["image"][place], image, rtol=1e-12, atol=1e-12)
    assert crossed == (entry == 22)


# --- made-up records --------------------------------------------------------------------------

Entry = tuple[int, int, int, tuple[float, float, float]]
"""PDG number, first and last daughter, (px, py, pz) [GeV]; all massless."""


def record(*entries: Entry) -> Particles:
    momentum = np.array([entry[3] for entry in entries], dtype=float).reshape(-1, 3)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    return Particles(
        pid=np.array([entry[0] for entry in entries]),
        first_daughter=np.array([entry[1] for entry in entries]),
        last_daughter=np.array([entry[2] for entry in entries]),
        energy=np.linalg.norm(momentum, axis=1),
        px=momentum[:, 0],
        py=momentum[:, 1],
        pz=momentum[:, 2],
        pt=pt,
        eta=np.arcsinh(momentum[:, 2] / pt),
        phi=np.arctan2(momentum[:, 1], momentum[:, 0]),
    )


def test_radiating_tau_is_followed_to_its_last_copy() -> None:
    """tau -> tau gamma; tau -> nu pi- pi0 pi0; one pi0 -> gamma gamma, the other not decayed."""
    (tau,) = hadronic_taus(
        record(
            (15, 1, 2, (100, 0, 0)),
            (15, 3, 6, (90, 0, 0)),
            (22, -1, -1, (10, 0, 0)),  # radiated before the decay: not visible decay product
            (16, -1, -1, (40, 0, 0)),
            (-211, -1, -1, (20, 0, 0)),
            (111, 7, 8, (25, 0, 0)),
            (111, -1, -1, (5, 0, 0)),
            (22, -1, -1, (15, 3, 0)),
            (22, -1, -1, (10, 1, 0)),
        )
    )
    assert (tau.pt, tau.eta, tau.phi) == (90, 0, 0)
    # 20 + 5 + (15, 3) + (10, 1) = (50, 4)
    assert tau.visible_pt == pytest.approx(math.hypot(50, 4))
    assert tau.visible_phi == pytest.approx(math.atan(4 / 50))
    assert tau.visible_eta == 0
    energy = 25 + math.sqrt(234) + math.sqrt(101)
    assert tau.visible_mass == pytest.approx(math.sqrt(energy**2 - 50**2 - 4**2))
    assert (tau.charged_hadrons, tau.neutral_pions) == (1, 2)


def test_single_copy_with_one_pointer_and_photon_from_the_decay() -> None:
    """tau -> tau stored as one daughter; a photon made in the decay itself is visible."""
    (tau,) = hadronic_taus(
        record(
            (-15, 1, -1, (60, 0, 0)),
            (-15, 2, 4, (60, 0, 0)),
            (-16, -1, -1, (20, 0, 0)),
            (22, -1, -1, (8, 0, 0)),
            (211, -1, -1, (32, 0, 0)),
        )
    )
    assert tau.visible_pt == 40
    assert (tau.charged_hadrons, tau.neutral_pions) == (1, 0)


def test_only_direct_products_are_counted() -> None:
    """tau -> nu eta K*-: no charged hadron, no pi0, though both appear further down."""
    (tau,) = hadronic_taus(
        record(
            (15, 1, 3, (80, 0, 0)),
            (16, -1, -1, (10, 0, 0)),
            (221, 4, 5, (30, 0, 0)),
            (-323, 6, 7, (40, 0, 0)),
            (22, -1, -1, (20, 0, 0)),
            (22, -1, -1, (10, 0, 0)),
            (-321, -1, -1, (25, 0, 0)),
            (111, -1, -1, (15, 0, 0)),
        )
    )
    assert tau.visible_pt == 70
    assert (tau.charged_hadrons, tau.neutral_pions) == (0, 0)


@pytest.mark.parametrize("lepton", [11, -11, 13, -13])
def test_leptonic_tau_is_rejected(lepton: int) -> None:
    assert not hadronic_taus(
        record(
            (15, 1, 3, (90, 0, 0)),
            (16, -1, -1, (10, 0, 0)),
            (lepton, -1, -1, (70, 0, 0)),
            (-12, -1, -1, (10, 0, 0)),
        )
    )


def test_tau_without_decay_is_rejected() -> None:
    assert not hadronic_taus(record((15, -1, -1, (90, 0, 0))))


@pytest.mark.parametrize(
    ("visible", "accepted"),
    [
        ((20.1, 0, 0), True),
        ((19.9, 0, 0), False),
        ((0, 30, 30 * math.sinh(2.29)), True),
        ((0, 30, -30 * math.sinh(2.31)), False),
    ],
)
def test_acceptance_is_that_of_the_visible_tau(
    visible: tuple[float, float, float], accepted: bool
) -> None:
    taus = hadronic_taus(
        record((15, 1, 2, (300, 0, 0)), (16, -1, -1, (250, 0, 0)), (-211, -1, -1, visible))
    )
    assert len(taus) == int(accepted)


def test_daughters_as_the_generator_stores_them() -> None:
    here = (1.0, 0.0, 0.0)
    particles = record((15, -1, -1, here), (15, 2, 2, here), (15, 0, 2, here), (15, 3, 1, here))
    assert [daughters(particles, i) for i in range(4)] == [[], [2], [0, 1, 2], [1, 3]]
    with pytest.raises(DataError, match="particle 0 of 1 has daughters 4 to 5"):
        daughters(record((15, 4, 5, here)), 0)


def test_a_product_reached_twice_is_counted_once() -> None:
    momentum = visible_momentum(
        record(
            (15, 1, 2, (9, 0, 0)),
            (221, 3, 3, (9, 0, 0)),
            (223, 3, 3, (9, 0, 0)),
            (22, -1, -1, (9, 0, 0)),
        ),
        0,
    )
    assert momentum.tolist() == [9, 9, 0, 0]


def pions(*momenta: tuple[float, float, float]) -> Particles:
    """Taus with these visible momenta, one pion each."""
    entries: list[Entry] = []
    for number, momentum in enumerate(momenta):
        entries += [(15, 2 * number + 1, 2 * number + 1, momentum), (-211, -1, -1, momentum)]
    return record(*entries)


def made_up(particles: Particles, jets: list[tuple[float, float, float, float]]) -> Event:
    """An event of these particles and jets (pT, eta, phi, mass) with three tracks, one tower."""
    columns = np.array(jets, dtype=float).reshape(-1, 4).T
    return Event(
        particles=particles,
        jets=Jets(pt=columns[0], eta=columns[1], phi=columns[2], mass=columns[3]),
        tracks=Tracks(
            pt=np.array([1.0, 2.0, 4.0]),
            eta=np.zeros(3),
            phi=np.zeros(3),
            z=np.array([50.0, 10.05, 10.15]),
            pile_up=np.array([0, 1, 1]),
        ),
        towers=Towers(
            eta=np.array([1.0]), phi=np.zeros(1), em=np.array([3.0]), hadronic=np.array([6.0])
        ),
        vertices=Vertices(index=np.array([7, 0]), z=np.array([10.2, 10.0])),
    )


def test_reasons_to_drop() -> None:
    pair = pions((50, 0, 0), (0, 60, 0))
    one, two = (40.0, 0.0, 0.0, -3.0), (45.0, 0.0, 1.6, 5.0)
    assert make_example(made_up(pions((50, 0, 0)), [one, two]), label=1) is Drop.FEW_TAUS
    assert make_example(made_up(pair, []), label=1) is Drop.NO_JET
    assert make_example(made_up(pair, [one, (45, 0.41, 1.5, 5)]), label=1) is Drop.NO_JET
    close = pions((50, 0, 0), (50, 10, 0))
    assert make_example(made_up(close, [one, two]), label=1) is Drop.SAME_JET
    example = make_example(made_up(pair, [one, two]), label=1)
    assert not isinstance(example, Drop)
    assert example["jet"].tolist() == [list(two), list(one)]
    assert example["tau"][:, 0].tolist() == [60, 50]


def test_of_three_taus_the_hardest_visible_two_are_used() -> None:
    event = made_up(
        pions((25, 0, 0), (0, 60, 0), (-50, 0, 0)),
        [(30, 0, 0, 1), (60, 0, math.pi / 2, 1), (50, 0, -math.pi, 1)],
    )
    example = make_example(event, label=0)
    assert not isinstance(example, Drop)
    assert example["tau"][:, 0].tolist() == [60, 50]


def test_channels_use_the_vertex_of_index_zero_and_transverse_energy() -> None:
    tracks, em, hadronic = image_channels(made_up(pions(), []))
    assert tracks.value.tolist() == [1, 2]
    np.testing.assert_allclose(em.value, [3 / math.cosh(1)])
    np.testing.assert_allclose(hadronic.value, [6 / math.cosh(1)])


def test_image_bins() -> None:
    """Row is eta, column is phi; bin 8 starts at the axis; outside +-0.4 is left out."""
    deposits = Deposits(
        eta=np.array([1.01, 1.01, 0.61, 1.41, 0.59, 1.01, 1.01]),
        phi=np.array([3.01, 3.01, 3.01, 3.01, 3.01, 2.59, -2.87]),  # -2.87 + 2 pi = 3.413
        value=np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
    )
    (image,) = jet_image(jet_eta=1.0, jet_phi=3.0, channels=[deposits])
    assert {(int(i), int(j)): image[i, j] for i, j in np.argwhere(image)} == {
        (8, 8): 3.0,
        (0, 8): 4.0,
    }


def test_image_wraps_phi() -> None:
    """-3.1 is 2 pi - 3.1 - 3.0 = 0.183 from the axis: bin (0.183 + 0.4) / 0.05 = 11.7."""
    across = Deposits(eta=np.array([1.39]), phi=np.array([-3.1]), value=np.array([8.0]))
    (image,) = jet_image(jet_eta=1.0, jet_phi=3.0, channels=[across])
    assert np.argwhere(image).tolist() == [[15, 11]]
    assert image[15, 11] == 8.0


# --- what is refused --------------------------------------------------------------------------


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    """The one line of a command that fails; nothing may be left in its output folder."""
    out = folder / "made"
    out.mkdir()
    assert main([f"out={out / 'out.h5'}", *words]) == 1
    assert os.listdir(out) == []
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_several_patterns_keep_their_order(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    words = [f"out={out}", f"signal={DATA}/*_Z.root, {DATA}/*_[HZ].root"]
    (tmp_path / "copy.root").write_bytes(BACKGROUND.read_bytes())
    assert main([*words, f"background={tmp_path}/*.root"]) == 0
    with h5py.File(out) as file:
        assert file.attrs["signal_files"] == "fixture_Z.root, fixture_H.root"
        assert file.attrs["background_files"] == "copy.root"
        assert file["label"][:].tolist() == [1] * 154 + [0] * 77
        np.testing.assert_array_equal(file["jet"][:77], file["jet"][154:])


def spoilt(path: Path, case: str) -> None:
    """A file of the background that cannot be used."""
    whole = BACKGROUND.read_bytes()
    third = len(whole) // 3
    if case in ("tree", "branch"):
        with uproot.recreate(path) as file:
            tree = file.mktree("Events" if case == "tree" else "Delphes", {"x": np.float32})
            tree.extend({"x": np.zeros(3, np.float32)})
    elif case == "link":
        path.symlink_to(SIGNAL)
    elif case != "absent":
        path.write_bytes(
            {
                "empty": b"",
                "magic": b"root",
                "words": b"these are words, not a ROOT file" * 50,
                "short": whole[: len(whole) // 2],
                "bad": whole[:third] + bytes(third) + whole[2 * third :],
            }[case]
        )


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("absent", "background: no file matches '"),
        ("link", "link.root is also in signal"),
        *((case, f"{case}.root: not a readable ROOT file") for case in ("empty", "magic", "words")),
        ("short", "short.root: not a readable ROOT file"),
        ("bad", "bad.root: damaged data"),
        ("tree", "tree.root: no tree 'Delphes'; the file holds Events"),
        ("branch", "branch.root: tree 'Delphes' has no branch Particle.PID"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, said: str
) -> None:
    path = tmp_path / f"{case}.root"
    spoilt(path, case)
    assert said in refusal(capsys, tmp_path, f"signal={SIGNAL}", f"background={path}")


def test_no_kept_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msnas.convert.selection.MINIMUM_VISIBLE_PT", 1e6)
    line = refusal(capsys, tmp_path, f"signal={SIGNAL}", f"background={BACKGROUND}")
    assert "signal: no event to write: 100 events read, 0 kept; dropped: 100 fewer" in line


def test_existing_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.h5"
    out.write_text("precious")
    assert run(out) == 1
    assert "exists; overwrite=true replaces it" in capsys.readouterr().err
    # a conversion that fails half-way leaves the old file as it was
    (tmp_path / "words.root").write_text("no ROOT file")
    words = [f"out={out}", f"signal={SIGNAL}", f"background={tmp_path}/words.root"]
    assert main([*words, "overwrite=true"]) == 1
    assert out.read_text() == "precious"
    assert run(out, "overwrite=true") == 0
    assert len(load(out)["label"]) == 154


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("chunk=0", "chunk: found 0, allowed: 1 or more"),
        ("shuffle_seed=-1", "shuffle_seed: found -1, allowed: 0 or more, null"),
    ],
)
def test_settings_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, complaint: str
) -> None:
    line = refusal(capsys, tmp_path, f"signal={SIGNAL}", f"background={BACKGROUND}", word)
    assert complaint in line


def test_output_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere" / "out.h5") == 1
    assert "out: there is no folder" in capsys.readouterr().err
    assert run(tmp_path, "overwrite=true") == 1
    assert "is a folder" in capsys.readouterr().err


def test_both_classes_are_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["out=a.h5", "signal=b"])
    assert stop.value.code == 2
    assert "background: required but missing" in capsys.readouterr().err
