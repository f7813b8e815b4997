"""Faults planted in what judges, counts and remembers: budget, level, audit chain, heartbeats; see plants.py."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import apsw

from fleet.core import policy
from fleet.core.audit import chained
from fleet.engine.conduct import Conduct
from fleet.engine.heartbeats import Heartbeats
from fleet.engine.links import Links
from fleet.errors import FleetError
from fleet.store import audit
from fleet.store.purse import Purse
from tests.campaign.plants import swap

LATER = 0.5  # seconds


def budget_outside() -> AbstractContextManager[None]:
    """Debit a moment after the transaction that files the mail."""
    real: Callable[[Purse], None] = Purse.save

    def save(self: Purse) -> None:
        asyncio.get_running_loop().call_later(LATER, _try, real, self)

    return swap((Purse, "save", save))


def _try(real: Callable[[Purse], None], purse: Purse) -> None:
    try:
        real(purse)
    except (FleetError, apsw.Error):  # the store was closed meanwhile: that is the fault
        return


def entry_not_chained() -> AbstractContextManager[None]:
    """Let an audit entry's hash cover the entry alone."""
    return swap((audit, "chained", lambda before, *entry: chained(bytes(32), *entry)))


def level_of_the_sender() -> AbstractContextManager[None]:
    """Trust a peer as far as it says it may be trusted."""
    return swap((Conduct, "level", lambda self, peer: policy.TRUST_CEILING))


class _Careless:
    """Links of which each may be used."""

    def __init__(self, links: Links) -> None:
        self.roads = links.roads

    def usable(self, peer: str, channel: str) -> bool:
        """Say yes."""
        return True


def beats_over_broken_links() -> AbstractContextManager[None]:
    """Send heartbeats over any road that pings, whatever its link is worth."""

    def roads(self: Heartbeats, peer: Any) -> list[str]:
        if not isinstance(self._pulse.links, _Careless):
            self._pulse = replace(self._pulse, links=_Careless(self._pulse.links))  # type: ignore[arg-type]
        return [road.name for road in self._pulse.links.roads(peer) if road.traits.pings]

    return swap((Heartbeats, "_roads", roads))


ALL = (budget_outside, entry_not_chained, level_of_the_sender, beats_over_broken_links)
