"""Wraps and unwraps the hop frame for each peer with the fleet key that peer knows; a cheap gate, never an identity.

The fleet key is rotated with overlap: a member that was away still frames with an older one, which is accepted, and is
spoken to in that one until it is heard in the newer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fleet.core import sealing
from fleet.core.sealing import Secret
from fleet.engine.roster import Roster
from fleet.errors import Forged


class Hops:
    """The hop frames of one node."""

    def __init__(self, roster: Roster) -> None:
        """Take the roster, whose identity holds the fleet keys."""
        self._roster = roster
        self._older: dict[str, bytes] = {}  # peer → the name of the older key it still uses
        self.on_behind: Callable[[str], None] = lambda peer: None

    def wrap(self, peer: str, data: bytes, via: tuple[str, ...] = ()) -> bytes:
        """Frame a parcel for the next hop, `peer`."""
        keys = self._roster.me.fleet_keys
        older = self._older.get(peer)
        key = next((key for key in keys if _name(key) == older), keys[0]) if older else keys[0]
        return sealing.frame(key, data, via)

    def unwrap(self, data: bytes) -> tuple[tuple[str, ...], bytes, Secret]:
        """Check a frame; gives (via, parcel, the key it was made with). Raises Malformed or Forged."""
        for key in self._roster.me.fleet_keys:
            try:
                via, inner = sealing.unframe((key,), data)
            except Forged:
                continue
            return via, inner, key
        raise Forged("the hop tag does not fit")

    def hold(self, peers: Iterable[str], key: Secret) -> None:
        """Go on speaking to `peers` in an older key until they are heard in the newer."""
        self._older.update(dict.fromkeys(peers, _name(key)))

    def knows(self, peer: str) -> None:
        """Take note that a peer has the key in force: it handed it over itself."""
        self._older.pop(peer, None)

    def heard(self, peer: str, key: Secret) -> None:
        """Take note of the key a proven parcel of `peer` was framed with."""
        if key is self._roster.me.fleet_keys[0]:
            self._older.pop(peer, None)
            return
        self._older[peer] = _name(key)
        self.on_behind(peer)


def _name(key: Secret) -> bytes:
    return sealing.kid_of(key.reveal())
