"""Where configurations come from: the package's own folder and the user's. Imports no PyTorch."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from msnas.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent

CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parents[1] / "conf"
"""In an installed package, or in the checkout: there it stands beside `src`."""

SEARCH_PATH = "hydra.searchpath"


def parsed(words: Sequence[str]) -> Namespace:
    """Hydra's options, wherever they stand; `overrides` are the other words."""
    given: Namespace = get_args_parser().parse_intermixed_args(words)
    path = given.config_path or str(CONF)
    given.config_path = path if path.startswith("pkg://") else str(Path(path).resolve())
    return given


def users_folders(given: Namespace) -> list[str]:
    """What `--config-dir` and `hydra.searchpath` add, in the order it is looked at.

    Folders, or packages as pkg://. Raises ConfigError for a folder that is none, or that holds a
    file which would not be looked at.
    """
    folders = {"--config-dir": [given.config_dir]} if given.config_dir else {}
    for override in OverridesParser.create().parse_overrides(given.overrides):
        if override.get_key_element() == SEARCH_PATH:
            folders[SEARCH_PATH] = _listed(override.value())
    found = [str(CONF)]
    for key, names in folders.items():
        for name in names:
            folder = Path(name.removeprefix("file://")).resolve()
            if name.startswith("pkg://"):
                found.append(name)
                continue
            if not folder.is_dir():
                raise ConfigError(
                    f"{key}: {name!r} is not a folder (looked in {Path.cwd()}); expected one "
                    "like conf, with files such as candidate/<task>/<name>.yaml"
                )
            _check_hidden(folder, found, key=key)
            found.append(str(folder))
    return found[1:]


def _listed(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{SEARCH_PATH}: expected a list of folders, found {value!r}")
    return [str(one) for one in value]


def _check_hidden(folder: Path, before: Sequence[str], *, key: str) -> None:
    """Raise ConfigError for a file whose like is found in an earlier folder."""
    for path in folder.rglob("*.yaml"):
        for other in before:
            first = Path(other, path.relative_to(folder))
            if first.is_file():
                raise ConfigError(
                    f"{key}: {path} is never read, {first} comes first; give it another name"
                )
