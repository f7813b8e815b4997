"""Time that no wall clock can push: jumps change nothing while the machine runs, and never lead back."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.core.timeline import Mark, reckon

DAY = 86_400_000


def test_it_begins_as_the_wall_clock() -> None:
    assert reckon(None, "boot", 5.0, 1000) == Mark("boot", 5.0, 1000)


def test_while_the_machine_runs_only_its_steady_clock_counts() -> None:
    kept = Mark("boot", 100.0, 1_000_000)
    for wall in (0, 1_000_000, 1_000_000 + DAY, 1_000_000 - DAY):
        assert reckon(kept, "boot", 107.5, wall).time == 1_007_500


def test_after_a_boot_the_wall_clock_is_asked_but_time_never_goes_back() -> None:
    kept = Mark("boot", 100.0, 1_000_000)
    assert reckon(kept, "next", 1.0, 1_000_000 + DAY).time == 1_000_000 + DAY
    assert reckon(kept, "next", 1.0, 5).time == 1_000_000
    assert reckon(kept, "boot", 99.0, 5).time == 1_000_000  # a clock that began anew


@given(st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.floats(0, 1e6), st.integers(0, 2**45)), max_size=30))
def test_it_never_goes_back(readings: list[tuple[str, float, int]]) -> None:
    mark: Mark | None = None
    for boot, steady, wall in readings:
        found = reckon(mark, boot, steady, wall)
        assert mark is None or found.time >= mark.time
        mark = found
