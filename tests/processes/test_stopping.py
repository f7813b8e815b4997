"""A daemon that is told to stop: what is under way is settled within its grace, the rest waits, nothing is lost."""

import os
import signal
import socket
import time
from pathlib import Path

from tests.support.nodes import DONE, World, until

SENDING = 2
BOUND = 15.0  # seconds; what a stop may take at most on a busy machine: doors 2, parcels 3, roads 5, broker 3


def test_sigterm_in_the_middle_of_mail_settles_what_is_under_way_and_loses_nothing(world: World) -> None:
    a, b = world.pair()
    ids: list[str] = []
    for number in range(3):
        for _ in range(10):
            ids += a.send("b", *[f"{number} " + "x" * 900 for _ in range(200)])
        began = time.monotonic()
        assert a.terminate() == 0
        assert time.monotonic() - began < BOUND
        assert a.rows("SELECT count(*) FROM outbox WHERE status = ?", SENDING) == [(0,)], "no lease was left behind"
        a.start()
    world.drained()
    assert sorted(b.arrived()) == sorted(ids)
    assert a.rows("SELECT count(*) FROM outbox WHERE status = ?", DONE) == [(len(ids),)]


def test_an_addressee_that_stops_in_the_middle_has_everything_once(world: World) -> None:
    a, b = world.pair()
    ids = a.send("b", *["y" * 900 for _ in range(2000)])
    assert b.terminate() == 0
    ids += a.send("b", *["z" * 900 for _ in range(500)])
    b.start()
    world.drained()
    assert sorted(b.arrived()) == sorted(ids)


def test_a_peer_that_hangs_cannot_hold_a_stop_up(world: World) -> None:
    a, b = world.pair()
    a.send("b", "first")
    world.drained()
    b.signal(signal.SIGSTOP)
    try:
        ids = a.send("b", *["x" * 900 for _ in range(300)])
        until(lambda: a.rows("SELECT count(*) FROM outbox WHERE status = ?", SENDING) != [(0,)], "it is under way")
        began = time.monotonic()
        assert a.terminate() == 0
        assert time.monotonic() - began < BOUND
    finally:
        b.signal(signal.SIGCONT)
    a.start()
    world.drained()
    assert set(ids) <= set(b.arrived())


def test_a_service_manager_is_told_when_it_is_up_and_when_it_goes(world: World, tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        a = world.found("a", nats=False, NOTIFY_SOCKET=path)
        assert manager.recv(100) == b"READY=1"
        assert a.terminate() == 0
        assert manager.recv(100) == b"STOPPING=1"
