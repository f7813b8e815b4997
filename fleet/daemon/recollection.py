"""What a node takes up again when it starts: members, the operator's words, revocations, waiting mail, mistrusted links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.core import policy
from fleet.core.health import Link
from fleet.daemon import words as peer_words

if TYPE_CHECKING:
    from fleet.daemon.service import Node


async def recollect(node: Node) -> None:
    """Give every part of a node what the store remembers for it."""
    now = node.world.now()
    await node.writer.run(lambda store: store.outbox.apply(store.outbox.orphans(), now))
    await node.writer.run(lambda store: store.outbox.hasten(now + int(policy.BACKOFF_CAP * 1000)))
    members, words, revocation, waiting, links = await node.writer.run(
        lambda store: (
            store.members.all(), store.members.peers(), store.members.revocation(), store.outbox.peers_waiting(),
            store.ledger.load_links(),
        )
    )  # fmt: skip
    for name, table in words.items():
        node.roster.set_words(name, peer_words.read(name, table, node.settings.order))
    if revocation[1]:
        node.roster.revoke(revocation[1])
    pairs = [(m.certificate, m.manifest) for m in members if m.node != node.id and m.certificate and m.manifest]
    for reason in node.roster.load(pairs):
        node.log("a stored member no longer holds", reason=reason)
    for (peer, channel), link in links.items():
        if link.security:  # a fault that only an operator mends outlives a restart; the rest proves itself anew
            node.links.restore(peer, channel, Link(health=link.health, security=True, reason=link.reason))
    for peer in waiting:
        node.exchange.courier(peer)
    await node.roads.admit(node.roster.peers())
    await node.control.reopen()
