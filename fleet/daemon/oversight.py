"""The operator's hand on trust, budgets and breakers, and what is shown of them; it decides nothing by itself.

The same for a running node and for one whose daemon is down: only the writer differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet.core import budget, trust
from fleet.core.audit import Details
from fleet.core.breaker import Rules, Signal, State, counts, eligible_at
from fleet.core.budget import Limits, Spent
from fleet.core.envelope import Cost
from fleet.core.peer import Peer
from fleet.core.trust import Experience, Level
from fleet.daemon.settings import Settings
from fleet.engine.conduct import OPERATOR, Conduct
from fleet.engine.roster import Roster
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import GateRefused, UnknownPeer, UsageError
from fleet.store import Store
from fleet.store.accounts import IN, OUT

if TYPE_CHECKING:
    from fleet.daemon.service import Node


def figures_of(settings: Settings) -> tuple[Rules, Limits]:
    """Give the figures of [breaker] and [budget]."""
    given, caps = settings.breaker, settings.budget
    rules = Rules(
        given.micro_usd, int(given.usd_window * 1000), given.ratio, int(given.ratio_window * 1000), given.samples,
        int(given.eligible_after * 1000), int(given.evict_after * 1000),
    )  # fmt: skip
    return rules, Limits(caps.tokens, caps.micro_usd, caps.hops, int(caps.window * 1000))


def conduct_of(node: Node) -> Conduct:
    """Make what knows the peers of a node, and let its news reach the node's parts."""
    conduct = Conduct(node.writer, node.reader, node.world, *figures_of(node.settings))
    conduct.on_breaker = node.exchange.breaker_moved
    conduct.on_notice = lambda kind, text: node.task(node.upkeep.tell(kind, text))
    node.roads.is_evicted = conduct.is_evicted
    return conduct


