"""Any unit in, the same unit out; an event of weight 2 counts as two events do."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, compose_config, epochs
from numpy.testing import assert_allclose
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryAUROC
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

import msnas
from msnas.candidates.residual_mlp import ResidualMLP
from msnas.data.events import OWN_WEIGHT, load_events
from msnas.data.fields import ClassLabel
from msnas.data.standardised import Standardised
from msnas.errors import ConfigError, DataError
from msnas.evaluation.class_accuracy import BalancedAccuracy, ClassAccuracy, Confusion
from msnas.evaluation.class_auc import ClassAUC, ClassAUCs
from msnas.evaluation.mean_loss import MeanLoss
from msnas.evaluation.momentum_residuals import MomentumBias, MomentumResolution
from msnas.evaluation.weighted import weighted_auc, weighted_value
from msnas.given import Arrays
from msnas.losses.squared_error import SquaredError
from msnas.predict import Settings, predict
from msnas.results.result import Result
from msnas.run import run

EURO = 1e5
EVENTS = 400
SHORT = {f"recipe.{stage}.epochs": 3 for stage in ("pretrain", "search", "posttrain")}


def houses(unit: float = 1.0) -> dict[str, np.ndarray]:
    """Area, rooms, age [event, 3]; price in `unit` of 100,000 euro; whether it was sold."""
    chance = np.random.default_rng(0)
    x = chance.uniform([30, 1, 0], [300, 8, 100], (EVENTS, 3))
    price = (x @ [0.03, 0.2, -0.005] + chance.normal(0, 0.2, EVENTS)) * unit
    return {"x": x, "price": price, "sold": (price < np.median(price)).astype(int)}


def problem(
    arrays: dict[str, np.ndarray] | None, metrics: Any = None, **more: Any
) -> msnas.Problem:
    """The price from area, rooms and age, and from it whether the house is sold."""
    squared = msnas.MeanLoss(loss=msnas.SquaredError())
    return msnas.Problem(
        "houses",
        arrays=arrays,
        tasks=[
            msnas.Task(
                name="value",
                inputs=["x"],
                target="price",
                output=msnas.Regression(shape=[]),
                loss=msnas.SquaredError(),
                metrics=metrics or {"mse": squared, "mae": MeanAbsoluteError()},
            ),
        ],
        candidates={
            "value": {
                name: msnas.MLP(input_size=3, layers=layers, output_shape=[])
                for name, layers in (("line", []), ("net", [8]))
            }
        },
        fields={"x": msnas.Standardised(shape=[3]), "price": msnas.Standardised()},
        **more,
    )


def select(folder: Path, arrays: dict[str, np.ndarray] | None, **more: Any) -> msnas.Selected:
    return msnas.select(
        problem(arrays, **more), "grid_search", output=folder, settings=SHORT, show=False
    )


# ------------------------------------------------------------------ the field


def test_standardised_by_hand() -> None:
    field = Standardised(shape=[2])
    raw = np.array([[1e9 + 1, 7], [1e9 + 3, 7]])
    field.fit(raw)
    assert field.scales() == {"mean": [1e9 + 2, 7], "deviation": [1, 1]}
    assert field.encode(raw).tolist() == [[-1, 0], [1, 0]]
    other = Standardised(shape=[2])
    other.restore(field.scales())
    assert other.decode(torch.tensor([[2.0, 3.0]])).tolist() == [[1e9, 10]]  # to float32
    with pytest.raises(DataError, match=r"scales of .*, expected \(3,\)"):
        Standardised(shape=[3]).restore(field.scales())


def test_it_is_fitted_to_training_events_alone() -> None:
    arrays = houses()
    fields = {"price": Standardised()}
    events = load_events(
        Arrays({"price": arrays["price"], "part": np.arange(EVENTS) % 3}),
        fields,
        events="all",
        split_seed=0,
        fractions={"train": 0.6, "valid": 0.2, "test": 0.2},
        stratify=None,
        where="houses",
    )
    train = arrays["price"][np.arange(EVENTS) % 3 == 0]
    assert_allclose(fields["price"].mean, [train.mean()], rtol=1e-12)
    assert_allclose(fields["price"].deviation, [train.std()], rtol=1e-12)
    assert events.train["price"].mean().abs() < 1e-6 < events.test["price"].mean().abs()


# ------------------------------------------------------------------ a run in the user's unit


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[msnas.Selected]:
    """Prices in units of 100,000 euro, and in euro."""
    return [
        select(
            tmp_path_factory.mktemp("houses"),
            houses(unit),
            validity={"value": {"inputs": ["x"], "variables": ["price"], "epochs": 2}},
        )
        for unit in (1.0, EURO)
    ]


def test_the_unit_changes_no_training(runs: list[msnas.Selected]) -> None:
    small, large = (run.metrics["test"] for run in runs)
    assert runs[0].chain == runs[1].chain
    assert_allclose(large["value/loss"], small["value/loss"], rtol=1e-3)
    assert_allclose(large["value/mae"], small["value/mae"] * EURO, rtol=1e-3)
    assert_allclose(large["value/mse"], small["value/mse"] * EURO**2, rtol=1e-3)
    assert_allclose(large["validity/joint"], small["validity/joint"], atol=0.02)
    assert 0.5 < large["validity/joint"] <= 1


def test_outputs_and_predictions_are_in_the_users_unit(
    runs: list[msnas.Selected],
) -> None:
    arrays, (_, best) = houses(EURO), runs
    predicted = best.predict({"x": arrays["x"]})["value"]
    assert np.corrcoef(predicted, arrays["price"])[0, 1] > 0.5
    assert abs(predicted.mean() / arrays["price"].mean() - 1) < 0.2
    with h5py.File(best.directory / "outputs.h5") as file:
        output, target = file["value/output"][:], file["value/target"][:]
        x = file["inputs/x"][:]
    rows = [int(np.argmin(np.abs(arrays["price"] - one))) for one in target]
    assert_allclose(target, arrays["price"][rows], rtol=1e-5)
    assert_allclose(x, arrays["x"][rows], rtol=1e-5, atol=1e-4)
    assert_allclose(np.abs(output - target).mean(), best.metrics["test"]["value/mae"], rtol=1e-5)
    assert_allclose(predicted[rows], output, rtol=1e-5)


@pytest.mark.slow
def test_an_exported_chain_too(runs: list[msnas.Selected], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    arrays, (_, best) = houses(EURO), runs
    best.export(tmp_path / "houses.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "houses.onnx")
    x = arrays["x"][:50].astype(np.float32)
    value, band, _ = session.run(["value", "value_band", "value_inside"], {"x": x})
    assert_allclose(value, best.predict({"x": x})["value"], rtol=1e-5)
    assert ((band[:, 0] < arrays["price"][:50]) & (arrays["price"][:50] < band[:, 1])).mean() > 0.8


def test_one_number_is_handed_on(tmp_path: Path) -> None:
    """A target [event] as the next task's input; fields that are not told are the usual ones."""
    first = msnas.Task(
        name="value",
        inputs=["x"],
        target="price",
        output=msnas.Regression(shape=[]),
        loss=msnas.SquaredError(),
        metrics={"mae": MeanAbsoluteError()},
    )
    judge = msnas.Task(
        name="judge",
        inputs=["price"],
        target="sold",
        output=msnas.Binary(),
        loss=msnas.BinaryCrossEntropy(),
        metrics={"auc": BinaryAUROC()},
    )
    width = {"width": 4, "blocks": 1, "depth": 1, "dropout": 0.0, "activation": "gelu"}
    own = msnas.Problem(
        "houses",
        arrays=houses(EURO),
        tasks=[first, judge],
        candidates={
            "value": {"line": msnas.MLP(input_size=3, layers=[], output_shape=[])},
            "judge": {
                "mlp": msnas.MLP(input_size=1, layers=[], output_shape=[]),
                "residual": ResidualMLP(input_size=1, output_shape=[], **width),
            },
        },
        fields={"x": msnas.Standardised(shape=[3]), "price": msnas.Standardised()},
        fractions={"train": 0.4, "valid": 0.3, "test": 0.3},
    )
    sold = {"_target_": "msnas.data.fields.ClassLabel", "classes": 2, "shape": []}
    assert own.nodes["data"]["fields"]["sold"] == sold
    best = msnas.select(
        own, "grid_search", task_weight=0.5, output=tmp_path, settings=SHORT, show=False
    )
    predicted = best.predict({"x": houses()["x"]})
    assert {name: one.shape for name, one in predicted.items()} == {
        "value": (EVENTS,),
        "judge": (EVENTS,),
    }
    told = Result.read(best.directory)
    assert [one["name"] for one in told.interventions["groups"]] == ["value"]
    assert told.leakage("test")["value"]["truth"] > 0


