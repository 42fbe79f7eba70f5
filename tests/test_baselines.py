"""Grid search, the fixed chains and a random choice, each by a whole run on the toy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CONF, QUIET, STAGES, compose_config, epochs
from torch import Tensor

from msnas.chain.chain import Chain
from msnas.chain.from_config import build_chain
from msnas.errors import ConfigError
from msnas.identity import derived_seed
from msnas.methods.given_chains import draw_path
from msnas.plan import make_plan
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.training.train import StageTrainer, Trained

CANDIDATES = {
    "toy_regression": ["curve", "plane", "line"],
    "toy_classification": ["trigger", "logistic", "cautious"],
}
PATHS = [(one, other) for one in CANDIDATES["toy_regression"]
         for other in CANDIDATES["toy_classification"]]  # fmt: skip
LABELS = [" -> ".join(path) for path in PATHS]
BATCH = [f"recipe.{stage}.batch=50" for stage in STAGES]
METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))


@dataclass
class Run:
    """A finished run: what was asked, what came out."""

    config: dict[str, Any]
    result: dict[str, Any]
    directory: RunDirectory
    output: Path

    @property
    def stages(self) -> dict[str, Any]:
        stages: dict[str, Any] = self.result["stages"]
        return stages

    @property
    def selected(self) -> tuple[str, ...]:
        return tuple(self.result["selected"].values())

    def chains(self, stage: str) -> dict[tuple[str, ...], dict[str, float]]:
        """Validation numbers of the chains listed for a stage."""
        return {
            tuple(one["selected"].values()): one["valid"]
            for one in self.result["chains"]
            if one["stage"] == stage
        }

    def weights(self, task: str) -> dict[str, Tensor]:
        """The selected candidate's weights in model.ckpt."""
        model = torch.load(self.directory.model, weights_only=True)
        prefix = f"candidates.{task}.{self.result['selected'][task]}."
        return {
            name.removeprefix(prefix): value
            for name, value in model["weights"].items()
            if name.startswith(prefix)
        }


def do(output: Path, *more: str) -> Run:
    words = ["problem=toy", "trainer=cpu", "logger=none", f"output={output}"]
    config = compose_config([*words, "data.source.events=500", *epochs(3), *BATCH, *more])
    result = run(config, console=QUIET)
    plan = make_plan(config)
    return Run(plan.config, result, RunDirectory(plan.directory), output)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# ------------------------------------------------------------------ grid search


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture(scope="module")
def grid(output: Path) -> Run:
    return do(output, "method=grid_search", "task_weight=0.95")


def test_grid_search_trains_every_chain_and_selects_the_least_loss(grid: Run) -> None:
    chains = grid.chains("search")
    assert list(chains) == PATHS
    assert list(grid.stages["search"]["epochs"]) == LABELS
    assert grid.stages["search"]["cached"] == []
    losses = {path: values["loss"] for path, values in chains.items()}
    assert len({round(loss, 6) for loss in losses.values()}) > 6
    assert grid.selected == min(losses, key=losses.__getitem__)
    for values in chains.values():
        parts = 0.95 * values["toy_regression/loss"] + 0.05 * values["toy_classification/loss"]
        assert values["loss"] == pytest.approx(parts, rel=1e-5)
    # post-training is that of the search, and the final model is the winner itself
    assert grid.stages["posttrain"]["cached"] == ["chain"]
    assert grid.chains("posttrain") == {grid.selected: chains[grid.selected]}


@pytest.mark.parametrize("path", [PATHS[0], PATHS[4], PATHS[8]])
def test_a_fixed_chain_is_the_one_of_the_grid(grid: Run, path: tuple[str, ...]) -> None:
    """From the same pre-trained candidates and the same cache, so not trained again."""
    fixed = do(
        grid.output, "method=fixed_chain", f"method.chain=[{','.join(path)}]", "task_weight=0.95"
    )
    assert fixed.selected == path
    assert fixed.stages["posttrain"]["cached"] == ["chain"]
    assert sorted(fixed.stages["pretrain"]["cached"]) == sorted(
        f"{task}/{name}" for task, name in zip(CANDIDATES, path, strict=True)
    )
    assert fixed.chains("posttrain")[path] == grid.chains("search")[path]


