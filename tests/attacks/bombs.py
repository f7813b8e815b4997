"""JSON made to hurt, and every reader of the house that takes bytes of others; must never send anything itself.

for reader in READERS:
    for data in corpus(reader): offered(reader, data)        # raises only what the reader may raise
fuzz(20_000, seed=0) offers random ones; TREES are Hypothesis' values.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as some

from fleet.core import canonical, parcel, peer, sealing
from fleet.core.envelope import read as read_envelope
from fleet.core.peer import Certificate, FleetKey, Manifest, Renewal, Revocation
from fleet.core.receipt import Entry, Heartbeat, Ping, Receipt, read_heartbeat, read_ping, read_receipt
from fleet.core.submission import read_line
from fleet.daemon import enrolment
from fleet.daemon.enrolment import Link, Request, Welcome
from fleet.errors import JoinRefused, Malformed, TooLarge, UsageError, WireError
from fleet.faces import errand, jsontext, verbs
from tests.core import samples

SMALL = 0xFFFF  # bytes that a frame's length can say
KEPT = 200_000  # members of the widest object
LINK = Link(
    version=1, url="https://127.0.0.1:1", name="alice", fleet="home", id="5" * 16, token=b"t" * 16,
    root=samples.ROOT.public, seal=samples.ALICE_OPENS.public, expires=4_000_000_000_000,
)  # fmt: skip

VALUES = (
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b"9" * 5_000, b"-" + b"9" * 5_000, b"1" * 20, b"9" * 400, b"18446744073709551616", b"9007199254740993", b"-1", b"-0",
    b"1e400", b"-1e400", b"1e308", b"1e-400", b"0." + b"1" * 5_000, b"1E" + b"9" * 400, b"01", b"1.", b".1", b"+1",
    b"NaN", b"Infinity", b"-Infinity", b"nan", b"undefined", b"null", b"true", b"{}", b"[]", b'""', b"1", b"1.5",
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\xf4\x90\x80\x80"',
    b'"\\u0000"', b'"\x00"', b'"\\x41"', b'"\\u12"', b'"\n"', b'"' + b"\\" * 999 + b'"', b'"' + b"x" * 1_000_000 + b'"',
    b'"' + b"\\u0041" * 50_000 + b'"', b'"\\u202e\\u200b"', b'"../../x"', b'"AAAA"', b'"%s%n%x"', b"// x", b"/* */1", b"1,",
    b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"":1}', b'{"\\ud800":1}', b'{"__proto__":{"a":1}}', b"{1:2}", b'{"a" 1}',
    b"{" + b",".join(b'"k%d":0' % n for n in range(KEPT)) + b"}", b"[" + b"0," * KEPT + b"0]",
    b"{" + b",".join([b'"a":0'] * KEPT) + b"}", b"[" + b",".join([b"[]"] * KEPT) + b"]",
)  # fmt: skip
WHOLE = (
    b"", b" ", b"\0", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"{", b"}", b"[", b'"', b",", b":", b"{}{}", b"{},", b"{} x",
    b"\x1e{}\n", b"(" * 9, b"'a'", b"<x/>", b"\x82\xa1a\x01", b"\r\n\r\n", b"{}" + b" " * 100_000,
)  # fmt: skip
FRAGMENTS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\0", b"\xff", b"[" * 2_000, b'{"a":' * 2_000, b"9" * 400,
    b"9" * 5_000, b"NaN", b"1e999", b"-0", b"\\ud800",
    b"\\u0000", b"\xed\xa0\x80", b'"v":1,', b',"a":1', b"null", b"true", b"1.5", b"-1",
    b" ", b"\n", b"\xef\xbb\xbf", b'""', b"{}", b"[]",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """One way in: how it reads, what it may raise, an honest value, whether there is one spelling of a value only."""

    name: str
    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    honest: bytes
    strict: bool = True
    limit: int = 4_000_000  # bytes of JSON that can come this way


def _framed(kind: type[Any], magic: bytes, pae: bytes, value: Any) -> Reader:
    def read(data: bytes) -> object:
        signed = peer._FRAME.pack(magic, len(data)) + data
        return peer.read_frame(kind, signed + sealing.sign(samples.ROOT, pae, signed), samples.ROOT.public)

    return Reader(kind.__name__.lower(), read, (Malformed,), canonical.encode(value), limit=SMALL)


def _request(data: bytes) -> object:
    box = sealing.close_box(data, samples.ALICE_OPENS.public, samples.DICE)
    return enrolment.read_request(enrolment.MAGIC + box, (samples.ALICE_OPENS,))


def _welcome(data: bytes) -> object:
    box = sealing.close_box(data, samples.ALICE_OPENS.public, samples.DICE)
    return enrolment.read_welcome(enrolment.MAGIC + box, LINK, samples.ALICE_OPENS, samples.ALICE.public)


def _link(data: bytes) -> object:
    return enrolment.read_link(enrolment.PREFIX + base64.urlsafe_b64encode(data).decode())


def _hook(data: bytes) -> object:
    return errand.Hook(["prompt", "--ide", "gemini"], data, {}).words({})


def _words(name: str, honest: bytes) -> Reader:
    return Reader(f"verb {name}", lambda data: verbs.words_of(name, data), (UsageError,), honest, strict=False)


KEY = samples.ALICE.public
READERS = (
    Reader("header", parcel.read_header, (Malformed,), canonical.encode(samples.header())),
    Reader("envelope", read_envelope, (Malformed,), canonical.encode(samples.envelope(body={"a": [1, "b"]}))),
    Reader("receipt", read_receipt, (Malformed,), canonical.encode(
        Receipt(pid=samples.ID, road="http", entries=(Entry(samples.ID, 1, b"d" * 32, "stored", "r", 1.0),), inc=3))),
    Reader("ping", read_ping, (Malformed,), canonical.encode(Ping(nonce="5" * 32, certificate=1))),
    Reader("heartbeat", read_heartbeat, (Malformed,), canonical.encode(Heartbeat(boot=samples.ID, counter=1, branch="x"))),
    _framed(Certificate, b"FLC1", sealing.CERTIFICATE, samples.certificate(previous=KEY)),
    _framed(Manifest, b"FLM1", sealing.MANIFEST, samples.manifest(addresses={"http": {"url": "https://x"}}, agents=("a",))),
    _framed(Revocation, b"FLV1", sealing.REVOCATION, Revocation(v=1, fleet="home", version=2, nodes={"bob": 3})),
    _framed(Renewal, b"FLQ1", sealing.RENEWAL, Renewal(v=1, fleet="home", node="alice", key=KEY, serial=1)),
    _framed(FleetKey, b"FLK1", sealing.FLEET_KEY, FleetKey(v=1, fleet="home", serial=1, key=b"k" * 32)),
    Reader("invite", _link, (UsageError,), canonical.encode(LINK)),
    Reader("request to join", _request, (WireError,),
           canonical.encode(Request(v=1, id="5" * 16, proof=b"p" * 32, key=KEY, manifest=b"m")), limit=16_000),
    Reader("welcome", _welcome, (JoinRefused,), canonical.encode(
        Welcome(v=1, proof=b"p" * 32, certificate=b"c", fleet_key=b"k" * 32, intros=(b"i",))), strict=False),
    Reader("local API", read_line, (UsageError, TooLarge), b'{"to":"mac1","body":{"a":1},"cost":{"hops":1}}', strict=False),
    _words("peer_show", b'{"peer":"mac1"}'), _words("shown", b'{"ids":["%s"]}' % samples.ID.encode()),
    _words("session", b'{"event":"prompt","session":"s","program":"gemini","pid":1}'),
    # a hook is silent and 0 whatever Exception its work raises: tests/faces/test_hooks.py
    Reader("hook", _hook, (Exception,), b'{"session_id":"s","cwd":"/x","hook_event_name":"x","prompt":"y"}', strict=False),
    Reader("agents' settings", lambda data: jsontext.parse(data.decode("utf-8", "replace")), (UsageError,),
           b'{"hooks":{"a":[1]},/* x */"b":"c",}', strict=False, limit=120_000),
)  # fmt: skip


class Deviant(AssertionError):
    """A reader took another spelling of what it read."""


def offered(reader: Reader, data: bytes) -> bool:
    """Give bytes to a reader; True when it read them. Raises whatever the reader may not raise, or Deviant."""
    try:
        value = reader.read(data)
    except reader.errors:
        return False
    if reader.strict and canonical.encode(value) != data:
        raise Deviant(f"{reader.name} read {data[:200]!r} as something else")
    return True


def corpus(reader: Reader) -> Iterator[bytes]:
    """Every bomb alone, in the place of every field, beside every field, and every field twice."""
    found = [*WHOLE, *VALUES, *_planted(reader.honest)]
    yield from (data for data in found if len(data) <= reader.limit)


def _planted(honest: bytes) -> Iterator[bytes]:
    plain = json.loads(honest) if b"/*" not in honest else {"hooks": {}}
    for name in plain:
        others = b"".join(b",%s:%s" % (_json(key), _json(value)) for key, value in plain.items() if key != name)
        for value in VALUES:
            yield b"{%s:%s%s}" % (_json(name), value, others)
        yield b"{%s:%s,%s:%s%s}" % (_json(name), _json(plain[name]), _json(name), _json(plain[name]), others)
    for value in VALUES:
        yield b'{"unknown":%s,%s' % (value, honest[1:])
        yield honest[:-1] + b',"unknown":%s}' % value
        yield honest + value


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def hostile(dice: random.Random) -> tuple[Reader, bytes]:
    """A reader and what it is given: its honest value with pieces replaced, now and then something else altogether."""
    reader = dice.choice(READERS)
    if dice.random() < 0.1:
        return reader, _piece(dice)
    data = reader.honest
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(data))
        data = data[:at] + _piece(dice) + data[at + dice.choice((0, 0, 1, 1, 2, 5, 20)) :]
    return reader, data[: reader.limit]


def _piece(dice: random.Random) -> bytes:
    return dice.choice(FRAGMENTS) if dice.random() < 0.8 else dice.randbytes(dice.randint(1, 6))


def fuzz(inputs: int, seed: object) -> int:
    """Offer so many random inputs to their readers; gives how many were read. Raises what must not be, with its seed."""
    dice, taken = random.Random(f"json {seed}"), 0
    for number in range(inputs):
        reader, data = hostile(dice)
        try:
            taken += offered(reader, data)
        except Exception as error:
            error.add_note(f"{reader.name}, seed {seed}, input {number}: {data[:500]!r}")
            raise
    return taken


_SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20)
TREES = some.recursive(_SCALARS, lambda one: some.lists(one, max_size=4) | some.dictionaries(some.text(max_size=8), one))
