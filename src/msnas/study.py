"""The stages of one run, each of which may come from the store."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from msnas.build import build, class_of
from msnas.chain.chain import Chain, Path, check_chain
from msnas.chain.from_config import build_chain
from msnas.conditioning.from_config import build_conditioning, condition_chain
from msnas.data.events import Events, load_events
from msnas.data.fields import Field
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import ChainScore
from msnas.methods.method import Method, SearchMethod
from msnas.methods.posttraining import Posttraining
from msnas.methods.pretraining import Pretraining
from msnas.plan import Plan
from msnas.scoring import Scoring
from msnas.training.progress import Display
from msnas.training.store import Store
from msnas.training.train import StageTrainer, Trained
from msnas.weighting.check import check_weighting
from msnas.weighting.weighting import Weighting


def read_events(plan: Plan) -> Events:
    """The events the plan asks for."""
    data = plan.config["data"]
    return load_events(
        plan.source,
        {
            name: build(field, key=f"data.fields.{name}", of=Field)
            for name, field in data["fields"].items()
        },
        events=data["events"],
        split_seed=data["split_seed"],
        fractions=data["fractions"],
        stratify=data["stratify"],
        where=str(data.get("file", plan.config["problem"]["name"])),
        thin=data.get("thin"),
    )


REPEATED: Mapping[bool | str, tuple[str, ...]] = {
    False: (),
    True: ("sequential", "search", "posttrain"),
    "all": ("pretrain", "sequential", "search", "posttrain", "validity"),
}
"""What `force` has done anew."""


@final
class Study:
    """One run's chain on its way from fresh weights to the end; each training may be in the store.

    `chain` holds the weights of the last stage, `origin` the key of the training each candidate's
    weights come from (as `<task>/<name>`; none while they are fresh). Of the trainings that `force`
    names those done before `since` [ns] are repeated.
    """

    def __init__(
        self, plan: Plan, events: Events, display: Display, *, since: int | None = None
    ) -> None:
        self.plan = plan
        self.events = events
        self.display = display
        self.config = plan.config
        self.chain = build_chain(self.config["tasks"], plan.chain, seed=self.config["seed"])
        check_chain(self.chain, events.train)
        for task in self.chain.tasks:
            task.fit_loss(events.train)
        self.conditioning = build_conditioning(self.config["conditioning"], self.chain)
        self.origin: dict[str, str] = {}
        self.evaluation_batch: int = self.config["recipe"]["evaluation_batch"]
        self.trainer = StageTrainer(
            events=events,
            data_identity=plan.data_identity,
            store=Store(
                plan.output / "cache",
                repeat=REPEATED[self.config["force"]] if since is not None else (),
                since=since or 0,
            ),
            machine=plan.machine,
            recipe=self.config["recipe"],
            seed=self.config["seed"],
            display=display,
            conditioning=self.conditioning,
        )
        self.weights = self._task_weights()
        self.weighting = self._weighting_of(self._training_weights())
        self._check_weighting()
        self.scoring = Scoring(
            plan,
            events,
            conditioning=self.conditioning,
            weights=self.weights,
            weighting_of=self._weighting_of,
            store=self.trainer.store,
            display=display,
        )
        if self.conditioning is not None and self.config["method"].get("reoptimise") is False:
            raise ConfigError(
                "method.reoptimise=false: a chain trained task after task cannot be conditioned; "
                "use conditioning=none or method.reoptimise=true"
            )
        self.method = self._build_method()

    def _weighting_of(self, weights: Mapping[str, float]) -> Weighting:
        return build(
            self.config["weighting"],
            key="weighting",
            of=Weighting,
            weights=list(weights.values()),
        )

    def _check_weighting(self) -> None:
        method = class_of(self.config["method"], key="method", of=Method)
        check_weighting(
            self.weighting,
            given=self._weights_given(),
            drawn=self.conditioning is not None and self.conditioning.of_task_weight,
            last_task_only=None if method.intermediate_loss else self.config["method"]["name"],
            precision=self.plan.machine["precision"],
        )

    def _weights_given(self) -> bool:
        given = [self.config["task_weight"], *self.config["task_weights"].values()]
        return any(value is not None for value in given)

    def _training_weights(self) -> dict[str, float]:
        """What weights the losses in training: all equal, where v1 is drawn for every event."""
        if self.conditioning is None or not self.conditioning.of_task_weight:
            return self.weights
        return {name: 1 / len(self.weights) for name in self.weights}

    def _build_method(self) -> Method:
        """The configured method, with what its constructor asks for."""
        settings = dict(self.config["method"])
        offered = {
            "supernet": self.chain,
            "weighting": copy.deepcopy(self.weighting),  # a stage's own
            "optimizer": self.optimizer,
            "seed": self.trainer.seed_of("search", settings.pop("name")),
        }
        asked = inspect.signature(class_of(settings, key="method", of=Method)).parameters
        return build(
            settings,
            key="method",
            of=Method,
            **{name: value for name, value in offered.items() if name in asked},
        )

    def _task_weights(self) -> dict[str, float]:
        """The plan's, or 1 for the last task alone if the method wants no intermediate loss."""
        method = class_of(self.config["method"], key="method", of=Method)
        if method.intermediate_loss:
            return self.plan.weights
        if self._weights_given():
            raise ConfigError(
                f"task_weight, task_weights: method={self.config['method']['name']} trains on the "
                "last task's loss alone; leave them out"
            )
        return {name: float(name == self.plan.tasks[-1]) for name in self.plan.tasks}

    def pretrain(self, only: str | None = None) -> dict[str, Trained]:
        """Train every candidate alone on the truth; the chain gets the best weights.

        With `only`, just the one called so: `<task>/<candidate>`.
        """
        with self.display.stage("Pre-training: each candidate alone, on the truth"):
            return {
                f"{task.name}/{name}": self.pretrain_one(level, name)
                for level, task in enumerate(self.chain.tasks)
                for name in self.chain.names()[level]
                if only in (None, f"{task.name}/{name}")
                and self.chain.pretrains(level)
                and self.method.pretrains(level, name)
                and self.trainable(level, name)
            }

    def pretrain_one(self, level: int, name: str) -> Trained:
        """Train one candidate alone on the truth; the chain gets the best weights."""
        task = self.chain.tasks[level]
        label = f"{task.name}/{name}"
        trained = self.trainer.train(
            "pretrain",
            label,
            identity=self.plan.pretraining_identity(level, name),
            module=partial(
                Pretraining, chain=self.chain, level=level, name=name, optimizer=self.optimizer
            ),
        )
        self.chain.candidate(level, name).load_state_dict(trained.weights)
        self.origin[label] = trained.key
        return trained

    def condition(self) -> None:
        """Condition the candidates, if so configured; until trained they compute what they did."""
        if self.conditioning is not None:
            condition_chain(
                self.chain,
                self.conditioning,
                {name: value[:2] for name, value in self.events.train.items()},
                layers=self.config["conditioning"]["layers"],
                seed=self.config["seed"],
            )

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
            (score,) = self.scoring.score(chain, [path], "valid")
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
                Posttraining,
                chain=chain,
                weighting=copy.deepcopy(self.weighting),
                optimizer=self.optimizer,
            ),
        )
        chain.load_state_dict(trained.weights)
        return trained, chain

    def rank(self, paths: Sequence[Path]) -> list[ChainScore]:
        """Scores on the validation part with the weights as they are, the lowest loss first."""
        return sorted(
            self.scoring.score(self.chain, paths, "valid"), key=lambda score: score.ranked_by
        )

    def optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        """The optimiser of some parameters, as the recipe configures it."""
        return build(
            self.config["recipe"]["optimizer"],
            key="recipe.optimizer",
            of=Optimizer,
            params=parameters,
        )

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
        return {
            "weighting": self.config["weighting"],
            "task_weights": self._training_weights(),
            **({"conditioning": self._conditioning_identity()} if self.conditioning else {}),
        }

    def _conditioning_identity(self) -> dict[str, Any]:
        """What decides a conditioned training; where it is judged afterwards does not."""
        assert self.conditioning is not None
        settings = self.config["conditioning"]
        return {
            "parameters": [one.key for one in self.conditioning.parameters],
            "laws": [
                {key: value for key, value in settings["laws"][one.name].items() if key != "points"}
                for one in self.conditioning.parameters
            ],
            "layers": settings["layers"],
        }

    def _settings(self, task: str) -> Any:
        return self.config["tasks"][task]

    def identity(self, task: str, names: list[str] | None = None) -> dict[str, Any]:
        """What decides the training of a task: with all its candidates or the ones named."""
        return self.plan.task_identity(task, names)
