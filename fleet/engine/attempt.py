"""One try: the deadline, the proof of the answer, and the supervision of listeners. The broad excepts live here.

A channel's word is evidence, never proof. DELIVERED and REJECTED leave this file only with the addressee's verified
signature over this very parcel; everything else is DEFERRED, TAKEN or worse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from fleet.core import sealing
from fleet.core.channel import Channel
from fleet.core.outcome import Attempt, Outcome, Result, Word
from fleet.core.parcel import ANSWERS, Parcel, ParcelType
from fleet.core.peer import Peer
from fleet.core.plan import Step
from fleet.core.receipt import GOOD, Ping, Receipt, read_ping, read_receipt
from fleet.engine.opening import Opened, Opener
from fleet.engine.world import World
from fleet.errors import Barred, Bug, Faulty, FleetError, Unreachable, WireError

T = TypeVar("T")
Log = Callable[..., None]
Frame = Callable[[str, bytes, tuple[str, ...]], bytes]  # next hop, parcel, relays it came through


@dataclass(frozen=True, slots=True)
class Cargo:
    """A sealed parcel on its way, and what its answer must regard."""

    parcel: Parcel
    kind: ParcelType = ParcelType.MAIL
    nonce: str = ""  # of a ping
    origin: str = ""  # whose parcel it is when it is not ours: its answer is proven but not opened
    via: tuple[str, ...] = ()  # relays it came through, this node last


class Attempts:
    """Tries parcels on roads for one node."""

    def __init__(self, opener: Opener, frame: Frame, world: World, log: Log) -> None:
        """Take what proves answers (`opener`), wraps hops (`frame`) and records bugs (`log`)."""
        self._opener = opener
        self._frame = frame
        self._world = world
        self._log = log
        self.on_opened: Callable[[Opened], None] = lambda opened: None
        self.on_unproven: Callable[[str], None] = lambda code: None
        self.on_made: Callable[[Attempt], None] = lambda attempt: None

    async def make(self, channel: Channel, peer: Peer, cargo: Cargo, step: Step) -> Attempt:
        """Carry `cargo` over one road within the step's deadline and say truthfully what came of it."""
        started_at, began = self._world.now(), self._world.steady()
        attempt = await self._try(channel, peer, cargo, step)
        made = replace(
            attempt, started_at=started_at, ms=(self._world.steady() - began) * 1000.0,
            unsent=attempt.unsent or not channel.traits.carries,
        )  # fmt: skip
        self.on_made(made)
        return made

    async def _try(self, channel: Channel, peer: Peer, cargo: Cargo, step: Step) -> Attempt:
        blank = Attempt(cargo.parcel.pid, peer.id, channel.name, 0, 0.0, Result.DEFERRED)
        try:
            parcel = self._fit(channel, peer.id, cargo)
            async with asyncio.timeout(step.deadline):
                outcome = await channel.send(peer, parcel, step.deadline)
            return self._weigh(blank, outcome, cargo, channel.traits.framed)
        except Barred as error:
            return replace(blank, result=Result.BARRED, reason=error.message, unsent=True, homeless=error.address)
        except Faulty as error:
            return replace(blank, result=Result.FAULTY, reason=error.message, security=error.security, unsent=True)
        except Unreachable as error:
            return replace(blank, reason=error.message, retry_after=error.retry_after, unsent=error.unsent)
        except ConnectionRefusedError as error:
            return replace(blank, reason=error.strerror or "connection refused", unsent=True)
        except TimeoutError:
            return replace(blank, reason=f"no answer within {step.deadline:g} s")
        except OSError as error:
            return replace(blank, reason=error.strerror or type(error).__name__)
        except FleetError as error:
            return replace(blank, reason=error.message)
        except Exception as error:  # a bug of the channel: recorded by its type, never by its words; the cascade goes on
            self._log("bug", channel=channel.name, error=type(error).__name__)
            return replace(blank, reason=f"a bug in {channel.name}: {type(error).__name__}")

    def _fit(self, channel: Channel, peer: str, cargo: Cargo) -> Parcel:
        parcel = cargo.parcel
        if len(parcel) > channel.traits.max_bytes:
            raise Barred(f"{len(parcel)} bytes, {channel.name} takes {channel.traits.max_bytes}")
        return replace(parcel, data=self._frame(peer, parcel.data, cargo.via)) if channel.traits.framed else parcel

    def _weigh(self, blank: Attempt, outcome: Outcome, cargo: Cargo, framed: bool) -> Attempt:
        """Turn a channel's word into a result; only a proven answer is more than custody."""
        if outcome.word is Word.TAKEN:
            return replace(blank, result=Result.TAKEN, reason=outcome.holder)
        if outcome.word is Word.NUDGED:
            return replace(blank, result=Result.NUDGED)
        try:
            return self._prove(blank, outcome.data, cargo, framed)
        except WireError as error:
            self.on_unproven(error.code)
            return replace(blank, reason=f"an answer that proves nothing: {error.message}")

    def _prove(self, blank: Attempt, data: bytes, cargo: Cargo, framed: bool) -> Attempt:
        opened = self._opener.open(data, framed=framed)
        self.on_opened(opened)
        if opened.peer.id != cargo.parcel.to or opened.header.re != cargo.parcel.pid or opened.type not in ANSWERS:
            raise WireError("it does not regard this parcel")
        if cargo.origin:
            return self._prove_for(blank, opened, cargo)
        items = self._opener.items(opened)
        if opened.type is ParcelType.PONG:
            return self._prove_pong(blank, read_ping(items[0]), cargo)
        receipt = read_receipt(items[0])
        if receipt.pid != cargo.parcel.pid:
            raise WireError("it regards another parcel")
        good = any(entry.fate in GOOD for entry in receipt.entries) if receipt.entries else receipt.fate in GOOD
        result = Result.DELIVERED if good else Result.REJECTED
        return replace(blank, result=result, receipt=receipt, reason="" if good else _why(receipt))

    def _prove_for(self, blank: Attempt, opened: Opened, cargo: Cargo) -> Attempt:
        """Prove an answer that is meant for the origin of a relayed parcel; it stays sealed."""
        if opened.header.to != cargo.origin:
            raise WireError("it answers somebody else")
        return replace(blank, result=Result.DELIVERED, answer=opened.raw.signed + opened.raw.signature)

    def _prove_pong(self, blank: Attempt, pong: Ping, cargo: Cargo) -> Attempt:
        if cargo.kind is not ParcelType.PING or not sealing.same(pong.nonce.encode(), cargo.nonce.encode()):
            raise WireError("a pong to another ping")
        return replace(blank, result=Result.DELIVERED)


