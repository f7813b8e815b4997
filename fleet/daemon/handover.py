"""Mail on its way into agent sessions: who gets what, noted before, confirmed after; it writes no text and opens no socket.

A message goes into one session once. It is noted as handed over before a byte goes out, and shown when its hook says so,
or when the session's socket took it. What was noted and never confirmed is later named to that session, not shown again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.envelope import Priority
from fleet.core.framing import Framed, Letter, frame
from fleet.core.seating import Wanted, chosen, fits, may_wake
from fleet.daemon.letters import among_daemons, letter_of, wanted_of
from fleet.daemon.sessions import Event, Line, Sessions
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import Faulty, FleetError, Unreachable
from fleet.store import Store
from fleet.store.inbox import Mail
from fleet.store.sessions import Session

START, PROMPT, IDLE, END = "start", "prompt", "idle", "end"  # faces/programs.py has them for the programs
NOTHING = Framed("", (), "")


@dataclass(frozen=True, slots=True)
class Ways:
    """How an idle session is reached without its next hook."""

    say: Callable[[Line, str, str], Awaitable[None]]  # raises Unreachable: nothing went out; Faulty: perhaps
    queue: Callable[[str], Awaitable[None]]  # raises Unreachable


class Handover:
    """The counter for sessions."""

    def __init__(
        self, writer: Writer, reader: Store, sessions: Sessions, world: World, ways: Ways | None,
        shown: Callable[[Sequence[str], str], Awaitable[object]], log: Callable[..., None],
    ) -> None:  # fmt: skip
        """Take what marks mail as shown; without `ways` nothing is handed over but to hooks."""
        self._writer = writer
        self._reader = reader
        self._sessions = sessions
        self._world = world
        self.ways = ways
        self._shown = shown
        self._log = log
        self._waiters: dict[str, asyncio.Future[Framed]] = {}
        self._wakes: dict[str, list[int]] = {}
        self._pushes: dict[str, int] = {}  # texts a session's socket or queue took since its last hook
        self._news = asyncio.Event()
        self.presence: Callable[[str], str] = lambda session: ""
        self.awaited: Callable[[Mail], bool] = lambda mail: False

    # --- hooks --------------------------------------------------------------------------------------------------------

    async def came(self, event: Event) -> Framed:
        """Take an event of a session; gives the text for it, and the ids in it, which its hook confirms."""
        if event.event == END:
            self.forget(event.session)
            return NOTHING
        self._pushes.pop(event.session, None)
        one = self._sessions.came(event, idle=event.event == IDLE)
        if event.event == IDLE and not self._may_wake(one.id):
            return NOTHING
        found = await self.take(one, event.limit) if event.limit else NOTHING
        if event.event == IDLE and found.text:
            self._woken(one.id)
        if event.event == START and event.limit:
            text = "\n".join(filter(None, (self.presence(one.id), found.text)))
            return Framed(text, found.ids, found.sender)
        return found

    async def wait(self, event: Event) -> Framed:
        """Wait beside an idle session until there is something for it; nothing when another hook waits in its place."""
        one = self._sessions.came(event, idle=None)
        self._let_go(one.id)
        if self._may_wake(one.id) and (found := await self.take(one, event.limit)).text:
            self._woken(one.id)
            return found
        future: asyncio.Future[Framed] = asyncio.get_running_loop().create_future()
        self._waiters[one.id] = future
        self._news.set()  # what came meanwhile
        try:
            found = await future
        finally:
            if self._waiters.get(one.id) is future:
                del self._waiters[one.id]
        return found

    def _let_go(self, session: str) -> None:
        waiter = self._waiters.pop(session, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(NOTHING)

    def forget(self, session: str) -> None:
        """Let go of a session that is over."""
        self._sessions.left(session)
        self._let_go(session)
        self._wakes.pop(session, None)
        self._pushes.pop(session, None)

    def _may_wake(self, session: str) -> bool:
        return may_wake(self._wakes.get(session, []), self._world.now())

    def _woken(self, session: str) -> None:
        """Note that mail kept a session going."""
        now = self._world.now()
        self._wakes[session] = [*(at for at in self._wakes.get(session, []) if now - at < policy.WAKE_WINDOW), now]
        self._sessions.busy(session)

    # --- what is for whom ---------------------------------------------------------------------------------------------

    async def take(self, one: Session, limit: int, only: Sequence[str] | None = None) -> Framed:
        """Give what waits for a session as a text of at most `limit` characters, and note that it is handed over."""
        now = self._world.now()
        letters = self._letters(one.id, now, only)
        doubts = [] if only is not None else self._reader.sessions.doubtful(one.id, now, policy.HANDOVER_LETTERS)
        if not letters and not doubts:
            return NOTHING
        named = [letter_of(mail) for mail in doubts]
        text = self._frame(letters, named, limit)
        won: list[str] = await self._writer.run(lambda store: _offer(store, text.ids, one.id, now, [d.id for d in doubts]))
        if len(won) < len(text.ids):  # somebody took some of them first
            text = self._frame([letter for letter in letters if letter.id in won], named, limit)
        return text

    def _frame(self, letters: Sequence[Letter], doubts: Sequence[Letter], limit: int) -> Framed:
        shown = letters[: policy.HANDOVER_LETTERS]
        return frame(shown, self._world.dice, doubts=doubts, waiting=len(letters) - len(shown), limit=limit)

    def _letters(self, session: str, now: int, only: Sequence[str] | None) -> list[Letter]:
        """List what may be shown to a session now, the urgent first."""
        seats = self._sessions.seats(lambda one: True)
        seat = next((seat for seat in seats if seat.session == session), None)
        if seat is None:
            return []
        found = [
            letter_of(mail)
            for mail, wanted, had in self._pending(now)
            if session not in had and fits(wanted, seat, seats) and (only is None or mail.id in only)
        ]
        return sorted(found, key=lambda letter: -Priority[letter.priority.upper()])

    def _pending(self, now: int) -> list[tuple[Mail, Wanted, list[str]]]:
        """List unread mail for people and agents; not what daemons ask each other, nor an answer somebody waits for."""
        found = self._reader.sessions.pending(now, policy.HANDOVER_SCAN)
        others = [one for one in found if not among_daemons(one.mail) and not self.awaited(one.mail)]
        return [(one.mail, wanted_of(one.mail), one.had) for one in others]

    # --- without a hook -----------------------------------------------------------------------------------------------

    def news(self) -> None:
        """Say that there may be something to hand over."""
        if self._sessions.open:
            self._news.set()

    async def run(self) -> None:
        """Hand over what comes, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(policy.GATHER)
            self._news.clear()
            await self.round()

    async def round(self) -> None:
        """Hand over what can be handed over now."""
        now = self._world.now()
        seats = self._sessions.seats(self._wakes_now)
        if not any(seat.wakes for seat in seats):
            return
        wanted: dict[str, list[str]] = {}
        for mail, whom, had in self._pending(now):
            seat = chosen(whom, [seat for seat in seats if seat.session not in had])
            if seat is not None:
                wanted.setdefault(seat.session, []).append(mail.id)
        await asyncio.gather(*(self._hand(session, ids) for session, ids in wanted.items()))

    def reach(self, one: Session) -> str:
        """Say how a session is reached: its socket, its waiting hook, its queue, or its next hook."""
        line = self._sessions.lines.get(one.id)
        if line is not None and not line.held:
            return "socket"
        if one.id in self._waiters:
            return "waiter"
        return "queue" if one.program == "codex" else "hook"

    def _wakes_now(self, one: Session) -> bool:
        if self.ways is None or not self._may_wake(one.id) or self._pushes.get(one.id, 0) >= policy.PUSHES:
            return False
        way = self.reach(one)
        return way in ("socket", "waiter") or (way == "queue" and one.idle > 0 and not self._pushes.get(one.id))

    async def _hand(self, session: str, ids: Sequence[str]) -> None:
        one, line = self._sessions.open.get(session), self._sessions.lines.get(session)
        if one is None or self.ways is None:
            return
        if line is not None and not line.held:
            await self._say(one, line, ids)
        elif session in self._waiters:
            await self._wake(one, ids)
        else:
            await self._queue(one)

    async def _say(self, one: Session, line: Line, ids: Sequence[str]) -> None:
        """Write to the session's socket. What it took counts as shown: there is no other word of it."""
        assert self.ways is not None
        found = await self.take(one, policy.HANDOVER_TEXT, ids)
        if not found.ids:
            return
        self._pushes[one.id] = self._pushes.get(one.id, 0) + 1
        try:
            await self.ways.say(line, found.text, found.sender)
        except Unreachable as error:
            self._log("session not reached", session=one.id, reason=error.message)
            self._sessions.lines.pop(one.id, None)
            await self._writer.run(lambda store: store.sessions.withdraw(found.ids, one.id))
            self._news.set()  # by another way
            return
        except Faulty as error:
            self._log("session perhaps reached", session=one.id, reason=error.message)
            self._sessions.lines.pop(one.id, None)
            return
        self._woken(one.id)
        await self._shown(found.ids, one.id)

    async def _wake(self, one: Session, ids: Sequence[str]) -> None:
        """Let the hook that waits beside the session end."""
        found = await self.take(one, policy.HANDOVER_TEXT, ids)
        waiter = self._waiters.pop(one.id, None)
        if not found.ids:
            return
        if waiter is None or waiter.done():
            await self._writer.run(lambda store: store.sessions.withdraw(found.ids, one.id))
            return
        self._woken(one.id)
        waiter.set_result(found)

    async def _queue(self, one: Session) -> None:
        assert self.ways is not None
        self._pushes[one.id] = 1
        try:
            await self.ways.queue(one.id)
            self._woken(one.id)
        except FleetError as error:
            self._log("session not reached", session=one.id, reason=error.message)


def _offer(store: Store, ids: Sequence[str], session: str, now: int, doubts: Sequence[str]) -> list[str]:
    store.sessions.name(doubts, session, now)
    return store.sessions.offer(ids, session, now)
