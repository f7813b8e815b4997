"""Power cuts in short: a thousand moments of two nodes' lives, and the proof that the campaign would see a loss."""

from tests.campaign import crash
from tests.campaign.lives import lived

POINTS = 1000


def test_a_power_cut_at_any_moment_loses_nothing_and_doubles_nothing() -> None:
    result = crash.run(POINTS, 0)
    assert result.findings == []
    assert (result.points, result.whole) == (POINTS, POINTS // crash.WHOLE_EVERY)
    assert result.resent > POINTS


def test_without_synchronous_full_it_finds_losses() -> None:
    found = crash.run(40, 0, "NORMAL", keep_going=True).kinds()
    assert {"lost", "forgotten", "false", "audit"} <= set(found)


def test_the_same_seed_lives_the_same_life() -> None:
    def trace(seed: int) -> list[tuple[str, str, int, bytes]]:
        with lived(seed, messages=12) as life:
            return [(op.kind, op.file, op.offset, op.data) for op in life.disk.log if op.file.endswith("-wal")]

    assert [one[:3] for one in trace(3)] == [one[:3] for one in trace(3)]
    assert trace(3) != trace(4)
