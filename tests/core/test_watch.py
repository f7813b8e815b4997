"""Thresholds and news: from where on a figure is a condition, told once when it begins and once when it is over."""

from typing import Any

import pytest

from fleet.core import watch
from fleet.core.watch import Condition, Limits, Seen

LIMITS = Limits(queue_age=3600, dead=20, flaps=6, wal=64 << 20)
NO_LIMITS = Limits(0, 0, 0, 0)


def kinds(limits: Limits = LIMITS, **seen: Any) -> list[tuple[str, str]]:
    return [one.key for one in watch.find(Seen(**seen), limits)]


@pytest.mark.parametrize(
    ("below", "at", "key"),
    [
        ({"queues": {"b": 3599.0}}, {"queues": {"b": 3600.0}}, ("queue", "b")),
        ({"dead": 19}, {"dead": 20}, ("dead letters", "")),
        ({"flaps": {("b", "nats"): 5}}, {"flaps": {("b", "nats"): 6}}, ("flapping", "b/nats")),
        ({"wal": (64 << 20) - 1}, {"wal": 64 << 20}, ("wal", "")),
        ({}, {"disk_short": True}, ("disk", "")),
        ({}, {"clock": "it jumped"}, ("clock", "")),
    ],
    ids=lambda value: str(value),
)
def test_a_condition_holds_from_its_threshold_on(below: dict[str, Any], at: dict[str, Any], key: tuple[str, str]) -> None:
    assert kinds(**below) == []
    assert kinds(**at) == [key]


def test_zero_switches_a_threshold_off() -> None:
    assert kinds(NO_LIMITS, queues={"b": 1e9}, dead=10**6, flaps={("b", "nats"): 10**6}, wal=1 << 40) == []


@pytest.mark.parametrize(
    "seen", [{"queues": {"b": 9e3}}, {"dead": 99}, {"flaps": {("b", "nats"): 9}}, {"wal": 1 << 30}, {"disk_short": True}]
)
def test_every_notice_names_the_command_to_try(seen: dict[str, Any]) -> None:
    (found,) = watch.find(Seen(**seen), LIMITS)
    assert ": fleet " in found.text or ", fleet " in found.text


def looks(*found: list[str], calm: float = 60.0, every: float = 10.0) -> list[tuple[list[str], list[str]]]:
    """Look several times, ten seconds apart; gives what began and what was over each time."""
    standing: watch.Standing = {}
    news = []
    for number, kinds in enumerate(found):
        turned = watch.turn(standing, [Condition(kind, "", kind) for kind in kinds], number * every, calm)
        standing = turned.standing
        news.append(([one.kind for one in turned.begun], [kind for kind, _ in turned.over]))
    return news


def test_a_condition_is_told_once_however_long_it_holds() -> None:
    assert looks(["wal"], ["wal"], ["wal"]) == [(["wal"], []), ([], []), ([], [])]


def test_it_is_over_once_it_was_not_seen_for_a_while_and_may_begin_anew() -> None:
    quiet: list[list[str]] = [[] for _ in range(6)]
    assert looks(["wal"], *quiet, [], ["wal"])[6:] == [([], ["wal"]), ([], []), (["wal"], [])]


def test_a_figure_that_dances_on_its_threshold_makes_no_noise() -> None:
    assert looks(*[["wal"], []] * 20)[1:] == [([], [])] * 39


def test_without_any_calm_it_is_over_at_the_next_look() -> None:
    assert looks(["wal"], [], calm=0.0) == [(["wal"], []), ([], ["wal"])]


def test_the_end_is_said_without_a_stray_space() -> None:
    assert watch.ended("wal", "") == "wal: over"
    assert watch.ended("queue", "b") == "queue b: over"
