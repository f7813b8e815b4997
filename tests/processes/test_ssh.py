"""Real daemons and a real sshd: mail over SSH with the peer's daemon up and down, seeds taken in at the next chance."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import is_alive
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


# ── the key line and tunnels ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def authorized(world: World, tmp_path: Path) -> Iterator[tuple[Node, Node, SshServer]]:
    """a and b and an sshd whose only key line is the one that `fleet ssh authorize` wrote."""
    a, b = world.pair()
    with SshServer(tmp_path / "sshd") as server:
        keys = server.directory / "authorized_keys"
        keys.unlink()
        found = b.ok("ssh", "authorize", "a", server.user_key, "--install", "--file", str(keys))
        assert found["changed"] and keys.read_text() == found["line"] + "\n"
        a.ok("peer", "set", "b", *[f"ssh.{key}={value}" for key, value in server.words().items()])
        yield a, b, server


def test_the_line_of_authorize_carries_both_roads_and_the_tunnel_and_nothing_else(
    authorized: tuple[Node, Node, SshServer], tmp_path: Path
) -> None:
    a, b, server = authorized
    for road in ("ssh", "seed"):
        code, id = sent(a, road, road)
        assert code == 0 and b.road_of(id) == road
    opened = a.ok("tunnel", "open", "b")
    assert opened["state"] == "up" and opened["http"].startswith("https://127.0.0.1:")
    canary = tmp_path / "canary"
    login = ["-F", "none", "-i", str(server.identity), "-p", str(server.port), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]  # fmt: skip
    for words in (f"touch {canary}", "sh", f"receive; touch {canary}"):
        assert a.run("ssh", *login, server.host, words).code != 0
    assert not canary.exists()
    elsewhere = a.run("ssh", *login, "-W", f"127.0.0.1:{server.port}", server.host)
    assert elsewhere.code != 0 and "SSH-2.0" not in elsewhere.out


def test_a_tunnel_carries_http_and_comes_back_until_it_is_closed(authorized: tuple[Node, Node, SshServer]) -> None:
    a, b, server = authorized
    local = a.ok("tunnel", "open", "b")["http"]
    assert a.ok("peer", "show", "b")["address"] == local
    code, id = sent(a, "through", "http")
    assert code == 0 and b.road_of(id) == "http"
    server.kill()
    until(lambda: a.ok("tunnel", "list")[0]["state"] == "down", "the break was noticed")
    server.start()
    until(lambda: a.ok("tunnel", "list", "b")[0]["state"] == "up", "the tunnel is made anew")
    code, id = sent(a, "again", "http")
    assert code == 0 and b.road_of(id) == "http"
    assert a.ok("tunnel", "close", "b")["state"] == "closed"
    assert a.ok("tunnel", "list") == [] and a.fleet("tunnel", "close", "b").code == 1
    assert a.ok("peer", "show", "b")["address"] != local


def test_a_tunnel_dies_with_the_daemon(authorized: tuple[Node, Node, SshServer]) -> None:
    a, _, _ = authorized
    pid = a.ok("tunnel", "open", "b")["pid"]
    assert is_alive(pid)
    a.kill()
    until(lambda: not is_alive(pid), "ssh has gone with its daemon")


def test_a_tunnel_that_cannot_be_made_says_why(authorized: tuple[Node, Node, SshServer]) -> None:
    a, _, server = authorized
    server.kill()
    done = a.fleet("tunnel", "open", "b")
    assert done.code == 1 and "Connection refused" in done.err
    assert a.ok("tunnel", "list") == []


def test_restart_starts_a_daemon_and_nudge_takes_seeds_in(authorized: tuple[Node, Node, SshServer]) -> None:
    a, b, server = authorized
    b.terminate()
    login = ["-F", "none", "-i", str(server.identity), "-p", str(server.port), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", server.host]  # fmt: skip
    _, id = sent(a, "seed", "seed", "--wait", "none")
    until(lambda: list((b.home / "seeds").glob("*.seed")), "the seed lies there")
    assert a.run("ssh", *login, "nudge").code == 0 and received(b, id)
    done = a.run("ssh", *login, "restart")
    assert done.code == 0 and b.alive(), done
    assert int(done.out) == b.ok("down")["pid"]
