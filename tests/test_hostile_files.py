"""Nothing that is read runs: run directories, stores, scans and configurations of somebody else."""

from __future__ import annotations

import copy
import io
import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import CONF, compose_config, renew_checksums
from rich.console import Console

from msnas.compare.__main__ import Settings as CompareSettings
from msnas.compare.__main__ import compare
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.evaluate import Settings as EvaluateSettings
from msnas.evaluate import evaluate_run
from msnas.plan import make_plan
from msnas.predict import Settings as PredictSettings
from msnas.predict import predict
from msnas.report.build import build_report
from msnas.report.collect import collect_runs
from msnas.report.figure import Figure
from msnas.report.scan import Scan
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.storage import read_record, read_yaml, write_record
from msnas.training.store import read_torch

QUIET = Console(quiet=True)
SECRET = "a-secret-of-the-environment"
TINY = [f"recipe.{stage}.epochs=1" for stage in ("pretrain", "search", "posttrain")]


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its store."""
    output = tmp_path_factory.mktemp("finished") / "runs"
    words = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none", f"output={output}"]
    run(compose_config([*words, *TINY]), console=QUIET)
    return output


@pytest.fixture
def theirs(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run directory, to be made hostile; a pickled trap lies in it."""
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    (directory,) = (path.parent for path in finished.rglob("result.json"))
    copied = tmp_path / "theirs" / "toy" / "spos" / directory.name
    shutil.copytree(directory, copied)
    (tmp_path / "extra.bin").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    return copied


def forge(directory: Path, *, config: Any = None, result: Any = None) -> None:
    """Give a run other files, with checksums that fit."""
    if config is not None:
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        (directory / "config.yaml").write_text(text)
    if result is not None:
        (directory / "result.json").write_text(json.dumps(result))
    renew_checksums(directory)


def doors(directory: Path, tmp_path: Path) -> list[Callable[[], object]]:
    """Everything that reads a run directory."""
    data = tmp_path / "missing.h5"
    return [
        lambda: evaluate_run(EvaluateSettings(run=str(directory)), {}),
        lambda: predict(PredictSettings(run=str(directory), data=str(data), out="p.h5")),
        lambda: compare(CompareSettings(runs=[str(tmp_path / "theirs")])),
    ]


def assert_refused(directory: Path, tmp_path: Path, *, said: str = "") -> None:
    """Every door says no with an error of ours; nothing has run, nothing is told."""
    for door in doors(directory, tmp_path):
        with pytest.raises(MsnasError) as caught:
            door()
        assert SECRET not in str(caught.value)
    with pytest.raises(MsnasError, match=said):
        evaluate_run(EvaluateSettings(run=str(directory)), {})
    assert not (tmp_path / "mark").exists()


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
        assert_refused(theirs, tmp_path, said=rf"config\.yaml: {place}.*nothing is resolved here")
    forge(theirs, config=put(config, place, {CALLS[0]: 1}))
    assert_refused(theirs, tmp_path, said=rf"config\.yaml: {place}.*nothing is resolved here")


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
    (_, (other,)) = collect_runs([tmp_path / "theirs"])
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


