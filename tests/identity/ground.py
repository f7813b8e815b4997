"""A simulated fleet under attack: forged parcels from any part, and the question whether they changed anything at all.

    @in_virtual_time
    async def test_…(home): async with ground(home) as fleet: …
"""

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from fleet.core import canonical, sealing
from fleet.core import parcel as layout
from fleet.core.channel import Answer, AnswerKind
from fleet.core.envelope import Envelope, make_id
from fleet.core.parcel import Header, ParcelType
from fleet.core.peer import Manifest, Peer, write_frame
from fleet.core.receipt import Ping
from fleet.core.sealing import Secret, SigningKey
from fleet.daemon.service import Node
from fleet.engine.identity import Identity, system_item
from tests.support import virtual
from tests.support.fleet import Fleet

FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
NOBODY = sealing.signing_key(b"a key of nobody at all, 32 bytes")
BESIDE = ("reserve.json", "audit.json")  # they remember, they open nothing
TRUTH = ("outbox", "content", "inbox", "turned_away", "window", "sender", "level", "counter", "frame", "revocation",
         "words", "invite", "custody", "meta", "budget", "purse", "spending")  # fmt: skip
# what links, attempts and notices say is evidence, not truth

Test = Callable[[Path], Awaitable[None]]


def in_virtual_time(test: Test) -> Callable[[], None]:
    """Make a test of a coroutine that is told in virtual time; it gets a directory in memory."""

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=FAST) as directory:
            virtual.run(test(Path(directory)), limit=4 * virtual.MONTH)

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


@contextlib.asynccontextmanager
async def ground(home: Path, names: Iterable[str] = "abc", **more: Any) -> AsyncIterator[Fleet]:
    """A fleet whose members know each other and have just exchanged a word; no receiver may break."""
    fleet = Fleet(home, names, **more)
    await fleet.start()
    try:
        yield fleet
        assert fleet.net.bugs == []
    finally:
        await fleet.stop()


# --- parcels from any part -------------------------------------------------------------------------------------------------


def envelope(fleet: Fleet, number: int = 1, **more: Any) -> Envelope:
    """A message that was never sent."""
    now = int(virtual.now() * 1000)
    words = {"seq": 500_000 + number, "exp": now + 3_600_000, "id": make_id(now, number.to_bytes(10, "big")), "ts": now,
             "body": f"forged {number}"}  # fmt: skip
    return Envelope(**(words | more))


def mail(fleet: Fleet, number: int = 1, **more: Any) -> bytes:
    """The same as an item of a parcel."""
    return canonical.encode(envelope(fleet, number, **more))


def ping() -> bytes:
    return system_item(Ping(nonce="5" * 32))


_pids = iter(range(1, 1 << 40))


def forge(
    me: Identity, addressee: Identity, kind: ParcelType, items: Sequence[bytes], *, signing: SigningKey | None = None,
    seal: bytes = b"", intro: bytes = b"", frame: Secret | None = None, **header: Any,
) -> bytes:  # fmt: skip
    """Write a framed parcel as `me` would, with whatever is said to be different."""
    now = int(virtual.now() * 1000)
    words = {
        "v": 1, "pid": make_id(now, next(_pids).to_bytes(10, "big")), "fleet": me.fleet, "sender": me.node,
        "to": addressee.node, "ts": now, "exp": now + 3_600_000, "hops": 8, "enc": "x25519",
        "ekid": addressee.opening[0].ekid, "inc": now, "low": 1, "n": len(items),
    }  # fmt: skip
    key = signing or me.signing
    dice = make_id(now, next(_pids).to_bytes(10, "big")).encode()
    data = sealing.seal(kind, key, seal or addressee.opening[0].public, Header(**(words | header)), items, dice, intro)
    return sealing.frame(frame or addressee.fleet_keys[0], data)


def bare(framed: bytes) -> bytes:
    """The parcel within a frame that names no relay."""
    return framed[6 + 32 :]


def resigned(framed: bytes, key: SigningKey, fleet_key: Secret) -> bytes:
    """Take a signature off a parcel and put another one under it, with the kid of the new signer."""
    raw = bare(framed)
    signed = raw[:5] + key.kid + raw[13:-64]
    return sealing.frame(fleet_key, signed + sealing.sign(key, sealing.PARCEL, signed))


