"""Walk one parcel down its plan, hedged, until somebody proves it arrived; it never decides what a result means.

The table of results (core/outcome.py) says what each does to the walk. When a step's hedge delay passes without an
outcome, the next starts beside it; a step that fails makes room at once. The first proven answer ends the walk; attempts
still running then only count as evidence. After custody, one-way steps are passed over; a receipt or letter needs no more
than custody. After a nudge the walk waits until the peer answers a ping, at most as long as the
nudging step may take, and starts again from the top without the road that nudged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.core.channel import Channel
from fleet.core.outcome import EFFECTS, Attempt, Result, Walk
from fleet.core.parcel import ParcelType
from fleet.core.peer import Peer
from fleet.core.plan import Step
from fleet.engine.attempt import Attempts, Cargo
from fleet.engine.links import Links


@dataclass(slots=True)
class Journey:
    """How a walk went: every attempt that ended with it, and the one that ended it."""

    attempts: list[Attempt] = field(default_factory=list)
    proven: Attempt | None = None

    @property
    def taken(self) -> list[Attempt]:
        """The attempts after which a road holds the parcel."""
        return [attempt for attempt in self.attempts if attempt.result is Result.TAKEN]

    @property
    def unsure(self) -> bool:
        """Whether bytes may have reached the peer although nobody said so."""
        return any(attempt.result is Result.DEFERRED and not attempt.unsent for attempt in self.attempts)

    @property
    def tries(self) -> list[Attempt]:
        """The attempts worth writing down: not of roads without an address, unless there was no other."""
        return [attempt for attempt in self.attempts if not attempt.homeless] or self.attempts

    @property
    def reason(self) -> str:
        """Why nobody took it: the last road that really tried tells more than one that has no address."""
        tried = [attempt for attempt in self.attempts if attempt.result is not Result.BARRED]
        if not tried and len(self.attempts) > 1:
            return "no open road leads there; fleet explain PEER"
        tried = tried or self.attempts
        return tried[-1].reason if tried else "no road took it"

    @property
    def retry_after(self) -> float:
        """The longest time any road asked to be left alone, seconds."""
        return max((attempt.retry_after for attempt in self.attempts), default=0.0)


Running = dict[asyncio.Task[Attempt], Step]


class Cascade:
    """Walks parcels for one node."""

    def __init__(self, channels: Mapping[str, Channel], attempts: Attempts, links: Links) -> None:
        """Take the roads, what tries them, and the links that are credited."""
        self._channels = channels
        self._attempts = attempts
        self._links = links
        self._late: set[asyncio.Task[None]] = set()
        self._sleepers: dict[str, asyncio.Event] = {}
        links.on_proven = self._proven

    async def walk(
        self, peer: Peer, cargo: Cargo, steps: Sequence[Step], on_late: Callable[[Attempt], None],
        needless: asyncio.Future[None] | None = None,
    ) -> Journey:  # fmt: skip
        """Try the steps until one is proven, all have ended or the walk is `needless`.

        `on_late` hears of attempts that end after that.
        """
        journey = Journey()
        needless = needless or asyncio.get_running_loop().create_future()
        running: Running = {}
        queue = deque(steps)
        nudgers: set[str] = set()
        try:
            while not (needless.done() or _over(journey, cargo)):
                started = self._start_next(peer, cargo, queue, running, journey)
                if not running:
                    break
                done = await self._wait(running, queue, started, needless)
                nudges = self._collect(done, running, journey)
                held = bool(journey.taken) and not cargo.parcel.urgent
                if nudges and journey.proven is None and not held:
                    nudgers.update(nudges)
                    await self._answered_or(needless, peer.id, max(nudges.values()))
                    queue = deque(step for step in steps if step.channel not in nudgers)
        finally:
            self._leave(running, on_late, keep=needless.done() or _over(journey, cargo))
        return journey

    def _start_next(
        self, peer: Peer, cargo: Cargo, queue: deque[Step], running: Running, journey: Journey
    ) -> Step | None:
        """Start the next step that may be started now: none beside a road that does not hedge."""
        while queue:
            alone = any(step.hedge <= 0 for step in running.values())
            if running and (alone or not self._channels[queue[0].channel].traits.hedges):
                return None
            step = queue.popleft()
            if not self._links.usable(peer.id, step.channel):
                continue  # it broke while this walk was on its way
            if journey.taken and not step.replies:
                continue
            if journey.taken and not step.carries and not cargo.parcel.urgent:
                continue
            task = asyncio.ensure_future(self._attempts.make(self._channels[step.channel], peer, cargo, step))
            running[task] = step
            return step
        return None

    async def _wait(
        self, running: Running, queue: deque[Step], started: Step | None, needless: asyncio.Future[None]
    ) -> set[asyncio.Task[Attempt]]:
        """Wait for an outcome, or until the newest step's hedge delay has passed while another step could start."""
        hedge = started.hedge if started is not None and queue and started.hedge > 0 else None
        pending: list[asyncio.Future[Any]] = [*running, needless]
        await asyncio.wait(pending, timeout=hedge, return_when=asyncio.FIRST_COMPLETED)
        return {task for task in running if task.done()}

    async def _answered_or(self, needless: asyncio.Future[None], peer: str, limit: float) -> None:
        """Wait for the peer that was woken, unless nobody needs it any more."""
        answer = asyncio.ensure_future(self.answered(peer, limit))
        pending: list[asyncio.Future[Any]] = [answer, needless]
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)

    async def answered(self, peer: str, limit: float) -> bool:
        """Wait until a peer proves that it hears us, at most `limit` seconds; says whether it did."""
        event = self._sleepers.setdefault(peer, asyncio.Event())
        try:
            async with asyncio.timeout(limit):
                await event.wait()
        except TimeoutError:
            return False
        return True

    def _proven(self, peer: str) -> None:
        event = self._sleepers.pop(peer, None)
        if event is not None:
            event.set()

    def _collect(self, done: set[asyncio.Task[Attempt]], running: Running, journey: Journey) -> dict[str, float]:
        """Take the ended attempts in; gives the roads that nudged, with what is left of their time in seconds."""
        nudges: dict[str, float] = {}
        for task in sorted(done, key=list(running).index):
            step = running.pop(task)
            attempt = task.result()
            journey.attempts.append(attempt)
            self.credit(attempt)
            move = EFFECTS[attempt.result].walk
            if move is Walk.STOP and journey.proven is None:
                journey.proven = attempt
            if move is Walk.AGAIN:
                nudges[step.channel] = max(0.0, step.deadline - attempt.ms / 1000.0)
        return nudges

    def credit(self, attempt: Attempt) -> None:
        """Tell the link what the attempt means for it."""
        if attempt.homeless:
            self._links.without_address(attempt.peer, attempt.channel)
        evidence = EFFECTS[attempt.result].link
        if attempt.result is Result.DEFERRED and attempt.retry_after:
            return  # busy: somebody is there and says so, and pings will tell whether he lies
        if evidence is not None:
            self._links.credit(
                attempt.peer, attempt.channel, evidence,
                took=attempt.ms / 1000.0, reason=attempt.reason, security=attempt.security,
            )  # fmt: skip

    def _leave(self, running: Running, on_late: Callable[[Attempt], None], *, keep: bool) -> None:
        """Let what still runs end as evidence, or end it when the walk itself was cancelled."""
        for attempt in running:
            if not keep:
                attempt.cancel()
                continue
            task = asyncio.ensure_future(self._finish(attempt, on_late))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _finish(self, running: asyncio.Task[Attempt], on_late: Callable[[Attempt], None]) -> None:
        attempt = await running
        self.credit(attempt)
        on_late(attempt)

    async def close(self) -> None:
        """End what still runs as evidence."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)


def _over(journey: Journey, cargo: Cargo) -> bool:
    """Say whether a walk has reached all it can: the proof, for what gets no answer the custody."""
    return journey.proven is not None or (cargo.kind is not ParcelType.MAIL and bool(journey.taken))
