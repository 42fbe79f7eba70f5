"""Which code a number depends on: the sources of named classes. Imports no PyTorch.

A class is identified by the source of its module and of the modules that this module imports, if
they belong to its own package, to msnas, or to a package beside its own (but not in site-packages).
Of msnas only the parts count; the code that trains and stores them has a version of its own
(`identity.NUMERICS_VERSION`). A class of a library is identified by the library's version.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from msnas.packages import ALWAYS, root_of

HERE = Path(__file__).parent

LIBRARIES = {root.split(".")[0] for root in ALWAYS} - {HERE.name}

INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages, which have nothing to do with each other."""

PARTS = (
    "candidates",
    "chain",
    "conditioning",
    "data",
    "evaluation",
    "losses",
    "methods",
    "momentum",
    "problems",
    "shifts",
    "weighting",
)
"""The modules of msnas that count, where a class uses them."""

Code = dict[str, str]
"""Hashes by source file (`<package>/<path>`), versions by library."""


class _Source(NamedTuple):
    root: Path
    path: Path


def code_of(settings: Any) -> Code:
    """The code of every class that `settings` name in a `_target_`, and the version of PyTorch.

    Comments, docstrings and layout do not count; a source is read once in a process. A class that
    cannot be imported is left out: `build` has an error for it.
    """
    targets = tuple(_targets(settings))
    packages = sorted({target.split(".")[0] for target in targets} - LIBRARIES)
    return dict(_code_of(targets, tuple((one, root_of(one)) for one in packages)))


def changed(before: Code, now: Code) -> list[str]:
    """Names of sources and libraries that have changed."""
    return sorted(name for name in before | now if before.get(name) != now.get(name))


@lru_cache
def _version(library: str) -> str:
    return metadata.version(library)


def _targets(settings: Any) -> Iterator[str]:
    if isinstance(settings, dict):
        if isinstance(target := settings.get("_target_"), str):
            yield target
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from _targets(value)


@lru_cache
def _code_of(targets: tuple[str, ...], roots: tuple[tuple[str, Path | None], ...]) -> Code:
    """The code of the classes of `targets`, whose packages have these roots."""
    places = dict(roots)
    code = {"torch": _version("torch")}
    for target in targets:
        package = target.split(".")[0]
        if package in LIBRARIES:
            code[package] = _version(package)
        elif (root := places[package]) is not None:
            code |= _sources_from(target, root)
    return dict(sorted(code.items()))


@lru_cache
def _sources_from(target: str, root: Path) -> Code:
    """Sources of the class's module and of the modules it uses, as the module docstring says."""
    found: Code = {}
    waiting = [_Source(root, path) for path in [file_of(target, root)] if path is not None]
    while waiting:
        source = waiting.pop()
        name = source.path.relative_to(source.root.parent).as_posix()
        if name in found:
            continue
        found[name], imports = _read(source)
        for used in imports:
            other = _root_from(used.split(".")[0], source.root)
            path = file_of(used, other) if other is not None else None
            if other is not None and path is not None and _counts(path, other):
                waiting.append(_Source(other, path))
    return found


def _root_from(package: str, root: Path) -> Path | None:
    """The place of a package that a module below `root` imports; None if it does not count."""
    if package == root.stem:
        return root
    if package == HERE.name:
        return HERE
    if root.name == HERE.name or root.parent.name in INSTALLED:
        return None
    places = (root.with_name(package), root.with_name(f"{package}.py"))
    return next((place for place in places if place.exists()), None)


def _counts(file: Path, root: Path) -> bool:
    return root.name != HERE.name or file.relative_to(root).parts[0].removesuffix(".py") in PARTS


def file_of(name: str, root: Path) -> Path | None:
    """The source file of the module `name` of the package, or of the module that holds `name`."""
    package, *words = name.split(".")
    if package != root.stem:
        return None
    for count in range(len(words), 0, -1):
        place = root.joinpath(*words[:count])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    file = root if root.suffix == ".py" else root / "__init__.py"
    return file if file.is_file() else None


@lru_cache
def _read(source: _Source) -> tuple[str, tuple[str, ...]]:
    """Hash of a source without comments and docstrings, and the names it imports when it runs."""
    content = source.path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # the import will raise the error
        return hashlib.sha256(content).hexdigest()[:16], ()
    imports = tuple(_imports(tree, source))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _is_text(one)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16], imports


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _imports(tree: ast.AST, source: _Source) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{module_of(node, *source)}.{one.name}" for one in node.names)
        else:
            yield from _imports(node, source)


def module_of(node: ast.ImportFrom, root: Path, path: Path) -> str:
    """The full name of the module from which `node`, in the file `path` of a package, imports."""
    names = [node.module] if node.module else []
    if node.level:
        folder = path.parents[node.level - 1]
        if folder.is_relative_to(root.parent):  # else it cannot be imported
            names = [*folder.relative_to(root.parent).parts, *names]
    return ".".join(names)
