"""Which waiting messages go into the next parcels: runs inside the writer's transaction, decides nothing without the core.

A parcel holds messages of one plan. The gates are asked before anything is leased; what no road could take now is put
off without being leased, so nothing is ever sent over a broken link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.core import policy
from fleet.core.breaker import State
from fleet.core.budget import Shortage
from fleet.core.envelope import FREE, Kind, Priority, cost_in, kind_of, stamp
from fleet.core.gates import Finding, Judgement, Verdict, judge
from fleet.core.lifecycle import Event
from fleet.core.peer import Peer
from fleet.core.plan import Step, Wish, backoff, longest, plan
from fleet.engine.conduct import Conduct
from fleet.engine.links import Links
from fleet.engine.outbound import outbound
from fleet.engine.roster import Roster
from fleet.engine.screening import Screening
from fleet.engine.settling import AWAY, CHIEF
from fleet.engine.world import World
from fleet.store import Store
from fleet.store.audit_mail import record_content
from fleet.store.outbox import Applied, Change, Row
from fleet.store.purse import Purse

_EXPRESS = int(Priority.HIGH)
_NO_ROAD = "every road to the peer is broken"
_HELD = "the road that holds it has time left, and no other is open"


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages leased together for one parcel."""

    number: int  # of the parcel and of the lease
    pid: str
    peer: Peer
    rows: tuple[Row, ...]
    items: tuple[bytes, ...]
    steps: tuple[Step, ...]
    inc: int
    low: int
    exp: int
    hops: int
    express: bool


@dataclass(slots=True)
class Pick:
    """What one look at the outbox gave."""

    batches: list[Batch] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    walked: list[str] = field(default_factory=list)  # ids for which no road exists now
    more: bool = False  # something due was left lying
    next_event: int | None = None  # ms; when anything of this peer becomes due


@dataclass(frozen=True, slots=True)
class Room:
    """How many parcels may be started now, and whether put-off mail may go as well."""

    bulk: int
    express: int
    eager: bool = False


