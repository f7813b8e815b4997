"""The audit chain: what is added is there, in order, and whoever touches it is seen, and where."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.core import policy, sealing
from fleet.core.audit import FIELDS, GENESIS, KINDS, WORD_LIMIT, chained, head_fault, write_details
from fleet.core.lifecycle import Event
from fleet.store import Store
from fleet.store.audit_check import Checked
from fleet.store.change import Change
from fleet.store.keys import KeyRing
from fleet.store.notary import Head, HeadFile, Notary
from tests.support.letters import NOW, arrival, copy, draft, drafts, open_store
from tests.support.powerloss import Disk, restore

LONG = 50  # entries of the chain that is tampered with
DAY = policy.AUDIT_DAY
MINUTE = policy.AUDIT_MINUTE


def opened(home: Path, ring: KeyRing, **options: object) -> Store:
    """A store whose chain this ring's keys vouch for."""
    store = open_store(home, **options)
    store.audit.use(Notary.of(ring))
    return store


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.make(tmp_path / "node" / "keys", "mac1", "home")


@pytest.fixture
def store(tmp_path: Path, ring: KeyRing) -> Iterator[Store]:
    found = opened(tmp_path / "node", ring)
    yield found
    found.close()


def fill(store: Store, n: int = LONG, at: int = NOW) -> None:
    """A chain of n entries, one of them signed."""
    with store.db.transaction():
        for i in range(n // 2):
            store.audit.add("alarm", peer=f"mac{i % 5}", details={"reason": f"reason {i}", "count": i}, now=at + i)
        store.audit.checkpoint(at + n // 2)
        for i in range(n // 2 + 1, n):
            store.audit.tally("refused_in", peer=f"mac{i % 5}", details={"gate": "trust", "count": i}, now=at + i)


def verify(store: Store) -> Checked:
    with store.db.transaction():
        return store.audit.verify()


def failed_at(store: Store) -> int | None:
    checked = verify(store)
    assert checked.ok == (checked.failed_at is None)
    assert bool(checked.reason) != checked.ok
    return checked.failed_at


def kinds(store: Store) -> list[str]:
    with store.db.transaction():
        return [entry.kind for entry in store.audit.entries()]


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_that_nobody_touched_is_whole(store: Store) -> None:
    fill(store)
    assert verify(store) == Checked(True, LONG, None, "")
    assert store.audit.head().count == LONG


def test_an_empty_chain_is_whole(store: Store) -> None:
    assert verify(store) == Checked(True, 0, None, "")
    assert store.audit.head() == Head()


def test_what_was_added_is_there_in_order_and_can_be_filtered(store: Store) -> None:
    fill(store, 10)
    with store.db.transaction():
        audit = store.audit
        assert [entry.seq for entry in audit.entries()] == list(range(1, 11))
        assert [entry.seq for entry in audit.entries(limit=3)] == [8, 9, 10]
        assert [entry.seq for entry in audit.entries(kind="alarm")] == [1, 2, 3, 4, 5]
        assert [entry.seq for entry in audit.entries(peer="mac1")] == [2, 7]
        assert [entry.seq for entry in audit.entries(since=NOW + 8)] == [9, 10]
        first = audit.entries(limit=-1)[0]
        assert (first.at, first.peer, first.details) == (NOW, "mac0", {"reason": "reason 0", "count": 0})


def test_an_entry_can_be_recomputed_from_what_is_shown_of_it(store: Store) -> None:
    fill(store, 20)
    before = GENESIS
    with store.db.transaction():
        for entry in store.audit.entries():
            details = write_details(entry.kind, entry.details)
            before = chained(before, entry.seq, entry.at, entry.kind, entry.peer, details)
            assert before.hex() == entry.hash
    assert before == store.audit.head().hash


def test_a_kind_or_field_that_nobody_declared_is_a_mistake_in_the_code(store: Store) -> None:
    with store.db.transaction():
        for kind, details in (("gossip", {}), ("alarm", {"body": "hello"}), ("alarm", {"value": "x"})):
            with pytest.raises(ValueError, match="audit chain"):
                store.audit.add(kind, details=details, now=NOW)
    assert verify(store).entries == 0


def test_no_field_is_named_for_what_must_never_stand_there() -> None:
    assert not FIELDS & {"body", "content", "secret", "password", "value", "text", "message", "match"}
    assert all(sentence and not sentence.endswith(".") for sentence in KINDS.values())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)),
        st.one_of(st.text(max_size=400), st.integers(), st.floats(), st.booleans()),
        max_size=6,
    )
)
def test_whatever_a_field_holds_is_written_bounded_and_reads_back_the_same(details: dict[str, Any]) -> None:
    text = write_details("alarm", details)
    assert write_details("alarm", json.loads(text)) == text
    assert len(text) < 80 + len(details) * (20 + 6 * WORD_LIMIT)


