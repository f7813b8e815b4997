"""Healing without being asked (mission M5): which peers have roads that are down, and what is done about it, step by step.

core/healing.py decides what is next, daemon/repair.py does it. What several peers lost together, what this node suspects
of itself and what a security fault holds shut is not escalated. A case ends when every road of it was proven by pings.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleet.core import policy
from fleet.core.healing import ACTS_ABROAD, OWN_TIME, RESUMED, Case, Level, Limits, Move, Scene, next_move
from fleet.core.health import Health
from fleet.core.peer import Peer
from fleet.core.plan import Road
from fleet.daemon.repair import RESTART, Repairs
from fleet.errors import FleetError, UsageError
from fleet.store.mending import DONE, FAILED, HEALED, REFUSED
from fleet.store.mending import Step as Row

if TYPE_CHECKING:
    from fleet.daemon.service import Node

LOOK = 1.0  # seconds between two looks
HOUR = 3_600_000  # ms
_DOWN = (Health.BROKEN, Health.HEALING)


class Healing:
    """The cases of one node."""

    def __init__(self, node: Node, repairs: Repairs) -> None:
        """Take the node and what mends."""
        self._node = node
        self._repairs = repairs
        healing = node.settings.healing
        self._limits = Limits(healing.level, healing.wait_l2, healing.wait_l3, healing.after_l4, healing.per_hour)
        self._cases: dict[str, Case] = {}
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._worked: set[tuple[str, str]] = set()  # links that were proven once: only what worked can be mended
        self._told: set[str] = set()  # layers, or "" for ourselves, the operator was told of

    async def run(self) -> None:
        """Look every second until cancelled."""
        known = self._node.reader.ledger.load_links()
        self._worked |= {key for key, link in known.items() if link.proven_at >= 0}
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK)
        finally:
            tasks = list(self._acting.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def view(self, peer: str) -> dict[str, Any] | None:
        """Show the case of a peer; None when all is well or nothing was done yet."""
        case = self._cases.get(peer)
        if case is None or case.level is Level.NONE:
            return None
        ago = self._node.world.steady() - case.since
        return {"level": int(case.level), "channels": list(case.roads), "since": self._node.world.now() - int(ago * 1000)}

    def look(self) -> None:
        """Look at every peer, and at what is shared."""
        peers = {peer.id: peer for peer in self._node.roster.peers() if peer.enabled and peer.seal}
        for gone in self._cases.keys() - peers.keys():
            del self._cases[gone]
        for peer in peers.values():
            if peer.id not in self._acting:
                self._look_at(peer)
        self._look_at_layers()

    def _look_at(self, peer: Peer) -> None:
        roads = self._node.links.roads(peer)
        pinging = {road.name: road for road in roads if road.traits.pings}
        self._worked |= {(peer.id, name) for name, road in pinging.items() if road.link.proven_at >= 0}
        down = tuple(name for name, road in pinging.items() if self._is_down(peer.id, road))
        case = self._cases.get(peer.id)
        if case is None:
            if down:
                self._cases[peer.id] = self._open(peer.id, down)
        elif not any(name in pinging for name in case.roads):
            del self._cases[peer.id]  # no road of it leads there any more
        elif all(pinging[name].link.health is Health.HEALTHY for name in case.roads if name in pinging):
            self._close(case)
        elif down:
            case = replace(case, roads=tuple(name for name in pinging if name in down or name in case.roads))
            self._cases[peer.id] = case
            move = next_move(case, self._limits, self._scene(peer, roads, case))
            if move is not None:
                self._start(peer, case, move)

    def _is_down(self, peer: str, road: Road) -> bool:
        if road.link.health not in _DOWN or (peer, road.name) not in self._worked or road.link.security:
            return False
        return not self._node.links.blameless(peer, road.name)

    def _scene(self, peer: Peer, roads: list[Road], case: Case) -> Scene:
        now = self._node.world.steady()
        others = [road for road in roads if road.name not in case.roads and road.traits.carries]
        works = any(
            road.link.health not in _DOWN and road.link.proven_at >= 0 and now - road.link.proven_at <= policy.ALIVE_FOR
            for road in others
        )
        late = any(not road.traits.pings and road.link.proven_at > case.since for road in others)
        spent = self._node.reader.mending.spent(peer.id, self._node.world.now() - HOUR)
        return Scene(now, works, late, self._repairs.has_ssh(peer), spent)

    def _open(self, peer: str, down: tuple[str, ...]) -> Case:
        """Begin a case, or go on with the one an earlier life left: its level was tried."""
        now = self._node.world.steady()
        steps = self._node.reader.mending.steps(peer, self._node.world.now() - int(RESUMED * 1000))
        level = Level(max((step.level for step in steps), default=0))
        return Case(peer, down, now, level, now)

    def _close(self, case: Case) -> None:
        """Every road was proven: the case is over, and its level said."""
        del self._cases[case.peer]
        if case.level is Level.NONE:
            return
        node, roads = self._node, ",".join(case.roads)
        node.log("healed", peer=case.peer, channel=roads, level=int(case.level))
        node.exchange.count(f"healed_{int(case.level)}")
        node.exchange.events.tell("healed", peer=case.peer, channel=roads, level=int(case.level))
        node.task(self._note(case, Level.NONE, HEALED, f"healed at level {int(case.level)}"))

    # ── acting ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, peer: Peer, case: Case, move: Move) -> None:
        task = asyncio.ensure_future(self._act(peer, case, move))
        self._acting[peer.id] = task
        task.add_done_callback(lambda done: self._acted(peer.id, done))

    def _acted(self, peer: str, task: asyncio.Task[None]) -> None:
        self._acting.pop(peer, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            name = error.message if isinstance(error, FleetError) else type(error).__name__
            self._node.log("failed" if isinstance(error, FleetError) else "bug", part="healing", reason=name, peer=peer)

    async def _act(self, peer: Peer, case: Case, move: Move) -> None:
        """Do what is due, write it down, and ask the roads whether it helped."""
        node, level, roads = self._node, move.level, ",".join(case.roads)
        self._cases[peer.id] = replace(case, level=level, acted=node.world.steady())
        node.log("escalation", peer=peer.id, channel=roads, level=int(level), reason=move.refused)
        node.exchange.events.tell("escalation", peer=peer.id, channel=roads, level=int(level), reason=move.refused)
        if move.refused:
            node.exchange.count("escalations_refused")
            await self._note(case, level, REFUSED, move.refused)
            return
        node.exchange.count(f"escalation_{int(level)}")
        steps = await self.do(peer, case.roads, level)
        self._cases[peer.id] = replace(case, level=level, acted=node.world.steady())
        done = all(step["ok"] for step in steps)
        words = "; ".join(f"{step['step']}: {step['reason'] or 'done'}" for step in steps) or "nothing to mend on this side"
        await self._note(case, level, DONE if done else FAILED, words)
        if level in (Level.LOCAL, Level.ASK):
            for road in case.roads:
                await self._repairs.prove(peer, road, OWN_TIME if steps else 0.0)

    async def do(self, peer: Peer, roads: tuple[str, ...], level: Level) -> list[dict[str, Any]]:
        """Do everything of one level; gives its steps."""
        if level is Level.LOCAL:
            return [step for road in roads for step in await self._repairs.mine(road, peer.id)]
        if level is Level.ASK:
            return [await self._repairs.ask(peer.id, roads)]
        if level is Level.RESTART:
            return [await self._repairs.restart(peer)]
        text = f"the roads {', '.join(roads)} to {peer.id} stay down: {self.commands(peer)}"
        self._node.notices.say(text)
        await self._node.upkeep.tell("healing", text)
        return [{"step": "tell a person", "ok": True, "ms": None, "reason": self.commands(peer)}]

    async def by_hand(self, peer: Peer, road: str, level: Level) -> dict[str, Any]:
        """Do one level because an operator says so, and ask the roads; level 0 only asks. Raises UsageError."""
        node = self._node
        if road and road not in node.roads.channels:
            raise UsageError(f"no road is called {road!a}: " + ", ".join(node.roads.channels))
        roads = (road,) if road else tuple(one.name for one in node.links.roads(peer) if one.traits.pings)
        steps: list[dict[str, Any]] = []
        if level is Level.SHOW:
            steps.append({"step": "for a person", "ok": True, "ms": None, "reason": self.commands(peer)})
        elif level is not Level.NONE:
            steps += await self.do(peer, roads, level)
            words = "; ".join(f"{step['step']}: {step['reason'] or 'done'}" for step in steps)
            node.exchange.note("operator", peer.id, {"what": "repair", "level": int(level), "step": words})
        within = {Level.NONE: 0.0, Level.RESTART: RESTART}.get(level, OWN_TIME)
        probes = [await self._repairs.prove(peer, name, within) for name in roads]
        healed = bool(probes) and all(step["ok"] for step in probes)
        return {"peer": peer.id, "level": int(level), "channels": list(roads), "healed": healed, "steps": steps + probes}

    def commands(self, peer: Peer) -> str:
        """Give the commands a person may try, in the order in which to try them."""
        ssh = peer.addresses.get("ssh", {})
        host = "@".join(filter(None, (str(ssh.get("user") or ""), str(ssh.get("host") or peer.id))))
        return f"fleet check {peer.id}; ssh {host} fleet doctor; ssh {host} fleet receive restart; fleet reset {peer.id}"

    async def _note(self, case: Case, level: Level, state: str, words: str) -> None:
        """Write a step down, for the cap and for the audit chain."""
        now, roads = self._node.world.now(), ",".join(case.roads)
        row = Row(case.peer, roads, int(level), state, now)
        kind = "escalation" if level in ACTS_ABROAD else "repair"
        details = {"level": int(level or case.level), "channel": roads, "state": state, "step": words}

        def write(store: Any) -> None:
            store.mending.note(row)
            store.audit.add(kind, peer=case.peer, details=details, now=now)

        await self._node.writer.run(write)

    # ── what is shared ───────────────────────────────────────────────────────────────────────────────────────────────

    def _look_at_layers(self) -> None:
        """Tell the operator once of a layer, or of ourselves, and mend our own side of it."""
        node = self._node
        lasting = dict(node.links.shared.lasting())
        self._told &= lasting.keys()
        for layer, down in lasting.items():
            if layer in self._told:
                continue
            self._told.add(layer)
            names = ", ".join(sorted(down.peers))
            words = (
                f"layer {layer}: lost with {names} at once; what they share is at fault, not they" if layer else
                f"{names} answer on no road: this node itself may be cut off or too slow; fleet doctor"
            )  # fmt: skip
            node.exchange.count("shared_faults")
            node.task(node.upkeep.tell("layer" if layer else "ourselves", words))
            node.task(self._mend_layer(layer))

    async def _mend_layer(self, layer: str) -> None:
        links, peers = self._node.links, self._node.roster.peers()
        for name, traits in self._node.roads.traits().items():
            if traits.pings and any(not layer or links.layer(peer.id, name) == layer for peer in peers):
                await self._repairs.mine(name)
