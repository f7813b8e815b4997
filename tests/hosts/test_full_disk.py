"""A full disk, on a small file system of its own (root): nothing is promised that is not kept, and space brings it back."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import NoDaemon
from tests.support.nodes import Node, World, until

pytestmark = pytest.mark.tier("hosts")

SIZE = 32 << 20
WATERMARK = 4 << 20
DONE = 4


class Disk:
    """A tmpfs of a few megabytes with a file that takes what is left."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(place)], check=True)

    @property
    def _plug(self) -> Path:
        return self.place / "plug"

    def fill(self, leave: int = 0) -> None:
        """Take all space but `leave` bytes."""
        with self._plug.open("ab") as plug:
            while (free := self.free - leave) > 0:
                try:
                    plug.write(b"\0" * min(free, 1 << 16))
                    plug.flush()
                except OSError:
                    return

    @property
    def free(self) -> int:
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def empty(self) -> None:
        """Give it all back."""
        self._plug.unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=False)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def disk(world: World) -> Iterator[Disk]:
    disk = Disk(world.home / "disk")
    yield disk
    for node in world.nodes.values():
        node.kill()
    disk.close()


def on(disk: Disk, world: World, name: str) -> Node:
    """A node whose home lies on the small disk."""
    node = world.node(name, home=disk.place / name)
    node.log_file = world.home / f"{name}.log"
    return node


def small(node: Node) -> None:
    node.ok("config", "set", "retention.free", str(WATERMARK))


@pytest.fixture
def sender(world: World, disk: Disk) -> tuple[Node, Node]:
    """a on the small disk, b on a large one."""
    a = on(disk, world, "a")
    a.ok("init", "--node", "a")
    small(a)
    a.start()
    return a, world.join("b", a)


def hand_over(node: Node, body: str) -> list[dict[str, Any]]:
    """Submit ten messages to b; gives the answers, one for all when the commit failed."""
    line = json.dumps({"to": "b", "body": body}).encode() + b"\n"
    answer = node.post("/message", line * 10, "application/x-ndjson")
    return [json.loads(line) for line in answer.body.splitlines()]


def test_below_the_watermark_nothing_is_accepted_and_what_was_accepted_still_goes_out(
    sender: tuple[Node, Node], disk: Disk
) -> None:
    a, b = sender
    b.kill()
    ids = a.send("b", *[f"{n}" for n in range(50)])
    disk.fill(leave=WATERMARK // 2)
    until(lambda: "watermark" in a.log, f"the daemon notices; {a.log}")
    refused = a.fleet("send", "b", "x", "--json")
    assert refused.code == 1
    assert refused.error["code"] == "disk_full"
    assert refused.error["retryable"]
    assert a.fleet_send("b", "x").code == 1
    assert {line["error"]["code"] for line in hand_over(a, "x")} == {"disk_full"}
    b.start()
    until(lambda: set(ids) == set(b.arrived()), "what was accepted goes out")
    until(lambda: a.open_rows() == 0, "and is settled")
    disk.empty()
    until(lambda: a.fleet("send", "b", "again", "--timeout", "5").code == 0, "space brings it back")
    assert a.running


def test_a_disk_that_is_full_to_the_last_byte_loses_nothing_and_recovers(sender: tuple[Node, Node], disk: Disk) -> None:
    a, b = sender
    accepted: set[str] = set()
    refused = 0
    for _ in range(3):
        accepted |= set(a.send("b", *["x" * 2000] * 20))
        disk.fill()
        for _ in range(40):
            for answer in hand_over(a, "y" * 20_000):
                if answer.get("state") == "accepted":
                    accepted.add(answer["id"])
                else:
                    assert answer["error"]["code"] == "disk_full", answer
                    refused += 1
        assert a.running
        assert a.fleet("status").code == 0
        disk.empty()
        until(lambda: "id" in hand_over(a, "z")[0], "space brings it back")
    assert refused > 0
    until(lambda: a.open_rows() == 0, "everything is settled", 60)
    assert accepted <= set(b.arrived())
    assert b.rows("SELECT count(*) - count(DISTINCT id) FROM inbox") == [(0,)]
    assert a.rows("PRAGMA quick_check") == [("ok",)]


def test_a_receiver_with_a_full_disk_is_busy_and_never_signs_for_what_it_did_not_keep(world: World, disk: Disk) -> None:
    a = world.found("a")
    b = on(disk, world, "b")
    b.ok("join", world.invite(a), "--node", "b")
    small(b)
    b.start()
    assert a.ok("send", "b", "before")["state"] == "received"
    disk.fill()
    ids = a.send("b", *["x" * 20_000 for _ in range(60)])
    until(lambda: '"busy"' in b.log, "b is busy")
    done = {id for (id,) in a.rows("SELECT id FROM outbox WHERE status = ?", DONE)}
    assert done <= set(b.arrived()), "a receipt for what is not there"
    assert a.open_rows() > 0
    assert b.running
    disk.empty()
    until(lambda: a.open_rows() == 0, "space brings it back", 60)
    assert set(ids) <= set(b.arrived())
    assert b.rows("SELECT count(*) - count(DISTINCT id) FROM inbox") == [(0,)]
    assert b.rows("PRAGMA quick_check") == [("ok",)]


def test_a_daemon_killed_on_a_full_disk_starts_again_and_has_everything(sender: tuple[Node, Node], disk: Disk) -> None:
    a, b = sender
    b.kill()
    ids = a.send("b", *["x" * 1000 for _ in range(100)])
    disk.fill()
    a.kill()
    a.spawn()
    try:
        until(lambda: not a.running or a.alive(), "it starts, or says why not")
    finally:
        disk.empty()
    if not a.running:
        assert "full" in a.log
        a.start()
    b.start()
    until(lambda: set(ids) <= set(b.arrived()), "everything is there", 60)


def test_commands_on_a_full_disk_say_so_while_the_daemon_is_down(sender: tuple[Node, Node], disk: Disk) -> None:
    a, _ = sender
    a.terminate()
    disk.fill()
    for done in (a.fleet("send", "b", "x" * 100_000, "--json"), a.fleet_send("b", "x" * 100_000, "--json")):
        assert done.code == 1, done
        assert json.loads(done.out)["error"]["code"] == "disk_full"
    with pytest.raises(NoDaemon):
        a.ask("here")
    disk.empty()
    assert a.fleet_send("b", "x").code == 0
