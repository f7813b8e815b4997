"""Executes the commands of a story against a fleet and writes down what happens; judges nothing.

    fleet a b c [roads=nats,http] [down=c] [strangers=c] [trust.b=3] [config.a=LINE;LINE]
    send a b m1 [type=task] [priority=urgent] [ttl=60s] [channel=http] [count=5]      m1 … m1.5 are names for ids
    run 5s · sky a>b nats hole delay=2 · sky a-b * cut · sky clear · doze b
    stop a · start a · crash a · crash a before 2 · crash a after 1 · backup a [keys] · restore a [keys]
    jump a -3600s · acquaint a c · clog b a · unclog b a
    cancel m1 · retry m1 · shown b m1 · done b m1 · peer a b enabled=false · reset a b nats
    show pings · hide links
    where m1 … · trace m1 · links a b · inbox b · numbers b a · counts a NAME …
"""

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fleet.core.envelope import make_id
from fleet.core.lifecycle import State
from fleet.core.submission import seconds
from fleet.errors import FleetError
from tests.support import virtual
from tests.support.fleet import DEFAULT_ROADS, Fleet
from tests.support.simroad import Trip, kind_of, pid_of
from tests.support.weather import CLEAR, read_weather

QUIET = {"started", "stopped", "not authenticated"}  # said by the story itself, or by the next line


_IDS = re.compile(r"\b[0-9a-f]{32}\b")


