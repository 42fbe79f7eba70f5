"""How sure choices are: at the end of a run, of many runs, on the page; and the smallest chain."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import QUIET, ROOT, compose_config, epochs, renew_checksums
from drawn import check_drawn
from made_scan import CANDIDATES, TASKS, write_made_run
from omegaconf import open_dict
from rich.console import Console

import msnas
from msnas.choose import main
from msnas.confidence import how_sure
from msnas.errors import ConfigError, DataError
from msnas.plan import make_plan
from msnas.plots.figures import choice as figure
from msnas.report.build import build_report
from msnas.report.choice import show_choice
from msnas.report.table import show_result
from msnas.results.choice import Choice, choices_over_seeds
from msnas.results.losses import read_losses
from msnas.results.result import Result
from msnas.results.runs import collect
from msnas.run import run

CHAINS = list(product(*CANDIDATES.values()))
TRUTH = (0.0, 0.02, 0.3, 0.5)
"""Above 1; of cnn-lstm, cnn-mlp, mlp-lstm, mlp-mlp."""


def made_losses(seed: int, *, tau: float = 0.01, events: int = 400) -> np.ndarray:
    """[chain, event] of one seed; events are the same for all seeds."""
    of_events = np.random.default_rng(100).normal(size=(len(TRUTH), events)) * 0.1
    generator = np.random.default_rng(seed)
    trained = tau * generator.normal(size=(len(TRUTH), 1))
    noise = 0.05 * generator.normal(size=(len(TRUTH), events))
    return (1 + np.array(TRUTH)[:, None] + of_events + trained + noise).astype(np.float32)


def made_run(
    place: Path,
    seed: int,
    method: str = "grid_search",
    *,
    losses: np.ndarray | None = None,
    chains: Sequence[tuple[str, ...]] = CHAINS,
    events: str = "same",
    default: Mapping[str, str] | None = None,
    **more: Any,
) -> Path:
    """A run that ranked `chains` and took the best; with one chain a run of that chain."""
    losses = made_losses(seed) if losses is None else losses
    means = losses.astype(float).mean(1)
    best = int(means.argmin())
    named = [dict(zip(TASKS, path, strict=True)) for path in chains]
    searched = [
        {"selected": name, "valid": {"loss": float(mean)}, "stage": "search"}
        for name, mean in zip(named, means, strict=True)
    ]
    ranked = searched if len(chains) > 1 else []
    last = {"selected": named[best], "valid": {"loss": float(means[best])}, "stage": "posttrain"}
    record: dict[str, Any] = {"chains": [*ranked, last]}
    if default is not None:
        sure = how_sure(losses[:, None].astype(float))
        one = Choice(
            label=method,
            tasks=TASKS,
            paths=chains,
            sure=sure,
            seeds=[seed],
            together=False,
            default=tuple(default.values()),
        )
        record["choice"] = one.to_json()
    if method == "grid_search":
        record["stages"] = {"search": {"seconds": 1.0, "epochs": {"a -> b": 2}, "cached": []}}
    directory = write_made_run(place, method, seed, chain=chains[best], result=record, **more)
    with h5py.File(directory / "losses.h5", "w") as file:
        file.attrs["key"], file.attrs["events"] = directory.name, events
        file["chain"] = np.arange(len(ranked) + 1)
        file["loss"] = np.concatenate([losses if ranked else losses[:0], losses[best : best + 1]])
    return directory


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """Three seeds of grid search."""
    for seed in range(3):
        made_run(tmp_path / "runs", seed, default={"calibrate": "cnn", "classify": "mlp"})
    return tmp_path / "runs"


def test_alike_runs_are_judged_together_over_their_seeds(bank: Path) -> None:
    (choice,) = msnas.choose(bank)
    expected = how_sure(np.stack([made_losses(seed) for seed in range(3)], 1).astype(float))
    assert choice.sure == expected
    assert choice.seeds == [0, 1, 2]
    assert list(choice.paths) == CHAINS
    assert choice.default == ("cnn", "mlp")
    assert not choice.together
    table = choice.table()
    assert list(table["chain"][:2]) == ["cnn-lstm", "cnn-mlp"]
    assert table["P(best)"].sum() == pytest.approx(1)
    assert list(table["default"]) == [False, True, False, False]
    assert "the default cnn-mlp" in choice.words()[-1]


def test_task_weights_and_settings_make_groups(bank: Path) -> None:
    for seed in range(2):
        made_run(bank, seed, weights=(0.1, 0.9))
        made_run(bank, seed, "spos", of_method={"sampling": "fair"})
        made_run(bank, seed, "spos", of_method={"sampling": "uniform"})
    choices = msnas.choose(bank)
    assert [(one.label, one.runs[0].v1, len(one.seeds)) for one in choices] == [
        ("grid_search", 0.5, 3),
        ("grid_search", 0.1, 2),
        ("spos sampling=fair", 0.5, 2),
        ("spos sampling=uniform", 0.5, 2),
    ]
    assert [one.together for one in choices] == [False, False, True, True]
    (one,) = msnas.choose([bank], task_weight=0.1)
    assert one.title == "grid_search, weights 0.1, 0.9: 4 chains trained each by itself, seeds 0, 1"
    assert replace(one, seeds=[*range(3, 12)]).title.endswith(" itself, seeds 3 to 11")
    with pytest.raises(ConfigError, match=r"task_weight: found 0\.3, allowed are .* 0\.1, 0\.5"):
        msnas.choose(bank, task_weight=0.3)


def test_runs_of_given_chains_are_a_choice_together(tmp_path: Path) -> None:
    """A seed with three of four chains counts; one with a single chain does not, nor no losses."""
    trained = np.ones((4, 3), bool)
    trained[3, 2] = False
    for place, seed in [*np.argwhere(trained).tolist(), [0, 3]]:
        one = {"losses": made_losses(seed)[place : place + 1], "chains": [CHAINS[place]]}
        made_run(tmp_path, seed, "fixed_chain", of_method={"chain": list(CHAINS[place])}, **one)
    bare = write_made_run(tmp_path, "fixed_chain", 7, of_method={"chain": ["cnn", "mlp"]})
    (choice,) = msnas.choose(tmp_path)
    assert choice.seeds == [0, 1, 2]
    assert choice.paths == CHAINS
    losses = np.stack([made_losses(seed) for seed in range(3)], 1).astype(float)
    assert choice.sure == how_sure(losses, trained=trained)
    assert choice.sure != how_sure(losses)
    assert bare not in [one.directory for one in choice.runs]


def test_the_command_prints_and_writes(
    bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_run(bank, 0, "fixed_chain", losses=made_losses(0)[:1], chains=CHAINS[:1])
    main([f"runs={bank}", f"out={tmp_path / 'out'}", "confidence=0.9"])
    said = capsys.readouterr().out
    assert "4 chains trained each by itself, seeds 0, 1, 2" in said
    assert "90 %" in said
    assert "Not used (1)" in said
    assert "nothing to choose from: 1 chain (cnn-lstm)" in said
    content = json.loads((tmp_path / "out" / "choice.json").read_text())
    (one,) = content["choices"]
    (choice,) = msnas.choose(bank, confidence=0.9)
    assert one["chains"] == choice.to_json()["chains"]
    assert (one["seeds"], one["events"], one["confidence"]) == ([0, 1, 2], 400, 0.9)
    assert one["default"] == {"calibrate": "cnn", "classify": "mlp"}
    assert one["words"] == choice.words()


def test_the_name_is_a_function_and_a_command(bank: Path) -> None:
    """In whatever order the two are first used."""
    program = (
        "import msnas, sys; from msnas import cli\n"
        f"first = len(msnas.choose({str(bank)!r}))\n"
        f"try: cli.main(['choose', 'runs={bank}'])\n"
        "except SystemExit as end: assert not end.code\n"
        f"assert first == len(msnas.choose({str(bank)!r})) == 1\n"
    )
    for lines in (program, f"import msnas.choose\n{program}"):
        subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True)


BAD: dict[str, tuple[list[str], str]] = {
    "confidence_of_1": (["confidence=1"], "confidence: expected above 0.5, below 1, found 1.0"),
    "confidence_of_a_half": (["confidence=0.5"], "confidence: expected above 0.5, below 1"),
    "weight_of_none": (["task_weight=0.7"], "task_weight: found 0.7, allowed are those"),
    "nothing_there": (["runs={}/none"], "none is not a folder"),
    "no_folder": (["runs="], "nothing to choose from"),
    "no_such_over": (["over=seeds"], "over: found 'seeds', allowed: both | events | null"),
}


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_asked(
    words: list[str], said: str, bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(bank) for word in words]
    runs = [] if any(word.startswith("runs=") for word in given) else [f"runs={bank}"]
    with pytest.raises(SystemExit) as end:
        main([*runs, *given])
    assert said in f"{end.value.code}{capsys.readouterr().err}"


def test_one_seed_has_no_interval_over_seeds(tmp_path: Path) -> None:
    made_run(tmp_path, 4)
    with pytest.raises(ConfigError, match="over: both needs two seeds, found 1"):
        msnas.choose(tmp_path, over="both")
    (choice,) = msnas.choose(tmp_path)
    assert "how much another seed would change is not known" in choice.words()[-1]
    assert choices_over_seeds(choice.runs) == []
    with pytest.raises(ConfigError, match="over: found 'seeds', allowed are both, events"):
        msnas.choose(tmp_path, over="seeds")


def test_chains_of_different_data_are_no_choice(tmp_path: Path) -> None:
    for place, events in enumerate((100, 200)):
        made_run(
            tmp_path,
            0,
            "fixed_chain",
            losses=made_losses(0)[place : place + 1],
            chains=[CHAINS[place]],
            of_method={"chain": list(CHAINS[place])},
            settings={"data": {"file": "gone.h5", "events": events, "split_seed": 0}},
        )
    said = r"2 chains \(cnn-lstm, cnn-mlp\) were judged on different data \(data.events: 100, 200\)"
    with pytest.raises(DataError, match=said):
        msnas.choose(tmp_path)


def test_losses_of_other_events_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_run(tmp_path, 0)
    made_run(tmp_path, 1, events="others")
    (choice,) = msnas.choose(tmp_path)
    assert choice.seeds == [0]
    main([f"runs={tmp_path}"])
    assert "judged on events others (400), allowed are the events same" in capsys.readouterr().out


def test_the_report_tells_how_sure_and_draws_it(bank: Path, tmp_path: Path) -> None:
    runs = collect([bank])
    build_report([bank], tmp_path / "report", QUIET)
    table = (tmp_path / "report/tables/choice.csv").read_text().splitlines()
    assert table[0].startswith("method,v1,seeds,events,chain,loss,P(best),regret,low,high,tie set")
    assert len(table) == 5
    assert table[1].split(",")[4] == "cnn-lstm"
    page = (tmp_path / "report/index.html").read_text()
    assert "How sure the choices are" in page
    assert "4 chains trained each by itself" in page
    assert (tmp_path / "report/figures/choice.png").stat().st_size > 5000
    chart = figure.chart(runs)
    assert [panel.title for panel in chart.panels] == ["grid_search"]
    (choice,) = choices_over_seeds(runs.finished)
    check_drawn(chart, [run.key for run in runs.finished])
    bars = chart.frame[chart.frame["layer"] == "Bars"]
    np.testing.assert_allclose(sorted(bars["y"]), sorted(one.best for one in choice.sure.chains))
    assert (bars["label"] == "tie set").sum() == choice.sure.tied


def test_without_two_seeds_there_is_no_figure(tmp_path: Path) -> None:
    made_run(tmp_path, 0)
    with pytest.raises(figure.NothingToDraw, match="differ in their seeds"):
        figure.chart(collect([tmp_path]))


TOY = ["problem=toy", "trainer=cpu", "logger=none", "data.events=300", *epochs(1)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grid search with one seed, for real."""
    output = tmp_path_factory.mktemp("real") / "runs"
    run(compose_config([*TOY, "method=grid_search", f"output={output}"]), console=QUIET)
    return output


