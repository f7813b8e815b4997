"""fleet/store/replay.py: the window of seen numbers against a plain set, and the life of incarnations."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet.core import policy
from fleet.core.receipt import SEQ_USED, STALE_INC, Fate
from fleet.store import Store
from fleet.store.inbox import Received
from fleet.store.replay import BELOW_LOW
from tests.support.letters import NOW, arrival, copy, open_store


class Sender:
    """A sender whose every envelope is a new message."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sent = 0

    def __call__(self, seq: int, inc: int, low: int = 1, sender: str = "mac1") -> Received:
        self.sent += 1
        return self.store.inbox.receive(copy(inc=inc, low=low, sender=sender), [arrival(self.sent, seq)], NOW)

    def answer(self, seq: int, inc: int, low: int = 1) -> tuple[Fate, str]:
        entry = self(seq, inc, low).entries[0]
        return entry.fate, entry.reason


STORED = (Fate.STORED, "")


@pytest.fixture
def send(store: Store) -> Sender:
    return Sender(store)


def test_low_only_rises(send: Sender) -> None:
    assert send.answer(10, 1, low=10) == STORED
    assert send.answer(9, 1, low=1) == (Fate.CLOSED, BELOW_LOW)
    assert send.answer(12, 1, low=12) == STORED
    assert send.answer(11, 1, low=3) == (Fate.CLOSED, BELOW_LOW)
    assert send.answer(10, 1, low=3) == (Fate.CLOSED, BELOW_LOW)


def test_low_rises_also_with_nothing_but_duplicates(store: Store) -> None:
    store.inbox.receive(copy(low=1), [arrival(1, 1)], NOW)
    store.inbox.receive(copy(low=5), [arrival(1, 1)], NOW)
    entry = store.inbox.receive(copy(low=1), [arrival(2, 3)], NOW).entries[0]
    assert (entry.fate, entry.reason) == (Fate.CLOSED, BELOW_LOW)


def test_senders_do_not_touch_each_other(send: Sender) -> None:
    send(1, 1, low=1)
    assert send(1, 1, sender="mac9").entries[0].fate is Fate.STORED


def test_incarnations_have_numbers_of_their_own(send: Sender) -> None:
    assert [send.answer(1, inc) for inc in (3, 7, 5)] == [STORED] * 3
    assert send.answer(1, 5) == (Fate.CLOSED, SEQ_USED)


def test_a_seventeenth_incarnation_pushes_the_lowest_out(send: Sender) -> None:
    for inc in range(100, 100 + policy.INCS_KEPT):
        send(1, inc)
    assert send.answer(2, 100) == STORED
    assert send.answer(1, 200) == STORED
    assert send.answer(3, 100) == (Fate.CLOSED, STALE_INC)
    assert send.answer(2, 101) == STORED
    got = send(1, 99)
    assert (got.entries[0].reason, got.inc) == (STALE_INC, 200)


def test_an_incarnation_below_a_full_set_is_stale_at_once(send: Sender) -> None:
    for inc in range(100, 100 + policy.INCS_KEPT):
        send(1, inc)
    assert send.answer(1, 50) == (Fate.CLOSED, STALE_INC)
    assert send.answer(2, 100) == STORED


def test_what_was_pushed_out_stays_out_also_when_more_would_be_kept(send: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(policy, "INCS_KEPT", 2)
        assert [send.answer(1, inc) for inc in (5, 6, 7)] == [STORED] * 3
    assert send.answer(2, 5) == (Fate.CLOSED, STALE_INC)
    assert send.answer(2, 4) == (Fate.CLOSED, STALE_INC)


def test_an_old_incarnation_is_welcome_while_there_is_room(send: Sender) -> None:
    send(1, 100)
    assert send.answer(1, 50) == STORED


def test_the_first_dispute_may_be_a_backup_again_under_a_newer_incarnation_is_an_alarm(send: Sender) -> None:
    send(1, 5)
    first = send(1, 5)
    assert (first.entries[0].reason, first.inc, first.alarms) == (SEQ_USED, 5, [])
    assert send(1, 5).alarms == []  # the rest of the same mistake
    assert send.answer(1, 6) == STORED  # what an honest sender does now
    assert send(1, 6).alarms == [f"mac1: {SEQ_USED} again, in incarnation 6"]
    assert send(1, 5).alarms == []


def test_a_stale_incarnation_is_disputed_likewise(send: Sender) -> None:
    for inc in range(100, 120):
        send(1, inc)
    assert send(1, 90).alarms == []
    assert send(1, 91).alarms == [f"mac1: {STALE_INC} again, in incarnation 91"]


def test_what_was_not_accepted_makes_no_incarnation(send: Sender, store: Store) -> None:
    store.inbox.receive(copy(inc=7), [arrival(50, 1, later="clock unsure")], NOW)
    assert store.db.conn.execute("SELECT count(*) FROM window").get == 0


# ── the window against a set ─────────────────────────────────────────────────────────────────────────────────────────

SEQS = st.integers(1, 30)


class WindowMachine(RuleBasedStateMachine):
    """Three incarnations of one sender; the model remembers every number by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.store = open_store(Path(self.directory.name))
        self.sent = 0
        self.seen: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
        self.low = dict.fromkeys(self.seen, 0)
        self.stored: set[int] = set()

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(inc=st.sampled_from([1, 2, 3]), low=SEQS, seqs=st.lists(SEQS, min_size=1, max_size=6), refuse=st.booleans())
    def receive(self, inc: int, low: int, seqs: list[int], refuse: bool) -> None:
        numbers = range(self.sent + 1, self.sent + len(seqs) + 1)
        self.sent += len(seqs)
        arrivals = [arrival(n, seq, refuse="no" if refuse else "") for n, seq in zip(numbers, seqs, strict=True)]
        with self.store.db.transaction():
            got = self.store.inbox.receive(copy(inc=inc, low=low), arrivals, NOW)
        known = bool(self.seen[inc])
        lowest = max(self.low[inc], low)
        for n, seq, entry in zip(numbers, seqs, got.entries, strict=True):
            if seq < lowest:
                assert (entry.fate, entry.reason) == (Fate.CLOSED, BELOW_LOW)
            elif seq in self.seen[inc]:
                assert (entry.fate, entry.reason) == (Fate.CLOSED, SEQ_USED)
            else:
                assert entry.fate is (Fate.REFUSED if refuse else Fate.STORED)
                self.seen[inc].add(seq)
                self.stored |= set() if refuse else {n}
        if known or self.seen[inc]:
            self.low[inc] = lowest

    @rule(inc=st.sampled_from([1, 2, 3]), low=SEQS, data=st.data())
    def repeat(self, inc: int, low: int, data: st.DataObject) -> None:
        if not self.stored:
            return
        n = data.draw(st.sampled_from(sorted(self.stored)))
        with self.store.db.transaction():
            got = self.store.inbox.receive(copy(inc=inc, low=low), [arrival(n, data.draw(SEQS))], NOW)
        assert got.entries[0].fate is Fate.DUPLICATE
        if self.seen[inc]:
            self.low[inc] = max(self.low[inc], low)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(Path(self.directory.name))

    @invariant()
    def the_inbox_holds_what_was_stored_once_each(self) -> None:
        assert len(self.store.inbox.unshown(10_000)) == len(self.stored)


TestWindow = WindowMachine.TestCase
TestWindow.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