def test_another_task_weight_is_another_training(grid: Run) -> None:
    other = do(grid.output, "method=fixed_chain", "task_weight=0.9")
    assert other.stages["posttrain"]["cached"] == []
    assert other.chains("posttrain")[PATHS[4]] != grid.chains("search")[PATHS[4]]


NUMBERS = {
    "toy_classification/auc": max,
    "toy_classification/loss": min,
    "toy_regression/mse": min,
    "loss": min,
}


@pytest.mark.parametrize(("number", "best"), NUMBERS.items())
def test_grid_search_selects_by_the_number_asked_for(grid: Run, number: str, best: Any) -> None:
    asked = do(grid.output, "method=grid_search", "task_weight=0.95", f"method.select_by={number}")
    values = {path: one[number] for path, one in grid.chains("search").items()}
    assert max(values.values()) > min(values.values())
    assert asked.selected == best(values, key=values.__getitem__)
    assert asked.chains("search") == grid.chains("search")
    if number == "loss":
        assert asked.directory.path == grid.directory.path
    else:
        assert asked.stages["search"]["cached"] == LABELS
    if number == "toy_classification/auc":
        assert asked.selected != grid.selected  # the weighted loss hardly sees task 2


def test_grid_search_refuses_what_is_not_measured(grid: Run) -> None:
    with pytest.raises(ConfigError, match=r"method\.select_by: 'auc' is not measured; allowed"):
        do(grid.output, "method=grid_search", "task_weight=0.95", "method.select_by=auc")


