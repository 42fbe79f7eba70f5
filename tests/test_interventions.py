"""Earlier outputs replaced by the truth: by hand, against the chain on truth, in a real run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUIET, Compose, compose_config, renew_checksums
from omegaconf import DictConfig
from torch import Tensor, nn
from torchmetrics.classification import BinaryAUROC

from msnas.auc import auc_contrast_error
from msnas.chain.chain import Chain
from msnas.chain.output import Binary, Classes, Regression
from msnas.chain.task import Task
from msnas.data.frames import TURN
from msnas.data.module import batches
from msnas.errors import ConfigError, DataError
from msnas.evaluate import main as evaluate_main
from msnas.evaluation.applied import Applied
from msnas.evaluation.evaluate import collect_outputs
from msnas.evaluation.interventions import Interventions, replace
from msnas.losses.cross_entropy import BinaryCrossEntropy, CrossEntropy
from msnas.losses.squared_error import SquaredError
from msnas.parts import Parts, make_parts, read_events
from msnas.plan import make_plan
from msnas.results.result import Result
from msnas.run import run
from msnas.training.progress import Display
from msnas.training.store import Store

EVENTS = 200


class Of(nn.Module):
    """A candidate by a formula."""

    def __init__(self, formula: Any) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        output: Tensor = self.formula(*inputs.values())
        return output


def made_events() -> dict[str, Tensor]:
    """z of two numbers, of which the first decides the label; x knows neither."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(EVENTS, 2, generator=generator)
    x = torch.randn(EVENTS, 2, generator=generator)
    return {"x": x, "z": z, "label": (z[:, 0] > 0).long()}


def made_chain(first: Any, inputs: tuple[str, ...] = ("x",)) -> Chain:
    """Task 1 by a formula, task 2 the sum of both numbers as a logit."""
    tasks = [
        Task(
            name="one",
            inputs=inputs,
            target="z",
            output=Regression(shape=[2]),
            loss=SquaredError(),
            metrics={},
        ),
        Task(
            name="two",
            inputs=("z",),
            target="label",
            output=Binary(),
            loss=BinaryCrossEntropy(),
            metrics={"auc": BinaryAUROC()},
        ),
    ]
    return Chain(
        tasks, {"one": {"a": Of(first)}, "two": {"b": Of(lambda z: 3 * z[:, 0] + z[:, 1])}}
    )


def measured(chain: Chain, part: dict[str, Tensor], words: Any = None) -> dict[str, Any]:
    path = tuple(names[0] for names in chain.names())
    outputs = collect_outputs(chain, part, paths=[path], batch=64)
    events = Applied(chain=chain, path=path, events=part, outputs=outputs)
    return Interventions(chain, part, words or {}).measure(events, valid=events, batch=64)


def auc_of(scores: Tensor, label: Tensor) -> float:
    """Pairs in the right order, one by one."""
    ones, zeros = scores[label == 1], scores[label == 0]
    return float((ones[:, None] > zeros[None]).double().mean())


def test_an_honest_chain_gains_by_the_truth_as_computed_by_hand() -> None:
    part = made_events()
    z, label, seen = part["z"], part["label"], part["x"]
    found = measured(made_chain(lambda x: x), part)
    scores = {
        "nothing": 3 * seen[:, 0] + seen[:, 1],
        "z 1": 3 * z[:, 0] + seen[:, 1],
        "z 2": 3 * seen[:, 0] + z[:, 1],
        "one": 3 * z[:, 0] + z[:, 1],
    }
    assert found["base"]["two/auc"] == pytest.approx(auc_of(scores["nothing"], label), abs=1e-6)
    assert [(row["of"], row["name"]) for row in found["groups"]] == [
        ("variable", "z 1"),
        ("variable", "z 2"),
        ("task", "one"),
    ]
    for row in found["groups"]:
        own = scores[row["name"]]
        assert row["values"]["two/auc"] == pytest.approx(auc_of(own, label), abs=1e-6)
        both = torch.stack((own, scores["nothing"])).double().numpy()
        delong = auc_contrast_error(both, label.numpy(), np.array([1.0, -1.0]))
        assert row["errors"]["two/auc"] == pytest.approx(delong)
        losses = nn.functional.binary_cross_entropy_with_logits(
            torch.stack((own, scores["nothing"])), label.float().expand(2, -1), reduction="none"
        ).double()
        assert row["values"]["two/loss"] == pytest.approx(float(losses[0].mean()))
        error = float((losses[0] - losses[1]).std() / EVENTS**0.5)
        assert row["errors"]["two/loss"] == pytest.approx(error, rel=1e-5)
    # the curve begins with what is worth most by itself, and ends with all
    assert [row["name"] for row in found["curve"]] == ["z 1", "z 2"]
    assert found["curve"][-1]["values"] == found["groups"][-1]["values"]
    assert found["curve"][0]["values"]["two/auc"] > found["base"]["two/auc"] + 0.3


