"""What a person is shown: our own words, once, several at a time; a desktop that is not there disturbs nobody."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from fleet.daemon import notices
from fleet.daemon.notices import PAUSE, Lost, Notices, desktop_argv, sentence, show_on_desktop
from fleet.errors import Faulty, Unreachable
from tests.support import virtual

HOSTILE = [
    "$(touch canary)", "`id`", '"; do shell script "touch canary', "\x1b]52;c;Y2E=\x07", "--urgency=critical", "<b>x</b>",
]  # fmt: skip


@pytest.mark.parametrize(
    ("lost", "line"),
    [
        ([Lost("b", "message")], "A message to b did not arrive. See: fleet dead"),
        ([Lost("b", "alert")], "An alert to b did not arrive. See: fleet dead"),
        ([Lost("b", "task"), Lost("c", "message")], "2 messages to b and c did not arrive. See: fleet dead"),
        ([Lost("b", "alert"), Lost("c", "message")], "An alert to b did not arrive, and 1 more. See: fleet dead"),
        ([Lost(n, "message") for n in "bcd"], "3 messages to 3 machines did not arrive. See: fleet dead"),
        ([Lost("b", "alert"), Lost("c", "alert")], "2 alerts to b and c did not arrive. See: fleet dead"),
    ],
)
def test_one_line_says_what_was_lost_alerts_first(lost: list[Lost], line: str) -> None:
    assert sentence(lost) == line


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_anybody_else_s_is_shown(word: str) -> None:
    assert word not in sentence([Lost(word, word), Lost("b", word)])


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_line_is_an_argument_of_its_own(platform: str) -> None:
    argv = desktop_argv('x" & y', platform)
    assert argv[-1] == 'x" & y' and argv[0] in ("notify-send", "osascript") and "--" in argv
    assert not any('x" & y' in word for word in argv[:-1])


def told(story: Any) -> list[tuple[float, str]]:
    """Run a story with notices; gives when which line was shown."""
    lines: list[tuple[float, str]] = []

    async def say(line: str) -> None:
        lines.append((asyncio.get_running_loop().time(), line))

    async def run() -> None:
        board = Notices(say, lambda event, **fields: None)
        task = asyncio.ensure_future(board.run())
        await story(board)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    virtual.run(run())
    return lines


def test_what_is_lost_is_told_once_however_long_the_node_lives() -> None:
    async def story(board: Notices) -> None:
        board.tell([Lost("b", "alert")])
        await asyncio.sleep(86_400)

    assert [line for _, line in told(story)] == ["An alert to b did not arrive. See: fleet dead"]


def test_a_thousand_that_expire_together_are_one_notice_and_later_ones_wait_for_the_next() -> None:
    async def story(board: Notices) -> None:
        for _ in range(1000):
            board.tell([Lost("b", "message")])
        await asyncio.sleep(5)
        board.tell([Lost("b", "message")])
        board.tell([])
        await asyncio.sleep(3600)

    shown = told(story)
    assert [line.split()[0] for _, line in shown] == ["1000", "A"]
    assert shown[1][0] - shown[0][0] >= PAUSE


def test_who_wants_none_gets_none() -> None:
    async def story() -> None:
        board = Notices(None, lambda event, **fields: None)
        board.tell([Lost("b", "alert")])
        async with asyncio.timeout(60):
            await board.run()

    with pytest.raises(TimeoutError):
        virtual.run(story())


def program(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    for name in ("notify-send", "osascript"):
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def test_the_desktop_s_program_is_given_the_line_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f'printf "%s\\n" "$@" > {tmp_path}/words; env > {tmp_path}/env')
    monkeypatch.setenv("FLEET_KEY", "canary")
    asyncio.run(show_on_desktop("A message to b did not arrive."))
    assert (tmp_path / "words").read_text().splitlines()[-1] == "A message to b did not arrive."
    assert "canary" not in (tmp_path / "env").read_text()


def test_a_desktop_that_is_not_there_fails_or_hangs_is_said_and_the_next_notice_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "exit 3")
    with pytest.raises(Unreachable, match="exit 3"):
        asyncio.run(show_on_desktop("x"))
    program(tmp_path, monkeypatch, "exec sleep 1000")
    monkeypatch.setattr(notices, "PATIENCE", 0.2)
    with pytest.raises(Unreachable, match="does not end"):
        asyncio.run(show_on_desktop("x"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Faulty, match="cannot be started"):
        asyncio.run(show_on_desktop("x"))


def test_a_notice_that_could_not_be_shown_is_logged_and_ends_nothing() -> None:
    logged: list[str] = []

    async def refuse(line: str) -> None:
        raise Unreachable("no desktop")

    async def story() -> None:
        board = Notices(refuse, lambda event, **fields: logged.append(f"{event}: {fields['reason']}"))
        task = asyncio.ensure_future(board.run())
        for _ in range(2):
            board.tell([Lost("b", "message")])
            await asyncio.sleep(100)
        assert not task.done()
        task.cancel()

    virtual.run(story())
    assert logged == ["notice not shown: no desktop"] * 2
