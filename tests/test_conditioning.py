"""Conditioning: the laws, the modulation of networks, and runs for a whole range of a parameter."""

from __future__ import annotations

import copy
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, Compose, compose_config, epochs
from torch import Tensor

from msnas import evaluate, predict
from msnas.chain.chain import Chain
from msnas.chain.task import share_key
from msnas.conditioning.conditioning import Conditioning, Parameter
from msnas.conditioning.film import CONDITION, Conditioned
from msnas.conditioning.laws import Law, LogOdds, LogUniform, Uniform
from msnas.errors import ConfigError, MsnasError
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.results.result import Result
from msnas.run import run
from msnas.training.posttraining import Posttraining
from msnas.training.progress import Display

YOTO = ("conditioning=yoto", "conditioning.parameters=[task_weight]")
SIMPLEX = ("conditioning=yoto", "conditioning.parameters=[task_weights]")
TOY = ["problem=toy", "trainer=cpu", "logger=none", "data.source.events=1000"]
LAWS: list[tuple[Law, dict[int, float]]] = [
    (LogUniform(low=1e-6, high=1e-2, points=[1e-4]), {-1: 1e-6, 0: 1e-4, 1: 1e-2}),
    (Uniform(low=0, high=5, points=[1]), {-1: 0.0, 0: 2.5, 1: 5.0}),
    (Uniform(low=-1, high=3, points=[-1, 3]), {-1: -1.0, 0: 1.0, 1: 3.0}),
    (LogOdds(limit=1000, points=[0.5]), {-1: 1 / 1001, 0: 0.5, 1: 1000 / 1001}),
]


@pytest.mark.parametrize(("law", "expected"), LAWS)
def test_laws_at_hand_computed_values(law: Law, expected: dict[int, float]) -> None:
    for unit, value in expected.items():
        assert law.value(torch.tensor(float(unit))).item() == pytest.approx(value, rel=1e-12)
        assert law.unit(value) == pytest.approx(unit, abs=1e-9)
        assert law.contains(value)


@pytest.mark.parametrize(("law", "_expected"), LAWS)
def test_a_coordinate_and_its_value_are_the_same_thing(law: Law, _expected: Any) -> None:
    unit = torch.linspace(-1, 1, 21, dtype=torch.float64)
    back = [law.unit(float(value)) for value in law.value(unit)]
    assert back == pytest.approx(unit.tolist(), abs=1e-9)
    low, high = law.limits()
    assert law.contains(low)
    assert law.contains(high)
    assert not law.contains(low - 0.1)
    assert not law.contains(high + 0.1)
    assert (law.unit(low - 0.1), law.unit(high + 0.1)) == (-1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LogUniform(low=0, high=1, points=[0.5]),
        lambda: LogUniform(low=1, high=0.1, points=[0.5]),
        lambda: Uniform(low=2, high=2, points=[2]),
        lambda: LogOdds(limit=1, points=[0.5]),
        lambda: LogOdds(limit=9, points=[0.95]),
        lambda: Uniform(low=0, high=1, points=[]),
        lambda: Uniform(low=0, high=math.inf, points=[1]),
    ],
)
def test_impossible_laws(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"conditioning\.laws"):
        wrong()


def of_weight(law: Law) -> Conditioning:
    return Conditioning(
        [Parameter(key="task_weight", task="first", scalar=None, law=law)],
        tasks=["first", "second"],
    )


def test_a_spread_is_even_and_always_the_same() -> None:
    conditioning = of_weight(LogOdds(limit=1000, points=[0.5]))
    batch = {"x": torch.zeros(1000)}
    spread = conditioning.spread(batch)
    sorted_units = spread[CONDITION].squeeze(1).sort().values
    even = torch.linspace(-1, 1, 1001)[:-1]
    assert (sorted_units - even).abs().max() < 0.01  # random draws are ten times farther off
    assert torch.equal(spread[CONDITION], conditioning.spread(batch)[CONDITION])


def of_weights(law: Law, *tasks: str) -> Conditioning:
    return Conditioning(
        [
            Parameter(key=f"task_weights.{task}", task=task, scalar=None, law=law)
            for task in tasks[:-1]
        ],
        tasks=tasks,
    )


