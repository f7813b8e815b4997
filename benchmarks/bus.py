"""The bus against JetStream and against the bare floor, in one run; must never compare figures of different runs.

    .venv/bin/python benchmarks/bus.py [--json] [--messages 30000] [--rounds 3] [--patience 60]

Every figure is measured --rounds times, rivals and Fleet in turn, and the best of each counts. JetStream is driven
through nats-py with 1-KiB messages: `publish` with each ack awaited under `sync_interval: always` (one at a time, and by 64
publishers; the faster counts), and publish_async + fetch + ack under the server's default (publisher and consumer as two
processes, and in one process one after the other; the faster counts). Fleet is what `fleet bench --loopback` measures.
Before each measurement it waits --patience seconds at most for the machine to be quiet.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import rivals
import uvloop
from table import Row, show, talk, wait_for_quiet

from fleet.daemon.nats_program import find_program
from fleet.faces import bench
from fleet.faces.bench_load import Load
from fleet.faces.sandbox import Sandbox, answers, free_port, listens, wait_until

SYNCED, PIPED = "JetStream publish, sync always", "JetStream publish_async + fetch + ack"
FLOOR = "NATS request + 2 fdatasync"


def main() -> int:
    """Measure, print, and say with the exit code whether every target holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=60)
    args = parser.parse_args()
    bench.on_disk(Path.cwd(), talk)
    rounds = []
    for number in range(args.rounds):
        talk(f"round {number + 1} of {args.rounds}")
        rounds.append({**_rivals(args.messages, args.patience), **_fleet(args.messages, args.patience)})
        talk("  " + ", ".join(f"{name} {value:,.1f}" for name, value in rounds[-1].items()))
    return show(_rows(rounds), args.json)


def _rivals(messages: int, patience: float) -> dict[str, float]:
    few = messages // 10
    works: dict[str, tuple[str, Callable[[str, Path], Coroutine[Any, Any, float]]]] = {
        "js_always_one": ("always", lambda url, at: rivals.publish(url, few, 1)),
        "js_always_64": ("always", lambda url, at: rivals.publish(url, few * 2, rivals.PUBLISHERS)),
        "js_default_beside": ("", lambda url, at: rivals.piped_beside(url, messages)),
        "js_default_in_turn": ("", lambda url, at: rivals.piped_in_turn(url, messages)),
        "floor": ("", lambda url, at: rivals.request_and_sync(url, at, 1000)),
    }
    found = {}
    for name, (sync, work) in works.items():
        wait_for_quiet(patience)
        found[name] = _with_server(sync, work)
    return found


def _with_server(sync: str, work: Callable[[str, Path], Coroutine[Any, Any, float]]) -> float:
    """Do the work against a nats-server of its own with a fresh store."""
    with Sandbox(Path.cwd(), "bench-nats-") as sandbox:
        port = free_port()
        sandbox.run([str(asyncio.run(find_program())), "-c", str(rivals.config(sandbox.home, port, sync))])
        url = f"nats://127.0.0.1:{port}"
        wait_until(lambda: listens(port), 10, "nats-server")
        return uvloop.run(work(url, sandbox.home))


def _fleet(messages: int, patience: float) -> dict[str, float]:
    with Sandbox(Path.cwd(), "bench-fleet-") as sandbox:
        a, b = sandbox.fleet_of(("a", "b"), {}, lambda text: None)
        wait_until(lambda: answers(a, b.name, "nats"), 15, "a good NATS road")
        wait_for_quiet(patience)
        batch = bench.measure(a.socket, Load(b.name, messages, 1024, 64, 64), lambda text: None)
        wait_for_quiet(patience)
        single = bench.measure(a.socket, Load(b.name, messages // 3, 1024, 64, 1), lambda text: None)
    return {
        "batch": batch["received_per_s"], "batch_accepted": batch["accepted_per_s"],
        "single": single["received_per_s"], "single_accepted": single["accepted_per_s"],
        "one": min(batch["received_ms"]["p50"], single["received_ms"]["p50"]),
    }  # fmt: skip


def _rows(rounds: list[dict[str, float]]) -> list[Row]:
    best = {name: (min if name in ("one", "floor") else max)(one[name] for one in rounds) for name in rounds[0]}
    always = max(best["js_always_one"], best["js_always_64"])
    piped = max(best["js_default_beside"], best["js_default_in_turn"])
    return [
        Row("JetStream publish, sync always, one at a time", best["js_always_one"], "/s"),
        Row("JetStream publish, sync always, 64 at a time", best["js_always_64"], "/s"),
        Row(PIPED, piped, "/s"),
        Row(FLOOR, best["floor"], "ms"),
        Row("Fleet: accepted, 64 messages a request", best["batch_accepted"], "/s"),
        Row("Fleet: received, 64 messages a request", best["batch"], "/s", always, SYNCED, least=5),
        Row("Fleet: the same", best["batch"], "/s", piped, PIPED, least=1.2),
        Row("Fleet: accepted, one message a request", best["single_accepted"], "/s"),
        Row("Fleet: received, one message a request", best["single"], "/s", always, SYNCED, least=1.5),
        Row("Fleet: one at a time, submit → received, p50", best["one"], "ms", best["floor"], FLOOR, most=5),
    ]


if __name__ == "__main__":
    sys.exit(main())
