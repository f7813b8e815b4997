"""What can be seen of a running node: status, peers, plans, traces, figures; it changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fleet import __version__
from fleet.core import budget, policy
from fleet.core.envelope import Kind, kind_of
from fleet.core.gates import Case, Direction, Finding, Judgement, Verdict, judge
from fleet.core.health import Link
from fleet.core.peer import Peer
from fleet.core.plan import Wish, plan
from fleet.engine.outbound import outbound
from fleet.errors import UnknownPeer, UnknownType
from fleet.store.accounts import IN, OUT
from fleet.store.census import Census

if TYPE_CHECKING:
    from fleet.daemon.service import Node

NOTICES = 5  # so many at most …
NOTICE_LIFE = 86_400_000  # … and none that is older, ms


NO_ADDRESS = {"state": "none", "rtt_ms": None, "reason": "no address"}
WAITING_SHOWN = 1_000  # in figures that are asked for all the time; `fleet status` counts on


class Sight:
    """The views of one node."""

    def __init__(self, node: Node) -> None:
        """Take the node to look at."""
        self._node = node

    def status(self) -> dict[str, Any]:
        """Show this node and its peers (`fleet status`)."""
        node = self._node
        me = node.roster.me
        return {
            "node": node.id, "fleet": me.fleet, "version": __version__, "started_at": node.started,
            "address": node.roads.addresses().get("http", {}).get("url", ""), "broker": node.roads.broker_url(),
            "roads": list(node.roads.channels), "failed": node.roads.failed, "peers": self.peers(), "mail": self.mail(),
            "doors": self._doors(),
            "notices": self.notices(), "clock": {"unsure": node.clock.unsure(), "reason": node.clock.reason},
        }  # fmt: skip

    def notices(self) -> list[dict[str, Any]]:
        """Show the latest lines for the operator, the oldest first: dead letters, a restored store, a cloned home."""
        found = self._node.reader.ledger.notices(NOTICES)
        fresh = [one for one in found if self._node.world.now() - one.at < NOTICE_LIFE]
        return [{"at": one.at, "kind": one.kind, "text": one.text} for one in reversed(fresh)]

    def _doors(self) -> list[str]:
        """Name where programs of this machine come in; a TCP port that is taken is not among them."""
        node = self._node
        return [str(node.paths.socket), *([f"http://{node.settings.api.listen}"] if node.paths.token.exists() else [])]

    def mail(self) -> dict[str, int]:
        """Count what lies here: unread, waiting for peers, dead, kept for others."""
        census = Census(self._node.reader.db)
        waiting = sum(one.count for one in census.waiting())
        return {"unread": census.unread(), "waiting": waiting, "dead": census.dead(), "kept": census.kept()}

    def peers(self) -> list[dict[str, Any]]:
        """Show every peer with its links and what waits for it."""
        return [self.peer(peer) for peer in self._node.roster.peers()]

    def peer(self, peer: Peer) -> dict[str, Any]:
        """Show one peer."""
        node = self._node
        links = node.links.snapshot(peer.id)
        heard = max((link.heard_at for link in links.values()), default=-1.0)
        ago = node.world.steady() - heard
        beat = node.heartbeats.latest(peer.id)
        return {
            "node": peer.id, "name": peer.name, "address": _address(peer), "role": peer.role,
            "state": "on" if heard >= 0 and ago <= policy.ALIVE_FOR else "off" if heard >= 0 else "unknown",
            "trust": node.exchange.level(peer), "breaker": node.conduct.breaker(peer.id).state.value,
            "agents": list(peer.agents), "capabilities": list(peer.capabilities),
            "source": peer.source, "enabled": peer.enabled, "queue": node.reader.outbox.waiting(peer.id),
            "last_seen": node.world.now() - int(ago * 1000) if heard >= 0 else beat.heard if beat else None,
            "branch": beat.branch if beat else "", "commit": beat.commit if beat else "",
            "channels": self._links(peer, links), "repair": node.healing.view(peer.id),
        }  # fmt: skip

    def _links(self, peer: Peer, links: Mapping[str, Link]) -> dict[str, Any]:
        has = self._node.links.has_address
        return {name: _link_words(link) if has(peer.id, name) else dict(NO_ADDRESS) for name, link in links.items()}

    def known(self, node: str) -> Peer:
        """Find a peer. Raises UnknownPeer."""
        peer = self._node.roster.get(node)
        if peer is None:
            raise UnknownPeer(f"no member of this fleet is called {node!a}", hint="fleet peers")
        return peer

    def explain(self, peer_id: str, word: str = "message") -> dict[str, Any]:
        """Show what every gate says of a message and which roads it would go, sending nothing."""
        node, peer = self._node, self.known(peer_id)
        if word not in node.kinds:
            raise UnknownType(f"there is no message type {word!a}", hint="one of " + ", ".join(node.kinds))
        kind = kind_of(word, node.kinds)
        found = judge(outbound(peer, node.conduct.regard(peer), kind, node.settings.content.limit))
        steps = plan(node.links.roads(peer), Wish(kind))
        return {
            "peer": peer.id, "type": word, "verdict": found.verdict.value,
            "gates": self._gates(peer, found, OUT), "inbound": self._inbound(peer, kind),
            "plan": [
                {"channel": s.channel, "deadline_ms": round(s.deadline * 1000), "hedge_ms": round(s.hedge * 1000)}
                for s in steps
            ],
            "links": self._links(peer, node.links.snapshot(peer.id)),
        }  # fmt: skip

    def _inbound(self, peer: Peer, kind: Kind) -> dict[str, Any]:
        """Show what the gates would say to the same message from the peer."""
        node = self._node
        regard = node.conduct.regard(peer)
        found = judge(
            Case(
                Direction.IN, kind, 0, node.settings.content.limit, peer.id, bool(peer.key), peer.enabled, regard.level,
                regard.breaker, regard.why,
            )
        )  # fmt: skip
        return {"verdict": found.verdict.value, "gates": self._gates(peer, found, IN)}

    def _gates(self, peer: Peer, found: Judgement, side: str) -> list[dict[str, Any]]:
        """Show every gate's finding, with the figures where it is clear."""
        node, conduct = self._node, self._node.conduct
        limits, spent = conduct.limits_of(peer.id), node.reader.accounts.spent(peer.id, side)
        said = {"budget": budget.describe(limits, spent, conduct.time())}
        content = Finding("content", Verdict.CLEAR, node.screening.gate.describe(conduct.level(peer)))
        return [
            {
                "gate": one.gate, "verdict": one.verdict.value, "reason": one.reason or said.get(one.gate, ""),
                "until": one.until or None,
            }
            for one in (*found.findings, content)
        ]  # fmt: skip

    def stats(self) -> dict[str, Any]:
        """Show the figures of this process."""
        node = self._node
        return {
            "node": node.id, "uptime_ms": node.world.now() - node.started, "commits": node.writer.commits,
            "jobs": node.writer.jobs, "wal_bytes": node.store.db.wal_bytes(), "counters": dict(node.exchange.counters),
            "waiting": {peer.id: node.reader.outbox.waiting(peer.id, WAITING_SHOWN) for peer in node.roster.peers()},
        }  # fmt: skip


def _address(peer: Peer) -> str:
    http = peer.addresses.get("http", {})
    return str(http.get("url", ""))


def _link_words(link: Link) -> dict[str, Any]:
    trips = link.round_trips
    return {
        "state": "untried" if link.untried else link.health.value,
        "rtt_ms": round(trips[-1] * 1000, 3) if trips else None,
        "reason": link.reason if link.bad or link.health.value in ("broken", "healing") else "",
    }
