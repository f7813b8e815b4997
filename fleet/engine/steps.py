"""A receipt that travelled by itself: it settles messages, and how far they came is noted for `fleet trace`."""

from __future__ import annotations

from fleet.core.receipt import Receipt
from fleet.engine.settling import Settlement, settle_late
from fleet.store import Store
from fleet.store.milestones import Milestones
from fleet.store.outbox import Applied


def settle_travelled(store: Store, peer: str, receipt: Receipt, now: int) -> tuple[Settlement, list[Applied]]:
    """Settle what the receipt speaks of and note each step; runs in a transaction. `now` in ms since the epoch."""
    settlement, applied = settle_late(store, peer, receipt, now)
    Milestones(store.db).note([(one.id, one.reached) for one in applied if one.reached], receipt.road, now)
    return settlement, applied
