"""Attack 8 in full: a million random inputs to every reader of bytes that others wrote; the same seed makes the same ones.

    python -m tests.campaign fuzz [--inputs 1000000] [--seed 0] [--no-ledger] [--ledger FILE]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tests.attacks.bombs import READERS, corpus, fuzz, offered
from tests.campaign.ledger import LEDGER, note, progress

PART = 10_000  # inputs of one seed
SHOWN = 5  # failures that the ledger keeps


def main(arguments: list[str]) -> int:
    """Run it; 0 when no input met a reader that broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ledger", action="store_true")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    asked = parser.parse_args(arguments)
    summary = run(asked.inputs, asked.seed)
    print(json.dumps(summary))
    if not asked.no_ledger:
        note(asked.ledger, **summary)
    return 1 if summary["uncaught"] else 0


def run(inputs: int, seed: int) -> dict[str, Any]:
    """Offer the corpus and `inputs` random ones; `uncaught` must be empty."""
    began, uncaught, read, bombs = time.perf_counter(), list[str](), 0, 0
    for reader in READERS:
        for data in corpus(reader):
            bombs += 1
            try:
                read += offered(reader, data)
            except Exception as error:
                uncaught.append(f"{reader.name}, {data[:200]!r}: {error!r}")
    for at in range(0, inputs, PART):
        try:
            read += fuzz(min(PART, inputs - at), f"{seed}.{at // PART}")
        except Exception as error:
            uncaught.append(" ".join([repr(error), *getattr(error, "__notes__", ())]))
        if at % (10 * PART) == 0:
            progress(f"{at + PART} inputs", f"{len(uncaught)} uncaught")
    took = round(time.perf_counter() - began, 1)
    return {
        "what": "fuzz", "seed": seed, "readers": len(READERS), "corpus": bombs, "inputs": inputs, "read": read,
        "uncaught": uncaught[:SHOWN], "seconds": took,
    }  # fmt: skip
