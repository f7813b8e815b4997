"""How a machine becomes a member: the link, the request, the answer; single use, expiring, bound to the root's key.

A request is `FLJ1` and a box sealed to the inviter's key from the link; it proves the link's secret and carries the
joiner's key and manifest. The answer is sealed to the joiner and proves the same secret. A stranger learns nothing: every
refusal looks alike outside, which one it was stands in the inviter's log.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from fleet.core import canonical, policy, sealing
from fleet.core.envelope import Count, Moment, NodeId
from fleet.core.peer import Certificate, Key, Manifest, read_frame
from fleet.core.sealing import OpeningKey
from fleet.errors import JoinRefused, Malformed, UsageError, WireError

MAGIC = b"FLJ1"
PREFIX = "fleet1:"
REQUEST_LIMIT = 16 * 1024  # bytes; a request is below 3 KiB
_REQUEST, _ANSWER = b"fleet join request\0", b"fleet join answer\0"


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What an invitation says; the token is the secret."""

    version: Annotated[int, Meta(ge=1, le=1)]
    url: Annotated[str, Meta(max_length=512)]
    name: NodeId  # of the inviter
    fleet: NodeId
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    token: Annotated[bytes, Meta(min_length=policy.INVITE_SECRET, max_length=64)]
    root: Key  # whoever does not hold this root's word is not of this fleet
    seal: Key  # of the inviter
    pin: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""  # SHA-256 of the door's TLS certificate
    expires: Moment

    def __repr__(self) -> str:
        """Name the invitation without its secret."""
        return f"<link {self.id} to {self.name}>"

    @property
    def words(self) -> str:
        """The short words that both sides can compare: another root or another invitation gives others."""
        return sealing.short_words(self.root + self.seal, self.id.encode())


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a joiner asks with."""

    v: Count
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    proof: Key
    key: Key
    manifest: Annotated[bytes, Meta(max_length=policy.INTRO_LIMIT)]


class Welcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a joiner is given."""

    v: Count
    proof: Annotated[bytes, Meta(max_length=32)]
    certificate: bytes
    fleet_key: Key
    intros: tuple[bytes, ...]
    revocation: bytes = b""
    broker: Annotated[str, Meta(max_length=1024)] = ""


_read_link = canonical.reader(Link)
_read_request = canonical.reader(Request)
_read_welcome = canonical.reader(Welcome)


def write_link(link: Link) -> str:
    """Write an invitation as one word."""
    return PREFIX + base64.urlsafe_b64encode(canonical.encode(link)).decode().rstrip("=")


def read_link(text: str) -> Link:
    """Read an invitation. Raises UsageError."""
    word = text.strip()
    if not word.startswith(PREFIX):
        raise UsageError("a link begins with fleet1:", hint="fleet invite, on the machine that ran fleet init")
    body = word.removeprefix(PREFIX)
    try:
        return _read_link(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, Malformed):
        raise UsageError("the link is damaged: copy it whole", hint="fleet invite") from None


def write_request(link: Link, key: bytes, manifest: bytes, dice: bytes) -> bytes:
    """Write the request of a joiner: its public key and its manifest frame, proven by the link's secret."""
    proof = sealing.proof(link.token, _REQUEST + key + manifest)
    request = Request(v=policy.WIRE_VERSION, id=link.id, proof=proof, key=key, manifest=manifest)
    return MAGIC + sealing.close_box(canonical.encode(request), link.seal, dice)


def read_request(data: bytes, keys: tuple[OpeningKey, ...]) -> Request:
    """Open a request. Raises WireError."""
    if len(data) > REQUEST_LIMIT or data[:4] != MAGIC:
        raise Malformed("not a request to join")
    for key in keys:
        try:
            return _read_request(sealing.open_box(data[4:], key))
        except WireError:
            continue
    raise Malformed("a request sealed to another key")


def check_request(request: Request, secret: bytes, fleet: str) -> Manifest:
    """Check a request against the invitation's secret; gives the joiner's manifest. Raises WireError."""
    if not sealing.same(request.proof, sealing.proof(secret, _REQUEST + request.key + request.manifest)):
        raise WireError("wrong: it does not know the link's secret")
    manifest = read_frame(Manifest, request.manifest, request.key)
    if manifest.fleet != fleet:
        raise WireError(f"wrong: it means fleet {manifest.fleet}")
    return manifest


def write_welcome(welcome: Welcome, secret: bytes, seal: bytes, dice: bytes) -> bytes:
    """Write the answer to an accepted joiner, proven by the same secret."""
    bare = msgspec.structs.replace(welcome, proof=b"")
    proof = sealing.proof(secret, _ANSWER + canonical.encode(bare))
    return MAGIC + sealing.close_box(canonical.encode(msgspec.structs.replace(welcome, proof=proof)), seal, dice)


def read_welcome(data: bytes, link: Link, key: OpeningKey, public: bytes) -> tuple[Welcome, Certificate]:
    """Open the answer; gives it with our certificate. Raises JoinRefused for anything but the inviter's true words."""
    try:
        if data[:4] != MAGIC:
            raise Malformed("not an answer")
        welcome = _read_welcome(sealing.open_box(data[4:], key))
        bare = msgspec.structs.replace(welcome, proof=b"")
        if not sealing.same(welcome.proof, sealing.proof(link.token, _ANSWER + canonical.encode(bare))):
            raise Malformed("an answer that does not know the link's secret")
        certificate = read_frame(Certificate, welcome.certificate, link.root)
    except WireError as error:
        raise JoinRefused(f"the answer is not the inviter's: {error.message}") from None
    if certificate.key != public or certificate.fleet != link.fleet:
        raise JoinRefused("the answer names another node")
    return welcome, certificate
