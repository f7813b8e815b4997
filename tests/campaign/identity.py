"""Attacks 1 and 2 in full: every single-bit flip of three parcels, a million random multi-flips, forgeries at every door.

    python -m tests.campaign identity [--flips 1000000] [--forgeries 10000] [--seed 0]
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from fleet.errors import WireError
from tests.campaign.ledger import LEDGER, note
from tests.identity.ground import bare, ground, hand, honest_still_flows, own, settled, truth
from tests.identity.test_bits import DOORS, flipped, parcels, scribbled
from tests.support import virtual

FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def read(arguments: list[str]) -> argparse.Namespace:
    """Read what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign identity", description=__doc__)
    parser.add_argument("--flips", type=int, default=1_000_000)
    parser.add_argument("--forgeries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ledger", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything was accepted."""
    asked = read(arguments)
    summary = run(asked.flips, asked.forgeries, asked.seed)
    print(json.dumps(summary))
    if not asked.no_ledger:
        note(LEDGER, **summary)
    return 1 if summary["accepted"] or summary["changed"] else 0


def run(flips: int, forgeries: int, seed: int) -> dict[str, object]:
    """Run it; `accepted` must be 0."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=FAST) as directory:
        found = virtual.run(_attack(Path(directory), flips, forgeries, seed))
    return {"what": "identity", "seed": seed, **found, "seconds": round(time.perf_counter() - began, 1)}


async def _attack(home: Path, flips: int, forgeries: int, seed: int) -> dict[str, object]:
    dice, accepted = random.Random(f"identity {seed}"), 0
    async with ground(home, "ab") as fleet:
        await settled(fleet)
        node = fleet.node("a")
        opener = node.attempts._opener
        whole = [bare(data) for data in parcels(fleet).values()]
        before = truth(node)

        def gets_in(data: bytes) -> bool:
            try:
                opener.open(data, framed=False)
            except WireError:
                return False
            return True

        assert all(map(gets_in, whole)), "the honest ones are let in"
        single = sum(8 * len(data) for data in whole)
        accepted += sum(gets_in(flipped(data, bit)) for data in whole for bit in range(8 * len(data)))
        for number in range(flips):
            data = whole[number % 3]
            for _ in range(dice.randrange(2, 12)):
                data = flipped(data, dice.randrange(8 * len(data)))
            accepted += data not in whole and gets_in(data)
        for road, framed, replies in DOORS:
            for number in range(forgeries):
                data = scribbled(whole[number % 3], dice)
                data = node.hops.wrap("b", data) if framed and number % 2 else data
                answer = await hand(node, data, road, framed=framed, replies=replies)
                accepted += answer.data != b"" or answer.kind.value != "none"
        changed = truth(node) != before
        await honest_still_flows(fleet)
        assert own(node).node == "a"
    return {
        "single_flips": single, "multi_flips": flips, "forgeries": forgeries * len(DOORS), "accepted": accepted,
        "changed": changed,
    }  # fmt: skip
