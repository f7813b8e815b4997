"""Two daemons under a steady load for long: memory, live objects, descriptors and the WAL, sampled; the stores read last.

python -m tests.campaign soak --minutes 30 --rate 20 [--settled 10] [--ledger FILE]
"""

import argparse
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fleet.errors import NoDaemon
from tests.campaign.kill import bugs
from tests.campaign.ledger import LEDGER, note, progress
from tests.campaign.reading import Record, Sent, check, sha
from tests.support.nodes import Node, World, until

EVERY = 15.0  # seconds between two samples
WALL = 64 << 20  # bytes of WAL
MORE_MEMORY = 3.0  # MB from the settled minute to the last
MORE_OBJECTS = 0.02
SIZES = (40, 200, 200, 1000, 4000)  # characters of a body
COUNTED = Path(__file__).with_name("counted.py")


@dataclass(frozen=True)
class Sample:
    """One daemon at one moment."""

    minute: float
    rss: float  # MB
    own: float  # MB of it that no file backs
    sqlite: float  # MB that SQLite holds: its page caches, above all
    objects: int
    files: int
    wal: int  # bytes


@dataclass
class Watched:
    """One node and everything that was seen of it."""

    node: Node
    counts: Path
    samples: list[Sample] = field(default_factory=list)

    def look(self, minute: float) -> None:
        """Take a sample."""
        node = self.node
        assert node.process is not None
        lines = len(self._lines())
        node.signal(signal.SIGUSR2)
        until(lambda: len(self._lines()) > lines, f"{node.name} counts its objects", 60)
        status = dict(line.split(":", 1) for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines())
        log = node.database.with_name("fleet.db-wal")
        objects, sqlite = map(int, self._lines()[-1].split())
        files = len(os.listdir(f"/proc/{node.process.pid}/fd"))
        self.samples.append(Sample(
            round(minute, 2), _megabytes(status["VmRSS"]), _megabytes(status["RssAnon"]), round(sqlite / 2**20, 2), objects,
            files, log.stat().st_size if log.exists() else 0,
        ))  # fmt: skip

    def _lines(self) -> list[str]:
        return self.counts.read_text().splitlines() if self.counts.exists() else []


def _megabytes(text: str) -> float:
    return round(int(text.split()[0]) / 1024, 2)


