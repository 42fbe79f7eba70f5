"""Which runs a scan has, and how it knows them without launching anything."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CONF, ROOT, compose_config, composed_by_hydra, composer
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf
from rich.console import Console
from scan_process import said, sweep

from msnas.cli import main
from msnas.config import plain
from msnas.errors import ConfigError
from msnas.folders import entries
from msnas.locks import file_lock
from msnas.plan import Plan, make_plan
from msnas.run_directory import RunDirectory
from msnas.scan.axes import Axis, combinations, make_axes
from msnas.scan.engine import Engine, EngineError, check_installed
from msnas.scan.find import find_runs
from msnas.scan.job import ScanJob, Share
from msnas.scan.ledger import seconds_of_method
from msnas.scan.scan import Scan
from msnas.scan.show import Watch, show_best
from msnas.scan.tether import Tether
from msnas.scan.work import ImpossibleRun, RunWork, pretrainings

TOY = ["problem=toy", "trainer=cpu", "logger=none"]
SWEEP = composer("sweep")


def axes_of(
    *arguments: str, params: dict[str, Any] | None = None, default: dict[str, Any] | None = None
) -> list[Axis]:
    return make_axes(
        arguments,
        params=params or {},
        default_params=default or {},
        parser=OverridesParser.create(),
    )


def jobs(*arguments: str, **settings: Any) -> list[list[str]]:
    return [list(one.values()) for one in combinations(axes_of(*arguments, **settings))]


def find(*arguments: str, **settings: Any) -> tuple[list[RunWork], list[ImpossibleRun]]:
    return find_runs(axes_of(*arguments, **settings), SWEEP, elsewhere=False)


# the keys of runs that exist already


KEYS = {
    "problem=htautau": "86014ed3f68c14f0",
    "problem=toy3": "2867f06add9f9ad8",
    "problem=toy": "a30f18bf224a45b0",
    "problem=toy method=grid_search seed=3 task_weight=0.9": "7cc667c9c8c9756b",
}


@pytest.mark.parametrize(("words", "key"), KEYS.items())
def test_keys_change_with_the_code_alone(
    words: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's finished runs become others by an accident."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("msnas.plan.code_of", lambda _: {"all": "the same code"})
    overrides = [*words.split(), "trainer=cpu"]
    assert make_plan(compose_config(overrides)).key == key
    if "problem=toy" in words.split():
        one = [*overrides, "pretrain.only=toy_regression/line"]
        assert make_plan(compose_config(one)).key == key


def test_settings_of_the_scan_are_no_part_of_a_run() -> None:
    config = plain(SWEEP.compose([*TOY, "retry_failed=true", "scan.name=a"]))
    single = plain(composed_by_hydra(TOY))
    assert config.keys() - single.keys() == {"scan", "retry_failed", "dry_run", "report"}
    assert make_plan(config).config == make_plan(single).config
    assert make_plan(config).key == make_plan(single).key


@pytest.mark.parametrize(
    "overrides",
    [
        TOY,
        [*TOY, "task_weight=0", "seed=7"],
        [*TOY, "method=darts", "method.relaxation=softmax", "method.order=2"],
        [*TOY, "method=fixed_chain", "method.chain=[line,logistic]", "method.reoptimise=false"],
        [*TOY, "candidate/toy_regression=[curve,line]", "recipe.search.epochs=3"],
        [*TOY, "recipe=paper", "recipe.optimizer.lr=0.01", "+recipe.optimizer.weight_decay=0.1"],
        [*TOY, "tasks.toy_regression.candidates.curve.layers=[16,16]"],
        [*TOY, "task_weights.toy_regression=2", "task_weights.toy_classification=1"],
        [*TOY, "~tasks.toy_regression.candidates.curve"],
        [*TOY, "data.source.events=1000", "data.split_seed=3", "debug=smoke", "data.events=500"],
        [*TOY, "loss@tasks.toy_regression.loss=squared_error", "output=elsewhere"],
        ["trainer=cpu", "candidate/tau_calibration=[mlp,cnn_grid]", "data.events=all"],
        ["trainer=cpu", "experiment=darts_dummies", "task_weight=.9"],
        ["problem=toy3", "trainer=cpu", "method=asng"],
        [*TOY, "data.split_seed=${seed}", "seed=5"],
        ["trainer=cpu", "data.file=data/tau_jet.h5", "data.momenta=[jet]", "data.images=[]"],
        ["trainer=cpu", "experiment=fig7", "scale.scaling.epochs=3", "seed=2"],
        [*TOY, "recipe.search={epochs:3}", "recipe.search.batch=7"],
        [*TOY, "recipe.search.epochs=5", "recipe.search={epochs:3}", "seed=2"],
        [*TOY, "recipe.search={epochs:3}", "recipe.search.epochs=5", "seed=2"],
        [*TOY, "seed=5", "data.split_seed=${seed}", "task_weight=.3"],
        [*TOY, "recipe.search.epochs=${recipe.posttrain.epochs}", "recipe.posttrain.epochs=3"],
    ],
    ids=lambda one: " ".join(one),
)
def test_fast_composition_is_hydras(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    SWEEP.values(["problem=toy", "seed=99"])  # what was composed before must not matter
    values = SWEEP.values(overrides)
    assert values == plain(SWEEP.compose(overrides))
    fast = make_plan(values)
    real = make_plan(composed_by_hydra(overrides))
    assert fast.config == real.config
    assert fast.key == real.key


# axes


def test_every_combination_in_the_users_order_with_the_seed_fastest() -> None:
    assert jobs("seed=0,1", "method=spos,darts", "task_weight=0.1,0.9") == [
        [f"method={method}", f"task_weight={weight}", f"seed={seed}"]
        for method in ("spos", "darts")
        for weight in (0.1, 0.9)
        for seed in (0, 1)
    ]


def test_later_axes_replace_earlier_ones() -> None:
    default = {"task_weight": [0, 0.5], "seed": "range(0,3)"}
    params = {"seed": [5, 6], "method": "spos,darts"}
    assert jobs(default=default) == [
        [f"task_weight={weight}", f"seed={seed}"] for weight in (0, 0.5) for seed in (0, 1, 2)
    ]
    assert jobs("method=asng", default=default, params=params) == [
        [f"task_weight={weight}", "method=asng", f"seed={seed}"]
        for weight in (0, 0.5)
        for seed in (5, 6)
    ]
    assert jobs("seed=1", "seed=2,3") == [["seed=2"], ["seed=3"]]
    assert jobs("+a.b=1", "a.b=2") == [["a.b=2"]]


def test_lists_are_values() -> None:
    expected = [["method.chain=[cnn,lstm]"], ["method.chain=[cnn,mlp]"]]
    assert jobs("method.chain=[cnn,lstm],[cnn,mlp]") == expected
    assert jobs(params={"method.chain": [["cnn", "lstm"], ["cnn", "mlp"]]}) == expected
    assert jobs("candidate/a=[mlp,sf]") == [["candidate/a=[mlp,sf]"]]


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["seed=range(0,0)"], {}, "seed: no value in 'range"),
        (["seed=range(3,1)"], {}, "seed: no value"),
        ([], {"params": {"seed": []}}, "seed: no value"),
        (["seed=interval(0,1)"], {}, "seed: an interval has no list of values"),
        (["retry_failed=true,false"], {}, "retry_failed: one value for the whole scan, found 2"),
    ],
)
def test_axes_without_values(arguments: list[str], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        axes_of(*arguments, **settings)


# runs


def test_equal_runs_are_one() -> None:
    runs, impossible = find(*TOY, "task_weight=0.5,.50,null", "seed=0,1", "logger=none")
    assert not impossible
    assert [run.plan.config["seed"] for run in runs] == [0, 1]
    assert runs[0].key == make_plan(SWEEP.compose([*TOY, "task_weight=0.5"])).key


@pytest.mark.parametrize(
    "given",
    [
        ["problem=toy3"],
        ["method=end_to_end"],
        ["task_weights.toy_regression=1", "task_weights.toy_classification=1"],
    ],
)
def test_a_default_axis_of_v1_gives_way(given: list[str]) -> None:
    default = {"task_weight": [0, 0.5, 1], "seed": "range(0,2)"}
    runs, impossible = find(*TOY, *given, default=default)
    assert not impossible
    assert len(runs) == 2
    assert not any("task_weight=" in word for run in runs for word in run.overrides)
    # one that was asked for does not
    asked, impossible = find(*TOY, *given, "task_weight=0.1,0.5")
    assert all("task_weight" in one.error for one in impossible)
    assert all("task_weight=0.1" in run.overrides or len(asked) == 2 for run in asked)


def test_impossible_runs_are_told_and_the_others_stay() -> None:
    runs, impossible = find(*TOY, "method=spos,nope", "seed=0,x", "task_weight=0.5,2")
    assert len(runs) == 1
    assert len(impossible) == 7
    errors = [one.error for one in impossible]
    assert sum("method: 'nope' is no option; options: asng" in error for error in errors) == 4
    assert sum("seed: expected a whole number >= 0, found 'x'" in one for one in errors) == 2
    assert sum("task_weight: expected a number from 0 to 1" in one for one in errors) == 1


def test_a_data_file_is_read_once(event_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    whole = Path.open

    def counted(self: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(self)
        return whole(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", counted)
    runs, _ = find("trainer=cpu", f"data.file={event_file}", "seed=range(0,10)")
    assert len(runs) == 10
    assert opened.count(event_file) == 1


@pytest.mark.parametrize("referring", [[], ["data.split_seed=${seed}"]], ids=["alone", "referred"])
def test_runs_that_differ_in_their_seed_alone_are_checked_once(
    referring: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(config: Any, **named: Any) -> Plan:
        made.append(config)
        return make_plan(config, **named)

    monkeypatch.setattr("msnas.scan.find.make_plan", counted)
    words = [*TOY, f"output={tmp_path}", *referring]
    runs, impossible = find(*words, "task_weight=.1,.9", "seed=0,1,2,-1")
    assert len(made) == (8 if referring else 2)
    assert len(runs) == 6
    refused = "seed: expected a whole number >= 0, found -1"
    assert [one.error for one in impossible] == [refused, refused]
    for run in runs:
        alone = make_plan(SWEEP.compose(run.overrides))
        assert (run.plan.config, run.key) == (alone.config, alone.key)
        assert run.plan.directory == alone.directory


def test_a_scan_is_composed_once_for_itself_and_once_for_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    composed = []
    compose = ConfigLoaderImpl.load_configuration

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        composed.append(named["run_mode"])
        return compose(self, *arguments, **named)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    main(["sweep", *TOY, "task_weight=.1,.9", "seed=0,1", "dry_run=true"])
    assert composed == [RunMode.MULTIRUN, RunMode.RUN]
    assert "4 of 4 runs to do" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is for many runs"):
        main(["sweep", *TOY, "hydra.mode=RUN"])


def test_many_finished_runs_are_recognised(tmp_path: Path) -> None:
    words = [
        *TOY, f"output={tmp_path / 'runs'}", "task_weight=0,.1,.2,.3,.4,.5",
        "seed=range(0,10)", "report=false",
    ]  # fmt: skip
    for run in find(*words)[0]:
        write(run, RESULT)
    assert sweep(tmp_path, *words) == 0, said(tmp_path)
    assert "60 of 60 runs finished" in said(tmp_path)
    assert list((tmp_path / "runs").glob("cache")) == []


def test_pretrainings_once_per_candidate_and_seed(tmp_path: Path) -> None:
    runs, _ = find(
        *TOY, f"output={tmp_path}", "method=spos,darts,grid_search",
        "task_weight=0,0.5,1", "seed=0,1",
    )  # fmt: skip
    assert len(runs) == 18
    works = pretrainings(runs)
    assert len(works) == 6 * 2
    only = [word for work in works for word in work.launched_as if word.startswith("pretrain.")]
    assert len(set(only)) == 6
    works[0].entry.mkdir(parents=True)
    assert len(pretrainings(runs)) == 11
    without, _ = find(*TOY, f"output={tmp_path}", "pretrain.enabled=false")
    assert pretrainings(without) == []


def test_pretrain_only_refuses_what_is_no_candidate() -> None:
    with pytest.raises(ConfigError, match=r"'a/b' is not a candidate; allowed .*toy_regression/li"):
        make_plan(SWEEP.compose([*TOY, "pretrain.only=a/b"]))
    with pytest.raises(ConfigError, match=r"not together with pretrain.enabled=false"):
        make_plan(
            SWEEP.compose([*TOY, "pretrain.only=toy_regression/line", "pretrain.enabled=false"])
        )
    _, impossible = find(*TOY, "pretrain.only=toy_regression/line")
    assert "a scan pre-trains each candidate itself" in impossible[0].error


# an engine that can be told what to do


class FakeLauncher:
    """Does `do` with every job; counts its calls."""

    def __init__(self, do: Callable[[list[str]], dict[str, Any] | None]) -> None:
        self.do = do
        self.calls: list[list[list[str]]] = []

    def launch(self, overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        self.calls.append(overrides)
        assert initial_job_idx == sum(map(len, self.calls[:-1]))
        answers = [self.do(one) for one in overrides]
        if None in answers:
            raise RuntimeError("a worker was lost")
        return [JobReturn(status=JobStatus.COMPLETED, _return_value={0: one}) for one in answers]


def fake_engine(do: Callable[[list[str]], dict[str, Any] | None]) -> tuple[Engine, FakeLauncher]:
    launcher = FakeLauncher(do)
    # one of those where every work is a job of its own
    engine = Engine("submitit_slurm", OmegaConf.create(), lambda *_: launcher)  # type: ignore[arg-type,return-value]
    return engine, launcher


GOOD = {"error": None, "traceback": ""}
BAD = {"error": "it broke", "traceback": "Traceback: it broke\n"}
CHAIN, AUC = ("toy_regression", "toy_classification"), "toy_classification/auc"
RESULT = {
    "schema": 1, "status": "finished", "problem": "toy", "method": "spos", "seed": 0,
    "task_weights": dict.fromkeys(CHAIN, 0.5), "directions": {AUC: True},
    "metrics": {"valid": {AUC: 0.7}, "test": {}}, "chains": [], "data": {},
    "selected": dict.fromkeys(CHAIN, "plane"), "stages": {"search": {"seconds": 2.0}},
}  # fmt: skip


def scan_of(
    runs: list[RunWork], impossible: list[ImpossibleRun] | None = None, **settings: Any
) -> tuple[Scan, Console]:
    console = Console(record=True, width=200, file=io.StringIO())
    settings = {"report": False, "scan": {"name": "a"}, **settings}
    scan = Scan(
        runs, impossible or [], settings=settings, experiment=None, command=[], console=console
    )
    return scan, console


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[RunWork]]:
    monkeypatch.chdir(tmp_path)

    def found(*more: str) -> list[RunWork]:
        return find(*TOY, "pretrain.enabled=false", "seed=0,1,2", *more)[0]

    return found


def write(run: RunWork, result: dict[str, Any]) -> None:
    run.directory.path.mkdir(parents=True, exist_ok=True)
    run.directory.write_result(result)


def by_seed(works: list[RunWork], overrides: list[str]) -> RunWork:
    (found,) = (work for work in works if f"seed={work.plan.config['seed']}" in overrides)
    return found


def finishing(works: list[RunWork]) -> Callable[[list[str]], dict[str, Any]]:
    def do(overrides: list[str]) -> dict[str, Any]:
        write(by_seed(works, overrides), RESULT)
        return GOOD

    return do


def test_finished_runs_are_not_launched(runs: Callable[..., list[RunWork]]) -> None:
    first = runs()
    write(first[1], RESULT)
    again = runs()
    assert [run.state for run in again] == ["new", "finished", "new"]
    engine, launcher = fake_engine(finishing(again))
    scan, console = scan_of(again)
    assert scan.work_off(engine)
    assert [[one for one in job if "seed" in one] for job in launcher.calls[0]] == [
        ["seed=0"],
        ["seed=2"],
    ]
    assert "3 of 3 runs finished, 0 failed" in console.export_text()
    written = json.loads(Path("sweeps/a/scan.json").read_text())
    assert [one["status"] for one in written["runs"]] == ["finished"] * 3
    directory = Path("sweeps/a") / written["runs"][0]["directory"]
    assert (directory / "result.json").is_file()
    # all finished: the engine is not asked at all
    engine, launcher = fake_engine(finishing(again))
    assert scan_of(runs())[0].work_off(engine)
    assert launcher.calls == []


def test_force_repeats_each_finished_run_once(runs: Callable[..., list[RunWork]]) -> None:
    for run in runs():
        write(run, RESULT)
    again = runs("force=true")
    assert [run.left for run in again] == [True] * 3
    engine, launcher = fake_engine(finishing(again))
    assert scan_of(again)[0].work_off(engine)
    assert len(launcher.calls) == 1


def test_failed_twice_is_listed_and_the_others_finish(runs: Callable[..., list[RunWork]]) -> None:
    works = runs()

    def do(overrides: list[str]) -> dict[str, Any]:
        run = by_seed(works, overrides)
        if run is not works[1]:
            return finishing(works)(overrides)
        run.directory.path.mkdir(parents=True, exist_ok=True)
        run.directory.write_failure(run.plan, ValueError("it broke"))
        return BAD

    engine, launcher = fake_engine(do)
    scan, console = scan_of(works)
    assert not scan.work_off(engine)
    assert [len(call) for call in launcher.calls] == [3, 1]
    text = console.export_text()
    assert "seed=1): ValueError: it broke" in text
    assert "2 of 3 runs finished, 1 failed" in text
    record = works[1].directory.failure()
    assert record is not None
    assert record["attempts"] == 2
    # not a third time, unless it is asked for
    engine, launcher = fake_engine(finishing(works))
    assert not scan_of(runs())[0].work_off(engine)
    assert launcher.calls == []
    again = runs()
    engine, launcher = fake_engine(finishing(again))
    assert scan_of(again, retry_failed=True)[0].work_off(engine)
    assert [len(call) for call in launcher.calls] == [1]


def test_an_error_that_could_not_be_written_counts_too(runs: Callable[..., list[RunWork]]) -> None:
    engine, launcher = fake_engine(lambda _: BAD)
    scan, console = scan_of(runs())
    assert not scan.work_off(engine)
    assert len(launcher.calls) == 2
    text = console.export_text()
    assert text.count("): it broke") == 3  # each run with its error
    assert text.count("Traceback: it broke") == 1
    assert "0 of 3 runs finished, 3 failed" in text


def test_a_configuration_changed_under_a_scan_is_told(runs: Callable[..., list[RunWork]]) -> None:
    """The workers read it anew: their runs would be others than those looked for."""
    engine, launcher = fake_engine(lambda _: {**GOOD, "key": "0123456789abcdef"})
    scan, console = scan_of(runs())
    assert not scan.work_off(engine)
    assert len(launcher.calls) == 2
    assert "done as 0123456789abcdef: the configuration or the code" in console.export_text()


def test_what_the_engine_loses_is_launched_again(runs: Callable[..., list[RunWork]]) -> None:
    works = runs()
    lost: list[str] = []

    def do(overrides: list[str]) -> dict[str, Any] | None:
        (seed,) = (one for one in overrides if one.startswith("seed="))
        if lost.count(seed) < int(seed[-1]):
            lost.append(seed)
            return None
        return finishing(works)(overrides)

    engine, launcher = fake_engine(do)
    assert scan_of(works)[0].work_off(engine)
    assert [len(call) for call in launcher.calls] == [3, 2, 1]


def test_an_engine_that_loses_everything_is_given_up(
    runs: Callable[..., list[RunWork]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    works = runs()
    lock = Path("runs/cache/search/0123.lock")
    lock.parent.mkdir(parents=True)

    def takes_a_lock(_: list[str]) -> None:
        with file_lock(lock, what="testing"):  # which is no progress
            os.utime(lock, (len(launcher.calls), len(launcher.calls)))

    engine, launcher = fake_engine(takes_a_lock)
    with pytest.raises(EngineError, match=r"5 times .* 3 left; last: RuntimeError: a worker was l"):
        engine.work_off(works, caches=[Path("runs/cache")])
    assert len(launcher.calls) == 5
    # but as long as a training goes on, it is not
    checkpoint = Path("runs/cache/search/0123.partial/record.json")
    checkpoint.parent.mkdir(parents=True)
    tries: list[int] = []

    def slow(overrides: list[str]) -> dict[str, Any] | None:
        if by_seed(works, overrides) is works[0]:
            tries.append(0)
            checkpoint.with_name(str(len(tries))).touch()
        return None if len(tries) < 9 else finishing(works)(overrides)

    engine, launcher = fake_engine(slow)
    engine.work_off(works, caches=[Path("runs/cache")])
    assert len(launcher.calls) == 9


def test_a_training_that_is_renamed_while_it_is_looked_at_ends_nothing(
    runs: Callable[..., list[RunWork]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other processes finish vanishes between two looks: here, whatever is looked into."""
    vanished: list[str] = []

    def vanishing(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def do(place: Any = ".") -> Any:
            name = "" if isinstance(place, int) else Path(place).name
            if name.endswith((".partial", "spos")):
                vanished.append(name)
                shutil.rmtree(place)
            return function(place)

        return do

    works = runs()
    seconds_of_method(works[0])  # nothing there yet
    works[0].directory.path.mkdir(parents=True)

    def do(overrides: list[str]) -> dict[str, Any] | None:
        write(by_seed(works, overrides), RESULT)
        Path("runs/cache/search/0123.partial").mkdir(parents=True)
        return GOOD

    Path("runs/cache/search/4567.partial").mkdir(parents=True)
    monkeypatch.setattr("os.listdir", vanishing(os.listdir))
    monkeypatch.setattr("os.scandir", vanishing(os.scandir))
    assert seconds_of_method(works[0]) is None
    engine, _ = fake_engine(do)
    engine.work_off(works[:1], caches=[Path("runs/cache"), Path("runs/other")])
    assert vanished == ["spos", "4567.partial", "0123.partial"]


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").mkdir()
    assert entries(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert entries(tmp_path / "a") == entries(tmp_path / "b") == entries(tmp_path / "c") == []

    def denied(_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.listdir", denied)
    with pytest.raises(PermissionError):
        entries(tmp_path)


def test_workers_on_one_machine_share_the_works_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is done once; where a worker finds nothing free it has nothing to do."""
    works = tuple((*TOY, f"seed={seed}") for seed in range(3))
    share = Share(works, tmp_path, folders=(str(CONF),), config_name="sweep")
    job = ScanJob(tmp_path, Tether.to_this_process(), share)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("msnas.scan.job._answer", lambda config, _: config["seed"])
    assert share.claim(1)
    assert job(OmegaConf.create()) == {0: 0, 2: 2}
    assert job(OmegaConf.create()) == {}


def test_dry_run_writes_nothing(runs: Callable[..., list[RunWork]], tmp_path: Path) -> None:
    write(runs()[0], RESULT)
    before = sorted(tmp_path.rglob("*"))
    scan, console = scan_of(runs(), dry_run=True)
    scan.preview(workers=2)
    assert sorted(tmp_path.rglob("*")) == before
    text = console.export_text()
    assert "finished" in text
    assert "2 of 3 runs to do; estimated time with 2 at a time: 0:00:02" in text


def test_the_time_left_is_that_of_each_method(runs: Callable[..., list[RunWork]]) -> None:
    """Finished: SPOS in 2 s, grid search in 10 s; left: two of each, and three runs of ASNG."""
    works = runs("method=spos,grid_search,asng")
    for method, seconds in (("spos", 2.0), ("grid_search", 10.0)):
        run = next(one for one in works if one.plan.config["method"]["name"] == method)
        write(run, {**RESULT, "method": method, "stages": {"search": {"seconds": seconds}}})
    scan, _ = scan_of(works)
    assert scan.ledger.seconds_left() is None  # nothing seen yet
    scan.ledger.look()
    assert scan.ledger.seconds_left() == 2 * 2 + 2 * 10 + 3 * 6


def test_the_best_run_is_of_runs_on_the_same_events(
    runs: Callable[..., list[RunWork]],
) -> None:
    works = runs("data.source.events=300,600", "data.split_seed=0,1")
    for run in works:
        events = run.plan.config["data"]["source"]["events"]
        best = {AUC: 0.7 + events / 10_000 + run.plan.config["seed"] / 1000}
        write(run, {**RESULT, "data": {"events": events}, "metrics": {"valid": best, "test": {}}})
    scan, console = scan_of(works)
    scan.ledger.look()
    watch = Watch(scan.ledger, console)
    assert "best" not in watch.line()
    show_best(scan.ledger, console)
    rows = [line for line in console.export_text().splitlines() if "spos" in line]
    assert [[word in row for word in ("0.7320", "300")] for row in rows] == [
        [True, True],
        [False, False],
    ]
    assert [[word in row for word in ("0.7620", "600")] for row in rows] == [
        [False, False],
        [True, True],
    ]
    scan, console = scan_of(works[:6])
    scan.ledger.look()
    assert ", best toy_classification/auc 0.7320" in Watch(scan.ledger, console).line()


def test_corrupt_results_are_told_and_redone(runs: Callable[..., list[RunWork]]) -> None:
    write(runs()[0], RESULT)
    path = runs()[0].directory.path / "result.json"
    path.write_text('{"schema": 1, "status": "fin')
    works = runs()
    assert works[0].left
    engine, launcher = fake_engine(finishing(works))
    scan, console = scan_of(works)
    assert scan.work_off(engine)
    assert f"{works[0].directory.path}/result.json cannot be read" in console.export_text()
    assert len(launcher.calls[0]) == 3


def test_the_report_comes_last_and_its_failure_loses_nothing(
    runs: Callable[..., list[RunWork]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    asked: list[Any] = []
    module = types.ModuleType("msnas.report.build")
    module.build_report = lambda *given: asked.append(given)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "msnas.report.build", module)
    works = runs()
    engine, _ = fake_engine(finishing(works))
    scan, console = scan_of(works, report=True)
    assert scan.work_off(engine)
    assert asked == [([Path("sweeps/a")], Path("sweeps/a/report"), console)]

    def broken(*_: Any) -> None:
        raise ValueError("no figure")

    module.build_report = broken  # type: ignore[attr-defined]
    scan, console = scan_of(runs(), report=True)
    assert not scan.work_off(engine)
    text = console.export_text()
    assert "the report failed (ValueError: no figure)" in text
    assert "3 of 3 runs finished" in text


@pytest.mark.parametrize("name", ["a/b", "..", "", " a", "a,b", "a=b"])
def test_names_of_scans_are_names(runs: Callable[..., list[RunWork]], name: str) -> None:
    if name:
        with pytest.raises(ConfigError, match=r"scan\.name"):
            scan_of(runs(), scan={"name": name})
    else:
        assert len(scan_of(runs(), scan={"name": None})[0].ledger.folder.name) == 8


def test_a_number_is_a_name_too(runs: Callable[..., list[RunWork]]) -> None:
    assert scan_of(runs(), scan={"name": 2026})[0].ledger.folder.name == "2026"


def test_an_engine_that_is_missing_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msnas.scan.engine.find_spec", lambda _: None)
    check_installed(["hydra/launcher=basic", "method=spos"])
    with pytest.raises(ConfigError, match=r"pip install hydra-ray-launcher"):
        check_installed(["hydra/launcher=ray"])


def test_no_pytorch_before_there_is_work(tmp_path: Path) -> None:
    """A scan whose runs are finished must not wait for the import."""
    program = (
        "import sys; import msnas.scan.scan, msnas.scan.find, msnas.scan.job; "
        "import hydra_plugins.msnas_scan.scan_sweeper; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_failure_records(runs: Callable[..., list[RunWork]]) -> None:
    run = runs()[0]
    directory = RunDirectory(run.directory.path)
    directory.path.mkdir(parents=True)
    assert (directory.finished(), directory.failure(), directory.damage()) == (None, None, None)
    try:
        raise ConfigError("a: b\nc")
    except ConfigError as error:
        directory.write_failure(run.plan, error)
        directory.write_failure(run.plan, error)
    record = directory.failure()
    assert record is not None
    assert record["error"] == "a: b c"
    assert "in test_failure_records" in record["traceback"]
    assert (record["attempts"], record["status"], record["key"]) == (2, "failed", run.key)
    assert directory.finished() is None
    directory.write_result(RESULT)
    assert directory.finished() == {**RESULT, "files": {}}
    assert directory.failure() is None
