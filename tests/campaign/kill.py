"""kill -9 under load: the chief, two members, the broker, fleet_send; then the stores must hold every promise exactly once.

python -m tests.campaign kill --rounds 20 [--kills 8] [--seed N] [--ledger FILE]
"""

import argparse
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaign.ledger import LEDGER, first_new, note, progress
from tests.campaign.processes import Load
from tests.campaign.reading import Record, check, recovered
from tests.support.nodes import Node, World

DRAINED_WITHIN = 120.0
CHIEF, MEMBERS = "a", ("b", "c")  # the chief keeps the broker and relays
VICTIMS = (CHIEF, *MEMBERS, "broker")


@dataclass
class Result:
    """What one world went through."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))
    drains: list[float] = field(default_factory=list)
    accepted: int = 0
    recovered: int = 0
    by_command: int = 0
    findings: list[str] = field(default_factory=list)


class Rounds:
    """One world of three; each round kills and then checks everything since the beginning."""

    def __init__(self, world: World, seed: int, pause: float = 0.02) -> None:
        self._dice = random.Random(seed)
        self._world = world
        self._pause = pause
        self._record = Record()
        self.result = Result()
        self._chief = world.found(CHIEF)
        self._nodes = [self._chief, *(world.join(name, self._chief) for name in MEMBERS)]

    def play(self, kills: int) -> None:
        """Kill at random under load, mend everything, wait until it is quiet, read the stores."""
        loads = [
            Load(node, [other.name for other in self._nodes if other is not node], self._record,
                 random.Random(self._dice.random()), self._pause)
            for node in self._nodes
        ]  # fmt: skip
        for load in loads:
            load.start()
        for _ in range(kills):
            time.sleep(self._dice.uniform(0.05, 0.8))
            self._kill(self._dice.choice(VICTIMS))
        time.sleep(self._dice.uniform(0.05, 0.4))
        for load in loads:
            load.stop()
        self._settle(loads)

    def _kill(self, victim: str) -> None:
        self.result.kills[victim] += 1
        if victim == "broker":
            pid = self._chief.broker_pid()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)
            return
        node = self._world.nodes[victim]
        node.kill()
        time.sleep(self._dice.choice((0.0, self._dice.uniform(0.0, 1.5))))
        if self._dice.random() < 0.1:
            self._kill_while_starting(node)
        node.start()

    def _kill_while_starting(self, node: Node) -> None:
        node.spawn()
        time.sleep(self._dice.uniform(0.0, 0.4))
        node.kill()

    def _settle(self, loads: list[Load]) -> None:
        began = time.monotonic()
        result = self.result
        try:
            self._world.drained(DRAINED_WITHIN)
        except AssertionError as error:
            result.findings.append(f"not drained: {error}")
        result.drains.append(round(time.monotonic() - began, 2))
        files = {name: node.database for name, node in self._world.nodes.items()}
        result.findings += check(files, self._record)
        result.findings += [f"refused: {words}" for load in loads for words in load.refused]
        result.findings += [f"bug: {line}" for node in self._world.nodes.values() for line in bugs(node)]
        result.accepted = len(self._record.accepted)
        result.recovered = recovered(files, self._record)
        result.by_command += sum(load.by_command for load in loads)


def bugs(node: Node) -> list[str]:
    """What a daemon itself called a bug, or did not catch at all."""
    return [line[:300] for line in node.log.splitlines() if '"event":"bug"' in line or line.startswith("Traceback")]


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="campaign kill")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=8, help="in each round")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--resume", action="store_true", help="take the seed behind those in the ledger")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    args = parser.parse_args(arguments)
    seed = first_new(args.ledger, "kill") if args.resume else args.seed
    seed = seed if seed is not None else int.from_bytes(os.urandom(3))
    print(f"kill: {args.rounds} rounds of {args.kills} kills, seed {seed}", flush=True)
    began = time.monotonic()
    with World() as world:
        rounds = Rounds(world, seed)
        for number in range(1, args.rounds + 1):
            rounds.play(args.kills)
            result = rounds.result
            killed = f"{sum(result.kills.values())} kills"
            progress(f"{number}/{args.rounds}", killed, f"{result.accepted} accepted", f"drained in {result.drains[-1]} s")
            if result.findings:
                print("\n".join(result.findings[:40]), flush=True)
                break
    note(
        args.ledger, what="kill", seed=seed, rounds=number, kills=result.kills, accepted=result.accepted,
        by_command=result.by_command, recovered=result.recovered, slowest_drain_s=max(result.drains),
        seconds=round(time.monotonic() - began), findings=result.findings[:20],
    )  # fmt: skip
    print("passed" if not result.findings else "FAILED", flush=True)
    return 1 if result.findings else 0
