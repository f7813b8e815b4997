"""Failing disks in short, and the proof that the campaign would see a receipt for what was not kept."""

from tests.campaign import disk
from tests.campaign.faults import FAULTS

VICTIM = "b"


def test_a_disk_that_fails_at_any_operation_leaves_nothing_half_done_and_everything_arrives() -> None:
    result = disk.run(calls=120, episodes=8, step=10)
    assert result.findings == []
    assert result.met == result.runs == 12 * len(disk.ERRORS) * 2 + 8


def test_a_receipt_before_the_commit_is_found_by_a_full_disk() -> None:
    result = disk.Result()
    with FAULTS["early_receipt"].plant(), disk.homes() as origin:
        for call in range(1, 60, 6):
            disk.play(disk.Case("ENOSPC", VICTIM, call, 40), origin, result)
    assert any(": false: " in word or ": lost: " in word for word in result.findings), result.findings
