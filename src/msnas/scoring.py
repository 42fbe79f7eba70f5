"""Scores a run's chains: on validation data, and on the test part at the end."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.chain.task import Task
from msnas.conditioning.conditioning import Conditioning, Point
from msnas.data.events import Batch, Events
from msnas.evaluation.applied import Applied
from msnas.evaluation.evaluate import ChainScore, collect_outputs, evaluate, score_outputs
from msnas.evaluation.honesty import Honesty, leakages, measure_honesty
from msnas.evaluation.interventions import Interventions
from msnas.evaluation.judge import Judge, train_judge
from msnas.evaluation.score_distribution import distribution
from msnas.identity import derived_seed
from msnas.measurement.measurement import AS_IT_IS, Measurement, Sample
from msnas.plan import Plan
from msnas.shifts.shifted import ShiftedEvents
from msnas.training.progress import Display
from msnas.training.store import Store
from msnas.weighting.weighting import Weighting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tested:
    """A chain's numbers on the test part.

    `values`, every task's finished `outputs` (of the test events, in the detector's frame) and
    `interventions` are at the run's own point; `conditions` are the numbers at every point of a
    conditioning; `honesty` is of all points, the run's own first. `shifts` are the numbers under
    shifts of the inputs, if any. `stage` records the training of the `judges` of validity.
    """

    values: Mapping[str, Any]
    outputs: Mapping[str, Tensor]
    interventions: Mapping[str, Any]
    honesty: Honesty | None
    conditions: list[dict[str, Any]]
    shifts: dict[str, Any]
    judges: Mapping[str, Judge]
    stage: dict[str, Any]


@final
class Scoring:
    """How one run judges chains: by its task weights, at the points of its conditioning.

    `weights` are the run's own, by task, `point` its own values of the conditioned parameters.
    Judges of validity are taken from `store` or put there. Chains are also scored, and the trained
    chain tested, under the shifts in `shifted`.
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
        shifted: ShiftedEvents,
        measurement: Measurement | None,
        store: Store,
        display: Display,
    ) -> None:
        self.plan = plan
        self.events = events
        self.shifted = shifted
        self.measurement = measurement
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
        parameters), with the losses at all points, by which it is ranked. Scores of the validation
        part also hold the ranking loss under each shift.
        """
        scores = self._score(chain, paths, getattr(self.events, part))
        shifted: list[dict[str, float]] = [{} for _ in paths]
        for shift in self.shifted.points if part == "valid" else []:
            others = self._score(chain, paths, self.shifted.part(part, shift))
            for losses, other in zip(shifted, others, strict=True):
                losses[shift.name] = other.ranked_by
        sigmas: list[float | None] = [None for _ in paths]
        if self.measurement is not None and part == "valid":
            samples = self.samples(chain, paths, part)
            sigmas = [self.measurement.sigma(sample) for sample in samples]
        return [
            dataclasses.replace(score, shifted=losses, sigma=sigma)
            for score, losses, sigma in zip(scores, shifted, sigmas, strict=True)
        ]

    def applied(self, chain: Chain, path: Path) -> tuple[Applied, Applied]:
        """Validation and test events with the outputs of a chain, at the run's own point."""
        valid, test = self.events.valid, self.events.test
        return (
            self._applied(chain, path, valid, self.point),
            self._applied(chain, path, test, self.point),
        )

    def samples(
        self, chain: Chain, paths: Sequence[Path], part: str, *, shifted: bool = True
    ) -> list[Sample]:
        """The measured events of a part for each path: without shift, and under each shift."""
        assert self.measurement is not None
        found: list[dict[str, np.ndarray]] = [{} for _ in paths]
        for shift in (None, *(self.shifted.points if shifted else [])):
            raw = getattr(self.events, part) if shift is None else self.shifted.part(part, shift)
            events = self._conditioned(raw, self.point)
            outputs = collect_outputs(chain, events, paths=paths, batch=self.batch)
            for path, values in zip(paths, found, strict=True):
                one = Applied(chain=chain, path=path, events=events, outputs=outputs)
                values[AS_IT_IS if shift is None else shift.name] = self.measurement.values(one)
        return [self.measurement.sample(one, getattr(self.events, part)) for one in found]

    def _score(self, chain: Chain, paths: Sequence[Path], events: Batch) -> list[ChainScore]:
        if self.conditioning is None:
            return self._score_at(chain, paths, events, None)
        own = self._score_at(chain, paths, events, self.point)
        everywhere = [
            self._score_at(chain, paths, events, point) for point in self.conditioning.points()
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
        """Scores on the validation part with the present weights, the lowest loss first."""
        return sorted(self.score(chain, paths, "valid"), key=lambda score: score.ranked_by)

    def score_at(
        self, chain: Chain, paths: Sequence[Path], part: str, point: Point | None
    ) -> list[ChainScore]:
        """Scores of some paths at one point of the conditioning, on unshifted events."""
        return self._score_at(chain, paths, getattr(self.events, part), point)

    def _score_at(
        self, chain: Chain, paths: Sequence[Path], events: Batch, point: Point | None
    ) -> list[ChainScore]:
        return evaluate(
            chain,
            self._conditioned(events, point),
            paths=paths,
            weighting=self._weighting_at(point),
            batch=self.batch,
        )

    def spread_validation(self) -> Batch:
        """The validation events; with conditioning, each at a point of its own, evenly spread."""
        valid = self.events.valid
        return valid if self.conditioning is None else self.conditioning.spread(valid)

    def _conditioned(self, events: Batch, point: Point | None) -> Batch:
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

    def judge(self, task: Task) -> tuple[Judge, dict[str, Any]]:
        """The judge of a task, trained or from the store, and a record of its training."""
        with self.display.stage(f"Validity of {task.name}: a Gaussian process as judge"):
            return train_judge(
                task,
                self.plan.config["tasks"][task.name]["validity"],
                self.events,
                data_identity=self.plan.data_identity,
                machine=self.plan.machine,
                store=self.store,
                display=self.display,
            )

    def test(self, chain: Chain, path: Path) -> Tested:
        """The chain's numbers on the test part, which no training and no choice has used."""
        judges = {}
        stage: dict[str, Any] = {}
        for task in chain.tasks:
            if self.plan.config["tasks"][task.name].get("validity"):
                judges[task.name], stage = self.judge(task)
        points = [self.point, *(self.conditioning.points() if self.conditioning else [])]
        valid = [self._applied(chain, path, self.events.valid, point) for point in points]
        test = [self._applied(chain, path, self.events.test, point) for point in points]
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
                detector=self.events.in_detector(self.events.valid),
                seed=self._probe_seed,
            ),
            conditions=conditions,
            shifts=self._under_shifts(test[0], "test", points[0], judges),
            judges=judges,
            stage=stage,
        )

    def again(
        self, chain: Chain, path: Path, part: str, point: Point | None, judges: Mapping[str, Judge]
    ) -> dict[str, Any]:
        """A chain's `values`, `interventions` and `leakage` on one part of the data, at a point.

        With `shifts`, the same numbers under each shift, if there are any.
        """
        own = self._applied(chain, path, getattr(self.events, part), point)
        valid = own if part == "valid" else self._applied(chain, path, self.events.valid, point)
        shifts = self._under_shifts(own, part, point, judges)
        return self._told(own, valid, point, judges) | ({"shifts": shifts} if shifts else {})

    def _told(
        self, own: Applied, valid: Applied, point: Point | None, judges: Mapping[str, Judge]
    ) -> dict[str, Any]:
        return {
            "values": self._tested(own, judges, point),
            "interventions": self.interventions.measure(own, valid=valid, batch=self.batch),
            "leakage": leakages(valid, own, seed=self._probe_seed),
        }

    def _under_shifts(
        self, as_it_is: Applied, part: str, point: Point | None, judges: Mapping[str, Judge]
    ) -> dict[str, Any]:
        """The chain's numbers and distributions of its scores under each shift; empty without.

        Leakage probes and the order of the interventions are from shifted validation events.
        """
        points = []
        chain, path = as_it_is.chain, as_it_is.path
        for shift in self.shifted.points:
            own = self._applied(chain, path, self.shifted.part(part, shift), point)
            valid = own
            if part != "valid":
                valid = self._applied(chain, path, self.shifted.part("valid", shift), point)
            points.append(
                {
                    **shift._asdict(),
                    "size": self.shifted.size(shift),
                    **self._told(own, valid, point, judges),
                    "score": distribution(own, as_it_is),
                }
            )
        return {"score": distribution(as_it_is), "points": points} if points else {}

    @property
    def _probe_seed(self) -> int:
        return derived_seed(self.plan.config["seed"], "leakage")

    def _applied(self, chain: Chain, path: Path, events: Batch, point: Point | None) -> Applied:
        events = self._conditioned(events, point)
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
        """Numbers of events, with the validity of the judged outputs."""
        values: dict[str, Any] = dict(self._scored(one, point).values)
        detected = one.detected()
        for name, judge in judges.items():
            measured = judge.measure(self.events.in_detector(one.events), detected[name])
            prefix = "" if len(judges) == 1 else f"{name}/"
            values |= {f"{prefix}{key}": value for key, value in measured.items()}
        return values

    def winners(
        self, scores: Sequence[ChainScore], path: Path
    ) -> list[tuple[Point, ChainScore, float]]:
        """The best chain at every point of the conditioning, and the regret of `path` there.

        Both are by validation loss, of the `scores` that a search ranked by; the regret is the
        difference in loss to the best chain.
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
