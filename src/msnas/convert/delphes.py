"""Delphes events, read chunk by chunk from a ROOT file.

Every array field names the branch it is read from. Angles are in radians, momenta, energies and
masses in GeV, lengths in mm. The branches are those of Delphes 3.5 with its CMS pile-up card.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar, get_type_hints

import numpy as np
import uproot
from numpy.typing import NDArray

from msnas.errors import DataError

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

TREE: Final = "Delphes"


@dataclass(frozen=True, kw_only=True)
class Particles:
    """Generator record, each array [particle]. A daughter is a position in it, -1 for none."""

    pid: Annotated[Integers, "Particle.PID"]
    first_daughter: Annotated[Integers, "Particle.D1"]
    last_daughter: Annotated[Integers, "Particle.D2"]
    energy: Annotated[Floats, "Particle.E"]
    px: Annotated[Floats, "Particle.Px"]
    py: Annotated[Floats, "Particle.Py"]
    pz: Annotated[Floats, "Particle.Pz"]
    pt: Annotated[Floats, "Particle.PT"]
    eta: Annotated[Floats, "Particle.Eta"]
    phi: Annotated[Floats, "Particle.Phi"]


@dataclass(frozen=True, kw_only=True)
class Jets:
    """Reconstructed jets, each array [jet]."""

    pt: Annotated[Floats, "Jet.PT"]
    eta: Annotated[Floats, "Jet.Eta"]
    phi: Annotated[Floats, "Jet.Phi"]
    mass: Annotated[Floats, "Jet.Mass"]


@dataclass(frozen=True, kw_only=True)
class GeneratedJets:
    """Jets of generated particles, without detector and pile-up, each array [jet]."""

    pt: Annotated[Floats, "GenJet.PT"]
    eta: Annotated[Floats, "GenJet.Eta"]
    phi: Annotated[Floats, "GenJet.Phi"]


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Reconstructed tracks, each array [track]; eta and phi at the production point."""

    pt: Annotated[Floats, "Track.PT"]
    eta: Annotated[Floats, "Track.Eta"]
    phi: Annotated[Floats, "Track.Phi"]
    z: Annotated[Floats, "Track.Z"]
    pile_up: Annotated[Integers, "Track.IsPU"]


@dataclass(frozen=True, kw_only=True)
class Towers:
    """Calorimeter towers, each array [tower]: energy in the EM and the hadronic part."""

    eta: Annotated[Floats, "Tower.Eta"]
    phi: Annotated[Floats, "Tower.Phi"]
    em: Annotated[Floats, "Tower.Eem"]
    hadronic: Annotated[Floats, "Tower.Ehad"]


@dataclass(frozen=True, kw_only=True)
class Vertices:
    """Vertices, each array [vertex], not sorted by index; index 0 is the primary vertex."""

    index: Annotated[Integers, "Vertex.Index"]
    z: Annotated[Floats, "Vertex.Z"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """The parts of one event that the conversion reads."""

    particles: Particles
    jets: Jets
    tracks: Tracks
    towers: Towers
    vertices: Vertices


@dataclass(frozen=True, kw_only=True)
class EventWithTruth(Event):
    """An event with its generated jets."""

    generated: GeneratedJets


E = TypeVar("E", bound=Event)


def collections_of(kind: type[Event]) -> dict[str, dict[str, str]]:
    """Part of an event -> its fields -> the branch each is read from."""
    return {
        part: {
            name: hint.__metadata__[0]
            for name, hint in get_type_hints(fields, include_extras=True).items()
        }
        for part, fields in get_type_hints(kind).items()
    }


class DelphesFile(Generic[E]):
    """One ROOT file of Delphes, opened and checked; ``events`` is the number of its events.

    ``kind`` is the class of an event; its fields name the branches that are read.

    Raises:
        DataError: the file cannot be read as ROOT, or lacks the tree or a branch.

    """

    def __init__(self, *, path: Path, kind: type[E]) -> None:
        self.path = path
        self.kind = kind
        columns = collections_of(kind).values()
        self._branches = [branch for of_part in columns for branch in of_part.values()]
        try:
            with uproot.open(path) as file:
                content = ", ".join(file.keys(cycle=False))
                tree = file.get(TREE)
                is_tree = isinstance(tree, uproot.TTree)
                found = set(tree.keys(full_paths=False)) if is_tree else set()
                self.events = int(tree.num_entries) if is_tree else 0
        except Exception as error:  # uproot raises errors of many kinds
            raise DataError(f"{path}: not a readable ROOT file ({_summary(error)})") from error
        if not is_tree:
            raise DataError(f"{path}: no tree {TREE!r}; the file holds {content or 'nothing'}")
        missing = [branch for branch in self._branches if branch not in found]
        if missing:
            raise DataError(f"{path}: tree {TREE!r} has no branch {', '.join(missing)}")

    def read(self, *, chunk: int) -> Iterator[E]:
        """Yield the events in file order, holding ``chunk`` of them in memory at a time.

        Raises:
            DataError: the stored data are damaged.

        """
        try:
            with uproot.open(self.path) as file:
                for block in file[TREE].iterate(self._branches, step_size=chunk, library="np"):
                    yield from _events(block, self.kind)
        except Exception as error:  # as above
            raise DataError(f"{self.path}: damaged data ({_summary(error)})") from error


def _summary(error: Exception) -> str:
    """Kind and first line of an error."""
    return " ".join([type(error).__name__, *str(error).splitlines()[:1]])


def _events(block: dict[str, NDArray[np.object_]], kind: type[E]) -> Iterator[E]:
    """Split a block (branch -> one array per event) into events."""
    parts, collections = get_type_hints(kind), collections_of(kind)
    for row in range(len(next(iter(block.values())))):
        yield kind(
            **{
                part: parts[part](**{name: block[branch][row] for name, branch in columns.items()})
                for part, columns in collections.items()
            }
        )