def test_weights_of_three_tasks_are_relative_to_the_last_one() -> None:
    conditioning = of_weights(LogUniform(low=0.1, high=10, points=[0.5, 2]), "a", "b", "c")
    weights = conditioning.task_weights({"task_weights.a": 0.5, "task_weights.b": 2.5})
    assert weights == pytest.approx([0.125, 0.625, 0.25])
    assert len(conditioning.points()) == 4
    drawn = conditioning.draw({"x": torch.zeros(1000)}, torch.Generator().manual_seed(0))
    shares = torch.stack([drawn[share_key(task)] for task in "abc"], dim=1)
    assert torch.allclose(shares.sum(dim=1), torch.tensor(3.0))  # relative to equal weights
    units = torch.log10(shares[:, :2] / shares[:, 2:])
    assert torch.allclose(units, drawn[CONDITION], atol=1e-5)


def test_of_two_tasks_a_relative_weight_is_what_v1_is() -> None:
    """The log-odds of v1 are the logarithm of v1 / v2."""
    batch = {"x": torch.zeros(100)}
    v1 = of_weight(LogOdds(limit=1000, points=[0.5])).spread(batch)
    relative = of_weights(LogUniform(low=1e-3, high=1e3, points=[1]), "first", "second").spread(
        batch
    )
    assert torch.equal(v1[CONDITION], relative[CONDITION])
    for task in ("first", "second"):
        assert torch.allclose(v1[share_key(task)], relative[share_key(task)], rtol=1e-5)


