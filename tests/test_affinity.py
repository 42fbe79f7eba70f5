"""Affinity: a second implementation, where the clusters begin, what is trained."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from made_chain import Joined, regression, task_of
from test_losses import EVERY_SHAPE, SHAPES, batch, ready

from msnas.chain.chain import Chain
from msnas.chain.output import Binary
from msnas.losses.affinity import Affinity


def affinity_in_numpy(
    features: np.ndarray, target: np.ndarray, positions: np.ndarray, *, sigma: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Losses [event] and d [event, class] of features [event, feature], by loops."""
    classes, centres, _ = positions.shape
    flat = positions.reshape(classes * centres, -1)
    squares = [
        sum((flat[i] - flat[j]) ** 2) for i in range(len(flat)) for j in range(i + 1, len(flat))
    ]
    spread = sum((square - sum(squares) / len(squares)) ** 2 for square in squares) / len(squares)
    losses, affinities = [], []
    for f, true in zip(features, target, strict=True):
        d = [max(math.exp(-sum((f - w) ** 2) / sigma) for w in own) for own in positions]
        hinge = sum(max(0.0, margin + d[c] - d[true]) for c in range(classes) if c != true)
        losses.append(hinge + spread)
        affinities.append(d)
    return np.array(losses), np.array(affinities)


@pytest.mark.parametrize("centres", [1, 3])
@pytest.mark.parametrize("name", ["logit", "two", "four"])
def test_affinity_against_a_second_implementation(name: str, centres: int) -> None:
    shape = SHAPES[name]
    loss = Affinity(sigma=3.0, margin=0.6, centres=centres)
    ready(loss, shape)
    positions = loss.positions
    assert positions is not None
    with torch.no_grad():
        positions += 0.3 * torch.randn(positions.shape, generator=torch.Generator().manual_seed(2))
    output, target = batch(shape, events=20)
    features = (output if shape else output.unsqueeze(-1)).numpy()
    expected, affinities = affinity_in_numpy(
        features, target.numpy(), positions.detach().numpy(), sigma=3.0, margin=0.6
    )
    assert loss(output, target).tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    score = affinities if shape else affinities[:, 1] - affinities[:, 0]
    np.testing.assert_allclose(loss.score(output).detach().numpy(), score, rtol=1e-12)


def test_affinity_of_objects_adds_the_spread_once() -> None:
    loss = Affinity(sigma=3.0, margin=0.6, centres=2)
    ready(loss, (2, 3))
    output, target = batch((2, 3))
    single = [loss(output[:, index], target[:, index]) for index in range(2)]
    torch.testing.assert_close(loss(output, target), single[0] + single[1] - loss.spread())
    assert float(loss.spread().detach()) > 1


@EVERY_SHAPE
def test_clusters_begin_apart_and_equally_far(shape: tuple[int, ...]) -> None:
    loss = Affinity(sigma=10.0, margin=0.75, centres=1)
    loss.prepare(shape)
    assert loss.positions is not None
    corners = loss.positions.detach().squeeze(1)
    distances = torch.cdist(corners, corners)
    apart = ~torch.eye(len(corners), dtype=torch.bool)
    torch.testing.assert_close(distances[apart], torch.full_like(distances[apart], math.sqrt(20.0)))
    torch.testing.assert_close(corners.mean(0), torch.zeros(corners.shape[1]), atol=1e-6, rtol=0)
    assert float(loss.spread().detach()) == pytest.approx(0, abs=1e-9)
    # an event in its own cluster has all the margin it needs: 1 - exp(-2) > 0.75
    if shape:
        target = torch.arange(shape[-1]).unsqueeze(-1).expand(-1, math.prod(shape[:-1]))
        target = target.reshape(-1, *shape[:-1])
        assert loss(corners[target], target).tolist() == pytest.approx([0.0] * len(corners))
    else:
        assert loss(corners.squeeze(1), torch.tensor([0, 1])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(), (2,)])
def test_two_classes_with_one_centre_have_no_spread_wherever_they_are(
    shape: tuple[int, ...],
) -> None:
    loss = Affinity(sigma=10.0, margin=0.75, centres=1)
    loss.prepare(shape)
    assert loss.positions is not None
    with torch.no_grad():
        loss.positions += torch.randn(loss.positions.shape) * 5
    loss.spread().backward()
    assert float(loss.spread().detach()) == 0
    assert loss.positions.grad is not None
    assert (loss.positions.grad == 0).all()


def test_affinity_trains_its_positions_and_keeps_them_when_prepared_again() -> None:
    loss = Affinity(sigma=10.0, margin=0.75, centres=1)
    loss.prepare(())
    (before,) = (value.detach().clone() for value in loss.parameters())
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    loss(torch.tensor([0.5, 1.0]), torch.tensor([0, 1])).sum().backward()
    optimizer.step()
    loss.prepare(())
    (after,) = loss.parameters()
    assert not torch.equal(before, after)
    other = Affinity(sigma=10.0, margin=0.75, centres=1)
    other.prepare(())
    other.load_state_dict(loss.state_dict())
    outputs = torch.linspace(-3, 3, 7)
    assert torch.equal(other.score(outputs), loss.score(outputs))


def test_a_chain_trains_positions_and_restores_them_with_its_weights() -> None:
    """The output passes on through the scores of the clusters, and its gradient back."""

    def fresh() -> Chain:
        loss = Affinity(sigma=10.0, margin=0.75, centres=1)
        loss.prepare(())
        tasks = [task_of("a", "x", "label", Binary(), loss), regression("b", "label", "z", 1)]
        return Chain(tasks, {"a": {"one": Joined(1)}, "b": {"one": Joined(1, 1)}})

    torch.manual_seed(0)
    chain = fresh()
    batch = {"x": torch.randn(8, 1), "label": torch.tensor([0, 1] * 4), "z": torch.randn(8, 1)}
    path = ("one", "one")
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    chain.losses(chain.run(batch, path), batch)[1].backward()
    optimizer.step()
    after = chain.state_dict()
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert any(name.endswith("a.positions") for name in after)
    copied, restored = copy.deepcopy(chain.only(path)), fresh()
    restored.load_state_dict(after)
    for other in (copied, restored):
        for found, expected in zip(
            other.losses(other.run(batch, path), batch),
            chain.losses(chain.run(batch, path), batch),
            strict=True,
        ):
            assert torch.equal(found, expected)
    assert copied.tasks[0].loss is not chain.tasks[0].loss
    assert {id(one) for one in copied.tasks[0].loss.parameters()} < {
        id(one) for one in copied.parameters()
    }
