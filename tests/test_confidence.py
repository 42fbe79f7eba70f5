"""How sure a choice is: hand numbers, a second implementation, and banks whose truth is known."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from msnas.confidence import (
    Sureness,
    anytime_confidence,
    check_confidence,
    how_sure,
    sequence_width,
)
from msnas.errors import ConfigError, DataError

sys.path[:0] = [str(ROOT / "benchmarks")]
from sureness import BANKS, Bank, judged  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("bank", BANKS.values(), ids=BANKS)
def test_what_is_said_of_banks_of_known_truth_is_right(bank: Bank) -> None:
    kept = judged(bank.draw, 1000)
    sys.stdout.write(f"\n{bank}\n{kept}\n")
    assert 0.92 <= kept.covered <= 0.99
    assert kept.tie_set >= 0.94
    if kept.stated >= 20:
        error = math.sqrt(kept.expected * (1 - kept.expected) / kept.stated)
        assert kept.right >= kept.expected - 3 * error


def test_what_is_said_of_a_bank_of_known_truth_is_right() -> None:
    kept = judged(Bank(events=200).draw, 150)
    assert kept.stated >= 15
    assert kept.right >= 0.93
    assert 0.92 <= kept.covered <= 0.98
    assert kept.tie_set >= 0.94


def test_what_is_said_of_chains_with_unequal_seeds_is_right() -> None:
    """As a race leaves them, here without regard to what the losses were."""
    trained = np.arange(6) < np.array([[6], [5], [4], [2], [2], [2], [2], [2], [2]])
    kept = judged(Bank(events=200, seeds=6).draw, 100, trained)
    assert kept.stated >= 10
    assert kept.right >= 0.93
    assert 0.92 <= kept.covered <= 0.98
    assert kept.tie_set >= 0.94


def test_what_is_said_of_chains_that_share_candidates_is_right() -> None:
    """Chains with one bad candidate share its errors: far behind is not told as near."""
    kept = judged(Bank(chains=16, related=8.0, truth=0.01, omega=0.1, events=200).draw, 60)
    assert 0.91 <= kept.covered <= 0.985
    assert kept.tie_set >= 0.94


def test_chains_with_unequal_seeds_by_hand() -> None:
    """What two chains have in a third seed tells of their difference, and of no other."""
    _, losses = Bank(chains=3, seeds=3, events=50, tau=0.3).draw(np.random.default_rng(5))
    losses[2] += 3.0
    trained = np.array([[True, True, True], [True, True, True], [True, True, False]])
    spoilt = losses.copy()
    spoilt[2, 2] = np.nan
    sure = how_sure(spoilt, trained=trained)
    one, other, last = (chain.loss for chain in sure.chains)
    assert one - other == pytest.approx((losses[0] - losses[1]).mean())
    both = losses[:2].mean(0)
    assert last - (one + other) / 2 == pytest.approx((losses[2, :2] - both[:2]).mean())
    # of eight trainings three chains and three seeds leave three numbers over
    apart = (losses[0] - losses[1]).mean(1)
    rest = np.square(apart - apart.mean()).sum() / 2
    behind = (losses[2, :2] - both[:2]).mean(1)
    rest += np.square(behind - behind.mean()).sum() / 1.5
    twice = losses[2, :2] - both[:2]
    by_event = [
        np.square(value - value.mean(1, keepdims=True) - value.mean(0) + value.mean()).sum() / over
        for value, over in ((losses[0] - losses[1], 2), (twice, 1.5))
    ]
    tau2 = rest / 3 - sum(by_event) / (3 * 49) / 50
    leader, rival = sure.order[:2]
    assert {leader, rival} == {0, 1}
    assert tau2 > 0
    assert sure.seed_error == pytest.approx(math.sqrt(2 * tau2 / 3))
    assert how_sure(losses) == how_sure(losses, trained=np.ones((3, 3), bool))


def test_chains_that_share_no_seed_are_not_compared() -> None:
    with pytest.raises(DataError, match="chains that share no seed"):
        how_sure(np.ones((2, 2, 10)), trained=np.eye(2, dtype=bool))
    _, losses = Bank(chains=2, seeds=2).draw(np.random.default_rng(0))
    with pytest.raises(ConfigError, match="over: both needs two seeds, found 2"):
        how_sure(losses, trained=np.array([[True, True], [True, False]]), over="both")


def test_a_lead_that_is_looked_at_again_and_again_is_seldom_wrong() -> None:
    """Of two chains that are the same, after every seed up to 40: a fixed interval errs often."""
    generator = np.random.default_rng(0)
    wrong = dict.fromkeys((False, True), 0)
    for _ in range(300):
        means = generator.normal(size=40).cumsum() / np.arange(1, 41)
        errors = 1 / np.sqrt(np.arange(1, 41))
        widths = np.array([sequence_width(seeds, 0.95) for seeds in range(1, 41)])
        for anytime, width in ((False, stats.norm.ppf(0.95)), (True, widths)):
            wrong[anytime] += bool((means > width * errors).any())
    assert wrong[False] > 0.15 * 300
    assert wrong[True] <= 0.05 * 300


def test_what_p_best_must_reach_where_one_looks_often() -> None:
    """As far as seeds leave it open; with the mean of their variance, not its likeliest value."""
    _, losses = Bank(chains=2, seeds=4, tau=0.3, omega=0.0).draw(np.random.default_rng(0))
    once, often = how_sure(losses), how_sure(losses, anytime=True)
    assert once.seed_error is not None
    assert often.seed_error is not None
    assert often.seed_error > once.seed_error > 0
    assert (often.chains, often.event_error) == (once.chains, once.event_error)
    by_seeds = replace(once, event_error=0.0)
    assert anytime_confidence(by_seeds, 0.95) == pytest.approx(
        stats.norm.cdf(sequence_width(4, 0.95))
    )
    assert anytime_confidence(replace(once, seed_error=0.0), 0.95) == pytest.approx(0.95)
    between = [anytime_confidence(once, level) for level in (0.6, 0.8, 0.95, 0.99)]
    assert between == sorted(between)
    assert 0.95 < between[2] < anytime_confidence(by_seeds, 0.95)


def test_chains_alike_are_not_told_apart() -> None:
    """Where the truth is the same, the best of nine samples is no winner."""
    kept = judged(Bank(truth=0.0, events=200).draw, 100)
    assert kept.stated <= 1
    assert kept.tied > 7


def paired(difference: float, error: float, events: int = 1000) -> np.ndarray:
    """Losses of two chains and one seed: mean difference and its error are exactly these."""
    noise = np.random.default_rng(0).standard_normal(events)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * error * math.sqrt(events)
    return np.stack([np.zeros(events), difference + noise])[:, None]


def test_two_chains_and_one_seed_by_hand() -> None:
    """One difference of 0.02 with the error 0.01, by integration over the spread of the truth.

    Flat in mu the probability were that of 2 standard errors, .977.
    """
    sure = how_sure(paired(0.02, 0.01))
    z = np.geomspace(1 / 30, 30 * 2, 48)  # the spread in errors, as it is weighed
    weight = z * stats.norm.pdf(2.0, scale=np.sqrt(1 + z**2))
    shrink = z**2 / (1 + z**2)
    by_hand = float((weight * stats.norm.cdf(2.0 * np.sqrt(shrink))).sum() / weight.sum())
    assert sure.chains[0].best == pytest.approx(by_hand, abs=0.01)
    assert 0.9 < sure.chains[0].best < 0.977
    assert sure.event_error == pytest.approx(0.01)
    assert (sure.seed_error, sure.enough_seeds) == (None, None)
    assert sure.leader.loss == pytest.approx(0.0)


def test_a_hopeless_chain_tells_nothing_of_the_others() -> None:
    """What is said of two chains is said beside a third one far behind, and of its regret."""
    pair = how_sure(paired(0.02, 0.01))
    noise = 0.3 * np.random.default_rng(1).standard_normal((1, 1, 1000))
    for behind in (0.2, 3.0):
        sure = how_sure(np.concatenate([paired(0.02, 0.01), behind + noise - noise.mean()]))
        assert [one.best for one in sure.chains[:2]] == pytest.approx(
            [one.best for one in pair.chains], abs=0.015
        )
        assert sure.chains[2].best == 0.0
        assert sure.chains[2].regret == pytest.approx(behind, abs=0.005)
        assert sure.chains[2].high - sure.chains[2].low == pytest.approx(0.044, abs=0.015)
    # one that may still be the best tells how far apart chains are
    sure = how_sure(np.concatenate([paired(0.02, 0.01), 0.045 + noise - noise.mean()]))
    assert sure.chains[0].best > pair.chains[0].best + 0.005


def test_components_of_the_variance_by_their_definition() -> None:
    """Against a two-way analysis of variance written out in loops."""
    bank = Bank(chains=3, seeds=4, events=50)
    _, losses = bank.draw(np.random.default_rng(5))
    sure = how_sure(losses)
    seeds, events = 4, 50
    means = [[losses[j, s].mean() for s in range(seeds)] for j in range(3)]
    grand = np.mean(means)
    within = 0.0
    for j in range(3):
        for s in range(seeds):
            of_seed = np.mean([means[k][s] for k in range(3)])
            within += (means[j][s] - np.mean(means[j]) - of_seed + grand) ** 2
    observed = within / (2 * 3)
    noise = 0.0
    for j in range(3):
        for s in range(seeds):
            for i in range(events):
                apart = losses[j, s, i] - losses[:, s, i].mean()
                event = np.mean([losses[j, z, i] - losses[:, z, i].mean() for z in range(seeds)])
                seed = np.mean(losses[j, s] - losses[:, s].mean(0))
                chain = np.mean(losses[j] - losses.mean(0))
                noise += (apart - event - seed + chain) ** 2
    tau2 = max(observed - noise / (2 * 3 * (events - 1)) / events, 0.0)
    assert sure.seed_error == pytest.approx(math.sqrt(2 * tau2 / seeds), rel=1e-9)
    leader, rival = sure.order[:2]
    difference = losses[leader].mean(0) - losses[rival].mean(0)
    assert sure.event_error == pytest.approx(difference.std(ddof=1) / math.sqrt(events), rel=1e-9)


def test_the_order_of_chains_and_what_they_share_change_nothing() -> None:
    _, losses = Bank(seeds=3).draw(np.random.default_rng(2))
    sure, again = how_sure(losses), how_sure(losses)
    assert sure == again
    shared = np.random.default_rng(3).normal(size=(1, *losses.shape[1:]))
    turned = how_sure((losses + 10 * shared)[::-1])
    for one, other in zip(sure.chains, turned.chains[::-1], strict=True):
        assert other.best == pytest.approx(one.best, abs=0.02)
        assert other.regret == pytest.approx(one.regret, abs=0.004)
    assert turned.seed_error == pytest.approx(sure.seed_error)


def test_the_tie_set_is_the_smallest_that_holds_the_best() -> None:
    sure = how_sure(Bank(seeds=2).draw(np.random.default_rng(4))[1])
    best = [sure.chains[one].best for one in sure.order]
    assert sum(best) == pytest.approx(1)
    assert best == sorted(best, reverse=True)
    assert sum(best[: sure.tied]) >= 0.95 > sum(best[: sure.tied - 1])
    assert [sure.chains[one].tied for one in sure.order] == [
        place < sure.tied for place in range(len(best))
    ]
    wider = how_sure(Bank(seeds=2).draw(np.random.default_rng(4))[1], confidence=0.999)
    assert wider.tied >= sure.tied


def test_chains_that_are_the_same_share_the_probability() -> None:
    _, losses = Bank(chains=2, seeds=1).draw(np.random.default_rng(0))
    sure = how_sure(np.concatenate([losses[:1], losses[:1], losses[:1] + 5.0]))
    assert [one.best for one in sure.chains] == pytest.approx([0.5, 0.5, 0.0], abs=0.02)
    same = how_sure(np.ones((4, 3, 10)))
    assert [one.best for one in same.chains] == [0.25] * 4
    assert not same.decided
    assert [one.regret for one in same.chains] == [0.0] * 4


def test_as_many_seeds_or_events_as_it_says_would_decide() -> None:
    """Losses drawn anew around the same means, in the number that was called enough."""

    def scaled(bank: Bank, seeds: int, events: int) -> Sureness:
        generator = np.random.default_rng(7)
        truth = np.array([0.0, 0.05, 0.3])
        found = []
        for _ in range(20):
            _, losses = Bank(**{**vars(bank), "seeds": seeds, "events": events}).draw(generator)
            losses += (truth - losses.mean((1, 2)))[:, None, None]
            found.append(how_sure(losses))
        return found[int(np.argsort([one.leader.best for one in found])[10])]

    few = Bank(chains=3, seeds=3, events=2000, tau=0.06, omega=0.1, sigma=0.1, truth=0.0)
    sure = scaled(few, 3, 2000)
    assert (sure.decided, sure.dominates) == (False, "seeds")
    assert sure.enough_seeds is not None
    assert 4 <= sure.enough_seeds <= 40
    more = scaled(few, 2 * sure.enough_seeds, 2000)
    assert more.decided
    assert not scaled(few, max(2, sure.enough_seeds // 4), 2000).decided
    assert sure.enough_events is None
    assert "Seeds dominate" in " ".join(sure.words())
    by_events = Bank(chains=3, seeds=4, events=300, tau=0.0, omega=0.6, sigma=0.1, truth=0.0)
    sure = scaled(by_events, 4, 300)
    assert (sure.decided, sure.dominates) == (False, "events")
    assert sure.enough_seeds is None
    assert sure.enough_events is not None
    assert scaled(by_events, 4, 2 * sure.enough_events).decided
    assert "More seeds alone cannot decide this." in sure.words()


def test_one_seed_is_said_to_be_one() -> None:
    sure = how_sure(paired(1.0, 0.01))
    assert sure.decided
    assert sure.words()[-1] == (
        "Events alone are counted: how much another seed would change is not known."
    )
    _, losses = Bank(tau=0.5).draw(np.random.default_rng(0))
    alone = how_sure(losses, over="events")
    assert alone.seed_error is None
    assert alone.leader.best > how_sure(losses).leader.best
    assert "not what other seeds would change" in alone.words()[-1]


@pytest.mark.parametrize("value", [0.5, 1.0, 0.0, 95.0, math.nan])
def test_a_confidence_that_is_none(value: float) -> None:
    with pytest.raises(ConfigError, match=r"confidence: expected above 0\.5, below 1, found"):
        how_sure(paired(1.0, 0.1), confidence=value)
    with pytest.raises(ConfigError, match=r"a\.b: expected above 0\.5"):
        check_confidence(value, key="a.b")


def test_an_interval_over_seeds_needs_two() -> None:
    with pytest.raises(ConfigError, match=r"over: both needs two seeds, found 1; allowed is event"):
        how_sure(paired(1.0, 0.1), over="both")


@pytest.mark.parametrize(
    "losses",
    [np.zeros((1, 2, 5)), np.zeros((3, 2, 1)), np.zeros((3, 0, 5)), np.zeros((3, 5))],
    ids=["one_chain", "one_event", "no_seed", "no_events"],
)
def test_losses_of_too_little(losses: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"losses: found \[.*expected \[chain, seed, event\]"):
        how_sure(losses)


def test_losses_that_are_not_finite() -> None:
    losses = np.zeros((2, 1, 5))
    losses[1, 0, 2] = np.inf
    with pytest.raises(DataError, match="losses: found NaN or infinity"):
        how_sure(losses)
