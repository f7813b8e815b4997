"""Small true parts for the tests of the engine: identities of one fleet, virtual time, a road that obeys a script."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fleet.core import sealing
from fleet.core.channel import Deliver, Traits
from fleet.core.envelope import Envelope, content_of
from fleet.core.envelope import digest as digest_of
from fleet.core.lifecycle import Status
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.peer import Certificate, Manifest, Peer, write_frame
from fleet.core.receipt import Entry, Fate, Receipt
from fleet.engine.hops import Hops
from fleet.engine.identity import Identity, Order, system_item, write_parcel
from fleet.engine.opening import Opener
from fleet.engine.roster import Roster
from fleet.engine.world import World
from fleet.store.outbox import Row
from tests.support import virtual

FLEET = "home"
ROOT = sealing.signing_key(b"\x01" * 32)
FLEET_KEY = sealing.Secret(b"\x07" * 32)


def world(seed: int = 0) -> World:
    """The clocks of the running virtual loop, and dice of a seed."""
    dice, loop = random.Random(seed), asyncio.get_running_loop()
    return World(lambda: int(virtual.now() * 1000), loop.time, dice.randbytes, dice.random)


def still_world(now: int = 1_000_000) -> World:
    """A world in which no time passes."""
    dice = random.Random(0)
    return World(lambda: now, lambda: 0.0, dice.randbytes, dice.random)


def identity(node: str, *, serial: int = 1, manifest_serial: int = 1, fleet: str = FLEET, root: sealing.SigningKey = ROOT,
             key: str = "") -> Identity:  # fmt: skip
    """A member; `key` gives it the keys of another name."""
    seed = sealing.hashlib.sha256((key or node).encode()).digest()
    signing, opening = sealing.signing_key(seed), sealing.opening_key(seed)
    certificate = write_frame(Certificate(v=1, fleet=fleet, node=node, key=signing.public, serial=serial), root)
    manifest = write_frame(Manifest(v=1, fleet=fleet, node=node, serial=manifest_serial, seal=opening.public), signing)
    return Identity(node, fleet, signing, (opening,), (FLEET_KEY,), ROOT.public, certificate, manifest)


def roster(node: str, *others: str) -> Roster:
    """The roster of a node that knows others."""
    made = Roster(identity(node), {}, {})
    for other in others:
        made.learn(identity(other).intro)
    return made


def opener(known: Roster) -> Opener:
    """What opens parcels for the owner of a roster."""
    return Opener(known, Hops(known))


def parcel_of(sender: Roster, to: str, items: Sequence[bytes] = (b"an item",), kind: ParcelType = ParcelType.MAIL,
              **order: Any) -> Parcel:  # fmt: skip
    """A sealed parcel."""
    peer = sender.get(to)
    assert peer is not None
    here = still_world()
    return write_parcel(sender.me, peer, list(items), Order(kind, here.now() + 1000, **order), here)


def receipt_for(answerer: Roster, parcel: Parcel, fate: Fate = Fate.STORED, **changes: Any) -> bytes:
    """A receipt for a whole parcel, signed by the owner of a roster."""
    item = system_item(Receipt(**{"pid": parcel.pid, "road": "nats", "fate": fate} | changes))
    return parcel_of(answerer, parcel.sender, (item,), ParcelType.RECEIPT, re=parcel.pid).data


def row(n: int, *, seq: int = 0, type: str = "message", tries: int = 0, taken: dict[str, int] | None = None) -> Row:
    """Message n as a leased row of an outbox."""
    envelope = Envelope(seq=0, exp=10_000_000, id=f"{n:032x}", ts=0, type=type, body=f"message {n}")
    content = content_of(envelope)
    return Row(n, envelope.id, "b", type, 1, Status.SENDING, content, digest_of(content), seq or n, 5, 10_000_000, tries,
               1, 0, "", taken or {}, 0, "", "", "", 0, 9)  # fmt: skip


def entry(one: Row, fate: Fate, **changes: Any) -> Entry:
    """What a receipt says of a row."""
    return Entry(**{"id": one.id, "seq": one.seq, "digest": one.digest, "fate": fate} | changes)


Answer = Outcome | Exception | Callable[[Peer, Parcel], Outcome]


class Script:
    """A channel that answers its calls from a list of (seconds, answer), the last one for ever."""

    def __init__(self, name: str, *answers: tuple[float, Answer], **traits: Any) -> None:
        self.name = name
        self.traits = Traits(**traits)
        self.answers = list(answers)
        self.calls: list[tuple[float, Parcel, float]] = []  # when, what, how much time it was given
        self.cancelled = 0

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Nothing to do."""

    async def listen(self, deliver: Deliver) -> None:
        """Never hear anything."""
        await asyncio.Event().wait()

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Answer as the script says."""
        self.calls.append((asyncio.get_running_loop().time(), parcel, timeout))
        delay, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Outcome) else answer(peer, parcel)


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    @property
    def events(self) -> list[str]:
        """The events alone."""
        return [event for event, _ in self.lines]


def names(channels: Iterable[Script]) -> dict[str, Script]:
    """Channels by name, in order."""
    return {channel.name: channel for channel in channels}
