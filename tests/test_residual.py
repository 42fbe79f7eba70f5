"""The residual networks: their formulas, sizes, skips, and where FiLM may take hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import CONF
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from msnas.build import build
from msnas.candidates.jet_correction import JetCorrection
from msnas.candidates.residual import ConvBlock, DenseBlock, ResidualBlock
from msnas.candidates.residual_cnn import ResidualCNN
from msnas.candidates.residual_mlp import ResidualMLP
from msnas.errors import ConfigError

COMMON = {"width": 16, "dropout": 0.0, "activation": "gelu"}
CNN: dict[str, Any] = {**COMMON, "planes": 8, "blocks": 5, "stride": 2, "output_shape": []}
MLP: dict[str, Any] = {**COMMON, "input_size": 768, "blocks": 3, "depth": 3, "output_shape": []}
HEAD: dict[str, Any] = {**COMMON, "input_size": 20, "blocks": 1, "depth": 2}


def images(events: int, seed: int = 0) -> Tensor:
    """Sparse images, as of jets."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(events, 3, 16, 16, generator=generator)
    return pixels * 3 * (torch.rand(pixels.shape, generator=generator) < 0.03)


def cnn(**changed: Any) -> ResidualCNN:
    torch.manual_seed(0)
    return ResidualCNN(**(CNN | changed))


def mlp(**changed: Any) -> ResidualMLP:
    torch.manual_seed(0)
    return ResidualMLP(**(MLP | changed))


def head(**changed: Any) -> JetCorrection:
    torch.manual_seed(0)
    return JetCorrection(**(HEAD | changed))


def inputs_of(module: nn.Module, events: int, seed: int = 0) -> dict[str, Tensor]:
    if isinstance(module, JetCorrection):
        generator = torch.Generator().manual_seed(seed)
        return {
            "jet": torch.randn(events, 4, generator=generator),
            "features": torch.randn(events, 16, generator=generator),
        }
    return {"image": images(events, seed)}


ALL = [cnn, mlp, head]


