"""Starts, stops and crashes of real daemons: one a home, mail that waits outlives everything, nothing is left behind."""

import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from fleet.errors import NoDaemon
from tests.support.hosts import is_alive
from tests.support.nodes import FLEETD, Node, World, until

DONE = 4


def test_a_second_daemon_on_one_home_says_who_runs_and_disturbs_nobody(world: World) -> None:
    a = world.found("a")
    assert a.process is not None
    second = a.run(*FLEETD)
    assert second.code == 1
    assert f"pid {a.process.pid}" in second.err
    assert a.ok("up", "--detach")["pid"] == a.process.pid
    assert a.ok("send", "a", "x")["state"] == "received"
    assert a.running


def test_two_daemons_started_at_once_leave_one_and_it_serves(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    others = [Node("a", a.home) for _ in range(3)]
    try:
        for other in others:
            other.spawn()
        until(a.alive, "one of them serves")
        until(lambda: sum(other.running for other in others) == 1, "only one is left")
        (winner,) = [other for other in others if other.running]
        assert winner.process is not None
        assert a.ask("here")["pid"] == winner.process.pid
        assert a.ok("send", "a", "x")["state"] == "received"
    finally:
        for other in others:
            other.kill()


def test_what_a_killed_daemon_left_lying_stops_nobody(world: World) -> None:
    a = world.found("a")
    a.kill()
    assert (a.home / "run" / "fleet.sock").exists()
    assert (a.home / "run" / "fleetd.pid").read_text().strip()
    assert a.fleet("status").code == 3
    assert a.fleet("down").code == 3
    a.start()
    assert a.ok("send", "a", "x")["state"] == "received"


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    (a.home / "run" / "fleetd.pid").write_text(f"{os.getpid()}\n")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(a.socket)
    assert a.fleet("down").code == 3
    a.start()
    assert a.fleet("down").code == 0
    assert a.wait() == 0


def test_down_leaves_no_process_no_socket_and_no_token_behind(world: World) -> None:
    a = world.found("a", FLEET_API="127.0.0.1:0")
    broker = a.broker_pid()
    assert broker is not None
    assert a.fleet("down").code == 0
    assert a.wait() == 0
    assert [path.name for path in (a.home / "run").iterdir() if path.name in ("fleet.sock", "token")] == []
    until(lambda: not is_alive(broker), "the broker has gone with its daemon")


def test_a_killed_daemon_takes_its_broker_along(world: World) -> None:
    a = world.found("a")
    broker = a.broker_pid()
    assert broker is not None
    a.kill()
    until(lambda: not is_alive(broker), "the broker has gone with its daemon")


def test_a_killed_broker_comes_back_on_its_port_and_is_used_again(world: World) -> None:
    a, b = world.pair()
    first = a.broker_pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    (id,) = a.send("b", "meanwhile")
    until(lambda: id in b.arrived(), "mail goes on")
    until(lambda: a.broker_pid() not in (None, first), "the daemon starts another broker")
    until(lambda: b.link("a", "nats") == a.link("b", "nats") == "healthy", "NATS is used again, by itself")


def test_a_killed_daemon_s_broker_keeps_the_port_that_members_were_told(world: World) -> None:
    a, b = world.pair()
    port = _broker_port(a)
    for _ in range(3):
        broker = a.broker_pid()
        assert broker is not None
        os.kill(broker, signal.SIGSTOP)  # an old broker that does not end with its daemon at once
        a.kill()
        a.spawn()
        os.kill(broker, signal.SIGKILL)
        a.await_up()
        assert _broker_port(a) == port
    until(lambda: b.link("a", "nats") == "healthy", "b finds the broker where it was")


def _broker_port(node: Node) -> int:
    return int(json.loads((node.home / "run" / "nats" / "broker.conf").read_text())["port"])


def test_mail_that_waits_outlives_restarts_of_both_ends(world: World) -> None:
    a, b = world.pair()
    b.kill()
    ids = a.send("b", *[f"{n}" for n in range(300)])
    a.kill()
    done = a.fleet("send", "b", "while down", "--wait", "none", "--json")
    assert done.code == 0
    quick = a.fleet_send("b", "quickly", "--json")
    assert quick.code == 0
    ids += [done.value["id"], quick.value["id"]]
    assert len(a.ok("outbox")) == 302
    a.start()
    b.start()
    world.drained()
    assert set(b.arrived()) == set(ids)
    assert {a.status_of(id) for id in ids} == {DONE}


def test_send_while_the_daemon_is_down_says_that_it_was_accepted_and_not_received(world: World) -> None:
    a, _ = world.pair()
    a.terminate()
    done = a.fleet("send", "b", "x", "--json")
    assert done.code == 7
    assert done.value["state"] == "accepted"


def test_what_was_under_way_when_the_daemon_was_killed_goes_again_at_once(world: World) -> None:
    a, b = world.pair()
    b.signal(signal.SIGSTOP)  # both roads take the bytes and nobody answers: the lease lasts
    ids = a.send("b", *[f"{n}" for n in range(20)])
    until(lambda: any(status == 2 for (status,) in a.rows("SELECT status FROM outbox")), "they are under way")
    a.kill()
    b.signal(signal.SIGCONT)
    a.start()
    until(lambda: a.open_rows() == 0, "they are sent again and receipted, long before the old lease ends")
    assert set(b.arrived()) == set(ids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_midst_of_traffic_is_a_clean_end_and_loses_nothing(world: World, number: int) -> None:
    a, b = world.pair()
    accepted: list[str] = []
    ended = threading.Event()

    def submit() -> None:
        while not ended.is_set():
            try:
                answers = a.submit([{"to": "b", "body": f"{n}"} for n in range(50)])
            except NoDaemon:
                return
            accepted.extend(answer["id"] for answer in answers if "id" in answer and "error" not in answer)

    thread = threading.Thread(target=submit)
    thread.start()
    until(lambda: len(accepted) >= 500, "traffic flows")
    a.signal(number)
    assert a.wait() == 0
    b.signal(number)
    assert b.wait() == 0
    ended.set()
    thread.join()
    for node in (a, b):
        assert "Traceback" not in node.log
        assert '"event":"bug"' not in node.log
        assert not (node.home / "fleet.db-wal").exists(), "the last commits are folded in"
    for node in (a, b):
        node.start()
    world.drained()
    assert set(accepted) <= set(b.arrived())
    assert a.rows("SELECT count(*) FROM outbox WHERE status <> ?", DONE) == [(0,)]


def test_a_daemon_told_to_stop_while_it_starts_ends_cleanly(world: World) -> None:
    a = world.found("a")
    a.terminate()
    for _ in range(5):
        a.spawn()
        until(lambda: (a.home / "run" / "fleetd.pid").read_text().strip() or not a.running, "it has begun")
        assert a.terminate() in (0, -signal.SIGTERM)
    a.start()
    assert a.ok("send", "a", "x")["state"] == "received"


def test_a_request_that_waits_ends_when_the_daemon_stops(world: World) -> None:
    a, b = world.pair()
    b.kill()
    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(a.fleet("send", "b", "x", "--timeout", "60").code))
    waiting.start()
    until(lambda: a.open_rows() == 1, "it was accepted")
    assert a.terminate() == 0
    waiting.join(30)
    assert codes == [7] or codes == [3], codes
    assert a.open_rows() == 1


def test_the_receiver_is_killed_in_the_midst_and_nothing_comes_twice(world: World) -> None:
    a, b = world.pair()
    ids: list[str] = []
    for _ in range(4):
        ids += a.send("b", *[f"{n}" for n in range(400)])
        b.kill()
        b.start()
    world.drained()
    assert b.rows("SELECT count(*), count(DISTINCT id) FROM inbox") == [(len(ids), len(ids))]
    assert set(b.arrived()) == set(ids)


def test_everything_of_a_node_is_private(world: World) -> None:
    a = world.found("a", FLEET_API="127.0.0.1:0")
    loose = [path for path in [a.home, *a.home.rglob("*")] if path.lstat().st_mode & 0o077]
    assert loose == []


def test_no_secret_stands_in_the_arguments_or_the_environment_of_what_runs(world: World) -> None:
    a, b = world.pair()
    secrets = [path.read_bytes().strip() for node in (a, b) for path in (node.home / "keys").glob("*.key")]
    pids = [node.process.pid for node in (a, b) if node.process is not None] + [a.broker_pid()]
    for pid in pids:
        said = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert [secret for secret in secrets if secret in said] == []