ODD_RESULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a path as the problem": lambda one: {**one, "problem": "/tmp/elsewhere"},
    "a way up as the problem": lambda one: {**one, "problem": "../elsewhere"},
    "a way up as the method": lambda one: {**one, "method": "../../elsewhere"},
    "a way up as the key": lambda one: {**one, "key": "../../elsewhere"},
    "schema 2": lambda one: {**one, "schema": 2},
    "a seed of text": lambda one: {**one, "seed": "0"},
    "no seed": lambda one: {key: value for key, value in one.items() if key != "seed"},
    "weights of text": lambda one: {**one, "task_weights": {"toy_regression": "much"}},
    "no weights": lambda one: {**one, "task_weights": {}},
    "weights of another": lambda one: {**one, "task_weights": {"other": 1.0}},
    "metrics of lists": lambda one: {**one, "metrics": {"valid": [], "test": []}},
    "metrics of text": lambda one: {**one, "metrics": {"valid": {"a": "b"}, "test": {}}},
    "chains of numbers": lambda one: {**one, "chains": [1, 2]},
    "another chain": lambda one: {**one, "selected": {"toy_regression": "curve"}},
    "another candidate": lambda one: {
        **one,
        "selected": {"toy_regression": "x", "toy_classification": "y"},
    },
    "stages of lists": lambda one: {**one, "stages": {"search": []}},
    "directions of text": lambda one: {**one, "directions": {"a": "up"}},
    "data of text": lambda one: {**one, "data": "toy"},
    "conditions of numbers": lambda one: {**one, "conditions": [1]},
    "status of a number": lambda one: {**one, "status": 3},
}


