"""Runs one random schedule in virtual time and says which laws it broke, how long it took, and the hash of its trace."""

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.core.envelope import make_id
from fleet.core.submission import Desk, Submission, draft_of
from fleet.errors import FleetError
from fleet.store import Store
from tests.campaign import gatelaws
from tests.campaign.checker import Sent, Watch, check, database
from tests.campaign.plan import LEVELS, NAMES, STORM, Act, Plan, make_plan
from tests.support import virtual
from tests.support.enrolment import enrol, paths_at
from tests.support.fleet import Fleet
from tests.support.weather import Weather

DRAIN = 600.0  # seconds after the storm in which everything must come to its end
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


@dataclass(slots=True)
class Report:
    """How one schedule went."""

    seed: int
    broken: list[str] = field(default_factory=list)
    trace: str = ""
    messages: int = 0
    delivered: int = 0
    dead: int = 0
    lives: int = 0
    trips: int = 0
    pings: int = 0
    drained: float = 0.0  # virtual seconds
    virtual: float = 0.0
    took: float = 0.0  # real seconds


class Homes:
    """The homes of a fleet of five, made once and copied for every schedule."""

    def __init__(self) -> None:
        self._made = tempfile.TemporaryDirectory(dir=FAST, prefix="fleet-homes-")
        enrol(Path(self._made.name), NAMES, seed="campaign", trust=dict(zip(NAMES, (*LEVELS, 2), strict=True)))

    def copy(self, names: list[str], to: Path) -> None:
        """Lay the homes of some of them out."""
        for name in names:
            shutil.copytree(Path(self._made.name) / name, to / name)

    def close(self) -> None:
        """Delete them."""
        self._made.cleanup()


def run_schedule(seed: int, homes: Homes, nodes: tuple[int, int] = (3, 5), messages: int = 200) -> Report:
    """Run one schedule from its seed."""
    plan = make_plan(seed, nodes, messages)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=FAST, prefix="fleet-sim-") as directory:
        homes.copy(plan.names, Path(directory))
        report = virtual.run(Schedule(plan, Path(directory)).run(), limit=10_000.0)
    report.took = time.perf_counter() - began
    return report


