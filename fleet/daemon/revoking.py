"""The root's revocations: made where the root key is, acting wherever the list arrives; it never brings anybody back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet.core import policy
from fleet.core.parcel import ParcelType
from fleet.core.peer import Revocation, write_frame
from fleet.engine.gossip import Letter
from fleet.errors import NoIdentity
from fleet.store import Store

if TYPE_CHECKING:
    from fleet.daemon.service import Node


class Revoking:
    """The revocation list of one node."""

    def __init__(self, node: Node) -> None:
        """Take the node that makes or obeys the list."""
        self._node = node

    async def revoke(self, subject: str) -> dict[str, Any]:
        """Retire a member's certificates. Raises UnknownPeer, or NoIdentity where the root key is not."""
        node = self._node
        if node.ring.root is None:
            raise NoIdentity("only the node with the root key can revoke", hint="fleet keys show")
        serial = node.sight.known(subject).certificate_serial + 1
        old = node.roster.revocation
        version = max(node.world.now(), old.version + 1)
        revocation = Revocation(
            v=policy.WIRE_VERSION, fleet=node.ring.fleet, version=version, nodes={**old.nodes, subject: serial}
        )
        frame = write_frame(revocation, node.ring.root)
        node.roster.revoke(frame)
        await self.obey(frame)
        return {"node": subject, "version": version, "serial": serial}

    async def obey(self, frame: bytes) -> None:
        """Let a list that is in force act: kept, the broker's users changed, mail refused, told on."""
        node = self._node
        revocation = node.roster.revocation
        now = node.world.now()
        await node.writer.run(lambda store: _keep(store, revocation, frame, now))
        await node.roads.admit(node.roster.peers())
        for subject in revocation.nodes:
            if not node.roster.member(subject):
                node.exchange.part(subject)
        for peer in node.roster.peers():
            node.returns.post(Letter(peer.id, ParcelType.REVOCATION, (frame,)))
        node.log("revoked", peer=",".join(sorted(revocation.nodes)))


def _keep(store: Store, revocation: Revocation, frame: bytes, now: int) -> None:
    store.members.put_revocation(revocation.version, frame)
    for node, serial in revocation.nodes.items():
        frames = store.members.frames(node)
        if frames is not None and frames.certificate_serial < serial:
            store.members.remove(node)
            store.beats.forget(node)
            store.audit.add("revoked", peer=node, details={"serial": serial, "version": revocation.version}, now=now)
