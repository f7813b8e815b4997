"""Random weather between real hosts in namespaces: three daemons, cuts, loss, slow lines, kills; then the stores are read.

python -m tests.campaign net --schedules 3 --seconds 60 [--seed N] [--ledger FILE]      needs root
python -m tests.campaign net --figures 10       how fast links notice a black hole and its end, printed
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaign.kill import bugs
from tests.campaign.ledger import LEDGER, first_new, note
from tests.campaign.processes import Load
from tests.campaign.reading import Record, check, recovered
from tests.support.netns import Net, placed
from tests.support.nodes import Node, World, until

NATS, HTTP = 4222, 8856
NAMES = ("a", "b", "c")
DRAINED_WITHIN = 120.0
HEALTHY_WITHIN = 60.0
PAUSE = 0.25  # mean pause of a submitter, seconds: about 500 messages a schedule


@dataclass
class Result:
    """What one schedule went through."""

    seed: int
    weather: Counter[str] = field(default_factory=Counter)
    drained: float = 0.0
    healed: float = 0.0
    accepted: int = 0
    recovered: int = 0
    roads: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


class Schedule:
    """One world, its weather, and what came of it."""

    def __init__(self, net: Net, world: World, seed: int) -> None:
        self._dice = random.Random(seed)
        self._net = net
        self._world = world
        self._record = Record()
        self.result = Result(seed)
        first = world.found("a", **placed(net["a"]))
        self._nodes = [first, *(world.join(name, first, **placed(net[name])) for name in NAMES[1:])]
        self._weather: dict[str, Callable[[], None]] = {
            "nats hole": lambda: net.blackhole("a", NATS),
            "nats reset": lambda: net.reset("a", NATS),
            "http hole": lambda: net.blackhole(self._name(), HTTP),
            "http reset": lambda: net.reset(self._name(), HTTP),
            "cut off": lambda: net.isolate(self._name()),
            "one way": self._one_way,
            "loss": lambda: net.lossy(self._name(), self._dice.choice((5, 10, 20))),
            "slow": lambda: net.slow(self._name(), self._dice.choice(("512kbit", "2mbit"))),
            "broker killed": self._kill_broker,
            "daemon killed": self._kill,
            "daemon stopped": self._stop,
            "daemon frozen": self._freeze,
        }

    def play(self, seconds: float) -> Result:
        """Weather for some seconds, then blue sky, then the check."""
        loads = [
            Load(node, [other.name for other in self._nodes if other is not node], self._record,
                 random.Random(self._dice.random()), PAUSE)
            for node in self._nodes
        ]  # fmt: skip
        for load in loads:
            load.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._one_spell()
        for load in loads:
            load.stop()
        self._settle(loads)
        return self.result

    def _one_spell(self) -> None:
        """Up to three troubles at once, for a while; then a while without."""
        for _ in range(self._dice.choice((1, 1, 2, 3))):
            word = self._dice.choice(list(self._weather))
            self.result.weather[word] += 1
            self._weather[word]()
        time.sleep(self._dice.uniform(0.5, 8.0))
        self._blue_sky()
        time.sleep(self._dice.choice((0.0, self._dice.uniform(0.0, 4.0))))

    def _blue_sky(self) -> None:
        self._net.heal()
        for node in self._nodes:
            node.signal(signal.SIGCONT)
            if not node.running:
                node.start()

    def _name(self) -> str:
        return self._dice.choice(NAMES)

    def _node(self) -> Node:
        return self._dice.choice(self._nodes)

    def _one_way(self) -> None:
        source, target = self._dice.sample(NAMES, 2)
        self._net.drop(source, target)

    def _kill_broker(self) -> None:
        pid = self._nodes[0].broker_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _kill(self) -> None:
        node = self._node()
        node.signal(signal.SIGCONT)
        node.kill()

    def _stop(self) -> None:
        node = self._node()
        node.signal(signal.SIGCONT)
        node.terminate()

    def _freeze(self) -> None:
        self._node().signal(signal.SIGSTOP)

    def _settle(self, loads: list[Load]) -> None:
        began = time.monotonic()
        result = self.result
        for what, wait, patience in (("drained", self._drained, DRAINED_WITHIN), ("healed", self._healed, HEALTHY_WITHIN)):
            try:
                until(wait, f"{what}: {self._open()}", patience)
            except AssertionError as error:
                result.findings.append(str(error))
            setattr(result, what, round(time.monotonic() - began, 2))
        files = {node.name: node.database for node in self._nodes}
        result.findings += check(files, self._record)
        result.findings += [f"refused: {words}" for load in loads for words in load.refused]
        result.findings += [f"bug: {line}" for node in self._nodes for line in bugs(node)]
        result.accepted = len(self._record.accepted)
        result.recovered = recovered(files, self._record)
        for node in self._nodes:
            result.roads.update(dict(node.rows("SELECT road, count(*) FROM inbox GROUP BY road")))

    def _drained(self) -> bool:
        return not any(node.open_rows() for node in self._nodes)

    def _healed(self) -> bool:
        links = [
            node.link(other.name, road)
            for node in self._nodes
            for other in self._nodes
            if other is not node
            for road in ("nats", "http")
        ]
        return all(state == "healthy" for state in links)

    def _open(self) -> str:
        return ", ".join(f"{node.name} has {node.open_rows()} open" for node in self._nodes)


def run(seed: int, seconds: float) -> Result:
    """Play one schedule in a world of its own."""
    with Net(*NAMES) as net, World() as world:
        schedule = Schedule(net, world, seed)
        result = schedule.play(seconds)
        if result.findings:
            logs = world.home.parent / f"fleet-net-{seed}.log"
            logs.write_text("\n".join(f"── {node.name}\n{node.log}" for node in world.nodes.values()))
            result.findings.append(f"the daemons' logs are in {logs}")
        return result


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def figures(rounds: int) -> None:
    """Print how long the idle links of three nodes need to notice a black hole of NATS, and its end."""
    times: dict[str, list[float]] = {"DEGRADED": [], "BROKEN": [], "HEALTHY after the heal": []}
    with Net(*NAMES) as net, World() as world:
        a = world.found("a", **placed(net["a"]))
        nodes = [a, *(world.join(name, a, **placed(net[name])) for name in NAMES[1:])]
        until(lambda: _states(nodes) == {"healthy"}, "it begins healthy", 60)
        for number in range(rounds):
            time.sleep(random.uniform(0.0, 3.0))  # at any moment between two pings
            net.blackhole("a", NATS)
            _clock(times["DEGRADED"], lambda: "healthy" not in _states(nodes))
            _clock(times["BROKEN"], lambda: _states(nodes) <= {"broken", "healing"}, times["DEGRADED"][-1])
            net.heal()
            _clock(times["HEALTHY after the heal"], lambda: _states(nodes) == {"healthy"})
            print(f"\r{number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for what, found in times.items():
        found.sort()
        print(f"idle NATS in a black hole → {what}: p50 {statistics.median(found):.1f} s, max {found[-1]:.1f} s")


def _states(nodes: Sequence[Node]) -> set[str]:
    """The states of every NATS link between the nodes."""
    return {one.link(other.name, "nats") for one in nodes for other in nodes if one is not other}


def _clock(times: list[float], there: Callable[[], bool], before: float = 0.0) -> None:
    began = time.monotonic()
    until(there, "the links notice", 60)
    times.append(before + time.monotonic() - began)


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="campaign net")
    parser.add_argument("--schedules", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of weather in each")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--resume", action="store_true", help="go on behind the seeds in the ledger")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    parser.add_argument("--figures", type=int, metavar="N", default=0, help="print the figures of N rounds instead")
    args = parser.parse_args(arguments)
    if args.figures:
        figures(args.figures)
        return 0
    first = first_new(args.ledger, "net") if args.resume else args.seed
    first = first if first is not None else int.from_bytes(os.urandom(3))
    print(f"net: {args.schedules} schedules of {args.seconds:g} s, seeds from {first}", flush=True)
    failed = 0
    for seed in range(first, first + args.schedules):
        result = run(seed, args.seconds)
        failed += bool(result.findings)
        print(
            f"seed {seed}: {result.accepted} accepted, drained in {result.drained} s, healthy in {result.healed} s, "
            f"{dict(result.roads)}",
            *result.findings[:40], sep="\n  ", flush=True,
        )  # fmt: skip
        note(
            args.ledger, what="net", seed=seed, seconds=args.seconds, weather=dict(result.weather), accepted=result.accepted,
            recovered=result.recovered, drained_s=result.drained, healed_s=result.healed, roads=dict(result.roads),
            findings=result.findings[:20],
        )  # fmt: skip
    print("passed" if not failed else f"FAILED: {failed} schedules", flush=True)
    return 1 if failed else 0