def rewrapped(framed: bytes, me: Identity, **changes: Any) -> bytes:
    """Keep another's sealed box unopened, and put an own header and signature around it: surreptitious forwarding."""
    raw = layout.take_apart(bare(framed))
    header = canonical.encode(msgspec.structs.replace(layout.read_header(raw.header), sender=me.node, **changes))
    signed = layout.head(raw.type, me.signing.kid, raw.intro, header, len(raw.body)) + raw.body
    return sealing.frame(me.fleet_keys[0], signed + sealing.sign(me.signing, sealing.PARCEL, signed))


def own(node: Node) -> Identity:
    return node.roster.me


def manifest_of(me: Identity, key: SigningKey | None = None, **changes: Any) -> bytes:
    """A manifest of `me` with other words, signed by `key`."""
    known = me.read_manifest()
    words = {name: getattr(known, name) for name in Manifest.__struct_fields__}
    return write_frame(Manifest(**(words | changes)), key or me.signing)


# --- what it changed -------------------------------------------------------------------------------------------------------


def truth(node: Node) -> dict[str, list[Any]]:
    """Everything a node holds to be true: its mail, its replay windows, its members, its budgets, its invitations."""
    found = {table: sorted(map(repr, node.store.db.conn.execute(f"SELECT * FROM {table}"))) for table in TRUTH}
    found["meta"] = [line for line in found["meta"] if not line.startswith("('wall',")]  # the time
    found["keys"] = [path.read_bytes() for path in sorted(node.ring.directory.iterdir()) if path.name not in BESIDE]
    found["roster"] = list(node.roster.peers())
    found["me"] = [node.roster.me.certificate, node.roster.me.manifest, node.roster.revocation.version]
    return found


async def hand(node: Node, data: bytes, road: str = "http", *, framed: bool = True, replies: bool = True) -> Answer:
    """Give bytes to a node's door, as the road does."""
    return await node.receiver.deliver_for(road, framed=framed, replies=replies)(bytes(bytearray(data)))


async def refused(node: Node, data: bytes, counter: str, **road: Any) -> Answer:
    """Hand bytes in that must change nothing, be answered to nobody who is not proven, and be counted as `counter`."""
    before, counted = truth(node), dict(node.exchange.counters)
    answer = await hand(node, data, **road)
    gained = {name for name, n in node.exchange.counters.items() if n > counted.get(name, 0)}
    after = truth(node)
    if counter.startswith("proof_"):  # what its own key proves of it may cost the signer his level, and nothing else
        before.pop("level"), after.pop("level")
    assert after == before, "it changed something"
    assert counter in gained, f"counted as {gained}, expected {counter}"
    assert "received" not in gained
    if counter.startswith("refused_"):
        assert answer.kind in (AnswerKind.NONE, AnswerKind.BUSY)
        assert answer.data == b""
    return answer


async def honest_still_flows(fleet: Fleet, *ways: tuple[str, str]) -> None:
    """Mail goes on in every direction between those who run."""
    names = list(fleet.lives)
    for sender, to in ways or [(one, other) for one in names for other in names if one != other]:
        id = await fleet.send(sender, to, f"{sender} to {to}, honestly")
        await fleet.until(lambda sender=sender, id=id: fleet.state(sender, id) == "received")
        assert [one.id for one in fleet.inbox(to)].count(id) == 1


async def settled(fleet: Fleet) -> None:
    """Everybody has written to everybody, so that keys and serials are known all around; then it is quiet."""
    await honest_still_flows(fleet)


def bodies(fleet: Fleet, name: str) -> list[str]:
    """The texts in an inbox, in their order."""
    return [str(json.loads(b"{" + mail.content)["body"]) for mail in fleet.inbox(name)]


def disguised(me: Identity, **changes: Any) -> Identity:
    """The same keys under another name or fleet."""
    return replace(me, **changes)


def peer_of(me: Identity) -> Peer:
    return Peer(id=me.node, key=me.signing.public, seal=me.opening[0].public)
