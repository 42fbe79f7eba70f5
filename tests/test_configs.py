"""Every file below conf/: its classes exist, are allowed, take its arguments; it composes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import hydra.utils
import pytest
import torch
import yaml
from conftest import CONF, ROOT, compose_config
from omegaconf import OmegaConf
from torch import nn

from msnas.build import build, check_target
from msnas.chain.candidate_grid import expand_grids
from msnas.chain.output import Regression
from msnas.data.source import Source
from msnas.errors import ConfigError
from msnas.identity import canonical
from msnas.part import Part
from msnas.plan import make_plan

FILES = sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml"))
OPTIONS = [name for name in FILES if "/" in name and not name.startswith("hydra/")]
PROBLEMS = [Path(name).stem for name in FILES if name.startswith("problem/")]

ADDED_BY_CODE = {
    "recipe.optimizer": {"params"},
    "weighting.aggregator": {"n_tasks"},
    "weighting.scalarizer": {"shape"},
}
"""Arguments that the code adds to those of the configuration, by the place in it."""

RELOCATED = {
    "loss": "tasks.tau_id.loss",
    "validity": "tasks.tau_calibration.validity",
    "law": "conditioning.laws.more",
    "shift": "shifts.more",
}
"""Groups whose options belong elsewhere, and where they are tried."""


def content(name: str) -> dict[str, Any]:
    loaded = OmegaConf.to_container(OmegaConf.load(CONF / name), resolve=False)
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


def package(name: str) -> str:
    """Where an option's content goes: its `# @package` line, by default its folder."""
    for line in (CONF / name).read_text().splitlines():
        if line.startswith("# @package "):
            chosen = line.removeprefix("# @package ").strip()
            return "" if chosen == "_global_" else chosen
    return Path(name).parent.as_posix().replace("/", ".") if "/" in name else ""


def nodes_with_class(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield place, node
        for key, child in node.items():
            yield from nodes_with_class(child, f"{place}.{key}".lstrip("."))
    elif isinstance(node, list):
        for child in node:
            yield from nodes_with_class(child, place)


def points(place: str, node: dict[str, Any]) -> list[dict[str, Any]]:
    """A candidate file with a grid stands for a candidate per point of it."""
    if place.startswith("tasks.") and ".candidates." in place:
        return list(expand_grids({place: node}, key=place).values())
    return [node]


CLASSES = [
    pytest.param(place, point, id=f"{name}:{place}")
    for name in FILES
    for place, node in nodes_with_class(content(name), package(name))
    for point in points(place, node)
]


@pytest.mark.parametrize(("place", "node"), CLASSES)
def test_class_is_allowed_and_takes_exactly_these_arguments(
    place: str, node: dict[str, Any]
) -> None:
    settings = dict(node)
    target = settings.pop("_target_")
    if place == "method":
        settings.pop("name")
    check_target(target, key=place)
    found = hydra.utils.get_object(target)
    assert not inspect.isabstract(found)
    code = ADDED_BY_CODE.get(place, set()) & inspect.signature(found).parameters.keys()
    assert not code & settings.keys()
    if found.__init__ is nn.Module.__init__:
        assert not settings, "PyTorch's own constructor takes no argument"
        return
    signature = inspect.signature(found)
    signature.bind(**settings, **dict.fromkeys(code))
    if target.startswith("msnas."):
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds, "it would swallow a typing error"


def test_the_binding_test_sees_wrong_arguments() -> None:
    places = {place for place, _ in (one.values for one in CLASSES)}
    assert ADDED_BY_CODE.keys() <= places
    signature = inspect.signature(hydra.utils.get_object("msnas.candidates.lstm.LSTM"))
    signature.bind(input_size=3, hidden=4, depth=1)
    with pytest.raises(TypeError, match="depth"):
        signature.bind(input_size=3, hidden=4)
    with pytest.raises(TypeError, match="width"):
        signature.bind(input_size=3, hidden=4, depth=1, width=2)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("candidate/")])
def test_candidates_are_classes_of_this_package(name: str) -> None:
    assert content(name)["_target_"].startswith("msnas.candidates.")
    task, candidate = Path(name).parent.name, Path(name).stem
    assert package(name) == f"tasks.{task}.candidates.{candidate}"


def problem_with(wanted: Callable[[dict[str, Any]], bool]) -> str:
    """The last problem whose file holds what is wanted."""
    return next(one for one in reversed(PROBLEMS) if wanted(content(f"problem/{one}.yaml")))


def choice(group: str, option: str) -> list[str]:
    """The overrides that choose an option, where it makes a run."""
    if group == "data":
        return [f"problem={problem_with(lambda one: {'/data': option} in one['defaults'])}"]
    if group == "task":
        return [f"problem={problem_with(lambda one: option in one['problem']['chain'])}"]
    if group.startswith("candidate/"):
        task = Path(group).name
        problem = problem_with(lambda one: task in one["problem"]["chain"])
        every = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        return [f"problem={problem}", f"{group}=[{','.join(every)}]"]  # composed once
    if group == "loss":
        return ["problem=tau_vs_jet", f"{group}@{RELOCATED[group]}={option}"]
    if group == "validity":
        return [f"{group}@{RELOCATED[group]}={option}"]
    if group == "law":
        return ["conditioning=yoto", f"+{group}@{RELOCATED[group]}={option}"]
    if group == "shift":
        return [f"{group}@{RELOCATED[group]}={option}"]
    return [f"{group}={option}"]


