"""`fleet audit`: what a real node's chain shows, exports and proves, with and without its daemon."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.core.audit import KINDS
from fleet.faces.audit import COLUMNS, as_csv
from fleet.store.audit import Entry
from tests.support.nodes import Node, World, until, worlds


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield from worlds()


@pytest.fixture(scope="module")
def pair(world: World) -> tuple[Node, Node]:
    return world.pair()


def kinds(node: Node, *words: str) -> list[str]:
    return [entry["kind"] for entry in node.ok("audit", *words)]


# ── a real node ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fleets_first_minute_stands_in_both_chains(pair: tuple[Node, Node]) -> None:
    a, b = pair
    assert {"started", "invited", "joined", "certificate"} <= set(kinds(a))
    assert "entered" in kinds(b)
    assert all(entry["kind"] in KINDS for entry in a.ok("audit"))
    joined = next(entry for entry in a.ok("audit") if entry["kind"] == "joined")
    assert set(joined) == {"seq", "at", "kind", "peer", "details", "hash"} and joined["peer"] == "b"


def test_peer_edits_settings_keys_and_refusals_enter_the_chain(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    a.ok("peer", "set", "b", "description=the other one")
    a.ok("config", "set", "node.description", "here")
    a.ok("keys", "rotate", "seal")
    a.ok("peer", "set", "b", "enabled=false")
    refused = a.fleet("send", "b", "no", "--wait", "none", "--json")
    a.ok("peer", "set", "b", "enabled=true")
    found = a.ok("audit")
    assert {"peer_set", "config_set", "key", "operator"} <= {entry["kind"] for entry in found}
    assert [entry["details"]["setting"] for entry in found if entry["kind"] == "peer_set"][-1] == "enabled"
    if refused.value.get("state") == "refused":
        assert [entry["peer"] for entry in found if entry["kind"] == "refused_out"] == ["b"]
    assert "the other one" not in json.dumps(found), "the chain names settings, not their values"


def test_the_chain_can_be_filtered(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    assert set(kinds(a, "--type", "invited")) == {"invited"}
    assert {entry["peer"] for entry in a.ok("audit", "--peer", "b")} == {"b"}
    assert len(a.ok("audit", "--limit", "2")) == 2
    assert a.ok("audit", "--since", "1h") == a.ok("audit")
    for wrong in (("--type", "gossip"), ("--since", "soon"), ("--limit", "0"), ("--export", "xml")):
        done = a.fleet("audit", *wrong, "--json")
        assert done.code == 2 and done.error["code"] == "usage"


def test_every_export_says_the_same(pair: tuple[Node, Node]) -> None:
    _, b = pair
    whole = json.loads(b.fleet("audit", "--export", "json").out)
    lines = [json.loads(line) for line in b.fleet("audit", "--export", "ndjson").out.splitlines()]
    table = list(csv.DictReader(io.StringIO(b.fleet("audit", "--export", "csv").out)))
    assert whole == lines and [int(row["seq"]) for row in table] == [entry["seq"] for entry in whole]
    assert [row["hash"] for row in table] == [entry["hash"] for entry in whole]
    assert json.loads(table[0]["details"]) == whole[0]["details"]


def test_heads_travel_in_heartbeats_and_peers_show_them(pair: tuple[Node, Node]) -> None:
    a, b = pair
    until(lambda: b.rows("SELECT count FROM beat WHERE peer = 'a' AND count > 0"), "b heard a's head")
    (heard,) = b.rows("SELECT count, hash FROM beat WHERE peer = 'a'")
    entries = {entry["seq"]: entry["hash"] for entry in json.loads(a.fleet("audit", "--export", "json").out)}
    assert entries[heard[0]] == heard[1].hex()
    assert a.rows("SELECT count(*) FROM outbox WHERE type = 'heartbeat'") == [(0,)]
    shown = a.ok("peer", "show", "b")
    assert shown["state"] == "on" and {"branch", "commit"} <= set(shown)


def test_verify_is_0_while_nobody_touched_it_with_the_daemon_and_without(pair: tuple[Node, Node]) -> None:
    _, b = pair
    done = b.fleet("audit", "verify", "--json")
    assert done.code == 0 and done.value["ok"] and done.value["entries"] > 0 and done.value["failed_at"] is None
    b.terminate()
    done = b.fleet("audit", "verify", "--json")
    assert done.code == 0 and done.value["ok"]
    assert "entered" in kinds(b)
    b.start()


def test_a_chain_that_was_touched_while_the_daemon_was_down_is_1_and_its_start_and_its_peer_say_so(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    until(lambda: a.rows("SELECT count FROM beat WHERE peer = 'b' AND count > 1"), "a heard b's head")
    b.terminate()
    (count,) = a.rows("SELECT count FROM beat WHERE peer = 'b'")[0]
    with sqlite3.connect(b.database) as database:
        database.execute("DELETE FROM audit WHERE seq >= ?", (count,))
        hash = database.execute("SELECT hash FROM audit WHERE seq = ?", (count - 1,)).fetchone()[0]
        database.execute("UPDATE audit_head SET count = ?, hash = ?", (count - 1, hash))  # all but the seal
    done = b.fleet("audit", "verify", "--json")
    assert done.code == 1 and done.value["failed_at"] == count - 1 and "sealed" in done.value["reason"]
    assert "touched" in b.fleet("audit", "verify").out
    b.start()
    notices = until(lambda: [one for one in b.ask("status")["notices"] if one["kind"] == "audit"], "b says so")
    assert all("fleet audit verify" in one["text"] for one in notices)
    alarms = until(lambda: a.rows("SELECT details FROM audit WHERE kind = 'peer_head' AND peer = 'b'"), "a noticed")
    assert "audit chain" in alarms[0][0]
    assert b.fleet("audit", "verify", "--json").code == 1, "that stays a fact"
    assert a.fleet("audit", "verify", "--json").code == 0


def test_a_machine_without_a_node_says_what_to_do(tmp_path: Path) -> None:
    done = Node("none", tmp_path / "none").fleet("audit", "verify", "--json")
    assert done.code == 1 and "fleet init" in done.error["hint"]


# ── what a spreadsheet or a terminal would obey ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1+1", "\n=1", "=cmd|' /C calc'!A0"])
def test_no_cell_of_a_csv_begins_a_formula(word: str) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv([Entry(1, 2, word, word, {"reason": word}, "00")])))
    for name in ("kind", "peer", "details"):
        assert not row[name].lstrip().startswith(("=", "+", "-", "@")) and row[name][:1] not in "\t\r\n"


def test_a_csv_holds_nothing_that_a_terminal_obeys() -> None:
    evil = "\x1b[31m\x9b0m\u202e\x07\x7f"
    text = as_csv([Entry(1, 2, evil, evil, {evil: evil}, "00")])
    assert all(char.isprintable() or char in "\r\n" for char in text)
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert len(list(csv.reader(io.StringIO(text)))) == 2


def test_a_time_that_is_none_is_shown_as_its_number() -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv([Entry(1, 1 << 62, "alarm", "", {}, "00")])))
    assert row["time"] == str(1 << 62)
