"""Attacks 15 and 16 in full: a crowd of slow and idle strangers, junk over NATS and HTTP, honest mail all the while.

python -m tests.campaign flood [--kinds crowd,nats,http] [--slow 500] [--idle 5000] [--rate 20000] [--seconds 60] …
"""

import argparse
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.attacks.floods import START, Crowd, Junk, by_http, by_nats, descriptors, door_of, honest, memory
from tests.campaign.ledger import LEDGER, note, progress
from tests.support.nodes import Node, World, until

FILES = 256
GROWTH = 100.0  # MB
KINDS = ("crowd", "nats", "http")


def main(arguments: list[str]) -> int:
    """Run it; 0 when every bound held."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign flood", description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--idle", type=int, default=5_000)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--no-ledger", action="store_true")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    asked = parser.parse_args(arguments)
    failed = False
    for kind in asked.kinds.split(","):
        summary = run(kind, asked)
        print(json.dumps(summary))
        failed |= bool(summary["findings"])
        if not asked.no_ledger:
            note(asked.ledger, **summary)
    return int(failed)


def run(kind: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Flood node a in one way while b writes to it; `findings` must be empty."""
    with World() as world:
        a = world.found("a", nats=kind == "nats")
        b = world.join("b", a)
        honest(b, a, 5)
        before, files, said = memory(a), descriptors(a), len(a.log)
        with ExitStack() as stack:
            weapon = _weapon(kind, a, b, asked, stack)
            took, most, began = _endure(a, b, weapon, asked.seconds), memory(a, "VmHWM"), time.perf_counter()
            peak = max(open for _, open in took)
            until(lambda: kind != "crowd" or descriptors(a) <= files + 2, "the crowd is let go", 60)
            healed = time.perf_counter() - began
        times = sorted(seconds for seconds, _ in took)
        return {
            "what": "flood", "seed": 0, "kind": kind, "seconds": asked.seconds,
            "volume": weapon.sent if isinstance(weapon, Junk) else [asked.slow, asked.idle], "honest": len(times),
            "p50_s": round(times[len(times) // 2], 3), "p99_s": round(times[int(len(times) * 0.99)], 3),
            "files": peak, "rss_mb": round(most - before, 1), "log_bytes": len(a.log) - said, "healed_s": round(healed, 1),
            "findings": [
                *(["descriptors"] if peak >= FILES else []), *(["memory"] if most - before >= GROWTH else []),
                *([] if a.alive() else ["a is down"]),
            ],
        }  # fmt: skip


def _weapon(kind: str, a: Node, b: Node, asked: argparse.Namespace, stack: ExitStack) -> Junk | Crowd:
    if kind == "crowd":
        stack.enter_context(Crowd(door_of(a), asked.idle, block=10))
        slow = stack.enter_context(Crowd(door_of(a), asked.slow))
        slow.say(START)
        return slow
    return stack.enter_context(Junk(by_nats(b, a, asked.rate) if kind == "nats" else by_http(a)))


def _endure(a: Node, b: Node, weapon: Junk | Crowd, seconds: float) -> list[tuple[float, int]]:
    """Write honest messages for so long: what each took, and the daemon's descriptors then."""
    found, end = list[tuple[float, int]](), time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        (took,) = honest(b, a, 1)
        found.append((took, descriptors(a)))
        if isinstance(weapon, Crowd):
            weapon.say(b"x")
        if len(found) % 100 == 0:
            progress(f"{len(found)} honest messages", f"latest {took:.2f} s")
    return found
