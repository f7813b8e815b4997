import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.faces import cli, parser, quick
from fleet.faces.mail import message_of
from tests.faces.standin import StandIn, an_id
from tests.faces.test_render import CORPUS, harmless

ROOT = Path(__file__).parents[2]


def fleet(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def fleet_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code, out, _ = fleet(capsys, *words, "--json")
    assert len(out.splitlines()) == 1, out
    return code, json.loads(out)


@pytest.fixture
def initialised(home: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert fleet(capsys, "init", "--node", "mac1")[0] == 0
    return home


# ── the grammar ──────────────────────────────────────────────────────────────────────────────────────────────────────
COMMANDS = """
    init up down invite join send inbox done outbox cancel trace dead status peers peer ping explain reset config paths
    bench demo version logs completion doctor service bugreport
""".split()  # noqa: SIM905


def test_every_command_of_this_round_is_there_with_help_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, commands = parser.build()
    assert set(COMMANDS) <= set(commands)
    for name, command in commands.items():
        assert "--json" in command.format_help() and command.description, name


@pytest.mark.parametrize(
    "words",
    [
        ["nope"], ["send"], ["send", "a", "b", "c"], ["send", "mac1", "x", "--priority", "x"], ["send", "a", "--wait", "x"],
        ["trace"], ["dead", "drop"], ["ping"], ["ping", "mac1", "-c", "x"], ["ping", "mac1", "-c", "0"], ["peer", "set"],
        ["peer", "set", "mac1"], ["peer", "set", "mac1", "novalue"], ["peer", "show", "mac1", "a=b"], ["peer", "go", "a"],
        ["config", "set", "a"], ["config", "set"], ["config", "unset", "a", "b"], ["send", "a", "x", "--cost", "tokens=x"],
        ["send", "mac1", "x", "--timeout", "soon"], ["send", "mac1", "--nope"], ["invite", "--trust", "9"], ["reset"],
        ["completion", "tcl"], ["inbox", "--limit", "x"], ["send", "-", "x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_usage_error_is_exit_2_said_once_in_either_form(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, err = fleet(capsys, *words)
    assert (code, out) == (2, "") and err.startswith("fleet: ")
    code, value = fleet_json(capsys, *words)
    assert code == 2
    assert value["error"]["code"] == "usage" and set(value["error"]) == {"code", "message", "hint", "retryable"}


def test_options_may_stand_between_the_words() -> None:
    args = cli.parse(["send", "mac1", "--type", "task", "do it", "--json", "--cost", "tokens=5,usd=0.5"])
    assert message_of(args) == {
        "to": "mac1", "body": "do it", "type": "task", "cost": {"tokens": 5, "usd": 0.5}
    }  # fmt: skip
    assert args.json and args.wait == "received"


def test_json_may_stand_before_the_command() -> None:
    assert cli.parse(["--json", "status"]).json


def test_a_broadcast_is_of_its_own_type_unless_another_is_wanted() -> None:
    assert message_of(cli.parse(["send", "--all", "hi"])) == {"to": "*", "body": "hi", "type": "broadcast"}
    assert message_of(cli.parse(["send", "--all", "hi", "--type", "alert"]))["type"] == "alert"


def test_fleet_send_takes_what_send_takes() -> None:
    send, fast = parser.Parser(), parser.Parser()
    parser.send_options(send.add_argument)
    parser.send_options(fast.add_argument, wait="none")
    flags = {flag for action in send._actions for flag in action.option_strings}
    known = {*quick.FIELDS, "--wait", "--timeout", "--all", "--cost", "-h", "--help"}
    assert flags == known


# ── the daemon is up ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_send_says_how_far_it_came(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = fleet_json(capsys, "send", "mac1", "hi")
    assert code == 0
    assert {"id", "to", "state", "channel", "attempts", "elapsed_ms"} <= set(value)
    code, out, err = fleet(capsys, "send", "mac1", "hi")
    assert (code, err) == (0, "") and " received over nats in " in out


@pytest.mark.parametrize(
    ("becomes", "walked", "wait", "code"),
    [
        ("received", False, "received", 0), ("accepted", True, "received", 6), ("accepted", False, "received", 7),
        ("custody", True, "received", 7), ("received", False, "done", 9), ("refused", False, "received", 4),
        ("accepted", False, "none", 0), ("shown", False, "shown", 0),
    ],
)  # fmt: skip
def test_every_outcome_has_its_exit_code(
    daemon: StandIn, capsys: pytest.CaptureFixture[str], becomes: str, walked: bool, wait: str, code: int
) -> None:
    daemon.mail.becomes, daemon.mail.walked = becomes, walked
    assert fleet_json(capsys, "send", "mac1", "hi", "--wait", wait)[0] == code


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["mac9", "x"], 5, "unknown_peer"), (["mac1", "x", "--type", "nope"], 2, "unknown_type"),
        (["mac1", "x" * 300_000], 2, "too_large"), (["mac1", "x", "--ttl", "soon"], 2, "usage"),
        (["mac1", "x", "--re", "abc"], 2, "usage"), (["mac1", "x", "--id", "abc"], 2, "usage"),
        (["mac1", "x", "--cost", "usd=-1"], 2, "usage"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_cannot_be_accepted_is_told_with_its_code(
    daemon: StandIn, capsys: pytest.CaptureFixture[str], words: list[str], code: int, name: str
) -> None:
    got, value = fleet_json(capsys, "send", *words)
    assert (got, value["error"]["code"]) == (code, name)
    got, out, err = fleet(capsys, "send", *words)
    assert (got, out) == (code, "") and err.startswith("fleet: ")
    assert daemon.mail.accepted == []


def test_a_broadcast_is_an_array(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = fleet_json(capsys, "send", "--all", "hi")
    assert code == 0 and [answer["to"] for answer in value] == ["mac1", "mac2"]


def test_views_are_printed_as_they_are(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet_json(capsys, "status")[1]["node"] == "here"
    assert [peer["node"] for peer in fleet_json(capsys, "peers")[1]] == ["mac1", "mac2"]
    code, out, _ = fleet(capsys, "peers")
    assert code == 0 and out.splitlines()[1].split("\t")[0] == "mac1"


def test_an_unknown_id_is_exit_1(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = fleet_json(capsys, "done", an_id())
    assert (code, value["error"]["code"]) == (1, "not_found")


@pytest.mark.parametrize("text", CORPUS, ids=ascii)
def test_a_hostile_name_cannot_reach_the_terminal(daemon: StandIn, capsys: pytest.CaptureFixture[str], text: str) -> None:
    daemon.mail.channel = text
    daemon.mail.peers = [f"mac1{text}"]
    for words in (["status"], ["peers"], ["status", "--json"], ["send", "--all", "x"], ["send", "mac1", text]):
        _, out, err = fleet(capsys, *words)
        assert harmless(out.replace("\t", " ")) and harmless(err)


# ── the daemon is down ───────────────────────────────────────────────────────────────────────────────────────────────
def test_init_makes_a_private_node_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, first = fleet_json(capsys, "init", "--node", "mac1")
    assert code == 0 and first["node"] == "mac1" and len(first["key"]) == 64 and first["fleet"]
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home / "keys").iterdir()} == {0o600}
    assert stat.S_IMODE((home / "fleet.db").stat().st_mode) == 0o600
    assert fleet_json(capsys, "init") == (0, first)
    assert fleet_json(capsys, "init", "--node", "other")[0] == 2


def test_init_lets_the_first_machine_serve_nats(initialised: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["key"]: row for row in fleet_json(capsys, "config", "show", "--origin")[1]}
    assert rows["nats.serve"]["value"] is True and rows["nats.port"]["value"] >= 4222
    assert rows["node.id"]["value"] == "mac1" and rows["node.id"]["origin"].startswith("config.toml:")
    assert rows["node.bind"]["origin"] == "default"


@pytest.mark.parametrize(
    "words",
    [["status"], ["peers"], ["ping", "mac1"], ["invite"], ["down"], ["peer", "show", "mac1"], ["reset", "mac1"]],
    ids=" ".join,
)
def test_what_needs_a_daemon_is_exit_3(initialised: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, value = fleet_json(capsys, *words)
    assert (code, value["error"]["code"]) == (3, "no_daemon") and value["error"]["retryable"]


@pytest.mark.parametrize("words", [["status"], ["invite"], ["down"]], ids=" ".join)
def test_a_machine_without_a_node_is_told_to_make_one(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, value = fleet_json(capsys, *words)
    assert code == 3 and "fleet init" in value["error"]["hint"]


@pytest.mark.parametrize("words", [["inbox"], ["outbox"], ["dead"], ["inbox", "--all", "--peek"]], ids=" ".join)
def test_the_store_is_read_without_a_daemon(initialised: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert fleet_json(capsys, *words) == (0, [])


def test_an_unknown_peer_is_exit_5_without_a_daemon(initialised: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["send", "mac9", "x"], ["explain", "mac9"]):
        code, value = fleet_json(capsys, *words)
        assert (code, value["error"]["code"]) == (5, "unknown_peer")


def test_mail_to_oneself_is_read_where_it_was_written(initialised: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, sent = fleet_json(capsys, "send", "mac1", "note to self \x1b[31m")
    assert (code, sent["state"]) == (0, "received")
    (mail,) = fleet_json(capsys, "inbox", "--peek")[1]
    assert (mail["id"], mail["from"], mail["body"]) == (sent["id"], "mac1", "note to self \x1b[31m")
    assert {"id", "from", "type", "priority", "received_at", "body", "trust", "state"} <= set(mail)
    _, out, _ = fleet(capsys, "inbox")
    assert "note to self \\x1b[31m" in out and "\x1b" not in out
    assert fleet_json(capsys, "inbox") == (0, [])
    assert [row["state"] for row in fleet_json(capsys, "inbox", "--all")[1]] == ["shown"]
    assert fleet_json(capsys, "done", sent["id"])[1] == {"id": sent["id"], "state": "done"}
    assert fleet_json(capsys, "trace", sent["id"])[1]["state"] == "done"


@pytest.fixture
def with_peer(initialised: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert fleet(capsys, "config", "set", "peer.mac2.http.url", "http://127.0.0.1:9")[0] == 0
    return initialised


def test_send_without_a_daemon_accepts_and_says_that_nothing_was_received(
    with_peer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet_json(capsys, "send", "mac2", "x", "--wait", "none")[0] == 0
    code, sent = fleet_json(capsys, "send", "mac2", "x")
    assert (code, sent["state"]) == (7, "accepted")
    rows = fleet_json(capsys, "outbox")[1]
    assert [row["to"] for row in rows] == ["mac2", "mac2"] and {"id", "to", "type", "state", "age_ms"} <= set(rows[0])
    assert fleet_json(capsys, "trace", sent["id"])[1]["attempts"] == []
    assert fleet_json(capsys, "cancel", sent["id"])[1]["state"] == "dead"
    (dead,) = fleet_json(capsys, "dead")[1]
    assert (dead["id"], dead["what"], dead["reason"]) == (sent["id"], "undelivered", "cancelled")
    assert fleet_json(capsys, "dead", "retry", sent["id"])[1]["state"] == "accepted"
    assert fleet_json(capsys, "dead", "drop", sent["id"])[0] in (1, 2)


def test_asking_again_with_the_same_id_makes_no_second_message(with_peer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("send", "mac2", "once", "--id", an_id(), "--wait", "none")
    assert fleet_json(capsys, *words) == fleet_json(capsys, *words)
    assert len(fleet_json(capsys, "outbox")[1]) == 1
    code, value = fleet_json(capsys, "send", "mac2", "something else", "--id", an_id(), "--wait", "none")
    assert (code, value["error"]["code"]) == (2, "conflict")


def test_explain_reads_the_plan_without_a_daemon(with_peer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = fleet_json(capsys, "explain", "mac2")
    assert code == 0 and value["verdict"] == "clear"
    assert {"gate", "verdict"} <= set(value["gates"][0])
    assert {"channel", "deadline_ms", "hedge_ms"} <= set(value["plan"][0])


def test_config_is_checked_before_it_is_written(initialised: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (initialised / "config.toml").read_bytes()
    code, value = fleet_json(capsys, "config", "set", "api.listen", "0.0.0.0:1")
    assert code == 1 and value["error"]["code"] == "settings"
    assert (initialised / "config.toml").read_bytes() == before
    code, out, err = fleet(capsys, "config", "set", "node.description", "the big one")
    assert (code, out) == (0, "") and "node.description" in err
    assert fleet_json(capsys, "config", "show", "node.description")[1][0]["value"] == "the big one"
    assert fleet_json(capsys, "config", "unset", "node.description")[0] == 0
    assert fleet_json(capsys, "config", "show", "node.nope")[0] == 1


def test_paths_and_version_need_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, paths = fleet_json(capsys, "paths")
    assert code == 0 and paths["socket"] == str(home / "run" / "fleet.sock")
    assert "version" in fleet_json(capsys, "version")[1]
    assert fleet(capsys, "completion", "bash")[0] == 0


def test_an_interrupt_is_exit_130(
    initialised: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fleet.faces.mail.time.sleep", interrupted)
    assert fleet(capsys, "inbox", "--follow")[0] == 130


# ── fleet_send, as its own process ───────────────────────────────────────────────────────────────────────────────────
def fleet_send(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "fleet" / "faces" / "send.py"), *words], input=stdin, capture_output=True,
        env=dict(os.environ), check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_fleet_send_hands_over_what_it_was_given(daemon: StandIn) -> None:
    code, out, err = fleet_send("mac1", 'say "hi" \\ ü \x01', "--type", "task", "--agent", "a", "--priority", "high")
    assert (code, err) == (0, "") and out.split()[1] == "accepted"
    (asked,) = daemon.mail.accepted
    assert (asked.to, asked.body, asked.type, asked.agent, asked.priority) == (
        "mac1", 'say "hi" \\ ü \x01', "task", "a", "high"
    )  # fmt: skip
    assert asked.id is not None and out.startswith(asked.id)


def test_fleet_send_reads_standard_input(daemon: StandIn) -> None:
    assert fleet_send("mac1", "-", stdin="line\nü".encode())[0] == 0
    assert daemon.mail.accepted[0].body == "line\nü"
    assert fleet_send("mac1", "-", stdin=b"\xff")[0] == 2


def test_fleet_send_waits_when_told_to(daemon: StandIn) -> None:
    code, out, _ = fleet_send("mac1", "x", "--wait", "received", "--json")
    assert code == 0 and json.loads(out)["state"] == "received"
    daemon.mail.becomes = "accepted"
    assert fleet_send("mac1", "x", "--wait", "received", "--timeout", "1")[0] == 7


@pytest.mark.parametrize(
    ("words", "code"),
    [(["mac9", "x"], 5), (["mac1", "x", "--type", "nope"], 2), (["mac1", "x" * 100, "y"], 2), (["--nope"], 2), ([], 2),
     (["--help"], 0), (["mac1", "\udcff"], 2), (["--all", "x"], 0), (["mac1", "x", "--cost", "tokens=1"], 0)],
    ids=ascii,
)  # fmt: skip
def test_fleet_send_has_the_exit_codes_of_send(daemon: StandIn, words: list[str], code: int) -> None:
    assert fleet_send(*words)[0] == code


def test_fleet_send_works_while_the_daemon_is_down(with_peer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = fleet_send("mac2", "-", "--json", stdin=b"kept")
    assert code == 0 and json.loads(out)["state"] == "accepted"
    assert [row["id"] for row in fleet_json(capsys, "outbox")[1]] == [json.loads(out)["id"]]
    assert fleet_send("mac2", "x", "--wait", "received")[0] == 7
    assert fleet_send("mac9", "x")[0] == 5


def test_fleet_send_on_a_machine_without_a_node_accepts_nothing(home: Path) -> None:
    code, out, err = fleet_send("mac2", "x")
    assert code != 0 and out == "" and "fleet init" in err
