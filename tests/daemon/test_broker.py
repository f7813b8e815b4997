"""The embedded broker: a real nats-server as the daemon runs it, whom it lets in, and how it dies."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nkeys
import pytest
from nats.aio.client import Client

from channels._keeper import public_nkey
from fleet.core.sealing import Secret
from fleet.daemon import broker as module
from fleet.daemon import nats_program
from fleet.daemon.broker import Broker, Place
from fleet.errors import DiskFull, SettingsError, Unreachable
from tests.support.hosts import is_alive, taken_port

AT_ONCE = 5.0
SEEDS = {node: Secret(bytes([number]) * 32) for number, node in enumerate(("ana", "ben", "eve"))}
KEYS = {node: public_nkey(seed) for node, seed in SEEDS.items()}
BOTH = [("ana", KEYS["ana"]), ("ben", KEYS["ben"])]


def free_place(directory: Path) -> Place:
    with taken_port() as port:
        pass
    return Place(directory / "nats", port=port)


class Diary:
    """A log that can be waited for."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self._news = asyncio.Event()

    def __call__(self, event: str, **words: Any) -> None:
        self.lines.append((event, words))
        self._news.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(AT_ONCE):
            while len(self.lines) < count:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker("f", free_place(tmp_path), BOTH)
    await broker.open()
    await broker.ready()
    yield broker
    await broker.close()


async def enter(broker: Broker, node: str, **callbacks: Any) -> Client:
    """Connect as a member does; whoever is not let in gets an error at once."""
    text = nkeys.encode_seed(SEEDS[node].reveal(), nkeys.PREFIX_BYTE_USER).decode()
    return await nats.connect(
        broker.url, nkeys_seed_str=text, inbox_prefix=f"_INBOX.{node}", allow_reconnect=False, **callbacks
    )


async def settled(client: Client) -> None:
    """Wait until the server has dealt with all a client said; its first flush() overtakes what was published before."""
    await client.flush()
    await client.flush()


async def is_let_in(broker: Broker, node: str) -> bool:
    async def ignore(error: Exception) -> None:
        pass

    try:
        client = await enter(broker, node, error_cb=ignore)
    except (nats.errors.Error, OSError):
        return False
    await client.close()
    return True


async def until_let_in(broker: Broker, node: str) -> None:
    async with asyncio.timeout(AT_ONCE):
        while not await is_let_in(broker, node):
            await asyncio.sleep(0.02)


def complaints() -> tuple[list[str], Any]:
    said: list[str] = []

    async def hear(error: Exception) -> None:
        said.append(str(error))

    return said, hear


# --- who is let in --------------------------------------------------------------------------------------------------------


async def test_members_are_let_in_and_nobody_else(broker: Broker) -> None:
    assert await is_let_in(broker, "ana") and await is_let_in(broker, "ben")
    assert not await is_let_in(broker, "eve")
    with pytest.raises((nats.errors.Error, OSError)):
        await nats.connect(broker.url, allow_reconnect=False, error_cb=complaints()[1])


async def test_without_members_nobody_is_let_in(tmp_path: Path) -> None:
    broker = Broker("f", free_place(tmp_path), [])
    await broker.open()
    await broker.ready()
    with pytest.raises((nats.errors.Error, OSError)):
        await nats.connect(broker.url, allow_reconnect=False, error_cb=complaints()[1])
    await broker.close()


async def test_a_member_answers_what_it_was_asked(broker: Broker) -> None:
    ana, ben = await enter(broker, "ana"), await enter(broker, "ben")

    async def answer(message: Any) -> None:
        await message.respond(b"yes")

    await ben.subscribe("fleet.f.ben.in", cb=answer)
    await settled(ben)
    assert (await ana.request("fleet.f.ben.in", b"?", timeout=AT_ONCE)).data == b"yes"
    await ana.close()
    await ben.close()


