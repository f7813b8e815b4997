"""Cryptography against the published vectors, and what must not open, fit or be printed."""

import copy
import hashlib
import hmac
import pickle
from pathlib import Path

import cryptography_vectors
import pytest
from hypothesis import given
from hypothesis import strategies as some
from nacl import bindings
from nacl.public import PrivateKey, PublicKey, SealedBox

from fleet.core import canonical, sealing
from fleet.core.parcel import ParcelType, take_apart
from fleet.core.sealing import (
    InnerMismatch,
    OpeningKey,
    Secret,
    check,
    close_box,
    frame,
    kid_of,
    open_box,
    opening_key,
    pre_auth,
    proof,
    same,
    seal,
    short_words,
    sign,
    signing_key,
    unframe,
    unseal,
    verify,
)
from fleet.errors import Forged, Malformed, Unopened
from tests.core.samples import ALICE, ALICE_OPENS, BOB, BOB_OPENS, DICE, FLEET_KEY, envelope, header, parcel

VECTORS = Path(cryptography_vectors.__path__[0])
HELLO = canonical.encode(envelope())


def blocks(name: str) -> list[dict[str, str]]:
    """The records of a vector file: NAME = value, parted by blank lines."""
    found: list[dict[str, str]] = [{}]
    for line in (VECTORS / name).read_text().splitlines():
        if " = " in line:
            key, value = line.split(" = ", 1)
            found[-1][key] = value
        elif not line.strip():
            found.append({})
    return [record for record in found if record]


# ── published vectors ────────────────────────────────────────────────────────────────────────────────────────────────


def test_signatures_are_those_of_rfc_8032() -> None:
    """sign() puts the pre-auth encoding first, so the vectors are checked on the same call below it, and on keys."""
    lines = (VECTORS / "asymmetric/Ed25519/sign.input").read_text().splitlines()
    assert len(lines) == 1024
    for line in lines[:256]:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        key = signing_key(secret[:32])
        assert key.public == public
        assert bindings.crypto_sign(message, key.secret.reveal()) == signed


