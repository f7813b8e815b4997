"""What every courier of a node works with and whom it tells; holds no state and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fleet.engine.cascade import Cascade
from fleet.engine.introductions import Introductions
from fleet.engine.roster import Roster
from fleet.engine.settling import Settlement
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.store.outbox import Applied


@dataclass(frozen=True, slots=True)
class Hands:
    """The shared hands of the couriers; made once in daemon/service.py."""

    writer: Writer
    cascade: Cascade
    roster: Roster
    introductions: Introductions
    world: World
    patience: dict[str, float]  # [channel.NAME] patience, seconds
    tries: Callable[[str], int]  # type → walks before it is given up, 0 = no limit
    on_applied: Callable[[Sequence[Applied]], None]
    on_walked: Callable[[Iterable[str]], None]  # ids whose walk ended without a road taking them
    on_receipt: Callable[[str, Settlement], None]
    on_held: Callable[[str, Iterable[int]], None]  # rows that were settled while a road took a parcel with them
    clock_unsure: Callable[[], bool]  # then nothing expires
    log: Callable[..., None]
    threads: bool = True  # a simulation has none
