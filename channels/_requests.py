"""Questions and answers over one NATS connection, in the order in which they come; never retries, never waits for a broker.

Every question has a subject of its own for its answers, below one that only this node may listen to.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from channels._keeper import Connection, Keeper, say
from fleet.core import policy, subjects
from fleet.errors import Barred, Faulty, RoadError, Unreachable

BACKLOG = 8 * 1024 * 1024  # bytes waiting for the socket before we say that the broker does not keep up
ANSWERS = 16  # of one question that may wait for us; a broker that sends more is not heard
NOBODY = "the peer is not connected to the broker"
FETCHED = "box"  # the word before the token where what comes has subjects of its own

Answers = asyncio.Queue[Msg | RoadError]


class Away(Unreachable):
    """The broker is there, but nobody answers."""


@dataclass(slots=True)
class _Call:
    """A question and what came in answer to it."""

    subject: str
    answers: Answers


class Requests:
    """Everything one node asks of or through its broker."""

    def __init__(self, keeper: Keeper, node: str) -> None:
        """Take what keeps the connection and our own id."""
        self._keeper = keeper
        self._node = node
        self._inbox = ""
        self._calls: dict[str, _Call] = {}
        self._up = asyncio.Event()

    async def ready(self, client: Connection) -> None:
        """Listen for answers on a new connection."""
        self._inbox = f"{subjects.answers(self._node)}{self._keeper.mark}{secrets.token_hex(8)}."
        await client.subscribe(self._inbox + "*", cb=self._answered)

    def began(self) -> None:
        """Say that the connection stands."""
        self._up.set()

    def failed(self) -> None:
        """Tell whoever waits that the connection is gone."""
        self._up.clear()
        for call in self._calls.values():
            _put(call.answers, Unreachable(self._keeper.why().message))

    def forbidden(self, words: str) -> None:
        """Tell whoever asked what the broker does not let us ask."""
        for call in self._calls.values():
            if f'"{call.subject.lower()}"' in words.lower():
                _put(call.answers, Faulty("the broker does not let us publish to this peer"))

    async def _answered(self, message: Msg) -> None:
        call = self._calls.get(message.subject.rpartition(".")[2])
        if call is not None:
            nobody = message.headers and not message.data
            _put(call.answers, Away(NOBODY, unsent=True) if nobody else message)

    async def connected(self) -> None:
        """Wait until there is a connection."""
        await self._up.wait()

    async def ask(self, subject: str, data: bytes, timeout: float, headers: Mapping[str, str] | None = None) -> Msg:
        """Publish and wait for the answer. Raises a RoadError, Away when there is none within `timeout` seconds."""
        client = self._connection(len(data))
        with self._call(subject) as (token, answers):
            await _publish(client, subject, data, self._inbox + token, headers)
            try:
                async with asyncio.timeout(timeout):
                    answer = await answers.get()
            except TimeoutError:
                raise Away(f"no answer within {timeout:g} s") from None
        if isinstance(answer, RoadError):
            raise answer
        return answer

    @contextlib.asynccontextmanager
    async def fetching(self, subject: str, data: bytes) -> AsyncIterator[Answers]:
        """Publish and hear, for as long as the context lasts, what comes under subjects of its own. Raises a RoadError."""
        client = self._connection(len(data))
        with self._call(subject) as (token, answers):

            async def hear(message: Msg) -> None:
                nobody = message.headers and not message.data
                _put(answers, Away(NOBODY, unsent=True) if nobody else message)

            with _said():
                ear = await client.subscribe(f"{self._inbox}{FETCHED}.{token}", cb=hear)
            try:
                await _publish(client, subject, data, f"{self._inbox}{FETCHED}.{token}")
                yield answers
            finally:
                with contextlib.suppress(NatsError, RuntimeError):  # it went with its connection
                    await ear.unsubscribe()

    @contextlib.contextmanager
    def _call(self, subject: str) -> Iterator[tuple[str, Answers]]:
        """Note a question for as long as it is asked, so that it hears what becomes of the connection."""
        token = secrets.token_hex(8)
        call = self._calls[token] = _Call(subject, asyncio.Queue(ANSWERS))
        try:
            yield token, call.answers
        finally:
            del self._calls[token]

    async def tell(self, subject: str, data: bytes) -> None:
        """Publish without waiting for anything; nothing happens where there is no connection that keeps up."""
        client = self._keeper.client
        if client is None or client.pending_data_size > BACKLOG:
            return
        with contextlib.suppress(NatsError, RuntimeError):  # whoever misses it asks again
            await client.publish(subject, data)

    def _connection(self, size: int) -> Connection:
        client = self._keeper.client
        if client is None or not client.is_connected:
            raise self._keeper.why()
        if client.pending_data_size > BACKLOG:
            raise Unreachable("the broker does not keep up", retry_after=policy.BUSY_RETRY, unsent=True)
        if size > client.max_payload:
            raise Barred(f"{size} bytes; this broker takes {client.max_payload}")
        return client


async def _publish(
    client: Connection, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None = None
) -> None:
    with _said():
        await client.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Turn what the library says of a connection that breaks into what a road says."""
    try:
        yield
    except (NatsError, RuntimeError) as error:  # uvloop says RuntimeError of a socket that is gone
        raise Unreachable(say(error)) from None


def _put(answers: Answers, value: Msg | RoadError) -> None:
    with contextlib.suppress(asyncio.QueueFull):
        answers.put_nowait(value)