RFC_8032 = [  # section 7.1: seed, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_the_house_signs_as_rfc_8032_prints(
    monkeypatch: pytest.MonkeyPatch, seed: str, public: str, message: str, signature: str
) -> None:
    monkeypatch.setattr(sealing, "pre_auth", lambda kind, data: data)
    key = signing_key(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert sign(key, b"", bytes.fromhex(message)).hex() == signature
    verify(key.public, b"", bytes.fromhex(message), bytes.fromhex(signature))


def test_scalar_products_are_those_of_rfc_7748() -> None:
    for record in blocks("asymmetric/X25519/rfc7748.txt"):
        scalar, point = bytes.fromhex(record["INPUT_SCALAR"]), bytes.fromhex(record["INPUT_U"])
        assert bindings.crypto_scalarmult(scalar, point).hex() == record["OUTPUT_U"]


def test_an_opening_key_is_derived_as_rfc_7748_prints() -> None:
    """Section 6.1: Bob's keys, and the secret he shares with Alice."""
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    alice = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert opening_key(bob).public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert bindings.crypto_scalarmult(bob, alice).hex() == shared


def test_tags_are_those_of_rfc_4231() -> None:
    records = blocks("HMAC/rfc-4231-sha256.txt")
    assert len(records) >= 5
    for record in records:
        if "Key" in record:
            key, message = bytes.fromhex(record["Key"]), bytes.fromhex(record["Msg"])
            assert proof(key, message).hex().startswith(record["MD"])


def test_a_frame_carries_the_tag_of_rfc_2104() -> None:
    framed = frame(FLEET_KEY, b"parcel", ("a",))
    head = b"FLH1\x00\x01a"
    assert framed == head + hmac.new(FLEET_KEY.reveal(), head + b"parcel", hashlib.sha256).digest() + b"parcel"


@given(some.binary(max_size=300), some.binary(min_size=32, max_size=32))
def test_a_box_of_ours_is_a_sealed_box_of_libsodium(data: bytes, dice: bytes) -> None:
    box = close_box(data, BOB_OPENS.public, dice)
    assert SealedBox(PrivateKey(b"\x05" * 32)).decrypt(box) == data
    assert open_box(box, BOB_OPENS) == data


@given(some.binary(max_size=300))
def test_a_sealed_box_of_libsodium_opens_here(data: bytes) -> None:
    assert open_box(SealedBox(PublicKey(BOB_OPENS.public)).encrypt(data), BOB_OPENS) == data


# ── pre-auth encoding ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_encoding_is_that_of_dsse() -> None:
    text = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_auth(b"http://example.com/HelloWorld", b"hello world") == text


def test_lengths_count_bytes() -> None:
    assert pre_auth("é".encode(), "漢".encode()) == b"DSSEv1 2 \xc3\xa9 3 \xe6\xbc\xa2"


@given(some.binary(max_size=6), some.binary(max_size=6), some.binary(max_size=6), some.binary(max_size=6))
def test_no_two_pairs_have_one_encoding(a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    assert (pre_auth(a, b) == pre_auth(c, d)) == ((a, b) == (c, d))


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_signature_holds_for_its_key_kind_and_bytes_alone() -> None:
    signature = sign(ALICE, sealing.PARCEL, b"data")
    verify(ALICE.public, sealing.PARCEL, b"data", signature)
    for public, kind, data in (
        (BOB.public, sealing.PARCEL, b"data"),
        (ALICE.public, sealing.MANIFEST, b"data"),
        (ALICE.public, sealing.PARCEL, b"data "),
        (ALICE.public, sealing.PARCEL, b""),
    ):
        with pytest.raises(Forged, match="does not fit"):
            verify(public, kind, data, signature)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_forged(length: int) -> None:
    with pytest.raises(Forged, match="wrong length"):
        verify(ALICE.public, sealing.PARCEL, b"", bytes(length))


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_fits_nothing(public: bytes) -> None:
    with pytest.raises(Forged, match="wrong length"):
        verify(public, sealing.PARCEL, b"", bytes(64))


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_a_key_that_is_no_point_fits_nothing(public: bytes) -> None:
    with pytest.raises(Forged):
        verify(public, sealing.PARCEL, b"data", bytes(64))


def test_a_signature_has_no_second_form() -> None:
    """S + L verifies as well as S where nobody checks that S is reduced."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = sign(ALICE, sealing.PARCEL, b"data")
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    with pytest.raises(Forged):
        verify(ALICE.public, sealing.PARCEL, b"data", other)


def test_the_kinds_of_signed_things_differ() -> None:
    words = (sealing.PARCEL, sealing.CERTIFICATE, sealing.MANIFEST, sealing.REVOCATION, sealing.RENEWAL, sealing.FLEET_KEY)
    assert len(set(words)) == 6


def test_a_key_is_named_by_its_hash() -> None:
    assert ALICE.kid == kid_of(ALICE.public) == hashlib.sha256(ALICE.public).digest()[:8]
    assert BOB_OPENS.ekid == hashlib.sha256(BOB_OPENS.public).hexdigest()[:16]


# ── boxes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_box_opens_for_its_addressee_alone() -> None:
    with pytest.raises(Unopened):
        open_box(close_box(b"data", BOB_OPENS.public, DICE), ALICE_OPENS)


def test_every_flipped_bit_of_a_box_is_noticed() -> None:
    box = close_box(b"data", BOB_OPENS.public, DICE)
    for at in range(len(box)):
        for bit in range(8):
            wrong = bytearray(box)
            wrong[at] ^= 1 << bit
            with pytest.raises(Unopened):
                open_box(bytes(wrong), BOB_OPENS)


def test_the_spare_bit_of_the_ephemeral_key_is_bound_by_the_nonce() -> None:
    box = bytearray(close_box(b"data", BOB_OPENS.public, DICE))
    box[31] ^= 0x80
    with pytest.raises(Unopened):
        open_box(bytes(box), BOB_OPENS)


def test_every_truncation_of_a_box_is_noticed() -> None:
    box = close_box(b"data", BOB_OPENS.public, DICE)
    for length in range(len(box)):
        with pytest.raises(Unopened):
            open_box(box[:length], BOB_OPENS)


LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_point_of_low_order_is_refused_both_ways(point: bytes) -> None:
    with pytest.raises(Malformed, match="nothing can be sealed to"):
        close_box(b"data", point, DICE)
    with pytest.raises(Unopened):
        open_box(point + bytes(40), BOB_OPENS)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_cannot_be_sealed_to(key: bytes) -> None:
    with pytest.raises((Malformed, TypeError)):
        close_box(b"data", key, DICE)


def test_other_dice_make_another_box() -> None:
    assert close_box(b"data", BOB_OPENS.public, DICE) == close_box(b"data", BOB_OPENS.public, DICE)
    assert close_box(b"data", BOB_OPENS.public, DICE) != close_box(b"data", BOB_OPENS.public, b"\x09" * 32)


# ── parcels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def opened(data: bytes, *keys: OpeningKey) -> list[bytes]:
    """Take apart, verify and unseal a parcel of alice's."""
    raw = take_apart(data)
    return unseal(raw, check(raw, ALICE.public), keys or (BOB_OPENS,))


@pytest.mark.parametrize("items", [(HELLO,), (HELLO, b""), (b"a", b"b", b"c" * 1000)])
def test_what_was_sealed_is_unsealed(items: tuple[bytes, ...]) -> None:
    assert opened(parcel(items, b"intro")) == list(items)


def test_a_parcel_shows_nothing_of_its_body() -> None:
    assert b"hello" not in parcel()


def test_a_former_key_still_opens() -> None:
    former = opening_key(b"\x0a" * 32)
    assert opened(parcel(), former, BOB_OPENS) == [HELLO]


@pytest.mark.parametrize("keys", [(ALICE_OPENS,), (ALICE_OPENS, opening_key(b"\x0a" * 32))])
def test_without_the_key_it_stays_sealed(keys: tuple[OpeningKey, ...]) -> None:
    with pytest.raises(Unopened):
        opened(parcel(), *keys)
    raw = take_apart(parcel())
    with pytest.raises(Unopened):
        unseal(raw, check(raw, ALICE.public), [])


def test_another_signer_is_forged() -> None:
    raw = take_apart(parcel())
    with pytest.raises(Forged):
        check(raw, BOB.public)


def test_a_header_is_read_only_after_it_is_verified() -> None:
    data = seal(ParcelType.MAIL, BOB, BOB_OPENS.public, header(), [HELLO], DICE).replace(b'"v":1', b'"v":2')
    with pytest.raises(Forged):
        check(take_apart(data), BOB.public)


def test_a_signed_header_that_is_not_canonical_is_malformed() -> None:
    head = canonical.encode(header()).replace(b'"v":1', b'"v": 1')
    signed = sealing.layout.head(ParcelType.MAIL, ALICE.kid, b"", head, 0)
    with pytest.raises(Malformed):
        check(take_apart(signed + sign(ALICE, sealing.PARCEL, signed)), ALICE.public)


def test_nobody_can_put_his_name_on_anothers_words() -> None:
    """Strip the signature, keep the sealed body, sign with another key under one's own header."""
    stolen = take_apart(parcel()).body
    mine = canonical.encode(header(sender="mallory"))
    signed = sealing.layout.head(ParcelType.MAIL, BOB.kid, b"", mine, len(stolen)) + stolen
    raw = take_apart(signed + sign(BOB, sealing.PARCEL, signed))
    with pytest.raises(InnerMismatch):
        unseal(raw, check(raw, BOB.public), [BOB_OPENS])


def test_an_intro_cannot_be_exchanged() -> None:
    raw = take_apart(parcel(intro=b"mine"))
    signed = sealing.layout.head(ParcelType.MAIL, ALICE.kid, b"yours", raw.header, len(raw.body)) + raw.body
    swapped = take_apart(signed + sign(ALICE, sealing.PARCEL, signed))
    with pytest.raises(InnerMismatch):
        unseal(swapped, check(swapped, ALICE.public), [BOB_OPENS])


def test_a_body_without_its_hash_is_malformed() -> None:
    head = canonical.encode(header())
    body = close_box(b"short", BOB_OPENS.public, DICE)
    signed = sealing.layout.head(ParcelType.MAIL, ALICE.kid, b"", head, len(body)) + body
    with pytest.raises(Malformed, match="without its hash"):
        opened(signed + sign(ALICE, sealing.PARCEL, signed))


def test_a_body_with_another_number_of_items_is_malformed() -> None:
    data = seal(ParcelType.MAIL, ALICE, BOB_OPENS.public, header(n=2), [HELLO], DICE)
    with pytest.raises(Malformed, match="fewer items"):
        opened(data)


# ── frames, proofs, words ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_opens_with_any_key_in_force() -> None:
    framed = frame(FLEET_KEY, b"parcel")
    assert unframe([Secret(b"\x08" * 32), FLEET_KEY], framed) == ((), b"parcel")
    for keys in ([Secret(b"\x08" * 32)], []):
        with pytest.raises(Forged, match="hop tag"):
            unframe(keys, framed)


def test_a_relay_cannot_change_where_a_frame_came_through() -> None:
    framed = frame(FLEET_KEY, b"parcel", ("chief1",))
    with pytest.raises(Forged):
        unframe([FLEET_KEY], framed.replace(b"chief1", b"chief2"))


def test_secrets_are_compared_as_a_whole() -> None:
    assert same(b"secret", b"secret")
    assert not same(b"secret", b"secreT")
    assert not same(b"secret", b"secret ")


@given(some.binary(max_size=40), some.binary(max_size=40))
def test_short_words_are_six_digits_that_both_sides_compute_alike(a: bytes, b: bytes) -> None:
    words = short_words(a, b)
    assert len(words) == 7
    assert words[3] == "-"
    assert (words[:3] + words[4:]).isdigit()
    assert words == short_words(a, b)


def test_short_words_differ_for_different_keys() -> None:
    assert len({short_words(bytes([n]) * 32, b"b" * 32) for n in range(200)}) > 195


# ── secrets do not leak ──────────────────────────────────────────────────────────────────────────────────────────────

MATERIAL = bytes(range(32))


@pytest.mark.parametrize("print_it", [str, repr, "{}".format, "{!r}".format, "%s".__mod__, ascii])
def test_a_secret_is_never_printed(print_it: object) -> None:
    assert callable(print_it)
    for holder in (Secret(MATERIAL), signing_key(MATERIAL), opening_key(MATERIAL), [Secret(MATERIAL)]):
        words = print_it(holder)
        assert "<secret>" in words
        assert MATERIAL.hex() not in words
        assert repr(MATERIAL)[2:20] not in words


def test_a_secret_is_not_formatted_either() -> None:
    assert f"{Secret(MATERIAL):>40} {Secret(MATERIAL)!s} {Secret(MATERIAL)!r}" == "<secret> <secret> <secret>"


def test_a_secret_is_neither_pickled_nor_copied() -> None:
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            act(Secret(MATERIAL))


def test_a_secret_has_no_dictionary_to_dump() -> None:
    assert not hasattr(Secret(MATERIAL), "__dict__")
    assert Secret(MATERIAL) != Secret(MATERIAL)
    assert Secret(MATERIAL).reveal() == MATERIAL
