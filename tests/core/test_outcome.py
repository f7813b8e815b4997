"""The results of an attempt: the printed table, and that no channel can say more than it knows."""

import pytest

from fleet.core.health import Evidence
from fleet.core.outcome import EFFECTS, Attempt, Outcome, Result, Walk, Word
from fleet.core.receipt import Receipt
from tests.core.printed import cells
from tests.core.samples import ID

# design § 5, "Results (result: the walk; the link; the message)"; good, bad, fatal are the evidence of health.py
TABLE = cells("""
|           | walk  | link  |
|-----------|-------|-------|
| DELIVERED | STOP  | GOOD  |
| TAKEN     | REST  |       |
| NUDGED    | AGAIN |       |
| DEFERRED  | NEXT  | BAD   |
| BARRED    | NEXT  |       |
| REJECTED  | STOP  | GOOD  |
| FAULTY    | NEXT  | FATAL |
""")


@pytest.mark.parametrize("name", [row for row, column in TABLE if column == "walk"])
def test_every_result_has_the_printed_effect(name: str) -> None:
    effect = EFFECTS[Result[name]]
    assert effect.walk is Walk[TABLE[name, "walk"]]
    link = TABLE[name, "link"]
    assert effect.link is (Evidence[link] if link else None)


def test_there_are_no_other_results() -> None:
    assert set(EFFECTS) == set(Result)
    assert len(Result) == 7


def test_only_proof_stops_a_walk() -> None:
    assert {result for result, effect in EFFECTS.items() if effect.walk is Walk.STOP} == {Result.DELIVERED, Result.REJECTED}


def test_custody_earns_the_link_nothing() -> None:
    assert EFFECTS[Result.TAKEN].link is None


def test_a_channel_says_three_words() -> None:
    assert Outcome.replied(b"bytes") == Outcome(Word.REPLIED, b"bytes")
    assert Outcome.taken("git") == Outcome(Word.TAKEN, holder="git")
    assert Outcome.taken() == Outcome(Word.TAKEN)
    assert Outcome.nudged() == Outcome(Word.NUDGED)
    assert len(Word) == 3


def test_the_words_of_trace_are_lower_case() -> None:
    assert [str(result) for result in Result] == [result.name.lower() for result in Result]


def test_a_recorded_attempt_does_not_print_its_receipt() -> None:
    attempt = Attempt(ID, "bob", "nats", 1000, 0.5, Result.DELIVERED, receipt=Receipt(pid=ID, road="nats", reason="words"))
    assert "words" not in repr(attempt)
