"""What an addressee signs, and the small words of the system."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import canonical
from fleet.core.receipt import (
    FINAL_BAD,
    GOOD,
    RE_SEAL,
    SEQ_USED,
    STALE_INC,
    WINDOW_FULL,
    Entry,
    Fate,
    Heartbeat,
    Ping,
    Receipt,
    read_heartbeat,
    read_ping,
    read_receipt,
)
from fleet.errors import Malformed
from tests.core.samples import ID, OTHER_ID, written

DIGEST = bytes(32)
DIGEST_WORD = "A" * 43 + "="
ENTRY = [ID, 3, DIGEST_WORD, "stored", "", 0.0]


def entry(**changes: Any) -> Entry:
    """The fate of one envelope."""
    return Entry(**({"id": ID, "seq": 3, "digest": DIGEST, "fate": Fate.STORED} | changes))


def test_a_receipt_is_written_as_the_protocol_says() -> None:
    receipt = Receipt(pid=OTHER_ID, road="nats", entries=(entry(), entry(fate=Fate.LATER, reason="busy", retry_after=1.5)))
    data = written(pid=OTHER_ID, road="nats", entries=[ENTRY, [ID, 3, DIGEST_WORD, "later", "busy", 1.5]])
    assert canonical.encode(receipt) == data
    assert read_receipt(data) == receipt


def test_a_receipt_without_entries_answers_the_whole_parcel() -> None:
    receipt = Receipt(pid=ID, road="git", fate=Fate.LATER, reason=RE_SEAL, retry_after=2.0)
    data = written(pid=ID, road="git", fate="later", reason="re-seal", retry_after=2.0)
    assert canonical.encode(receipt) == data
    assert read_receipt(data) == receipt


@pytest.mark.parametrize("fate", Fate)
def test_every_fate_travels(fate: Fate) -> None:
    receipt = Receipt(pid=ID, road="nats", entries=(entry(fate=fate),), inc=7)
    assert read_receipt(canonical.encode(receipt)) == receipt


def test_the_fates_and_reasons_are_the_words_of_the_design() -> None:
    assert [str(fate) for fate in Fate] == [
        "stored", "shown", "done", "duplicate", "refused", "later", "expired", "closed",
    ]  # fmt: skip
    assert (SEQ_USED, STALE_INC, WINDOW_FULL, RE_SEAL) == ("seq used", "stale inc", "window full", "re-seal")
    assert {"stored", "shown", "done", "duplicate"} == GOOD
    assert {"expired", "closed"} == FINAL_BAD


@pytest.mark.parametrize(
    "words",
    [
        ["x", 3, DIGEST_WORD, "stored", "", 0.0],
        [ID, -1, DIGEST_WORD, "stored", "", 0.0],
        [ID, 3.0, DIGEST_WORD, "stored", "", 0.0],
        [ID, 3, "A" * 42 + "==", "stored", "", 0.0],
        [ID, 3, "A" * 44, "stored", "", 0.0],
        [ID, 3, "A" * 42 + "B=", "stored", "", 0.0],
        [ID, 3, "-" * 43 + "=", "stored", "", 0.0],
        [ID, 3, DIGEST_WORD, "eaten", "", 0.0],
        [ID, 3, DIGEST_WORD, "stored", "x" * 513, 0.0],
        [ID, 3, DIGEST_WORD, "stored", "", -1.0],
        [ID, 3, DIGEST_WORD, "stored", "", 86_401.0],
        [ID, 3, DIGEST_WORD, "stored", "", 0],
        [ID, 3, DIGEST_WORD, "stored", ""],
        [ID, 3, DIGEST_WORD, "stored"],
        [ID, 3, DIGEST_WORD],
        [*ENTRY, None],
        {"id": ID, "seq": 3, "digest": DIGEST_WORD, "fate": "stored"},
    ],
)
def test_an_entry_out_of_bounds_is_refused(words: Any) -> None:
    with pytest.raises(Malformed):
        read_receipt(written(pid=ID, road="nats", entries=[words]))


@pytest.mark.parametrize(
    "words",
    [
        {"pid": "x", "road": "nats"},
        {"pid": ID},
        {"road": "nats", "pid": ID},
        {"pid": ID, "road": "x" * 33},
        {"pid": ID, "road": "nats", "entries": [ENTRY] * 257},
        {"pid": ID, "road": "nats", "fate": "eaten"},
        {"pid": ID, "road": "nats", "retry_after": 90_000.0},
        {"pid": ID, "road": "nats", "inc": -1},
        {"pid": ID, "road": "nats", "digest": DIGEST_WORD},
    ],
)
def test_a_receipt_out_of_bounds_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_receipt(written(**words))


def test_a_receipt_answers_a_whole_batch() -> None:
    receipt = Receipt(pid=ID, road="nats", entries=tuple(entry(seq=seq) for seq in range(256)))
    assert read_receipt(canonical.encode(receipt)) == receipt


# ── ping, pong, heartbeat ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ping_is_written_as_the_protocol_says() -> None:
    ping = Ping(nonce="a" * 32, certificate=7, manifest=9, revocation=3, known="b" * 16)
    data = written(nonce="a" * 32, certificate=7, manifest=9, revocation=3, known="b" * 16)
    assert canonical.encode(ping) == data
    assert read_ping(data) == ping


@pytest.mark.parametrize(
    "words",
    [
        {"nonce": "a" * 31}, {"nonce": "A" * 32}, {"nonce": "a" * 32 + "\n"}, {}, {"nonce": "a" * 32, "known": "b" * 15},
        {"nonce": "a" * 32, "known": "b" * 16 + "\n"}, {"nonce": "a" * 32, "manifest": -1}, {"nonce": "a" * 32, "seq": 1},
    ],
)  # fmt: skip
def test_a_ping_out_of_bounds_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_ping(written(**words))


def test_a_heartbeat_is_written_as_the_protocol_says() -> None:
    words: dict[str, Any] = {
        "boot": ID, "counter": 4, "certificate": 7, "manifest": 9, "revocation": 3, "known": "b" * 16, "branch": "main",
        "commit": "c" * 40, "audit_count": 12, "audit_head": "d" * 64,
    }  # fmt: skip
    assert canonical.encode(Heartbeat(**words)) == written(**words)
    assert read_heartbeat(written(**words)) == Heartbeat(**words)


@pytest.mark.parametrize(
    "words",
    [
        {"boot": ID}, {"counter": 1}, {"boot": "x", "counter": 1}, {"boot": ID, "counter": -1},
        {"boot": ID, "counter": 1, "branch": "x" * 257}, {"boot": ID, "counter": 1, "commit": "x" * 65},
        {"boot": ID, "counter": 1, "audit_head": "d" * 63}, {"boot": ID, "counter": 1, "audit_head": "d" * 64 + "\n"},
        {"boot": ID, "counter": 1, "audit_count": -1}, {"boot": ID, "counter": 1, "body": "x"},
    ],
)  # fmt: skip
def test_a_heartbeat_out_of_bounds_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_heartbeat(written(**words))


@given(some.binary(max_size=80))
def test_any_bytes_are_none_of_them(data: bytes) -> None:
    for read in (read_receipt, read_ping, read_heartbeat):
        with pytest.raises(Malformed):
            read(data)