@pytest.mark.parametrize("name", ODD_RESULTS)
def test_an_odd_result_is_skipped_and_named(
    theirs: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    forge(theirs, result=ODD_RESULTS[name](read_record(theirs / "result.json")))
    used, (other,) = collect_runs([tmp_path / "theirs", finished])
    assert len(used) == 1
    assert "result.json" in other.reason
    for door in doors(theirs, tmp_path):
        with pytest.raises(DataError):
            door()


TEXTS = {
    "brackets": "[" * 200_000,
    "brackets in a value": '{"schema": 1, "a": ' + "[" * 200_000,
    "a number too long": '{"schema": 1, "seed": ' + "9" * 10_000 + "}",
    "a list": "[]",
    "a number": "3",
    "nothing": "",
    "bytes": "\udc80",
    "files of a list": '{"schema": 1, "files": [], "sha256": "0"}',
    "files that lead away": '{"schema": 1, "files": {"../../x": "0"}}',
    "no checksum": '{"schema": 1, "files": {}}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_result_that_is_none_is_skipped_and_named(
    theirs: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    (theirs / "result.json").write_bytes(TEXTS[name].encode(errors="surrogateescape"))
    used, (other,) = collect_runs([tmp_path / "theirs", finished])
    assert len(used) == 1
    assert "result.json" in other.reason


class Broken(Figure[None]):
    """A figure that these runs are too odd for."""

    name = "broken"
    title = "Broken"
    caption = "Broken."

    def data(self, scan: Scan) -> None:
        raise ZeroDivisionError

    def draw(self, data: None) -> Any:
        raise AssertionError

    def interactive(self, data: None) -> Any:
        raise AssertionError


def test_a_report_lives_with_odd_runs_and_removes_only_its_own(
    theirs: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odd runs are in the list of those without a result; files of others stay."""
    monkeypatch.setattr("msnas.report.build.figures_found", lambda: [Broken()])
    keep = tmp_path / "elsewhere"
    for folder in (keep, tmp_path / "report"):
        for name in ("tables/mine.csv", "figures/mine.png"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
    result = read_record(theirs / "result.json")
    forge(theirs, result={**result, "problem": str(keep)})
    for _ in range(2):
        screen = io.StringIO()
        build_report(
            [tmp_path / "theirs", finished], tmp_path / "report", Console(file=screen, width=300)
        )
        assert "problem: Value error, is no name of a file or folder" in screen.getvalue()
        assert "no broken: failed: ZeroDivisionError" in screen.getvalue()
    for folder in (keep, tmp_path / "report"):
        assert (folder / "tables/mine.csv").read_text() == "mine"
        assert (folder / "figures/mine.png").read_text() == "mine"
    assert sorted(path.name for path in keep.rglob("*.*")) == ["mine.csv", "mine.png"]
    page = (tmp_path / "report/index.html").read_text()
    assert "is no name of a file or folder" in page


def test_an_earlier_report_is_replaced_but_for_what_someone_changed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msnas.report.build.figures_found", list)
    out = tmp_path / "report"
    build_report([finished], out, QUIET)
    written = read_record(out / "tables/written.json")["files"]
    assert "methods.csv" in written
    stale, changed = (out / "tables" / name for name in ("stale.csv", "changed.csv"))
    for path in (stale, changed):
        path.write_text("earlier")
    write_record(out / "tables/written.json", {}, files=[*written, stale.name, changed.name])
    changed.write_text("changed by hand")
    build_report([finished], out, QUIET)
    assert not stale.exists()
    assert changed.read_text() == "changed by hand"
    assert read_record(out / "tables/written.json")["files"] == written


@pytest.mark.parametrize("name", ["model.ckpt", "weights.pt", "epoch-0.ckpt"])
def test_pickles_are_not_run(theirs: Path, finished: Path, tmp_path: Path, name: str) -> None:
    trapped = {"selected": ["curve", "logistic"], "weights": Trap(tmp_path / "mark")}
    torch.save(trapped, theirs / name)
    with pytest.raises(DataError, match=name):
        read_torch(theirs / name)
    if name == "model.ckpt":
        forge(theirs)
        assert_refused(theirs, tmp_path, said=r"model\.ckpt")
    else:
        ours = tmp_path / "ours"
        shutil.copytree(finished / "cache", ours / "cache")
        for entry in sorted((ours / "cache/posttrain").iterdir()):
            if entry.suffix == ".lock":
                continue
            if name == "epoch-0.ckpt":
                entry = entry.rename(entry.with_name(entry.name + ".partial"))
            torch.save(trapped, entry / name)
            content = {"checkpoint": name} if entry.suffix == ".partial" else {}
            write_record(entry / "record.json", content, files=[name])
        words = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none"]
        result = run(compose_config([*words, *TINY, f"output={ours}"]), console=QUIET)
        assert result["stages"]["posttrain"]["cached"] == []
    assert not (tmp_path / "mark").exists()


def test_a_model_of_another_run_is_an_error(theirs: Path) -> None:
    model = torch.load(theirs / "model.ckpt", weights_only=True)
    for changed in (
        {**model, "selected": ["a", "b"]},
        {**model, "weights": {}},
        {**model, "weights": []},
        {**model, "scales": {}},
        {"format": 1},
        [1],
    ):
        torch.save(changed, theirs / "model.ckpt")
        forge(theirs)
        with pytest.raises(DataError, match=theirs.name):
            evaluate_run(EvaluateSettings(run=str(theirs)), {})


SCANS: Mapping[str, Any] = {
    "a directory that is no text": {"schema": 1, "runs": [{"directory": 3}]},
    "an empty directory": {"schema": 1, "runs": [{"directory": "a\0b"}]},
    "runs of text": {"schema": 1, "runs": "all"},
    "overrides of numbers": {"schema": 1, "runs": [{"directory": "x", "overrides": [1]}]},
    "no runs": {"schema": 1},
    "a list": [1],
}


@pytest.mark.parametrize("name", SCANS)
def test_a_list_of_runs_that_is_none_is_named(finished: Path, tmp_path: Path, name: str) -> None:
    scan = tmp_path / "scans" / "theirs"
    scan.mkdir(parents=True)
    (scan / "scan.json").write_text(json.dumps(SCANS[name]))
    with pytest.raises(DataError, match=r"scan\.json"):
        collect_runs([scan])
    used, (other,) = collect_runs([tmp_path / "scans", finished])
    assert len(used) == 1
    assert "scan.json" in other.reason


def test_a_list_may_name_what_is_not_there(tmp_path: Path) -> None:
    places = ["x" * 300, "gone", "/etc", "../" * 900]
    content = {"schema": 1, "runs": [{"directory": place} for place in places]}
    (tmp_path / "scan.json").write_text(json.dumps(content))
    used, others = collect_runs([tmp_path])
    assert not used
    assert others


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
