"""`fleet bench`: rates and percentiles of this bus on this machine; must never measure a store that is not on a disk."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fleet.errors import UnknownPeer, UsageError
from fleet.faces import bench_load
from fleet.faces.bench_load import Course, Line, Load
from fleet.faces.caller import Caller
from fleet.faces.render import Screen
from fleet.faces.sandbox import Sandbox, Talk, answers, mounts, wait_until

T = TypeVar("T")
LIMITS = {"messages": 10_000_000, "size": 256 * 1024, "concurrency": 200, "batch": 4096}
VOLATILE = frozenset({"tmpfs", "ramfs", "devtmpfs"})
ELSEWHERE = ("/var/tmp",)  # noqa: S108  kept over a restart, so never in memory


def run(args: Namespace) -> int:
    """Measure as the arguments say and print the figures."""
    screen = Screen(json=args.json)
    if bool(args.peer) == bool(args.loopback):
        raise UsageError("fleet bench --peer P measures this node and P, fleet bench --loopback two nodes of its own")
    for name, most in LIMITS.items():
        if not 1 <= getattr(args, name) <= most:
            raise UsageError(f"--{name} is a number from 1 to {most}")
    load = Load(args.peer or "b", args.messages, args.size, args.concurrency, args.batch)
    found = loopback(load, screen.talk) if args.loopback else peer(load, screen.talk)
    if screen.json:
        screen.value(found)
    else:
        report(found, screen)
    return 0


def report(found: dict[str, Any], screen: Screen) -> None:
    """Print the figures for people."""
    accept, received = found["accept_ms"], found["received_ms"]
    screen.table(
        ("what", "figure"),
        [
            ("accepted", f"{found['accepted_per_s']:,.0f} messages a second"),
            ("received", f"{found['received_per_s']:,.0f} messages a second, from the first submit to the last receipt"),
            ("a request accepted", f"{accept['p50']:.2f} ms p50, {accept['p99']:.2f} ms p99"),
            ("one at a time, received", f"{received['p50']:.2f} ms p50, {received['p99']:.2f} ms p99"),
        ],
    )


def peer(load: Load, talk: Talk) -> dict[str, Any]:
    """Measure this machine's daemon and a peer of it."""
    call = Caller()
    known = [found["node"] for found in call.ask("peers")]
    if load.peer not in known:
        raise UnknownPeer(f"no peer is called {load.peer!a}: {', '.join(known) or 'there is none'}", hint="fleet peers")
    talk(f"{load.messages + bench_load.SINGLES} messages of {load.size} bytes will stand in the inbox of {load.peer}")
    return measure(str(call.house.paths.socket), load, talk)


def loopback(load: Load, talk: Talk) -> dict[str, Any]:
    """Measure two nodes and a broker made for this, with their stores on a disk."""
    with Sandbox(on_disk(Path.cwd(), talk), "fleet-bench-") as sandbox:
        a, b = sandbox.fleet_of(("a", load.peer), {}, talk)
        wait_until(lambda: answers(a, b.name, "nats"), 15, "a good NATS road between the two nodes")
        return measure(a.socket, load, talk)


def on_disk(wanted: Path, talk: Talk) -> Path:
    """Give a directory on a disk: the one wanted, or another when that is in memory. Raises UsageError."""
    if not in_memory(wanted):
        return wanted
    for other in map(Path, ELSEWHERE):
        if other.is_dir() and not in_memory(other):
            talk(f"{wanted} is in memory, where an fsync costs nothing: the stores go to {other}")
            return other
    raise UsageError(f"{wanted} is in memory, where an fsync costs nothing", hint="cd to a directory on a disk")


def in_memory(directory: Path) -> bool:
    """Whether a directory lies on a file system without a disk."""
    real = directory.resolve()
    holding = [(len(point), kind) for point, kind in mounts() if real.is_relative_to(point)]
    return max(holding, default=(0, ""))[1] in VOLATILE


def measure(path: str, load: Load, talk: Talk) -> dict[str, Any]:
    """Drive the load against the local API at `path`; gives the figures of contract.md."""
    return _run(_measure(path, load, talk))


async def _measure(path: str, load: Load, talk: Talk) -> dict[str, Any]:
    line = await Line.open(path)
    try:
        await bench_load.drained(line, load.peer)
        await bench_load.one_by_one(line, load, min(20, load.messages))  # roads open, caches warm
        talk(f"submitting {load.messages} messages, {load.batch} a request, {load.concurrency} requests at a time")
        began = time.perf_counter()
        course = await bench_load.submit(path, load)
        accepted = time.perf_counter() - began
        await bench_load.drained(line, load.peer)
        received = time.perf_counter() - began
        talk("sending one message at a time")
        singles = await bench_load.one_by_one(line, load, min(bench_load.SINGLES, load.messages))
    finally:
        line.close()
    return _figures(load, course, accepted, received, singles)


def _figures(load: Load, course: Course, accepted: float, received: float, singles: Sequence[float]) -> dict[str, Any]:
    return {
        "peer": load.peer, "messages": load.messages, "size": load.size, "concurrency": load.concurrency,
        "batch": load.batch, "accepted_per_s": round(load.messages / accepted, 1),
        "received_per_s": round(load.messages / received, 1), "accept_ms": percentiles(course.took),
        "received_ms": percentiles(singles),
    }  # fmt: skip


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Give p50 and p99 in ms."""
    ranked = sorted(seconds)
    return {name: round(ranked[int((len(ranked) - 1) * part)] * 1000, 3) for name, part in (("p50", 0.5), ("p99", 0.99))}


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
