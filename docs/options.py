"""What conf/ says of itself: every group, its options, their settings, as Markdown.

A sentence has one place: the comment at the top of a YAML file, the comment beside a setting, or
the docstring of the class that `_target_` names. Imports neither msnas nor Sphinx.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"

PLACES = {
    "loss": "tasks.<task>.loss",
    "validity": "tasks.<task>.validity",
    "shift": "shifts.<name>",
}
"""Where groups without a package of their own go."""

ALIKE = ("weighting", "recipe", "task", "data", "scale", "trainer", "frame", "augment", "law")
"""Groups whose options have the same settings, or few."""

GIVEN = ("_target_", "defaults", "hydra", "name", "candidates")
"""Keys that nobody sets: what an option is, and what other groups fill."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A key below the option's place, its default, and what its comment says."""

    key: str
    default: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """A YAML file: what it is, where its settings go, its class, and what that says of itself."""

    name: str
    about: str
    place: str
    target: str
    said: str
    settings: tuple[Setting, ...]

    def undescribed(self) -> list[str]:
        """Settings that neither a comment nor the class explains."""
        return [
            one.key
            for one in self.settings
            if not one.meaning and f"`{one.key.split('.')[-1]}`" not in self.said
        ]


def groups() -> list[str]:
    """Every folder of conf/ with options."""
    return sorted({path.parent.relative_to(CONF).as_posix() for path in CONF.glob("*/**/*.yaml")})


@cache
def options(group: str) -> tuple[Option, ...]:
    """The options of a group, by name."""
    return tuple(_option(path) for path in sorted((CONF / group).glob("*.yaml")))


def beside() -> tuple[Setting, ...]:
    """The settings of conf/config.yaml."""
    text = (CONF / "config.yaml").read_text()
    return tuple(_settings(yaml.compose(text, Loader=yaml.SafeLoader), text.splitlines()))


def page(group: str) -> str:
    """The options of a group: a section each, or, of those that are `ALIKE`, a row each.

    Of the group `.` the settings beside the groups.
    """
    if group == ".":
        return _table("key", beside())
    if group == "candidate":
        return "\n".join(
            f"### `{one}`\n\n{_rows(options(one))}\n"
            for one in groups()
            if one.startswith("candidate/")
        )
    if group in ALIKE:
        return _rows(options(group))
    return "\n".join(_section(one) for one in options(group))


def _option(path: Path) -> Option:
    text = path.read_text()
    top = [line[1:].strip() for line in text.split("\n\n")[0].splitlines() if line[:1] == "#"]
    package = next((line.split()[1] for line in top if line.startswith("@package")), None)
    content = yaml.safe_load(text)
    target, settings = "", tuple[Setting, ...]()
    group = path.parent.relative_to(CONF).as_posix()
    if package != "_global_" and list(content) != [group]:  # else the group's `none`
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        settings = tuple(_settings(root, text.splitlines()))
        target = _target(content)
    place = {"_global_": "", None: PLACES.get(group, "")}.get(package, package or "")
    return Option(
        name=path.stem,
        about=_about([line for line in top if not line.startswith("@package")]),
        place=f"conditioning.laws.{path.stem}" if group == "law" else place,
        target=target,
        said=_said(target),
        settings=settings,
    )


def _about(lines: list[str]) -> str:
    """The comment at the top; a line that is a command becomes one."""
    return "\n".join(
        f"\n```console\n$ {line}\n```\n" if line.startswith("python ") else line for line in lines
    ).strip()


def _settings(node: yaml.MappingNode, lines: list[str], above: str = "") -> Iterator[Setting]:
    """Keys in the order of the file; a mapping over several lines is its keys'."""
    for name, value in node.value:
        key = f"{above}{name.value}"
        if name.value in GIVEN or key.startswith("fields."):
            continue
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        if block:
            yield from _settings(value, lines, f"{key}.")
            continue
        if "_target_" in str(lines[name.start_mark.line]):  # a part of its own
            continue
        rest = lines[value.end_mark.line][value.end_mark.column :]
        default = lines[value.start_mark.line][value.start_mark.column : value.end_mark.column]
        yield Setting(key=key, default=default, meaning=rest.partition("#")[2].strip())


def _target(content: dict[str, Any]) -> str:
    """The class of an option; of a weighting of torchjd's, that of torchjd."""
    inner = next(
        (content[name] for name in ("aggregator", "scalarizer") if name in content), content
    )
    return str(inner.get("_target_", ""))


def _said(target: str) -> str:
    """The docstring of a class of msnas, without its examples."""
    if not target.startswith("msnas."):
        return ""
    module, _, name = target.rpartition(".")
    source = ast.parse((ROOT / "src" / f"{module.replace('.', '/')}.py").read_text())
    found = next(
        node for node in source.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    text = ast.get_docstring(found) or ""
    return re.split(r"\n\n(?:Args|Example|Raises)\b", text)[0].strip()


def _section(one: Option) -> str:
    parts = [f"### `{one.name}`", one.about]
    if one.said:
        parts.append(f"`{one.target.rpartition('.')[2]}`: {one.said}")
    if one.settings:
        parts.append(_table(f"at `{one.place}.`", one.settings))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: str, settings: tuple[Setting, ...]) -> str:
    rows = [f"| `{one.key}` | {_code(one.default)} | {_cell(one.meaning)} |" for one in settings]
    return "\n".join([f"| {head} | default | meaning |", "|---|---|---|", *rows])


def _rows(found: tuple[Option, ...]) -> str:
    head = ["option", "what it is", *(["class"] if any(one.target for one in found) else [])]
    head += ["settings"] if any(one.settings for one in found) else []
    cells = {
        one.name: {
            "option": f"`{one.name}`",
            "what it is": _cell(one.about or one.said.partition("\n\n")[0]),
            "class": _code(one.target.rpartition(".")[2]),
            "settings": ", ".join(_told(each) for each in one.settings),
        }
        for one in found
    }
    lines = [[cell[name] for name in head] for cell in cells.values()]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def _told(one: Setting) -> str:
    meaning = f" ({_cell(one.meaning)})" if one.meaning else ""
    return f"{_code(f'{one.key}={one.default}')}{meaning}"


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`" if text else ""


def _cell(text: str) -> str:
    """Text of a table: in one line, without what Markdown would take for a border or for HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
