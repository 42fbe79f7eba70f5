"""Packages whose classes a configuration may name, and where they are. Imports no PyTorch.

A named class is imported, which runs the code of its package: the user has to allow a package that
is not in `ALWAYS`. The user does so for a run by `allow=[theirs]`, and again for reading a run
directory back: the file in a run directory allows nothing by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import Any

from msnas.errors import ConfigError

ALWAYS = (
    "msnas",
    "torch.nn",
    "torch.optim",
    "torchmetrics.classification",
    "torchmetrics.regression",
    "gpytorch",
    "torchjd",
)
"""Packages allowed for every run; of torchmetrics only those that fetch no model."""

_allowed: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())
_looked_for_here: set[str] = set()


@contextmanager
def allowing(packages: Sequence[str]) -> Iterator[None]:
    """Inside, and in this thread alone, classes of `packages` may be named as well.

    From now on they are also looked for in the current folder. Raises ConfigError for a name that
    is no package, cannot be found, or has no source file, by which changes are noticed.
    """
    for name in packages:
        if not _is_name(name):
            raise ConfigError(
                f"allow: {name!r} is no name of a package of yours; expected one that is neither "
                "Python's nor msnas, such as theirs or theirs.models"
            )
        _looked_for_here.add(name.split(".")[0])
        if root_of(name.split(".")[0]) is None:
            raise ConfigError(
                f"allow: {name!r} is no package of Python files that can be imported; install it, "
                f"put the folder that holds it on PYTHONPATH, or be in it (now in {Path.cwd()})"
            )
    token = _allowed.set((*_allowed.get(), *packages))
    try:
        yield
    finally:
        _allowed.reset(token)


def allowed() -> list[str]:
    """Packages whose classes may be named here and now."""
    return list(dict.fromkeys((*ALWAYS, *_allowed.get())))


def is_allowed(path: object) -> bool:
    """Whether a dotted path begins with an allowed package."""
    return isinstance(path, str) and any(f"{path}.".startswith(f"{one}.") for one in allowed())


def check_allowed(target: object, *, key: str) -> None:
    """Raise ConfigError unless `target` is a dotted name in an allowed package. Imports nothing."""
    words = target.split(".") if isinstance(target, str) else []
    if is_allowed(target) and all(word.isidentifier() for word in words):
        return
    package = words[0] if len(words) > 1 and _is_name(words[0]) else None
    hint = f"; if {package} is yours or you trust it: allow=[{package}]" if package else ""
    raise ConfigError(
        f"{key}._target_: {target!r} is not allowed; classes may come from {allowed()}{hint}"
    )


def root_of(package: str) -> Path | None:
    """The folder of a package's sources, or the file of a package that is a single module."""
    try:
        spec = find_spec(package)
    except ValueError:  # __main__
        return None
    if spec is None:
        return None
    if spec.origin is None:  # a folder without __init__.py, in one place
        places = list(spec.submodule_search_locations or [])
        return Path(places[0]) if len(places) == 1 else None
    file = Path(spec.origin)
    if file.suffix != ".py":
        return None
    return file.parent if file.name == "__init__.py" else file


def _is_name(name: Any) -> bool:
    words = name.split(".") if isinstance(name, str) else [""]
    return (
        all(word.isidentifier() and not iskeyword(word) for word in words)
        and not words[0].startswith("_")
        and words[0] not in (*sys.stdlib_module_names, "msnas")
    )


class _CurrentFolder(MetaPathFinder):
    """Finds in the current folder the packages that were allowed in this process, no others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        here = name in _looked_for_here and path is None
        return PathFinder.find_spec(name, [os.getcwd()], target) if here else None


sys.meta_path.append(_CurrentFolder())
