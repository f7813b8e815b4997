"""The one courier of a peer: takes what is due, has it carried, settles it. Several parcels in flight, never a decision.

It alone sweeps its peer's rows, and a lease is only a due time, so a crash between any two lines here heals by itself.
"""

from __future__ import annotations

import asyncio

from fleet.core import policy
from fleet.core.lifecycle import Event, Status
from fleet.core.outcome import Attempt, Result
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.plan import backoff, patience
from fleet.engine.attempt import Cargo
from fleet.engine.cascade import Journey
from fleet.engine.dispatch import Batch, Dispatch, Pick, Room
from fleet.engine.hands import Hands
from fleet.engine.identity import Order, write_parcel
from fleet.engine.settling import AWAY, CHIEF, Settlement, settle
from fleet.engine.walks import Walks
from fleet.errors import Barred, DiskFull, FleetError
from fleet.store import Store
from fleet.store.outbox import SWEEP_LIMIT, Applied, Change


class Courier:
    """Carries everything that waits for one peer."""

    def __init__(self, peer: str, dispatch: Dispatch, hands: Hands) -> None:
        """Take the peer's id, what picks its batches, and the shared hands."""
        self.peer = peer
        self._dispatch = dispatch
        self._hands = hands
        self._wake = asyncio.Event()
        self.walks = Walks()
        self._carrying: set[asyncio.Task[None]] = set()
        self._started: set[int] = set()  # batches that hold a place
        self._express = 0
        self._bulk = 0
        self._eager = True  # what an earlier life put off may go at once
        self._more = True
        self._crowded = False  # something is due that could not be taken
        self._next_event: int | None = None
        self._settling = False

    def poke(self) -> None:
        """Say that the outbox changed or a link did."""
        self._more = True
        self._wake.set()

    async def settle(self, seconds: float) -> None:
        """Take nothing more, and let what is under way end, for `seconds` at most."""
        self._settling = True
        if self._carrying:
            await asyncio.wait(list(self._carrying), timeout=seconds)

    def heard(self) -> None:
        """Say that the peer was heard: what was put off may go at once."""
        if not self._eager:
            self._eager = True
            self.poke()

    async def run(self) -> None:
        """Work until cancelled; parcels under way are then cancelled too, their leases lapse."""
        try:
            while True:
                self._wake.clear()
                await self._fill()
                await self._rest()
        finally:
            for task in self._carrying:
                task.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _fill(self) -> None:
        """Start as many parcels as there is room for, sweeping first when something became due."""
        now = self._hands.world.now()
        swept = self._next_event is not None and self._next_event <= now
        if self._settling or (not swept and not self._more):
            return
        room = Room(policy.IN_FLIGHT - self._bulk, policy.IN_FLIGHT_EXPRESS - self._express, self._eager)
        if not swept and room.bulk <= 0 and room.express <= 0:
            return
        self._more = False
        try:
            picked = await self._hands.writer.run(lambda store: self._take(store, room))
        except FleetError as error:  # nothing was leased: the disk refused
            self._hands.log("not leased", peer=self.peer, reason=error.message)
            self._next_event, self._crowded = now + int(policy.BUSY_RETRY * 1000), False
            return
        self._next_event = picked.next_event
        self._crowded = picked.next_event is not None and picked.next_event <= now
        self._more = self._more or picked.more
        self._eager = self._eager and bool(picked.batches)
        self._hands.on_applied(picked.applied)
        self._hands.on_walked(picked.walked)
        for batch in picked.batches:
            self._start(batch)

    def _take(self, store: Store, room: Room) -> Pick:
        now = self._hands.world.now()
        over = store.outbox.sweep(self.peer, now, expire=not self._hands.clock_unsure())
        swept = store.outbox.apply(over, now)
        picked = self._dispatch.pick(store, room)
        picked.more = picked.more or len(swept) >= SWEEP_LIMIT
        picked.applied = [*swept, *picked.applied]
        return picked

    def _start(self, batch: Batch) -> None:
        self._started.add(batch.number)
        if batch.express:
            self._express += 1
        else:
            self._bulk += 1
        task = asyncio.ensure_future(self._carry(batch))
        self._carrying.add(task)
        task.add_done_callback(lambda done: self._landed(done, batch))

    def _landed(self, done: asyncio.Task[None], batch: Batch) -> None:
        self._carrying.discard(done)
        self._free(batch)
        if not done.cancelled() and done.exception() is not None:
            self._hands.log("bug", part="courier", error=type(done.exception()).__name__, peer=self.peer)

    def _free(self, batch: Batch) -> None:
        """Give the place of a batch back, once; what waits may take it."""
        if batch.number not in self._started:
            return
        self._started.discard(batch.number)
        if batch.express:
            self._express -= 1
        else:
            self._bulk -= 1
        self.poke()

    async def _rest(self) -> None:
        """Wait for a poke, or until the next row becomes due."""
        if self._more and not self._settling and (self._bulk < policy.IN_FLIGHT or self._express < policy.IN_FLIGHT_EXPRESS):
            return
        pause = policy.COURIER_NAP
        if self._crowded:
            pause = policy.COURIER_CROWDED
        elif self._next_event is not None:
            pause = min(pause, max(0.01, (self._next_event - self._hands.world.now()) / 1000.0))
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            self._more = self._more or self._next_event is None

    async def _carry(self, batch: Batch) -> None:
        """Seal, walk, settle one batch."""
        hands = self._hands
        order = Order(
            ParcelType.MAIL, batch.exp, batch.inc, batch.low, batch.hops, intro=hands.introductions.due(self.peer),
            urgent=batch.express, fleeting=any(hands.tries(row.type) for row in batch.rows), pid=batch.pid,
        )  # fmt: skip
        try:
            parcel = await self._seal(batch, order)
            needless = self.walks.begin(batch.number, [row.row for row in batch.rows])
            journey = await hands.cascade.walk(
                batch.peer, Cargo(parcel), batch.steps, lambda late: self._late(batch, late), needless
            )
        except Barred as error:
            journey = Journey()
            hands.log("unsendable", peer=self.peer, reason=error.message)
        finally:
            self.walks.end(batch.number)
        hands.introductions.walked(self.peer, answered=journey.proven is not None)
        await self._settle(batch, journey)

    async def _seal(self, batch: Batch, order: Order) -> Parcel:
        """Write the parcel; a large one in a thread, where sealing and signing let go of the interpreter lock."""
        hands = self._hands
        if hands.threads and sum(map(len, batch.items)) > policy.SEAL_IN_THREAD:
            return await asyncio.to_thread(write_parcel, hands.roster.me, batch.peer, batch.items, order, hands.world)
        return write_parcel(hands.roster.me, batch.peer, batch.items, order, hands.world)

    async def _settle(self, batch: Batch, journey: Journey) -> None:
        if journey.proven is None:
            self._eager = False  # before the next lease: what was just missed waits for its time
        try:
            settlement, applied = await self._write(batch, journey)
        except FleetError as error:  # the disk refuses: the lease lapses and the peer answers `duplicate`
            self._hands.log("unsettled", peer=self.peer, reason=error.message)
            return
        self._hands.on_applied(applied)
        self._hands.on_receipt(self.peer, settlement)
        if journey.proven is not None and journey.taken:
            self._hands.on_held(self.peer, [row.row for row in batch.rows])
        if journey.proven is None and not journey.taken:
            self._hands.on_walked(row.id for row in batch.rows)

    async def _write(self, batch: Batch, journey: Journey) -> tuple[Settlement, list[Applied]]:
        """Commit what the walk came to; a disk that refuses is asked again while the lease lasts. Raises FleetError."""
        hands = self._hands
        until = hands.world.steady() + sum(step.deadline for step in batch.steps)
        while True:
            try:
                closed = hands.writer.post(lambda store: self._close(store, batch, journey))
                self._free(batch)  # the next batch is leased in the same commit
                return await closed
            except DiskFull:
                if hands.world.steady() > until:
                    raise
            await asyncio.sleep(policy.BUSY_RETRY)

    def _close(self, store: Store, batch: Batch, journey: Journey) -> tuple[Settlement, list[Applied]]:
        """Write down what the walk came to. Runs in a transaction."""
        now = self._hands.world.now()
        receipt = journey.proven.receipt if journey.proven is not None else None
        settlement = settle(receipt, batch.rows, now) if receipt is not None else Settlement()
        changes = settlement.changes + self._unsettled(batch, journey, settlement, now)
        store.ledger.record(journey.tries)
        if receipt is not None:
            store.ledger.answered(batch.number)
        if settlement.renew_above >= 0:
            store.sequence.renew(self.peer, now, settlement.renew_above)
        applied = store.outbox.apply(changes, now)
        return settlement, [*applied, *store.outbox.apply(self._used_up(batch, journey, settlement, applied), now)]

    def _unsettled(self, batch: Batch, journey: Journey, settlement: Settlement, now: int) -> list[Change]:
        """Say what becomes of the rows no receipt spoke of: in custody, or missed until the next walk."""
        left = [row for row in batch.rows if row.row not in settlement.settled]
        changes = []
        for attempt in journey.taken:
            until = now + int(patience(attempt.channel, self._hands.patience) * 1000)
            waits = attempt.channel == CHIEF  # what waits there for a session waits to its end
            changes += [
                Change(
                    row.row, Event.TAKEN, lease=batch.number, road=attempt.channel,
                    until=row.exp if waits and row.reason == AWAY else until,
                )
                for row in left
            ]  # fmt: skip
        if journey.taken:
            return changes
        reason = journey.reason
        for row in left:
            asked = min(journey.retry_after, policy.BACKOFF_CAP)  # nobody signed it
            pause = max(backoff(row.tries, self._hands.world.chance()), asked)
            due = now + int(pause * 1000)
            missed = Change(row.row, Event.MISSED, batch.number, due, reason=reason, count_try=True, unsure=journey.unsure)
            changes.append(missed)
        return changes

    def _used_up(
        self, batch: Batch, journey: Journey, settlement: Settlement, applied: list[Applied]
    ) -> list[Change]:
        """End what had its last try; what was settled by other means while this walk went on is left alone."""
        missed = {one.row for one in applied if (one.old, one.new) == (Status.SENDING, Status.QUEUED)}
        missed -= settlement.settled
        if not missed:
            return []
        changes = []
        for row in batch.rows:
            limit = self._hands.tries(row.type)
            if row.row in missed and 0 < limit <= row.tries + 1:
                changes.append(Change(row.row, Event.EXPIRE, reason=f"tries used up ({limit}): {journey.reason}"))
        return changes

    def _late(self, batch: Batch, attempt: Attempt) -> None:
        """Record an attempt that ended after its walk; what it proves counts."""
        task = asyncio.ensure_future(self._settle_late(batch, attempt))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _settle_late(self, batch: Batch, attempt: Attempt) -> None:
        def close(store: Store) -> list[Applied]:
            now = self._hands.world.now()
            store.ledger.record([attempt])
            if attempt.receipt is None:
                return []
            return store.outbox.apply(settle(attempt.receipt, batch.rows, now, fresh=False).changes, now)

        try:
            self._hands.on_applied(await self._hands.writer.run(close))
        except FleetError as error:
            self._hands.log("unsettled", peer=self.peer, reason=error.message)
            return
        if attempt.result is Result.TAKEN:
            self._hands.on_held(self.peer, [row.row for row in batch.rows])
