"""msnas from Python: the command line's own runs, and problems made of arrays and modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUIET, ROOT, compose_config, finished_below
from torch import Tensor, nn
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy

import msnas
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.run import run

STAGES = ("pretrain", "search", "posttrain")
SMALL: dict[str, Any] = {
    "trainer": "cpu",
    "recipe": "toy",
    **{f"recipe.{stage}.epochs": 2 for stage in STAGES},
}
TOY = {**SMALL, "data.source.events": 400}


def by_command(folder: Path, *words: str) -> Path:
    common = [f"{key}={value}" for key, value in TOY.items()]
    config = compose_config(["problem=toy", "logger=none", f"output={folder}", *common, *words])
    return folder / "toy" / str(config.method.name) / str(run(config, console=QUIET)["key"])


@pytest.mark.parametrize(
    ("words", "arguments", "settings"),
    [
        (["method=spos"], {}, {}),
        (
            ["method.sampling=fair", "task_weight=0.3", "seed=1"],
            {"method": "spos", "task_weight": 0.3, "seed": 1},
            {"method.sampling": "fair"},
        ),
        (
            ["weighting=gradnorm", "weighting.alpha=0.5"],
            {"weighting": msnas.GradNorm(alpha=0.5)},
            {},
        ),
        (["method=fixed_chain"], {"method": msnas.FixedChain()}, {}),
        (
            ["conditioning=yoto", "conditioning.parameters=[task_weight]"],
            {"conditioning": ["task_weight"]},
            {},
        ),
        (
            [
                "candidate/toy_regression=[curve,line]",
                "task_weights.toy_regression=3",
                "task_weights.toy_classification=1",
            ],
            {"task_weights": {"toy_regression": 3, "toy_classification": 1}},
            {"candidate/toy_regression": ["curve", "line"]},
        ),
    ],
    ids=["plain", "options", "weighting", "chain", "conditioned", "candidates"],
)
def test_python_and_the_command_line_are_one_run(
    tmp_path: Path, words: list[str], arguments: dict[str, Any], settings: dict[str, Any]
) -> None:
    directory = by_command(tmp_path, *words)
    written = (directory / "result.json").stat().st_mtime_ns
    best = msnas.select("toy", output=tmp_path, settings=TOY | settings, show=False, **arguments)
    assert best.directory == directory
    assert (directory / "result.json").stat().st_mtime_ns == written
    assert len(list(tmp_path.rglob("result.json"))) == 1


def test_parts_made_in_python_are_those_of_the_command_line() -> None:
    parts = (
        (msnas.SPOS(sampling="fair"), ["method.sampling=fair"]),
        (msnas.DARTS(chains=8), ["method=darts", "method.chains=8"]),
        (msnas.ASNG(floor=0.2), ["method=asng", "method.floor=0.2"]),
        (msnas.GridSearch(), ["method=grid_search"]),
        (msnas.EndToEnd(), ["method=end_to_end"]),
        (msnas.RandomChoice(), ["method=random_choice"]),
    )
    from msnas.api import configuration
    from msnas.plan import make_plan

    for method, words in parts:
        config = configuration(
            "toy", method, weighting="fixed", conditioning=None, choices={}, values={}, settings={}
        )
        expected = compose_config(["problem=toy", *words])
        assert make_plan(config).key == make_plan(expected).key


# ------------------------------------------------------------------ a problem of one's own


class Linear(nn.Module):
    """The joined inputs, linearly."""

    def __init__(self, size_in: int = 3, size_out: int = 2, *, scalar: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(size_in, size_out)
        self.scalar = scalar

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        output: Tensor = self.linear(torch.cat(tuple(inputs.values()), 1))
        return output.squeeze(-1) if self.scalar else output


def arrays(events: int = 400) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(events, 3))
    z = x @ generator.normal(size=(3, 2)) + 0.1 * generator.normal(size=(events, 2))
    return {"x": x, "z": z, "label": (z.sum(1) > 0).astype(int)}


MSE = msnas.MeanLoss(loss=msnas.SquaredError())
TASKS = [
    msnas.Task(name="find", inputs=("x",), target="z", output=msnas.Regression(shape=[2]),
               loss=msnas.SquaredError(), metrics={"mse": MSE}),
    msnas.Task(name="tell", inputs=("z",), target="label", output=msnas.Binary(),
               loss=msnas.BinaryCrossEntropy(), metrics={"auc": BinaryAUROC()}),
]  # fmt: skip
CANDIDATES = {
    "find": {"linear": Linear, "mlp": msnas.MLP(input_size=3, layers=[8], output_shape=[2])},
    "tell": {"linear": partial(Linear, 2, 1, scalar=True)},
}


def problem(**changes: Any) -> msnas.Problem:
    return msnas.Problem(
        **{"name": "own", "arrays": arrays(), "tasks": TASKS, "candidates": CANDIDATES} | changes
    )


def test_a_problem_of_arrays_and_modules(tmp_path: Path) -> None:
    given = arrays()
    best = msnas.select(problem(), task_weight=0.5, output=tmp_path, settings=SMALL, show=False)
    assert list(best.chain) == ["find", "tell"]
    assert best.chain["tell"] == "linear"
    table = best.table()
    assert list(table["stage"]) == ["search", "search", "posttrain"]
    turned = replace(best.result, chains=best.result.chains[::-1])
    assert turned.ranked == best.result.ranked
    assert table["loss"].iloc[0] <= table["loss"].iloc[1]
    predicted = best.predict({"x": given["x"][:7]})
    assert {name: values.shape for name, values in predicted.items()} == {
        "find": (7, 2),
        "tell": (7,),
    }
    assert ((predicted["tell"] >= 0) & (predicted["tell"] <= 1)).all()
    frame = msnas.runs(tmp_path)
    assert frame.loc[0, "test/tell/auc"] == best.metrics["test"]["tell/auc"]
    # made anew it is the same run; one event more is another one
    again = msnas.select(problem(), task_weight=0.5, output=tmp_path, settings=SMALL, show=False)
    assert again.directory == best.directory
    assert msnas.load(best.directory).chain == best.chain
    more = problem(arrays=arrays(401))
    other = msnas.select(more, task_weight=0.5, output=tmp_path, settings=SMALL, show=False)
    assert other.directory != best.directory


def test_a_module_starts_from_its_weights_and_what_is_made_from_fresh_ones(tmp_path: Path) -> None:
    from msnas.api import configuration
    from msnas.pipeline import ready_parts
    from msnas.plan import make_plan
    from msnas.training.progress import Display

    module = Linear()
    own = problem(candidates=CANDIDATES | {"find": {"module": module, "made": Linear}})

    def chain(seed: int) -> Any:
        config = configuration(
            own, "spos", weighting="fixed", conditioning=None, choices={},
            values={"seed": seed, "output": str(tmp_path)}, settings=SMALL,
        )  # fmt: skip
        return ready_parts(make_plan(config), Display(QUIET)).chain

    first, second = chain(0), chain(1)
    for one in (first, second):
        assert torch.equal(one.candidate(0, "module").linear.weight, module.linear.weight)
        assert one.candidate(0, "module") is not module
    weights = [one.candidate(0, "made").linear.weight for one in (first, second)]
    assert not torch.equal(*weights)
    assert torch.equal(chain(0).candidate(0, "made").linear.weight, weights[0])


def test_a_regression_alone_needs_no_classes(tmp_path: Path) -> None:
    own = problem(tasks=TASKS[:1], candidates={"find": CANDIDATES["find"]})
    best = msnas.select(own, output=tmp_path, settings=SMALL, show=False)
    assert set(best.chain) == {"find"}
    assert sum(best.result.data["classes"]["train"].values()) == 240


def test_what_was_handed_over_is_not_made_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = msnas.select(problem(), output=tmp_path, settings=SMALL, show=False)
    monkeypatch.setattr("msnas.given._known", {})
    with pytest.raises(MsnasError, match=r"tasks\..*handed over in Python.*msnas\.load"):
        msnas.load(best.directory).predict({"x": arrays()["x"]})
    problem()  # makes it known again
    assert set(msnas.load(best.directory).predict({"x": arrays()["x"]})) == {"find", "tell"}


# ------------------------------------------------------------------ what cannot be


def with_nan() -> dict[str, np.ndarray]:
    found = arrays()
    found["x"][3, 1] = np.nan
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arrays": arrays() | {"label": np.zeros(7, int)}}, "label"),
        ({"arrays": arrays() | {"label": arrays()["label"][:7]}}, "numbers of events differ"),
        ({"arrays": with_nan()}, "x: found NaN or infinity in 1 events .first: event 3"),
        ({"arrays": {"x": arrays()["x"]}}, "arrays: missing 'label', found .'x'"),
        ({"arrays": arrays() | {"x": np.array(["a"] * 400)}}, "arrays: 'x': found type"),
        ({"arrays": None}, "arrays, source: expected exactly one, found"),
        ({"name": "a/b"}, "name: 'a/b' is no name"),
        ({"candidates": {"find": {}}}, "candidates: found .*expected those of"),
        ({"candidates": CANDIDATES | {"tell": {}}}, "candidate/tell: no candidate"),
        (
            {"candidates": CANDIDATES | {"find": {"wide": partial(Linear, 3, 5)}}},
            r"tasks\.find\.candidates\.wide: found an output of shape \[5\].*expected \[2\]",
        ),
        (
            {"candidates": CANDIDATES | {"find": {"wide": Linear(9, 2)}}},
            r"tasks\.find\.candidates\.wide: does not take \['x'\]",
        ),
        ({"candidates": CANDIDATES | {"find": {"text": "mlp"}}}, "candidates.text: found a str"),
        ({"stratify": "nothing"}, "data.stratify: 'nothing' is not a field"),
        ({"fractions": {"train": 1.0}}, "data.fractions"),
        ({"reference": ["no", "linear"]}, None),
        ({"allow": ["os"]}, "allow: 'os' is no name of a package of yours"),
    ],
)
def test_a_problem_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str | None
) -> None:
    def select() -> None:
        method = "spos" if said is not None else msnas.FixedChain()
        msnas.select(problem(**changes), method, output=tmp_path, settings=SMALL, show=False)

    with pytest.raises((ConfigError, DataError), match=said or r"method\.chain: 'no' is not a can"):
        select()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "spoz"}, "method: 'spoz' is no option; did you mean spos"),
        ({"method": 3}, "method: found a int"),
        ({"method": "a,b"}, "method: 'a,b' is no name of an option"),
        ({"problem": "toyy"}, "problem: 'toyy' is no option; did you mean toy"),
        ({"problem": 3}, "problem: found a int"),
        ({"task_weight": 2}, "task_weight: expected a number from 0 to 1"),
        ({"task_weights": {"no": 1}}, "task_weights.no: not a task"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"conditioning": ["no"]}, "conditioning.parameters: 'no' is not there"),
        ({"settings": {"recipe.search.epoch": 3}}, "recipe.search.epoch: unknown; did you mean"),
        ({"settings": {"taskweight": 3}}, "taskweight: unknown; did you mean task_weight"),
        ({"settings": {"candidate/toy_regression": ["no"]}}, "'no' is no option"),
        ({"settings": {"method.sampling": "unfair"}}, "method.sampling: expected uniform or fair"),
    ],
)
def test_a_wrong_argument_is_refused(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    settings = TOY | arguments.pop("settings", {})
    with pytest.raises(ConfigError, match=said):
        msnas.select(
            **{"problem": "toy", "output": tmp_path, "settings": settings, "show": False}
            | arguments
        )
    assert not finished_below(tmp_path)


def test_a_folder_or_package_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        msnas.select(msnas.load_problem("toy", folder=str(tmp_path / "no")), show=False)
    with pytest.raises(ConfigError, match="allow: 'no_such_package' is no package"):
        msnas.select(
            msnas.load_problem("toy", allow=["no_such_package"]), output=tmp_path, show=False
        )


def test_a_senseless_option_is_refused_when_it_is_made() -> None:
    with pytest.raises(ConfigError, match=r"method\.sampling: expected uniform or fair"):
        msnas.SPOS(sampling="unfair")
    with pytest.raises(AttributeError, match="no attribute 'SPOZ'"):
        msnas.SPOZ  # noqa: B018


def test_every_public_name_is_there() -> None:
    for name in msnas.__all__:
        assert getattr(msnas, name).__name__.split(".")[-1] == name  # choose is a module, too


# ------------------------------------------------------------------ the documentation


@pytest.mark.parametrize("document", ["README.md", "docs/python.md", "docs/tutorial.md"])
def test_the_examples_run(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msnas.api

    selected = []
    select = msnas.api.select

    def quickly(*arguments: Any, settings: Mapping[str, Any] = {}, **named: Any) -> Any:
        small = {key: value for key, value in SMALL.items() if key not in (*settings, *named)}
        selected.append(select(*arguments, settings=small | settings, show=False, **named))
        return selected[-1]

    monkeypatch.setattr(msnas.api, "select", quickly)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / document).read_text()
    names: dict[str, Any] = {"__name__": "example"}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, document, "exec"), names)
    assert selected
    for best in selected:
        assert best.metrics["test"]


@pytest.mark.parametrize(
    ("made", "node"),
    [
        (BinaryAUROC(), {"_target_": "torchmetrics.classification.BinaryAUROC"}),
        (
            MulticlassAccuracy(num_classes=3),
            {"_target_": "torchmetrics.classification.MulticlassAccuracy", "num_classes": 3},
        ),
        (partial(nn.Linear, in_features=2, out_features=1), {"_target_": "torch.nn.Linear",
                                                             "in_features": 2, "out_features": 1}),
        (MSE, {"_target_": "msnas.evaluation.mean_loss.MeanLoss",
               "loss": {"_target_": "msnas.losses.squared_error.SquaredError"}}),
    ],
)  # fmt: skip
def test_what_can_be_named_is_told_by_its_name(made: Any, node: dict[str, Any]) -> None:
    """So that the commands can use the run as well."""
    from msnas.problem import node_of

    assert node_of(made, key="part") == node
    assert node_of(nn.Linear(2, 1), key="part")["_target_"] == "msnas.given.Given"


class Keeping(nn.Module):
    """Without a weight: all that tells two of them apart is what they keep."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self._kept = kept

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return inputs["x"][:, :2]


class Factor:
    """What a module may keep."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.itself = self


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        ([1, 2], [1, 3]),
        ({"a": [1]}, {"a": [2]}),
        (np.ones(2), np.zeros(2)),
        (torch.ones(2), torch.zeros(2)),
        (torch.relu, torch.tanh),
        (Factor(1.0), Factor(2.0)),
    ],
    ids=["number", "list", "dictionary", "array", "tensor", "function", "object"],
)
def test_an_object_is_told_by_all_that_it_keeps(one: Any, other: Any) -> None:
    from msnas.given import give

    first, again, second = (give(Keeping(kept))["content"] for kept in (one, one, other))
    assert first == again
    assert first != second
