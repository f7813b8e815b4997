"""The doors of one node, and parcels to bring to them; answers are opened at the other end."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet.core import canonical
from fleet.core.channel import Answer, AnswerKind
from fleet.core.envelope import Envelope
from fleet.core.parcel import ParcelType
from fleet.core.receipt import Receipt, read_receipt
from fleet.daemon.service import Node
from fleet.engine.identity import Order, write_parcel
from tests.engine.nodes import Tale, told
from tests.support import virtual


def mail(n: int = 1, **changes: Any) -> bytes:
    """An envelope as it travels."""
    now = int(virtual.EPOCH * 1000)
    return canonical.encode(
        Envelope(**{"seq": n, "exp": now + 600_000, "id": f"{n:032x}", "ts": now, "body": f"body {n}"} | changes)
    )


def parcel(sender: Node, to: str, items: list[bytes], kind: ParcelType = ParcelType.MAIL, **order: Any) -> bytes:
    """A sealed parcel of a node, bare."""
    peer = sender.roster.get(to)
    assert peer is not None
    words = {"exp": sender.world.now() + 600_000, "inc": 5, "low": 1} | order
    return write_parcel(sender.roster.me, peer, items, Order(kind, **words), sender.world).data


class Door:
    """The doors of b, and a pair of keys to open its answers."""

    def __init__(self, tale: Tale) -> None:
        self.tale = tale
        self.a, self.b = tale.fleet.node("a"), tale.fleet.node("b")
        self.bare = self.b.receiver.deliver_for("ssh", framed=False, replies=True)
        self.box = self.b.receiver.deliver_for("git", framed=False, replies=False)
        self.framed = self.b.receiver.deliver_for("nats", framed=True, replies=True)

    def receipt(self, answer: Answer) -> Receipt:
        """Open an answer at a."""
        assert answer.kind is AnswerKind.SIGNED
        opener = self.a.attempts._opener
        opened = opener.open(answer.data, framed=False)
        return read_receipt(opener.items(opened)[0])

    @property
    def counted(self) -> dict[str, int]:
        """The counters of b."""
        return self.b.exchange.counters


def at_the_door(tmp_path: Path, story: Callable[[Door], Awaitable[None]], **options: Any) -> Tale:
    """Run a story at the doors of b."""

    async def run(tale: Tale) -> None:
        tale.fleet.net.sky.set("*", "*", "*", replace(tale.fleet.net.sky.at("", "", ""), cut=True))  # nobody else speaks
        await story(Door(tale))

    return told(tmp_path, run, "abc", **options)