class Dispatch:
    """Picks batches for one peer."""

    def __init__(
        self, peer: str, roster: Roster, links: Links, kinds: Mapping[str, Kind], limit: int, world: World,
        screening: Screening, conduct: Conduct,
    ) -> None:  # fmt: skip
        """Take what plans and gates need; `limit` = bytes of body."""
        self._peer = peer
        self._roster = roster
        self._links = links
        self._kinds = kinds
        self._limit = limit
        self._world = world
        self._screening = screening
        self._conduct = conduct

    def pick(self, store: Store, room: Room) -> Pick:
        """Lease up to `room` batches. Runs in a transaction."""
        picked = Pick()
        peer = self._roster.get(self._peer)
        if self._roster.revoked(self._peer):
            reason = f"membership: the root revoked {self._peer}; fleet invite, if it shall come back"
            self._refuse_all(store, picked, reason)
        elif peer is not None and self._conduct.regard(peer).breaker is not State.ACTIVE:
            self._refuse_all(store, picked, _reason(self.judge(peer, kind_of("message")).decisive))
        elif peer is not None:
            for floor, places in ((_EXPRESS, room.express), (0, room.bulk)):
                for _ in range(places):
                    if not self._pick_one(store, peer, floor, room.eager, picked):
                        break
        picked.next_event = store.outbox.next_event(self._peer)
        return picked

    def _pick_one(self, store: Store, peer: Peer, floor: int, eager: bool, picked: Pick) -> bool:
        """Take one batch, putting off what has no road; says whether to look for another."""
        now = self._world.now()
        while True:
            rows = store.outbox.next_due(peer.id, now, floor=floor, eager=eager)
            if not rows:
                return False
            rows = self._through_gates(store, peer, rows, picked)
            if not rows:
                continue
            steps, rows, rest = self._same_plan(peer, rows)
            if not steps:
                self._put_off(store, rows, now, picked)
                eager = False
                continue
            picked.batches.append(self._lease(store, peer, rows, steps, floor))
            picked.more = picked.more or rest
            return True

    def _refuse_all(self, store: Store, picked: Pick, reason: str) -> None:
        """Nothing goes to a node whose certificate the root retired, nor to one that our breaker keeps out."""
        now = self._world.now()
        while rows := store.outbox.next_due(self._peer, now, floor=0, eager=True):
            picked.applied += store.outbox.apply([Change(row.row, Event.REFUSE, reason=reason) for row in rows], now)

    def judge(self, peer: Peer, kind: Kind, shortage: Shortage | None = None, until: int = 0) -> Judgement:
        """Ask our own gates about a type of message; sizes were judged when it was accepted."""
        return judge(
            outbound(peer, self._conduct.regard(peer), kind, self._limit, shortage=shortage, until=until)
        )

    def _through_gates(self, store: Store, peer: Peer, rows: list[Row], picked: Pick) -> list[Row]:
        clear: list[Row] = []
        changes: list[Change] = []
        words = dict.fromkeys(row.type for row in rows)
        findings = {word: self.judge(peer, kind_of(word, self._kinds)).decisive for word in words}
        stamp, purse = self._screening.stamp(peer), self._conduct.purse(store, peer.id)
        for row in rows:
            found = findings[row.type]
            if not row.inc and found.verdict is Verdict.CLEAR:  # what went before was paid for then
                found = self._afford(peer, row, purse) or found
            if found.verdict is Verdict.CLEAR and (row.inc or row.screened == stamp):
                clear.append(row)
            elif found.verdict is Verdict.CLEAR:
                self._screen(store, peer, row, clear, changes)
            elif found.verdict is Verdict.HOLD:
                changes.append(Change(row.row, Event.HOLD, due=found.until, reason=_reason(found)))
            else:
                changes.append(Change(row.row, Event.REFUSE, reason=_reason(found)))
        if changes:
            picked.applied += store.outbox.apply(changes, self._world.now())
        return clear

    def _afford(self, peer: Peer, row: Row, purse: Purse) -> Finding | None:
        """Say what the budget says of a message that is to go for the first time; None when it has room for it."""
        cost = cost_in(row.content)
        if cost is FREE:
            return None
        shortage = purse.wish(cost)
        if shortage is None:
            purse.take(cost)
            return None
        until = self._world.now() + purse.left()
        return self.judge(peer, kind_of(row.type, self._kinds), shortage, until).decisive

    def _screen(self, store: Store, peer: Peer, row: Row, clear: list[Row], changes: list[Change]) -> None:
        """Look anew at what was screened for another level, by other settings or not at all."""
        row, screened = self._screening.leased(peer, row)
        if screened.refusal:
            changes.append(Change(row.row, Event.REFUSE, reason=screened.refusal))
            return
        store.outbox.put_screened(row)
        record_content(store.audit, "out", peer.id, row.id, screened.found, self._world.now())
        clear.append(row)

    def plan_for(self, peer: Peer, word: str, pin: str, held_by: frozenset[str] = frozenset()) -> tuple[Step, ...]:
        """Plan one walk for a type of message as things stand now."""
        return plan(self._links.roads(peer), Wish(kind_of(word, self._kinds), pin, held_by))

    def _same_plan(self, peer: Peer, rows: list[Row]) -> tuple[tuple[Step, ...], list[Row], bool]:
        """Keep the rows that go down the first row's plan; says whether others were left."""
        now = self._world.now()
        plans: dict[tuple[str, str, frozenset[str]], tuple[Step, ...]] = {}
        chosen: tuple[Step, ...] | None = None
        same: list[Row] = []
        for row in rows:
            held = frozenset(road for road, until in row.taken.items() if until > now) if row.taken else frozenset()
            key = (row.type, row.pin or (CHIEF if row.reason == AWAY else ""), held)
            steps = plans.get(key)
            if steps is None:
                steps = plans[key] = self.plan_for(peer, *key)
            chosen = steps if chosen is None else chosen
            if steps == chosen:
                same.append(row)
        return chosen or (), same, len(same) < len(rows) or len(rows) == policy.BATCH_ENVELOPES

    def _put_off(self, store: Store, rows: list[Row], now: int, picked: Pick) -> None:
        """No road could take these now: try again when a link may have changed. Types with few tries lose one."""
        changes = []
        for row in rows:
            picked.walked.append(row.id)
            holds = [until for until in row.taken.values() if until > now]
            if holds:  # custody lives to its expiry, and this was no try
                changes.append(Change(row.row, Event.MISSED, due=min(holds), reason=_HELD))
                continue
            kind = kind_of(row.type, self._kinds)
            due = now + int(backoff(row.tries, self._world.chance()) * 1000)
            changes.append(Change(row.row, Event.MISSED, due=due, reason=_NO_ROAD, count_try=True))
            if kind.tries and row.tries + 1 >= kind.tries:
                changes.append(Change(row.row, Event.EXPIRE, reason=f"tries used up ({kind.tries}): {_NO_ROAD}"))
        picked.applied += store.outbox.apply(changes, now)

    def _lease(self, store: Store, peer: Peer, rows: list[Row], steps: tuple[Step, ...], floor: int) -> Batch:
        now = self._world.now()
        hops = min(self._pay(store, peer, rows), self._conduct.limits_of(peer.id).hops)
        inc = store.sequence.current(peer.id, now)
        fresh = sum(1 for row in rows if row.inc != inc)
        first = store.sequence.take(peer.id, fresh, now)[1] if fresh else 0
        inc = store.sequence.current(peer.id, now)
        pid = self._world.new_id()
        exp = max(row.exp for row in rows)
        number = store.ledger.open_parcel(pid, peer.id, [row.row for row in rows], now, exp)
        until = now + int((longest(steps) + policy.LEASE_MARGIN) * 1000)
        store.outbox.lease(rows, number, inc, first, now, until)
        low = store.outbox.low(peer.id, inc, store.sequence.next(peer.id))
        items = tuple(stamp(row.content, row.seq, row.exp) for row in rows)
        return Batch(number, pid, peer, tuple(rows), items, steps, inc, low, exp, hops, floor >= _EXPRESS)

    def _pay(self, store: Store, peer: Peer, rows: list[Row]) -> int:
        """Debit what was never leased before, in the transaction of its lease; gives the fewest relays any allows."""
        costs = [cost_in(row.content) for row in rows]
        purse = self._conduct.purse(store, peer.id)
        for row, cost in zip(rows, costs, strict=True):
            if not row.inc:
                purse.take(cost)
        purse.save()
        return min(cost.hops for cost in costs)


def _reason(found: Finding) -> str:
    return f"{found.gate}: {found.reason}"
