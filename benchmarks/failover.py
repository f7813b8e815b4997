"""How long mail takes that was under way over NATS when NATS went: killed, frozen, cut off; must never touch the host's net.

    .venv/bin/python benchmarks/failover.py [--json] [--rounds 30] [--forms killed,frozen,dropped]

Two nodes and a nats-server of their own. 16 callers send one message after the other and wait for each receipt; then
NATS goes. A message counts that was under way at that moment and came over another road; its time begins at that moment.
    killed   kill -9 of nats-server
    frozen   SIGSTOP of nats-server: the kernel still acknowledges, nobody answers
    dropped  its packets are dropped by nft in both directions; needs root, in a network namespace of its own
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from table import Row, percentile, show, talk

from fleet.daemon.nats_program import find_program
from fleet.faces import bench
from fleet.faces.bench_load import ONE, Line, write
from fleet.faces.sandbox import Member, Sandbox, answers, free_port, listens, wait_until

CALLERS = 16
FLOWING = 0.4  # seconds of traffic before NATS goes
AFTER = {"killed": 2.5, "frozen": 4.0, "dropped": 4.0}  # …and after that
TARGETS = {"killed": (0.3, 2.0), "frozen": (0.6, 3.0), "dropped": (0.6, 3.0)}  # p50, p99 in seconds
INSIDE = "FLEET_BENCH_NAMESPACE"


@dataclass
class Traffic:
    """Callers that send and wait, and what each message took."""

    path: str
    over: bool = False
    sent: list[tuple[float, float, str, str]] = field(default_factory=list)  # begin, end, channel, state

    async def call(self) -> None:
        line = await Line.open(self.path)
        request = write(b"/message?wait=received&timeout=20", json.dumps({"to": "b", "body": "x" * 1024}).encode(), ONE)
        while not self.over:
            began = time.monotonic()
            answer = json.loads(await line.ask(request))
            self.sent.append((began, time.monotonic(), answer.get("channel", ""), answer.get("state", "")))
        line.close()


class Stage:
    """Two nodes and the nats-server between them, which comes and goes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.port = free_port()
        self.program = str(asyncio.run(find_program()))
        self.raise_server()
        url = {"FLEET_NATS_SERVE": "false", "FLEET_NATS_URL": f"nats://127.0.0.1:{self.port}"}
        self.a, self.b = sandbox.fleet_of(("a", "b"), url, talk)

    def raise_server(self) -> None:
        self.server = self.sandbox.run([self.program, "-a", "127.0.0.1", "-p", str(self.port)])
        wait_until(lambda: listens(self.port), 10, "nats-server")

    def settle(self) -> None:
        """Wait until mail goes over NATS first again."""
        self.a.ask("reset", peer="b", channel="nats")
        wait_until(lambda: answers(self.a, "b", "nats") and first_road(self.a) == "nats", 30, "a good NATS road")

    def go(self, form: str) -> None:
        if form == "killed":
            self.server.kill()
        elif form == "frozen":
            self.server.send_signal(signal.SIGSTOP)
        else:
            drop(self.port)

    def come_back(self, form: str) -> None:
        if form == "killed":
            self.server.wait()
            self.raise_server()
        elif form == "frozen":
            self.server.send_signal(signal.SIGCONT)
        else:
            undrop()


def first_road(member: Member) -> str:
    plan = member.ask("explain", peer="b", type="message")["plan"]
    return str(plan[0]["channel"]) if plan else ""


def drop(port: int) -> None:
    """Cut a port off, both ways, in this network namespace."""
    chain = f"type filter hook output priority 0\ntcp dport {port} drop\ntcp sport {port} drop"
    rules = f"table inet cut {{\nchain out {{\n{chain}\n}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


def undrop() -> None:
    subprocess.run(["nft", "delete", "table", "inet", "cut"], check=True)


async def one_round(path: str, go: Callable[[], None], after: float) -> tuple[list[float], list[float]]:
    """Let traffic flow and NATS go; gives the times of messages under way then, and of those sent within a second after."""
    traffic = Traffic(path)
    callers = [asyncio.ensure_future(traffic.call()) for _ in range(CALLERS)]
    await asyncio.sleep(FLOWING)
    gone = time.monotonic()
    await asyncio.get_running_loop().run_in_executor(None, go)
    await asyncio.sleep(after)
    traffic.over = True
    await asyncio.gather(*callers)
    assert all(state == "received" for *_, state in traffic.sent), "a message was not received"
    under_way = [end - gone for began, end, road, _ in traffic.sent if began <= gone < end and road != "nats"]
    later = [end - began for began, end, _, _ in traffic.sent if gone < began <= gone + 1]
    return under_way, later


def play(stage: Stage, form: str, rounds: int) -> list[Row]:
    """Do the rounds of one form."""
    under_way: list[float] = []
    later: list[float] = []
    for number in range(rounds):
        stage.settle()
        found, then = uvloop.run(one_round(stage.a.socket, lambda: stage.go(form), AFTER[form]))
        stage.come_back(form)
        under_way += found
        later += then
        worst = f"slowest {max(found):.3f} s" if found else "none under way"
        talk(f"{form} {number + 1}/{rounds}: {len(found)} messages, {worst}; later {max(then, default=0):.3f} s at most")
    (half, most), name = TARGETS[form], f"NATS {form}, {rounds} rounds, {len(under_way)} messages under way"
    return [
        Row(f"{name}: p50", percentile(under_way, 0.5), "s", most=half),
        Row("  p99", percentile(under_way, 0.99), "s", most=most),
        Row("  sent within a second after: p50", percentile(later, 0.5), "s"),
        Row("  p99", percentile(later, 0.99), "s"),
    ]


def main() -> int:
    """Measure, print, and say with the exit code whether every target holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--forms", default="killed,frozen,dropped")
    args = parser.parse_args()
    forms = [form for form in args.forms.split(",") if form in TARGETS]
    if "dropped" in forms and not enter_namespace():
        talk("dropped: left out, it needs root, ip, unshare and nft")
        forms.remove("dropped")
    rows: list[Row] = []
    with Sandbox(bench.on_disk(Path.cwd(), talk), "bench-failover-") as sandbox:
        stage = Stage(sandbox)
        for form in forms:
            rows += play(stage, form, args.rounds)
    return show(rows, args.json)


def enter_namespace() -> bool:
    """Start this program again in a network namespace of its own, with its loopback up; False where that cannot be."""
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return True
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nft"))):
        return False
    os.environ[INSIDE] = "yes"
    return os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


if __name__ == "__main__":
    sys.exit(main())
