"""No configuration runs anything but what it may: one that is read, and one that is composed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONF, compose_config
from hostile_run import assert_refused, forge

from msnas.errors import ConfigError, DataError, MsnasError
from msnas.evaluate import Settings as EvaluateSettings
from msnas.evaluate import evaluate_run
from msnas.plan import make_plan
from msnas.results.runs import collect
from msnas.run_directory import RunDirectory
from msnas.storage import read_yaml

LOAD = "{_target_:joblib.load,filename:'extra.bin'}"

CALLS = (
    "${oc.create:" + LOAD + "}",
    "${oc.decode:" + LOAD + "}",
    "${oc.env:SECRET}",
    "${seed}",
    "${oc.env:${oc.create:" + LOAD + "}}",
    "\\${oc.create:" + LOAD + "}",
)

PLACES = (
    "tasks.toy_regression.candidates.line.layers",
    "tasks.toy_regression.loss.x",
    "tasks.toy_regression.output.shape",
    "tasks.toy_classification.metrics.auc.x",
    "tasks.toy_classification.validity",
    "data.fields.x.shape",
    "data.source.x",
    "data.file",
    "recipe.optimizer.lr",
    "method.sampling",
    "weighting.x",
    "conditioning",
    "trainer.precision",
    "logger.x",
    "output",
)


def put(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of `config` with a value at a dotted key."""
    changed = copy.deepcopy(config)
    *way, last = key.split(".")
    node = changed
    for name in way:
        node = node[name]
    node[last] = value
    return changed


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_resolved_in_a_configuration_that_is_read(
    theirs: Path, tmp_path: Path, place: str
) -> None:
    config = RunDirectory(theirs).config()
    for call in CALLS:
        forge(theirs, config=put(config, place, call))
        assert_refused(
            theirs, tmp_path, said=rf"config\.yaml: {place}.*references are not resolved here"
        )
    forge(theirs, config=put(config, place, {CALLS[0]: 1}))
    assert_refused(
        theirs, tmp_path, said=rf"config\.yaml: {place}.*references are not resolved here"
    )


TARGETS = (
    "joblib.load",
    "pandas.read_pickle",
    "torch.hub.load",
    "torch.load",
    "torch.utils.cpp_extension.load",
    "numpy.savetxt",
    "numpy.load",
    "os.system",
    "builtins.exec",
    "subprocess.Popen",
    "hydra.utils.instantiate",
    "omegaconf.OmegaConf.create",
    "pathlib.Path",
    "msnas.storage.yaml.load",
    "msnas.build.importlib.import_module",
    "msnas.training.store.read_torch",
    "msnas.training.store.Store",
    "msnas.data.event_file.EventFile",
    "torch.optim.Adam",
    "torch.nn.Module.__class__",
    "torch.nn.modules.module.torch.hub.load",
    "torchmetrics.text.BERTScore",
    "torchmetrics.image.fid.FrechetInceptionDistance",
    "msnas..candidates",
    "..",
    7,
)


@pytest.mark.parametrize("target", TARGETS)
def test_only_modules_of_named_packages_become_candidates(
    theirs: Path, tmp_path: Path, target: object
) -> None:
    config = RunDirectory(theirs).config()
    node = {"_target_": target, "filename": "extra.bin"}
    for chosen in ("curve", "plane", "line", "trigger", "logistic", "cautious"):
        task = "toy_regression" if chosen in ("curve", "plane", "line") else "toy_classification"
        config = put(config, f"tasks.{task}.candidates.{chosen}", node)
    forge(theirs, config=config)
    with pytest.raises(MsnasError, match=r"_target_"):
        evaluate_run(EvaluateSettings(run=str(theirs)), {})
    nested = {"_target_": "torch.nn.Identity", "x": [node]}
    forge(theirs, config=put(config, "tasks.toy_regression.loss", nested))
    with pytest.raises(MsnasError, match=r"_target_"):
        evaluate_run(EvaluateSettings(run=str(theirs)), {})
    assert not (tmp_path / "mark").exists()


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)

