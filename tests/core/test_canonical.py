"""One value has one spelling; every other spelling of it is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.core import canonical, policy
from fleet.core.envelope import Envelope, read
from fleet.core.parcel import Header
from fleet.core.peer import Certificate, FleetKey, Manifest, Renewal, Revocation
from fleet.core.receipt import Heartbeat, Ping, Receipt
from fleet.errors import Malformed
from tests.core.samples import ID, certificate, envelope, header, manifest, wire

HEAD = wire()[:-1]


def test_the_sample_is_the_canonical_form() -> None:
    assert read(wire(body="hello")) == envelope()
    assert canonical.encode(envelope()) == wire(body="hello")


@pytest.mark.parametrize(
    "tail",
    [
        b',"body":"a","body":"b"}',
        b',"body":"b","body":"b"}',
        b',"body":{"a":1,"a":1}}',
        b', "body":"x"}',
        b',"body": "x"}',
        b',"body":"x" }',
        b',"body":"x"} ',
        b',"body":"x"}\n',
        b',"body":"x"}{}',
        b',"body":"\\u0041"}',
        b',"body":"\\/"}',
        b',"body":"\\u000a"}',
        b',"body":"\\u00e9"}',
        b',"body":"\\ud800"}',
        b',"body":"\\ud83d\\ude00"}',
        b',"body":"\xff"}',
        b',"body":"\xc0\xaf"}',
        b',"body":"\xed\xa0\x80"}',
        b',"body":"a\nb"}',
        b',"body":{"b":1,"a":2}}',
        b',"body":{"a":1e5}}',
        b',"body":{"a":1E-7}}',
        b',"body":{"a":0.10}}',
        b',"body":{"a":-0}}',
        b',"body":{"a":+1}}',
        b',"body":{"a":01}}',
        b',"body":{"a":1.}}',
        b',"body":{"a":NaN}}',
        b',"body":{"a":Infinity}}',
        b',"body":{"a":-Infinity}}',
        b',"body":{"a":1e400}}',
        b',"body":{"a":0.1000000000000000055511151231257827}}',
        b',"body":{"a":9007199254740993}}',
        b',"body":{"a":-9007199254740993}}',
        b',"body":{"a":18446744073709551616}}',
        b',"body":{"a":' + b"9" * 400 + b"}}",
        b',"body":3}',
        b',"body":["a"]}',
        b',"body":null}',
        b',"body":""}',
        b',"type":"message"}',
        b',"priority":1}',
        b',"priority":1.0}',
        b',"priority":true}',
        b',"priority":"1"}',
        b',"re":null}',
        b',"context":null}',
        b',"cost":{}}',
        b',"cost":{"hops":8}}',
        b',"cost":{"tokens":0}}',
        b',"cost":{"micro_usd":1,"tokens":1}}',
        b',"unknown":1}',
        b',"body":"x","type":"alert"}',
        b"",
        b",}",
    ],
)
def test_every_second_spelling_is_refused(tail: bytes) -> None:
    with pytest.raises(Malformed):
        read(HEAD + tail)


@pytest.mark.parametrize(
    "tail",
    [
        b"}",
        b',"body":"\\n\\t\\"\\\\\\u0000"}',
        b',"body":"\x7f"}',
        ',"body":"é漢😀\u2028"}'.encode(),
        b',"body":{}}',
        b',"body":{"a":9007199254740992,"b":-9007199254740992,"c":0.1,"d":1e-7,"e":100000.0,"f":-0.0}}',
        b',"body":{"a":0.00001,"b":1e-6,"c":1e16,"d":9999999999999998.0}}',
        b',"body":{"a":[],"b":null,"c":true,"d":{"":[{}]}}}',
        b',"type":"alert","priority":3}',
        b',"context":{}}',
        b',"cost":{"hops":7}}',
    ],
)
def test_the_one_spelling_is_read_and_written_alike(tail: bytes) -> None:
    assert canonical.encode(read(HEAD + tail)) == HEAD + tail


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b'"x"', b"\x00", b"\xef\xbb\xbf" + wire(), b"[" * 100_000])
def test_what_is_no_value_of_the_kind_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="not a valid header: "):
        canonical.reader(Header)(data)


def test_a_bomb_of_brackets_is_refused() -> None:
    with pytest.raises(Malformed, match="RecursionError"):
        read(HEAD + b',"body":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}")


# What is only equal to a default is another object; it must be left out all the same (two senders, one digest).
SAMPLES: list[Any] = [
    envelope(), header(), certificate(), manifest(),
    Revocation(v=1, fleet="home", version=1), Receipt(pid=ID, road="nats"), Ping(nonce="0" * 32),
    Heartbeat(boot=ID, counter=1), Renewal(v=1, fleet="home", node="alice", key=bytes(32), serial=7),
    FleetKey(v=1, fleet="home", serial=2, key=bytes(32)),
]  # fmt: skip


def defaults() -> list[Any]:
    """Every field with a default, of every kind of the wire."""
    return [
        pytest.param(sample, field, id=f"{type(sample).__name__}.{field.name}")
        for sample in SAMPLES
        for field in msgspec.structs.fields(sample)
        if not field.required
    ]


@pytest.mark.parametrize(("sample", "field"), defaults())
def test_a_default_is_never_written_out(sample: Any, field: msgspec.structs.FieldInfo) -> None:
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default  # type: ignore[misc]
    sample = msgspec.structs.replace(sample, **{field.name: default})
    words = msgspec.to_builtins(sample)
    assert field.encode_name not in words
    names = [each.encode_name for each in msgspec.structs.fields(sample)]
    words[field.encode_name] = json.loads(msgspec.json.encode(default))
    ordered = {name: words[name] for name in names if name in words}
    with pytest.raises(Malformed):
        canonical.reader(type(sample))(json.dumps(ordered, separators=(",", ":")).encode())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_every_kind_of_the_wire_survives_the_road(sample: Any) -> None:
    data = canonical.encode(sample)
    again = canonical.reader(type(sample))(data)
    assert again == sample
    assert canonical.encode(again) == data


def test_equal_words_have_equal_bytes_whoever_made_the_objects() -> None:
    word = "".join(["mess", "age"])
    cost = type(envelope().cost)()
    assert canonical.encode(envelope(type=word, cost=cost)) == canonical.encode(envelope())
    role = "".join(["work", "er"])
    assert canonical.encode(certificate(role=role)) == canonical.encode(certificate())
    zero = float("0")
    assert b"retry" not in canonical.encode(Receipt(pid=ID, road="nats", retry_after=zero))


def test_what_differs_from_the_default_is_kept() -> None:
    assert b'"type":"alert"' in canonical.encode(envelope(type="alert"))
    assert b'"role":"chief"' in canonical.encode(certificate(role="chief"))


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-policy.SAFE_INTEGER, policy.SAFE_INTEGER)
    | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(some.dictionaries(some.text(max_size=5), _JSON, max_size=4) | some.text())
def test_any_body_survives_the_road(body: Any) -> None:
    sent = envelope(body=body)
    assert read(canonical.encode(sent)) == sent


@given(some.binary(max_size=60))
def test_any_bytes_are_malformed_or_a_value(data: bytes) -> None:
    for kind in (Envelope, Header, Certificate, Manifest, Receipt):
        with pytest.raises(Malformed):
            canonical.reader(kind)(data)


def nest(depth: int) -> Any:
    """A value of so many levels."""
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_nesting_is_bounded() -> None:
    canonical.bound(nest(policy.JSON_DEPTH))
    with pytest.raises(Malformed, match="nested deeper than 32"):
        canonical.bound(nest(policy.JSON_DEPTH + 1))


@pytest.mark.parametrize("number", [policy.SAFE_INTEGER + 1, -policy.SAFE_INTEGER - 1, 1 << 63])
@pytest.mark.parametrize("shape", [lambda n: n, lambda n: [n], lambda n: {"a": {"b": [0, n]}}])
def test_whole_numbers_are_bounded_wherever_they_stand(number: int, shape: Any) -> None:
    with pytest.raises(Malformed, match="beyond 2"):
        canonical.bound(shape(number))


@pytest.mark.parametrize("value", [policy.SAFE_INTEGER, -policy.SAFE_INTEGER, 1.5e300, True, None, "x", [], {}])
def test_what_is_within_bounds_passes(value: Any) -> None:
    canonical.bound(value)
