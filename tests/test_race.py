"""Races: fewer trainings than grid search, the same answer, whatever interrupts them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUIET, ROOT, compose_config, epochs
from drawn import check_drawn
from same_numbers import tensor_bytes, without_volatile
from test_confidence import Bank

from msnas.confidence import anytime_confidence, how_sure
from msnas.errors import ConfigError
from msnas.methods.race import Race
from msnas.plots.figures import race as figure
from msnas.race import FIRST_SEEDS, RaceOverSeeds, Rules
from msnas.results.runs import collect
from msnas.run import run
from msnas.training.stage_module import StageModule


def raced(losses: np.ndarray, **rules: float) -> RaceOverSeeds:
    """A race in a bank of losses [chain, seed, event]."""
    chains, seeds = losses.shape[:2]
    race = RaceOverSeeds(chains=chains, seeds=seeds, rules=Rules(**rules))
    while race.round:
        race.take({one: losses[one] for of_round in race.rounds for one in of_round})
    return race


BANKS = {
    "far_apart": Bank(seeds=20, truth=0.4, events=200),
    "events_dominate": Bank(seeds=20, truth=0.05, tau=0.005, events=200),
    "as_htautau": Bank(seeds=20, truth=0.02, tau=0.004, omega=0.13, sigma=0.1, events=1000),
}


@pytest.mark.parametrize("bank", BANKS.values(), ids=BANKS)
def test_a_race_takes_what_grid_search_takes_or_ties(bank: Bank) -> None:
    """20 of the 200 banks of benchmarks/races.py; grid search trains 9 chains with 20 seeds."""
    generator = np.random.default_rng(3)
    tied, share = [], []
    for _ in range(20):
        _, losses = bank.draw(generator)
        race = raced(losses)
        assert race.sure is not None
        tied.append(how_sure(losses).chains[race.sure.order[0]].tied)
        share.append(race.trainings / (9 * 20))
    assert np.mean(tied) >= 0.95
    assert np.mean(share) <= 0.3


def test_what_a_race_is_sure_of_is_right() -> None:
    generator = np.random.default_rng(4)
    stated = []
    for _ in range(20):
        truth, losses = Bank(seeds=20, truth=0.3, tau=0.1, omega=0.2, events=100).draw(generator)
        race = raced(losses, regret=0.0)
        assert race.sure is not None
        assert race.over is not None
        if race.over.startswith("P(best)"):
            stated.append(race.sure.order[0] == truth.argmin())
    assert len(stated) >= 8
    assert np.mean(stated) >= 0.95


def test_a_race_by_its_rounds() -> None:
    """All chains twice; then pairs, each seed of a chain once and in order; the worst never."""
    truth = np.array([0.0, 0.01, 0.02, 1.0])
    noise = np.random.default_rng(0).normal(size=(4, 12, 100))
    losses = truth[:, None, None] + 0.05 * noise[:, :, :1] + 0.01 * noise
    race = raced(losses, regret=0.0)
    assert sorted(race.rounds[0]) == [(chain, seed) for chain in range(4) for seed in range(2)]
    trained = [one for of_round in race.rounds for one in of_round]
    assert len(trained) == len(set(trained)) == race.trainings
    for chain, count in enumerate(race.counts):
        seeds = [seed for one, seed in trained if one == chain]
        assert seeds == list(range(count))
    assert race.counts[3] == FIRST_SEEDS
    assert max(race.counts) > 5
    assert all(0 < len(of_round) <= 5 for of_round in race.rounds[1:])
    again = raced(losses, regret=0.0)
    assert (again.rounds, again.sure, again.over) == (race.rounds, race.sure, race.over)


def close(seeds: int = 30) -> np.ndarray:
    """Chains that only seeds can tell apart, after many of them."""
    noise = np.random.default_rng(0).normal(size=(3, seeds, 50))
    return np.array([0.0, 0.03, 0.06])[:, None, None] + 0.05 * noise[:, :, :1] + 0.001 * noise


ENDS: dict[str, tuple[np.ndarray, dict[str, float], str]] = {
    "sure": (close(), {"regret": 0.0}, r"P\(best\) is (1\.000|0\.9[5-9]\d)"),
    "good_enough": (close(), {"regret": 0.1}, r"the expected regret is 0\.0"),
    "budget": (close(), {"regret": 0.0, "budget": 9}, "the budget is spent"),
    "seeds": (close(3), {"regret": 0.0}, "all seeds are used"),
    "events": (
        np.array([0.0, 0.001])[:, None, None]
        + np.random.default_rng(1).normal(size=(2, 1, 60))
        + 1e-4 * np.random.default_rng(2).normal(size=(2, 9, 60)),
        {"regret": 0.0},
        "events dominate, more seeds would not decide it",
    ),
}


@pytest.mark.parametrize(("losses", "rules", "over"), ENDS.values(), ids=ENDS)
def test_why_a_race_ends(losses: np.ndarray, rules: dict[str, float], over: str) -> None:
    race = raced(losses, **rules)
    assert re.fullmatch(over + r"\d*", str(race.over)), race.over
    assert race.trainings <= rules.get("budget", np.inf)
    assert race.round == []


def test_events_do_not_end_a_race_that_a_look_at_the_end_would_decide() -> None:
    """The tie set is one chain, but P(best) is not enough yet for looks after every round."""
    noise = np.random.default_rng(4).normal(size=(2, 1, 100))
    noise -= noise.mean(2, keepdims=True)
    seeds = 0.6 * np.random.default_rng(2).normal(size=(2, 12, 1)) / 10
    losses = np.array([0.0, 0.3])[:, None, None] + noise + seeds
    sures, race = [], RaceOverSeeds(chains=2, seeds=12, rules=Rules(regret=0.0))
    while race.round:
        race.take({one: losses[one] for of_round in race.rounds for one in of_round})
        sures.append(race.sure)
    first = sures[0]
    assert first is not None
    assert (first.decided, first.dominates) == (True, "events")
    assert first.leader.best < anytime_confidence(first, 0.95)
    assert str(race.over).startswith("P(best) is 0.9")
    assert len(sures) > 1


def test_each_rule_changes_when_a_race_ends() -> None:
    usual = raced(close(), regret=0.0).trainings
    assert raced(close(), regret=0.0, confidence=0.7).trainings < usual
    assert raced(close(), regret=0.02).trainings < usual
    assert raced(close(), regret=0.0, budget=10).trainings <= 10 < usual


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "certain": ({"confidence": 1.0}, r"method\.confidence: expected above 0\.5, below 1, found 1"),
    "a_coin": ({"confidence": 0.5}, r"method\.confidence: expected above 0\.5"),
    "gain": ({"regret": -0.1}, r"method\.regret: expected >= 0, found -0\.1"),
    "poor": (
        {"budget": 17},
        r"method\.budget: 17 trainings are less than one round, 2 seeds of each of 9 chains "
        r"\(18\); allowed is 18 or more",
    ),
    "nothing": ({"budget": float("nan")}, r"method\.budget: expected a number > 0 or null"),
    "debts": ({"budget": -3}, r"method\.budget: expected a number > 0 or null, found -3"),
}


@pytest.mark.parametrize(("rules", "said"), BAD.values(), ids=BAD)
def test_rules_that_are_none(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RaceOverSeeds(chains=9, seeds=20, rules=Rules(**rules))


# a run: chains by epochs

TOY = [
    *("problem=toy", "trainer=cpu", "logger=none", "data.source.events=600", *epochs(2)),
    "recipe.posttrain.epochs=6",
]


def directory_of(record: dict[str, Any], output: Path) -> Path:
    return output / "toy" / record["method"] / str(record["key"])


def numbers(record: dict[str, Any], output: Path) -> dict[str, Any]:
    """Everything of a run that must not depend on interruptions or on what was in the cache."""
    directory = directory_of(record, output)
    lines = (directory / "history.jsonl").read_text().splitlines()
    return {
        "result": without_volatile(record),
        "history": [without_volatile(json.loads(line)) for line in lines],
        "model": tensor_bytes(directory / "model.ckpt"),
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    output = tmp_path_factory.mktemp("race") / "runs"
    return run(compose_config([*TOY, "method=race", f"output={output}"]), console=QUIET), output


def test_a_run_drops_the_worse_half_again_and_again(
    uninterrupted: tuple[dict[str, Any], Path],
) -> None:
    record, output = uninterrupted
    lengths = record["stages"]["search"]["epochs"]
    assert Counter(lengths.values()) == {2: 2, 4: 1, 6: 2}  # of nine chains, four at the start
    history = [
        json.loads(line)
        for line in (directory_of(record, output) / "history.jsonl").read_text().splitlines()
    ]

    def lowest(model: str, epochs: int) -> float:
        losses = [
            one["valid/loss"]
            for one in history
            if one["stage"] == "search" == one["stage"]
            and one["model"] == model
            and one["epoch"] < epochs
        ]
        assert len(losses) == epochs
        return min(losses)

    for until in (2, 4):
        kept = [lowest(model, until) for model, count in lengths.items() if count > until]
        dropped = [lowest(model, until) for model, count in lengths.items() if count == until]
        assert max(kept) <= min(dropped)
    finalists = [model for model, count in lengths.items() if count == 6]
    chosen = " -> ".join(record["selected"].values())
    assert chosen in finalists
    ranked = {
        " -> ".join(one["selected"].values()): one["valid"]["loss"]
        for one in record["chains"]
        if one["stage"] == "search"
    }
    assert ranked.keys() == set(finalists)
    assert min(ranked, key=ranked.__getitem__) == chosen
    assert len(record["choice"]["chains"]) == 2


def test_trainings_are_those_of_grid_search(
    uninterrupted: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """It goes on with what a race left, to the same numbers; and a race takes what it left."""
    record, race_output = uninterrupted
    words = [*TOY, "method=grid_search"]
    grid = run(compose_config([*words, f"output={tmp_path}"]), console=QUIET)
    after = run(compose_config([*words, f"output={race_output}"]), console=QUIET)
    assert numbers(after, race_output) == numbers(grid, tmp_path)
    epochs_of = record["stages"]["search"]["epochs"]
    finalists = {one for one, count in epochs_of.items() if count == 6}
    assert set(after["stages"]["search"]["cached"]) == finalists
    race = run(compose_config([*TOY, "method=race", f"output={tmp_path}"]), console=QUIET)
    assert set(race["stages"]["search"]["cached"]) == epochs_of.keys()
    assert numbers(race, tmp_path) == numbers(record, race_output)


@pytest.mark.parametrize("epoch", [1, 6, 9, 15, 20])
def test_a_run_killed_anywhere_loses_and_changes_nothing(
    uninterrupted: tuple[dict[str, Any], Path],
    epoch: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the beginning of an epoch of the race: the first, in the first round, ..., the last."""
    record, output = uninterrupted
    begun: list[tuple[int, int]] = []
    begin = StageModule._begin_epoch

    def dies(self: StageModule) -> None:
        if type(self).__name__ == "Posttraining":
            begun.append((self.seed, self.current_epoch))
            if len(begun) == epoch:
                raise KeyboardInterrupt
        begin(self)

    monkeypatch.setattr(StageModule, "_begin_epoch", dies)
    words = compose_config([*TOY, "method=race", f"output={tmp_path}"])
    with pytest.raises(KeyboardInterrupt):
        run(words, console=QUIET)
    again = run(words, console=QUIET)
    assert numbers(again, tmp_path) == numbers(record, output)
    trained = sum(record["stages"]["search"]["epochs"].values())
    assert len(begun) == trained + 1  # the epoch in which it was killed
    assert len(set(begun)) == trained


