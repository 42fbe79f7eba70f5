"""What a run is before it starts: its task weights, its identity, and what is refused."""

from __future__ import annotations

import copy
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Compose
from omegaconf import OmegaConf

from msnas.config import plain
from msnas.errors import ConfigError, MsnasError
from msnas.identity import canonical, derived_seed, digest
from msnas.plan import make_plan
from msnas.weighting.task_weights import task_weights

TWO = ["tau_calibration", "higgs_id"]
THREE = ["a", "b", "c"]


# ------------------------------------------------------------------ task weights


@pytest.mark.parametrize("value", [0, 0.001, 0.1, 0.5, 0.9, 0.999, 1, 1.0])
def test_task_weight_is_the_first_tasks_share(value: float) -> None:
    weights = task_weights(TWO, task_weight=value)
    assert list(weights) == TWO
    assert weights["tau_calibration"] == value
    assert sum(weights.values()) == pytest.approx(1, abs=1e-15)


def test_equal_weights_by_default() -> None:
    assert task_weights(TWO) == {"tau_calibration": 0.5, "higgs_id": 0.5}
    assert task_weights(THREE) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert task_weights(TWO, given={"tau_calibration": None, "higgs_id": None}) == task_weights(TWO)


def test_given_weights_are_normalised_in_the_order_of_the_chain() -> None:
    weights = task_weights(THREE, given={"c": 5, "a": 0, "b": 15})
    assert list(weights.items()) == [("a", 0.0), ("b", 0.75), ("c", 0.25)]


@pytest.mark.parametrize(
    ("chain", "arguments", "said"),
    [
        (TWO, {"task_weight": 1.5}, r"task_weight: expected a number from 0 to 1, found 1\.5"),
        (TWO, {"task_weight": -0.1}, r"task_weight: expected a finite number >= 0, found -0\.1"),
        (TWO, {"task_weight": math.nan}, r"task_weight: .* finite number .*, found nan"),
        (TWO, {"task_weight": "half"}, r"task_weight: expected a number .*, found 'half'"),
        (TWO, {"task_weight": True}, r"task_weight: expected a number .*, found True"),
        (THREE, {"task_weight": 0.5}, r"task_weight=0\.5: only for a chain of two .*task_weights"),
        (["a"], {"task_weight": 0.5}, r"task_weight=0\.5: only for a chain of two tasks"),
        (THREE, {"given": {"a": 1, "b": 1}}, r"task_weights\.c: missing; give all or none"),
        (THREE, {"given": {"a": 0, "b": 0, "c": 0}}, r"task_weights: at least one .* above 0"),
        (THREE, {"given": {"a": 1, "b": -1, "c": 1}}, r"task_weights\.b: .* >= 0, found -1"),
        (THREE, {"given": {"a": math.inf, "b": 1, "c": 1}}, r"task_weights\.a: .*found inf"),
        (THREE, {"given": {"a": 1, "b": 1, "c": 1, "d": 1}}, r"task_weights\.d: not a task; .*'a'"),
        (
            TWO,
            {"task_weight": 0.5, "given": {"tau_calibration": 1, "higgs_id": 1}},
            r"task_weight and task_weights exclude each other",
        ),
    ],
)
def test_senseless_weights_are_refused(
    chain: list[str], arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        task_weights(chain, **arguments)


# ------------------------------------------------------------------ identity


def test_numbers_are_typed_before_they_are_compared() -> None:
    assert digest({"a": 0}) == digest({"a": 0.0}) == digest({"a": -0.0})
    assert digest({"a": 1e-3}) == digest({"a": 0.001})
    assert digest({"a": 100}) == digest({"a": 1e2})
    different = [0, 1, True, False, "1", "1.0", None, 0.1, 0.1 + 1e-17 + 1e-16, [1], {"1": 1}]
    assert len({digest(one) for one in different}) == len(different)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest((1, 2)) == digest([1, 2])


def test_what_has_no_identity_is_refused() -> None:
    with pytest.raises(TypeError, match="has no identity"):
        canonical({"a": object()})


def test_derived_seeds_differ_by_every_part() -> None:
    parts = [(0, "search", 1), (1, "search", 1), (0, "pretrain", 1), (0, "search", 2), (0, "s", 1)]
    seeds = {derived_seed(*one) for one in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= one < 2**63 for one in seeds)
    assert derived_seed(0, "search", 1) == derived_seed(0.0, "search", 1)


def test_a_key_is_16_hexadecimal_digits_and_names_the_directory(compose: Compose) -> None:
    plan = make_plan(compose())
    assert len(plan.key) == 16
    assert int(plan.key, 16) >= 0
    assert plan.directory == Path(plan.config["output"]) / "htautau" / "spos" / plan.key
    assert plan.key == make_plan(compose()).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["task_weight=0"], ["task_weight=0.0"]),
        (["task_weight=1"], ["task_weight=1.0"]),
        (["task_weight=0.9"], ["task_weights.tau_calibration=9", "task_weights.higgs_id=1"]),
        (["task_weight=0.1"], ["task_weights.tau_calibration=1", "task_weights.higgs_id=9"]),
        (["task_weight=0.999"], ["task_weights.tau_calibration=999", "task_weights.higgs_id=1"]),
        ([], ["task_weight=0.5"]),
        (["recipe.optimizer.lr=1e-3"], ["recipe.optimizer.lr=0.001"]),
        ([], ["data.events=300"]),
    ],
)
def test_the_same_run_in_other_words_has_the_same_key(
    compose: Compose, one: list[str], other: list[str]
) -> None:
    assert make_plan(compose(*one)).key == make_plan(compose(*other)).key


