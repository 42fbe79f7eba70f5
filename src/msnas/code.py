"""Which code a number depends on: the sources of named classes. Imports no PyTorch.

A class is told by the source of its module and of the modules that one imports, as far as they
belong to its own package. Of this package the parts count; what trains and stores them has a
version of its own (`identity.NUMERICS_VERSION`). A class of a library is told by its version.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msnas.build import ALLOWED

LIBRARIES = {root.split(".")[0] for root in ALLOWED} - {"msnas"}

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
    "weighting",
)
"""What counts of this package, where a class uses it."""

Code = dict[str, str]
"""Hashes by source file (`<package>/<path>`), versions by library."""


def code_of(settings: Any) -> Code:
    """The code of every class that `settings` name in a `_target_`, and the version of PyTorch.

    Comments, docstrings and layout do not count; a source is read once in a process. What cannot
    be imported is left out: `build` has an error for it.
    """
    code = {"torch": version("torch")}
    for target in _targets(settings):
        package = target.split(".")[0]
        if package in LIBRARIES:
            code[package] = version(package)
        else:
            code |= _sources_of(target)
    return dict(sorted(code.items()))


def changed(before: Code, now: Code) -> list[str]:
    """Names of what is not as it was."""
    return sorted(name for name in before | now if before.get(name) != now.get(name))


def _targets(settings: Any) -> Iterator[str]:
    if isinstance(settings, dict):
        if isinstance(target := settings.get("_target_"), str):
            yield target
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from _targets(value)


@lru_cache
def _sources_of(target: str) -> Code:
    """The class's module, and what it uses of its package."""
    root = root_of(target.split(".")[0])
    if root is None:
        return {}
    found: Code = {}
    waiting = [path for path in [file_of(target, root)] if path is not None]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root.parent).as_posix()
        if name not in found:
            found[name], imports = _read(path)
            files = (file_of(one, root) for one in imports)
            waiting += [file for file in files if file is not None and _counts(file, root)]
    return found


def _counts(file: Path, root: Path) -> bool:
    return root.name != "msnas" or file.relative_to(root).parts[0].removesuffix(".py") in PARTS


def root_of(package: str) -> Path | None:
    """The folder of a package, or the file of one that is a single module."""
    try:
        spec = find_spec(package)
    except ValueError:  # __main__
        return None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    return file.parent if file.name == "__init__.py" else file


def file_of(name: str, root: Path) -> Path | None:
    """The source of a module of the package, or of the one that holds `name`."""
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
def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    """Hash of a source without comments and docstrings, and the names it imports when it runs."""
    tree = ast.parse(path.read_bytes())
    imports = tuple(_imports(tree, path))
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


def _imports(tree: ast.AST, path: Path) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = package_of(path, node.level) if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{module}.{one.name}" for one in node.names)
        else:
            yield from _imports(node, path)


def package_of(path: Path, level: int) -> list[str]:
    """The package that an import with `level` dots starts from."""
    folder = path.parent
    for _ in range(level - 1):
        folder = folder.parent
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names
