"""The outbox against a model of few words: whatever happens in whatever order, the rows stand where the table says.

The model keeps a few fields per message and looks statuses up in LIFE; it knows neither SQL nor indexes. The laws below it
are asked after every step.
"""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from fleet.core.lifecycle import FINAL, LIFE, OPEN, Event, Status
from fleet.errors import IllegalTransition
from fleet.store import Store
from fleet.store.outbox import Change
from tests.support.letters import NOW, draft, id_of, open_store

PEERS = ("mac2", "mac3")
HOLDS = st.integers(0, 40)  # up to 30: not held
EVENTS = [event for event in Event if event is not Event.LEASE]
RANK = ["", "received", "shown", "done"]


@dataclass
class Row:
    """What the model knows of a message."""

    n: int
    letter: int
    peer: str
    priority: int
    status: Status
    exp: int
    due: int
    seq: int = 0
    inc: int = 0
    lease: int = 0
    reached: str = ""
    roads: set[str] = field(default_factory=set)


class OutboxMachine(RuleBasedStateMachine):
    """Submits, leases, settles, sweeps, restarts."""

    rows = Bundle("rows")

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.store: Store = open_store(Path(self.directory.name))
        self.now = NOW
        self.model: dict[int, Row] = {}
        self.parcel = 0
        self.inc = dict.fromkeys(PEERS, 1)
        self.seq = dict.fromkeys(PEERS, 1)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @initialize(target=rows)
    def first(self) -> int:
        return self._submit("mac2", 1, 1000, 0)

    @rule(target=rows, peer=st.sampled_from(PEERS), priority=st.integers(0, 3), ttl=st.integers(1, 500), hold=HOLDS)
    def submit(self, peer: str, priority: int, ttl: int, hold: int) -> int:
        return self._submit(peer, priority, ttl, hold)

    def _submit(self, peer: str, priority: int, ttl: int, hold: int) -> int:
        letter = len(self.model) + 1
        exp, held = self.now + ttl, self.now + hold if hold > 30 else 0
        one = draft(letter, peer, priority=priority, exp=exp, held_until=held)
        with self.store.db.transaction():
            assert self.store.outbox.submit([one], self.now) == ["accepted"]
            n = self.store.outbox.get(one.id).row
        status, due = (Status.HELD, held) if held else (Status.QUEUED, self.now)
        assert n not in self.model
        self.model[n] = Row(n, letter, peer, priority, status, exp, min(due, exp))
        return n

    @rule(n=rows)
    def submit_again(self, n: int) -> None:
        with self.store.db.transaction():
            again = draft(self.model[n].letter, body="other")
            assert self.store.outbox.submit([again], self.now) == ["conflict"]

    @rule(peer=st.sampled_from(PEERS), floor=st.integers(0, 3), limit=st.integers(1, 4), keep=st.integers(1, 50))
    def carry(self, peer: str, floor: int, limit: int, keep: int) -> None:
        self.parcel += 1
        wanted = sorted(
            (row for row in self.model.values() if row.peer == peer and self._may_go(row) and row.priority >= floor),
            key=lambda row: (-row.priority, row.due, row.n),
        )[:limit]
        with self.store.db.transaction():
            picked = self.store.outbox.next_due(peer, self.now, floor=floor, limit=limit)
            assert [row.row for row in picked] == [row.n for row in wanted]
            self.store.outbox.lease(picked, self.parcel, self.inc[peer], self.seq[peer], self.now, self.now + keep)
        for row in wanted:
            if row.inc != self.inc[peer]:
                row.inc, row.seq = self.inc[peer], self.seq[peer]
                self.seq[peer] += 1
            row.status, row.lease, row.due = Status.SENDING, self.parcel, self.now + keep

    def _may_go(self, row: Row) -> bool:
        return row.status is Status.QUEUED and row.due <= self.now < row.exp

    @rule(n=rows, event=st.sampled_from(EVENTS), old=st.booleans(), pause=st.integers(1, 60), reached=st.sampled_from(RANK))
    def happen(self, n: int, event: Event, old: bool, pause: int, reached: str) -> None:
        row = self.model[n]
        lease = row.lease - 1 if old else row.lease
        change = Change(n, event, lease=lease, due=self.now + pause, road="git", until=self.now + pause, reached=reached)
        self._expect([change])

    def _expect(self, changes: list[Change]) -> None:
        before = {change.row: self.model[change.row].status for change in changes}
        legal = all(self._turn(change, dry=True) for change in changes)
        try:
            with self.store.db.transaction():
                applied = self.store.outbox.apply(changes, self.now)
        except IllegalTransition:
            assert not legal
            return
        assert legal
        for change, one in zip(changes, applied, strict=True):
            self._turn(change)
            assert (one.old, one.new) == (before[change.row], self.model[change.row].status)

    def _turn(self, change: Change, dry: bool = False) -> bool:
        """What the change does to the model; False for a cell that the table does not have."""
        row = self.model[change.row]
        evidence = change.event in (Event.TAKEN, Event.MISSED, Event.LAPSE) and change.lease not in (0, row.lease)
        if evidence:
            return True
        new = LIFE[row.status].get(change.event)
        if new is None or dry:
            return new is not None
        old, row.status = row.status, new
        if new is not old and change.event is Event.TAKEN:
            row.due = min(change.until, row.exp)
        elif change.event is Event.REVIVE:
            row.exp, row.seq, row.inc, row.lease = change.until, 0, 0, 0
            row.due = min(change.due, row.exp)
        elif change.event is Event.HOLD or (new is Status.QUEUED and change.event in (Event.MISSED, Event.LATER)):
            row.due = min(change.due, row.exp)
        elif new is not old and change.event in (Event.DUE, Event.LAPSE):
            row.due = min(change.due or self.now, row.exp)
        elif change.event is Event.RECEIPT:
            row.reached = max(row.reached, change.reached or "received", key=RANK.index)
        return True

    @rule(peer=st.sampled_from(PEERS))
    def sweep(self, peer: str) -> None:
        with self.store.db.transaction():
            changes = self.store.outbox.sweep(peer, self.now)
        wanted = {}
        for row in self.model.values():
            over = row.due <= self.now
            if row.peer == peer and row.status in (Status.QUEUED, Status.HELD, Status.WAITING) and row.exp <= self.now:
                wanted[row.n] = Event.EXPIRE
            elif row.peer == peer and row.status is Status.SENDING and over:
                wanted[row.n] = Event.LAPSE
            elif row.peer == peer and row.status in (Status.HELD, Status.WAITING) and over:
                wanted[row.n] = Event.DUE
        assert {change.row: change.event for change in changes} == wanted
        self._expect(changes)

    @rule(n=consumes(rows))
    def drop(self, n: int) -> None:
        with self.store.db.transaction():
            dropped = self.store.outbox.drop(id_of(self.model[n].letter))
        assert dropped == (self.model[n].status in (Status.DEAD, Status.REFUSED))
        if dropped:
            self.model[n].status = Status.DEAD  # gone: the laws below leave it out
            self.model[n].peer = ""

    @rule(pause=st.integers(1, 100))
    def wait(self, pause: int) -> None:
        self.now += pause

    @rule(peer=st.sampled_from(PEERS))
    def renew(self, peer: str) -> None:
        self.inc[peer] += 1
        self.seq[peer] = 1

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(Path(self.directory.name))

    @invariant()
    def every_row_stands_where_the_model_says(self) -> None:
        with self.store.db.transaction():
            rows = {row.row: row for row in self.store.outbox.by_rows(self.model)}
        there = {n for n, row in self.model.items() if row.peer}
        assert set(rows) == there
        for n in there:
            row, model = rows[n], self.model[n]
            assert row.status is model.status, n
            assert (row.seq, row.inc, row.lease, row.exp, row.reached) == (
                model.seq, model.inc, model.lease, model.exp, model.reached,
            )  # fmt: skip
            if row.status in OPEN:
                assert row.due == model.due
            assert (row.final_at > 0) == (row.status in FINAL)

    @invariant()
    def what_is_asked_all_the_time_is_true(self) -> None:
        outbox = self.store.outbox
        for peer in PEERS:
            open_rows = [row for row in self.model.values() if row.peer == peer and row.status in OPEN]
            assert outbox.waiting(peer) == len(open_rows)
            assert (peer in outbox.peers_waiting()) == bool(open_rows)
            assert outbox.next_event(peer) == min((row.due for row in open_rows), default=None)
            numbered = [row.seq for row in open_rows if row.inc == self.inc[peer]]
            assert outbox.low(peer, self.inc[peer], self.seq[peer]) == min(numbered, default=self.seq[peer])


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
