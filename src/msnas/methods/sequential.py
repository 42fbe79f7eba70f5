"""Training a chain without re-optimisation."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

from msnas.chain.chain import Chain, Path, handed_on
from msnas.data.events import Events
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import collect_outputs
from msnas.methods.pretraining import Pretraining
from msnas.training.train import Trained

if TYPE_CHECKING:
    from msnas.study import Study


def train_sequentially(study: Study, path: Path) -> tuple[dict[str, Trained], Chain]:
    """Train task after task, each on the frozen outputs of those before (paper, section 4.4.1).

    The first one is the pre-trained candidate. What a task reads is computed once, as nothing
    before it trains. Returns the trainings by `<task>/<name>`, and the chain.
    """
    if without := [task.name for task in study.chain.tasks if not task.supervised]:
        raise ConfigError(
            f"method.reoptimise=false: {without[0]!r} has no loss of its own and learns only in a "
            "connected chain; use method.reoptimise=true"
        )
    chain = copy.deepcopy(study.chain.only(path))
    trainings: dict[str, Trained] = {}
    events = study.events
    keys: list[Any] = []
    with study.display.stage("Training task after task, on the outputs of those before"):
        for level, (task, name) in enumerate(zip(chain.tasks, path, strict=True)):
            label = f"{task.name}/{name}"
            keys.append(study.identity(task.name, [name]))
            if study.trainable(level, name):
                if level == 0:
                    trained = study.pretrain_one(level, name)
                else:
                    trained = study.trainer.train(
                        "sequential",
                        " -> ".join(path[: level + 1]),
                        identity={"upstream": keys[:-1], "task": study.identity(task.name, [name])},
                        module=partial(
                            Pretraining,
                            chain=chain,
                            level=level,
                            name=name,
                            optimizer=study.optimizer,
                        ),
                        settings="pretrain",
                        events=events,
                    )
                chain.candidate(level, name).load_state_dict(trained.weights)
                trainings[label] = trained
                keys[-1] = trained.key
            if level + 1 < len(path):
                events = _with_output(events, chain, path, level, batch=study.evaluation_batch)
    return trainings, chain


def _with_output(events: Events, chain: Chain, path: Path, level: int, *, batch: int) -> Events:
    """The events, with what the task at `level` hands on."""
    task = chain.tasks[level]
    extended = {}
    for part in ("train", "valid"):
        values = getattr(events, part)
        output = collect_outputs(chain, values, paths=[path], batch=batch)[path[: level + 1]]
        extended[part] = {**values, handed_on(task): task.hand_on(output)}
    return dataclasses.replace(events, **extended)