def test_a_chain_that_smuggles_loses_by_the_truth() -> None:
    part = made_events()
    part["told"] = part["label"].float()
    found = measured(
        made_chain(lambda x, told: torch.stack((x[:, 0], 5 * told), 1), ("x", "told")), part
    )
    gains = {
        row["name"]: row["values"]["two/auc"] - found["base"]["two/auc"] for row in found["groups"]
    }
    assert found["base"]["two/auc"] > 0.8
    assert gains["z 2"] < -0.2  # where the label was
    assert gains["z 1"] > 0


def test_what_comes_between_is_run_again() -> None:
    """Of three tasks: the truth of the first goes through the second."""
    part = made_events()
    part["w"] = torch.randn(EVENTS, 2, generator=torch.Generator().manual_seed(1))
    two = made_chain(lambda x: x)
    middle = Task(
        name="middle",
        inputs=("z",),
        target="w",
        output=Regression(shape=[2]),
        loss=SquaredError(),
        metrics={},
    )
    last = Task(**{**vars(two.tasks[1]), "inputs": ("w",)})
    chain = Chain(
        [two.tasks[0], middle, last],
        {
            "one": {"a": Of(lambda x: x)},
            "middle": {"m": Of(lambda z: z.flip(1) * torch.tensor([1.0, 5.0]))},
            "two": {"b": two.candidate(1, "b")},
        },
    )
    found = measured(chain, part)
    rows = {row["name"]: row for row in found["groups"]}
    assert list(rows) == ["z 1", "z 2", "one", "w 1", "w 2", "middle", "all tasks"]
    x, z, w, label = part["x"], part["z"], part["w"], part["label"]
    for name, scores in {
        "z 1": 3 * x[:, 1] + 5 * z[:, 0],
        "one": 3 * z[:, 1] + 5 * z[:, 0],
        "w 2": 3 * x[:, 1] + w[:, 1],
        "middle": 3 * w[:, 0] + w[:, 1],
        "all tasks": 3 * w[:, 0] + w[:, 1],  # z no longer counts
    }.items():
        assert rows[name]["values"]["two/auc"] == pytest.approx(auc_of(scores, label), abs=1e-6)
    assert len(found["curve"]) == 4
    assert found["curve"][-1]["values"] == rows["all tasks"]["values"]


def test_classes_are_replaced_object_by_object_as_one_hot() -> None:
    part = {"x": torch.zeros(EVENTS, 1), "digits": torch.arange(2 * EVENTS).view(-1, 2) % 3}
    part["label"] = (part["digits"].sum(1) > 2).long()
    digits = Task(
        name="digits",
        inputs=("x",),
        target="digits",
        output=Classes(shape=[2, 3]),
        loss=CrossEntropy(),
        metrics={},
    )
    last = Task(**{**vars(made_chain(None).tasks[1]), "inputs": ("digits",)})
    numbers = torch.arange(3.0)
    chain = Chain(
        [digits, last],
        {
            "digits": {"none": Of(lambda x: torch.zeros(len(x), 2, 3))},
            "two": {"sum": Of(lambda shares: (shares @ numbers).sum(1))},
        },
    )
    words = {"digits": {"objects": ["left", "right"], "label": "digit"}}
    found = measured(chain, part, words)
    rows = {row["name"]: (row["of"], row["values"]["two/auc"]) for row in found["groups"]}
    assert list(rows) == ["left", "right", "digit"]
    assert rows["digit"] == ("task", 1.0)
    # probabilities 1/3 each are worth 1: one known digit and the mean of the other
    label, ties = part["label"], part["digits"][:, 0].double()
    ones, zeros = ties[label == 1], ties[label == 0]
    pairs = (ones[:, None] > zeros).double() + (ones[:, None] == zeros) / 2
    assert rows["left"] == ("object", pytest.approx(float(pairs.mean()), abs=1e-6))


def test_replacing_keeps_all_else() -> None:
    handed, truth = torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    mask = torch.tensor([[True, False, False], [False, False, True]])
    found = replace(handed, truth, mask)
    assert (found[:, mask] == truth[:, mask]).all()
    assert (found[:, ~mask] == handed[:, ~mask]).all()


