"""Everything that comes in: open, judge, file, answer; receipts settle. It answers nobody it cannot authenticate.

The order is that of design § 6, cheap and unauthenticated checks first. Mail is answered only after the commit that
filed it; a full disk or a full queue answers `busy`, which proves nothing to anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.core.envelope import overcharges
from fleet.core.health import Evidence
from fleet.core.parcel import ParcelType
from fleet.core.peer import Peer
from fleet.core.receipt import RE_SEAL, Fate, Receipt, read_heartbeat, read_ping, read_receipt
from fleet.core.sealing import kid_of
from fleet.core.trust import Level
from fleet.engine.ears import Ears
from fleet.engine.gossip import Letter
from fleet.engine.identity import Order, system_item, write_parcel
from fleet.engine.inbound import House, Inbound
from fleet.engine.opening import Opened
from fleet.engine.roster import Learned
from fleet.engine.turns import Turn, Turns
from fleet.errors import Barred, Busy, Malformed, StoreError, Unopened, WireError
from fleet.store import Store
from fleet.store.inbox import Arrival, Copy, Received

Admit = Callable[[str, list[Arrival], bool], list[Arrival]]  # …, whether a chief brought it; may raise Busy
NOTHING = Answer(AnswerKind.NONE)
CUSTODY = Answer(AnswerKind.CUSTODY)
BUSY = Answer(AnswerKind.BUSY, retry_after=policy.BUSY_RETRY)
_COUNTED = frozenset({ParcelType.PING, ParcelType.HEARTBEAT})  # an answer to ours is counted where it is proven


class Receiver:
    """Takes parcels from all roads of one node."""

    def __init__(self, ears: Ears) -> None:
        """Take what it works with."""
        self._ears = ears
        self._under_way = 0
        self._turns = Turns()  # one parcel is opened while the one before it is committed
        self.admit: Admit = lambda sender, arrivals, relayed: arrivals
        self._latest: dict[str, int] = {}  # per peer, the ts of the newest system parcel: older ones prove no life

    def deliver_for(self, road: str, *, framed: bool, replies: bool) -> Deliver:
        """Make the door of one road."""

        async def deliver(data: bytes) -> Answer:
            if self._under_way >= policy.INGRESS_QUEUE:
                return BUSY
            self._under_way += 1
            try:
                answer = await self._take(data, road, framed=framed, replies=replies)
            finally:
                self._under_way -= 1
            return answer

        return deliver

    async def _take(self, data: bytes, road: str, *, framed: bool, replies: bool) -> Answer:
        """Authenticate what came, then let it take effect; a framed road's answer is framed for the same hop."""
        turn = await self._turns.take()
        try:
            return await self._in_turn(data, road, turn, framed=framed, replies=replies)
        finally:
            turn.end()

    async def _in_turn(self, data: bytes, road: str, turn: Turn, *, framed: bool, replies: bool) -> Answer:
        ears = self._ears
        try:
            opened = ears.opener.open(data, framed=framed)
            await self._store_learned(opened.learned)
            if opened.header.to != ears.roster.me.node:
                turn.end()
                return await ears.relay(opened)
            road = policy.RELAYED if opened.via else road
        except (StoreError, Busy):
            return BUSY
        except WireError as error:
            ears.count(f"refused_{error.code}")
            ears.log("not authenticated", channel=road, reason=error.message)
            return NOTHING
        try:
            answer = await self._open(opened, road, turn, replies=replies)
        except (StoreError, Busy) as error:
            ears.log("busy", channel=road, reason=error.message)
            return BUSY
        if answer.kind is AnswerKind.SIGNED and framed:
            return Answer(AnswerKind.SIGNED, ears.hops.wrap(opened.peer.id, answer.data))
        return answer

    async def _store_learned(self, learned: Learned | None) -> None:
        if learned is not None:
            now = self._ears.world.now()
            await self._ears.writer.run(lambda store: store_learned(store, learned, now))
            self._ears.gossip.on_learned(learned.node)

    async def _open(self, opened: Opened, road: str, turn: Turn, *, replies: bool) -> Answer:
        ears = self._ears
        if ears.conduct.is_evicted(opened.peer.id) and opened.type is not ParcelType.MAIL:
            ears.count("refused_evicted")
            return NOTHING
        try:
            items = ears.opener.items(opened)
        except Unopened:
            whole = Receipt(pid=opened.header.pid, road=road, fate=Fate.LATER, reason=RE_SEAL, retry_after=0.5)
            return self._answer(opened, whole, replies=replies, intro=True)
        except WireError as error:
            ears.proof(opened.peer.id, error.code, error.message)
            ears.log("a false parcel", peer=opened.peer.id, channel=road, reason=error.message)
            await ears.conduct.threat(opened.peer, error.code)
            return NOTHING
        try:
            if opened.type is ParcelType.MAIL:
                return await self._mail(opened, items, road, turn, replies=replies)
            turn.end()
            return await self._system(opened, items, road, replies=replies)
        except Malformed as error:
            word = "cost" if any(map(overcharges, items)) else "malformed"
            ears.proof(opened.peer.id, word, error.message)
            await ears.conduct.threat(opened.peer, word)
            whole = Receipt(pid=opened.header.pid, road=road, fate=Fate.REFUSED, reason=error.message[:512])
            return self._answer(opened, whole, replies=replies)

    async def _mail(self, opened: Opened, items: list[bytes], road: str, turn: Turn, *, replies: bool) -> Answer:
        ears, header = self._ears, opened.header
        now, conduct = ears.world.now(), ears.conduct
        regard = conduct.regard(opened.peer)
        house = House(ears.kinds, ears.limit, ears.screening, self._level_of, ears.clock_unsure(), now)
        arrivals = list(map(Inbound(house, opened.peer, regard).arrival, items))
        copy = Copy(
            opened.peer.id, header.pid, road, header.inc, header.low, owed=not replies, level=regard.level,
            hops=len(opened.via), limits=conduct.default, at=conduct.time(),
        )  # fmt: skip
        arrivals = self.admit(opened.peer.id, arrivals, bool(opened.via))
        filing = ears.writer.post(lambda store: store.inbox.receive(copy, arrivals, now), alone=True)
        turn.end()
        received = await filing
        for alarm in received.alarms:
            ears.count("alarm")
            ears.log("alarm", peer=opened.peer.id, channel=road, reason=alarm)
        await self._weigh(opened.peer, received)
        if received.fresh:
            self._heard(opened.peer.id, road, len(received.fresh), good=len(received.fresh))
            asks = any(arrival.envelope.type in ASKING for arrival in arrivals)
            ears.on_mail(opened.peer.id, len(received.fresh), asks)
        if received.repeated or not replies:
            ears.on_owed(opened.peer.id)
        entries = received.entries
        if not replies:  # what has a row is owed; put off and closed mail has none
            entries = [entry for entry in entries if entry.fate in (Fate.LATER, Fate.CLOSED)]
            if not entries:
                return CUSTODY
        receipt = Receipt(pid=header.pid, road=road, entries=tuple(entries), inc=received.inc)
        return self._answer(opened, receipt, replies=replies, intro=bool(opened.raw.intro))

    async def _weigh(self, peer: Peer, received: Received) -> None:
        """Tell the peer's account what was wrong with its mail and what it cost; kept before anything is answered."""
        conduct = self._ears.conduct
        if received.alarms:
            await conduct.threat(peer, "equivocation")
        if received.overspent:
            conduct.failed(peer.id, received.overspent)
        if received.micro_usd or received.overspent:
            await conduct.spent(peer.id)

    def _level_of(self, node: str) -> int:
        """Give the level of a node by its name; of one nobody knows, the lowest."""
        if node == self._ears.roster.me.node:
            return policy.TRUST_CEILING
        peer = self._ears.roster.get(node)
        return Level.UNTRUSTED if peer is None else self._ears.conduct.level(peer)

    def _answer(self, opened: Opened, receipt: Receipt, *, replies: bool, intro: bool = False) -> Answer:
        """Give a receipt back the way the parcel came, or let it travel by itself where there is no way back."""
        item = system_item(receipt)
        if replies:
            return self._signed(opened, ParcelType.RECEIPT, item, intro=intro)
        self._ears.gossip.post(Letter(opened.peer.id, ParcelType.RECEIPT, (item,)))
        return CUSTODY

    async def _system(self, opened: Opened, items: list[bytes], road: str, *, replies: bool) -> Answer:
        ears, peer = self._ears, opened.peer
        if opened.header.ts > self._latest.get(peer.id, 0):
            self._latest[peer.id] = opened.header.ts
            self._heard(peer.id, road, int(opened.type in _COUNTED))
        if opened.type is ParcelType.PING:
            ping = read_ping(items[0])
            ears.gossip.compare(peer, ping.known, ping.revocation)
            pong = system_item(ears.gossip.pong(ping.nonce))
            if not replies:
                ears.gossip.post(Letter(peer.id, ParcelType.PONG, (pong,)))
                return CUSTODY
            return self._signed(opened, ParcelType.PONG, pong, intro=bool(opened.raw.intro))
        if opened.type is ParcelType.RECEIPT:
            await ears.on_receipt(peer, read_receipt(items[0]), road)
        elif opened.type is ParcelType.PONG:
            ears.gossip.on_pong(peer.id, read_ping(items[0]).nonce)
        elif opened.type is ParcelType.HEARTBEAT:
            beat = read_heartbeat(items[0])
            ears.gossip.compare(peer, beat.known, beat.revocation)
            await ears.on_beat(peer, beat, opened.header.ts)
        elif opened.type is ParcelType.CERTIFICATE:
            await ears.on_certificate(peer, items, opened.raw.kid == kid_of(peer.key))
        elif opened.type is ParcelType.MANIFEST:
            await self._learn(peer, items)
        elif opened.type is ParcelType.REVOCATION:
            await self._revoke(peer, items[0])
        return CUSTODY

    async def _learn(self, peer: Peer, intros: list[bytes]) -> None:
        learned, false = self._ears.gossip.learn(intros)
        for one in learned:
            await self._ears.writer.run(partial(_store, one, self._ears.world.now()))
        for reason in false:
            self._ears.proof(peer.id, "manifest", reason)  # it signed a parcel around what its owner never said
            self._ears.log("a false manifest", peer=peer.id, reason=reason)

    async def _revoke(self, peer: Peer, frame: bytes) -> None:
        try:
            await self._ears.gossip.revoke(frame)
        except WireError as error:
            self._ears.proof(peer.id, "revocation", error.message)  # … around what the root never said
            self._ears.log("a false revocation list", peer=peer.id, reason=error.message)

    def _heard(self, peer: str, road: str, received: int, *, good: int = 0) -> None:
        self._ears.links.credit(peer, road, Evidence.INBOUND)
        self._ears.conduct.heard(peer, received, good=good)
        self._ears.on_heard(peer)

    def _signed(self, opened: Opened, kind: ParcelType, item: bytes, *, intro: bool = False) -> Answer:
        """Seal an answer to the signer of what came in, introducing ourselves while it has not proven to know us."""
        ears = self._ears
        intro = intro or ears.introductions.due(opened.peer.id)
        peer = ears.roster.get(opened.peer.id) or opened.peer
        order = Order(kind, ears.world.now() + policy.SYSTEM_LIFE, re=opened.header.pid, intro=intro)
        try:
            return Answer(AnswerKind.SIGNED, write_parcel(ears.roster.me, peer, [item], order, ears.world).data)
        except Barred as error:
            ears.log("unanswerable", peer=peer.id, reason=error.message)
            return NOTHING


ASKING = frozenset({"query", "reply", "repair"})  # what the daemons themselves read of their inbox


def _store(learned: Learned, now: int, store: Store) -> None:
    store_learned(store, learned, now)


def store_learned(store: Store, learned: Learned, now: int) -> None:
    """Store a member's newer frames, and say so in the audit chain."""
    if learned.certificate:
        store.members.put_certificate(learned.node, learned.certificate_serial, learned.certificate)
        serial = {"serial": learned.certificate_serial}
        store.audit.add("certificate", peer=learned.node, details=serial, now=now)
    if learned.manifest:
        store.members.put_manifest(learned.node, learned.manifest_serial, learned.manifest)
        store.audit.tally("manifest", peer=learned.node, first={"serial": learned.manifest_serial}, now=now)
