"""The simulated roads keep the contract that every real road keeps; and the weather does what it says."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fleet.core.channel import Answer, AnswerKind
from fleet.core.outcome import Outcome, Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Faulty, Unreachable
from tests.channels.contract import OneWayRoad, ReplyingRoad, World
from tests.support import simroad, virtual
from tests.support.roads import ROADS
from tests.support.simnet import SimNet
from tests.support.simroad import SimChannel
from tests.support.weather import CLEAR, Sky, Weather, read_weather


class SimWorld(World):
    """Two ends of one simulated road, without its delays."""

    road = "nats"

    async def start(self) -> None:
        net = SimNet()
        net.members |= {"here", "there", "absent"}
        road = replace(ROADS[self.road], delay=0.0, poll=0.0)
        self.here, self.there = SimChannel(net, "here", road), SimChannel(net, "there", road)
        self.peer = Peer(id="there")
        await self.here.open()
        await self.there.open()

    def absent(self) -> Peer | None:
        return Peer(id="absent") if ROADS[self.road].traits.replies else None


class SimMailbox(SimWorld):
    road = "git"


class TestSimulatedLine(ReplyingRoad):
    World = SimWorld


class TestSimulatedMailbox(OneWayRoad):
    World = SimMailbox


# --- weather ----------------------------------------------------------------------------------------------------------


def sent(weather: Weather, road: str = "nats", *, seed: int = 0, lasting: float = 0.0) -> tuple[Any, list[bytes], float]:
    """Send one parcel through the weather; gives the outcome or error, what arrived, and when it was over."""

    async def story() -> tuple[Any, list[bytes], float]:
        net, came = SimNet(seed), []
        net.members |= {"a", "b"}
        net.sky.set("a", "b", road, weather)
        here, there = SimChannel(net, "a", ROADS[road]), SimChannel(net, "b", ROADS[road])

        async def deliver(data: bytes) -> Answer:
            came.append(data)
            return Answer(AnswerKind.SIGNED, b"answer")

        for channel in (here, there):
            await channel.open()
        listening = asyncio.ensure_future(there.listen(deliver))
        await asyncio.sleep(0)
        try:
            found: Any = await here.send(Peer(id="b"), Parcel("0" * 32, "a", "b", 2_000_000_000_000, b"parcel"), 3.0)
        except Exception as error:
            found = error
        over = asyncio.get_running_loop().time()
        await asyncio.sleep(lasting)
        listening.cancel()
        return found, came, over

    return virtual.run(story())


def test_under_a_clear_sky_the_answer_comes_back_after_the_roads_own_time() -> None:
    assert sent(CLEAR) == (Outcome.replied(b"answer"), [b"parcel"], 0.001)


def test_a_cut_road_refuses_at_once_and_a_hole_swallows() -> None:
    for weather, over in ((Weather(cut=True), 0.0), (Weather(hole=True), 3.0), (Weather(drop=1.0), 3.0)):
        found, came, ended = sent(weather)
        assert isinstance(found, Unreachable) and came == [] and ended == over


def test_one_way_loss_delivers_and_loses_the_answer() -> None:
    found, came, over = sent(Weather(deaf=True))
    assert isinstance(found, Unreachable) and came == [b"parcel"] and over == 3.0


def test_a_delay_counts_each_way() -> None:
    assert sent(Weather(delay=1.0))[2] == pytest.approx(2.001)


def test_a_second_copy_comes_by_itself() -> None:
    assert sent(Weather(twice=1.0), lasting=5.0)[1] == [b"parcel", b"parcel"]


def test_a_flipped_bit_is_one_bit() -> None:
    found, came, _ = sent(Weather(corrupt=1.0))
    for true, false in ((b"parcel", came[0]), (b"answer", found.data)):
        changed = int.from_bytes(true, "big") ^ int.from_bytes(false, "big")
        assert changed.bit_count() == 1


def test_custody_is_kept_or_thrown_away() -> None:
    found, came, _ = sent(Weather(custody="lost"), lasting=60.0)
    assert (found.word, came) == (Word.TAKEN, [])
    found, came, _ = sent(Weather(custody="kept"), lasting=60.0)
    assert (found.word, came) == (Word.TAKEN, [b"parcel"])


def test_a_busy_road_says_so_a_broken_channel_breaks_a_faulty_one_is_faulty() -> None:
    assert sent(Weather(busy=7.0))[0].retry_after == 7.0
    assert isinstance(sent(Weather(bug=True))[0], ValueError)
    assert isinstance(sent(Weather(faulty=True))[0], Faulty)


def test_a_mailbox_is_looked_at_now_and_then() -> None:
    found, came, over = sent(CLEAR, "git", lasting=29.0)
    assert (found, came, over) == (Outcome.taken("git"), [], 0.0)
    assert sent(CLEAR, "git", lasting=31.0)[1] == [b"parcel"]
    assert sent(Weather(custody="lost"), "git", lasting=100.0)[1] == []


def test_the_same_seed_gives_the_same_weather() -> None:
    stormy = Weather(drop=0.3, corrupt=0.5, twice=0.5, jitter=1.0)
    first = [repr(sent(stormy, seed=seed, lasting=10.0)) for seed in range(20)]
    assert first == [repr(sent(stormy, seed=seed, lasting=10.0)) for seed in range(20)]
    assert len(set(first)) > 5


def test_what_a_dead_node_does_reaches_nobody() -> None:
    async def story() -> None:
        net = SimNet()
        roads = {name: net.roads(name, ["nats"])["nats"] for name in "ab"}
        answered: list[bytes] = []

        async def deliver(data: bytes) -> Answer:
            await asyncio.sleep(1.0)
            answered.append(data)
            return Answer(AnswerKind.SIGNED, b"answer")

        for road in roads.values():
            await road.open()
        listening = asyncio.ensure_future(roads["b"].listen(deliver))
        await asyncio.sleep(0)
        asking = asyncio.ensure_future(roads["a"].send(Peer(id="b"), Parcel("0" * 32, "a", "b", 0, b"x"), 3.0))
        await asyncio.sleep(0.5)
        net.detach("b", [roads["b"]])
        with pytest.raises(Unreachable):
            await asking
        assert answered == []
        with pytest.raises(Unreachable):
            await roads["b"].send(Peer(id="a"), Parcel("0" * 32, "b", "a", 0, b"x"), 3.0)
        listening.cancel()

    virtual.run(story())


def test_the_most_particular_word_about_the_weather_wins() -> None:
    sky = Sky()
    assert sky.at("a", "b", "nats") is CLEAR
    words = [("*", "*", "*"), ("*", "*", "nats"), ("*", "b", "*"), ("a", "*", "*"), ("a", "b", "*"), ("a", "b", "nats")]
    for number, key in enumerate(words):
        sky.set(*key, Weather(delay=float(number)))
        assert sky.at("a", "b", "nats").delay == number
    assert sky.at("b", "a", "http").delay == 0.0
    sky.clear()
    assert sky.at("a", "b", "nats") is CLEAR


def test_weather_is_read_and_written_in_words() -> None:
    weather = read_weather(["cut", "delay=0.5", "lie=ok"])
    assert weather == Weather(cut=True, delay=0.5, lie="ok")
    assert str(weather) == "cut delay=0.5 lie=ok"
    assert (str(CLEAR), read_weather(["clear"])) == ("clear", CLEAR)


def test_bytes_that_are_no_parcel_have_no_name() -> None:
    assert simroad.kind_of(b"") == simroad.kind_of(b"FLT1") == simroad.kind_of(b"FLH1\xff\xff") == "?"
    assert simroad.pid_of(b"junk") == ""
