"""The bytes that travel: every truncation, every lying length, every flipped bit is noticed."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import canonical, parcel, policy, sealing
from fleet.core.parcel import ANSWERS, Parcel, ParcelType, join_items, read_header, split_hop, split_items, take_apart
from fleet.errors import Forged, Malformed, WireError
from tests.core.samples import ALICE, BOB_OPENS, FLEET_KEY, ID, envelope, header, written
from tests.core.samples import parcel as sealed

PARCEL = sealed(intro=b"intro")
HEAD = 21


def accepted(data: bytes) -> list[bytes]:
    """Everything the receiver does to a parcel of alice's; raises what it raises."""
    raw = take_apart(data)
    return sealing.unseal(raw, sealing.check(raw, ALICE.public), [BOB_OPENS])


# ── layout ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_layout_is_the_one_of_the_protocol() -> None:
    body_length = len(sealed()) - HEAD - len(canonical.encode(header())) - 64
    data = sealed(intro=b"intro")
    assert data[:4] == b"FLT1"
    assert data[4] == ParcelType.MAIL == 1
    assert data[5:13] == ALICE.kid
    assert data[13:21] == struct.pack(">HHI", 5, len(canonical.encode(header())), body_length)
    assert data[21:26] == b"intro"
    assert data[26 : 26 + len(canonical.encode(header()))] == canonical.encode(header())


def test_a_parcel_is_taken_apart_where_it_was_put_together() -> None:
    raw = take_apart(PARCEL)
    assert (raw.type, raw.kid, raw.intro, raw.header) == (ParcelType.MAIL, ALICE.kid, b"intro", canonical.encode(header()))
    assert raw.signed + raw.signature == PARCEL
    assert raw.signed.endswith(raw.body)
    assert len(raw.signature) == 64
    assert accepted(PARCEL) == [canonical.encode(envelope())]


@pytest.mark.parametrize("kind", ParcelType)
def test_every_type_has_its_number(kind: ParcelType) -> None:
    numbers = {
        "MAIL": 1, "RECEIPT": 2, "PING": 3, "PONG": 4, "HEARTBEAT": 5, "MANIFEST": 6, "CERTIFICATE": 7, "REVOCATION": 8,
    }  # fmt: skip
    assert numbers[kind.name] == kind
    assert len(numbers) == len(ParcelType)


def test_receipts_and_pongs_are_the_answers() -> None:
    assert {ParcelType.RECEIPT, ParcelType.PONG} == ANSWERS


@pytest.mark.parametrize("number", [0, 9, 255])
def test_an_unknown_type_is_refused(number: int) -> None:
    with pytest.raises(Malformed, match=f"parcel type {number}"):
        take_apart(PARCEL[:4] + bytes([number]) + PARCEL[5:])


def test_every_truncation_is_refused() -> None:
    for length in range(len(PARCEL)):
        with pytest.raises(Malformed):
            take_apart(PARCEL[:length])


@pytest.mark.parametrize("tail", [b"\x00", b"\n", PARCEL])
def test_trailing_bytes_are_refused(tail: bytes) -> None:
    with pytest.raises(Malformed, match="do not add up"):
        take_apart(PARCEL + tail)


@pytest.mark.parametrize("at", [13, 15, 17])
@pytest.mark.parametrize("lie", [-1, 1, 7, -5])
def test_a_length_that_lies_is_refused(at: int, lie: int) -> None:
    size = ">I" if at == 17 else ">H"
    length = struct.unpack_from(size, PARCEL, at)[0]
    data = bytearray(PARCEL)
    struct.pack_into(size, data, at, length + lie)
    with pytest.raises(Malformed):
        take_apart(bytes(data))


def test_lengths_that_lie_and_still_add_up_do_not_verify() -> None:
    data = bytearray(PARCEL)
    intro, head, body = struct.unpack_from(">HHI", PARCEL, 13)
    for shifted in ((intro - 1, head + 1, body), (intro, head - 1, body + 1), (intro + 1, head, body - 1)):
        struct.pack_into(">HHI", data, 13, *shifted)
        take_apart(bytes(data))
        with pytest.raises(Forged):
            accepted(bytes(data))


