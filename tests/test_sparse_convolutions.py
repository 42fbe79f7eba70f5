"""Convolutions that skip zeros: against the usual ones, by their gradients, where they serve."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import Tensor, nn

from msnas.candidates import sparse_kernels
from msnas.candidates.convolutions import Convolutions
from msnas.candidates.sparse_convolutions import MOST, THREADS, pays, sparse_convolutions
from msnas.candidates.tau_cnn import TauCNN
from msnas.errors import ConfigError

PAPER = {"channels": [32, 16, 16, 8], "kernels": [3, 3, 2, 2], "activation": "relu"}
SMALL = (3, 2, 2, 3)  # features, side, maps, side: of the first convolution, of the second


def mostly_empty(count: int, *shape: int, seed: int = 0, share: float = 0.05) -> Tensor:
    """Images in which a random share of the pixels is not zero."""
    random = np.random.default_rng(seed)
    images = random.normal(size=(count, *shape)) * (random.uniform(size=(count, *shape)) < share)
    return torch.from_numpy(images)


def jet_images(count: int) -> Tensor:
    """The first images of jets of the embedded events, in log(1 + GeV)."""
    with h5py.File(ROOT / "data" / "htautau.h5") as file:
        return torch.from_numpy(file["image"][: count // 2]).flatten(0, 1).log1p()


def layers(features: int, side1: int, maps: int, side2: int, channels: int = 3) -> nn.Sequential:
    torch.manual_seed(3)
    first = nn.Conv2d(channels, features, side1)
    network = nn.Sequential(
        first, nn.ReLU(), nn.Conv2d(features, maps, side2), nn.ReLU(), nn.MaxPool2d(2)
    )
    nn.init.normal_(first.bias, std=0.5)  # of both signs: empty places count, too
    return network


def weights(network: nn.Sequential) -> list[Tensor]:
    return list(network.parameters())


def both(network: nn.Sequential, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Values and gradients of all weights, of the operator and of PyTorch's layers."""
    usual = network(images)
    slopes = torch.randn(usual.shape, generator=torch.Generator().manual_seed(1), dtype=usual.dtype)
    expected = [usual, *torch.autograd.grad(usual, weights(network), slopes)]
    values, _ = sparse_convolutions(images, *weights(network))
    values = values.permute(0, 3, 1, 2)
    return [values, *torch.autograd.grad(values, weights(network), slopes)], expected


@pytest.mark.parametrize(
    "shape", [(3, 9, 9), (3, 8, 11), (3, 5, 6)], ids=lambda shape: "x".join(map(str, shape))
)
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_values_and_gradients_are_those_of_the_usual_layers(
    shape: tuple[int, int, int], share: float
) -> None:
    """In double precision; with no pixel, some, all; squares or not, an odd row left by pooling."""
    found, expected = both(layers(*SMALL).double(), mostly_empty(7, *shape, share=share))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_real_images_in_single_precision() -> None:
    """The paper's layers on images of jets: equal to a rounding of the largest gradient."""
    images = jet_images(150).log1p()
    found, expected = both(layers(32, 3, 16, 3), images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            one, other, rtol=0, atol=2e-5 * float(other.detach().abs().max())
        )


def test_no_images() -> None:
    found, expected = both(layers(*SMALL).double(), mostly_empty(0, 3, 9, 9))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_gradients_against_finite_differences() -> None:
    network = layers(*SMALL).double()
    images = mostly_empty(3, 3, 6, 7, share=0.1)
    for weight in weights(network):
        weight.data += 0.01  # no ReLU or pool within a step of its edge

    def values(*parameters: Tensor) -> Tensor:
        return sparse_convolutions(images, *parameters)[0]

    assert torch.autograd.gradcheck(values, weights(network), eps=1e-7, atol=1e-6)


def test_operator_keeps_the_rules_of_pytorch() -> None:
    """Schema, shapes without data, registration of the gradient."""
    network = layers(*SMALL).double()
    images = mostly_empty(2, 3, 6, 7, share=0.1)
    torch.library.opcheck(sparse_convolutions, (images, *weights(network)))


def test_twice_the_same_numbers_bit_for_bit() -> None:
    network, images = layers(32, 3, 16, 3), mostly_empty(40, 3, 16, 16).float()
    first, _ = both(network, images)
    second, _ = both(network, images)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("at", range(4))