class Oversight:
    """What an operator sees and says of peers."""

    def __init__(self, conduct: Conduct, roster: Roster, writer: Writer, reader: Store, world: World) -> None:
        """Take what knows the peers and what writes."""
        self._conduct = conduct
        self._roster = roster
        self._writer = writer
        self._reader = reader
        self._world = world

    def _peers(self, peer: str) -> list[Peer]:
        """Find one peer, or all. Raises UnknownPeer."""
        return [self._known(peer)] if peer else self._roster.peers()

    def _known(self, node: str) -> Peer:
        peer = self._roster.get(node)
        if peer is None:
            raise UnknownPeer(f"no member of this fleet is called {node!a}", hint="fleet peers")
        return peer

    # --- trust --------------------------------------------------------------------------------------------------------

    def trust(self, peer: str = "") -> list[dict[str, Any]]:
        """Show the level, the score and what it is made of, of one peer or of all."""
        return [self._trust(one) for one in self._peers(peer)]

    def _trust(self, peer: Peer) -> dict[str, Any]:
        seen = self._conduct.experience(peer.id)
        level = self._conduct.level(peer)
        found = trust.move(level, seen, peer.ceiling)
        return {
            "node": peer.id, "level": level, "name": Level(level).name.lower(),
            "score": round(float(trust.score(seen)), 4), "interactions": seen.interactions, "sent": seen.sent,
            "received": seen.received, "proofs": seen.bad, "threats": seen.threats, "uptime": round(_share(seen), 4),
            "ceiling": trust.bounded(Level.PRIVILEGED, peer.ceiling), "own": peer.id in self._conduct.levels,
            "proposal": found.level if found is not None and found.proposed else None,
        }  # fmt: skip

    async def set_trust(self, node: str, level: int, reason: str) -> dict[str, Any]:
        """Set a peer's level by an operator's word; counting begins anew. Raises UnknownPeer, UsageError."""
        peer = self._known(node)
        highest = trust.bounded(Level.PRIVILEGED, peer.ceiling)
        if not reason.strip():
            hint = f"fleet trust {node} {level} --reason …"
            raise UsageError("a level is set with a reason, which the audit keeps", hint=hint)
        if level > highest:
            raise UsageError(f"the certificate of {node} allows level {highest} at most")
        before = self._conduct.level(peer)
        self._conduct.move(peer, level, reason.strip(), OPERATOR)
        self._conduct.begin_anew(peer.id)
        await self._conduct.keep()
        return {**self._trust(peer), "before": before, "reason": reason.strip()}

    # --- budget -------------------------------------------------------------------------------------------------------

    def budget(self, peer: str = "") -> list[dict[str, Any]]:
        """Show what one peer, or each, may cost and has cost."""
        return [self._budget(one.id) for one in self._peers(peer)]

    def _budget(self, node: str) -> dict[str, Any]:
        limits, at = self._conduct.limits_of(node), self._conduct.time()
        spent = {side: self._reader.accounts.spent(node, side) for side in (IN, OUT)}
        return {
            "node": node, "tokens": limits.tokens, "usd": limits.micro_usd / budget.MICRO, "hops": limits.hops,
            "window_ms": limits.window, "own": node in self._conduct.limits,
            **{side: self._side(limits, spent[side], at) for side in (IN, OUT)},
        }  # fmt: skip

    def _side(self, limits: Limits, spent: Spent, at: int) -> dict[str, Any]:
        """Show one side: `in` = what its mail made us spend, `out` = what ours allowed it."""
        now, left = budget.in_force(spent, limits, at), budget.left(limits, spent, at)
        until = self._world.now() + left if left else None
        return {"tokens": now.tokens, "usd": now.micro_usd / budget.MICRO, "until": until}

    async def set_budget(
        self, node: str, tokens: int | None, micro_usd: int | None, hops: int | None, window: int | None
    ) -> dict[str, Any]:
        """Set what a peer may cost; what is None stays. `window` in ms. Raises UnknownPeer."""
        self._known(node)
        old = self._conduct.limits_of(node)
        new = Limits(
            old.tokens if tokens is None else tokens, old.micro_usd if micro_usd is None else micro_usd,
            old.hops if hops is None else hops, old.window if window is None else window,
        )  # fmt: skip
        now = self._world.now()

        def keep(store: Store) -> None:
            store.accounts.set_limits(node, new, now)
            details: Details = {
                "action": "limits", "tokens": new.tokens, "micro_usd": new.micro_usd, "hops": new.hops, "window": new.window,
            }  # fmt: skip
            store.audit.add("budget", peer=node, details=details, now=now)

        await self._writer.run(keep)
        self._conduct.limits[node] = new
        return self._budget(node)

    async def spend(self, node: str, tokens: int, micro_usd: int, *, failed: bool) -> dict[str, Any]:
        """Report what a peer's work really cost, and whether it failed. Raises UnknownPeer."""
        self._known(node)
        cost, now = Cost(tokens, micro_usd), self._world.now()

        def keep(store: Store) -> bool:
            purse = self._conduct.purse(store, node, IN)
            over = purse.shortage(cost) is not None  # it is spent all the same
            purse.take(cost)
            purse.save()
            details: Details = {"action": "spend", "tokens": tokens, "micro_usd": micro_usd, "failures": int(failed)}
            store.audit.add("budget", peer=node, details=details, now=now)
            return over

        over = await self._writer.run(keep)
        if over or failed:
            self._conduct.failed(node, over + failed)
        elif budget.costs(cost):
            self._conduct.did_well(node)
        await self._conduct.spent(node)
        await self._conduct.keep()
        return {**self._budget(node), "over": over, "failed": failed, "state": self._conduct.breaker(node).state.value}

    # --- breaker ------------------------------------------------------------------------------------------------------

    def breaker(self, peer: str = "") -> list[dict[str, Any]]:
        """Show the state of one breaker, or of all: since when, why, and what it counts."""
        return [self._breaker(one.id) for one in self._peers(peer)]

    def _breaker(self, node: str) -> dict[str, Any]:
        conduct = self._conduct
        breaker, at = conduct.breaker(node), conduct.time()
        good, bad = counts(breaker, conduct.rules, at)
        _, micro_usd = self._reader.accounts.spending(node, at - conduct.rules.usd_window)
        eligible = eligible_at(breaker, conduct.rules)
        return {
            "node": node, "state": breaker.state.value, "since": breaker.at or None, "reason": breaker.reason,
            "good": good, "bad": bad, "usd": micro_usd / budget.MICRO, "usd_limit": conduct.rules.micro_usd / budget.MICRO,
            "eligible_at": self._world.now() + max(0, eligible - at) if eligible else None,
        }  # fmt: skip

    async def evict(self, node: str, reason: str = "") -> dict[str, Any]:
        """Shut a peer out until an operator lets it in again. Raises UnknownPeer."""
        self._known(node)
        self._conduct.signal(node, Signal.EVICT, reason.strip() or "an operator evicted it", OPERATOR)
        await self._conduct.keep()
        return self._breaker(node)

    async def reactivate(self, node: str, *, insist: bool = False) -> dict[str, Any]:
        """Let a peer in again. Raises UnknownPeer, or GateRefused before its time unless somebody insists."""
        self._known(node)
        conduct = self._conduct
        breaker = conduct.breaker(node)
        waits = eligible_at(breaker, conduct.rules) - conduct.time()
        if breaker.state is State.SUSPENDED and waits > 0 and not insist:
            raise GateRefused(
                f"breaker: {node} was suspended ({breaker.reason}) and may come back in {waits // 1000 + 1} s",
                hint=f"fleet reactivate {node} --yes",
            )
        await self._writer.run(lambda store: store.accounts.forgive(node))
        conduct.signal(node, Signal.REACTIVATE, "an operator reactivated it", OPERATOR)
        await conduct.keep()
        return self._breaker(node)


def _share(seen: Experience) -> float:
    return min(seen.on, seen.watched) / seen.watched if seen.watched else 0.0
