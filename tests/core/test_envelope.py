"""One message as bytes: identity, head and content, bounds, and the table of kinds as the mission prints it."""

import hashlib
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import canonical, policy
from fleet.core.envelope import (
    KINDS,
    Cost,
    Envelope,
    Kind,
    Priority,
    content,
    content_of,
    digest,
    is_message_id,
    is_node_id,
    kind_of,
    make_id,
    read,
    stamp,
)
from fleet.errors import Malformed
from tests.core.samples import ID, envelope, wire

MAX = policy.SAFE_INTEGER


# ── head and content ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_envelope_begins_with_seq_and_exp() -> None:
    assert canonical.encode(envelope()) == b'{"seq":3,"exp":2000,"id":"%b","ts":1000,"body":"hello"}' % ID.encode()


def test_the_content_is_all_but_seq_and_exp() -> None:
    assert content_of(envelope()) == b'"id":"%b","ts":1000,"body":"hello"}' % ID.encode()


@given(some.integers(0, MAX), some.integers(0, MAX), some.text())
def test_any_seq_and_exp_can_be_put_before_a_frozen_content(seq: int, exp: int, body: str) -> None:
    frozen = content_of(envelope(body=body))
    stamped = stamp(frozen, seq, exp)
    assert content(stamped, seq, exp) == frozen
    assert read(stamped) == envelope(body=body, seq=seq, exp=exp)


def test_the_digest_does_not_depend_on_seq_and_exp() -> None:
    assert digest(content_of(envelope(seq=1, exp=2))) == digest(content_of(envelope(seq=99, exp=MAX)))
    assert digest(content_of(envelope())) == hashlib.sha256(content_of(envelope())).digest()


@pytest.mark.parametrize("change", [{"body": "other"}, {"ts": 1001}, {"priority": 2}, {"cost": Cost(hops=7)}, {"re": ID}])
def test_the_digest_depends_on_everything_else(change: dict[str, Any]) -> None:
    assert digest(content_of(envelope(**change))) != digest(content_of(envelope()))


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        {"priority": 4}, {"priority": -1}, {"re": "x"}, {"re": ID + "0"}, {"re": ID.upper().replace("0", "A")}, {"type": ""},
        {"type": "Alert"}, {"type": "a" * 33}, {"type": "1a"}, {"type": "a\n"}, {"type": "a_b"}, {"correlation": "x" * 257},
        {"from_agent": "x" * 257}, {"to_agent": "x" * 257}, {"session": "x" * 257}, {"ctype": "x" * 257}, {"context": []},
        {"context": "x"}, {"cost": {"tokens": -1}}, {"cost": {"tokens": 10**9 + 1}}, {"cost": {"hops": 65}},
        {"cost": {"hops": -1}}, {"cost": {"micro_usd": 10**12 + 1}}, {"cost": {"tokens": 1.5}}, {"cost": {"usd": 1}},
        {"context": {"a": MAX + 1}}, {"body": 1}, {"correlation": 1},
    ],
)  # fmt: skip
def test_a_field_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(wire(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"type": "a" * 32}, {"type": "build-result-7"}, {"priority": 3}, {"re": ID}, {"correlation": "x" * 256},
        {"context": {"a": [1]}}, {"cost": {"tokens": 10**9, "micro_usd": 10**12, "hops": 64}}, {"cost": {"hops": 0}},
        {"body": {"a": MAX}},
    ],
)  # fmt: skip
def test_a_field_at_its_bound_is_taken(change: dict[str, Any]) -> None:
    assert canonical.encode(read(wire(**change))) == wire(**change)


@pytest.mark.parametrize(
    "data",
    [
        wire().replace(b'"seq":3', b'"seq":-1'),
        wire().replace(b'"seq":3', b'"seq":9007199254740993'),
        wire().replace(b'"exp":2000', b'"exp":-1'),
        wire().replace(b'"ts":1000', b'"ts":9007199254740993'),
        wire().replace(b'"ts":1000', b'"ts":"1000"'),
        wire().replace(b'"ts":1000', b'"ts":1000.0'),
        wire().replace(b'"seq":3,', b""),
        wire().replace(b'"seq":3,"exp":2000', b'"exp":2000,"seq":3'),
        wire().replace(ID.encode(), ID.encode() + b"\\n"),
        wire().replace(ID.encode(), b"G" * 32),
        wire().replace(ID.encode(), b"0" * 31),
    ],
)
def test_a_required_field_that_is_missing_moved_or_wrong_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


def test_size_is_bounded_before_anything_is_parsed() -> None:
    room = policy.ENVELOPE_LIMIT - len(wire(body=""))
    assert read(wire(body="x" * room)).body == "x" * room
    with pytest.raises(Malformed, match="more than 524288 bytes"):
        read(wire(body="x" * (room + 1)))


