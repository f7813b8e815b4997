"""The open agent sessions of this node, as their hooks report them; must never keep a token anywhere but in memory.

A session is open from its first hook until its end, until its process is gone, or until it was silent too long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fleet.core import policy
from fleet.core.seating import Seat
from fleet.daemon import processes
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.store import Store
from fleet.store.sessions import Session

ALONE = frozenset({"claude", "codex", "gemini"})  # their process is one session; an editor's holds many
SIGN = 60_000  # ms; a sign of life that is all a hook brings is written so often
_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z").match


@dataclass(frozen=True, slots=True)
class Line:
    """Claude Code's own socket of one session; `held` = it keeps what comes until a person looks."""

    path: str
    token: str = field(repr=False)
    held: bool = False


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a hook says of its session; the words of the verbs `session` and `session_wait`."""

    event: Literal["start", "prompt", "idle", "wait", "end"]
    session: Annotated[str, Meta(min_length=1, max_length=256)]
    program: Annotated[str, Meta(pattern=r"^[a-z]{1,32}\Z")]
    agent: Annotated[str, Meta(max_length=256)] = ""
    cwd: Annotated[str, Meta(max_length=4096)] = ""
    branch: Annotated[str, Meta(max_length=256)] = ""
    pid: Annotated[int, Meta(ge=0, le=2**31)] = 0  # the hook's parent
    headless: bool = False
    socket: Annotated[str, Meta(max_length=256)] = ""
    token: Annotated[str, Meta(max_length=1024)] = ""
    held: bool = False
    limit: Annotated[int, Meta(ge=0, le=policy.HANDOVER_TEXT)] = 0  # characters its program takes; 0 = nothing now

    def __repr__(self) -> str:
        """Never the token."""
        return f"Event({self.event}, {self.session}, {self.program})"


class Sessions:
    """Who is here."""

    def __init__(
        self, writer: Writer, world: World, owner: Callable[[int], tuple[int, int]] = processes.owner,
        lives: Callable[[int, int], bool] = processes.lives,
    ) -> None:  # fmt: skip
        """Start empty; `owner` and `lives` look at processes."""
        self._writer = writer
        self._world = world
        self._owner = owner
        self._lives = lives
        self.open: dict[str, Session] = {}
        self.lines: dict[str, Line] = {}

    def load(self, store: Store) -> None:
        """Take up the sessions that were open when the daemon stopped; those that ended since are dropped."""
        self.open = {one.id: one for one in store.sessions.open_ones()}

    def came(self, event: Event, *, idle: bool | None) -> Session:
        """Register a session, or note its sign of life; `idle` None = as it was."""
        now = self._world.now()
        known = self.open.get(event.session)
        pid, born = self._process(event, known)
        one = Session(
            event.session, event.program, event.agent if _name(event.agent) else event.program, pid, born,
            event.cwd or (known.cwd if known else ""), event.branch or (known.branch if known else ""), event.headless,
            known.started if known else now, now, self._idle_since(known, now, idle=idle),
        )  # fmt: skip
        self.open[one.id] = one
        self._take_line(event, pid)
        self._drop(self._replaced(one), now)
        if known is None or one.seen - known.seen > SIGN or msgspec.structs.replace(one, seen=known.seen) != known:
            self._keep(lambda store: store.sessions.put(one))
        return one

    @staticmethod
    def _idle_since(known: Session | None, now: int, *, idle: bool | None) -> int:
        if idle is False:
            return 0
        return known.idle if known is not None and (known.idle or idle is None) else now

    def _process(self, event: Event, known: Session | None) -> tuple[int, int]:
        if known is not None and known.pid and self._lives(known.pid, known.born):
            return known.pid, known.born
        return self._owner(event.pid) if event.pid > 1 else (0, 0)

    def _take_line(self, event: Event, pid: int) -> None:
        """Keep the session's socket; one that an open session of another process has was inherited, not given."""
        if not event.socket or event.program != "claude":
            return
        for id, line in self.lines.items():
            if line.path == event.socket and id != event.session and id in self.open and self.open[id].pid != pid:
                return
        self.lines[event.session] = Line(event.socket, event.token, event.held)

    def _replaced(self, one: Session) -> list[str]:
        """Name the sessions that cannot be open beside this one: the same process went on to it, or there are too many."""
        gone = [
            other.id
            for other in self.open.values()
            if other.id != one.id and one.pid and one.program in ALONE and (other.pid, other.born) == (one.pid, one.born)
            and other.program == one.program
        ]  # fmt: skip
        left = sorted((other for other in self.open.values() if other.id not in gone), key=lambda other: other.seen)
        return gone + [other.id for other in left[: max(0, len(left) - policy.SESSIONS)]]

    def busy(self, id: str) -> None:
        """Note that a session goes on working."""
        self._change(id, idle=0)

    def idle(self, id: str) -> None:
        """Note that a session waits for its user."""
        self._change(id, idle=self._world.now())

    def _change(self, id: str, **fields: int) -> None:
        known = self.open.get(id)
        if known is not None:
            one = self.open[id] = msgspec.structs.replace(known, **fields)
            self._keep(lambda store: store.sessions.put(one))

    def left(self, id: str) -> None:
        """Note that a session is over."""
        self._drop([id] if id in self.open else [], self._world.now())

    def sweep(self) -> list[str]:
        """Drop the sessions whose process is gone, and those without one of their own that were silent too long."""
        now = self._world.now()
        gone = [one.id for one in self.open.values() if self._is_ghost(one, now)]
        self._drop(gone, now)
        return gone

    def _is_ghost(self, one: Session, now: int) -> bool:
        if one.pid and not self._lives(one.pid, one.born):
            return True
        proven = one.pid > 0 and one.program in ALONE
        return not proven and now - one.seen > policy.SESSION_SILENT

    def _drop(self, ids: Iterable[str], now: int) -> None:
        gone = list(ids)
        for id in gone:
            self.open.pop(id, None)
            self.lines.pop(id, None)
        if gone:
            self._keep(lambda store: store.sessions.close(gone, now))

    def _keep(self, job: Callable[[Store], None]) -> None:
        """Note it on the disk by and by; a full disk costs a session its place in the list after a restart, no more."""
        self._writer.post(job).add_done_callback(lambda future: future.cancelled() or future.exception())

    def seats(self, wakes: Callable[[Session], bool]) -> list[Seat]:
        """Show the open sessions to the choice; `wakes` says whether one can be handed something now."""
        return [
            Seat(one.id, one.agent, one.program, one.seen, one.idle > 0, one.headless, wakes(one))
            for one in self.open.values()
        ]

    def view(self, node: str, reach: Callable[[Session], str]) -> list[dict[str, Any]]:
        """Show the open sessions as `fleet sessions` does."""
        now = self._world.now()
        return [
            {
                "id": one.id, "node": node, "program": one.program, "agent": one.agent, "cwd": one.cwd,
                "branch": one.branch, "idle_ms": max(0, now - one.idle) if one.idle else 0,
                "state": "idle" if one.idle else "active", "started_at": one.started, "last_seen": one.seen,
                "pid": one.pid, "headless": one.headless, "reach": reach(one),
            }
            for one in self.open.values()
        ]  # fmt: skip
