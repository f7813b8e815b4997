"""A healthy fleet on a loaded host with some loss: no link may ever be called BROKEN; every change of a link is counted.

python -m tests.campaign calm --minutes 20 [--loss 5] [--burners N] [--ledger FILE]      needs root
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.campaign.kill import bugs
from tests.campaign.ledger import LEDGER, note, progress
from tests.campaign.net import NAMES
from tests.campaign.processes import Load
from tests.campaign.reading import Record, check
from tests.support.netns import Net, placed
from tests.support.nodes import Node, World, until

BURN = "import os\nwhile os.getppid() == {parent}:\n    sum(range(100_000))"
PAUSE = 1.0  # mean pause of a submitter, seconds


@contextlib.contextmanager
def burning(burners: int) -> Iterator[None]:
    """Let so many processes want a core each."""
    program = [sys.executable, "-I", "-S", "-c", BURN.format(parent=os.getpid())]
    processes = [subprocess.Popen(program) for _ in range(burners)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def changes(node: Node) -> list[dict[str, Any]]:
    """Every change of a link that a daemon logged."""
    return [json.loads(line) for line in node.log.splitlines() if '"event":"link"' in line]


def calm(minutes: float, loss: int, burners: int, seed: int) -> dict[str, Any]:
    """Run it; `broken` must be empty."""
    with Net(*NAMES) as net, World() as world:
        first = world.found("a", **placed(net["a"]))
        nodes = [first, *(world.join(name, first, **placed(net[name])) for name in NAMES[1:])]
        until(lambda: _all_healthy(nodes), "it begins healthy", 60)
        before = {node.name: len(changes(node)) for node in nodes}
        for name in NAMES:
            net.lossy(name, loss)
        record, loads, began = Record(), [], time.monotonic()
        with burning(burners):
            for node in nodes:
                others = [other.name for other in nodes if other is not node]
                loads.append(Load(node, others, record, random.Random(f"{seed} {node.name}"), PAUSE))
                loads[-1].start()
            while (gone := time.monotonic() - began) < minutes * 60:
                time.sleep(min(20.0, minutes * 60 - gone))
                found = _news(nodes, before)
                progress(f"{gone / 60:.1f}/{minutes:g} min", str(dict(_counted(found))))
            for load in loads:
                load.stop()
        found = _news(nodes, before)
        net.heal()
        world.drained(120)
        findings = check({node.name: node.database for node in nodes}, record)
        findings += [f"bug: {line}" for node in nodes for line in bugs(node)]
        broken = [f"{one['node']} {word['peer']} {word['channel']}: {word.get('reason')}" for one, word in found
                  if word["new"] == "broken"]  # fmt: skip
        return {"accepted": len(record.accepted), "changes": dict(_counted(found)), "broken": len(broken),
                "findings": (broken + findings)[:20]}  # fmt: skip


def _all_healthy(nodes: list[Node]) -> bool:
    return all(node.link(other.name, road) == "healthy" for node in nodes for other in nodes if other is not node
               for road in ("nats", "http"))  # fmt: skip


def _news(nodes: list[Node], before: dict[str, int]) -> list[tuple[dict[str, str], dict[str, Any]]]:
    return [({"node": node.name}, word) for node in nodes for word in changes(node)[before[node.name] :]]


def _counted(found: list[tuple[dict[str, str], dict[str, Any]]]) -> Counter[str]:
    return Counter(f"{word['channel']} {word['old']}>{word['new']}" for _, word in found)


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when a link was called BROKEN or the stores are wrong."""
    parser = argparse.ArgumentParser(prog="campaign calm")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--loss", type=int, default=5, help="percent of packets")
    parser.add_argument("--burners", type=int, default=2 * (os.cpu_count() or 1), help="processes that want a core each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    args = parser.parse_args(arguments)
    found = calm(args.minutes, args.loss, args.burners, args.seed)
    words = {"minutes": args.minutes, "loss": args.loss, "burners": args.burners, "load": os.getloadavg()}
    note(args.ledger, what="calm", seed=args.seed, **words, **found)
    print(found, "FAILED" if found["findings"] else "passed", sep="\n", flush=True)
    return 1 if found["findings"] else 0
