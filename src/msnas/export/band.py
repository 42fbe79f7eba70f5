"""The validity judge's band in closed form, with operations on tensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from msnas.chain.task import Task
from msnas.data.events import Batch
from msnas.evaluation.gaussian_process import GaussianProcess
from msnas.evaluation.validity import WIDTH, Validity


@final
class ClosedForm(nn.Module):
    """`GaussianProcess.band` with its factorisation, which depends on no event, done beforehand.

    With u = L^-1 (g(Z) - m) ~ N(a, S), K(Z, Z) = L L^T, of inducing points Z (Hensman, Matthews and
    Ghahramani 2015; Matthews 2016 for u) and A = L^-1 K(Z, x), a latent function has the mean
    m + A^T a and the variance s^2 + A^T (S - 1) A; means and variances of the outputs are
    mixed from them. In double precision, as L^-1 may be large.
    """

    points: Tensor
    lengths: Tensor
    variance: Tensor
    constant: Tensor
    whitening: Tensor
    values: Tensor
    less: Tensor
    mixing: Tensor
    noise: Tensor
    input_center: Tensor
    input_scale: Tensor
    output_center: Tensor
    output_scale: Tensor
    sigma_factor: Tensor

    def __init__(self, process: GaussianProcess) -> None:
        super().__init__()
        functions, likelihood = process.functions, process.likelihood
        mixture = functions.variational_strategy
        latent = mixture.base_variational_strategy
        points, values = latent.inducing_points, latent.variational_distribution
        identity = torch.eye(points.shape[1], dtype=torch.float64)
        prior = functions.covar_module(points).to_dense().double() + latent.jitter_val * identity
        for name, value in {
            "points": points.unsqueeze(2),
            "lengths": functions.covar_module.base_kernel.lengthscale.unsqueeze(2),
            "variance": functions.covar_module.outputscale.view(-1, 1),
            "constant": functions.mean_module.constant.view(-1, 1),
            "whitening": torch.linalg.inv(torch.linalg.cholesky(prior)),
            "values": values.mean.unsqueeze(1),
            "less": values.covariance_matrix.double() - identity,
            "mixing": mixture.lmc_coefficients,
            "noise": likelihood.task_noises + likelihood.noise + mixture.jitter_val,
            "input_center": process.input_center,
            "input_scale": process.input_scale,
            "output_center": process.output_center,
            "output_scale": process.output_scale,
            "sigma_factor": process.sigma_factor,
        }.items():
            self.register_buffer(name, value.detach().double(), persistent=False)
        self.jitter = float(latent.jitter_val)

    def band(
        self, inputs: Float[Tensor, "event input"]
    ) -> tuple[Float[Tensor, "event output"], Float[Tensor, "event output"]]:
        """Mean and standard deviation of the outputs, observation noise included."""
        scaled = (inputs.double() - self.input_center) / self.input_scale
        far = ((scaled - self.points) / self.lengths).square().sum(-1)
        within = self.whitening @ (self.variance.unsqueeze(2) * torch.exp(-far / 2))
        means = (self.values @ within).squeeze(1) + self.constant
        variances = self.variance + self.jitter + (within * (self.less @ within)).sum(1)
        mean = means.T @ self.mixing * self.output_scale + self.output_center
        variance = variances.T @ self.mixing.square() + self.noise
        sigma = variance.sqrt() * self.output_scale * self.sigma_factor
        return mean.float(), sigma.float()


@final
class Band(nn.Module):
    """Edges of the band of a task's output, in a user's units, and whether the output is inside."""

    def __init__(self, task: Task, validity: Validity, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.task = task
        self.validity = validity
        self.form = ClosedForm(GaussianProcess.restored(weights))

    def forward(
        self, events: Batch, output: Tensor
    ) -> tuple[Float[Tensor, "event 2 ..."], Bool[Tensor, "event ..."]]:
        """Edges (lower first) and flags, from events and a finished output in the detector's frame.

        Where the task says which objects of an event count, every object has a flag of its own.
        """
        judge, target = self.validity, self.task.target
        # the judge takes the truth's shape from here
        part = {**events, target: output}
        flags = output.shape[:1] if self.task.counts is None else output.shape[:2]
        if self.task.counts is not None:
            part = {
                name: value.flatten(0, 1)
                for name, value in part.items()
                if value.shape[:2] == flags
            }
        mean, sigma = judge.band(self.form, part, target)  # type: ignore[arg-type]
        pull = judge.difference(judge.checked(part[target], "the output"), mean)
        edges = [
            self.task.prediction((mean + side * WIDTH * sigma).view(output.shape))
            for side in (-1, 1)
        ]
        return torch.stack(edges, 1), (pull.abs() <= WIDTH * sigma).all(1).view(flags)
