"""P4, the seed road: the parcel as a file in the peer's own directory, over SFTP; custody, never proof.

Settings: the table [channel.seed], and from the daemon
    seeds       this node's own directory of seeds (0700), from which it takes in; "" = it takes in nothing
    directory   a private directory for known_hosts files
    config      the user's SSH configuration; "" = that of the user's home, "none" = none is read
    poll        seconds between two looks into `seeds`

A peer that names no directory is given the file by `fleet receive sftp`, which knows no other place. A file's name is the
pid's digits. Each file is handed over once and leaves when the receiver has answered; BUSY lets it lie.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels._seeds import Bed
from channels._ssh import Depot, Job, Line, Lines, Login, Refused, login_of, user_config
from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.core.seeds import seed_name, unfinished_name
from fleet.errors import Barred

COMMAND = "fleet receive"
FORGET_TIMEOUT = 4.0
POLL = 1.0


class Seed:
    """The seed road of one node."""

    name = "seed"
    traits = Traits(replies=False, pings=False)

    def __init__(self, seeds: Path | None, directory: Path, config: str, poll: float) -> None:
        """Take the own directory of seeds, a private one, and the user's SSH configuration."""
        self._bed = Bed(seeds, self.traits.max_bytes) if seeds else None
        self._poll = poll
        self._lines = Lines(directory, config, 1)  # one SFTP session a peer, so one worker
        self._wake = asyncio.Event()

    async def open(self) -> None:
        """Make the own directory, unless it stands."""
        if self._bed is not None:
            await asyncio.to_thread(self._bed.prepare)

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Put the parcel into the peer's directory."""
        place = self._place(peer)
        name = seed_name(parcel.pid)
        if not name or len(parcel.data) > self.traits.max_bytes:
            raise Barred("not a parcel this road can name" if not name else f"{len(parcel.data)} bytes are too many")
        temporary = place.path(unfinished_name(parcel.pid, secrets.token_bytes(8)))

        def put(line: Line, job: Job) -> None:
            depot = _depot(line, place.command, job)
            try:
                depot.put(place.path(name), temporary, parcel.data, job)
            except Refused:
                depot.remove(temporary, job)
                depot.remove(place.path(name), job)
                raise

        await self._lines.use(place.login, put, timeout)
        return Outcome.taken(f"{self.name} {peer.id}")

    async def listen(self, deliver: Deliver) -> None:
        """Look into the own directory every `poll` seconds and hand over what lies there; runs until cancelled."""
        while True:
            self._wake.clear()
            await self.sweep(deliver)
            pause = self._poll if self._bed is None else min(self._poll, self._bed.pause)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def sweep(self, deliver: Deliver) -> int:
        """Hand over everything that lies in the own directory now; says how many files the receiver took in."""
        return await self._bed.sweep(deliver) if self._bed is not None else 0

    def look(self) -> None:
        """Look into the own directory at once: somebody says that there is something."""
        self._wake.set()

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Take parcels back that the peer has not taken in."""
        names = [name for name in map(seed_name, pids) if name]
        if not names:
            return
        place = self._place(peer)

        def remove(line: Line, job: Job) -> None:
            depot = _depot(line, place.command, job)
            for name in names:
                depot.remove(place.path(name), job)

        await self._lines.use(place.login, remove, FORGET_TIMEOUT)

    async def close(self) -> None:
        """Hang up; what lies in the own directory stays."""
        await self._lines.close()

    def _place(self, peer: Peer) -> _Place:
        own, ssh = peer.addresses.get("seed", {}), peer.addresses.get("ssh", {})
        directory = str(own.get("directory") or "")
        command = "" if directory else f"{ssh.get('command') or COMMAND} sftp"
        return _Place(login_of(peer, own, ssh), directory, command)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a peer's seeds go; without a directory of its own the command at the other end knows it."""

    login: Login
    directory: str
    command: str

    def path(self, name: str) -> str:
        return f"{self.directory.rstrip('/')}/{name}" if self.directory else name


def _depot(line: Line, command: str, job: Job) -> Depot:
    """Give the line's SFTP session, beginning one when there is none or the last one broke."""
    depot = line.depots.get(command)
    if depot is None or depot.broken:
        depot = line.depots[command] = Depot(line.stream(command, job), job)
    return depot


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Seed:
    """Make the seed road."""
    seeds = str(settings.get("seeds") or "")
    return Seed(
        Path(seeds) if seeds else None, Path(str(settings.get("directory") or ".")),
        user_config(str(settings.get("config") or "")), float(settings.get("poll", POLL)),
    )  # fmt: skip