def test_a_judge_needs_what_the_data_have(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"arrays: missing 'jet', found \['price', 'sold', 'x'\]"):
        select(tmp_path, houses(), validity={"value": {"inputs": ["jet"], "variables": ["price"]}})
    with pytest.raises(ConfigError, match=r"validity: found 'vlaue', expected some of \['value'\]"):
        problem(houses(), validity={"vlaue": {}})
    assert not any(tmp_path.iterdir())


# ------------------------------------------------------------------ weights of events


def numbers(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).normal(size=shape)).float()


CLASSES = torch.arange(40) % 3
WEIGHTED: dict[str, tuple[Callable[[], Metric], Tensor, Tensor]] = {
    "auc": (BinaryAUROC, numbers(40).round(decimals=1), CLASSES % 2),
    "auc of two objects": (BinaryAUROC, numbers(40, 2), CLASSES.view(-1, 1).expand(-1, 2) % 2),
    "class auc": (lambda: ClassAUC(class_index=2), numbers(40, 3), CLASSES),
    "class aucs": (lambda: ClassAUCs(classes=["a", "b", "c"]), numbers(40, 3), CLASSES),
    "accuracy": (ClassAccuracy, numbers(40, 3), CLASSES),
    "accuracy of a class": (lambda: ClassAccuracy(class_index=1), numbers(40, 3), CLASSES),
    "balanced accuracy": (lambda: BalancedAccuracy(classes=3), numbers(40, 3), CLASSES),
    "confusion": (lambda: Confusion(classes=["a", "b", "c"]), numbers(40, 3), CLASSES),
    "mean loss": (lambda: MeanLoss(loss=SquaredError()), numbers(40, 3), numbers(40, 3) ** 2),
    "mse": (MeanSquaredError, numbers(40), numbers(40) ** 2),
    "rmse": (lambda: MeanSquaredError(squared=False), numbers(40), numbers(40) ** 2),
    "mae": (MeanAbsoluteError, numbers(40, 2), numbers(40, 2) ** 2),
}


