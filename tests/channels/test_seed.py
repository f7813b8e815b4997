"""The seed road against a real sshd: files put whole or not at all, taken in once, names that cannot lead elsewhere."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from channels import seed as road
from channels.seed import Seed
from fleet.core.peer import Peer
from tests.channels.contract import OneWayRoad, World
from tests.support.sshd import SshServer, receive_command

pytestmark = pytest.mark.tier("ssh")


def made(seeds: Path | str, directory: Path, config: str = "none", poll: float = 0.01) -> Seed:
    return road.build({"seeds": str(seeds), "directory": str(directory), "config": config, "poll": poll}, {})


class SeedWorld(World):
    """A peer whose key line lets `fleet receive` alone run."""

    here: Seed
    there: Seed

    async def start(self) -> None:
        self.stack = contextlib.ExitStack()
        self.server = self.stack.enter_context(SshServer(self.directory / "sshd"))
        self.home = self.directory / "there"
        self.home.mkdir()
        self.seeds = self.home / "seeds"
        self.authorize()
        self.here, self.there = made("", self.directory / "known"), made(self.seeds, self.directory / "other")
        await self.here.open()
        await self.there.open()
        self.peer = self.peer_at()

    def authorize(self) -> None:
        self.server.authorize(f'restrict,command="{receive_command(self.home)}"')

    def peer_at(self, **more: Any) -> Peer:
        return Peer(id="there", addresses={"seed": self.server.words(**more)})

    async def stop(self) -> None:
        self.stack.close()


class PlainWorld(SeedWorld):
    """A peer with an ordinary SFTP server and a directory that the operator named."""

    def authorize(self) -> None:
        self.server.authorize("restrict")

    def peer_at(self, **more: Any) -> Peer:
        return super().peer_at(**{"directory": f"{self.seeds}/", **more})


class TestContract(OneWayRoad):
    World = SeedWorld


class TestContractOfAPlainServer(OneWayRoad):
    World = PlainWorld
