"""Every file in channels/ has a world in which it keeps the contract; and a tenth road, written here, keeps it too."""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import channels
from fleet.core.channel import AnswerKind, Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred
from tests.channels.contract import CarryingRoad, Conformance, OneWayRoad, ReplyingRoad, World

ROADS = sorted(path.stem for path in Path(channels.__path__[0]).glob("[!_]*.py"))


@pytest.mark.parametrize("name", ROADS)
def test_every_road_has_a_world(name: str) -> None:
    tests = importlib.import_module(f"tests.channels.test_{name}")
    suites = {value for value in vars(tests).values() if isinstance(value, type) and issubclass(value, Conformance)}
    assert suites - {Conformance, CarryingRoad, ReplyingRoad, OneWayRoad}, f"tests/channels/test_{name}.py holds no suite"


@pytest.mark.parametrize("name", ROADS)
def test_every_road_can_be_built(name: str) -> None:
    assert callable(importlib.import_module(f"channels.{name}").build)


class Pigeon:
    """The tenth road: a mailbox made of files, one-way; fifty lines that only know the seam."""

    name = "pigeon"
    traits = Traits(replies=False, pings=False, max_bytes=300_000)

    def __init__(self, loft: Path) -> None:
        self._loft = loft
        self._handed: set[str] = set()

    async def open(self) -> None:
        await asyncio.to_thread(self._loft.mkdir, parents=True, exist_ok=True)

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        loft = Path(str(peer.address(self.name)["loft"]))
        if len(parcel) > self.traits.max_bytes:
            raise Barred("too heavy for a pigeon")
        flying = loft / f".{parcel.pid}"
        await asyncio.to_thread(flying.write_bytes, parcel.data)
        await asyncio.to_thread(flying.rename, loft / parcel.pid)
        return Outcome.taken("pigeon")

    async def listen(self, deliver: Deliver) -> None:
        while True:
            for path in sorted(self._loft.glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns):
                if path.name not in self._handed:
                    await self._hand_over(path, deliver)
            await asyncio.sleep(0.01)

    async def _hand_over(self, path: Path, deliver: Deliver) -> None:
        self._handed.add(path.name)
        try:
            answer = await deliver(await asyncio.to_thread(path.read_bytes))
        except LookupError as error:
            asyncio.get_running_loop().call_exception_handler({"message": "pigeon", "exception": error})
            return
        if answer.kind is AnswerKind.BUSY:
            self._handed.discard(path.name)

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        for pid in pids:
            path = Path(str(peer.address(self.name)["loft"])) / pid
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def close(self) -> None:
        self._handed.clear()


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Pigeon:
    return Pigeon(Path(settings["loft"]))


class PigeonWorld(World):
    async def start(self) -> None:
        lofts = [self.directory / "here", self.directory / "there"]
        self.here, self.there = (build({"loft": loft}, {}) for loft in lofts)
        for channel in (self.here, self.there):
            await channel.open()
        self.peer = Peer(id="there", addresses={"pigeon": {"loft": str(lofts[1])}})


class TestPigeon(OneWayRoad):
    World = PigeonWorld
