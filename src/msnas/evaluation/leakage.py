"""Leakage: information about the last task's classes in a task's output, but not in its truth.

leakage = max(0, (I(output; y) - I(truth; y)) / H(y)), see Parisini et al. 2025 (arXiv 2504.14094)
for similar measures. I is H(y) minus the cross entropy of a probe on events that it was not fitted
to. The probe is a small network, of equal size and initial weights for output and truth. A probe
of finite size reads less information than there is, so I is a lower bound.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

HIDDEN = (32, 32)
"""Widths of the hidden layers of a probe (ReLU)."""

STEPS, EVERY, RATE = 200, 10, 0.01
"""Steps of Adam on all events at once; steps between looks at held-back events; learning rate."""

HELD_BACK = 5
"""Every fifth of the events for a probe's fit is held back and only decides when to stop."""

SAME, FARTHEST = 1e-6, 10.0
"""Inputs of a smaller spread are constants; scaled inputs are clipped to +-FARTHEST."""

FEWEST = 100
"""Smallest number of events on which a leakage is measured."""

RESAMPLES, CONFIDENCE = 1000, 0.95
"""Number of resamples of the bootstrap over events, and confidence of its interval."""

Stack = Float[Tensor, "probe event input"]
Labels = Integer[Tensor, "event object"]


def probe_losses(
    inputs: Stack, labels: Labels, fitted: Bool[Tensor, " event"], *, seed: int
) -> Float[Tensor, "probe held"]:
    """Cross entropy [nat], summed over objects, of the events that are not `fitted`.

    Each probe has its own inputs, centred and scaled by the mean and spread of the fitted events.
    Its losses are taken at the step with the lowest mean loss of the held-back events.
    """
    own = inputs[:, fitted]
    center, scale = own.mean(1, keepdim=True), own.std(1, keepdim=True)
    scale = torch.where(scale > SAME, scale, torch.ones(()))  # a constant stays near 0
    inputs = ((inputs - center) / scale).clamp(-FARTHEST, FARTHEST)
    rank = fitted.long().cumsum(0)
    back = fitted & (rank % HELD_BACK == 0)
    learnt, watched = fitted & ~back, torch.cat((torch.where(back)[0], torch.where(~fitted)[0]))
    count, classes = int(back.sum()), 1 + int(labels.max())
    sizes = [inputs.shape[2], *HIDDEN, labels.shape[1] * classes]
    weights = _weights(len(inputs), sizes, seed=seed)
    optimizer = torch.optim.Adam(weights, lr=RATE)
    best = torch.full((len(inputs),), torch.inf)
    kept = torch.full((len(inputs), len(watched) - count), torch.inf)
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            with torch.no_grad():
                losses = _losses(weights, inputs[:, watched], labels[watched], classes)
            now = losses[:, :count].mean(1)
            better = now < best
            best = torch.where(better, now, best)
            kept = torch.where(better[:, None], losses[:, count:], kept)
        loss = _losses(weights, inputs[:, learnt], labels[learnt], classes).mean(1).sum()
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        optimizer.step()
    return kept


def _weights(probes: int, sizes: list[int], *, seed: int) -> list[Tensor]:
    """Weights and biases of each layer, the same for all probes."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for before, after in pairwise(sizes):
        bound = before**-0.5
        for shape in ((before, after), (1, after)):
            drawn = (torch.rand(shape, generator=generator) * 2 - 1) * bound
            found.append(drawn.expand(probes, *shape).clone().requires_grad_())
    return found


def _losses(weights: list[Tensor], inputs: Stack, labels: Labels, classes: int) -> Tensor:
    hidden = inputs
    for layer in range(0, len(weights), 2):
        hidden = torch.baddbmm(weights[layer + 1], hidden, weights[layer])
        if layer + 2 < len(weights):
            hidden = hidden.relu()
    probes, events = hidden.shape[:2]
    logits = hidden.view(probes * events, -1, classes).transpose(1, 2)
    losses = functional.cross_entropy(logits, labels.repeat(probes, 1), reduction="none")
    return losses.sum(1).view(probes, events)


def entropy(labels: Labels) -> float:
    """H(y) [nat], from the shares of the classes, summed over objects."""
    total = 0.0
    for column in labels.T:
        shares = torch.bincount(column).double() / len(column)
        total -= float(torch.xlogy(shares, shares).sum())
    return total


def cross_fitted(inputs: Stack, labels: Labels, *, seed: int) -> Float[Tensor, "probe event"]:
    """For each input and event a term whose mean over events is I(input; y) / H(y).

    Each half of the events is judged by probes that are fitted to the other half.
    """
    even = torch.arange(len(labels)) % 2 == 0
    losses = torch.zeros(inputs.shape[:2])
    for half in (even, ~even):
        losses[:, ~half] = probe_losses(inputs, labels, half, seed=seed)
    return _added(losses, labels)


def on_others(
    inputs: Stack, labels: Labels, others: Stack, other_labels: Labels, *, seed: int
) -> Float[Tensor, "probe event"]:
    """The terms of `cross_fitted` for the events `others`, by probes fitted to all first events."""
    both, together = torch.cat((inputs, others), 1), torch.cat((labels, other_labels))
    fitted = torch.arange(len(together)) < len(labels)
    return _added(probe_losses(both, together, fitted, seed=seed), other_labels)


def _added(losses: Tensor, labels: Labels) -> Float[Tensor, "probe event"]:
    """1 - loss / H(y) of each event; 0 for a probe that is worse than the class frequencies."""
    added = 1 - losses.double() / entropy(labels)
    return torch.where(added.mean(1, keepdim=True) > 0, added, 0.0)


def interval_of(excess: Float[Tensor, " event"], *, seed: int) -> tuple[float, float]:
    """Ends of the confidence interval of a mean over events, from a bootstrap."""
    generator = np.random.default_rng(seed)
    values = excess.numpy()
    drawn = generator.multinomial(len(values), [1 / len(values)] * len(values), size=RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn @ values / len(values), [tail, 1 - tail])
    return float(low), float(high)


def leakage_of(
    output: Float[Tensor, " event"], truth: Float[Tensor, " event"], *, seed: int
) -> dict[str, Any]:
    """Leakage with its confidence interval, from the terms of the events (see `cross_fitted`)."""
    excess = output - truth
    low, high = interval_of(excess, seed=seed)
    return {
        "leakage": max(0.0, float(excess.mean())),
        "low": max(0.0, low),
        "high": max(0.0, high),
        "output": float(output.mean()),
        "truth": float(truth.mean()),
    }