@pytest.mark.parametrize("case", WEIGHTED)
def test_an_event_of_weight_3_counts_as_three(case: str) -> None:
    make, output, target = WEIGHTED[case]
    weight = torch.arange(40) % 4
    weighted = weighted_value(make(), output, target, weight.float())
    repeated = [one.repeat_interleave(weight, 0) for one in (output, target)]
    assert_allclose(weighted, weighted_value(make(), *repeated, None), rtol=1e-6)
    assert not np.allclose(weighted, weighted_value(make(), output, target, None))
    # the unit of weights does not matter, but where they are counted
    doubled = weighted_value(make(), output, target, 2 * weight.float())
    assert_allclose(doubled, weighted * (2 if case == "confusion" else 1), rtol=1e-6)


@pytest.mark.parametrize("kind", [MomentumBias, MomentumResolution])
def test_a_quantile_of_weighted_residuals(kind: type) -> None:
    """Without interpolation between events, which many make small."""
    truth = numbers(4000, 1, 3)
    output, weight = truth + numbers(4000, 1, 3).flip(0), torch.arange(4000) % 4
    made = kind(variables=["pt", "eta", "phi"])
    repeated = [one.repeat_interleave(weight, 0) for one in (output, truth)]
    weighted = weighted_value(made, output, truth, weight.float())
    assert_allclose(weighted, weighted_value(made, *repeated, None), rtol=0.01, atol=0.002)


def test_an_area_with_negative_weights_is_its_definition() -> None:
    score, positive = numbers(40).round(decimals=1), CLASSES % 2
    weight = 0.4 + numbers(41)[1:]
    assert (weight < 0).any()
    one, zero = positive == 1, positive == 0
    kernel = torch.sign(score[one, None] - score[None, zero]) / 2 + 0.5
    both = weight[one, None] * weight[None, zero]
    assert_allclose(weighted_auc(score, positive, weight), (kernel * both).sum() / both.sum(), 1e-5)
    equal = weighted_auc(score, positive, torch.ones(40))
    assert_allclose(equal, binary_auroc(score.sigmoid(), positive), rtol=1e-6)
    with pytest.raises(
        DataError, match=r"the weights of class 1 sum to -1[0-9], expected more than 0"
    ):
        weighted_auc(score, positive, torch.where(one, -1.0, 1.0))


