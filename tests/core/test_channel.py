"""The seam: the values that pass through it, and that it asks of a road what the design prints and no more."""

import inspect

import pytest

from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind, Channel, Traits


def test_a_road_is_honest_and_cheap_unless_it_says_otherwise() -> None:
    assert Traits() == Traits(
        carries=True, replies=True, pings=True, hedges=True, spare=False, framed=False, max_bytes=(1 << 20) - 4096
    )
    assert policy.PARCEL_LIMIT == (1 << 20) - 4096


def test_the_receiver_answers_in_four_ways() -> None:
    assert [kind.name for kind in AnswerKind] == ["SIGNED", "CUSTODY", "BUSY", "NONE"]
    assert Answer(AnswerKind.NONE) == Answer(AnswerKind.NONE, b"", 0.0)


def test_values_of_the_seam_cannot_be_changed() -> None:
    for value, field in ((Traits(), "spare"), (Answer(AnswerKind.NONE), "data")):
        with pytest.raises(AttributeError):
            setattr(value, field, True)


def test_a_road_has_five_verbs_and_all_of_them_wait() -> None:
    verbs = {name: member for name, member in vars(Channel).items() if inspect.isfunction(member) and name[0] != "_"}
    assert list(verbs) == ["open", "send", "listen", "forget", "close"]
    assert all(inspect.iscoroutinefunction(verb) for verb in verbs.values())
    assert list(inspect.signature(verbs["send"]).parameters) == ["self", "peer", "parcel", "timeout"]
    assert list(inspect.signature(verbs["forget"]).parameters) == ["self", "peer", "pids"]


def test_nobody_asks_a_road_whether_it_is_available() -> None:
    assert not hasattr(Channel, "is_available")
    assert not hasattr(Channel, "probe")