def parts_of(cfg: DictConfig, output: Path) -> Parts:
    plan = make_plan(cfg)
    return make_parts(
        plan, read_events(plan), store=Store(output / "cache"), display=Display(QUIET)
    )


@pytest.mark.parametrize("frame", ["detector", "canonical"])
def test_with_all_taus_true_the_classifier_is_what_it_is_on_truth(
    compose: Compose, tmp_path: Path, frame: str
) -> None:
    """Bit for bit, for every classifier; and an event replaced in a frame is one replaced out."""
    parts = parts_of(compose(f"frame={frame}", "recipe.evaluation_batch=50"), tmp_path)
    chain, test = parts.chain, parts.events.test
    for path in (("sf", "mlp"), ("mlp", "mass")):
        found = parts.scoring.again(chain, path, "test", None, {})["interventions"]
        rows = {row["name"]: row["values"] for row in found["groups"]}
        assert list(rows) == ["pT", "eta", "phi", "tau 1", "tau 2", "tau calibration"]
        with torch.no_grad():
            alone = [chain.run_on_truth(some, 1, path[1]) for some in batches(test, 50)]
            task = chain.tasks[1]
            own = task.measure(torch.cat(alone), test)
            own["higgs_id/loss"] = float(task.mean_loss(torch.cat(alone), test))
        assert rows["tau calibration"] == own
        assert found["curve"][-1]["values"] == own
        assert rows["pT"] != own
    if frame == "detector":
        return
    output = collect_outputs(chain, test, paths=[("sf", "mlp")], batch=50)["sf",]
    back = chain.tasks[0].output.turn_back
    for place in range(6):
        mask = torch.arange(6).view(2, 3) == place
        inside = back(replace(output, test["tau"], mask), test[TURN])
        assert torch.equal(
            inside, replace(back(output, test[TURN]), back(test["tau"], test[TURN]), mask)
        )


def test_words_of_another_number_are_refused_before_anything_is_trained(
    compose: Compose,
) -> None:
    cfg = compose("tasks.tau_calibration.words.objects=[a,b,c]")
    with pytest.raises(
        ConfigError, match=r"calibration\.words\.objects: found 3 names, expected 2"
    ):
        run(cfg, console=QUIET)
    assert make_plan(cfg).key == make_plan(compose()).key


def test_a_run_tells_what_the_truth_would_be_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["problem=toy", "data.events=300", "trainer=cpu", "logger=none", f"output={tmp_path}"]
    epochs = [f"recipe.{stage}.epochs=1" for stage in ("pretrain", "search", "posttrain")]
    cfg = compose_config([*words, *epochs, "method=fixed_chain"])
    result = run(cfg)
    told = result["interventions"]
    assert told["base"]["toy_classification/auc"] == result["metrics"]["test"][told["ordered_by"]]
    assert [row["name"] for row in told["groups"]] == ["z 1", "z 2", "z 3", "toy_regression"]
    assert "with the truth in place of earlier outputs" in " ".join(capsys.readouterr().out.split())
    (directory,) = (path.parent for path in tmp_path.rglob("result.json"))
    assert Result.read(directory).interventions == told
    # the command measures the same again, and on validation events
    for part in ("test", "valid"):
        out = tmp_path / f"{part}.json"
        evaluate_main([f"run={directory}", f"part={part}", f"out={out}"])
        (again,) = json.loads(out.read_text())
        assert (again["interventions"] == told) == (part == "test")
    assert "toy_regression" in capsys.readouterr().out
    # rows that do not fit are refused
    content = json.loads((directory / "result.json").read_text())
    content["interventions"]["curve"][1]["errors"].pop("toy_classification/auc")
    (directory / "result.json").write_text(json.dumps(content))
    renew_checksums(directory)
    with pytest.raises(DataError, match="has other numbers than base"):
        Result.read(directory)


def test_a_chain_of_one_task_has_nothing_to_replace(jet_file: Path, tmp_path: Path) -> None:
    cfg = compose_config(
        [
            "problem=tau_vs_jet",
            f"data.file={jet_file}",
            "data.events=300",
            "trainer=cpu",
            "candidate/tau_id=[residual_mlp]",
        ]
    )
    parts = parts_of(cfg, tmp_path)
    found = parts.scoring.again(parts.chain, parts.chain.paths()[0], "test", None, {})
    assert found["interventions"] == found["leakage"] == {}