def size(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


# ------------------------------------------------------------------ the published shapes


def published(name: str, **changed: Any) -> nn.Module:
    """The configured candidate at the size of the slide."""
    path = CONF / "candidate" / "tau_id" / f"{name}.yaml"
    settings = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(settings, dict)
    module = build({**settings, **changed}, key=name, of=nn.Module)
    return module


def test_the_published_cnn_has_its_parameters() -> None:
    blocks = (
        # 3 to 256 planes, and a convolution with kernel 1 beside it; then four of 256 to 256;
        # no bias, but scale and shift of both norms
        (3 * 256 * 9 + 256 * 256 * 9 + 2 * 2 * 256 + 3 * 256)
        + 4 * (2 * 256 * 256 * 9 + 2 * 2 * 256)
    )
    dense = 2 * (256 * 256 + 256) + 256 * 256
    module = published("residual_cnn", planes=256, stride=1, width=256)
    assert size(module) == blocks + dense + (256 + 1)
    trunk = published("residual_cnn", planes=256, stride=1, width=256, output_shape=None)
    assert size(trunk) == blocks + dense


def test_the_published_mlp_has_its_parameters() -> None:
    # 768 pixels to 256; three blocks of three layers; one more, and two classes
    expected = (768 * 256 + 256) + 9 * (256 * 256 + 256) + (256 * 256 + 256) + (256 * 2 + 2)
    assert size(published("residual_mlp", width=256, output_shape=[2])) == expected


def test_the_narrow_cnn_has_its_parameters() -> None:
    blocks = (3 * 8 * 9 + 8 * 8 * 9 + 2 * 2 * 8 + 3 * 8) + 4 * (2 * 8 * 8 * 9 + 2 * 2 * 8)
    dense = (8 * 64 + 64) + (64 * 64 + 64) + 64 * 64
    assert size(published("residual_cnn")) == blocks + dense + (64 + 1)


def test_a_step_of_the_narrow_cnn_is_cheap() -> None:
    """0.1 ms per image and training step on one thread."""
    module = published("residual_cnn")
    with FlopCounterMode(display=False) as counter:
        module({"image": images(10)}).square().mean().backward()
    assert counter.get_total_flops() / 10 < 2.5e6


# ------------------------------------------------------------------ formulas


def test_conv_block_is_its_formula() -> None:
    torch.manual_seed(1)
    block = ConvBlock(3, 4, stride=2, activation="gelu").double()
    for parameter in block.parameters():  # norms start with scale 1 and shift 0
        nn.init.normal_(parameter)
    x = torch.randn(5, 3, 6, 6, dtype=torch.float64)
    first, norm_1, _, second, norm_2 = block.branch

    def norm(values: Tensor, module: Any) -> Tensor:
        mean = values.mean((1, 2, 3), keepdim=True)
        variance = (values - mean).square().mean((1, 2, 3), keepdim=True)
        scaled = (values - mean) / (variance + 1e-5).sqrt()
        return scaled * module.weight.view(-1, 1, 1) + module.bias.view(-1, 1, 1)

    inner = functional.gelu(
        norm(functional.conv2d(x, first.weight, stride=2, padding=1), norm_1)  # type: ignore[arg-type]
    )
    f = norm(functional.conv2d(inner, second.weight, padding=1), norm_2)  # type: ignore[arg-type]
    s = torch.einsum("oi,eirc->eorc", block.skip.weight[:, :, 0, 0], x[:, :, ::2, ::2])  # type: ignore[index]
    assert torch.allclose(block(x), functional.gelu(f + s), rtol=0, atol=1e-12)


def test_skips_pass_everything_where_the_branch_is_silent() -> None:
    conv = ConvBlock(8, 8, stride=1, activation="gelu")
    nn.init.zeros_(conv.branch[-1].weight)  # type: ignore[arg-type]
    x = torch.randn(4, 8, 5, 5)
    assert torch.equal(conv(x), functional.gelu(x))

    residual = ResidualBlock(8, depth=3, activation="gelu", dropout=0.0)
    last = residual.branch[-1]
    assert isinstance(last, DenseBlock)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    values = torch.randn(4, 8)
    assert torch.equal(residual(values), values)

    correction = head()
    nn.init.zeros_(correction.network.last.weight)  # type: ignore[arg-type]
    nn.init.zeros_(correction.network.last.bias)  # type: ignore[arg-type]
    batch = inputs_of(correction, 4)
    assert torch.equal(correction(batch), batch["jet"][:, :3])


def test_residual_mlp_is_its_formula() -> None:
    module = mlp(blocks=2, depth=2, output_shape=[3])

    def layer(block: Any, values: Tensor) -> Tensor:
        return functional.gelu(values @ block[0].weight.T + block[0].bias)

    batch = inputs_of(module, 6)
    values = layer(module.first, batch["image"].flatten(1))
    for block in module.residual_blocks:
        inner = values
        for one in block.branch:  # type: ignore[union-attr]
            inner = layer(one, inner)
        values = values + inner
    values = layer(module.dense_block, values)
    expected = values @ module.last.weight.T + module.last.bias  # type: ignore[operator]
    assert torch.allclose(module(batch), expected, rtol=0, atol=1e-5)


def test_cnn_averages_over_the_pixels() -> None:
    module = cnn(stride=1)
    seen: list[Tensor] = []
    module.convolutions.register_forward_hook(lambda _m, _i, output: seen.append(output))
    module.dense_blocks[0].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    module(inputs_of(module, 3))
    planes, pooled = seen
    assert planes.shape == (3, 8, 16, 16)
    assert torch.allclose(pooled, planes.flatten(2).mean(2))
    with torch.no_grad():
        halved = cnn(stride=2).convolutions(images(3))
    assert halved.shape == (3, 8, 8, 8)


def test_the_size_of_an_image_is_seen_despite_the_norms() -> None:
    block = ConvBlock(3, 8, stride=2, activation="gelu")
    image = 100 * images(8)
    with torch.no_grad():
        branch, doubled = block.branch(image), block.branch(2 * image)
        assert torch.allclose(branch, doubled, rtol=1e-2, atol=1e-2), "the norms take it away"
        planes, doubled = block(image), block(2 * image)
    assert ((planes - doubled).abs().amax((1, 2, 3)) > 1).all()


# ------------------------------------------------------------------ contract of candidates


@pytest.mark.parametrize("make", [cnn, mlp])
@pytest.mark.parametrize(
    ("output_shape", "found"), [([], (7,)), ([3], (7, 3)), ([2, 3], (7, 2, 3)), (None, (7, 16))]
)
def test_output_has_the_shape_asked_for(make: Any, output_shape: Any, found: Any) -> None:
    module = make(output_shape=output_shape)
    output = module(inputs_of(module, 7))
    assert output.shape == found
    assert module(inputs_of(module, 0)).shape == (0, *found[1:])
    if output_shape is None:
        assert not isinstance(module.last, nn.Linear), "features come out of the activation"
        assert float(output.detach().min()) > -0.18, "GELU is never below -0.17"


@pytest.mark.parametrize("make", ALL)
def test_dropout_acts_in_training_only(make: Any) -> None:
    module = make(dropout=0.5)
    batch = inputs_of(module, 20)
    module.train()
    assert not torch.equal(module(batch), module(batch))
    module.eval()
    assert torch.equal(module(batch), module(batch))
    assert torch.equal(module(batch), make(dropout=0.0)(batch))


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (cnn, {"planes": 4}),
        (cnn, {"blocks": 4}),
        (cnn, {"width": 8}),
        (cnn, {"stride": 1}),
        (cnn, {"activation": "relu"}),
        (mlp, {"width": 8}),
        (mlp, {"blocks": 2}),
        (mlp, {"depth": 2}),
        (mlp, {"activation": "mish"}),
        (head, {"width": 8}),
        (head, {"blocks": 0}),
        (head, {"depth": 1}),
        (head, {"activation": "relu"}),
    ],
)
def test_every_option_has_an_effect(make: Any, changed: dict[str, Any]) -> None:
    plain, other = make(), make(**changed)
    batch = inputs_of(plain, 4)
    assert not torch.allclose(plain(batch), other(batch), rtol=0, atol=1e-6)
    same_size = {"stride", "activation"} & changed.keys()
    assert (size(plain) == size(other)) is bool(same_size)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^activation: expected one of .*, found 'swish'"):
        cnn(activation="swish")