def test_numbers_that_are_none_are_not_lost(at: int) -> None:
    """A training that diverges must be seen to: NaN in any weight is NaN in the output."""
    network, images = layers(*SMALL).double(), mostly_empty(2, 3, 6, 7, share=0.2)
    with torch.no_grad():
        weights(network)[at].fill_(float("nan"))
    values, _ = sparse_convolutions(images, *weights(network))
    assert values.isnan().any()
    assert torch.equal(values.isnan(), network(images).permute(0, 2, 3, 1).isnan())


def sparse_image(**settings: Any) -> Tensor:
    return torch.zeros(2, 1, 8, 8, **settings)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(sparse_image, True, id="empty"),
        pytest.param(lambda: torch.ones(2, 1, 8, 8), False, id="full"),
        pytest.param(lambda: mostly_empty(9, 1, 8, 8, share=MOST / 2), True, id="below the share"),
        pytest.param(lambda: mostly_empty(9, 1, 8, 8, share=2 * MOST), False, id="above it"),
        pytest.param(lambda: sparse_image(requires_grad=True), False, id="gradient of the image"),
        pytest.param(lambda: sparse_image(dtype=torch.bfloat16), False, id="bfloat16"),
        pytest.param(lambda: sparse_image(device="meta"), False, id="another device"),
    ],
)
def test_where_it_serves(images: Callable[[], Tensor], expected: bool) -> None:
    assert pays(images()) is expected


def test_it_does_not_serve_in_mixed_precision_nor_on_many_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert not pays(sparse_image())
    monkeypatch.setattr(torch, "get_num_threads", lambda: THREADS + 1)
    assert not pays(sparse_image())


def outputs(candidate: TauCNN, images: Tensor) -> Tensor:
    jet = torch.ones(len(images), images.shape[1], 4)
    result: Tensor = candidate({"jet": jet, "image": images})
    return result


def test_a_candidate_uses_it_and_keeps_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same names, initial weights and outputs; other activations take the usual layers."""
    calls = []

    def counted(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(len(arguments[0]))
        return sparse_convolutions(*arguments)

    monkeypatch.setattr("msnas.candidates.convolutions.sparse_convolutions", counted)
    others: dict[str, Any] = {"image_layers": [8, 4], "momentum_layers": [8]}
    made = []
    for sparse in (True, False):
        torch.manual_seed(0)
        made.append(TauCNN(**PAPER, **others, sparse=sparse))
    first, second = made
    assert first.state_dict().keys() == second.state_dict().keys()
    assert all(
        torch.equal(one, other)
        for one, other in zip(first.parameters(), second.parameters(), strict=True)
    )
    images = jet_images(10).log1p().unflatten(0, (5, 2))
    torch.testing.assert_close(outputs(first, images), outputs(second, images))
    assert calls == [10]
    outputs(first, torch.ones_like(images))
    outputs(TauCNN(**{**PAPER, "activation": "gelu"}, **others, sparse=True), images)
    assert calls == [10]
    assert not Convolutions(
        channels=[4], kernels=[3], image_shape=(3, 8, 8), activation="relu", sparse=True
    ).sparse


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kernels": [3, 3]}, r"channels, kernels: expected as many of both"),
        ({"channels": [0, 4, 4, 4]}, r"each >= 1, found \[0, 4, 4, 4\] and \[3, 3, 2, 2\]"),
        ({"kernels": [17, 3, 2, 2]}, r"leave nothing of images of 16 rows"),
    ],
    ids=["of two lengths", "no channel", "too large"],
)
def test_layers_that_cannot_be(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Convolutions(**{**PAPER, **settings}, image_shape=(3, 16, 16))


def test_compiled_code_needs_no_folder_to_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(signature: Any, *, cache: bool = False, **others: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: (function, signature, others)

    monkeypatch.setattr(sparse_kernels, "njit", njit)
    found = sparse_kernels._compiled(mostly_empty, "float32")
    assert found == (mostly_empty, ("float32",), {"error_model": "numpy"})


def test_what_others_add_to_numba_is_neither_imported_nor_lost() -> None:
    code = (
        "import sys, torch\n"
        "from numba.core import entrypoints\n"
        "from msnas.candidates.sparse_kernels import kernels\n"
        "kernels(3, 2, 2, 3, 'float64')\n"
        "assert 'vector' not in sys.modules and not entrypoints._already_initialized"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
