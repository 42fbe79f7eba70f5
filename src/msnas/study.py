"""The stages of one run, each of which may come from the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from msnas.build import build
from msnas.chain.chain import Chain, Path, check_chain
from msnas.chain.from_config import build_chain
from msnas.data.events import Events, load_events
from msnas.evaluation.evaluate import ChainScore, evaluate
from msnas.methods.method import SearchMethod
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
    """The stages of one run, each of which may come from the store."""

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
                        module=lambda seed, level=level, name=name: Pretraining(
                            chain=self.chain,
                            level=level,
                            name=name,
                            optimizer=self._optimizer,
                            seed=seed,
                        ),
                    )
                    candidate.load_state_dict(trained[label].weights)
        return trained

    def search(self, pretrained: Mapping[str, Trained]) -> tuple[Trained, SearchMethod]:
        """Train all candidates together by the method."""
        settings = dict(self.config["method"])
        name = settings.pop("name")

        def module(seed: int) -> SearchMethod:
            method: SearchMethod = build(
                settings,
                key="method",
                chain=self.chain,
                weighting=self.weighting,
                optimizer=self._optimizer,
                seed=seed,
            )
            return method

        method = module(0)
        with self.display.stage(f"Search: all candidates together ({name})"):
            trained = self.trainer.train(
                "search",
                name,
                identity={
                    "method": settings,
                    "tasks": [self._identity(task.name) for task in self.chain.tasks],
                    **self._weights_identity(),
                    "start": {label: one.key for label, one in pretrained.items()},
                },
                module=module,
            )
        method.load_weights(trained.weights)
        return trained, method

    def posttrain(self, path: Path, *, start: Trained) -> tuple[Trained, Chain]:
        """Train the chain `path` end to end, from the weights the search left."""
        def module(seed: int) -> Posttraining:
            return Posttraining(
                chain=self.chain,
                path=path,
                weighting=self.weighting,
                optimizer=self._optimizer,
                seed=seed,
            )

        with self.display.stage("Post-training: the selected chain, end to end"):
            trained = self.trainer.train(
                "posttrain",
                " -> ".join(path),
                identity={
                    "tasks": [
                        self._identity(task.name, [name])
                        for task, name in zip(self.chain.tasks, path, strict=True)
                    ],
                    **self._weights_identity(),
                    "start": start.key,
                },
                module=module,
            )
        chain = self.chain.only(path)
        chain.load_state_dict(trained.weights)
        return trained, chain

    def score(self, chain: Chain, path: Path, part: str) -> ChainScore:
        """The chain's numbers on one part of the data."""
        (score,) = evaluate(
            chain,
            getattr(self.events, part),
            paths=[path],
            weighting=self.weighting,
            batch=self.config["recipe"]["evaluation_batch"],
        )
        return score

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
