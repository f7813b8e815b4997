"""What all gates cost of the whole path, and how long one message takes at the door; whole nodes in one process, no network.

    .venv/bin/python -m benchmarks.path [--json] [--messages 16384] [--rounds 3]

Two nodes on a simulated road, everything else real: accept, gates, lease, seal, verify, replay, gates, file, receipt,
settle, each with its commit on the disk. The same is run with gates that wave everything through, turn by turn; the figure
is the CPU time a message takes with the gates over that without.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.table import Row, percentile, show
from fleet.core.content import ContentGate
from fleet.core.envelope import FREE
from fleet.core.gates import Finding, Judgement, Verdict
from fleet.core.screened import Screened
from fleet.core.submission import Submission
from tests.engine.doors import Door, at_the_door, mail, parcel
from tests.engine.nodes import Tale, told

AT_ONCE = 64  # messages of one request
CLEAR = Judgement((Finding("none", Verdict.CLEAR),))


def main() -> int:
    """Measure, print, and say with the exit code whether every target holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--messages", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows = [whole_path(kind, args.messages, args.rounds) for kind in ("prose", "JSON")]
    return show([*rows, *at_door(2000)], args.json)


def body(kind: str, n: int) -> Any:
    """One KiB of what agents write."""
    text = f"{n}: the reader takes the lines in the order in which they came and hands back what it cannot read. " * 12
    files = [{"path": f"src/{i}.py", "note": text[:90]} for i in range(8)]
    return text[:1024] if kind == "prose" else {"n": n, "files": files}


def whole_path(kind: str, messages: int, rounds: int) -> Row:
    """CPU time of a message with all gates over that without any."""
    with_gates, without = [], []
    for _ in range(rounds):
        with_gates.append(cost(kind, messages))
        with waved_through():
            without.append(cost(kind, messages))
    base = median(without)
    return Row(f"all gates, {kind} of 1 KiB", median(with_gates), "µs", base, f"without {base:.1f} µs", most=1.15)


def cost(kind: str, messages: int) -> float:
    """Move messages from a to b; gives CPU µs a message, of both ends together."""
    spent = 0.0

    async def story(tale: Tale) -> None:
        nonlocal spent
        node = tale.fleet.node("a")
        bodies = [body(kind, n) for n in range(messages)]
        began = time.process_time()
        for at in range(0, messages, AT_ONCE):
            await node.mail.submit([Submission(to="b", body=one) for one in bodies[at : at + AT_ONCE]])
        await tale.fleet.until(lambda: not node.reader.outbox.peers_waiting())
        spent = time.process_time() - began

    with tempfile.TemporaryDirectory(dir=".") as directory:
        told(Path(directory), story, roads=("nats",))
    return spent / messages * 1e6


@contextlib.contextmanager
def waved_through() -> Iterator[None]:
    """Let every gate say yes without a look."""

    def seen(gate: ContentGate, text: Any, context: Any, peer: str, level: int) -> Screened:
        return Screened(text, context, gate.stamp(level))

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(ContentGate, "screen", seen))
        for module in ("inbound", "dispatch", "outbound"):
            with contextlib.suppress(AttributeError):
                stack.enter_context(mock.patch(f"fleet.engine.{module}.judge", lambda case: CLEAR))
        stack.enter_context(mock.patch("fleet.engine.dispatch.cost_in", lambda content: FREE))
        yield


def at_door(parcels: int) -> list[Row]:
    """How long one parcel with one message takes from its bytes to its signed receipt, its commit included, ms."""
    times: list[float] = []

    async def story(door: Door) -> None:
        for n in range(1, parcels + 1):
            data = parcel(door.a, "b", [mail(n, body=body("prose", n))])
            began = time.perf_counter()
            await door.bare(data)
            times.append((time.perf_counter() - began) * 1000)

    with tempfile.TemporaryDirectory(dir=".") as directory:
        at_the_door(Path(directory), story)
    return [
        Row("one message at the door, p50", percentile(times, 0.5), "ms"),
        Row("one message at the door, p99", percentile(times, 0.99), "ms", most=2.0),
    ]


if __name__ == "__main__":
    sys.exit(main())
