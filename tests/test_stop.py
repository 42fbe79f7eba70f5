"""Ctrl-C and SIGTERM at moments that are none of a run's: see test_resume.py for those."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, epochs
from scan_process import TOY, begin, end, said, session, wait_for

from msnas.stop import STOPPED

RUN = (*(one for one in TOY if one != "report=false"), *epochs(3000))
SCAN = (*TOY, *epochs(3000), "seed=0,1", "task_weight=0.5")
ALONE = (*SCAN, "hydra/launcher=basic")


Moment = Callable[[Path, subprocess.Popen[str]], Any]


def _imports(module: str) -> Moment:
    """When the process has opened a library of `module`; the import takes seconds more."""
    return lambda _, process: module in Path(f"/proc/{process.pid}/maps").read_text()


def _begins_workers(_: Path, process: subprocess.Popen[str]) -> bool:
    return any("popen_loky" in command for command in session(process).values())


def _trains(folder: Path, _: subprocess.Popen[str]) -> list[Path]:
    return list(folder.glob("runs/cache/*/*.partial/record.json"))


MOMENTS: dict[str, tuple[str, tuple[str, ...], Moment]] = {
    "train.py imports Hydra": ("train.py", RUN, _imports("_yaml")),
    "train.py imports PyTorch": ("train.py", RUN, _imports("libtorch_cpu")),
    "train.py trains": ("train.py", RUN, _trains),
    "sweep.py imports Hydra": ("sweep.py", SCAN, _imports("_yaml")),
    "sweep.py begins workers": ("sweep.py", SCAN, _begins_workers),
    "workers train": ("sweep.py", SCAN, _trains),
    "sweep.py imports PyTorch": ("sweep.py", ALONE, _imports("libtorch_cpu")),
    "sweep.py trains": ("sweep.py", (*SCAN, "hydra.launcher.n_jobs=1"), _trains),
}


INT, TERM = signal.SIGINT, signal.SIGTERM
ONCE = {
    "train.py imports Hydra": TERM,
    "train.py imports PyTorch": INT,
    "sweep.py imports Hydra": INT,
    "sweep.py imports PyTorch": TERM,
}
"""The one signal at moments without work; that both are heard alike is told below."""


@pytest.mark.parametrize(
    ("moment", "number"),
    [(one, number) for one in MOMENTS for number in (INT, TERM) if ONCE.get(one, number) == number],
)
def test_stopped_it_says_that_nothing_is_lost(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    script, overrides, condition = MOMENTS[moment]
    process = begin(tmp_path, *overrides, script=script)
    wait_for(lambda: condition(tmp_path, process))
    # a terminal sends Ctrl-C to all
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    try:
        assert process.wait(120) == 128 + number, said(tmp_path)
        wait_for(lambda: not session(process))
    finally:
        end(process)
    text = said(tmp_path)
    assert text.count(f"{STOPPED}\n") == 1
    if "begins workers" not in moment:  # one that is not up yet has its interpreter's own word
        assert text.endswith(f"{STOPPED}\n")
        assert "Traceback" not in text
    assert "Warning" not in text


def test_the_cursor_comes_back(tmp_path: Path) -> None:
    """A live table hides it."""
    ours, its = pty.openpty()
    command = [sys.executable, str(ROOT / "sweep.py"), *ALONE]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "TERM": "xterm"},
        start_new_session=True,
    ) as process:
        os.close(its)
        screen = b""
        while b"\x1b[?25l" not in screen:
            screen += os.read(ours, 1000)
        process.send_signal(signal.SIGTERM)
        try:
            while read := os.read(ours, 1000):
                screen += read
        except OSError:  # so ends a terminal that everybody has left
            pass
        assert process.wait(60) == 128 + signal.SIGTERM
    os.close(ours)
    assert screen.rindex(b"\x1b[?25h") > screen.rindex(b"\x1b[?25l")
    assert screen.rstrip().endswith(STOPPED.encode())


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_was_ignored_stays_ignored() -> None:
    """As SIGINT is for `python train.py &` in a script of the shell."""
    done = python(
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from msnas.stop import stop_at_signals; stop_at_signals()\n"
        "os.kill(os.getpid(), signal.SIGINT); print('here', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM); print('not here')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "here\n", f"{STOPPED}\n")


def test_nobody_can_swallow_it() -> None:
    done = python(
        "import os, signal; from msnas.stop import stop_at_signals; stop_at_signals()\n"
        "try:\n    print('said', end=''); os.kill(os.getpid(), signal.SIGTERM)\n"
        "except BaseException: print('swallowed')\nfinally: print('finally')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "said", f"{STOPPED}\n")


@pytest.mark.parametrize(("second", "status"), [("", 130), ("SIGTERM", 143)])
def test_with_workers_it_unwinds_and_the_second_ends_at_once(second: str, status: int) -> None:
    """The status is the signal's, whatever others make of it on the way."""
    done = python(
        "import os, signal, sys, threading, time\n"
        "from msnas.stop import stop_at_signals, with_workers\n"
        "stop_at_signals(); threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "def work():\n"
        "    with with_workers():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        while True: time.sleep(0.01)\n"
        "try: work()\n"
        "except SystemExit: print('unwound')\n"
        f"if {second!r}: os.kill(os.getpid(), signal.{second or 'SIGINT'}); print('not here')\n"
        "sys.exit(1)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "unwound\n", f"{STOPPED}\n")


def test_it_comes_before_what_takes_time() -> None:
    done = python(
        "import sys; import msnas.cli\n"
        "print(sorted(set(sys.modules) & {'hydra', 'omegaconf', 'yaml', 'rich', 'numpy', 'torch'}))"
    )
    assert done.stdout == "[]\n", done.stderr
    done = python(
        "import sys; import msnas.cli\n"
        "msnas.cli.stop_at_signals = lambda: sys.exit('first')\n"
        "msnas.cli.main(['train', 'problem=toy'])"
    )
    assert done.stderr == "first\n"
