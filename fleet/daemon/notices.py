"""What a person at this machine is shown on the desktop: alerts that failed, dead letters; our own words, never a peer's.

Each message is told once, when it ends; several that end together are one notice, and there is at most one every 30 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fleet.core.envelope import is_node_id
from fleet.errors import Faulty, FleetError, Unreachable

GATHER = 1.0  # seconds in which more may end: one notice for all
PAUSE = 30.0  # seconds between two notices
LINES = 5  # of our own in one notice; the log has them all
PATIENCE = 5.0  # seconds the desktop has to take one
ALERT = "alert"
ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip
_SCRIPT = ("on run argv", 'display notification (item 1 of argv) with title "Fleet"', "end run")
Say = Callable[[str], Awaitable[None]]


def desktop_argv(line: str, platform: str = sys.platform) -> list[str]:
    """Give the command that shows a line; the line is an argument of its own, never part of a script."""
    if platform == "darwin":
        return ["osascript", *(word for part in _SCRIPT for word in ("-e", part)), "--", line]
    return ["notify-send", "--app-name=Fleet", "--", "Fleet", line]


async def show_on_desktop(line: str) -> None:
    """Show a line by the desktop's own means. Raises Faulty when it has none, Unreachable when it fails."""
    environ = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    argv = desktop_argv(line)
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(*argv, env=environ, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError:
        raise Faulty(f"{argv[0]} cannot be started", hint="fleet config set log.notify off") from None
    try:
        async with asyncio.timeout(PATIENCE):
            code = await process.wait()
    except TimeoutError:
        raise Unreachable(f"{argv[0]} does not end") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code:
        raise Unreachable(f"{argv[0]}: exit {code}")


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that will not arrive."""

    peer: str
    type: str


class Notices:
    """Gathers what was lost and tells it."""

    def __init__(self, say: Say | None, log: Callable[..., None]) -> None:
        """Take what shows a line; None = nobody is told."""
        self._say = say
        self._log = log
        self._lost: list[Lost] = []
        self._lines: deque[str] = deque(maxlen=LINES)
        self._news = asyncio.Event()

    def say(self, line: str) -> None:
        """Note a line of our own."""
        if self._say is not None:
            self._lines.append(line)
            self._news.set()

    def tell(self, lost: list[Lost]) -> None:
        """Note messages that were lost."""
        if self._say is not None and lost:
            self._lost += lost
            self._news.set()

    async def run(self) -> None:
        """Show what was noted until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER)
            self._news.clear()
            lost, self._lost = self._lost, []
            lines = [*self._lines, *([sentence(lost)] if lost else [])]
            self._lines.clear()
            await self._show("\n".join(lines))
            await asyncio.sleep(PAUSE)

    async def _show(self, line: str) -> None:
        assert self._say is not None
        try:
            await self._say(line)
        except FleetError as error:
            self._log("notice not shown", reason=error.message)


def sentence(lost: list[Lost]) -> str:
    """Say in one line what was lost, alerts first."""
    alerts = [one for one in lost if one.type == ALERT]
    told = alerts or lost
    peers = sorted({one.peer for one in told if is_node_id(one.peer)})
    where = " and ".join(peers) if len(peers) < 3 else f"{len(peers)} machines"
    what = "alert" if alerts else "message"
    count = f"An {what}" if len(alerts) == 1 else f"A {what}" if len(told) == 1 else f"{len(told)} {what}s"
    rest = f", and {len(lost) - len(alerts)} more" if alerts and len(lost) > len(alerts) else ""
    return f"{count} to {where} did not arrive{rest}. See: fleet dead"
