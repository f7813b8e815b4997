"""P2, the HTTP road: one POST to the peer's parcel door and its answer; never takes a status line for a proof.

Settings: the table [channel.http], and from the daemon
    bind        "HOST:PORT" when somebody said so; "" = 127.0.0.1:8856 or the next free port
    last_port   the port that others know from earlier runs, tried first when nobody said a bind; 0 = none
    tls         ssl.SSLContext of the door, or None
    own_ports   ports of this machine that no peer's address may lead to (the local API's)
    connections, per_address, deadline, idle    limits of the door (channels/_door.py)
and on the finished channel, at any time
    join        async (frame, source address) -> answer or None, while an invite is open; None closes /join
    own_word    (peer id, url) -> True when the operator's own configuration gave this address: it may lead anywhere
    bound       (host, port) the door listens on

200 is an answer, 202 custody, 503 busy, 400 not authenticated; all else is somebody else's door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from channels._door import PORTS_TRIED, Door, Join, Limits
from channels._lines import Lines, is_open_ground, target
from channels._message import FRAME_LIMIT
from fleet.core import policy
from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, SettingsError, Unreachable

DEFAULT_BIND = ("127.0.0.1", 8856)
LOOPBACK = ("127.", "localhost", "::1")


class Http:
    """The HTTP road of one node."""

    name = "http"
    traits = Traits(framed=True)

    def __init__(self, door: Door, bind: tuple[str, int] | None, own_ports: frozenset[int], last_port: int = 0) -> None:
        self.own_word: Callable[[str, str], bool] = lambda peer, url: False
        self._door = door
        self._bind = bind
        self._last_port = last_port
        self._own_ports = own_ports
        self._lines = Lines(self._permitted)

    @property
    def bound(self) -> tuple[str, int] | None:
        """Tell where the door listens."""
        return self._door.bound

    @property
    def join(self) -> Join | None:
        """Tell who takes requests to join; None while no invite is open."""
        return self._door.join

    @join.setter
    def join(self, value: Join | None) -> None:
        self._door.join = value

    async def open(self) -> None:
        """Open the door; until somebody listens it says 503."""
        host, port = self._bind or DEFAULT_BIND
        usual = [*([self._last_port] if self._last_port else []), *range(port, port + PORTS_TRIED)]
        await self._door.open(host, [port] if self._bind else usual)

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Post the parcel to the peer's door and tell what its answer means."""
        table = peer.address(self.name)
        url = str(table.get("url", ""))
        door = target(url, str(table.get("pin", "")), peer.tls, "/parcel", self.own_word(peer.id, url))
        if len(parcel.data) > FRAME_LIMIT:
            raise Barred(f"{len(parcel.data)} bytes; the limit is {FRAME_LIMIT}")
        status, fields, data = await self._lines.post(door, parcel.data, timeout)
        if status == 200:
            return Outcome.replied(data)
        if status == 202:
            return Outcome.taken(peer.id)
        raise _refusal(status, fields)

    async def knock(self, url: str, pin: str, frame: bytes, timeout: float) -> bytes:
        """Ask the door at `url`, which a person was given, to be taken in; the answer's bytes."""
        status, fields, data = await self._lines.post(target(url, pin, "", "/join", True), frame, timeout)
        if status == 200:
            return data
        raise _refusal(status, fields)

    async def listen(self, deliver: Deliver) -> None:
        """Hand every parcel that comes through the door to `deliver`; runs until cancelled."""
        self._door.deliver = deliver
        try:
            await asyncio.Event().wait()
        finally:
            self._door.deliver = None

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Nothing is kept on this road."""

    async def reconnect(self) -> None:
        """Dial anew from now on, and open the door if it never opened."""
        self._lines.renew()
        if self._door.bound is None:
            await self.open()

    async def close(self) -> None:
        """Hang up and close the door."""
        self._lines.close()
        await self._door.close()

    def _permitted(self, place: str, port: int) -> bool:
        home = (self.bound or self._bind or DEFAULT_BIND)[0].startswith(LOOPBACK)
        return is_open_ground(place, port, home, self._own_ports)


def _refusal(status: int, fields: Mapping[bytes, bytes]) -> Unreachable | Faulty:
    if status == 503:
        return Unreachable("the door is busy", retry_after=_seconds(fields.get(b"retry-after", b"")), unsent=True)
    if status == 400:
        return Unreachable("the door answers 400: it could not authenticate us", unsent=True)
    if status in (401, 403, 404, 405):
        return Faulty(f"something else answers there: {status}")
    return Unreachable(f"the door answers {status}")


def _seconds(text: bytes) -> float:
    return min(float(text), policy.BACKOFF_CAP) if text.isdigit() and len(text) < 9 else policy.BUSY_RETRY


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Http:
    """Make the HTTP road. Raises SettingsError for a bind that is none."""
    chosen = {name: settings[name] for name in ("connections", "per_address", "deadline", "idle") if name in settings}
    door = Door(Limits(**chosen), settings.get("tls"))
    own_ports = frozenset(settings.get("own_ports", ()))
    return Http(door, _bind(str(settings.get("bind") or "")), own_ports, int(settings.get("last_port", 0)))


def _bind(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    if text and not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise SettingsError("bind must look like HOST:PORT")
    return (host.strip("[]"), int(port)) if text else None
