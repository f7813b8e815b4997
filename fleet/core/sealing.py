"""Sign, verify, seal, open, tag: the only place of the house that does cryptography; dice are arguments, never drawn.

Ed25519 (RFC 8032) over the DSSE pre-auth encoding of the exact bytes that travel; X25519 sealed boxes (RFC 7748) with a
given ephemeral key; HMAC-SHA256 (RFC 4231) between hops. Verify first, then open the same bytes once.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from fleet.core import canonical
from fleet.core import parcel as layout
from fleet.core.parcel import Header, ParcelType, Raw
from fleet.errors import Forged, Malformed, Unopened

LOCKED = b"FLR1"
LARGE = 32 * 1024  # bytes; from here on OpenSSL's faster SHA-512 outweighs its slower curve (measured: half at 256 KiB)
PARCEL = b"application/vnd.fleet.parcel"
CERTIFICATE = b"application/vnd.fleet.certificate"
MANIFEST = b"application/vnd.fleet.manifest"
REVOCATION = b"application/vnd.fleet.revocation"
RENEWAL = b"application/vnd.fleet.renewal"
FLEET_KEY = b"application/vnd.fleet.fleet-key"
AUDIT = b"application/vnd.fleet.audit"


class Secret:
    """Key material that cannot be printed, formatted, compared or pickled by accident (F10)."""

    __slots__ = ("_bytes",)

    def __init__(self, material: bytes) -> None:
        """Wrap the raw bytes."""
        self._bytes = material

    def reveal(self) -> bytes:
        """Hand the raw bytes to the one caller that needs them: a key file or a cipher."""
        return self._bytes

    def __repr__(self) -> str:
        """Say that there is a secret, never which."""
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Say that there is a secret, whatever the format asks for."""
        return "<secret>"

    def __reduce__(self) -> tuple[type, ...]:
        """Refuse to be pickled."""
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The Ed25519 key by which a node (or the fleet's root) is known."""

    secret: Secret
    public: bytes

    @property
    def kid(self) -> bytes:
        """The 8 bytes that name the public key in a parcel."""
        return kid_of(self.public)


@dataclass(frozen=True, slots=True)
class OpeningKey:
    """The X25519 key that opens what is sealed to a node."""

    secret: Secret
    public: bytes

    @property
    def ekid(self) -> str:
        """The name of the public key in a header."""
        return kid_of(self.public).hex()


def signing_key(seed: bytes) -> SigningKey:
    """Derive the signing key from its 32-byte seed."""
    public, secret = sodium.crypto_sign_seed_keypair(seed)
    return SigningKey(Secret(secret), public)


def opening_key(seed: bytes) -> OpeningKey:
    """Derive the opening key from its 32-byte seed."""
    return OpeningKey(Secret(seed), sodium.crypto_scalarmult_base(seed))


def kid_of(public: bytes) -> bytes:
    """Name a public key by the first 8 bytes of its SHA-256."""
    return hashlib.sha256(public).digest()[:8]


def pre_auth(kind: bytes, data: bytes) -> bytes:
    """Encode type and bytes so that neither can be mistaken for the other (DSSE v1 PAE; lengths count bytes)."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(data), data)


def sign(key: SigningKey, kind: bytes, data: bytes) -> bytes:
    """Sign `data` as `kind`: 64 bytes. Ed25519 is deterministic: both libraries give the same."""
    if len(data) >= LARGE:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(key.secret.reveal()[:32]).sign(pre_auth(kind, data))
    return sodium.crypto_sign(pre_auth(kind, data), key.secret.reveal())[: layout.SIGNATURE]


def verify(public: bytes, kind: bytes, data: bytes, signature: bytes) -> None:
    """Check a signature. Raises Forged for a wrong one, whatever its length."""
    if len(signature) != layout.SIGNATURE or len(public) != 32:
        raise Forged("a signature or key of the wrong length")
    if len(data) >= LARGE:
        _verify_large(public, pre_auth(kind, data), signature)
        return
    try:
        sodium.crypto_sign_open(signature + pre_auth(kind, data), public)
    except (CryptoError, ValueError):
        raise Forged("the signature does not fit") from None


def _verify_large(public: bytes, message: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not _is_sound(public):
        raise Forged("a key of small order signs anything")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Forged("the signature does not fit") from None


@functools.lru_cache(1024)
def _is_sound(public: bytes) -> bool:
    """Say whether a key lies in the main subgroup: libsodium refuses others with every signature, OpenSSL does not."""
    return bool(sodium.crypto_core_ed25519_is_valid_point(public))


def _nonce(ephemeral: bytes, to: bytes) -> bytes:
    return hashlib.blake2b(ephemeral + to, digest_size=24).digest()


def close_box(data: bytes, to: bytes, dice: bytes) -> bytes:
    """Seal `data` to a public X25519 key with the ephemeral secret `dice` (32 bytes): libsodium's sealed box.

    Raises Malformed for a key that nothing can be sealed to (a point of low order).
    """
    ephemeral = sodium.crypto_scalarmult_base(dice)
    try:
        return ephemeral + sodium.crypto_box(data, _nonce(ephemeral, to), to, dice)
    except (CryptoError, ValueError):
        raise Malformed("a key that nothing can be sealed to") from None


def open_box(box: bytes, key: OpeningKey) -> bytes:
    """Open a sealed box. Raises Unopened."""
    if len(box) < layout.SEAL_OVERHEAD:
        raise Unopened("a box too short to hold anything")
    ephemeral = box[:32]
    try:
        return sodium.crypto_box_open(box[32:], _nonce(ephemeral, key.public), ephemeral, key.secret.reveal())
    except (CryptoError, ValueError):
        raise Unopened() from None


def seal(
    kind: ParcelType, key: SigningKey, to: bytes, header: Header, items: Sequence[bytes], dice: bytes, intro: bytes = b""
) -> bytes:
    """Write one parcel: items sealed to the X25519 key `to`, everything signed by `key`."""
    head_bytes = canonical.encode(header)
    inner = hashlib.sha256(intro + head_bytes).digest() + layout.join_items(list(items))
    body = close_box(inner, to, dice)
    signed = layout.head(kind, key.kid, intro, head_bytes, len(body)) + body
    return signed + sign(key, PARCEL, signed)


def check(raw: Raw, public: bytes) -> Header:
    """Verify a parcel's signature, then read the header from those same bytes. Raises Forged or Malformed."""
    verify(public, PARCEL, raw.signed, raw.signature)
    return layout.read_header(raw.header)


class InnerMismatch(Forged):
    """The sealed part does not belong to this header: the signer put its name on another's words."""


def unseal(raw: Raw, header: Header, keys: Sequence[OpeningKey]) -> list[bytes]:
    """Open a verified parcel's body into its items.

    Raises Unopened when none of `keys` is meant, InnerMismatch when the box was made for another header.
    """
    for key in keys:
        if key.ekid == header.ekid:
            inner = open_box(raw.body, key)
            break
    else:
        raise Unopened()
    if len(inner) < layout.INNER_HASH:
        raise Malformed("a sealed body without its hash")
    if not hmac.compare_digest(inner[: layout.INNER_HASH], hashlib.sha256(raw.intro + raw.header).digest()):
        raise InnerMismatch()
    return layout.split_items(inner[layout.INNER_HASH :], header.n)


def frame(fleet_key: Secret, data: bytes, via: tuple[str, ...] = ()) -> bytes:
    """Wrap a parcel for one hop: a cheap gate against strangers, never an identity."""
    head = layout.hop_head(via)
    return head + hmac.digest(fleet_key.reveal(), head + data, "sha256") + data


def unframe(fleet_keys: Sequence[Secret], data: bytes) -> tuple[tuple[str, ...], bytes]:
    """Check a hop frame against the fleet keys in force; gives (via, parcel). Raises Malformed or Forged."""
    via, head, tag, inner = layout.split_hop(data)
    for key in fleet_keys:
        if hmac.compare_digest(tag, hmac.digest(key.reveal(), head + inner, "sha256")):
            return via, inner
    raise Forged("the hop tag does not fit")


def proof(secret: bytes, words: bytes) -> bytes:
    """Prove knowledge of an invite's secret: HMAC-SHA256 over what is asked."""
    return hmac.digest(secret, words, "sha256")


def derive(secret: Secret, purpose: bytes) -> Secret:
    """Make another secret out of one, for one purpose alone."""
    return Secret(hmac.digest(secret.reveal(), b"fleet derived key\0" + purpose, "sha256"))


def same(a: bytes, b: bytes) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(a, b)


def lock_secret(passphrase: bytes, secret: Secret) -> bytes:
    """Encrypt a secret for a file with a passphrase (Argon2id, XSalsa20-Poly1305); base64, one line.

    The salt and nonce are libsodium's own dice: nothing that a simulation repeats is locked.
    """
    salt = random_bytes(sodium.crypto_pwhash_SALTBYTES)
    nonce = random_bytes(sodium.crypto_secretbox_NONCEBYTES)
    box = sodium.crypto_secretbox(secret.reveal(), nonce, _stretch(passphrase, salt))
    return base64.urlsafe_b64encode(LOCKED + salt + nonce + box)


def unlock_secret(passphrase: bytes, data: bytes) -> Secret:
    """Open what lock_secret() wrote. Raises Forged for another passphrase, Malformed for something else."""
    try:
        raw = base64.b64decode(data, altchars=b"-_", validate=True)
    except ValueError:
        raise Malformed("not an exported key") from None
    salt_end = len(LOCKED) + sodium.crypto_pwhash_SALTBYTES
    nonce_end = salt_end + sodium.crypto_secretbox_NONCEBYTES
    if not raw.startswith(LOCKED) or len(raw) <= nonce_end:
        raise Malformed("not an exported key")
    try:
        key = _stretch(passphrase, raw[len(LOCKED) : salt_end])
        return Secret(sodium.crypto_secretbox_open(raw[nonce_end:], raw[salt_end:nonce_end], key))
    except (CryptoError, ValueError):
        raise Forged("the passphrase does not fit") from None


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    return sodium.crypto_pwhash_alg(
        sodium.crypto_secretbox_KEYBYTES, passphrase, salt, sodium.crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
        sodium.crypto_pwhash_argon2id_MEMLIMIT_MODERATE, sodium.crypto_pwhash_ALG_ARGON2ID13,
    )  # fmt: skip


def short_words(a: bytes, b: bytes) -> str:
    """Six decimal digits, two groups, that both sides of an enrolment can read to each other."""
    number = int.from_bytes(hashlib.sha256(b"fleet words\0" + a + b).digest()[:8], "big") % 1_000_000
    return f"{number // 1000:03d}-{number % 1000:03d}"
