"""SPOS: which chains train, which are watched, how they are ranked, and evolution among many."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import QUIET, compose_config
from made_chain import WEIGHTS, events, loss_of_path, two_tasks
from torch import Tensor, nn

from msnas.candidates.dummies import Noise, Zeros
from msnas.chain.chain import Chain
from msnas.chain.chain import Path as ChainPath
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.methods.asng import ASNG
from msnas.methods.evolution import evolve
from msnas.methods.spos import EVOLUTION, SPOS, SPOSSearch
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.training.progress import Display
from msnas.weighting.fixed import Fixed


def spos(chain: Chain, **options: Any) -> SPOSSearch:
    """The search, ready to descend without a trainer."""
    method = SPOS(**options).search(
        chain=chain,
        weighting=Fixed().prepare(WEIGHTS),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        seed=0,
    )
    method.generator.manual_seed(1)
    method.manual_backward = lambda loss: loss.backward()
    return method


def trained_paths(method: SPOSSearch, steps: int, batch: Batch) -> list[list[ChainPath]]:
    """The chains that `descend` runs in every step."""
    found: list[list[ChainPath]] = []
    run = method.chain.run

    def spied(batch: Batch, path: ChainPath) -> list[Tensor]:
        found[-1].append(path)
        return run(batch, path)

    method.chain.run = spied
    for _ in range(steps):
        found.append([])
        method.descend(batch)
    method.chain.run = run
    return found


# ------------------------------------------------------------------ sampling


def test_every_chain_is_drawn_equally_often() -> None:
    """Chi-square over the 6 chains, below the 99.9 % quantile for 5 degrees of freedom."""
    method = spos(two_tasks())
    steps = 1800
    found = trained_paths(method, steps, events(0, count=1))
    assert all(len(one) == 1 for one in found)
    counts = Counter(path for (path,) in found)
    assert set(counts) == set(method.chain.paths())
    expected = steps / 6
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 20.5
    repeats = sum(one == other for one, other in itertools.pairwise(found)) / steps
    assert abs(repeats - 1 / 6) < 0.05  # a draw tells nothing about the next


def test_draws_come_from_the_generator_of_the_method() -> None:
    method = spos(two_tasks())
    first = trained_paths(method, 20, events(0, count=1))
    method.generator.manual_seed(1)
    torch.manual_seed(999)
    assert trained_paths(method, 20, events(0, count=1)) == first
    method.generator.manual_seed(2)
    assert trained_paths(method, 20, events(0, count=1)) != first


@pytest.mark.parametrize(("first", "second"), [(3, 3), (4, 2), (2, 5), (1, 3)])
def test_a_fair_step_serves_every_candidate_equally(first: int, second: int) -> None:
    """Once where the numbers are equal; else the shorter permutation cycles."""
    method = spos(two_tasks(first, second), sampling="fair")
    found = trained_paths(method, 60, events(0, count=1))
    longest = max(first, second)
    for paths in found:
        assert len(paths) == longest
        for level, size in enumerate((first, second)):
            order = [path[level] for path in paths]
            assert set(order) == set(method.chain.names()[level])
            counts = Counter(order).values()
            assert max(counts) - min(counts) <= 1
            assert order[size:] == order[: longest - size]
    drawn = {tuple(path[0] for path in paths) for paths in found}
    assert len(drawn) == {1: 1, 2: 2, 3: 6, 4: 24}[first] or len(drawn) > 20
    if first == second:
        assert {path for paths in found for path in paths} == set(method.chain.paths())


@pytest.mark.parametrize("sampling", ["uniform", "fair"])
def test_the_gradient_is_the_sum_over_the_drawn_chains(sampling: str) -> None:
    method, batch = spos(two_tasks(), sampling=sampling), events(0)
    (paths,) = trained_paths(method, 1, batch)
    found = [one.grad for one in method.chain.parameters()]
    losses = [loss_of_path(method.chain, batch, path) for path in paths]
    parameters = list(method.chain.parameters())
    expected = torch.autograd.grad(sum(losses), parameters, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, rtol=1e-9, atol=1e-12)
    served = sum(one is not None for one in found)
    assert served == len(found) if sampling == "fair" else served == 8

    method.zero_grad()
    method.generator.manual_seed(1)
    reported = float(method.descend(batch))
    assert reported == pytest.approx(sum(float(one.detach()) for one in losses) / len(paths))


# ------------------------------------------------------------------ what is watched


def test_all_chains_are_watched_up_to_the_limit() -> None:
    method, batch = spos(two_tasks(), validation_chains=6), events(1)
    assert sorted(method.validation_paths) == sorted(method.chain.paths())
    with torch.no_grad():
        losses = [float(loss_of_path(method.chain, batch, one)) for one in method.chain.paths()]
        assert float(method.validate_batch(batch)["loss"]) == pytest.approx(sum(losses) / 6)


@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 5), (4, 4)])
def test_a_fixed_set_with_every_candidate_is_watched_above_the_limit(
    first: int, second: int
) -> None:
    method, batch = spos(two_tasks(first, second), validation_chains=5), events(1)
    paths = list(method.validation_paths)
    assert len(set(paths)) == len(paths) == max(first, second)
    for level, names in enumerate(method.chain.names()):
        assert {path[level] for path in paths} == set(names)
    with torch.no_grad():
        losses = [float(loss_of_path(method.chain, batch, path)) for path in paths]
        before = float(method.validate_batch(batch)["loss"])
    assert before == pytest.approx(sum(losses) / len(losses))
    # with the weights as they are, another epoch's draws change nothing
    trained_paths(method, 7, batch)
    torch.manual_seed(5)
    assert method.validation_paths == paths
    with torch.no_grad():
        assert float(method.validate_batch(batch)["loss"]) == before
    # and another seed watches the same
    assert spos(two_tasks(first, second), validation_chains=5).validation_paths == paths


def test_the_limit_is_an_option() -> None:
    sizes = [
        len(spos(two_tasks(), validation_chains=limit).validation_paths) for limit in (1, 5, 6, 16)
    ]
    assert sizes == [3, 3, 6, 6]


# ------------------------------------------------------------------ ranking


def toy_parts(output: Path, *overrides: str) -> Parts:
    """The toy with fresh weights, ready to be ranked."""
    words = ["problem=toy", "trainer=cpu", "logger=none", f"output={output}", "method=spos"]
    words += ["data.source.events=700", "recipe.evaluation_batch=33"]
    config = compose_config([*words, *overrides])
    plan = make_plan(config)
    return ready_parts(plan, Display(QUIET))


@pytest.mark.parametrize("ranking", ["grid", "evolution"])
def test_the_ranking_is_the_plain_evaluation_of_every_chain(tmp_path: Path, ranking: str) -> None:
    """The toy has 9 chains: evolution meets them all and must agree."""
    parts = toy_parts(tmp_path, f"method.ranking={ranking}", "task_weight=0.3")
    assert isinstance(parts.method, SPOS)
    search = parts.method.search(
        chain=parts.chain, weighting=parts.fit.weighting, optimizer=parts.fit.optimizer, seed=0
    )
    selection = search.select(parts.scoring)
    with torch.no_grad():
        losses = {
            path: float(loss_of_path(parts.chain, parts.events.valid, path))
            for path in parts.chain.paths()
        }
    assert len(losses) == 9
    assert [one.path for one in selection.scores] == sorted(losses, key=losses.__getitem__)
    for one in selection.scores:
        assert one.values["loss"] == pytest.approx(losses[one.path], rel=1e-5)
    assert selection.path == min(losses, key=losses.__getitem__)


def test_evolution_uses_its_settings_and_the_seed() -> None:
    """With one random chain and no generation it is a random choice."""
    settings = {"population": 1, "generations": 0}
    scoring = SimpleNamespace(
        score=lambda chain, paths, part: [SimpleNamespace(ranked_by=0.0) for _ in paths],
        rank=lambda chain, paths: [SimpleNamespace(path=path, ranked_by=0.0) for path in paths],
    )
    chosen = []
    for seed in range(30):
        method = spos(two_tasks(), ranking="evolution", evolution=settings)
        method.seed = seed
        selection = method.select(scoring)
        assert len(selection.scores) == 1
        assert method.select(scoring).path == selection.path
        chosen.append(selection.path)
    assert len(set(chosen)) == 6


# ------------------------------------------------------------------ evolution

SPACE = [[f"{task}{number}" for number in range(8)] for task in range(4)]


class Judge:
    """A table of losses, the sum of a part for each task's candidate; counts what it is asked."""

    def __init__(self, seed: int, space: Sequence[Sequence[str]] = SPACE) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.parts = [
            dict(zip(names, torch.rand(len(names), generator=generator).tolist(), strict=True))
            for names in space
        ]
        self.best = tuple(min(part, key=part.__getitem__) for part in self.parts)
        self.asked: list[ChainPath] = []

    def __call__(self, paths: list[ChainPath]) -> list[float]:
        self.asked += paths
        return [self.loss(path) for path in paths]

    def loss(self, path: ChainPath) -> float:
        return sum(part[name] for part, name in zip(self.parts, path, strict=True))


