"""The stages of one run, each of which may come from the store."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from msnas.build import build, signature_of
from msnas.chain.chain import Chain, Path, check_chain
from msnas.chain.from_config import build_chain
from msnas.data.events import Events, load_events
from msnas.evaluation.evaluate import ChainScore, evaluate
from msnas.methods.method import Method, SearchMethod
from msnas.methods.posttraining import Posttraining
from msnas.methods.pretraining import Pretraining
from msnas.plan import Plan
from msnas.training.progress import Display
from msnas.training.store import Store
from msnas.training.train import StageTrainer, Trained
from msnas.weighting.weighting import Weighting

HANDED_ON = ("target", "output")
"""The settings of a task that decide what later tasks read in pre-training."""


def read_events(plan: Plan) -> Events:
    """The events the plan asks for."""
    data = plan.config["data"]
    return load_events(
        plan.source,
        {name: build(field, key=f"data.fields.{name}") for name, field in data["fields"].items()},
        events=data["events"],
        split_seed=data["split_seed"],
        fractions=data["fractions"],
        stratify=data["stratify"],
        where=str(data.get("file", plan.config["problem"]["name"])),
    )


@final
class Study:
    """One run's chain on its way from fresh weights to the end; each training may be in the store.

    `chain` holds the weights of the last stage, `origin` the key of the training each candidate's
    weights come from (as `<task>/<name>`; none while they are fresh).
    """

    def __init__(self, plan: Plan, events: Events, display: Display, *, repeat: bool) -> None:
        self.plan = plan
        self.events = events
        self.display = display
        self.config = plan.config
        self.weighting: Weighting = build(
            self.config["weighting"], key="weighting", weights=list(plan.weights.values())
        )
        self.chain = build_chain(self.config["tasks"], plan.chain, seed=self.config["seed"])
        check_chain(self.chain, events.train)
        self.origin: dict[str, str] = {}
        self.trainer = StageTrainer(
            events=events,
            data_identity=plan.data_identity,
            store=Store(plan.output / "cache"),
            machine=plan.machine,
            recipe=self.config["recipe"],
            seed=self.config["seed"],
            display=display,
            repeat=("search", "posttrain") if repeat else (),
        )

    def method(self) -> Method:
        """The configured method, with what its constructor asks for."""
        settings = dict(self.config["method"])
        offered = {
            "chain": self.chain,
            "weighting": self.weighting,
            "optimizer": self._optimizer,
            "seed": self.trainer.seed_of("search", settings.pop("name")),
        }
        asked = signature_of(settings, key="method")
        method: Method = build(
            settings,
            key="method",
            **{name: value for name, value in offered.items() if name in asked},
        )
        return method

    def pretrain(self) -> dict[str, Trained]:
        """Train every candidate alone on the truth; the chain gets the best weights."""
        trained = {}
        with self.display.stage("Pre-training: each candidate alone, on the truth"):
            for level, task in enumerate(self.chain.tasks):
                for name in self.chain.names()[level]:
                    candidate = self.chain.candidate(level, name)
                    if not any(value.requires_grad for value in candidate.parameters()):
                        continue
                    label = f"{task.name}/{name}"
                    trained[label] = self.trainer.train(
                        "pretrain",
                        label,
                        identity={
                            "upstream": [
                                {key: self._settings(earlier.name)[key] for key in HANDED_ON}
                                for earlier in self.chain.tasks[:level]
                            ],
                            "task": self._identity(task.name, [name]),
                        },
                        module=partial(
                            Pretraining,
                            chain=self.chain,
                            level=level,
                            name=name,
                            optimizer=self._optimizer,
                        ),
                    )
                    candidate.load_state_dict(trained[label].weights)
                    self.origin[label] = trained[label].key
        return trained

    def search(self, method: SearchMethod) -> Trained:
        """Train all candidates together by the method."""
        settings = dict(self.config["method"])
        name = settings.pop("name")
        with self.display.stage(f"Search: all candidates together ({name})"):
            trained = self.trainer.train(
                "search",
                name,
                identity={
                    "method": settings,
                    "tasks": [self._identity(task.name) for task in self.chain.tasks],
                    **self._weights_identity(),
                    "start": self.origin,
                },
                module=lambda seed: method,
            )
        method.load_weights(trained.weights)
        for level, task in enumerate(self.chain.tasks):
            for candidate in self.chain.names()[level]:
                self.origin[f"{task.name}/{candidate}"] = trained.key
        return trained

    def posttrain(self, path: Path) -> tuple[Trained, Chain]:
        """Train a copy of the chain `path` end to end, from the weights it has by now."""
        chain = copy.deepcopy(self.chain.only(path))
        labels = [f"{task.name}/{name}" for task, name in zip(chain.tasks, path, strict=True)]
        with self.display.stage("Post-training: the connected chain, end to end"):
            trained = self.trainer.train(
                "posttrain",
                " -> ".join(path),
                identity={
                    "tasks": [
                        self._identity(task.name, [name])
                        for task, name in zip(chain.tasks, path, strict=True)
                    ],
                    **self._weights_identity(),
                    "start": [self.origin.get(label) for label in labels],
                },
                module=partial(
                    Posttraining, chain=chain, weighting=self.weighting, optimizer=self._optimizer
                ),
            )
        chain.load_state_dict(trained.weights)
        return trained, chain

    def rank(self, paths: Sequence[Path]) -> list[ChainScore]:
        """Scores on the validation part with the weights as they are, the lowest loss first."""
        return sorted(
            self.score(self.chain, paths, "valid"), key=lambda score: score.values["loss"]
        )

    def score(self, chain: Chain, paths: Sequence[Path], part: str) -> list[ChainScore]:
        """Numbers of some paths of a chain on one part of the data."""
        return evaluate(
            chain,
            getattr(self.events, part),
            paths=paths,
            weighting=self.weighting,
            batch=self.config["recipe"]["evaluation_batch"],
        )

    def _optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        optimizer: Optimizer = build(
            self.config["recipe"]["optimizer"], key="recipe.optimizer", params=parameters
        )
        return optimizer

    def _weights_identity(self) -> dict[str, Any]:
        return {"weighting": self.config["weighting"], "task_weights": self.plan.weights}

    def _settings(self, task: str) -> Any:
        return self.config["tasks"][task]

    def _identity(self, task: str, names: list[str] | None = None) -> dict[str, Any]:
        """What decides the training of a task: with all its candidates or the ones named."""
        settings = self._settings(task)
        candidates = settings["candidates"]
        return {
            "name": task,
            **{key: settings[key] for key in ("inputs", "loss", *HANDED_ON)},
            "candidates": {name: candidates[name] for name in names or candidates},
        }
