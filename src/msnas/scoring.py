"""A run's chains put to numbers: on validation data, and on the test part at the end."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.conditioning.conditioning import Conditioning, Point
from msnas.data.events import Batch, Events
from msnas.errors import ConfigError
from msnas.evaluation.applied import Applied
from msnas.evaluation.evaluate import ChainScore, collect_outputs, evaluate, score_outputs
from msnas.evaluation.honesty import Honesty, leakages, measure_honesty
from msnas.evaluation.interventions import Interventions
from msnas.evaluation.judge import Judge, train_judge
from msnas.evaluation.variable_metric import VariableMetric
from msnas.identity import derived_seed
from msnas.plan import Plan
from msnas.training.progress import Display
from msnas.training.store import Store
from msnas.weighting.weighting import Weighting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tested:
    """A chain's numbers on the test part.

    `values`, every task's finished `outputs` (of the test events, in the detector's frame) and what
    `interventions` tell are at the run's own point, `conditions` the numbers at every point of a
    conditioning; `honesty` is told at all of them, the run's own first. `stage` is how the `judges`
    of validity were come by.
    """

    values: Mapping[str, Any]
    outputs: Mapping[str, Tensor]
    interventions: Mapping[str, Any]
    honesty: Honesty | None
    conditions: list[dict[str, Any]]
    judges: Mapping[str, Judge]
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

    `weights` are the run's own, by task, `point` its own values of what it is conditioned on.
    Judges of validity are taken from `store` or put there.
    """

    def __init__(
        self,
        plan: Plan,
        events: Events,
        *,
        conditioning: Conditioning | None,
        point: Point | None,
        weighting: Weighting,
        weights: Mapping[str, float],
        interventions: Interventions,
        store: Store,
        display: Display,
    ) -> None:
        self.plan = plan
        self.events = events
        self.conditioning = conditioning
        self.point = point
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
                score,
                losses=tuple(scores[index].values["loss"] for scores in everywhere),
                event_losses=torch.stack(
                    [scores[index].event_losses for scores in everywhere]
                ).mean(0),
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
        points = [self.point, *(self.conditioning.points() if self.conditioning else [])]
        valid = [self._applied(chain, path, "valid", point) for point in points]
        test = [self._applied(chain, path, "test", point) for point in points]
        tested = [self._tested(one, judges, point) for one, point in zip(test, points, strict=True)]
        conditions = [
            {"parameters": point, "valid": dict(self._scored(one, point).values), "test": values}
            for one, point, values in zip(valid[1:], points[1:], tested[1:], strict=True)
        ]
        return Tested(
            values=tested[0],
            outputs=test[0].detected(),
            interventions=self.interventions.measure(test[0], valid=valid[0], batch=self.batch),
            honesty=measure_honesty(
                valid,
                test[0],
                points=points,
                judges=judges,
                detector=self.events.in_detector("valid"),
                seed=self._probe_seed,
            ),
            conditions=conditions,
            judges=judges,
            stage=stage,
        )

    def again(self, chain: Chain, path: Path, part: str, point: Point | None) -> dict[str, Any]:
        """A chain's `values`, `interventions` and `leakage` on one part of the data, at a point."""
        valid = self._applied(chain, path, "valid", point)
        own = valid if part == "valid" else self._applied(chain, path, part, point)
        return {
            "values": dict(self._scored(own, point).values),
            "interventions": self.interventions.measure(own, valid=valid, batch=self.batch),
            "leakage": leakages(valid, own, seed=self._probe_seed),
        }

    @property
    def _probe_seed(self) -> int:
        return derived_seed(self.plan.config["seed"], "leakage")

    def _applied(self, chain: Chain, path: Path, part: str, point: Point | None) -> Applied:
        events = self._conditioned(part, point)
        outputs = collect_outputs(chain, events, paths=[path], batch=self.batch)
        return Applied(chain=chain, path=path, events=events, outputs=outputs)

    def _scored(self, one: Applied, point: Point | None) -> ChainScore:
        (score,) = score_outputs(
            one.chain,
            one.events,
            one.outputs,
            paths=[one.path],
            weighting=self._weighting_at(point),
        )
        return score

    def _tested(
        self, one: Applied, judges: Mapping[str, Judge], point: Point | None
    ) -> dict[str, Any]:
        """Numbers of test events, with the validity of what is judged."""
        values: dict[str, Any] = dict(self._scored(one, point).values)
        detected = one.detected()
        for name, judge in judges.items():
            measured = judge.measure(self.events.in_detector("test"), detected[name])
            prefix = "" if len(judges) == 1 else f"{name}/"
            values |= {f"{prefix}{key}": value for key, value in measured.items()}
        return values

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
