"""What daemons ask each other without troubling anybody: sessions, status, capabilities; pure: it recognises, no more.

An ask is a `query` whose body is {"ask": WORD}, its answer a `reply` whose body is {"answer": WORD, WORD: …}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.core import policy

ASKS = ("sessions", "status", "capabilities")
OPEN = ("id", "agent", "idle_ms", "state")  # of a session, for everybody who may ask


def asked(type: str, body: object) -> str:
    """Give the word that a message asks for; empty when it asks a person or an agent."""
    if type != "query" or not isinstance(body, dict) or set(body) != {"ask"}:
        return ""
    word = body["ask"]
    return word if isinstance(word, str) and word in ASKS else ""


def answered(type: str, body: object) -> str:
    """Give the word that a message answers; empty when it is no daemon's answer."""
    if type != "reply" or not isinstance(body, dict):
        return ""
    word = body.get("answer")
    return word if isinstance(word, str) and word in ASKS and set(body) == {"answer", word} else ""


def redacted(sessions: list[dict[str, Any]], level: int) -> list[dict[str, Any]]:
    """Leave of sessions what a peer of a trust level may know: below TRUST_SHARED no program, directory or branch."""
    shared = (*OPEN, "program", "cwd", "branch", "headless")
    kept = shared if level >= policy.TRUST_SHARED else OPEN
    return [{name: one[name] for name in kept if name in one} for one in sessions]


def read_sessions(body: Mapping[str, Any], most: int = policy.SESSIONS) -> list[dict[str, Any]]:
    """Read the sessions out of an answer, whatever else a peer put there: bounded names and whole numbers only."""
    given = body.get("sessions")
    found = []
    for one in given[:most] if isinstance(given, list) else []:
        if isinstance(one, dict) and isinstance(one.get("id"), str) and 0 < len(one["id"]) <= 256:
            texts = {name: _text(one.get(name)) for name in ("agent", "program", "cwd", "branch")}
            idle = one.get("idle_ms")
            state = one.get("state") if one.get("state") in ("active", "idle") else "unknown"
            number = idle if isinstance(idle, int) and not isinstance(idle, bool) and 0 <= idle < policy.SAFE_INTEGER else 0
            found.append({"id": one["id"], **texts, "idle_ms": number, "state": state})
    return found


def _text(value: object) -> str:
    return value[:256] if isinstance(value, str) else ""