CONFIGURATIONS = {
    "a tag": '!!python/object/apply:pathlib.Path.touch ["mark"]\n',
    "a bomb": BOMB,
    "a bomb of keys": BOMB.replace("[", "{? [").replace("]\n", "] : 1}\n"),
    "an alias in itself": "a: &a [*a]\n",
    "deep lists": "a: " + "[" * 100_000,
    "deep mappings": "{a: " * 5_000 + "1" + "}" * 5_000,
    "deep blocks": "".join(f"{' ' * n}a:\n" for n in range(2_000)),
    "a number too long": "a: " + "9" * 10_000,
    "a date": "problem: 2001-01-01\n",
    "bytes": "problem: !!binary aGVsbG8=\n",
    "a set": "problem: !!set {a, b}\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "nothing": "",
    "a list": "[1, 2]",
    "text": "hello",
    "no YAML": "a: [1\nb: }",
    "control characters": "a: \x00\x01",
    "numbers as keys": "{1: 2}",
    "wrong types": "{problem: 1, tasks: [], data: x, method: null}",
    "a task that is none": "{problem: {name: toy, chain: [a]}, tasks: {}, data: {}, method: {}}",
    "a path as a name": "{problem: {name: ../x, chain: []}, tasks: {}, data: {}, method: {}}",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_that_is_none_is_named(theirs: Path, tmp_path: Path, name: str) -> None:
    forge(theirs, config=CONFIGURATIONS[name])
    assert_refused(theirs, tmp_path, said=r"config\.yaml")
    (other,) = collect([tmp_path / "theirs"]).others
    assert "config.yaml" in other.reason


SIZES = {
    "tasks.toy_regression.candidates.line.output_size": 10**13,
    "tasks.toy_regression.candidates.curve.layers": [10**7, 10**7],
    "tasks.toy_regression.candidates.plane.layers": {"a": 1},
    "tasks.toy_regression.output.shape": [-1],
    "data.fields.x.shape": [10**9],
    "data.fractions": {"train": 1e400},
    "data.events": -5,
    "trainer.threads": 10**9,
    "recipe.evaluation_batch": 0,
    "problem.chain": ["toy_classification", "toy_regression"],
    "method._target_": "msnas.methods.method.Method",
}


@pytest.mark.parametrize("key", SIZES)
def test_sizes_and_types_that_make_no_sense_are_errors(theirs: Path, key: str) -> None:
    config = put(RunDirectory(theirs).config(), key, SIZES[key])
    if "candidates" in key:  # whatever was selected
        one = config["tasks"]["toy_regression"]["candidates"][key.split(".")[3]]
        config["tasks"]["toy_regression"]["candidates"] = dict.fromkeys(
            ("curve", "plane", "line"), one
        )
    forge(theirs, config=config)
    with pytest.raises(MsnasError):
        evaluate_run(EvaluateSettings(run=str(theirs)), {})


REFUSED = (
    "task_weight='${oc.create:{_target_:joblib.load,filename:x}}'",
    "data.file='${oc.decode:abc}'",
    "data.file='${now:%Y}'",
    "data.file='${hydra:runtime.cwd}'",
    "data.file='${oc.env:${oc.create:{a:b}}}'",
    "data.file='${oc.select:${oc.decode:a},b}'",
    "data.file='${${resolver}:x}'",
    "data.file='${oc.deprecated:seed}'",
    "data.file='${oc.dict.keys:recipe}'",
    r"data.file='\${oc.create:{_target_:joblib.load,filename:x}}'",
    r"data.file='\${oc.env:SECRET}'",
    "+tasks.tau_calibration.candidates.sf.x=[{a:'${oc.create:{b:c}}'}]",
    "problem.name=../../X",
    "problem.name=/X",
    "problem.name=.x",
    "problem.name=''",
    "method.name=../../../X",
    "method.name='a b'",
    "method.name=" + "x" * 200,
    "+tasks.tau_calibration.candidates.sf.grid={x:[a/b]}",
)


@pytest.mark.parametrize("override", REFUSED)
def test_what_a_configuration_may_not_say(override: str) -> None:
    with pytest.raises(ConfigError, match=r"refer to others|resolved here|is no name"):
        make_plan(compose_config([override]))


def test_a_configuration_may_refer_to_settings_and_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVENTS", str(CONF.parent / "data" / "htautau.h5"))
    words = ["trainer=cpu", "data.file='${oc.env:EVENTS}'", "seed='${data.split_seed}'"]
    plan = make_plan(compose_config([*words, "output='${oc.select:nowhere,runs}'"]))
    assert plan.config["data"]["file"].endswith("htautau.h5")
    assert (plan.config["seed"], plan.config["output"]) == (0, "runs")


def test_yaml_with_a_few_aliases_is_read(tmp_path: Path) -> None:
    """As an earlier version wrote it where two settings were the same object."""
    path = tmp_path / "config.yaml"
    path.write_text("a: &id001 [1, 2]\nb: *id001\n")
    assert read_yaml(path) == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb:\n  c: [1, 2]\nd:\n- x\n- y\n# end\n",
        "a: 1\nb: 2\na: 3\n",  # the last counts, at the first place
        "a: &x {p: 1}\nb: *x\n",
        "base: {p: 1, q: 1}\nq: 2\n<<: {q: 3, r: 4}\n",
        "a: 'text\n  in: lines'\nb: 1\n",
        'a: "text\nb: 1"\n',
        "a: [\nb: 1]\n",
        "a: |\n  b: 1\nc: 2\n",
        "a: 1\n? b\n: 2\nc: 3\n",
        "a:b\nc: 1\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\n...\nb: 2\n",
        "a: 1\rb: 2\n",
        "x y: 1\nb: 2\n",
        "",
        "- a\n- b: 1\n",
    ],
    ids=lambda text: re.sub(r"\W+", "-", text) or "empty",
)
def test_a_mapping_read_by_its_parts_is_the_whole(text: str, tmp_path: Path) -> None:
    """As PyYAML reads all of it at once, order of keys included; and twice, as a copy."""
    path = tmp_path / "config.yaml"
    path.write_text(text, newline="")
    for _ in range(2):
        try:
            expected = yaml.safe_load(path.read_text())
        except yaml.YAMLError:
            with pytest.raises(DataError, match="cannot be read"):
                read_yaml(path)
            continue
        found = read_yaml(path)
        assert repr(found) == repr(expected)
        if isinstance(found, dict):
            found.clear()