def test_words_are_cut_numbers_are_bounded_and_half_characters_are_replaced() -> None:
    assert write_details("alarm", {"reason": "x" * 1000}).count("x") == WORD_LIMIT - 1
    assert write_details("alarm", {"count": 1 << 80}) == f'{{"count":{policy.SAFE_INTEGER}}}'
    assert write_details("alarm", {"reason": "\ud800"}) == '{"reason":"?"}'
    assert write_details("alarm", {"ratio": math.inf}) == '{"ratio":"inf"}'


def test_an_entry_and_what_it_speaks_of_are_undone_together(store: Store) -> None:
    fill(store, 5)
    head = store.audit.head()
    with pytest.raises(RuntimeError), store.db.transaction():
        store.audit.add("alarm", now=NOW)
        raise RuntimeError
    assert store.audit.head() == head
    with store.db.transaction():
        store.audit.add("alarm", now=NOW)
    assert verify(store).ok


# ── a flood ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def refuse(store: Store, n: int = 1, reason: str = "no", now: int = NOW) -> None:
    with store.db.transaction():
        store.audit.tally("refused_in", peer="mac1", details={"reason": reason}, first={"id": "1"}, n=n, now=now)


def told(store: Store) -> list[dict[str, Any]]:
    with store.db.transaction():
        return [dict(entry.details) for entry in store.audit.entries()]


def test_equal_refusals_within_a_minute_are_one_entry_and_their_count_is_another(store: Store) -> None:
    for i in range(100):
        refuse(store, now=NOW + i)
    assert told(store) == [{"reason": "no", "id": "1"}]
    with store.db.transaction():
        store.audit.settle(NOW + MINUTE - 1)
        assert len(store.audit.entries()) == 1
        store.audit.settle(NOW + MINUTE)
        store.audit.settle(NOW + MINUTE)
    assert told(store) == [{"reason": "no", "id": "1"}, {"reason": "no", "count": 99, "since": NOW}]
    assert verify(store).ok


def test_what_repeats_after_its_minute_is_told_with_the_count_of_the_first(store: Store) -> None:
    refuse(store, n=3)
    refuse(store, now=NOW + MINUTE)
    assert [one.get("count") for one in told(store)] == [None, 2, None]


def test_a_clock_that_was_set_back_stops_no_count(store: Store) -> None:
    refuse(store, now=NOW)
    refuse(store, now=NOW - DAY)
    assert len(told(store)) == 2


def test_a_peer_cannot_fill_the_chain_with_ever_new_reasons(store: Store) -> None:
    for i in range(100):
        refuse(store, reason=f"type {i}")
    assert len(told(store)) == policy.AUDIT_TALLIES + 1
    with store.db.transaction():
        store.audit.settle(NOW + MINUTE)
    assert told(store)[-1]["count"] == 100 - policy.AUDIT_TALLIES - 1


# ── what mail leaves ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_mail_that_arrives_leaves_nothing(store: Store) -> None:
    with store.db.transaction():
        store.outbox.submit(drafts(range(20)), NOW)
        store.inbox.receive(copy(), [arrival(100 + n, n + 1) for n in range(20)], NOW)
        rows = store.outbox.next_due("mac2", NOW, floor=0)
        store.outbox.lease(rows, 1, 5, 1, NOW, NOW + 1000)
        store.outbox.apply([Change(row.row, Event.RECEIPT) for row in rows], NOW)
    assert told(store) == []


