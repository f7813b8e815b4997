"""One road of one node in memory: core.channel.Channel to the letter, through the weather of tests/support/weather.py.

Who sends gets what a road would give him: an answer, custody, a refusal or silence. It never looks into what it carries,
except to name it in a trace.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet.core import parcel as layout
from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, FleetError, Unreachable
from tests.support.roads import Road
from tests.support.weather import Weather

if TYPE_CHECKING:
    from tests.support.simnet import SimNet


@dataclass(slots=True)
class Trip:
    """One call of send(), as the net saw it; `end` is written when it is over."""

    at: float
    sender: str
    to: str
    road: str
    pid: str
    kind: str
    size: int
    own: bool = True  # between the two themselves; False: on its way to or from a relay
    over: float = -1.0
    end: str = ""


@dataclass(slots=True)
class Item:
    """What lies in a mailbox."""

    visible: float
    sender: str
    pid: str
    data: bytes
    exp: int  # ms; 0 = mail, which stays until it was handed over


@dataclass(slots=True)
class Box:
    """A mailbox of one node."""

    objects: list[Item] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class SimChannel:
    """One road of one node: core.channel.Channel."""

    def __init__(self, net: "SimNet", node: str, road: Road) -> None:
        """Take the net and say whose channel it is."""
        self.net = net
        self.node = node
        self.road = road
        self.name = road.name
        self.traits = road.traits
        self.dead = False  # its node crashed
        self.stuck = False  # it carries nothing until its connections are made anew
        self._open = False
        self._waiting: set[asyncio.Future[Answer]] = set()

    async def open(self) -> None:
        """Make ready."""
        self._open = True

    async def close(self) -> None:
        """Tell whoever still waits."""
        self._open = False
        for waiting in list(self._waiting):
            say(waiting, Unreachable("the road was closed"))

    async def reconnect(self) -> None:
        """Make its connections anew."""
        self.stuck = False
        self.net.on_reconnect(self.node, self.name)

    async def restart(self, peer: Peer, timeout: float) -> None:
        """Have a peer's daemon restarted, as the SSH road can."""
        if self.net.sky.at(self.node, peer.id, self.name).cut:
            raise Unreachable("connection refused")
        await self.net.on_restart(peer.id)

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Take objects out of the peer's mailbox."""
        if not self.traits.replies:
            box = self.net.box(peer.id, self.name)
            box.objects = [each for each in box.objects if each.pid not in pids or each.sender != self.node]

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Carry a parcel through the weather."""
        if (peer.id, self.name) in self.net.homeless:
            raise Barred(f"{peer.id} has no {self.name} address", address=True)
        if peer.id not in self.net.members:
            raise Barred(f"{peer.id} has no {self.name} address")
        if len(parcel) > self.traits.max_bytes + 4096:
            raise Barred(f"{len(parcel)} bytes are too many for {self.name}")
        if not self._open or self.dead or self.stuck:
            raise Unreachable("the road is closed")
        trip = Trip(self.net.time(), self.node, peer.id, self.name, parcel.pid, kind_of(parcel.data), len(parcel),
                    parcel.sender == self.node and parcel.to == peer.id)  # fmt: skip
        self.net.on_send(trip)
        try:
            outcome = await self._carry(peer.id, parcel, timeout)
            trip.end = outcome.word.value if not outcome.data else f"{outcome.word.value} {kind_of(outcome.data)}"
            return outcome
        except asyncio.CancelledError:
            trip.end = "given up"
            raise
        except FleetError as error:
            trip.end = f"{error.code}: {error.message}"
            raise
        except ValueError as error:
            trip.end = f"a bug: {error}"
            raise
        finally:
            trip.over = self.net.time()
            self.net.on_end(trip)

    async def _carry(self, to: str, parcel: Parcel, timeout: float) -> Outcome:
        weather = self.net.sky.at(self.node, to, self.name)
        if weather.bug:
            raise ValueError("the channel broke")
        if weather.faulty:
            raise Faulty("the other end does not know our key")
        if weather.cut:
            raise Unreachable("connection refused", unsent=True)
        if not self.traits.carries:
            self.net.wake(to)
            return Outcome.nudged()
        if not self.traits.replies:
            return await self._post(to, parcel, weather, timeout)
        if weather.lie:
            await asyncio.sleep(2 * self.net.lag(self.road, weather))
            return Outcome.replied(copied(self.net.forge(weather.lie, self, parcel)))
        if weather.custody:
            if weather.custody == "kept":
                self.net.spawn("", self.net.keep(self.road, self.node, to, parcel, weather))
            return Outcome.taken("a relay")
        return await self._ask(to, parcel, weather, timeout)

    async def _ask(self, to: str, parcel: Parcel, weather: Weather, timeout: float) -> Outcome:
        """Put a parcel on the wire and wait for its answer."""
        net = self.net
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if not weather.hole and not net.chance(weather.drop):
            data = net.damaged(parcel.data) if net.chance(weather.corrupt) else parcel.data
            home = None if weather.deaf else answered
            net.spawn(to, net.serve(self.road, self.node, to, copied(data), home))
        if net.chance(weather.twice):
            net.spawn(to, self._again(to, copied(parcel.data), weather))
        self._waiting.add(answered)
        try:
            async with asyncio.timeout(timeout):
                answer = await answered
        except TimeoutError:
            raise Unreachable("no answer") from None
        finally:
            self._waiting.discard(answered)
        if weather.busy:
            raise Unreachable("busy", retry_after=weather.busy)
        return await self._read(answer, to, weather, timeout)

    async def _read(self, answer: Answer, to: str, weather: Weather, timeout: float) -> Outcome:
        if answer.kind is AnswerKind.SIGNED:
            data = self.net.damaged(answer.data) if self.net.chance(weather.corrupt) else answer.data
            if kind_of(data) == "receipt":
                self.net.answers[(to, self.node)] = data
            return Outcome.replied(copied(data))
        if answer.kind is AnswerKind.CUSTODY:
            return Outcome.taken(to)
        if answer.kind is AnswerKind.BUSY:
            raise Unreachable("busy", retry_after=answer.retry_after)
        if self.road.silent:
            await asyncio.sleep(timeout)
        raise Unreachable("the other side says nothing")

    async def _again(self, to: str, data: bytes, weather: Weather) -> None:
        await asyncio.sleep(self.net.dice.random() * weather.again)
        await self.net.serve(self.road, self.node, to, data, None)

    async def _post(self, to: str, parcel: Parcel, weather: Weather, timeout: float) -> Outcome:
        """Put a parcel into the peer's mailbox."""
        net = self.net
        if weather.hole:
            await asyncio.sleep(timeout)
            raise Unreachable("no answer")
        copies = 0 if weather.custody == "lost" or net.chance(weather.drop) else 2 if net.chance(weather.twice) else 1
        exp = parcel.exp if parcel.receipt else 0
        for _ in range(copies):
            visible = net.time() + net.lag(self.road, weather)
            if self.road.poll:
                visible = math.ceil(visible / self.road.poll) * self.road.poll
            data = net.damaged(parcel.data) if net.chance(weather.corrupt) else parcel.data
            net.box(to, self.name).objects.append(Item(visible, self.node, parcel.pid, copied(data), exp))
        net.box(to, self.name).news.set()
        if weather.deaf:
            await asyncio.sleep(timeout)
            raise Unreachable("no answer")
        return Outcome.taken(self.name)

    async def listen(self, deliver: Deliver) -> None:
        """Stand at the door, or look into the mailbox, until cancelled."""
        if self.traits.replies:
            self.net.doors[(self.node, self.name)] = (self, deliver)
            try:
                await asyncio.Event().wait()
            finally:
                if self.net.doors.get((self.node, self.name), (None,))[0] is self:
                    del self.net.doors[(self.node, self.name)]
        box = self.net.box(self.node, self.name)
        while True:
            box.news.clear()
            for each in [each for each in box.objects if each.visible <= self.net.time()]:
                await self._take_out(box, each, deliver)
            await self._rest(box)

    async def _take_out(self, box: Box, each: Item, deliver: Deliver) -> None:
        """Hand one object over; it stays where it is only when the receiver is busy."""
        if self.node in self.net.asleep:
            each.visible = self.net.time() + max(1.0, self.road.poll)
            return
        busy = 0.0
        if not each.exp or each.exp > self.net.now_ms():
            try:
                answer = await deliver(copied(each.data))
                self.net.on_hand(self.node, self.name, each.data, answer.kind.value)
                busy = max(0.01, answer.retry_after) if answer.kind is AnswerKind.BUSY else 0.0
            except Exception as error:
                self.net.bugs.append(f"{self.node} {self.name}: {type(error).__name__}: {error}")
        if busy:
            each.visible = self.net.time() + busy
        elif each in box.objects and not self.dead:
            box.objects.remove(each)

    async def _rest(self, box: Box) -> None:
        """Wait for the next object to become visible, or for news."""
        soonest = min((each.visible for each in box.objects), default=None)
        pause = None if soonest is None else max(0.0, soonest - self.net.time())
        try:
            async with asyncio.timeout(pause):
                await box.news.wait()
        except TimeoutError:
            return


def kind_of(data: bytes) -> str:
    """Name what a parcel holds by its unsealed head; `?` for bytes that are none."""
    try:
        if data[:4] == layout.HOP_MAGIC:
            data = layout.split_hop(data)[3]
        return ParcelType(data[4]).name.lower() if data[:4] == layout.MAGIC else "?"
    except (FleetError, ValueError, IndexError):
        return "?"


def pid_of(data: bytes) -> str:
    """Read a parcel's pid from its unsealed header; empty for bytes that are none."""
    try:
        if data[:4] == layout.HOP_MAGIC:
            data = layout.split_hop(data)[3]
        return layout.read_header(layout.take_apart(data).header).pid
    except FleetError:
        return ""


def copied(data: bytes) -> bytes:
    """Give other bytes with the same content."""
    return bytes(bytearray(data))


def say(answered: "asyncio.Future[Answer] | None", word: "Answer | Exception") -> None:
    """Answer whoever waits, if he still does."""
    if answered is None or answered.done():
        return
    if isinstance(word, Exception):
        answered.set_exception(word)
        answered.exception()  # it may be that nobody waits any more
    else:
        answered.set_result(word)
