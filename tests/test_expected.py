"""DARTS by the expected loss over chains: its gradient, and that it finds the best chain."""

from __future__ import annotations

import itertools
import operator
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CONF, QUIET, ROOT, compose_config
from made_chain import WEIGHTS, events, two_tasks
from omegaconf import OmegaConf
from torch import Tensor

import msnas
from msnas.chain.chain import Chain
from msnas.errors import ConfigError
from msnas.methods.alpha import ALPHA_RATE, ExpectedSearch, drawn_gradient
from msnas.run import run
from msnas.weighting.fixed import Fixed

ALPHA = ([0.3, -0.2, 0.5], [0.4, -0.1])


def expected(**options: Any) -> ExpectedSearch:
    """The search on 3 x 2 chains, ready to learn without a trainer."""
    search = msnas.DARTS(**options).search(
        chain=two_tasks(),
        weighting=Fixed().prepare(WEIGHTS),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.1),
        seed=0,
    )
    assert isinstance(search, ExpectedSearch)
    search.alpha.double()
    search.generator.manual_seed(1)
    for alpha, value in zip(search.alpha, ALPHA, strict=True):
        alpha.data.copy_(torch.tensor(value))
    return search


def losses_by_hand(search: ExpectedSearch, batch: dict[str, Tensor]) -> Tensor:
    """Of every chain, [candidate of task 1, candidate of task 2]."""
    found = []
    with torch.no_grad():
        for path in itertools.product(*search.chain.names()):
            of_tasks = search.chain.losses(search.chain.run(batch, path), batch)
            found.append(sum(w * one for w, one in zip(WEIGHTS, of_tasks, strict=True)))
    return torch.stack(found).view(3, 2)  # type: ignore[arg-type]


def by_hand(losses: Tensor, shares: list[Tensor]) -> list[Tensor]:
    """p_ti (E[L | c_t = i] - E[L])."""
    first, second = shares
    mean = first @ losses @ second
    return [first * (losses @ second - mean), second * (first @ losses - mean)]


def test_the_gradient_is_the_formulas() -> None:
    search, batch = expected(), events(0)
    shares = [torch.tensor(value).double().softmax(0) for value in ALPHA]
    for found, wanted in zip(
        search.gradient(batch), by_hand(losses_by_hand(search, batch), shares), strict=True
    ):
        torch.testing.assert_close(found, wanted)
        assert abs(float(found.sum())) < 1e-12


def test_drawn_chains_have_the_same_gradient_in_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(3, 2, generator=generator, dtype=torch.float64)
    shares = [torch.tensor(value).double().softmax(0) for value in ALPHA]
    rounds = 4000
    total = [torch.zeros_like(one) for one in shares]
    squared = [torch.zeros_like(one) for one in shares]
    for _ in range(rounds):
        drawn = torch.stack(
            [torch.multinomial(one, 4, replacement=True, generator=generator) for one in shares], 1
        )
        one = drawn_gradient(drawn, losses[drawn[:, 0], drawn[:, 1]], shares)
        for task, value in enumerate(one):
            total[task] += value / rounds
            squared[task] += value.square() / rounds
    for mean, square, wanted in zip(total, squared, by_hand(losses, shares), strict=True):
        error = ((square - mean.square()) / rounds).sqrt()
        assert ((mean - wanted).abs() < 4.5 * error).all()


def test_too_many_chains_are_drawn() -> None:
    search, batch = expected(chains=5), events(0)
    gradients = search.gradient(batch)
    assert [len(one) for one in gradients] == [3, 2]
    state = search.generator.get_state()
    again = search.gradient(batch)
    search.generator.set_state(state)
    same = search.gradient(batch)
    assert all(torch.equal(a, b) for a, b in zip(again, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(again, gradients, strict=True))
    # watched is the most probable chain then
    loss = losses_by_hand(search, batch)[2, 0]
    torch.testing.assert_close(search.validate_batch(batch)["loss"], loss)


def test_what_is_watched_is_the_expected_loss() -> None:
    search, batch = expected(), events(0)
    first, second = (torch.tensor(value).double().softmax(0) for value in ALPHA)
    wanted = first @ losses_by_hand(search, batch) @ second
    torch.testing.assert_close(search.validate_batch(batch)["loss"], wanted)


def test_the_weights_learn_on_uniformly_drawn_chains() -> None:
    search, batch = expected(), events(0)
    search.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]
    seen: set[tuple[int, str]] = set()
    for _ in range(40):
        search.chain.zero_grad(set_to_none=True)
        search.descend(batch)
        moved = {
            (level, name)
            for level, names in enumerate(search.chain.names())
            for name in names
            if any(one.grad is not None for one in search.chain.candidate(level, name).parameters())
        }
        assert len(moved) == 2
        seen |= moved
    assert len(seen) == 5
    assert all(alpha.grad is None for alpha in search.alpha)