class Schedule:
    """One schedule under way."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.fleet = Fleet(directory, plan.names, roads=plan.roads, seed=plan.seed, enrolled=True)
        self.watch = Watch(self.fleet)
        self.sent: dict[str, Sent] = {}
        self.ended: dict[str, list[float]] = {name: [] for name in plan.names}
        self.alarms = 0
        self._account = gatelaws.account(plan.seed, plan.names)
        self._hash = hashlib.sha256()
        self._made = 0
        self._asides: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        """Let everything happen, then clear the sky and wait until all is quiet."""
        fleet, net = self.fleet, self.fleet.net
        asyncio.get_running_loop().set_exception_handler(self._uncaught)
        net.on_send, net.on_end = self.watch.sending, self._over
        fleet.on_log, fleet.on_crash, fleet.on_closed = self._log, self._crashed, self.watch.closed
        self._set_limits()
        await fleet.start()
        for act in self.plan.acts:
            await asyncio.sleep(max(0.0, act.at - net.time()))
            await self._do(act)
        await asyncio.sleep(max(0.0, STORM - net.time()))
        net.sky.clear()
        for name, off in fleet.jumped.items():  # a clock that stays in doubt lets nothing expire
            fleet.jump(name, -off)
        drained = await self._drain()
        for name in list(fleet.lives):
            self.ended[name].append(net.time())
        await fleet.stop()
        return self._report(drained)

    async def _do(self, act: Act) -> None:
        """Let one act happen; a node that is down does nothing."""
        self._note(f"{act.word} {act.arguments}")
        do: Callable[..., Any] = getattr(self, f"_do_{act.word}")
        await do(*act.arguments)

    # --- acts ---------------------------------------------------------------------------------------------------------

    async def _do_send(self, sender: str, to: str, count: int, words: dict[str, Any], aside: bool) -> None:
        asked = [self._submission(sender, to, words) for _ in range(count)]
        if sender not in self.fleet.lives or aside:
            self._submit_aside(sender, asked)
        else:
            task = asyncio.ensure_future(self._submit(sender, asked))
            self._asides.add(task)
            task.add_done_callback(self._asides.discard)

    def _submission(self, sender: str, to: str, words: dict[str, Any]) -> Submission:
        self._made += 1
        body = f"message {self._made} of {self.plan.seed}"
        id = make_id(int(virtual.now() * 1000), self._made.to_bytes(10, "big"))
        self.sent[id] = Sent(sender, to, body, sure=False)
        cost = gatelaws.cost_of(self.plan.seed, self._made) if (sender, to) == self._account else None
        return Submission(to=to, body=body, id=id, cost=cost, **words)

    def _set_limits(self) -> None:
        """Let one member allow another less than that one's mail will cost."""
        payer, payee = self._account
        paths = paths_at(self.fleet.directory / payee)
        store = Store.open(paths.database, paths.keys)
        try:
            with store.db.transaction():
                store.accounts.set_limits(payer, gatelaws.LIMITS, 0)
        finally:
            store.close()

    async def _submit(self, sender: str, asked: list[Submission]) -> None:
        """Ask the daemon."""
        try:
            answers = await self.fleet.node(sender).mail.submit(asked)
        except FleetError:
            return  # nobody knows; the store will say
        for answer in answers:
            if "error" not in answer:
                self.sent[answer["id"]].sure = True

    def _submit_aside(self, sender: str, asked: list[Submission]) -> None:
        """Write into the store as `fleet_send` does while no daemon answers."""
        paths = paths_at(self.fleet.directory / sender)
        world = self.fleet.world(sender)
        store = Store.open(paths.database, paths.keys)
        try:
            drafts = [draft_of(one, Desk(), world.now(), world.dice(10)) for one in asked]
            with store.db.transaction():
                store.outbox.submit(drafts, world.now())
        finally:
            store.close()
        for draft in drafts:
            self.sent[draft.id].sure = True

    async def _do_cancel(self, sender: str) -> None:
        if sender in self.fleet.lives:
            node = self.fleet.node(sender)
            for row in node.reader.outbox.list_open(1):
                await self._bravely(node.mail.cancel(row.id))

    async def _do_read(self, name: str) -> None:
        if name in self.fleet.lives:
            node = self.fleet.node(name)
            mail = node.reader.inbox.unshown(10)
            await self._bravely(node.mail.shown([one.id for one in mail], "a session"))
            for one in mail[:3]:
                await self._bravely(node.mail.done(one.id))

    async def _bravely(self, work: Any) -> None:
        """Do what a crash may interrupt."""
        try:
            await work
        except FleetError:
            return

    async def _do_sky(self, sender: str, receiver: str, road: str, weather: Weather, both: bool) -> None:
        sky = self.fleet.net.sky
        (sky.both if both else sky.set)(sender, receiver, road, weather)

    async def _do_jump(self, name: str, seconds: float) -> None:
        self.fleet.jump(name, seconds)

    async def _do_enable(self, name: str, peer: str, enabled: bool) -> None:
        if name in self.fleet.lives:
            await self._bravely(self.fleet.node(name).control.peer_set(peer, {"enabled": enabled}, add=False))

    async def _do_end(self, name: str, kind: str, ahead: int) -> None:
        if name not in self.fleet.lives:
            return
        if kind == "stop":
            self.ended[name].append(self.fleet.net.time())
            await self.fleet.stop(name)
        elif kind == "crash":
            await self.fleet.crash(name)
        else:
            self.fleet.crash_at_commit(name, ahead, after=kind == "after")

    async def _do_start(self, name: str) -> None:
        if name not in self.fleet.lives:
            await self.fleet.start(name)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _drain(self) -> float:
        """Wait until nobody has anything left to deliver."""
        began = self.fleet.net.time()
        while self.fleet.net.time() - began < DRAIN:
            for name in self.fleet.names:  # whoever is still down, or whose fuse was lit in the storm
                await self._do_start(name)
            if not any(life.node.reader.outbox.peers_waiting() for life in self.fleet.lives.values()):
                break
            await asyncio.sleep(0.5)
        return self.fleet.net.time() - began

    def _report(self, drained: float) -> Report:
        broken = check(self.fleet, self.watch, self.sent, self.alarms, self.ended)
        broken += gatelaws.check(self.fleet, *self._account)
        statuses = self._statuses()
        self._note(repr(sorted(statuses.items())))
        trips = self.watch.trips
        return Report(
            self.plan.seed, broken, self._hash.hexdigest()[:16], len(self.sent),
            sum(status == 4 for status in statuses.values()), sum(status > 4 for status in statuses.values()),
            sum(map(len, self.ended.values())), len(trips), sum(trip.kind == "ping" for trip in trips), drained,
            self.fleet.net.time(),
        )  # fmt: skip

    def _statuses(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in self.fleet.names:
            store = Store.open(database(self.fleet, name), readonly=True)
            found.update(store.db.conn.execute("SELECT id, status FROM outbox"))
            store.close()
        return found

    # --- what is noted ------------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._hash.update(f"{self.fleet.net.time():.6f} {text}\n".encode())

    def _over(self, trip: Any) -> None:
        self._note(f"{trip.at:.6f} {trip.sender}>{trip.to} {trip.road} {trip.kind} {trip.pid} {trip.end}")

    def _log(self, name: str, event: str, fields: dict[str, Any]) -> None:
        self._note(f"{name} {event} {sorted(fields.items())}")
        if event == "alarm":
            self.alarms += 1
        if event == "bug" and fields.get("error") != "ValueError":  # ValueError is the weather's
            self.watch.say(f"a bug at {name}: {fields}")

    def _crashed(self, name: str) -> None:
        self.ended[name].append(self.fleet.net.time())
        self._note(f"{name} crashes")

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, FleetError):  # whoever was killed in mid-sentence
            self.watch.say(f"nobody caught: {context.get('message')} {error!r}")