def test_a_budget_keeps_fewer_chains(
    uninterrupted: tuple[dict[str, Any], Path],
) -> None:
    record, output = uninterrupted

    def lengths(*more: str) -> list[int]:
        words = [*TOY, "method=race", f"output={output}", *more]
        found = run(compose_config(words), console=QUIET)["stages"]["search"]["epochs"]
        return sorted(found.values())

    assert sorted(record["stages"]["search"]["epochs"].values()) == [2, 2, 4, 6, 6]
    # of 6 epochs each: 10 epochs of five chains, then what trains two and one to their end
    assert lengths("method.budget=3.1") == [2, 2, 2, 6, 6]
    assert lengths("method.budget=2.9") == [2, 2, 2, 2, 6]
    with pytest.raises(ConfigError, match=r"2 trainings are less than one round, 2 epochs of 5"):
        lengths("method.budget=2")
    with pytest.raises(ConfigError, match=r"method\.confidence: expected above 0\.5"):
        lengths("method.confidence=0.4")
    told = run(
        compose_config([*TOY, "method=race", f"output={output}", "method.confidence=0.8"]),
        console=QUIET,
    )
    assert told["choice"]["confidence"] == 0.8


def test_the_documentation_does_what_it_says(
    uninterrupted: tuple[dict[str, Any], Path],
) -> None:
    text = (ROOT / "docs/choice.md").read_text()
    (command,) = re.findall(r"^python (train.py .*method=race.*)$", text, flags=re.MULTILINE)
    _, output = uninterrupted
    record = run(compose_config([*TOY, *command.split()[1:], f"output={output}"]), console=QUIET)
    assert record["method"] == "race"
    for name in vars(Race()):
        assert f"| `{name}` |" in text
    chart = figure.chart(collect([directory_of(record, output)]))
    check_drawn(chart, [record["key"]])
    (panel,) = chart.panels
    assert panel.y.label == "epochs"
    assert Counter(chart.frame["y"]) == {0: 4, 2: 2, 4: 1, 6: 2}
