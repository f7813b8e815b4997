"""Attacks 15, 16 and 18 on real daemons, in small; `python -m tests.campaign flood` brings the full volume."""

import contextlib
import socket
import sqlite3

import pytest

from tests.attacks.floods import START, Crowd, Junk, by_http, by_nats, descriptors, door_of, honest, memory
from tests.support.nodes import Node, World, until

SLOW, IDLE = 200, 1_000  # of 500 and 5,000
FILES = 256
GROWTH = 100.0  # MB
ROWS, ROW = 10_000, "x" * 1_000
ALARM = 64 << 20


def test_slow_and_idle_strangers_cost_few_descriptors_and_no_honest_message(world: World) -> None:
    a = world.found("a", nats=False)
    b = world.join("b", a)
    honest(b, a, 1)
    before = descriptors(a) + 2
    with Crowd(door_of(a), SLOW) as slow, Crowd(door_of(a), IDLE, block=3) as idle:
        slow.say(START)
        for _ in range(5):
            assert descriptors(a) < FILES
            honest(b, a, 1)
            slow.say(b"x")
        until(lambda: descriptors(a) <= before, "every stranger is hung up on at his deadline", 60)
        assert slow.left() + idle.left() < SLOW + IDLE
    honest(b, a, 1)


def test_idle_callers_of_the_tcp_api_take_nothing_from_the_socket(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    a = world.found("a", nats=False, FLEET_API=f"127.0.0.1:{port}")
    with Crowd(("127.0.0.1", port), 300) as crowd:
        crowd.say(b"GET /health HTTP/1.1\r\nX")
        assert a.alive() and descriptors(a) < FILES
        until(lambda: crowd.left() == 0, "an unfinished request is ended, one too many is turned away", 60)
    assert a.alive() and descriptors(a) < 64


@pytest.mark.parametrize(("road", "volume"), [("nats", 60_000), ("http", 200)])
def test_junk_neither_keeps_honest_mail_out_nor_fills_the_memory(world: World, road: str, volume: int) -> None:
    a = world.found("a", nats=road == "nats")
    b = world.join("b", a)
    honest(b, a, 3)
    before, said = memory(a), len(a.log)
    with Junk(by_nats(b, a, 20_000) if road == "nats" else by_http(a)) as junk:
        while junk.sent < volume:
            honest(b, a, 1)
    assert a.alive() and memory(a, "VmHWM") - before < GROWTH and descriptors(a) < FILES
    assert len(a.log) - said < 1 << 20
    honest(b, a, 1)


def reading(node: Node) -> contextlib.closing[sqlite3.Connection]:
    """A reader of the store that does not end."""
    store = sqlite3.connect(f"file:{node.database}?mode=ro", uri=True, isolation_level=None)
    store.execute("BEGIN")
    store.execute("SELECT count(*) FROM outbox").fetchall()
    return contextlib.closing(store)


def test_a_reader_that_stays_makes_the_wal_grow_within_its_bound_and_is_told(world: World) -> None:
    a = world.found("a", nats=False)
    a.ok("config", "set", "watchdog.wal", "4MiB")
    a.ok("config", "set", "watchdog.every", "1s")
    a.terminate()
    a.start()
    world.join("b", a).kill()
    with reading(a):
        for _ in range(ROWS // 500):
            a.send("b", *[ROW] * 500)
        assert 4 << 20 < wal(a) < ALARM
        until(lambda: "the write-ahead log has" in a.log, "the operator is told")
    until(lambda: wal(a) <= 16 << 20, "the WAL is emptied once nobody is in the way", 150)


def wal(node: Node) -> int:
    return node.database.with_name("fleet.db-wal").stat().st_size
