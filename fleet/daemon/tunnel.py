"""Tunnels: a peer's parcel door and broker through the system's `ssh -N`, kept open until closed; never a way in for others.

Each local end listens on loopback. While a tunnel stands, the peer's HTTP address is its local end; when this node has no
other way to a broker than that peer's, the broker is tried through it too. A tunnel that breaks is made anew; all of them
end with the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fleet.core.peer import Peer
from fleet.daemon import leash
from fleet.daemon import words as peer_words
from fleet.errors import FleetError, NotFound, Unreachable, UsageError

if TYPE_CHECKING:
    from fleet.daemon.service import Node

READY = 12.0  # seconds until a tunnel must carry, else it is not opened
LOOK = 0.05
WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)  # between a break and the next try, slower and slower
STEADY = 30.0  # seconds of life after which a break counts as the first again
STOP = 3.0
DEFAULT_PORTS = {"https": 443, "http": 80, "nats": 4222, "tls": 4222}
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "SSH_AUTH_SOCK")


@dataclass(frozen=True, slots=True)
class End:
    """One forwarded place: what the peer calls it, and its end here."""

    road: str
    url: str  # as the peer is reached without the tunnel
    place: str  # as the peer itself reaches it
    port: int

    @property
    def local(self) -> str:
        """The address of the end here."""
        return f"{urlsplit(self.url).scheme}://127.0.0.1:{self.port}"


@dataclass(slots=True)
class Tunnel:
    """One peer's tunnel and the process that holds it."""

    peer: str
    ends: tuple[End, ...]
    argv: list[str]
    up: bool = False
    breaks: int = 0
    reason: str = ""
    process: Process | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def view(self) -> dict[str, Any]:
        """Show it."""
        return {
            "peer": self.peer, "state": "up" if self.up else "down", "pid": self.process.pid if self.process else None,
            "breaks": self.breaks, "reason": self.reason, **{end.road: end.local for end in self.ends},
        }  # fmt: skip


