"""Keeps parcels for others and forwards them down its own cascade, sealed and unread; never a proof, never an answer.

A node whose role is chief does it. It refuses itself in `via`, more hops than were signed, an origin or addressee that is
no member, more than an origin's quota. Origin and addressee are judged anew before each forward. Any signed answer to a
parcel ends its custody and goes home unopened, by the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind
from fleet.core.envelope import KINDS
from fleet.core.parcel import FLEETING, Parcel, ParcelType
from fleet.core.plan import Wish, backoff, plan
from fleet.engine.attempt import Cargo
from fleet.engine.cascade import Cascade, Journey
from fleet.engine.links import Links
from fleet.engine.opening import Opened
from fleet.engine.roster import Roster
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import FleetError
from fleet.store import Store
from fleet.store.custody import Kept

NOTHING = Answer(AnswerKind.NONE)
CUSTODY = Answer(AnswerKind.CUSTODY)
FULL = Answer(AnswerKind.BUSY, retry_after=60.0)
_ANY_ROAD = Wish(KINDS["message"])


@dataclass(frozen=True, slots=True)
class Means:
    """What a custodian works with; made once in daemon/service.py."""

    writer: Writer
    cascade: Cascade
    links: Links
    roster: Roster
    world: World
    count: Callable[[str], None]
    log: Callable[..., None]
    is_evicted: Callable[[str], bool] = lambda node: False


class Custodian:
    """The custody of one node."""

    def __init__(self, means: Means, *, chief: bool) -> None:
        """Take what it works with; only a `chief` takes anything."""
        self._means = means
        self._chief = chief
        self._wake = asyncio.Event()
        self._waited_for: set[str] = set()  # addressees whose parcels were put off
        self._carrying: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def take(self, opened: Opened) -> Answer:
        """Take a parcel for another node into custody, if that is this node's role and the origin's right."""
        means, header = self._means, opened.header
        via = (*opened.via, means.roster.me.node)
        if not self._chief or means.roster.me.node in opened.via or len(via) > header.hops:
            means.count("refused_relay")
            return NOTHING
        if not self._welcome(header.sender, header.to) or len(via) > policy.VIA_LIMIT:
            means.count("refused_relay")
            return FULL
        kept = Kept(
            header.pid, header.sender, header.to, int(opened.type), header.exp, header.hops, ",".join(via), 0, 0,
            opened.raw.signed + opened.raw.signature,
        )  # fmt: skip
        now = means.world.now()
        if not await means.writer.run(lambda store: _take(store, kept, header.re, now)):
            means.log("custody full", peer=header.sender)
            return FULL
        self._wake.set()
        return CUSTODY

    def _welcome(self, origin: str, addressee: str) -> bool:
        """Judge both ends: members that are not switched off."""
        means = self._means
        if origin == addressee or means.is_evicted(origin) or means.is_evicted(addressee):
            return False
        ends = (means.roster.get(origin), means.roster.get(addressee))
        return all(peer is not None and peer.enabled and peer.key for peer in ends)

    def heard(self, peer: str) -> None:
        """Say that a peer was heard: what is kept for it may go."""
        if peer in self._waited_for:
            self._waited_for.discard(peer)
            now = self._means.world.now()
            self._means.writer.post(lambda store: store.custody.hasten(peer, now))
            self._wake.set()

    def part(self, node: str) -> None:
        """A member was revoked or evicted: what is held from or for it is let go."""
        now = self._means.world.now()
        self._means.writer.post(lambda store: store.custody.end_of(node, now))

    async def run(self) -> None:
        """Forward what is due until cancelled."""
        try:
            while self._chief:
                self._wake.clear()
                await self._forward_due()
                await self._rest()
            await asyncio.Event().wait()
        finally:
            tasks = list(self._carrying.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward_due(self) -> None:
        room = policy.CUSTODY_IN_FLIGHT - len(self._carrying)
        if room <= 0:
            return
        now = self._means.world.now()
        due = await self._means.writer.run(lambda store: store.custody.due(now, policy.CUSTODY_IN_FLIGHT * 2))
        for kept in due[: policy.CUSTODY_IN_FLIGHT * 2]:
            key = (kept.origin, kept.pid)
            if key not in self._carrying and len(self._carrying) < policy.CUSTODY_IN_FLIGHT:
                task = asyncio.ensure_future(self._forward(kept))
                self._carrying[key] = task
                task.add_done_callback(lambda done, key=key: self._landed(key, done))  # type: ignore[misc]

    def _landed(self, key: tuple[str, str], done: asyncio.Task[None]) -> None:
        self._carrying.pop(key, None)
        if not done.cancelled() and done.exception() is not None:
            self._means.log("bug", part="custodian", error=type(done.exception()).__name__)
        self._wake.set()

    async def _rest(self) -> None:
        next_due = await self._means.writer.run(lambda store: store.custody.next_due(self._means.world.now()))
        busy = len(self._carrying) >= policy.CUSTODY_IN_FLIGHT
        pause = policy.COURIER_NAP
        if next_due is not None and not busy:
            pause = min(pause, max(policy.CUSTODY_PAUSE, (next_due - self._means.world.now()) / 1000.0))
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _forward(self, kept: Kept) -> None:
        means = self._means
        now = means.world.now()
        if not self._welcome(kept.origin, kept.addressee):
            await means.writer.run(lambda store: store.custody.end(kept.origin, kept.pid, now))
            return
        journey = await self._walk(kept)
        try:
            await means.writer.run(lambda store: self._settle(store, kept, journey))
        except FleetError as error:  # the disk refuses: it is forwarded again, the addressee knows it then
            means.log("custody unsettled", peer=kept.addressee, reason=error.message)
        self._wake.set()

    async def _walk(self, kept: Kept) -> Journey:
        means = self._means
        peer = means.roster.get(kept.addressee)
        if peer is None:
            return Journey()
        kind = ParcelType(kept.type)
        parcel = Parcel(
            kept.pid, kept.origin, kept.addressee, kept.exp, kept.data, kind is ParcelType.RECEIPT, fleeting=kind in FLEETING
        )
        cargo = Cargo(parcel, kind, origin=kept.origin, via=tuple(kept.via.split(",")))
        steps = tuple(step for step in plan(means.links.roads(peer), _ANY_ROAD) if step.carries)
        return await means.cascade.walk(peer, cargo, steps, lambda late: None)

    def _settle(self, store: Store, kept: Kept, journey: Journey) -> None:
        """Write down what the walk came to. Runs in a transaction."""
        now = self._means.world.now()
        if journey.proven is not None and journey.proven.answer:
            store.custody.end(kept.origin, kept.pid, now)
            answer = _answer_home(kept, journey.proven.answer)
            store.custody.take(answer, now)
        elif journey.taken and kept.type != ParcelType.MAIL:
            store.custody.end(kept.origin, kept.pid, now)  # a receipt is only ever answered by custody
        else:
            pause = policy.PATIENCE_DEFAULT if journey.taken else backoff(kept.tries, self._means.world.chance())
            self._waited_for.add(kept.addressee)
            store.custody.put_off(kept, now + int(pause * 1000))


def _answer_home(kept: Kept, answer: bytes) -> Kept:
    """Turn an addressee's signed answer into a parcel for the origin; its name is made from the parcel it answers."""
    via = kept.via.split(",")[-1]
    return Kept(
        kept.pid, kept.addressee, kept.origin, int(ParcelType.RECEIPT), kept.exp, kept.hops, via, 0, 0, answer
    )


def _take(store: Store, kept: Kept, answers: str | None, now: int) -> bool:
    """Keep a parcel; an answer that passes through ends the custody of what it answers."""
    if answers is not None:
        store.custody.end(kept.addressee, answers, now)
    return store.custody.take(kept, now)
