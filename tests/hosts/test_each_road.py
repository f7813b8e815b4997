"""Any one road is enough: six of the seven carrying roads are cut in the net, and the message arrives by the seventh."""

from collections.abc import Iterator

import pytest

from tests.hosts.house import CARRYING, AllRoads
from tests.support.nodes import DONE, until

pytestmark = [pytest.mark.tier("hosts"), pytest.mark.tier("ssh"), pytest.mark.tier("git"), pytest.mark.xdist_group("roads")]


@pytest.fixture(scope="module")
def everything() -> Iterator[AllRoads]:
    """One house for all: what a cut broke has healed before the next."""
    with AllRoads() as house:
        yield house


@pytest.fixture
def house(everything: AllRoads) -> Iterator[AllRoads]:
    yield everything
    everything.heal()


@pytest.mark.parametrize("road", CARRYING)
@pytest.mark.timeout(240)
def test_a_message_arrives_once_by_the_only_road_there_is_and_its_receipt_comes_home(house: AllRoads, road: str) -> None:
    house.only(road, road)
    (id,) = house.a.send("b", f"by {road} alone")
    until(lambda: id in house.b.arrived(), f"it arrives by {road}", 90)
    until(lambda: house.a.status_of(id) == DONE, "its receipt comes home", 90)
    assert house.b.arrived()[id] == f"by {road} alone"
    assert house.b.rows("SELECT count(*) FROM inbox WHERE id = ?", id) == [(1,)]
    assert house.b.road_of(id) == road
    until(lambda: house.roads_that_took(house.a, id) == {road}, f"the trace names {road} and no other")


@pytest.mark.parametrize(("out", "back"), [("http", "ssh"), ("seed", "http"), ("git", "seed")])
@pytest.mark.timeout(240)
def test_two_nodes_that_hear_each_other_by_different_roads_lose_nothing(house: AllRoads, out: str, back: str) -> None:
    house.only(out, (back, "git") if out == "git" else back)  # git is one road for both, or nobody fetches
    there, home = house.a.send("b", "there"), house.b.send("a", "and back")
    until(lambda: house.a.open_rows() == house.b.open_rows() == 0, "both are receipted", 120)
    assert house.b.arrived()[there[0]] == "there" and house.a.arrived()[home[0]] == "and back"
    assert house.b.road_of(there[0]) == out and house.a.road_of(home[0]) in (back, "git")
    for node, id in ((house.b, there[0]), (house.a, home[0])):
        assert node.rows("SELECT count(*) FROM inbox WHERE id = ?", id) == [(1,)]
