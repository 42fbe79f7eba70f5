"""DARTS: its gradients against autograd, its loss by hand, its selection against brute force."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import CONF, QUIET, compose_config
from made_chain import WEIGHTS, Constant, Times, events, loss_of, regression, task_of, two_tasks
from omegaconf import OmegaConf
from torch import Tensor
from torch.func import functional_call

from msnas.candidates.dummies import Noise
from msnas.chain.chain import Chain
from msnas.chain.output import TauMomentum
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.losses.squared_error import SquaredError
from msnas.methods.darts import DARTS, DARTSSearch
from msnas.methods.perturbation import perturbation_path
from msnas.run import run
from msnas.weighting.fixed import Fixed

RATE = 0.1


def darts(chain: Chain, *, weights: Sequence[float] = WEIGHTS, **options: Any) -> DARTSSearch:
    """The search, ready to learn without a trainer: plain backward and optimiser steps."""
    method = DARTS(**{"relaxation": "softmax", **options}).search(
        chain=chain,
        weighting=Fixed().prepare(weights),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=RATE),
        seed=5,
    )
    method.alpha.double()
    method.generator.manual_seed(11)
    optimizers = method.make_optimizers()
    method.optimizers = lambda: optimizers
    method.weight_optimizer = lambda: optimizers[0]
    method.manual_backward = lambda loss: loss.backward()
    return method


def at_epoch(method: DARTSSearch, epoch: int, *, epochs: int) -> None:
    method._trainer = SimpleNamespace(current_epoch=epoch, max_epochs=epochs)


def with_alpha(method: DARTSSearch, values: Sequence[Sequence[float]]) -> DARTSSearch:
    for alpha, value in zip(method.alpha, values, strict=True):
        alpha.data.copy_(torch.tensor(value))
    return method


def with_noise(seed: int = 0, *, noise: bool) -> Chain:
    """The third of the first task's candidates draws random numbers."""
    return two_tasks(seed=seed, **({"c": Noise(shape=[2])} if noise else {}))


ALPHA = ([0.3, -0.2, 0.5], [0.4, -0.1])

# ------------------------------------------------------------------ gradients by autograd

Parameters = dict[tuple[int, str], dict[str, Tensor]]


def parameters_of(chain: Chain) -> Parameters:
    return {
        (level, name): dict(chain.candidate(level, name).named_parameters())
        for level, names in enumerate(chain.names())
        for name in names
    }


def loss_by_hand(
    chain: Chain, parameters: Parameters, alpha: Sequence[Tensor], batch: Batch, epsilon: float
) -> Tensor:
    """The super-network's loss of `two_tasks`, written out, with any weights."""
    total = torch.zeros((), dtype=torch.float64)
    handed = {"x": batch["x"]}
    for level, names in enumerate(chain.names()):
        outputs = [
            functional_call(chain.candidate(level, name), parameters[level, name], (handed,))
            for name in names
        ]
        share = alpha[level].exp() / alpha[level].exp().sum()
        mixture = sum(one * output for one, output in zip(share, outputs, strict=True))
        for weight, output in [(1.0, mixture), *((epsilon, output) for output in outputs)]:
            total = total + WEIGHTS[level] * weight * loss_of(level, output, batch)
        handed = {"z": mixture}
    return total


def unrolled_by_autograd(
    method: DARTSSearch, train: Batch, valid: Batch, *, xi: float, draws: int, valid_draws: int
) -> tuple[Tensor, Tensor]:
    """d/dalpha L_valid(w - xi dL_train/dw, alpha) through the step, and its first term alone."""
    chain, alpha = method.chain, list(method.alpha)
    start = parameters_of(chain)
    torch.manual_seed(draws)
    loss = loss_by_hand(chain, start, alpha, train, method.options.epsilon)
    flat = [value for own in start.values() for value in own.values()]
    slopes = iter(torch.autograd.grad(loss, flat, create_graph=True))
    ahead = {
        key: {name: value - xi * next(slopes) for name, value in own.items()}
        for key, own in start.items()
    }
    fixed = {
        key: {name: value.detach() for name, value in own.items()} for key, own in ahead.items()
    }
    gradients = []
    for weights in (ahead, fixed):
        torch.manual_seed(valid_draws)
        loss = loss_by_hand(chain, weights, alpha, valid, method.options.epsilon)
        gradients.append(torch.cat(torch.autograd.grad(loss, alpha)))
    return gradients[0], gradients[1]


