"""Sends what this node owes or must tell: receipts of mail that came one-way, later news of it, and system letters.

Receipts are no outbox rows: the inbox row says `owed`, any DELIVERED or TAKEN of the receipt clears it, a duplicate sets
it again, so the sender's retry is the receipt's retry.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from fleet.core import policy
from fleet.core.envelope import KINDS
from fleet.core.outcome import Result
from fleet.core.parcel import ParcelType
from fleet.core.peer import Peer
from fleet.core.plan import Wish, backoff, plan
from fleet.core.receipt import Entry, Receipt
from fleet.engine.attempt import Cargo
from fleet.engine.cascade import Cascade, Journey
from fleet.engine.gossip import Letter
from fleet.engine.identity import Order, system_item, write_parcel
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.roster import Roster
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import Barred, FleetError
from fleet.store import Store
from fleet.store.inbox import Owed

_ANY_ROAD = Wish(KINDS["message"])


class Returns:
    """Carries receipts and system letters of one node, peer by peer."""

    def __init__(
        self, writer: Writer, cascade: Cascade, links: Links, roster: Roster, introductions: Introductions, world: World,
        log: Callable[..., None],
    ) -> None:  # fmt: skip
        """Take what a walk needs."""
        self._writer = writer
        self._cascade = cascade
        self._links = links
        self._roster = roster
        self._introductions = introductions
        self._world = world
        self._log = log
        self._working: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._letters: dict[str, list[Letter]] = defaultdict(list)
        self._tries: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def owe(self, peer: str) -> None:
        """Say that something is owed to `peer`; it is sent soon, together with what else is."""
        if peer in self._working:
            self._again.add(peer)
            return
        timer = self._timers.pop(peer, None)
        if timer is not None:
            timer.cancel()
        task = asyncio.ensure_future(self._work(peer))
        self._working[peer] = task
        task.add_done_callback(lambda done: self._rested(peer, done))

    def post(self, letter: Letter) -> None:
        """Send a system letter, once; whoever needs it asks again."""
        waiting = self._letters[letter.peer]
        if len(waiting) < policy.LETTERS_WAITING:
            waiting.append(letter)
            self.owe(letter.peer)

    def _rested(self, peer: str, done: asyncio.Task[None]) -> None:
        del self._working[peer]
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._log("bug", part="returns", error=type(error).__name__, peer=peer)
        if peer in self._again:
            self._again.discard(peer)
            self.owe(peer)

    async def _work(self, peer_id: str) -> None:
        peer = self._roster.get(peer_id)
        if peer is None:
            return
        for letter in self._letters.pop(peer_id, []):
            await self._send(peer, letter.kind, letter.items)
        try:
            owed = await self._writer.run(lambda store: store.inbox.owed(peer_id, policy.BATCH_ENVELOPES))
            await self._send_receipts(peer, owed)
        except FleetError as error:
            self._log("unsent receipts", peer=peer_id, reason=error.message)
            self._later(peer_id)

    async def _send_receipts(self, peer: Peer, owed: list[Owed]) -> None:
        by_copy: dict[tuple[str, str], list[Owed]] = defaultdict(list)
        for debt in owed:
            by_copy[(debt.pid, debt.road)].append(debt)
        for (pid, road), debts in by_copy.items():
            entries = tuple(Entry(debt.id, debt.seq, debt.digest, debt.fate, debt.reason) for debt in debts)
            item = system_item(Receipt(pid=pid, road=road, entries=entries))
            journey = await self._send(peer, ParcelType.RECEIPT, (item,))
            if any(attempt.result in (Result.DELIVERED, Result.TAKEN) for attempt in journey.attempts):
                self._tries.pop(peer.id, None)
                await self._clear(debts)
            else:
                self._later(peer.id)
                return
        if len(owed) == policy.BATCH_ENVELOPES:
            self._again.add(peer.id)

    async def _clear(self, told: list[Owed]) -> None:
        await self._writer.run(lambda store: store.inbox.clear_owed(told))

    async def _send(self, peer: Peer, kind: ParcelType, items: tuple[bytes, ...]) -> Journey:
        order = Order(kind, self._world.now() + policy.SYSTEM_LIFE, intro=self._introductions.due(peer.id))
        try:
            parcel = write_parcel(self._roster.me, peer, items, order, self._world)
        except Barred as error:
            self._log("unsendable", peer=peer.id, reason=error.message)
            return Journey()
        steps = tuple(step for step in plan(self._links.roads(peer), _ANY_ROAD) if step.carries)
        return await self._cascade.walk(peer, Cargo(parcel, kind), steps, lambda late: None)

    def _later(self, peer: str) -> None:
        """Try again after a pause that grows; anything heard from the peer comes first."""
        tries = self._tries.get(peer, 0)
        self._tries[peer] = tries + 1
        pause = backoff(tries, self._world.chance())
        self._timers[peer] = asyncio.get_running_loop().call_later(pause, self.owe, peer)

    def heard(self, peer: str) -> None:
        """Say that the peer was heard: what could not be sent may go now."""
        if peer in self._timers:
            self._tries.pop(peer, None)
            self.owe(peer)

    async def start(self, store_peers: Callable[[Store], list[str]]) -> None:
        """Take up what was owed when the node stopped."""
        for peer in await self._writer.run(store_peers):
            self.owe(peer)

    async def close(self) -> None:
        """Stop; what is owed stays owed."""
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._working.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
