"""The simulated roads and what each is like under a clear sky; they have the names of real ones, so that plans are real."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fleet.core.channel import Traits


@dataclass(frozen=True, slots=True)
class Road:
    """What one road is like under a clear sky."""

    name: str
    traits: Traits
    delay: float = 0.0  # seconds, one way
    poll: float = 0.0  # a mailbox is looked at so often
    silent: bool = False  # who is not authenticated hears nothing; else the line is cut at once


_MAILBOX = Traits(replies=False, pings=False)
ROADS: Mapping[str, Road] = MappingProxyType(
    {
        road.name: road
        for road in (
            Road("nats", Traits(framed=True), 0.0005, silent=True),
            Road("http", Traits(framed=True), 0.001),
            Road("seed", _MAILBOX, 0.5, poll=1.0),
            Road("ssh", Traits(pings=False), 0.6),
            Road("wol", Traits(carries=False, replies=False, pings=False, hedges=False), 0.001),
            Road("git", _MAILBOX, 2.0, poll=30.0),
        )
    }
)