def search(judge: Judge, seed: int, space: Sequence[Sequence[str]] = SPACE, **settings: Any) -> Any:
    return evolve(
        space, judge, generator=torch.Generator().manual_seed(seed), **(EVOLUTION | settings)
    )


def test_evolution_finds_the_best_of_4096_chains() -> None:
    """In 17 of 20 random tables at least, from a quarter of the grid; random draws seldom do."""
    found, by_chance, most = 0, 0, 0
    for seed in range(20):
        judge = Judge(seed)
        losses = search(judge, seed)
        assert len(set(judge.asked)) == len(judge.asked)  # no chain twice
        assert losses == {path: judge.loss(path) for path in judge.asked}
        most = max(most, len(judge.asked))
        found += min(losses, key=losses.__getitem__) == judge.best
        random = Judge(seed)
        by_chance += judge.best in search(random, seed, population=len(judge.asked), generations=0)
        assert len(random.asked) == len(judge.asked)
    assert most <= 50 + 20 * (25 + 25)
    assert found >= 17, f"{found} of 20, by random draws of as many chains {by_chance}"
    assert by_chance <= 10


def test_evolution_is_seeded() -> None:
    asked = []
    for seed in (1, 1, 2):
        judge = Judge(0)
        torch.manual_seed(len(asked))
        search(judge, seed)
        asked.append(judge.asked)
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize("space", [[["a"]], [["a", "b"]], [["a"], ["b", "c"], ["d"]]])
def test_evolution_ends_in_a_tiny_space(space: list[list[str]]) -> None:
    judge = Judge(0, space)
    losses = search(judge, 0, space)
    assert sorted(losses) == sorted(itertools.product(*space))
    assert len(judge.asked) == len(losses)
    assert min(losses, key=losses.__getitem__) == judge.best


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"population": 30, "generations": 0}, 30),
        ({"population": 30, "generations": 2, "crossover": 0, "mutation": 7}, 30 + 2 * 7),
        ({"population": 30, "generations": 3, "crossover": 4, "mutation": 0}, 30 + 3 * 4),
        # nobody else to cross with, nothing that mutates
        ({"population": 30, "generations": 3, "parents": 1, "mutation": 0}, 30),
        ({"population": 30, "generations": 3, "crossover": 0, "probability": 0.0}, 30),
    ],
)
def test_every_setting_of_evolution(settings: dict[str, Any], asked: int) -> None:
    judge = Judge(3)
    search(judge, 4, **settings)
    assert len(judge.asked) == asked