def printed(show: Callable[..., None], what: Any) -> str:
    file = io.StringIO()
    show(what, Console(file=file, width=160))
    return file.getvalue()


def test_a_run_says_how_sure_its_choice_is(real: Path) -> None:
    (finished,) = collect([real]).finished
    choice = Choice.of(finished)
    assert choice is not None
    losses = np.stack(list(read_losses(finished).ranked.values()))[:, None]
    expected = how_sure(losses)
    known = {path: one.best for path, one in zip(choice.paths, choice.sure.chains, strict=True)}
    paths = list(read_losses(finished).ranked)
    for path, one in zip(paths, expected.chains, strict=True):
        assert known[path] == pytest.approx(one.best, abs=1e-6)
    assert (choice.seeds, choice.sure.events, choice.together) == ([0], 60, False)
    assert choice.sure.seed_error is None
    assert choice.sure.chains[choice.paths.index(finished.path)].tied
    said = printed(show_result, finished)
    assert "How sure is the choice? grid_search, weights 0.5, 0.5: 9 chains" in said
    assert "how much another seed would change is not known" in said
    (again,) = msnas.choose(real)
    for one, other in zip(again.to_json()["chains"], choice.to_json()["chains"], strict=True):
        assert one["selected"] == other["selected"]
        assert one["regret"] == pytest.approx(other["regret"], rel=1e-5)


