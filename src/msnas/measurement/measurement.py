"""A chain's events as a measurement of a signal strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Integer

from msnas.candidates.mass import invariant_mass
from msnas.chain.chain import Chain
from msnas.chain.output import Binary, Classes, TauMomentum
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.evaluation.applied import Applied
from msnas.evaluation.score_distribution import scores_of
from msnas.measurement.expected import sigma
from msnas.measurement.likelihood import Likelihood
from msnas.measurement.settings import MeasurementSettings
from msnas.measurement.templates import Templates, Yields, chosen_edges, filled

Values = Mapping[str, Float[np.ndarray, " event"]]
"""The measured variable of each event: by shift (`<name> up`, `<name> down`), `` without shift."""

AS_IT_IS = ""

LUMINOSITY = "luminosity"

HEAVIEST = 1000.0
"""Upper end [GeV] of the last bin of masses."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Measured events: their `values`, the index of their `process`, their `weights`."""

    values: Values
    process: Integer[np.ndarray, " event"]
    weights: Float[np.ndarray, " event"]


def joined(samples: Sequence[Sample]) -> Sample:
    """One sample of the events of all samples."""
    return Sample(
        values={
            name: np.concatenate([one.values[name] for one in samples])
            for name in samples[0].values
        },
        process=np.concatenate([one.process for one in samples]),
        weights=np.concatenate([one.weights for one in samples]),
    )


@final
class Measurement:
    """The expected yields of the classes of a chain's last task, and the measured variable.

    Raises ConfigError, naming the key, where the settings do not fit the chain.
    """

    def __init__(self, settings: MeasurementSettings, chain: Chain) -> None:
        self.settings = settings
        self.processes = settings["processes"]
        self.last = chain.tasks[-1]
        classes = _class_count(chain)
        key = "measurement.processes"
        if not classes:
            raise ConfigError(f"{key}: the last task {self.last.name!r} tells no classes of events")
        own = {name: process["class"] for name, process in self.processes.items()}
        for name, one in own.items():
            if one >= classes:
                raise ConfigError(
                    f"{key}.{name}.class: found {one}, expected one of {list(range(classes))}"
                )
        for one, names in groupby(sorted(own, key=own.__getitem__), key=own.__getitem__):
            if len(several := list(names)) > 1:
                raise ConfigError(f"{key}: {several} are all of class {one}, expected one process")
        if missing := sorted(set(range(classes)) - set(own.values())):
            raise ConfigError(f"{key}: class {missing[0]} has no process, expected one of each")
        self.signal = [name for name, one in self.processes.items() if one.get("signal")]
        if len(self.signal) != 1:
            raise ConfigError(f"{key}: found signals {self.signal}, expected one: signal: true")
        self.level = next(
            (
                level
                for level in reversed(range(len(chain.tasks)))
                if isinstance(chain.tasks[level].output, TauMomentum)
                and chain.tasks[level].output.shape == (2, 3)
            ),
            None,
        )
        if settings["variable"] == "mass" and self.level is None:
            raise ConfigError("measurement.variable: mass, but no task tells momenta of two taus")

    @property
    def limits(self) -> tuple[float, float]:
        """Lower end of the first bin and upper end of the last bin."""
        return (0.0, 1.0 if self.settings["variable"] == "score" else HEAVIEST)

    def values(self, one: Applied) -> Float[np.ndarray, " event"]:
        """The score of the signal of each event, or the mass [GeV] of its taus."""
        if self.settings["variable"] == "mass":
            assert self.level is not None
            task = one.chain.tasks[self.level]
            mass: np.ndarray = invariant_mass(task.scored(one.output(self.level))).cpu().numpy()
            return mass.astype(float)
        scores = scores_of(one)
        assert scores is not None
        signal = self.processes[self.signal[0]]["class"]
        if scores.shape[1] == 1:  # of class 1
            return scores[:, 0] if signal else 1 - scores[:, 0]
        return scores[:, signal]

    def sample(self, values: Values, events: Batch) -> Sample:
        """A sample of the `events` with their measured `values`."""
        order = {one["class"]: place for place, one in enumerate(self.processes.values())}
        classes = events[self.last.target].cpu().numpy()
        weight = events.get("weight", torch.ones(len(classes)))
        return Sample(
            values=values,
            process=np.vectorize(order.__getitem__)(classes),
            weights=weight.cpu().numpy().astype(float),
        )

    @property
    def yields(self) -> list[float]:
        """Expected number of events of each process."""
        return [
            self.settings["luminosity"] * one["cross_section"] * one["efficiency"]
            for one in self.processes.values()
        ]

    def edges(self, sample: Sample) -> list[float]:
        """The edges of the bins, chosen by events that are not measured."""
        return chosen_edges(
            sample.values[AS_IT_IS],
            sample.weights,
            sample.process,
            signal=[list(self.processes).index(name) for name in self.signal],
            bins=self.settings["bins"],
            limits=self.limits,
        )

    def templates(
        self,
        sample: Sample,
        edges: list[float],
        *,
        more: Float[np.ndarray, " event"] | None = None,
    ) -> Templates:
        """Yields of all processes in bins, nominal and shifted; `more` multiplies the weights."""
        values = sample.values
        weights = sample.weights if more is None else sample.weights * more

        def fill(name: str) -> tuple[np.ndarray, np.ndarray]:
            return filled(values[name], weights, sample.process, edges=edges, yields=self.yields)

        nominal, errors = fill(AS_IT_IS)
        names = dict.fromkeys(name.rpartition(" ")[0] for name in values if name)
        rates: dict[str, dict[str, float]] = {}
        if common := self.settings["luminosity_uncertainty"]:
            rates[LUMINOSITY] = dict.fromkeys(self.processes, common)
        for process_name, one in self.processes.items():
            for rate, size in (one.get("rates") or {}).items():
                rates.setdefault(rate, {})[process_name] = size
        if both := sorted(names.keys() & rates.keys()):
            raise ConfigError(f"shifts.{both[0]}: a rate has this name too; give it another name")
        return Templates(
            processes=list(self.processes),
            signal=self.signal,
            edges=edges,
            nominal=nominal,
            errors=errors,
            rates=rates,
            shapes={
                name: symmetric(nominal, fill(f"{name} up")[0], fill(f"{name} down")[0])
                for name in names
            },
        )

    def sigma(self, sample: Sample) -> float:
        """The expected standard error of the strength from these events, in bins chosen by them."""
        return sigma(Likelihood(self.templates(sample, self.edges(sample))))


def symmetric(nominal: Yields, up: Yields, down: Yields) -> tuple[Yields, Yields]:
    """Nominal yields plus and minus half of the difference of up and down, at most all of them.

    With few simulated events both directions often move a bin to the same side, by chance; such
    a shape would bias the fitted strength.
    """
    half = np.clip((up - down) / 2, -nominal, nominal)
    return nominal + half, nominal - half


def _class_count(chain: Chain) -> int:
    """Number of event classes that the last task tells apart; 0 if it does not classify events."""
    output = chain.tasks[-1].output
    if isinstance(output, Classes):
        return output.shape[-1] if len(output.shape) == 1 else 0
    return 2 if isinstance(output, Binary) and output.shape == () else 0
