"""One short life of two real nodes on a disk that remembers: what was promised, and when; it cuts nothing.

The nodes are whole (mail both ways with costs, receipts, sessions, levels, heartbeats, the audit chain, a stop, bad
weather), so every table is written as in earnest. A moment is the length of the disk's log.
"""

import asyncio
import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.core import policy
from fleet.core.submission import Submission
from fleet.errors import FleetError
from fleet.store import Store, notary, sequence
from fleet.store.files import atomic_write
from fleet.store.keys import KeyRing
from fleet.store.sessions import Session
from tests.campaign.plants import swap
from tests.support import virtual
from tests.support.enrolment import enrol
from tests.support.fleet import Fleet
from tests.support.powerloss import Disk, Op
from tests.support.weather import Weather

PAIR = ("a", "b")
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
BLOCK = 40  # numbers a block, so that the reserve file is written often
WEATHERS = (Weather(cut=True), Weather(deaf=True), Weather(drop=0.5), Weather(twice=1.0), Weather(delay=1.0, jitter=2.0))
TYPES = ("message", "message", "task", "alert", "query")
_LIVES = itertools.count()


@dataclass(slots=True)
class Promise:
    """One message that its sender accepted."""

    sender: str
    to: str
    at: int  # when the caller was told


@dataclass(slots=True)
class Life:
    """What happened, and when."""

    disk: Disk
    rings: dict[str, KeyRing]
    home: Path  # of both nodes, as they were at the end
    born: int = 0  # the moment from which points may be chosen
    accepted: dict[str, Promise] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)  # id → when its sender had the receipt on its disk
    ended: float = 0.0  # virtual seconds


@contextmanager
def lived(seed: int, *, synchronous: str = "FULL", messages: int = 60) -> Iterator[Life]:
    """Live one life; its disk and its homes are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=FAST, prefix="fleet-crash-") as directory:
        home = Path(directory)
        enrol(home, PAIR, seed=seed, trust=dict.fromkeys(PAIR, 3))
        disk = Disk(f"life {seed} {next(_LIVES)}", lambda path: f"{path.parent.name}/{path.name}")
        try:
            with recorded(disk, home, synchronous):
                yield virtual.run(_live(disk, home, seed, messages), limit=10_000.0)
        finally:
            disk.close()


@contextmanager
def recorded(disk: Disk, home: Path, synchronous: str) -> Iterator[None]:
    """Let every store that is opened write to the disk, and the files beside the keys, too."""
    for file in sorted(home.glob("*/fleet.db*")):
        disk.log.append(Op("replace", disk.name_of(file), data=file.read_bytes()))
    real: Callable[..., Store] = Store.open.__func__  # type: ignore[attr-defined]

    def open(cls: Any, path: Path, keys: Path | None = None, **options: Any) -> Store:
        return real(cls, path, keys, **{**options, "vfs": disk.name, "synchronous": synchronous})

    def write(path: Path, data: bytes, mode: int = 0o600) -> None:
        atomic_write(path, data, mode)
        disk.log.append(Op("replace", f"{path.parent.parent.name}/keys/{path.name}", data=data))

    with swap(
        (Store, "open", classmethod(open)), (sequence, "atomic_write", write), (notary, "atomic_write", write),
        (policy, "SEQ_BLOCK", BLOCK),
    ):  # fmt: skip
        yield


async def _live(disk: Disk, home: Path, seed: int, messages: int) -> Life:
    dice = random.Random(f"life {seed}")
    fleet = Fleet(home, PAIR, roads=("nats", "http", "seed"), seed=seed, enrolled=True)
    life = Life(disk, fleet.rings, home)
    fleet.on_closed = lambda sender, rows: life.closed.update((id, len(disk.log)) for id, _ in rows if id not in life.closed)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # whoever is stopped in mid-sentence
    await fleet.start()
    life.born = len(disk.log)
    while len(life.accepted) < messages:
        await dice.choice((_send, _send, _send, _read, _sit, _weather, _set_level, _restart, _rest))(fleet, life, dice)
    fleet.net.sky.clear()
    await asyncio.sleep(25.0)  # the receipts, and two heartbeats
    life.ended = fleet.net.time()
    await fleet.stop()
    return life


async def _send(fleet: Fleet, life: Life, dice: random.Random) -> None:
    sender, to = dice.sample(PAIR, 2)
    asked = [
        Submission(to=to, body="x" * dice.choice((3, 300, 3000)), type=dice.choice(TYPES),
                   cost={"tokens": dice.randint(1, 90), "usd": dice.choice((0, 0.001))} if dice.random() < 0.6 else None)
        for _ in range(dice.randint(1, 6))
    ]  # fmt: skip
    for answer in await fleet.node(sender).mail.submit(asked):
        if "error" not in answer:
            life.accepted[answer["id"]] = Promise(sender, to, len(life.disk.log))
    await asyncio.sleep(dice.choice((0.0, 0.01, 0.5)))


async def _read(fleet: Fleet, life: Life, dice: random.Random) -> None:
    node = fleet.node(dice.choice(PAIR))
    mail = node.reader.inbox.unshown(4)
    await node.mail.shown([one.id for one in mail], "a session")
    for one in mail[:2]:
        await node.mail.done(one.id)


async def _sit(fleet: Fleet, life: Life, dice: random.Random) -> None:
    """Let an agent's session be noted, and mail be handed to it."""
    node, id = fleet.node(dice.choice(PAIR)), f"session {dice.randint(1, 3)}"

    def sit(store: Store) -> None:
        now = node.world.now()
        store.sessions.put(Session(id, "claude", "claude", cwd="/work", started=now, seen=now))
        taken = store.sessions.offer([one.mail.id for one in store.sessions.pending(now, 3)], id, now)
        store.sessions.confirm(taken[:1], id, now)

    await node.writer.run(sit)


async def _weather(fleet: Fleet, life: Life, dice: random.Random) -> None:
    sender, to = dice.sample(PAIR, 2)
    fleet.net.sky.set(sender, to, dice.choice(("nats", "http", "*")), dice.choice((*WEATHERS, Weather())))


async def _set_level(fleet: Fleet, life: Life, dice: random.Random) -> None:
    node, peer = dice.sample(PAIR, 2)
    await fleet.node(node).oversight.set_trust(peer, dice.choice((2, 3)), "a campaign")


async def _restart(fleet: Fleet, life: Life, dice: random.Random) -> None:
    if dice.random() < 0.3:
        name = dice.choice(PAIR)
        try:
            await fleet.stop(name)
        except FleetError:
            return
        await fleet.start(name)


async def _rest(fleet: Fleet, life: Life, dice: random.Random) -> None:
    await asyncio.sleep(dice.choice((1.0, 3.0, 12.0)))
