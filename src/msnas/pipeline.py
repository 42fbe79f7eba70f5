"""One run's work: from its plan to the files of its directory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

from msnas.chain.chain import Chain
from msnas.chain.chain import Path as ChainPath
from msnas.data.module import event_count
from msnas.errors import one_line
from msnas.evaluation.evaluate import ChainScore
from msnas.evaluation.outputs import write_losses, write_outputs
from msnas.evaluation.select_by import WORST_CASE
from msnas.identity import digest
from msnas.independent import in_parallel
from msnas.parts import Parts, make_parts, ready_parts
from msnas.plan import Plan
from msnas.report.tracker import Tracker, write_mirror
from msnas.results.choice import Choice
from msnas.results.honesty import HonestyNumbers, InterventionNumbers
from msnas.results.records import RefitNumbers
from msnas.results.result import Result
from msnas.results.schema import ChainNumbers, ChoiceRecord, Condition, Reading, Stage
from msnas.results.shifts import ShiftRecord, chosen_under
from msnas.results.trajectories import History, read_beliefs, read_trajectories
from msnas.run_directory import HONESTY, JUDGES, REFIT, RunDirectory
from msnas.scoring import Tested
from msnas.selection import Selected, pretrain, refit, select_chain
from msnas.storage import whole
from msnas.terminal import CHAIN
from msnas.training.progress import Display
from msnas.training.train import Trained

log = logging.getLogger("msnas")


def pretrain_only(plan: Plan, display: Display) -> None:
    """Pre-train the one candidate `pretrain.only`: later runs take it from the store."""
    pretrain(ready_parts(plan, display), plan.config["pretrain"]["only"])


def run_stages(
    plan: Plan, directory: RunDirectory, display: Display, tracker: Tracker, *, repeat: bool
) -> dict[str, Any]:
    """Pre-train, search, post-train and evaluate; write the run directory; return the result.

    Trainings that the store already holds are taken from there. With `repeat` the stages that
    `force` names are done again, and the run directory stays as it is until all is done; a
    repeated run that was interrupted goes on.
    """
    final, since = directory, None
    if repeat:
        directory = final.again
        since = directory.begin()
    directory.write_config(plan.config)
    parts = ready_parts(plan, display, since=since)
    with in_parallel(parts, final.log, since):
        selected = select_chain(parts)
        path = selected.choice.path
        _write_model(directory.model, parts, selected.chain, path)
        history = [
            {"stage": stage, "model": label, **line}
            for stage, trainings in selected.trainings.items()
            for label, one in trainings.items()
            for line in one.history
        ]
        directory.write_history(history)
        write_losses(
            directory.losses,
            selected.choice.scores,
            selected.valid,
            attributes={"key": plan.key, "events": digest(plan.data_identity)},
        )
        tested = parts.scoring.test(selected.chain, path)
    again = _refit(parts, path) if plan.config.get("refit") else None
    if again is not None:
        _write_model(directory.path / REFIT, parts, again.chain, path)
    write_outputs(
        directory.outputs,
        selected.chain,
        parts.events,
        tested.outputs,
        attributes={
            "key": plan.key,
            "problem": plan.config["problem"]["name"],
            "method": plan.config["method"]["name"],
            "selected": " -> ".join(path),
        },
    )
    if tested.judges:
        with whole(directory.path / JUDGES) as new:
            torch.save({name: judge.weights for name, judge in tested.judges.items()}, new)
    if tested.honesty is not None:
        tested.honesty.write(directory.path / HONESTY, key=plan.key)
    result = _result(parts, selected, tested, again, history, directory=final.path).to_json()
    directory.write_result(result)
    if repeat:
        final.take(directory)
    if _draw_trajectories(final, history, result.get("reading")):
        final.write_result(result)  # with the figures' checksums
    write_mirror(tracker, final, result)
    return result


def _draw_trajectories(directory: RunDirectory, history: History, reading: Reading | None) -> bool:
    """Draw how a search's probabilities moved; an error here leaves the run finished."""
    if not read_trajectories(history):
        return False
    try:
        # drawing takes half a second to import: only for a run that has something to draw
        from msnas.plots.figures.fig4_trajectories import save_trajectories

        for figure in save_trajectories(history, reading, directory.path):
            log.info("figure: %s", figure)
    except Exception as error:
        log.warning("no figure of the search (%s); the run is complete", one_line(error))
        log.debug("its traceback", exc_info=True)
    return True


@dataclass(frozen=True, kw_only=True)
class _Refit:
    """The selected chain trained for use, its trainings and its numbers."""

    chain: Chain
    trainings: Mapping[str, Trained]
    numbers: RefitNumbers


def _refit(parts: Parts, path: ChainPath) -> _Refit:
    """Train the selected chain once more, with the validation events too.

    Each training takes as many epochs as led to the weights that it kept the first time, as no
    events are left to choose an epoch by. Neither training has seen the test events.
    """
    events, fit = parts.events.for_use(), parts.fit
    log.info("refit: training %s for use, on training and validation events", CHAIN.join(path))
    plan = replace(parts.plan, data_identity={**parts.plan.data_identity, "refit": "all"})
    epochs = fit.kept_epochs
    parts_again = make_parts(plan, events, store=fit.store, display=fit.display, epochs=epochs)
    trainings, chain = refit(parts_again, path)
    (score,) = parts.scoring.score_at(chain, [path], "test", parts.scoring.point)
    count = event_count(events.train)
    return _Refit(
        chain=chain, trainings=trainings, numbers={"events": count, "test": dict(score.values)}
    )


