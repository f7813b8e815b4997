"""P6, the Wake-on-LAN road: wakes a sleeping peer with a magic packet and never carries a byte of anybody's.

Settings: the table [channel.wol], and from the daemon
    node        this node's id: only its own parcels wake, never what it forwards for another
and on the finished channel, at any time
    own_word    (peer id, word) -> True when the operator's own configuration gave this broadcast or interface

The hardware address is the peer's own (its manifest's, or [peer.ID.wol] mac); where the packet is sent to is this
machine's or the operator's word, never the peer's. One a minute for each peer and each hardware address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wakeonlan import wake

from fleet.core import policy
from fleet.core.channel import Channel, Deliver, Traits
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, Unreachable

PORT = 9  # discard: nobody listens, the network card reads it before any program could
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Segment:
    """One network this machine stands in: its card's address, and the address that reaches everybody there."""

    card: str
    address: str
    broadcast: str


def segments() -> list[Segment]:
    """List the directed broadcasts of every card that is up; 255.255.255.255 needs a default route and goes one way."""
    import psutil  # 5 ms, once a wake-up

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = []
    for card, addresses in sorted(psutil.net_if_addrs().items()):
        for one in addresses:
            if card in up and one.family == socket.AF_INET and one.netmask:
                net = ipaddress.ip_interface(f"{one.address}/{one.netmask}")
                if net.network.prefixlen < 31 and not net.ip.is_loopback:
                    found.append(Segment(card, one.address, str(net.network.broadcast_address)))
    return found


def own_cards() -> frozenset[str]:
    """Give the hardware addresses of this machine, as _read() writes them."""
    import psutil

    addresses = (one.address for card in psutil.net_if_addrs().values() for one in card)
    return frozenset(read for read in map(_read, addresses) if read)


def _read(address: str) -> str:
    """Give a hardware address as twelve small hex digits; empty for what is none."""
    digits = "".join(character for character in address.lower() if character not in ":-.")
    usable = len(digits) == 12 and set(digits) <= _HEX and len(set(digits)) > 1  # not all zeros, not the broadcast
    return digits if usable else ""


class Wol:
    """The road that wakes."""

    name = "wol"
    traits = Traits(carries=False, replies=False, pings=False, hedges=False)

    def __init__(self, node: str = "", steady: Callable[[], float] = time.monotonic) -> None:
        """Take this node's id and a clock."""
        self.own_word: Callable[[str, str], bool] = lambda peer, word: False
        self._node = node
        self._steady = steady
        self._woken: dict[str, float] = {}

    async def open(self) -> None:
        """Make nothing ready."""

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Wake the peer, unless it was woken within the minute; what shall be carried stays here."""
        if self._node and parcel.sender != self._node:
            raise Barred("it wakes for this node's own mail only")
        card = await asyncio.to_thread(self._card, peer)
        self._allow(peer.id, card)
        await asyncio.to_thread(self._wake, peer, card)
        return Outcome.nudged()

    def would(self, peer: Peer) -> str:
        """Say what send() would do, doing nothing. Raises Barred."""
        self._card(peer)
        return "would wake"

    def _card(self, peer: Peer) -> str:
        said = str(peer.addresses.get(self.name, {}).get("mac") or peer.mac)
        card = _read(said)
        if not card:
            raise Barred(
                f"no hardware address of {peer.id} is known", address=True, hint=f"fleet peer set {peer.id} wol.mac=MAC"
            )
        if card in own_cards():
            raise Barred(f"{peer.id} lives on this machine, which is awake", address=True)
        return card

    def _allow(self, *names: str) -> None:
        """Count a wake-up for a peer and its card. Raises Barred when either was woken within the minute."""
        now = self._steady()
        self._woken = {name: at for name, at in self._woken.items() if now - at < policy.WAKE_EVERY}
        if any(name in self._woken for name in names):
            raise Barred(f"woken already; at most once in {policy.WAKE_EVERY:g} s")
        self._woken.update(dict.fromkeys(names, now))

    def _wake(self, peer: Peer, card: str) -> None:
        """Send one packet into every network it may sleep in. Raises Unreachable when none could be sent."""
        targets, reasons = self._targets(peer), []
        sent = 0
        for segment in targets:
            try:
                wake(card, host=segment.broadcast, port=PORT, interface=segment.address or None)
                sent += 1
            except OSError as error:
                reasons.append(f"{segment.broadcast}: {error.strerror or type(error).__name__}")
        if not sent:
            raise Unreachable("; ".join(reasons) or "this machine stands in no network that can be woken")

    def _targets(self, peer: Peer) -> list[Segment]:
        """Choose where the packet goes: every network, or what the operator says of this peer."""
        table = peer.addresses.get(self.name, {})
        broadcast, card = (str(table.get(word) or "") for word in ("broadcast", "interface"))
        for word in (broadcast, card):
            if word and not self.own_word(peer.id, word):
                raise Barred(f"{peer.id} itself said where to wake it; only the operator may", address=True)
        found = segments()
        if card:
            found = [one for one in found if card in (one.card, one.address)]
            if not found:
                raise Faulty(f"this machine has no interface {card!a}", hint=f"fleet peer set {peer.id} wol.interface=NAME")
        if not broadcast:
            return found
        return [Segment(one.card, one.address, broadcast) for one in found[:1]] if card else [Segment("", "", broadcast)]

    async def examine(self, peers: Sequence[Peer], timeout: float) -> str:
        """Look for the networks in which the peers would be woken, waking none. Raises Barred, Faulty or Unreachable."""
        known = [peer for peer in peers if peer.addresses.get(self.name)]
        for peer in known:
            if not await asyncio.to_thread(self._targets, peer):
                raise Unreachable("this machine stands in no network that can be woken")
        return f"{len(known)} peers" if known else "nobody is to be woken"

    async def listen(self, deliver: Deliver) -> None:
        """Wait for nothing: network cards listen, programs do not."""
        await asyncio.Event().wait()

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Nothing is kept on this road."""

    async def close(self) -> None:
        """Nothing to close."""


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Wol:
    """Make the road that wakes."""
    return Wol(str(settings.get("node") or ""))