def test_the_default_takes_the_best_of_the_pretrained(real: Path) -> None:
    (finished,) = collect([real]).finished
    assert finished.choice is not None
    best = {}
    for task, names in zip(finished.tasks, finished.candidates, strict=True):
        records = {}
        for line in (finished.directory / "history.jsonl").read_text().splitlines():
            epoch = json.loads(line)
            if epoch["stage"] == "pretrain" and epoch["model"].startswith(f"{task}/"):
                records[epoch["model"].split("/")[1]] = epoch["valid/loss"]
        assert records.keys() == set(names)
        best[task] = min(records, key=records.__getitem__)
    assert finished.choice["default"] == best


@pytest.mark.parametrize("by", ["parsimonious", "lowest_latency"])
def test_the_smallest_chain_of_the_tie_set(real: Path, by: str) -> None:
    """On few events several chains tie; the trainings are those of the run that took the best."""
    words = [*TOY, "method=grid_search", f"output={real}", f"selection={by}"]
    record = run(compose_config(words), console=QUIET)
    finished = Result.read(real / "toy" / "grid_search" / record["key"])
    assert set(finished.stages["search"]["cached"]) == set(finished.stages["search"]["epochs"])
    choice = Choice.of(finished)
    assert choice is not None
    tied = [choice.paths[place] for place in choice.sure.order[: choice.sure.tied]]
    assert len(tied) > 1
    assert choice.sizes.keys() == set(tied)
    what = "parameters" if by == "parsimonious" else "latency"
    assert choice.sizes[finished.path][what] == min(one[what] for one in choice.sizes.values())
    assert choice.sizes[finished.path]["parameters"] == finished.parameters
    assert all(0 < one["latency"] < 1 for one in choice.sizes.values())
    said = printed(show_choice, choice)
    assert "µs/event" in said
    assert f"{finished.parameters:,}" in said


