"""The gates between real daemons over NATS and HTTP: types, levels, budgets, breaker; each command's JSON and exit code."""

from typing import Any

import pytest

from tests.support.nodes import Node, World, until

TABLE = [("message", 2), ("task", 3), ("spawn", 4), ("alert", 2)]


@pytest.mark.parametrize("road", ["nats", "http"])
def test_a_type_gets_in_from_its_level_on(world: World, road: str) -> None:
    a, b = world.pair()
    for word, least in TABLE:
        if (word, road) == ("alert", "http"):
            continue
        for level in (least - 1, least):
            b.ok("trust", "a", str(level), "--reason", "a cell of the table")
            b.ok("reactivate", "a", "--yes")
            a.ok("reactivate", "b", "--yes")
            sent = a.fleet("send", "b", f"{word} {level}", "--type", word, "--channel", road, "--json")
            found: dict[str, Any] = sent.value
            if level >= least:
                assert (sent.code, found["state"], found["channel"]) == (0, "received", road)
            else:
                assert (sent.code, found["state"]) == (4, "refused")
                assert f"trust: {word} needs level {least}, a has {level}; fleet trust a LEVEL" in found["reason"]


def test_the_commands_say_what_they_did_and_the_node_remembers(world: World) -> None:
    a, _ = world.pair()
    (shown,) = a.ok("trust")
    assert {"node", "level", "score", "interactions"} <= set(shown)
    assert a.fleet("trust", "b", "3").code == 2
    assert a.fleet("trust", "nobody", "--json").code == 5
    done = a.fleet("trust", "b", "3", "--reason", "runs our tests", "--json")
    assert (done.code, done.value["level"], done.value["before"]) == (0, 3, 2)
    assert "b goes from level 2 to 3" in done.err
    assert a.fleet("budget", "--usd", "3").code == 2
    for wrong in (["--usd", "nan"], ["--usd", "-1"], ["--usd", "0.0000001"], ["--tokens", "1.5"], ["--tokens", "-1"]):
        assert a.fleet("budget", "b", *wrong).code == 2
    assert a.ok("budget", "b", "--tokens", "100", "--usd", "0.5", "--window", "1h")["window_ms"] == 3_600_000
    sent = a.fleet("send", "b", "hi", "--cost", "tokens=60,usd=0.2", "--json")
    assert (sent.code, sent.value["state"]) == (0, "received")
    held = a.fleet("send", "b", "hi", "--cost", "tokens=41", "--timeout", "1", "--json")
    assert (held.code, held.value["state"]) == (7, "held")
    over = a.fleet("send", "b", "hi", "--cost", "tokens=101", "--json")
    assert (over.code, over.value["state"]) == (4, "refused")
    assert "101 tokens on top of 60 tokens, the limit is 100 tokens in 1h; fleet budget b" in over.value["reason"]
    gates = {gate["gate"]: gate for gate in a.ok("explain", "b")["gates"]}
    assert gates["budget"]["reason"].startswith("60 of 100 tokens, 0.2 USD of 0.5 USD in 1h")
    assert a.ok("spend", "b", "--usd", "5.1")["state"] == "suspended"
    refused = a.fleet("send", "b", "hi", "--json")
    assert (refused.code, "PEER_SUSPENDED" in refused.value["reason"]) == (4, True)
    assert a.fleet("reactivate", "b", "--json").code == 4
    assert a.ok("reactivate", "b", "--yes")["state"] == "active"
    a.kill()
    a.start()
    assert a.ok("trust", "b")["level"] == 3
    assert a.ok("budget", "b")["out"]["tokens"] == 60


def test_eviction_needs_yes_acts_both_ways_and_outlives_daemons(world: World) -> None:
    a, b = world.pair()
    a.ok("send", "b", "before")
    assert a.fleet("evict", "b").code == 2
    assert a.ok("evict", "b", "--reason", "sold our keys", "--yes")["state"] == "evicted"
    a.kill()
    a.start()
    for node, to in ((a, "b"), (b, "a")):
        sent = node.fleet("send", to, "after", "--channel", "http", "--timeout", "5", "--json")
        assert sent.code in (4, 6, 7)
        assert sent.value["state"] != "received"
    assert "PEER_EVICTED" in a.fleet("send", "b", "after", "--json").value["reason"]
    assert b.fleet("ping", "a", "--channel", "http").code == 6
    kinds = [entry["kind"] for entry in a.ok("audit")]
    assert "evicted" in kinds
    a.ok("down")
    assert a.ok("breaker", "b")["reason"] == "sold our keys"
    assert a.ok("reactivate", "b")["state"] == "active"
    a.start()
    _until_flows(a, "b")


def _until_flows(node: Node, to: str) -> None:
    until(lambda: node.fleet("send", to, "again", "--timeout", "5").code == 0, "mail flows again")
