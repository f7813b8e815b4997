"""Three real daemons: a chief that relays; custody is shown before the receipt, the sealed bytes are never read."""

from tests.support.nodes import Node, World, until


def three(world: World) -> tuple[Node, Node, Node]:
    """A chief, a far node, and a sender whose only way to the far node is the chief."""
    chief = world.found("chief")
    far = world.join("far", chief)
    near = world.join("near", chief)
    near.ok("config", "set", "channel.nats.enabled", "false")
    near.terminate()
    near.start()
    until(lambda: near.link("far", "http") != "untried", "near looked for far")
    near.ok("peer", "set", "far", "http.url=https://127.0.0.1:1")
    return chief, far, near


def test_a_message_goes_through_the_chief_and_its_receipt_comes_home(world: World) -> None:
    _, far, near = three(world)
    (id,) = near.send("far", "by the chief")
    until(lambda: near.status_of(id) == 4, "the receipt came home")
    assert far.arrived() == {id: "by the chief"}
    trace = near.ok("trace", id)
    assert [attempt["channel"] for attempt in trace["attempts"] if attempt["result"] == "taken"] == ["relay"]


def test_a_chief_keeps_what_its_addressee_cannot_take_yet(world: World) -> None:
    chief, far, near = three(world)
    far.kill()
    (id,) = near.send("far", "later")
    until(lambda: near.ok("trace", id)["state"] == "custody", "the chief has it")
    assert near.open_rows() == 1
    near.terminate()
    far.start()
    until(lambda: id in far.arrived(), "the chief forwarded it while its sender was away")
    near.start()
    until(lambda: near.status_of(id) == 4, "the receipt waited for its sender")
    assert far.arrived() == {id: "later"}
    assert b"later" not in (chief.home / "fleet.db").read_bytes()
