"""To whom this node must still introduce itself; never more than a few words per peer, nothing stored.

The intro (certificate and manifest) goes with every parcel to a peer that has not yet answered the present serials, and
with the walk after one without a signed answer (design § 6).
"""

from __future__ import annotations

from fleet.engine.roster import Roster


class Introductions:
    """Remembers which peers have answered the serials in force."""

    def __init__(self, roster: Roster) -> None:
        """Take the roster, whose identity has the serials."""
        self._roster = roster
        self._known: dict[str, bytes] = {}

    def due(self, peer: str) -> bool:
        """Say whether the next parcel to `peer` must carry the intro."""
        return self._known.get(peer) != self._roster.me.intro

    def walked(self, peer: str, *, answered: bool) -> None:
        """Take note of a walk: a signed answer proves that the peer knows us, its lack that it may have forgotten."""
        if answered:
            self._known[peer] = self._roster.me.intro
        else:
            self._known.pop(peer, None)
