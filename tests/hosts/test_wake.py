"""A machine that sleeps is woken by what its network card hears, and then the mail arrives by another road; needs root."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.netns import Net, placed
from tests.support.nodes import Node, World, until

pytestmark = pytest.mark.tier("hosts")

CARD = """
import re, socket, subprocess, sys
mac = open("/sys/class/net/eth0/address").read().strip().replace(":", "")
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0800))
wire.bind(("eth0", 0))
print("asleep", flush=True)
woken = 0
while True:
    if bytes.fromhex("f" * 12 + mac * 16) in wire.recv(65535):
        woken += 1
        subprocess.run(["nft", "flush", "chain", "inet", "weather", "input"], check=True)
        print("woken", flush=True)
"""


class Card:
    """What stays awake in a machine that sleeps: its network card."""

    def __init__(self, net: Net, name: str) -> None:
        command = [*net[name].exec, sys.executable, "-c", CARD]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "asleep\n"

    def wakings(self) -> int:
        """How many packets for this card were heard; ends it."""
        self.process.kill()
        return self.process.communicate(timeout=30)[0].split().count("woken")


@pytest.fixture
def sleeper(net: Net, world: World) -> Iterator[tuple[Node, Node, Card]]:
    """a, and b, which hears nothing but what its card hears."""
    a = world.found("a", **placed(net["a"]))
    b = world.join("b", a, **placed(net["b"]))
    for node, other in ((a, "b"), (b, "a")):
        until(lambda: node.link(other, "http") == "healthy", "they know each other")  # noqa: B023
    card = Card(net, "b")
    net["b"].rule("iifname", "eth0", "drop")
    until(lambda: a.link("b", "nats") == a.link("b", "http") == "broken", "b sleeps", 60)
    yield a, b, card
    card.process.kill()
    card.process.communicate(timeout=30)


def results(node: Node, id: str) -> list[tuple[str, str]]:
    trace: dict[str, Any] = node.ok("trace", id)
    return [(one["channel"], one["result"]) for one in trace["attempts"] if one["result"] in ("nudged", "delivered")]


def test_mail_for_a_sleeping_machine_wakes_it_once_and_arrives_by_another_road(sleeper: tuple[Node, Node, Card]) -> None:
    a, b, card = sleeper
    (id,) = a.send("b", "wake up")
    until(lambda: a.open_rows() == 0, "it is received", 90)
    assert b.arrived() == {id: "wake up"}
    assert b.road_of(id) in ("nats", "http")
    found = until(lambda: results(a, id) if ("wol", "nudged") in results(a, id) else [], "the nudge is on record")
    assert found[0] == ("wol", "nudged") and found[-1][1] == "delivered"
    assert card.wakings() == 1


def test_fleet_wake_wakes_it_and_says_so(sleeper: tuple[Node, Node, Card]) -> None:
    a, _, card = sleeper
    done = a.fleet("wake", "b", "--json")
    assert done.code == 0 and done.value["awake"] is True, done
    assert [(step["step"], step["ok"]) for step in done.value["steps"]] == [
        ("ping", False), ("ssh", False), ("wol", True), ("answer", True)
    ]  # fmt: skip
    assert card.wakings() == 1
