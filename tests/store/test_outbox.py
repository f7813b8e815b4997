"""fleet/store/outbox.py: accepted once, leased in order, settled by the table."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleet.core import policy
from fleet.core.lifecycle import Event, State, Status
from fleet.errors import IllegalTransition
from fleet.store import Store
from fleet.store.outbox import Change, Row
from tests.support.letters import HOUR, NOW, WEEK, draft, drafts, id_of, open_store

UNTIL = NOW + 60_000


def submit(store: Store, *numbers: int, **fields: object) -> None:
    assert set(store.outbox.submit([draft(n, **fields) for n in numbers], NOW)) == {"accepted"}


def due(store: Store, now: int = NOW, **options: object) -> list[Row]:
    return store.outbox.next_due("mac2", now, **{"floor": 0, **options})


def lease(store: Store, rows: Sequence[Row], parcel: int = 7, inc: int = 5, first: int = 1) -> list[Row]:
    return store.outbox.lease(rows, parcel, inc, first, NOW, UNTIL)


def ids(rows: Sequence[Row]) -> list[str]:
    return [row.id for row in rows]


def apply(store: Store, event: Event, *rows: int, now: int = NOW, **fields: object) -> list[Status]:
    return [one.new for one in store.outbox.apply([Change(row, event, **fields) for row in rows], now)]


# ── accepting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_kept_as_it_was_given(store: Store) -> None:
    given = draft(1, priority=2, type="task", pin="nats", body="héllo", size=6)
    assert store.outbox.submit([given], NOW + 5) == ["accepted"]
    row = store.outbox.get(id_of(1))
    assert row == Row(
        1, given.id, "mac2", "task", 2, Status.QUEUED, given.content, given.digest, 0, 0, given.exp, 0, 0, NOW + 5, "nats",
        {}, NOW, "", "", "", 0, 6,
    )  # fmt: skip


def test_nothing_is_accepted_when_nothing_is_given(store: Store) -> None:
    assert store.outbox.submit([], NOW) == []
    assert store.outbox.get(id_of(1)) is None


def test_the_same_id_again_is_answered_as_the_first_time(store: Store) -> None:
    submit(store, 1)
    again = [draft(1), draft(1, body="other"), draft(2), draft(2), draft(2, body="other"), draft(3)]
    assert store.outbox.submit(again, NOW) == ["known", "conflict", "accepted", "known", "conflict", "accepted"]
    assert ids(due(store)) == [id_of(1), id_of(2), id_of(3)]
    assert [row.content for row in due(store)] == [draft(n).content for n in (1, 2, 3)]


def test_rows_are_numbered_in_the_order_of_submission_and_never_twice(store: Store) -> None:
    submit(store, 1, 2)
    apply(store, Event.NACK, 2)
    assert store.outbox.drop(id_of(2))
    submit(store, 3)
    assert [row.row for row in due(store)] == [1, 3]


def test_a_gate_may_refuse_or_hold_at_birth(store: Store) -> None:
    submit(store, 1, refused="size: too large")
    submit(store, 2, held_until=NOW + HOUR)
    submit(store, 3, held_until=NOW + 2 * WEEK)
    assert due(store) == []
    refused, held, long = (store.outbox.get(id_of(n)) for n in (1, 2, 3))
    assert (refused.status, refused.what, refused.reason, refused.final_at) == (
        Status.REFUSED, "refused", "size: too large", NOW,
    )  # fmt: skip
    assert (held.status, held.due) == (Status.HELD, NOW + HOUR)
    assert long.due == long.exp


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_urgent_goes_first_then_the_oldest(store: Store) -> None:
    for n, priority in enumerate([1, 0, 3, 1, 2, 3]):
        submit(store, n, priority=priority)
    assert ids(due(store)) == [id_of(n) for n in (2, 5, 4, 0, 3, 1)]
    assert ids(due(store, floor=2)) == [id_of(n) for n in (2, 5, 4)]
    assert ids(due(store, limit=4)) == [id_of(n) for n in (2, 5, 4, 0)]


def test_only_what_is_due_and_not_expired_and_for_this_peer_goes(store: Store) -> None:
    submit(store, 1, 2, 3)
    submit(store, 4, peer="mac3")
    submit(store, 5, exp=NOW)
    apply(store, Event.LATER, 2, due=NOW + 50, reason="later: busy")
    assert ids(due(store)) == [id_of(1), id_of(3)]
    assert ids(due(store, NOW + 50)) == [id_of(1), id_of(3), id_of(2)]


def test_the_eager_take_what_was_put_off_but_not_what_the_peer_asked_to_have_later(store: Store) -> None:
    submit(store, 1, 2)
    apply(store, Event.MISSED, 1, due=NOW + 50, reason="no road")
    apply(store, Event.LATER, 2, due=NOW + 50, reason="later: busy")
    assert due(store) == []
    assert ids(due(store, eager=True)) == [id_of(1)]


def test_a_batch_stops_before_it_is_too_large_but_has_one_at_least(store: Store) -> None:
    submit(store, 1, 2, 3, body="x" * 1000)
    size = len(draft(1, body="x" * 1000).content)
    assert len(due(store, max_bytes=2 * size)) == 2
    assert len(due(store, max_bytes=2 * size - 1)) == 1
    assert len(due(store, max_bytes=1)) == 1
    submit(store, 4, priority=3)
    assert ids(due(store, max_bytes=size)) == [id_of(4)]


def test_a_batch_has_at_most_256(store: Store) -> None:
    store.outbox.submit(drafts(range(300)), NOW)
    assert len(due(store, max_bytes=1 << 30)) == policy.BATCH_ENVELOPES


# ── leasing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_gives_numbers_in_order_and_hides_the_rows(store: Store) -> None:
    submit(store, 1, 2)
    leased = lease(store, due(store))
    assert [(row.seq, row.inc, row.lease, row.status, row.due) for row in leased] == [
        (seq, 5, 7, Status.SENDING, UNTIL) for seq in (1, 2)
    ]
    assert store.outbox.by_rows([1, 2]) == leased
    assert due(store) == []


def test_a_row_keeps_its_number_within_an_incarnation(store: Store) -> None:
    submit(store, 1, 2)
    lease(store, due(store, limit=1))
    apply(store, Event.MISSED, 1, lease=7)
    both = lease(store, due(store), parcel=8, first=2)
    assert [(row.seq, row.inc) for row in both] == [(1, 5), (2, 5)]
    apply(store, Event.LATER, 1, 2)
    anew = lease(store, due(store), parcel=9, inc=6, first=1)
    assert [(row.seq, row.inc) for row in anew] == [(1, 6), (2, 6)]


def test_what_is_not_queued_any_more_is_not_leased(store: Store) -> None:
    submit(store, 1)
    rows, stale = due(store), due(store)
    lease(store, rows)
    with pytest.raises(IllegalTransition):
        lease(store, rows, parcel=8)
    with pytest.raises(IllegalTransition):
        lease(store, stale, parcel=8)
    assert store.outbox.by_rows([1])[0].lease == 7


def test_low_is_the_lowest_number_that_is_not_final(store: Store) -> None:
    submit(store, 1, 2, 3, 4)
    assert store.outbox.low("mac2", 5, 1) == 1
    lease(store, due(store, limit=3), first=10)
    assert store.outbox.low("mac2", 5, 13) == 10
    apply(store, Event.RECEIPT, 2)
    assert store.outbox.low("mac2", 5, 13) == 10
    apply(store, Event.RECEIPT, 1)
    assert store.outbox.low("mac2", 5, 13) == 12
    apply(store, Event.TAKEN, 3, road="git", until=NOW)
    assert store.outbox.low("mac2", 5, 13) == 12
    apply(store, Event.NACK, 3)
    assert store.outbox.low("mac2", 5, 13) == 13
    assert store.outbox.low("mac2", 6, 1) == 1


# ── settling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_events_are_applied_in_their_order_and_reported(store: Store) -> None:
    submit(store, 1, 2)
    lease(store, due(store))
    applied = store.outbox.apply(
        [
            Change(1, Event.MISSED, lease=7, due=NOW + 9, reason="no road", count_try=True),
            Change(1, Event.EXPIRE, reason="3 tries"),
            Change(99, Event.RECEIPT),
            Change(2, Event.RECEIPT, reached=State.SHOWN),
        ],
        NOW,
    )
    assert [(one.row, one.old, one.new, one.reached) for one in applied] == [
        (1, Status.SENDING, Status.QUEUED, ""),
        (1, Status.QUEUED, Status.DEAD, ""),
        (2, Status.SENDING, Status.DONE, "shown"),
    ]
    dead, done = store.outbox.by_rows([1, 2])
    assert (dead.status, dead.what, dead.reason, dead.tries) == (Status.DEAD, "undelivered", "3 tries", 1)
    assert (done.status, done.reached, done.final_at) == (Status.DONE, "shown", NOW)
    assert store.outbox.apply([], NOW) == []


def test_an_impossible_event_changes_nothing(store: Store) -> None:
    submit(store, 1, 2)
    with pytest.raises(IllegalTransition):
        store.outbox.apply([Change(1, Event.RECEIPT), Change(2, Event.DUE)], NOW)
    assert [row.status for row in store.outbox.by_rows([1, 2])] == [Status.QUEUED, Status.QUEUED]


def test_custody_is_written_down_with_its_roads(store: Store) -> None:
    submit(store, 1)
    lease(store, due(store))
    apply(store, Event.TAKEN, 1, lease=7, road="git", until=NOW + 120_000)
    apply(store, Event.TAKEN, 1, lease=7, road="cloud", until=NOW + 60_000)
    row = store.outbox.by_rows([1])[0]
    assert (row.status, row.due, row.taken) == (
        Status.WAITING, NOW + 120_000, {"git": NOW + 120_000, "cloud": NOW + 60_000},
    )  # fmt: skip


def test_what_an_earlier_life_put_off_for_long_is_due_soon_and_a_hold_stays(store: Store) -> None:
    submit(store, 1, 2, exp=NOW + HOUR)
    submit(store, 3, held_until=NOW + 900, exp=NOW + HOUR)
    apply(store, Event.LATER, 1, due=NOW + 900)
    apply(store, Event.LATER, 2, due=NOW + 5)
    store.outbox.hasten(NOW + 60)
    dues = {row.id: row.due for row in store.outbox.list_open(10)}
    assert dues == {id_of(1): NOW + 60, id_of(2): NOW + 5, id_of(3): NOW + 900}


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_time_frees_what_ran_out_and_ends_what_expired(store: Store) -> None:
    submit(store, 1, 2, 3, 4, 5, exp=NOW + HOUR)
    submit(store, 6, held_until=NOW + 10, exp=NOW + HOUR)
    lease(store, due(store)[:3])
    apply(store, Event.TAKEN, 2, road="git", until=NOW + 20)
    apply(store, Event.LATER, 5, due=NOW + 2 * HOUR)
    assert store.outbox.sweep("mac2", NOW) == []

    def sweep(now: int) -> dict[int, Event]:
        changes = store.outbox.sweep("mac2", now)
        store.outbox.apply(changes, now)
        return {change.row: change.event for change in changes}

    assert sweep(NOW + 10) == {6: Event.DUE}
    assert sweep(NOW + 20) == {2: Event.DUE}
    assert sweep(UNTIL) == {1: Event.LAPSE, 3: Event.LAPSE}
    lease(store, due(store, UNTIL, limit=1), parcel=8)
    assert sweep(NOW + HOUR) == {**dict.fromkeys((1, 2, 3, 5, 6), Event.EXPIRE), 4: Event.LAPSE}
    assert sweep(NOW + HOUR) == {4: Event.EXPIRE}  # a leased row expires when its lease ends
    dead = store.outbox.list_dead(10)
    never_left = (5, 6)
    assert {row.id: row.what for row in dead} == {
        id_of(n): "undelivered" if n in never_left else "unconfirmed" for n in range(1, 7)
    }


def test_what_a_daemon_that_is_gone_had_leased_goes_again(store: Store) -> None:
    submit(store, 1, 2, 3, 4)
    assert store.outbox.orphans() == []
    lease(store, due(store, limit=3))
    apply(store, Event.TAKEN, 2, road="git", until=NOW + HOUR)
    orphans = store.outbox.orphans()
    assert {(change.row, change.event) for change in orphans} == {(1, Event.LAPSE), (3, Event.LAPSE)}
    store.outbox.apply(orphans, NOW)
    assert ids(due(store)) == [id_of(1), id_of(3), id_of(4)]


def test_the_next_event_is_the_earliest_of_anything_open(store: Store) -> None:
    outbox = store.outbox
    assert outbox.next_event("mac2") is None
    submit(store, 1, exp=NOW + HOUR)
    assert outbox.next_event("mac2") == NOW
    apply(store, Event.LATER, 1, due=NOW + 50)
    assert outbox.next_event("mac2") == NOW + 50
    apply(store, Event.LATER, 1, due=NOW + 2 * HOUR)
    assert outbox.next_event("mac2") == NOW + HOUR
    submit(store, 2, priority=3, held_until=NOW + 40)
    assert outbox.next_event("mac2") == NOW + 40
    assert outbox.next_event("mac3") is None


def test_who_waits_and_how_much(store: Store) -> None:
    assert store.outbox.peers_waiting() == []
    for peer in ("zed", "mac2", "ant"):
        store.outbox.submit(drafts(range(ord(peer[0]), ord(peer[0]) + 3), peer), NOW)
    assert store.outbox.peers_waiting() == ["ant", "mac2", "zed"]
    apply(store, Event.RECEIPT, 4, 5, 6)
    assert store.outbox.peers_waiting() == ["ant", "zed"]
    assert [store.outbox.waiting(peer) for peer in ("ant", "mac2", "zed")] == [3, 0, 3]


def test_a_large_backlog_is_not_walked_through(store: Store) -> None:
    """What a courier asks every time must not read every row: SQLite's own count of steps says so."""
    store.outbox.submit(drafts(range(3000)), NOW)
    store.outbox.apply([Change(row, Event.LATER, due=NOW + HOUR, reason="busy") for row in range(1, 3001)], NOW)
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    store.db.conn.set_progress_handler(count, 10)
    assert due(store) == []
    assert store.outbox.sweep("mac2", NOW) == []
    assert store.outbox.next_event("mac2") == NOW + HOUR
    assert store.outbox.low("mac2", 5, 1) == 1
    assert store.outbox.peers_waiting() == ["mac2"]
    store.db.conn.set_progress_handler(None)
    assert steps < 60


