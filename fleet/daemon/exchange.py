"""What the parts of a node tell each other: mail came, a link changed, a receipt settled; it carries and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleet.core.audit import NOTHING, Details
from fleet.core.breaker import State
from fleet.core.envelope import kind_of
from fleet.core.health import Health, Link
from fleet.core.lifecycle import FINAL, Status
from fleet.core.peer import Peer
from fleet.core.receipt import Receipt
from fleet.core.repairs import TYPE as REPAIR
from fleet.daemon.events import Events
from fleet.daemon.notices import ALERT, Lost
from fleet.engine.attempt import supervise
from fleet.engine.courier import Courier
from fleet.engine.dispatch import Dispatch
from fleet.engine.links import Change as LinkChange
from fleet.engine.opening import Opened
from fleet.engine.receiver import store_learned
from fleet.engine.roster import Learned
from fleet.engine.settling import Settlement
from fleet.engine.steps import settle_travelled
from fleet.store import Store
from fleet.store.outbox import Applied, Row

if TYPE_CHECKING:
    from fleet.daemon.service import Node


class Exchange:
    """Passes the news of one node around, and keeps its couriers."""

    def __init__(self, node: Node) -> None:
        """Take the node whose parts talk."""
        self._node = node
        self.events = Events()
        self.couriers: dict[str, Courier] = {}
        self.counters: dict[str, int] = {}
        self._peer_tasks: dict[str, asyncio.Task[None]] = {}

    async def settle(self, seconds: float) -> None:
        """Let the couriers end what they carry, for `seconds` at most; they take nothing more."""
        await asyncio.gather(*(courier.settle(seconds) for courier in list(self.couriers.values())))

    async def close(self) -> None:
        """Stop the couriers; what they carried lapses."""
        for task in self._peer_tasks.values():
            task.cancel()
        await asyncio.gather(*self._peer_tasks.values(), return_exceptions=True)
        self.events.close()


    def courier(self, peer: str) -> Courier:
        """Give the one courier of a peer, starting it when it is new."""
        found = self.couriers.get(peer)
        if found is None:
            node = self._node
            dispatch = Dispatch(peer, node.roster, node.links, node.kinds, node.settings.content.limit, node.world,
                                node.screening, node.conduct)  # fmt: skip
            found = self.couriers[peer] = Courier(peer, dispatch, node.hands)
            self._peer_tasks[peer] = asyncio.ensure_future(supervise(f"courier {peer}", found.run, self._node.log))
        return found

    def poke(self, peer: str) -> None:
        """Say that there is something new for a peer."""
        self.courier(peer).poke()

    def poke_all(self) -> None:
        """Say that another process wrote to the outbox: everybody may have new mail."""
        for peer in self._node.reader.outbox.peers_waiting():
            self.poke(peer)

    def level(self, peer: Peer) -> int:
        """Give a peer's trust level: our own ledger's, else where its certificate starts, never above its ceiling."""
        return self._node.conduct.level(peer)

    @property
    def levels(self) -> dict[str, int]:
        """Our own ledger's levels, by peer."""
        return self._node.conduct.levels

    def count(self, name: str, n: int = 1) -> None:
        """Count something for /metrics and /stats."""
        self.counters[name] = self.counters.get(name, 0) + n

    def proof(self, peer: str, word: str, reason: str, n: int = 1) -> None:
        """A peer's key signed what is provably false: counted, and kept in the audit chain."""
        self.count(f"proof_{word}", n)
        self.note("proof", peer, {"what": word, "reason": reason}, n)

    def note(self, kind: str, peer: str = "", details: Details = NOTHING, n: int = 1) -> None:
        """Write an entry of the audit chain that no other writing waits for; equal ones are counted."""
        self._node.task(self._note(kind, peer, details, n))

    async def _note(self, kind: str, peer: str, details: Details, n: int) -> None:
        now = self._node.world.now()
        await self._node.writer.run(lambda store: store.audit.tally(kind, peer=peer, details=details, n=n, now=now))

    def learned(self, node: str) -> None:
        """A member is new or newer: the broker must know it, its mail may go."""
        peer = self._node.roster.get(node)
        if peer is not None:
            self._node.task(self._node.roads.admit(self._node.roster.peers()))
            self.heard(node)

    def answer_opened(self, opened: Opened) -> None:
        """An answer was proven: it says what time it is there, and what its intro taught is kept."""
        self._node.clock.heard(opened.peer.id, opened.header.ts)
        if opened.learned is not None:
            self._node.task(self._keep_learned(opened.learned))

    async def _keep_learned(self, learned: Learned) -> None:
        now = self._node.world.now()
        await self._node.writer.run(lambda store: store_learned(store, learned, now))
        self.learned(learned.node)

    def part(self, peer: str) -> None:
        """A member was revoked: its level means nothing any more, its mail is refused."""
        self._node.conduct.part(peer)
        self._node.custodian.part(peer)
        self._node.writer.post(lambda store: _forget(store, peer))
        self._node.heartbeats.forget(peer)
        if self.couriers.pop(peer, None) is not None:
            self._peer_tasks.pop(peer).cancel()  # what is under way goes no further
        if self._node.reader.outbox.waiting(peer):
            self.courier(peer)

    def breaker_moved(self, peer: str, state: State) -> None:
        """A peer was suspended, evicted or let back in: the broker's users follow, what waits is judged anew."""
        node = self._node
        node.log("breaker", peer=peer, state=state.value)
        self.events.tell("breaker", peer=peer, state=state.value)
        node.task(node.roads.admit(node.roster.peers()))
        if state is State.EVICTED:
            node.custodian.part(peer)
            node.task(node.tunnels.part(peer))
            if peer in self.couriers:  # what is under way goes no further
                self.couriers.pop(peer)
                self._peer_tasks.pop(peer).cancel()
        if node.reader.outbox.waiting(peer):
            self.poke(peer)

    def heard(self, peer: str) -> None:
        """A peer was heard: what was put off may go at once."""
        self._node.returns.heard(peer)
        self._node.custodian.heard(peer)
        if peer in self.couriers:
            self.couriers[peer].heard()

    def link_changed(self, change: LinkChange) -> None:
        """A link went from one health to another: kept, shown, and perhaps a road for what waits."""
        self._node.log(
            "link", peer=change.peer, channel=change.channel, old=change.old.value, new=change.new.value,
            reason=change.reason,
        )  # fmt: skip
        self._node.watchdog.link_changed(change)
        self._node.task(self._keep_link(change.peer, change.channel, change.link))
        self.events.tell("link", peer=change.peer, channel=change.channel, state=change.new.value, reason=change.reason)
        opened = change.new in (Health.HEALING, Health.HEALTHY)  # a road that got worse is no reason to try again at once
        if opened and change.peer in self.couriers:
            self.couriers[change.peer].heard()

    async def _keep_link(self, peer: str, channel: str, link: Link) -> None:
        now = self._node.world.now()
        await self._node.writer.run(lambda store: store.ledger.save_link(peer, channel, link, now))

    def mail_came(self, sender: str, count: int, asks: bool = True) -> None:
        """New mail was filed; `asks` = some that the daemon itself reads may be among it."""
        self.count("received", count)
        self._node.agents.mail_came(asks=asks)
        if asks:
            self._node.repairs.mail_came()
        self.events.tell("mail", sender=sender, count=count)

    def applied(self, changes: Sequence[Applied]) -> None:
        """Messages changed their status: whoever waits is woken, dead letters are told."""
        self._node.waiting.applied(changes)
        arrived = [change.peer for change in changes if change.new is Status.DONE and change.old is not Status.DONE]
        if arrived:  # all of one peer
            self._node.conduct.answered(arrived[0], len(arrived), good=len(arrived))
        self._node.takeback.applied(changes)
        dead = [change for change in changes if change.new is Status.DEAD and change.old is not Status.DEAD]
        if dead:
            self._node.task(self._mourn(dead))
        self._tell_person(changes)

    def ended(self, changes: Sequence[Applied]) -> None:
        """Messages became final by other means than their walk: what still walks with them may stop."""
        for change in changes:
            if change.new in FINAL and change.peer in self.couriers:
                self.couriers[change.peer].walks.final([change.row])

    def _tell_person(self, changes: Sequence[Applied]) -> None:
        """Show on the desktop what will not arrive: dead letters whose sender wanted to know, and every failed alert."""
        ended = [one for one in changes if one.new in (Status.DEAD, Status.REFUSED) and one.old is not one.new]
        lost = []
        for change in ended:
            row = self._node.reader.outbox.get(change.id)
            kind = kind_of(row.type, self._node.kinds) if row is not None else None
            wanted = kind is not None and kind.confirm and kind.word != REPAIR  # healing tells by itself what did not help
            if kind is not None and (kind.word == ALERT or (change.new is Status.DEAD and wanted)):
                lost.append(Lost(change.peer, kind.word))
        self._node.notices.tell(lost)

    async def _mourn(self, dead: list[Applied]) -> None:
        """Tell the operator of dead letters: nothing ends in silence."""
        self.count("dead", len(dead))
        for change in dead:
            self._node.log("dead letter", id=change.id, peer=change.peer)
            self.events.tell("dead", id=change.id, peer=change.peer)
        words = f"{len(dead)} to {dead[0].peer}: {', '.join(change.id for change in dead[:5])}"
        now = self._node.world.now()
        await self._node.writer.run(lambda store: store.ledger.notice("dead letter", words, now))

    def settled(self, peer: str, settlement: Settlement) -> None:
        """A receipt settled messages, or lied about them."""
        self.count("settled", len(settlement.settled))
        if settlement.wrong:
            self.proof(peer, "wrong_receipt", "a receipt for another content", settlement.wrong)
            self._node.log("a wrong receipt", peer=peer)
            known = self._node.roster.get(peer)
            if known is not None:
                self._node.task(self._node.conduct.threat(known, "wrong_receipt"))
        if settlement.refused:
            self._node.conduct.failed(peer, settlement.refused)

    async def receipt_came(self, peer: Peer, receipt: Receipt, road: str) -> None:
        """Settle a receipt that came by itself, over whatever road; the road it names carried the mail."""
        now = self._node.world.now()
        settlement, applied = await self._node.writer.run(lambda store: settle_travelled(store, peer.id, receipt, now))
        self.applied(applied)
        self.ended(applied)
        self.settled(peer.id, settlement)
        if settlement.settled and receipt.road in self._node.roads.channels:
            self._node.roads.credit(self._node.links, peer.id, receipt.road)
            self._node.introductions.walked(peer.id, answered=True)
        if applied:
            self._node.takeback.note(peer.id, [change.row for change in applied])  # this parcel is answered
            self.poke(peer.id)

    def clock_turned(self, unsure: bool, reason: str) -> None:
        """Our clock came into doubt, or out of it: what waited for that may go or expire."""
        words = f"clock unsure: {reason}; nothing expires until peers or `fleet doctor --fix` confirm it"
        self._node.task(self._node.upkeep.tell("clock", words if unsure else "the clock is believed again"))
        self.poke_all()

    def forget(self, row: Row) -> None:
        """Ask the roads to take a cancelled message back where they can, and let no walk go on with it."""
        if row.peer in self.couriers:
            self.couriers[row.peer].walks.final([row.row])
        if row.taken:
            self._node.takeback.note(row.peer, (row.row,))

    async def take_back(self, peer: str, road: str, pids: Sequence[str]) -> None:
        """Let a road forget parcels that nobody needs there any more."""
        known = self._node.roster.get(peer)
        if known is not None:
            await self._node.roads.forget(known, road, pids)


def _forget(store: Store, peer: str) -> None:
    store.ledger.drop_level(peer)
    store.accounts.forget(peer)
