"""P1, the NATS road: request and reply through a broker; never waits for a broker that is away, never trusts its word.

Settings: the table [channel.nats], and from the daemon
    url     "nats://host:port" or a list of such, tried in order; "" = no broker is configured
    node    our own id
    fleet   the fleet's id
    older_nkey  the one before nkey, tried where nkey is refused
    nkey    fleet.core.sealing.Secret of the seed: 32 raw bytes or its text form "SU…"; None = a broker without users

    mailbox bytes of one node's mailbox in JetStream
    home    True when this node's own door is on loopback: then a member's word may lead there
    own_ports   ports of this machine to which no member's word may lead

A node listens on fleet.FLEET.NODE.in; that subject must stay outside every stream, else the stream's publish-ack would
come back for the answer. Answers: the signed bytes as they are; "custody"; "busy SECONDS"; nothing at all for what
could not be authenticated. What nobody answers goes into the peer's mailbox (_jetstream.py), if the broker has one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from channels._busy import asked_pause
from channels._jetstream import FRAME_LIMIT, RECHECK_FIRST, RECHECK_LAST, Boxes
from channels._keeper import Connection, Keeper, cancel
from channels._lines import is_open_ground
from channels._requests import Away, Requests
from fleet.core import policy, subjects
from fleet.core.channel import Answer, AnswerKind, Channel, Deliver, Traits
from fleet.core.envelope import is_node_id
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, RoadError, SettingsError, Unreachable

INGRESS_BYTES = 64 * 1024 * 1024  # bytes being received at once, beside policy.INGRESS_QUEUE parcels
ANSWER_SHARE = 0.8  # of a parcel's time belongs to the peer, the rest to its mailbox
MAILBOX = 8 * 1024 * 1024  # bytes of one mailbox; JetStream reserves them
MAILBOX_LEAST = 0.2  # seconds the mailbox has at least: the engine's own deadline ends it sooner
CUSTODY, BUSY = b"custody", b"busy "


class Nats:
    """The NATS road of one node."""

    name = "nats"

    def __init__(
        self, keeper: Keeper, node: str, fleet: str, mailbox: int, may_lead: Callable[[str], bool], *, own: bool = False
    ) -> None:
        """Take what keeps the connection, our own id, the fleet's, the bytes of a mailbox, and where members' words lead.

        With a broker of our `own` nothing is laid down: it lies no safer there than in the outbox of the same machine.
        """
        self.traits = Traits(framed=True, keeps=not own)
        self._may_lead = may_lead
        self._fleet = fleet
        self._node = node
        self._keeper = keeper
        self._keeper.ready = self._ready
        self._keeper.began = self._began
        self._keeper.failed = self._failed
        self._requests = Requests(keeper, node)
        self._keeper.forbidden = self._requests.forbidden
        self._boxes = Boxes(fleet, node, mailbox, self._requests)
        self._making: set[asyncio.Task[None]] = set()
        self._deliver: Deliver | None = None
        self._ear: tuple[Connection, Subscription] | None = None  # our own subject, on which connection
        self._taking: set[asyncio.Task[None]] = set()
        self._held = 0

    async def open(self) -> None:
        """Start keeping a connection; a broker that is away is looked for in the background."""
        self._keeper.start()
        await self._keeper.first_try()

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Publish the parcel and wait for the peer's answer; where the peer is away, lay it into its mailbox."""
        subject = self._subject(peer, parcel)
        clock = asyncio.get_running_loop().time
        until = clock() + timeout
        wait = timeout * ANSWER_SHARE if self.traits.keeps and not parcel.fleeting else timeout
        try:
            answer = await self._requests.ask(subject, parcel.data, wait)
        except Away as away:
            if parcel.fleeting or not self.traits.keeps:
                raise
            return await self._lay_down(peer, parcel, until - clock(), away)
        return _outcome(peer, answer)

    async def _lay_down(self, peer: Peer, parcel: Parcel, left: float, away: Away) -> Outcome:
        try:
            await self._boxes.put(peer.id, parcel, max(MAILBOX_LEAST, left))
        except Away as none:
            raise Unreachable(away.message, unsent=away.unsent and none.unsent) from None
        except RoadError as error:
            unsent = away.unsent and isinstance(error, Unreachable) and error.unsent
            raise Unreachable(f"{away.message}; {error.message}", unsent=unsent) from None
        return Outcome.taken(self.name)

    async def listen(self, deliver: Deliver) -> None:
        """Hand every parcel on our subject to `deliver`, each in a task of its own; runs until cancelled."""
        self._deliver = deliver
        try:
            keeper = self._keeper.start()
            if self._keeper.client is not None:
                await self._subscribe(self._keeper.client)
            await asyncio.wait({keeper})
            self._keeper.bury()  # the next listen() starts a new one
        finally:
            self._deliver = None
            await self._unsubscribe()
            await cancel(self._taking)

    async def drain(self, deliver: Deliver) -> None:
        """Hand what lies in our own mailbox to `deliver`, each object once; runs until cancelled."""
        await self._boxes.drain(deliver)

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Take parcels back from the peer's mailbox, where we know their place."""
        await self._boxes.take_back(peer.id, pids)

    async def close(self) -> None:
        """Let the connection go; whoever still waits for an answer is told."""
        await self._keeper.stop()
        await cancel(self._taking | self._making)

    async def reconnect(self) -> None:
        """Connect to the broker anew."""
        self._keeper.anew()

    def also(self, url: str) -> None:
        """Try another way to the broker after those that are configured: a tunnel was opened."""
        self._keeper.also(url)

    def learn(self, urls: Iterable[str]) -> None:
        """Try the brokers that members say they run, where no stranger's word could lead astray."""
        self._keeper.learn([url for url in urls if is_broker(url) and self._may_lead(url)])

    def no_longer(self, url: str) -> None:
        """Try a way no more that also() added."""
        self._keeper.no_longer(url)

    def on_entered(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever a broker lets our present nkey in."""
        self._keeper.entered = call

    def care_for(self, nodes: Iterable[str], room: int) -> None:
        """Make and keep the mailboxes of these nodes, within `room` bytes in all: this node serves the broker."""
        self._boxes.care_for(nodes, room)
        if self._keeper.client is not None:
            self._make_boxes()

    def _subject(self, peer: Peer, parcel: Parcel) -> str:
        if not self._keeper.urls:
            raise Barred("no NATS broker is configured", address=True, hint="fleet config set nats.url nats://HOST:4222")
        if not is_node_id(peer.id):
            raise Barred("the peer's id is no subject")
        if len(parcel.data) > FRAME_LIMIT:
            raise Barred(f"{len(parcel.data)} bytes; the limit is {FRAME_LIMIT}")
        return subjects.door(self._fleet, peer.id)

    # --- what the keeper and the connection tell ----------------------------------------------------------------------

    async def _ready(self, client: Connection) -> None:
        await self._requests.ready(client)
        await self._subscribe(client)

    def _began(self) -> None:
        self._requests.began()
        self._make_boxes()

    def _failed(self) -> None:
        self._requests.failed()

    def _make_boxes(self) -> None:
        task = asyncio.create_task(self._until_made(), name="nats mailboxes")
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _until_made(self) -> None:
        pause = RECHECK_FIRST
        while self._keeper.client is not None and not await self._boxes.make_all():
            await asyncio.sleep(pause)
            pause = min(RECHECK_LAST, pause * 2)

    # --- receiving ----------------------------------------------------------------------------------------------------

    async def _subscribe(self, client: Connection) -> None:
        if self._deliver is not None and (self._ear is None or self._ear[0] is not client):
            with contextlib.suppress(NatsError):  # a client that just closed: the keeper sees it too
                self._ear = client, await client.subscribe(subjects.door(self._fleet, self._node), cb=self._heard)

    async def _unsubscribe(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            with contextlib.suppress(NatsError):  # it went with its connection
                await ear[1].unsubscribe()

    async def _heard(self, message: Msg) -> None:
        deliver, size = self._deliver, len(message.data)
        if deliver is None or not message.reply.startswith(subjects.INBOX) or size > FRAME_LIMIT:
            return
        if len(self._taking) >= policy.INGRESS_QUEUE or self._held + size > INGRESS_BYTES:
            await self._reply(message, Answer(AnswerKind.BUSY, retry_after=policy.BUSY_RETRY))
            return
        self._held += size
        task = asyncio.create_task(self._take(message, deliver))
        self._taking.add(task)
        task.add_done_callback(self._taken)

    async def _take(self, message: Msg, deliver: Deliver) -> None:
        try:
            await self._reply(message, await deliver(message.data))
        finally:
            self._held -= len(message.data)

    def _taken(self, task: asyncio.Task[None]) -> None:
        self._taking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            words = {"message": "nats: a parcel could not be received", "exception": error}
            asyncio.get_running_loop().call_exception_handler(words)

    async def _reply(self, message: Msg, answer: Answer) -> None:
        data = _answer_bytes(answer)
        if data is not None:  # a sender that misses it asks again and gets its duplicate's receipt
            await self._requests.tell(message.reply, data)


def _answer_bytes(answer: Answer) -> bytes | None:
    if answer.kind is AnswerKind.SIGNED:
        return answer.data
    if answer.kind is AnswerKind.CUSTODY:
        return CUSTODY
    return BUSY + f"{answer.retry_after:g}".encode() if answer.kind is AnswerKind.BUSY else None


def _outcome(peer: Peer, answer: Msg) -> Outcome:
    data: bytes = answer.data
    if data == CUSTODY:
        return Outcome.taken(peer.id)
    if data.startswith(BUSY):
        raise Unreachable(f"{peer.id} is busy", retry_after=asked_pause(data[len(BUSY) :]))
    return Outcome.replied(data)


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Nats:
    """Make the NATS road. Raises SettingsError when an address or the key cannot be used."""
    found = settings.get("url") or ()
    urls = [found] if isinstance(found, str) else list(found)
    if not all(map(is_broker, urls)):
        raise SettingsError("nats.url must look like nats://HOST:PORT or tls://HOST:PORT")
    node = str(settings["node"])
    keeper = Keeper(urls, node, settings.get("nkey"), settings.get("older_nkey"))
    may_lead = partial(_is_open, bool(settings.get("home")), frozenset(settings.get("own_ports", ())))
    mailbox = int(settings.get("mailbox") or MAILBOX)
    return Nats(keeper, node, str(settings["fleet"]), mailbox, may_lead, own=bool(settings.get("own")))


def is_broker(url: str) -> bool:
    """Say whether this may be the address of a broker."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_open(home: bool, own_ports: frozenset[int], url: str) -> bool:
    """Say whether a member's word may lead there: to no address of ours but when our own door is `home`."""
    parts = urlsplit(url)
    try:
        return is_open_ground(str(parts.hostname), parts.port or 4222, home, own_ports)
    except ValueError:
        return str(parts.hostname) != "localhost"  # a name; what speaks no NATS there is left at once
