"""Chains of two and three tasks: evaluation by prefix is the plain evaluation of every chain."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from made_chain import Joined, task_of
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn
from torchmetrics import MeanSquaredError
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy

from msnas.chain.chain import Chain, Path, check_chain
from msnas.chain.output import Binary, Classes, Regression
from msnas.chain.task import Task
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import collect_outputs, evaluate
from msnas.losses.cross_entropy import BinaryCrossEntropy, CrossEntropy
from msnas.losses.squared_error import SquaredError
from msnas.training.pretraining import Pretraining
from msnas.weighting.fixed import Fixed

EVENTS = 53
CLASSES = 4


def regress(inputs: str = "x") -> Task:
    return task_of(
        "regress", inputs, "z", Regression(shape=[3]), SquaredError(), mse=MeanSquaredError()
    )


def classify(inputs: str) -> Task:
    return task_of("classify", inputs, "label", Binary(), BinaryCrossEntropy(), auc=BinaryAUROC())


def some(count: int, *sizes: int) -> dict[str, nn.Module]:
    return {f"candidate{number}": Joined(*sizes, hidden=5) for number in range(count)}


def two_tasks(candidates: int = 3) -> Chain:
    """x -> z (3 numbers) -> label."""
    torch.manual_seed(1)
    networks = {"regress": some(candidates, 2, 3), "classify": some(candidates, 3)}
    return Chain([regress(), classify("z")], networks)


def three_tasks(candidates: int = 3) -> Chain:
    """x -> z; z and x -> kind (a class); kind and z -> label."""
    torch.manual_seed(2)
    accuracy = MulticlassAccuracy(CLASSES, average="micro")
    kinds = Classes(shape=[CLASSES])
    sort = task_of("sort", "z x", "kind", kinds, CrossEntropy(), accuracy=accuracy)
    networks = {
        "regress": some(candidates, 2, 3),
        "sort": some(candidates, 3 + 2, CLASSES),
        "classify": some(candidates, CLASSES + 3),
    }
    return Chain([regress(), sort, classify("kind z")], networks)


def binary_in_the_middle() -> Chain:
    """x -> label -> z: a yes or no handed on as one number."""
    torch.manual_seed(3)
    networks = {"classify": some(2, 2), "regress": some(2, 3, 3)}
    return Chain([classify("x"), regress(inputs="label x")], networks)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(EVENTS, 2, generator=generator),
        "z": torch.randn(EVENTS, 3, generator=generator),
        "kind": torch.randint(CLASSES, (EVENTS,), generator=generator),
        "label": torch.randint(2, (EVENTS,), generator=generator),
    }


def by_hand(chain: Chain, batch: Batch, path: Path) -> list[Tensor]:
    """Outputs of one chain, with the connections written out."""
    modules = [chain.candidates[task.name][name] for task, name in zip(chain.tasks, path)]  # noqa: B905
    x = batch["x"]
    if [task.name for task in chain.tasks] == ["regress", "classify"]:
        z = modules[0].network(x)
        return [z, modules[1].network(z)[:, 0]]
    if len(chain.tasks) == 3:
        z = modules[0].network(x)
        logits = modules[1].network(torch.cat([z, x], 1))
        kind = logits.exp() / logits.exp().sum(1, keepdim=True)
        return [z, logits, modules[2].network(torch.cat([kind, z], 1))[:, 0]]
    logit = modules[0].network(x)
    return [logit[:, 0], modules[1].network(torch.cat([1 / (1 + torch.exp(-logit)), x], 1))]


CHAINS = pytest.mark.parametrize("make", [two_tasks, three_tasks, binary_in_the_middle])


@CHAINS
def test_every_chain_by_prefix_by_itself_and_by_hand(make: type[Chain], batch: Batch) -> None:
    chain = make()
    paths = list(itertools.product(*(list(chain.candidates[t.name]) for t in chain.tasks)))
    walked = dict(chain.walk(batch, chain.paths()))
    assert sorted(walked) == sorted(paths)
    for path in paths:
        for together, alone, expected in zip(
            walked[path], chain.run(batch, path), by_hand(chain, batch, path), strict=True
        ):
            assert torch.equal(together, alone)
            torch.testing.assert_close(alone, expected, rtol=1e-5, atol=1e-6)
    last = torch.stack([outputs[-1] for outputs in walked.values()])
    assert len(last.detach().unique(dim=0)) == len(paths)


@CHAINS
def test_a_subset_of_the_chains_runs_nothing_else(make: type[Chain], batch: Batch) -> None:
    chain = make()
    paths = chain.paths()[1::2]
    assert {path for path, _ in chain.walk(batch, paths)} == set(paths)
    assert len(list(chain.walk(batch, [*paths, *paths]))) == len(paths)


@pytest.mark.parametrize("candidates", [1, 2, 3])
@pytest.mark.parametrize("make", [two_tasks, three_tasks])
def test_number_of_candidate_calls(make: type[Chain], candidates: int, batch: Batch) -> None:
    chain = make(candidates)
    calls: Counter[str] = Counter()
    for task in chain.tasks:
        for module in chain.candidates[task.name].values():
            module.register_forward_hook(lambda *_, task=task.name: calls.update([task]))
    list(chain.walk(batch, chain.paths()))
    assert calls == {task.name: candidates ** (level + 1) for level, task in enumerate(chain.tasks)}
    calls.clear()
    batches = math.ceil(EVENTS / 20)
    evaluate(
        chain,
        batch,
        paths=chain.paths(),
        weighting=Fixed().prepare([1 / len(chain.tasks)] * len(chain.tasks)),
        batch=20,
    )
    assert calls == {
        task.name: batches * candidates ** (level + 1) for level, task in enumerate(chain.tasks)
    }


def numpy_scores(chain: Chain, batch: Batch, path: Path, weights: list[float]) -> dict[str, float]:
    """Losses and metrics of one chain with NumPy and scikit-learn."""
    truth = {name: value.numpy() for name, value in batch.items()}
    event_weight = truth.get("weight", np.ones(EVENTS)).astype(float)
    outputs = [one.detach().double().numpy() for one in by_hand(chain, batch, path)]
    values: dict[str, float] = {}
    for task, output in zip(chain.tasks, outputs, strict=True):
        target = truth[task.target]
        if task.name == "regress":
            per_event = ((output - target) ** 2).sum(1)
            values["regress/mse"] = float(((output - target) ** 2).mean())
        elif task.name == "sort":
            shares = np.exp(output) / np.exp(output).sum(1, keepdims=True)
            per_event = -np.log(shares[np.arange(EVENTS), target])
            assert per_event.mean() == pytest.approx(log_loss(target, shares))
            values["sort/accuracy"] = float((output.argmax(1) == target).mean())
        else:
            per_event = np.logaddexp(0, output) - output * target
            values["classify/auc"] = roc_auc_score(target, output)
        values[f"{task.name}/loss"] = float((event_weight * per_event).mean())
    values["loss"] = sum(
        weight * values[f"{task.name}/loss"]
        for weight, task in zip(weights, chain.tasks, strict=True)
    )
    return values


@pytest.mark.parametrize("size", [7, 53, 500])
@pytest.mark.parametrize("weighted_events", [False, True])
@pytest.mark.parametrize("make", [two_tasks, three_tasks])
def test_evaluation_against_brute_force(
    make: type[Chain], weighted_events: bool, size: int, batch: Batch
) -> None:
    chain = make()
    if weighted_events:
        generator = torch.Generator().manual_seed(4)
        batch["weight"] = torch.randn(EVENTS, generator=generator) + 1
    weights = [0.5, 0.2, 0.3] if len(chain.tasks) == 3 else [0.7, 0.3]
    paths = chain.paths()[::-1]
    scores = evaluate(chain, batch, paths=paths, weighting=Fixed().prepare(weights), batch=size)
    assert [score.path for score in scores] == paths
    for score in scores:
        expected = numpy_scores(chain, batch, score.path, weights)
        assert dict(score.values) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert len({score.values["loss"] for score in scores}) == len(paths)


def test_outputs_of_batches_are_in_the_order_of_the_events(batch: Batch) -> None:
    chain = three_tasks()
    path = chain.paths()[5]
    outputs = collect_outputs(chain, batch, paths=[path], batch=10)
    assert list(outputs) == [path[:1], path[:2], path]
    for prefix, expected in zip(outputs, chain.run(batch, path), strict=True):
        torch.testing.assert_close(outputs[prefix], expected.detach())


@CHAINS
def test_the_truth_of_earlier_tasks_never_reaches_a_chain(make: type[Chain], batch: Batch) -> None:
    chain = make()
    changed = dict(batch)
    for task in chain.tasks:
        changed[task.target] = batch[task.target].roll(1, 0) * 0 + 1
    without = {"x": batch["x"]}
    assert not chain.start(batch).keys() & {task.target for task in chain.tasks}
    for path in chain.paths():
        for plain, other, nothing in zip(
            chain.run(batch, path), chain.run(changed, path), chain.run(without, path), strict=True
        ):
            assert torch.equal(plain, other)
            assert torch.equal(plain, nothing)


def test_pretraining_reads_the_truth_of_earlier_tasks_alone(batch: Batch) -> None:
    chain = three_tasks()
    one_hot = torch.eye(CLASSES)[batch["kind"]]
    module = chain.candidates["sort"]["candidate1"]
    expected = module.network(torch.cat([batch["z"], batch["x"]], 1))
    torch.testing.assert_close(chain.run_on_truth(batch, 1, "candidate1"), expected)
    module = chain.candidates["classify"]["candidate2"]
    expected = module.network(torch.cat([one_hot, batch["z"]], 1))[:, 0]
    found = chain.run_on_truth(batch, 2, "candidate2")
    torch.testing.assert_close(found, expected)
    # its own truth is not among what it reads
    flipped = {**batch, "label": 1 - batch["label"]}
    assert torch.equal(found, chain.run_on_truth(flipped, 2, "candidate2"))


class Reader(nn.Module):
    """Reads what it says instead of its task's inputs."""

    def __init__(self, *reads: str, size: int) -> None:
        super().__init__()
        self.reads = reads
        self.network = nn.Linear(size, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        assert list(inputs) == list(self.reads)
        output: Tensor = self.network(torch.cat(list(inputs.values()), 1))
        return output.squeeze(-1)


def test_a_candidate_may_read_other_than_its_task(batch: Batch) -> None:
    chain = three_tasks()
    reader = Reader("x", "z", size=batch["x"].shape[1] + batch["z"].shape[1])
    chain.candidates["classify"]["reader"] = reader
    assert chain.inputs(2, "reader") == ("x", "z")
    on_truth = torch.cat([batch["x"], batch["z"]], 1)
    expected = reader.network(on_truth).squeeze(-1)
    assert torch.equal(chain.run_on_truth(batch, 2, "reader"), expected)
    path = ("candidate0", "candidate1", "reader")
    z = chain.run(batch, path)[0]
    expected = reader.network(torch.cat([batch["x"], z], 1)).squeeze(-1)
    assert torch.equal(chain.run(batch, path)[2], expected)
    stage = Pretraining(chain=chain, level=2, name="reader", optimizer=torch.optim.Adam, seed=0)
    assert stage.reads() >= {"x", "z", "label"}


@pytest.mark.parametrize("truth", ["label", "kind"])
def test_a_candidate_cannot_read_its_own_truth_nor_a_later_one(truth: str, batch: Batch) -> None:
    chain = three_tasks()
    level = 2 if truth == "label" else 1
    task = chain.tasks[level].name
    chain.candidates[task]["reader"] = Reader(truth, size=1)
    with pytest.raises(ConfigError, match=rf"candidates\.reader: does not take \['{truth}'\]"):
        check_chain(chain, batch)


def test_pretraining_reads_a_yes_or_no_as_a_number(batch: Batch) -> None:
    chain = binary_in_the_middle()
    module = chain.candidates["regress"]["candidate0"]
    label = batch["label"].float()[:, None]
    expected = module.network(torch.cat([label, batch["x"]], 1))
    torch.testing.assert_close(chain.run_on_truth(batch, 1, "candidate0"), expected)


def test_classes_are_handed_on_one_hot_or_as_probabilities() -> None:
    output = Classes(shape=[3])
    assert output.from_truth(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    logits = torch.tensor([[0.0, math.log(2.0), 0.0], [100.0, 0.0, 0.0]])
    expected = torch.tensor([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(output.from_output(logits), expected)
    pair = Classes(shape=[2, 3])
    assert pair.from_truth(torch.tensor([[2, 1]])).tolist() == [[[0, 0, 1], [0, 1, 0]]]


def test_gradients_flow_through_the_whole_chain(batch: Batch) -> None:
    chain = three_tasks()
    path = chain.paths()[0]
    chain.losses(chain.run(batch, path), batch)[-1].backward()
    for task, name in zip(chain.tasks, path, strict=True):
        for candidate, module in chain.candidates[task.name].items():
            touched = [value.grad is not None for value in module.parameters()]
            assert all(touched) if candidate == name else not any(touched)


def test_a_part_of_the_chain_shares_the_modules() -> None:
    chain = three_tasks()
    path = ("candidate1", "candidate0", "candidate2")
    part = chain.only(path)
    assert part.paths() == [path]
    for task, name in zip(chain.tasks, path, strict=True):
        assert part.candidates[task.name][name] is chain.candidates[task.name][name]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Joined(2, 4), r"found an output of shape \[4\] per event, expected \[3\]"),
        (Joined(9, 3), r"does not take \['x'\]: "),
    ],
)
def test_a_candidate_that_does_not_fit_is_named(wrong: nn.Module, said: str, batch: Batch) -> None:
    good = two_tasks(1)
    check_chain(good, batch)
    networks = {"regress": {"fine": Joined(2, 3), "odd": wrong}}
    chain = Chain(good.tasks, {**networks, "classify": dict(good.candidates["classify"].items())})
    with pytest.raises(ConfigError, match=rf"^tasks\.regress\.candidates\.odd: {said}"):
        check_chain(chain, batch)


def test_a_second_task_that_does_not_fit_the_first_is_named(batch: Batch) -> None:
    good = two_tasks(1)
    networks = {"regress": dict(good.candidates["regress"].items())}
    chain = Chain(good.tasks, {**networks, "classify": {"odd": Joined(5)}})
    with pytest.raises(ConfigError, match=r"tasks\.classify\.candidates\.odd: does not take"):
        check_chain(chain, batch)
