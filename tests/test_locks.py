"""Locks in a folder that several people write to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import QUIET, compose_config, epochs
from scan_process import wait_for

from msnas.errors import StorageError
from msnas.locks import file_lock, is_held
from msnas.run import run

HOST = os.uname().nodename


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds `one.lock`, until its standard input ends."""
    code = (
        "import sys; from pathlib import Path; from msnas.locks import file_lock\n"
        f"with file_lock(Path({str(tmp_path / 'one.lock')!r}), what='testing'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def test_a_lock_is_seen_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    assert not is_held(path)
    with file_lock(path, what="testing"):
        assert is_held(path)
    assert not is_held(path)


def test_looking_does_not_keep_others_waiting(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    program = (
        "import sys, time; from pathlib import Path; from msnas.locks import is_held\n"
        f"while True: is_held(Path({str(path)!r})); print(flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        said: list[str] = []
        for _ in range(20):
            with file_lock(path, what="testing", say=said.append):
                looking.stdout.readline()
        looking.kill()
    assert said == []


def test_who_waits_says_once_for_whom(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = tmp_path / "one.lock"
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        assert holder.stdin is not None
        holder.stdin.close()  # it lets go only now

    assert is_held(path)
    with file_lock(path, what="testing", say=say):
        assert holder.wait(60) == 0
        assert path.read_text().split()[:2] == [str(os.getpid()), HOST]
    (text,) = said
    since = time.strftime("%H:%M")
    assert (
        text[:-6]
        == f"waiting: another process is testing (pid {holder.pid} on {HOST}, since "[
            : len(text) - 6
        ]
    )
    assert text[-6:-4] in (since[:2], f"{(int(since[:2]) - 1) % 24:02}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"12 host 1700000000",
        b"12 host\x1b[31m 1700000000\n",
        b"12 ho st 1700000000\n",
        b"12 [red]host 1700000000\n",
        b"12 host 1700000000\n" * 9,
        b"99999999999 host 1700000000\n",
        b"\xff" * 1000,
        b"12 " + b"h" * 5000 + b" 1700000000\n",
    ],
)
def test_a_lock_file_that_says_something_else_is_not_quoted(
    tmp_path: Path, holder: subprocess.Popen[str], content: bytes
) -> None:
    path = tmp_path / "one.lock"
    path.write_bytes(content)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        holder.kill()

    with file_lock(path, what="testing", say=say):
        assert said == ["waiting: another process is testing"]


def test_a_holder_of_another_day_is_told_with_the_date(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    path = tmp_path / "one.lock"
    path.write_text("12 some-host.org 1700000000\n")
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        holder.kill()

    with file_lock(path, what="testing", say=say):
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(1700000000))
        assert said[0].endswith(f" (pid 12 on some-host.org, since {day})")


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_the_umask_decides_who_may_lock(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "one.lock"
    before = os.umask(umask)
    try:
        with file_lock(path, what="testing"):
            pass
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


@pytest.fixture
def colleagues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file that may be read, but not written to; no right stops a superuser."""
    path = tmp_path / "one.lock"
    path.touch()
    whole = os.open

    def denied(place: str | Path, flags: int, *more: int) -> int:
        if Path(place) == path and flags & (os.O_WRONLY | os.O_RDWR):
            if flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
            raise OSError(denied.number, os.strerror(denied.number), str(place))  # type: ignore[attr-defined]
        return whole(place, flags, *more)

    denied.number = errno.EACCES  # type: ignore[attr-defined]
    monkeypatch.setattr("os.open", denied)
    return path


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_lock_of_somebody_else_is_told(
    colleagues: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os.open, "number", number)
    reason = os.strerror(number)
    with (
        pytest.raises(
            StorageError, match=rf"one\.lock cannot be opened \({reason}\); .*chmod g\+rw"
        ),
        file_lock(colleagues, what="testing"),
    ):
        pytest.fail("held")
    assert not is_held(colleagues)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_that_refuses_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refused)
    said = rf"one\.lock: this disk refuses locks \({os.strerror(number)}\), .* output=<folder>"
    with pytest.raises(StorageError, match=said), file_lock(tmp_path / "one.lock", what="testing"):
        pytest.fail("held")
    assert (tmp_path / "one.lock").is_file()
    assert not is_held(tmp_path / "one.lock")


def test_a_lock_that_may_only_be_read_is_seen_to_be_held(
    holder: subprocess.Popen[str], colleagues: Path
) -> None:
    assert is_held(colleagues)
    holder.kill()
    wait_for(lambda: not is_held(colleagues))


def test_what_fails_while_it_is_held_is_not_the_locks(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), file_lock(tmp_path / "one.lock", what="testing"):
        raise OSError("mine")


def test_only_the_lock_file_itself_is_written_to(tmp_path: Path) -> None:
    """Whoever may write in the folder can give another file its name."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    os.link(precious, tmp_path / "linked.lock")
    with file_lock(tmp_path / "linked.lock", what="testing"):
        assert is_held(tmp_path / "linked.lock")
    (tmp_path / "symbolic.lock").symlink_to(precious)
    with (
        pytest.raises(StorageError, match=r"symbolic\.lock cannot be opened"),
        file_lock(tmp_path / "symbolic.lock", what="testing"),
    ):
        pytest.fail("held")
    assert precious.read_text() == "precious"


def test_what_is_finished_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that only others may write to, runs are shown and trainings are taken."""
    words = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none", f"output={tmp_path}"]
    config = compose_config([*words, *epochs(1)])
    before = run(config, console=QUIET)

    def refused(path: Path, **_: object) -> None:
        raise StorageError(f"lock file {path} cannot be opened")

    monkeypatch.setattr("msnas.training.store.file_lock", refused)
    assert run(config, console=QUIET)["metrics"] == before["metrics"]
    (result,) = tmp_path.rglob("result.json")
    result.unlink()  # the run itself is done again, all of it from trainings in the store
    again = run(config, console=QUIET)
    assert again["metrics"] == before["metrics"]
    monkeypatch.setattr("msnas.run.file_lock", refused)
    assert run(config, console=QUIET)["metrics"] == before["metrics"]
    with pytest.raises(StorageError, match=r"lock file .* cannot be opened"):
        run(compose_config([*words, *epochs(1), "task_weight=0.3"]), console=QUIET)
