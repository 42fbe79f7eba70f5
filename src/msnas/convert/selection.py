"""Selection of an event: its true taus, their matched jets, and the example made of both.

The selection is that of ``htautau``: two hadronic taus in acceptance, each matched to a jet of
its own. Angles are in radians, momenta, energies and masses in GeV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from msnas.convert.delphes import Event, Jets, Particles
from msnas.convert.image import Deposits, jet_image, wrap_phi
from msnas.errors import DataError

Example = dict[str, NDArray[Any]]
"""One event as it is written: data set name -> values."""

TAU: Final = 15
LIGHT_LEPTONS: Final = (11, 13)
NEUTRINOS: Final = (12, 14, 16)
CHARGED_HADRONS: Final = (211, 321)
"""Charged pion and kaon; a charged resonance, such as K*(892), is not counted."""
NEUTRAL_PION: Final = 111

MINIMUM_VISIBLE_PT: Final = 20.0
MAXIMUM_VISIBLE_ETA: Final = 2.3
MATCHING_DELTA_R: Final = 0.4
VERTEX_DISTANCE: Final = 0.1
"""A pile-up track nearer than this [mm] to the primary vertex is taken for one of its tracks."""


class Drop(Enum):
    """Why an event is not kept; the first reason that applies."""

    FEW_TAUS = "fewer than two hadronic taus in acceptance"
    OTHER_TAUS = "another number of hadronic taus in acceptance"
    NO_JET = "no matched jet"
    SAME_JET = "same jet"
    FEW_FAKES = "too few other jets of a generated jet"


DROPS: Final = (Drop.FEW_TAUS, Drop.NO_JET, Drop.SAME_JET)


@dataclass(frozen=True, kw_only=True)
class HadronicTau:
    """A tau that decays to hadrons: the tau before its decay, and its visible decay products."""

    pt: float
    eta: float
    phi: float
    visible_pt: float
    visible_eta: float
    visible_phi: float
    visible_mass: float
    charged_hadrons: int
    neutral_pions: int


def daughters(particles: Particles, position: int) -> list[int]:
    """Positions of a particle's decay products, as Pythia 8 stores them.

    Both pointers -1: no daughter. Second -1 or equal to the first: one daughter. Second larger:
    all positions from the first to the second. Second smaller: the two positions alone.

    Raises:
        DataError: a pointer leads out of the record.

    """
    first = int(particles.first_daughter[position])
    last = int(particles.last_daughter[position])
    size = len(particles.pid)
    if max(first, last) >= size:
        raise DataError(f"particle {position} of {size} has daughters {first} to {last}")
    if first < 0:
        return []
    if last < 0:
        return [first]
    return list(range(first, last + 1)) if last >= first else [last, first]


def visible_momentum(particles: Particles, position: int) -> NDArray[np.float64]:
    """Sum of (E, px, py, pz), shape [4], over the final decay products except neutrinos."""
    total = np.zeros(4)
    seen: set[int] = set()
    waiting = daughters(particles, position)
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        below = daughters(particles, current)
        if below:
            waiting.extend(below)
        elif abs(particles.pid[current]) not in NEUTRINOS:
            total += (
                particles.energy[current],
                particles.px[current],
                particles.py[current],
                particles.pz[current],
            )
    return total


def hadronic_taus(particles: Particles) -> list[HadronicTau]:
    """Find the hadronic taus with visible pT > 20 GeV and |eta| < 2.3, in record order.

    A tau with a tau among its daughters is an earlier copy of the same tau (it radiated, or
    recoiled); only the last copy counts, so radiation before it is not part of the decay.
    """
    taus = []
    for position in np.flatnonzero(np.abs(particles.pid) == TAU).tolist():
        products = [abs(int(particles.pid[item])) for item in daughters(particles, position)]
        if not products or TAU in products or any(item in LIGHT_LEPTONS for item in products):
            continue
        energy, px, py, pz = visible_momentum(particles, position)
        pt = float(np.hypot(px, py))
        if not pt > MINIMUM_VISIBLE_PT:
            continue
        eta = float(np.arcsinh(pz / pt))
        if not abs(eta) < MAXIMUM_VISIBLE_ETA:
            continue
        taus.append(
            HadronicTau(
                pt=float(particles.pt[position]),
                eta=float(particles.eta[position]),
                phi=float(particles.phi[position]),
                visible_pt=pt,
                visible_eta=eta,
                visible_phi=float(np.arctan2(py, px)),
                visible_mass=float(np.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0))),
                charged_hadrons=sum(item in CHARGED_HADRONS for item in products),
                neutral_pions=products.count(NEUTRAL_PION),
            )
        )
    return taus


def nearest_jet(tau: HadronicTau, jets: Jets) -> int | None:
    """Position of the jet nearest to the visible tau within dR < 0.4; None if there is none."""
    if len(jets.pt) == 0:
        return None
    delta_eta = jets.eta.astype(np.float64) - tau.visible_eta
    delta_phi = wrap_phi(jets.phi.astype(np.float64) - tau.visible_phi)
    delta_r = np.hypot(delta_eta, delta_phi)
    nearest = int(np.argmin(delta_r))
    return nearest if delta_r[nearest] < MATCHING_DELTA_R else None


def image_channels(event: Event) -> tuple[Deposits, Deposits, Deposits]:
    """Primary-vertex track pT, EM ET and hadronic ET of the whole event.

    A track counts if it is not pile-up or starts within 0.1 mm in z of the primary vertex; in an
    event without a primary vertex no pile-up track counts. Calorimeters see pile-up: ET is
    E / cosh(eta) of every tower.
    """
    tracks, towers, vertices = event.tracks, event.towers, event.vertices
    primary = vertices.z[vertices.index == 0].astype(np.float64)
    distance = np.abs(tracks.z.astype(np.float64) - (primary[0] if len(primary) else np.nan))
    kept = (tracks.pile_up == 0) | (distance < VERTEX_DISTANCE)
    transverse = 1 / np.cosh(towers.eta.astype(np.float64))
    return (
        Deposits(eta=tracks.eta[kept], phi=tracks.phi[kept], value=tracks.pt[kept]),
        Deposits(eta=towers.eta, phi=towers.phi, value=towers.em * transverse),
        Deposits(eta=towers.eta, phi=towers.phi, value=towers.hadronic * transverse),
    )


def measured(event: Event, positions: Sequence[int]) -> Example:
    """`jet` [jet, 4] and `image` [jet, 3, 16, 16] of the jets at these positions."""
    jets, channels = event.jets, image_channels(event)
    return {
        "jet": np.array([[jets.pt[j], jets.eta[j], jets.phi[j], jets.mass[j]] for j in positions]),
        "image": np.array(
            [
                jet_image(jet_eta=float(jets.eta[j]), jet_phi=float(jets.phi[j]), channels=channels)
                for j in positions
            ]
        ),
    }


def make_example(event: Event, *, label: int) -> Example | Drop:
    """Select, match and order one event; return its example, or the reason why it is dropped.

    Of more than two hadronic taus, the two of highest visible pT are used. Shapes without the
    event axis: jet [2, 4], image [2, 3, 16, 16], tau [2, 3], label [], tau_visible [2, 4],
    tau_decay [2, 2]; the first axis is the jet, higher pT first.
    """
    taus = hadronic_taus(event.particles)
    if len(taus) < 2:
        return Drop.FEW_TAUS
    if len(taus) > 2:
        taus = sorted(taus, key=lambda tau: tau.visible_pt, reverse=True)[:2]
    jets = event.jets
    pairs = []
    for tau in taus:
        nearest = nearest_jet(tau, jets)
        if nearest is None:
            return Drop.NO_JET
        pairs.append((nearest, tau))
    if pairs[0][0] == pairs[1][0]:
        return Drop.SAME_JET
    pairs.sort(key=lambda pair: float(jets.pt[pair[0]]), reverse=True)

    return {
        **measured(event, [j for j, _ in pairs]),
        "tau": np.array([[tau.pt, tau.eta, tau.phi] for _, tau in pairs]),
        "label": np.array(label),
        "tau_visible": np.array(
            [
                [tau.visible_pt, tau.visible_eta, tau.visible_phi, tau.visible_mass]
                for _, tau in pairs
            ]
        ),
        "tau_decay": np.array([[tau.charged_hadrons, tau.neutral_pions] for _, tau in pairs]),
    }
