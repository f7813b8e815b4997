"""The ledger of what ran: one JSON object a line with its commit, so that long campaigns add up; it runs nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LEDGER = Path(__file__).with_name("ledger.jsonl")
ROOT = Path(__file__).parents[2]


def commit() -> str:
    """Say which code runs; a + says that files differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = _said(*git, "rev-parse", "--short=12", "HEAD").strip()
        changed = _said(*git, "status", "--porcelain", "fleet", "channels", "tests").splitlines()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + "+" * any(not line.endswith(LEDGER.name) for line in changed)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def note(ledger: Path, **words: Any) -> None:
    """Append one run."""
    row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit(), **words}
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rows(ledger: Path, what: str) -> list[dict[str, Any]]:
    """Read all runs of one campaign."""
    if not ledger.exists():
        return []
    found = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    return [row for row in found if row["what"] == what]


def first_new(ledger: Path, what: str) -> int:
    """Give the first seed above all that ran: a row names its first `seed` and, where it took several, how many `seeds`."""
    return max((int(row["seed"]) + int(row.get("seeds", 1)) for row in rows(ledger, what)), default=0)


def progress(*words: str) -> None:
    """Write how far a campaign is over its own last word, on stderr."""
    print("\r" + "  ".join(words), end="\x1b[K" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
