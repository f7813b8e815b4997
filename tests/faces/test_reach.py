"""fleet check, fleet wake and the notices, asked of real daemons: every road says what it is worth."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.text import LINE
from tests.support.nodes import Node, World, until, worlds
from tests.support.sshd import SshServer, receive_command


@pytest.fixture
def world() -> Iterator[World]:
    yield from worlds()


def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found["channels"]}


def test_check_tells_what_each_road_is_worth_and_sends_no_mail(world: World, tmp_path: Path) -> None:
    a, b = world.pair()
    c = world.join("c", a)
    until(lambda: {peer["node"] for peer in b.ask("peers")} == {"a", "c"}, "b and c know each other")
    until(lambda: {peer["node"] for peer in c.ask("peers")} == {"a", "b"}, "b and c know each other")
    found = b.ok("check", "c")
    assert found["peer"] == "c"
    assert all(set(row) == {"name", "ok", "ms", "reason"} for row in found["channels"])
    roads = rows(found)
    for name in ("nats", "http"):
        assert roads[name]["ok"] is True and roads[name]["ms"] > 0 and roads[name]["reason"] == ""
    assert roads["wol"]["ok"] is None and roads["wol"]["reason"].startswith(("would wake", "would not"))
    assert "text" not in roads, "it is off unless configured"
    for name in ("seed", "ssh", "git"):
        assert roads[name]["ok"] is False and roads[name]["ms"] is None and roads[name]["reason"]
    assert not c.arrived() and b.rows("SELECT count(*) FROM outbox") == [(0,)]


def test_a_mailbox_is_checked_by_a_ping_whose_pong_comes_home_by_itself(world: World) -> None:
    remote = world.home / "mail.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True, timeout=30)
    a, b = world.pair()
    for node in (a, b):
        node.ok("config", "set", "channel.git.remote", str(remote))
        node.ok("config", "set", "channel.git.poll", "1s")
        node.terminate()
        node.start()
    git = rows(a.ok("check", "b"))["git"]
    assert git["ok"] is True and git["ms"] > 0
    assert not b.arrived()
    b.terminate()
    git = rows(a.fleet("check", "b", "--json").value)["git"]
    assert git["ok"] is False and "no pong came home within 7 s" in git["reason"]


def test_a_relay_is_checked_through_its_chief_with_a_pong_of_the_addressee(world: World) -> None:
    a, b = world.pair()
    c = world.join("c", a)
    until(lambda: {peer["node"] for peer in b.ask("peers")} == {"a", "c"}, "b knows c")
    until(lambda: {peer["node"] for peer in c.ask("peers")} == {"a", "b"}, "c knows b")
    b.ok("peer", "set", "c", "relay.via=a")
    until(lambda: b.link("a", "http") == "healthy", "b reaches its chief")
    relay = until(lambda: rows(b.fleet("check", "c", "--json").value)["relay"]["ok"] or None, "over the chief", 60)
    assert relay is True


def test_check_of_a_peer_that_is_away_is_exit_6_with_a_reason_for_every_road(world: World) -> None:
    a, b = world.pair()
    b.kill()
    done = a.fleet("check", "b", "--json")
    assert done.code == 6
    assert all(row["ok"] in (False, None) and row["reason"] for row in done.value["channels"])
    assert a.fleet("check", "nobody", "--json").code == 5
    shown = a.fleet("check", "b")
    assert shown.code == 6 and "nats" in shown.out


def test_check_and_wake_need_a_daemon(world: World) -> None:
    node = world.node("a")
    node.ok("init", "--node", "a")
    for command in ("check", "wake"):
        assert node.fleet(command, "b", "--json").code == 3


def test_wake_of_a_peer_that_answers_does_nothing_more(world: World) -> None:
    a, _ = world.pair()
    found = a.ok("wake", "b")
    assert found["awake"] is True and [step["step"] for step in found["steps"]] == ["ping"]
    assert "b is awake" in a.fleet("wake", "b").out
    assert a.fleet("wake", "nobody", "--json").code == 5


def test_wake_tells_each_step_and_why_it_did_not_help(world: World) -> None:
    a, b = world.pair()
    b.kill()
    done = a.fleet("wake", "b", "--json")
    assert done.code == 6 and done.value["awake"] is False
    steps = {step["step"]: step for step in done.value["steps"]}
    assert list(steps) == ["ping", "ssh", "wol"]
    assert all(step["reason"] for step in steps.values())
    assert "this machine" in steps["wol"]["reason"] or "no hardware address" in steps["wol"]["reason"]


def test_wake_over_ssh_tells_why_it_did_not_help(world: World) -> None:
    a, b = world.pair()
    b.kill()
    a.ok("peer", "set", "b", "ssh.host=127.0.0.1", "ssh.port=1", "ssh.host_key=ssh-ed25519 AAAA")
    steps = {step["step"]: step for step in a.fleet("wake", "b", "--json").value["steps"]}
    assert steps["ssh"]["ok"] is False and "host key" in steps["ssh"]["reason"]


@pytest.mark.tier("ssh")
def test_wake_over_ssh_reaches_the_peer_s_daemon_which_says_there_that_mail_waits(world: World) -> None:
    shown = world.home / "shown"
    a, b = world.pair()
    b.environ["PATH"] = desktop(world.home / "bin", shown)
    b.ok("config", "set", "channel.text.enabled", "true")
    b.ok("config", "set", "channel.text.desktop", "true")
    a.ok("config", "set", "order.channels", "ssh,wol")
    for node in (a, b):
        node.terminate()
        node.start()
    with SshServer(world.home / "sshd") as server:
        server.authorize(f'restrict,command="{receive_command(b.home)}"')
        a.ok("peer", "set", "b", *(f"ssh.{key}={value}" for key, value in server.words().items()))
        found = a.ok("wake", "b")
        assert [(step["step"], step["ok"]) for step in found["steps"]] == [("ping", False), ("ssh", True)]
        until(shown.exists, "b's desktop says it")
        a.ok("wake", "b")
        assert shown.read_text() == LINE.lstrip("# ") + "\n", "at most one in 30 s, however often a peer asks"
        ssh = rows(a.ok("check", "b"))["ssh"]
        assert ssh["ok"] is True and ssh["ms"] > 0


def desktop(directory: Path, shown: Path) -> str:
    """A PATH on which the desktop's program writes down what it is told."""
    directory.mkdir()
    program = directory / "notify-send"
    program.write_text(f'#!/bin/sh\nfor word; do line=$word; done\necho "$line" >> {shown}\n')
    program.chmod(0o755)
    (directory / "osascript").symlink_to(program)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


