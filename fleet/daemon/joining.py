"""The joiner's side of an enrolment: ask the inviter, keep what it gives; changes nothing until the answer is proven."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from fleet.core.peer import Certificate, Manifest, Revocation, read_frame, split_intro, write_frame
from fleet.core.sealing import Secret
from fleet.daemon import edit, registry
from fleet.daemon.enrolment import Link, Welcome, read_link, read_welcome, write_request
from fleet.daemon.membership import Place, describe
from fleet.daemon.paths import Paths
from fleet.daemon.settings import Settings
from fleet.engine.world import World
from fleet.errors import Faulty, JoinRefused, RoadError, Unreachable, UsageError
from fleet.store import Store
from fleet.store.keys import KeyRing
from fleet.store.notary import Notary

TIMEOUT = 10.0  # seconds for the request and its answer


class Knocks(Protocol):
    """A road that can carry a request to join."""

    async def knock(self, url: str, pin: str, frame: bytes, timeout: float) -> bytes:
        """Ask the door at `url`, whose certificate is pinned when it has one; the answer's bytes."""
        ...


async def join_fleet(
    paths: Paths, settings: Settings, ring: KeyRing, link_text: str, place: Place, world: World
) -> dict[str, Any]:
    """Join the fleet of a link; the node must start anew afterwards.

    Raises UsageError for a damaged link or a node that has peers, JoinRefused when the inviter says no.
    """
    link = read_link(link_text)
    if link.expires < world.now():
        raise JoinRefused("the link has expired", hint=f"fleet invite, on {link.name}")
    guest = _as_guest(paths, ring, link, world)
    manifest = write_frame(describe(guest, settings, place, serial=world.now()), guest.signing)
    request = write_request(link, guest.signing.public, manifest, world.dice(32))
    answer = await _ask(settings, link, request)
    welcome, certificate = read_welcome(answer, link, guest.opening[0], guest.signing.public)
    return _settle(paths, ring, link, certificate, welcome, manifest, world.now())


def _as_guest(paths: Paths, ring: KeyRing, link: Link, world: World) -> KeyRing:
    """Be who joins: a machine that was revoked comes back into its own fleet with new keys, never with the old ones."""
    if ring.fleet == link.fleet and ring.root_public == link.root:
        return dataclasses.replace(ring, signing=ring.next_signing(world.dice))
    _check_alone(paths, ring)
    return dataclasses.replace(ring, fleet=link.fleet)


def _check_alone(paths: Paths, ring: KeyRing) -> None:
    if not ring.fleet or not paths.database.exists():
        return
    store = Store.open(paths.database, paths.keys, readonly=True)
    try:
        others = [frames.node for frames in store.members.all() if frames.node != ring.node and frames.certificate]
    finally:
        store.close()
    if others:
        raise UsageError(
            f"{ring.node} is in fleet {ring.fleet} with {', '.join(others[:5])} already",
            hint="use another FLEET_HOME for another fleet",
        )


async def _ask(settings: Settings, link: Link, request: bytes) -> bytes:
    roads = registry.build(("http",), settings.channel)
    http = cast(Knocks | None, roads.channels.get("http"))
    if http is None:
        raise UsageError(f"the http road is needed to join: {roads.failed.get('http', 'it is not there')}")
    try:
        return await http.knock(link.url, link.pin, request, TIMEOUT)
    except RoadError as error:
        elsewhere = isinstance(error, Faulty) and error.security  # not the door of the link
        if elsewhere or (isinstance(error, Unreachable) and " answers 40" not in error.message):
            raise JoinRefused(
                f"{link.name} does not answer at {link.url}: {error.message}",
                hint=f"fleet invite --address HOST:PORT, on {link.name}, with an address this machine can reach",
            ) from None
        raise JoinRefused(hint=f"fleet invite, on {link.name}; its log says which") from None


def _settle(
    paths: Paths, ring: KeyRing, link: Link, certificate: Certificate, welcome: Welcome, manifest: bytes, now: int
) -> dict[str, Any]:
    """Keep the fleet's keys, the members known to the inviter, and the broker's address."""
    members = [_read_intro(intro, link)[1] for intro in welcome.intros]
    ring.adopt(link.fleet, link.root, Secret(welcome.fleet_key))
    store = Store.open(paths.database, paths.keys)
    store.audit.use(Notary.of(ring))
    try:
        with store.db.transaction():
            _keep(store, link, certificate, welcome, manifest)
            store.audit.add("entered", peer=link.name, details={"fleet": link.fleet, "id": link.id}, now=now)
    finally:
        store.close()
    pending = ring.pending_signing()
    if pending is not None and pending.public == certificate.key:
        ring.take_next_signing().rotate_opening().rotate_nats()  # the manifest of its next start names them
    words: Mapping[str, Any] = {"node.id": ring.node, "node.fleet": link.fleet, "nats.url": _broker(welcome, members)}
    for key, value in {**words, "nats.serve": False}.items():
        edit.set_key(paths, key, value)
    agents = [agent for member in members if member.node == link.name for agent in member.agents]
    return {"node": ring.node, "fleet": link.fleet, "peer": link.name, "agents": agents, "reachable": True,
            "words": link.words}  # fmt: skip


def _broker(welcome: Welcome, members: Sequence[Manifest]) -> str:
    """Give the broker's address to write down: none when a member's manifest tells it, for that one may change."""
    told = {table.get("url") for member in members for road, table in member.addresses.items() if road == "nats"}
    return "" if welcome.broker in told else welcome.broker


def _keep(store: Store, link: Link, certificate: Certificate, welcome: Welcome, manifest: bytes) -> None:
    """Store the own certificate, what is known of the others, and where the root is. Runs in a transaction."""
    node = certificate.node
    store.members.remove(node)
    store.members.put_certificate(node, certificate.serial, welcome.certificate)
    store.members.put_manifest(node, read_frame(Manifest, manifest, certificate.key).serial, manifest)
    for intro in welcome.intros:
        member, theirs = _read_intro(intro, link)
        frame, own_words = split_intro(intro)
        store.members.put_certificate(member.node, member.serial, frame)
        store.members.put_manifest(member.node, theirs.serial, own_words)
    if welcome.revocation:
        revocation = read_frame(Revocation, welcome.revocation, link.root)
        store.members.put_revocation(revocation.version, welcome.revocation)
    store.members.set_meta("root_node", link.name)
    store.members.set_meta("fleet_key", "")  # the root's word on another fleet's key


def _read_intro(intro: bytes, link: Link) -> tuple[Certificate, Manifest]:
    frame, words = split_intro(intro)
    certificate = read_frame(Certificate, frame, link.root)
    return certificate, read_frame(Manifest, words, certificate.key)
