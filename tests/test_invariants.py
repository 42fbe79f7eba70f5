"""What two taus form: hand numbers, symmetries, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from msnas.candidates.invariants import Invariants, pair_features
from msnas.momentum import encode_pt


def taus(count: int = 50, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    pt = 20 + 80 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    eta = 4 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 2
    phi = 2 * math.pi * torch.rand(count, 2, generator=generator, dtype=torch.float64) - math.pi
    return torch.stack((encode_pt(pt), eta, phi), -1)


def test_two_taus_by_hand() -> None:
    """45 GeV each, back to back but for .2: a pair pT of 2 x 45 sin(.1)."""
    pair = torch.tensor([[[45.0, 0.3, 3.1], [45.0, 0.3, 3.1 - math.pi + 0.2]]]).double()
    pair[..., 0] = encode_pt(pair[..., 0])
    found = pair_features(pair)[0].tolist()
    mass = math.sqrt(2 * 1.777**2 + 2 * (math.hypot(45 * math.cosh(0.3), 1.777) ** 2)
                     - 2 * 45**2 * (math.cos(math.pi - 0.2) + math.sinh(0.3) ** 2))  # fmt: skip
    log_pt = 2 * (math.log(45.1) - 3.8)
    expected = [
        log_pt, log_pt, 0.3, 0.3, 0.2, 0.0,
        2 * math.log(mass / 125 + 0.01), math.log1p(2 * 45 * math.sin(0.1)) - 3,
    ]  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("angle", [0.3, 2.0, math.pi])
def test_a_turned_or_mirrored_event_forms_the_same(angle: float) -> None:
    before = pair_features(taus())
    turned = taus()
    turned[..., 2] = torch.remainder(turned[..., 2] + angle + math.pi, 2 * math.pi) - math.pi
    torch.testing.assert_close(pair_features(turned), before)
    mirrored = taus()
    mirrored[..., 2] = -mirrored[..., 2]
    torch.testing.assert_close(pair_features(mirrored), before)


@pytest.mark.parametrize("pt", [0.0, 1e-3, 20.0, 1e4])
def test_gradients_are_finite_everywhere(pt: float) -> None:
    pair = torch.zeros(1, 2, 3)
    pair[..., 0] = encode_pt(torch.tensor(pt))
    pair[0, 1, 2] = math.pi  # back to back, or one upon the other
    for other in (math.pi, 0.0):
        pair = pair.detach().clone()
        pair[0, 1, 2] = other
        pair.requires_grad_()
        logit = Invariants(layers=[4])({"tau": pair})
        logit.sum().backward()
        assert logit.shape == (1,)
        assert pair.grad is not None
        assert torch.isfinite(pair.grad).all()
