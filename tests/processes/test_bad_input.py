"""Bad input through the real commands and doors: a clear error with its exit code, nothing accepted, the daemon alive."""

import base64
import http.client
import json
import secrets
from collections.abc import Iterator

import pytest

from fleet.errors import NoDaemon
from fleet.store.database import MIGRATIONS
from tests.support.nodes import Node, World, until

Pair = tuple[Node, Node]
MESSAGE = b'{"to":"a","body":"x"}'
LIMIT = 256 * 1024  # bytes of a body unless configured otherwise


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    """The shared pair; whatever a test does to it, honest mail still flows and nothing else was accepted."""
    a, b = shared
    before = a.rows("SELECT count(*) FROM outbox")[0][0]
    yield shared
    assert a.running and b.running
    assert a.rows("SELECT count(*) FROM outbox")[0][0] == before
    (id,) = a.send("b", secrets.token_hex(8))
    until(lambda: id in b.arrived(), "honest mail still flows")


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_to_an_unknown_peer_ends_with_5_and_names_it(pair: Pair) -> None:
    done = pair[0].fleet("send", "nobody", "x")
    assert done.code == 5
    assert "nobody" in done.err
    assert pair[0].fleet("send", "nobody", "x", "--json").error["code"] == "unknown_peer"
    assert pair[0].fleet_send("nobody", "x").code == 5


def test_a_body_over_the_limit_ends_with_2_and_the_error_names_the_limit(pair: Pair) -> None:
    body = b"x" * (LIMIT + 1)
    for done in (pair[0].fleet("send", "b", "-", stdin=body), pair[0].fleet_send("b", "-", stdin=body)):
        assert done.code == 2
        assert str(LIMIT) in done.err or "256 KiB" in done.err, done.err


def test_a_body_of_exactly_the_limit_is_delivered(shared: Pair) -> None:
    a, b = shared
    done = a.fleet("send", "b", "-", "--json", stdin=b"x" * LIMIT)
    assert done.code == 0, done
    assert b.arrived()[done.value["id"]] == "x" * LIMIT


def test_standard_input_far_over_the_limit_is_refused_without_being_read_whole(pair: Pair) -> None:
    done = pair[0].fleet("send", "b", "-", stdin=b"x" * (8 << 20))
    assert done.code == 2
    assert "limit" in done.err


def test_an_unknown_type_ends_with_2(pair: Pair) -> None:
    done = pair[0].fleet("send", "b", "x", "--type", "mesage")
    assert done.code == 2
    assert "mesage" in done.err
    assert pair[0].fleet_send("b", "x", "--type", "mesage").code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--priority", "loud"), ("--ttl", "soon"), ("--ttl", "-5"), ("--channel", "pigeon"), ("--re", "not-an-id"),
        ("--id", "short"), ("--timeout", "never"), ("--wait", "forever"), ("--cost", "tokens=many"), ("--frobnicate",),
    ],
)  # fmt: skip
def test_an_option_that_means_nothing_ends_with_2(pair: Pair, words: tuple[str, ...]) -> None:
    assert pair[0].fleet("send", "b", "x", *words).code == 2
    assert pair[0].fleet_send("b", "x", *words).code == 2


def test_text_that_is_not_utf_8_ends_with_2(pair: Pair) -> None:
    assert pair[0].fleet("send", "b", "-", stdin=b"\xff\xfe").code == 2
    assert pair[0].fleet_send("b", "-", stdin=b"\xff\xfe").code == 2


def test_an_id_that_nobody_knows_ends_with_1(pair: Pair) -> None:
    for words in (("trace", "0" * 32), ("cancel", "0" * 32), ("done", "0" * 32), ("dead", "retry", "0" * 32)):
        assert pair[0].fleet(*words).code == 1, words


