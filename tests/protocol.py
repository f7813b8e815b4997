"""COMMS-PROTOCOL.md held against the code: the sections between its markers are drawn from fleet.core; nothing else is.

python -m tests.protocol              prints what differs
python -m tests.protocol --rewrite    writes the drawn sections anew; read the diff
"""

from __future__ import annotations

import difflib
import hashlib
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as types

from fleet.core import breaker as breakers
from fleet.core import canonical, health, lifecycle, outcome, parcel, peer, policy, receipt, sealing, trust
from fleet.core.envelope import KINDS, Cost, Envelope, Priority, content_of, digest
from fleet.daemon import enrolment

DOCUMENT = Path(__file__).parent.parent / "COMMS-PROTOCOL.md"
MARKED = re.compile(r"(<!-- drawn: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
DRAWN: dict[str, Callable[[], str]] = {}


def drawn(draw: Callable[[], str]) -> Callable[[], str]:
    """Register a section under its function's name."""
    DRAWN[draw.__name__.replace("_", "-")] = draw
    return draw


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a Markdown table."""
    lines = [list(head), *[[str(cell) for cell in row] for row in rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


# ── fields ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def bound(number: float | None) -> str:
    """Write a bound; 2^53 by its name."""
    if number is None:
        return "…"
    return "2^53" if number == policy.SAFE_INTEGER else f"{number:,.15g}".replace(",", " ")


def shape(kind: types.Type) -> str:
    """Say in words what a field may hold."""
    match kind:
        case types.IntType():
            least, most = bound(kind.ge), bound(kind.le)
            return "whole number" if least == "…" else least if least == most else f"whole number {least} – {most}"
        case types.FloatType():
            return f"number {bound(kind.ge)} – {bound(kind.le)}, written with a point"
        case types.StrType(pattern=str()):
            pattern = str(kind.pattern).removeprefix("^").removesuffix(r"\Z")
            return f"text `{pattern}`"
        case types.StrType(max_length=int()):
            return f"text, at most {bound(kind.max_length)} characters"
        case types.StrType():
            return "text"
        case types.BytesType(min_length=int(), max_length=int()) if kind.min_length == kind.max_length:
            return f"{kind.min_length} bytes, base64"
        case types.BytesType():
            return "bytes, base64" + (f", at most {bound(kind.max_length)}" if kind.max_length else "")
        case types.EnumType():
            return "one of " + ", ".join(f"`{member.value}`" for member in kind.cls)
        case types.StructType():
            return kind.cls.__name__
        case types.VarTupleType():
            most = f"at most {kind.max_length}: " if kind.max_length else ""
            return f"list of {most}{shape(kind.item_type)}"
        case types.DictType():
            most = f"at most {kind.max_length}, " if kind.max_length else ""
            inner = "any JSON" if isinstance(kind.value_type, types.AnyType) else shape(kind.value_type)
            return f"object ({most}keys {shape(kind.key_type)}): {inner}"
        case types.UnionType():
            return " or ".join(shape(each) for each in kind.types if not isinstance(each, types.NoneType))
        case types.BoolType():
            return "true or false"
    raise TypeError(f"no words for {kind}")


def default(kind: Any, field: types.Field) -> str:
    """Say what an absent field means; a value that writes its defaults out has none."""
    if field.required or not kind.__struct_config__.omit_defaults or kind.__struct_config__.array_like:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "absent"
    return "`" + msgspec.json.encode(value).decode() + "`"


def fields(kind: type) -> str:
    """Draw the fields of one value in the order of its bytes."""
    found = types.type_info(kind)
    assert isinstance(found, types.StructType)
    return table(("field", "holds", "when it is not written"), [
        (f"`{field.encode_name}`", shape(field.type), default(kind, field)) for field in found.fields
    ])  # fmt: skip


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0]


@drawn
def header() -> str:
    """The header of a parcel."""
    return fields(parcel.Header)


@drawn
def envelope() -> str:
    """The envelope and its cost."""
    return fields(Envelope) + "\nA Cost:\n\n" + fields(Cost)


@drawn
def receipt_fields() -> str:
    """The receipt and its entries."""
    return fields(receipt.Receipt) + "\nAn Entry is an array of all its fields, none left out:\n\n" + fields(receipt.Entry)


@drawn
def system() -> str:
    """Ping, pong and heartbeat."""
    return "Ping, and pong:\n\n" + fields(receipt.Ping) + "\nHeartbeat:\n\n" + fields(receipt.Heartbeat)


@drawn
def frames() -> str:
    """Everything that is signed by itself."""
    head = table(("frame", "magic", "signed as", "what it is"), [
        (kind.__name__, f"`{form.magic.decode()}`", f"`{form.kind.decode()}`", first_line(kind))
        for kind, form in peer._FORMS.items()
    ])  # fmt: skip
    return head + "".join(f"\n{kind.__name__}:\n\n{fields(kind)}" for kind in peer._FORMS)


@drawn
def joining() -> str:
    """Link, request and welcome."""
    return "".join(
        f"{kind.__name__}:\n\n{fields(kind)}\n" for kind in (enrolment.Link, enrolment.Request, enrolment.Welcome)
    )


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@drawn
def parcel_types() -> str:
    """The types of parcels."""
    items = {
        "MAIL": "1 – 256 envelopes",
        "RECEIPT": "one receipt",
        "PING": "one ping",
        "PONG": "one pong, with the ping's nonce",
        "HEARTBEAT": "one heartbeat",
        "MANIFEST": "intros of members",
        "CERTIFICATE": "frames: certificates, renewals, fleet keys",
        "REVOCATION": "one revocation frame",
    }
    return table(("type", "number", "items", "is an answer"), [
        (kind.name, int(kind), items[kind.name], "yes" if kind in parcel.ANSWERS else "") for kind in parcel.ParcelType
    ])  # fmt: skip


@drawn
def limits() -> str:
    """The numbers both sides must agree on."""
    names = (
        "WIRE_VERSION", "PARCEL_LIMIT", "INTRO_LIMIT", "HEADER_LIMIT", "ENVELOPE_LIMIT", "MESSAGE_LIMIT", "BATCH_ENVELOPES",
        "BATCH_BYTES", "VIA_LIMIT", "JSON_DEPTH", "WINDOW_RANGES", "INCS_KEPT", "SEQ_BLOCK", "TTL", "TTL_COMMAND",
        "TTL_BROADCAST",
    )  # fmt: skip
    source = Path(policy.__file__).read_text("utf-8")
    words = dict(re.findall(r"^([A-Z_]+) = [^#\n]*(?:# (.*))?$", source, re.MULTILINE))
    return table(("limit", "value", "why"), [(name, bound(getattr(policy, name)), words[name]) for name in names])


@drawn
def results() -> str:
    """What the result of an attempt does."""
    messages = {
        "delivered": "RECEIPT", "taken": "TAKEN", "nudged": "", "deferred": "", "barred": "",
        "rejected": "NACK, LATER or REFUSE, per envelope", "faulty": "",
    }  # fmt: skip
    return table(("result", "the walk", "the link", "the message"), [
        (result.name, effect.walk.name, effect.link.name if effect.link else "–", messages[result] or "–")
        for result, effect in outcome.EFFECTS.items()
    ])  # fmt: skip


@drawn
def link_health() -> str:
    """The health of a link."""
    return table(("", *(signal.name for signal in health.Signal)), [
        (f"**{row.name}**", *(line[signal].name for signal in health.Signal)) for row, line in health.HEALTH.items()
    ])  # fmt: skip


@drawn
def life() -> str:
    """The life of an outbound message."""
    return table(("", *(event.name for event in lifecycle.Event)), [
        (f"**{row.name}** ({int(row)})", *(line[event].name if event in line else "" for event in lifecycle.Event))
        for row, line in lifecycle.LIFE.items()
    ])  # fmt: skip


@drawn
def kinds() -> str:
    """The table of kinds."""

    def roads(kind: Any) -> str:
        return (", ".join(kind.roads) + (", then all" if kind.then_all else "")) or "all"

    return table(("type", "roads", "least trust", "tries", "lives", "receipt", "answer"), [
        (f"`{kind.word}`", roads(kind), kind.trust, kind.tries or "–", f"{bound(kind.ttl)} s",
         "required" if kind.confirm else "wished", kind.answer) for kind in KINDS.values()
    ])  # fmt: skip


@drawn
def ladder() -> str:
    """The five levels and what leads between them."""
    allows = {
        "UNTRUSTED": "discovery", "VERIFIED": "status, ping", "ATTESTED": "send, receive, redacted query",
        "TRUSTED": "share context, collaborative task", "PRIVILEGED": "full memory, remote spawn",
    }  # fmt: skip

    def up(level: trust.Level) -> str:
        rise = trust.UP.get(level)
        return "" if rise is None else f"{float(rise.score):.2f} and {rise.interactions}" + ", proposed" * rise.proposed

    return table(("level", "allows", "up at score and interactions", "down below"), [
        (f"{int(level)} {level.name}", allows[level.name], up(level),
         f"{float(trust.DOWN[level]):.2f}" if level in trust.DOWN else "") for level in trust.Level
    ])  # fmt: skip


@drawn
def breaker() -> str:
    """The breaker's states and signals."""
    return table(("", *(signal.name for signal in breakers.Signal)), [
        (f"**{state.name}**", *(breakers.TABLE[state][signal].name for signal in breakers.Signal))
        for state in breakers.State
    ])  # fmt: skip


@drawn
def fates() -> str:
    """The statuses of a receipt."""
    meaning = {
        "stored": "it is in the inbox", "shown": "a session or person has seen it", "done": "it was processed",
        "duplicate": "it was there already", "refused": "a gate refuses it; the reason names the figure",
        "later": "not now; again after retry_after seconds", "expired": "its time was over when it came",
        "closed": "its seq is below low, used, or of a stale inc",
    }  # fmt: skip
    return table(("status", "means", "settles"), [
        (f"`{fate}`", meaning[fate], "delivered, whatever the seq" if fate in receipt.GOOD
         else "dead, the current seq only" if fate in receipt.FINAL_BAD else "refused, the current seq only"
         if fate is receipt.Fate.REFUSED else "nothing; it is due again") for fate in receipt.Fate
    ])  # fmt: skip


@drawn
def words() -> str:
    """Priorities and the states people see."""
    priorities = ", ".join(f"{int(priority)} {priority.word}" for priority in Priority)
    states = ", ".join(f"`{state}`" for state in lifecycle.State)
    dead = ", ".join(f"`{what}`" for what in lifecycle.What)
    return f"Priorities: {priorities}.\n\nStates of a message: {states}. A dead letter is {dead}.\n"


# ── an example ───────────────────────────────────────────────────────────────────────────────────────────────────────


@drawn
def example() -> str:
    """One parcel, byte for byte: what another implementation must come to."""
    alice, bob = sealing.signing_key(b"\x02" * 32), sealing.opening_key(b"\x05" * 32)
    message = Envelope(seq=3, exp=2000, id="0190" + "0" * 28, ts=1000, priority=2, body={"b": "é", "a": [1, 2.5]})
    head = parcel.Header(
        v=1, pid="0191" + "0" * 28, fleet="home", sender="alice", to="bob", ts=1000, exp=2000, hops=8, enc="x25519",
        ekid=bob.ekid, inc=5, low=1, n=1,
    )  # fmt: skip
    item = canonical.encode(message)
    data = sealing.seal(parcel.ParcelType.MAIL, alice, bob.public, head, [item], b"\x06" * 32)
    framed = sealing.frame(sealing.Secret(b"\x07" * 32), data, ("chief1",))
    lines = [
        ("alice signs with the seed", "02" * 32), ("her public key", alice.public.hex()), ("its kid", alice.kid.hex()),
        ("bob opens with the seed", "05" * 32), ("his public key", bob.public.hex()), ("its ekid", bob.ekid),
        ("ephemeral secret of the box", "06" * 32), ("envelope", item.decode()),
        ("its content", content_of(message).decode()),
        ("its digest", digest(content_of(message)).hex()), ("header", canonical.encode(head).decode()),
        ("parcel", f"{len(data)} bytes"), ("", data.hex()), ("fleet key", "07" * 32),
        ("SHA-256 of it framed via chief1", hashlib.sha256(framed).hexdigest()),
    ]  # fmt: skip
    return "```text\n" + "".join(example_line(*line) for line in lines) + "```\n"


def example_line(name: str, value: str) -> str:
    """One fact of the example; long ones go on below."""
    rows = textwrap.wrap(value, 84, break_on_hyphens=False) or [""]
    return "".join(f"{name if not number else '':<32}  {row}".rstrip() + "\n" for number, row in enumerate(rows))


def rewritten(document: str) -> str:
    """Put every drawn section anew between its markers."""
    return MARKED.sub(lambda found: found[1] + "\n" + DRAWN[found[2]]().rstrip("\n") + "\n\n" + found[4], document)


def main(arguments: list[str]) -> int:
    """Print or write what differs."""
    old = DOCUMENT.read_text("utf-8")
    new = rewritten(old)
    if "--rewrite" in arguments:
        DOCUMENT.write_text(new, "utf-8")
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "document", "code"))
    return int(old != new and "--rewrite" not in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