@pytest.mark.parametrize("subject", ["fleet.f.ana.in", "fleet.f.*.in", ">", "_INBOX.ana.>", "_INBOX.>", "fleet.g.ben.in"])
async def test_a_member_cannot_listen_to_others(broker: Broker, subject: str) -> None:
    said, hear = complaints()
    ana, ben = await enter(broker, "ana"), await enter(broker, "ben", error_cb=hear)
    heard = await ben.subscribe(subject)
    await settled(ben)
    with contextlib.suppress(nats.errors.Error):
        await ana.request("fleet.f.ana.in", b"?", timeout=0.1)
    await ana.publish("fleet.f.ana.in", b"private")
    await settled(ana)
    await settled(ben)
    assert any("permissions violation" in line for line in said)
    assert heard.pending_msgs == 0
    await ana.close()
    await ben.close()


@pytest.mark.parametrize("subject", ["_INBOX.ana.x", "fleet.g.ana.in", "fleet.f.ana.out", "$SYS.REQ.SERVER.PING", "x"])
async def test_a_member_cannot_publish_elsewhere(broker: Broker, subject: str) -> None:
    said, hear = complaints()
    ben = await enter(broker, "ben", error_cb=hear)
    await ben.publish(subject, b"forged")
    await settled(ben)
    assert any("permissions violation" in line for line in said)
    await ben.close()


async def test_a_new_member_enters_and_the_others_notice_nothing(broker: Broker) -> None:
    ana = await enter(broker, "ana")
    pid = broker.pid
    await broker.set_users([*BOTH, ("eve", KEYS["eve"])])
    await until_let_in(broker, "eve")
    await settled(ana)
    assert ana.is_connected and broker.pid == pid
    await ana.close()


async def test_who_is_removed_is_cut_off_and_stays_out(broker: Broker) -> None:
    gone = asyncio.Event()

    async def note() -> None:
        gone.set()

    ana = await enter(broker, "ana")
    ben = await enter(broker, "ben", disconnected_cb=note, error_cb=complaints()[1])
    await broker.set_users(BOTH[:1])
    async with asyncio.timeout(AT_ONCE):
        await gone.wait()
    assert not await is_let_in(broker, "ben")
    await settled(ana)
    assert ana.is_connected
    await ana.close()
    await ben.close()


async def test_users_set_while_it_starts_count(tmp_path: Path) -> None:
    broker = Broker("f", free_place(tmp_path), BOTH[:1])
    await broker.open()
    for _ in range(50):  # somewhere on its way: before, during and after the server reads its configuration
        await asyncio.sleep(0.001)
        await broker.set_users(BOTH[:1])
    await broker.set_users(BOTH)
    await broker.ready()
    await until_let_in(broker, "ben")
    await broker.close()


async def test_a_member_whose_key_is_none_keeps_nobody_else_out(tmp_path: Path) -> None:
    diary = Diary()
    broker = Broker("f", free_place(tmp_path), BOTH[:1], log=diary)
    await broker.open()
    await broker.ready()
    await broker.set_users([("eve", KEYS["ana"]), ("eve", 'U" }'), *BOTH])
    await until_let_in(broker, "ben")
    assert await is_let_in(broker, "ana")
    assert diary.lines == [("broker user refused", {"peer": "eve"})] * 2
    await broker.close()


async def test_a_full_disk_leaves_the_users_as_they_were_and_the_next_call_mends_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise DiskFull

    with monkeypatch.context() as patch:
        patch.setattr(module, "atomic_write", refuse)
        with pytest.raises(DiskFull):
            await broker.set_users([*BOTH, ("eve", KEYS["eve"])])
    await broker.set_users([*BOTH, ("eve", KEYS["eve"])])
    await until_let_in(broker, "eve")


# --- its files and its port -----------------------------------------------------------------------------------------------


