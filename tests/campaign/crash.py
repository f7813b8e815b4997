"""Power cuts in the lives of two nodes: at every moment the stores must hold what was promised, before and after they go on.

python -m tests.campaign crash --points 10000 [--seed N] [--synchronous NORMAL] [--ledger FILE]

A cut hits one node or both. Then: what was accepted is there, what is called delivered is there, the debits are those of
the rows, the audit chain is whole and not behind what the other was told of it. Then everything open is sent again, twice:
nothing may arrive twice, be paid twice or stay out. Now and then the whole nodes start on the files and do it themselves.
"""

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.core import budget
from fleet.core.envelope import Envelope, read, stamp
from fleet.core.lifecycle import Status
from fleet.core.receipt import Receipt
from fleet.engine.settling import settle
from fleet.store import Store
from fleet.store.accounts import IN, OUT
from fleet.store.inbox import Arrival, Copy
from fleet.store.notary import Notary
from tests.campaign.ledger import LEDGER, first_new, note, progress
from tests.campaign.lives import FAST, PAIR, Life, lived
from tests.support import virtual
from tests.support.fleet import Fleet

OF_ONE_LIFE = 400  # points
WHOLE_EVERY = 40  # points between two at which the whole nodes start
ENDS = ("the peer: trust", "tries used up")  # why a message may end without having arrived
ROUNDS = 50  # of sending again
SOON = 1_800_000  # ms: by then whatever waits is due, and nothing has expired
VICTIMS = (("a",), ("b",), ("a", "b"), ("a", "b"))


@dataclass
class Result:
    """What many cuts came to."""

    points: int = 0
    whole: int = 0  # of them, how often the nodes themselves went on
    resent: int = 0
    lives: int = 0
    findings: list[str] = field(default_factory=list)

    def kinds(self) -> dict[str, int]:
        """Count the findings by their first word."""
        return dict(Counter(word.split(": ")[1] for word in self.findings))