@pytest.mark.parametrize(("rate", "found"), [(None, ALPHA_RATE), (0.2, 0.2)])
def test_the_rate_of_alpha(rate: float | None, found: float) -> None:
    weights, alpha = expected(alpha_rate=rate).make_optimizers()
    assert alpha.param_groups[0]["lr"] == found
    assert weights.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("selection", ["argmax", "null"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_the_best_chain_of_the_toy(selection: str, seed: int, tmp_path: Path) -> None:
    words = ["problem=toy", "method=darts", "trainer=cpu"]
    words += [f"method.selection={selection}", f"seed={seed}", "logger=none"]
    result = run(compose_config([*words, f"output={tmp_path}"]), console=QUIET)
    assert list(result["selected"].values()) == ["plane", "logistic"]
    assert len(result["chains"]) == (10 if selection == "null" else 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": 2}, r"method\.order: 2 needs a mixture"),
        ({"selection": "perturbation"}, r"method\.selection: perturbation needs a mixture"),
        ({"chains": 1}, r"method\.chains: expected a number >= 2"),
    ],
)
def test_what_needs_a_mixture_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        msnas.DARTS(**options)


def test_a_figure_that_fails_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is there before it is drawn; drawn anew its checksum is in the result."""
    words = ["problem=toy", "method=darts", "trainer=cpu"]
    words += ["logger=none", "data.source.events=300", f"output={tmp_path}"]
    words += [f"recipe.{stage}.epochs=1" for stage in ("pretrain", "search", "posttrain")]

    def fails(*_: Any) -> None:
        assert list(tmp_path.rglob("result.json"))
        raise RuntimeError("no colours")

    with monkeypatch.context() as patch:
        where = "msnas.plots.figures.fig4_trajectories.save_trajectories"
        patch.setattr(where, fails)
        result = run(compose_config(words), console=QUIET)
    assert result["status"] == "finished"
    directory = next(tmp_path.rglob("result.json")).parent
    assert "no figure of the search (RuntimeError: no colours)" in (directory / "log").read_text()
    assert msnas.load(directory).chain == result["selected"]
    run(compose_config([*words, "force=true"]), console=QUIET)
    assert "alpha.png" in msnas.load(directory).result.files


@dataclass(frozen=True)
class Score:
    """Of a chain."""

    path: tuple[str, ...]
    ranked_by: float


class Table:
    """Scores chains by a table of random losses, and counts them."""

    def __init__(self, chain: Chain, seed: int) -> None:
        draw = random.Random(seed).random
        self.losses = {path: draw() for path in chain.paths()}
        self.asked: list[tuple[str, ...]] = []

    def rank(self, chain: Chain, paths: Sequence[tuple[str, ...]]) -> list[Score]:
        """The lowest first."""
        self.asked += paths
        found = [Score(path, self.losses[path]) for path in paths]
        return sorted(found, key=lambda score: score.ranked_by)


def test_where_chains_are_too_many_candidates_are_exchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = expected()  # 3 x 2 chains
    ends = set()
    for seed in range(30):
        table: Any = Table(search.chain, seed)
        all_ranked = search.select(table)
        assert all_ranked.path == min(table.losses, key=table.losses.__getitem__)
        assert len(all_ranked.scores) == 6
        with monkeypatch.context() as patch:
            patch.setattr("msnas.methods.alpha.MOST_RANKED", 5)
            table.asked.clear()
            choice = search.select(table)
        assert table.asked[0] == search.most_probable()
        assert len(table.asked) == len(set(table.asked))  # none twice
        assert [score.path for score in choice.scores] == sorted(
            table.asked, key=table.losses.__getitem__
        )
        near = [path for path in table.losses if sum(map(operator.ne, path, choice.path)) == 1]
        assert all(table.losses[path] > table.losses[choice.path] for path in near)
        ends.add(choice.path == all_ranked.path)
    assert ends == {True, False}  # it is no ranking of all


def test_the_commands_and_settings_of_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "darts.md").read_text()
    named = set(re.findall(r"^\| `method\.(\w+)` \|", text, flags=re.MULTILINE))
    assert named <= set(OmegaConf.load(CONF / "method" / "darts.yaml"))
    commands = re.findall(r"^python train.py (.*)$", text, flags=re.MULTILINE)
    assert len(commands) == 3
    small = [f"recipe.{stage}.epochs=1" for stage in ("pretrain", "search", "posttrain")]
    small += ["trainer=cpu", "logger=none", "data.source.events=300", f"output={tmp_path}"]
    for command in commands:
        result = run(compose_config([*command.split(), *small]), console=QUIET)
        assert (result["method"], result["status"]) == ("darts", "finished")
