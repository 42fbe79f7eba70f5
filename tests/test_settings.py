"""A configuration refuses what it does not know: one line, with the nearest of what it knows."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import compose_config
from killable_run import python

from msnas.errors import ConfigError
from msnas.pipeline import ready_parts
from msnas.plan import Plan, make_plan
from msnas.settings import check_scan_settings
from msnas.terminal import terminal
from msnas.training.course import clipping
from msnas.training.progress import Display
from msnas.training.train import _make_trainer

TOY = ("problem=toy", "trainer=cpu", "logger=none")


def planned(*overrides: str) -> Plan:
    """What the command line is, as a scan composes it."""
    return make_plan(compose_config([*TOY, *overrides]))


def refused(*overrides: str) -> str:
    """What a command line is told before anything runs."""
    with pytest.raises(ConfigError) as error:
        planned(*overrides)
    text = str(error.value)
    assert "\n" not in text
    return text


UNKNOWN = (
    ("conditioning.draws=3", "conditioning.draws: unknown; conditioning has no settings here"),
    ("seeed=1", "seeed: unknown; did you mean seed? known: "),
    ("+seeed=1", "seeed: unknown; did you mean seed? known: "),
    ("++seeed=1", "seeed: unknown; did you mean seed? known: "),
    ("taskweight=0.9", "taskweight: unknown; did you mean task_weight? known: "),
    ("+taskweight=0.9", "taskweight: unknown; did you mean task_weight? known: "),
    ("methd=darts", "methd: unknown; did you mean method? known: "),
    ("experimnt=fig5", "experimnt: unknown; did you mean experiment? known: "),
    ("+problem.x=1", "problem.x: unknown; known: name, chain, reference_chain"),
    ("+pretrain.enable=false", "pretrain.enable: unknown; did you mean pretrain.enabled? known: "),
    (
        "+recipe.search.epoch=3",
        "recipe.search.epoch: unknown; did you mean recipe.search.epochs? "
        "known: batch, epochs, patience",
    ),
    (
        "recipe.search.epoch=3",
        "recipe.search.epoch: unknown; did you mean recipe.search.epochs? "
        "known: batch, epochs, patience",
    ),
    ("+recipe.serch.epochs=3", "recipe.serch: unknown; did you mean recipe.search? known: "),
    ("+data.filee=x", "data.filee: unknown; did you mean data.file? known: file, events, "),
    ("+data.fractions.tset=1", "data.fractions.tset: unknown; did you mean data.fractions.test? "),
    ("+data.thin={clas:1,fraction:0.1}", "data.thin.clas: unknown; did you mean data.thin.class?"),
    ("+tasks.toy_regression.metric={}", "tasks.toy_regression.metric: unknown; did you mean tasks"),
    ("+tasks.toy_regresion.loss=null", "tasks.toy_regresion: unknown; did you mean tasks.toy_re"),
    ("~tasks.toy_regression.los", "tasks.toy_regression.los: unknown; did you mean tasks.toy_regr"),
    ("task_weights.toy=1", "task_weights.toy: unknown; "),
    ("+task_weights.toy=1", "task_weights.toy: not a task; the chain is ['toy_regression', "),
    ("+scale.seed=1", "scale.seed: unknown; did you mean scale.seeds? known: name, "),
    ("+dry_rn=true", "dry_rn: unknown; did you mean dry_run? "),
    # arguments of classes
    ("+method.foo=1", "method.foo: unknown; SPOS takes sampling, validation_chains, ranking, evo"),
    (
        "method.samplin=fair",
        "method.samplin: unknown; did you mean method.sampling? SPOS takes sam",
    ),
    ("+method.seed=1", "method.seed: unknown; SPOS takes sampling, "),
    ("~data.source.seed", "data.source.seed: missing; Toy takes "),
    ("+weighting.weights=[1]", "weighting.weights: unknown; Fixed takes no argum"),
    ("+recipe.optimizer.weight_deca=1", "recipe.optimizer.weight_deca: unknown; did you mean re"),
    ("recipe.optimizer.eps=1", "recipe.optimizer.eps: not given so far; add it with +recipe.opt"),
    ("+logger.project=x", "logger.project: unknown; NoTracker takes no argument"),
    ("+data.source.sed=1", "data.source.sed: unknown; did you mean data.source.seed? Toy takes "),
    ("+data.fields.x.shap=1", "data.fields.x.shap: unknown; did you mean data.fields.x.shape? Num"),
    ("+tasks.toy_regression.loss.x=1", "tasks.toy_regression.loss.x: unknown; SquaredError takes "),
    (
        "+tasks.toy_regression.metrics.mse.loss.x=1",
        "tasks.toy_regression.metrics.mse.loss.x: unknown; SquaredError takes no argument",
    ),
    (
        "+tasks.toy_regression.candidates.plane.layer=[3]",
        "tasks.toy_regression.candidates.plane.layer: unknown; did you mean tasks.toy_regression."
        "candidates.plane.layers? MLP takes ",
    ),
    (
        "tasks.toy_regression.candidates.plan.layers=[3]",
        "tasks.toy_regression.candidates.plan: unknown; did you mean tasks.toy_regression."
        "candidates.plane? known: curve, plane, line",
    ),
    # what would do nothing
    ("+data.file=x", "data.file: msnas.problems.toy.Toy reads no file; leave it out"),
    ("+data.tau_fraction=0.1", "data.tau_fraction: does nothing without data.thin; leave it out"),
    # Lightning's
    ("+trainer.gradient_clip=1", "trainer.gradient_clip: unknown; did you mean trainer.gradient_c"),
    ("trainer.deterministic=true", "trainer.deterministic: not given so far; add it with +train"),
    ("+trainer.max_epochs=3", "trainer.max_epochs: not to be set; recipe.<stage>.epochs and "),
    ("+trainer.callbacks=[]", "trainer.callbacks: not to be set; the run has its own"),
    ("+trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches: not to be set; rec"),
    ("+trainer.gradient_clip_val=-1", "trainer.gradient_clip_val: expected a number > 0 or null, "),
    ("+trainer.gradient_clip_algorithm=norm", "trainer.gradient_clip_algorithm: only with train"),
    ("+trainer.gradient_clip_algorithm=x", "trainer.gradient_clip_algorithm: expected one of ["),
    # groups
    ("method=spoos", "method: 'spoos' is no option; did you mean spos? options: asng, darts, "),
    ("loss@tasks.toy_regression.loss=x", "loss: 'x' is no option; options: affinity, binary_c"),
    ("loss@tasks.higgs_id.loss=focal", "loss@tasks.higgs_id.loss: unknown; did you mean loss@task"),
    ("candidate/toy_regresion=[mlp]", "candidate/toy_regresion: unknown; did you mean candidate/t"),
    ("candidate/higgs_id=[mlp]", "candidate/higgs_id: unknown; "),
    ("candidate/toy_regression=[lin]", "candidate/toy_regression: 'lin' is no option; did you m"),
    # not overrides
    ("seed", "'seed': expected key=value; missing EQUAL at '<EOF>'"),
    ("seed=[1,", "'seed=[1,': expected key=value; no viable alternative at input '[1,'"),
    ("+seed=1", "seed: is there already; change it with seed=1"),
    ("seed='${nowhere}'", "seed: Interpolation key 'nowhere' not found"),
)


@pytest.mark.parametrize(("override", "said"), UNKNOWN)
def test_what_is_not_known_is_refused(override: str, said: str) -> None:
    text = refused(override)
    assert text.startswith(said)
    assert "append" not in text


RANGES = (
    ("task_weights=3", "task_weights: expected a mapping, found 3"),
    ("trainer.threads=2000", "trainer.threads: expected a whole number from 1 to 1024, found 2000"),
    ("trainer.workers=0", "trainer.workers: expected auto or a whole number >= 1, found 0"),
    ("trainer.precision=64", "trainer.precision: expected one of ['32-true', "),
    ("candidate_copies=0", "candidate_copies: expected a whole number >= 1, found 0"),
    ("data.split_seed=null", "data.split_seed: expected a whole number >= 0, found None"),
    ("data.fractions.test=.nan", "data.fractions.test: expected a number > 0, found '.nan'"),
    ("data.fractions.test=nan", "data.fractions.test: expected a number > 0, found nan"),
    ("data.events=some", "data.events: expected a number of events or all, found 'some'"),
    ("data.stratify=y", "data.stratify: 'y' is not a field; fields are ['label', 'x', 'z']"),
    ("problem.chain=x", "problem.chain: expected a list of names, found 'x'"),
    ("output=''", "output: expected a folder, found ''"),
    ("output=null", "output: expected a folder, found None"),
    ("force=yes", "force: expected true, false or all, found 'yes'"),
    ("weighting=null", "weighting: None is no option; options: aligned_mtl, "),
    ("pretrain.only=x/y", "pretrain.only: 'x/y' is not a candidate; allowed are ['toy_regression/"),
    ("~recipe.search.batch", "recipe.search.batch: missing"),
    ("tasks.toy_regression.loss=3", "tasks.toy_regression.loss: expected a mapping with _target_"),
)


@pytest.mark.parametrize(("override", "said"), RANGES)
def test_types_and_ranges(override: str, said: str) -> None:
    assert refused(override).startswith(said)


def test_conditioning_is_known_too() -> None:
    assert refused("conditioning=yoto", "+conditioning.x=1").startswith("conditioning.x: unknown; ")
    assert refused("conditioning=yoto", "conditioning.layers=[0]") == (
        "conditioning.layers: expected whole numbers > 0, found [0]"
    )
    law = refused("conditioning=yoto", "+conditioning.laws.gamma.hihg=1")
    assert law.startswith("conditioning.laws.gamma.hihg: unknown; did you mean conditioning.laws.")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dry_run": "x"}, "dry_run: expected true or false, found 'x'"),
        ({"scan": {"nam": "x"}}, "scan.nam: unknown; did you mean scan.name? known: name"),
        (
            {"scan": {"name": [1]}},
            "scan.name: expected null or a name of letters, digits, _ and, after ",
        ),
    ],
)
def test_settings_of_a_scan(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        check_scan_settings(settings)


# ------------------------------------------------------------------ what is known


def test_what_a_run_has_written_may_hold_what_this_version_does_not_know() -> None:
    written = copy.deepcopy(planned().config)
    written["seeed"] = 1
    written["recipe"]["search"]["rate"] = 0.1
    written["trainer"]["gradient_clip"] = 1
    written["tasks"]["toy_regression"]["metric"] = {}
    plan = make_plan(written, written=True)
    assert plan.config == written
    with pytest.raises(ConfigError, match=r"^recipe\.search\.rate: unknown"):
        make_plan(written)
    written["recipe"]["search"]["batch"] = 0
    with pytest.raises(ConfigError, match=r"^recipe\.search\.batch: expected a whole number >= 1"):
        make_plan(written, written=True)


# ------------------------------------------------------------------ Lightning's settings


def test_more_of_the_trainer_is_part_of_the_key_and_arrives() -> None:
    plan = planned("+trainer.detect_anomaly=true")
    assert plan.machine["detect_anomaly"] is True
    assert plan.key != planned().key
    arguments = {"max_epochs": 1, "callbacks": [], "enable_checkpointing": False}
    assert _make_trainer(plan.machine, **arguments)._detect_anomaly is True
    assert _make_trainer(planned().machine, **arguments)._detect_anomaly is False
    with pytest.raises(ConfigError, match=r"^trainer: .*profiler"):
        _make_trainer({**plan.machine, "profiler": "nope"}, **arguments)


def test_clipping_limits_norm_or_values() -> None:
    assert clipping({}) is None
    for how, expected in (("norm", [0.6, 0.8]), ("value", [1.0, 1.0])):
        parameter = torch.nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([3.0, 4.0])
        clip = clipping({"gradient_clip_val": 1.0, "gradient_clip_algorithm": how})
        assert clip is not None
        clip([parameter])
        assert parameter.grad.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("method", ["spos", "darts"])
def test_a_clipped_training_moves_no_further_than_its_steps(tmp_path: Path, method: str) -> None:
    limit, rate = 1e-3, 1.0
    moved = []
    for more in ((), (f"+trainer.gradient_clip_val={limit}",)):
        words = [
            f"method={method}",
            f"output={tmp_path / str(len(more))}",
            "recipe.optimizer={_target_:torch.optim.SGD,lr:1.0}",
            "~recipe.optimizer.fused",
            "recipe.search.epochs=1",
            "recipe.search.batch=1500",
            "pretrain.enabled=false",
        ]
        plan = planned(*words, *more)
        parts = ready_parts(plan, Display(terminal(quiet=True)))
        before = [value.detach().clone() for value in parts.chain.parameters()]
        parts.method.choose(parts.chain, parts.fit, parts.scoring)
        after = parts.chain.parameters()
        far = sum(
            float((a.detach() - b).square().sum()) for a, b in zip(after, before, strict=True)
        )
        moved.append(far**0.5)
    steps = 2
    assert moved[1] <= steps * rate * limit * 1.001 < moved[0]
    assert moved[1] > 0


# ------------------------------------------------------------------ the commands


@pytest.mark.parametrize(
    ("script", "overrides", "said"),
    [
        ("train.py", ["taskweight=0.9"], "error: taskweight: unknown; did you mean task_weight? "),
        ("train.py", ["seed=[1,"], "error: 'seed=[1,': expected key=value; "),
        ("train.py", ["method=null"], "error: method: None is no option; options: asng, "),
        ("train.py", ["--cfg=job", "sed=1"], "error: sed: unknown; did you mean seed? "),
        ("train.py", ["+dry_run=true"], "error: dry_run: only for many runs (sweep.py "),
        ("train.py", ["hydra.jb=1"], "error: Could not override 'hydra.jb'."),
        ("train.py", ["--multirun", "sed=1"], "error: sed: unknown; did you mean seed? "),
        ("sweep.py", ["methd=spos"], "error: methd: unknown; did you mean method? "),
        ("sweep.py", ["hydra/launcher=jblib"], "error: hydra/launcher: 'jblib' is no option; did "),
        ("sweep.py", ["dry_run=x"], "error: dry_run: expected true or false, found 'x'"),
        ("sweep.py", ["+scan.nam=x"], "error: scan.nam: unknown; did you mean scan.name? "),
    ],
)
def test_a_command_says_so_in_one_line(script: str, overrides: list[str], said: str) -> None:
    done = python(script, *overrides, "trainer=cpu")
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert "append" not in done.stderr


def test_one_bad_combination_of_a_scan_is_named_beside_the_others() -> None:
    words = [*TOY, "dry_run=true", "task_weight=0.5", "seed=0", "method=grid_search,gird_search"]
    done = python("sweep.py", *words)
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "method: 'gird_search' is no option; did you mean grid_search? options: asng, " in text
    assert "1 of 1 runs to do" in text
