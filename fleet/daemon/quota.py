"""How much one sender may let lie unread here; more is put off (`later`), never refused, so that nobody fills the disk.

It estimates: the store is asked when a sender is first heard, and again now and then while the sender is at its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fleet.store.census import Census
from fleet.store.inbox import Arrival

if TYPE_CHECKING:
    from fleet.daemon.service import Node

RECOUNT = 5.0  # seconds between two counts of a sender at its bound
FULL = "inbox full: too much of yours is unread here"


@dataclass(slots=True)
class _Share:
    unread: int  # bytes, at most
    counted_at: float  # steady seconds
    full: bool = False


class Quota:
    """The shares of all senders of one node."""

    def __init__(
        self, limit: int, count: Callable[[str], int], steady: Callable[[], float], on_full: Callable[[str], None]
    ) -> None:
        """Allow `limit` bytes a sender; `count` asks the store, `on_full` is told once when a sender comes to its bound."""
        self._limit = limit
        self._count = count
        self._steady = steady
        self._on_full = on_full
        self._shares: dict[str, _Share] = {}

    def admit(self, sender: str, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Give the arrivals as they are, or put off when the sender has no room; what came before is answered anyway."""
        size = sum(len(arrival.content) for arrival in arrivals)
        share = self._share(sender)
        if share.unread + size > self._limit and self._steady() - share.counted_at >= RECOUNT:
            share.unread, share.counted_at = self._count(sender), self._steady()
        was, share.full = share.full, share.unread + size > self._limit
        if not share.full:
            share.unread += size
            return list(arrivals)
        if not was:
            self._on_full(sender)
        return [msgspec.structs.replace(arrival, later=arrival.later or FULL) for arrival in arrivals]

    def _share(self, sender: str) -> _Share:
        share = self._shares.get(sender)
        if share is None:
            share = self._shares[sender] = _Share(self._count(sender), self._steady())
        return share


def quota_of(node: Node) -> Quota:
    """Make the quota of a node; who comes to its bound stands in the log."""
    census = Census(node.reader.db)
    limit = node.settings.retention.unread
    return Quota(limit, census.unread_bytes, node.world.steady, lambda sender: node.log("inbox full", peer=sender))