def _write_model(place: Path, parts: Parts, chain: Chain, path: ChainPath) -> None:
    with whole(place) as new:
        torch.save(
            {
                "format": 1,
                "selected": list(path),
                "weights": chain.state_dict(),
                "scales": {name: field.scales() for name, field in parts.events.fields.items()},
            },
            new,
        )


def _result(
    parts: Parts,
    selected: Selected,
    tested: Tested,
    again: _Refit | None,
    history: History,
    *,
    directory: Path,
) -> Result:
    """The run's numbers as result.json holds them."""
    plan, choice, valid, scoring = parts.plan, selected.choice, selected.valid, parts.scoring
    source = plan.data_identity["source"]
    stages = {stage: _stage(ones) for stage, ones in selected.trainings.items() if ones}
    if tested.stage:
        stages["validity"] = cast("Stage", tested.stage)
    if again is not None:
        stages["refit"] = _stage(again.trainings)

    def named(path: ChainPath) -> dict[str, str]:
        return dict(zip(plan.chain, path, strict=True))

    chains: list[ChainNumbers] = []
    for score in choice.scores:
        numbers = dict(score.values)
        chains.append({"selected": named(score.path), "valid": numbers, "stage": "search"})
        if score.losses:
            chains[-1]["ranked_by"] = score.ranked_by
        if score.shifted:
            chains[-1]["shifted"] = dict(score.shifted)
        if score.sigma is not None:
            chains[-1]["sigma"] = score.sigma
    numbers = dict(valid.values)
    chains.append({"selected": named(valid.path), "valid": numbers, "stage": "posttrain"})
    found = Result(
        directory=directory,
        config=plan.config,
        problem=plan.config["problem"]["name"],
        method=plan.config["method"]["name"],
        key=plan.key,
        seed=plan.config["seed"],
        task_weights=parts.weights,
        selected=named(choice.path),
        valid=valid.values,
        test=tested.values,
        directions={
            f"{task.name}/{name}": metric.higher_is_better
            for task in selected.chain.tasks
            for name, metric in task.metrics.items()
        },
        chains=chains,
        parameters=selected.chain.parameter_count(),
        data={
            **({"file": plan.config["data"]["file"]} if "file" in plan.config["data"] else {}),
            **({"sha256": source["sha256"]} if "sha256" in source else {}),
            "source": source,
            "events": parts.events.size,
            "classes": parts.events.class_counts(plan.config["data"]["stratify"]),
        },
        versions={name: version(name) for name in ("msnas", "torch", "pytorch-lightning", "numpy")},
        probabilities=choice.probabilities,
        reading=read_beliefs(history, plan.config),
        choice=_choice(plan, selected),
        stages=stages,
        interventions=cast("InterventionNumbers | None", tested.interventions or None),
        honesty=cast("list[HonestyNumbers]", tested.honesty.points) if tested.honesty else (),
        shifts=shift_record(tested.shifts, choice.scores, plan.chain, choice.path),
        refit=None if again is None else again.numbers,
    )
    if parts.conditioning is None:
        return found
    return replace(
        found,
        point=scoring.point,
        conditions=cast("list[Condition]", tested.conditions),
        winners=[
            {"parameters": point, "selected": named(best.path), "regret": regret}
            for point, best, regret in scoring.winners(choice.scores, choice.path)
        ],
    )


def shift_record(
    told: Mapping[str, Any], scores: Sequence[ChainScore], tasks: Sequence[str], path: ChainPath
) -> ShiftRecord | None:
    """What shifts do to a chain, and to the choice among ranked chains; None without shifts."""
    if not told:
        return None
    losses = [{**score.shifted, WORST_CASE: score.worst} for score in scores]
    chains = [dict(zip(tasks, score.path, strict=True)) for score in scores]
    choice = chosen_under(losses, chains, dict(zip(tasks, path, strict=True)))
    return cast("ShiftRecord", {**told, **({"choice": choice} if choice else {})})


def _choice(plan: Plan, selected: Selected) -> ChoiceRecord | None:
    """How sure the choice is; None if there were no two chains to choose from."""
    if (judged := selected.judged) is None:
        return None
    return Choice(
        label=plan.config["method"]["name"],
        tasks=plan.chain,
        paths=judged.paths,
        sure=judged.sure,
        seeds=[plan.config["seed"]],
        together="super-network" in selected.choice.trainings,
        default=selected.default,
        sizes={path: asdict(size) for path, size in judged.sizes.items()},
    ).to_json()


def _stage(trained: Mapping[str, Trained]) -> Stage:
    """Seconds spent in this run (without cached trainings), epochs, and the cached trainings.

    If the start of a training was judged, its loss too, and the loss of the kept weights.
    """
    stage: Stage = {
        "seconds": sum(one.seconds for one in trained.values() if not one.cached),
        "epochs": {label: one.epochs for label, one in trained.items()},
        "cached": [label for label, one in trained.items() if one.cached],
        "cached_seconds": sum(one.seconds for one in trained.values() if one.cached),
    }
    starts = {label: one.start for label, one in trained.items() if one.start is not None}
    if starts:
        stage["start"] = starts
        stage["loss"] = {label: trained[label].loss for label in starts}
    return stage
