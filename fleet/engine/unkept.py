"""What changed of peers' conduct since it was kept last, and how it gets onto the disk; it decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.core.audit import Details
from fleet.core.breaker import Breaker
from fleet.core.timeline import Mark
from fleet.core.trust import Experience
from fleet.store import Store


@dataclass(slots=True)
class Unkept:
    """Names of what must be written; the values are those of the moment of writing."""

    peers: set[str] = field(default_factory=set)  # whose experience or breaker
    levels: dict[str, str] = field(default_factory=dict)  # peer → why it has another level
    entries: list[tuple[str, str, Details]] = field(default_factory=list)  # for the audit chain

    @property
    def urgent(self) -> bool:
        """Whether something moved, not only counted."""
        return bool(self.levels or self.entries)

    def moved(self, kind: str, peer: str, before: str | int, after: str | int, reason: str, by: str) -> None:
        """Note that something moved, for the audit chain."""
        details: Details = {"before": before, "after": after, "reason": reason, "by": by}
        self.entries.append((kind, peer, details))

    def take_back(self, others: Unkept) -> None:
        """Take back what could not be kept."""
        self.peers |= others.peers
        self.levels = others.levels | self.levels
        self.entries = others.entries + self.entries

    def write(
        self, store: Store, mark: Mark, wall: int, window: int, levels: Mapping[str, int], seen: Mapping[str, Experience],
        breakers: Mapping[str, Breaker],
    ) -> None:  # fmt: skip
        """Write it down, with the time it was at; spending is kept for two windows. Runs in a transaction.

        `wall` in ms since the epoch, `window` in ms.
        """
        store.accounts.set_mark(mark)
        store.accounts.retire(mark.time - 2 * window)
        store.accounts.save_experiences({peer: seen[peer] for peer in self.peers if peer in seen})
        store.accounts.save_breakers({peer: breakers[peer] for peer in self.peers if peer in breakers})
        for peer, reason in self.levels.items():
            if peer in levels:
                store.ledger.set_level(peer, levels[peer], reason, wall)
        for kind, peer, details in self.entries:
            store.audit.add(kind, peer=peer, details=details, now=wall)
