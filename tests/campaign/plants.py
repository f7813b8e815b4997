"""How each fault is planted in the real code: a small patch for a while; its docstring says what is wrong with it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from fleet.core import health, lifecycle, policy
from fleet.core import plan as planning
from fleet.core.gates import Case, Finding, Judgement, Verdict
from fleet.core.health import HEALTH, Health, Signal
from fleet.core.lifecycle import LIFE, Event, Status
from fleet.core.outcome import Attempt, Result
from fleet.core.receipt import Receipt
from fleet.daemon.exchange import Exchange
from fleet.engine import attempt as attempts
from fleet.engine import receiver
from fleet.engine.attempt import Attempts
from fleet.engine.courier import Courier
from fleet.engine.links import Links
from fleet.engine.returns import Returns
from fleet.engine.writer import Writer
from fleet.store import change, outbox, reception, sequence
from fleet.store.database import Database
from fleet.store.ledger import Ledger
from fleet.store.outbox import Outbox
from fleet.store.reception import Reception
from fleet.store.sequence import Sequence as Numbers


@contextmanager
def swap(*places: tuple[Any, str, Any]) -> Iterator[None]:
    """Put something else in place of attributes for a while."""
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, new in places:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in kept:
            setattr(owner, name, old)


# --- receiving --------------------------------------------------------------------------------------------------------


def early_receipt() -> AbstractContextManager[None]:
    """Answer first, write later."""
    real = Writer.post

    def post(self: Writer, job: Any, *, alone: bool = False) -> Any:
        if not alone or self._closed:
            return real(self, job, alone=alone)
        answer = asyncio.get_running_loop().create_future()
        self._store.db.rollback()
        self._store.db.begin()
        answer.set_result(job(self._store))
        self._store.db.rollback()
        asyncio.get_running_loop().call_later(0.05, lambda: None if self._closed else real(self, job, alone=True))
        return answer

    return swap((Writer, "post", post))


def dedup_in_memory() -> AbstractContextManager[None]:
    """Remember the ids that came in the process alone."""
    memory: dict[Any, dict[tuple[str, str], Any]] = {}
    real_file, real_open = Reception.file, Database.open.__func__

    def look_up(self: Reception) -> dict[str, Any]:
        known = memory.setdefault(self._conn, {})
        ids = [arrival.envelope.id for arrival in self._arrivals]
        return {id: known[(self._copy.sender, id)] for id in ids if (self._copy.sender, id) in known}

    def file(self: Reception) -> Any:
        received = real_file(self)
        memory[self._conn].update({(self._copy.sender, id): known for id, known in self._known.items()})
        return received

    def open(cls: Any, *arguments: Any, **options: Any) -> Database:
        db = real_open(cls, *arguments, **options)
        if not options.get("readonly"):
            db.conn.execute("DROP INDEX IF EXISTS inbox_id; CREATE INDEX IF NOT EXISTS inbox_by_id ON inbox (id)")
        return db

    return swap((Reception, "_look_up", look_up), (Reception, "file", file), (Database, "open", classmethod(open)))


def gate_open() -> AbstractContextManager[None]:
    """Let everybody order everything."""

    def judge(case: Case) -> Judgement:
        return Judgement((Finding("none", Verdict.CLEAR),))

    return swap((receiver, "judge", judge))


def expired_filed_silently() -> AbstractContextManager[None]:
    """Say nothing about mail that came too late."""
    real = Reception._turn_away

    def turn_away(self: Reception, arrival: Any) -> Any:
        entry = real(self, arrival)
        return entry if not arrival.expired else reception.Entry(entry.id, entry.seq, bytes(32), entry.fate)

    return swap((Reception, "_turn_away", turn_away))


def owed_cleared_first() -> AbstractContextManager[None]:
    """Note that a receipt went out before it went."""
    real = Returns._send_receipts

    async def send(self: Returns, peer: Any, owed: list[Any]) -> None:
        await self._clear(owed)
        await real(self, peer, owed)

    return swap((Returns, "_send_receipts", send))


# --- proof ------------------------------------------------------------------------------------------------------------


def unsigned_ok() -> AbstractContextManager[None]:
    """Believe an answer that nobody signed."""
    real = Attempts._weigh

    def weigh(self: Attempts, blank: Attempt, *rest: Any) -> Attempt:
        found = real(self, blank, *rest)
        if found.result is not Result.DEFERRED:
            return found
        return replace(blank, result=Result.DELIVERED, receipt=Receipt(pid=blank.pid, road=blank.channel))

    return swap((Attempts, "_weigh", weigh))


def any_receipt() -> AbstractContextManager[None]:
    """Take a true receipt of the addressee for another parcel."""

    def prove(self: Attempts, blank: Attempt, data: bytes, cargo: Any, framed: bool) -> Attempt:
        opened = self._opener.open(data, framed=framed)
        item = self._opener.items(opened)[0]
        if opened.type is attempts.ParcelType.PONG:
            return self._prove_pong(blank, attempts.read_ping(item), cargo)
        attempts.read_receipt(item)
        return replace(blank, result=Result.DELIVERED, receipt=Receipt(pid=blank.pid, road=blank.channel))

    return swap((Attempts, "_prove", prove))


def custody_is_delivery() -> AbstractContextManager[None]:
    """Close a message as soon as a road takes it."""
    real = Courier._unsettled

    def unsettled(self: Courier, *arguments: Any) -> list[Any]:
        return [change.Change(one.row, Event.RECEIPT) if one.event is Event.TAKEN else one for one in real(self, *arguments)]

    return swap((Courier, "_unsettled", unsettled))


# --- waiting ----------------------------------------------------------------------------------------------------------


def leases_never_lapse() -> AbstractContextManager[None]:
    """Forget what a dead life had leased."""
    real = Outbox.sweep

    def sweep(self: Outbox, *arguments: Any) -> list[Any]:
        return [one for one in real(self, *arguments) if one.event is not Event.LAPSE]

    return swap((Outbox, "sweep", sweep), (Outbox, "orphans", lambda self: []))


def expired_is_deleted() -> AbstractContextManager[None]:
    """Throw away what expired, without a dead letter."""
    real = Outbox.sweep

    def sweep(self: Outbox, *arguments: Any) -> list[Any]:
        changes = real(self, *arguments)
        for one in changes:
            if one.event is Event.EXPIRE:
                self._conn.execute("DELETE FROM outbox WHERE row = ?", (one.row,))
        return [one for one in changes if one.event is not Event.EXPIRE]

    return swap((Outbox, "sweep", sweep))


def hearing_changes_nothing() -> AbstractContextManager[None]:
    """Let put-off mail wait for its time although the peer was heard."""
    return swap((Courier, "heard", lambda self: None))


def later_is_forgotten() -> AbstractContextManager[None]:
    """Send again what the peer itself wants later."""
    return swap((outbox, "_NEXT_EAGER", outbox._NEXT_EAGER.replace("OR reason NOT LIKE 'later:%'", "OR 1")))


def late_receipt_ignored() -> AbstractContextManager[None]:
    """Let the dead stay dead although the addressee says that it has the message."""
    dead = MappingProxyType({**LIFE[Status.DEAD], Event.RECEIPT: Status.DEAD})
    return swap((lifecycle, "LIFE", MappingProxyType({**LIFE, Status.DEAD: dead})))


def urgent_waits() -> AbstractContextManager[None]:
    """Give urgent mail no place of its own."""
    return swap((policy, "IN_FLIGHT_EXPRESS", 0))


def cancel_tells_no_road() -> AbstractContextManager[None]:
    """Leave cancelled mail in the mailboxes."""
    return swap((Exchange, "forget", lambda self, row: None))


# --- numbers, links, records ------------------------------------------------------------------------------------------


def numbers_again() -> AbstractContextManager[None]:
    """Begin to count anew at every start, in the same incarnation."""
    real = Numbers._block

    def block(self: Numbers, peer: str, now: int) -> Any:
        fresh = peer not in self._blocks
        found = real(self, peer, now)
        if fresh:
            found.next = 1
        return found

    return swap((Numbers, "_block", block))


def restore_unnoticed() -> AbstractContextManager[None]:
    """Do not look at the file beside the keys."""
    return swap((Numbers, "_block", _block_without_file))


def _block_without_file(self: Numbers, peer: str, now: int) -> Any:
    if peer not in self._blocks:
        stored = self._stored(peer)
        if stored == (0, 0):
            self.renew(peer, now)
        else:
            self._blocks[peer] = sequence._Block(stored[0], stored[1] + 1, self._begin(peer, stored[0], stored[1] + 1))
    return self._blocks[peer]


def low_too_high() -> AbstractContextManager[None]:
    """Promise that everything below the next number is final."""
    return swap((Outbox, "low", lambda self, peer, inc, next_seq: next_seq))


def broken_links_used() -> AbstractContextManager[None]:
    """Plan with broken roads as with any other."""

    def allowed(roads: Sequence[Any], wish: Any) -> list[Any]:
        own = [road for road in roads if not wish.kind.roads or road.name in wish.kind.roads]
        return [road for road in roads if road.name == wish.pinned] if wish.pinned else own

    return swap((planning, "_allowed", allowed), (Links, "usable", lambda self, peer, channel: True))


def healthy_unproven() -> AbstractContextManager[None]:
    """Call a broken link healthy when its hold-off is over."""
    broken = MappingProxyType({**HEALTH[Health.BROKEN], Signal.LIFTED: Health.HEALTHY})
    return swap((health, "HEALTH", MappingProxyType({**HEALTH, Health.BROKEN: broken})))


def attempts_unrecorded() -> AbstractContextManager[None]:
    """Write no attempt down."""
    return swap((Ledger, "record", lambda self, attempts: None))


ALL = (
    early_receipt, dedup_in_memory, gate_open, expired_filed_silently, owed_cleared_first, unsigned_ok, any_receipt,
    custody_is_delivery, leases_never_lapse, expired_is_deleted, hearing_changes_nothing, later_is_forgotten,
    late_receipt_ignored, urgent_waits, cancel_tells_no_road, numbers_again, restore_unnoticed, low_too_high,
    broken_links_used, healthy_unproven, attempts_unrecorded,
)  # fmt: skip
