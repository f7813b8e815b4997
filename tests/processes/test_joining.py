"""Invitations between real daemons: used, expired, damaged; daemons up or down on either side; members that never met."""

import base64
import http.client
import json
import ssl
import time
from urllib.parse import SplitResult, urlsplit

import msgspec
import pytest

from fleet.daemon.enrolment import read_link, write_link
from tests.support.hosts import is_alive
from tests.support.nodes import Node, World, until

REFUSED = "not accepted: wrong, used, expired or closed"


@pytest.fixture
def a(world: World) -> Node:
    return world.found("a")


def test_after_joining_both_sides_know_each_other_and_write_both_ways(world: World, a: Node) -> None:
    b = world.node("b")
    joined = b.ok("join", world.invite(a), "--node", "b")
    assert (joined["node"], joined["peer"], joined["reachable"]) == ("b", "a", True)
    assert joined["words"]
    b.start()
    assert a.ok("send", "b", "x")["state"] == "received"
    assert b.ok("send", "a", "x")["state"] == "received"
    assert [peer["node"] for peer in a.ok("peers")] == ["b"]
    assert [peer["node"] for peer in b.ok("peers")] == ["a"]


def test_both_sides_show_the_same_words(world: World, a: Node) -> None:
    invited = a.ok("invite")
    assert world.node("b").ok("join", invited["link"], "--node", "b")["words"] == invited["words"]


def test_the_link_may_come_on_standard_input(world: World, a: Node) -> None:
    link = world.invite(a)
    assert world.node("b").ok("join", "-", "--node", "b", stdin=link.encode() + b"\n")["node"] == "b"


def test_a_used_link_is_refused_and_only_the_inviter_s_log_says_why(world: World, a: Node) -> None:
    link, _ = world.invite(a), world.invite(a)  # a second one keeps the door open
    assert world.node("b").fleet("join", link, "--node", "b").code == 0
    c = world.node("c")
    said = c.fleet("join", link, "--node", "c", "--json")
    assert said.code == 4
    assert said.error["code"] == "join_refused"
    assert said.error["message"] == REFUSED
    assert "used" in _refusals(a)[-1]
    assert _is_nobody(c)
    assert [peer["node"] for peer in a.ok("peers")] == ["b"]


def test_a_used_link_is_refused_when_the_door_is_closed_as_well(world: World, a: Node) -> None:
    link = world.invite(a)
    assert world.node("b").fleet("join", link, "--node", "b").code == 0
    c = world.node("c")
    for _ in range(2):
        said = c.fleet("join", link, "--node", "c", "--json")
        assert (said.code, said.error["message"]) == (4, REFUSED)
        until(lambda: _knock(link) == 404, "the door closes")


def _knock(link: str) -> int:
    line = _door(urlsplit(read_link(link).url))
    try:
        line.request("POST", "/join", b"x")
        return line.getresponse().status
    finally:
        line.close()


def test_an_expired_link_is_refused_by_both_sides(world: World, a: Node) -> None:
    link = str(a.ok("invite", "--ttl", "1s")["link"])
    world.invite(a)
    until(lambda: read_link(link).expires < time.time() * 1000, "the link has expired")
    b = world.node("b")
    said = b.fleet("join", link, "--node", "b", "--json")
    assert said.code == 4
    assert "expired" in said.error["message"]
    younger = read_link(link)
    lie = write_link(msgspec.structs.replace(younger, expires=younger.expires + 3_600_000))
    said = b.fleet("join", lie, "--node", "b", "--json")
    assert (said.code, said.error["message"]) == (4, REFUSED)
    assert "expired" in _refusals(a)[-1]
    assert _is_nobody(b)


def test_a_link_with_a_wrong_secret_is_refused_and_the_true_one_still_works(world: World, a: Node) -> None:
    link = world.invite(a)
    lie = write_link(msgspec.structs.replace(read_link(link), token=b"\0" * 16))
    b = world.node("b")
    said = b.fleet("join", lie, "--node", "b", "--json")
    assert (said.code, said.error["message"]) == (4, REFUSED)
    assert "wrong" in _refusals(a)[-1]
    assert b.fleet("join", link, "--node", "b").code == 0


def test_a_damaged_link_is_a_usage_error_before_anybody_is_asked(world: World, a: Node) -> None:
    link = world.invite(a)
    b = world.node("b")
    body = link.removeprefix("fleet1:")
    decoded = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    for damaged in (
        link[:-5], link[:40], "fleet1:", "fleet1:!!!", body, "", "https://example.test/join", link + "x" * 9000,
        "fleet1:" + base64.urlsafe_b64encode(decoded.replace(b'"version":1', b'"version":2')).decode().rstrip("="),
        "fleet1:" + base64.urlsafe_b64encode(json.dumps({"a": 1}).encode()).decode().rstrip("="),
    ):  # fmt: skip
        done = b.fleet("join", damaged, "--node", "b")
        assert done.code == 2, (damaged[:60], done)
        assert "Traceback" not in done.err
    assert _refusals(a) == []
    assert _is_nobody(b)
    assert b.fleet("join", link, "--node", "b").code == 0


def test_a_link_shortened_by_one_character_never_joins(world: World, a: Node) -> None:
    link = world.invite(a)
    assert world.node("b").fleet("join", link[:-1], "--node", "b").code in (2, 4)


def test_the_name_of_another_member_cannot_be_taken(world: World, a: Node) -> None:
    world.join("b", a)
    impostor = world.node("c")
    said = impostor.fleet("join", world.invite(a), "--node", "b", "--json")
    assert (said.code, said.error["message"]) == (4, REFUSED)
    assert "b is another member's" in _refusals(a)[-1]
    said = impostor.fleet("join", world.invite(a), "--node", "a", "--json")
    assert said.code == 4
    assert _is_nobody(impostor)


