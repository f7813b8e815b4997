"""One node: every part made once and handed to the others here, started in order, stopped in reverse; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from fleet.core.channel import Channel
from fleet.core.content import ContentGate
from fleet.core.envelope import kind_of
from fleet.core.peer import Peer
from fleet.daemon import machine
from fleet.daemon.agents import Agents
from fleet.daemon.attendance import admission_of
from fleet.daemon.auditing import Auditing
from fleet.daemon.beating import heartbeats_of
from fleet.daemon.clockwatch import ClockWatch
from fleet.daemon.control import Control
from fleet.daemon.exchange import Exchange
from fleet.daemon.figures import Figures
from fleet.daemon.healing import Healing
from fleet.daemon.mailroom import Mailroom
from fleet.daemon.membership import finish_renewal, load_identity
from fleet.daemon.notices import Notices, show_on_desktop
from fleet.daemon.oversight import Oversight, conduct_of
from fleet.daemon.paths import Paths
from fleet.daemon.reach import Reach
from fleet.daemon.recollection import recollect
from fleet.daemon.repair import Repairs
from fleet.daemon.revoking import Revoking
from fleet.daemon.roads import RoadKeeper
from fleet.daemon.rotation import Rotation
from fleet.daemon.settings import Settings
from fleet.daemon.sight import Sight
from fleet.daemon.takeback import TakeBack
from fleet.daemon.tunnel import Tunnels
from fleet.daemon.upkeep import Upkeep
from fleet.daemon.watchdog import Watchdog
from fleet.engine.attempt import Attempts, supervise
from fleet.engine.cascade import Cascade
from fleet.engine.custodian import Custodian, Means
from fleet.engine.ears import Ears
from fleet.engine.gossip import Gossip
from fleet.engine.hands import Hands
from fleet.engine.healer import Healer
from fleet.engine.hops import Hops
from fleet.engine.introductions import Introductions
from fleet.engine.links import Links
from fleet.engine.opening import Opener
from fleet.engine.receiver import Receiver
from fleet.engine.returns import Returns
from fleet.engine.roster import Roster
from fleet.engine.screening import Screening
from fleet.engine.waiting import Waiting
from fleet.engine.world import World, real_world
from fleet.engine.writer import Writer
from fleet.errors import FleetError
from fleet.store import Store
from fleet.store.keys import KeyRing

Log = Callable[..., None]


class Node:
    """A running member of the fleet."""

    def __init__(
        self, settings: Settings, paths: Paths, ring: KeyRing, *, world: World | None = None,
        channels: Mapping[str, Channel] | None = None, inline: bool = False, log: Log = lambda event, **fields: None,
    ) -> None:  # fmt: skip
        """Take the configuration and the keys; `channels` and `inline` are for simulations."""
        self.settings = settings
        self.paths = paths
        self.ring = ring
        self.world = world or real_world()
        self.log = log
        self.started = self.world.now()
        self.kinds = settings.kinds()
        self.waiting = Waiting()
        self.clock = ClockWatch(self.world)
        self.exchange = Exchange(self)
        self.figures = Figures()
        self.notices = Notices(
            show_on_desktop if settings.log.notify == "desktop" and channels is None else None, log
        )
        self._given = channels
        self._inline = inline
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.renewed = False  # stopped in order to start anew, in another fleet

    @property
    def id(self) -> str:
        """This node's name."""
        return self.ring.node

    async def start(self) -> None:
        """Open the store and the roads, learn who we are, and begin to work. Raises FleetError when it cannot."""
        self.store = Store.open(self.paths.database, self.paths.keys)
        self.store.audit.on_tally = self.figures.tallied
        self.reader = Store.open(self.paths.database, self.paths.keys, readonly=True)
        self.auditing = Auditing(self)
        self.writer = Writer(self.store, inline=self._inline)
        self.task(supervise("writer", self.writer.serve, self.log, pause=0.05))
        self.roads = RoadKeeper(self.settings, self.paths, self.ring, self.log, self._given)
        await self.roads.open()
        self.ring = await self.writer.run(lambda store: finish_renewal(store, self.ring))
        identity = await self.writer.run(
            lambda store: load_identity(store, self.ring, self.settings, self.roads.place(), self.world)
        )
        self._wire(identity)
        await recollect(self)
        self._begin()

    def _wire(self, identity: Any) -> None:
        """Make every part and tell each whom it works with."""
        channels, traits = self.roads.channels, self.roads.traits()
        self.roster = Roster(identity, self.settings.peers, {}, self.world.now)
        self.links = Links(self.world, traits, self.settings.channels)
        self.links.on_change = self.exchange.link_changed
        self.links.known = lambda: self.roster.changes
        self.links.mail_waits = lambda peer: self.reader.outbox.next_event(peer) is not None
        self.conduct = conduct_of(self)
        self.hops = Hops(self.roster)
        opener = Opener(self.roster, self.hops)
        self.attempts = Attempts(opener, self.hops.wrap, self.world, self.log)
        self.attempts.on_opened = self.exchange.answer_opened
        self.attempts.on_made = self.figures.attempted
        self.attempts.on_unproven = lambda code: self.exchange.count(f"unproven_{code}")
        self.cascade = Cascade(channels, self.attempts, self.links)
        self.introductions = Introductions(self.roster)
        self.gossip = Gossip(self.roster, self.world)
        self.takeback = TakeBack(self.writer, self.exchange.take_back, self.log)
        self.returns = Returns(
            self.writer, self.cascade, self.links, self.roster, self.introductions, self.world, self.log
        )
        self.gossip.post = self.returns.post
        self.gossip.on_learned = self.exchange.learned
        self.healer = Healer(
            channels, self.attempts, self.cascade, self.links, self.roster, self.gossip, self.introductions, self.world
        )
        self.healer.is_evicted = self.conduct.is_evicted
        self.healer.on_answer = self.conduct.answered
        self._wire_relay(chief=(self.settings.node.role or identity.read_certificate().role) == "chief")
        self._wire_membership()
        self.heartbeats = heartbeats_of(self)
        self.receiver = Receiver(self._ears(opener))
        self.hands = self._hands()
        self._wire_counter()

    def _wire_relay(self, *, chief: bool) -> None:
        """Make what keeps parcels for others, and tell the roads whom and what they may trust."""
        means = Means(
            self.writer, self.cascade, self.links, self.roster, self.world, self.exchange.count, self.log,
            self.conduct.is_evicted,
        )  # fmt: skip
        self.custodian = Custodian(means, chief=chief)
        self.roads.find_chiefs = self.chiefs
        self.roads.trust_own_words(
            lambda peer, road, address: address in self.roster.words(peer).get(road, {}).values()
        )

    def _wire_membership(self) -> None:
        """Make what keeps keys and members, and let the engine's news of them reach it."""
        self.rotation = Rotation(self)
        self.revoking = Revoking(self)
        self.gossip.on_revoked = self.revoking.obey
        self.hops.on_behind = self.rotation.hand_fleet_key
        gate = ContentGate(lambda: self.roster.me.fleet_keys[0], self.settings.content.actions)
        self.screening = Screening(gate, self.exchange.level, self.exchange.count)

    def _wire_counter(self) -> None:
        """Make what people and programs ask: the mailroom, the views, the operator's hand, the housekeeping."""
        self.mail = Mailroom(
            self.writer, self.reader, self.roster, self.waiting, self.kinds, self.settings.content.limit,
            self.settings.order, self.world, self.screening, self.conduct,
        )  # fmt: skip
        self.mail.poke = self.exchange.poke
        self.mail.on_mail = self.exchange.mail_came
        self.mail.on_owed = self.returns.owe
        self.mail.on_cancelled = self.exchange.forget
        self.sight = Sight(self)
        self.oversight = Oversight(self.conduct, self.roster, self.writer, self.reader, self.world)
        self.control = Control(self)
        self.reach = Reach(self)
        self.repairs = Repairs(self)
        self.healing = Healing(self, self.repairs)
        self.tunnels = Tunnels(self)
        mark = machine.mark(self.paths.home) if self._given is None else ""
        self.upkeep = Upkeep(self.writer, self.store, self.settings, self.world, self.clock, self.log, mark)
        self.upkeep.on_foreign_write = self.exchange.poke_all
        self.clock.on_turn = self.exchange.clock_turned
        self.mail.room_left = lambda: self.upkeep.room_left
        self.agents = Agents(self, real=self._given is None)
        self.receiver.admit = admission_of(self)
        self.watchdog = Watchdog(self, lambda: self.clock.reason if self.clock.unsure() else "")

    def _ears(self, opener: Opener) -> Ears:
        return Ears(
            self.roster, opener, self.hops, self.introductions, self.writer, self.links, self.gossip, self.world, self.kinds,
            self.settings.content.limit, self.conduct, self.screening, self.clock.unsure, self.exchange.mail_came,
            self.returns.owe, self.exchange.heard, self.custodian.take, self.rotation.certificate_came,
            self.exchange.receipt_came, self.heartbeats.came, self.exchange.count, self.exchange.proof, self.log,
        )  # fmt: skip

    def _hands(self) -> Hands:
        patience = {name: float(table.get("patience") or 0.0) for name, table in self.settings.channels.items()}
        return Hands(
            self.writer, self.cascade, self.roster, self.introductions, self.world, patience,
            lambda word: kind_of(word, self.kinds).tries, self.exchange.applied, self.waiting.walked,
            self.exchange.settled, self.takeback.note, self.clock.unsure, self.log, threads=not self._inline,
        )  # fmt: skip

    def _begin(self) -> None:
        for name, channel in self.roads.channels.items():
            deliver = self.receiver.deliver_for(name, framed=channel.traits.framed, replies=channel.traits.replies)
            self.task(supervise(name, partial(channel.listen, deliver), self.log))
            drain = getattr(channel, "drain", None)
            if drain is not None:
                left = self.receiver.deliver_for(name, framed=channel.traits.framed, replies=False)
                self.task(supervise(f"{name} mailbox", partial(drain, left), self.log))
        self.task(supervise("custodian", self.custodian.run, self.log))
        self.task(supervise("healer", self.healer.run, self.log))
        self.task(supervise("conduct", partial(self.conduct.run, self.roster.peers), self.log))
        self.task(supervise("upkeep", self.upkeep.run, self.log))
        self.task(supervise("notices", self.notices.run, self.log))
        self.task(supervise("healing", self.healing.run, self.log))
        self.task(supervise("repairs", self.repairs.run, self.log))
        self.task(supervise("watchdog", self.watchdog.run, self.log))
        self.task(supervise("audit", self.auditing.run, self.log))
        self.task(supervise("heartbeats", self.heartbeats.run, self.log))
        self.task(supervise("renewal", self.rotation.resume, self.log))
        self.agents.begin()
        self.task(self.returns.start(lambda store: store.inbox.peers_owed()))
        self.log("started", node=self.id, roads=",".join(self.roads.channels))

    def chiefs(self, peer: Peer) -> list[Peer]:
        """List the chiefs that may keep something for a peer: those the operator names, else all that were heard first."""
        named = peer.addresses.get("relay", {}).get("via")
        known = [one for one in self.roster.peers() if one.enabled and one.key and one.id != peer.id
                 and not self.conduct.is_evicted(one.id)]  # fmt: skip
        if named:
            return [one for word in named for one in known if one.id == word]
        return [one for one in known if one.role == "chief"]

    def task(self, work: Awaitable[Any]) -> None:
        """Let something run beside the rest; it ends with the node."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        """Say why something that ran beside the rest ended badly: a full disk, or a bug."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, FleetError):
            self.log("failed", reason=error.message)
        elif error is not None:
            self.log("bug", part="node", error=type(error).__name__)

    async def stop(self) -> None:
        """Stop in reverse: no new parcels, those under way lapse, the last commits land, the roads close."""
        await self.exchange.close()
        await self.tunnels.close_all()
        await self.returns.close()
        await self.cascade.close()
        await self.takeback.close()
        await self.conduct.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.writer.close()
        await self.roads.close()
        self.reader.close()
        self.store.close()
        self.log("stopped", node=self.id)

    async def run_until_stopped(self) -> None:
        """Wait for ask_to_stop()."""
        await self._stopping.wait()

    def ask_to_stop(self) -> None:
        """Let run_until_stopped() return."""
        self._stopping.set()

    def renew(self, pause: float = 0.1) -> None:
        """Stop in order to start anew, with other keys or in another fleet, after `pause` seconds: callers get answers."""
        self.renewed = True
        asyncio.get_running_loop().call_later(pause, self._stopping.set)

    @property
    def bind(self) -> str:
        """Where the parcel door listens; empty while it does not."""
        bound = getattr(self.roads.channels.get("http"), "bound", None)
        return f"{bound[0]}:{bound[1]}" if bound else ""