class Cut:
    """The stores of both as a cut at one moment leaves them."""

    def __init__(self, life: Life, point: int, files: dict[str, bytes], home: Path) -> None:
        self._life, self._point, self._home = life, point, home
        self._now = int((virtual.EPOCH + life.ended) * 1000)
        self.resent = 0
        for name, data in files.items():
            path = home / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
        self.stores: dict[str, Store] = {}

    def open(self) -> None:
        """Open both, each with the keys that vouch for its chain."""
        for name in PAIR:
            (self._home / name / "keys").mkdir(mode=0o700, exist_ok=True)
            store = self.stores[name] = Store.open(self._home / name / "fleet.db", self._home / name / "keys")
            store.audit.use(Notary.of(self._life.rings[name]))

    def close(self) -> None:
        """Close them."""
        for store in self.stores.values():
            store.close()

    def missing(self, *, over: bool = False) -> Iterator[str]:
        """Say what was promised before the cut and does not hold; `over` = everything had its chance to arrive."""
        boxes = {name: mail_in(store) for name, store in self.stores.items()}
        rows = {name: _outbox(store) for name, store in self.stores.items()}
        for id, promise in self._life.accepted.items():
            if promise.at <= self._point and id not in rows[promise.sender]:
                yield f"lost: {id} was accepted by {promise.sender}"
        for name, other in (PAIR, PAIR[::-1]):
            for id, (status, reason) in rows[name].items():
                there = boxes[other].count(id)
                if there > 1:
                    yield f"twice: {other} has {id} {there} times"
                if status is Status.DONE and not there:
                    yield f"false: {id} is DONE at {name}, {other} does not have it"
                if over and id in self._life.accepted and not _is_over(status, reason):
                    yield f"open: {id} of {name} is {status.name}: {reason}"
            if strangers := set(boxes[other]) - set(rows[name]):
                yield f"phantom: {other} has {sorted(strangers)[:3]}, unknown at {name}"
        for id, at in self._life.closed.items():
            promise = self._life.accepted.get(id)
            if promise is None:
                continue  # a request for repair: what nodes ask of each other is nobody's promise
            if at <= self._point and rows[promise.sender].get(id, (None,))[0] is not Status.DONE:
                yield f"forgotten: the receipt of {id} was on the disk of {promise.sender}"

    def wrong(self) -> Iterator[str]:
        """Say what does not fit together in one store, or between what one heard of the other and the other."""
        for name, other in (PAIR, PAIR[::-1]):
            store = self.stores[name]
            yield from (f"damaged: {name}: {line}" for line in store.db.integrity())
            for side in (IN, OUT):
                spent, costs = store.accounts.spent(other, side), _costs(store, side)
                if (spent.tokens, spent.micro_usd) != costs:
                    yield f"debit: {name} {side}: the purse has {spent}, the rows cost {costs}"
            checked = store.audit.verify()
            if not checked.ok:
                yield f"audit: {name}: {checked.reason} at {checked.failed_at}"
            heard = self.stores[other].beats.all().get(name)
            if heard is not None and heard.count and not _has(store, heard.count, heard.hash):
                yield f"audit: {other} was told of entry {heard.count} of {name}, which is gone"

    def go_on(self) -> Iterator[str]:
        """Send everything that is open again, each parcel twice; says what the receiver finds wrong with it."""
        for name, other in (PAIR, PAIR[::-1]):
            for _ in range(ROUNDS):
                alarms, left = self._round(name, other)
                yield from (f"alarm: {alarm}" for alarm in alarms)
                if not left:
                    break

    def _round(self, name: str, other: str) -> tuple[list[str], bool]:
        sender, receiver, now = self.stores[name], self.stores[other], self._now
        with sender.db.transaction():
            sender.outbox.apply(sender.outbox.orphans(), now)
            sender.outbox.apply(sender.outbox.sweep(other, now + SOON, expire=False), now)
            rows = sender.outbox.next_due(other, now + SOON, floor=0, limit=32)
            if not rows:
                return [], False
            inc, first = sender.sequence.take(other, len(rows), now)
            pid = f"{self._point:016x}{self.resent:016x}"
            number = sender.ledger.open_parcel(pid, other, [row.row for row in rows], now, now + 10**6)
            fresh = [row for row in rows if row.inc == 0]
            sender.outbox.lease(rows, number, inc, first, now, now + 3000)
            low = sender.outbox.low(other, inc, first + len(rows))
            costs = [_envelope(row.content).cost for row in fresh]
            purse = sender.accounts.spent(other, OUT)
            for cost in costs:
                purse = budget.debit(sender.accounts.limits(other, budget.UNLIMITED), purse, cost, purse.began)
            sender.accounts.set_spent(other, OUT, purse)
        self.resent += len(rows)
        copy = Copy(name, pid, "nats", inc, low, False, 3, at=receiver.accounts.spent(name, IN).began)
        arrivals = [Arrival(read(stamp(row.content, row.seq, row.exp)), row.content, row.digest) for row in rows]
        alarms = []
        for _ in range(2):
            with receiver.db.transaction():
                received = receiver.inbox.receive(copy, arrivals, now)
            alarms += received.alarms
        with sender.db.transaction():
            receipt = Receipt(pid=pid, road="nats", inc=received.inc, entries=tuple(received.entries))
            found = settle(receipt, rows, now)
            sender.outbox.apply(found.changes, now)
            if found.renew_above >= 0:
                sender.sequence.renew(other, now, found.renew_above)
        return alarms, True

    def restart(self, seed: str) -> None:
        """Let the whole nodes start on the files and come to rest."""
        for name in PAIR:
            home = self._life.home / name
            for path in [home / "config.toml", *(home / "keys").iterdir()]:
                target = self._home / name / path.relative_to(home)
                if path.is_file() and path.name not in ("reserve.json", "audit.json"):
                    target.parent.mkdir(mode=0o700, exist_ok=True)
                    shutil.copy2(path, target)
        virtual.run(self._restart(seed), limit=10_000.0)

    async def _restart(self, seed: str) -> None:
        fleet = Fleet(self._home, PAIR, roads=("nats", "http", "seed"), seed=seed, enrolled=True)
        for name in PAIR:
            fleet.jump(name, self._life.ended)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await fleet.start()
        for _ in range(1200):
            if not any(life.node.reader.outbox.peers_waiting() for life in fleet.lives.values()):
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(2.0)
        await fleet.stop()