def test_a_selection_that_takes_the_best_is_no_setting() -> None:
    plain, best = compose_config(TOY), compose_config([*TOY, "selection=best"])
    with open_dict(plain):
        del plain["selection"]  # as a run of an earlier version has it
    assert make_plan(plain).key == make_plan(best).key
    other = make_plan(compose_config([*TOY, "selection=parsimonious"]))
    assert other.key != make_plan(best).key
    assert other.config["selection"] == "parsimonious"
    with pytest.raises(ConfigError, match=r"selection: expected one of .*'best'.*found 'small'"):
        make_plan(compose_config([*TOY, "selection=small"]))


@pytest.mark.parametrize(
    "words",
    [
        ["method=fixed_chain", "method.chain=[plane,logistic]"],
        ["method=asng"],
        ["method=darts", "method.selection=argmax"],
        ["method=grid_search", "method.select_by=toy_classification/auc"],
    ],
    ids=["fixed_chain", "asng", "darts", "by_a_metric"],
)
def test_only_chains_ranked_by_loss_are_taken_by_their_size(
    words: list[str], tmp_path: Path
) -> None:
    words = [*TOY, *words, "selection=lowest_latency", f"output={tmp_path}"]
    with pytest.raises(ConfigError, match="selection: lowest_latency takes a chain of those that"):
        run(compose_config(words), console=QUIET)


def _put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def put(choice: dict[str, Any]) -> None:
        choice[key] = value

    return put


HOSTILE = {
    "no_chain": (_put("chains", []), "choice.chains"),
    "text": (_put("event_error", "large"), "choice.event_error"),
    "no_candidate": (_put("default", {"calibrate": "../x", "classify": "mlp"}), "selected: '../x'"),
    "no_task": (_put("default", {"calibrate": "cnn"}), "selected: tasks"),
}


@pytest.mark.parametrize(("spoil", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_record_that_does_not_fit_is_refused(
    spoil: Callable[[dict[str, Any]], None], said: str, tmp_path: Path
) -> None:
    directory = made_run(tmp_path, 0, default={"calibrate": "cnn", "classify": "mlp"})
    content = json.loads((directory / "result.json").read_text())
    spoil(content["choice"])
    (directory / "result.json").write_text(json.dumps(content))
    renew_checksums(directory)
    with pytest.raises(DataError, match=said):
        Result.read(directory)


def test_the_documentation_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        made_run(Path("runs"), seed, problem="toy")
    text = (ROOT / "docs/choice.md").read_text()
    for key in ("confidence", "task_weight", "over", "out", "selection=lowest_latency"):
        assert f"`{key}`" in text
    choose, train, refit = re.findall(r"```bash\npython (.*?)\n```", text)
    name, *words = choose.split()[1:]
    assert name == "msnas.choose"
    main(words)
    assert json.loads(Path("choice/choice.json").read_text())["schema"] == 1
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    capsys.readouterr()
    exec(compile(example, "docs/choice.md", "exec"), {})
    assert capsys.readouterr().out.startswith("grid_search, weights 0.5, 0.5: 4 chains")
    words = [word for word in train.split()[1:] if word != "problem=toy"]
    record = run(compose_config([*TOY, *words, f"output={tmp_path / 'trained'}"]), console=QUIET)
    assert record["choice"]["chains"][0]["parameters"] > 0
    assert make_plan(compose_config(refit.split()[1:])).config["refit"] == "all"
