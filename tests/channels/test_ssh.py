"""The SSH road against a real sshd: the key line decides, `fleet receive` answers, an impostor learns nothing."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from channels import ssh as road
from channels.ssh import Ssh
from fleet.core.peer import Peer
from fleet.faces import http, parcels
from fleet.faces.door import Door, bind_unix
from fleet.faces.reader import Reply, Request
from tests.channels.contract import (
    ReplyingRoad,
    World,
    signed,
)
from tests.support.sshd import SshServer, receive_command

pytestmark = pytest.mark.tier("ssh")
ECHO = signed(b"yes")


def made(directory: Path, config: str = "none") -> Ssh:
    return road.build({"directory": str(directory), "config": config}, {})


@contextlib.asynccontextmanager
async def daemon_at(home: Path, channel: Ssh) -> AsyncIterator[None]:
    """The local API of a daemon, as far as `fleet receive` needs one."""

    async def handle(request: Request) -> Reply:
        return parcels.reply_of(await channel.take(request.body))

    (home / "run").mkdir(parents=True)
    door = Door(http.front("token"), handle, users=frozenset({0, (home / "run").stat().st_uid}))
    await door.open(bind_unix(home / "run" / "fleet.sock"))
    try:
        yield
    finally:
        await door.close(0.1)


class SshWorld(World):
    here: Ssh
    there: Ssh

    async def start(self) -> None:
        self.stack = contextlib.AsyncExitStack()
        self.server = self.stack.enter_context(SshServer(self.directory / "sshd"))
        home = self.directory / "there"
        self.server.authorize(f'restrict,command="{receive_command(home)}"')
        self.here, self.there = made(self.directory / "known"), made(self.directory / "other")
        await self.stack.enter_async_context(daemon_at(home, self.there))
        await self.here.open()
        await self.there.open()
        self.peer = self.peer_at()

    def peer_at(self, **more: Any) -> Peer:
        return Peer(id="there", addresses={"ssh": self.server.words(**more)})

    def absent(self) -> Peer:
        return self.peer_at(port=1)

    async def stop(self) -> None:
        await self.stack.aclose()


class TestContract(ReplyingRoad):
    World = SshWorld
