"""The campaign's command line: random schedules with a progress line, seeded faults, the ledger of what ran."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.campaign import calm, crash, disk, faults, flood, fuzz, gates, identity, kill, net, soak
from tests.campaign.ledger import LEDGER, commit, first_new, note, progress
from tests.campaign.sim import Homes, Report, run_schedule

OTHERS: dict[str, tuple[Callable[[list[str]], int], str]] = {  # they read their own arguments
    "crash": (crash.main, "power cuts in the lives of two nodes, at every moment"),
    "disk": (disk.main, "a disk that is full or broken at any single operation"),
    "kill": (kill.main, "kill -9 of real daemons under load"),
    "net": (net.main, "weather between real hosts in namespaces; needs root"),
    "soak": (soak.main, "two daemons under a steady load for long: what grows"),
    "calm": (calm.main, "no false BROKEN on a loaded healthy host; needs root"),
    "gates": (gates.main, "trust, budget and breaker against their models"),
    "fuzz": (fuzz.main, "JSON bombs and random inputs for every reader of what others wrote"),
    "flood": (flood.main, "crowds of connections and junk at a real node's doors, honest mail all the while"),
    "identity": (identity.main, "flipped bits and forgeries, all of them"),
}


def main(arguments: list[str]) -> int:
    """Run what is asked for; 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sim = commands.add_parser("sim", help="random schedules in virtual time")
    sim.add_argument("--seeds", type=int, default=100)
    sim.add_argument("--first", type=int, default=0)
    sim.add_argument("--nodes", type=_range, default=(3, 5), help="3-5")
    sim.add_argument("--messages", type=int, default=200)
    sim.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")
    sim.add_argument("--resume", action="store_true", help="go on behind the seeds in the ledger")
    sim.add_argument("--no-ledger", action="store_true")
    sim.add_argument("--ledger", type=Path, default=LEDGER)
    fault = commands.add_parser("faults", help="every seeded fault must be caught")
    fault.add_argument("names", nargs="*")
    for name, (_, says) in OTHERS.items():
        commands.add_parser(name, add_help=False, help=says)
    if arguments and arguments[0] in OTHERS:
        return OTHERS[arguments[0]][0](arguments[1:])
    asked = parser.parse_args(arguments)
    return _sim(asked) if asked.command == "sim" else faults.check_all(asked.names)


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def _sim(asked: argparse.Namespace) -> int:
    if asked.resume:
        asked.first = first_new(asked.ledger, "sim")
    homes, began = Homes(), time.perf_counter()
    reports: list[Report] = []
    failed: list[Report] = []
    for seed in range(asked.first, asked.first + asked.seeds):
        report = run_schedule(seed, homes, asked.nodes, asked.messages)
        reports.append(report)
        if report.broken:
            failed.append(report)
            _tell(report, asked)
            if not asked.keep_going:
                break
        if sys.stderr.isatty() or len(reports) % 50 == 0:
            _progress(reports, failed, time.perf_counter() - began)
    homes.close()
    summary = _summary(reports, failed, asked, time.perf_counter() - began)
    print(json.dumps(summary))
    if not asked.no_ledger:
        note(asked.ledger, **summary)
    return 1 if failed else 0


def _tell(report: Report, asked: argparse.Namespace) -> None:
    """Say what a seed broke and how to see it again."""
    again = f"python -m tests.campaign sim --first {report.seed} --seeds 1 --nodes {asked.nodes[0]}-{asked.nodes[1]}"
    print(f"\nseed {report.seed} at commit {commit()} ({again} --messages {asked.messages}):")
    for law in report.broken[:20]:
        print(f"  {law}")


def _progress(reports: list[Report], failed: list[Report], took: float) -> None:
    messages = sum(report.messages for report in reports)
    slow = max(reports, key=lambda report: report.drained)
    line = f"{len(reports)} schedules, {messages} messages, {len(failed)} failed, {took / len(reports):.2f} s each, "
    progress(f"{line}slowest drain {slow.drained:.0f} s (seed {slow.seed})")


def _summary(reports: list[Report], failed: list[Report], asked: argparse.Namespace, took: float) -> dict[str, object]:
    return {
        "what": "sim", "seed": asked.first, "seeds": len(reports), "nodes": list(asked.nodes),
        "messages": sum(report.messages for report in reports), "delivered": sum(r.delivered for r in reports),
        "dead": sum(r.dead for r in reports), "lives": sum(r.lives for r in reports),
        "trips": sum(r.trips for r in reports), "slowest_drain": round(max(r.drained for r in reports), 1),
        "virtual_hours": round(sum(r.virtual for r in reports) / 3600, 2), "seconds": round(took, 1),
        "failed": [asdict(report) for report in failed[:5]],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
