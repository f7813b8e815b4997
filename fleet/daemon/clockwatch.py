"""Watches this node's wall clock by another one and by its peers' answers; it never sets a clock."""

from __future__ import annotations

from collections.abc import Callable

from fleet.core import clock as rules
from fleet.core import policy
from fleet.core.clock import Clock
from fleet.engine.world import World
from fleet.store import Store

LAST_SEEN = "wall"  # in the store: the wall clock of the latest look that was kept, ms


class ClockWatch:
    """The clock of one node, as far as it is believed."""

    def __init__(self, world: World) -> None:
        """Take the clocks."""
        self._world = world
        self._clock = Clock(world.now(), world.through_sleep())
        self.on_turn: Callable[[bool, str], None] = lambda unsure, reason: None  # doubt came or went, and why

    def unsure(self) -> bool:
        """Look, and say whether what looks expired may be alive: mail must not die between a jump and the next look."""
        self.look()
        return self._clock.unsure

    @property
    def reason(self) -> str:
        """Why the clock is not believed; empty while it is."""
        return self._clock.reason

    def look(self) -> None:
        """Compare the clocks once."""
        self._turn(rules.look(self._clock, self._world.now(), self._world.through_sleep()))

    def heard(self, peer: str, said: int) -> None:
        """Note the time in a peer's fresh answer, ms since the epoch."""
        self._clock = rules.heard(self._clock, peer, said + self._clock.wall - self._world.now())

    def confirm(self) -> None:
        """Believe the clock: the operator says that it is right."""
        self._turn(rules.sure(self._clock))

    def wake(self, store: Store) -> None:
        """Compare with the clock of the node's last life, which may have ended on another day. Runs in a transaction."""
        last = int(store.members.meta(LAST_SEEN) or 0)
        if self._clock.wall < last - policy.CLOCK_OFF * 1000:
            self._turn(rules.doubt(self._clock, "it stands before the time this node stopped at"))
        self.keep(store)

    def keep(self, store: Store) -> None:
        """Write down how late it is, unless the clock is in doubt. Runs in a transaction."""
        if not self.unsure():
            store.members.set_meta(LAST_SEEN, str(self._world.now()))

    def _turn(self, clock: Clock) -> None:
        before, self._clock = self._clock, clock
        if before.unsure is not clock.unsure:
            self.on_turn(clock.unsure, clock.reason or before.reason)
