"""What every road must do, whatever it is made of; must never know a road by name.

A road's test file says how to build its real world and inherits everything here:

    class PigeonWorld(World):                 # in tests/channels/test_pigeon.py, for channels/pigeon.py
        async def start(self): ...            # sets here, there and peer, both channels opened
        def nobody(self): ...                 # a peer this road has no address of

    class TestContract(OneWayRoad):           # or ReplyingRoad
        World = PigeonWorld

tests/channels/test_contract.py fails for a file in channels/ that has no such class. A road that carries nothing (it
only wakes or announces) takes Conformance itself.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from fleet.core.channel import Answer, AnswerKind, Channel, Deliver, Traits
from fleet.core.outcome import Outcome, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, FleetError, RoadError, Unreachable

SOON = 0.15  # a timeout that is meant to pass
LONG = 30.0  # one that is not
PROBE = b"is anybody there?"
EVERY_BYTE = bytes(range(256))
NASTY = [b"x", EVERY_BYTE, b"\r\n\r\n", b"\0" * 100, b"HTTP/1.1 200 OK\r\n\r\n", b"PING\r\n", EVERY_BYTE * 1024]


def signed(data: bytes) -> Answer:
    return Answer(AnswerKind.SIGNED, data)


def parcel(data: bytes, *, to: str = "there", receipt: bool = False) -> Parcel:
    return Parcel(secrets.token_hex(16), "here", to, 4_000_000_000_000, data, receipt)


class World:
    """Two nodes of one road with everything real between them."""

    here: Channel
    there: Channel
    peer: Peer  # `there`, as `here` knows it

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def start(self) -> None:
        """Build both channels and whatever they need, and open them."""
        raise AssertionError("a world must say how it starts")

    def nobody(self) -> Peer:
        """A peer this road has no way to address."""
        return Peer(id="nobody")

    def absent(self) -> Peer:
        """A peer with a proper address at which nobody answers; a road that replies must have one."""
        raise AssertionError("a world of a road that replies must say who is absent")

    async def stop(self) -> None:
        """End what start() began besides the channels."""

    async def send(self, data: bytes, timeout: float = LONG) -> Outcome:
        return await self.here.send(self.peer, parcel(data), timeout)


@contextlib.asynccontextmanager
async def listening(world: World, deliver: Deliver) -> AsyncIterator[asyncio.Task[None]]:
    """Let `there` listen; on a road that replies, begin when a probe came back."""

    async def behind_the_probe(data: bytes) -> Answer:
        return signed(PROBE) if data == PROBE else await deliver(data)

    task = asyncio.ensure_future(world.there.listen(behind_the_probe))
    try:
        while world.here.traits.replies:
            with contextlib.suppress(Unreachable):
                if (await world.send(PROBE, SOON)).data == PROBE:
                    break
            await asyncio.sleep(0)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def answering(answer: Answer) -> Deliver:
    async def deliver(data: bytes) -> Answer:
        return answer

    return deliver


@contextlib.contextmanager
def bugs_collected() -> Iterator[list[BaseException]]:
    """What a task ended with and nobody caught, collected instead of failing the test."""
    found: list[BaseException] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: found.append(context["exception"]))
    try:
        yield found
    finally:
        loop.set_exception_handler(before)


class Collector:
    """A deliver that keeps what it was given."""

    def __init__(self, answer: Callable[[bytes], Answer] = signed) -> None:
        self.came: list[bytes] = []
        self._answer = answer
        self._news = asyncio.Event()

    async def __call__(self, data: bytes) -> Answer:
        answer = self._answer(data)
        self.came.append(data)
        self._news.set()
        return answer

    async def wait_for(self, count: int) -> list[bytes]:
        async with asyncio.timeout(LONG):
            while len(self.came) < count:
                self._news.clear()
                await self._news.wait()
        return self.came


class Conformance:
    """The clauses of every road."""

    World: ClassVar[type[World]]
    carries: ClassVar[bool] = False
    replies: ClassVar[bool] = False

    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[World]:
        world = self.World(tmp_path)
        try:
            await world.start()
            yield world
        finally:
            await world.here.close()
            await world.there.close()
            await world.stop()

    async def test_it_says_who_it_is(self, world: World) -> None:
        assert isinstance(world.here.name, str) and world.here.name == world.there.name
        assert isinstance(world.here.traits, Traits)
        assert (world.here.traits.carries, world.here.traits.replies) == (self.carries, self.replies)
        assert world.here.traits.max_bytes > 0

    async def test_a_peer_without_an_address_is_barred(self, world: World) -> None:
        with pytest.raises(Barred):
            await world.here.send(world.nobody(), parcel(b"x"), LONG)

    async def test_forgetting_what_was_never_sent_is_no_mistake(self, world: World) -> None:
        await world.here.forget(world.peer, ["0" * 32, "f" * 32])

    async def test_it_can_be_closed_twice(self, world: World) -> None:
        for _ in range(2):
            await world.here.close()


class CarryingRoad(Conformance):
    """The clauses of a road that carries parcels."""

    carries = True

    async def test_bytes_arrive_exactly(self, world: World) -> None:
        largest = os.urandom(world.here.traits.max_bytes)
        collector = Collector()
        async with listening(world, collector):
            for data in [*NASTY, largest]:
                await world.send(data)
            came = await collector.wait_for(len(NASTY) + 1)
        assert sorted(came) == sorted([*NASTY, largest])

    async def test_a_parcel_that_is_too_large_is_barred(self, world: World) -> None:
        async with listening(world, answering(signed(b"y"))):
            with pytest.raises(Barred):
                await world.send(bytes(world.here.traits.max_bytes + 64 * 1024))
            assert await world.send(b"x")

    async def test_many_parcels_at_once_all_arrive(self, world: World) -> None:
        parcels = [b"parcel %d " % n + os.urandom(2000) for n in range(40)]
        collector = Collector(lambda data: signed(b"answer to " + data))
        async with listening(world, collector):
            outcomes = await asyncio.gather(*(world.send(data) for data in parcels))
            assert sorted(await collector.wait_for(len(parcels))) == sorted(parcels)
        if world.here.traits.replies:
            assert [outcome.data for outcome in outcomes] == [b"answer to " + data for data in parcels]

    async def test_a_receiver_that_breaks_does_not_end_the_listening(self, world: World) -> None:
        def refuse_once(data: bytes) -> Answer:
            if data == b"poison":
                raise LookupError("a bug in the receiver")
            return signed(data)

        collector = Collector(refuse_once)
        with bugs_collected():
            async with listening(world, collector) as task:
                with contextlib.suppress(Unreachable):
                    await world.send(b"poison", SOON)
                await world.send(b"bread")
                assert await collector.wait_for(1) == [b"bread"]
                assert not task.done()

    async def test_listening_can_end_and_begin_again(self, world: World) -> None:
        for name in (b"first", b"second"):
            collector = Collector()
            async with listening(world, collector):
                await world.send(name)
                assert name in await collector.wait_for(1)

    async def test_a_cancelled_send_leaves_the_road_usable(self, world: World) -> None:
        began, hold = asyncio.Event(), asyncio.Event()

        async def deliver(data: bytes) -> Answer:
            began.set()
            if data == b"held":
                await hold.wait()
            return signed(data)

        async with listening(world, deliver):
            task = asyncio.ensure_future(world.send(b"held"))
            await began.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            outcomes = await asyncio.gather(*(world.send(b"free %d" % n) for n in range(8)))
            hold.set()
        if world.here.traits.replies:
            assert [outcome.data for outcome in outcomes] == [b"free %d" % n for n in range(8)]


class ReplyingRoad(CarryingRoad):
    """The clauses of a road whose answer comes back inside send()."""

    replies = True

    async def test_the_answer_comes_back_exactly(self, world: World) -> None:
        async with listening(world, Collector(lambda data: signed(data[::-1]))):
            for data in NASTY:
                assert await world.send(data) == Outcome.replied(data[::-1])

    async def test_custody_is_taken_not_replied(self, world: World) -> None:
        async with listening(world, answering(Answer(AnswerKind.CUSTODY))):
            outcome = await world.send(b"x")
        assert (outcome.word, outcome.data) == (Word.TAKEN, b"")
        assert outcome.holder

    async def test_busy_says_when_to_come_again(self, world: World) -> None:
        async with listening(world, answering(Answer(AnswerKind.BUSY, retry_after=7.0))):
            with pytest.raises(Unreachable) as caught:
                await world.send(b"x")
        assert caught.value.retry_after == 7.0

    async def test_a_receiver_that_says_nothing_is_unreachable(self, world: World) -> None:
        async with listening(world, answering(Answer(AnswerKind.NONE))):
            with pytest.raises(Unreachable):
                await world.send(b"x", SOON)

    async def test_a_receiver_that_hangs_costs_the_timeout_and_no_more(self, world: World) -> None:
        async def hang(data: bytes) -> Answer:
            if data == b"slow":
                await asyncio.Event().wait()
            return signed(data)

        async with listening(world, hang):
            with pytest.raises(Unreachable):
                await world.send(b"slow", SOON)
            assert (await world.send(b"quick")).data == b"quick"

    async def test_a_slow_parcel_holds_up_no_other(self, world: World) -> None:
        hold = asyncio.Event()

        async def deliver(data: bytes) -> Answer:
            if data == b"slow":
                await hold.wait()
            return signed(data)

        async with listening(world, deliver):
            slow = asyncio.ensure_future(world.send(b"slow"))
            assert (await world.send(b"quick")).data == b"quick"
            assert not slow.done()
            hold.set()
            assert (await slow).data == b"slow"

    async def test_nobody_at_the_address_is_unreachable(self, world: World) -> None:
        with pytest.raises((Unreachable, OSError)):
            await world.here.send(world.absent(), parcel(b"x"), LONG)

    async def test_a_closed_road_says_so(self, world: World) -> None:
        await world.here.close()
        with pytest.raises((RoadError, OSError)):
            await world.send(b"x")

    async def test_whoever_waits_when_the_road_closes_is_told(self, world: World) -> None:
        began = asyncio.Event()

        async def hang(data: bytes) -> Answer:
            began.set()
            await asyncio.Event().wait()
            return signed(data)

        async with listening(world, hang):
            task = asyncio.ensure_future(world.send(b"x"))
            await began.wait()
            await world.here.close()
            with pytest.raises((RoadError, OSError)):
                await task

    async def test_no_reason_shows_what_was_sent(self, world: World) -> None:
        canary = b"canary-" + secrets.token_hex(8).encode()
        for answer in (Answer(AnswerKind.NONE), Answer(AnswerKind.BUSY, retry_after=1.0)):
            async with listening(world, answering(answer)):
                with pytest.raises(FleetError) as caught:
                    await world.send(canary, SOON)
            assert canary.decode() not in f"{caught.value!r} {caught.value}"


class OneWayRoad(CarryingRoad):
    """The clauses of a road that only takes: a mailbox."""

    async def test_what_is_sent_one_way_is_taken(self, world: World) -> None:
        outcome = await world.send(b"x")  # nobody listens yet
        assert outcome.word is Word.TAKEN and outcome.holder

    async def test_a_waiting_parcel_is_handed_over_once(self, world: World) -> None:
        await world.send(b"one")
        collector = Collector()
        async with listening(world, collector):
            await collector.wait_for(1)
            await world.send(b"two")
            assert await collector.wait_for(2) == [b"one", b"two"]

    async def test_a_busy_receiver_is_asked_again(self, world: World) -> None:
        answers = iter([Answer(AnswerKind.BUSY, retry_after=0.01)])
        collector = Collector(lambda data: next(answers, signed(b"")))
        await world.send(b"x")
        async with listening(world, collector):
            assert await collector.wait_for(2) == [b"x", b"x"]

    async def test_what_is_forgotten_is_not_handed_over(self, world: World) -> None:
        dropped, kept = parcel(b"dropped"), parcel(b"kept")
        for each in (dropped, kept):
            await world.here.send(world.peer, each, LONG)
        await world.here.forget(world.peer, [dropped.pid])
        collector = Collector()
        async with listening(world, collector):
            assert await collector.wait_for(1) == [b"kept"]


@contextlib.asynccontextmanager
async def draining(world: World, deliver: Deliver) -> AsyncIterator[None]:
    """Let `there` hand over what lies in its mailbox."""
    task = asyncio.ensure_future(world.there.drain(deliver))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class KeepingRoad(Conformance):
    """The clauses of a road that replies and keeps a mailbox beside: `there` is away until it drains."""

    carries, replies = True, True

    async def test_it_says_that_it_keeps(self, world: World) -> None:
        assert world.here.traits.keeps

    async def test_what_nobody_answers_is_taken(self, world: World) -> None:
        outcome = await world.send(b"x")
        assert outcome.word is Word.TAKEN and outcome.holder

    async def test_who_answers_leaves_nothing_in_the_mailbox(self, world: World) -> None:
        async with listening(world, Collector()):
            assert (await world.send(b"x")).word is Word.REPLIED
        collector = Collector()
        async with draining(world, collector):
            await world.send(b"later")
            async with asyncio.timeout(LONG):
                while b"later" not in collector.came:  # the probes of listening() lie before it
                    await asyncio.sleep(0.01)
        assert b"x" not in collector.came

    async def test_a_fleeting_parcel_is_never_laid_down(self, world: World) -> None:
        with pytest.raises(Unreachable):
            await world.here.send(world.peer, replace(parcel(b"ping"), fleeting=True), LONG)
        await world.send(b"mail")
        collector = Collector()
        async with draining(world, collector):
            assert await collector.wait_for(1) == [b"mail"]

    async def test_a_waiting_parcel_is_handed_over_once_and_exactly(self, world: World) -> None:
        for data in NASTY:
            await world.send(data)
        collector = Collector()
        async with draining(world, collector):
            await collector.wait_for(len(NASTY))
            await world.send(b"two")
            assert await collector.wait_for(len(NASTY) + 1) == [*NASTY, b"two"]

    async def test_a_busy_receiver_is_asked_again(self, world: World) -> None:
        answers = iter([Answer(AnswerKind.BUSY, retry_after=0.01)])
        collector = Collector(lambda data: next(answers, signed(b"")))
        await world.send(b"x")
        async with draining(world, collector):
            assert await collector.wait_for(2) == [b"x", b"x"]

    async def test_a_receiver_that_breaks_ends_nothing(self, world: World) -> None:
        def refuse_once(data: bytes) -> Answer:
            if data == b"poison":
                raise LookupError("a bug in the receiver")
            return signed(data)

        collector = Collector(refuse_once)
        with bugs_collected() as bugs:
            async with draining(world, collector):
                for data in (b"poison", b"bread"):
                    await world.send(data)
                assert await collector.wait_for(1) == [b"bread"]
        assert [type(bug) for bug in bugs] == [LookupError]

    async def test_what_is_forgotten_is_not_handed_over(self, world: World) -> None:
        dropped, kept = parcel(b"dropped"), parcel(b"kept")
        for each in (dropped, kept):
            await world.here.send(world.peer, each, LONG)
        await world.here.forget(world.peer, [dropped.pid])
        collector = Collector()
        async with draining(world, collector):
            assert await collector.wait_for(1) == [b"kept"]

    async def test_a_peer_without_a_mailbox_is_unreachable(self, world: World) -> None:
        with pytest.raises(Unreachable):
            await world.here.send(world.absent(), parcel(b"x"), LONG)