class Stream(threading.Thread):
    """Sends so many messages a second from one node to another, and shows and finishes what came in, until told to stop."""

    def __init__(self, node: Node, to: str, rate: float, record: Record, seed: int) -> None:
        super().__init__(daemon=True, name=f"stream {node.name}")
        self._node, self._to, self._rate = node, to, rate
        self._record, self._dice = record, random.Random(seed)
        self._ended = threading.Event()
        self.refused: list[Any] = []
        self.read = 0

    def run(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._ended.wait(0.25):
            due = int((time.monotonic() - began) * self._rate) - sent
            if due > 0:
                self._send(min(due, 64))
                sent += min(due, 64)
            if self._dice.random() < 0.1:
                self._read()

    def stop(self) -> None:
        """Let the last request end."""
        self._ended.set()
        self.join(60)

    def _send(self, count: int) -> None:
        messages = [self._message() for _ in range(count)]
        try:
            answers = self._node.submit(messages)
        except NoDaemon as error:
            self.refused.append(repr(error))
            return
        for answer in answers:
            if answer.get("state") == "accepted":
                self._record.accepted.add(answer["id"])
            else:
                self.refused.append(answer)

    def _message(self) -> dict[str, Any]:
        dice = self._dice
        id = f"{time.time_ns() // 1_000_000:012x}7{dice.getrandbits(12):03x}{dice.getrandbits(62) | 2 << 62:016x}"
        body = f"{len(self._record.asked)} " + "word " * (dice.choice(SIZES) // 5)
        self._record.asked[id] = Sent(self._node.name, self._to, sha(body))
        return {"id": id, "to": self._to, "body": body}

    def _read(self) -> None:
        """Do what an agent does with its mail."""
        mail = self._node.ask("inbox", limit=50)
        ids = [one["id"] for one in mail]
        if ids:
            self._node.ask("shown", ids=ids, session="soak")
            self.read += len(ids)
        for id in ids[:2]:
            self._node.ask("done", id=id)


def soak(minutes: float, rate: float, settled: float, seed: int) -> dict[str, Any]:
    """Run it; `findings` says what was more than it may be."""
    with World() as world:
        watched = [_spied(world, node) for node in world.pair()]
        record = Record()
        streams = [
            Stream(one.node, other.node.name, rate / 2, record, seed + place)
            for place, (one, other) in enumerate((watched, watched[::-1]))
        ]
        for stream in streams:
            stream.start()
        _sample(watched, minutes)
        for stream in streams:
            stream.stop()
        world.drained(120)
        findings = check({one.node.name: one.node.database for one in watched}, record)
        findings += [f"refused: {words}" for stream in streams for words in stream.refused[:5]]
        findings += [f"bug: {line}" for one in watched for line in bugs(one.node)]
        nodes = {one.node.name: growth(one.samples, settled) for one in watched}
        findings += [f"{name}: {word}" for name, grown in nodes.items() for word in excess(grown)]
        return {"accepted": len(record.accepted), "read": sum(s.read for s in streams), "nodes": nodes,
                "last": {one.node.name: asdict(one.samples[-1]) for one in watched}, "findings": findings[:20]}  # fmt: skip


def _spied(world: World, node: Node) -> Watched:
    """Start a node's daemon anew as one that counts."""
    counts = world.home / f"{node.name}.objects"
    node.terminate()
    node.program = (sys.executable, "-I", str(COUNTED))
    node.environ["COUNTED"] = str(counts)
    node.start()
    return Watched(node, counts)


def _sample(watched: Sequence[Watched], minutes: float) -> None:
    began = time.monotonic()
    while (gone := time.monotonic() - began) < minutes * 60:
        time.sleep(min(EVERY, minutes * 60 - gone))
        for one in watched:
            one.look((time.monotonic() - began) / 60)
        words = (f"{one.node.name} {one.samples[-1]}" for one in watched)
        progress(f"{(time.monotonic() - began) / 60:.1f}/{minutes:g} min", *words)


def growth(samples: Sequence[Sample], settled: float) -> dict[str, Any]:
    """Compare the settled minute with the last one: medians, so that one busy moment decides nothing."""
    end = samples[-1].minute
    early = [one for one in samples if settled <= one.minute < settled + 1.1] or list(samples[:1])
    late = [one for one in samples if one.minute > end - 1.1]

    def step(name: str) -> list[float]:
        return [statistics.median(float(getattr(one, name)) for one in part) for part in (early, late)]

    names = ("rss", "own", "sqlite", "objects", "files")
    return {name: step(name) for name in names} | {"wal": max(one.wal for one in samples)}


def excess(grown: dict[str, Any]) -> list[str]:
    """Say what grew by more than it may."""
    found = []
    if grown["rss"][1] - grown["rss"][0] > MORE_MEMORY:
        found.append(f"memory grew: {grown['rss']} MB")
    if abs(grown["objects"][1] / grown["objects"][0] - 1) > MORE_OBJECTS:
        found.append(f"live objects: {grown['objects']}")
    if grown["files"][1] > grown["files"][0] + 2:
        found.append(f"descriptors: {grown['files']}")
    if grown["wal"] >= WALL:
        found.append(f"WAL: {grown['wal']} bytes")
    return found


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="campaign soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second, both directions together")
    parser.add_argument("--settled", type=float, default=10.0, help="the minute from which growth counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    args = parser.parse_args(arguments)
    found = soak(args.minutes, args.rate, args.settled, args.seed)
    note(args.ledger, what="soak", seed=args.seed, minutes=args.minutes, rate=args.rate, load=os.getloadavg(), **found)
    print(found, "FAILED" if found["findings"] else "passed", sep="\n", flush=True)
    return 1 if found["findings"] else 0
