"""The content gate between two daemons, through the real commands: said to whoever sends, and kept out of every log."""

from pathlib import Path

from tests.support.nodes import Node, until

SECRET = "sk-ant-api03-" + "q7Xw" * 20
CARD = "5555-5555-5555-4444"


def _leaks(node: Node, word: str) -> list[Path]:
    """Files of a node, but for its database, that hold a word."""
    return [
        path for path in node.home.rglob("*")
        if path.is_file() and not path.name.startswith("fleet.db") and word.encode() in path.read_bytes()
    ]  # fmt: skip


def test_a_secret_is_refused_with_4_by_every_command_that_sends(shared: tuple[Node, Node]) -> None:
    a, b = shared
    for done in (a.fleet("send", "b", f"take {SECRET}"), a.fleet_send("b", f"take {SECRET}")):
        assert done.code == 4
        assert "content: api_key at body; b has level 2; take it out, or fleet trust b 3" in done.err
        assert SECRET not in done.out + done.err
    told = a.fleet("send", "b", f"take {SECRET}", "--json")
    assert told.code == 4 and told.value["state"] == "refused" and told.value["reason"].startswith("content: ")
    (id,) = a.send("b", "honest")
    until(lambda: id in b.arrived(), "honest mail flows")
    assert not any(SECRET in body for body in b.arrived().values())
    assert _leaks(a, SECRET) == _leaks(b, SECRET) == []


def test_what_is_marked_is_said_to_the_sender_and_arrives_marked(shared: tuple[Node, Node]) -> None:
    a, b = shared
    done = a.fleet("send", "b", f"paid with {CARD}", "--json")
    assert done.code == 0
    assert done.value["content"] == [{"kind": "card", "place": "body", "action": "redact"}]
    until(lambda: done.value["id"] in b.arrived(), "it arrives")
    assert b.arrived()[done.value["id"]] == "paid with [redacted:card]"
    assert "redact: card at body" in a.fleet("send", "b", f"paid with {CARD}").err
    assert "marked card at body" in a.fleet_send("b", f"paid with {CARD}").err


def test_explain_shows_the_content_gate(shared: tuple[Node, Node]) -> None:
    gates = {one["gate"]: one for one in shared[0].fleet("explain", "b", "--json").value["gates"]}
    assert gates["content"]["reason"].startswith("level 2: block private_key")


def test_without_a_daemon_the_same_is_refused(shared: tuple[Node, Node]) -> None:
    a, _ = shared
    a.terminate()
    try:
        done = a.fleet("send", "b", f"take {SECRET}", "--json")
        assert done.code == 4 and done.value["reason"].startswith("content: api_key at body")
    finally:
        a.start()