def test_children_descend_from_the_best() -> None:
    """Crossed children take every gene from a parent, mutated ones most, and not all are copies."""
    judge = Judge(5)
    search(judge, 6, population=40, generations=1, parents=3, crossover=9, mutation=0)
    best = sorted(judge.asked[:40], key=judge.loss)[:3]
    assert len(judge.asked) > 40
    for child in judge.asked[40:]:
        assert all(gene in {one[task] for one in best} for task, gene in enumerate(child))
    judge = Judge(5)
    search(judge, 6, population=40, generations=1, parents=1, crossover=0, mutation=25)
    parent = min(judge.asked[:40], key=judge.loss)
    changed = [
        sum(gene != other for gene, other in zip(child, parent, strict=True))
        for child in judge.asked[40:]
    ]
    assert len(changed) == 25
    assert 1 <= sum(changed) / len(changed) < 1.5


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("dummy", [Zeros(shape=[2]), Noise(shape=[2])])
@pytest.mark.parametrize("method", ["spos", "asng"])
def test_a_dummy_is_refused(method: str, dummy: nn.Module) -> None:
    made = SPOS() if method == "spos" else ASNG()
    with pytest.raises(ConfigError, match=f"candidate/regress: 'void' is a dummy.*method={method}"):
        made.check(two_tasks(void=dummy), Fixed().prepare(WEIGHTS))


@pytest.mark.parametrize(
    ("option", "value"), [("sampling", "unfair"), ("ranking", "none"), ("validation_chains", 0)]
)
def test_a_senseless_option_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"method\.{option}: expected"):
        spos(two_tasks(), **{option: value})


@pytest.mark.parametrize("setting", ["population", "parents"])
def test_a_senseless_setting_of_evolution_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"method\.evolution\.{setting}"):
        spos(two_tasks(), ranking="evolution", evolution={setting: 0})