def test_an_interrupted_grid_search_goes_on(
    grid: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, begun = StageTrainer.train, []

    def interrupted(self: StageTrainer, stage: str, label: str, **options: Any) -> Trained:
        if stage == "posttrain":
            if len(begun) == 4:
                raise KeyboardInterrupt
            begun.append(label)
        return train(self, stage, label, **options)

    asked = ["method=grid_search", "task_weight=0.95"]
    monkeypatch.setattr(StageTrainer, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do(tmp_path, *asked)
    monkeypatch.undo()
    assert begun == LABELS[:4]
    assert not list(tmp_path.rglob("result.json"))
    again = do(tmp_path, *asked)
    assert again.stages["search"]["cached"] == LABELS[:4]
    assert again.stages["search"]["cached_seconds"] > 0
    assert again.stages["pretrain"]["cached"] == list(again.stages["pretrain"]["epochs"])
    assert len(again.stages["pretrain"]["cached"]) == 6
    assert again.chains("search") == grid.chains("search")
    for task in CANDIDATES:
        assert same(again.weights(task), grid.weights(task))


# ------------------------------------------------------------------ fixed chain, in sequence


@pytest.fixture(scope="module")
def sequence(output: Path) -> tuple[Run, Counter[tuple[int, str]], Counter[tuple[int, str]]]:
    """A chain trained in sequence; candidate calls in all, and while its task 2 trains."""
    everywhere: Counter[tuple[int, str]] = Counter()
    training: Counter[tuple[int, str]] = Counter()
    inside: list[str] = []
    apply, train = Chain.apply_candidate, StageTrainer.train

    def counted(self: Chain, level: int, name: str, values: Any) -> Tensor:
        everywhere[level, name] += 1
        if inside == ["sequential"]:
            training[level, name] += 1
        return apply(self, level, name, values)

    def marked(self: StageTrainer, stage: str, label: str, **options: Any) -> Trained:
        inside.append(stage)
        try:
            return train(self, stage, label, **options)
        finally:
            inside.pop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chain, "apply_candidate", counted)
        patch.setattr(StageTrainer, "train", marked)
        words = ["method.reoptimise=false", "method.chain=[plane,logistic]", "seed=3"]
        done = do(output, "method=fixed_chain", *words)
    return done, everywhere, training


def test_a_frozen_task_keeps_its_pretrained_weights(sequence: Any, output: Path) -> None:
    """To the last bit, while the next one moves away from what it would be on the truth."""
    frozen, _, _ = sequence
    joint = do(output, "method=fixed_chain", "method.chain=[plane,logistic]", "seed=3")
    cache = [
        torch.load(path, weights_only=True)
        for path in (output / "cache" / "pretrain").glob("*/weights.pt")
    ]
    assert sum(same(frozen.weights("toy_regression"), one) for one in cache) == 1
    assert not any(same(frozen.weights("toy_classification"), one) for one in cache)
    assert not any(same(joint.weights("toy_regression"), one) for one in cache)
    fresh = build_chain(frozen.config["tasks"], list(CANDIDATES), seed=3)
    start = fresh.candidate(1, "logistic").state_dict()
    assert not any(
        torch.equal(value, start[name])
        for name, value in frozen.weights("toy_classification").items()
    )
    # task 1's pre-training is the one every other method uses
    assert joint.stages["pretrain"]["cached"] == ["toy_regression/plane"]


def test_the_next_task_learns_from_outputs_computed_once(sequence: Any) -> None:
    frozen, everywhere, training = sequence
    assert training[0, "plane"] == 0
    assert training[1, "logistic"] >= 3 * 6  # epochs x batches
    assert everywhere[0, "plane"] > 0
    assert list(frozen.stages) == ["posttrain"]
    assert list(frozen.stages["posttrain"]["epochs"]) == [
        "toy_regression/plane",
        "toy_classification/logistic",
    ]


def test_the_next_task_was_judged_on_outputs_not_on_the_truth(sequence: Any) -> None:
    """The loss that its training watched is the one of the finished chain."""
    frozen, _, _ = sequence
    for task, label in zip(CANDIDATES, frozen.stages["posttrain"]["epochs"], strict=True):
        watched = [
            line["valid/loss"] for line in frozen.directory.history() if line["model"] == label
        ]
        assert len(watched) == 3
        reported = frozen.result["metrics"]["valid"][f"{task}/loss"]
        assert reported == pytest.approx(min(watched), rel=1e-5)


@pytest.mark.parametrize("chain", ["[plane]", "[plane,plane]", "[logistic,plane]", "null"])
@pytest.mark.parametrize("method", ["fixed_chain", "end_to_end"])
def test_a_chain_that_does_not_exist_is_refused(tmp_path: Path, method: str, chain: str) -> None:
    with pytest.raises(ConfigError, match=r"method\.chain: "):
        do(tmp_path, f"method={method}", f"method.chain={chain}")
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------------ end to end


def test_end_to_end_has_no_pretraining_and_no_intermediate_loss(output: Path) -> None:
    """It equals the same chain from fresh weights with all weight on the last task."""
    end = do(output, "method=end_to_end", "method.chain=[plane,cautious]")
    assert list(end.stages) == ["posttrain"]
    assert {line["stage"] for line in end.directory.history()} == {"posttrain"}
    assert end.result["task_weights"] == {"toy_regression": 0, "toy_classification": 1}
    values = end.result["metrics"]["valid"]
    assert values["loss"] == values["toy_classification/loss"]
    words = ["method.chain=[plane,cautious]", "pretrain.enabled=false", "task_weight=0"]
    twin = do(output, "method=fixed_chain", *words)
    assert twin.stages["posttrain"]["cached"] == ["chain"]
    assert twin.result["metrics"] == end.result["metrics"]
    fresh = build_chain(end.config["tasks"], list(CANDIDATES), seed=0)
    start = fresh.candidate(0, "plane").state_dict()
    moved = end.weights("toy_regression")
    # task 1 learnt through task 2
    assert not any(torch.equal(moved[name], one) for name, one in start.items())


@pytest.mark.parametrize(
    "given",
    [["task_weight=0.5"], ["task_weights.toy_regression=0", "task_weights.toy_classification=1"]],
)
def test_end_to_end_refuses_task_weights(tmp_path: Path, given: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"trains on the last task's loss alone; leave them out"):
        do(tmp_path, "method=end_to_end", *given)


# ------------------------------------------------------------------ random choice


def test_a_random_choice_is_uniform_over_seeds() -> None:
    """Chi-square over the 9 chains, below the 99.9 % quantile for 8 degrees of freedom."""
    config = make_plan(compose_config(["problem=toy", "trainer=cpu", "logger=none"])).config
    chain = build_chain(config["tasks"], list(CANDIDATES), seed=0)
    draws = 900

    def choice(seed: int) -> tuple[str, ...]:
        return draw_path(chain, derived_seed(seed, "search", "random_choice"))

    chosen = [choice(seed) for seed in range(draws)]
    assert [choice(seed) for seed in range(20)] == chosen[:20]
    counts = Counter(chosen)
    assert set(counts) == set(PATHS)
    assert sum((count - draws / 9) ** 2 / (draws / 9) for count in counts.values()) < 26.1


def test_a_random_choice_trains_only_what_it_chose(tmp_path: Path) -> None:
    chosen = []
    for seed in (0, 1):
        made = do(tmp_path, "method=random_choice", f"seed={seed}")
        labels = [f"{task}/{name}" for task, name in made.result["selected"].items()]
        assert list(made.stages["pretrain"]["epochs"]) == labels
        assert list(made.stages) == ["pretrain", "posttrain"]
        chosen.append(made.selected)
    assert chosen[0] != chosen[1]
    assert len(list((tmp_path / "cache" / "pretrain").glob("*/weights.pt"))) == 4


# ------------------------------------------------------------------ all methods


@pytest.mark.parametrize("method", METHODS)
def test_without_pretraining(tmp_path: Path, method: str) -> None:
    made = do(tmp_path, f"method={method}", "pretrain.enabled=false", *epochs(1))
    assert "pretrain" not in made.stages
    assert made.result["status"] == "finished"
    assert made.selected in PATHS
    assert not (tmp_path / "cache" / "pretrain").exists()


def test_in_sequence_without_pretraining(tmp_path: Path) -> None:
    """Training task after task is no pre-training: it is done all the same."""
    made = do(tmp_path, "method=fixed_chain", "method.reoptimise=false", "pretrain.enabled=false")
    assert list(made.stages) == ["posttrain"]
    assert list(made.stages["posttrain"]["epochs"].values()) == [3, 3]


def test_methods_share_the_pretrained_candidates(tmp_path: Path) -> None:
    first = do(tmp_path, "method=spos")
    second = do(tmp_path, "method=asng")
    labels = [f"{task}/{name}" for task, names in CANDIDATES.items() for name in names]
    assert list(first.stages["pretrain"]["epochs"]) == labels
    assert first.stages["pretrain"]["cached"] == []
    assert second.stages["pretrain"]["cached"] == labels
    assert second.stages["search"]["cached"] == []
    assert second.stages["pretrain"]["seconds"] == 0
    histories = [
        [line for line in one.directory.history() if line["stage"] == "pretrain"]
        for one in (first, second)
    ]
    assert histories[0] == histories[1]
    # the pre-trained weights are where both searches start: another seed's are others
    other = do(tmp_path, "method=asng", "seed=1")
    assert other.stages["pretrain"]["cached"] == []


@pytest.mark.parametrize(
    ("method", "setting"), [("darts", "selection=argmax"), ("spos", "ranking=evolution")]
)
def test_ways_to_select_share_the_trained_super_network(
    tmp_path: Path, method: str, setting: str
) -> None:
    first = do(tmp_path, f"method={method}")
    second = do(tmp_path, f"method={method}", f"method.{setting}")
    assert second.directory.path != first.directory.path
    assert first.stages["search"]["cached"] == []
    assert second.stages["search"]["cached"] == ["super-network"]
    # another setting is another super-network
    other = "method.chains=2" if method == "darts" else "method.sampling=fair"
    assert do(tmp_path, f"method={method}", other).stages["search"]["cached"] == []
