"""The command `msnas`. Imports nothing heavy, so that signals are handled from the start."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from msnas.stop import stop_at_signals

COMMANDS: Mapping[str, str] = {
    "train": "one run: select a chain of candidates and train it",
    "sweep": "many runs, on one machine or a cluster, and their report",
    "report": "tables, figures and a page of finished runs",
    "choose": "how sure the choice among chains is, over the seeds of alike runs",
    "compare": "searches against a grid search of the same seeds",
    "predict": "apply a finished run's chain to events",
    "evaluate": "a finished run's numbers, at any value of what it is conditioned on",
    "measure": "what a finished run's chain would tell of a signal strength",
    "export": "a finished run's chain as one ONNX file, for where PyTorch is not",
    "convert": "Delphes files to events",
    "dashboard": "a workspace at Weights & Biases",
}
"""`train` and `sweep` compose the configuration, the others are `python -m msnas.<command>`."""

HELP_WORDS = ("--help", "-h")


def main(words: Sequence[str] | None = None) -> None:
    """Run the command that the command line, or `words`, names."""
    name, *rest = (sys.argv[1:] if words is None else words) or [""]
    if name in HELP_WORDS:
        sys.stdout.write(_help())
    elif name in ("train", "sweep"):
        stop_at_signals()  # before imports that take time
        if any(word in HELP_WORDS for word in rest):
            from msnas.help import help_text

            sys.stdout.write(help_text(name, rest))
        else:
            from msnas.start import start

            start(name, rest)
    elif name in COMMANDS:
        module = import_module(f"msnas.{name}")
        if hasattr(module, "__path__"):  # a package
            module = import_module(f"msnas.{name}.__main__")
        sys.exit(module.main(rest))
    else:
        from msnas.config import unknown

        known = f"commands: {', '.join(COMMANDS)}; msnas --help tells what they do"
        sys.exit(f"error: {unknown(name, COMMANDS, words=known) if name else known}")


def _help() -> str:
    lines = [f"  {name:<10} {words}" for name, words in COMMANDS.items()]
    return "\n".join(
        ["usage: msnas <command> key=value ...", "", *lines, "", "msnas <command> --help", ""]
    )
