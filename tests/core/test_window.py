"""Which sequence numbers were seen: compared with a plain set, whatever is done to both."""

from hypothesis import given
from hypothesis import strategies as some

from fleet.core.window import Ranges

NUMBERS = some.lists(some.integers(0, 40), max_size=60)


def ranges_of(numbers: set[int]) -> list[tuple[int, int]]:
    """The same set as sorted half-open ranges, written the slow way."""
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n + 1 for n in numbers if n + 1 not in numbers)
    return list(zip(starts, ends, strict=True))


@given(NUMBERS)
def test_ranges_hold_what_a_set_holds(numbers: list[int]) -> None:
    ranges, seen = Ranges(), set[int]()
    for number in numbers:
        assert (number in ranges) == (number in seen)
        ranges.add(number)
        seen.add(number)
    assert ranges.pairs() == ranges_of(seen)
    assert len(ranges) == len(ranges_of(seen))
    assert [n for n in range(42) if n in ranges] == sorted(seen)


@given(some.lists(some.tuples(some.booleans(), some.integers(0, 40)), max_size=60))
def test_forgetting_is_what_it_is_for_a_set(acts: list[tuple[bool, int]]) -> None:
    ranges, seen = Ranges(), set[int]()
    for forget, number in acts:
        if forget:
            ranges.forget_below(number)
            seen = {n for n in seen if n >= number}
        else:
            ranges.add(number)
            seen.add(number)
        assert ranges.pairs() == ranges_of(seen)


@given(NUMBERS)
def test_ranges_survive_being_stored(numbers: list[int]) -> None:
    ranges = Ranges(ranges_of(set(numbers)))
    assert Ranges(ranges.pairs()).pairs() == ranges.pairs() == ranges_of(set(numbers))


@given(some.permutations(range(12)))
def test_the_order_of_arrival_does_not_matter(numbers: list[int]) -> None:
    ranges = Ranges()
    for number in numbers:
        ranges.add(number)
    assert ranges.pairs() == [(0, 12)]


def test_a_gap_costs_one_range() -> None:
    ranges = Ranges()
    for number in range(0, 20, 2):
        ranges.add(number)
    assert len(ranges) == 10


def test_an_empty_window_holds_nothing() -> None:
    ranges = Ranges()
    ranges.forget_below(10)
    assert (len(ranges), ranges.pairs(), 0 in ranges) == (0, [], False)


def test_a_number_beyond_every_range_is_not_in_it() -> None:
    ranges = Ranges([(5, 8), (10, 11)])
    assert [n for n in range(13) if n in ranges] == [5, 6, 7, 10]