def next_draws(method: DARTSSearch) -> int:
    """The seed of the draws that the method will make next."""
    generator = torch.Generator()
    generator.set_state(method.generator.get_state())
    return int(torch.randint(2**62, (), generator=generator))


XI = 0.1
VALID_DRAWS = 7


def second_order(seed: int, *, noise: bool, forget: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Found, exact, and the exact first term alone; `forget` draws afresh on every side."""
    method = with_alpha(darts(with_noise(seed, noise=noise), order=2), ALPHA)
    train, valid = events(seed), events(seed + 100)
    exact, direct = unrolled_by_autograd(
        method, train, valid, xi=XI, draws=next_draws(method), valid_draws=VALID_DRAWS
    )
    if forget:
        kept = method._gradient
        method._gradient = lambda batch, of, draws=None: kept(batch, of)
    torch.manual_seed(VALID_DRAWS)
    if forget:  # the step ahead draws once before the validation batch does
        torch.manual_seed(VALID_DRAWS + 1)
    return torch.cat(method.unrolled_gradient(train, valid, xi=XI)), exact, direct


@pytest.mark.parametrize("noise", [False, True], ids=["", "with noise"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_second_order_is_the_gradient_through_the_step(seed: int, noise: bool) -> None:
    found, exact, direct = second_order(seed, noise=noise)
    assert float((found - exact).norm() / exact.norm()) < 1e-3
    # also the second term by itself, and the first alone is several times further off
    assert float((found - exact).norm() / (exact - direct).norm()) < 1e-2
    assert float((direct - exact).norm() / exact.norm()) > (3e-3 if noise else 0.02)


def test_the_first_order_is_far_from_the_second() -> None:
    method = with_alpha(darts(two_tasks()), ALPHA)
    _, exact, _ = second_order(0, noise=False)
    first_order = torch.cat(method._gradient(events(100), list(method.alpha)))
    by_hand = torch.autograd.grad(
        loss_by_hand(method.chain, parameters_of(method.chain), list(method.alpha), events(100), 1),
        list(method.alpha),
    )
    assert torch.allclose(first_order, torch.cat(by_hand), rtol=1e-10, atol=1e-12)
    assert float((first_order - exact).norm() / exact.norm()) > 0.02


def test_fresh_draws_on_both_sides_would_ruin_the_second_order() -> None:
    """Divided by the tiny step, the difference of two draws is many times the term."""
    found, exact, direct = second_order(0, noise=True, forget=True)
    assert float((found - exact).norm()) > 3 * float((exact - direct).norm())


@pytest.mark.parametrize("noise", [False, True])
def test_the_weights_are_restored_to_the_last_bit(noise: bool) -> None:
    """A backup that is an alias of the weights would leave them moved."""
    method = with_alpha(darts(with_noise(noise=noise), order=2), ALPHA)
    before = copy.deepcopy(method.state_dict())
    moves: list[bool] = []
    kept = method._gradient

    def spied(*arguments: Any, **options: Any) -> list[Tensor]:
        now = method.state_dict()
        moves.append(any(not torch.equal(now[name], one) for name, one in before.items()))
        return kept(*arguments, **options)

    method._gradient = spied
    method.unrolled_gradient(events(1), events(2), xi=XI)
    assert moves == [False, True, True, True]  # at w, one step ahead, on both sides of w
    after = method.state_dict()
    assert all(torch.equal(after[name], one) for name, one in before.items())


def test_a_validation_loss_at_its_minimum_leaves_the_first_term_alone() -> None:
    """A gradient of 0 has no direction to differ in."""
    one = regression("one", "x", "y")
    method = darts(
        Chain([one], {"one": {"a": Times(1.0), "b": Times(3.0)}}).double(), weights=[1.0], order=2
    )
    train = {"x": torch.ones(4).double(), "y": torch.zeros(4).double()}
    valid = {"x": torch.zeros(4).double(), "y": torch.ones(4).double()}
    (gradient,) = method.unrolled_gradient(train, valid, xi=XI)
    assert gradient.tolist() == [0, 0]
    assert [float(one.detach()) for one in method.chain.parameters()] == [1.0, 3.0]


def test_xi_null_is_the_learning_rate_of_the_weights() -> None:
    used = []
    for xi in (None, 0.03):
        method = darts(two_tasks(), order=2, xi=xi, alpha_rate=0.5)
        method.unrolled_gradient = lambda train, valid, xi: (
            used.append(xi) or [torch.zeros_like(one) for one in method.alpha]  # noqa: B023
        )
        method.learn_from_validation(events(1), events(2))
    assert used == [RATE, 0.03]


# ------------------------------------------------------------------ who learns from what


def poisoned(batch: Batch) -> Batch:
    return {
        name: torch.full_like(value, math.nan) if value.is_floating_point() else value
        for name, value in batch.items()
    }


def test_alpha_learns_from_validation_and_weights_from_training_batches_alone() -> None:
    method = darts(two_tasks())
    weights = copy.deepcopy(method.chain.state_dict())
    train, valid = events(1), events(2)
    method.learn_from_validation(poisoned(train), valid)
    alpha = [one.detach().clone() for one in method.alpha]
    assert all(bool(one.isfinite().all()) and bool((one != 0).all()) for one in alpha)
    assert all(torch.equal(one, weights[name]) for name, one in method.chain.state_dict().items())
    assert all(one.grad is None for one in method.chain.parameters())

    for one in method.alpha:
        one.grad = None
    method.descend(train)
    assert all(one.grad is None for one in method.alpha)
    exact = loss_by_hand(method.chain, parameters_of(method.chain), alpha, train, epsilon=1.0)
    expected = torch.autograd.grad(exact, list(method.chain.parameters()))
    for parameter, gradient in zip(method.chain.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, rtol=1e-9, atol=1e-12)

    # the poison works: the second order does look at the training batch
    other = darts(two_tasks(), order=2)
    other.learn_from_validation(poisoned(train), valid)
    assert all(bool(one.isnan().all()) for one in other.alpha)


def test_alpha_goes_first_and_both_once_per_step() -> None:
    """Two steps of a block equal the same written out with two Adams."""
    method, twin = darts(two_tasks()), darts(two_tasks())
    block = [(events(seed), events(seed + 50)) for seed in (1, 2)]
    method.training_step(block, 0)
    chain, alpha = twin.chain, list(twin.alpha)
    of_weights = torch.optim.Adam(chain.parameters(), lr=RATE)
    of_alpha = torch.optim.Adam(alpha, lr=RATE)
    for train, valid in block:
        for optimizer, batch in ((of_alpha, valid), (of_weights, train)):
            optimizer.zero_grad()
            loss_by_hand(chain, parameters_of(chain), alpha, batch, 1.0).backward()
            optimizer.step()
    for one, other in zip(method.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-7, atol=1e-9)


def test_alpha_starts_at_0_and_all_candidates_are_equal() -> None:
    method = darts(two_tasks())
    assert [alpha.tolist() for alpha in method.alpha] == [[0, 0, 0], [0, 0]]
    for of_task in method.probabilities().values():
        assert list(of_task.values()) == pytest.approx([1 / len(of_task)] * len(of_task))
    with_alpha(method, ALPHA)
    own = method.probabilities()["regress"]
    total = sum(math.exp(one) for one in ALPHA[0])
    assert own == pytest.approx(
        {name: math.exp(one) / total for name, one in zip("abc", ALPHA[0], strict=True)}
    )
    assert method.epoch_record()["alpha"]["classify"] == pytest.approx({"a": 0.4, "b": -0.1})


# ------------------------------------------------------------------ the loss by hand


def constants() -> Chain:
    """y: 1 or 3; then z: y or 2 y."""
    second = {"a": Times(1.0), "b": Times(2.0)}
    return Chain(
        [regression("first", "x", "y"), regression("second", "y", "z")],
        {"first": {"a": Constant(1.0), "b": Constant(3.0)}, "second": second},
    )


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 0.25])
def test_the_loss_by_pencil(epsilon: float) -> None:
    """Shares (1/4, 3/4) and (1/2, 1/2); truths 0 and 1; task weights 0.3 and 0.7.

    Task 1: mixture 5/2, so 25/4, and the candidates 1 + 9. Task 2 reads 5/2, not 1 or 3: mixture
    15/4, so (11/4)^2, and the candidates (3/2)^2 + 4^2.
    """
    method = darts(constants(), epsilon=epsilon)
    batch = {"x": torch.zeros(3), "y": torch.zeros(3), "z": torch.ones(3)}
    shares = [torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.5])]
    loss = method.supernet_loss(batch, shares)
    expected = 0.3 * (25 / 4 + epsilon * 10) + 0.7 * (121 / 16 + epsilon * (9 / 4 + 16))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    # early stopping watches the mixture alone
    with_alpha(method, ([0.0, math.log(3)], [0.0, 0.0]))
    watched = method.validate_batch(batch)
    assert float(watched["loss"].detach()) == pytest.approx(0.3 * 25 / 4 + 0.7 * 121 / 16, rel=1e-6)
    assert float(watched["first"].detach()) == pytest.approx(25 / 4, rel=1e-6)
    assert float(watched["second"].detach()) == pytest.approx(121 / 16, rel=1e-6)


def test_angles_are_mixed_before_they_are_wrapped() -> None:
    """3.0 and 3.5 (that is 3.5 - 2 pi) have 3.25 between them, not 0.1 on the other side."""
    tau = task_of("tau", "x", "tau", TauMomentum(shape=[1, 3]), SquaredError())
    raw = {"a": Constant([[1.0, 0.5, 3.0]]), "b": Constant([[2.0, 0.5, 3.5]])}
    method = darts(Chain([tau], {"tau": raw}).double(), weights=[1.0], epsilon=0.0)
    wanted = torch.tensor([[[1.5, 0.5, 3.25 - 2 * math.pi]]], dtype=torch.float64)
    batch = {"x": torch.zeros(1, 1).double(), "tau": wanted}
    assert float(method.supernet_loss(batch, method.shares()).detach()) < 1e-12
    assert float(method.validate_batch(batch)["loss"].detach()) < 1e-12
    (mixture,), ((_, second),) = method.chain.mix(batch, method.shares())
    assert float(mixture[0, 0, 2].detach()) == pytest.approx(3.25 - 2 * math.pi)
    assert float(second[0, 0, 2].detach()) == pytest.approx(3.5 - 2 * math.pi)


# ------------------------------------------------------------------ Gumbel-softmax


def drawn(
    method: DARTSSearch, epoch: int, *, epochs: int = 20, count: int = 200
) -> list[list[Tensor]]:
    at_epoch(method, epoch, epochs=epochs)
    return [[share.detach() for share in method._drawn_shares()] for _ in range(count)]


def test_gumbel_shares_sharpen_and_are_seeded() -> None:
    method = with_alpha(darts(two_tasks(), relaxation="gumbel"), ALPHA)
    early, late = drawn(method, 0), drawn(method, 19)
    for shares in (early, late):
        for of_task in zip(*shares, strict=True):
            together = torch.stack(list(of_task))
            assert torch.allclose(together.sum(1), torch.ones(()).double())
            assert bool((together > 0).all()) or shares is late
    largest = [
        float(torch.stack([shares[0].max() for shares in some]).mean()) for some in (early, late)
    ]
    assert largest[0] < 0.75
    assert largest[1] > 0.9
    # the most frequent winner is softmax(alpha)'s, with its frequency (Gumbel-max)
    wins = torch.stack([shares[1].argmax() for shares in drawn(method, 5, count=2000)])
    expected = float(torch.tensor(ALPHA[1]).softmax(0)[0])
    assert abs(float((wins == 0).double().mean()) - expected) < 5 * math.sqrt(0.25 / 2000)

    method.generator.manual_seed(3)
    first = drawn(method, 4, count=5)
    torch.manual_seed(1234)  # the global generator has no part in it
    method.generator.manual_seed(3)
    second = drawn(method, 4, count=5)
    method.generator.manual_seed(4)
    third = drawn(method, 4, count=5)
    flat = [torch.cat([torch.cat(shares) for shares in some]) for some in (first, second, third)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.allclose(flat[0], flat[2])


def test_the_temperature_falls_geometrically_from_the_first_to_the_second() -> None:
    """The same draw at two temperatures: log shares differ by the ratio of the temperatures."""
    method = with_alpha(darts(two_tasks(), relaxation="gumbel", temperatures=[4.0, 0.25]), ALPHA)
    spreads = []
    for epoch in (0, 5, 10):
        method.generator.manual_seed(8)
        ((share, _),) = drawn(method, epoch, epochs=11, count=1)
        spreads.append(float(share.log().max() - share.log().min()))
    assert spreads[1] == pytest.approx(4 * spreads[0], rel=1e-6)  # sqrt(4 * 0.25) = 1
    assert spreads[2] == pytest.approx(16 * spreads[0], rel=1e-6)


# ------------------------------------------------------------------ selection by perturbation


def mean_losses_without(
    chain: Chain, alpha: Sequence[Tensor], batch: Batch, decided: Sequence[int], left_out: int
) -> float:
    """A fresh forward pass of the whole chain, with one candidate of one task left out."""
    level_of = len(decided)
    values, total = {"x": batch["x"]}, 0.0
    for level, names in enumerate(chain.names()):
        weights = alpha[level].exp()
        if level < level_of:
            weights = torch.eye(len(names)).double()[decided[level]]
        elif level == level_of:
            weights = weights * (1 - torch.eye(len(names)).double()[left_out])
        outputs = [chain.candidate(level, name)(values) for name in names]
        mixture = sum(w * o for w, o in zip(weights / weights.sum(), outputs, strict=True))
        total += WEIGHTS[level] * float(loss_of(level, mixture, batch))
        values = {"z": mixture}
    return total


@torch.no_grad()
def brute_force(chain: Chain, alpha: Sequence[Tensor], batch: Batch) -> tuple[str, ...]:
    decided: list[int] = []
    for names in chain.names():
        losses = [
            mean_losses_without(chain, alpha, batch, decided, left_out)
            for left_out in range(len(names))
        ]
        decided.append(losses.index(max(losses)))
    return tuple(names[index] for names, index in zip(chain.names(), decided, strict=True))


def test_perturbation_against_brute_force() -> None:
    """On 40 random mixtures, over batches of unequal size; alpha alone often says otherwise."""
    chosen, by_alpha = [], []
    for seed in range(40):
        chain, valid = two_tasks(seed=seed), events(seed, count=33)
        generator = torch.Generator().manual_seed(seed)
        alpha = [
            torch.randn(len(names), generator=generator, dtype=torch.float64)
            for names in chain.names()
        ]
        path = perturbation_path(
            chain, valid, alpha=alpha, weighting=Fixed().prepare(WEIGHTS), batch=10
        )
        assert path == brute_force(chain, alpha, valid), seed
        chosen.append(path)
        by_alpha.append(
            tuple(of[int(one.argmax())] for of, one in zip(chain.names(), alpha, strict=True))
        )
    assert len(set(chosen)) == 6  # every chain of 3 x 2 is chosen sometimes
    assert sum(one != other for one, other in zip(chosen, by_alpha, strict=True)) > 5


def test_perturbation_with_one_candidate_has_nothing_to_leave_out() -> None:
    chain = two_tasks().only(("b", "a"))
    alpha = [torch.zeros(1).double()] * 2
    path = perturbation_path(
        chain, events(0), alpha=alpha, weighting=Fixed().prepare(WEIGHTS), batch=10
    )
    assert path == ("b", "a")


# ------------------------------------------------------------------ options

EFFECTS: dict[str, list[dict[str, Any]]] = {
    "alpha_rate": [{"alpha_rate": None}, {"alpha_rate": 0.02}],
    "order": [{"order": 1}, {"order": 2}],
    "xi": [{"order": 2, "xi": None}, {"order": 2, "xi": 0.01}],
    "epsilon": [{"epsilon": 1.0}, {"epsilon": 0.0}],
    "relaxation": [{"relaxation": "softmax"}, {"relaxation": "gumbel"}],
    "temperatures": [
        {"relaxation": "gumbel", "temperatures": temperatures}
        for temperatures in ([1.0, 0.1], [5.0, 0.1], [1.0, 0.5])
    ],
}


def after_two_epochs(options: dict[str, Any]) -> dict[str, Tensor]:
    method = darts(two_tasks(), **options)
    for epoch in (0, 1):
        at_epoch(method, epoch, epochs=2)
        method.training_step([(events(1), events(2)), (events(3), events(4))], 0)
    return method.state_dict()


@pytest.mark.parametrize("option", EFFECTS)
def test_every_option_changes_the_training(option: str) -> None:
    ends = [after_two_epochs(options) for options in EFFECTS[option]]
    again = after_two_epochs(EFFECTS[option][0])
    assert all(torch.equal(ends[0][name], one) for name, one in again.items())
    for other in ends[1:]:
        for name, one in ends[0].items():
            assert not torch.allclose(one, other[name], rtol=1e-6), name


def test_the_option_selection() -> None:
    """The mixture misses `a`, though alpha is larger for `b`: it alone is off by little."""
    one = regression("one", "x", "y")
    batch = {"x": torch.zeros(4).double(), "y": torch.zeros(4).double()}
    scoring = SimpleNamespace(
        spread_validation=lambda: batch,
        batch=3,
        rank=lambda chain, paths: [SimpleNamespace(path=path) for path in sorted(paths)],
    )
    for selection, wanted in (("argmax", "b"), ("perturbation", "a"), ("rank", "a")):
        chain = Chain([one], {"one": {"a": Constant(0.0), "b": Constant(1.0)}}).double()
        method = with_alpha(darts(chain, weights=[1.0], selection=selection), [[0.0, 1.0]])
        chosen = method.select(scoring)
        assert chosen.path == (wanted,)
        assert len(chosen.scores) == (2 if selection == "rank" else 1)


def test_the_options_are_those_of_the_configuration() -> None:
    options = set(OmegaConf.load(CONF / "method" / "darts.yaml")) - {"name", "_target_"}
    # the effects of the last three: test_dummy_chains.py, test_expected.py, test_freezing.py
    assert options == {*EFFECTS, "selection", "dummy_alpha_rate", "chains", "freeze"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("order", 3),
        ("selection", "best"),
        ("relaxation", "hard"),
        ("epsilon", -0.1),
        ("temperatures", [1.0]),
        ("temperatures", [1.0, 0.0]),
        ("alpha_rate", 0.0),
        ("dummy_alpha_rate", 0.0),
        ("freeze", 1.5),
        ("freeze", -2),
    ],
)
def test_a_senseless_option_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"method\.{option}: expected"):
        darts(two_tasks(), **{option: value})


# ------------------------------------------------------------------ dummies

SHAPES: dict[str, list[int]] = {"toy_regression": [3], "toy_classification": []}


def run_with_dummies(output: Path, *overrides: str, tasks: Sequence[str]) -> dict[str, Any]:
    """A short run on the toy, with both dummies beside a task's two best candidates."""
    words = [
        "problem=toy",
        "trainer=cpu",
        "logger=none",
        f"output={output}",
        "data.source.events=2000",
    ]
    words += ["candidate/toy_regression=[curve,plane]"]
    words += ["candidate/toy_classification=[cautious,logistic]"]
    config = OmegaConf.to_container(compose_config([*words, *overrides]), resolve=True)
    assert isinstance(config, dict)
    for name in tasks:
        config["tasks"][name]["candidates"] |= {
            dummy.lower(): {
                "_target_": f"msnas.candidates.dummies.{dummy}",
                "shape": SHAPES[name],
            }
            for dummy in ("Zeros", "Noise")
        }
    return run(config, console=QUIET)


@pytest.mark.parametrize(
    ("relaxation", "selections"),
    [("softmax", ("argmax", "perturbation")), ("expected", ("argmax", "rank"))],
    ids=["softmax", "expected"],
)
def test_dummies_lose_in_darts(relaxation: str, selections: Sequence[str], tmp_path: Path) -> None:
    """By both ways to select: they share the super-network, and its alpha."""
    for selection in selections:
        result = run_with_dummies(
            tmp_path,
            *("method=darts", f"method.relaxation={relaxation}", f"method.selection={selection}"),
            *("data.source.events=5000", "recipe.posttrain.epochs=2"),
            *("recipe.pretrain.epochs=6", "recipe.search.epochs=12"),
            tasks=list(SHAPES),
        )
        assert not {"zeros", "noise"} & set(result["selected"].values())
    assert result["stages"]["search"]["cached"] == ["super-network"]
    for of_task in result["probabilities"].values():
        dummies = [of_task.pop("zeros"), of_task.pop("noise")]
        assert len(of_task) == 2
        assert max(dummies) < min(of_task.values())


@pytest.mark.parametrize(
    ("tasks", "epochs", "more"),
    [
        (["toy_regression"], (4, 3), []),
        (["toy_classification"], (4, 3), []),
        (list(SHAPES), (1, 1), []),
        (["toy_regression"], (1, 1), ["task_weight=1"]),
    ],
)
def test_dummies_lose_in_grid_search(
    tmp_path: Path, tasks: list[str], epochs: tuple[int, int], more: list[str]
) -> None:
    lengths = [f"recipe.pretrain.epochs={epochs[0]}", f"recipe.posttrain.epochs={epochs[1]}"]
    result = run_with_dummies(tmp_path, "method=grid_search", *lengths, *more, tasks=tasks)
    assert not {"zeros", "noise"} & set(result["selected"].values())
    searched = [one for one in result["chains"] if one["stage"] == "search"]
    assert len(searched) == 4 * 2 ** len(tasks)
    if epochs == (4, 3):
        losses: dict[bool, list[float]] = {False: [], True: []}
        for one in searched:
            is_dummy = one["selected"][tasks[0]] in ("zeros", "noise")
            losses[is_dummy].append(one["valid"][f"{tasks[0]}/loss"])
        assert max(losses[False]) < min(losses[True])