async def test_its_configuration_is_private_and_says_what_it_should(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "nats" / "broker.conf"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    said = json.loads(path.read_text())
    expected = {"host": "127.0.0.1", "port": broker.port, "max_payload": 1 << 20, "ping_interval": "10s", "ping_max": 2,
                "write_deadline": "2s", "log_size_limit": 1 << 20}  # fmt: skip
    assert {name: said[name] for name in expected} == expected
    assert said["authorization"]["timeout"] == 1
    assert "jetstream" not in said
    client = await enter(broker, "ana")
    assert client.max_payload == 1 << 20
    await client.close()
    assert (tmp_path / "nats" / "broker.log").exists()
    assert not any(path.name.startswith(".") for path in (tmp_path / "nats").iterdir())


async def test_a_taken_port_moves_it_to_the_next_free_one(tmp_path: Path) -> None:
    with taken_port() as port:
        broker = Broker("f", Place(tmp_path / "nats", port=port), BOTH)
        await broker.open()
        await broker.ready()
        assert broker.port > port and broker.url == f"nats://127.0.0.1:{broker.port}"
        assert await is_let_in(broker, "ana")
        await broker.close()


async def test_a_fixed_port_that_is_taken_is_waited_for(tmp_path: Path) -> None:
    diary = Diary()
    with taken_port() as port:
        broker = Broker("f", Place(tmp_path / "nats", port=port, fixed=True), BOTH, log=diary)
        await broker.open()
        await diary.wait_for(1)
        with pytest.raises(Unreachable, match="address already in use"):
            await broker.ready(0.1)
    await broker.ready()
    assert broker.port == port and await is_let_in(broker, "ana")
    await broker.close()


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "nats://127.0.0.1:"), ("::", "nats://[::1]:"), ("", "nats://127.0.0.1:")]
)
async def test_a_wildcard_is_reached_over_loopback(tmp_path: Path, host: str, url: str) -> None:
    place = free_place(tmp_path)
    broker = Broker("f", Place(place.directory, host, place.port), BOTH)
    await broker.open()
    await broker.ready()
    assert broker.url.startswith(url) and await is_let_in(broker, "ana")
    await broker.close()


# --- its life -------------------------------------------------------------------------------------------------------------


async def test_a_dead_server_is_started_again_at_once_on_the_same_port(tmp_path: Path) -> None:
    diary = Diary()
    broker = Broker("f", free_place(tmp_path), BOTH, log=diary)
    await broker.open()
    await broker.ready()
    pid, port = broker.pid, broker.port
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await diary.wait_for(1)
    await broker.ready()
    assert broker.pid not in (None, pid) and broker.port == port
    assert diary.lines[0][0] == "broker ended" and diary.lines[0][1]["pause"] == 0.0
    assert await is_let_in(broker, "ana")
    await broker.close()
    assert broker.pid is None


async def test_a_server_that_dies_at_once_is_tried_slower_and_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_WAITS", (0.0, 0.01, 0.02, 0.03))
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho 'no, thank you' >&2\nexit 7\n")
    program.chmod(0o755)
    diary = Diary()
    broker = Broker("f", free_place(tmp_path), BOTH, str(program), diary)
    await broker.open()
    await diary.wait_for(6)
    assert [words["pause"] for _, words in diary.lines[:6]] == [0.0, 0.01, 0.02, 0.03, 0.03, 0.03]
    assert {words["code"] for _, words in diary.lines} == {7}
    with pytest.raises(Unreachable, match="no, thank you"):
        await broker.ready(0.05)
    await broker.close()


async def test_closing_ends_a_server_that_hangs(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT", 0.1)
    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(AT_ONCE):
        await broker.close()
    assert not is_alive(pid)
    await broker.close()


async def test_it_stays_in_the_process_group(broker: Broker) -> None:
    assert broker.pid is not None
    assert os.getpgid(broker.pid) == os.getpgid(0)


DAEMON = """
import asyncio, sys
from pathlib import Path
from fleet.daemon.broker import Broker, Place

async def main():
    broker = Broker("f", Place(Path(sys.argv[1]), port=int(sys.argv[2])), [])
    await broker.open()
    await broker.ready()
    print(broker.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_does_not_outlive_a_killed_daemon(tmp_path: Path) -> None:
    port = str(free_place(tmp_path).port)
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, str(tmp_path / "nats"), port, stdout=asyncio.subprocess.PIPE
    )
    assert daemon.stdout is not None
    pid = int(await daemon.stdout.readline())
    assert is_alive(pid)
    daemon.kill()
    await daemon.wait()
    async with asyncio.timeout(AT_ONCE):
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def test_no_program_at_all_is_said_when_it_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_program, "_in_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    broker = Broker("f", free_place(tmp_path), BOTH)
    with pytest.raises(SettingsError):
        await broker.open()
    await broker.close()