def test_refused_held_and_dead_mail_is_written_with_the_gate_that_said_so(store: Store) -> None:
    with store.db.transaction():
        store.outbox.submit([draft(n) for n in range(4)] + [draft(9, refused="size: too large")], NOW)
        rows = [row.row for row in store.outbox.next_due("mac2", NOW, floor=0)]
        reasons = ("trust: too low", "the peer: budget: used up", "breaker: suspended", "expired")
        events = (Event.REFUSE, Event.REFUSE, Event.HOLD, Event.EXPIRE)
        changes = [
            Change(row, event, reason=reason, due=NOW + 1000)
            for row, event, reason in zip(rows, events, reasons, strict=True)
        ]
        store.outbox.apply(changes, NOW)
        found = {entry.kind: entry for entry in store.audit.entries() if entry.details.get("gate") != "size"}
    assert {kind: (e.peer, e.details.get("gate"), e.details["reason"]) for kind, e in found.items()} == {
        "refused_out": ("mac2", "trust", "too low"),
        "refused_by_peer": ("mac2", "budget", "used up"),
        "held_out": ("mac2", "breaker", "suspended"),
        "dead_letter": ("mac2", None, "expired"),
    }
    assert kinds(store)[0] == "refused_out", "the one that was refused when it was submitted"


def test_mail_refused_or_put_off_when_it_came_and_every_alarm_is_written(store: Store) -> None:
    with store.db.transaction():
        arrivals = [arrival(1, 1, refuse="trust: task needs level 3"), arrival(2, 2, later="clock unsure"), arrival(3, 3)]
        store.inbox.receive(copy(), arrivals, NOW)
        store.inbox.receive(copy(2), [arrival(3, 4, body="another")], NOW)
        found = [(entry.kind, entry.peer, entry.details.get("gate")) for entry in store.audit.entries()]
    assert found == [
        ("refused_in", "mac1", "trust"), ("held_in", "mac1", None), ("refused_in", "mac1", None), ("alarm", "mac1", None),
    ]  # fmt: skip


# ── tampering ────────────────────────────────────────────────────────────────────────────────────────────────────────

Touch = Callable[[Any, int], None]


def edit(column: str, value: object) -> Touch:
    return lambda conn, seq: conn.execute(f"UPDATE audit SET {column} = ? WHERE seq = ?", (value, seq))


def cut(conn: Any, seq: int) -> None:
    conn.execute("DELETE FROM audit WHERE seq >= ?", (seq,))


def remove(conn: Any, seq: int) -> None:
    conn.execute("DELETE FROM audit WHERE seq = ?", (seq,))


def close_gap(conn: Any, seq: int) -> None:
    """Remove one and renumber the rest, as if it had never been."""
    remove(conn, seq)
    for after in range(seq + 1, LONG + 1):
        conn.execute("UPDATE audit SET seq = ? WHERE seq = ?", (after - 1, after))


def swap(conn: Any, seq: int) -> None:
    other = seq + 1 if seq < LONG else seq - 1
    for old, new in ((seq, 0), (other, seq), (0, other)):
        conn.execute("UPDATE audit SET seq = ? WHERE seq = ?", (new, old))


def insert(conn: Any, seq: int) -> None:
    """Put a copy of an entry before it, everything after it moved on."""
    for after in range(LONG, seq - 1, -1):
        conn.execute("UPDATE audit SET seq = ? WHERE seq = ?", (after + 1, after))
    conn.execute("INSERT INTO audit SELECT ?, at, kind, peer, details, hash FROM audit WHERE seq = ?", (seq, seq + 1))


def rewrite_from(conn: Any, seq: int) -> None:
    """Change an entry and compute every hash after it anew, the head's too: all that can be done without the key."""
    conn.execute("UPDATE audit SET details = '{}', kind = 'notice' WHERE seq = ?", (seq,))
    before = conn.execute("SELECT hash FROM audit WHERE seq = ?", (seq - 1,)).get or GENESIS
    rows = conn.execute("SELECT seq, at, kind, peer, details FROM audit WHERE seq >= ? ORDER BY seq", (seq,)).fetchall()
    for row in rows:
        before = chained(before, *row)
        conn.execute("UPDATE audit SET hash = ? WHERE seq = ?", (before, row[0]))
    conn.execute("UPDATE audit_head SET hash = ?", (before,))


def rewrite_with_a_wrong_key(conn: Any, seq: int) -> None:
    rewrite_from(conn, seq)
    epoch, hash = conn.execute("SELECT epoch, hash FROM audit_head").get
    key = sealing.Secret(b"\1" * 32)
    notary = Notary("mac1", None, epoch, {epoch: key})
    conn.execute("UPDATE audit_head SET mac = ?", (notary.mac(Head(LONG, hash)),))