@pytest.mark.parametrize(
    "override",
    ["output=elsewhere", "logger=csv", "logger=wandb", "logger=tensorboard", "force=true"],
)
def test_what_changes_no_number_does_not_change_the_key(compose: Compose, override: str) -> None:
    assert make_plan(compose(override)).key == make_plan(compose()).key


def test_the_same_events_under_another_name_have_the_same_key(
    compose: Compose, event_file: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "another name.h5"
    shutil.copy(event_file, copied)
    cfg = OmegaConf.merge(compose(), {"data": {"file": str(copied)}})
    assert make_plan(cfg).key == make_plan(compose()).key
    with copied.open("ab") as file:
        file.write(b"\0")
    assert make_plan(cfg).key != make_plan(compose()).key


def leaves(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values that are no mapping and no filled list."""
    if isinstance(node, dict | list) and node:
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(child, (*place, key))
    else:
        yield place


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return {"None": 0.25, "[]": [3], "{}": {"more": 1}}[str(value)]


def test_every_other_setting_changes_the_key_or_is_refused(compose: Compose) -> None:
    config = plain(compose())
    reference = make_plan(config).key
    same, refused, other = set(), set(), set()
    for place in leaves(config):
        varied = copy.deepcopy(config)
        node = varied
        for part in place[:-1]:
            node = node[part]
        node[place[-1]] = changed(node[place[-1]])
        name = ".".join(map(str, place))
        try:
            key = make_plan(varied).key
        except MsnasError:
            refused.add(name)
        else:
            (same if key == reference else other).add(name)
    assert "trainer.precision" in refused
    assert make_plan(compose("trainer.precision=bf16-mixed")).key != reference
    groups = {"output", "logger", "force", "data", "scale"}
    words = {name for name in same if name.startswith("tasks.")}
    assert words == {
        "tasks.higgs_id.words.label",
        "tasks.tau_calibration.words.label",
        "tasks.tau_calibration.words.metrics.mse.unit",
        *(f"tasks.tau_calibration.words.objects.{place}" for place in range(2)),
        *(f"tasks.tau_calibration.words.variables.{place}" for place in range(3)),
    }
    assert {name.split(".")[0] for name in same - words} <= groups
    # what frame and augment refer to has reached them already
    referred_to = {"data.momenta.0", "data.momenta.1", "data.images.0"}
    assert {name for name in same if name.startswith("data.")} == {"data.file", *referred_to}
    assert {"output", "force"} <= same
    assert other >= {
        "seed",
        "task_weight",
        "pretrain.enabled",
        "data.events",
        "data.split_seed",
        "data.fractions.test",
        "data.fields.jet.shape.0",
        "recipe.optimizer.lr",
        "recipe.optimizer._target_",
        "recipe.pretrain.epochs",
        "recipe.search.patience",
        "recipe.posttrain.batch",
        "recipe.evaluation_batch",
        "trainer.threads",
        "method.name",
        "method._target_",
        "method.sampling",
        "method.validation_chains",
        "weighting._target_",
        "tasks.tau_calibration.loss.reduction",
        "tasks.tau_calibration.output.shape.1",
        "tasks.tau_calibration.candidates.mlp.image_layers.0",
        "tasks.higgs_id.candidates.mass.layers.0",
        "tasks.higgs_id.metrics.auc._target_",
        "problem.name",
    }
    # a value that names something else is checked, not hashed
    assert refused >= {"problem.chain.0", "tasks.higgs_id.inputs.0", "tasks.higgs_id.target"}


def test_another_set_of_candidates_is_another_run(compose: Compose) -> None:
    keys = {
        make_plan(compose(*one)).key
        for one in (
            [],
            ["candidate/tau_calibration=[mlp]"],
            ["candidate/tau_calibration=[cnn,sf]"],
            ["candidate/tau_calibration=[mlp,cnn,sf]"],
            ["loss@tasks.tau_calibration.loss=squared_error"],
        )
    }
    assert len(keys) == 5


# ------------------------------------------------------------------ what is refused


def test_a_candidate_that_reads_what_it_must_not_is_refused(compose: Compose) -> None:
    reads = "tasks.higgs_id.candidates.side.reads"
    words = ["candidate/higgs_id=[side]", f"{reads}=[tau,label]"]
    with pytest.raises(ConfigError, match=rf"{reads}: 'label' is neither .* 'jet', 'tau'\]"):
        make_plan(compose(*words))


JUDGE = {
    **plain(OmegaConf.load(ROOT / "conf" / "validity" / "paper.yaml")),
    "inputs": ["jets"],
    "variables": ["pt"],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"problem": {"chain": ["tau_calibration", "tau"]}},
            r"problem\.chain: 'tau' is not a task; tasks are \['higgs_id', 'tau_calibration'\]",
        ),
        ({"problem": {"chain": []}}, r"problem\.chain: expected different tasks, found \[\]"),
        (
            {"problem": {"chain": ["higgs_id", "higgs_id"]}},
            r"problem\.chain: expected different tasks, found \['higgs_id', 'higgs_id'\]",
        ),
        (
            {"tasks": {"higgs_id": {"inputs": ["taus"]}}},
            r"tasks\.higgs_id\.inputs: 'taus' is neither .* allowed are \['image', 'jet', 'tau'\]",
        ),
        (
            {"tasks": {"higgs_id": {"inputs": ["label"]}}},
            r"tasks\.higgs_id\.inputs: 'label' is neither",
        ),
        (
            {"tasks": {"tau_calibration": {"inputs": ["jet", "tau"]}}},
            r"tasks\.tau_calibration\.inputs: 'tau' is neither .* \['image', 'jet'\]",
        ),
        (
            {"problem": {"chain": ["higgs_id", "tau_calibration"]}},
            r"tasks\.higgs_id\.inputs: 'tau' is neither",
        ),
        (
            {"tasks": {"higgs_id": {"target": "higgs"}}},
            r"tasks\.higgs_id\.target: 'higgs' is not a field; fields are \['image', 'jet', 'la",
        ),
        (
            {"tasks": {"tau_calibration": {"validity": JUDGE}}},
            r"tasks\.tau_calibration\.validity: 'jets' is not a field; fields are",
        ),
        ({"seed": -1}, r"seed: expected a whole number >= 0, found -1"),
        ({"seed": "first"}, r"seed: expected a whole number >= 0, found 'first'"),
        ({"recipe": {"search": {"epochs": 0}}}, r"recipe\.search\.epochs: .*>= 1, found 0"),
        ({"recipe": {"pretrain": {"batch": 1.5}}}, r"recipe\.pretrain\.batch: .*found 1\.5"),
        ({"recipe": {"evaluation_batch": True}}, r"recipe\.evaluation_batch: .*found True"),
        ({"trainer": {"threads": 0}}, r"trainer\.threads: .* from 1 to 1024, found 0"),
        ({"trainer": {"accelerator": "tpu"}}, r"trainer\.accelerator: .*found 'tpu'"),
        ({"pretrain": {"enabled": "perhaps"}}, r"pretrain\.enabled: expected true or false, found"),
        ({"force": 1}, r"force: expected true, false or all, found 1"),
    ],
)
def test_a_run_that_cannot_be_is_refused_by_name(
    compose: Compose, changes: dict[str, Any], said: str
) -> None:
    cfg = OmegaConf.merge(compose(), changes)
    with pytest.raises(ConfigError, match=f"^{said}"):
        make_plan(cfg)


def test_a_task_without_candidates_says_how_to_choose_some(compose: Compose) -> None:
    cfg = compose("candidate/higgs_id=[]")
    with pytest.raises(ConfigError, match=r"^candidate/higgs_id: no candidate; .*=\[\.\.\.\]"):
        make_plan(cfg)


def test_a_plan_leaves_the_configuration_as_it_was(compose: Compose) -> None:
    cfg = compose()
    before = OmegaConf.to_yaml(cfg)
    make_plan(cfg)
    assert OmegaConf.to_yaml(cfg) == before


def test_a_plan_for_the_processor_imports_no_pytorch() -> None:
    """PyTorch and Lightning take seconds: a finished run or a typing error must not wait."""
    heavy = {"torch", "pytorch_lightning", "wandb", "sklearn"}
    code = f"""
import sys
from conftest import compose_config
from msnas.plan import make_plan
for problem in ("htautau", "digit_sum"):
    make_plan(compose_config([f"problem={{problem}}", "trainer=cpu", "logger=wandb"]))
print(*sorted(sys.modules.keys() & {heavy!r}))
"""
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, **path}, check=True,
    )  # fmt: skip
    assert done.stdout.split() == []
