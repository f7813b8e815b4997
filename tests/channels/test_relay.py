"""The relay road: parcels handed to a chief over real sockets; what the chief does with them is told in processes/."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from channels import http, relay
from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.core.outcome import Outcome, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Unreachable
from tests.channels.contract import LONG, CarryingRoad, World, answering, listening, parcel, signed
from tests.support.hosts import taken_port

CUSTODY = Answer(AnswerKind.CUSTODY)


def door() -> http.Http:
    return http.build({"bind": "127.0.0.1:0"}, {})


def at(channel: http.Http, name: str) -> Peer:
    host, port = channel.bound or ("", 0)
    return Peer(id=name, addresses={"http": {"url": f"http://{host}:{port}"}})


class Forwarded:
    """The far end: what a chief took, handed over; the chief's forwarding itself is the engine's."""

    name = "relay"
    traits = relay.Relay.traits

    def __init__(self) -> None:
        self.kept: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(self, data: bytes) -> Answer:
        await self.kept.put(data)
        return CUSTODY

    async def open(self) -> None: ...

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        raise Unreachable("the far end sends nothing")

    async def listen(self, deliver: Deliver) -> None:
        while True:
            data = await self.kept.get()
            try:
                await deliver(data)
            except LookupError as error:
                asyncio.get_running_loop().call_exception_handler({"message": "relay", "exception": error})

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None: ...

    async def close(self) -> None: ...


class RelayWorld(World):
    here: relay.Relay
    there: Forwarded

    async def start(self) -> None:
        self.line, self.chief, self.there = door(), door(), Forwarded()
        await self.line.open()
        await self.chief.open()
        self._keeping = asyncio.ensure_future(self.chief.listen(self.there.keep))
        self.chiefs = [at(self.chief, "chief1")]
        self.here = relay.build({"chiefs": self.chiefs_for}, {"http": self.line})
        self.peer = Peer(id="there")

    def chiefs_for(self, peer: Peer) -> list[Peer]:
        return [] if peer.id == "nobody" else self.chiefs

    async def stop(self) -> None:
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        await self.line.close()
        await self.chief.close()


class TestContract(CarryingRoad):
    World = RelayWorld


@pytest.fixture
async def world(tmp_path):  # type: ignore[no-untyped-def]
    made = RelayWorld(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_what_a_chief_takes_is_custody_and_names_the_chief(world: RelayWorld) -> None:
    assert await world.send(b"x") == Outcome.taken("relay chief1")


async def test_the_next_chief_is_asked_when_the_first_does_not_answer(world: RelayWorld) -> None:
    with taken_port() as port:
        dead = Peer(id="chief0", addresses={"http": {"url": f"http://127.0.0.1:{port}"}})
    world.chiefs = [dead, at(world.chief, "chief1")]
    assert (await world.send(b"x")).holder == "relay chief1"


async def test_a_chief_that_refuses_leaves_the_parcel_unreachable_with_its_reason(world: RelayWorld) -> None:
    stern = door()
    await stern.open()
    listening_task = asyncio.ensure_future(stern.listen(answering(Answer(AnswerKind.NONE))))
    world.chiefs = [at(stern, "stern")]
    with pytest.raises(Unreachable, match="stern over http"):
        await world.send(b"x")
    listening_task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening_task
    await stern.close()


async def test_a_chief_that_has_the_answer_already_gives_it(world: RelayWorld) -> None:
    knowing = door()
    await knowing.open()
    task = asyncio.ensure_future(knowing.listen(answering(signed(b"the addressee's receipt"))))
    world.chiefs = [at(knowing, "knowing")]
    outcome = await world.send(b"x")
    assert (outcome.word, outcome.data) == (Word.REPLIED, b"the addressee's receipt")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await knowing.close()


async def test_without_a_chief_the_road_is_barred(world: RelayWorld) -> None:
    world.chiefs = []
    with pytest.raises(Barred, match="no chief"):
        await world.here.send(world.peer, parcel(b"x"), LONG)


async def test_relayed_parcels_reach_the_far_end(world: RelayWorld) -> None:
    came: list[bytes] = []
    arrived = asyncio.Event()

    async def deliver(data: bytes) -> Answer:
        came.append(data)
        arrived.set()
        return signed(b"")

    async with listening(world, deliver):
        await world.send(b"sealed")
        await asyncio.wait_for(arrived.wait(), LONG)
    assert came == [b"sealed"]
