"""What the fate of mail leaves in the audit chain: refusals, holds, dead letters, alarms; equal ones as one entry a minute.

It decides no fate. What arrives as it should leaves nothing here: the chain costs the throughput nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleet.core.lifecycle import Status
from fleet.core.receipt import Entry, Fate
from fleet.core.screened import Found
from fleet.core.submission import Draft
from fleet.store.audit import Audit
from fleet.store.change import Applied, Standing
from fleet.store.reception import Arrival, Received

PEER = "the peer: "  # how the reason of a refusal that came back begins (engine.settling)
_OUT = {Status.HELD: "held_out", Status.REFUSED: "refused_out", Status.DEAD: "dead_letter"}
_IN = {Fate.REFUSED: "refused_in", Fate.LATER: "held_in"}
Groups = dict[tuple[str, str, str, str], list[str]]  # kind, peer, reason, what → ids


def record_out(audit: Audit, applied: Sequence[Applied], standings: Mapping[int, Standing], now: int) -> None:
    """Write down what was refused, held or given up on its way out."""
    found: Groups = {}
    for one in applied:
        if one.new is not one.old and one.new in _OUT:
            at = standings[one.row]
            kind = "refused_by_peer" if one.new is Status.REFUSED and at.reason.startswith(PEER) else _OUT[one.new]
            found.setdefault((kind, one.peer, at.reason.removeprefix(PEER), at.what), []).append(one.id)
    _write(audit, found, now)


def record_born(audit: Audit, drafts: Sequence[Draft], now: int) -> None:
    """Write down what was refused or held when it was accepted."""
    found: Groups = {}
    for draft in drafts:
        if draft.refused or draft.held_until:
            kind = "refused_out" if draft.refused else "held_out"
            found.setdefault((kind, draft.peer, draft.refused, ""), []).append(draft.id)
        elif draft.found:
            record_content(audit, "out", draft.peer, draft.id, draft.found, now)
    _write(audit, found, now)


def record_in(audit: Audit, sender: str, arrivals: Sequence[Arrival], received: Received, now: int) -> None:
    """Write down what was refused or put off when it came in, and every security event."""
    found: Groups = {}
    for entry, arrival in zip(received.entries, arrivals, strict=True):
        if entry.fate in _IN:
            found.setdefault((_IN[entry.fate], sender, _reason(entry, arrival), ""), []).append(entry.id)
        elif arrival.found and entry.fate is Fate.STORED:
            record_content(audit, "in", sender, entry.id, arrival.found, now)
    _write(audit, found, now)
    for alarm in received.alarms:
        audit.tally("alarm", peer=sender, details={"reason": alarm}, now=now)


def record_content(audit: Audit, way: str, peer: str, id: str, found: Sequence[Found], now: int) -> None:
    """Write down what the content gate replaced in a message that crossed: kinds and places, never values."""
    for one in found:
        details = {"direction": way, "kind": one.kind, "action": one.action.value, "place": one.place}
        audit.tally("content", peer=peer, details=details, first={"id": id}, now=now)


def _reason(entry: Entry, arrival: Arrival) -> str:
    return entry.reason or arrival.refuse


def _write(audit: Audit, found: Groups, now: int) -> None:
    for (kind, peer, reason, what), ids in found.items():
        gate, _, rest = reason.partition(": ")
        details = {"gate": gate, "reason": rest} if rest else {"reason": reason}
        if what and kind == "dead_letter":
            details["what"] = what
        audit.tally(kind, peer=peer, details=details, first={"id": ids[0]}, n=len(ids), now=now)
