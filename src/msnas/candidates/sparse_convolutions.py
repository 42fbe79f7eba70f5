"""Two convolutions and a pooling of mostly empty images, as an operator of PyTorch.

`relu(pool(conv(relu(conv(images)))))` without padding, stride 1, pools of 2 x 2, on the processor.
The first convolution is its bias wherever it sees only zeros, so only places that see a pixel are
computed, and the second one is a constant map plus what these places add to it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MOST = 0.1
"""Share of pixels that are not zero above which the usual convolutions are faster."""

THREADS = 2
"""Threads of PyTorch above which the usual convolutions, which use them all, are faster."""


def pays(images: Float[Tensor, "image channel row column"]) -> bool:
    """Whether the operator takes these images, and is faster than the usual convolutions."""
    return (
        images.device.type == "cpu"
        and images.dtype in (torch.float32, torch.float64)
        and not images.requires_grad
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and torch.get_num_threads() <= THREADS
        and int(images.count_nonzero()) <= MOST * images.numel()
    )


@torch.library.custom_op("msnas::sparse_convolutions", mutates_args=(), device_types="cpu")
def sparse_convolutions(
    images: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> tuple[Tensor, Tensor]:
    """Pooled values [image, row, column, map], and the corner of each pool that they are from."""
    images, weight1, bias1, weight2, bias2 = _plain(images, weight1, bias1, weight2, bias2)
    kernels = _kernels(weight1, weight2)
    more, _, places, starts, *_ = _touched(kernels, images, weight1, bias1)
    rows, columns = (size - weight1.shape[2] + 1 for size in images.shape[2:])
    parts = torch.from_numpy(more) @ weight2.permute(1, 2, 3, 0).flatten(1)
    base = bias2 + weight2.sum((2, 3)) @ bias1.relu()
    values, best = kernels.pooled(parts.numpy(), base.numpy(), places, starts, rows, columns)
    return torch.from_numpy(values), torch.from_numpy(best)


@sparse_convolutions.register_fake
def _(
    images: Tensor, weight1: Tensor, _bias1: Tensor, weight2: Tensor, _bias2: Tensor
) -> tuple[Tensor, Tensor]:
    lost = weight1.shape[2] + weight2.shape[2] - 2
    rows, columns = ((size - lost) // 2 for size in images.shape[2:])
    values = images.new_empty((len(images), rows, columns, len(weight2)))
    return values, values.new_empty(values.shape, dtype=torch.int32)


@torch.library.custom_op("msnas::sparse_convolutions_grad", mutates_args=(), device_types="cpu")
def sparse_convolutions_grad(
    grad: Tensor, best: Tensor, images: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of both weights and biases; what images touch is computed a second time."""
    images, weight1, bias1, weight2 = _plain(images, weight1, bias1, weight2)
    channels, side, features = images.shape[1], weight1.shape[2], len(weight1)
    taps = weight2.permute(0, 2, 3, 1)
    kernels = _kernels(weight1, weight2)
    of_first, of_bias1, of_empty, of_second, of_bias2 = map(
        torch.from_numpy,
        kernels.gradients(
            grad.contiguous().numpy(),
            best.numpy(),
            taps.flatten(1, 2).contiguous().numpy(),
            tuple(images.shape[1:]),
            *_touched(kernels, images, weight1, bias1),
        ),
    )
    empty = weight2.sum((2, 3)).t() @ of_bias2 - of_empty
    of_weight2 = of_second.view(taps.shape).permute(0, 3, 1, 2)
    return (
        of_first.view(channels, side, side, features).permute(3, 0, 1, 2).contiguous(),
        of_bias1 + empty * (bias1 > 0),
        (of_weight2 + torch.outer(of_bias2, bias1.relu())[..., None, None]).contiguous(),
        of_bias2,
    )


@sparse_convolutions_grad.register_fake
def _(
    grad: Tensor, _best: Tensor, _images: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        weight1.new_empty(weight1.shape),
        torch.empty_like(bias1),
        weight2.new_empty(weight2.shape),
        grad.new_empty(len(weight2)),
    )


def _plain(*tensors: Tensor) -> list[Tensor]:
    return [one.detach() for one in tensors]  # NumPy takes no parameter


def _kernels(weight1: Tensor, weight2: Tensor) -> Any:
    from msnas.candidates.sparse_kernels import kernels  # numba: half a second, where it is used

    sizes = (weight1.shape[2], len(weight1), weight2.shape[2], len(weight2))
    return kernels(*sizes, str(weight1.dtype).removeprefix("torch."))


def _touched(kernels: Any, images: Tensor, weight1: Tensor, bias1: Tensor) -> Any:
    weight = weight1.permute(1, 2, 3, 0).contiguous()
    return kernels.touched(images.contiguous().numpy(), weight.numpy(), bias1.numpy())


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1], *inputs)


def _backward(context: Any, grad: Tensor, _: None) -> tuple[Tensor | None, ...]:
    best, *inputs, _bias2 = context.saved_tensors
    return None, *sparse_convolutions_grad(grad, best, *inputs)


sparse_convolutions.register_autograd(_backward, setup_context=_keep)
