"""Faults planted in the real code (plants.py): a story or the campaign must fail because of each.

A suite that lets one of them pass does not guard what the fault breaks. `check_all` tries every one; the test suite
tries the quick ones at every run.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.campaign import plants, plants_gates
from tests.campaign.sim import Homes, run_schedule
from tests.stories.replay import STORIES, retold

LIMIT = 300  # seeds that may pass before a fault counts as missed


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault: what is wrong with it, how it is planted, the story that must fail (none: the campaign)."""

    name: str
    says: str
    plant: Callable[[], AbstractContextManager[None]]
    story: str = ""


STORIES_FOR = {  # the story that must fail; the rest is for the campaign
    "expired_filed_silently": "expired", "owed_cleared_first": "late_receipt", "any_receipt": "forged_receipt",
    "hearing_changes_nothing": "crash_receiver", "later_is_forgotten": "later", "late_receipt_ignored": "late_receipt",
    "urgent_waits": "urgent", "cancel_tells_no_road": "cancel", "restore_unnoticed": "restored_backup",
    "healthy_unproven": "healing",
}  # fmt: skip
FAULTS: dict[str, Fault] = {
    plant.__name__: Fault(plant.__name__, (plant.__doc__ or "").strip(), plant, STORIES_FOR.get(plant.__name__, ""))
    for plant in (*plants.ALL, *plants_gates.ALL)
}
QUICK = (
    "unsigned_ok", "custody_is_delivery", "low_too_high", "late_receipt_ignored", "attempts_unrecorded", "budget_outside",
    "entry_not_chained", "level_of_the_sender",
)  # fmt: skip


def caught(fault: Fault) -> str:
    """Plant a fault; gives what caught it, empty when nothing did."""
    with fault.plant():
        if fault.story:
            return _caught_by_story(fault.story)
        homes = Homes()
        try:
            for seed in range(LIMIT):
                broken = run_schedule(seed, homes).broken
                if broken:
                    return f"seed {seed}: {broken[0]}"
        finally:
            homes.close()
    return ""


def _caught_by_story(name: str) -> str:
    path = STORIES / f"{name}.txt"
    told, written = retold(path).splitlines(), path.read_text(encoding="utf-8").splitlines()
    if told == written:
        return ""
    first = next((line for line, other in zip(told, written, strict=False) if line != other), "it ends early")
    return f"story {name}: {first.strip()}"


def check_all(names: Sequence[str]) -> int:
    """Try the faults named, all when none is; 0 when every one was caught."""
    missed = 0
    for fault in FAULTS.values():
        if not names or fault.name in names:
            how = caught(fault)
            missed += not how
            print(f"{fault.name:24} {how[:140] or 'MISSED'}", flush=True)
    return min(missed, 1)