# ------------------------------------------------------------------ sites of FiLM


@pytest.mark.parametrize(("make", "sites"), [(cnn, 2), (mlp, 1), (head, 1)])
def test_film_sites_are_activations_after_a_linear_layer(make: Any, sites: int) -> None:
    """Each a module of its own, called once, on [event, width], between Linear and dropout."""
    module = make()
    found = module.film_sites()
    assert len({id(one) for one in found}) == len(found) == sites
    assert all(isinstance(one, nn.GELU) for one in found)
    blocks = [one for one in module.modules() if isinstance(one, DenseBlock)]
    owners = [next(block for block in blocks if block[1] is one) for one in found]
    assert all(isinstance(block[0], nn.Linear) for block in owners)
    calls: list[tuple[int, ...]] = []
    for one in found:
        one.register_forward_pre_hook(lambda _m, inputs: calls.append(tuple(inputs[0].shape)))
    before = module(inputs_of(module, 9))
    assert calls == [(9, 16)] * sites
    # what happens there reaches the output: shift the input of each site alone
    for one in found:
        handle = one.register_forward_pre_hook(lambda _m, inputs: (inputs[0] + 1,))
        assert ((module(inputs_of(module, 9)) - before).abs() > 1e-4).any()
        handle.remove()
    assert torch.equal(module(inputs_of(module, 9)), before)
