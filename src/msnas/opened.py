"""A finished run with its events, for evaluating it again. Nothing is trained or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnas.chain.chain import Chain
from msnas.chain.chain import Path as ChainPath
from msnas.errors import DataError
from msnas.evaluation.evaluate import ChainScore
from msnas.model import Model, load_model
from msnas.parts import Parts, ready_parts
from msnas.plan import FOLDS, make_plan
from msnas.run_directory import RunDirectory
from msnas.selection import chosen_again
from msnas.shifts.chosen import chosen_shifts
from msnas.storage import somebodys
from msnas.terminal import terminal
from msnas.training.progress import Display


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The parts of a run, its trained `chain`, and its model.

    `scores` are the scores, with shifts, by which the chain was chosen; empty if the run's store no
    longer holds the trainings of the search, or without shifts.
    """

    parts: Parts
    chain: Chain
    path: ChainPath
    trained: Model
    scores: Sequence[ChainScore]


def open_run(
    path: Path,
    *,
    shifts: Sequence[str],
    changes: Mapping[str, str],
    measurement: Mapping[str, Any] | None = None,
) -> Opened:
    """Open a run with these shifts (see `chosen_shifts`) and settings of a measurement.

    Raises DataError for a run that is not finished or data that have changed since, ConfigError for
    unknown shifts.
    """
    directory = RunDirectory(path)
    trained = load_model(directory.path)
    config, result = directory.read()
    config["shifts"] = chosen_shifts(shifts, config.get("shifts") or {}, changes)
    config["measurement"] = measurement
    whole = directory.path.absolute()
    if whole.parent.name == FOLDS:
        whole = whole.parents[1]
    config["output"] = str(whole.parents[2])  # where its store is
    if config["method"].get("select_by") in ("worst_case", "measurement"):
        config["method"] = {**config["method"], "select_by": "loss"}  # the chain is chosen already
    with somebodys(directory.path):
        plan = make_plan(config, written=True)
    sha256 = result["data"]["source"].get("sha256")
    if sha256 is not None and plan.source.identity()["sha256"] != sha256:
        raise DataError(
            f"{plan.config['data'].get('file')}: the events are not those of the run (checksum)"
        )
    scores: Sequence[ChainScore] = []
    with somebodys(directory.path):
        parts = ready_parts(plan, Display(terminal(quiet=True)), closed=True)
        if shifts and measurement is None:
            scores = chosen_again(parts)
        else:
            parts.condition()
        chain = parts.chain.only(trained.path)
        chain.load_state_dict(trained.chain.state_dict())
    return Opened(parts=parts, chain=chain, path=trained.path, trained=trained, scores=scores)
