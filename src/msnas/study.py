"""The stages of one run, each of which may come from the store."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from msnas.build import build, class_of
from msnas.chain.chain import Chain, Path, check_chain
from msnas.chain.from_config import build_chain
from msnas.data.events import Events, load_events
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import ChainScore, collect_outputs, evaluate, score_outputs
from msnas.evaluation.judge import measure_validity
from msnas.evaluation.variable_metric import VariableMetric
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
        self.chain = build_chain(self.config["tasks"], plan.chain, seed=self.config["seed"])
        check_chain(self.chain, events.train)
        self.origin: dict[str, str] = {}
        self.evaluation_batch: int = self.config["recipe"]["evaluation_batch"]
        self.trainer = StageTrainer(
            events=events,
            data_identity=plan.data_identity,
            store=Store(plan.output / "cache"),
            machine=plan.machine,
            recipe=self.config["recipe"],
            seed=self.config["seed"],
            display=display,
            repeat=("sequential", "search", "posttrain") if repeat else (),
        )
        self.weights = self._task_weights()
        self.weighting: Weighting = build(
            self.config["weighting"], key="weighting", weights=list(self.weights.values())
        )
        self.method = self._build_method()

    def _build_method(self) -> Method:
        """The configured method, with what its constructor asks for."""
        settings = dict(self.config["method"])
        offered = {
            "supernet": self.chain,
            "weighting": self.weighting,
            "optimizer": self.optimizer,
            "seed": self.trainer.seed_of("search", settings.pop("name")),
        }
        asked = inspect.signature(class_of(settings, key="method")).parameters
        method: Method = build(
            settings,
            key="method",
            **{name: value for name, value in offered.items() if name in asked},
        )
        return method

    def _task_weights(self) -> dict[str, float]:
        """The plan's, or 1 for the last task alone if the method wants no intermediate loss."""
        method: type[Method] = class_of(self.config["method"], key="method")
        if method.intermediate_loss:
            return self.plan.weights
        if self.config["task_weight"] is not None or any(
            value is not None for value in self.config["task_weights"].values()
        ):
            raise ConfigError(
                f"task_weight, task_weights: method={self.config['method']['name']} trains on the "
                "last task's loss alone; leave them out"
            )
        last = self.plan.chain[-1]
        return {name: float(name == last) for name in self.plan.chain}

    def pretrain(self) -> dict[str, Trained]:
        """Train every candidate alone on the truth; the chain gets the best weights."""
        with self.display.stage("Pre-training: each candidate alone, on the truth"):
            return {
                f"{task.name}/{name}": self.pretrain_one(level, name)
                for level, task in enumerate(self.chain.tasks)
                for name in self.chain.names()[level]
                if self.method.pretrains(level, name) and self.trainable(level, name)
            }

    def pretrain_one(self, level: int, name: str) -> Trained:
        """Train one candidate alone on the truth; the chain gets the best weights."""
        task = self.chain.tasks[level]
        label = f"{task.name}/{name}"
        trained = self.trainer.train(
            "pretrain",
            label,
            identity={
                "upstream": [
                    {key: self._settings(earlier.name)[key] for key in HANDED_ON}
                    for earlier in self.chain.tasks[:level]
                ],
                "task": self.identity(task.name, [name]),
            },
            module=partial(
                Pretraining, chain=self.chain, level=level, name=name, optimizer=self.optimizer
            ),
        )
        self.chain.candidate(level, name).load_state_dict(trained.weights)
        self.origin[label] = trained.key
        return trained

    def search(self) -> dict[str, Trained]:
        """Train all candidates together by the method, if it is one that does."""
        method = self.method
        if not isinstance(method, SearchMethod):
            return {}
        settings = dict(self.config["method"])
        name = settings.pop("name")
        with self.display.stage(f"Search: all candidates together ({name})"):
            trained = self.trainer.train(
                "search",
                name,
                identity={
                    "method": {
                        key: value
                        for key, value in settings.items()
                        if key not in method.selection_settings
                    },
                    "tasks": [self.identity(task.name) for task in self.chain.tasks],
                    **self._weights_identity(),
                    "start": self.origin,
                },
                module=lambda seed: method,
            )
        method.load_weights(trained.weights)
        for level, task in enumerate(self.chain.tasks):
            for candidate in self.chain.names()[level]:
                self.origin[f"{task.name}/{candidate}"] = trained.key
        return {"super-network": trained}

    def posttrain(self, path: Path) -> tuple[Trained, Chain]:
        """Train a copy of the chain `path` end to end, from the weights it has by now."""
        with self.display.stage("Post-training: the connected chain, end to end"):
            return self.train_chain(path)

    def train_chain(self, path: Path) -> tuple[Trained, Chain]:
        """The same inside a stage of the caller's; a chain of dummies alone stays as it is."""
        chain = copy.deepcopy(self.chain.only(path))
        if chain.parameter_count() == 0:
            (score,) = self.score(chain, [path], "valid")
            return Trained.untrained(chain.state_dict(), loss=score.values["loss"]), chain
        labels = [f"{task.name}/{name}" for task, name in zip(chain.tasks, path, strict=True)]
        trained = self.trainer.train(
            "posttrain",
            " -> ".join(path),
            identity={
                "tasks": self._path_identity(path),
                **self._weights_identity(),
                "start": [self.origin.get(label) for label in labels],
            },
            module=partial(
                Posttraining, chain=chain, weighting=self.weighting, optimizer=self.optimizer
            ),
        )
        chain.load_state_dict(trained.weights)
        return trained, chain

    def higher_is_better(self, name: str, *, key: str) -> bool:
        """Direction of a validation number: `loss`, `<task>/loss` or `<task>/<metric>`."""
        directions = {"loss": False}
        for task in self.chain.tasks:
            directions[f"{task.name}/loss"] = False
            for metric, one in task.metrics.items():
                if one.higher_is_better is not None and not isinstance(one, VariableMetric):
                    directions[f"{task.name}/{metric}"] = one.higher_is_better
        if name not in directions:
            raise ConfigError(f"{key}: {name!r} is not measured; allowed are {list(directions)}")
        return directions[name]

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
            batch=self.evaluation_batch,
        )

    def optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        """The optimiser of some parameters, as the recipe configures it."""
        optimizer: Optimizer = build(
            self.config["recipe"]["optimizer"], key="recipe.optimizer", params=parameters
        )
        return optimizer

    def test(self, chain: Chain, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """The chain's numbers on the test part, looked at this once; and the validity stage."""
        outputs = collect_outputs(
            chain, self.events.test, paths=[path], batch=self.evaluation_batch
        )
        (score,) = score_outputs(
            chain, self.events.test, outputs, paths=[path], weighting=self.weighting
        )
        values: dict[str, Any] = dict(score.values)
        judged = [
            (level, task)
            for level, task in enumerate(chain.tasks)
            if self._settings(task.name).get("validity")
        ]
        stage: dict[str, Any] = {}
        for level, task in judged:
            with self.display.stage(f"Validity of {task.name}: a Gaussian process as judge"):
                measured, stage = measure_validity(
                    task,
                    self._settings(task.name)["validity"],
                    outputs[path[: level + 1]],
                    self.events,
                    data_identity=self.plan.data_identity,
                    machine=self.plan.machine,
                    store=self.trainer.store,
                    display=self.display,
                )
            prefix = "" if len(judged) == 1 else f"{task.name}/"
            values |= {f"{prefix}{name}": value for name, value in measured.items()}
        return values, stage

    def trainable(self, level: int, name: str) -> bool:
        """Whether a candidate has anything to train."""
        parameters = self.chain.candidate(level, name).parameters()
        return any(value.requires_grad for value in parameters)

    def _path_identity(self, path: Path) -> list[dict[str, Any]]:
        return [
            self.identity(task.name, [name])
            for task, name in zip(self.chain.tasks, path, strict=True)
        ]

    def _weights_identity(self) -> dict[str, Any]:
        return {"weighting": self.config["weighting"], "task_weights": self.weights}

    def _settings(self, task: str) -> Any:
        return self.config["tasks"][task]

    def identity(self, task: str, names: list[str] | None = None) -> dict[str, Any]:
        """What decides the training of a task: with all its candidates or the ones named."""
        settings = self._settings(task)
        candidates = settings["candidates"]
        return {
            "name": task,
            **{key: settings[key] for key in ("inputs", "loss", *HANDED_ON)},
            "candidates": {name: candidates[name] for name in names or candidates},
        }
