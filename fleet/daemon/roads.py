"""The roads of one node: built, opened, closed, and told who belongs to the fleet; it never carries anything itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from fleet.core import policy
from fleet.core.channel import Channel, Traits
from fleet.core.health import Evidence
from fleet.core.peer import Peer
from fleet.daemon import machine, registry
from fleet.daemon.admission import Overlap
from fleet.daemon.broker import Broker, Place
from fleet.daemon.membership import Place as ManifestPlace
from fleet.daemon.notices import show_on_desktop
from fleet.daemon.paths import Paths
from fleet.daemon.quantities import split_address
from fleet.daemon.settings import DEFAULT, Settings
from fleet.daemon.tls import door_certificate
from fleet.engine.links import Links
from fleet.errors import FleetError, StoreError
from fleet.store.files import atomic_write
from fleet.store.keys import KeyRing

ANYWHERE = ("0.0.0.0", "::", "")  # binds that are no address others could call
OPEN_TIMEOUT = 5.0  # seconds a road has to get ready; one that needs longer is left to its own background work
MAILBOXES = {"git": "remote", "cloud": "url"}  # what a peer's table calls the place of its mailbox


class RoadKeeper:
    """Builds and keeps the channels of one node, and the broker it may run."""

    def __init__(
        self, settings: Settings, paths: Paths, ring: KeyRing, log: Callable[..., None],
        given: Mapping[str, Channel] | None,
    ) -> None:  # fmt: skip
        """Take the configuration; `given` channels are used as they are (simulations)."""
        self._settings = settings
        self._paths = paths
        self._ring = ring
        self._log = log
        self._given = given
        self.channels: Mapping[str, Channel] = given or {}
        self.failed: dict[str, str] = {}
        self.broker: Broker | None = None
        self._learned: list[str] = []  # brokers that other members run
        self._overlap = Overlap(policy.NKEY_OVERLAP)
        self._timer: asyncio.TimerHandle | None = None
        self.is_evicted: Callable[[str], bool] = lambda peer: False
        self.find_chiefs: Callable[[Peer], list[Peer]] = lambda peer: []
        self.certificate = ""  # PEM of the parcel door's; empty = it speaks plain HTTP

    async def open(self) -> None:
        """Start the broker if this node runs one, build the roads in their order, open each."""
        if self._given is None:
            if self._settings.nats.serve:
                await self._start_broker()
            roads = registry.build(self._settings.roads, self._settings.channel, self._house)
            self.channels, failed = roads.channels, dict(roads.failed)
            self.failed = {name: why for name, why in failed.items() if registry.exists(name)}
            for name, why in self.failed.items():
                self._log("road out", channel=name, reason=why)
            if hasattr(road := self.channels.get("nats"), "on_entered"):
                road.on_entered(self._ring.drop_older_nats)  # type: ignore[union-attr]
        await asyncio.gather(*(self._open(name, channel) for name, channel in self.channels.items()))
        self._keep_port()

    async def _open(self, name: str, channel: Channel) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                await channel.open()
        except (FleetError, OSError, TimeoutError) as error:
            self.failed[name] = str(error) or type(error).__name__
            self._log("road not open", channel=name, reason=self.failed[name])

    async def _start_broker(self) -> None:
        host, _ = split_address(self._settings.node.bind)
        nats = self._settings.nats
        place = Place(self._paths.run / "nats", host, nats.port, house=self._ring.node, store=nats.store)
        broker = Broker(self._ring.fleet, place, self._users([]), nats.server, self._log)
        try:
            await broker.open()
            await broker.ready(OPEN_TIMEOUT)
            self.broker = broker
        except FleetError as error:
            if broker.settled and error.retryable:
                self.broker = broker  # it comes as soon as its port is free
            else:
                await broker.close()
            self.failed["broker"] = error.message
            self._log("broker", reason=error.message)

    def _users(self, peers: Iterable[Peer]) -> list[tuple[str, str]]:
        """List who may connect to the broker: this node and every member whose nkey is known."""
        own = (self._ring.node, self._ring.nats_public)
        return [own, *((p.id, p.nats) for p in peers if p.nats and p.key and not self.is_evicted(p.id))]

    def _house(self, name: str) -> Mapping[str, Any]:
        """Say what the house adds to a road's own table."""
        if name == "nats":
            urls = [self.broker.url] if self.broker is not None else list(self._settings.nats.urls)
            return {
                "url": urls, "node": self._ring.node, "fleet": self._ring.fleet, "nkey": self._ring.nats_seed,
                "older_nkey": self._ring.nats_older, "own_ports": self._own_ports(),
                "home": split_address(self._settings.node.bind)[0].startswith("127."), "own": self.broker is not None,
            }  # fmt: skip
        if name == "http":
            chosen = self._settings.origin("node.bind") != DEFAULT
            last = 0 if chosen else self._last_port()
            return {
                "bind": self._settings.node.bind if chosen else "", "last_port": last, "tls": self._door_tls(),
                "own_ports": self._own_ports(),
            }
        if name in MAILBOXES:
            others = [words.get(name, {}).get(MAILBOXES[name], "") for words in self._settings.peers.values()]
            own = {"node": self._ring.node, "fleet": self._ring.fleet, "state": str(self._paths.home / name)}
            return {**own, "others": [other for other in others if other]}
        if name in ("seed", "ssh"):
            config = str(self._settings.channel("ssh").get("config", ""))
            return {"directory": str(self._paths.run / "ssh"), "config": config, "seeds": str(self._paths.seeds)}
        if name == "wol":
            return {"node": self._ring.node}
        if name == "text":
            return {"say": show_on_desktop}
        if name == policy.RELAYED:
            return {"chiefs": lambda peer: self.find_chiefs(peer)}
        return {}

    def _own_ports(self) -> list[int]:
        """List the ports of this machine that no peer's address may lead to: the local API's and the broker's."""
        listen = self._settings.api.listen
        ports = [split_address(listen)[1]] if listen != "off" else []
        return ports + ([self.broker.port] if self.broker is not None else [])

    def trust_own_words(self, said: Callable[[str, str, str], bool]) -> None:
        """Tell the roads which addresses the operator gave, by peer and road: those may lead anywhere."""
        for name, channel in self.channels.items():
            if hasattr(channel, "own_word"):
                channel.own_word = lambda peer, address, name=name: said(peer, name, address)

    def _last_port(self) -> int:
        """Recall the parcel door's port of earlier runs: the others know it, and may have no other road to us."""
        with contextlib.suppress(OSError, ValueError):
            port = int((self._paths.run / "door").read_text("ascii"))
            return port if 0 < port < 65_536 else 0
        return 0

    def _keep_port(self) -> None:
        bound = getattr(self.channels.get("http"), "bound", None)
        if self._given is None and bound is not None and bound[1] != self._last_port():
            with contextlib.suppress(StoreError):  # a full disk must not keep the node from starting
                atomic_write(self._paths.run / "door", f"{bound[1]}\n".encode())

    def _door_tls(self) -> ssl.SSLContext | None:
        """Give the door its certificate, unless the operator wants plain HTTP."""
        if not self._settings.channel("http").get("tls", True):
            return None
        context, self.certificate = door_certificate(self._ring.directory, self._ring.node)
        return context

    def traits(self) -> dict[str, Traits]:
        """Give every road's traits, in order."""
        return {name: channel.traits for name, channel in self.channels.items()}

    def addresses(self) -> dict[str, dict[str, str]]:
        """Say where others find this node, for its manifest."""
        addresses: dict[str, dict[str, str]] = {}
        bound = getattr(self.channels.get("http"), "bound", None)
        if bound is not None:
            scheme = "https" if self.certificate else "http"
            addresses["http"] = {"url": f"{scheme}://{self._outside(*bound)}"}
        if self.broker is not None:
            addresses["nats"] = {"url": self.broker_url()}
        return addresses

    def place(self) -> ManifestPlace:
        """Say what the manifest tells of this machine; a simulation tells nothing of it."""
        if self._given is not None:
            return ManifestPlace(self.addresses())
        card = machine.mac(self._settings.node.advertise)
        return ManifestPlace(self.addresses(), self.certificate, machine.host_key(), card)

    def _outside(self, host: str, port: int) -> str:
        """Give the address others shall use: what the operator advertises, else where the door listens."""
        advertised = self._settings.node.advertise
        if advertised:
            return advertised if ":" in advertised else f"{advertised}:{port}"
        if host in ANYWHERE:
            host = machine.address() or "127.0.0.1"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def broker_url(self) -> str:
        """Give the broker's address as others reach it; empty without one."""
        if self.broker is None:
            return ",".join(self._settings.nats.urls or self._learned)
        advertised = self._settings.node.advertise
        host = split_address(advertised)[0] if ":" in advertised else advertised
        if not host and split_address(self._settings.node.bind)[0] in ANYWHERE:
            host = machine.address()
        return f"nats://{host}:{self.broker.port}" if host else self.broker.url

    async def admit(self, peers: Iterable[Peer]) -> None:
        """Let the broker know who may connect; the others are not disturbed."""
        known = list(peers)
        if self.broker is None:
            self._learn_brokers(known)
            return
        users = self._users(known)
        await self.broker.set_users(self._overlap.extend(users, asyncio.get_running_loop().time()))
        self._look_again(known)
        road = self.channels.get("nats")
        if self._settings.nats.store and road is not None and hasattr(road, "care_for"):
            road.care_for([node for node, _ in users], self._settings.nats.store)

    def _learn_brokers(self, known: Iterable[Peer]) -> None:
        """Go where the chiefs say they run a broker, unless the operator named one: an address may change at any time."""
        if self._settings.nats.urls:
            return
        self._learned = brokers_of(known)
        road = self.channels.get("nats")
        if road is not None and hasattr(road, "learn"):
            road.learn(self._learned)

    def _look_again(self, known: list[Peer]) -> None:
        """Shut older nkeys out when their time is over."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = (
            loop.call_later(policy.NKEY_OVERLAP + 1.0, lambda: loop.create_task(self._quietly(self.admit(known), "nats")))
            if self._overlap.pending
            else None
        )

    async def forget(self, peer: Peer, road: str, pids: Sequence[str]) -> None:
        """Take parcels back from the road that holds them, where it can."""
        if road in self.channels:
            await self._quietly(self.channels[road].forget(peer, pids), road)

    def credit(self, links: Links, peer: str, road: str) -> None:
        """Credit the road a receipt names, unless its own answers do that already."""
        if not self.channels[road].traits.replies:
            links.credit(peer, road, Evidence.GOOD)

    async def close(self) -> None:
        """Close every road, then the broker."""
        await asyncio.gather(*(self._quietly(channel.close(), name) for name, channel in self.channels.items()))
        if self._timer is not None:
            self._timer.cancel()
        if self.broker is not None:
            await self.broker.close()

    async def _quietly(self, act: Awaitable[None], name: str) -> None:
        """Do what must not keep others from being done; a failure is recorded."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                await act
        except (FleetError, OSError, TimeoutError) as error:
            self._log("road", channel=name, reason=str(error) or type(error).__name__)


def brokers_of(peers: Iterable[Peer]) -> list[str]:
    """List the brokers of those that the root made chiefs, by their own manifests; nobody else may gather the fleet."""
    tables = [peer.addresses.get("nats", {}) for peer in sorted(peers, key=lambda peer: peer.id) if peer.role == "chief"]
    return list(dict.fromkeys(str(table["url"]) for table in tables if table.get("url")))
