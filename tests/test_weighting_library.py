"""Every aggregator and scalarizer of torchjd by its name: one contract for all of them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from inspect import isabstract
from typing import Any

import numpy as np
import pytest
import torch
import torchjd._mixins
from test_weighting import FIGHT, Tasks, configured, descend, update
from torch import Tensor
from torchjd import aggregation, scalarization
from weightings import (
    EXTRAS,
    INSTALLED,
    NAMES,
    SCALARIZED,
    SETTINGS,
    UNWEIGHTED,
    tasks_for,
)

from msnas.build import build
from msnas.errors import ConfigError, TrainingError
from msnas.part import public_name
from msnas.weighting.jacobian_descent import JacobianDescent
from msnas.weighting.scalarized import Scalarized
from msnas.weighting.weighting import Weighting

LIBRARY = [name for name in INSTALLED if name not in ("fixed", "gradnorm")]

SEVERAL_BATCHES = {"MoDoWeighting", "SDMGradWeighting"}
"""They need gradients of independent batches in every step; torchjd has no aggregator of them."""


def targets(node: Any) -> Iterator[str]:
    """All classes that settings name."""
    if isinstance(node, dict):
        yield from [node["_target_"]] if "_target_" in node else []
        for child in node.values():
            yield from targets(child)


def test_all_that_torchjd_has_is_there() -> None:
    named = {target for settings in SETTINGS.values() for target in targets(settings)}
    bases = {"WeightedAggregator", "GramianWeightedAggregator"}
    for module, kind in (
        (aggregation, aggregation.Aggregator),
        (scalarization, scalarization.Scalarizer),
    ):
        found = {name: getattr(module, name) for name in module.__all__}
        ours = {
            public_name(one)
            for name, one in found.items()
            if issubclass(one, kind) and not isabstract(one) and name not in bases
        }
        assert len(ours) > 10
        assert ours <= named
        # weightings without an aggregator
        alone = {name for name in found if name.endswith("Weighting")} - {"Weighting"}
        alone -= {f"{name}Weighting" for name in found}
        wanted = {f"{module.__name__}.{name}" for name in alone - SEVERAL_BATCHES}
        assert wanted <= named


@pytest.mark.parametrize("name", list(EXTRAS))
def test_an_error_names_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchjd._mixins, "find_spec", lambda name: None)
    said = rf'^weighting\.aggregator: .*requires .*cvxpy.* pip install "torchjd\[{name}\]"$'
    with pytest.raises(ConfigError, match=said):
        configured(name)


# ------------------------------------------------------------------------------------- every step


@pytest.mark.parametrize("more", [0, 1], ids=["as few tasks as it takes", "a task more"])
@pytest.mark.parametrize("name", LIBRARY)
def test_the_weights_told_are_those_of_the_gradients(name: str, more: int) -> None:
    count = tasks_for(name) + more
    tasks = Tasks(count=count)
    weighting = configured(name, tasks=count)
    rows = tasks.jacobian()
    torch.manual_seed(3)
    found = tasks.gradients(weighting)
    first = torch.cat([one.flatten() for one in found[:2]])
    assert all(one.isfinite().all() for one in found)
    weights = weighting.take_record([str(task) for task in range(count)]).get("task_weight")
    assert (weights is None) == (name in UNWEIGHTED)
    if weights is None:
        return
    told = torch.tensor(list(weights.values()), dtype=torch.float64)
    torch.testing.assert_close(first, told @ rows, rtol=1e-9, atol=1e-12)
    # all later parameters: by the same weights, or by equal ones
    if "aggregator" in SETTINGS[name]:
        told = torch.full((count,), 1 / count, dtype=torch.float64)
    tasks.zero_grad()
    losses, _ = tasks.run()
    (told @ torch.stack(losses)).backward()
    for one, other in zip(found[2:], tasks.found()[2:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


CLOSE = {"pcd": {"aggregator": SETTINGS["pcd"]["aggregator"] | {"tau": 0.9}}}
"""With its own tau the second task asks for nothing here."""


def epoch(tasks: Tasks, weighting: Weighting, optimizer: Any, seed: int) -> Any:
    """Three steps as a stage does them; what the epoch tells, and the weights after it."""
    torch.manual_seed(seed)
    for _ in range(3):

        def again() -> None:
            losses, shared = tasks.run()
            descend(weighting, losses, shared)

        optimizer.zero_grad(set_to_none=True)
        again()
        optimizer.step()
        if weighting.looks_back:
            weighting.look_back(again)
    record = weighting.take_record([str(task) for task in range(len(tasks.layers))])
    return record, [one.detach().clone() for one in tasks.parameters()]


def made(name: str, count: int) -> Weighting:
    return configured(name, tasks=count, **CLOSE.get(name, {}))


@pytest.mark.parametrize("name", LIBRARY)
def test_gone_on_with_from_a_checkpoint_it_is_as_if_nothing_had_been(name: str) -> None:
    count = tasks_for(name)
    tasks, weighting = Tasks(count=count), made(name, count)
    parameters = [*tasks.parameters(), *weighting.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.3)
    for seed in range(3):
        epoch(tasks, weighting, optimizer, seed)
    file = io.BytesIO()
    parts = {"tasks": tasks.state_dict(), "weighting": weighting.state_dict()}
    torch.save({**parts, "kept": weighting.kept()}, file)
    uninterrupted = [epoch(tasks, weighting, optimizer, seed) for seed in (3, 4)]
    file.seek(0)
    read = torch.load(file, weights_only=True)
    for keeping in (True, False):
        tasks, weighting = Tasks(count=count), made(name, count)
        tasks.load_state_dict(read["tasks"])
        weighting.load_state_dict(read["weighting"])
        if keeping:
            weighting.restore(read["kept"])
            assert str(weighting.kept()) == str(read["kept"])
        parameters = [*tasks.parameters(), *weighting.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.3)
        resumed = [epoch(tasks, weighting, optimizer, seed) for seed in (3, 4)]
        if keeping:
            assert str(resumed) == str(uninterrupted)
            for (_, ours), (_, theirs) in zip(resumed, uninterrupted, strict=True):
                assert all(map(torch.equal, ours, theirs))
        else:
            # what is kept matters to these
            needed = {"dwa", "famo", "gradvac", "pcd", "excess_mtl", "cr_mogm", "nash_mtl"}
            assert (str(resumed) != str(uninterrupted)) == (name in needed)


def test_each_candidate_of_the_first_task_has_an_aggregator_of_its_own() -> None:
    small, large = np.eye(2), np.eye(2, 5)
    alternating, alone = configured("excess_mtl"), configured("excess_mtl")
    for step in range(4):
        scale = np.array([[1.0], [1.0 + step]])
        update(alternating, large)
        assert update(alternating, scale * small)[1] == update(alone, scale * small)[1]
    assert [key[-1] for key in alternating.kept()] == [5, 2]


# ---------------------------------------------------------------------------------- by hand


def weights_of(name: str, losses: list[float], **settings: Any) -> list[float]:
    """The weights of losses of these values."""
    changes = {"scalarizer": SETTINGS[name]["scalarizer"] | settings} if settings else {}
    weighting = configured(name, tasks=len(losses), **changes)
    values = torch.tensor(losses, dtype=torch.float64, requires_grad=True)
    descend(weighting, list(values), values)
    assert values.grad is not None
    record = weighting.take_record([str(task) for task in range(len(losses))])
    assert list(record["task_weight"].values()) == pytest.approx(values.grad.tolist())
    return values.grad.tolist()


HALF = 1 / math.sqrt(2)
NORM = math.sqrt(17)
COSINE = 5 / math.sqrt(34)
LOSSES = {
    "mean_loss": [0.5, 0.5],
    "constant_loss": [0.5, 0.5],
    "sum_loss": [1, 1],
    "imtl_l": [1, 1],
    "dwa": [1, 1],
    "uncertainty": [0.5, 0.5],
    "gls": [1, 1 / 4],  # sqrt(1 * 4) / (2 L)
    "famo": [0.8, 0.2],  # by 1 / L
    "stch": [0.5 / (1 + math.exp(15)), 0.5 / (1 + math.exp(-15))],  # softmax of L / 2 over 0.1
    "pbi": [HALF - 0.5 * HALF, HALF + 0.5 * HALF],
    "cosmos": [  # 1/2 minus the derivative of the cosine between (1, 1) and L
        0.5 - (HALF / NORM - COSINE * 1 / 17),
        0.5 - (HALF / NORM - COSINE * 4 / 17),
    ],
}
"""Of losses 1 and 4; of `random` there is a test of its own."""


@pytest.mark.parametrize("name", [name for name in SCALARIZED if name != "random"])
def test_weights_of_losses_1_and_4(name: str) -> None:
    assert weights_of(name, [1.0, 4.0]) == pytest.approx(LOSSES[name], rel=1e-6)


def test_a_list_is_a_number_per_task() -> None:
    given = {"weights": [0.3, 0.7]}
    assert weights_of("constant_loss", [1.0, 4.0], **given) == pytest.approx([0.3, 0.7])
    # the maximum of .3 * 1 and .7 * 4
    assert weights_of("stch", [1.0, 4.0], mu=0.001, **given) == pytest.approx([0, 0.7])
    assert weights_of("stch", [1.0, 4.0], mu=1e-3, weights=[0.9, 0.1]) == pytest.approx([0.9, 0])
    aggregator = SETTINGS["constant"]["aggregator"] | given
    assert update(configured("constant", aggregator=aggregator), FIGHT)[1] == pytest.approx(
        [0.3, 0.7]
    )
    preferring = SETTINGS["upgrad"]["aggregator"] | {"pref_vector": [1.0, 0.0]}
    found, _ = update(configured("upgrad", aggregator=preferring), FIGHT)
    assert found.tolist() == pytest.approx([0.5, 0.5], abs=2e-4)  # the first task's, projected


def test_of_a_list_the_tasks_that_depend_on_the_first_take_theirs() -> None:
    aggregator = SETTINGS["constant"]["aggregator"] | {"weights": [0.1, 0.2, 0.7]}
    weighting = configured("constant", tasks=3, aggregator=aggregator)
    first, apart = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in "ab")
    shared = 1.0 * first
    descend(weighting, [shared[0], apart.sum(), shared[1]], shared)
    assert first.grad is not None
    assert first.grad.tolist() == pytest.approx([0.1 * 2 / 3, 0.7 * 2 / 3])


def test_dwa_goes_by_the_epochs_before() -> None:
    weighting = configured("dwa")
    told = []
    for losses in ([8.0, 2.0], [4.0, 2.0], [4.0, 1.0], [1.0, 1.0]):
        for factor in (0.5, 1.5):  # their mean over the epoch counts
            values = factor * torch.tensor(losses, dtype=torch.float64, requires_grad=True)
            descend(weighting, list(values), values)
        told.append(list(weighting.take_record("ab")["task_weight"].values()))
    assert told[:2] == [[1, 1], [1, 1]]
    for (first, second), weights in zip([(0.5, 1.0), (1.0, 0.5)], told[2:], strict=True):
        rates = np.exp(np.array([first, second]) / 2)
        assert weights == pytest.approx((2 * rates / rates.sum()).tolist())


def test_famo_gives_more_to_the_loss_that_fell_less() -> None:
    weighting = configured("famo")
    before, after = (torch.tensor(one, dtype=torch.float64) for one in ([4.0, 1.0], [2.0, 0.9]))

    def see(losses: Tensor) -> None:
        values = losses.clone().requires_grad_()
        descend(weighting, list(values), values)

    for _ in range(20):
        see(before)
        weighting.look_back(lambda: see(after))
    weighting.take_record("ab")
    # Adam moves the logits apart by its rate each step, but for what decay takes back
    logits = next(weighting.parameters()).tolist()
    assert logits == pytest.approx([-0.5, 0.5], rel=0.02)
    see(before)
    weights = torch.tensor(logits).softmax(0) / before
    told = list(weighting.take_record("ab")["task_weight"].values())
    assert told == pytest.approx((weights / weights.sum()).tolist(), rel=1e-6)


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", LIBRARY)
def test_what_it_does_not_take_is_refused(name: str) -> None:
    (kind,) = SETTINGS[name].keys() - {"_target_"}
    wrong = SETTINGS[name][kind] | {"nonsense": 1}
    said = rf"^weighting\.{kind}\.nonsense: unknown; .*takes "
    with pytest.raises(ConfigError, match=said):
        configured(name, tasks=tasks_for(name), **{kind: wrong})


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("uncertainty", {"shape": 2}, r"^weighting\.scalarizer\.shape: given by the run itself"),
        ("pbi", {"theta": -1}, r"^weighting\.scalarizer: .*PBI: .* non-negative"),
        ("pbi", {"weights": [1, 2, 3]}, r"^weighting\.scalarizer: PBI: .* same shape"),
        ("stch", {"mu": "small"}, r"^weighting\.scalarizer: .*STCH: "),
        ("upgrad", {"pref_vector": [1.0]}, r"^weighting\.aggregator: UPGrad: "),
        ("pcd", {"tau": 2}, r"^weighting\.aggregator: .*PCD: .* in \[0, 1\]"),
    ],
)
def test_bad_settings(name: str, changes: dict[str, Any], said: str) -> None:
    (kind,) = SETTINGS[name].keys() - {"_target_"}
    with pytest.raises(ConfigError, match=said):
        configured(name, **{kind: SETTINGS[name][kind] | changes})


@pytest.mark.parametrize("kind", sorted(SEVERAL_BATCHES))
def test_what_needs_several_batches_is_refused(kind: str) -> None:
    aggregator = {
        "_target_": "torchjd.aggregation.WeightedAggregator",
        "weighting": {"_target_": f"torchjd.aggregation.{kind}"},
    }
    with pytest.raises(ConfigError, match=r"^weighting\.aggregator: WeightedAggregator: "):
        configured("mean", aggregator=aggregator)


def test_a_loss_below_0_stops_the_geometric_mean() -> None:
    said = r"^weighting\.scalarizer: GeometricMean is only defined for non-negative"
    with pytest.raises(TrainingError, match=said):
        weights_of("gls", [1.0, -1.0])


@pytest.mark.parametrize("name", NAMES)
def test_a_part_tells_its_settings(name: str) -> None:
    part = build(SETTINGS[name], key="weighting", of=Weighting)
    assert part.settings() == SETTINGS[name]


def test_an_object_may_be_handed_over() -> None:
    given = Scalarized(scalarizer=scalarization.STCH(mu=0.001)).prepare([0.5, 0.5])
    values = torch.tensor([1.0, 4.0], requires_grad=True)
    descend(given, list(values), values)
    assert given.take_record("ab")["task_weight"] == pytest.approx({"a": 0, "b": 0.5})
    pair = aggregation.CRMOGMWeighting(aggregation.MGDAWeighting(), alpha=0.0)
    aggregator = aggregation.GramianWeightedAggregator(pair)
    given = JacobianDescent(aggregator=aggregator).prepare([0.5, 0.5]).double()
    assert update(given, FIGHT)[0].tolist() == update(configured("mgda"), FIGHT)[0].tolist()
    assert pair._lambda is None, "each has its own"
