"""What the gates cost for one 1-KiB message, beside one decode and encode of the same body by the codec; sends nothing.

    .venv/bin/python benchmarks/gates.py [--json] [--rounds 20000]

The codec is timed in the same rounds as the gate, so other work on the machine slows both; the figure is the median.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from table import Row, percentile, show

from fleet.core.content import ContentGate
from fleet.core.sealing import Secret

PROSE = (
    "The reader now takes the lines in the order in which they came, and what it cannot read it hands back with the reason. "
    "I moved the loop into its own function and named the two cases; the tests are in tests/test_reader.py and run in 3 s. "
)
BODIES: dict[str, Any] = {
    "prose": (PROSE * 5)[:1024],
    "JSON": {
        "task": "review", "ok": True, "at": "2026-11-21T04:05:06Z",
        "files": [
            {"path": f"src/mod{n}.py", "lines": n * 10, "hash": f"{n * 7919**9:040x}", "note": "ends the loop when done"}
            for n in range(8)
        ],
    },
    "prose with a card number": (PROSE * 5)[:1000] + " 4111 1111 1111 1111",
}  # fmt: skip
LEVEL = 2  # what every member starts with


def main() -> int:
    """Measure, print, and say with the exit code whether every target holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=20_000)
    args = parser.parse_args()
    return show(content(args.rounds), args.json)


def content(rounds: int) -> list[Row]:
    """The content gate at level 2, per kind of body."""
    gate = ContentGate(lambda: Secret(bytes(32)))
    rows = []
    for name, body in BODIES.items():
        data = msgspec.json.encode(body)
        ours, codec = medians([partial(gate.screen, body, None, "peer", LEVEL), partial(recode, data)], rounds)
        rows.append(Row(f"content gate, {name} of {len(data)} bytes", ours, "µs", codec, f"codec {codec:.2f} µs"))
    return rows


def recode(data: bytes) -> bytes:
    """What any bus does with a message at least once."""
    return msgspec.json.encode(msgspec.json.decode(data))


def medians(acts: Sequence[Callable[[], object]], rounds: int, at_once: int = 20) -> list[float]:
    """Time acts in turn; gives the median of each, µs."""
    times: list[list[float]] = [[] for _ in acts]
    for _ in range(max(1, rounds // at_once)):
        for act, found in zip(acts, times, strict=True):
            began = time.perf_counter_ns()
            for _ in range(at_once):
                act()
            found.append((time.perf_counter_ns() - began) / at_once / 1000)
    return [percentile(found, 0.5) for found in times]


if __name__ == "__main__":
    sys.exit(main())
