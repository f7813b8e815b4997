"""What somebody asks to be sent: what it becomes, and every way in which nothing is accepted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import envelope, policy
from fleet.core.envelope import KINDS, Cost, Kind
from fleet.core.submission import Desk, Draft, Submission, cost_of, draft_of, read_line, seconds
from fleet.errors import FleetError, TooLarge, UnknownPeer, UnknownType, UsageError
from tests.core.samples import ID

NOW = 1_700_000_000_000
DICE = bytes(range(10))
OWN_ID = envelope.make_id(NOW, b"\x01" * 10)  # made by the caller


def draft(desk: Desk | None = None, **words: Any) -> Draft:
    """The draft of a message to bob."""
    return draft_of(Submission(**({"to": "bob", "body": "hello"} | words)), desk or Desk(), NOW, DICE)


def sent(made: Draft) -> envelope.Envelope:
    """The envelope that would travel."""
    return envelope.read(envelope.stamp(made.content, 7, made.exp))


def test_a_draft_is_the_envelope_without_its_head() -> None:
    made = draft(
        type="alert", priority="urgent", re=ID, correlation="c", agent="claude", from_agent="me", session="s", ctype="t",
        context={"a": 1}, cost={"tokens": 5, "usd": 0.25, "hops": 3}, id=OWN_ID, channel="nats",
    )  # fmt: skip
    assert sent(made) == envelope.Envelope(
        seq=7, exp=made.exp, id=OWN_ID, ts=NOW, type="alert", priority=3, re=ID, correlation="c", to_agent="claude",
        from_agent="me", session="s", ctype="t", context={"a": 1}, cost=Cost(tokens=5, micro_usd=250_000, hops=3),
        body="hello",
    )  # fmt: skip
    assert (made.id, made.peer, made.type, made.priority, made.pin, made.created) == (
        OWN_ID,
        "bob",
        "alert",
        3,
        "nats",
        NOW,
    )
    assert made.digest == envelope.digest(made.content)
    assert (made.refused, made.held_until) == ("", 0)


def test_a_plain_message_says_nothing_it_need_not() -> None:
    made = draft()
    assert made.content == b'"id":"%b","ts":%d,"body":"hello"}' % (made.id.encode(), NOW)
    assert made.id == envelope.make_id(NOW, DICE)
    assert made.size == 5


def test_the_same_request_is_the_same_content_however_it_was_written() -> None:
    plain = draft(id=ID)
    spelled = draft_of(
        read_line(json.dumps({"to": "bob", "body": "hello", "id": ID, "type": "message", "priority": "normal"}).encode()),
        Desk(), NOW, DICE,
    )  # fmt: skip
    assert plain.digest == spelled.digest
    assert draft(id=ID, cost={"hops": 8}).digest == plain.digest


def test_asked_again_later_with_the_callers_id_it_is_the_same_message() -> None:
    asked = Submission(to="bob", body="hello", id=OWN_ID)
    first, again = (draft_of(asked, Desk(), now, DICE) for now in (NOW + 5, NOW + 60_000))
    assert first.digest == again.digest
    assert sent(again).ts == NOW


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ({"body": "x"}, "x"),
        ({"body": {"b": 1, "a": 2}}, {"a": 2, "b": 1}),
        ({"body": "", "payload": {"body": "x"}}, "x"),
        ({"body": "", "payload": {"body": {"a": 1}}}, {"a": 1}),
        ({"body": "", "payload": {"a": 1}}, {"a": 1}),
        ({"body": "", "payload": {"body": "x", "more": 1}}, {"body": "x", "more": 1}),
        ({"body": "", "payload": {}}, {}),
    ],
)
def test_a_body_is_text_or_an_object_also_in_the_described_form(words: dict[str, Any], body: Any) -> None:
    assert sent(draft(**words)).body == body


@pytest.mark.parametrize(
    ("words", "ttl"),
    [
        ({}, 604_800), ({"type": "task"}, 3600), ({"type": "broadcast"}, 60), ({"ttl": 5}, 5), ({"ttl": "90s"}, 90),
        ({"ttl": "2h"}, 7200), ({"ttl": 0.5}, 0.5),
    ],
)  # fmt: skip
def test_a_draft_expires_when_its_type_or_its_sender_says(words: dict[str, Any], ttl: float) -> None:
    assert draft(**words).exp == NOW + ttl * 1000


def test_the_types_are_those_of_the_configuration() -> None:
    desk = Desk(kinds={"telegram": Kind("telegram", ttl=10.0)})
    assert draft(desk, type="telegram").exp == NOW + 10_000
    with pytest.raises(UnknownType):
        draft(desk, type="message")


# ── nothing was accepted ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("to", ["", "Bob", "../bob", "bob\n", "a" * 64, "mallory"])
def test_nobody_of_that_name(to: str) -> None:
    desk = Desk(knows=lambda node: node == "bob")
    with pytest.raises(UnknownPeer, match="no member of this fleet is called") as caught:
        draft(desk, to=to)
    assert (caught.value.exit_code, caught.value.message.isprintable()) == (5, True)


def test_no_type_of_that_name_says_which_there_are() -> None:
    with pytest.raises(UnknownType, match="did you mean alert") as caught:
        draft(type="alrt")
    assert caught.value.hint == "one of " + ", ".join(KINDS)
    with pytest.raises(UnknownType) as caught:
        draft(type="zzz\n")
    assert caught.value.message == "there is no message type 'zzz\\n'"


def test_no_road_of_that_name() -> None:
    desk = Desk(channels=("nats", "http"))
    assert draft(desk, channel="http").pin == "http"
    with pytest.raises(UsageError, match="no road is called 'htpt': nats, http"):
        draft(desk, channel="htpt")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"id": "x"}, "an id is a UUIDv7"),
        ({"id": ID.upper() + "A"}, "an id is a UUIDv7"),
        ({"re": "x"}, "--re wants a message id"),
        ({"priority": "high!"}, "one of low, normal, high, urgent"),
        ({"correlation": "x" * 257}, "more than 256"),
        ({"agent": "x" * 257}, "more than 256"),
        ({"from_agent": "x" * 257}, "more than 256"),
        ({"session": "x" * 257}, "more than 256"),
        ({"ctype": "x" * 257}, "more than 256"),
        ({"body": {"a": 1 << 54}}, "cannot travel: a whole number beyond"),
        ({"context": {"a": 1 << 54}}, "cannot travel"),
        ({"body": "", "payload": {"body": 3}}, "a body is text or an object"),
        ({"body": "", "payload": {"body": ["x"]}}, "a body is text or an object"),
        ({"body": "\ud800"}, "cannot be written as JSON"),
        ({"body": {"a": {1, 2, "x"}}}, "cannot be written as JSON"),
        ({"ttl": "soon"}, "not a duration"),
        ({"ttl": 0}, "more than nothing"),
        ({"cost": {"gold": 1}}, "a cost has tokens, usd and hops, not gold"),
    ],
)
def test_a_request_that_cannot_be_accepted_says_why(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        draft(**words)
    assert caught.value.exit_code == 2


def test_a_body_exactly_at_the_limit_is_accepted() -> None:
    assert draft(Desk(limit=10), body="x" * 10).size == 10
    with pytest.raises(TooLarge, match="11 bytes, the limit is 10"):
        draft(Desk(limit=10), body="x" * 11)


def test_a_body_is_counted_in_bytes() -> None:
    with pytest.raises(TooLarge):
        draft(Desk(limit=10), body="é" * 6)


def test_the_hard_limit_holds_whatever_the_setting_says() -> None:
    with pytest.raises(TooLarge, match="hard limit 524288"):
        draft(Desk(limit=1 << 30), body="x" * policy.ENVELOPE_LIMIT)


def test_text_that_grows_when_it_is_written_meets_the_hard_limit() -> None:
    with pytest.raises(TooLarge):
        draft(Desk(limit=1 << 30), body="\x01" * (policy.ENVELOPE_LIMIT // 4))


def test_a_context_is_no_second_body() -> None:
    assert sent(draft(context={"a": "x" * 16_000})).context == {"a": "x" * 16_000}
    with pytest.raises(TooLarge, match="the context is larger than 16384"):
        draft(context={"a": "x" * 16_384})


def test_nesting_is_bounded_before_it_is_accepted() -> None:
    body: dict[str, Any] = {}
    for _ in range(policy.JSON_DEPTH):
        body = {"a": body}
    with pytest.raises(UsageError, match="nested deeper"):
        draft(body=body)


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_is_one_request() -> None:
    asked = read_line(b'{"to": "bob", "body": {"a": 1}, "ttl": "5m", "priority": "high"}')
    assert asked == Submission(to="bob", body={"a": 1}, ttl="5m", priority="high")


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"{", b'{"to": 1}', b'{"to": "bob", "bdoy": "x"}', b'{"to": "bob", "body": 3}', b"\xff",
     b'{"to": "bob", "ttl": true}', b'{"to": "bob"} x', b'{"to":' + b"[" * 100_000, b'{"to": "bob", "body": NaN}'],
)  # fmt: skip
def test_a_line_that_is_no_request_is_a_usage_error(line: bytes) -> None:
    with pytest.raises(UsageError, match="not a message") as caught:
        read_line(line)
    assert caught.value.hint == "fleet send --help"


@given(some.binary(max_size=60))
def test_any_line_is_a_request_or_a_usage_error(line: bytes) -> None:
    with pytest.raises(UsageError):
        draft_of(read_line(line), Desk(), NOW, DICE)


_JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


_WORDS = ("body", "type", "priority", "id", "re", "agent", "ttl", "cost", "payload", "context", "channel")


@given(some.fixed_dictionaries({"to": some.just("bob")}, optional=dict.fromkeys(_WORDS, _JSON)))
def test_whatever_is_accepted_can_be_read_by_the_addressee(words: dict[str, Any]) -> None:
    try:
        made = draft_of(read_line(json.dumps(words).encode()), Desk(), NOW, DICE)
    except FleetError as error:
        assert error.exit_code in (2, 5)
        return
    assert sent(made).ts == NOW


# ── durations and costs ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "expected"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("250ms", 0.25), ("1.5h", 5400), ("5", 5), (5, 5)],
)
def test_a_duration_is_read(value: float | str, expected: float) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value", ["", "soon", "-1s", "1y", "10 m", 0, -1, 1e9, float("nan"), float("inf"), "9" * 400, "366d"]
)
def test_what_is_no_duration_is_a_usage_error(value: Any) -> None:
    with pytest.raises(UsageError):
        seconds(value)


@pytest.mark.parametrize(
    ("words", "cost"),
    [
        ({}, Cost()), ({"tokens": 10**9}, Cost(tokens=10**9)), ({"usd": 0.000001}, Cost(micro_usd=1)),
        ({"usd": 10**6}, Cost(micro_usd=10**12)), ({"micro_usd": 5}, Cost(micro_usd=5)), ({"hops": 0}, Cost(hops=0)),
        ({"hops": 64}, Cost(hops=64)), ({"usd": 1, "micro_usd": 5}, Cost(micro_usd=1_000_000)),
    ],
)  # fmt: skip
def test_a_cost_is_read(words: dict[str, Any], cost: Cost) -> None:
    assert cost_of(words) == cost


@pytest.mark.parametrize(
    "words",
    [{"tokens": -1}, {"tokens": 10**9 + 1}, {"tokens": 1.5}, {"tokens": "5"}, {"tokens": True}, {"hops": 65}, {"hops": -1},
     {"hops": 1.0}, {"usd": -0.01}, {"usd": float("nan")}, {"usd": float("inf")}, {"usd": 10**6 + 1}, {"usd": "5"},
     {"usd": True}, {"micro_usd": 0.5}, {"micro_usd": -1}, {"micro_usd": 10**12 + 1}, {"eur": 1}],
)  # fmt: skip
def test_a_cost_out_of_range_is_a_usage_error(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        cost_of(words)