def test_every_single_flipped_bit_is_noticed() -> None:
    for at in range(len(PARCEL)):
        for bit in range(8):
            data = bytearray(PARCEL)
            data[at] ^= 1 << bit
            with pytest.raises(WireError):
                accepted(bytes(data))


@given(some.binary(max_size=400))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        take_apart(data)


@given(some.binary(max_size=400))
def test_any_bytes_behind_the_right_magic_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        accepted(b"FLT1\x01" + data)


@pytest.mark.parametrize(("at", "limit"), [(13, policy.INTRO_LIMIT), (15, policy.HEADER_LIMIT)])
def test_intro_and_header_have_caps(at: int, limit: int) -> None:
    def shaped(length: int) -> bytes:
        lengths = (length, 0, 0) if at == 13 else (0, length, 0)
        return struct.pack(">4sB8sHHI", b"FLT1", 1, bytes(8), *lengths) + bytes(length + 64)

    take_apart(shaped(limit))
    with pytest.raises(Malformed, match="over its limit"):
        take_apart(shaped(limit + 1))


def test_the_whole_has_a_cap() -> None:
    def shaped(length: int) -> bytes:
        return struct.pack(">4sB8sHHI", b"FLT1", 1, bytes(8), 0, 0, length - HEAD - 64) + bytes(length - HEAD)

    take_apart(shaped(policy.PARCEL_LIMIT))
    with pytest.raises(Malformed, match=f"a parcel of {policy.PARCEL_LIMIT + 1} bytes"):
        take_apart(shaped(policy.PARCEL_LIMIT + 1))


def test_a_parcel_of_nothing_is_refused() -> None:
    with pytest.raises(Malformed, match="a parcel of 85 bytes"):
        take_apart(struct.pack(">4sB8sHHI", b"FLT1", 1, bytes(8), 0, 0, 0) + bytes(64))


def test_another_magic_is_no_parcel() -> None:
    with pytest.raises(Malformed, match="not a parcel"):
        take_apart(b"FLT2" + PARCEL[4:])


# ── header ───────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS: dict[str, Any] = {
    "v": 1, "pid": ID, "fleet": "home", "from": "alice", "to": "bob", "ts": 1000, "exp": 2000, "hops": 8, "enc": "x25519",
    "ekid": BOB_OPENS.ekid, "inc": 5, "low": 1, "n": 1,
}  # fmt: skip


def test_the_header_has_the_words_of_the_protocol_in_their_order() -> None:
    assert canonical.encode(header()) == written(**WORDS)
    assert read_header(written(**WORDS)) == header()
    assert read_header(written(**WORDS, re=ID)).re == ID


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"v": 0}, {"v": "1"}, {"pid": "x"}, {"pid": ID + "\n"}, {"fleet": "Home"}, {"from": "../x"}, {"from": ""},
        {"to": "bob\n"}, {"to": "a" * 64}, {"ts": -1}, {"exp": (1 << 53) + 1}, {"hops": 65}, {"hops": -1}, {"enc": "none"},
        {"enc": "x25519\n"}, {"enc": ""}, {"ekid": "00"}, {"ekid": "G" * 16}, {"inc": -1}, {"low": -1}, {"n": 0}, {"n": 257},
        {"n": 1.0}, {"re": None}, {"re": "x"}, {"sender": "alice"},
    ],
)  # fmt: skip
def test_a_header_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_header(written(**(WORDS | change)))


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_header_is_required(word: str) -> None:
    with pytest.raises(Malformed):
        read_header(written(**{name: value for name, value in WORDS.items() if name != word}))


@pytest.mark.parametrize("change", [{"hops": 0}, {"hops": 64}, {"n": 256}, {"to": "a" * 63}, {"exp": 1 << 53}])
def test_a_header_at_its_bounds_is_taken(change: dict[str, Any]) -> None:
    assert canonical.encode(read_header(written(**(WORDS | change)))) == written(**(WORDS | change))


# ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(some.lists(some.binary(max_size=20), min_size=1, max_size=8))
def test_items_survive_being_joined(items: list[bytes]) -> None:
    assert split_items(join_items(items), len(items)) == items