class Teller:
    """One story being told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fleet: Fleet | None = None
        self.lines: list[str] = []
        self._happened: list[tuple[float, str, str]] = []  # when, to whom, in words
        self.ids: dict[str, str] = {}  # m1 → id
        self.way: dict[str, tuple[str, str]] = {}  # m1 → sender, addressee
        self._names: dict[str, str] = {}  # id → m1
        self._hidden = {"ping", "pong", "heartbeat", "manifest"}

    async def tell(self, command: str) -> list[str]:
        """Execute one command; gives what happened meanwhile and what it answers."""
        self.lines, self._happened = [], []
        word, *words = shlex.split(command)
        act: Callable[..., Awaitable[None]] = getattr(self, f"do_{word}")
        try:
            await act(*words)
        except FleetError as error:
            self.lines.append(f"{error.code}: {error.message}")
        self._happened.sort(key=lambda one: one[:2])  # in one moment node by node, each in its own order
        return [text for _, _, text in self._happened] + self.lines

    @property
    def world(self) -> Fleet:
        """The fleet, once the story made it."""
        assert self.fleet is not None, "a story begins with: fleet a b"
        return self.fleet

    # --- what happens -------------------------------------------------------------------------------------------------

    def note(self, node: str, text: str, at: float | None = None) -> None:
        """Write down what happened to a node; ids are called by their names."""
        now = self.world.net.time()
        for id in _IDS.findall(text):
            text = text.replace(id, self._names.get(id, id))
        self._happened.append((round(now, 3), node, f"{now if at is None else at:9.3f}  {text}"))

    def _ended(self, trip: Trip) -> None:
        if trip.kind in self._hidden:
            return
        took = trip.over - trip.at
        after = f" after {took:.3g} s" if took >= 0.0005 else ""
        what = " ".join([trip.kind, *self._named(trip.sender, trip.pid)])
        self.note(trip.sender, f"{trip.sender} → {trip.to}  {trip.road:4}  {what}: {trip.end}{after}", trip.at)

    def _handed(self, node: str, road: str, data: bytes, answer: str) -> None:
        if kind_of(data) in self._hidden:
            return
        names = [name for sender in self.world.lives for name in self._named(sender, pid_of(data))]
        self.note(node, f"{node} ← {road}  {' '.join([kind_of(data), *names])}: answers {answer}")

    def _named(self, sender: str, pid: str) -> list[str]:
        life = self.world.lives.get(sender)
        parcel = life.node.reader.ledger.parcel(pid) if life is not None and pid else None
        if life is None or parcel is None:
            return []
        rows = life.node.reader.outbox.by_rows(parcel.rows)
        return [self._names.get(row.id, row.id) for row in rows]

    def _logged(self, name: str, event: str, fields: dict[str, Any]) -> None:
        if event in QUIET | self._hidden:
            return
        if event == "link":
            change = f"{fields['old']} → {fields['new']} ({fields['reason']})"
            self.note(name, f"{name}: {fields['channel']} to {fields['peer']} {change}")
        else:
            self.note(name, f"{name}: {event}: " + ", ".join(f"{key} {value}" for key, value in fields.items()))

    # --- the fleet ----------------------------------------------------------------------------------------------------

    async def do_fleet(self, *words: str) -> None:
        """Make and start a fleet."""
        names = [word for word in words if "=" not in word]
        said = dict(word.split("=", 1) for word in words if "=" in word)
        roads = said.pop("roads", ",".join(DEFAULT_ROADS)).split(",")
        down, strangers = said.pop("down", "").split(","), said.pop("strangers", "").split(",")
        trust = {key[6:]: int(value) for key, value in said.items() if key.startswith("trust.")}
        config = {key[7:]: value.replace(";", "\n") for key, value in said.items() if key.startswith("config.")}
        self.fleet = Fleet(self.directory, names, roads=roads, strangers=strangers, trust=trust, config=config)
        self.fleet.net.on_end, self.fleet.net.on_hand = self._ended, self._handed
        self.fleet.on_log = self._logged
        self.fleet.on_crash = lambda name: self.note(name, f"{name} crashes")
        await self.fleet.start(*(name for name in names if name not in down))

    async def do_start(self, name: str) -> None:
        """Start a node again."""
        await self.world.start(name)

    async def do_stop(self, name: str) -> None:
        """Stop a node in order."""
        await self.world.stop(name)

    async def do_crash(self, name: str, when: str = "", ahead: str = "1") -> None:
        """Cut a node's power now, or before or after a commit to come."""
        if when:
            self.world.crash_at_commit(name, int(ahead), after=when == "after")
        else:
            await self.world.crash(name)

    async def do_backup(self, name: str, keys: str = "") -> None:
        """Copy a node's database, perhaps the file beside the keys as well."""
        self.world.backup(name, keys=bool(keys))

    async def do_restore(self, name: str, keys: str = "") -> None:
        """Put the copy in place of the database."""
        self.world.restore(name, keys=bool(keys))

    async def do_acquaint(self, one: str, other: str) -> None:
        """Let a node hear of a member as if it had just joined: everybody it knows is told."""
        self.world.acquaint(one, other)

    async def do_clog(self, node: str, sender: str) -> None:
        """Fill a replay window with gaps."""
        self.world.clog(node, sender, 4096)

    async def do_unclog(self, node: str, sender: str) -> None:
        """Close the gaps."""
        self.world.clog(node, sender, 1)

    async def do_jump(self, name: str, much: str) -> None:
        """Set a wall clock forward or back."""
        self.world.jump(name, -seconds(much[1:]) if much[0] == "-" else seconds(much.lstrip("+")))

    async def do_run(self, time: str) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds(time))

    async def do_sky(self, way: str, road: str = "*", *words: str) -> None:
        """Change the weather of a link, a>b one way, a-b both."""
        if way == "clear":
            self.world.net.sky.clear()
            return
        weather = read_weather(list(words)) if words else CLEAR
        one, other = way.split(">" if ">" in way else "-")
        sky = self.world.net.sky
        (sky.set if ">" in way else sky.both)(one, other, road, weather)

    async def do_doze(self, name: str) -> None:
        """Let a machine fall asleep: nothing reaches it until it is woken."""
        self.world.net.asleep.add(name)

    async def do_show(self, *kinds: str) -> None:
        """Write pings, manifests or links down."""
        self._hidden -= {kind.rstrip("s") for kind in kinds}

    async def do_hide(self, *kinds: str) -> None:
        """Leave them out."""
        self._hidden |= {kind.rstrip("s") for kind in kinds}

    # --- mail ---------------------------------------------------------------------------------------------------------

    async def do_send(self, sender: str, to: str, name: str, *words: str) -> None:
        """Submit one message or several."""
        said = dict(word.split("=", 1) for word in words)
        count = int(said.pop("count", "1"))
        for number in range(1, count + 1):
            one = name if count == 1 else f"{name}.{number}"
            id = make_id(int(virtual.now() * 1000), len(self.ids).to_bytes(10, "big"))
            self.ids[one], self._names[id], self.way[one] = id, one, (sender, to)
            await self.world.send(sender, to, **{"body": one, **said}, id=id)

    async def do_cancel(self, name: str) -> None:
        """Take a message back."""
        await self.world.node(self.way[name][0]).mail.cancel(self.ids[name])

    async def do_retry(self, name: str) -> None:
        """Give a dead letter a new life."""
        await self.world.node(self.way[name][0]).mail.retry(self.ids[name])

    async def do_shown(self, node: str, *names: str) -> None:
        """Mark mail as shown."""
        await self.world.node(node).mail.shown([self.ids[name] for name in names], "a session")

    async def do_done(self, node: str, name: str) -> None:
        """Mark mail as processed."""
        await self.world.node(node).mail.done(self.ids[name])

    async def do_peer(self, node: str, peer: str, *words: str) -> None:
        """Say something of a peer at run time."""
        said = {key: {"true": True, "false": False}.get(value, value) for key, value in (w.split("=", 1) for w in words)}
        await self.world.node(node).control.peer_set(peer, said, add=False)

    async def do_reset(self, node: str, peer: str, channel: str) -> None:
        """Believe that a link is mended."""
        await self.world.node(node).control.reset(peer, channel)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def do_where(self, *names: str) -> None:
        """Say how far messages are at both ends."""
        for name in names:
            sender, to = self.way[name]
            words = [f"{name}:"]
            if sender in self.world.lives:
                row = self.world.row(sender, self.ids[name])
                words.append(self.world.state(sender, self.ids[name]))
                words += [f"({row.what})"] if row.what else []
                words += [f"tries {row.tries}"] if row.tries else []
                words += [f"because {row.reason}"] if row.reason else []
            if to in self.world.lives:
                copies = [mail for mail in self.world.inbox(to) if mail.id == self.ids[name]]
                words.append(f"— in {to}'s inbox: {', '.join(mail.state.value for mail in copies) or 'no'}")
            self.lines.append(" ".join(words))

    async def do_trace(self, name: str) -> None:
        """List every attempt on record."""
        node = self.world.node(self.way[name][0])
        for attempt in node.reader.ledger.attempts_of(self.world.row(node.id, self.ids[name])):
            reason = f": {attempt.reason}" if attempt.reason else ""
            self.lines.append(f"{attempt.channel:4}  {attempt.result}{reason} ({attempt.ms:.0f} ms)")

    async def do_links(self, node: str, peer: str) -> None:
        """Show the links to a peer."""
        links = self.world.node(node).links.snapshot(peer)
        words = [f"{name} {'untried' if link.untried else link.health.value}" for name, link in links.items()]
        self.lines.append(", ".join(words))

    async def do_inbox(self, node: str) -> None:
        """List what came in, in its order."""
        mail = [f"{self._names.get(one.id, one.id)}" + (f" {one.state.value}" if one.state is not State.RECEIVED else "")
                for one in self.world.inbox(node)]  # fmt: skip
        self.lines.append(", ".join(mail) or "nothing")

    async def do_numbers(self, node: str, sender: str) -> None:
        """Show the incarnations and numbers under which mail of a sender came."""
        found = self.world.node(node).reader.db.conn.execute(
            "SELECT id, seq, dense_rank() OVER (ORDER BY inc) FROM inbox WHERE sender = ? ORDER BY row", (sender,)
        )
        self.lines += [f"{self._names[id]}: number {seq} of incarnation {inc}" for id, seq, inc in found]

    async def do_counts(self, node: str, *names: str) -> None:
        """Show counters of a node."""
        counters = self.world.node(node).exchange.counters
        self.lines.append(", ".join(f"{name} {counters.get(name, 0)}" for name in names))
