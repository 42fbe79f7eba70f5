"""Bad command lines, one after the other in one process: what is said, and what is left behind.

Reads a JSON list of {name, words} from standard input, runs each as `msnas <words>` in the current
folder, and writes a JSON list of what came of them.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import msnas.cli

msnas.cli.stop_at_signals = lambda: None


def files() -> dict[str, tuple[int, int]]:
    """All that lies here, with the time of its last change and its size."""
    found = ((path, path.lstat()) for path in Path().rglob("*") if not path.is_dir())
    return {str(path): (one.st_mtime_ns, one.st_size) for path, one in found}


def outcome(words: list[str]) -> dict[str, Any]:
    """Exit status, both outputs, what has changed, and whether PyTorch is imported by now."""
    before, out, error = files(), io.StringIO(), io.StringIO()
    sys.argv = ["msnas"]
    status: Any = 0
    with redirect_stdout(out), redirect_stderr(error):
        try:
            msnas.cli.main(words)
        except SystemExit as ended:
            status = ended.code or 0
            if isinstance(status, str):  # as the interpreter does
                sys.stderr.write(f"{status}\n")
                status = 1
        except BaseException:
            status = "a traceback"
            traceback.print_exc()
    after = files()
    return {
        "status": status,
        "out": out.getvalue(),
        "error": error.getvalue(),
        "changed": sorted(name for name in before | after if before.get(name) != after.get(name)),
        "torch": "torch" in sys.modules,
    }


if __name__ == "__main__":
    rows = json.load(sys.stdin)
    json.dump([outcome(words) for words in rows], sys.stdout)