# ── looking and forgetting ───────────────────────────────────────────────────────────────────────────────────────────


def test_lists_are_in_the_order_people_expect(store: Store) -> None:
    submit(store, *range(6))
    apply(store, Event.NACK, 2, now=NOW + 1)
    apply(store, Event.REFUSE, 4, now=NOW + 2)
    apply(store, Event.RECEIPT, 6, now=NOW + 3)
    assert ids(store.outbox.list_open(10)) == [id_of(0), id_of(2), id_of(4)]
    assert ids(store.outbox.list_open(2)) == [id_of(0), id_of(2)]
    assert ids(store.outbox.list_dead(10)) == [id_of(3), id_of(1)]
    assert ids(store.outbox.list_dead(1)) == [id_of(3)]
    assert ids(store.outbox.by_rows([5, 3, 77])) == [id_of(2), id_of(4)]
    assert store.outbox.by_rows([]) == []


def test_only_the_dead_are_dropped(store: Store) -> None:
    submit(store, 1, 2, 3, 4)
    apply(store, Event.NACK, 2)
    apply(store, Event.REFUSE, 3)
    apply(store, Event.RECEIPT, 4)
    assert [store.outbox.drop(id_of(n)) for n in (1, 2, 3, 4, 5)] == [False, True, True, False, False]
    assert not store.outbox.drop(id_of(2))
    assert store.outbox.get(id_of(2)) is None
    assert store.db.conn.execute("SELECT count(*) FROM content").get == 2


