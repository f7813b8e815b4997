"""One row of the outbox as a value; never a statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fleet.core.lifecycle import Status
from fleet.core.screened import UNSCREENED
from fleet.store.change import STATUSES, read_taken


class Row(msgspec.Struct, gc=False):
    """One row of the outbox with its content. Times in ms since the epoch."""

    row: int
    id: str
    peer: str
    type: str
    priority: int
    status: Status
    content: bytes
    digest: bytes
    seq: int
    inc: int
    exp: int
    tries: int
    lease: int
    due: int
    pin: str
    taken: dict[str, int]  # channel -> when its patience is over
    created: int
    reason: str
    reached: str
    what: str
    final_at: int
    size: int
    screened: int = UNSCREENED  # what the content gate judged by


def read_row(values: tuple[Any, ...]) -> Row:
    """Make a row of what the database gives, in the order of its fields."""
    row = Row(*values)
    row.status = STATUSES[values[5]]
    row.taken = read_taken(values[15])
    return row


def is_run(rows: Sequence[Row]) -> bool:
    """Say whether rows stand one after another and are numbered so: then one statement can lease them all."""
    last = len(rows) - 1
    return (
        last > 0
        and rows[last].row - rows[0].row == last
        and rows[last].seq - rows[0].seq == last
        and all(row.row - at == rows[0].row and row.seq - at == rows[0].seq for at, row in enumerate(rows))
    )
