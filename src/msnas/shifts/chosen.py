"""Shifts by name, as a user types them for a finished run. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from msnas.conf_folders import CONF
from msnas.config import below
from msnas.errors import ConfigError


def chosen_shifts(
    names: Sequence[str], own: Mapping[str, Any], changes: Mapping[str, str]
) -> dict[str, Any]:
    """Settings of the named shifts: a run's `own`, else those of conf/shift, with some `changes`.

    A change is a value by its key `shifts.<name>.<key>`, as text. Raises ConfigError, naming the
    key, for an unknown shift or value.
    """
    options = {path.stem: path for path in sorted((CONF / "shift").glob("*.yaml"))}
    found: dict[str, Any] = {}
    for name in names:
        if name not in own and name not in options:
            raise ConfigError(
                f"shifts: {name!r} is none of the run's own {sorted(own)} and no option; options: "
                f"{', '.join(options)}"
            )
        found[name] = dict(own[name] if name in own else yaml.safe_load(options[name].read_text()))
    for key, text in changes.items():
        name, _, value = key.removeprefix("shifts.").partition(".")
        if name not in found or value not in found[name]:
            known = [below(f"shifts.{one}", two) for one in found for two in found[one]]
            raise ConfigError(f"{key}: no value of a shift; values are {known}")
        try:
            found[name][value] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{key}: found {text!r}, expected a value of YAML") from error
    return found
