"""The selected chain of a finished run, ready to use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msnas.build import build
from msnas.chain.chain import Chain
from msnas.chain.chain import Path as ChainPath
from msnas.chain.from_config import build_chain
from msnas.conditioning.chosen import chosen_point
from msnas.conditioning.conditioning import Conditioning, Point
from msnas.conditioning.from_config import build_conditioning, condition_chain, own_point
from msnas.data.checks import check_batch
from msnas.data.events import Batch, check_events
from msnas.data.fields import Field
from msnas.data.frames import Frame
from msnas.errors import DataError
from msnas.evaluation.evaluate import collect_outputs
from msnas.evaluation.judge import Judge
from msnas.parts import make_frame
from msnas.plan import FOLDS
from msnas.run_directory import JUDGES, MODEL, OUTPUTS, REFIT, RunDirectory
from msnas.storage import somebodys
from msnas.training.store import read_torch


@dataclass(frozen=True, kw_only=True)
class Model:
    """A chain of one candidate per task, the fields with their scales, and the provenance.

    `source` are the settings of the run's events. `point` are the run's own values of the
    parameters it is conditioned on, if any; `judges` settings and weights of validity judges.
    """

    chain: Chain
    path: ChainPath
    fields: Mapping[str, Field]
    provenance: Mapping[str, str]
    source: Mapping[str, Any] = field(default_factory=dict)
    frame: Frame | None = None
    conditioning: Conditioning | None = None
    point: Point | None = None
    judges: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Tensor]]] = field(
        default_factory=dict
    )

    @property
    def inputs(self) -> list[str]:
        """Names of the fields that the chain reads."""
        return sorted(self.chain.reads(truths=False))

    def predict(
        self,
        arrays: Mapping[str, np.ndarray],
        *,
        conditions: Mapping[str, str],
        batch: int,
        where: str = "arrays",
    ) -> dict[str, np.ndarray]:
        """The output of every task for raw events [event, ...], in physical units.

        `conditions` are values of the conditioning's parameters, by key, as text; `where` names
        the events in errors. Raises DataError for arrays that do not fit the fields, ConfigError
        for a `batch` below 1.
        """
        check_batch(batch)
        fields = {name: self.fields[name] for name in self.inputs}
        raw = {name: np.asarray(arrays[name]) for name in fields if name in arrays}
        check_events(raw, fields, where=where)
        turn = None
        if self.frame is not None:
            raw, turned = self.frame.turn(raw, where=where)
            turn = torch.from_numpy(turned.astype(np.float32))
        part = self.ready(
            {name: field.encode(raw[name]) for name, field in fields.items()},
            chosen_point(conditions, self.conditioning, self.point),
        )
        outputs = collect_outputs(self.chain, part, paths=[self.path], batch=batch)
        found = self.told(
            [outputs[self.path[: level + 1]] for level in range(len(self.path))], turn
        )
        return {name: values.detach().numpy() for name, values in found.items()}

    def told(self, outputs: Sequence[Tensor], turn: Tensor | None) -> dict[str, Tensor]:
        """Every task's finished output in physical units, turned back by `turn` [event, 3]."""
        predictions = {}
        for task, output in zip(self.chain.tasks, outputs, strict=True):
            scored = task.scored(output)
            if turn is not None:
                scored = task.output.turn_back(scored, turn)
            predictions[task.name] = task.prediction(scored)
        return predictions

    def judges_of_validity(self) -> dict[str, Judge]:
        """The validity judges of the run, by task."""
        # gpytorch takes a second to import: only for a chain that is judged
        from msnas.evaluation.validity import Validity

        tasks = {task.name: task for task in self.chain.tasks}
        return {
            name: Judge(
                build(settings, key=f"tasks.{name}.validity", of=Validity), weights, tasks[name]
            )
            for name, (settings, weights) in self.judges.items()
        }

    def ready(self, part: Batch, point: Point | None = None) -> Batch:
        """Events as the chain reads them; if conditioned, at `point`, else at the run's own."""
        if self.conditioning is None or self.point is None:
            return part
        return self.conditioning.at(part, self.point if point is None else point)


def load_model(directory: Path, *, for_use: bool = False) -> Model:
    """Read config.yaml and model.ckpt of a run; nothing in them is executed.

    The chain is the one that the run's numbers are about. With `for_use` it is, if it exists, the
    chain that was trained once more with the validation events too.

    Raises DataError if the run is not finished or its files cannot be used, ConfigError for a
    class that is not allowed.
    """
    run = RunDirectory(directory)
    config, result = run.read()
    if result.get("folds"):
        raise DataError(
            f"{directory}: cross-fitted, a chain for every fold: what they say of the events they "
            f"were not trained on is in {OUTPUTS}; for other events take a single fold's chain, "
            f"such as {directory / FOLDS / '0'}"
        )
    again = for_use and REFIT in result.get("files", {})
    model = read_torch(run.checked(REFIT if again else MODEL))
    names = config["problem"]["chain"]
    path = tuple(result["selected"][name] for name in names)
    with somebodys(directory):
        if tuple(model["selected"]) != path:
            raise DataError(f"{run.model}: found the chain {model['selected']}, expected {path}")
        tasks = {
            name: {
                **config["tasks"][name],
                "candidates": {chosen: config["tasks"][name]["candidates"][chosen]},
            }
            for name, chosen in zip(names, path, strict=True)
        }
        fields: dict[str, Field] = {}
        for name, settings in config["data"]["fields"].items():
            fields[name] = build(settings, key=f"data.fields.{name}", of=Field)
            fields[name].restore(model["scales"][name])
        chain = build_chain(tasks, names, seed=0, fields=fields)
        frame = make_frame(config["data"])
        conditioning = build_conditioning(config.get("conditioning"), chain)
        point = None
        if conditioning is not None:
            condition_chain(
                chain,
                conditioning,
                {name: field.encode(np.zeros((2, *field.shape))) for name, field in fields.items()},
                layers=config["conditioning"]["layers"],
                seed=0,
            )
            point = own_point(conditioning, weights=result["task_weights"], tasks=tasks)
        chain.load_state_dict(model["weights"])
        # a run of an earlier version has no judges
        kept = read_torch(run.checked(JUDGES)) if JUDGES in result.get("files", {}) else {}
        judges = {name: (tasks[name]["validity"], weights) for name, weights in kept.items()}
    return Model(
        chain=chain,
        path=path,
        fields=fields,
        source=config["data"]["source"],
        frame=frame,
        conditioning=conditioning,
        point=point,
        judges=judges,
        provenance={
            "run": directory.name,
            "problem": config["problem"]["name"],
            "method": config["method"]["name"],
            "selected": " -> ".join(path),
            "key": result["key"],
            **(
                {"refit": f"{result['refit']['events']} training and validation events"}
                if again
                else {}
            ),
            "trained_on": json.dumps(result["data"]["source"]),
            "versions": json.dumps(result["versions"]),
        },
    )
