"""Open what comes in, in the order of design § 6: size, hop tag, key, signature, strict header, addressee; then the seal.

One way in for mail, for answers and for receipts that come home late. It changes nothing but the roster (a root-signed
intro is believed from anyone) and never answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet.core import parcel as layout
from fleet.core import sealing
from fleet.core.parcel import Header, ParcelType, Raw
from fleet.core.peer import Peer
from fleet.core.sealing import Secret
from fleet.engine.hops import Hops
from fleet.engine.roster import Learned, Roster
from fleet.errors import Forged, WrongFleet


@dataclass(frozen=True, slots=True)
class Opened:
    """A parcel whose signer is proven; the seal is still closed."""

    raw: Raw
    header: Header
    peer: Peer
    via: tuple[str, ...] = ()
    learned: Learned | None = None

    @property
    def type(self) -> ParcelType:
        """What the parcel holds."""
        return self.raw.type


class Opener:
    """Opens parcels for this node."""

    def __init__(self, roster: Roster, hops: Hops) -> None:
        """Take the roster, which also knows who this node is, and what unwraps hop frames."""
        self._roster = roster
        self._hops = hops

    def open(self, data: bytes, *, framed: bool) -> Opened:
        """Verify a parcel and read its header. Raises WireError; nothing was believed then."""
        via: tuple[str, ...] = ()
        key_used: Secret | None = None
        if framed:
            via, data, key_used = self._hops.unwrap(data)
        raw = layout.take_apart(data)
        node, key = self._signer(raw)
        header = sealing.check(raw, key)
        if header.sender != node:
            raise Forged(f"signed by {node} in another's name")
        if header.fleet != self._roster.me.fleet:
            raise WrongFleet()
        learned = self._roster.learn(raw.intro)[1] if raw.intro else None
        peer = self._roster.get(node)
        if peer is None:
            raise Forged("signed by nobody this fleet knows")
        if key_used is not None and not via:
            self._hops.heard(peer.id, key_used)
        return Opened(raw, header, peer, via, learned)

    def _signer(self, raw: Raw) -> tuple[str, bytes]:
        """Find who must have signed: whom the intro vouches for, else a member known by this key."""
        vouched = self._roster.vouched(raw.intro, raw.kid) if raw.intro else None
        if vouched is not None:
            return vouched
        known = self._roster.by_kid(raw.kid)
        if known is None:
            raise Forged("signed by nobody this fleet knows")
        return known[0].id, known[1]

    def items(self, opened: Opened) -> list[bytes]:
        """Unseal a parcel meant for this node. Raises WrongFleet, Unopened, InnerMismatch or Malformed."""
        if opened.header.to != self._roster.me.node:
            raise WrongFleet(f"a parcel for {opened.header.to}")
        return sealing.unseal(opened.raw, opened.header, self._roster.me.opening)
