"""``python -m msnas.convert``: Delphes ROOT files to one HDF5 file."""

import glob
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from msnas.command_line import parse
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.terminal import terminal

PROGRAM = "python -m msnas.convert"
DESCRIPTION = """\
Convert Delphes ROOT files to the HDF5 layout of htautau: events with two hadronic taus, each
matched to a jet; jets, jet images, true taus and the class (1 signal, 0 background).
Example: python -m msnas.convert out=my.h5 signal='H*.root' background='Z*.root'
layout=fakes makes that of htautau_fakes; its keys: python -m msnas.convert layout=fakes --help"""
DESCRIPTION_OF_FAKES = """\
Convert Delphes ROOT files to the HDF5 layout of htautau_fakes: events of two jets, taus or fakes;
jets, jet images, which are taus, what they were, and the process (0 QCD, 1 W + jet, 2 Z, 3 H).
Example: python -m msnas.convert layout=fakes out=my.h5 w='W*.root' qcd='QCD*.root'"""
PATTERN_HELP = "files or patterns (* ? [] **), separated by commas"
TEXT_HELP = "text kept with the file as an attribute of this name"


@dataclass(kw_only=True)
class Common:
    """Keys of all layouts."""

    out: str = field(default=MISSING, metadata={"help": "HDF5 file to write"})
    layout: str = field(default="htautau", metadata={"help": "htautau, or fakes"})
    chunk: int = field(default=500, metadata={"help": "events held in memory while reading"})
    shuffle_seed: int | None = field(
        default=None,
        metadata={"help": "shuffle with this seed; null: class by class, in file order"},
    )
    overwrite: bool = field(default=False, metadata={"help": "replace an existing out"})
    generator: str | None = field(default=None, metadata={"help": TEXT_HELP})
    detector: str | None = field(default=None, metadata={"help": TEXT_HELP})
    processes: str | None = field(default=None, metadata={"help": TEXT_HELP})


@dataclass(kw_only=True)
class Settings(Common):
    """The keys of the layout htautau."""

    signal: str = field(default=MISSING, metadata={"help": f"label 1: {PATTERN_HELP}"})
    background: str = field(default=MISSING, metadata={"help": f"label 0: {PATTERN_HELP}"})


@dataclass(kw_only=True)
class SettingsOfFakes(Common):
    """The keys of the layout fakes: at least one process."""

    higgs: str | None = field(default=None, metadata={"help": f"label 3: {PATTERN_HELP}"})
    z: str | None = field(default=None, metadata={"help": f"label 2: {PATTERN_HELP}"})
    w: str | None = field(default=None, metadata={"help": f"W + jet, label 1: {PATTERN_HELP}"})
    qcd: str | None = field(default=None, metadata={"help": f"label 0: {PATTERN_HELP}"})


CLASSES = {"htautau": ("signal", "background"), "fakes": ("higgs", "z", "w", "qcd")}
"""Layout -> its keys for input files, one key per class, in the order of the output."""


@dataclass(kw_only=True)
class Tally:
    """Counts of the events of one class: read, kept, and dropped by reason."""

    dropped: Counter[str]
    read: int = 0
    kept: int = 0

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return f"{self.read} events read, {self.kept} kept; dropped: {reasons}"


def find_files(patterns: str, *, key: str) -> list[Path]:
    """Files that match the comma-separated patterns, in that order, by name within a pattern.

    A file matched twice is listed once.

    Raises:
        DataError: a pattern matches no file.

    """
    found: dict[Path, Path] = {}
    for pattern in (item.strip() for item in patterns.split(",")):
        names = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
        paths = [Path(name) for name in names if Path(name).is_file()]
        if not paths:
            raise DataError(f"{key}: no file matches {pattern!r}")
        for path in paths:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def check(settings: Common, files: dict[str, list[Path]]) -> None:
    """Refuse settings that contradict each other or the files on disk.

    Raises:
        ConfigError: names the key.

    """
    known: dict[Path, str] = {}
    for key, paths in files.items():
        for path in paths:
            if (other := known.setdefault(path.resolve(), key)) != key:
                raise ConfigError(f"{key}: {path} is also in {other}; a file has one class")
    if settings.chunk < 1:
        raise ConfigError(f"chunk: found {settings.chunk}, allowed: 1 or more")
    if settings.shuffle_seed is not None and settings.shuffle_seed < 0:
        raise ConfigError(f"shuffle_seed: found {settings.shuffle_seed}, allowed: 0 or more, null")
    out = Path(settings.out)
    if out.is_dir():
        raise ConfigError(f"out: {settings.out!r} is a folder; give a file name")
    if not out.parent.is_dir():
        raise ConfigError(f"out: there is no folder {str(out.parent)!r}")
    if out.exists() and not settings.overwrite:
        raise ConfigError(f"out: {settings.out!r} exists; overwrite=true replaces it")
    if out.resolve() in {path.resolve() for paths in files.values() for path in paths}:
        raise ConfigError(f"out: {settings.out!r} is also an input")


