"""Cross-fitting: merges the trainings on all folds of the same events. Imports no PyTorch.

Every event was in the test part of one training and in the validation part of another. Numbers are
means over folds, weighted by the number of events judged: for a loss or another mean over events
the mean over all events, for an area under a curve the mean of the folds' areas, as the scores of
different trainings need not share a scale (Forman and Scholz, SIGKDD Explorations 12 (2010) 49).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import h5py
import numpy as np

from msnas.confidence import how_sure
from msnas.errors import DataError
from msnas.results.choice import SIZES, Choice
from msnas.results.losses import ChainPath, Losses, read_losses
from msnas.results.outputs import names_of, read_own
from msnas.results.records import is_number
from msnas.results.result import Result
from msnas.results.schema import ChainNumbers
from msnas.run_directory import OUTPUTS
from msnas.storage import whole

EVENT, FOLD = "event", "fold"
"""Data sets of outputs.h5: an event's place in the source, and the fold whose chain judged it."""


@final
class Folds:
    """The finished runs of all folds, in the order of the folds."""

    def __init__(self, runs: Sequence[Result]) -> None:
        self.runs = runs
        self.losses: list[Losses] = [read_losses(run) for run in runs]
        ranked = [list(one.ranked) for one in self.losses]
        self.ranked = [path for path in ranked[0] if all(path in one for one in ranked)]
        self.sizes = {
            part: [sum(run.data["classes"][part].values()) for run in runs]
            for part in ("valid", "test")
        }

    def losses_of(self, path: ChainPath) -> np.ndarray:
        """A ranked chain's loss of every event, from the training that the event validated."""
        return np.concatenate([one.ranked[path] for one in self.losses])

    @property
    def selected(self) -> ChainPath:
        """The chain most folds selected; if several, that of the lowest validation loss."""
        votes = Counter(run.path for run in self.runs)
        most = [path for path, count in votes.items() if count == max(votes.values())]

        def loss(path: ChainPath) -> float:
            if path in self.ranked:
                return float(self.losses_of(path).mean())
            return float(np.mean([run.valid["loss"] for run in self.runs if run.path == path]))

        return min(most, key=loss)

    def write_losses(self, path: Path, *, attributes: Mapping[str, str]) -> None:
        """Write a losses.h5, as every run has it, with the events of all folds, fold after fold."""
        selected = np.concatenate([one.selected for one in self.losses])
        losses = np.stack([*map(self.losses_of, self.ranked), selected]).astype(np.float32)
        with whole(path) as new, h5py.File(new, "w") as file:
            file.attrs.update(attributes)
            file.create_dataset("chain", data=np.arange(len(losses), dtype=np.int32))
            file.create_dataset("loss", data=losses, compression="gzip", shuffle=True)

    def write_outputs(self, path: Path, *, attributes: Mapping[str, str]) -> None:
        """Write an outputs.h5, as every run has it, with all events in the order of the source.

        It also holds `event` and `fold`. Raises DataError unless every event was judged once.
        """
        parts = []
        for fold, run in enumerate(self.runs):
            where = str(run.directory / OUTPUTS)
            part = dict(read_own(run, OUTPUTS, [*names_of(run), EVENT]).arrays)
            part[FOLD] = np.full(self.sizes["test"][fold], fold, dtype=np.int32)
            lengths = {name: len(values) for name, values in part.items()}
            if EVENT not in part or len(set(lengths.values())) > 1:
                raise DataError(f"{where}: expected {EVENT} and as many of all, found {lengths}")
            parts.append(part)
        arrays = {
            name: np.concatenate([part[name] for part in parts])
            for name in parts[0]
            if all(name in part for part in parts)
        }
        order = np.argsort(arrays[EVENT])
        places, counts = np.unique(arrays[EVENT], return_counts=True)
        if len(places) != self.runs[0].data["events"] or (counts > 1).any():
            raise DataError(
                f"{path}: the folds judged {len(places)} of {self.runs[0].data['events']} events, "
                f"{int((counts > 1).sum())} of them more than once; expected each once"
            )
        with whole(path) as new, h5py.File(new, "w") as file:
            file.attrs.update(attributes)
            for name, values in arrays.items():
                file.create_dataset(name, data=values[order])

    def result(self, *, directory: Path, config: Mapping[str, Any], key: str) -> Result:
        """The numbers of all folds together, and the numbers of each fold."""
        first, selected = self.runs[0], self._named(self.selected)
        valid, test = (self._mean([run.part(p) for run in self.runs], p) for p in ("valid", "test"))
        chains: list[ChainNumbers] = [*map(self._searched, self.ranked)]
        chains.append({"selected": selected, "valid": valid, "stage": "posttrain"})
        choice = self._choice()
        return replace(
            first,
            directory=directory,
            config=config,
            key=key,
            selected=selected,
            valid=valid,
            test=test,
            chains=chains,
            parameters=next(run for run in self.runs if run.selected == selected).parameters,
            data={
                **{name: value for name, value in first.data.items() if name != "classes"},
                "classes": {part: self._classes(part) for part in self.sizes},
            },
            conditions=tuple(
                {
                    "parameters": ones[0]["parameters"],
                    "valid": self._mean([one["valid"] for one in ones], "valid"),
                    "test": self._mean([one["test"] for one in ones], "test"),
                }
                for ones in zip(*(run.conditions for run in self.runs), strict=True)
            ),
            winners=(),
            probabilities=None,
            reading=None,
            choice=None if choice is None else choice.to_json(),
            stages=self._stages(),
            interventions=None,
            honesty=(),
            folds=[
                {"selected": dict(run.selected), "valid": dict(run.valid), "test": dict(run.test)}
                for run in self.runs
            ],
            files={},
        )

    def _named(self, path: ChainPath) -> dict[str, str]:
        return dict(zip(self.runs[0].tasks, path, strict=True))

    def _classes(self, part: str) -> dict[str, int]:
        return dict(sum((Counter(run.data["classes"][part]) for run in self.runs), Counter()))

    def _mean(self, values: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any]:
        """The mean over folds, weighted by their events, of every number that all folds have."""
        found: dict[str, Any] = {}
        for name, one in values[0].items():
            ones = [value.get(name) for value in values]
            if isinstance(one, Mapping):
                found[name] = self._mean([value or {} for value in ones], part)
            elif all(map(is_number, ones)):
                found[name] = float(np.average(np.array(ones, float), weights=self.sizes[part]))
        return found

    def _searched(self, path: ChainPath) -> ChainNumbers:
        """The numbers of a ranked chain."""
        named = self._named(path)
        ones = [
            next(one for one in run.chains if one["stage"] == "search" and one["selected"] == named)
            for run in self.runs
        ]
        found: ChainNumbers = {
            "selected": named,
            "valid": self._mean([one["valid"] for one in ones], "valid"),
            "stage": "search",
        }
        if "ranked_by" in ones[0]:
            found["ranked_by"] = float(self.losses_of(path).mean())
        return found

    def _choice(self) -> Choice | None:
        """How certain the choice is by all events; None for fewer than two ranked chains."""
        records = [run.choice for run in self.runs if run.choice is not None]
        if len(self.ranked) < 2 or not records:
            return None
        own = [one for run in self.runs if (one := Choice.of(run)) is not None]
        defaults = Counter(one.default for one in own if one.default is not None)
        sizes: dict[ChainPath, Mapping[str, float]] = {}
        for path in self.ranked:
            if known := [one.sizes[path] for one in own if path in one.sizes]:
                means = {name: float(np.mean([one[name] for one in known])) for name in SIZES}
                sizes[path] = {**means, "parameters": int(known[0]["parameters"])}
        return replace(
            own[0],
            paths=self.ranked,
            sure=how_sure(np.stack([*map(self.losses_of, self.ranked)])[:, None]),
            default=defaults.most_common(1)[0][0] if defaults else None,
            sizes=sizes,
        )

    def _stages(self) -> dict[str, Any]:
        """Seconds and epochs summed over folds; a part is cached if it was cached in every fold."""
        found: dict[str, Any] = {}
        for name in self.runs[0].stages:
            ones: list[Any] = [run.stages[name] for run in self.runs if name in run.stages]
            epochs = sum((Counter(one.get("epochs", {})) for one in ones), Counter())
            found[name] = {
                "seconds": sum(one["seconds"] for one in ones),
                "epochs": dict(epochs),
                "cached": [key for key in epochs if all(key in one["cached"] for one in ones)],
                "cached_seconds": sum(one.get("cached_seconds", 0.0) for one in ones),
            }
        return found
