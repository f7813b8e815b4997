"""Whole nodes for the tests of what cannot be had in parts: couriers, returns, the receiver; a fleet and what it did."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support import virtual
from tests.support.fleet import Fleet
from tests.support.simroad import Trip


class Tale:
    """A fleet under test, with every trip and log line."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.trips: list[Trip] = []
        self.logged: list[tuple[str, str, dict[str, Any]]] = []
        fleet.net.on_send = self.trips.append
        fleet.on_log = lambda name, event, fields: self.logged.append((name, event, fields))

    def sent(self, kind: str = "mail", road: str = "") -> list[Trip]:
        """The trips of one kind, in order, over one road or all."""
        return [trip for trip in self.trips if trip.kind == kind and road in ("", trip.road)]

    def events(self, name: str) -> list[str]:
        """What a node logged."""
        return [event for node, event, _ in self.logged if node == name]


def told(
    directory: Path, story: Callable[[Tale], Awaitable[None]], names: str = "ab", *, start: str | None = None,
    before: Callable[[Tale], None] = lambda tale: None, **options: Any,
) -> Tale:  # fmt: skip
    """Run a story with a fleet; gives what it did. `before` happens before anybody runs."""

    async def run() -> Tale:
        fleet = Fleet(directory, names, **{"roads": ("nats", "http")} | options)
        tale = Tale(fleet)
        before(tale)
        await fleet.start(*(names if start is None else start))
        await story(tale)
        await fleet.stop()
        assert fleet.net.bugs == []
        return tale

    return virtual.run(run())
