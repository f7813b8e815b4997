"""Which mail waits at a chief because no agent session is open here (mission M3: a task); it keeps nothing itself.

It holds only where sessions are at home: a node that had none within a month takes tasks like any other mail, and so does
one whose fleet has no third node that could keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fleet.core.envelope import kind_of
from fleet.core.receipt import NO_SESSION
from fleet.daemon.quota import quota_of
from fleet.engine.receiver import Admit
from fleet.errors import Busy
from fleet.store.inbox import Arrival

if TYPE_CHECKING:
    from fleet.daemon.service import Node

AT_HOME = 30 * 86_400_000  # ms; where a session was open within a month, one will come again


class Attendance:
    """Whether somebody is here for what needs a session."""

    def __init__(self, node: Node) -> None:
        """Take the node whose sessions count."""
        self._node = node

    def admit(self, sender: str, arrivals: Sequence[Arrival], *, relayed: bool) -> list[Arrival]:
        """Put off what needs a session while none is open.

        A chief that brings it is told to come again (Busy): it goes on keeping it. Its sender is told `later`, and hands
        it to a chief.
        """
        waits = [self._needs(arrival) for arrival in arrivals]
        if not any(waits) or self._attended(sender):
            return list(arrivals)
        if relayed:
            raise Busy(NO_SESSION)
        return [
            msgspec.structs.replace(arrival, later=arrival.later or NO_SESSION) if needs else arrival
            for arrival, needs in zip(arrivals, waits, strict=True)
        ]

    def _needs(self, arrival: Arrival) -> bool:
        return not arrival.refuse and kind_of(arrival.envelope.type, self._node.kinds).session

    def _attended(self, sender: str) -> bool:
        """Say whether it may come in: somebody is here, nobody ever is, or nobody else could keep it."""
        node = self._node
        if node.agents.sessions.open:
            return True
        if not node.reader.sessions.names(node.world.now() - AT_HOME):
            return True
        return not any(chief.id != sender for chief in node.roster.peers() if chief.role == "chief" and chief.enabled)


def admission_of(node: Node) -> Admit:
    """Make what has the last word on mail before it is filed: who is here for it, and its sender's share of the room."""
    attendance, quota = Attendance(node), quota_of(node)
    return lambda sender, arrivals, relayed: quota.admit(sender, attendance.admit(sender, arrivals, relayed=relayed))
