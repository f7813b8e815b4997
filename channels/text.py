"""P8, the text road: tells a terminal or a desktop that mail waits, in our own fixed words; never a word of a peer's.

Settings: the table [channel.text]
    tmux        "session:window.pane" on this machine for every peer that has none of its own
    desktop     true: the desktop of this machine, where there is no pane
    every       seconds between two notices
and from the daemon
    say         async (line) -> None: shows a line on the desktop, or raises a RoadError
and on the finished channel, at any time
    own_word    (peer id, word) -> True when the operator's own configuration gave this pane

It never presses Enter: what a person has half typed there must not be run. It types nothing into a pane that shows the
line already, or that scrolls and would take the words for keys. `ssh = true` of a peer asks the SSH road to let the
peer's own daemon do this: announce().
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, Unreachable

LINE = "# fleet: mail is waiting; fetch it with: fleet inbox"  # a comment, should somebody press Enter in a shell
EVERY = 30.0
ENVIRONMENT = ("PATH", "HOME", "TMUX_TMPDIR", "LANG", "LC_ALL", "LC_CTYPE")
SHORT = 2.0  # seconds one tmux command may take at most
Say = Callable[[str], Awaitable[None]]
Nudge = Callable[[Peer, float], Awaitable[None]]


class Text:
    """The road that announces."""

    name = "text"
    traits = Traits(carries=False, replies=False, pings=False, hedges=False)

    def __init__(
        self, pane: str = "", say: Say | None = None, every: float = EVERY, nudge: Nudge | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Take this machine's pane, what shows a line on its desktop, and what lets a peer's daemon announce."""
        self.own_word: Callable[[str, str], bool] = lambda peer, word: False
        self._pane = pane
        self._say = say
        self._every = every
        self._nudge = nudge
        self._steady = steady
        self._told: dict[str, float] = {}

    async def open(self) -> None:
        """Make nothing ready: a terminal may come later."""

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Say that mail waits, unless it was said of late; what shall be carried stays here."""
        where, pane = self._place(peer)
        self._allow(where)
        if where.startswith("ssh "):
            assert self._nudge is not None
            await self._nudge(peer, timeout)
        else:
            await self._announce(pane, timeout)
        return Outcome.nudged()

    async def announce(self) -> None:
        """Say it on this machine, because a peer asks over SSH. Raises Barred where nothing is configured, or of late."""
        if not self._pane and self._say is None:
            raise Barred("no pane and no desktop is configured", hint="fleet config set channel.text.tmux PANE")
        self._allow(f"pane {self._pane}" if self._pane else "desktop")
        await self._announce(self._pane, SHORT)

    def would(self, peer: Peer) -> str:
        """Say what send() would do, doing nothing. Raises Barred."""
        self._place(peer)
        return "would type"

    def _place(self, peer: Peer) -> tuple[str, str]:
        """Choose where it is said; gives a name for it, and the pane if it is one. Raises Barred."""
        table = peer.addresses.get(self.name, {})
        pane = str(table.get("tmux") or "")
        if pane and not self.own_word(peer.id, pane):
            raise Barred(f"{peer.id} itself named a pane; only the operator may", address=True)
        if not pane and table.get("ssh") is True:
            if self._nudge is None:
                raise Barred("no SSH road is here to ask the peer's side", address=True)
            return f"ssh {peer.id}", ""
        pane = pane or self._pane
        if not pane and self._say is None:
            raise Barred(
                f"no pane is known to announce mail for {peer.id}", address=True,
                hint=f"fleet peer set {peer.id} text.tmux=PANE",
            )  # fmt: skip
        return (f"pane {pane}" if pane else "desktop"), pane

    def _allow(self, where: str) -> None:
        """Count a notice. Raises Barred when one was shown at this place of late."""
        now = self._steady()
        self._told = {place: at for place, at in self._told.items() if now - at < self._every}
        if where in self._told:
            raise Barred(f"said already; at most once in {self._every:g} s")
        self._told[where] = now

    async def _announce(self, pane: str, timeout: float) -> None:
        if pane:
            async with asyncio.timeout(timeout):
                await _type(pane)
        elif self._say is not None:
            await self._say(LINE.lstrip("# "))

    async def listen(self, deliver: Deliver) -> None:
        """Wait for nothing: nobody answers by typing."""
        await asyncio.Event().wait()

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """What was said was said."""

    async def close(self) -> None:
        """Nothing to close."""


async def _type(pane: str) -> None:
    """Type the line into a pane. Raises Barred while it cannot be typed there, Faulty when there is no such pane."""
    target = pane if pane[0] in "=%@$" else f"={pane}"  # else tmux takes another session whose name begins like it
    seen = await _tmux("capture-pane", "-p", "-J", "-t", target)
    if LINE in seen:
        raise Barred("the pane shows it already")
    mode = await _tmux("display-message", "-p", "-t", target, "#{pane_in_mode}#{pane_dead}#{pane_input_off}")
    if mode.strip() != "000":
        raise Barred("the pane scrolls, is dead or takes no input")
    await _tmux("send-keys", "-t", target, "-l", "--", LINE)


async def _tmux(*words: str) -> str:
    """Run one tmux command; gives what it printed. Raises Faulty when it cannot, Unreachable when it does not end."""
    environ = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux", *words, env=environ,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise Faulty("tmux is not installed", hint="fleet config set channel.text.enabled false") from None
    try:
        async with asyncio.timeout(SHORT):
            out, err = await process.communicate()
    except TimeoutError:
        raise Unreachable("tmux does not answer") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        reason = err.decode("ascii", "replace").splitlines()[:1]
        raise Faulty(f"tmux {words[0]}: {''.join(reason)[:200] or process.returncode}")
    return out.decode("utf-8", "replace")


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Text:
    """Make the road that announces."""
    return Text(
        str(settings.get("tmux") or ""), settings.get("say") if settings.get("desktop") else None,
        float(settings.get("every") or EVERY), getattr(earlier.get("ssh"), "nudge", None),
    )  # fmt: skip