def test_finished_mail_is_forgotten_in_time_and_in_portions(store: Store) -> None:
    submit(store, *range(1, 11))
    apply(store, Event.RECEIPT, *range(1, 6), now=NOW)
    apply(store, Event.NACK, 6, now=NOW)
    apply(store, Event.REFUSE, 7, now=NOW)
    apply(store, Event.RECEIPT, 8, now=NOW + HOUR)
    assert store.outbox.retire(NOW) == 0
    assert store.outbox.retire(NOW + 1, limit=3) == 5
    assert store.outbox.retire(NOW + 1) == 2
    assert ids(store.outbox.list_open(99)) == [id_of(9), id_of(10)]
    assert store.outbox.get(id_of(8)) is not None
    assert store.db.conn.execute("SELECT count(*) FROM content").get == 3


def test_a_revived_message_is_sent_anew(store: Store) -> None:
    submit(store, 1, exp=NOW + 10)
    lease(store, due(store))
    apply(store, Event.NACK, 1, reason="the peer: expired")
    apply(store, Event.REVIVE, 1, until=NOW + HOUR, now=NOW + 20)
    row = due(store, NOW + 20)[0]
    assert (row.exp, row.seq, row.inc, row.lease, row.what) == (NOW + HOUR, 0, 0, 0, "")
    assert [row.seq for row in lease(store, [row], parcel=8, first=2)] == [2]


def test_two_processes_may_submit_to_one_store(tmp_path: Path) -> None:
    """fleet_send writes while the daemon does."""
    open_store(tmp_path).close()
    script = (
        "import sys; from pathlib import Path; from tests.support.letters import *\n"
        "store = open_store(Path(sys.argv[1]))\n"
        "for n in range(int(sys.argv[2]), int(sys.argv[2]) + 60):\n"
        "    with store.db.transaction(): assert store.outbox.submit([draft(n)], NOW) == ['accepted']\n"
    )
    commands = [[sys.executable, "-c", script, str(tmp_path), str(start)] for start in (0, 100)]
    both = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for command in commands]
    assert [process.wait() for process in both] == [0, 0]
    store = open_store(tmp_path)
    rows = store.outbox.list_open(999)
    assert {row.id for row in rows} == {id_of(n) for start in (0, 100) for n in range(start, start + 60)}
    assert [row.row for row in rows] == list(range(1, 121))
    store.close()