class Tunnels:
    """The tunnels of one node."""

    def __init__(self, node: Node) -> None:
        """Take the node whose peers they lead to."""
        self._node = node
        self._open: dict[str, Tunnel] = {}

    def list(self) -> list[dict[str, Any]]:
        """Show every tunnel."""
        return [tunnel.view() for _, tunnel in sorted(self._open.items())]

    async def open(self, peer_id: str) -> dict[str, Any]:
        """Open a tunnel, or show the one that is open. Raises UsageError, Barred, Faulty, or Unreachable with the reason."""
        if peer_id not in self._open:
            tunnel = self._open[peer_id] = self._make(self._node.sight.known(peer_id))
            tunnel.task = asyncio.ensure_future(self._keep(tunnel))
            try:
                await self._ready(tunnel)
            except FleetError:
                await self.close(peer_id)
                raise
            self._use(tunnel)
        return self._open[peer_id].view()

    async def close(self, peer_id: str) -> dict[str, Any]:
        """Close a tunnel. Raises NotFound."""
        tunnel = self._open.pop(peer_id, None)
        if tunnel is None:
            raise NotFound(f"there is no tunnel to {peer_id!a}", hint="fleet tunnel list")
        self._part(tunnel)
        await _end(tunnel)
        return {**tunnel.view(), "state": "closed"}

    def is_broken(self, peer_id: str) -> bool:
        """Say whether a tunnel to a peer is open and does not carry."""
        tunnel = self._open.get(peer_id)
        return tunnel is not None and not tunnel.up

    async def reopen(self, peer_id: str) -> dict[str, Any]:
        """Close a tunnel and open it again. Raises NotFound, or what open() says."""
        await self.close(peer_id)
        return await self.open(peer_id)

    async def part(self, peer_id: str) -> None:
        """A peer was evicted: what leads to it ends."""
        if peer_id in self._open:
            await self.close(peer_id)

    async def close_all(self) -> None:
        """End every tunnel: the daemon stops."""
        tunnels, self._open = list(self._open.values()), {}
        await asyncio.gather(*(_end(tunnel) for tunnel in tunnels))

    def _make(self, peer: Peer) -> Tunnel:
        command = getattr(self._node.roads.channels.get("ssh"), "tunnel", None)
        if command is None:
            raise UsageError("the ssh road is switched off here", hint="fleet config show order")
        ends = []
        for road in ("http", "nats"):
            url = str(peer.addresses.get(road, {}).get("url", ""))
            if url:
                ends.append(End(road, url, _place(url), _free_port()))
        if not ends:
            raise UsageError(f"{peer.id} tells neither a parcel door nor a broker", hint=f"fleet peer show {peer.id}")
        return Tunnel(peer.id, tuple(ends), command(peer, [(end.port, end.place) for end in ends]))

    async def _ready(self, tunnel: Tunnel) -> None:
        """Wait until its ends answer. Raises Unreachable with what ssh said."""
        try:
            async with asyncio.timeout(READY):
                while not tunnel.up and not tunnel.breaks:  # noqa: ASYNC110 - another process has no event to wait for
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            tunnel.reason = tunnel.reason or f"ssh made no connection within {READY:g} s"
        if not tunnel.up:
            raise Unreachable(f"no tunnel to {tunnel.peer}: {tunnel.reason}", hint=f"fleet ping {tunnel.peer} --channel ssh")

    async def _keep(self, tunnel: Tunnel) -> None:
        """Keep its process running."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            tunnel.reason = await self._run(tunnel)
            tunnel.up = False
            tunnel.breaks += 1
            self._node.log("tunnel broke", peer=tunnel.peer, reason=tunnel.reason)
            failures = 0 if asyncio.get_running_loop().time() - began > STEADY else failures + 1
            await asyncio.sleep(WAITS[min(failures, len(WAITS) - 1)])

    async def _run(self, tunnel: Tunnel) -> str:
        """Run ssh until it ends; gives what it said last."""
        program = shutil.which(tunnel.argv[0])
        if program is None:
            return "there is no program `ssh` here"
        environ = {name: os.environ[name] for name in KEPT if name in os.environ}
        tunnel.process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), program, *tunnel.argv[1:],
            stdin=PIPE if sys.platform != "linux" else DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environ, cwd="/",
        )  # fmt: skip
        watch = asyncio.ensure_future(self._watch(tunnel))
        try:
            words = await _last_words(process)
            code = await process.wait()
            return words or f"ssh ended with {code}"
        finally:
            watch.cancel()
            if process.returncode is None:
                await asyncio.shield(_stop(process))

    async def _watch(self, tunnel: Tunnel) -> None:
        """Look until the local ends listen."""
        for end in tunnel.ends:
            while not await _listens(end.port):  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(LOOK)
        tunnel.up = True

    # --- what the roads make of it ------------------------------------------------------------------------------------

    def _use(self, tunnel: Tunnel) -> None:
        """Let the roads go through it: in memory only, so that a daemon that starts anew knows nothing of it."""
        node = self._node
        for end in tunnel.ends:
            if end.road == "http":
                own = node.roster.words(tunnel.peer)
                words = {**own, "http": {**own.get("http", {}), "url": end.local}}
                node.roster.set_words(tunnel.peer, words)
            elif self._wants_broker(end.url):
                node.roads.channels["nats"].also(end.local)  # type: ignore[attr-defined]
                node.links.ask_again()
        node.exchange.poke(tunnel.peer)

    def _wants_broker(self, url: str) -> bool:
        """Say whether the broker behind `url` is ours, or the only one there is."""
        own = self._node.settings.nats
        return not own.serve and (not own.urls or url in own.urls) and hasattr(self._node.roads.channels.get("nats"), "also")

    def _part(self, tunnel: Tunnel) -> None:
        node = self._node
        stored = node.reader.members.peers().get(tunnel.peer)
        words = peer_words.read(tunnel.peer, stored, node.settings.order) if stored else None
        node.roster.set_words(tunnel.peer, words)
        for end in tunnel.ends:
            if end.road == "nats" and self._wants_broker(end.url):
                node.roads.channels["nats"].no_longer(end.local)  # type: ignore[attr-defined]


def _place(url: str) -> str:
    """Say how the peer itself reaches what is at `url`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return f"{'127.0.0.1' if host == 'localhost' else f'[{host}]' if ':' in host else host}:{port}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _last_words(process: Process) -> str:
    """Read standard error to its end; gives its last line, safe to print."""
    assert process.stderr is not None
    last = b""
    while part := await process.stderr.read(4096):
        last = (last + part)[-4096:]
    lines = [line for line in last.decode("ascii", "replace").splitlines() if line.strip()]
    return "".join(sign if " " <= sign <= "~" else "?" for sign in lines[-1])[:200] if lines else ""


async def _stop(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _end(tunnel: Tunnel) -> None:
    if tunnel.task is not None:
        tunnel.task.cancel()
        await asyncio.gather(tunnel.task, return_exceptions=True)
    tunnel.up = False



