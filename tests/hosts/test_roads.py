"""Black holes, resets, cuts, loss and slow lines between real hosts: mail arrives once, links tell the truth and heal."""

import os
import signal

import pytest

from tests.support.netns import Net, placed
from tests.support.nodes import Node, World, until

pytestmark = pytest.mark.tier("hosts")

NATS, HTTP = 4222, 8856
DONE = 4


@pytest.fixture
def pair(net: Net, world: World) -> tuple[Node, Node]:
    """a with the broker, b; both roads proven in both directions."""
    a = world.found("a", **placed(net["a"]))
    b = world.join("b", a, **placed(net["b"]))
    proven(a, b)
    return a, b


def proven(a: Node, b: Node) -> None:
    for node, other in ((a, b), (b, a)):
        for road in ("nats", "http"):
            assert node.ok("ping", other.name, "--channel", road)["ok"]
    healthy(a, b)


def healthy(a: Node, b: Node) -> None:
    for node, other in ((a, b), (b, a)):
        for road in ("nats", "http"):
            until(lambda: node.link(other.name, road) == "healthy", f"{node.name} trusts {road} to {other.name}", 60)  # noqa: B023


def arrive(sender: Node, receiver: Node, ids: list[str]) -> None:
    """All of them arrive, once, and the sender knows."""
    until(lambda: set(ids) <= set(receiver.arrived()), "everything arrives", 60)
    until(lambda: sender.open_rows() == 0, "everything is receipted", 60)
    assert receiver.rows("SELECT count(*) - count(DISTINCT id) FROM inbox") == [(0,)]


def test_mail_in_flight_when_nats_becomes_a_black_hole_goes_by_http_and_nats_heals_by_itself(
    net: Net, pair: tuple[Node, Node]
) -> None:
    a, b = pair
    net.blackhole("a", NATS)
    ids = a.send("b", *[f"{n}" for n in range(20)])
    arrive(a, b, ids)
    assert {b.road_of(id) for id in ids} == {"http"}
    until(lambda: a.link("b", "nats") == "broken", "a notices")
    until(lambda: b.link("a", "nats") == "broken", "b notices")
    net.heal()
    healthy(a, b)
    (id,) = a.send("b", "after the heal")
    arrive(a, b, [id])
    assert b.road_of(id) == "nats"


def test_a_broker_that_resets_everything_is_passed_over(net: Net, pair: tuple[Node, Node]) -> None:
    a, b = pair
    net.reset("a", NATS)
    ids = b.send("a", *[f"{n}" for n in range(20)])
    arrive(b, a, ids)
    net.heal()
    healthy(a, b)


def test_http_alone_in_a_black_hole_disturbs_nobody(net: Net, pair: tuple[Node, Node]) -> None:
    a, b = pair
    net.blackhole("b", HTTP)
    until(lambda: a.link("b", "http") == "broken", "a notices")
    ids = a.send("b", *[f"{n}" for n in range(20)])
    arrive(a, b, ids)
    assert {b.road_of(id) for id in ids} == {"nats"}
    net.heal()
    healthy(a, b)


def test_mail_waits_while_every_road_is_cut_and_flows_after_the_heal(net: Net, pair: tuple[Node, Node]) -> None:
    a, b = pair
    net.isolate("b")
    there = a.send("b", *[f"{n}" for n in range(50)])
    back = b.send("a", *[f"{n}" for n in range(50)])
    for node, other in ((a, b), (b, a)):
        for road in ("nats", "http"):
            until(lambda: node.link(other.name, road) == "broken", f"{node.name} notices {road}")  # noqa: B023
    assert a.arrived() == b.arrived() == {}
    net.heal()
    arrive(a, b, there)
    arrive(b, a, back)
    healthy(a, b)


@pytest.mark.parametrize("cut", ["a", "b"])
def test_mail_arrives_once_when_one_direction_is_cut_and_the_other_is_not(
    net: Net, pair: tuple[Node, Node], cut: str
) -> None:
    a, b = pair
    net.drop(cut, "b" if cut == "a" else "a")  # what `cut` says is not heard: requests of one side, answers of the other
    there = a.send("b", *[f"{n}" for n in range(20)])
    back = b.send("a", *[f"{n}" for n in range(20)])
    until(lambda: a.link("b", "nats") == "broken" and b.link("a", "nats") == "broken", "both notice")
    net.heal()
    arrive(a, b, there)
    arrive(b, a, back)


def test_receipts_that_vanish_make_no_duplicates(net: Net, pair: tuple[Node, Node]) -> None:
    """b hears everything; what it answers is lost, on both roads, again and again."""
    a, b = pair
    for _ in range(3):
        net.drop("b", "a")
        ids = a.send("b", *[f"{n}" for n in range(20)])
        until(lambda: a.link("b", "nats") == "broken", "a notices")
        net.heal()
        arrive(a, b, ids)
        healthy(a, b)