def _why(receipt: Receipt) -> str:
    if receipt.entries:
        first = receipt.entries[0]
        return f"{first.fate}: {first.reason}" if first.reason else str(first.fate)
    return f"{receipt.fate}: {receipt.reason}" if receipt.reason else str(receipt.fate)


async def supervise(
    name: str, work: Callable[[], Awaitable[None]], log: Log, *, pause: float = 1.0, limit: float = 30.0
) -> None:
    """Keep a listener or a loop running: one that ends or breaks is started again after `pause` seconds, doubling."""
    delay = pause
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await work()
            log("ended", part=name)
        except FleetError as error:
            log("failed", part=name, reason=error.message)
        except Exception as error:  # a bug in one part must not end the others
            log("bug", part=name, error=type(error).__name__, where=where(error))
        if asyncio.get_running_loop().time() - began > limit:
            delay = pause
        await asyncio.sleep(delay)
        delay = min(limit, delay * 2)


async def contain(name: str, work: Awaitable[T], log: Log) -> T:
    """Give what `work` gives; a bug in it is logged by its place and raised as Bug, so that whoever waits is answered."""
    try:
        return await work
    except FleetError:
        raise
    except Exception as error:  # the caller of one part gets an answer, and the others go on
        log("bug", part=name, error=type(error).__name__, where=where(error))
        raise Bug(hint="fleet logs --level error, then fleet bugreport") from None


def where(error: BaseException) -> str:
    """Name the innermost line of a traceback: a place, never a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""
