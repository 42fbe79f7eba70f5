"""Commands in the documentation, and what makes them small enough for a test."""

from __future__ import annotations

import re
import shlex

from conftest import ROOT

SMALL = ["logger=none", "trainer=cpu", "recipe.evaluation_batch=300"]
STAGES = [
    f"recipe.{stage}.{key}=1"
    for stage in ("pretrain", "search", "posttrain")
    for key in ("epochs", "patience")
]


def blocks(document: str, language: str) -> list[str]:
    """Fenced blocks of a language in a document."""
    text = (ROOT / document).read_text()
    return re.findall(rf"```(?:{language})\n(.*?)```", text, flags=re.DOTALL)


def commands(document: str) -> list[str]:
    """Commands in the shell blocks of a document, each in one line without comments."""
    lines = "\n".join(blocks(document, "bash|sh")).replace("\\\n", " ").splitlines()
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def small(words: list[str], *, events: str = "data.events=300") -> list[str]:
    """A train.py command cut down to a few events and epochs."""
    if "--help" in words:
        return words
    if words[0] == "sweep.py":
        words = [*words, "hydra/launcher=basic"]  # the engines: test_engines.py
    given = {word.split("=")[0] for word in words}
    extra = [
        word
        for word in [*SMALL, *STAGES, events]
        if word.split("=")[0] not in given and not (word in STAGES and "debug=smoke" in words)
    ]
    return [*words, *extra]