def test_joining_while_the_inviter_is_down_says_so_and_leaves_the_machine_as_it_was(world: World, a: Node) -> None:
    link = world.invite(a)
    a.kill()
    b = world.node("b")
    said = b.fleet("join", link, "--node", "b", "--json")
    assert said.code == 4
    assert "a does not answer" in said.error["message"]
    assert _is_nobody(b)
    a.start()  # the invitation outlives the restart
    assert b.fleet("join", link, "--node", "b").code == 0


def test_a_node_that_was_offline_since_it_was_invited_finds_its_mail_when_it_comes(world: World, a: Node) -> None:
    b = world.node("b")
    b.ok("join", world.invite(a), "--node", "b")
    ids = a.send("b", "1", "2", "3")
    assert a.fleet("send", "b", "4", "--timeout", "1").code in (6, 7)
    b.start()
    world.drained()
    assert set(ids) <= set(b.arrived())


def test_a_running_daemon_that_has_no_peers_joins_without_a_restart(world: World, a: Node) -> None:
    b = world.found("b")
    assert b.process is not None
    pid = b.ask("here")["pid"]
    assert b.ok("join", world.invite(a))["node"] == "b"
    until(lambda: b.ask("here")["fleet"] == a.ask("here")["fleet"], "b is in the fleet")
    assert b.ask("here")["pid"] == pid
    assert a.ok("send", "b", "x")["state"] == "received"
    assert b.ok("send", "a", "x")["state"] == "received"
    until(lambda: b.link("a", "nats") == "healthy", "over the inviter's broker")
    assert b.broker_pid() is None, "its own broker is switched off"
    b.kill()
    b.start()
    assert b.ok("send", "a", "x")["state"] == "received"


def test_a_member_with_peers_cannot_join_another_fleet(world: World, a: Node) -> None:
    b = world.join("b", a)
    other = world.found("other", nats=False)
    said = b.fleet("join", world.invite(other), "--json")
    assert said.code == 2
    assert b.ok("send", "a", "x")["state"] == "received"


def test_only_the_machine_with_the_root_key_invites_and_the_others_say_where_it_is(world: World, a: Node) -> None:
    b = world.join("b", a)
    done = b.fleet("invite")
    assert done.code == 1
    assert "is on a" in done.err


def test_two_members_that_never_met_write_to_each_other_while_their_inviter_is_down(world: World, a: Node) -> None:
    b = world.join("b", a)
    c = world.join("c", a)
    until(lambda: "c" in {peer["node"] for peer in b.ask("peers")}, "b was told of c")
    broker = a.broker_pid()
    a.kill()
    until(lambda: broker is None or not is_alive(broker), "its broker has gone too")
    (there,) = b.send("c", "from b")
    (back,) = c.send("b", "from c")
    until(lambda: there in c.arrived() and back in b.arrived(), "both arrive")
    until(lambda: b.open_rows() == c.open_rows() == 0, "both are receipted")
    assert c.road_of(there) == "http"


def test_a_member_that_was_away_when_another_joined_hears_of_it(world: World, a: Node) -> None:
    b = world.join("b", a)
    b.kill()
    c = world.join("c", a)
    (id,) = c.send("b", "you do not know me")  # the intro goes with it
    b.start()
    until(lambda: id in b.arrived(), "b takes the word of the root")
    until(lambda: "c" in {peer["node"] for peer in b.ask("peers")}, "b knows c")
    assert b.ok("send", "c", "x")["state"] == "received"


def test_a_dynamic_peer_and_what_was_said_of_it_survive_a_restart(world: World, a: Node) -> None:
    world.join("b", a)
    a.ok("peer", "add", "stranger", "http.url=http://127.0.0.1:9", "description=not met yet")
    a.ok("peer", "set", "b", "description=the second")
    (waits,) = a.send("stranger", "for later")
    a.kill()
    a.start()
    stranger = a.ok("peer", "show", "stranger")
    assert stranger["source"] == "dynamic"
    assert "9" in stranger["address"]
    assert waits in {row["id"] for row in a.ok("outbox")}
    assert a.ok("send", "b", "x")["state"] == "received"
    assert a.fleet("peer", "add", "stranger").code == 2
    a.ok("peer", "remove", "stranger")
    a.kill()
    a.start()
    assert a.fleet("peer", "show", "stranger").code == 5
    assert a.fleet("peer", "remove", "stranger").code == 5


def test_guesses_at_the_door_are_bounded_and_the_true_guest_still_gets_in(world: World, a: Node) -> None:
    link = world.invite(a)
    place = urlsplit(read_link(link).url)
    for n in range(12):
        line = _door(place)
        try:
            line.request("POST", "/join", b"FLJ1" + bytes([n]) * 200)
            answer = line.getresponse()
            assert (answer.status, answer.read()) == (400, b""), "a stranger learns nothing"
        finally:
            line.close()
    assert "too many tries" in _refusals(a)[-1]
    assert a.alive()


def _door(place: SplitResult) -> http.client.HTTPConnection:
    if place.scheme == "http":
        return http.client.HTTPConnection(place.netloc, timeout=10)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a stranger trusts anybody
    return http.client.HTTPSConnection(place.netloc, timeout=10, context=context)


def _refusals(node: Node) -> list[str]:
    """What the inviter's log says of refused requests."""
    rows = [json.loads(line) for line in node.log.splitlines() if '"join refused"' in line]
    return [row["reason"] for row in rows]


def _is_nobody(node: Node) -> bool:
    """Whether the machine is as fresh as before it tried to join."""
    return not (node.home / "keys" / "identity.json").exists() and node.fleet("status").code == 3
