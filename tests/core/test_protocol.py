"""COMMS-PROTOCOL.md says what the code does, and enough that somebody else can do the same."""

import hashlib
import hmac
import re
import struct
from pathlib import Path

import pytest
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

from fleet.core import parcel, sealing
from fleet.core.gates import Verdict
from fleet.core.health import Health
from tests import protocol

TEXT = protocol.DOCUMENT.read_text("utf-8")
SECTIONS = [found[2] for found in protocol.MARKED.finditer(TEXT)]


@pytest.mark.parametrize("name", protocol.DRAWN)
def test_every_drawn_section_is_the_codes(name: str) -> None:
    found = next(found[3] for found in protocol.MARKED.finditer(TEXT) if found[2] == name)
    remedy = "python -m tests.protocol --rewrite, then read the diff"
    assert found.strip() == protocol.DRAWN[name]().strip(), remedy


def test_every_section_stands_in_the_document_once() -> None:
    assert sorted(SECTIONS) == sorted(protocol.DRAWN)
    assert TEXT.count("<!-- drawn:") == TEXT.count("<!-- end -->") == len(SECTIONS) + 1  # the introduction names both


def test_rewriting_changes_nothing_more_the_second_time() -> None:
    assert protocol.rewritten(protocol.rewritten(TEXT)) == protocol.rewritten(TEXT) == TEXT


def test_a_difference_is_printed_and_written_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "document.md"
    document.write_text("<!-- drawn: results -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(protocol, "DOCUMENT", document)
    assert protocol.main([]) == 1
    assert protocol.main(["--rewrite"]) == 0
    assert protocol.main([]) == 0
    assert "| DELIVERED | STOP | GOOD |" in document.read_text()


def test_the_layout_is_that_of_the_code() -> None:
    assert parcel._HEAD.format == ">4sB8sHHI"
    assert parcel._HEAD.size == 21
    kind = sealing.PARCEL
    assert f'"DSSEv1 {len(kind)} {kind.decode()} "' in TEXT


@pytest.mark.parametrize("magic", ["FLT1", "FLH1", "FLJ1", "FLC1", "FLM1", "FLV1", "FLQ1", "FLK1"])
def test_every_magic_is_named(magic: str) -> None:
    assert magic in TEXT


def test_the_words_of_the_design_are_in_the_glossary() -> None:
    listed = re.search(r"## 12\. Words\n(.*?)\n## ", TEXT, re.DOTALL)
    assert listed
    known = {word.strip() for line in re.findall(r"^\| ([^|]+) \|", listed[1], re.MULTILINE) for word in line.split(",")}
    wanted = (
        "fleet, peer, node, chief, certificate, manifest, envelope, parcel, seal, unseal, receipt, type, channel, road, "
        "link, layer, address, traits, order, plan, step, cascade, attempt, outcome, result, custody, patience, outbox, "
        "inbox, lease, courier, "
        "gate, verdict, budget, spend, health, evidence, signal, hold-off, ping, nudge, poke, dead letter, weather"
    )
    assert set(wanted.split(", ")) - known == set()


@pytest.mark.parametrize("word", [*(verdict.name for verdict in Verdict), *(health.name for health in Health)])
def test_the_words_of_the_tables_are_explained(word: str) -> None:
    assert word in TEXT


def test_decisions_are_numbered_and_each_names_its_cost() -> None:
    decisions = TEXT.partition("## 13. Decisions")[2]
    parts = re.split(r"^\*\*(D\d+)\. ", decisions, flags=re.MULTILINE)[1:]
    assert parts[::2] == [f"D{number}" for number in range(1, len(parts) // 2 + 1)]
    assert [name for name, words in zip(parts[::2], parts[1::2], strict=True) if "*Cost:*" not in words] == []


def test_every_link_within_the_document_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) == anchors


# ── the example, read as a stranger would: with the document and cryptographic libraries, without the house ──────────────


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """The facts of the example by name; a fact without a name belongs to the one before it."""
    block = re.search(r"<!-- drawn: example -->.*?```text\n(.*?)```", TEXT, re.DOTALL)
    assert block
    facts: dict[str, str] = {}
    name = ""
    for line in block[1].splitlines():
        name = line[:32].strip() or name
        facts[name] = facts.get(name, "") + line[32:].strip()
    facts["parcel"] = facts["parcel"].partition("bytes")[2]
    return facts


def test_the_example_is_signed_by_alice(example: dict[str, str]) -> None:
    data = bytes.fromhex(example["parcel"])
    key = SigningKey(bytes.fromhex(example["alice signs with the seed"]))
    assert bytes(key.verify_key).hex() == example["her public key"]
    assert data[5:13].hex() == example["its kid"] == hashlib.sha256(bytes(key.verify_key)).hexdigest()[:16]
    signed = data[:-64]
    encoded = b"DSSEv1 28 application/vnd.fleet.parcel %d " % len(signed) + signed
    VerifyKey(bytes.fromhex(example["her public key"])).verify(encoded, data[-64:])
    assert key.sign(encoded).signature == data[-64:]


def test_the_example_opens_for_bob(example: dict[str, str]) -> None:
    data = bytes.fromhex(example["parcel"])
    magic, kind, _, intro, header, body = struct.unpack(">4sB8sHHI", data[:21])
    assert (magic, kind, intro) == (b"FLT1", 1, 0)
    words = data[21 : 21 + header]
    assert words.decode() == example["header"]
    assert f'"ekid":"{example["its ekid"]}"' in example["header"]
    bob = PrivateKey(bytes.fromhex(example["bob opens with the seed"]))
    assert bytes(bob.public_key).hex() == example["his public key"]
    inner = SealedBox(bob).decrypt(data[21 + header : 21 + header + body])
    assert inner[:32] == hashlib.sha256(words).digest()
    assert struct.unpack(">I", inner[32:36])[0] == len(inner) - 36
    assert inner[36:].decode() == example["envelope"]


def test_the_content_of_the_example_has_its_digest(example: dict[str, str]) -> None:
    assert example["envelope"] == '{"seq":3,"exp":2000,' + example["its content"]
    assert hashlib.sha256(example["its content"].encode()).hexdigest() == example["its digest"]


def test_the_example_is_framed_for_a_hop(example: dict[str, str]) -> None:
    head, data = b"FLH1\x00\x06chief1", bytes.fromhex(example["parcel"])
    tag = hmac.new(bytes.fromhex(example["fleet key"]), head + data, hashlib.sha256).digest()
    assert hashlib.sha256(head + tag + data).hexdigest() == example["SHA-256 of it framed via chief1"]
