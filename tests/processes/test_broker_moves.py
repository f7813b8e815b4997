"""Real daemons: the broker's address changes, and nobody edits anything at the others."""

from tests.support.hosts import taken_port
from tests.support.nodes import World, until


def test_members_follow_the_broker_to_another_port(world: World) -> None:
    a, b = world.pair()
    until(lambda: b.link("a", "nats") == a.link("b", "nats") == "healthy", "NATS is used")
    words = (b.home / "config.toml").read_bytes()
    with taken_port() as port:
        a.environ["FLEET_NATS_PORT"] = str(port)
    a.ok("down")
    a.start()
    until(lambda: b.link("a", "nats") == a.link("b", "nats") == "healthy", "b has followed")
    (id,) = b.send("a", "over the new broker")
    until(lambda: id in a.arrived(), "mail flows")
    assert a.road_of(id) == "nats" and (b.home / "config.toml").read_bytes() == words


def test_a_broker_the_operator_names_is_not_left_for_another(world: World) -> None:
    _, b = world.pair()
    until(lambda: b.link("a", "nats") == "healthy", "NATS is used")
    b.ok("config", "set", "nats.url", "nats://127.0.0.1:1")
    b.ok("down")
    b.start()
    until(lambda: b.link("a", "http") == "healthy", "b speaks over HTTP alone")
    until(lambda: b.link("a", "nats") == "broken", "b keeps to the operator's word")
