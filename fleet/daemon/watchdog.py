"""Looks at the node now and then and tells its operator what is wrong, once, and when it is over; it repairs nothing."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.core import watch
from fleet.core.health import Health
from fleet.core.submission import Submission
from fleet.core.watch import Condition, Limits, Seen
from fleet.engine.links import Change
from fleet.errors import FleetError
from fleet.store.census import Census

if TYPE_CHECKING:
    from fleet.daemon.service import Node

FLAP_WINDOW = 600.0  # seconds
FLAPS_KEPT = 4096
NOTED = frozenset({"clock"})  # whoever noticed it left the notice itself


class Watchdog:
    """The watch over one node."""

    def __init__(self, node: Node, clock: Callable[[], str]) -> None:
        """Take the node to watch; `clock` says why the wall clock is in doubt, or nothing."""
        self._node = node
        self._clock = clock
        settings = node.settings.watchdog
        self._limits = Limits(settings.queue_age, settings.dead, settings.flaps, settings.wal)
        self._standing: watch.Standing = {}
        self._breaks: deque[tuple[float, str, str]] = deque(maxlen=FLAPS_KEPT)

    async def run(self) -> None:
        """Look every [watchdog] every until cancelled."""
        while True:
            await asyncio.sleep(self._node.settings.watchdog.every)
            await self.look()

    def standing(self) -> Counter[str]:
        """Count the conditions that hold, by kind."""
        return Counter(kind for kind, _ in self._standing)

    def link_changed(self, change: Change) -> None:
        """Note a link that broke; one that only fails to heal does not flap."""
        if change.new is Health.BROKEN and change.old in (Health.HEALTHY, Health.DEGRADED):
            self._breaks.append((self._node.world.steady(), change.peer, change.channel))

    async def look(self) -> None:
        """Compare what is with the thresholds and tell what is news."""
        found = watch.find(self._see(), self._limits)
        turned = watch.turn(self._standing, found, self._node.world.steady(), self._node.settings.watchdog.calm)
        self._standing = turned.standing
        for condition in turned.begun:
            await self._tell(condition)
        for kind, subject in turned.over:
            await self._tell(Condition(kind, subject, watch.ended(kind, subject)))

    def _see(self) -> Seen:
        node = self._node
        now = node.world.now()
        census = Census(node.reader.db)
        while self._breaks and node.world.steady() - self._breaks[0][0] > FLAP_WINDOW:
            self._breaks.popleft()
        return Seen(
            {one.peer: (now - one.oldest) / 1000 for one in census.waiting()},
            census.dead(now - int(watch.HOUR * 1000)),
            Counter((peer, road) for _, peer, road in self._breaks),
            node.store.db.wal_bytes(),
            not node.upkeep.room_left,
            self._clock(),
        )

    async def _tell(self, condition: Condition) -> None:
        """Tell it everywhere an operator may look: log, status, events, the desktop, a peer of his choice."""
        node = self._node
        node.exchange.events.tell("watchdog", kind=condition.kind, subject=condition.subject, text=condition.text)
        node.notices.say(condition.text)
        try:
            if condition.kind not in NOTED:
                await node.upkeep.tell(condition.kind, condition.text)
            await self._write_to(node.settings.watchdog.peer, condition)
        except FleetError as error:
            node.log("upkeep", reason=error.message)

    async def _write_to(self, peer: str, condition: Condition) -> None:
        """Send the chosen peer a message; not about the mail that waits for it."""
        if peer and condition.subject != peer:
            text = f"{self._node.id}: {condition.text}"
            (answer,) = await self._node.mail.submit([Submission(to=peer, body=text, priority="high")])
            if "error" in answer:
                self._node.log("upkeep", reason=answer["error"]["message"], peer=peer)
