"""Real Channels in memory, all nodes on one net, weather on every link; it decides nothing but by its own dice.

Every parcel and every answer is copied through bytes, so that nothing can share memory by accident. The same seed gives
the same net. It cannot simulate a process that is stopped and continued, nor bytes that arrive in pieces.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.core.parcel import Parcel
from fleet.errors import Unreachable
from tests.support.roads import ROADS, Road
from tests.support.simroad import Box, SimChannel, Trip, copied, say
from tests.support.weather import Sky, Weather

WAKING = 2.0  # seconds from a wake-up packet until the machine is on the net
KEPT = 5.0  # seconds a relay keeps what it took, unless the weather's delay says otherwise


async def nothing(node: str) -> None:
    """Restart nobody."""


class SimNet:
    """The wires between all nodes."""

    def __init__(self, seed: object = 0) -> None:
        """Begin with a clear sky and nobody on the net."""
        self.dice = random.Random(f"net {seed}")
        self.sky = Sky()
        self.members: set[str] = set()  # who has an address
        self.asleep: set[str] = set()
        self.homeless: set[tuple[str, str]] = set()  # (node, road): nobody knows its address there
        self.doors: dict[tuple[str, str], tuple[SimChannel, Deliver]] = {}
        self.boxes: dict[tuple[str, str], Box] = {}
        self.bugs: list[str] = []  # what a receiver's deliver raised
        self.on_reconnect: Callable[[str, str], None] = lambda node, road: None
        self.on_restart: Callable[[str], Awaitable[None]] = nothing
        self.on_send: Callable[[Trip], None] = lambda trip: None
        self.on_end: Callable[[Trip], None] = lambda trip: None
        self.on_hand: Callable[[str, str, bytes, str], None] = lambda node, road, data, answer: None  # not by an open line
        self.forge: Callable[[str, SimChannel, Parcel], bytes] = lambda lie, channel, parcel: b"200 OK"
        self.now_ms: Callable[[], int] = lambda: 0  # the wall clock of the mailboxes' host
        self.answers: dict[tuple[str, str], bytes] = {}  # the latest answer of a mail parcel by (from, to)
        self._serving: dict[str, set[asyncio.Task[None]]] = {}

    def roads(self, node: str, names: Iterable[str]) -> dict[str, SimChannel]:
        """Make the channels of one life of a node; those of the real roads that ride on others are not the net's."""
        self.members.add(node)
        return {name: SimChannel(self, node, ROADS[name]) for name in names if name in ROADS}

    def time(self) -> float:
        """Seconds since the net began, of the loop's own clock."""
        return asyncio.get_running_loop().time()

    def detach(self, node: str, channels: Iterable[SimChannel]) -> None:
        """A node dies: what it has not put on the wire yet never goes, what it was told is not heard."""
        for channel in channels:
            channel.dead = True
        for name in ROADS:
            self.doors.pop((node, name), None)
        for task in self._serving.pop(node, set()):
            task.cancel()

    def box(self, node: str, road: str) -> Box:
        """Give the mailbox of a node."""
        return self.boxes.setdefault((node, road), Box())

    def wake(self, node: str) -> None:
        """A wake-up packet arrives."""
        asyncio.get_running_loop().call_later(WAKING, self.asleep.discard, node)

    def spawn(self, node: str, work: Any) -> None:
        """Do something at `node`; it ends when the node dies."""
        task = asyncio.ensure_future(work)
        serving = self._serving.setdefault(node, set())
        serving.add(task)
        task.add_done_callback(serving.discard)

    def lag(self, road: Road, weather: Weather) -> float:
        """Say how long a parcel takes one way."""
        return road.delay + weather.delay + (self.dice.random() * weather.jitter if weather.jitter else 0.0)

    def chance(self, likely: float) -> bool:
        """Throw the dice."""
        return likely > 0 and self.dice.random() < likely

    def damaged(self, data: bytes) -> bytes:
        """Flip one bit."""
        at, bit = self.dice.randrange(len(data)), 1 << self.dice.randrange(8)
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    async def serve(self, road: Road, sender: str, to: str, data: bytes, answered: "asyncio.Future[Answer] | None") -> None:
        """Bring bytes to a node's door after their time on the wire; the answer goes into `answered`."""
        weather = self.sky.at(sender, to, road.name)
        await asyncio.sleep(self.lag(road, weather))
        if to in self.asleep:
            return
        found = self.doors.get((to, road.name))
        if found is None:
            say(answered, Unreachable("nobody listens"))
            return
        channel, deliver = found
        try:
            answer = await deliver(copied(data))
        except Exception as error:
            self.bugs.append(f"{to} {road.name}: {type(error).__name__}: {error}")
            say(answered, Unreachable("the line broke"))
            return
        if answered is None:
            self.on_hand(to, road.name, data, answer.kind.value)
        if channel.dead or answered is None:
            return
        await asyncio.sleep(self.lag(road, weather))
        say(answered, Answer(answer.kind, copied(answer.data), answer.retry_after))

    async def keep(self, road: Road, sender: str, to: str, parcel: Parcel, weather: Weather) -> None:
        """A relay took a parcel: carry it later and bring the signed answer home."""
        await asyncio.sleep(weather.delay or KEPT)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        await self.serve(road, sender, to, parcel.data, answered)
        if answered.done() and answered.exception() is None and answered.result().kind is AnswerKind.SIGNED:
            await self.serve(road, to, sender, answered.result().data, None)
