"""The home page: the node first, then its peers, what is broken named, readable in 80 columns, a helping hand when empty."""

import io
import json
import re
from argparse import Namespace
from typing import Any

import pytest

from fleet.faces import home
from fleet.faces.render import Screen

LINK = {"state": "healthy", "rtt_ms": 0.412, "reason": ""}
BROKEN = {"state": "broken", "rtt_ms": None, "reason": "connection refused"}
NONE = {"state": "none", "rtt_ms": None, "reason": "no address"}
PEER = {
    "node": "mac2", "address": "https://10.0.0.2:8856", "role": "worker", "state": "on", "trust": 2, "queue": 3,
    "last_seen": None, "agents": ["claude"], "channels": {"nats": LINK, "http": BROKEN, "ssh": NONE},
}  # fmt: skip
STATUS = {
    "node": "mac1", "fleet": "fleet-1", "version": "0.1.0", "started_at": 1, "address": "https://10.0.0.1:8856",
    "doors": ["/run/fleet.sock"], "broker": "nats://10.0.0.1:4222", "roads": ["nats", "http", "git"],
    "failed": {"git": "no git"}, "mail": {"unread": 4, "waiting": 3, "dead": 1, "kept": 0},
    "clock": {"unsure": True, "reason": "it jumped"}, "peers": [PEER],
    "notices": [{"at": 1, "kind": "queue", "text": "mail to mac2 waits"}],
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Call:
    """Answers every question with one value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def ask(self, verb: str, **words: Any) -> Any:
        return self.value


def printed(value: Any, command: Any = home.status, *, tty: bool = False, as_json: bool = False) -> tuple[str, str]:
    """What a command prints of a value: stdout and stderr."""
    out, err = (Terminal() if tty else io.StringIO()), io.StringIO()
    assert command(Namespace(), Call(value), Screen(as_json, out, err)) == 0
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("tty", [True, False])
def test_a_peer_that_is_shut_out_is_not_called_on(tty: bool) -> None:
    out, _ = printed({**STATUS, "peers": [{**PEER, "breaker": "evicted"}]}, tty=tty)
    assert "evicted" in out and not re.search(r"\bon\b", out)


def test_the_node_comes_first_with_doors_broker_roads_mail_and_doubts() -> None:
    _, err = printed(STATUS)
    lines = [line.removeprefix("fleet: ").strip() for line in err.splitlines()]
    assert lines[0].startswith("node    mac1 of fleet-1, fleet 0.1.0, up ")
    assert lines[1:4] == [
        "doors   https://10.0.0.1:8856 /run/fleet.sock", "broker  nats://10.0.0.1:4222", "roads   nats http"
    ]  # fmt: skip
    assert "git is out: no git" in lines and "mail    4 unread, 3 waiting, 1 dead" in lines
    assert "clock   in doubt: it jumped" in lines and lines[-1].endswith("ago: queue: mail to mac2 waits")


def test_a_terminal_of_80_columns_holds_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    many = {**STATUS, "peers": [PEER, {**PEER, "node": "a-much-longer-name-of-a-node", "channels": dict.fromkeys(
        ("nats", "http", "relay", "seed", "ssh", "git", "cloud"), LINK)}]}  # fmt: skip
    out = re.sub(r"\x1b\[[0-9;]*m", "", printed(many, tty=True)[0])
    assert max(map(len, out.splitlines())) <= 80
    assert "nats:0.4ms" in out and "http:broken" in out and "ssh:none" not in out and "…" not in out


def test_a_program_gets_every_column_between_tabs() -> None:
    out, _ = printed(STATUS)
    head, row = (line.split("\t") for line in out.splitlines())
    found = dict(zip(head, row, strict=True))
    assert found["node"] == "mac2" and found["roads"] == "nats:healthy http:broken ssh:none" and found["queue"] == "3"


@pytest.mark.parametrize(("command", "value"), [(home.status, {**STATUS, "peers": []}), (home.peers, [])])
def test_who_is_alone_is_told_how_to_change_that(command: Any, value: Any) -> None:
    assert "fleet invite" in printed(value, command)[1]


def test_json_is_the_value_itself() -> None:
    assert json.loads(printed(STATUS, as_json=True)[0]) == STATUS
    assert json.loads(printed([PEER], home.peers, as_json=True)[0]) == [PEER]


def test_an_older_daemon_s_answer_is_printed_as_far_as_it_goes() -> None:
    out, err = printed({"node": "mac1", "peers": [{"node": "mac2"}]})
    assert "mac2" in out and "mac1" in err


@pytest.mark.parametrize("state", ["healthy", "degraded", "broken", "healing", "a state of tomorrow"])
def test_any_state_of_a_road_is_shown(state: str) -> None:
    assert home.roads({"nats": {"state": state, "rtt_ms": None}}) == ("nats" if state == "healthy" else f"nats:{state}")