# ── what a person sees ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.tier("terminal")
def test_a_pane_shows_that_mail_waits_once_and_the_message_stays_accepted(world: World) -> None:
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as directory:
        environ = {**os.environ, "TMUX_TMPDIR": directory}
        environ.pop("TMUX", None)

        def tmux(*words: str) -> str:
            done = subprocess.run(["tmux", *words], env=environ, capture_output=True, text=True, timeout=30)
            return done.stdout

        tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-s", "main", "cat")
        try:
            a, b = world.pair(TMUX_TMPDIR=directory)
            b.kill()
            a.ok("config", "set", "channel.text.enabled", "true")
            a.ok("peer", "set", "b", "text.tmux=main:0.0")
            a.terminate()
            a.start()
            text = rows(a.fleet("check", "b", "--json").value)["text"]
            assert text == {"name": "text", "ok": None, "ms": None, "reason": "would type"}
            (id,) = a.send("b", "$(touch canary)\x1b[2J secret")
            until(lambda: LINE in tmux("capture-pane", "-p", "-t", "main:0.0"), "the pane shows our line")
            assert tmux("capture-pane", "-p", "-t", "main:0.0").strip() == LINE
            nudged = until(lambda: nudges(a, id), "the nudge is recorded", 60)
            assert nudged[0]["channel"] == "text"
            assert a.ok("trace", id)["state"] in ("accepted", "sending") and not a.ok("trace", id).get("custody_of")
            assert a.status_of(id) < 3
        finally:
            tmux("kill-server")


def nudges(node: Node, id: str) -> list[dict[str, Any]]:
    return [one for one in node.ok("trace", id)["attempts"] if one["result"] == "nudged"]


def test_an_alert_that_fails_is_shown_on_the_desktop_once(world: World) -> None:
    shown = world.home / "shown"
    a, b = world.pair(PATH=desktop(world.home / "bin", shown))
    b.kill()
    a.send("b", "disk is full", type="alert")
    until(shown.exists, "a person is told", 60)
    assert shown.read_text() == "An alert to b did not arrive. See: fleet dead\n"
    assert [row["type"] for row in a.ok("dead")] == ["alert"]
