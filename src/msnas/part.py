"""Parts keep their constructor's arguments, so that Python and YAML describe the same part."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar

from msnas.errors import ConfigError
from msnas.packages import is_allowed


class Part:
    """Base of classes that a configuration names in a `_target_` or a user makes in Python."""

    makes_itself: ClassVar[tuple[str, ...]] = ()
    """Arguments that the part gets as plain settings and makes into objects itself, later."""

    _made_with: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __init_subclass__(cls, **named: Any) -> None:
        """Have the constructor keep its arguments."""
        super().__init_subclass__(**named)
        if "__init__" in vars(cls):
            cls.__init__ = _remembering(cls.__init__)  # type: ignore[method-assign]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor by name, with defaults where none were given."""
        if dataclasses.is_dataclass(self):
            return {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        arguments, named = self._made_with
        bound = inspect.signature(type(self)).bind(*arguments, **named)
        bound.apply_defaults()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return {
            name: value
            for name, value in bound.arguments.items()
            if bound.signature.parameters[name].kind not in variable  # PyTorch's own
        }

    def settings(self) -> dict[str, Any]:
        """The node of a configuration that makes the same part: `_target_` and every argument."""
        return {
            "_target_": public_name(type(self)),
            **{name: settings_of(value, key=name) for name, value in self.arguments().items()},
        }


def public_name(kind: type) -> str:
    """The shortest import path of a library's class; for other classes that of their definition."""
    words = kind.__module__.split(".")
    if words[0] != "msnas":
        for count in range(1, len(words)):
            module = ".".join(words[:count])
            if is_allowed(module) and getattr(import_module(module), kind.__name__, None) is kind:
                return f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def settings_of(value: Any, *, key: str) -> Any:
    """`value` as plain settings, parts in it as their nodes.

    Raises ConfigError, naming `key`, for a value that a configuration cannot hold.
    """
    if isinstance(value, Part):
        return value.settings()
    if isinstance(value, Mapping):
        return {str(name): settings_of(one, key=f"{key}.{name}") for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [settings_of(one, key=f"{key}[{index}]") for index, one in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(
        f"{key}: found a {type(value).__name__}; allowed are plain values and parts of msnas"
    )


def _remembering(construct: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(construct)
    def remember(self: Any, *arguments: Any, **named: Any) -> None:
        if "_made_with" not in vars(self):  # else a base's constructor, called by the class's own
            object.__setattr__(self, "_made_with", (arguments, named))
        construct(self, *arguments, **named)

    return remember
