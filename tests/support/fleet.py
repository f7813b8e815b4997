"""A fleet of real Nodes on one SimNet in virtual time: start, stop, crash, restore, jump clocks, send, look; no threads.

Everything of a node is the real thing but its roads, its clocks and its dice. A crash takes effect at once: nothing more
reaches the disk or the net, also what the node's tasks still do before they are gone.
"""

import asyncio
import dataclasses
import json
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from channels import relay
from fleet.core import sealing
from fleet.core.channel import Channel
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.peer import Peer
from fleet.core.receipt import Receipt
from fleet.core.submission import Submission
from fleet.daemon.service import Node
from fleet.engine.identity import Order, system_item, write_parcel
from fleet.engine.world import World
from fleet.errors import StoreError, UsageError
from fleet.store.database import Database
from fleet.store.inbox import Mail
from fleet.store.keys import KeyRing
from fleet.store.outbox import Row
from tests.support import virtual
from tests.support.enrolment import enrol, paths_at, settings_of
from tests.support.simnet import SimNet
from tests.support.simroad import SimChannel

DEFAULT_ROADS = ("nats", "http", "ssh", "git")


class Disk(Database):
    """A node's database whose power can be cut before or after the commit that is to come."""

    def __init__(self, db: Database, on_cut: Callable[[], None], on_closed: Callable[[list[tuple[str, str]]], None]) -> None:
        super().__init__(db.conn, db.path, readonly=False)
        self.dead = False
        self.commits = 0
        self.cut_before = self.cut_after = -1  # at which commit
        self._on_cut = on_cut
        self._on_closed = on_closed
        self._touched: set[int] = set()  # rows of the outbox
        db.conn.set_update_hook(self._touch)

    def _touch(self, kind: int, database: str, table: str, row: int) -> None:
        if table == "outbox":
            self._touched.add(row)

    def begin(self) -> None:
        """Begin, if there is power."""
        if self.dead:
            raise StoreError("the power is gone")
        super().begin()

    def commit(self) -> None:
        """Commit, if there is power before; tell of success only if there is power afterwards."""
        self.commits += 1
        if self.commits == self.cut_before:
            self.cut()
        if self.dead:
            raise StoreError("the power is gone")
        super().commit()
        if self._touched:
            rows, self._touched = sorted(self._touched), set()
            marks = ",".join(map(str, rows))
            closed = self.conn.execute(f"SELECT id, peer FROM outbox WHERE row IN ({marks}) AND status = 4").fetchall()
            self._on_closed(closed)
        if self.commits == self.cut_after:
            self.cut()
            raise StoreError("the power is gone")

    def cut(self) -> None:
        """Cut the power."""
        if not self.dead:
            self.dead = True
            self._on_cut()


class Life:
    """One process of a node, from its start to its stop or crash."""

    def __init__(self, node: Node, channels: dict[str, SimChannel]) -> None:
        self.node = node
        self.channels = channels
        self.disk: Disk | None = None


