"""Rows of the store as the JSON that contract.md names; never changes anything, shows only the inbox's bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fleet.core.envelope import Priority
from fleet.core.lifecycle import FINAL, State, Status, What, outside
from fleet.core.outcome import Attempt, Result
from fleet.store.inbox import Mail
from fleet.store.milestones import Milestone, Passage
from fleet.store.outbox import Row

_decode = msgspec.json.decode


def content_of(data: bytes) -> dict[str, Any]:
    """Read the frozen content of a message: its envelope without seq and exp."""
    value: dict[str, Any] = _decode(b"{" + data)
    return value


def mail_view(mail: Mail) -> dict[str, Any]:
    """Show one inbox row; what the sender left out is left out."""
    content = content_of(mail.content)
    view: dict[str, Any] = {
        "id": mail.id,
        "from": mail.sender,
        "type": mail.type,
        "priority": Priority(mail.priority).word,
        "received_at": mail.received,
        "body": content.get("body", ""),
        "trust": mail.level,
        "state": str(mail.state),
    }
    view |= {name: content[name] for name in ("re", "correlation", "from_agent", "session", "context") if name in content}
    if "to_agent" in content:
        view["agent"] = content["to_agent"]
    if "cost" in content:
        view["cost"] = content["cost"]
    return view | {"sent_at": content["ts"], "channel": mail.road}


def state_of(row: Row) -> State:
    """Say an outbox row's state in the outside word."""
    reached = State(row.reached) if row.reached else State.RECEIVED
    return outside(row.status, taken=bool(row.taken), reached=reached)


def row_view(row: Row, now: int) -> dict[str, Any]:
    """Show one outbox row."""
    view: dict[str, Any] = {
        "id": row.id,
        "to": row.peer,
        "type": row.type,
        "priority": Priority(row.priority).word,
        "state": str(state_of(row)),
        "age_ms": max(0, now - row.created),
        "created_at": row.created,
        "expires_at": row.exp,
        "tries": row.tries,
    }
    if row.taken:
        view["custody_of"] = sorted(row.taken)
    if row.pin:
        view["channel"] = row.pin
    if row.reason:
        view["reason"] = row.reason
    if row.status is Status.HELD:
        view["until"] = row.due
    if row.status in FINAL and row.what:
        view["what"] = row.what
    return view


def dead_view(row: Row) -> dict[str, Any]:
    """Show one dead letter."""
    return {
        "id": row.id,
        "to": row.peer,
        "type": row.type,
        "what": row.what or str(What.REFUSED if row.status is Status.REFUSED else What.UNDELIVERED),
        "reason": row.reason,
        "created_at": row.created,
        "dead_at": row.final_at,
    }


def trace_view(row: Row, attempts: Sequence[Attempt], steps: Sequence[Milestone], now: int) -> dict[str, Any]:
    """Show every attempt of one message, where it stands, and what its addressee signed of it."""
    receipts = [{"state": step.state, "at": step.at, "channel": step.road} for step in steps]
    answered = next((attempt for attempt in attempts if attempt.result is Result.DELIVERED), None)
    if row.status is Status.DONE and answered is not None and all(one["state"] != State.RECEIVED for one in receipts):
        receipts.insert(0, {"state": str(State.RECEIVED), "at": row.final_at, "channel": answered.channel})
    return row_view(row, now) | {"attempts": [attempt_view(attempt) for attempt in attempts], "receipts": receipts}


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    """Show one attempt."""
    return {
        "channel": attempt.channel,
        "started_at": attempt.started_at,
        "ms": round(attempt.ms, 1),
        "result": str(attempt.result),
        "reason": attempt.reason,
        "parcel": attempt.pid,
    }


def arrival_view(mail: Mail, passage: Passage | None) -> dict[str, Any]:
    """Show how a message came in; its body stays in the inbox. Nobody is told of a message to oneself."""
    view = mail_view(mail)
    del view["body"]
    view |= {"session": mail.session, "shown_at": mail.shown_at, "done_at": mail.done_at, "attempts": []}
    if passage is None:
        return view | {"parcel": "", "copies": 0, "receipt": ""}
    receipt = "" if not passage.pid else "owed" if passage.owed else "sent"
    return view | {"parcel": passage.pid, "copies": passage.copies, "receipt": receipt}
