import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from fleet.faces import door
from fleet.faces.door import bind_tcp, bind_unix, peer_user
from fleet.faces.http import new_token
from tests.faces.standin import TOKEN, StandIn, served

pytestmark = pytest.mark.anyio
MESSAGE = b'{"to":"mac1","body":"hi"}'


class Caller:
    """One connection of a test."""

    def __init__(self, read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        self.read, self.write = read, write

    @classmethod
    async def unix(cls, path: Path) -> "Caller":
        return cls(*await asyncio.open_unix_connection(str(path)))

    @classmethod
    async def tcp(cls, port: int) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        named = {"host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            named = {"content-type": "application/json", "content-length": str(len(body))} | named
        rows = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value != "-")
        self.write.write(f"{method} {target} HTTP/1.1\r\n{rows}\r\n".encode("latin-1") + body)
        return await self.answer()

    async def answer(self) -> tuple[int, Any]:
        head = (await self.read.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = int(head.lower().partition("content-length:")[2].split()[0])
        body = await self.read.readexactly(length)
        self.head = head
        is_json = "application/json" in head
        return int(head.split()[1]), json.loads(body) if is_json else body.decode()

    async def ended(self) -> bool:
        return await self.read.read() == b""


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────────────────────────
HOSTS = [
    "evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "evil.test:8855", "169.254.169.254", "0.0.0.0", "[::]",
    "127.0.0.2", "2130706433", "localhost:8855:1", "localhost\t", "LOCALHOST.", "user@localhost", "127.0.0.1@evil", "",
    "localhost, localhost", "xn--lcalhost-n4a", "127.0.0.1:", "[::1", "*",
]  # fmt: skip


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "localhost\t"])
async def test_over_tcp_a_foreign_host_is_refused(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as (node, _, port):
        status, answer = await (await Caller.tcp(port)).ask(
            "POST", "/message", MESSAGE, host=host, authorization=f"Bearer {TOKEN}"
        )
        assert status == 403 and answer["error"]["code"] == "forbidden"
        assert node.mail.accepted == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:8855", "127.0.0.1:1", "LocalHost"])
async def test_over_tcp_this_machine_is_served(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as (_, _, port):
        status, _ = await (await Caller.tcp(port)).ask("GET", "/status", host=host, authorization=f"Bearer {TOKEN}")
        assert status == 200


@pytest.mark.parametrize("host", ["evil.test", "a.b:80", "169.254.169.254"])
async def test_over_the_socket_a_domain_is_refused_as_well(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as (_, path, _):
        assert (await (await Caller.unix(path)).ask("GET", "/status", host=host))[0] == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.test", "null", "http://localhost", "http://127.0.0.1:8855", "", "file://", "chrome-extension://a"],
)
@pytest.mark.parametrize("target", ["/health", "/message", "/inbox"])
async def test_any_origin_is_refused_on_every_way_in(tmp_path: Path, origin: str, target: str) -> None:
    async with served(tmp_path) as (_, path, port):
        for caller in (await Caller.unix(path), await Caller.tcp(port)):
            status, _ = await caller.ask("GET", target, origin=origin, authorization=f"Bearer {TOKEN}")
            assert status == 403


TOKENS = [
    "-", "", "Bearer", "Bearer ", f"bearer {TOKEN}", f"Bearer  {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
    f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}, Bearer {TOKEN}", "Bearer ../token", f"Bearer {TOKEN.upper()}", "Bearer \xff",
]  # fmt: skip


@pytest.mark.parametrize("authorization", TOKENS)
async def test_over_tcp_nothing_but_the_token_opens(tmp_path: Path, authorization: str) -> None:
    async with served(tmp_path) as (node, _, port):
        status, answer = await (await Caller.tcp(port)).ask("POST", "/message", MESSAGE, authorization=authorization)
        assert status == 401 and TOKEN not in json.dumps(answer)
        assert node.mail.accepted == []


@pytest.mark.parametrize(
    "target", ["/status", "/inbox", "/metrics", "/events", "/health?x", "/health/", "//health", "/stats"]
)
async def test_without_a_token_only_health_is_served(tmp_path: Path, target: str) -> None:
    async with served(tmp_path) as (_, _, port):
        assert (await (await Caller.tcp(port)).ask("GET", target))[0] == 401
        assert await (await Caller.tcp(port)).ask("GET", "/health") == (200, {"ok": True})


KINDS = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "-", "", "application/jsonx", "text/json",
    "application/json, text/plain", "text/plain; application/json",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["/message", "/inbox/shown", "/verb/stop"])
