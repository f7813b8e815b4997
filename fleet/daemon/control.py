"""What an operator may do to a running node: ping, reset, peers, invitations; it never touches mail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fleet.core import policy
from fleet.core.envelope import is_node_id
from fleet.core.health import Evidence
from fleet.core.outcome import Result
from fleet.core.peer import Manifest, join_intro
from fleet.core.sealing import Secret
from fleet.daemon import enrolment, location
from fleet.daemon import words as peer_words
from fleet.daemon.enrolment import Link, Welcome
from fleet.daemon.joining import join_fleet
from fleet.daemon.tls import fingerprint
from fleet.engine.identity import own_certificate
from fleet.engine.receiver import store_learned
from fleet.engine.roster import Learned
from fleet.errors import FleetError, NoIdentity, UnknownPeer, UsageError, WireError
from fleet.store import Store

if TYPE_CHECKING:
    from fleet.daemon.service import Node


TOO_MANY = "too many tries"


class Control:
    """The operator's hand on one node."""

    def __init__(self, node: Node) -> None:
        """Take the node to act on."""
        self._node = node
        self._tries: dict[str, list[float]] = {}
        self._opened = 0  # how often the door was opened: a later invitation keeps it open

    async def ping(self, peer_id: str, channel: str | None = None, timeout: float = 3.0) -> dict[str, Any]:
        """Make a signed round trip over one road, or over the first that answers. Raises UnknownPeer, UsageError."""
        node = self._node
        peer = node.sight.known(peer_id)
        names = [name for name, road in node.roads.channels.items() if road.traits.pings and road.traits.replies]
        if channel is not None:
            if channel not in node.roads.channels:
                raise UsageError(f"no road is called {channel!a}: " + ", ".join(node.roads.channels))
            names = [channel]
        reason = "no manifest of it is known yet" if not peer.seal else "no road pings"
        for name in names:
            attempt = await node.healer.ping(peer, name, timeout)
            if attempt is None:
                break
            if attempt.result is Result.DELIVERED:
                return {"peer": peer_id, "channel": name, "ms": round(attempt.ms, 3), "ok": True, "reason": ""}
            reason = attempt.reason
        return {"peer": peer_id, "channel": channel or "", "ms": None, "ok": False, "reason": reason}

    async def reset(self, peer_id: str, channel: str | None = None) -> dict[str, Any]:
        """Believe the operator that a link is mended: its door opens, traffic must prove it."""
        node = self._node
        node.sight.known(peer_id)
        if channel is not None and channel not in node.roads.channels:
            raise UsageError(f"no road is called {channel!a}: " + ", ".join(node.roads.channels))
        names = [channel] if channel else list(node.roads.channels)
        for name in names:
            node.links.credit(peer_id, name, Evidence.MENDED, reason="an operator says it is mended")
        node.exchange.note("operator", peer_id, {"action": "reset", "channel": channel or "all"})
        node.exchange.poke(peer_id)
        return {"peer": peer_id, "channels": names}

    async def peer_set(self, peer_id: str, words: dict[str, Any], *, add: bool) -> dict[str, Any]:
        """Add a dynamic peer or change what is said of one; it survives a restart."""
        node = self._node
        if not node.settings.federation.dynamic_peers:
            raise UsageError("dynamic peers are switched off", hint="fleet config set federation.dynamic_peers true")
        if not is_node_id(peer_id) or peer_id == node.id:
            raise UsageError(f"{peer_id!a} cannot name a peer: a-z, 0-9 and -, at most 63, not this node")
        if add and peer_id in node.roster:
            raise UsageError(f"{peer_id} is known already ({node.roster.source(peer_id)})",
                             hint=f"fleet peer set {peer_id} KEY=VALUE")  # fmt: skip
        if not add and peer_id not in node.roster:
            raise UnknownPeer(f"no member of this fleet is called {peer_id!a}", hint=f"fleet peer add {peer_id}")
        before = await node.writer.run(lambda store: store.members.get_words(peer_id))
        table = peer_words.changed(peer_id, before or {}, words, node.settings.order)
        now = node.world.now()

        def keep(store: Store) -> None:
            store.members.put_words(peer_id, table)
            kind = "peer_added" if add else "peer_set"
            store.audit.add(kind, peer=peer_id, details={"setting": ", ".join(sorted(words))}, now=now)

        await node.writer.run(keep)
        node.roster.set_words(peer_id, peer_words.read(peer_id, table, node.settings.order))
        node.exchange.poke(peer_id)
        return node.sight.peer(node.sight.known(peer_id))

    async def peer_remove(self, peer_id: str) -> dict[str, Any]:
        """Forget a dynamic peer. Raises UnknownPeer, or UsageError for a static one or a member."""
        node = self._node
        peer = node.sight.known(peer_id)
        if peer.source == "static":
            raise UsageError(f"{peer_id} stands in config.toml and cannot be removed here")
        if peer.source == "member":
            raise UsageError(f"{peer_id} is a member of which nothing was said here",
                             hint=f"fleet peer set {peer_id} enabled=false, or fleet revoke {peer_id}")  # fmt: skip
        now = node.world.now()

        def forget(store: Store) -> None:
            store.members.remove_words(peer_id)
            store.audit.add("peer_removed", peer=peer_id, now=now)

        await node.writer.run(forget)
        node.roster.set_words(peer_id, None)
        return {"node": peer_id, "source": peer.source, "removed": True, "member": node.roster.member(peer_id)}

    # --- enrolment ----------------------------------------------------------------------------------------------------

    async def invite(self, ttl: float = policy.INVITE_TTL, trust: int | None = None, address: str = "") -> dict[str, Any]:
        """Open an invitation; single use, `ttl` seconds. Raises NoIdentity where the root key is not."""
        node = self._node
        if node.ring.root is None:
            where = await node.writer.run(lambda store: store.members.meta("root_node"))
            raise NoIdentity(f"the fleet's root key is not on this machine, it is on {where or 'another'}",
                             hint=f"fleet invite, on {where or 'the machine that ran fleet init'}")  # fmt: skip
        moved = self._move(address)
        now = node.world.now()
        link = Link(
            version=1, url=self._url(address) or node.roads.addresses().get("http", {}).get("url", ""), name=node.id,
            fleet=node.ring.fleet, id=node.world.dice(8).hex(), token=node.world.dice(policy.INVITE_SECRET),
            pin=fingerprint(node.roads.certificate) if node.roads.certificate else "",
            root=node.ring.root_public, seal=node.ring.opening[0].public, expires=now + int(ttl * 1000),
        )  # fmt: skip
        level = policy.TRUST_START if trust is None else trust

        def keep(store: Store) -> None:
            store.members.put_invite(link.id, Secret(link.token), link.expires, level, address)
            store.audit.add("invited", details={"id": link.id, "trust": level, "until": link.expires}, now=now)

        await node.writer.run(keep)
        self._open_door()
        return {
            "link": enrolment.write_link(link), "expires_at": link.expires, "words": link.words, "url": link.url,
            "trust": level, "moved": moved,
        }  # fmt: skip

    def _move(self, address: str) -> dict[str, str]:
        """Let this node be where the operator says that others reach it; a real change makes it start anew."""
        node = self._node
        if not address or "://" in address or not node.bind:
            return {}
        moved = location.settle(node.paths, node.settings, address, node.bind)
        if moved:
            node.log("moved", **{key.replace(".", "_"): value for key, value in moved.items()})
            node.renew()
        return moved

    def _url(self, address: str) -> str:
        """Write the address an operator gave as the door's URL."""
        if not address or "://" in address:
            return address
        return f"{'https' if self._node.roads.certificate else 'http'}://{address}"

    async def join(self, link: str, node_id: str | None = None) -> dict[str, Any]:
        """Take this node into another fleet; the daemon starts anew with it. Raises UsageError, JoinRefused."""
        node = self._node
        if node_id not in (None, node.id):
            raise UsageError(f"this machine is {node.id} already", hint="fleet join LINK, without --node")
        joined = await join_fleet(
            node.paths, node.settings, node.ring, link, node.roads.place(), node.world
        )
        node.renew()
        return joined

    def _open_door(self) -> None:
        self._opened += 1
        http = self._node.roads.channels.get("http")
        if http is not None and hasattr(http, "join"):
            http.join = self.take_in

    async def reopen(self) -> None:
        """Open the door again at start while an invitation is still good."""
        now = self._node.world.now()
        if self._node.ring.root is None:
            return
        if await self._node.writer.run(lambda store: bool(store.members.invites(now))):
            self._open_door()

    async def take_in(self, data: bytes, source: str) -> bytes | None:
        """Answer a request to join; None for every refusal, whose reason only the log tells."""
        try:
            if not self._allowed(source):
                raise WireError(TOO_MANY)
            return await self._welcome(data)
        except FleetError as error:
            self._node.exchange.count("join_refused")
            self._node.log("join refused", source=source, reason=error.message)
            if error.message != TOO_MANY:  # a flood is only counted
                self._node.exchange.note("join_refused", details={"reason": error.message})
            return None

    def _allowed(self, source: str) -> bool:
        """Bound the guesses: 5 tries a minute of one address, 60 of all (design § 6)."""
        now = self._node.world.steady()
        for known in list(self._tries):
            self._tries[known] = [at for at in self._tries[known] if now - at < 60.0]
            if not self._tries[known]:
                del self._tries[known]
        mine = self._tries.get(source, [])
        if len(mine) >= policy.JOIN_TRIES_PER_MINUTE or sum(map(len, self._tries.values())) >= policy.JOIN_TRIES_TOTAL:
            return False
        self._tries[source] = [*mine, now]
        return True

    async def _welcome(self, data: bytes) -> bytes:
        node = self._node
        request = enrolment.read_request(data, tuple(node.ring.opening))
        now = node.world.now()
        invite = await node.writer.run(lambda store: store.members.invite(request.id, now))
        if invite is None:
            raise WireError(await node.writer.run(lambda store: store.members.invite_fault(request.id, now)))
        manifest = enrolment.check_request(request, invite.secret.reveal(), node.ring.fleet)
        serial, certificate = self._certify(manifest.node, request.key, invite.trust, now)
        intros = tuple(node.roster.intros())
        guest = Learned(manifest.node, serial, certificate, manifest.serial, request.manifest)

        def take(store: Store) -> None:
            if store.members.take_invite(request.id, now) is None:
                raise WireError("used")  # by another who came at the same time: this one is nobody yet
            store_learned(store, guest, now)
            store.audit.add("joined", peer=guest.node, details={"trust": invite.trust, "id": request.id}, now=now)

        await node.writer.run(take)
        node.roster.learn(join_intro(certificate, request.manifest))
        await self._admitted(manifest)
        welcome = Welcome(
            v=policy.WIRE_VERSION, proof=b"", certificate=certificate, fleet_key=node.ring.fleet_keys[0].reveal(),
            intros=intros, revocation=node.roster.revocation_frame, broker=node.roads.broker_url(),
        )  # fmt: skip
        return enrolment.write_welcome(welcome, invite.secret.reveal(), manifest.seal, node.world.dice(32))

    def _certify(self, guest: str, key: bytes, trust: int, now: int) -> tuple[int, bytes]:
        """Sign a guest's certificate, above every serial it had or lost; gives serial and frame. Raises WireError."""
        node = self._node
        known = node.roster.get(guest)
        if guest == node.id or (known is not None and known.key and known.key != key):
            raise WireError(f"the name {guest} is another member's")
        serial = max(now, known.certificate_serial + 1 if known else 0, node.roster.revocation.nodes.get(guest, 0))
        return serial, own_certificate(
            node.ring.root, node.ring.fleet, guest, key, serial=serial, issued=now, trust=trust,  # type: ignore[arg-type]
        )  # fmt: skip

    async def _admitted(self, manifest: Manifest) -> None:
        """Make a new member known: the broker's users, and everybody who was here before."""
        node = self._node
        node.log("joined", peer=manifest.node)
        await node.roads.admit(node.roster.peers())
        for peer in node.roster.peers():
            if peer.id != manifest.node:
                node.gossip.tell(peer.id)
        now = node.world.now()
        if not await node.writer.run(lambda store: bool(store.members.invites(now))):
            asyncio.get_running_loop().call_later(1.0, self._close_door, self._opened)

    def _close_door(self, opened: int) -> None:
        """Close it for good, unless somebody was invited meanwhile."""
        http = self._node.roads.channels.get("http")
        if opened == self._opened and http is not None and hasattr(http, "join"):
            http.join = None

