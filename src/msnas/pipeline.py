"""One run, stage by stage (paper, Algorithm 1 and 2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from msnas.build import build
from msnas.chain.chain import Chain, Path
from msnas.evaluation.evaluate import ChainScore
from msnas.evaluation.outputs import write_outputs
from msnas.methods.method import Selection
from msnas.plan import Plan
from msnas.report.tracker import Tracker, write_mirror
from msnas.report.trajectories import plot_trajectories
from msnas.run_directory import RunDirectory
from msnas.scoring import Tested
from msnas.storage import whole
from msnas.study import Study, read_events
from msnas.training.progress import Display
from msnas.training.train import Trained, prepare_torch

log = logging.getLogger("msnas")


def pretrain_only(plan: Plan, display: Display) -> None:
    """Pre-train the one candidate `pretrain.only`: runs to come find it in the store."""
    prepare_torch(threads=plan.machine["threads"])
    study = Study(plan, read_events(plan), display)
    study.pretrain(plan.config["pretrain"]["only"])


def run_stages(
    plan: Plan, directory: RunDirectory, display: Display, *, repeat: bool
) -> dict[str, Any]:
    """Train, select, train on, evaluate; write the run directory; return the result.

    What the store already holds is taken from there. With `repeat` what `force` names is done
    anew, and the run directory stays as it is until all is done; a repeated run that was
    interrupted goes on.
    """
    final, since = directory, None
    if repeat:
        directory = final.again
        since = directory.begin()
    directory.write_config(plan.config)
    config = plan.config
    prepare_torch(threads=plan.machine["threads"])
    tracker = build(config["logger"], key="logger", of=Tracker)
    events = read_events(plan)
    study = Study(plan, events, display, since=since)

    method = study.method
    pretrained = study.pretrain() if config["pretrain"]["enabled"] else {}
    study.condition()
    searched = study.search()
    selection = method.select(study)
    path = selection.path
    log.info("selected %s", " -> ".join(path))
    finished, chain = method.finish(study, path)

    with whole(directory.model) as new:
        torch.save(
            {
                "format": 1,
                "selected": list(path),
                "weights": chain.state_dict(),
                "scales": {name: field.scales() for name, field in events.fields.items()},
            },
            new,
        )
    trainings = {
        "pretrain": pretrained,
        "search": {**searched, **selection.trainings},
        "posttrain": finished,
    }
    directory.write_history(
        {"stage": stage, "model": label, **line}
        for stage, ones in trainings.items()
        for label, one in ones.items()
        for line in one.history
    )
    for figure in plot_trajectories(directory.history(), directory.path):
        log.info("figure: %s", figure)
    (valid,) = study.scoring.score_at(chain, [path], "valid", study.scoring.point)
    tested = study.scoring.test(chain, path)
    write_outputs(
        directory.outputs,
        study,
        tested.outputs,
        attributes={
            "key": plan.key,
            "problem": config["problem"]["name"],
            "method": config["method"]["name"],
            "selected": " -> ".join(path),
        },
    )
    result = _result(plan, study, selection, chain, valid, tested)
    result["stages"] = {stage: _stage(ones) for stage, ones in trainings.items() if ones}
    if tested.stage:
        result["stages"]["validity"] = tested.stage
    directory.write_result(result)
    if repeat:
        final.take(directory)
    write_mirror(tracker, final, result)
    return result


def _result(
    plan: Plan,
    study: Study,
    selection: Selection,
    chain: Chain,
    valid: ChainScore,
    tested: Tested,
) -> dict[str, Any]:
    """The run's numbers as result.json holds them, without the stages."""
    source = plan.data_identity["source"]

    def named(path: Path) -> dict[str, str]:
        return dict(zip(plan.chain, path, strict=True))

    result: dict[str, Any] = {
        "schema": 1,
        "problem": plan.config["problem"]["name"],
        "method": plan.config["method"]["name"],
        "key": plan.key,
        "seed": plan.config["seed"],
        "task_weights": study.weights,
        "selected": named(selection.path),
        "metrics": {"valid": dict(valid.values), "test": dict(tested.values)},
        "directions": {
            f"{task.name}/{name}": metric.higher_is_better
            for task in chain.tasks
            for name, metric in task.metrics.items()
        },
        "chains": [
            {
                "selected": named(score.path),
                "valid": dict(score.values),
                "stage": "search",
                **({"ranked_by": score.ranked_by} if score.losses else {}),
            }
            for score in selection.scores
        ]
        + [
            {"selected": named(valid.path), "valid": dict(valid.values), "stage": "posttrain"},
        ],
        "parameters": chain.parameter_count(),
        "data": {
            **({"file": plan.config["data"]["file"]} if "file" in plan.config["data"] else {}),
            **({"sha256": source["sha256"]} if "sha256" in source else {}),
            "source": source,
            "events": study.events.size,
            "classes": study.events.class_counts(plan.config["data"]["stratify"]),
        },
        "versions": {
            name: version(name) for name in ("msnas", "torch", "pytorch-lightning", "numpy")
        },
        "status": "finished",
    }
    if study.conditioning is not None:
        result["point"] = study.scoring.point
        result["conditions"] = tested.conditions
        result["winners"] = [
            {"parameters": point, "selected": named(best.path), "regret": regret}
            for point, best, regret in study.scoring.winners(selection.scores, selection.path)
        ]
    probabilities = study.method.probabilities()
    if probabilities is not None:
        result["probabilities"] = probabilities
    return result


def _stage(trained: Mapping[str, Trained]) -> dict[str, Any]:
    """Seconds spent in this run (nothing for what came from the cache), epochs, what was cached."""
    return {
        "seconds": sum(one.seconds for one in trained.values() if not one.cached),
        "epochs": {label: one.epochs for label, one in trained.items()},
        "cached": [label for label, one in trained.items() if one.cached],
        "cached_seconds": sum(one.seconds for one in trained.values() if one.cached),
    }
