"""The figures that healing is held to, in virtual time: how fast a black hole and its end are noticed, and mail drained."""

import asyncio
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.core.health import Health
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

HOLE = Weather(hole=True)
ROUNDS = 8
HOURS = float(os.environ.get("FIGURE_HOURS", "0.25"))  # 24 = the figure; that takes a quarter of an hour


def states(tale: Tale, roads: tuple[str, ...]) -> set[Health]:
    """The health of every link of a over some roads."""
    links = tale.fleet.node("a").links
    return {links.get(peer, road).health for peer in "bc" for road in roads}


async def clocked(tale: Tale, done: Callable[[], bool]) -> float:
    return await tale.fleet.until(done, 60.0, 0.05)


@pytest.mark.parametrize(("roads", "limit"), [(("nats",), 6.5), (("nats", "http"), 8.0)])  # all of them: it may be ourselves
def test_an_idle_black_hole_with_two_peers_and_its_end_are_noticed_in_time(
    tmp_path: Path, roads: tuple[str, ...], limit: float
) -> None:
    degraded, broken, healed = [], [], []

    async def story(tale: Tale) -> None:
        await asyncio.sleep(10.0)
        for number in range(ROUNDS):
            await asyncio.sleep(20.0 + 0.19 * number)  # at any moment between two pings
            for road in roads:
                tale.fleet.net.sky.set("*", "*", road, HOLE)
            degraded.append(await clocked(tale, lambda: Health.HEALTHY not in states(tale, roads)))
            broken.append(degraded[-1] + await clocked(tale, lambda: states(tale, roads) <= {Health.BROKEN, Health.HEALING}))
            await asyncio.sleep(30.0 + 0.83 * number)
            tale.fleet.net.sky.clear()
            healed.append(await clocked(tale, lambda: states(tale, roads) == {Health.HEALTHY}))

    told(tmp_path, story, "abc")
    print(f"{roads}: degraded {summary(degraded)}, broken {summary(broken)}, healthy again {summary(healed)}")
    assert statistics.median(degraded) <= 4.0
    assert statistics.median(broken) <= limit
    assert max(broken) <= 10.0
    assert statistics.median(healed) <= 5.0
    assert max(healed) <= 15.0


def summary(times: list[float]) -> str:
    return f"p50 {statistics.median(times):.2f} max {max(times):.2f} s"


def test_a_thousand_messages_that_waited_long_drain_within_half_a_minute(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        await asyncio.sleep(10.0)
        fleet.net.sky.set("*", "*", "*", HOLE)
        for number in range(1000):
            await fleet.send("a", "b", f"message {number}")
        await asyncio.sleep(HOURS * 3600.0)
        assert fleet.inbox("b") == []
        fleet.net.sky.clear()
        took = await fleet.until(lambda: len(fleet.inbox("b")) == 1000, 120.0)
        print(f"the mail of {HOURS} hours drained within {took:.2f} s")
        assert took <= 30.0

    told(tmp_path, story, "ab")
