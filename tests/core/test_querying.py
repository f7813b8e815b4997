"""What daemons ask each other is told from mail by its exact shape, and says no more than the asker may know."""

from typing import Any

import pytest

from fleet.core import policy
from fleet.core.querying import answered, asked, read_sessions, redacted

ONE = {
    "id": "s", "node": "b", "program": "claude", "agent": "claude", "cwd": "/home/x/secret-project", "branch": "main",
    "idle_ms": 5, "state": "idle", "pid": 7, "reach": "hook", "last_seen": 1,
}  # fmt: skip


@pytest.mark.parametrize("word", ["sessions", "status", "capabilities"])
def test_an_ask_and_its_answer_are_recognised(word: str) -> None:
    assert asked("query", {"ask": word}) == word
    assert answered("reply", {"answer": word, word: []}) == word


@pytest.mark.parametrize(
    ("type", "body"),
    [
        ("query", "sessions"), ("query", {"ask": "weather"}), ("query", {"ask": ["sessions"]}), ("query", {}),
        ("query", {"ask": "sessions", "and": "tell me more"}), ("message", {"ask": "sessions"}), ("query", None),
    ],
)  # fmt: skip
def test_everything_else_is_mail_for_people_and_agents(type: str, body: Any) -> None:
    assert asked(type, body) == ""


@pytest.mark.parametrize(
    ("type", "body"),
    [
        ("reply", "sessions"), ("reply", {"answer": "42"}), ("reply", {"answer": "sessions"}),
        ("reply", {"answer": "sessions", "sessions": [], "text": "for you"}),
        ("message", {"answer": "sessions", "sessions": []}),
    ],
)  # fmt: skip
def test_a_reply_of_an_agent_is_no_daemons_answer(type: str, body: Any) -> None:
    assert answered(type, body) == ""


def test_a_peer_that_is_not_trusted_learns_names_and_idle_times_alone() -> None:
    assert redacted([ONE], policy.TRUST_SHARED - 1) == [{"id": "s", "agent": "claude", "idle_ms": 5, "state": "idle"}]


def test_a_trusted_one_learns_where_they_work_and_never_a_pid() -> None:
    (found,) = redacted([ONE], policy.TRUST_SHARED)
    assert (found["cwd"], found["branch"]) == (ONE["cwd"], ONE["branch"])
    assert not {"pid", "reach", "node"} & set(found)


@pytest.mark.parametrize(
    "sessions",
    [None, "x", {}, [None], ["s"], [{}], [{"id": 7}], [{"id": ""}], [{"id": "x" * 257}], [[["id", "s"]]]],
)
def test_what_is_no_session_is_left_out(sessions: Any) -> None:
    assert read_sessions({"sessions": sessions}) == []


def test_whatever_a_peer_says_of_a_session_becomes_bounded_words_and_numbers() -> None:
    lies = {"id": "s", "agent": 7, "cwd": "c" * 999, "idle_ms": True, "state": "on fire", "node": "chief", "extra": {}}
    assert read_sessions({"sessions": [lies]}) == [
        {"id": "s", "agent": "", "program": "", "cwd": "c" * 256, "branch": "", "idle_ms": 0, "state": "unknown"}
    ]
    assert read_sessions({"sessions": [{"id": "s", "idle_ms": -1}, {"id": "t", "idle_ms": 1 << 60}]})[0]["idle_ms"] == 0


def test_only_so_many_are_read() -> None:
    assert len(read_sessions({"sessions": [{"id": str(n)} for n in range(1_000)]})) == policy.SESSIONS