class Fleet:
    """N nodes and what is between them."""

    def __init__(self, directory: Path, names: Iterable[str], *, roads: Iterable[str] = DEFAULT_ROADS, seed: object = 0,
                 enrolled: bool = False, **enrolment: Any) -> None:  # fmt: skip
        """Make the homes (unless they are `enrolled` already); nobody runs yet."""
        self.directory = directory
        self.names = list(names)
        self.roads = tuple(roads)
        self.net = SimNet(seed)
        self.net.now_ms = lambda: int(virtual.now() * 1000)
        self.net.forge = self._forge
        self.lives: dict[str, Life] = {}
        self.jumped = dict.fromkeys(self.names, 0.0)  # seconds the wall clock of a node is off
        self.on_log: Callable[[str, str, dict[str, Any]], None] = lambda name, event, fields: None
        self.on_crash: Callable[[str], None] = lambda name: None
        self.on_closed: Callable[[str, list[tuple[str, str]]], None] = lambda name, rows: None  # DONE, on the disk
        self._dice = {name: random.Random(f"node {name} {seed}") for name in self.names}
        self._burials: set[asyncio.Task[None]] = set()
        if not enrolled:
            enrol(directory, self.names, seed=seed, **enrolment)
        self.rings = {name: KeyRing.load(paths_at(directory / name).keys) for name in self.names}

    # --- lives --------------------------------------------------------------------------------------------------------

    async def start(self, *names: str) -> None:
        """Start nodes, all when none is named."""
        for name in names or self.names:
            await self._start(name)

    async def _start(self, name: str) -> None:
        assert name not in self.lives, f"{name} runs already"
        if self._burials:
            await asyncio.gather(*self._burials)
        home = self.directory / name
        self.rings[name] = KeyRing.load(paths_at(home).keys)  # keys change while a node lives
        channels = self.net.roads(name, self.roads)
        node = Node(
            settings_of(home), paths_at(home), self.rings[name], world=self.world(name), inline=True,
            channels=self._ordered(channels, lambda peer: node.chiefs(peer)),
            log=lambda event, **fields: said(event, fields),
        )  # fmt: skip

        def said(event: str, fields: dict[str, Any]) -> None:
            if self.lives.get(name) is life:
                self.on_log(name, event, fields)

        life = self.lives[name] = Life(node, channels)
        await node.start()
        life.disk = Disk(
            node.store.db, lambda: self._powerless(name, life), lambda rows: self.on_closed(name, rows)
        )
        node.writer._store = dataclasses.replace(node.store, db=life.disk)

    def _ordered(self, channels: dict[str, SimChannel], chiefs: Callable[[Peer], list[Peer]]) -> dict[str, Channel]:
        """Put the roads in their order; the relay is the real one, over the simulated roads before it."""
        made: dict[str, Channel] = {}
        for name in self.roads:
            made[name] = channels[name] if name in channels else relay.build({"chiefs": chiefs}, made)
        return made

    async def stop(self, *names: str) -> None:
        """Stop nodes in order, all that run when none is named."""
        for name in names or list(self.lives):
            if name in self.lives:  # a fuse may have ended it meanwhile
                await self.lives.pop(name).node.stop()
        if self._burials:
            await asyncio.gather(*self._burials)

    async def crash(self, name: str) -> None:
        """End a node without any order: what is not committed is gone, what is not on the wire never goes."""
        life = self.lives[name]
        assert life.disk is not None
        life.disk.cut()
        await asyncio.gather(*self._burials)

    def crash_at_commit(self, name: str, ahead: int, *, after: bool) -> None:
        """Cut a node's power at its `ahead`-th commit from now, just before or just after it."""
        disk = self.lives[name].disk
        assert disk is not None
        if after:
            disk.cut_after = disk.commits + ahead
        else:
            disk.cut_before = disk.commits + ahead

    def _powerless(self, name: str, life: Life) -> None:
        self.net.detach(name, life.channels.values())
        if self.lives.get(name) is life:
            del self.lives[name]
        self.on_crash(name)
        task = asyncio.ensure_future(life.node.stop())
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    def backup(self, name: str, *, keys: bool = False) -> None:
        """Copy a node's database while it runs; with `keys` the file beside the keys, too."""
        home = self.directory / name
        (home / "backup.db").unlink(missing_ok=True)
        self.lives[name].node.store.db.conn.execute("VACUUM INTO ?", (str(home / "backup.db"),))
        reserve = paths_at(home).reserve
        if keys:
            (home / "backup.json").write_bytes(reserve.read_bytes() if reserve.exists() else b"{}")

    def restore(self, name: str, *, keys: bool = False) -> None:
        """Put the copy in the database's place."""
        assert name not in self.lives, f"{name} runs"
        paths = paths_at(self.directory / name)
        for suffix in ("-wal", "-shm"):
            paths.database.with_name(paths.database.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(paths.home / "backup.db", paths.database)
        if keys:
            shutil.copyfile(paths.home / "backup.json", paths.reserve)

    def acquaint(self, name: str, other: str) -> None:
        """Let a node learn of another and tell everybody, as the one does that lets a member in."""
        node = self.node(name)
        node.gossip.learn([self.node(other).roster.me.intro])
        for peer in node.roster.peers():
            node.gossip.tell(peer.id)

    def clog(self, name: str, sender: str, gaps: int) -> None:
        """Let a node remember so many ranges of the numbers of a sender, far above those in use."""
        pairs = [[1_000_000 + 2 * gap, 1_000_001 + 2 * gap] for gap in range(gaps)]
        db = self.node(name).store.db
        with db.transaction():
            db.conn.execute("UPDATE window SET ranges = ? WHERE sender = ?", (json.dumps(pairs), sender))

    # --- time and dice ------------------------------------------------------------------------------------------------

    def world(self, name: str) -> World:
        """Give a node its clocks and its dice, which go on where its last life left them."""
        dice, loop = self._dice[name], asyncio.get_running_loop()
        return World(
            lambda: int((virtual.now() + self.jumped[name]) * 1000), loop.time, dice.randbytes, dice.random
        )

    def jump(self, name: str, seconds: float) -> None:
        """Set a node's wall clock forward or back."""
        self.jumped[name] += seconds

    # --- mail ---------------------------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """Give a running node."""
        return self.lives[name].node

    async def send(self, sender: str, to: str, body: str = "hello", **words: Any) -> str:
        """Submit a message; gives its id once it is accepted."""
        answer = (await self.node(sender).mail.submit([Submission(to=to, body=body, **words)]))[0]
        if "error" in answer:
            raise UsageError("{code}: {message}".format(**answer["error"]))
        return str(answer["id"])

    def row(self, sender: str, id: str) -> Row:
        """Read a message's row at its sender."""
        row = self.node(sender).reader.outbox.get(id)
        assert row is not None, id
        return row

    def state(self, sender: str, id: str) -> str:
        """Say in the outside word how far a message is."""
        return str(self.node(sender).mail.standing(id)["state"])

    def inbox(self, name: str) -> list[Mail]:
        """List everything that came in, oldest first."""
        return self.node(name).reader.inbox.unshown(100_000, all=True)

    async def until(self, done: Callable[[], bool], limit: float = 600.0, step: float = 0.25) -> float:
        """Let time pass until something holds; gives how long it took. Fails after `limit` seconds."""
        began = self.net.time()
        while not done():
            assert self.net.time() - began < limit, "it did not come to pass"
            await asyncio.sleep(step)
        return self.net.time() - began

    # --- lies ---------------------------------------------------------------------------------------------------------

    def _forge(self, lie: str, channel: SimChannel, parcel: Parcel) -> bytes:
        """Make the answer a lying road gives."""
        if lie == "ok":
            return b"200 OK"
        if lie == "echo":
            return parcel.data
        if lie == "other":
            return self.net.answers.get((parcel.to, channel.node), b"nothing was answered yet")
        data = self._false_receipt(lie, channel.node, parcel)
        fleet_key = self.rings[channel.node].fleet_keys[0]
        return sealing.frame(fleet_key, data) if channel.traits.framed else data

    def _false_receipt(self, lie: str, asker: str, parcel: Parcel) -> bytes:
        """Write a receipt that says `stored` for the whole parcel, signed by somebody who is not the addressee."""
        third = next(name for name in self.names if name not in (asker, parcel.to))
        me = self.lives[third].node.roster.me if third in self.lives else self.lives[asker].node.roster.me
        if lie != "member":
            me = dataclasses.replace(me, node=parcel.to)
        if lie == "stranger":
            me = dataclasses.replace(me, signing=sealing.signing_key(b"a key of nobody at all, 32 bytes"))
        peer = Peer(id=asker, seal=self.rings[asker].opening[0].public)
        order = Order(ParcelType.RECEIPT, parcel.exp, re=parcel.pid)
        item = system_item(Receipt(pid=parcel.pid, road="nats"))
        return write_parcel(me, peer, [item], order, self.world(third)).data
