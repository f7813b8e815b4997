"""The ways into a session without a hook: a real socket that speaks, or does not, Claude Code's lines; real programs."""

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.daemon import inward
from fleet.daemon.sessions import Line
from fleet.errors import Faulty, FleetError, Unreachable

Act = Callable[[socket.socket], None]


class Session:
    """A listening socket; `act` is what it does with who comes."""

    def __init__(self, path: Path, act: Act) -> None:
        self.path = str(path)
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(self.path)
        self.door.listen(1)
        self.thread = threading.Thread(target=self._serve, args=(act,), daemon=True)
        self.thread.start()

    def _serve(self, act: Act) -> None:
        try:
            line, _ = self.door.accept()
        except OSError:
            return
        with line:
            act(line)


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "s.sock"


def say(path: str, text: str = "hello", sender: str = "a", token: str = "t") -> None:
    asyncio.run(inward.say(Line(path, token), text, sender))


def test_two_lines_of_json_go_in_the_token_first(where: Path) -> None:
    heard = bytearray()

    def listen(line: socket.socket) -> None:
        while data := line.recv(65_536):
            heard.extend(data)

    session = Session(where, listen)
    say(session.path, "two\nlines", "mac1")
    session.thread.join(10)
    assert [json.loads(row) for row in heard.decode().splitlines()] == [
        {"type": "auth", "token": "t"},
        {"type": "user", "message": {"role": "user", "content": "two\nlines"}, "from": "fleet:mac1"},
    ]


def test_where_nobody_listens_nothing_went_out(where: Path) -> None:
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(where))
    with pytest.raises(Unreachable, match="does not answer"):
        say(str(where))
    door.close()


@pytest.mark.parametrize("what", ["nothing", "file", "directory", "link", "relative"])
def test_what_is_no_socket_of_ours_is_not_opened(where: Path, what: str) -> None:
    path = str(where)
    if what == "file":
        where.write_text("")
    elif what == "directory":
        where.mkdir()
    elif what == "link":
        door = socket.socket(socket.AF_UNIX)
        door.bind(str(where.with_name("real")))
        where.symlink_to(where.with_name("real"))
    elif what == "relative":
        path = "s.sock"
    with pytest.raises(Unreachable, match="gone"):
        say(path)


def test_a_session_that_takes_nothing_may_have_taken_it(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inward, "PATIENCE", 0.2)
    over = threading.Event()
    session = Session(where, lambda line: over.wait(10))  # type: ignore[arg-type,return-value]
    with pytest.raises(Faulty, match="broke off"):
        say(session.path, "x" * 240_000)
    over.set()


def test_more_than_a_session_takes_is_not_begun(where: Path) -> None:
    with pytest.raises(Unreachable, match="more than"):
        say(str(where), "x" * inward.TEXT_LIMIT)


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str = "codex") -> None:
    """Put a program of that name first in PATH."""
    file = tmp_path / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}{os.environ['PATH']}")


def test_codex_is_told_in_our_own_words_and_knows_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, f'printf "%s\\n" "$@" > {tmp_path}/argv; env > {tmp_path}/env')
    monkeypatch.setenv("FLEET_KEY", "canary")
    asyncio.run(inward.queue("thread-1"))
    assert (tmp_path / "argv").read_text().splitlines() == ["queue", "--thread", "thread-1", "--message", inward.POINTER]
    assert "canary" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$"])
def test_a_program_that_fails_is_no_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program(tmp_path, monkeypatch, script)
    with pytest.raises(Unreachable, match="exit"):
        asyncio.run(inward.queue("t"))


def test_a_program_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(FleetError, match="does not end"):
        asyncio.run(inward.run(["codex"], 0.5))
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_is_not_there_or_cannot_run_is_no_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="is not there"):
        asyncio.run(inward.queue("t"))


def test_only_so_much_of_what_a_program_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "echo 0123456789")
    assert asyncio.run(inward.run(["codex"], 5, 4)) == b"0123"
