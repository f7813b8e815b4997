"""The fixed list of repairs: what may be asked for, by whom, and that nothing else can be."""

import pytest

from fleet.core import repairs
from fleet.core.repairs import REPAIRS, Asked
from fleet.errors import Malformed

ROADS = ("nats", "http")


@pytest.mark.parametrize("word", list(REPAIRS))
def test_every_repair_can_be_written_and_read(word: str) -> None:
    asked = [Asked(REPAIRS[word], "nats" if REPAIRS[word].of_road else "")]
    assert repairs.read(repairs.write(asked), ROADS) == asked


@pytest.mark.parametrize(
    "body",
    [
        "", "reconnect nats", {}, {"repairs": []}, {"repairs": "announce"}, {"repairs": [1]}, {"repairs": [None]},
        {"repairs": ["rm"]}, {"repairs": ["reconnect"]}, {"repairs": ["reconnect pigeon"]}, {"repairs": ["announce nats"]},
        {"repairs": ["reconnect nats; reboot"]}, {"repairs": ["reconnect nats "]}, {"repairs": ["Announce"]},
        {"repairs": ["announce"] * 17}, {"repairs": ["announce", "rm"]},
    ],
)  # fmt: skip
def test_nothing_outside_the_list_is_read(body: object) -> None:
    with pytest.raises(Malformed):
        repairs.read(body, ROADS)


@pytest.mark.parametrize(
    ("words", "level"),
    [
        (["announce"], 2), (["reconnect nats", "announce"], 2), (["broker"], 4), (["announce", "broker"], 4),
        (["rm"], 4), ([], 4), ([1], 4),
    ],
)  # fmt: skip
def test_a_message_needs_the_trust_of_the_strongest_thing_it_asks_for(words: list[object], level: int) -> None:
    assert repairs.level_of({"repairs": words}) == level


def test_what_cannot_be_read_needs_the_most() -> None:
    assert repairs.level_of("reconnect nats") == repairs.level_of({}) == 4


def test_a_peer_is_asked_for_hints_alone() -> None:
    asked = repairs.hints_for(("nats", "http"))
    assert [one.words for one in asked] == ["reconnect nats", "reconnect http", "announce"]
    assert repairs.level_of(repairs.write(asked)) == 2


def test_every_repair_has_a_sentence() -> None:
    assert all(len(one.sentence) > 10 for one in REPAIRS.values())
