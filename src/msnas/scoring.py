"""A run's chains put to numbers: on validation data, and on the test part at the end."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final

from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.conditioning.conditioning import Conditioning, Point
from msnas.conditioning.from_config import own_point
from msnas.data.events import Batch, Events
from msnas.data.frames import TURN
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import ChainScore, collect_outputs, evaluate, score_outputs
from msnas.evaluation.interventions import Interventions, Outputs
from msnas.evaluation.judge import Judge, train_judge
from msnas.evaluation.variable_metric import VariableMetric
from msnas.plan import Plan
from msnas.training.progress import Display
from msnas.training.store import Store
from msnas.weighting.weighting import Weighting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tested:
    """A chain's numbers on the test part.

    `values`, every task's finished `outputs` (of the test events, in the detector's frame) and what
    `interventions` tell are at the run's own point, `conditions` the numbers at every point of a
    conditioning; `stage` is how the judges of validity were come by.
    """

    values: Mapping[str, Any]
    outputs: Mapping[str, Tensor]
    interventions: Mapping[str, Any]
    conditions: list[dict[str, Any]]
    stage: dict[str, Any]


def higher_is_better(chain: Chain, name: str, *, key: str) -> bool:
    """Direction of a validation number: `loss`, `<task>/loss` or `<task>/<metric>`.

    Raises ConfigError, naming `key`, for one that is not measured.
    """
    directions = {"loss": False}
    for task in chain.supervised():
        directions[f"{task.name}/loss"] = False
        for metric, one in task.metrics.items():
            if one.higher_is_better is not None and not isinstance(one, VariableMetric):
                directions[f"{task.name}/{metric}"] = one.higher_is_better
    if name not in directions:
        raise ConfigError(f"{key}: {name!r} is not measured; allowed are {list(directions)}")
    return directions[name]


@final
class Scoring:
    """How one run judges chains: by its task weights, at the points of its conditioning.

    `weights` are the run's own, by task; judges of validity are taken from `store` or put there.
    """

    def __init__(
        self,
        plan: Plan,
        events: Events,
        *,
        conditioning: Conditioning | None,
        weighting: Weighting,
        weights: Mapping[str, float],
        interventions: Interventions,
        store: Store,
        display: Display,
    ) -> None:
        self.plan = plan
        self.events = events
        self.conditioning = conditioning
        self.weights = weights
        self.weighting = copy.deepcopy(weighting).prepare(list(weights.values()))
        self.interventions = interventions
        self.store = store
        self.display = display
        self.batch: int = plan.config["recipe"]["evaluation_batch"]

    def score(self, chain: Chain, paths: Sequence[Path], part: str) -> list[ChainScore]:
        """Numbers of some paths of a chain on one part of the data.

        A conditioned chain's numbers are those at the run's own point (its task weight, its
        parameters), with the losses at all points, by which it is ranked.
        """
        if self.conditioning is None:
            return self.score_at(chain, paths, part, None)
        own = self.score_at(chain, paths, part, self.point)
        everywhere = [
            self.score_at(chain, paths, part, point) for point in self.conditioning.points()
        ]
        return [
            dataclasses.replace(
                score, losses=tuple(scores[index].values["loss"] for scores in everywhere)
            )
            for index, score in enumerate(own)
        ]

    def rank(self, chain: Chain, paths: Sequence[Path]) -> list[ChainScore]:
        """Scores on the validation part with the weights as they are, the lowest loss first."""
        return sorted(self.score(chain, paths, "valid"), key=lambda score: score.ranked_by)

    def score_at(
        self, chain: Chain, paths: Sequence[Path], part: str, point: Point | None
    ) -> list[ChainScore]:
        """The same at one point of the conditioning."""
        return evaluate(
            chain,
            self._conditioned(part, point),
            paths=paths,
            weighting=self._weighting_at(point),
            batch=self.batch,
        )

    def spread_validation(self) -> Batch:
        """The validation events; with conditioning, each at a point of its own, evenly spread."""
        valid = self.events.valid
        return valid if self.conditioning is None else self.conditioning.spread(valid)

    @cached_property
    def point(self) -> Point | None:
        """The run's own values of what it is conditioned on; None without conditioning."""
        if self.conditioning is None:
            return None
        return own_point(
            self.conditioning,
            first_weight=next(iter(self.weights.values())),
            tasks=self.plan.config["tasks"],
        )

    def _conditioned(self, part: str, point: Point | None) -> Batch:
        events: Batch = getattr(self.events, part)
        if self.conditioning is None or point is None:
            return events
        return self.conditioning.at(events, point)

    def _weighting_at(self, point: Point | None) -> Weighting:
        if self.conditioning is None or point is None:
            return self.weighting
        weights = self.conditioning.task_weights(point)
        if weights is None:
            return self.weighting
        return copy.deepcopy(self.weighting).prepare(weights)

    def test(self, chain: Chain, path: Path) -> Tested:
        """The chain's numbers on the test part, looked at this once."""
        judges = {}
        stage: dict[str, Any] = {}
        for task in chain.tasks:
            settings = self.plan.config["tasks"][task.name].get("validity")
            if settings:
                with self.display.stage(f"Validity of {task.name}: a Gaussian process as judge"):
                    judges[task.name], stage = train_judge(
                        task,
                        settings,
                        self.events,
                        data_identity=self.plan.data_identity,
                        machine=self.plan.machine,
                        store=self.store,
                        display=self.display,
                    )
        valid_events = self._outputs(chain, path, "valid", self.point)
        test_events = self._outputs(chain, path, "test", self.point)
        values, outputs = self._tested(chain, path, judges, self.point, test_events)
        interventions = self.interventions.measure(
            chain, path, part=test_events, valid=valid_events, batch=self.batch
        )
        conditions = []
        for point in self.conditioning.points() if self.conditioning else []:
            (valid,) = self.score_at(chain, [path], "valid", point)
            conditions.append(
                {
                    "parameters": point,
                    "valid": dict(valid.values),
                    "test": self._tested(
                        chain, path, judges, point, self._outputs(chain, path, "test", point)
                    )[0],
                }
            )
        return Tested(
            values=values,
            outputs=outputs,
            interventions=interventions,
            conditions=conditions,
            stage=stage,
        )

    def intervene(self, chain: Chain, path: Path, part: str, point: Point | None) -> dict[str, Any]:
        """What `interventions` tell of the chain on one part of the data."""
        valid = self._outputs(chain, path, "valid", point)
        own = valid if part == "valid" else self._outputs(chain, path, part, point)
        return self.interventions.measure(chain, path, part=own, valid=valid, batch=self.batch)

    def _outputs(
        self, chain: Chain, path: Path, part: str, point: Point | None
    ) -> tuple[Batch, Outputs]:
        """Events of one part with the outputs of the chain."""
        events = self._conditioned(part, point)
        return events, collect_outputs(chain, events, paths=[path], batch=self.batch)

    def _tested(
        self,
        chain: Chain,
        path: Path,
        judges: Mapping[str, Judge],
        point: Point | None,
        test_events: tuple[Batch, Outputs],
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        part, outputs = test_events
        (score,) = score_outputs(
            chain, part, outputs, paths=[path], weighting=self._weighting_at(point)
        )
        values: dict[str, Any] = dict(score.values)
        named = {task.name: outputs[path[: level + 1]] for level, task in enumerate(chain.tasks)}
        detected = {
            task.name: task.output.turn_back(named[task.name], part[TURN])
            if TURN in part
            else named[task.name]
            for task in chain.tasks
        }
        for name, judge in judges.items():
            measured = judge.measure(self.events.in_detector("test"), detected[name])
            prefix = "" if len(judges) == 1 else f"{name}/"
            values |= {f"{prefix}{key}": value for key, value in measured.items()}
        return values, detected

    def winners(
        self, scores: Sequence[ChainScore], path: Path
    ) -> list[tuple[Point, ChainScore, float]]:
        """At every point of the conditioning the best chain, and the regret of `path`.

        By validation loss, of the `scores` a search ranked by; regret is the difference to the
        best.
        """
        points = self.conditioning.points() if self.conditioning is not None else []
        if not scores:
            return []
        (chosen,) = (score for score in scores if score.path == path)
        found = []
        for index, point in enumerate(points):
            best = min(scores, key=lambda score: score.losses[index])
            found.append((point, best, chosen.losses[index] - best.losses[index]))
        return found