def test_everything_arrives_through_heavy_loss(net: Net, pair: tuple[Node, Node]) -> None:
    a, b = pair
    for name in ("a", "b"):
        net.lossy(name, 20)
    arrive(a, b, a.send("b", *[f"{n}" for n in range(100)]))
    arrive(b, a, b.send("a", *[f"{n}" for n in range(100)]))


def test_everything_arrives_over_a_slow_line(net: Net, pair: tuple[Node, Node]) -> None:
    a, b = pair
    net.slow("a", "2mbit")
    ids = a.send("b", *["x" * 50_000 for _ in range(20)])
    arrive(a, b, ids)


def test_a_node_whose_address_changed_is_found_again(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    a, b = pair
    b.terminate()
    (waiting,) = a.send("b", "to the old address")
    net.move("b", "10.77.0.99")
    b.bind = f"10.77.0.99:{HTTP}"
    b.start()
    until(lambda: waiting in b.arrived(), "what waited")
    until(lambda: "10.77.0.99" in a.ok("peer", "show", "b")["address"], "a learns the new address")
    net.blackhole("a", NATS)
    (id,) = a.send("b", "by http")
    until(lambda: id in b.arrived(), "over the new address", 60)
    assert b.road_of(id) == "http"


def test_two_members_find_each_other_s_new_address_while_their_inviter_is_away(net: Net, world: World) -> None:
    a = world.found("a", **placed(net["a"]))
    b = world.join("b", a, **placed(net["b"]))
    c = world.join("c", a, **placed(net["c"]))
    until(lambda: "c" in {peer["node"] for peer in b.ask("peers")}, "b was told of c")
    a.kill()
    c.terminate()
    net.move("c", "10.77.0.99")
    c.bind = f"10.77.0.99:{HTTP}"
    c.start()
    arrive(c, b, c.send("b", "I moved"))
    arrive(b, c, b.send("c", "so I see"))


def test_a_machine_joins_over_the_net_and_meets_those_who_joined_before(net: Net, world: World) -> None:
    a = world.found("a", **placed(net["a"]))
    b = world.join("b", a, **placed(net["b"]))
    c = world.join("c", a, **placed(net["c"]))
    net.isolate("a")
    arrive(b, c, b.send("c", "we never met"))
    arrive(c, b, c.send("b", "now we have"))


def test_a_link_with_a_loopback_address_is_warned_of_and_address_helps(net: Net, world: World) -> None:
    a = world.found("a", prefix=net["a"].exec)  # bound to loopback
    warned = a.fleet("invite")
    assert warned.code == 0
    assert warned.out.startswith("fleet1:")
    assert "127.0.0.1" in warned.err
    assert "--address" in warned.err
    b = world.node("b", **placed(net["b"]))
    said = b.fleet("join", warned.out.strip(), "--node", "b", "--json")
    assert said.code == 4
    assert "--address" in said.error["hint"]
    a.terminate()
    a.bind = f"0.0.0.0:{HTTP}"
    a.start()
    b.ok("join", str(a.ok("invite", "--address", f"{net['a'].address}:{HTTP}")["link"]), "--node", "b")
    b.start()
    (id,) = b.send("a", "from another machine")
    until(lambda: id in a.arrived(), "it arrives")
    (id,) = a.send("b", "and back")
    until(lambda: id in b.arrived(), "it arrives")


def test_nodes_of_one_machine_keep_their_ports_over_restarts_so_that_members_find_them_without_anybody_s_help(
    net: Net, world: World
) -> None:
    a = world.found("a", prefix=net["a"].exec)  # nobody names a port: each takes the next free one
    b = world.join("b", a, prefix=net["a"].exec)
    c = world.join("c", a, prefix=net["a"].exec)
    until(lambda: "c" in {peer["node"] for peer in b.ask("peers")}, "b was told of c")
    before = [node.ask("here")["bind"] for node in (b, c)]
    for node in (a, b, c):
        node.kill()
    c.start()
    b.start()
    assert [node.ask("here")["bind"] for node in (b, c)] == before
    arrive(b, c, b.send("c", "x"))
    arrive(c, b, c.send("b", "x"))


def test_the_broker_killed_under_traffic_costs_nothing(net: Net, pair: tuple[Node, Node]) -> None:
    a, b = pair
    ids: list[str] = []
    for _ in range(3):
        ids += a.send("b", *[f"{n}" for n in range(50)])
        broker = until(a.broker_pid, "a broker runs")
        os.kill(broker, signal.SIGKILL)
        ids += a.send("b", *[f"{n}" for n in range(50)])
        until(lambda: a.broker_pid() not in (None, broker), "another one runs")  # noqa: B023
    arrive(a, b, ids)
    healthy(a, b)
