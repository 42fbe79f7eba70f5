"""The arguments of named classes, read from their source: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from msnas.code import file_of, module_of
from msnas.config import below, refuse_others, short, takes
from msnas.errors import ConfigError
from msnas.packages import check_allowed, root_of

OFFERED: Mapping[str, tuple[str, ...]] = {
    "recipe.optimizer": ("params",),
    "weighting.aggregator": ("n_tasks",),
    "weighting.scalarizer": ("shape",),
}
"""Arguments that the run itself gives to a constructor that has them."""

NO_ARGUMENT: Mapping[str, tuple[str, ...]] = {"method": ("name",)}
"""Settings that a node has beside the arguments of its class."""

EMPTY = ("abc.ABC", "msnas.part.Part", "typing.Generic", "typing.Protocol", "object")
"""Bases without a constructor of their own."""


KINDS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "bool": ("true or false", (bool,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "str": ("a text", (str,)),
    "None": ("null", (type(None),)),
}
"""What annotations ask for, in words, and the types that will do (only `bool` takes a bool)."""


class Argument(NamedTuple):
    """Whether a constructor's argument is required, and its annotation."""

    required: bool
    annotation: ast.expr | None


class _Source(NamedTuple):
    target: str
    node: ast.ClassDef
    imported: Mapping[str, str]


@lru_cache
def arguments_of(target: str) -> Mapping[str, Argument] | None:
    """The arguments by name; None where the source does not tell.

    >>> arguments_of("msnas.data.event_file.EventFile")["file"].required
    True
    """
    if target == "torch.nn.Module":
        return {}
    found = _find(target)
    if found is None:
        return None
    if any("dataclass" in ast.unparse(one) for one in found.node.decorator_list):
        return _fields(found)
    own = {one.name: one for one in found.node.body if isinstance(one, ast.FunctionDef)}
    if "__new__" in own:
        return None
    if "__init__" in own:
        return _of_function(own["__init__"].args)
    bases = [base for base in _bases(found) if base not in EMPTY]
    if len(bases) > 1:
        return None
    return arguments_of(bases[0]) if bases else {}


def check_arguments(settings: Any, *, key: str = "") -> None:
    """Raise ConfigError for unknown or missing arguments of a class that is named below `key`.

    And for values of another kind than the annotation's, if that is one of `KINDS`, a sequence or a
    union of them; and for a class of a package that is not allowed. Where the source does not tell
    the arguments, the check is left to the constructor.
    """
    if isinstance(settings, list):
        for index, value in enumerate(settings):
            check_arguments(value, key=f"{key}[{index}]")
    if not isinstance(settings, dict):
        return
    target = settings.get("_target_")
    if "_target_" in settings:
        check_allowed(target, key=key)
    if isinstance(target, str) and (taken := arguments_of(target)) is not None:
        given = [name for name in settings if name not in ("_target_", *NO_ARGUMENT.get(key, ()))]
        refuse_others(given, taken, offered=OFFERED.get(key, ()), target=target, key=key)
        for name, argument in taken.items():
            if name in given:
                _check_kind(settings[name], argument.annotation, key=f"{key}.{name}")
            elif argument.required and name not in OFFERED.get(key, ()):
                raise ConfigError(f"{key}.{name}: missing; {takes(target, taken)}")
    for name, value in settings.items():
        check_arguments(value, key=below(key, name))


def _check_kind(value: Any, annotation: ast.expr | None, *, key: str) -> None:
    if annotation is not None and (words := _asked(annotation)) and not _is(value, annotation):
        raise ConfigError(f"{key}: expected {words}, found {short(value)}")


def _asked(annotation: ast.expr) -> str:
    """What an annotation asks for, in words; empty if it asks for something else than plain values.

    >>> _asked(ast.parse("Sequence[int] | None", mode="eval").body)
    'a list (each a whole number) or null'
    """
    match annotation:
        case ast.Name(id=name) if name in KINDS:
            return KINDS[name][0]
        case ast.Constant(value=None):
            return KINDS["None"][0]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            parts = [_asked(left), _asked(right)]
            return " or ".join(parts) if all(parts) else ""
        case ast.Subscript(value=ast.Name(id="Sequence"), slice=inner) if words := _asked(inner):
            return f"a list (each {words})"
    return ""


def _is(value: Any, annotation: ast.expr) -> bool:
    match annotation:
        case ast.Name(id=name):
            return isinstance(value, KINDS[name][1]) and isinstance(value, bool) == (name == "bool")
        case ast.BinOp(left=left, right=right):
            return _is(value, left) or _is(value, right)
        case ast.Subscript(slice=inner):
            return isinstance(value, list) and all(_is(one, inner) for one in value)
    return value is None


def _fields(found: _Source) -> Mapping[str, Argument] | None:
    """The fields of a dataclass, those of its base classes first."""
    taken: dict[str, Argument] = {}
    for base in _bases(found):
        of_base = {} if base in EMPTY else arguments_of(base)
        if of_base is None:
            return None
        taken |= of_base
    for one in found.node.body:
        if (
            isinstance(one, ast.AnnAssign)
            and isinstance(one.target, ast.Name)
            and not ast.unparse(one.annotation).startswith("ClassVar")
        ):
            taken[one.target.id] = Argument(one.value is None, one.annotation)
    return taken


def _of_function(arguments: ast.arguments) -> Mapping[str, Argument] | None:
    if arguments.vararg or arguments.kwarg:
        return None
    named = [*arguments.posonlyargs, *arguments.args][1:]
    without_default = len(named) - len(arguments.defaults)
    taken = {
        one.arg: Argument(index < without_default, one.annotation)
        for index, one in enumerate(named)
    }
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        taken[one.arg] = Argument(default is None, one.annotation)
    return taken


def _find(target: str) -> _Source | None:
    """The definition of a class, in its module or in the module it is imported from."""
    root = root_of(target.split(".")[0])
    file = file_of(target, root) if root is not None else None
    if root is None or file is None:
        return None
    classes, imported = _read(file, root)
    name = target.rpartition(".")[2]
    if name in classes:
        return _Source(target, classes[name], imported)
    origin = imported.get(name, target)
    return _find(origin) if origin != target else None


@lru_cache
def _read(file: Path, root: Path) -> tuple[Mapping[str, ast.ClassDef], Mapping[str, str]]:
    """The classes of a module, and the full names of its imports."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    imported: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            imported |= {one.asname or one.name: one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = module_of(node, root, file)
            imported |= {one.asname or one.name: f"{module}.{one.name}" for one in node.names}
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, imported


def _bases(found: _Source) -> list[str]:
    """Full names of the bases of a class."""
    module = found.target.rpartition(".")[0]
    names = []
    for base in found.node.bases:
        text = ast.unparse(base).split("[")[0]
        first, dot, rest = text.partition(".")
        full = found.imported.get(first, first if first in EMPTY else f"{module}.{first}")
        names.append(f"{full}{dot}{rest}")
    return names
