"""The converter's layout with fakes: against the reference file, by hand, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from msnas.convert.__main__ import main
from msnas.convert.delphes import (
    DelphesFile,
    EventWithTruth,
    GeneratedJets,
    Jets,
    Particles,
    Towers,
    Tracks,
    Vertices,
)
from msnas.convert.fakes import make_example
from msnas.convert.selection import Drop
from msnas.convert.writer import LAYOUTS_WITH_FAKES

DATA = Path(__file__).parent / "data"
W, QCD = DATA / "fixture_W.root", DATA / "fixture_QCD.root"
EXPECTED = DATA / "fixture_fakes_expected.h5"
WORDS = ["layout=fakes", f"w={W}", f"qcd={QCD}"]


def load(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: dataset[:] for name, dataset in file.items()}


def test_fixtures_give_the_expected_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5"
    assert main([*WORDS, f"out={out}", "chunk=70"]) == 0
    result, expected = load(out), load(EXPECTED)
    assert result.keys() == expected.keys() == LAYOUTS_WITH_FAKES.keys()
    assert np.bincount(result["label"]).tolist() == [40, 65]
    for name, values in expected.items():
        assert result[name].dtype == values.dtype
        if values.dtype == np.uint8:
            np.testing.assert_array_equal(result[name], values, err_msg=name)
        else:
            np.testing.assert_allclose(result[name], values, rtol=2e-7, atol=0, err_msg=name)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(";")[0] for line in said] == [
        "w: 100 events read, 65 kept",
        "qcd: 100 events read, 40 kept",
        f"wrote {out}: 105 events",
    ]
    assert "0 another number of hadronic taus in acceptance" in said[1]
    with h5py.File(out) as file:
        assert file.attrs["order"] == "w, then qcd, in file order"
        assert (file.attrs["w_kept"], file.attrs["qcd_files"]) == (65, "fixture_QCD.root")
        assert file["is_tau"].attrs["description"] == file.attrs["is_tau"]


def test_a_real_tau_whose_jet_lies_outside_is_dropped() -> None:
    """Entry 5: the tau at eta 2.279 is accepted, the axis of its jet at 2.422 is not."""
    event = list(DelphesFile(path=W, kind=EventWithTruth).read(chunk=6))[5]
    assert np.abs(event.jets.eta - 2.4221766).min() < 1e-6
    assert make_example(event, process="w") is Drop.NO_JET


# ------------------------------------------------------------------ made by hand

Momentum = tuple[float, float, float]
"""PT [GeV], eta, phi."""


def made(jets: Sequence[Momentum], generated: Sequence[Momentum], *, tau: bool) -> EventWithTruth:
    """An event with these jets; a tau of 40 GeV at eta = phi = 0 is seen as a pion of 30 GeV."""
    particles = np.array(
        [  # pid, first and last daughter, energy, px, py, pz
            *([(15, 1, 2, 40.1, 40, 0, 0)] if tau else [(21, -1, -1, 40, 40, 0, 0)]),
            (16, -1, -1, 10, 10, 0, 0),
            (211, -1, -1, 30, 30, 0, 0),
        ],
        dtype=float,
    ).T
    pid, first, last = particles[:3].astype(int)
    nothing = np.zeros(0)
    pt, eta, phi = np.array(jets, dtype=float).reshape(-1, 3).T
    true = np.array(generated, dtype=float).reshape(-1, 3).T
    return EventWithTruth(
        particles=Particles(
            pid=pid,
            first_daughter=first,
            last_daughter=last,
            energy=particles[3],
            px=particles[4],
            py=particles[5],
            pz=particles[6],
            pt=particles[4],
            eta=np.zeros(3),
            phi=np.zeros(3),
        ),
        jets=Jets(pt=pt, eta=eta, phi=phi, mass=np.full(len(pt), 5.0)),
        tracks=Tracks(pt=nothing, eta=nothing, phi=nothing, z=nothing, pile_up=nothing.astype(int)),
        towers=Towers(eta=nothing, phi=nothing, em=nothing, hadronic=nothing),
        vertices=Vertices(index=nothing.astype(int), z=nothing),
        generated=GeneratedJets(pt=true[0], eta=true[1], phi=true[2]),
    )


def test_a_tau_and_the_leading_fake() -> None:
    """Passed over: a jet outside |eta| < 2.3, one of pile-up, and the tau's own."""
    jets = [(60, 2.35, 1.0), (50, 1.0, -2.0), (35, 0.1, 0.0), (30, -1.1, 2.0), (22, 1.5, 3.0)]
    generated = [(58, 2.3, 1.0), (32, 0.0, 0.05), (26, -1.0, 2.1), (21, 1.5, 3.0)]
    example = make_example(made(jets, generated, tau=True), process="w")
    assert not isinstance(example, Drop)
    assert example["jet"].tolist() == [[35, 0.1, 0, 5], [30, -1.1, 2, 5]]
    assert example["is_tau"].tolist() == [True, False]
    assert example["target"].tolist() == [[40, 0, 0], [26, -1.0, 2.1]]
    assert example["tau_visible"].tolist() == [[30, 0, 0, 0], [0, 0, 0, 0]]
    assert example["tau_decay"].tolist() == [[1, 0], [0, 0]]
    assert example["label"] == 1


