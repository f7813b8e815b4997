"""The NATS road on a real cluster of three: a server dies, the leader too, and nothing is lost, doubled or stuck."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest

from channels import _jetstream, _keeper
from channels.nats import Nats
from fleet.core.outcome import Word
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import RoadError
from tests.channels.contract import Collector, parcel
from tests.channels.test_nats import made
from tests.channels.test_nats_mailbox import draining, storage
from tests.support.hosts import NatsServer

PATIENT = 60.0
BODIES = [b"%d" % number for number in range(12)]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


class Cluster:
    """Three nats-servers with JetStream."""

    def __init__(self, directory: Path) -> None:
        routes = free_ports(3)
        self.servers: dict[str, NatsServer] = {}
        for number, port in enumerate(routes):
            home = directory / f"n{number}"
            home.mkdir()
            others = [f"nats://127.0.0.1:{one}" for one in routes]
            cluster = {"name": "f", "host": "127.0.0.1", "port": port, "routes": others}
            self.servers[f"n{number}"] = NatsServer(home, server_name=f"n{number}", cluster=cluster, **storage(home))

    async def start(self) -> None:
        for server in self.servers.values():
            await server.start()

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers.values()]

    async def facts(self, url: str) -> dict[str, Any]:
        """What a server says of there's mailbox."""
        client = await nats.connect(url)
        answer = await client.request("$JS.API.STREAM.INFO.fleet_f_there", b"", timeout=10)
        await client.close()
        return dict(json.loads(answer.data))


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(_keeper, "RECONNECT_WAIT", 0.05)
    monkeypatch.setattr(_jetstream, "PULL", 1.0)
    cluster = Cluster(tmp_path)
    await cluster.start()
    yield cluster
    for server in cluster.servers.values():
        server.kill()


async def put(here: Nats, each: Parcel) -> None:
    """Send as the outbox does: the same again until somebody has it."""
    async with asyncio.timeout(PATIENT):
        while True:
            with contextlib.suppress(RoadError):
                assert (await here.send(Peer(id="there"), each, 3.0)).word is Word.TAKEN
                return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("victim", ["leader", "connected"])
async def test_a_mailbox_outlives_a_server_and_everybody_finds_another(cluster: Cluster, victim: str) -> None:
    here, there = made(cluster.urls, "here"), made(cluster.urls[::-1], "there")
    for each in (here, there):
        await each.open()
    async with asyncio.timeout(PATIENT):
        while not await here._boxes.make("there"):
            await asyncio.sleep(0.1)
    facts = await cluster.facts(cluster.urls[0])
    assert facts["config"]["num_replicas"] == 3
    for body in BODIES[:6]:
        await put(here, parcel(body))
    dead = facts["cluster"]["leader"] if victim == "leader" else "n0"  # where `here` is connected
    cluster.servers[dead].kill()
    for body in BODIES[6:]:
        await put(here, parcel(body))
    collector = Collector()
    async with draining(there, collector):
        async with asyncio.timeout(PATIENT):
            while set(collector.came) != set(BODIES):
                await asyncio.sleep(0.05)
    assert len(collector.came) == len(BODIES)
    for each in (here, there):
        await each.close()
