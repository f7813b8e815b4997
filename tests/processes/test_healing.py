"""Healing of real daemons: a broker that hangs or dies is restarted and proven; fleet repair tells what it did."""

import os
import signal

import pytest

from tests.support.nodes import Node, World, until


def well(*pairs: tuple[Node, Node]) -> bool:
    return all(one.link(other.name, "nats") == one.link(other.name, "http") == "healthy" for one, other in pairs)


def settled(a: Node, b: Node) -> None:
    until(lambda: well((a, b), (b, a)), "every link is proven", 60.0)


def test_a_broker_that_hangs_is_restarted_and_proven_without_anyone(world: World) -> None:
    a, b = world.pair()
    settled(a, b)
    hung = a.broker_pid()
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    until(lambda: a.broker_pid() not in (None, hung), f"the broker is another: {a.log[-1500:]}", 60.0)
    settled(a, b)
    said = until(lambda: [row for (row,) in a.rows("SELECT details FROM audit WHERE kind = 'repair'") if "healed" in row],
                 "the audit chain says at which level it healed", 30.0)  # fmt: skip
    assert "healed at level 1" in said[-1] or "healed at level 2" in said[-1]  # a slow machine asks meanwhile
    steps = [row for (row,) in a.rows("SELECT details FROM audit WHERE kind = 'repair'")]
    assert any("restart the broker: done" in step for step in steps)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_broker_that_was_killed_is_back_and_proven(world: World, by_hand: bool) -> None:
    a, b = world.pair()
    settled(a, b)
    dead = a.broker_pid()
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    if by_hand:
        until(lambda: a.fleet("repair", "b", "--json").code == 0, "fleet repair proves every road", 30.0)
    until(lambda: a.broker_pid() not in (None, dead), "the broker is another", 30.0)
    settled(a, b)


def test_fleet_repair_shows_each_step_and_proves_the_roads(world: World) -> None:
    a, b = world.pair()
    settled(a, b)
    found = a.ok("repair", "b")
    assert (found["level"], found["healed"]) == (0, True)
    assert [step["step"] for step in found["steps"]] == ["probe nats", "probe http"]
    b.kill()
    done = a.fleet("repair", "b", "--channel", "http", "--level", "1", "--json")
    assert done.code == 1 and done.value["healed"] is False
    assert [step["level"] for step in done.value["steps"]][-1] == 1
    assert "L0 probe http: no" in done.err and "L1 " in done.err
    b.start()
    until(lambda: a.fleet("repair", "b", "--json").code == 0, "it is mended", 60.0)
    assert a.fleet("repair", "b", "--channel", "pigeon", "--json").code == 2
    assert a.fleet("repair", "nobody", "--json").code == 5
    refused = a.fleet("repair", "b", "--level", "3", "--json")
    assert refused.code == 2 and "--yes" in refused.error["hint"]