def test_the_same_bad_input_gets_the_same_codes_while_the_daemon_is_down(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    assert a.fleet("send", "nobody", "x").code == 5
    assert a.fleet_send("nobody", "x").code == 5
    assert a.fleet("send", "a", "-", stdin=b"x" * (LIMIT + 1)).code == 2
    assert a.fleet("send", "a", "x", "--type", "mesage").code == 2
    assert a.fleet("status").code == 3
    assert a.fleet("ping", "b").code == 3
    assert a.fleet("invite").code == 3
    assert a.fleet("inbox", "--json").value == []


# ── the local API ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bad_line_gets_its_error_and_the_other_lines_count(shared: Pair) -> None:
    a, b = shared
    good = [json.dumps({"to": "b", "body": f"line {n}"}).encode() for n in range(3)]
    bad = [
        b"{", b"[]", b"null", b"1e999", b'"to"', b'{"to":"b"', b'{"to":"b","body":1}', b'{"to":"b","body":"x","to":"b"}}',
        b'{"to":"b","body":"\xff"}', b'{"to":"nobody","body":"x"}', b'{"to":"b","type":"mesage","body":"x"}',
        b"[" * 100_000, b'{"to":"b","body":"' + b"x" * (LIMIT + 1) + b'"}', b"", b'{"to":"b","bdy":"x"}',
        b'{"to":"b","priority":"loud","body":"x"}', b'{"to":"b","ttl":' + b"9" * 5000 + b"}",
    ]  # fmt: skip
    lines = [good[0], *bad[:8], good[1], *bad[8:], good[2]]
    answer = a.post("/message", b"\n".join(lines) + b"\n", "application/x-ndjson")
    assert answer.status == 200
    answers = [json.loads(line) for line in answer.body.splitlines()]
    assert len(answers) == len(lines)
    for line, said in zip(lines, answers, strict=True):
        assert ("error" in said) == (line not in good), (line[:60], said)
        assert "error" not in said or said["error"]["message"]
    ids = [said["id"] for said in answers if "id" in said]
    until(lambda: set(ids) <= set(b.arrived()), "the good lines arrive")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\x00", b"[" * 100_000, b'{"to":"b"' + b" " * 100, b"9" * 5000])
def test_malformed_json_is_a_usage_error(pair: Pair, body: bytes) -> None:
    answer = pair[0].post("/message", body)
    assert answer.status == 400
    assert answer.exit_code in (0, 2)
    assert json.loads(answer.body)["error"]["code"] == "usage"


def test_the_error_of_an_oversize_message_names_the_limit_and_its_code(pair: Pair) -> None:
    answer = pair[0].post("/message", json.dumps({"to": "b", "body": "ä" * LIMIT}).encode())
    said = json.loads(answer.body)["error"]
    assert said["code"] == "too_large"
    assert str(LIMIT) in said["message"] or "256 KiB" in said["message"]


class Loopback:
    """A daemon with its TCP door, as the configuration has it by default but on a port of its own."""

    def __init__(self, world: World) -> None:
        with http.client.socket.create_server(("127.0.0.1", 0)) as probe:  # type: ignore[attr-defined]
            self.port = probe.getsockname()[1]
        self.node = world.found("a", nats=False, FLEET_API=f"127.0.0.1:{self.port}")
        self.token = (self.node.home / "run" / "token").read_text().strip()

    def ask(
        self, method: str = "POST", target: str = "/message", body: bytes = b'{"to":"a","body":"x"}', **headers: str
    ) -> int:
        given = {
            "Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json", "Authorization": f"Bearer {self.token}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            line.putrequest(method, target, skip_host=True)
            for name, value in given.items():
                if value:
                    line.putheader(name, value)
            line.putheader("Content-Length", str(len(body)))
            line.endheaders(body)
            return line.getresponse().status
        finally:
            line.close()


def test_the_door_on_loopback_refuses_strangers_and_web_pages(world: World) -> None:
    door = Loopback(world)
    refused = {
        "no token": door.ask(Authorization=""),
        "wrong token": door.ask(Authorization="Bearer " + "x" * 43),
        "half a token": door.ask(Authorization=f"Bearer {door.token[:-1]}"),
        "basic": door.ask(Authorization="Basic " + base64.b64encode(f"x:{door.token}".encode()).decode()),
        "foreign host": door.ask(Host="evil.test"),
        "foreign host with port": door.ask(Host=f"evil.test:{door.port}"),
        "rebound": door.ask(Host=f"127.0.0.1.evil.test:{door.port}"),
        "no host": door.ask(Host=""),
        "an origin": door.ask(Origin="http://evil.test"),
        "our own origin": door.ask(Origin=f"http://127.0.0.1:{door.port}"),
        "null origin": door.ask(Origin="null"),
        "text": door.ask(Content_Type="text/plain"),
        "form": door.ask(Content_Type="application/x-www-form-urlencoded"),
        "no type": door.ask(Content_Type=""),
        "status without token": door.ask("GET", "/status", b"", Authorization=""),
        "put": door.ask("PUT"),
        "options": door.ask("OPTIONS", "/message", b"", Origin="http://evil.test"),
        "elsewhere": door.ask("GET", "/../../etc/passwd", b""),
    }
    assert {name: status for name, status in refused.items() if not 400 <= status < 500} == {}
    assert door.node.arrived() == {}
    assert door.ask() == 200
    assert door.ask("GET", "/health", b"", Authorization="") == 200
    assert list(door.node.arrived().values()) == ["x"]


def test_a_port_that_is_taken_is_a_warning_and_the_socket_serves(world: World) -> None:
    with http.client.socket.create_server(("127.0.0.1", 0)) as taken:  # type: ignore[attr-defined]
        a = world.found("a", nats=False, FLEET_API=f"127.0.0.1:{taken.getsockname()[1]}")
        assert a.ok("status")["node"] == "a"
    assert "serves its socket only" in a.log


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_corrupt_configuration_stops_the_start_and_every_mistake_is_named_at_once(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    config = a.home / "config.toml"
    sound = config.read_bytes()
    config.write_text(
        '[node]\nid = "Not An Id"\nbnid = "127.0.0.1:1"\n[content]\nlimit = "huge"\n[nats]\nport = 99999\n[chanel.git]\n'
    )
    for done in (a.fleet("up", "--detach"), a.run(*_fleetd())):
        assert done.code == 1
        for word in ("Not An Id", "bnid", "bind", "huge", "99999", "chanel", "config.toml"):
            assert word in done.err, f"{word} is missing in {done.err}"
    assert a.fleet("up", "--detach", "--json").error["code"] == "settings"
    config.write_bytes(b'[node\nid = "a"\n')
    assert "config.toml" in a.fleet("up", "--detach").err
    config.write_bytes(sound)
    a.start()


def test_a_mistake_in_the_configuration_cannot_be_set_by_command(pair: Pair) -> None:
    before = (pair[0].home / "config.toml").read_bytes()
    for key, value in (("nats.port", "99999"), ("nats.prot", "4222"), ("content.limit", "huge"), ("order.channels", "x,x")):
        done = pair[0].fleet("config", "set", key, value)
        assert done.code in (1, 2), (key, done)
        assert done.err
    assert (pair[0].home / "config.toml").read_bytes() == before


def test_a_database_of_a_newer_version_is_left_alone(world: World) -> None:
    a = world.found("a", nats=False)
    a.ok("send", "a", "kept")
    a.terminate()
    _sql(a, "PRAGMA user_version = 99")
    before = a.database.read_bytes()
    for words in (("up", "--detach"), ("send", "a", "x"), ("inbox",)):
        done = a.fleet(*words)
        assert done.code == 1, words
        assert "99" in done.err
    assert a.fleet("send", "a", "x", "--json").error["code"] == "newer_store"
    assert a.run(*_fleetd()).code == 1
    assert a.database.read_bytes() == before
    _sql(a, f"PRAGMA user_version = {len(MIGRATIONS)}")
    a.start()
    assert list(a.arrived().values()) == ["kept"]


def test_a_file_that_is_no_database_is_an_error_and_stays_as_it_is(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    for path in a.home.glob("fleet.db*"):
        path.unlink()
    a.database.write_bytes(b"these are my tax returns" * 1000)
    assert a.fleet("up", "--detach").code == 1
    assert a.fleet("send", "a", "x").code == 1
    assert a.database.read_bytes() == b"these are my tax returns" * 1000


@pytest.mark.parametrize("name", ["sign.key", "open.key", "nats.key", "fleet.key", "root.key", "identity.json"])
def test_a_key_file_that_others_can_read_stops_the_start_and_the_remedy_helps(world: World, name: str) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    path = a.home / "keys" / name
    path.chmod(0o644)
    done = a.fleet("up", "--detach")
    if name == "identity.json":  # public words
        assert done.code in (0, 1)
    else:
        assert done.code == 1
        assert f"chmod 600 {path}" in done.err
        assert a.run(*_fleetd()).code == 1
    path.chmod(0o600)
    assert a.fleet("up", "--detach").code == 0
    assert a.fleet("down").code == 0


def test_a_key_directory_that_others_can_enter_is_closed_or_refused(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    keys = a.home / "keys"
    keys.chmod(0o755)
    done = a.fleet("up", "--detach")
    assert done.code == 1 or keys.stat().st_mode & 0o077 == 0
    a.fleet("down")


def test_a_missing_key_is_an_error_that_names_it(world: World) -> None:
    a = world.found("a", nats=False)
    a.terminate()
    (a.home / "keys" / "open.key").unlink()
    done = a.fleet("up", "--detach")
    assert done.code == 1
    assert "open.key" in done.err
    assert "Traceback" not in done.err + a.run(*_fleetd()).err


def test_a_home_whose_socket_path_is_too_long_is_an_error_with_its_remedy(world: World) -> None:
    long = world.node("a")
    long.environ["FLEET_HOME"] = str(world.home / ("x" * 120))
    for words in (("init",), ("status",), ("send", "b", "x"), ("up", "--detach")):
        done = long.fleet(*words)
        assert done.code in (1, 2), words
        assert "FLEET_HOME" in done.err
        assert "Traceback" not in done.err
    assert long.fleet_send("b", "x").code in (1, 2)
    assert not (world.home / ("x" * 120)).exists()


def test_a_machine_without_a_node_says_what_to_do(world: World) -> None:
    a = world.node("a")
    for words in (("status",), ("send", "b", "x"), ("inbox",), ("up", "--detach"), ("invite",)):
        done = a.fleet(*words)
        assert done.code in (1, 3), (words, done)
        assert "fleet init" in done.err, (words, done)
        assert "Traceback" not in done.err
    with pytest.raises(NoDaemon):
        a.ask("here")


def _fleetd() -> tuple[str, ...]:
    from tests.support.nodes import FLEETD

    return FLEETD


def _sql(node: Node, statement: str) -> None:
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(node.database)) as db:
        db.execute(statement)
        db.commit()
