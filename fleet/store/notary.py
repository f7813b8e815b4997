"""What vouches for the head of the audit chain: this node's keys, and the head remembered outside the database.

The MAC's key is derived from an opening key and named by it (the epoch). A node keeps its last opening keys, so a head
outlives the next rotations; each entry takes the epoch in force. It reads and writes no table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fleet.core import sealing
from fleet.core.audit import Details, head_words
from fleet.core.sealing import Secret, SigningKey
from fleet.errors import Forged
from fleet.store.files import atomic_write

if TYPE_CHECKING:
    from fleet.store.keys import KeyRing

_PURPOSE = b"audit head"


class Head(msgspec.Struct, frozen=True):
    """The state of the chain: how many entries it ever had, and the hash of the last."""

    count: int = 0
    hash: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class Notary:
    """Vouches for heads. Without keys it still chains, but anybody could continue that chain: for tools and tests."""

    node: str = ""
    signing: SigningKey | None = None
    epoch: str = ""  # the opening key in force, by name
    keys: Mapping[str, Secret] = field(default_factory=lambda: {"": Secret(b"")})  # epoch → key of its MACs

    @classmethod
    def of(cls, ring: KeyRing) -> Notary:
        """Take the keys of a node."""
        keys = {key.ekid: sealing.derive(key.secret, _PURPOSE) for key in ring.opening}
        return cls(ring.node, ring.signing, ring.opening[0].ekid, keys)

    def mac(self, head: Head) -> bytes:
        """Vouch for a head with the key in force."""
        return sealing.proof(self.keys[self.epoch].reveal(), head_words(self.node, head.count, head.hash))

    def fits(self, head: Head, epoch: str, mac: bytes) -> bool:
        """Say whether the MAC of a head was made with the key it names."""
        key = self.keys.get(epoch)
        words = head_words(self.node, head.count, head.hash)
        return key is not None and sealing.same(mac, sealing.proof(key.reveal(), words))

    def sign(self, head: Head) -> dict[str, str]:
        """Sign a head for others: the public key and the signature, hex; nothing without keys."""
        if self.signing is None:
            return {}
        signature = sealing.sign(self.signing, sealing.AUDIT, head_words(self.node, head.count, head.hash))
        return {"public": self.signing.public.hex(), "signature": signature.hex()}


def is_signed(node: str, head: Head, details: Details) -> bool:
    """Say whether the details of an entry hold a true signature of a head."""
    try:
        public, signature = (bytes.fromhex(str(details.get(name, ""))) for name in ("public", "signature"))
        sealing.verify(public, sealing.AUDIT, head_words(node, head.count, head.hash), signature)
    except (Forged, ValueError):
        return False
    return True


class HeadFile:
    """The last head this node remembers, in a file beside the keys (0600): a database that was restored is behind it."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self.path = path

    def read(self) -> Head:
        """Give the head remembered; the empty one when there is none or the file is damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Head)
        except (OSError, msgspec.MsgspecError):
            return Head()

    def write(self, head: Head) -> None:
        """Remember a head. Raises DiskFull or StoreError."""
        atomic_write(self.path, msgspec.json.encode(head))
