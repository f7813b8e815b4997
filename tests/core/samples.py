"""Small honest values of the wire for the tests of the ground floor; never a random one."""

import json
from typing import Any

from fleet.core import canonical, sealing
from fleet.core.envelope import Envelope, stamp
from fleet.core.parcel import Header, ParcelType
from fleet.core.peer import Certificate, Manifest

ID = "0190" + "0" * 28
OTHER_ID = "0191" + "0" * 28
ROOT = sealing.signing_key(b"\x01" * 32)
ALICE = sealing.signing_key(b"\x02" * 32)
ALICE_OPENS = sealing.opening_key(b"\x03" * 32)
BOB = sealing.signing_key(b"\x04" * 32)
BOB_OPENS = sealing.opening_key(b"\x05" * 32)
DICE = b"\x06" * 32
FLEET_KEY = sealing.Secret(b"\x07" * 32)


def envelope(**changes: Any) -> Envelope:
    """One message."""
    return Envelope(**({"seq": 3, "exp": 2000, "id": ID, "ts": 1000, "body": "hello"} | changes))


def header(**changes: Any) -> Header:
    """The header of a parcel from alice to bob with one envelope."""
    words = {
        "v": 1, "pid": ID, "fleet": "home", "sender": "alice", "to": "bob", "ts": 1000, "exp": 2000, "hops": 8,
        "enc": "x25519", "ekid": BOB_OPENS.ekid, "inc": 5, "low": 1, "n": 1,
    }  # fmt: skip
    return Header(**(words | changes))


def parcel(items: tuple[bytes, ...] = (), intro: bytes = b"", **changes: Any) -> bytes:
    """A sealed and signed parcel from alice to bob."""
    items = items or (canonical.encode(envelope()),)
    return sealing.seal(
        ParcelType.MAIL, ALICE, BOB_OPENS.public, header(n=len(items), **changes), items, DICE, intro
    )  # fmt: skip


def certificate(**changes: Any) -> Certificate:
    """The root's word on alice."""
    words = {"v": 1, "fleet": "home", "node": "alice", "key": ALICE.public, "serial": 7}
    return Certificate(**(words | changes))


def manifest(**changes: Any) -> Manifest:
    """Alice's own word."""
    words = {"v": 1, "fleet": "home", "node": "alice", "serial": 9, "seal": ALICE_OPENS.public}
    return Manifest(**(words | changes))


def written(**words: Any) -> bytes:
    """JSON without spaces, in the order given: how a stranger might write it."""
    return json.dumps(words, separators=(",", ":"), ensure_ascii=False).encode()


def wire(**changes: Any) -> bytes:
    """An envelope as a stranger might write it, with these fields behind the required ones."""
    return stamp(written(id=ID, ts=1000, **changes), 3, 2000).replace(b",{", b",", 1)
