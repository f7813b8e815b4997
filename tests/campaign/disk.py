"""A disk that fails at the n-th operation: full or broken, once or for a while, at the sender or at the receiver.

python -m tests.campaign disk --calls 200 [--episodes 100] [--seed N] [--ledger FILE]

Two whole nodes in virtual time: accept, lease, receive, settle. Nothing may be half accepted, no receipt signed for what
was not kept, nothing paid twice; when the disk works again everything arrives.
"""

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from fleet.core.submission import Submission
from fleet.errors import FleetError
from tests.campaign.crash import Cut
from tests.campaign.ledger import LEDGER, note, progress
from tests.campaign.lives import FAST, PAIR, Life, Promise, recorded
from tests.support import virtual
from tests.support.enrolment import enrol
from tests.support.fleet import Fleet
from tests.support.powerloss import Disk, Op

ERRORS: dict[str, type[apsw.Error]] = {"ENOSPC": apsw.FullError, "EIO": apsw.IOError}
MESSAGES = 12  # each way
PATIENCE = 300.0  # virtual seconds until everything must have arrived


@dataclass(frozen=True)
class Case:
    """One failure: which error, at whose disk, from which operation on, for how many of them."""

    error: str
    victim: str
    call: int
    length: int = 1


@dataclass
class Result:
    """What many failures came to."""

    runs: int = 0
    met: int = 0  # runs in which the operation was reached
    accepted: int = 0
    slowest: float = 0.0  # virtual seconds from the mended disk to the last receipt
    findings: list[str] = field(default_factory=list)


class Failure:
    """Counts a node's operations and lets those of a case fail."""

    def __init__(self, disk: Disk, case: Case) -> None:
        self._case = case
        self.calls = 0
        self.failed = 0
        disk.fail = self._fail

    def _fail(self, op: Op) -> None:
        if not op.file.startswith(f"{self._case.victim}/"):
            return
        self.calls += 1
        if self._case.call <= self.calls < self._case.call + self._case.length:
            self.failed += 1
            raise ERRORS[self._case.error]("planned")


@contextmanager
def homes() -> Iterator[Path]:
    """Two homes to copy."""
    with tempfile.TemporaryDirectory(dir=FAST, prefix="fleet-disk-") as directory:
        enrol(Path(directory), PAIR, seed="disk", trust=dict.fromkeys(PAIR, 3))
        yield Path(directory)


def play(case: Case, origin: Path, result: Result) -> None:
    """Let one failure happen and look at what is left."""
    with tempfile.TemporaryDirectory(dir=FAST, prefix="fleet-disk-") as directory:
        home = Path(directory)
        for name in PAIR:
            shutil.copytree(origin / name, home / name)
        disk = Disk(f"disk {result.runs}", lambda path: f"{path.parent.name}/{path.name}")
        try:
            with recorded(disk, home, "FULL"):
                life, met, took = virtual.run(_play(case, disk, home), limit=10_000.0)
            cut = Cut(life, len(disk.log), {}, home)
            cut.open()
            found = [*cut.missing(over=True), *cut.wrong()]
            cut.close()
        finally:
            disk.close()
    result.runs += 1
    result.met += met
    result.accepted += len(life.accepted)
    result.slowest = max(result.slowest, took)
    if took >= PATIENCE:
        found.append(f"open: not everything arrived within {PATIENCE:g} s")
    result.findings += [f"{case}: {word}" for word in found]


async def _play(case: Case, disk: Disk, home: Path) -> tuple[Life, bool, float]:
    fleet = Fleet(home, PAIR, roads=("nats", "http", "seed"), seed=str(case), enrolled=True)
    life = Life(disk, fleet.rings, home)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    await fleet.start()
    failure = Failure(disk, case)
    for _ in range(MESSAGES // 3):
        for sender, to in (PAIR, PAIR[::-1]):
            await _submit(fleet, life, sender, to)
        await asyncio.sleep(0.2)
    await asyncio.sleep(3.0)
    disk.fail = lambda op: None
    began = fleet.net.time()
    while fleet.net.time() - began < PATIENCE:
        if not any(one.node.reader.outbox.peers_waiting() for one in fleet.lives.values()):
            break
        await asyncio.sleep(0.5)
    took = fleet.net.time() - began
    await fleet.stop()
    life.ended = fleet.net.time()
    return life, failure.failed > 0, took


async def _submit(fleet: Fleet, life: Life, sender: str, to: str) -> None:
    asked = [Submission(to=to, body=f"hello {number}", cost={"tokens": 5}) for number in range(3)]
    try:
        answers = await fleet.node(sender).mail.submit(asked)
    except FleetError:
        return  # refused as a whole: the caller knows
    for answer in answers:
        if "error" not in answer:
            life.accepted[answer["id"]] = Promise(sender, to, len(life.disk.log))


def cases(calls: int, episodes: int, seed: int, step: int = 1) -> Iterator[Case]:
    """Every call up to `calls` for each error and victim, then episodes of a full disk at random points."""
    for call in range(1, calls + 1, step):
        for error in ERRORS:
            for victim in PAIR:
                yield Case(error, victim, call)
    dice = random.Random(f"episodes {seed}")
    for _ in range(episodes):
        yield Case("ENOSPC", dice.choice(PAIR), dice.randint(1, 200), dice.choice((2, 10, 100, 10_000)))


def run(calls: int, episodes: int, seed: int = 0, step: int = 1) -> Result:
    """Play them all."""
    result = Result()
    with homes() as origin:
        for case in cases(calls, episodes, seed, step):
            play(case, origin, result)
            if result.runs % 50 == 0:
                progress(f"{result.runs} failures", f"{result.met} met", f"{len(result.findings)} findings")
    return result


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="campaign disk")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--episodes", type=int, default=100, help="of a full disk, at random points")
    parser.add_argument("--step", type=int, default=1, help="every so many calls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    args = parser.parse_args(arguments)
    began = time.monotonic()
    result = run(args.calls, args.episodes, args.seed, args.step)
    summary = {
        "what": "disk", "seed": args.seed, "calls": args.calls, "episodes": args.episodes, "step": args.step,
        "runs": result.runs, "met": result.met, "accepted": result.accepted, "slowest_drain": round(result.slowest, 1),
        "seconds": round(time.monotonic() - began, 1), "failed": len(result.findings), "findings": result.findings[:10],
        "kinds": dict(Counter(word.split(": ")[1] for word in result.findings)),
    }  # fmt: skip
    note(args.ledger, **summary)
    print(json.dumps(summary, indent=1), flush=True)
    return 1 if result.findings else 0
