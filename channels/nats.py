"""P1, the NATS road: request and reply through a broker; never waits for a broker that is away, never trusts its word.

Settings: the table [channel.nats], and from the daemon
    url     "nats://host:port" or a list of such, tried in order; "" = no broker is configured
    node    our own id
    fleet   the fleet's id
    nkey    fleet.core.sealing.Secret of the seed: 32 raw bytes or its text form "SU…"; None = a broker without users

A node listens on fleet.FLEET.NODE.in; that subject must stay outside every stream, else the stream's publish-ack would
come back for the answer. Answers: the signed bytes as they are; "custody"; "busy SECONDS"; nothing at all for what
could not be authenticated.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from channels._keeper import Connection, Keeper, cancel, say
from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind, Channel, Deliver, Traits
from fleet.core.envelope import is_node_id
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.core.sealing import Secret
from fleet.errors import Barred, Faulty, RoadError, SettingsError, Unreachable

FRAME_LIMIT = policy.PARCEL_LIMIT + 1024  # a parcel and its hop frame
BACKLOG = 8 * 1024 * 1024  # bytes waiting for the socket before we say that the broker does not keep up
INGRESS_BYTES = 64 * 1024 * 1024  # bytes being received at once, beside policy.INGRESS_QUEUE parcels
CUSTODY, BUSY = b"custody", b"busy "
INBOX = "_INBOX."


@dataclass(slots=True)
class _Call:
    """A parcel whose answer has not come yet; `result` is settled once."""

    subject: str
    result: asyncio.Future[Msg | RoadError]

    def settle(self, value: Msg | RoadError) -> None:
        if not self.result.done():
            self.result.set_result(value)


class Nats:
    """The NATS road of one node."""

    name = "nats"
    traits = Traits(framed=True)

    def __init__(self, urls: Sequence[str], node: str, fleet: str, nkey: Secret | None) -> None:
        self._subjects = f"fleet.{fleet}."
        self._node = node
        self._keeper = Keeper(urls, node, nkey)
        self._keeper.ready = self._ready
        self._keeper.failed = self._failed
        self._keeper.forbidden = self._forbidden
        self._inbox = ""
        self._calls: dict[str, _Call] = {}
        self._deliver: Deliver | None = None
        self._ear: tuple[Connection, Subscription] | None = None  # our own subject, on which connection
        self._taking: set[asyncio.Task[None]] = set()
        self._held = 0

    async def open(self) -> None:
        """Start keeping a connection; a broker that is away is looked for in the background."""
        self._keeper.start()
        await self._keeper.first_try()

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Publish the parcel and wait for the peer's answer."""
        subject = self._subject(peer, parcel)
        client = self._connection(len(parcel.data))
        token = secrets.token_hex(8)
        call = self._calls[token] = _Call(subject, asyncio.get_running_loop().create_future())
        try:
            await client.publish(subject, parcel.data, reply=self._inbox + token)
            async with asyncio.timeout(timeout):
                answer = await call.result
        except TimeoutError:
            raise Unreachable(f"{peer.id} did not answer within {timeout:g} s") from None
        except (NatsError, RuntimeError) as error:  # uvloop says RuntimeError of a socket that is gone
            raise Unreachable(say(error)) from None
        finally:
            self._calls.pop(token, None)
        if isinstance(answer, RoadError):
            raise answer
        return _outcome(peer, answer)

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

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Nothing is kept on this road."""

    async def close(self) -> None:
        """Let the connection go; whoever still waits for an answer is told."""
        await self._keeper.stop()
        await cancel(self._taking)

    def also(self, url: str) -> None:
        """Try another way to the broker after those that are configured: a tunnel was opened."""
        self._keeper.also(url)

    def no_longer(self, url: str) -> None:
        """Try a way no more that also() added."""
        self._keeper.no_longer(url)

    def _subject(self, peer: Peer, parcel: Parcel) -> str:
        if not self._keeper.urls:
            raise Barred("no NATS broker is configured", address=True, hint="fleet config set nats.url nats://HOST:4222")
        if not is_node_id(peer.id):
            raise Barred("the peer's id is no subject")
        if len(parcel.data) > FRAME_LIMIT:
            raise Barred(f"{len(parcel.data)} bytes; the limit is {FRAME_LIMIT}")
        return f"{self._subjects}{peer.id}.in"

    def _connection(self, size: int) -> Connection:
        client = self._keeper.client
        if client is None or not client.is_connected:
            raise self._keeper.why()
        if client.pending_data_size > BACKLOG:
            raise Unreachable("the broker does not keep up", retry_after=policy.BUSY_RETRY, unsent=True)
        if size > client.max_payload:
            raise Barred(f"{size} bytes; this broker takes {client.max_payload}")
        return client

    # --- what the keeper and the connection tell ----------------------------------------------------------------------

    async def _ready(self, client: Connection) -> None:
        self._inbox = f"{INBOX}{self._node}.{secrets.token_hex(8)}."
        await client.subscribe(self._inbox + "*", cb=self._answered)
        await self._subscribe(client)

    def _failed(self) -> None:
        for call in self._calls.values():
            call.settle(Unreachable(self._keeper.why().message))

    def _forbidden(self, words: str) -> None:
        for call in self._calls.values():
            if f'"{call.subject}"' in words:
                call.settle(Faulty("the broker does not let us publish to this peer"))

    async def _answered(self, message: Msg) -> None:
        call = self._calls.get(message.subject.rpartition(".")[2])
        if call is not None:
            nobody = message.headers and not message.data
            call.settle(Unreachable("the peer is not connected to the broker", unsent=True) if nobody else message)

    # --- receiving ----------------------------------------------------------------------------------------------------

    async def _subscribe(self, client: Connection) -> None:
        if self._deliver is not None and (self._ear is None or self._ear[0] is not client):
            with contextlib.suppress(NatsError):  # a client that just closed: the keeper sees it too
                self._ear = client, await client.subscribe(f"{self._subjects}{self._node}.in", cb=self._heard)

    async def _unsubscribe(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            with contextlib.suppress(NatsError):  # it went with its connection
                await ear[1].unsubscribe()

    async def _heard(self, message: Msg) -> None:
        deliver, size = self._deliver, len(message.data)
        if deliver is None or not message.reply.startswith(INBOX) or size > FRAME_LIMIT:
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
        client = self._keeper.client
        data = _answer_bytes(answer)
        if data is None or client is None or client.pending_data_size > BACKLOG:
            return
        with contextlib.suppress(NatsError, RuntimeError):  # the sender asks again and gets its duplicate's receipt
            await client.publish(message.reply, data)


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
        raise Unreachable(f"{peer.id} is busy", retry_after=_seconds(data[len(BUSY) :]))
    return Outcome.replied(data)


def _seconds(text: bytes) -> float:
    try:
        value = float(text[:16])
    except ValueError:
        return policy.BUSY_RETRY
    return value if 0.0 <= value <= policy.BACKOFF_CAP else policy.BUSY_RETRY


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Nats:
    """Make the NATS road. Raises SettingsError when an address or the key cannot be used."""
    found = settings.get("url") or ()
    urls = [found] if isinstance(found, str) else list(found)
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise SettingsError("nats.url must look like nats://HOST:PORT or tls://HOST:PORT")
    return Nats(urls, str(settings["node"]), str(settings["fleet"]), settings.get("nkey"))
