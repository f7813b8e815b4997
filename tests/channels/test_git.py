"""The git road against real repositories: over a path and ssh, refused, gone, lied to; it must never run a peer's words."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from channels import git
from channels.git import Git
from fleet.core.peer import Peer
from tests.channels.contract import OneWayRoad, World

pytestmark = pytest.mark.tier("git")
CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def run(*words: str, cwd: Path, stdin: bytes = b"") -> str:
    """Run git as the git host's keeper would; gives what it printed."""
    done = subprocess.run(["git", *words], cwd=cwd, env=CLEAN, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def bare(path: Path) -> Path:
    """A fresh repository that everybody may write to."""
    run("init", "--quiet", "--bare", str(path), cwd=path.parent)
    return path


def road(directory: Path, node: str, **settings: Any) -> Git:
    return git.build({"node": node, "fleet": "fleet-1", "state": directory / node, "poll": 0.05, **settings}, {})


class GitWorld(World):
    async def start(self) -> None:
        remote = str(bare(self.directory / "mail.git"))
        self.here = road(self.directory, "here", others=[remote])
        self.there = road(self.directory, "there", remote=remote)
        self.peer = Peer(id="there", addresses={"git": {"remote": remote}})
        for channel in (self.here, self.there):
            await channel.open()


class TestContract(OneWayRoad):
    World = GitWorld
