"""What is judged before something goes out: at the counter, at the first lease, by `fleet explain`; it judges nothing."""

from __future__ import annotations

from fleet.core.budget import Shortage
from fleet.core.envelope import Kind
from fleet.core.gates import Case, Direction
from fleet.core.peer import Peer
from fleet.engine.conduct import Regard


def outbound(
    peer: Peer, regard: Regard, kind: Kind, limit: int, *, size: int = 0, shortage: Shortage | None = None, until: int = 0
) -> Case:
    """Lay out the case of a message to `peer`; sizes in bytes, `until` = when its budget's window ends (ms)."""
    return Case(
        Direction.OUT, kind, size, limit, peer.id, bool(peer.key), peer.enabled, regard.level, regard.breaker, regard.why,
        shortage, until,
    )  # fmt: skip