def test_draws_follow_their_generator() -> None:
    conditioning = of_weight(LogOdds(limit=1000, points=[0.5]))
    batch = {"x": torch.zeros(50)}
    first, again, other = (
        conditioning.draw(batch, torch.Generator().manual_seed(seed))[CONDITION]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1


def farthest_from_even(units: Tensor) -> float:
    """Of the sorted coordinates, from the middles of as many equal intervals."""
    count = len(units)
    middles = (torch.arange(count) + 0.5) / count * 2 - 1
    return float((units.sort().values - middles).abs().max())


def test_stratified_draws_are_even_in_every_batch() -> None:
    """Wherever 64 events are cut out of a block; and over many blocks as uniform as independent."""
    law = LogOdds(limit=1000, points=[0.5])
    parameter = Parameter(key="task_weight", task="a", scalar=None, law=law)
    even = Conditioning([parameter], tasks=["a", "b"], stratified=True)
    generator = torch.Generator().manual_seed(0)
    batch = {"x": torch.zeros(640)}
    blocks = [even.draw(batch, generator)[CONDITION].squeeze(1) for _ in range(20)]
    independent = of_weight(law).draw(batch, generator)[CONDITION].squeeze(1)
    for start in range(0, 577, 37):
        for block in blocks:
            assert farthest_from_even(block[start : start + 64]) < 0.1
    assert max(farthest_from_even(one) for one in independent.split(64)) > 0.2
    assert not torch.equal(blocks[0], blocks[1])
    firsts = torch.stack([even.draw(batch, generator)[CONDITION][0, 0] for _ in range(400)])
    assert farthest_from_even(firsts) < 0.2  # of the start, which is independent
    again = even.draw(batch, torch.Generator().manual_seed(0))[CONDITION].squeeze(1)
    assert torch.equal(again, blocks[0])


def test_how_conditions_are_drawn_is_part_of_a_training(tmp_path: Path) -> None:
    words = [*TOY, *YOTO, f"output={tmp_path}"]
    usual = make_plan(compose_config([*words, "conditioning.draws=independent"]))
    assert usual.key == make_plan(compose_config(words)).key
    assert "draws" not in usual.config["conditioning"]
    independent = three_epochs(tmp_path, *YOTO)
    stratified = three_epochs(tmp_path, *YOTO, "conditioning.draws=stratified")
    assert stratified["stages"]["search"]["cached"] == []
    assert stratified["stages"]["posttrain"]["cached"] == []
    assert stratified["stages"]["pretrain"]["cached"] != []
    assert stratified["metrics"]["valid"]["loss"] != independent["metrics"]["valid"]["loss"]
    with pytest.raises(ConfigError, match=r"conditioning\.draws: expected one of .*found 'even'"):
        make_plan(compose_config([*words, "conditioning.draws=even"]))


def parts(folder: Path, *overrides: str) -> Parts:
    plan = make_plan(compose_config([*TOY, f"output={folder}", *overrides]))
    return ready_parts(plan, Display(QUIET))


def test_the_loss_of_a_batch_weights_every_event_by_its_own_draw(tmp_path: Path) -> None:
    conditioned = parts(tmp_path, *YOTO)
    conditioning, chain = conditioned.conditioning, conditioned.chain
    assert conditioning is not None
    batch = conditioning.draw(conditioned.events.train, torch.Generator().manual_seed(0))
    v1 = torch.sigmoid(batch[CONDITION].squeeze(1).double() * math.log(1000))
    outputs = chain.run(batch, chain.paths()[0])
    first, second = (
        task.event_losses(output, conditioned.events.train).double()
        for task, output in zip(chain.tasks, outputs, strict=True)
    )
    expected = (v1 * first + (1 - v1) * second).mean()
    found = conditioned.fit.weighting.combine(chain.losses(outputs, batch))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def all_outputs(chain: Chain, batch: dict[str, Tensor]) -> dict[Any, list[Tensor]]:
    with torch.no_grad():
        return dict(chain.walk(batch, chain.paths()))


@pytest.mark.parametrize("problem", ["htautau", "toy", "digit_sum", "tau_jet_multitask"])
def test_a_fresh_conditioned_network_is_the_unconditioned_one(problem: str, tmp_path: Path) -> None:
    plan = make_plan(
        compose_config([f"problem={problem}", "trainer=cpu", f"output={tmp_path}", *YOTO])
    )
    one = ready_parts(plan, Display(QUIET))
    few = {name: value[:7] for name, value in one.events.train.items()}
    one.chain.eval()
    before = all_outputs(one.chain, few)
    one.condition()
    assert one.conditioning is not None
    one.chain.eval()
    drawn = one.conditioning.draw(few, torch.Generator().manual_seed(0))
    after = all_outputs(one.chain, drawn)
    modules = [
        one.chain.candidate(level, name)
        for level, names in enumerate(one.chain.names())
        for name in names
    ]
    assert all(
        isinstance(module, Conditioned) == any(True for _ in module.parameters())
        for module in modules
    )
    for path, outputs in before.items():
        for found, expected in zip(after[path], outputs, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    trained = [module for module in modules if isinstance(module, Conditioned)]
    for module in trained:  # each has something to modulate
        with torch.no_grad():
            module.film[-1].bias.add_(0.5)
    moved = all_outputs(one.chain, drawn)
    for level, names in enumerate(one.chain.names()):
        for name in names:
            if one.chain.candidate(level, name) not in trained:
                continue
            path = next(path for path in moved if path[level] == name)
            assert not torch.equal(moved[path][level], before[path][level])


def test_a_copy_is_modulated_by_its_own_weights(tmp_path: Path) -> None:
    one = parts(tmp_path, *YOTO)
    one.condition()
    assert one.conditioning is not None
    few = {name: value[:5] for name, value in one.events.train.items()}
    batch = one.conditioning.draw(few, torch.Generator().manual_seed(0))
    path = one.chain.paths()[-1]
    before = one.chain.run(batch, path)
    twin = copy.deepcopy(one.chain.only(path))
    for level, name in enumerate(path):
        module = twin.candidate(level, name)
        assert isinstance(module, Conditioned)
        with torch.no_grad():
            module.film[-1].bias.add_(1.0)
    assert all(map(torch.equal, one.chain.run(batch, path), before))
    changed = twin.run(batch, path)
    assert not any(map(torch.equal, changed, before))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["conditioning=yoto"], r"conditioning\.parameters: expected a list of different names of"),
        ([*YOTO, "problem=toy3"], r"task_weight: only for two tasks"),
        (["conditioning=yoto", "conditioning.parameters=[temperature]"], "'temperature' is not"),
        (
            ["conditioning=yoto", "conditioning.parameters=[task_weight,task_weight]"],
            "expected a list of different names",
        ),
        ([*YOTO, "conditioning.laws.task_weight.limit=0.5"], "limit: expected a number > 1"),
        ([*YOTO, "~conditioning.laws.task_weight"], r"conditioning\.laws\.task_weight: missing"),
        (
            [*YOTO, "method=fixed_chain", "method.reoptimise=false"],
            "trained task after task cannot be conditioned",
        ),
        ([*YOTO, "method=end_to_end"], "method=end_to_end trains on the last task's loss alone"),
        (["conditioning=yoto", "conditioning.parameters=5"], "expected a list of different names"),
        ([*YOTO, "conditioning.layers=[0]"], r"conditioning\.layers: expected whole numbers > 0"),
        (
            [*YOTO, "conditioning.laws.task_weight.points=[abc]"],
            r"task_weight\.points: expected a list \(each a number\), found \['abc'\]",
        ),
        (
            [*YOTO, "law@conditioning.laws.task_weight=gamma"],
            r"conditioning\.laws\.task_weight: range \[0, 5\], expected one within \[0, 1\]",
        ),
        (
            [
                *SIMPLEX,
                "law@conditioning.laws.task_weights=constant",
                "conditioning.laws.task_weights.value=-1",
            ],
            r"conditioning\.laws\.task_weights: range \[-1, -1\], expected one within \[0, inf\]",
        ),
        (
            [*SIMPLEX, "task_weights.toy_regression=1", "task_weights.toy_classification=0"],
            r"task_weights\.toy_classification: expected a number > 0, found 0",
        ),
        (
            ["conditioning=yoto", "conditioning.parameters=[task_weight,task_weights]"],
            "task_weight and task_weights exclude each other",
        ),
        (
            [
                "loss@tasks.toy_classification.loss=focal",
                "conditioning=yoto",
                "conditioning.parameters=[gamma]",
                "conditioning.laws.gamma.low=-1",
            ],
            r"conditioning\.laws\.gamma: range \[-1, 5\]",
        ),
        (["loss@tasks.toy_regression.loss=focal"], r"tasks\.toy_regression\.loss: .* classes"),
        (["loss@tasks.toy_classification.loss=momentum"], r"tasks\.toy_classification\.loss: "),
    ],
)
def test_conditioning_that_cannot_be(tmp_path: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(MsnasError, match=said):
        run(compose_config([*TOY, f"output={tmp_path}", *epochs(1), *overrides]), console=QUIET)


def three_epochs(folder: Path, *overrides: str) -> dict[str, Any]:
    """The result of a run."""
    words = [*TOY, f"output={folder}", *epochs(3), *overrides]
    return run(compose_config(words), console=QUIET)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder, so that all methods share the pre-trained candidates."""
    return tmp_path_factory.mktemp("runs")


METHODS = ["spos", "darts", "asng", "grid_search", "fixed_chain"]
MIXTURE = "darts method.relaxation=softmax method.selection=perturbation"


@pytest.mark.parametrize("method", [*METHODS, MIXTURE])
def test_a_conditioned_run_is_judged_at_every_point(output: Path, method: str) -> None:
    result = three_epochs(output, *YOTO, *f"method={method}".split())
    weights = [one["parameters"]["task_weight"] for one in result["conditions"]]
    assert weights == [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
    for one in result["conditions"]:
        v1 = one["parameters"]["task_weight"]
        values = one["valid"]
        expected = v1 * values["toy_regression/loss"] + (1 - v1) * values["toy_classification/loss"]
        assert values["loss"] == pytest.approx(expected, rel=1e-5)
    middle = result["conditions"][3]
    name = "toy_regression/loss"
    assert result["point"] == middle["parameters"] == {"task_weight": 0.5}
    for part in ("valid", "test"):
        for key in (name, "loss"):
            assert middle[part][key] == pytest.approx(result["metrics"][part][key], rel=1e-6)
    assert len({one["test"][name] for one in result["conditions"]}) > 1
    if method in ("spos", "grid_search"):
        regrets = [winner["regret"] for winner in result["winners"]]
        assert min(regrets) >= 0
        searched = [one for one in result["chains"] if one["stage"] == "search"]
        (chosen,) = (one for one in searched if one["selected"] == result["selected"])
        assert chosen["ranked_by"] == min(one["ranked_by"] for one in searched)
        for winner, regret in zip(result["winners"], regrets, strict=True):
            assert (winner["selected"] == result["selected"]) == (regret == 0)


def test_three_tasks_are_trained_for_all_their_weights_at_once(
    output: Path, tmp_path: Path
) -> None:
    """At every point the loss is the weighted one; a finished run is judged at any other."""
    words = ["problem=toy3", f"output={output}", *epochs(1), *SIMPLEX]
    given = ("task_weights.toy3_z=1", "task_weights.toy3_w=2", "task_weights.toy3_label=1")
    result = run(compose_config([*words, *given]), console=QUIET)
    first, second, last = result["task_weights"]
    keys = [f"task_weights.{first}", f"task_weights.{second}"]
    assert result["point"] == dict(zip(keys, (1, 2), strict=True))
    assert len(result["conditions"]) == 9
    for one in result["conditions"]:
        weights = [*(one["parameters"][key] for key in keys), 1.0]
        losses = [one["test"][f"{task}/loss"] for task in (first, second, last)]
        expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
        assert one["test"]["loss"] == pytest.approx(expected, rel=1e-5)
    folder = next(output.glob("toy3/*/*/result.json")).parent
    point = [f"{key}={value}" for key, value in zip(keys, (0.1, 10), strict=True)]
    evaluate.main([f"run={folder}", *point, f"out={tmp_path / 'metrics.json'}"])
    (told,) = json.loads((tmp_path / "metrics.json").read_text())
    (known,) = (one for one in result["conditions"] if one["parameters"] == told["parameters"])
    assert told["values"] == pytest.approx(known["test"], rel=1e-5)
    read = Result.read(folder)
    assert read.weights_at({keys[0]: 3.0, keys[1]: 4.0}) == {first: 3 / 8, second: 0.5, last: 1 / 8}


def cache_of(folder: Path, kind: str) -> set[str]:
    return {path.name for path in (folder / "cache" / kind).iterdir() if path.is_dir()}


def test_laws_that_are_not_used_change_no_key(tmp_path: Path) -> None:
    def key(*overrides: str) -> str:
        return make_plan(compose_config([*TOY, f"output={tmp_path}", *YOTO, *overrides])).key

    assert key() == key("conditioning.laws.gamma.high=4")
    assert key() != key("conditioning.laws.task_weight.limit=100")


def test_pretraining_is_shared_with_unconditioned_runs(tmp_path: Path) -> None:
    three_epochs(tmp_path)
    before = cache_of(tmp_path, "pretrain"), cache_of(tmp_path, "search")
    conditioned = three_epochs(tmp_path, *YOTO)
    assert cache_of(tmp_path, "pretrain") == before[0]
    assert len(cache_of(tmp_path, "search")) == len(before[1]) + 1
    assert len(conditioned["stages"]["pretrain"]["cached"]) == 6
    # another v1 is another point of the same training
    other = three_epochs(tmp_path, *YOTO, "task_weight=0.1")
    assert other["stages"]["search"]["cached"] == ["super-network"]
    assert other["stages"]["posttrain"]["cached"] == ["chain"]
    name = "toy_regression/loss"
    assert other["metrics"]["test"][name] == pytest.approx(
        conditioned["conditions"][2]["test"][name], rel=1e-6
    )


def test_an_interrupted_conditioned_training_ends_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = three_epochs(tmp_path / "whole", *YOTO)
    validate = Posttraining.validate_batch
    seen: list[int] = []

    def interrupted(self: Posttraining, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.current_epoch == 2:
            seen.append(2)
            raise KeyboardInterrupt
        return validate(self, batch)

    monkeypatch.setattr(Posttraining, "validate_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        three_epochs(tmp_path / "broken", *YOTO)
    monkeypatch.undo()
    assert seen
    again = three_epochs(tmp_path / "broken", *YOTO)
    for key in ("selected", "metrics", "conditions", "chains", "winners"):
        assert again[key] == whole[key]


@pytest.fixture(scope="module")
def conditioned_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditioned")
    result = three_epochs(
        folder,
        *("conditioning=yoto", "loss@tasks.toy_classification.loss=focal"),
        *("conditioning.parameters=[task_weight,gamma]", "conditioning.laws.gamma.points=[0,2]"),
        *("conditioning.laws.task_weight.points=[0.1,0.9]", "method=fixed_chain"),
        "method.chain=[plane,logistic]",
    )
    return folder / "toy" / "fixed_chain" / result["key"]


def test_a_finished_run_is_evaluated_at_any_point(conditioned_run: Path, tmp_path: Path) -> None:
    written = json.loads((conditioned_run / "result.json").read_text())["conditions"]
    assert len(written) == 4
    gamma = "tasks.toy_classification.loss.gamma"
    out = tmp_path / "found.json"
    evaluate.main([f"run={conditioned_run}", "task_weight=0.1,0.9", f"{gamma}=0,2", f"out={out}"])
    found = json.loads(out.read_text())
    assert [one["parameters"] for one in found] == [one["parameters"] for one in written]
    for one, there in zip(found, written, strict=True):
        assert one["values"] == pytest.approx(there["test"], rel=1e-6)
    between = evaluate.evaluate_run(evaluate.Settings(run=str(conditioned_run)), {gamma: "1"})
    assert between[0]["parameters"] == {"task_weight": 0.5, gamma: 1.0}


def test_a_point_outside_the_range_is_moved_with_a_warning(
    conditioned_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("msnas").propagate = True
    (found,) = evaluate.evaluate_run(
        evaluate.Settings(run=str(conditioned_run)), {"task_weight": "1"}
    )
    assert found["parameters"]["task_weight"] == pytest.approx(1000 / 1001)
    assert "task_weight=1 is outside [0.000999001, 0.999001]" in caplog.text


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"tasks.other.loss.gamma": "1"}, r"not conditioned on it; allowed are \['task_weight'"),
        ({"task_weight": "half"}, "expected a number"),
        ({"task_weight": "nan"}, "expected finite numbers"),
        ({"task_weight": "0.5,1.5"}, "expected a number from 0 to 1"),
    ],
)
def test_points_that_cannot_be(
    conditioned_run: Path, conditions: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        evaluate.evaluate_run(evaluate.Settings(run=str(conditioned_run)), conditions)


def test_predictions_depend_on_the_chosen_point(
    compose: Compose, event_file: Path, tmp_path: Path
) -> None:
    cfg = compose(*YOTO, "method=fixed_chain", "method.chain=[mlp,mlp]", "recipe.optimizer.lr=0.01")
    result = run(cfg, console=QUIET)
    (directory,) = tmp_path.glob("runs/htautau/fixed_chain/*/")
    made = [
        predict.predict(
            predict.Settings(
                run=str(directory), data=str(event_file), out=str(tmp_path / f"{number}.h5")
            ),
            conditions,
        )
        for number, conditions in enumerate(({}, {"task_weight": "0.5"}, {"task_weight": "0.001"}))
    ]
    assert result["task_weights"]["tau_calibration"] == 0.5
    name = "tau_calibration"
    assert (made[0][name] == made[1][name]).all()
    assert (made[0][name] != made[2][name]).any()


def test_conditioned_on_a_constant_a_network_learns_what_the_fixed_one_does(tmp_path: Path) -> None:
    chain = ["method=fixed_chain", "method.chain=[plane,logistic]", "data.source.events=5000"]
    constant = [*YOTO, "law@conditioning.laws.task_weight=constant"]
    results = [
        run(compose_config([*TOY, *chain, f"output={tmp_path}", *more]), console=QUIET)
        for more in ([], constant)
    ]
    fixed, conditioned = (one["metrics"]["valid"]["loss"] for one in results)
    assert conditioned == pytest.approx(fixed, rel=0.05)
