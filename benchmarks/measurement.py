"""The expected uncertainty of a signal strength: chains beside a boosted tree, on the same events.

    python benchmarks/measurement.py runs=<run directory>,... [shifts=jet_energy_scale,...]

The runs are of one data set and split; the tree (`reference.py`) is fitted to the training part of
the first, on the jets, their pair and about a hundred numbers of the images. Each model chooses its
own bins on validation events. Errors are from the choice of test events, of differences to the
first run from the same resamplings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from reference import booster, event_features
from rich.console import Console
from rich.table import Table

from msnas.measure import Settings, chosen_yields
from msnas.measurement.expected import sigma
from msnas.measurement.likelihood import Likelihood
from msnas.measurement.measurement import AS_IT_IS, Measurement, Sample
from msnas.measurement.resampled import resampled
from msnas.opened import Opened, open_run
from msnas.run_directory import RunDirectory
from msnas.shifts.shifted import DIRECTIONS

TREE = "jets, mass, angles, image numbers"


def tree_samples(run: Opened, seed: int = 0) -> tuple[Sample, Sample]:
    """The validation and the (also shifted) test events as a tree of two classes scores them."""
    scoring, events = run.parts.scoring, run.parts.events
    also = [name for shift in scoring.shifted.shifts.values() for name in shift.also]
    raw = {part: events.raw(part, also) for part in ("train", "valid", "test")}
    tree = booster(seed)
    train, valid = (
        (event_features(raw[part])[TREE], raw[part]["label"]) for part in ("train", "valid")
    )
    tree.fit(*train, X_val=valid[0], y_val=valid[1])
    shifted = {
        point.name: scoring.shifted.shifts[point.shift].apply(
            raw["test"], DIRECTIONS[point.direction]
        )
        for point in scoring.shifted.points
    }
    scores = {
        name: tree.predict_proba(event_features(one)[TREE])[:, 1]
        for name, one in {AS_IT_IS: raw["test"], **shifted}.items()
    }
    measurement = scoring.measurement
    assert measurement is not None
    return (
        measurement.sample({AS_IT_IS: tree.predict_proba(valid[0])[:, 1]}, events.valid),
        measurement.sample(scores, events.test),
    )


def numbers_of(measurement: Measurement, valid: Sample, test: Sample) -> tuple[np.ndarray, ...]:
    """Statistical and whole uncertainty, and those of the resamplings."""
    edges = measurement.edges(valid)
    likelihood = Likelihood(measurement.templates(test, edges))
    drawn = resampled(
        lambda weights: measurement.templates(test, edges, more=weights),
        len(test.process),
        seed=0,
    )
    return np.array([sigma(likelihood, []), sigma(likelihood)]), drawn


def main() -> None:
    """Print the table."""
    own = {"runs": "", "shifts": ""}
    own |= dict(word.split("=", 1) for word in sys.argv[1:])
    shifts = [name for name in own["shifts"].split(",") if name]
    found = {}
    for path in map(Path, own["runs"].split(",")):
        config, _ = RunDirectory(path).read()
        yields = chosen_yields(Settings(run=str(path)), config)
        run = open_run(path, shifts=shifts, changes={}, measurement=yields)
        scoring, chain = run.parts.scoring, [run.path]
        measurement = scoring.measurement
        assert measurement is not None
        (valid,) = scoring.samples(run.chain, chain, "valid", shifted=False)
        (test,) = scoring.samples(run.chain, chain, "test")
        name = f"{config['method']['name']}: {' -> '.join(run.path)}"
        if not found:
            tree = numbers_of(measurement, *tree_samples(run))
        found[name] = numbers_of(measurement, valid, test)
    found["boosted tree"] = tree
    table = Table(title="sigma(mu), and the difference to the first, +- from the choice of events")
    for column in ("model", "statistical", "difference", "in all", "difference"):
        table.add_column(column)
    first = next(iter(found.values()))
    for name, (values, drawn) in found.items():
        row = []
        for place in range(2):
            gap = drawn[:, place] - first[1][:, place]
            row += [f"{values[place]:.4f} +- {drawn[:, place].std():.4f}"]
            row += [f"{values[place] - first[0][place]:+.4f} +- {gap.std():.4f}"]
        table.add_row(name, *row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
