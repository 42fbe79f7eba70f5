"""The folders of configurations: the package's own and the user's. Imports no PyTorch."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from msnas.errors import ConfigError

_HERE = Path(__file__).resolve().parent

CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parents[1] / "conf"
"""The package's own folder: inside an installed package, or beside `src` in the repository."""

NEW = "shift@shifts."
"""The beginning of a choice under a name of the user's own, which no list of defaults holds."""

SEARCH_PATH, PACKAGE = "hydra.searchpath", "pkg://"


def parsed(words: Sequence[str]) -> Namespace:
    """Hydra's options, wherever they stand in `words`; `overrides` are the other words."""
    given: Namespace = get_args_parser().parse_intermixed_args(words)
    given.config_path = _absolute(given.config_path or str(CONF))
    return given


def declared(word: str) -> str:
    """An override as Hydra needs it: with a plus if the choice adds to the defaults.

    >>> declared("shift@shifts.jets=jet_energy_scale")
    '+shift@shifts.jets=jet_energy_scale'
    """
    return f"+{word}" if word.startswith(NEW) else word


def folders_of(given: Namespace) -> list[str]:
    """The places where a configuration is looked for, in order: folders, and packages as pkg://.

    The package's own folder comes first, then those of `--config-dir` and `hydra.searchpath`.
    Raises ConfigError for a folder that does not exist, or that holds a file never read.
    """
    added = {"--config-dir": [given.config_dir]} if given.config_dir else {}
    for override in OverridesParser.create().parse_overrides(given.overrides):
        if override.get_key_element() == SEARCH_PATH:
            names: Any = override.value()
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ConfigError(f"{SEARCH_PATH}: expected a list of folders, found {names!r}")
            added[SEARCH_PATH] = names
    folders = [given.config_path]
    for key, names in added.items():
        for name in names:
            folder = _absolute(name)
            if not folder.startswith(PACKAGE):
                _check(folder, folders, key=key, name=name)
            folders.append(folder)
    return folders


def _absolute(name: str) -> str:
    return name if name.startswith(PACKAGE) else str(Path(name.removeprefix("file://")).resolve())


def _check(folder: str, before: Sequence[str], *, key: str, name: str) -> None:
    """Raise ConfigError for a missing folder, and for a file that a folder `before` also holds."""
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{key}: {name!r} is not a folder (looked in {Path.cwd()}); expected one "
            "like conf, with files such as candidate/<task>/<name>.yaml"
        )
    for path in Path(folder).rglob("*.yaml"):
        for other in before:
            first = Path(other, path.relative_to(folder))
            if first.is_file():
                raise ConfigError(
                    f"{key}: {path} is never read, {first} comes first; give it another name"
                )