TOUCHES: dict[str, Touch] = {
    "at": edit("at", 5), "kind": edit("kind", "notice"), "peer": edit("peer", "mac9"), "details": edit("details", "{}"),
    "details as another spelling": lambda conn, seq: conn.execute(
        "UPDATE audit SET details = replace(details, ',', ', ') || ' ' WHERE seq = ?", (seq,)
    ),
    "hash": edit("hash", bytes(32)), "short hash": edit("hash", b""), "no text": edit("peer", b"\xff"),
    "seq": lambda conn, seq: conn.execute("UPDATE audit SET seq = seq + 1000000 WHERE seq = ?", (seq,)),
    "removed": remove, "removed without a gap": close_gap, "reordered": swap, "inserted": insert, "cut": cut,
}  # fmt: skip


@pytest.mark.parametrize("name", TOUCHES)
def test_whatever_is_done_to_any_entry_is_seen_at_that_entry(store: Store, name: str) -> None:
    fill(store)
    for seq in range(1, LONG + 1):
        store.db.begin()
        try:
            TOUCHES[name](store.db.conn, seq)
        except apsw.ConstraintError:
            assert name == "no text"  # the table itself refuses it
        else:
            wrong = store.audit.verify()
            expected = {seq} if name != "reordered" or seq < LONG else {seq - 1}
            if name == "inserted":
                expected = {seq, seq + 1}  # a copy follows nothing, nor does anything follow it
            assert not wrong.ok and wrong.failed_at in expected, (seq, wrong)
        store.db.rollback()
    assert verify(store).ok


@pytest.mark.parametrize("touch", [rewrite_from, rewrite_with_a_wrong_key])
def test_a_chain_computed_anew_without_the_key_is_seen_at_its_head(store: Store, touch: Touch) -> None:
    fill(store)
    for seq in range(1, LONG + 1):
        store.db.begin()
        touch(store.db.conn, seq)
        wrong = store.audit.verify()
        assert not wrong.ok and wrong.failed_at is not None and seq <= wrong.failed_at <= LONG
        store.db.rollback()


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE audit_head SET count = count - 1", LONG), ("UPDATE audit_head SET count = count + 1", LONG),
        ("UPDATE audit_head SET hash = zeroblob(32)", LONG), ("UPDATE audit_head SET mac = zeroblob(32)", LONG),
        ("UPDATE audit_head SET mac = x''", LONG), ("UPDATE audit_head SET epoch = 'f'", LONG),
        ("UPDATE audit_head SET epoch = ''", LONG), ("DELETE FROM audit_head", LONG), ("DELETE FROM audit", 1),
    ],
)  # fmt: skip
def test_a_touched_head_is_seen(store: Store, statement: str, seq: int) -> None:
    fill(store)
    with store.db.transaction():
        store.db.conn.execute(statement)
    assert failed_at(store) == seq


def test_an_older_head_put_back_over_a_cut_tail_is_seen_by_what_lies_beside_the_keys(store: Store) -> None:
    fill(store, 30)
    old = store.db.conn.execute("SELECT * FROM audit_head").fetchall()[0]
    fill(store, 20)
    store.audit.remember()
    with store.db.transaction():
        cut(store.db.conn, 31)
        store.db.conn.execute("UPDATE audit_head SET count = ?, hash = ?, epoch = ?, mac = ?", old[1:])
    checked = verify(store)
    assert (checked.ok, checked.failed_at) == (False, 31) and "entries are missing" in checked.reason


def test_an_older_copy_of_the_whole_database_is_seen_and_said_at_the_next_start(
    store: Store, tmp_path: Path, ring: KeyRing
) -> None:
    home = tmp_path / "node"
    fill(store)
    store.db.checkpoint()
    shutil.copy(home / "fleet.db", tmp_path / "backup")
    fill(store, 10, NOW + DAY)
    store.audit.remember()
    store.close()
    for left in home.glob("fleet.db*"):
        left.unlink()
    shutil.copy(tmp_path / "backup", home / "fleet.db")
    older = opened(home, ring)
    assert failed_at(older) == LONG + 1
    with older.db.transaction():
        assert not older.audit.begin(NOW, version="1")
    older.audit.remember()
    with older.db.transaction():
        assert older.audit.begin(NOW, version="1")
    assert kinds(older)[LONG:] == ["chain_behind", "started", "started"]
    assert failed_at(older) == LONG + 1, "the entry that says so stays a fact"
    older.close()