def test_metrics_of_a_run_are_weighted_and_those_that_cannot_be_are_refused(
    tmp_path: Path,
) -> None:
    weight = np.random.default_rng(1).choice([0.1, 1.0, 5.0], EVENTS)
    arrays = {**houses(), "weight": weight}
    best = select(tmp_path, arrays)
    with h5py.File(best.directory / "outputs.h5") as file:
        error = np.abs(file["value/output"][:] - file["value/target"][:])
        own = file["weight"][:]
    assert_allclose(best.metrics["test"]["value/mae"], np.average(error, weights=own), rtol=1e-5)
    assert abs(np.average(error, weights=own) / error.mean() - 1) > 1e-3
    folder = tmp_path / "other"
    with pytest.raises(
        ConfigError,
        match=r"tasks\.value\.metrics\.r2: R2Score takes no event weights, .* those of msnas, "
        "BinaryAUROC, MeanAbsoluteError, MeanSquaredError, and metrics whose update takes weight",
    ):
        select(folder, arrays, metrics={"r2": R2Score()})


def test_thinning_weighs_losses_alone() -> None:
    """The test part stays as it is: docs/data.md."""
    label = np.arange(EVENTS) % 2
    settings: dict[str, Any] = {
        "events": "all",
        "split_seed": 0,
        "fractions": {"train": 0.6, "valid": 0.2, "test": 0.2},
        "stratify": "label",
        "where": "made",
        "thin": {"class": 1, "fraction": 0.1},
    }
    plain = load_events(Arrays({"label": label}), {"label": ClassLabel(classes=2)}, **settings)
    assert OWN_WEIGHT not in plain.test
    assert plain.test["weight"].unique().numel() == 2
    both = Arrays({"label": label, "weight": np.full(EVENTS, 3.0)})
    weighted = load_events(both, {"label": ClassLabel(classes=2)}, **settings)
    assert weighted.test[OWN_WEIGHT].unique().tolist() == [1.0]
    assert torch.equal(weighted.test["weight"], plain.test["weight"])


# ------------------------------------------------------------------ from the command line


def test_numbers_of_a_field_are_no_classes(tmp_path: Path) -> None:
    words = ["problem=toy", "trainer=cpu", "logger=none", f"output={tmp_path}", *epochs(1)]
    with pytest.raises(DataError, match=r"data\.stratify: 'x' holds .* stratify=null"):
        run(compose_config([*words, "data.stratify=x"]), console=QUIET)


TABLE = """
    import hashlib
    from pathlib import Path
    import numpy as np
    from msnas.data.source import Source

    class Table(Source):
        def __init__(self, *, file: str) -> None:
            self.file = file

        def load(self, names):
            rows = np.loadtxt(self.file, delimiter=",")
            return {"x": rows[:, :3], **({"price": rows[:, 3]} if rows.shape[1] > 3 else {})}

        def identity(self):
            return {"sha256": hashlib.sha256(Path(self.file).read_bytes()).hexdigest()}
    """


def test_predict_reads_what_the_source_of_the_run_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "__init__.py").write_text(textwrap.dedent(TABLE))
    monkeypatch.syspath_prepend(tmp_path)
    arrays = houses(EURO)
    np.savetxt("known.csv", np.column_stack([arrays["x"], arrays["price"]]), delimiter=",")
    np.savetxt("new.csv", arrays["x"][:7], delimiter=",")
    source = importlib.import_module("tables").Table(file="known.csv")
    best = select(tmp_path / "runs", None, source=source, allow=["tables"])
    settings = Settings(run=str(best.directory), data="new.csv", out="p.h5", allow=["tables"])
    found = predict(settings)["value"]
    assert_allclose(found, best.predict({"x": arrays["x"][:7]})["value"], rtol=1e-6)
    assert np.corrcoef(found, arrays["price"][:7])[0, 1] > 0.5
    sys.modules.pop("tables")