async def test_another_content_type_than_json_is_refused(tmp_path: Path, kind: str, target: str) -> None:
    async with served(tmp_path) as (node, path, _):
        status, _ = await (await Caller.unix(path)).ask("POST", target, MESSAGE, content_type=kind)
        assert status == 415
        assert node.mail.accepted == [] and not node.stopped


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
async def test_json_is_json_however_it_is_written(tmp_path: Path, kind: str) -> None:
    async with served(tmp_path) as (_, path, _):
        assert (await (await Caller.unix(path)).ask("POST", "/message", MESSAGE, content_type=kind))[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE", "PROPFIND"])
async def test_other_methods_are_refused(tmp_path: Path, method: str) -> None:
    async with served(tmp_path) as (_, path, _):
        caller = await Caller.unix(path)
        caller.write.write(f"{method} /message HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await caller.read.readline()).split()[1] in (b"405", b"400")


async def test_a_get_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        for target in ("/message", "/inbox/shown", "/verb/stop", "/verb/join"):
            assert (await (await Caller.unix(path)).ask("GET", target))[0] == 405
        assert not node.stopped


@pytest.mark.parametrize("target", ["/", "/nope", "/verb/nope", "/../etc/passwd", "/message/x", "/%2e%2e/run/token"])
async def test_what_is_not_there_is_not_found(tmp_path: Path, target: str) -> None:
    async with served(tmp_path) as (_, path, _):
        for method in ("GET", "POST"):
            status, answer = await (await Caller.unix(path)).ask(method, target)
            assert (status, answer["error"]["code"]) == (404, "not_found")


def test_every_boot_has_a_token_of_its_own() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100 and all(len(token) >= 43 for token in tokens)


# ── the sockets ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_socket_is_private_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    chmod = Path.chmod
    monkeypatch.setattr(Path, "chmod", lambda self, mode: seen.append(mode) or chmod(self, mode))
    before = os.umask(0)
    try:
        sock = bind_unix(tmp_path / "s")
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert seen == []
    sock.close()


def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    bind_unix(tmp_path / "s").close()
    bind_unix(tmp_path / "s").close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_the_api_never_listens_for_other_machines(host: str) -> None:
    from fleet.errors import UsageError

    with pytest.raises(UsageError, match="this machine only"):
        bind_tcp(host, 0)


def test_the_kernel_names_the_user_at_the_other_end() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    assert peer_user(here) == os.geteuid()
    here.close()
    there.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_gets_no_answer_even_where_the_file_lets_him_in(tmp_path: Path) -> None:
    import subprocess
    import sys

    for directory in (tmp_path, *tmp_path.parents):
        if directory != Path("/tmp") and directory != Path("/"):
            directory.chmod(0o755)
    async with served(tmp_path) as (_, path, _):
        path.chmod(0o777)
        code = (
            "import os,socket,sys; os.setgid(65534); os.setuid(65534)\n"
            "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "try:\n s.sendall(b'GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(len(s.recv(100)))\n"
            "except OSError: print(0)"
        )
        asked = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        assert asked.stdout.strip() == "0"
        assert (await (await Caller.unix(path)).ask("GET", "/health"))[0] == 200


async def test_one_caller_too_many_is_told_to_come_later(tmp_path: Path) -> None:
    async with served(tmp_path, connections=3) as (_, path, _):
        inside = [await Caller.unix(path) for _ in range(3)]
        for caller in inside:
            await caller.ask("GET", "/health")
        one_more = await Caller.unix(path)
        status, answer = await one_more.answer()
        assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (503, "busy", True)
        assert "Retry-After: 1" in one_more.head
        assert await one_more.ended()
        inside[0].write.close()
        await inside[0].write.wait_closed()
        while True:
            status, _ = await (await Caller.unix(path)).ask("GET", "/health")
            if status == 200:
                break


async def test_a_request_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.policy, "REQUEST_DEADLINE", 0.1)
    async with served(tmp_path) as (node, path, _):
        slow = await Caller.unix(path)
        slow.write.write(
            b"POST /message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"
        )
        status, _ = await slow.answer()
        assert status == 408 and await slow.ended()
        assert node.mail.accepted == []


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IDLE", 0.05)
    async with served(tmp_path) as (_, path, _):
        assert await (await Caller.unix(path)).ended()


async def test_a_refusal_is_seen_although_the_body_was_still_coming(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path, port):
        for caller in (await Caller.unix(path), await Caller.tcp(port)):
            caller.write.write(b"POST /message HTTP/1.1\r\nHost: a.b\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 300_000)
            assert (await caller.answer())[0] == 403


async def test_requests_behind_each_other_are_answered_in_order(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path, _):
        caller = await Caller.unix(path)
        one = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
        caller.write.write(b"".join(one % target for target in (b"/health", b"/sessions", b"/nope") * 30))
        answers = [await caller.answer() for _ in range(90)]
        assert [status for status, _ in answers] == [200, 200, 404] * 30
        assert [value for _, value in answers[:2]] == [{"ok": True}, []]


async def test_the_last_request_ends_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path, _):
        caller = await Caller.unix(path)
        assert (await caller.ask("GET", "/health", connection="close"))[0] == 200
        assert await caller.ended()


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_message_is_accepted_and_its_exit_code_travels_along(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        caller = await Caller.unix(path)
        status, answer = await caller.ask("POST", "/message", MESSAGE)
        assert status == 200 and answer["state"] == "accepted" and answer["to"] == "mac1"
        assert "Fleet-Exit: 0" in caller.head
        assert [one.body for one in node.mail.accepted] == ["hi"]


async def test_the_described_form_is_accepted_too(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        body = b'{"type":"task","to":"mac2","payload":{"body":"build"}}'
        assert (await (await Caller.unix(path)).ask("POST", "/message", body))[0] == 200
        assert node.mail.accepted[0].payload == {"body": "build"}


async def test_waiting_is_one_request(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        caller = await Caller.unix(path)
        status, answer = await caller.ask("POST", "/message?wait=received&timeout=5", MESSAGE)
        assert status == 200 and answer["state"] == "received" and answer["attempts"] == 1
        assert answer["elapsed_ms"] >= 0 and "walked" not in answer
        node.mail.becomes, node.mail.walked = "accepted", True
        await caller.ask("POST", "/message?wait=received&timeout=5", MESSAGE)
        assert "Fleet-Exit: 6" in caller.head


@pytest.mark.parametrize("query", ["wait=soon", "wait=received&timeout=-1", "wait=received&timeout=x", "wait=none&more=1"])
async def test_a_wish_nobody_knows_accepts_nothing(tmp_path: Path, query: str) -> None:
    async with served(tmp_path) as (node, path, _):
        status, answer = await (await Caller.unix(path)).ask("POST", f"/message?{query}", MESSAGE)
        assert (status, answer["error"]["code"]) == (400, "usage")
        assert node.mail.accepted == []


async def test_every_line_gets_its_answer_in_its_place(tmp_path: Path) -> None:
    lines = [MESSAGE, b"{bad", b'{"to":"nobody"}', b"", b'{"to":"mac2","body":{"a":1}}', b'{"to":"mac1","typ":"x"}', b"[]"]
    async with served(tmp_path) as (node, path, _):
        status, text = await (await Caller.unix(path)).ask(
            "POST", "/message", b"\n".join(lines) + b"\n", content_type="application/x-ndjson"
        )
        answers = [json.loads(line) for line in text.splitlines()]
        codes = [answer.get("state") or answer["error"]["code"] for answer in answers]
        assert status == 200
        assert codes == ["accepted", "usage", "unknown_peer", "usage", "accepted", "usage", "usage"]
        assert node.mail.submits == 1


async def test_good_lines_need_no_second_reading_and_one_submit(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        _, text = await (await Caller.unix(path)).ask(
            "POST", "/message", (MESSAGE + b"\r\n") * 64, content_type="application/x-ndjson"
        )
        assert len(text.splitlines()) == 64 and node.mail.submits == 1


async def test_too_many_lines_accept_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        status, _ = await (await Caller.unix(path)).ask(
            "POST", "/message", (MESSAGE + b"\n") * 4097, content_type="application/x-ndjson"
        )
        assert status == 400 and node.mail.accepted == []


async def test_a_message_to_everybody_is_an_array(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, path, _):
        _, answers = await (await Caller.unix(path)).ask("POST", "/message?wait=received", b'{"to":"*","body":"all"}')
        assert [(answer["to"], answer["state"]) for answer in answers] == [("mac1", "received"), ("mac2", "received")]


BOMBS = [
    b"[" * 100_000, b'{"to":"mac1","body":' + b'{"a":' * 50_000, b'{"to":"mac1","body":"' + b"x" * 300_000 + b'"}',
    b'{"to":"mac1","ttl":' + b"9" * 5000 + b"}", b'{"to":"mac1","body":{"n":NaN}}', b'{"to":"mac1","body":"\xff\xfe"}',
    b'{"to":"mac1","body":"\\ud800"}', b'{"to":"../../etc","body":"x"}', b'{"to":"mac1\\u0000","body":"x"}',
    b'{"to":"mac1","body":{"n":9007199254740993}}', b"", b"null", b"{}", b'{"to":1}', b'{"to":"mac1","priority":"x"}',
    b'{"to":"mac1","id":"short"}', b'{"to":"mac1","cost":{"usd":-1}}', b'{"to":"mac1","cost":{"tokens":1.5}}',
    b'{"to":"mac1","ttl":"soon"}', b'{"to":"mac1","re":"x"}', b'{"to":"mac1","type":"nope"}',
    b'{"to":"mac1","body":' + b"[" * 40 + b"]" * 40 + b"}", b'{"to":"mac1","session":"' + b"s" * 300 + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("body", BOMBS, ids=lambda body: ascii(body[:40]))
async def test_a_hostile_body_is_an_error_and_the_daemon_lives(tmp_path: Path, body: bytes) -> None:
    async with served(tmp_path) as (node, path, _):
        caller = await Caller.unix(path)
        status, answer = await caller.ask("POST", "/message", body)
        assert 400 <= status < 500 and answer["error"]["message"]
        assert node.mail.accepted == []
        assert (await caller.ask("GET", "/health"))[0] == 200


async def test_a_bug_in_a_handler_is_a_500_that_says_nothing_of_it_and_the_connection_goes_on(tmp_path: Path) -> None:
    node, told = StandIn(), []
    node.log = lambda event, **fields: told.append((event, fields))  # type: ignore[method-assign]
    node.sight.status = lambda: {}["a secret word"]  # type: ignore[method-assign]
    async with served(tmp_path, node) as (_, path, _):
        caller = await Caller.unix(path)
        status, body = await caller.ask("GET", "/status")
        assert status == 500 and body["error"]["code"] == "bug" and "secret" not in str(body)
        assert [event for event, _ in told] == ["bug"] and told[0][1]["error"] == "KeyError"
        assert told[0][1]["where"].startswith("test_http.py:") and "secret" not in str(told)
        assert (await caller.ask("GET", "/health"))[0] == 200


# ── views and events ─────────────────────────────────────────────────────────────────────────────────────────────────
async def test_events_come_as_they_happen_and_end_with_the_node(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        caller = await Caller.unix(path)
        caller.write.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"text/event-stream" in await caller.read.readuntil(b"\r\n\r\n")
        await caller.read.readuntil(b": fleet\n\n")
        while not node.exchange.events._listeners:
            await asyncio.sleep(0)
        node.exchange.events.tell("mail", sender="mac1", count=2)
        line = await caller.read.readuntil(b"\n\n")
        assert json.loads(line.removeprefix(b"data: ")) == {"event": "mail", "sender": "mac1", "count": 2}
        node.exchange.events.close()
        assert await caller.ended()


async def test_a_listener_that_hangs_up_is_forgotten(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, path, _):
        caller = await Caller.unix(path)
        caller.write.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await caller.read.readuntil(b": fleet\n\n")
        while not node.exchange.events._listeners:
            await asyncio.sleep(0)
        caller.write.close()
        while node.exchange.events._listeners:
            await asyncio.sleep(0)