def test_another_chain_of_the_same_length_is_not_the_one_remembered(store: Store) -> None:
    fill(store)
    HeadFile(store.audit._file.path).write(Head(7, b"\1" * 32))
    assert failed_at(store) == 7
    with store.db.transaction():
        assert not store.audit.begin(NOW)


@pytest.mark.parametrize(
    "touch",
    [
        "UPDATE audit_head SET mac = zeroblob(32)", "UPDATE audit_head SET count = 3", "DELETE FROM audit_head",
        "DELETE FROM audit WHERE seq > 40", "UPDATE audit_head SET count = 9223372036854775807",
        "INSERT INTO audit VALUES (51, 1, 'alarm', '', '{}', zeroblob(32))",
        "INSERT INTO audit VALUES (9223372036854775807, 1, 'alarm', '', '{}', zeroblob(32))",
        "DELETE FROM audit", "UPDATE audit SET hash = zeroblob(32) WHERE seq = 50",
    ],
)  # fmt: skip
def test_mail_goes_on_over_a_touched_chain_and_the_chain_says_so(store: Store, touch: str) -> None:
    fill(store)
    with store.db.transaction():
        store.db.conn.execute(touch)
    with store.db.transaction():
        store.outbox.submit([draft(1, refused="trust: no")], NOW)
    fill(store, 6)
    assert not verify(store).ok
    if "9223372036854775807, 1" not in touch:  # far beyond the end: only a walk meets it
        assert "chain_touched" in kinds(store) and store.audit.touched() > 0
        assert kinds(store).count("chain_touched") == 1, "said once"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.data())
def test_any_change_of_any_cell_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    home = tmp_path_factory.mktemp("node")
    ring = KeyRing.make(home / "keys", "mac1", "home", dice=random.Random(1).randbytes)
    store = opened(home, ring, synchronous="OFF")
    fill(store, 12)
    table, columns = data.draw(
        st.sampled_from([("audit", ["seq", "at", "kind", "peer", "details", "hash"]),
                         ("audit_head", ["count", "hash", "epoch", "mac"])])
    )  # fmt: skip
    rowid = 1 if table == "audit_head" else data.draw(st.integers(1, 12))
    column = data.draw(st.sampled_from(columns))
    old = store.db.conn.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (rowid,)).get
    words = {str: st.text(max_size=20), bytes: st.binary(max_size=40), int: st.integers(-(2**63), 2**63 - 1)}
    new = data.draw(words[type(old)].filter(lambda value: value != old and (column != "seq" or value not in range(13))))
    with store.db.transaction():
        store.db.conn.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid))
    assert not verify(store).ok
    store.close()


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_head_outlives_the_rotation_of_every_key_and_takes_the_new_one(store: Store, ring: KeyRing) -> None:
    fill(store)
    first = store.db.conn.execute("SELECT epoch FROM audit_head").get
    newer = ring.rotate_opening().rotate_nats()
    newer.next_signing()
    newer = newer.take_next_signing()
    store.audit.use(Notary.of(newer))
    assert verify(store).ok, "sealed with a key that is kept"
    fill(store, 4)
    epoch = store.db.conn.execute("SELECT epoch FROM audit_head").get
    assert verify(store).ok and epoch == newer.opening[0].ekid != first
    assert "chain_touched" not in kinds(store)


def test_a_head_sealed_with_a_key_that_is_gone_is_nobodys(store: Store, ring: KeyRing) -> None:
    fill(store)
    for _ in range(3):
        ring = ring.rotate_opening()
    store.audit.use(Notary.of(ring))
    assert failed_at(store) == LONG


def test_another_node_cannot_vouch_for_it_nor_can_a_tool_without_keys(store: Store, tmp_path: Path) -> None:
    fill(store)
    other = KeyRing.make(tmp_path / "other", "mac1", "home")
    for notary in (Notary.of(other), Notary()):
        store.audit.use(notary)
        assert failed_at(store) is not None


def test_a_chain_without_keys_is_a_chain_all_the_same(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, 10)
    assert verify(store).ok
    assert "checkpoint" not in kinds(store)
    store.close()


