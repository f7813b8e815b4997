"""The trust ladder: the score as published, every threshold exactly, no rung without its rule, threats, ceilings."""

from dataclasses import replace
from fractions import Fraction

import pytest

from fleet.core.trust import DOWN, UP, Experience, Level, bounded, forwarded, move, score, threatened

HOUR = 3_600_000
PERFECT = Experience(sent=5000, received=5000, on=1000, watched=1000)


def seen(n: int, bad: int = 0, threats: int = 0, uptime: int = 100) -> Experience:
    """An experience of n interactions and so many percent of uptime."""
    return Experience(sent=n // 2, received=n - n // 2, bad=bad, threats=threats, on=uptime, watched=100)


def test_the_ladder_is_the_table_of_the_mission() -> None:
    assert {level.name: int(level) for level in Level} == {
        "UNTRUSTED": 0, "VERIFIED": 1, "ATTESTED": 2, "TRUSTED": 3, "PRIVILEGED": 4,
    }  # fmt: skip
    assert {int(level): (float(rise.score), rise.interactions, rise.proposed) for level, rise in UP.items()} == {
        1: (0.70, 50, False), 2: (0.85, 500, False), 3: (0.95, 5000, True),
    }  # fmt: skip
    assert {int(level): float(least) for level, least in DOWN.items()} == {2: 0.50, 3: 0.65, 4: 0.80}


@pytest.mark.parametrize(
    ("experience", "worth"),
    [
        (PERFECT, Fraction(1)),
        (Experience(), Fraction(2, 5)),  # nothing known: no success, no uptime, no threat, whole
        (Experience(threats=1, bad=1), Fraction(1, 5)),
        (seen(100, uptime=0), Fraction(8, 10)),
        (seen(100, uptime=50), Fraction(9, 10)),
        (seen(100, bad=10), Fraction(94, 100)),  # 0.4·0.9 + 0.2 + 0.2 + 0.2·0.9
        (seen(100, bad=10, threats=5), Fraction(84, 100)),  # …and 0.2·(1 - 10·5/100)
        (seen(100, bad=10, threats=50), Fraction(74, 100)),  # a threat is never worth more than 1
        (seen(10, bad=99, threats=99, uptime=0), Fraction(0)),
        (Experience(sent=10, on=900, watched=100), Fraction(1)),
    ],
)
def test_the_score_is_the_published_one(experience: Experience, worth: Fraction) -> None:
    assert score(experience) == worth


@pytest.mark.parametrize(
    ("level", "experience", "leads"),
    [
        (1, seen(50), 2), (1, seen(49), None),
        (2, seen(500), 3), (2, seen(499), None),
        (3, seen(5000), 4), (3, seen(4999), None),
        (0, seen(100_000), None), (4, seen(100_000), None),
        (1, seen(50, uptime=0), 2),  # 0.80
        (2, seen(500, uptime=25), 3), (2, seen(500, uptime=24), None),  # 0.85 exactly, and just below
        (3, seen(5000, uptime=75), 4), (3, seen(5000, uptime=74), None),
    ],
)  # fmt: skip
def test_a_level_is_gained_exactly_at_its_score_and_count(level: int, experience: Experience, leads: int | None) -> None:
    found = move(level, experience, 4)
    assert (found.level if found else None) == leads


def test_the_last_rung_is_only_proposed() -> None:
    found = move(3, seen(5000), 4)
    assert found is not None
    assert (found.level, found.proposed) == (4, True)
    assert [move(level, PERFECT, 4).proposed for level in (1, 2)] == [False, False]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("level", "worth", "leads"),
    [(2, Fraction(50, 100), None), (2, Fraction(49, 100), 1), (3, Fraction(65, 100), None), (3, Fraction(64, 100), 2),
     (4, Fraction(80, 100), None), (4, Fraction(79, 100), 3), (1, Fraction(1, 100), None), (0, Fraction(0), None)],
)  # fmt: skip
def test_a_level_is_lost_below_its_score_and_not_at_it(level: int, worth: Fraction, leads: int | None) -> None:
    experience = experience_worth(worth)
    assert score(experience) == worth
    found = move(level, experience, 4)
    assert (found.level if found else None) == leads


def experience_worth(worth: Fraction) -> Experience:
    """Find an experience of a thousand interactions with exactly this score."""
    for bad in range(0, 1001, 50):
        for threats in range(0, 101, 5):
            base = seen(1000, bad=bad, threats=threats, uptime=0)
            uptime = (worth - score(base)) * 5
            if 0 <= uptime <= 1:
                return replace(base, on=int(uptime * 1000), watched=1000)
    raise AssertionError(worth)


def test_nothing_moves_below_ten_interactions() -> None:
    awful = Experience(sent=9, bad=9, threats=9)
    assert move(4, awful, 4) is None
    assert move(4, replace(awful, received=1, bad=10), 4) is not None


def test_a_level_is_lost_one_rung_at_a_time() -> None:
    awful = Experience(sent=10, bad=10, threats=10)
    assert [move(level, awful, 4).level for level in (4, 3, 2)] == [3, 2, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("ceiling", range(5))
def test_no_rule_leads_above_the_certificates_ceiling(ceiling: int) -> None:
    for level in range(5):
        found = move(level, PERFECT, ceiling)
        assert found is None or found.level <= ceiling


@pytest.mark.parametrize(
    ("apart", "second"), [(0, True), (HOUR - 1, True), (HOUR, True), (HOUR + 1, False), (-5, True)]
)
def test_the_second_threat_within_an_hour_is_noticed(apart: int, second: bool) -> None:
    once, first = threatened(Experience(), 1_000_000)
    twice, found = threatened(once, 1_000_000 + apart)
    assert (first, found) == (False, second)
    assert (twice.threats, twice.bad, twice.threat_at) == (2, 2, 1_000_000 + apart)


def test_the_third_threat_is_measured_against_the_second() -> None:
    one, _ = threatened(Experience(), 1)
    two, far = threatened(one, 2 * HOUR)
    _, near = threatened(two, 3 * HOUR)
    assert (far, near) == (False, True)


def test_from_level_nought_no_rule_leads_up() -> None:
    assert move(0, PERFECT, 4) is None


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("ceiling", range(6))
def test_a_level_is_never_above_the_ceiling_of_certificate_or_house(level: int, ceiling: int) -> None:
    assert bounded(level, ceiling) == min(level, ceiling, 4)


def test_what_is_forwarded_has_the_lower_of_two_levels() -> None:
    assert [forwarded(mine, its) for mine in range(5) for its in range(5)] == [
        min(mine, its) for mine in range(5) for its in range(5)
    ]