@pytest.mark.parametrize("field", ["body", "context"])
def test_depth_is_bounded_in_body_and_context(field: str) -> None:
    value: Any = {}
    for _ in range(policy.JSON_DEPTH - 1):
        value = {"a": value}
    read(wire(**{field: value}))
    with pytest.raises(Malformed, match="nested deeper"):
        read(wire(**{field: {"a": value}}))


def test_an_envelope_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        envelope().body = "other"  # type: ignore[misc]


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("word", ["a", "0", "mac1", "a-b", "a-", "a" * 63])
def test_a_node_id_is_plain(word: str) -> None:
    assert is_node_id(word)


@pytest.mark.parametrize(
    "word",
    ["", "-a", "A", "a" * 64, "a.b", "a/b", "..", "a b", "a\n", "\na", "a\x00", "é", "ａ", "٣", "a_b", "a*", "a>", "con\r"],
)
def test_a_node_id_is_never_a_path_a_subject_or_two_lines(word: str) -> None:
    assert not is_node_id(word)


@pytest.mark.parametrize(
    "word", ["", "0" * 31, "0" * 33, "0" * 31 + "g", "0" * 31 + "A", "0" * 32 + "\n", " " + "0" * 31, "٣" * 32]
)
def test_a_message_id_is_hexadecimal_and_nothing_else(word: str) -> None:
    assert is_message_id("0123456789abcdef" * 2)
    assert not is_message_id(word)


@given(some.integers(0, (1 << 48) - 1), some.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7(now: int, dice: bytes) -> None:
    made = uuid.UUID(make_id(now, dice))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == now
    assert is_message_id(make_id(now, dice))


def test_the_id_of_the_standards_example_is_made() -> None:
    dice = ((0xCC3 << 62) | 0x18C4DC0C0C07398F).to_bytes(10, "big")  # RFC 9562, appendix A.6
    assert make_id(0x017F22E279B0, dice) == "017f22e279b07cc398c4dc0c0c07398f"


def test_ids_sort_by_time() -> None:
    assert make_id(1, b"\xff" * 10) < make_id(2, b"\x00" * 10)


def test_different_dice_make_different_ids() -> None:
    made = {make_id(1, bytes([0] * at + [1 << bit] + [0] * (9 - at))) for at in range(10) for bit in range(8)}
    assert len(made) >= 74  # of 80 random bits 6 give way to version and variant


def test_the_priorities_are_four_words() -> None:
    assert [priority.word for priority in Priority] == ["low", "normal", "high", "urgent"]
    assert list(Priority) == [0, 1, 2, 3]


# ── the table of kinds (mission M3, M13) ─────────────────────────────────────────────────────────────────────────────

WEEK, HOUR, MINUTE = 604_800.0, 3600.0, 60.0
P1, P1_2 = ("nats",), ("nats", "http")
P1_3, P1_4, P1_5 = (*P1_2, "relay"), (*P1_2, "relay", "seed"), (*P1_2, "relay", "seed", "ssh")


@pytest.mark.parametrize(
    ("word", "roads", "then_all", "trust", "tries", "ttl", "confirm", "answer"),
    [
        ("message", (), False, 2, 0, WEEK, True, "receipt"),
        ("context", P1_4, False, 2, 0, WEEK, True, "receipt"),
        ("task", P1_3, False, 3, 0, HOUR, True, "receipt, later done"),
        ("reply", P1_2, True, 2, 0, WEEK, True, "receipt"),
        ("alert", P1, False, 2, 3, WEEK, True, "receipt"),
        ("broadcast", P1, False, 2, 1, MINUTE, False, "receipt"),
        ("sync", P1_3, False, 3, 0, WEEK, True, "receipt"),
        ("repair", P1_5, False, 4, 0, HOUR, True, "receipt with result"),
        ("query", (), False, 2, 0, WEEK, True, "reply"),
        ("spawn", P1_3, False, 4, 0, HOUR, True, "receipt, later done"),
        ("handoff", P1_5, False, 2, 0, WEEK, True, "receipt"),
    ],
)
def test_every_kind_is_what_the_mission_says(
    word: str, roads: tuple[str, ...], then_all: bool, trust: int, tries: int, ttl: float, confirm: bool, answer: str
) -> None:
    kind = Kind(
        word, roads=roads, then_all=then_all, trust=trust, tries=tries, ttl=ttl, confirm=confirm, answer=answer,
        session=word == "task",
    )  # fmt: skip
    assert KINDS[word] == kind


def test_there_are_no_other_kinds() -> None:
    assert len(KINDS) == 11


@pytest.mark.parametrize("word", KINDS)
def test_every_kind_travels(word: str) -> None:
    sent = envelope(type=word)
    assert read(canonical.encode(sent)).type == word


def test_an_unknown_kind_is_opaque_mail() -> None:
    assert kind_of("telegram") == Kind("telegram")
    assert kind_of("alert") is KINDS["alert"]
    assert kind_of("alert", {}) == Kind("alert")


def test_the_type_annotation_of_a_body_is_text_or_object() -> None:
    assert isinstance(read(wire(body={"a": 1})), Envelope)
