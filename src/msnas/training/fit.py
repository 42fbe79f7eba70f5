"""The trainings of one run: each is carried out, or its result is read from the store."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from msnas.build import build
from msnas.chain.chain import Chain, Path
from msnas.conditioning.conditioning import Conditioning
from msnas.data.events import Events
from msnas.identity import derived_seed
from msnas.plan import Plan
from msnas.training.posttraining import Posttraining
from msnas.training.pretraining import Pretraining
from msnas.training.progress import Display
from msnas.training.stage_module import StageModule
from msnas.training.store import Store
from msnas.training.train import StageTrainer, Trained
from msnas.weighting.weighting import Weighting


@final
class Fit:
    """Trains candidates, super-networks and chains as the plan says.

    `task_weights` are the task weights of `weighting`; equal weights if a conditioning draws them.
    `epochs` gives the number of epochs of each training, in place of the recipe's.
    After a training its modules hold the best weights, and `chain.origin` holds the key of that
    training, because the identity of every later training depends on it.
    """

    def __init__(
        self,
        plan: Plan,
        events: Events,
        *,
        weighting: Weighting,
        task_weights: Mapping[str, float],
        conditioning: Conditioning | None,
        store: Store,
        display: Display,
        epochs: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self.plan = plan
        self.events = events
        self.weighting = weighting
        self.task_weights = task_weights
        self.conditioning = conditioning
        self.store = store
        self.display = display
        self.evaluation_batch: int = plan.config["recipe"]["evaluation_batch"]
        self.method_seed = derived_seed(
            plan.config["seed"], "search", plan.config["method"]["name"]
        )
        self._trainer = StageTrainer(
            events=events,
            data_identity=plan.data_identity,
            store=store,
            machine=plan.machine,
            recipe=plan.config["recipe"],
            seed=plan.config["seed"],
            display=display,
            conditioning=conditioning,
            epochs=epochs,
        )

    @property
    def kept_epochs(self) -> Mapping[tuple[str, str], int]:
        """Number of epochs after which each training reached its kept weights: `StageTrainer`."""
        return self._trainer.kept

    def fresh_weighting(self) -> Weighting:
        """A copy of the weighting for one stage, so that no stage sees what another one learnt."""
        return copy.deepcopy(self.weighting)

    def optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        """An optimiser of the given parameters, as the recipe configures it."""
        settings = self.plan.config["recipe"]["optimizer"]
        return build(settings, key="recipe.optimizer", of=Optimizer, params=parameters)

    def pretrain(self, chain: Chain, level: int, name: str, *, told: str = "pretrain") -> Trained:
        """Train one candidate alone, with the truth as input; the history names it `told`."""
        label = chain.label(level, name)
        trained = self._trainer.train(
            "pretrain",
            label,
            identity=self.plan.pretraining_identity(level, name),
            module=partial(
                Pretraining, chain=chain, level=level, name=name, optimizer=self.optimizer
            ),
            told=(told, label),
        )
        return _taken(trained, chain, level, name)

    def train_behind(self, chain: Chain, level: int, name: str, events: Events) -> Trained:
        """Train one candidate of a single chain on the outputs of earlier tasks, in `events`."""
        (path,) = chain.paths()
        trained = self._trainer.train(
            "sequential",
            " -> ".join(path[: level + 1]),
            identity={
                "upstream": [
                    chain.origin.get(chain.label(earlier, one), self._identity(chain, earlier, one))
                    for earlier, one in enumerate(path[:level])
                ],
                "task": self._identity(chain, level, name),
            },
            module=partial(
                Pretraining, chain=chain, level=level, name=name, optimizer=self.optimizer
            ),
            settings="pretrain",
            events=events,
            told=("posttrain", chain.label(level, name)),
        )
        return _taken(trained, chain, level, name)

    def search(
        self, chain: Chain, module: StageModule, *, without: Collection[str] = ()
    ) -> Trained:
        """Train all candidates of `chain` together, by the method's `module`.

        The method's settings named in `without` do not influence the training, nor its store key.
        """
        settings = dict(self.plan.config["method"])
        name = settings.pop("name")
        with self.display.stage(f"Search: all candidates together ({name})"):
            trained = self._trainer.train(
                "search",
                name,
                identity={
                    "method": {key: value for key, value in settings.items() if key not in without},
                    "tasks": [self.plan.task_identity(task.name) for task in chain.tasks],
                    **self._weighting_identity(),
                    "start": chain.origin,
                },
                module=lambda seed: module,
                told=("search", "super-network"),
            )
        module.load_weights(trained.weights)
        for level, names in enumerate(chain.names()):
            chain.origin |= {chain.label(level, one): trained.key for one in names}
        return trained

    def posttrain(
        self, chain: Chain, path: Path, *, until: int | None = None, selected: bool = False
    ) -> tuple[Trained, Chain]:
        """Train a copy of one path of `chain` end to end, from its current weights.

        `selected` says whether it is the selected chain or one of the chains to choose from; only
        the history depends on it. A path without trainable parameters (dummies) is not trained.
        With `until` the training pauses after that many epochs and the copy keeps its weights.
        """
        chain = copy.deepcopy(chain.only(path))
        if chain.parameter_count() == 0:
            return Trained.untrained(chain.state_dict()), chain
        trained = self._trainer.train(
            "posttrain",
            " -> ".join(path),
            identity={
                "tasks": [self._identity(chain, level, name) for level, name in enumerate(path)],
                **self._weighting_identity(),
                "start": [
                    chain.origin.get(chain.label(level, name)) for level, name in enumerate(path)
                ],
            },
            module=partial(
                Posttraining,
                chain=chain,
                weighting=self.fresh_weighting(),
                optimizer=self.optimizer,
            ),
            until=until,
            told=("posttrain", "chain") if selected else ("search", " -> ".join(path)),
        )
        if until is None:
            chain.load_state_dict(trained.weights)
        return trained, chain

    def _weighting_identity(self) -> dict[str, Any]:
        """Settings that decide the training loss of a chain; the points of evaluation do not."""
        identity = {
            "weighting": self.plan.config["weighting"],
            "task_weights": dict(self.task_weights),
        }
        if self.conditioning is not None:
            settings = self.plan.config["conditioning"]
            identity["conditioning"] = {
                "parameters": [one.key for one in self.conditioning.parameters],
                "laws": [
                    {
                        key: value
                        for key, value in settings["laws"][one.name].items()
                        if key != "points"
                    }
                    for one in self.conditioning.parameters
                ],
                "layers": settings["layers"],
                **({"draws": settings["draws"]} if "draws" in settings else {}),
            }
        return identity

    def _identity(self, chain: Chain, level: int, name: str) -> dict[str, Any]:
        return self.plan.task_identity(chain.tasks[level].name, [name])


def _taken(trained: Trained, chain: Chain, level: int, name: str) -> Trained:
    """Load the trained weights into the candidate, and note their training in `chain.origin`."""
    chain.candidate(level, name).load_state_dict(trained.weights)
    chain.origin[chain.label(level, name)] = trained.key
    return trained
