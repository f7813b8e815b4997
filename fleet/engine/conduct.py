"""What this node thinks of each peer: level, experience, breaker; their one writer. Never the peer's own word.

Counting costs a dictionary and an addition; every few seconds the rules of the core look at the counts, and once a minute
they are kept. A threat, a level or a breaker that moved is kept at once: whoever awaits it has it on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from fleet.core import policy, trust
from fleet.core.breaker import CLOSED, Breaker, Rules, Signal, State, sample, step, weigh
from fleet.core.budget import Limits
from fleet.core.peer import Peer
from fleet.core.timeline import Mark, reckon
from fleet.core.trust import Experience
from fleet.engine.unkept import Unkept
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import FleetError
from fleet.store import Store
from fleet.store.accounts import OUT
from fleet.store.purse import Purse

THREATS = frozenset({"forged", "wrong_receipt", "equivocation", "cost"})  # proofs of what no honest key ever signs
RULE, OPERATOR = "rule", "operator"  # who moved something


class Regard(NamedTuple):
    """How a peer is regarded now: what the gates ask."""

    level: int
    breaker: State
    why: str  # the breaker is not active


@dataclass(slots=True)
class _Count:
    """What happened since the rules looked last."""

    sent: int = 0
    received: int = 0
    good: int = 0
    bad: int = 0


class Conduct:
    """The levels, experiences and breakers of all peers, and the time they go by."""

    def __init__(self, writer: Writer, reader: Store, world: World, rules: Rules, limits: Limits) -> None:
        """Take the figures of [breaker] and [budget], and take up what the store remembers."""
        self._writer = writer
        self._reader = reader
        self._world = world
        self.rules = rules
        self.default = limits
        accounts = reader.accounts
        self._mark = reckon(accounts.mark(), world.boot, world.through_sleep(), world.now())
        self.levels: dict[str, int] = reader.ledger.levels()
        self.breakers: dict[str, Breaker] = accounts.breakers()
        self.limits: dict[str, Limits] = accounts.all_limits()
        self.seen: dict[str, Experience] = accounts.experiences()
        self._counts: dict[str, _Count] = {}
        self._heard: dict[str, float] = {}
        self._proposed: set[str] = set()
        self._moved = asyncio.Event()
        self._unkept = Unkept()
        self._looked = self._kept = self._mark.time
        self.on_breaker: Callable[[str, State], None] = lambda peer, state: None
        self.on_notice: Callable[[str, str], None] = lambda kind, text: None

    def time(self) -> int:
        """Read the timeline, ms."""
        return self._now().time

    def _now(self) -> Mark:
        return reckon(self._mark, self._world.boot, self._world.through_sleep(), self._world.now())

    # --- what the gates ask -------------------------------------------------------------------------------------------

    def level(self, peer: Peer) -> int:
        """Give a peer's level: our own ledger's, else where its certificate starts, never above a ceiling."""
        return trust.bounded(self.levels.get(peer.id, peer.trust), peer.ceiling)

    def regard(self, peer: Peer) -> Regard:
        """Say how a peer is regarded now."""
        breaker = self.breakers.get(peer.id, CLOSED)
        return Regard(self.level(peer), breaker.state, breaker.reason)

    def limits_of(self, peer: str) -> Limits:
        """Give what a peer may cost."""
        return self.limits.get(peer, self.default)

    def purse(self, store: Store, peer: str, side: str = OUT) -> Purse:
        """Open one side of a peer's budget, for one transaction."""
        return Purse(store.db, peer, side, self.default, self.time())

    def breaker(self, peer: str) -> Breaker:
        """Give a peer's breaker."""
        self._fold(peer)
        return self.breakers.get(peer, CLOSED)

    def experience(self, peer: str) -> Experience:
        """Give what was counted of a peer."""
        self._fold(peer)
        return self.seen.get(peer, Experience())

    def is_evicted(self, peer: str) -> bool:
        """Say whether a peer was evicted."""
        return self.breakers.get(peer, CLOSED).state is State.EVICTED

    # --- what is counted ----------------------------------------------------------------------------------------------

    def heard(self, peer: str, received: int = 1, *, good: int = 0) -> None:
        """Count what came from a peer and was new: pings, heartbeats, messages; `good` = messages that were filed."""
        self._heard[peer] = self._world.steady()
        count = self._count(peer)
        count.received += received
        count.good += good

    def answered(self, peer: str, sent: int = 1, *, good: int = 0) -> None:
        """Count what a peer proved to have of ours: pings, messages; `good` = messages that arrived."""
        self._heard[peer] = self._world.steady()
        count = self._count(peer)
        count.sent += sent
        count.good += good

    def failed(self, peer: str, bad: int = 1) -> None:
        """Count dealings that went badly: signed refusals, bad results, overspending; silence never."""
        self._count(peer).bad += bad
        self.weigh(peer, 0)

    def did_well(self, peer: str) -> None:
        """Count a dealing that went well and was no message."""
        self._count(peer).good += 1

    async def threat(self, peer: Peer, word: str) -> None:
        """Its key signed what no honest key signs; kept when this returns. A second one within an hour ends all trust."""
        if word not in THREATS:
            return
        self._fold(peer.id)
        self.seen[peer.id], second = trust.threatened(self.seen.get(peer.id, Experience()), self.time())
        self._unkept.peers.add(peer.id)
        if second and self.level(peer) > 0:
            self.move(peer, 0, f"two threats within an hour, the latest: {word}", RULE)
        self.failed(peer.id)
        await self.keep()

    def _count(self, peer: str) -> _Count:
        count = self._counts.get(peer)
        if count is None:
            count = self._counts[peer] = _Count()
        return count

    def _fold(self, peer: str) -> None:
        """Add what happened since to the experience and to the breaker's samples."""
        count = self._counts.pop(peer, None)
        if count is None:
            return
        seen = self.seen.get(peer, Experience())
        self.seen[peer] = replace(seen, sent=seen.sent + count.sent, received=seen.received + count.received)
        if count.good or count.bad:
            before = self.breakers.get(peer, CLOSED)
            self.breakers[peer] = sample(before, self.rules, self.time(), count.good, count.bad)
        self._unkept.peers.add(peer)

    # --- what the rules say -------------------------------------------------------------------------------------------

    async def run(self, peers: Callable[[], Iterable[Peer]]) -> None:
        """Let the rules look at everybody every few seconds until cancelled, and at once when something moved."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(policy.CONDUCT_EVERY):
                    await self._moved.wait()
            await self.look(peers())

    async def close(self) -> None:
        """Keep what was counted; a store that refuses has it as it was a minute ago."""
        with contextlib.suppress(FleetError):
            await self.keep()

    async def look(self, peers: Iterable[Peer]) -> None:
        """Let the rules look at everybody now; what moved is kept, what was only counted once a minute."""
        now = self.time()
        passed, self._looked = max(0, min(now - self._looked, int(policy.CONDUCT_EVERY * 2000))), now
        spending = self._reader.accounts.spenders(now - self.rules.usd_window)
        for peer in peers:
            if peer.key:
                self._watch(peer.id, passed)
                self._climb(peer)
                self.weigh(peer.id, spending.get(peer.id, 0))
        if self._unkept.urgent or now - self._kept >= policy.CONDUCT_KEEP * 1000:
            await self.keep()

    def _watch(self, peer: str, passed: int) -> None:
        """Count the time in which a peer was on; while this machine slept nobody was watched."""
        self._fold(peer)
        seen = self.seen.get(peer, Experience())
        on = self._world.steady() - self._heard.get(peer, -2 * policy.ALIVE_FOR) <= policy.ALIVE_FOR
        self.seen[peer] = replace(seen, watched=seen.watched + passed, on=seen.on + passed * on)
        self._unkept.peers.add(peer)

    def _climb(self, peer: Peer) -> None:
        found = trust.move(self.level(peer), self.seen[peer.id], peer.ceiling)
        if found is None:
            self._proposed.discard(peer.id)
        elif not found.proposed:
            self.move(peer, found.level, found.reason, RULE)
        elif peer.id not in self._proposed:
            self._proposed.add(peer.id)
            hint = f"fleet trust {peer.id} {found.level} --reason …"
            self.on_notice("trust", f"{peer.id} has earned level {found.level} ({found.reason}): {hint}")

    def weigh(self, peer: str, micro_usd: int) -> None:
        """Let the breaker's rules look at a peer that cost so much within their window."""
        self._fold(peer)
        found = weigh(self.breakers.get(peer, CLOSED), self.rules, self.time(), micro_usd)
        if found is not None:
            self.signal(peer, found[0], found[1], RULE)

    async def spent(self, peer: str) -> None:
        """Let the breaker look at what a peer cost; kept when this returns."""
        self.weigh(peer, self._reader.accounts.spending(peer, self.time() - self.rules.usd_window)[1])
        if self._unkept.urgent:
            await self.keep()

    # --- what moves ---------------------------------------------------------------------------------------------------

    def move(self, peer: Peer, level: int, reason: str, by: str) -> None:
        """Give a peer another level; keep() puts it on the disk."""
        self._unkept.moved("trust", peer.id, self.level(peer), level, reason, by)
        self._unkept.levels[peer.id] = reason
        self.levels[peer.id] = level
        self._moved.set()

    def signal(self, peer: str, signal: Signal, reason: str, by: str) -> None:
        """Let a signal reach a breaker; keep() puts what follows on the disk."""
        before = self.breakers.get(peer, CLOSED)
        after = step(before, signal, self.time(), self._world.now(), reason)
        if after is before:
            return
        self.breakers[peer] = after
        self._unkept.peers.add(peer)
        kind = {State.EVICTED: "evicted", State.ACTIVE: "reactivated"}.get(after.state, "breaker")
        self._unkept.moved(kind, peer, before.state.value, after.state.value, reason, by)
        self._moved.set()
        self.on_breaker(peer, after.state)

    def begin_anew(self, peer: str) -> None:
        """Forget what was counted of a peer: an operator judged it."""
        self._counts.pop(peer, None)
        self.seen[peer] = Experience()
        self._unkept.peers.add(peer)

    def part(self, peer: str) -> None:
        """A member was revoked: its level and what was counted mean nothing any more; an eviction stays."""
        self.levels.pop(peer, None)
        self.seen.pop(peer, None)
        self._counts.pop(peer, None)

    async def keep(self) -> None:
        """Put everything that changed on the disk. Raises StoreError or Busy; then it is tried again later."""
        for peer in list(self._counts):
            self._fold(peer)
        unkept, self._unkept = self._unkept, Unkept()
        self._moved.clear()
        mark, wall, done = self._now(), self._world.now(), False
        try:
            await self._writer.run(
                lambda store: unkept.write(
                    store, mark, wall, self.rules.usd_window, self.levels, self.seen, self.breakers
                )
            )
            self._kept, done = mark.time, True
        finally:
            if not done:
                self._unkept.take_back(unkept)
