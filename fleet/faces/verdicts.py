"""What an answer means as an exit code (contract.md); a table and its readers, must never ask anybody anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DONE, FAILED, USAGE, NO_DAEMON, REFUSED, UNKNOWN_PEER, NOT_TAKEN, NOT_YET, PARTLY, NOT_LATER = range(10)
INTERRUPTED = 130

EXIT_OF_CODE = {
    "usage": USAGE, "too_large": USAGE, "unknown_type": USAGE, "conflict": USAGE, "not_found": FAILED,
    "no_daemon": NO_DAEMON, "lost": NO_DAEMON, "refused": REFUSED, "join_refused": REFUSED,
    "unknown_peer": UNKNOWN_PEER,
}  # fmt: skip
WAITS = ("none", "received", "shown", "done")
_REACHED = {"received": 1, "shown": 2, "done": 3}


def exit_of_error(error: Mapping[str, Any]) -> int:
    """Give the exit code of an `error` object."""
    return EXIT_OF_CODE.get(str(error.get("code")), FAILED)


def exit_of(answer: Mapping[str, Any], wait: str, walked: bool = False) -> int:
    """Give the exit code of one answer of send; `walked` = its first walk ended and no road took it."""
    if "error" in answer:
        return exit_of_error(answer["error"])
    state = answer.get("state")
    if state == "refused":
        return REFUSED
    if state == "dead":
        return REFUSED if answer.get("what") == "refused" else FAILED
    if wait == "none":
        return DONE
    reached = _REACHED.get(str(state), 0)
    if reached >= _REACHED[wait]:
        return DONE
    if reached:
        return NOT_LATER
    return NOT_TAKEN if walked and state != "custody" else NOT_YET


def exit_of_all(codes: Sequence[int]) -> int:
    """Give the exit code of a broadcast: that of all when they agree, else partly."""
    if not codes:
        return DONE
    return codes[0] if len(set(codes)) == 1 else PARTLY
