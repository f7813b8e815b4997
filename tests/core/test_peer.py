"""Certificates, manifests, revocations: verified before they are read; and the peer they add up to."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import canonical, policy, sealing
from fleet.core.peer import (
    Certificate,
    FleetKey,
    Manifest,
    Peer,
    Renewal,
    Revocation,
    join_intro,
    kind_of_frame,
    merge,
    read_frame,
    split_intro,
    write_frame,
)
from fleet.core.sealing import SigningKey
from fleet.errors import Barred, Forged, Malformed, TooLarge, WireError
from tests.core.samples import ALICE, ALICE_OPENS, BOB, ROOT, certificate, manifest

REVOCATION = Revocation(v=1, fleet="home", version=3, nodes={"mallory": 12})
RENEWAL = Renewal(v=1, fleet="home", node="alice", key=BOB.public, serial=7)
FLEET_KEY = FleetKey(v=1, fleet="home", serial=2, key=bytes(range(32)))
FRAMES: list[tuple[Any, SigningKey, bytes]] = [
    (certificate(), ROOT, b"FLC1"), (manifest(), ALICE, b"FLM1"), (REVOCATION, ROOT, b"FLV1"), (RENEWAL, ALICE, b"FLQ1"),
    (FLEET_KEY, ROOT, b"FLK1"),
]  # fmt: skip
VALUES = [value for value, _, _ in FRAMES]
KINDS = {type(value) for value in VALUES}
each_frame = pytest.mark.parametrize(
    ("value", "key", "magic"), FRAMES, ids=[type(value).__name__.lower() for value in VALUES]
)


@each_frame
def test_a_frame_is_magic_length_payload_signature(value: Any, key: SigningKey, magic: bytes) -> None:
    frame = write_frame(value, key)
    payload = canonical.encode(value)
    assert frame[:4] == magic
    assert int.from_bytes(frame[4:6], "big") == len(payload)
    assert frame[6:-64] == payload
    assert read_frame(type(value), frame, key.public) == value


@each_frame
def test_another_key_is_forged(value: Any, key: SigningKey, magic: bytes) -> None:
    with pytest.raises(Forged):
        read_frame(type(value), write_frame(value, key), BOB.public)
    with pytest.raises(Forged):
        read_frame(type(value), write_frame(value, BOB), key.public)


@each_frame
def test_every_truncation_of_a_frame_is_refused(value: Any, key: SigningKey, magic: bytes) -> None:
    frame = write_frame(value, key)
    for length in range(len(frame)):
        with pytest.raises(Malformed):
            read_frame(type(value), frame[:length], key.public)
    with pytest.raises(Malformed, match="wrong length"):
        read_frame(type(value), frame + b"\x00", key.public)


@each_frame
def test_every_flipped_bit_of_a_frame_is_noticed(value: Any, key: SigningKey, magic: bytes) -> None:
    frame = write_frame(value, key)
    for at in range(len(frame)):
        for bit in range(8):
            data = bytearray(frame)
            data[at] ^= 1 << bit
            with pytest.raises(WireError):
                read_frame(type(value), bytes(data), key.public)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_frame_of_another_kind_is_refused(value: Any) -> None:
    frame = write_frame(value, ROOT)
    for kind in KINDS - {type(value)}:
        with pytest.raises(Malformed, match="not the frame it should be"):
            read_frame(kind, frame, ROOT.public)


@each_frame
def test_a_frame_says_what_it_claims_to_be(value: Any, key: SigningKey, magic: bytes) -> None:
    assert kind_of_frame(write_frame(value, key)) is type(value)
    assert kind_of_frame(magic) is type(value)


@pytest.mark.parametrize("data", [b"", b"FLC", b"FLT1" + bytes(99), b"flc1"])
def test_other_bytes_claim_to_be_no_frame(data: bytes) -> None:
    assert kind_of_frame(data) is None


def test_a_fleet_key_is_never_printed() -> None:
    for words in (repr(FLEET_KEY), str(FLEET_KEY), f"{FLEET_KEY}", repr([FLEET_KEY])):
        assert "<fleet key 2>" in words
        assert "\\x01\\x02" not in words
        assert FLEET_KEY.key.hex() not in words


def test_a_signature_for_one_kind_does_not_serve_another() -> None:
    """A node that can make its root sign a revocation-shaped text must not get a certificate by it."""
    payload = canonical.encode(certificate())
    signed = b"FLC1" + len(payload).to_bytes(2, "big") + payload
    with pytest.raises(Forged):
        read_frame(Certificate, signed + sealing.sign(ROOT, sealing.REVOCATION, signed), ROOT.public)


def test_a_signed_payload_that_is_not_canonical_is_malformed() -> None:
    payload = canonical.encode(certificate()) + b" "
    signed = b"FLC1" + len(payload).to_bytes(2, "big") + payload
    with pytest.raises(Malformed):
        read_frame(Certificate, signed + sealing.sign(ROOT, sealing.CERTIFICATE, signed), ROOT.public)


def framed(change: Callable[[bytes], bytes]) -> bytes:
    """A manifest frame whose payload was changed before it was signed."""
    payload = change(canonical.encode(manifest()))
    signed = b"FLM1" + len(payload).to_bytes(2, "big") + payload
    return signed + sealing.sign(ALICE, sealing.MANIFEST, signed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'), (b'"node":"alice"', b'"node":"../x"'), (b'"serial":9', b'"serial":-1'),
        (b'"serial":9', b'"serial":9,"serial":10'), (b'"seal":"', b'"seal":"AAAA'), (b"}", b',"name":""}'),
        (b"}", b',"unknown":1}'), (b"}", b',"capabilities":["' + b"x" * 257 + b'"]}'),
        (b"}", b',"capabilities":[' + b",".join([b'"x"'] * 65) + b"]}"),
        (b"}", b',"addresses":{"http":{"url":["x"]}}}'), (b"}", b',"addresses":{"' + b"x" * 33 + b'":{}}}'),
    ],
)  # fmt: skip
def test_a_manifest_out_of_bounds_is_malformed_although_it_is_signed(old: bytes, new: bytes) -> None:
    with pytest.raises(Malformed):
        read_frame(Manifest, framed(lambda payload: payload.replace(old, new, 1)), ALICE.public)


def test_a_manifest_that_nothing_can_be_sealed_to_is_malformed() -> None:
    for point in (bytes(32), b"\x01" + bytes(31)):
        with pytest.raises(Malformed, match="nothing can be sealed to"):
            read_frame(Manifest, write_frame(manifest(seal=point), ALICE), ALICE.public)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "king"}, {"role": "chief\n"}, {"trust": 5}, {"trust": -1}, {"ceiling": 5}, {"key": bytes(31)},
        {"key": bytes(33)}, {"previous": bytes(5)}, {"node": "Alice"}, {"fleet": ""}, {"serial": -1}, {"v": 0},
    ],
)  # fmt: skip
def test_a_certificate_out_of_bounds_is_malformed_although_it_is_signed(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_frame(Certificate, write_frame(certificate(**change), ROOT), ROOT.public)


def test_a_frame_cannot_hold_more_than_its_length_can_say() -> None:
    with pytest.raises(TooLarge, match="a manifest of"):
        write_frame(manifest(addresses={f"c{n}": {"url": "x" * 4096} for n in range(16)}), ALICE)


@given(some.binary(max_size=100))
def test_any_bytes_are_no_frame(data: bytes) -> None:
    for magic, kind in ((magic, type(value)) for value, _, magic in FRAMES):
        for start in (b"", magic):
            with pytest.raises(WireError):
                read_frame(kind, start + data, ROOT.public)


# ── intro ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_intro_is_certificate_and_manifest() -> None:
    first, second = write_frame(certificate(), ROOT), write_frame(manifest(), ALICE)
    assert split_intro(join_intro(first, second)) == (first, second)
    assert len(first + second) < policy.INTRO_LIMIT


def test_a_truncated_intro_never_gives_both() -> None:
    first, second = write_frame(certificate(), ROOT), write_frame(manifest(), ALICE)
    intro = join_intro(first, second)
    for length in range(len(intro)):
        with pytest.raises(WireError):
            found = split_intro(intro[:length])
            read_frame(Certificate, found[0], ROOT.public)
            read_frame(Manifest, found[1], ALICE.public)


@pytest.mark.parametrize("data", [b"", b"FLC1", b"FLM1" + bytes(80), b"FLC0" + bytes(80)])
def test_what_does_not_begin_with_a_certificate_is_no_intro(data: bytes) -> None:
    with pytest.raises(Malformed):
        split_intro(data)


# ── the peer ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TOLD = manifest(
    name="Alice's", description="laptop", agents=("claude",), capabilities=("gpu",), nats="UABC", host_key="ssh-ed25519 A",
    mac="00:11:22:33:44:55", tls="PEM", addresses={"http": {"url": "https://a", "pin": "p"}, "ssh": {"host": "a"}},
)  # fmt: skip


def test_a_peer_is_what_root_and_node_say() -> None:
    peer = merge("alice", certificate(role="chief", trust=3, ceiling=4, previous=b"p" * 32), TOLD, {}, "member")
    assert peer == Peer(
        "alice", key=ALICE.public, previous=b"p" * 32, seal=ALICE_OPENS.public, role="chief", trust=3, ceiling=4,
        enabled=True, source="member", certificate_serial=7, manifest_serial=9, name="Alice's", description="laptop",
        agents=("claude",), capabilities=("gpu",), nats="UABC", host_key="ssh-ed25519 A", mac="00:11:22:33:44:55",
        tls="PEM", timeout=0.0, layers=peer.layers, addresses=peer.addresses,
    )  # fmt: skip
    assert peer.addresses == {"http": {"url": "https://a", "pin": "p"}, "ssh": {"host": "a"}}


def test_the_operators_word_wins_over_both() -> None:
    words = {
        "name": "Studio", "role": "captain", "description": "d", "enabled": False, "agents": ("x",), "capabilities": ("y",),
        "timeout": 7.0, "layer": {"http": "lan"}, "http": {"url": "https://b"}, "git": {"remote": "h:x"},
    }  # fmt: skip
    peer = merge("alice", certificate(), TOLD, words, "static")
    assert (peer.name, peer.role, peer.description, peer.enabled) == ("Studio", "captain", "d", False)
    assert (peer.agents, peer.capabilities, peer.timeout, peer.source) == (("x",), ("y",), 7.0, "static")
    assert peer.layers == {"http": "lan"}
    assert peer.addresses == {
        "http": {"url": "https://b", "pin": "p"}, "ssh": {"host": "a"}, "git": {"remote": "h:x"},
    }  # fmt: skip


def test_the_operators_word_gives_no_trust_and_no_key() -> None:
    peer = merge("alice", certificate(trust=1, ceiling=2), TOLD, {"trust": 4, "ceiling": 4, "key": b"x"}, "static")
    assert (peer.trust, peer.ceiling, peer.key) == (1, 2, ALICE.public)


def test_a_peer_known_by_address_only_has_no_key_and_no_trust() -> None:
    peer = merge("bob", None, None, {"ssh": {"host": "b"}}, "dynamic")
    assert (peer.key, peer.seal, peer.trust, peer.ceiling, peer.name) == (b"", b"", 0, 0, "bob")
    assert peer.address("ssh") == {"host": "b"}


def test_merging_leaves_the_manifest_as_it_was() -> None:
    merge("alice", None, TOLD, {"http": {"url": "changed"}}, "static")
    assert TOLD.addresses["http"]["url"] == "https://a"


def test_a_peer_cannot_be_changed() -> None:
    peer = merge("alice", certificate(), TOLD, {}, "member")
    with pytest.raises(TypeError):
        peer.addresses["http"]["url"] = "x"  # type: ignore[index]
    with pytest.raises(TypeError):
        peer.layers["http"] = "x"  # type: ignore[index]


@pytest.mark.parametrize("peer", [Peer("bob"), merge("bob", None, None, {"ssh": {}}, "static")])
def test_a_road_without_an_address_is_barred_and_says_what_to_set(peer: Peer) -> None:
    with pytest.raises(Barred, match="bob has no ssh address") as caught:
        peer.address("ssh")
    assert caught.value.hint == "fleet peer set bob ssh.…=…"


def test_two_peers_do_not_share_their_empty_tables() -> None:
    assert Peer("a").addresses == Peer("b").addresses == {}
