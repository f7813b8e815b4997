"""What people, scripts and checks rely on: the JSON and the exit code of every command, asked of real daemons.

Two worlds: `fleet` is shared by the tests of this file, which leave it as they were given it; `world` is a test's own.
"""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import __version__
from fleet.faces import parser
from tests.support.nodes import FLEET, PATIENCE, Done, Node, World, until, worlds

Fleet = tuple[Node, Node, Node]
ERROR = {"code", "message", "hint", "retryable"}
STATES = {"accepted", "held", "sending", "custody", "received", "shown", "done", "refused", "dead"}
PEER = {"node", "address", "role", "state", "trust", "agents", "channels", "queue", "last_seen"}
MAIL = {"id", "from", "type", "priority", "received_at", "body", "trust", "state"}


@pytest.fixture
def world() -> Iterator[World]:
    yield from worlds()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A founder a, which is a chief and serves NATS, and two that joined."""
    with World() as world:
        a, b = world.pair()
        yield a, b, world.join("c", a)


def has(value: dict[str, Any], *names: str) -> bool:
    """Whether a value has at least these members."""
    return set(names) <= set(value)


def is_moment(value: Any) -> bool:
    """Whether a value is a time: whole milliseconds since the epoch, of this century."""
    return isinstance(value, int) and 946_684_800_000 < value < 4_102_444_800_000


def followed(node: Node, *words: str) -> "subprocess.Popen[bytes]":
    """Start a command that does not end by itself."""
    return subprocess.Popen([*FLEET, *words], env=node.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def interrupted(command: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """Press Ctrl-C; gives the exit code and what it still said."""
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=PATIENCE)
    assert b"Traceback" not in err
    return command.returncode, out.decode()


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_init_names_node_fleet_and_key_and_says_the_same_again(world: World) -> None:
    node = world.node("a")
    first = node.ok("init", "--node", "a")
    assert has(first, "node", "fleet", "key") and first["node"] == "a" and len(first["key"]) == 64
    assert node.ok("init") == first
    assert node.fleet("init", "--node", "b", "--json").code == 2


def test_up_and_down_name_node_pid_socket_and_bind_and_leave_a_log(world: World) -> None:
    node = world.node("a")
    node.ok("init", "--node", "a")
    up = node.ok("up", "--detach", "--bind", "127.0.0.1:0")
    try:
        assert has(up, "node", "pid", "socket", "bind") and up["node"] == "a" and up["socket"] == node.socket
        assert node.ok("up", "--detach")["pid"] == up["pid"], "it runs already: the same one is told"
        moved = node.fleet("up", "--detach", "--bind", "127.0.0.1:9")
        assert moved.code == 1 and f"parcel door at {up['bind']}" in moved.err and "fleet down" in moved.err
        lines = node.ok("logs", "--lines", "50")
        assert any(line["event"] == "started" and has(line, "at", "severity", "node") for line in lines)
        follow = followed(node, "logs", "--follow", "--json", "--lines", "50")
        assert follow.stdout is not None and json.loads(follow.stdout.readline())
        assert interrupted(follow)[0] == 130
    finally:
        down = node.ok("down")
    assert down == {"node": "a", "pid": up["pid"]}
    done = node.fleet("down", "--json")
    assert done.code == 3 and done.error["code"] == "no_daemon"


def test_logs_without_a_log_is_exit_1_with_the_way_to_one(world: World) -> None:
    node = world.node("a")
    node.ok("init", "--node", "a")
    done = node.fleet("logs", "--json")
    assert done.code == 1 and done.error["code"] == "not_found" and done.error["hint"].startswith("fleet up")


def test_invite_and_join_tell_the_same_words_and_whether_the_inviter_answers(world: World) -> None:
    a = world.found("a")
    done = a.fleet("invite", "--ttl", "5m", "--trust", "3", "--json")
    assert done.code == 0 and "HOST:PORT" in done.err, "a loopback bind is warned of, the link is printed all the same"
    invite = done.value
    assert has(invite, "link", "expires_at", "words") and is_moment(invite["expires_at"])
    b = world.node("b")
    joined = b.ok("join", "-", "--node", "b", stdin=invite["link"].encode())
    assert has(joined, "node", "peer", "agents", "reachable", "words")
    assert (joined["node"], joined["peer"], joined["reachable"]) == ("b", "a", True)
    assert joined["words"] == invite["words"] and isinstance(joined["agents"], list)
    assert until(lambda: a.ok("peers"), "a knows b")[0]["trust"] == 3
    again = world.node("c").fleet("join", invite["link"], "--node", "c", "--json")
    assert again.code == 4 and again.error["code"] == "join_refused"


def test_config_shows_key_value_and_origin_and_edits_the_file(world: World) -> None:
    node = world.node("a")
    node.ok("init", "--node", "a")
    rows = node.ok("config", "show", "--origin")
    assert all(set(row) == {"key", "value", "origin"} for row in rows)
    by_key = {row["key"]: row for row in rows}
    assert by_key["log.level"] == {"key": "log.level", "value": "info", "origin": "default"}
    assert by_key["node.id"]["origin"].startswith("config.toml:")
    change = node.fleet("config", "set", "log.level", "debug", "--json")
    assert change.code == 0 and has(change.value, "key", "value", "origin") and "log.level" in change.err
    assert node.ok("config", "show", "log.level")[0]["value"] == "debug"
    node.environ["FLEET_LOG_LEVEL"] = "error"
    (row,) = node.ok("config", "show", "log.level", "--origin")
    assert row["value"] == "error" and "FLEET_LOG_LEVEL" in row["origin"]
    del node.environ["FLEET_LOG_LEVEL"]
    node.ok("config", "unset", "log.level")
    assert node.ok("config", "show", "log.level")[0]["value"] == "info"
    assert "# default" in node.fleet("config", "show", "log.level", "--origin").out
    for words in (("set", "log.level", "loud"), ("set", "log.levle", "info"), ("unset", "nope.nope")):
        wrong = node.fleet("config", *words, "--json")
        assert wrong.code in (1, 2) and set(wrong.error) == ERROR, words


def test_paths_version_and_completion_need_no_node(world: World) -> None:
    node = world.node("a")
    paths = node.ok("paths")
    for name in ("home", "config", "keys", "database", "run", "socket", "token", "log", "seeds"):
        assert paths[name].startswith(str(node.home)), name
    assert node.fleet("paths").out.splitlines()[0] == f"home\t{node.home}"
    assert node.ok("version")["version"] == __version__
    assert node.fleet("--version").out == f"fleet {__version__}\n"
    for shell in ("bash", "zsh", "tcsh"):
        assert node.ok("completion", shell)["shell"] == shell
    assert "explain" in node.fleet("completion", "bash").out


# ── send, and how it ends ────────────────────────────────────────────────────────────────────────────────────────────
def test_send_tells_id_state_road_attempts_and_time(fleet: Fleet) -> None:
    a, b, _ = fleet
    sent = a.ok("send", "b", "hello")
    assert has(sent, "id", "to", "state", "channel", "attempts", "elapsed_ms")
    assert (sent["to"], sent["state"], sent["attempts"]) == ("b", "received", 1)
    assert sent["channel"] in ("nats", "http") and sent["elapsed_ms"] > 0
    assert a.ok("send", "b", "hello", "--wait", "none") == {"id": b_last(b, "hello"), "to": "b", "state": "accepted"}


def b_last(node: Node, body: str) -> str:
    """The id of the newest mail of a body, once it has come."""
    until(lambda: list(node.arrived().values()).count(body) == 2, "both came")
    return max(id for id, found in node.arrived().items() if found == body)


def test_send_to_oneself_goes_straight_into_the_own_inbox(fleet: Fleet) -> None:
    a, _, _ = fleet
    sent = a.ok("send", "a", "a note")
    assert (sent["to"], sent["state"]) == ("a", "received") and a.arrived()[sent["id"]] == "a note"


def test_what_a_message_says_of_itself_arrives_as_it_was_said(fleet: Fleet) -> None:
    a, b, _ = fleet
    first = a.ok("send", "b", "question", "--correlation", "talk-7")["id"]
    words = ("--re", first, "--correlation", "talk-7", "--agent", "reviewer", "--session", "s-1", "--priority", "urgent")
    reply = b.ok("send", "a", "-", *words, "--type", "reply", "--cost", "tokens=5,usd=0.25,hops=3", stdin="öäü\n".encode())
    (mail,) = [mail for mail in a.ok("inbox", "--all") if mail["id"] == reply["id"]]
    assert has(mail, *MAIL) and is_moment(mail["received_at"]) and isinstance(mail["trust"], int)
    assert (mail["re"], mail["correlation"], mail["agent"], mail["session"]) == (first, "talk-7", "reviewer", "s-1")
    assert (mail["from"], mail["type"], mail["priority"], mail["body"]) == ("b", "reply", "urgent", "öäü\n")
    assert mail["cost"] == {"tokens": 5, "micro_usd": 250_000, "hops": 3}


def test_channel_is_that_road_and_no_other(fleet: Fleet) -> None:
    a, _, _ = fleet
    for road in ("nats", "http"):
        sent = a.ok("send", "b", f"over {road}", "--channel", road)
        assert sent["channel"] == road
        assert {attempt["channel"] for attempt in a.ok("trace", sent["id"])["attempts"]} == {road}
    wrong = a.fleet("send", "b", "x", "--channel", "pigeon", "--json")
    assert wrong.code == 2 and "pigeon" in wrong.error["message"]


def test_the_same_id_and_content_is_the_same_message_and_other_content_is_refused(fleet: Fleet) -> None:
    a, b, _ = fleet
    id = "01a1fbd5609b73339c9e45320976d302"
    for _ in range(2):
        assert a.ok("send", "b", "once", "--id", id)["id"] == id
    assert list(b.arrived()).count(id) == 1
    other = a.fleet("send", "b", "twice", "--id", id, "--json")
    assert other.code == 2 and other.error["code"] == "conflict"


def test_nothing_is_accepted_of_a_bad_request_and_the_error_has_its_shape(fleet: Fleet) -> None:
    a, _, _ = fleet
    before = a.rows("SELECT count(*) FROM outbox")
    for code, kind, words in (
        (2, "usage", ("b", "x", "--ttl", "soon")), (2, "unknown_type", ("b", "x", "--type", "poem")),
        (5, "unknown_peer", ("nobody", "x")), (2, "too_large", ("b", "-")),
    ):  # fmt: skip
        done = a.fleet("send", *words, "--json", stdin=b"x" * 600_000)
        assert (done.code, done.error["code"]) == (code, kind), done
        assert set(done.error) == ERROR and isinstance(done.error["retryable"], bool)
    assert a.rows("SELECT count(*) FROM outbox") == before


def test_a_refusal_of_our_own_gate_is_4_and_names_what_would_change_it(fleet: Fleet) -> None:
    a, _, _ = fleet
    a.ok("peer", "set", "c", "enabled=false")
    try:
        done = a.fleet("send", "c", "x", "--json")
        assert (done.code, done.value["state"]) == (4, "refused")
        assert "fleet peer set c enabled=true" in done.value["reason"]
        assert a.ok("explain", "c")["verdict"] == "refuse"
    finally:
        a.ok("peer", "set", "c", "enabled=true")
    assert a.ok("send", "c", "x")["state"] == "received"


def test_a_refusal_of_the_peer_s_gate_is_4_and_a_dead_letter(fleet: Fleet) -> None:
    a, _, _ = fleet
    done = a.fleet("send", "b", "do this", "--type", "task", "--json")
    assert (done.code, done.value["state"]) == (4, "refused") and "level" in done.value["reason"]
    (letter,) = [one for one in a.ok("dead") if one["id"] == done.value["id"]]
    assert has(letter, "id", "to", "what", "reason") and letter["what"] == "refused" and letter["to"] == "b"
    assert a.ok("dead", "drop", letter["id"])["id"] == letter["id"]


def test_when_no_road_takes_it_send_ends_with_6_after_the_first_walk_and_the_message_waits(world: World) -> None:
    a, b = world.pair()
    b.kill()
    done = a.fleet("send", "b", "later", "--timeout", "60", "--json")
    assert done.code == 6 and done.value["state"] == "accepted" and done.value["attempts"] >= 1
    (row,) = a.ok("outbox")
    assert has(row, "id", "to", "type", "state", "age_ms") and row["id"] == done.value["id"]
    trace = a.ok("trace", row["id"])
    assert has(trace, "id", "to", "state", "attempts") and trace["state"] in STATES
    for attempt in trace["attempts"]:
        assert has(attempt, "channel", "started_at", "ms", "result", "reason") and is_moment(attempt["started_at"])
        assert attempt["result"] in ("deferred", "barred", "faulty")
    b.start()
    until(lambda: a.ok("trace", row["id"])["state"] == "received", "it arrives by itself")
    assert list(b.arrived()) == [row["id"]]


def test_cancel_takes_back_what_waits_and_a_dead_letter_can_be_tried_again_or_dropped(world: World) -> None:
    a, b = world.pair()
    b.kill()
    first, second = (a.fleet("send", "b", body, "--json").value["id"] for body in ("one", "two"))
    for id in (first, second):
        assert a.ok("cancel", id)["state"] == "dead"
    again = a.fleet("cancel", first, "--json")
    assert again.code == 2 and "dead" in again.error["message"]
    letters = {one["id"]: one for one in a.ok("dead", "list")}
    assert {letters[id]["what"] for id in (first, second)} == {"undelivered"} and letters[first]["reason"] == "cancelled"
    assert a.ok("dead", "drop", second) == {"id": second, "state": "dropped"}
    assert a.fleet("dead", "drop", second, "--json").code == 1
    assert a.ok("dead", "retry", first)["id"] == first
    assert a.fleet("dead", "retry", first, "--json").code == 2, "it is no dead letter any more"
    b.start()
    until(lambda: a.ok("trace", first)["state"] == "received", "it goes after all")
    assert b.arrived() == {first: "one"} and a.ok("dead") == []
    assert a.fleet("cancel", first, "--json").code == 2


def test_what_is_not_received_in_time_is_7_whether_the_peer_is_silent_or_the_daemon_down(world: World) -> None:
    a, b = world.pair()
    b.signal(signal.SIGSTOP)
    done = a.fleet("send", "b", "frozen", "--timeout", "0.5", "--json")
    assert done.code == 7 and done.value["state"] in ("accepted", "sending")
    b.signal(signal.SIGCONT)
    until(lambda: a.ok("trace", done.value["id"])["state"] == "received", "it arrives")
    a.kill()
    done = a.fleet("send", "b", "asleep", "--json")
    assert (done.code, done.value["state"]) == (7, "accepted")
    assert a.ok("send", "b", "asleep too", "--wait", "none")["state"] == "accepted"
    a.start()
    until(lambda: len(b.arrived()) == 3, "all three arrive")


def test_custody_of_a_chief_is_7_and_cancelled_it_is_unconfirmed(world: World) -> None:
    a, b = world.pair()
    c = world.join("c", a)
    b.ok("config", "set", "order.channels", "http,relay")  # the broker keeps mail too
    b.terminate()
    b.start()
    b.ok("send", "c", "to meet")
    c.kill()
    done = b.fleet("send", "c", "kept", "--timeout", "20", "--wait", "received", "--json")
    assert (done.code, done.value["state"], done.value["channel"]) == (7, "custody", "relay"), done
    trace = b.ok("trace", done.value["id"])
    assert "taken" in {attempt["result"] for attempt in trace["attempts"]} and trace["custody_of"] == ["relay"]
    b.ok("cancel", done.value["id"])
    (letter,) = b.ok("dead")
    assert letter["what"] == "unconfirmed"


def test_a_broadcast_is_0_when_all_received_it_and_8_when_some_did(world: World) -> None:
    a, _ = world.pair()
    c = world.join("c", a)
    a.ok("send", "c", "to meet")
    answers = a.ok("send", "--all", "to everybody")
    assert sorted(answer["to"] for answer in answers) == ["b", "c"]
    assert all(has(answer, "id", "to", "state", "channel", "attempts", "elapsed_ms") for answer in answers)
    c.kill()
    done = a.fleet("send", "--all", "to who is there", "--json")
    assert done.code == 8 and {one["to"]: one["state"] == "received" for one in done.value} == {"b": True, "c": False}


def test_wait_shown_and_done_say_how_far_it_came(fleet: Fleet) -> None:
    a, b, _ = fleet
    done = a.fleet("send", "b", "nobody looks", "--wait", "shown", "--timeout", "0.5", "--json")
    assert (done.code, done.value["state"]) == (9, "received")
    waiting = followed(a, "send", "b", "please do", "--wait", "done", "--timeout", "60", "--json")
    until(lambda: "please do" in b.arrived().values(), "it arrived")
    (mail,) = [mail for mail in b.ok("inbox") if mail["body"] == "please do"]
    assert b.ok("done", mail["id"]) == {"id": mail["id"], "state": "done"}
    out, _ = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 0 and json.loads(out)["state"] == "done"
    assert a.ok("trace", mail["id"])["state"] == "done"
    arrival = b.ok("trace", mail["id"])
    assert arrival["state"] == "done" and arrival["from"] == "a" and is_moment(arrival["done_at"])


def test_time_that_runs_out_is_a_dead_letter_undelivered_with_a_notice_and_never_silence(world: World) -> None:
    a, b = world.pair()
    b.kill()
    sent = a.ok("send", "b", "for a second", "--ttl", "1s", "--wait", "none")
    (letter,) = until(lambda: a.ok("dead"), "it expires")
    assert (letter["id"], letter["what"]) == (sent["id"], "undelivered") and letter["reason"]
    until(lambda: a.rows("SELECT text FROM notice WHERE kind = 'dead letter'"), "the operator is told")
    assert a.ok("trace", sent["id"])["state"] == "dead"
    until(lambda: a.ok("status")["notices"], "status shows it")
    assert sent["id"] in a.fleet("status").err
    b.start()
    a.ok("send", "b", "after it")
    assert list(b.arrived().values()) == ["after it"], "what is dead does not arrive"


# ── the inbox ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_inbox_shows_each_message_once_oldest_first_and_peek_marks_nothing(world: World) -> None:
    a, b = world.pair()
    ids = [a.ok("send", "b", body)["id"] for body in ("first", "second", "third")]
    assert [mail["id"] for mail in b.ok("inbox", "--peek")] == ids
    assert {mail["state"] for mail in b.ok("inbox", "--peek", "--limit", "2")} == {"received"}
    assert [mail["id"] for mail in b.ok("inbox", "--limit", "2", "--session", "s-1")] == ids[:2]
    assert [mail["id"] for mail in b.ok("inbox")] == ids[2:]
    assert b.ok("inbox") == []
    assert {mail["id"]: mail["state"] for mail in b.ok("inbox", "--all")} == dict.fromkeys(ids, "shown")
    until(lambda: a.ok("trace", ids[0])["state"] == "shown", "the sender hears of it")
    assert b.ok("trace", ids[0])["session"] == "s-1"


def test_follow_prints_one_value_a_line_as_mail_comes_and_marks_it_shown(world: World) -> None:
    a, b = world.pair()
    early = a.ok("send", "b", "early")["id"]
    follow = followed(b, "inbox", "--follow", "--json")
    assert follow.stdout is not None
    assert json.loads(follow.stdout.readline())["id"] == early
    late = a.ok("send", "b", "late")["id"]
    mail = json.loads(follow.stdout.readline())
    assert mail["id"] == late and has(mail, *MAIL)
    until(lambda: a.ok("trace", late)["state"] == "shown", "it was shown")
    code, rest = interrupted(follow)
    assert (code, rest) == (130, "")


def test_follow_ends_when_nobody_reads_any_more(world: World) -> None:
    a, b = world.pair()
    follow = followed(b, "inbox", "--follow", "--json")
    assert follow.stdout is not None and follow.stderr is not None
    a.ok("send", "b", "one")
    follow.stdout.readline()
    follow.stdout.close()
    a.ok("send", "b", "two")
    assert follow.wait(PATIENCE) == 1 and b"Traceback" not in follow.stderr.read()


# ── peers ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_status_and_peers_tell_what_is_known_of_each_peer(fleet: Fleet) -> None:
    a, _, _ = fleet
    a.ok("send", "b", "hello")
    status = a.ok("status")
    assert status["node"] == "a" and [peer["node"] for peer in status["peers"]] == ["b", "c"]
    for peer in (*status["peers"], *a.ok("peers"), a.ok("peer", "show", "b")):
        assert has(peer, *PEER) and isinstance(peer["trust"], int) and peer["role"] in ("worker", "captain", "chief")
        assert all(has(link, "state", "rtt_ms") for link in peer["channels"].values())
    (b,) = [peer for peer in status["peers"] if peer["node"] == "b"]
    assert b["state"] == "on" and is_moment(b["last_seen"])


def test_a_peer_is_added_changed_shown_and_removed_and_carries_its_source(fleet: Fleet) -> None:
    a, _, _ = fleet
    done = a.fleet("peer", "add", "outpost", "http.url=http://192.0.2.9:8856", "description=far away", "--json")
    assert done.code == 0 and done.value["source"] == "dynamic" and "outpost" in done.err
    assert a.ok("peer", "show", "outpost")["address"] == "http://192.0.2.9:8856"
    assert a.fleet("peer", "add", "outpost", "--json").code == 2
    assert a.fleet("peer", "set", "outpost", "enabled=perhaps", "--json").code in (1, 2)
    assert a.ok("peer", "remove", "outpost")["removed"] is True
    assert a.fleet("peer", "show", "outpost", "--json").code == 5
    assert a.fleet("peer", "set", "outpost", "enabled=true", "--json").code == 5
    assert a.ok("peer", "show", "b")["source"] == "member"
    member = a.fleet("peer", "remove", "b", "--json")
    assert member.code == 2 and "fleet revoke b" in member.error["hint"], "there is nothing to remove"


def test_ping_names_the_road_it_took_and_no_answer_is_6(fleet: Fleet) -> None:
    a, _, _ = fleet
    pong = a.ok("ping", "b")
    assert has(pong, "channel", "ms", "ok") and pong["ok"] and pong["ms"] > 0
    assert a.ok("ping", "b", "--channel", "http")["channel"] == "http"
    assert [one["ok"] for one in a.ok("ping", "b", "-c", "2")] == [True, True]
    assert a.fleet("ping", "nobody", "--json").code == 5
    assert a.fleet("ping", "b", "--channel", "pigeon", "--json").code == 2
    assert a.fleet("peer", "add", "outpost", "--json").code == 2, "nothing is said of it"
    a.ok("peer", "add", "outpost", "http.url=http://192.0.2.9:8856")
    done = a.fleet("ping", "outpost", "--json")
    a.ok("peer", "remove", "outpost")
    assert (done.code, done.value["ok"], done.value["ms"]) == (6, False, None)


def test_explain_tells_verdict_gates_and_plan_and_sends_nothing(fleet: Fleet) -> None:
    a, _, _ = fleet
    before = a.rows("SELECT count(*) FROM outbox")
    found = a.ok("explain", "b", "--type", "alert")
    assert has(found, "verdict", "gates", "plan") and found["verdict"] == "clear"
    assert all(has(gate, "gate", "verdict") for gate in found["gates"])
    assert [step["channel"] for step in found["plan"]] == ["nats"]
    assert all(has(step, "channel", "deadline_ms", "hedge_ms") for step in found["plan"])
    assert a.rows("SELECT count(*) FROM outbox") == before
    assert a.fleet("explain", "nobody", "--json").code == 5
    assert a.fleet("explain", "b", "--type", "poem", "--json").code == 2


def test_reset_opens_one_road_or_all(fleet: Fleet) -> None:
    a, _, _ = fleet
    assert a.ok("reset", "b", "http")["channels"] == ["http"]
    assert {"nats", "http"} <= set(a.ok("reset", "b")["channels"])
    assert a.fleet("reset", "b", "pigeon", "--json").code == 2
    assert a.fleet("reset", "nobody", "--json").code == 5


def test_keys_are_shown_rotated_and_the_root_moves_encrypted(world: World) -> None:
    a, b = world.pair()
    shown = a.ok("keys", "show")
    assert shown["root_here"] and not b.ok("keys", "show")["root_here"]
    turned = a.ok("keys", "rotate", "seal")
    assert turned["seal"][1] == shown["seal"][0], "the older key still opens what is under way"
    assert b.ok("send", "a", "sealed to either")["state"] == "received"
    assert a.fleet("keys", "rotate", "--json").code == 2
    asked = a.fleet("keys", "export-root", "--json")
    assert asked.code == 2 and asked.error["hint"] == "fleet keys export-root --yes", "without a terminal it needs --yes"
    blob = a.ok("keys", "export-root", "--yes", stdin=b"a long passphrase\n")["root"]
    (b.home.parent / "root").write_text(blob)
    wrong = b.fleet("keys", "import-root", str(b.home.parent / "root"), "--json", stdin=b"another passphrase\n")
    assert wrong.code != 0 and not b.ok("keys", "show")["root_here"]
    assert b.ok("keys", "import-root", str(b.home.parent / "root"), stdin=b"a long passphrase\n")["root_here"]


def test_revoke_needs_yes_without_a_terminal_and_puts_a_member_out(world: World) -> None:
    a, b = world.pair()
    assert a.fleet("revoke", "b", "--json").code == 2
    assert b.fleet("revoke", "a", "--yes", "--json").code != 0, "only where the root key is"
    assert a.ok("revoke", "b", "--yes")["node"] == "b"
    refused = a.fleet("send", "b", "x", "--json")
    assert refused.code == 4 and "revoked b" in refused.error["message"]
    assert a.fleet("revoke", "nobody", "--yes", "--json").code == 5


def test_doctor_lists_checks_with_their_remedy_and_is_1_when_one_failed(world: World) -> None:
    node = world.node("a")
    node.ok("init", "--node", "a")
    checks = node.ok("doctor")["checks"]
    assert all(has(check, "id", "status", "why", "fix") for check in checks)
    unwell = {check["id"]: check["status"] for check in checks if check["status"] != "ok"}
    assert unwell.items() <= {"daemon": "warning", "ports": "warning"}.items(), "others may use the default port here"
    (node.home / "keys").chmod(0o755)
    done = node.fleet("doctor", "--json")
    (wrong,) = [check for check in done.value["checks"] if check["status"] == "failed"]
    assert done.code == 1 and wrong["fix"].startswith("chmod 700")
    assert subprocess.run(shlex.split(wrong["fix"]), check=False).returncode == 0
    assert node.fleet("doctor").code == 0


# ── without a daemon ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_id_nobody_knows_is_1_and_what_is_no_id_is_2(fleet: Fleet) -> None:
    a, _, _ = fleet
    for words in (("trace",), ("done",), ("cancel",), ("dead", "retry"), ("dead", "drop")):
        unknown = a.fleet(*words, "01a1fbd5609b73339c9e453209760000", "--json")
        assert (unknown.code, unknown.error["code"]) == (1, "not_found"), words
        assert a.fleet(*words, "tuesday", "--json").code == 2, words
    assert a.fleet("dead", "retry", "--json").code == 2, "which one?"
    limit = a.fleet("inbox", "--limit", "0", "--json")
    assert (limit.code, limit.error["message"]) == (2, "limit: expected int >= 1")
    assert a.fleet("bench", "--peer", "nobody", "--json").code == 5


def test_what_needs_a_daemon_is_3_without_one_and_the_rest_reads_the_store(world: World) -> None:
    a, _ = world.pair()
    id = a.ok("send", "b", "hello")["id"]
    a.kill()
    for words in (("status",), ("peers",), ("ping", "b"), ("invite",), ("peer", "show", "b"), ("reset", "b"), ("down",)):
        done = a.fleet(*words, "--json")
        assert done.code == 3 and set(done.error) == ERROR and done.error["retryable"], words
        assert done.error["hint"].startswith("fleet up"), words
    assert a.ok("inbox") == [] and a.ok("outbox") == [] and a.ok("dead") == []
    assert a.ok("trace", id)["state"] == "received"
    assert a.ok("explain", "b")["verdict"] == "clear" and a.ok("config") and a.ok("doctor")
    assert a.fleet("trace", id[:-1] + ("0" if id[-1] != "0" else "1"), "--json").code == 1


def test_a_machine_without_a_node_is_told_how_to_get_one_by_every_command(world: World) -> None:
    node = world.node("a")
    for words in (("status",), ("send", "b", "x"), ("inbox",), ("up", "--detach"), ("up",), ("doctor",), ("keys", "show")):
        done = node.fleet(*words, "--json")
        assert done.code in (1, 3) and done.error["hint"] == "fleet init, or fleet join LINK", (words, done)
    assert not (node.home / "fleet.db").exists()


def test_fleet_send_has_the_options_and_exit_codes_of_send(fleet: Fleet) -> None:
    a, b, _ = fleet
    sent = a.fleet_send("b", "fast", "--priority", "high", "--json")
    assert sent.code == 0 and sent.value["state"] == "accepted"
    until(lambda: "fast" in b.arrived().values(), "it arrives")
    assert a.fleet_send("nobody", "x").code == 5 and a.fleet_send("b", "x", "--type", "poem").code == 2
    assert a.fleet_send("b", "x", "--wait", "received").code == 0
    assert a.fleet_send("b", "x", "--wait", "shown", "--timeout", "0.3").code == 9
    assert a.fleet_send("b", "x", "--type", "task", "--wait", "received").code == 4


# ── all commands ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_command_has_help_that_ends_with_0_and_no_command_ends_with_2(world: World) -> None:
    node = world.node("a")
    _, commands = parser.build()
    for name in commands:
        done = node.fleet(name, "--help")
        assert done.code == 0 and done.out.startswith(f"usage: fleet {name}"), done
    assert node.fleet().code == 2
    wrong = node.fleet("stauts")
    assert wrong.code == 2 and "fleet status" in wrong.err


def test_readme_names_every_command() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    table = readme.partition("### Commands")[2].partition("### Exit codes")[0]
    words = set(re.findall(r"`([a-z]+)", table))
    assert set(parser.build()[1]) <= words, "a command is missing in README.md, Commands"


def test_data_goes_to_stdout_and_talk_to_stderr(fleet: Fleet) -> None:
    a, _, _ = fleet
    for words in (("status",), ("peers",), ("outbox",), ("dead",), ("inbox", "--peek"), ("paths",), ("explain", "b")):
        done: Done = a.fleet(*words)
        assert done.code == 0 and not done.out.startswith("fleet: "), words
        assert all(line.startswith("fleet: ") for line in done.err.splitlines()), words