def convert(settings: Common) -> dict[str, Tally]:
    """Read, select and write all events; return the tally of each class.

    Raises:
        ConfigError: settings that cannot be followed.
        DataError: no file, a file that is not Delphes output, or a class without a kept event.
        OSError: the output cannot be written.

    """
    # imported here so that --help and refusals do not wait for them
    from rich.progress import Progress

    from msnas.convert.layouts import layout_of
    from msnas.convert.selection import Drop
    from msnas.convert.writer import ExampleWriter

    keys = CLASSES[settings.layout]
    patterns = {key: value for key in keys if (value := getattr(settings, key)) is not None}
    if not patterns:
        raise ConfigError(f"{', '.join(keys)}: found none of them, expected files of one at least")
    files = {key: find_files(value, key=key) for key, value in patterns.items()}
    check(settings, files)
    layout = layout_of(settings.layout)
    opened = {key: [layout.open(path) for path in paths] for key, paths in files.items()}
    tallies = {key: Tally(dropped=Counter({why.value: 0 for why in layout.drops})) for key in files}
    console = terminal(stderr=True)
    with (
        ExampleWriter(
            path=Path(settings.out),
            shuffle_seed=settings.shuffle_seed,
            layouts=layout.data_sets,
        ) as writer,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for key, inputs in opened.items():
            tally = tallies[key]
            task = progress.add_task(key, total=sum(file.events for file in inputs))
            for file in inputs:
                for number, event in enumerate(file.read(chunk=settings.chunk)):
                    try:
                        example = layout.make(event, key)
                    except DataError as error:
                        raise DataError(f"{file.path}, event {number}: {error}") from error
                    tally.read += 1
                    progress.advance(task)
                    if isinstance(example, Drop):
                        tally.dropped[example.value] += 1
                    else:
                        tally.kept += 1
                        writer.append(example)
            if tally.kept == 0:
                raise DataError(f"{key}: no event to write: {tally}")
        writer.finish(provenance(settings, files, tallies))
    return tallies


def provenance(
    settings: Common, files: dict[str, list[Path]], tallies: dict[str, Tally]
) -> dict[str, str | int]:
    """Compose the file's attributes: settings, input files, event counts, data set descriptions."""
    from msnas import __version__
    from msnas.convert.layouts import layout_of

    layout = layout_of(settings.layout)
    attributes: dict[str, str | int] = {
        name: one.description for name, one in layout.data_sets.items()
    }
    attributes["selection"] = layout.selection
    attributes["matching"] = layout.matching
    attributes["msnas_version"] = __version__
    if settings.shuffle_seed is None:
        attributes["order"] = f"{', then '.join(files)}, in file order"
    else:
        attributes["order"] = f"shuffled, seed {settings.shuffle_seed}"
    for key, tally in tallies.items():
        attributes[f"{key}_files"] = ", ".join(path.name for path in files[key])
        attributes[f"{key}_read"] = tally.read
        attributes[f"{key}_kept"] = tally.kept
        attributes[f"{key}_dropped"] = ", ".join(f"{n} {why}" for why, n in tally.dropped.items())
    for key in ("generator", "detector", "processes"):
        text = getattr(settings, key)
        if text is not None:
            attributes[key] = text
    return attributes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    schema: type[Common] = Settings
    description = DESCRIPTION
    if "layout=fakes" in words:
        schema, description = SettingsOfFakes, DESCRIPTION_OF_FAKES
    settings = parse(words, schema, program=PROGRAM, description=description)
    if settings.layout not in CLASSES:
        sys.stderr.write(f"error: layout: {settings.layout!r}; allowed are {list(CLASSES)}\n")
        return 2
    try:
        tallies = convert(settings)
    except (MsnasError, OSError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"error: interrupted, {settings.out} not written\n")
        return 130
    for key, tally in tallies.items():
        sys.stdout.write(f"{key}: {tally}\n")
    total = sum(tally.kept for tally in tallies.values())
    sys.stdout.write(f"wrote {settings.out}: {total} events\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