def mail_in(store: Store) -> list[str]:
    """List the ids in an inbox."""
    return [id for (id,) in store.db.conn.execute("SELECT id FROM inbox")]


def _outbox(store: Store) -> dict[str, tuple[Status, str]]:
    rows = store.db.conn.execute("SELECT id, status, reason FROM outbox")
    return {id: (Status(status), reason) for id, status, reason in rows}


def _is_over(status: Status, reason: str) -> bool:
    return status is Status.DONE or (status > Status.DONE and reason.startswith(ENDS))


def _envelope(content: bytes) -> Envelope:
    return read(stamp(content, 1, 1))


def _costs(store: Store, side: str) -> tuple[int, int]:
    """Add up what the rows of one side cost: all that came in, or all that was ever leased."""
    table = "SELECT content FROM inbox" if side == IN else "SELECT bytes FROM outbox JOIN content USING (row) WHERE inc > 0"
    found = [_envelope(content).cost for (content,) in store.db.conn.execute(table)]
    return sum(cost.tokens for cost in found), sum(cost.micro_usd for cost in found)


def _has(store: Store, count: int, hash: bytes) -> bool:
    return store.db.conn.execute("SELECT 1 FROM audit WHERE seq = ? AND hash = ?", (count, hash)).get is not None


def cuts(life: Life, number: int, dice: random.Random) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Cut the power at so many moments: around every sync as far as they go, at any moment besides."""
    end = len(life.disk.log)
    around = [at for sync in life.disk.syncs() for at in (sync, sync + 1) if life.born <= at <= end]
    chosen = dice.sample(around, min(len(around), number // 2))
    chosen += [dice.randint(life.born, end) for _ in range(number - len(chosen))]

    def spared() -> Any:
        victims = dice.choice(VICTIMS)
        return lambda file: file.partition("/")[0] not in victims

    return life.disk.crashes(chosen, dice, spared)


def examine(life: Life, number: int, seed: int, result: Result) -> None:
    """Cut one life's power so often, and write down what does not hold."""
    dice = random.Random(f"cuts {seed}")
    for point, files in cuts(life, number, dice):
        with tempfile.TemporaryDirectory(dir=FAST, prefix="fleet-cut-") as directory:
            cut = Cut(life, point, files, Path(directory))
            result.points += 1
            if result.points % WHOLE_EVERY == 0:
                cut.restart(f"{seed} {point}")
                result.whole += 1
            cut.open()
            found = [*cut.missing(), *cut.wrong()]
            if not found:
                found = [*cut.go_on(), *cut.missing(over=True), *cut.wrong()]
            result.resent += cut.resent
            cut.close()
        result.findings += [f"life {seed}, cut at {point}: {word}" for word in found]


def run(points: int, seed: int, synchronous: str = "FULL", *, keep_going: bool = False) -> Result:
    """Cut the power at `points` moments of as many lives as that takes."""
    result, began = Result(), time.monotonic()
    while result.points < points and (keep_going or not result.findings):
        with lived(seed + result.lives, synchronous=synchronous) as life:
            examine(life, min(OF_ONE_LIFE, points - result.points), seed + result.lives, result)
        result.lives += 1
        each = f"{(time.monotonic() - began) / result.points * 1000:.0f} ms each"
        progress(f"{result.points}/{points} cuts", f"{len(result.findings)} findings", each)
    return result


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="campaign crash")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first life")
    parser.add_argument("--resume", action="store_true", help="go on behind the seeds in the ledger")
    parser.add_argument("--synchronous", default="FULL", choices=("FULL", "NORMAL"), help="NORMAL must lose")
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    args = parser.parse_args(arguments)
    seed, began = first_new(args.ledger, "crash") if args.resume else args.seed, time.monotonic()
    result = run(args.points, seed, args.synchronous, keep_going=args.keep_going)
    summary = {
        "what": "crash", "synchronous": args.synchronous, "seed": seed, "seeds": result.lives, "points": result.points,
        "whole": result.whole, "resent": result.resent, "seconds": round(time.monotonic() - began, 1),
        "failed": len(result.findings), "findings": result.findings[:10], "kinds": result.kinds(),
    }  # fmt: skip
    note(args.ledger, **summary)
    print(json.dumps(summary, indent=1), flush=True)
    return 1 if result.findings else 0
