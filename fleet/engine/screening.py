"""The content gate where mail passes: at the counter, at the first lease, at the door; it stores nothing and logs nothing.

What it found is counted by kind; the store writes kinds and places into the audit chain beside the row they belong to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fleet.core import policy
from fleet.core.content import ContentGate
from fleet.core.envelope import Envelope, content_of, digest, read, size_of, stamp
from fleet.core.peer import Peer
from fleet.core.screened import Body, Screened
from fleet.store.row import Row

_SEAL_ROOM = 64  # bytes for seq and exp, which the content has not


class Screening:
    """Asks the content gate about the peers of one node, each as it is trusted now."""

    def __init__(
        self, gate: ContentGate, level: Callable[[Peer], int], count: Callable[[str], None] = lambda name: None
    ) -> None:
        """Take the gate, who says how far a peer is trusted, and who counts."""
        self.gate = gate
        self._level = level
        self._count = count

    def stamp(self, peer: Peer) -> int:
        """Give the number of what is done with content to and from a peer now."""
        return self.gate.stamp(self._level(peer))

    def outgoing(self, peer: Peer, body: Body, context: dict[str, Any] | None) -> Screened:
        """Screen what somebody wants to be sent."""
        return self._counted(self.gate.screen(body, context, peer.id, self._level(peer)))

    def leased(self, peer: Peer, row: Row) -> tuple[Row, Screened]:
        """Screen a waiting message anew; the row given back has what may be sent instead."""
        envelope = read(stamp(row.content, row.seq, row.exp))
        content, screened = self._rewritten(peer, envelope, row.content, self._level(peer))
        if screened.changed:
            row = msgspec.structs.replace(row, content=content, digest=digest(content), size=size_of(screened.body))
        return msgspec.structs.replace(row, screened=screened.stamp), screened

    def incoming(self, peer: Peer, envelope: Envelope, content: bytes, level: int) -> tuple[bytes, Screened]:
        """Screen what came in with words of a level; gives the content to keep. Its digest stays that of what was sent."""
        return self._rewritten(peer, envelope, content, level)

    def _rewritten(self, peer: Peer, envelope: Envelope, content: bytes, level: int) -> tuple[bytes, Screened]:
        screened = self._counted(self.gate.screen(envelope.body, envelope.context, peer.id, level))
        if not screened.changed:
            return content, screened
        new = content_of(msgspec.structs.replace(envelope, body=screened.body, context=screened.context))
        if len(new) > policy.ENVELOPE_LIMIT - _SEAL_ROOM:
            reason = f"content: with {screened.count} marks in it the message is larger than {policy.ENVELOPE_LIMIT} bytes"
            return content, msgspec.structs.replace(screened, refusal=reason)
        return new, screened

    def _counted(self, screened: Screened) -> Screened:
        for found in screened.found:
            self._count(f"content_{found.kind}")
        return screened
