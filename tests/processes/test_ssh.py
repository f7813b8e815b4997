"""Real daemons and a real sshd: mail over SSH with the peer's daemon up and down, seeds taken in at the next chance."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import DONE, Node, World, until
from tests.support.sshd import RECEIVE, SshServer, receive_command

pytestmark = pytest.mark.tier("ssh")


@pytest.fixture
def pair(world: World, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """a and b, where a may log in at b with a key that runs `fleet receive` and nothing else."""
    a, b = world.pair()
    with SshServer(tmp_path / "sshd") as server:
        server.authorize(f'restrict,command="{receive_command(b.home)}"')
        words = [f"ssh.{key}={value}" for key, value in server.words().items()]
        a.ok("peer", "set", "b", *words)
        yield a, b


def sent(a: Node, body: str, road: str, *more: str) -> tuple[int, str]:
    done = a.fleet("send", "b", body, "--channel", road, "--timeout", "20", *more, "--json")
    return done.code, json.loads(done.out)["id"]


def received(b: Node, id: str) -> bool:
    return id in b.arrived()


def test_ssh_delivers_to_a_running_daemon(pair: tuple[Node, Node]) -> None:
    a, b = pair
    code, id = sent(a, "up", "ssh")
    assert code == 0
    assert b.arrived()[id] == "up" and b.road_of(id) == "ssh"
    assert a.ok("trace", id)["attempts"][-1]["channel"] == "ssh"


def test_ssh_delivers_while_the_daemon_of_the_peer_is_down(pair: tuple[Node, Node]) -> None:
    a, b = pair
    b.terminate()
    code, id = sent(a, "down", "ssh")
    assert code == 0, a.ok("trace", id)
    assert b.arrived()[id] == "down" and b.road_of(id) == "ssh"
    again, other = sent(a, "and once more", "ssh")
    assert (again, b.arrived()[other]) == (0, "and once more")
    b.start()
    assert len(b.arrived()) == 2


def test_a_ping_over_ssh_is_answered_with_the_daemon_up_and_down(pair: tuple[Node, Node]) -> None:
    a, b = pair
    assert a.ok("ping", "b", "--channel", "ssh")["ok"]
    b.terminate()
    assert a.ok("ping", "b", "--channel", "ssh")["ok"]


def test_a_seed_is_taken_in_by_the_daemon(pair: tuple[Node, Node]) -> None:
    a, b = pair
    code, id = sent(a, "seed", "seed")
    assert code == 0
    assert b.road_of(id) == "seed" and list((b.home / "seeds").iterdir()) == []


def test_a_seed_waits_for_the_daemon_and_is_taken_in_at_its_start(pair: tuple[Node, Node]) -> None:
    a, b = pair
    b.terminate()
    code, id = sent(a, "seed", "seed", "--wait", "none")
    assert code == 0
    until(lambda: list((b.home / "seeds").glob("*.seed")), "the seed lies there")
    assert not received(b, id)
    until(lambda: a.ok("trace", id)["state"] == "custody", "it is in custody")
    b.start()
    until(lambda: received(b, id), "the seed is taken in")
    until(lambda: a.status_of(id) == DONE, "its receipt has come home")
    assert list((b.home / "seeds").iterdir()) == []


def test_a_seed_is_taken_in_by_the_next_command_while_no_daemon_runs(pair: tuple[Node, Node]) -> None:
    a, b = pair
    b.terminate()
    _, id = sent(a, "seed", "seed", "--wait", "none")
    until(lambda: list((b.home / "seeds").glob("*.seed")), "the seed lies there")
    assert [mail["id"] for mail in b.ok("inbox", "--peek")] == [id]
    assert list((b.home / "seeds").iterdir()) == []
    b.start()
    until(lambda: a.status_of(id) == DONE, "its receipt has come home")


def test_what_is_no_parcel_gets_no_answer(pair: tuple[Node, Node]) -> None:
    _, b = pair
    for daemon in ("up", "down"):
        for junk in (b"", b"x", b"FLT1" + bytes(200), bytes((1 << 20) + 1)):
            done = b.run(sys.executable, "-I", "-S", str(RECEIVE), stdin=junk)
            assert done.code not in (0, 7) and done.out == "", (daemon, junk[:8], done)
        b.terminate()