@given(some.lists(some.binary(max_size=9), min_size=1, max_size=4), some.integers(0, 6))
def test_another_number_of_items_is_refused(items: list[bytes], n: int) -> None:
    if n != len(items):
        with pytest.raises(Malformed):
            split_items(join_items(items), n)


@pytest.mark.parametrize(
    ("data", "n", "words"),
    [
        (b"", 1, "fewer items"),
        (b"\x00\x00\x00", 1, "fewer items"),
        (b"\x00\x00\x00\x01a", 2, "fewer items"),
        (b"\x00\x00\x00\x02a", 1, "longer than its parcel"),
        (b"\xff\xff\xff\xffa", 1, "longer than its parcel"),
        (b"\x00\x00\x00\x01ab", 1, "behind the last"),
        (b"\x00", 0, "behind the last"),
    ],
)
def test_items_that_do_not_fill_their_parcel_are_refused(data: bytes, n: int, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        split_items(data, n)


# ── hop frame ────────────────────────────────────────────────────────────────────────────────────────────────────────

EIGHT = tuple(f"{n}" * 63 for n in range(8))


@pytest.mark.parametrize("via", [(), ("chief1",), ("chief1", "chief2"), EIGHT])
def test_a_hop_frame_names_its_relays(via: tuple[str, ...]) -> None:
    framed = sealing.frame(FLEET_KEY, PARCEL, via)
    assert framed[:4] == b"FLH1"
    assert sealing.unframe([FLEET_KEY], framed) == (via, PARCEL)


def test_the_layout_of_a_hop_frame_is_the_one_of_the_protocol() -> None:
    framed = sealing.frame(FLEET_KEY, b"parcel", ("a", "b"))
    assert framed[:9] == b"FLH1\x00\x03a,b"
    assert split_hop(framed) == (("a", "b"), b"FLH1\x00\x03a,b", framed[9:41], b"parcel")


def test_every_truncation_of_a_hop_frame_is_refused() -> None:
    framed = sealing.frame(FLEET_KEY, b"parcel", ("chief1",))
    for length in range(len(framed)):
        with pytest.raises(WireError):
            sealing.unframe([FLEET_KEY], framed[:length])


def test_every_flipped_bit_of_a_hop_frame_is_noticed() -> None:
    framed = sealing.frame(FLEET_KEY, b"parcel", ("chief1",))
    for at in range(len(framed)):
        for bit in range(8):
            data = bytearray(framed)
            data[at] ^= 1 << bit
            with pytest.raises(WireError):
                sealing.unframe([FLEET_KEY], bytes(data))


@pytest.mark.parametrize(
    "names", [b",", b"a,", b",a", b"A", b"a,,b", b"a b", b"../x", b"\xff", b"a\n", b",".join([b"a"] * 9), b"a" * 64]
)
def test_relays_that_cannot_be_are_refused(names: bytes) -> None:
    head = b"FLH1" + struct.pack(">H", len(names)) + names
    with pytest.raises(Malformed, match="impossible relays"):
        split_hop(head + bytes(32) + b"parcel")


def test_a_list_of_relays_that_is_too_long_is_refused_unread() -> None:
    names = b"a" * (policy.VIA_LIMIT * 64 + 1)
    with pytest.raises(Malformed, match="not a hop frame"):
        split_hop(b"FLH1" + struct.pack(">H", len(names)) + names + bytes(32))


@given(some.binary(max_size=120))
def test_any_bytes_are_no_hop_frame(data: bytes) -> None:
    for start in (b"", b"FLH1", b"FLH1\x00\x00"):
        with pytest.raises(WireError):
            sealing.unframe([FLEET_KEY], start + data)


# ── what a road is given ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_parcel_on_the_road_has_the_length_of_its_bytes() -> None:
    assert len(Parcel(ID, "alice", "bob", 2000, b"12345")) == 5


def test_the_magic_of_parcel_and_frame_differ() -> None:
    assert {parcel.MAGIC, parcel.HOP_MAGIC} == {b"FLT1", b"FLH1"}