def test_no_key_shows_in_the_database_or_in_a_repr(store: Store, ring: KeyRing) -> None:
    fill(store)
    notary = Notary.of(ring)
    secrets = [key.reveal() for key in notary.keys.values()] + [ring.opening[0].secret.reveal()]
    assert all(word not in repr(notary) for key in secrets for word in (key.hex(), repr(key)[2:-1]))
    cells = [cell for row in store.db.conn.execute("SELECT * FROM audit_head") for cell in row]
    assert not {*cells} & {*secrets}


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_head_is_signed_once_an_hour_or_after_many_entries_if_anything_came(store: Store) -> None:
    def sign(now: int) -> bool:
        with store.db.transaction():
            return store.audit.checkpoint(now)

    assert not sign(NOW), "nothing to sign"
    fill(store, 3)
    assert not sign(NOW + 10), "that one is signed"
    fill(store, 20)
    later = NOW + policy.AUDIT_SIGN_EVERY + 100
    assert sign(later) and not sign(later + policy.AUDIT_SIGN_EVERY)
    with store.db.transaction():
        for _ in range(policy.AUDIT_SIGN_ENTRIES):
            store.audit.add("alarm", now=later)
    assert sign(later + 1)
    assert verify(store).ok


def test_anybody_with_the_public_key_can_check_an_export(store: Store, ring: KeyRing) -> None:
    fill(store, 10)
    with store.db.transaction():
        entries = store.audit.entries()
    at = next(i for i, entry in enumerate(entries) if entry.kind == "checkpoint")
    signed, before = entries[at], entries[at - 1]
    assert (signed.details["through"], signed.details["hash"]) == (before.seq, before.hash)
    assert signed.details["public"] == ring.signing.public.hex()
    words = b'["fleet audit head","mac1",%d,"%s"]' % (before.seq, before.hash.encode())
    sealing.verify(ring.signing.public, sealing.AUDIT, words, bytes.fromhex(str(signed.details["signature"])))


def test_a_false_signature_in_a_whole_chain_is_seen(store: Store) -> None:
    fill(store, 3)
    with store.db.transaction():
        store.audit.add("checkpoint", details={"through": 3, "hash": "00", "public": "00", "signature": "00"}, now=NOW)
    assert failed_at(store) == 4


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


def aged(store: Store, days: int) -> None:
    for day in range(days):
        fill(store, 6, NOW + day * DAY)


def prune(store: Store, keep: int, today: int) -> int:
    with store.db.transaction():
        return store.audit.prune(NOW + (today - keep) * DAY, NOW + today * DAY)


def test_the_front_is_pruned_under_a_signed_entry_and_the_rest_stays_whole(store: Store) -> None:
    aged(store, 10)
    before = verify(store).entries
    gone = prune(store, 5, 10)
    assert gone > 0 and verify(store) == Checked(True, before - gone + 1)
    assert kinds(store)[-1] == "pruned"
    assert prune(store, 5, 10) == 0, "at most once a day"
    aged(store, 1)
    assert prune(store, 3, 12) > 0 and verify(store).ok, "again, under the next entry"


def test_everything_may_be_old(store: Store) -> None:
    aged(store, 3)
    assert prune(store, 1, 40) > 0
    assert kinds(store) == ["pruned"] and verify(store).ok
    fill(store, 5, NOW + 41 * DAY)
    assert verify(store).ok


def test_nothing_is_pruned_that_is_younger(store: Store) -> None:
    aged(store, 3)
    assert prune(store, 30, 3) == 0


def test_more_than_was_pruned_cannot_be_taken_from_the_front(store: Store) -> None:
    aged(store, 10)
    prune(store, 5, 10)
    with store.db.transaction():
        first = store.audit.entries()[0].seq
        rest = [entry.seq for entry in store.audit.entries()]
    for seq in rest[:-1]:
        store.db.begin()
        store.db.conn.execute("DELETE FROM audit WHERE seq <= ?", (seq,))
        wrong = store.audit.verify()
        assert (wrong.ok, wrong.failed_at) == (False, first)
        store.db.rollback()


def test_what_was_pruned_cannot_be_put_back_changed(store: Store) -> None:
    aged(store, 10)
    with store.db.transaction():
        old = store.db.conn.execute("SELECT * FROM audit WHERE seq = 1").fetchall()[0]
    prune(store, 5, 10)
    with store.db.transaction():
        store.db.conn.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", old)
    assert failed_at(store) == 1