def test_the_fake_may_be_the_harder_jet() -> None:
    jets, generated = [(90, 1.0, 1.0), (35, 0.1, 0.0)], [(80, 1.0, 1.1)]
    example = make_example(made(jets, generated, tau=True), process="w")
    assert not isinstance(example, Drop)
    assert example["is_tau"].tolist() == [False, True]


def test_two_fakes_each_the_nearest_to_a_generated_jet() -> None:
    """The second jet is 0.3 from a generated jet, but the third is nearer; the fourth has one of
    14 GeV only."""
    jets = [(50, 0, 0), (40, 1.3, 1), (30, 1.1, 1), (25, -1, 2), (21, 2, -2)]
    generated = [(45, 0.1, 0), (44, 0.3, 0), (28, 1.0, 1), (14, -1, 2), (20, 2, -2)]
    example = make_example(made(jets, generated, tau=False), process="qcd")
    assert not isinstance(example, Drop)
    assert example["jet"][:, 0].tolist() == [50, 30]
    assert example["target"].tolist() == [[45, 0.1, 0], [28, 1.0, 1]]
    assert (example["label"], example["is_tau"].any()) == (0, False)


@pytest.mark.parametrize(
    ("process", "tau", "jets", "why"),
    [
        ("qcd", True, [(35, 0, 0)], Drop.OTHER_TAUS),
        ("w", False, [(35, 0, 0)], Drop.OTHER_TAUS),
        ("z", True, [(35, 0, 0)], Drop.OTHER_TAUS),
        ("w", True, [], Drop.NO_JET),
        ("w", True, [(35, 0.5, 0)], Drop.NO_JET),
        ("w", True, [(35, 0, 0)], Drop.FEW_FAKES),
        ("qcd", False, [], Drop.FEW_FAKES),
    ],
)
def test_reasons_to_drop(process: str, tau: bool, jets: list[Momentum], why: Drop) -> None:
    assert make_example(made(jets, [(30, 0.0, 0.0)], tau=tau), process=process) is why


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"out={tmp_path / 'out.h5'}"
    assert main(["layout=fakes", out]) == 1
    assert "higgs, z, w, qcd: found none of them" in capsys.readouterr().err
    assert main(["layout=fakes", out, f"w={W}", f"z={W}"]) == 1
    assert "w: " in (said := capsys.readouterr().err)
    assert "is also in z; a file has one class" in said
    assert main([out, "layout=fake", f"signal={W}", f"background={QCD}"]) == 2
    assert "layout: 'fake'; allowed are ['htautau', 'fakes']" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["layout=fakes", out, f"signal={W}"])
    assert "signal" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
