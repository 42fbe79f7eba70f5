"""Validity: whether a task's outputs are compatible with what is expected from its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.evaluation.gaussian_process import GaussianProcess, fit_gaussian_process
from msnas.momentum import wrap_angle

WIDTH = 2.0
"""Half the width of the band, in standard deviations (paper, section 4.4.1)."""

EXPECTED_COVERAGE = math.erf(WIDTH / math.sqrt(2))
"""Share of normally distributed events inside the band: 0.9545."""


@final
class Validity:
    """Share of events whose output lies in the 2-sigma band of a Gaussian process (paper, Fig. 3c).

    The process learns the task's target from `inputs`, a few numbers per event, on the training
    events. It can then judge the outputs of any model for that task: per variable (the paper's
    footnote 7) and joint, all variables at once. A good model has a validity near 1, because it
    predicts the mean without the noise around it. The share of the truth inside the band should be
    near 0.954 per variable, if the band can be trusted. Event weights are ignored.

    Differences from the paper, each a setting:

    * `residual_of`: the process learns the difference between the target and a first guess of it.
      With None, as in the paper, it learns the target itself; on 6,000 events it then cannot follow
      an angle from -pi to pi as precisely as it is measured, and the band becomes too wide.
    * `calibrate`: the residuals' tails are heavier than those of a normal distribution, so a band
      from their variance does not cover exactly 0.954. Per variable, sigma is multiplied by a
      factor so that the band holds that share of the training and validation events together: a
      sparse process covers both alike, and more events make the factor more precise.
    * `angles`: differences of angles are taken on the circle.
    * `ard` and `inducing`: a length scale per input, more inducing points than the paper's code.

    Args:
        inputs: Names of the tensors [event, ...] the process reads, flattened and joined.
        variables: Names of the target's components, flattened.
        residual_of: Name of the tensor whose leading components along the last axis are a first
            guess of the target; None to learn the target itself.
        angles: Indices, from 0, of the variables that are angles [rad].
        inducing: Number of inducing points of each latent function.
        latents: Number of latent functions that are mixed to the outputs.
        ard: Whether every input has its own length scale.
        epochs: Number of training epochs.
        batch: Number of events per training step.
        lr: Learning rate of Adam.
        calibrate: Whether sigma is scaled to the expected coverage.

    Raises ConfigError for values out of range.
    """

    def __init__(
        self,
        *,
        inputs: Sequence[str],
        variables: Sequence[str],
        residual_of: str | None,
        angles: Sequence[int],
        inducing: int,
        latents: int,
        ard: bool,
        epochs: int,
        batch: int,
        lr: float,
        calibrate: bool,
    ) -> None:
        for name, names in (("inputs", inputs), ("variables", variables)):
            if isinstance(names, str) or not names or len(set(names)) != len(names):
                raise ConfigError(f"validity.{name}: expected different names, found {names!r}")
        for name, number in (
            ("inducing", inducing),
            ("latents", latents),
            ("epochs", epochs),
            ("batch", batch),
        ):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ConfigError(
                    f"validity.{name}: expected a whole number >= 1, found {number!r}"
                )
        if not set(angles) <= set(range(len(variables))):
            raise ConfigError(
                f"validity.angles: expected indices of variables, 0 to {len(variables) - 1}, "
                f"found {list(angles)}"
            )
        if not lr > 0:
            raise ConfigError(f"validity.lr: expected a number > 0, found {lr!r}")
        self.inputs = tuple(inputs)
        self.variables = tuple(variables)
        self.residual_of = residual_of
        self.angles = list(angles)
        self.inducing = inducing
        self.latents = latents
        self.ard = ard
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.calibrate = calibrate

    def fit(
        self,
        train: Batch,
        valid: Batch,
        *,
        target: str,
        seed: int,
        device: torch.device | str = "cpu",
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> dict[str, Tensor]:
        """Weights of a process trained on `train`; `valid` is only used to calibrate sigma.

        `target` names the task's target; training is on `device`; `on_epoch` is called with epochs
        done and mean loss.

        Raises ConfigError if a tensor is missing or has the wrong shape, TrainingError if the
        training diverges.
        """
        process = fit_gaussian_process(
            self._inputs(train),
            self.difference(self._flat(train, target), self._guess(train, target)),
            inducing=self.inducing,
            latents=self.latents,
            ard=self.ard,
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            seed=seed,
            device=device,
            on_epoch=on_epoch,
        )
        if self.calibrate:
            pulls = []
            for part in (train, valid):
                mean, sigma = self.band(process, part, target)
                pulls.append(self.difference(self._flat(part, target), mean).abs() / sigma)
            process.sigma_factor = _quantile(torch.cat(pulls), EXPECTED_COVERAGE) / WIDTH
        return {name: value.detach().clone() for name, value in process.state_dict().items()}

    def measure(
        self, weights: Mapping[str, Tensor], part: Batch, output: Tensor, *, target: str
    ) -> dict[str, Any]:
        """Shares of the events of `part` inside the band of the process with these `weights`.

        `output` [event, ...] is a model's output for `target`, in the same units; a value that is
        not finite counts as outside. The keys of the result:

        * `validity/joint`, `validity/per_variable`: shares for the output;
        * `validity/truth_joint`, `validity/truth_per_variable`: shares for the truth;
        * `validity/negative_log_density`: mean over events of -sum_k log N(truth_k | mean_k,
          sigma_k), with variables in the target's units; lower means a better process.
        """
        truth = self._flat(part, target)
        mean, sigma = self.band(GaussianProcess.restored(weights), part, target)
        error = self.difference(truth, mean)
        density = -(0.5 * (error / sigma).square() + (sigma * math.sqrt(2 * math.pi)).log())
        inside = self.difference(self.checked(output, "the output"), mean).abs() <= WIDTH * sigma
        truth_inside = error.abs() <= WIDTH * sigma
        return {
            "validity/joint": _share(inside.all(1)),
            "validity/per_variable": self._shares(inside),
            "validity/truth_joint": _share(truth_inside.all(1)),
            "validity/truth_per_variable": self._shares(truth_inside),
            "validity/negative_log_density": float(-density.sum(1).mean(dtype=torch.float64)),
        }

    def _inputs(self, part: Batch) -> Float[Tensor, "event input"]:
        tensors = [self._tensor(part, name, key="inputs") for name in self.inputs]
        return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], 1)

    def _flat(self, part: Batch, target: str) -> Float[Tensor, "event variable"]:
        return self.checked(self._tensor(part, target, key="target"), target)

    def _guess(self, part: Batch, target: str) -> Float[Tensor, "event variable"] | None:
        """The first guess of the target, which the process need not learn; None without one."""
        if self.residual_of is None:
            return None
        truth = self._tensor(part, target, key="target")
        guess = self._tensor(part, self.residual_of, key="residual_of")
        if guess.ndim == truth.ndim:
            guess = guess[..., : truth.shape[-1]]
        if guess.shape != truth.shape:
            raise ConfigError(
                f"validity.residual_of: {self.residual_of!r} has leading components of shape "
                f"{list(guess.shape)}, expected those of {target!r}, {list(truth.shape)}"
            )
        return guess.reshape(len(guess), -1)

    def band(
        self, process: GaussianProcess, part: Batch, target: str
    ) -> tuple[Float[Tensor, "event variable"], Float[Tensor, "event variable"]]:
        """Mean and sigma of the target, with the first guess added to the mean."""
        mean, sigma = process.band(self._inputs(part))
        guess = self._guess(part, target)
        return (mean if guess is None else guess + mean), sigma

    def difference(
        self, value: Float[Tensor, "event variable"], origin: Float[Tensor, "event variable"] | None
    ) -> Float[Tensor, "event variable"]:
        """`value` - `origin`, with angles wrapped to [-pi, pi); `value` without an origin."""
        if origin is None:
            return value
        difference = value - origin
        difference[:, self.angles] = wrap_angle(difference[:, self.angles])
        return difference

    def _tensor(self, part: Batch, name: str, *, key: str) -> Tensor:
        if name not in part:
            raise ConfigError(
                f"validity.{key}: {name!r} is not in the data; there are {sorted(part)}"
            )
        return part[name].cpu().float()

    def checked(self, values: Tensor, name: str) -> Float[Tensor, "event variable"]:
        """Values as [event, variable]; raise ConfigError, with `name`, for a wrong shape."""
        flat = values.detach().cpu().float().reshape(len(values), -1)
        if flat.shape[1] != len(self.variables):
            raise ConfigError(
                f"validity.variables: {len(self.variables)} names {list(self.variables)}, "
                f"but {name} has {flat.shape[1]} numbers per event"
            )
        return flat

    def _shares(self, inside: Bool[Tensor, "event variable"]) -> dict[str, float]:
        return {name: _share(inside[:, index]) for index, name in enumerate(self.variables)}


def _share(inside: Bool[Tensor, " event"]) -> float:
    return float(inside.double().mean())


def _quantile(values: Float[Tensor, "event variable"], share: float) -> Float[Tensor, " variable"]:
    """The smallest value per variable that at least this `share` of the events do not exceed."""
    return values.sort(0).values[math.ceil(share * len(values)) - 1]