def assert_holds(found: Any, expected: Any, place: str) -> None:
    """Every value of `expected` is in `found`, which may hold more keys."""
    if isinstance(expected, dict) and expected:
        assert isinstance(found, dict), f"{place}: {found!r}"
        for key, value in expected.items():
            assert key in found, f"{place}.{key} is missing"
            assert_holds(found[key], value, f"{place}.{key}")
    elif not isinstance(expected, dict):
        assert found == expected, place


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return {}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_composes_its_values_arrive_and_make_a_run(
    name: str, sources: dict[str, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    group, option = Path(name).parent.as_posix(), Path(name).stem
    composed = compose_config(["trainer=cpu", *choice(group, option)])
    expected = content(name)
    assert expected.pop("defaults", None) or expected, "an empty option"
    expected.pop("hydra", None)  # of a scan: test_experiments.py
    if group == "validity":  # the task's own settings come on top
        expected |= content("task/tau_calibration.yaml")["validity"]
    place = RELOCATED.get(group, package(name))
    found: Any = OmegaConf.to_container(composed, resolve=False)
    for part in place.split(".") if place else []:
        found = found[part]
    assert_holds(found, expected, place)
    plan = make_plan(composed, sources=sources, elsewhere=True)
    assert make_plan(plan.config, sources=sources, elsewhere=True).key == plan.key
    assert sum(plan.weights.values()) == pytest.approx(1)
    if group in ("problem", "experiment", "candidate"):
        for task in plan.chain:
            for candidate, settings in plan.config["tasks"][task]["candidates"].items():
                build(settings, key=f"tasks.{task}.candidates.{candidate}", of=nn.Module)


def test_yaml_files_say_what_they_are_for() -> None:
    groups = {"experiment", "problem", "method", "recipe", "data", "trainer", "logger", "debug"}
    for name in OPTIONS:
        if name.split("/")[0] in groups:
            text = (CONF / name).read_text()
            lines = [line for line in text.splitlines() if not line.startswith("# @package")]
            assert lines[0].startswith("# "), f"{name} opens without a comment"
            assert yaml.safe_load(text)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "msnas.build.hydra.utils.instantiate",
        "msnas.build.inspect.os.system",
        "msnas.build.OmegaConf",
        "msnas.training.store.shutil.rmtree",
        "msnas.locks.FileLock",
        "msnas.run.run",
        "msnas.candidates.mlp",
        "msnas_evil.Thing",
        "torch.load",
        "torch.nn.functional.relu",
        "torch.nn.modules.module.Any",
        "msnas.candidates.mlp.Missing",
        "",
        None,
        3,
    ],
)
def test_build_refuses_what_is_no_class_of_the_named_libraries(target: object) -> None:
    with pytest.raises(ConfigError, match=r"^place\._target_: "):
        build({"_target_": target}, key="place", of=object)
    with pytest.raises(ConfigError, match=r"^place\.inner\[0\]\._target_: "):
        build(
            {"_target_": "torch.nn.Identity", "inner": [{"_target_": target}]},
            key="place",
            of=object,
        )


@pytest.mark.parametrize(
    "injected",
    [{"_args_": ["id"]}, {"_partial_": True}, {"_recursive_": False}, {"_convert_": "none"}],
)
def test_build_refuses_hydra_special_keys(injected: dict[str, Any]) -> None:
    (special,) = injected
    config = {"_target_": "torch.nn.Identity", **injected}
    with pytest.raises(ConfigError, match=rf"^place\.{special}: not allowed"):
        build(config, key="place", of=object)
    with pytest.raises(ConfigError, match=rf"^place\.x\.y\[0\]\.{special}: not allowed"):
        build({"_target_": "torch.nn.Identity", "x": {"y": [injected]}}, key="place", of=object)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"input_size": 3, "hidden": 4}, r": msnas\.candidates\.lstm\.LSTM: .*'depth'"),
        (
            {"input_size": 3, "hidden": 4, "dept": 1},
            r"\.dept: unknown; did you mean tasks\.a\.depth\? LSTM takes .*, hidden, depth, ",
        ),
    ],
)
def test_build_names_place_class_and_argument(settings: dict[str, int], said: str) -> None:
    target = "msnas.candidates.lstm.LSTM"
    with pytest.raises(ConfigError, match=rf"^tasks\.a{said}"):
        build({"_target_": target, **settings}, key="tasks.a", of=nn.Module)


def test_build_needs_a_class() -> None:
    for config in ({"hidden": 3}, [1], "torch.nn.ReLU", None):
        with pytest.raises(ConfigError, match=r"^tasks\.a: expected a mapping with _target_"):
            build(config, key="tasks.a", of=object)


def test_build_gives_plain_python_and_the_arguments_themselves() -> None:
    config = OmegaConf.create({"_target_": "msnas.chain.output.Regression", "shape": [2, 3]})
    assert build(config, key="output", of=Regression).shape == (2, 3)
    parameters = [nn.Parameter(torch.ones(2))]
    settings = {"_target_": "torch.optim.SGD", "lr": 0.5}
    optimizer = build(settings, key="o", of=torch.optim.Optimizer, params=parameters)
    assert optimizer.param_groups[0]["params"][0] is parameters[0]


@pytest.mark.parametrize(
    "file",
    [*(CONF / "method").glob("*.yaml"), *(CONF / "weighting").glob("*.yaml")],
    ids=lambda file: file.stem,
)
def test_a_part_made_in_python_is_that_of_the_configuration(file: Path) -> None:
    written = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    assert isinstance(written, dict)
    written.pop("name", None)
    of_library = {name: written[name] for name in ("aggregator", "scalarizer") if name in written}
    part = build({"_target_": written["_target_"], **of_library}, key="part", of=Part)
    assert canonical(part.settings()) == canonical(written)
    assert copy.deepcopy(part).settings() == part.settings()