def test_a_remembered_head_that_was_pruned_since_is_no_fault(store: Store) -> None:
    aged(store, 4)
    store.audit.remember()
    aged(store, 10)
    prune(store, 1, 10)
    assert verify(store).ok
    with store.db.transaction():
        assert store.audit.begin(NOW + 10 * DAY)


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wherever_the_power_goes_the_chain_is_whole_and_nothing_acknowledged_is_gone(tmp_path: Path) -> None:
    disk = Disk("audit cut")
    dice = random.Random(3)
    ring = KeyRing.make(tmp_path / "node" / "keys", "mac1", "home", dice=dice.randbytes)
    store = opened(tmp_path / "node", ring, vfs=disk.name)
    acknowledged = [(len(disk.log), 0)]
    remembered = [(len(disk.log), Head())]
    for n in range(60):
        with store.db.transaction():
            for _ in range(dice.randint(1, 3)):
                store.audit.tally("alarm", peer="mac2", details={"count": dice.randint(0, 9)}, now=NOW + n * 20_000)
            store.audit.settle(NOW + n * 20_000)
            store.audit.checkpoint(NOW + n * 20_000)
        acknowledged.append((len(disk.log), store.audit.head().count))
        if n % 7 == 0:
            remembered.append((len(disk.log), store.audit.head()))
    points = sorted({*disk.syncs(), *dice.sample(range(acknowledged[0][0], len(disk.log) + 1), 100)})
    points = [point for point in points if point >= acknowledged[0][0]]
    for number, (point, files) in enumerate(disk.crashes(points, dice)):
        home = tmp_path / str(number)
        restore(files, home)
        after = opened(home, ring)
        after.audit._file.write([head for at, head in remembered if at <= point][-1])
        checked = verify(after)
        assert checked.ok, f"cut at {point}: {checked}"
        assert after.audit.head().count >= [count for at, count in acknowledged if at <= point][-1]
        after.close()
        shutil.rmtree(home)
    store.close()
    disk.close()
    assert len(points) > 120


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "tally", "settle", "checkpoint", "prune", "rotate", "reopen", "undo", "remember"]),
                  st.integers(0, 3), st.integers(0, 2 * DAY)),
        max_size=60,
    )
)  # fmt: skip
def test_whatever_a_node_does_in_its_life_its_chain_stays_whole(
    tmp_path_factory: pytest.TempPathFactory, life: list[tuple[str, int, int]]
) -> None:
    home = tmp_path_factory.mktemp("node")
    ring = KeyRing.make(home / "keys", "mac1", "home", dice=random.Random(1).randbytes)
    store = opened(home, ring, synchronous="OFF")
    now = NOW
    for act, number, later in life:
        now += later
        if act == "rotate":
            ring = ring.rotate_opening(random.Random(now).randbytes)
            store.audit.use(Notary.of(ring))
            act = "add"  # what a daemon does with it
        if act == "reopen":
            store.close()
            store = opened(home, ring, synchronous="OFF")
        elif act == "remember":
            store.audit.remember()
        else:
            store.db.begin()
            _do(store, act, number, now)
            if act == "undo":
                store.db.rollback()
            else:
                store.db.commit()
    checked = verify(store)
    assert checked.ok, checked
    store.close()


def _do(store: Store, act: str, number: int, now: int) -> None:
    audit = store.audit
    if act in ("add", "undo"):
        audit.add("alarm", peer=f"mac{number}", now=now)
    elif act == "tally":
        audit.tally("refused_in", peer="mac1", details={"count": number}, now=now)
    elif act == "settle":
        audit.settle(now)
    elif act == "checkpoint":
        audit.checkpoint(now)
    else:
        audit.prune(now - number * DAY, now)


# ── what peers say of theirs ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("count", "hash", "wrong"),
    [(5, b"a", False), (6, b"b", False), (900, b"c", False), (5, b"b", True), (4, b"a", True), (0, GENESIS, True)],
)
def test_a_peers_chain_may_grow_and_nothing_else(count: int, hash: bytes, wrong: bool) -> None:
    assert bool(head_fault(5, b"a", count, hash)) is wrong


def test_the_hash_is_sha256_over_the_hash_before_and_the_canonical_entry() -> None:
    entry = b'[1,2,"alarm","mac1","{}"]'
    assert chained(GENESIS, 1, 2, "alarm", "mac1", "{}") == hashlib.sha256(GENESIS + entry).digest()
