"""What a daemon costs at rest and under a heap of waiting mail, what one fleet_send and one hook cost; no tuned machine.

    .venv/bin/python benchmarks/start.py [--json] [--idle 30] [--waiting 100000] [--sends 60]

fleet_send and a hook are compared with `python -c pass` of the environment's own interpreter, whole processes in turn, p50.
CPU and memory are those of the daemon's process; memory while draining is its highest resident size in either daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from table import Row, percentile, show, talk

from fleet.faces import bench, bench_load
from fleet.faces.bench_load import Line, Load
from fleet.faces.sandbox import Member, Sandbox, answers, wait_until

ROOT = Path(__file__).resolve().parents[1]
MB = 1_000_000
LOOK = 0.05
DRAINING = 300.0


def main() -> int:
    """Measure, print, and say with the exit code whether every target holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--idle", type=float, default=30, help="seconds of rest")
    parser.add_argument("--waiting", type=int, default=100_000, help="messages that wait")
    parser.add_argument("--sends", type=int, default=60)
    args = parser.parse_args()
    where = bench.on_disk(Path.cwd(), talk)
    with Sandbox(where, "bench-start-") as sandbox:
        members = sandbox.fleet_of(("a", "b", "c"), {}, talk)
        wait_until(lambda: answers(members[0], "b", "nats"), 15, "a good road")
        rows = [*sending(members[0], args.sends), *resting(members, args.idle)]
    with Sandbox(where, "bench-drain-") as sandbox:
        a, b = sandbox.fleet_of(("a", "b"), {}, talk)
        rows += draining(a, b, args.waiting)
    return show(rows, args.json)


def sending(member: Member, times: int) -> list[Row]:
    """Compare one fleet_send, and one hook for which nothing waits, with the bare interpreter."""
    bare: list[str] = [sys.executable, "-c", "pass"]
    send = [str(ROOT / "bin" / "fleet_send"), "b", "hello"]
    talk(f"{times} processes of each kind")
    hook: list[str] = [str(ROOT / "bin" / "fleet"), "hook", "prompt", "--ide", "codex"]
    event = b'{"session_id": "benchmark", "cwd": "/", "hook_event_name": "UserPromptSubmit", "prompt": "hello"}'
    took: dict[str, list[float]] = {"bare": [], "send": [], "hook": []}
    for _ in range(times):
        for name, command in (("bare", bare), ("send", send), ("hook", hook)):
            began = time.perf_counter()
            subprocess.run(command, env=member.environ, check=True, stdout=subprocess.DEVNULL, input=event)
            took[name].append((time.perf_counter() - began) * 1000)
    floor, whole, silent = (percentile(took[name], 0.5) for name in ("bare", "send", "hook"))
    return [
        Row("python -c pass, p50", floor, "ms"),
        Row("fleet_send with the daemon up, p50", whole, "ms", floor, "python -c pass", most=3),
        Row("fleet hook when nothing waits, p50", silent, "ms", floor, "python -c pass", most=3),
    ]


def resting(members: Sequence[Member], seconds: float) -> list[Row]:
    """Measure daemons that have nothing to do."""
    talk(f"three daemons rest for {seconds:.0f} s")
    time.sleep(min(5.0, seconds))
    processes = [process_of(member) for member in members]
    before = [cpu(process) for process in processes]
    time.sleep(seconds)
    spent = max(cpu(process) - was for process, was in zip(processes, before, strict=True))
    size = max(process.memory_info().rss for process in processes)
    return [
        Row("idle daemon with 2 peers, CPU", spent / seconds * 100, "% of a core", most=1),
        Row("idle daemon with 2 peers, resident", size / MB, "MB", most=80),
    ]


def draining(a: Member, b: Member, waiting: int) -> list[Row]:
    """Let mail pile up for a node that is down, then start it and watch both daemons' memory."""
    b.stop()
    talk(f"{waiting} messages wait for a node that is down")
    load = Load(b.name, waiting, 1024, 16, 64)
    with Watch([process_of(a)]) as piling:
        asyncio.run(bench_load.submit(a.socket, load))
    b.start()
    began = time.monotonic()
    with Watch([process_of(a), process_of(b)]) as watch:
        asyncio.run(_drained(a, b.name))
    took = time.monotonic() - began
    arrived = int(b.ask("stats")["counters"].get("received", 0))
    assert arrived == waiting, f"{arrived} of {waiting} arrived"
    return [
        Row(f"daemon while {waiting:,} messages pile up, highest resident", max(piling.highest) / MB, "MB"),
        Row(f"daemon that drains {waiting:,} waiting messages, highest resident", watch.highest[0] / MB, "MB", most=200),
        Row("the daemon that receives them, highest resident", watch.highest[1] / MB, "MB", most=200),
        Row("drained", waiting / took, "/s"),
    ]


async def _drained(member: Member, peer: str) -> None:
    line = await Line.open(member.socket)
    async with asyncio.timeout(DRAINING):
        await bench_load.drained(line, peer)
    line.close()


class Watch:
    """The highest resident size of some processes while a block runs, bytes."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.highest = [0] * len(processes)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            now = [process.memory_info().rss for process in self._processes]
            self.highest = [max(pair) for pair in zip(self.highest, now, strict=True)]
            if self._over.wait(LOOK):
                return


def process_of(member: Member) -> psutil.Process:
    return psutil.Process(int(member.ask("here")["pid"]))


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
