"""Events of two jets, each a tau or a fake: the layout of ``htautau_fakes``.

Angles are in radians, momenta in GeV.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from msnas.convert.delphes import EventWithTruth, Jets
from msnas.convert.image import wrap_phi
from msnas.convert.selection import (
    MATCHING_DELTA_R,
    Drop,
    Example,
    HadronicTau,
    hadronic_taus,
    measured,
    nearest_jet,
)

TAUS: Final = {"qcd": 0, "w": 1, "z": 2, "higgs": 2}
"""Process -> required number of hadronic taus in acceptance; labels count from 0 in this order."""

MINIMUM_JET_PT: Final = 20.0
MAXIMUM_JET_ETA: Final = 2.3
MINIMUM_GENERATED_PT: Final = 15.0

DROPS: Final = (Drop.OTHER_TAUS, Drop.NO_JET, Drop.SAME_JET, Drop.FEW_FAKES)


def make_example(event: EventWithTruth, *, process: str) -> Example | Drop:
    """Choose two jets, higher pT first: the jets of the taus, filled up with the leading fakes.

    Shapes without the event axis: jet [2, 4], image [2, 3, 16, 16], is_tau [2], target [2, 3],
    label [], tau_visible [2, 4], tau_decay [2, 2]. A dropped event returns its reason.
    """
    taus = hadronic_taus(event.particles)
    if len(taus) != TAUS[process]:
        return Drop.OTHER_TAUS
    jets = event.jets
    found: dict[int, HadronicTau | int] = {}
    for tau in taus:
        nearest = nearest_jet(tau, jets)
        if nearest is None or not accepted(jets, nearest):
            return Drop.NO_JET
        if nearest in found:
            return Drop.SAME_JET
        found[nearest] = tau
    generated = generated_of(event, taus)
    leading = np.argsort(-jets.pt, kind="stable").tolist()
    for position in [one for one in leading if one in generated and one not in found]:
        if len(found) < 2 and accepted(jets, position):
            found[position] = generated[position]
    if len(found) < 2:
        return Drop.FEW_FAKES
    pair = sorted(found, key=lambda position: float(jets.pt[position]), reverse=True)
    truth, visible, decay = zip(*(_truths(event, found[one]) for one in pair), strict=True)
    return {
        **measured(event, pair),
        "is_tau": np.array([isinstance(found[one], HadronicTau) for one in pair]),
        "target": np.array(truth),
        "label": np.array(list(TAUS).index(process)),
        "tau_visible": np.array(visible),
        "tau_decay": np.array(decay),
    }


def accepted(jets: Jets, position: int) -> bool:
    """Whether a jet has pT > 20 GeV and |eta| < 2.3."""
    return bool(jets.pt[position] > MINIMUM_JET_PT and abs(jets.eta[position]) < MAXIMUM_JET_ETA)


def generated_of(event: EventWithTruth, taus: list[HadronicTau]) -> dict[int, int]:
    """Position of a jet -> position of the generated jet that is matched to it.

    Each generated jet of pT > 15 GeV, except those of the `taus`, is matched to the nearest jet
    within dR < 0.4. A jet keeps its nearest generated jet; a pile-up jet has none.
    """
    jets, generated = event.jets, event.generated
    nearest: dict[int, tuple[float, int]] = {}
    for position in np.flatnonzero(generated.pt > MINIMUM_GENERATED_PT).tolist():
        eta, phi = float(generated.eta[position]), float(generated.phi[position])
        of_tau = any(
            np.hypot(tau.visible_eta - eta, wrap_phi(tau.visible_phi - phi)) < MATCHING_DELTA_R
            for tau in taus
        )
        if of_tau or len(jets.pt) == 0:
            continue
        distance = np.hypot(
            jets.eta.astype(np.float64) - eta, wrap_phi(jets.phi.astype(np.float64) - phi)
        )
        jet = int(np.argmin(distance))
        if distance[jet] < min(MATCHING_DELTA_R, nearest.get(jet, (np.inf, 0))[0]):
            nearest[jet] = (float(distance[jet]), position)
    return {jet: position for jet, (_, position) in nearest.items()}


def _truths(
    event: EventWithTruth, of: HadronicTau | int
) -> tuple[list[float], list[float], list[int]]:
    """Target, visible decay products, decay counts; the last two are zeros for a fake."""
    if isinstance(of, HadronicTau):
        return (
            [of.pt, of.eta, of.phi],
            [of.visible_pt, of.visible_eta, of.visible_phi, of.visible_mass],
            [of.charged_hadrons, of.neutral_pions],
        )
    generated = event.generated
    target = [float(one[of]) for one in (generated.pt, generated.eta, generated.phi)]
    return target, [0.0] * 4, [0, 0]
