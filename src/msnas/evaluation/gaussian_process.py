"""A Gaussian process for regression with several outputs: it predicts a mean and an uncertainty."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.errors import TrainingError

with warnings.catch_warnings():
    # linear_operator 0.6.1 calls a function that PyTorch 2.13 has deprecated
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
    from gpytorch.distributions import MultivariateNormal  # type: ignore[import-untyped]
    from gpytorch.kernels import RBFKernel, ScaleKernel  # type: ignore[import-untyped]
    from gpytorch.likelihoods import MultitaskGaussianLikelihood  # type: ignore[import-untyped]
    from gpytorch.means import ConstantMean  # type: ignore[import-untyped]
    from gpytorch.mlls import VariationalELBO  # type: ignore[import-untyped]
    from gpytorch.models import ApproximateGP  # type: ignore[import-untyped]
    from gpytorch.variational import (  # type: ignore[import-untyped]
        CholeskyVariationalDistribution,
        LMCVariationalStrategy,
        VariationalStrategy,
    )
    from linear_operator.utils.errors import NanError, NotPSDError  # type: ignore[import-untyped]

BLOCK = 500
"""Number of events predicted at a time: memory and time grow with its square."""

MOST_STEPS = 200
"""Most steps of an epoch: on a larger sample an epoch sees a random part, different each time."""


@final
class _Functions(ApproximateGP):  # type: ignore[misc]
    """f_k(x) = sum_q a_qk g_q(x): outputs k mixed from independent Gaussian processes g_q.

    Each g_q has a constant mean, a kernel s^2 exp(-sum_d (x_d - x'_d)^2 / (2 l_d^2)), and its own
    inducing points [latent, inducing, input] with a free multivariate normal q(u).
    """

    def __init__(
        self,
        *,
        inducing_points: Float[Tensor, "latent inducing input"],
        mixing: Float[Tensor, "latent output"],
        ard: bool,
    ) -> None:
        latents, inducing, inputs = inducing_points.shape
        each = torch.Size([latents])
        with torch.random.fork_rng(devices=[]):
            # GPyTorch draws the mixing from the global generator; it is replaced below
            strategy = LMCVariationalStrategy(
                VariationalStrategy(
                    self,
                    inducing_points,
                    CholeskyVariationalDistribution(inducing, batch_shape=each),
                    learn_inducing_locations=True,
                ),
                num_tasks=mixing.shape[1],
                num_latents=latents,
            )
        super().__init__(strategy)
        strategy.lmc_coefficients.data.copy_(mixing)
        # q(u) is constructed equal to the prior; at its first call GPyTorch would add global noise
        strategy.base_variational_strategy.variational_params_initialized.fill_(1)
        self.mean_module = ConstantMean(batch_shape=each)
        self.covar_module = ScaleKernel(
            RBFKernel(ard_num_dims=inputs if ard else None, batch_shape=each), batch_shape=each
        )

    def forward(self, x: Float[Tensor, "latent event input"]) -> MultivariateNormal:
        """Prior distribution of the latent functions at x."""
        return MultivariateNormal(self.mean_module(x), self.covar_module(x))


@final
class GaussianProcess(nn.Module):
    """y_k = f_k(x) + noise_k, a sparse variational Gaussian process with several outputs.

    Linear model of coregionalisation (Alvarez, Rosasco and Lawrence 2012) with a Gaussian
    likelihood whose noise differs between outputs, trained on the bound of Hensman, Matthews and
    Ghahramani (2015), by way of GPyTorch, as in the paper (section 4.4.1, "Explainability").
    Inputs and outputs are centred at their median and divided by their interquartile range, so
    that the tails of a distribution do not set its scale.

    Made by `fit_gaussian_process`, or by `restored` from the `state_dict()` of another process.
    """

    input_center: Tensor
    input_scale: Tensor
    output_center: Tensor
    output_scale: Tensor
    sigma_factor: Tensor

    def __init__(
        self,
        *,
        inducing_points: Float[Tensor, "latent inducing input"],
        mixing: Float[Tensor, "latent output"],
        ard: bool,
    ) -> None:
        super().__init__()
        inputs, outputs = inducing_points.shape[2], mixing.shape[1]
        self.functions = _Functions(inducing_points=inducing_points, mixing=mixing, ard=ard)
        self.likelihood = MultitaskGaussianLikelihood(num_tasks=outputs)
        for name, size in (("input", inputs), ("output", outputs)):
            self.register_buffer(f"{name}_center", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        self.register_buffer("sigma_factor", torch.ones(outputs))

    @classmethod
    def restored(cls, weights: Mapping[str, Tensor]) -> GaussianProcess:
        """The process whose `state_dict()` is `weights`; its sizes are read from them."""
        points = weights["functions.variational_strategy.base_variational_strategy.inducing_points"]
        mixing = weights["functions.variational_strategy.lmc_coefficients"]
        lengths = weights["functions.covar_module.base_kernel.raw_lengthscale"]
        process = cls(
            inducing_points=torch.zeros_like(points),
            mixing=torch.zeros_like(mixing),
            ard=lengths.shape[-1] > 1,
        )
        process.load_state_dict(dict(weights))
        return process.eval()

    @torch.no_grad()
    def band(
        self, inputs: Float[Tensor, "event input"]
    ) -> tuple[Float[Tensor, "event output"], Float[Tensor, "event output"]]:
        """Mean and standard deviation of observed outputs, in the outputs' units.

        They include the noise, as likelihood(f(x)) does; the distribution of f alone is much
        narrower. Sigma is multiplied by `sigma_factor`, which is 1 right after the fit.
        """
        self.eval()
        means, variances = [], []
        scaled = (inputs - self.input_center) / self.input_scale
        for start in range(0, len(scaled), BLOCK):
            observed = self.likelihood(self.functions(scaled[start : start + BLOCK]))
            means.append(observed.mean)
            variances.append(observed.variance)
        mean = torch.cat(means) * self.output_scale + self.output_center
        return mean, torch.cat(variances).sqrt() * self.output_scale * self.sigma_factor


def fit_gaussian_process(
    inputs: Float[Tensor, "event input"],
    targets: Float[Tensor, "event output"],
    *,
    inducing: int,
    latents: int,
    ard: bool,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[int, float], None] | None = None,
) -> GaussianProcess:
    """Train a Gaussian process by Adam on batches; the paper's code: 15 points, lr 1e-2, 30 epochs.

    Minimises, per event, -sum_k E_q[log N(y_k | f_k, noise_k)] + KL(q(u) || p(u)) / events over
    the inducing points' places and values, the kernels, the mixing and the noise. The inducing
    points start at `inducing` different events (at all events if there are fewer), the same for
    each of the `latents` functions; `ard` gives every input its own length scale. The choice of
    these events, the initial mixing and the order of events depend on `seed` alone. An epoch has at
    most MOST_STEPS batches, of different events in every epoch. After each epoch `on_epoch` is
    called with the number of epochs done, from 1, and the mean loss of the last epoch. Training is
    on `device`, what is returned on the processor.

    Raises TrainingError if the training diverges.
    """
    generator = torch.Generator().manual_seed(seed)
    center, scale = _median_and_range(inputs)
    output_center, output_scale = _median_and_range(targets)
    x, y = (inputs - center) / scale, (targets - output_center) / output_scale
    chosen = x[torch.randperm(len(x), generator=generator)[:inducing]]
    process = GaussianProcess(
        inducing_points=chosen.repeat(latents, 1, 1),
        mixing=torch.randn(latents, y.shape[1], generator=generator),
        ard=ard,
    )
    process.input_center, process.input_scale = center, scale
    process.output_center, process.output_scale = output_center, output_scale
    bound = VariationalELBO(process.likelihood, process.functions, num_data=len(x))
    process.train().to(device)
    optimizer = torch.optim.Adam(process.parameters(), lr=lr)
    x, y = x.to(device), y.to(device)
    for epoch in range(1, epochs + 1):
        total = torch.zeros((), dtype=torch.float64, device=device)
        order = torch.randperm(len(x), generator=generator)[: MOST_STEPS * batch].to(device)
        for start in range(0, len(order), batch):
            events = order[start : start + batch]
            optimizer.zero_grad()
            try:
                loss = -bound(process.functions(x[events]), y[events])
            except (NanError, NotPSDError) as error:
                raise TrainingError(_diverged(epoch, lr)) from error
            loss.backward()
            optimizer.step()
            total += loss.detach().double() * len(events)
        mean = float(total) / len(order)
        if not math.isfinite(mean):
            raise TrainingError(_diverged(epoch, lr))
        if on_epoch is not None:
            on_epoch(epoch, mean)
    return process.eval().cpu()


def _median_and_range(
    values: Float[Tensor, "event quantity"],
) -> tuple[Float[Tensor, " quantity"], Float[Tensor, " quantity"]]:
    """Median and interquartile range; a range of 0 is replaced by the standard deviation, or 1."""
    ordered = values.sort(0).values
    lower, center, upper = (
        ordered[round(share * (len(values) - 1))] for share in (0.25, 0.5, 0.75)
    )
    scale = upper - lower
    scale = torch.where(scale > 0, scale, values.std(0, correction=0))
    return center, torch.where(scale > 0, scale, 1.0)


def _diverged(epoch: int, lr: float) -> str:
    return f"the Gaussian process diverged in epoch {epoch} with lr={lr}; try a smaller one"
