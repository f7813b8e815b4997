"""Real daemons, real sockets: an impostor on the parcel door's address, a revoked member cut off, secrets that stay home."""

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import nats
import nats.errors
import pytest

from fleet.core import sealing
from fleet.core.envelope import make_id
from fleet.core.parcel import Header, ParcelType
from fleet.core.peer import Certificate, Manifest, read_frame
from fleet.core.receipt import Ping
from fleet.daemon.enrolment import read_link, write_link
from fleet.daemon.tls import door_certificate
from fleet.engine.identity import Identity, system_item
from fleet.store.keys import KeyRing
from tests.support.nodes import Node, World, until


class Impostor:
    """A TLS server with a certificate of its own on somebody's port: it keeps whatever it is told."""

    def __init__(self, directory: Path, port: int) -> None:
        (directory / "impostor").mkdir(mode=0o700)
        context, _ = door_certificate(directory / "impostor", "impostor")
        self.heard = b""
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self._context = context
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            conn.settimeout(2)
            with contextlib.suppress(OSError), self._context.wrap_socket(conn, server_side=True) as line:
                while data := line.recv(1 << 16):
                    self.heard += data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@contextlib.contextmanager
def impostor(directory: Path, port: int) -> Iterator[Impostor]:
    one = Impostor(directory, port)
    try:
        yield one
    finally:
        one.close()


def _port(node: Node) -> int:
    return int(str(node.ask("here")["bind"]).rpartition(":")[2])


def test_an_impostor_on_the_door_s_address_gets_no_message_and_the_road_stays_shut_until_an_operator_says_so(
    world: World,
) -> None:
    a = world.found("a", nats=False)
    b = world.join("b", a)
    assert a.ok("send", "b", "hello")["state"] == "received"
    port = _port(b)
    b.terminate()
    with impostor(world.home, port) as thief:
        (waiting,) = a.send("b", "for b only")
        until(lambda: thief.visits and a.link("b", "http") == "broken", "the fault was noticed")
        until(lambda: any("pinned" in str(link["reason"]) for link in _links(a)), "the fault is named")
        assert thief.heard == b"", "not a byte behind the handshake"
        assert a.status_of(waiting) < 4
    b.start()
    assert _port(b) == port
    visits_end = time.monotonic() + 3
    until(lambda: time.monotonic() > visits_end, "longer than a ping and its hold-off")
    assert a.link("b", "http") == "broken", "it does not heal by itself"
    a.ok("reset", "b")
    until(lambda: a.status_of(waiting) == 4, "an operator said it is mended")
    assert b.arrived()[waiting] == "for b only"


def _links(node: Node) -> list[dict[str, object]]:
    return list(node.ask("peer_show", peer="b")["channels"].values())


def test_a_joiner_shows_an_impostor_nothing_of_its_invitation(world: World) -> None:
    a = world.found("a", nats=False)
    link = world.invite(a)
    port = _port(a)
    a.terminate()
    with impostor(world.home, port) as thief:
        said = world.node("b").fleet("join", link, "--node", "b", "--json")
        assert said.code == 4
        assert thief.visits
        assert thief.heard == b""
        assert "pinned" in said.error["message"], "the person who joins is told that it is somebody else"
    a.start()
    assert world.node("c").fleet("join", link, "--node", "c").code == 0, "the invitation is as good as before"


def test_a_link_with_another_pin_or_none_for_tls_is_not_followed(world: World) -> None:
    a = world.found("a", nats=False)
    link = read_link(world.invite(a))
    for pin in ("0" * 64, ""):
        changed = write_link(msgspec.structs.replace(link, pin=pin))
        assert world.node("b").fleet("join", changed, "--node", "b").code == 4
        assert not (world.home / "b" / "keys" / "identity.json").exists()
    assert "join refused" not in a.log, "the door was never asked"


def test_plain_http_is_spoken_only_where_the_operator_says_so(world: World) -> None:
    a = world.node("a")
    a.ok("init", "--node", "a")
    a.ok("config", "set", "nats.serve", "false")
    a.start()
    assert urlsplit(read_link(world.invite(a)).url).scheme == "https"
    line = http.client.HTTPConnection("127.0.0.1", _port(a), timeout=10)
    with pytest.raises((OSError, http.client.HTTPException)):
        line.request("POST", "/parcel", b"x")
        line.getresponse()
    a.terminate()
    a.ok("config", "set", "channel.http.tls", "false")
    a.start()
    link = world.invite(a)
    assert urlsplit(read_link(link).url).scheme == "http"
    b = world.node("b")
    b.ok("join", link, "--node", "b")
    b.start()
    assert b.ok("send", "a", "over plain http")["state"] == "received"


# --- wrong signatures at real doors -----------------------------------------------------------------------------------


def _identity(node: Node) -> Identity:
    """Who a node is, read from its files by a thief."""
    ring = KeyRing.load(node.home / "keys")
    rows = dict(node.rows("SELECT kind, frame FROM frame WHERE node = ?", node.name))
    return Identity(
        ring.node, ring.fleet, ring.signing, tuple(ring.opening), tuple(ring.fleet_keys), ring.root_public,
        rows["certificate"], rows["manifest"], ring.root,
    )  # fmt: skip


def _parcel(me: Identity, other: Identity) -> bytes:
    now = int(time.time() * 1000)
    header = Header(
        v=1, pid=make_id(now, b"0123456789"), fleet=me.fleet, sender=me.node, to=other.node, ts=now, exp=now + 60_000,
        hops=8, enc="x25519", ekid=other.opening[0].ekid, inc=now, low=1, n=1,
    )  # fmt: skip
    item = system_item(Ping(nonce="5" * 32))
    return sealing.seal(ParcelType.PING, me.signing, other.opening[0].public, header, [item], bytes(range(32)))


def _post(node: Node, data: bytes, path: str = "/parcel") -> tuple[int, bytes]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = http.client.HTTPSConnection("127.0.0.1", _port(node), timeout=10, context=context)
    try:
        line.request("POST", path, data)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


async def _ask_broker(node: Node, ring: KeyRing, to: str, data: bytes) -> bytes | None:
    """Ask over the real nats-server as a member that knows its nkey."""
    port = int((node.home / "run/nats/port").read_text().split()[1])
    line = await nats.connect(
        f"nats://127.0.0.1:{port}", nkeys_seed_str=ring.nats_seed.reveal().decode(), allow_reconnect=False,
        inbox_prefix=f"_INBOX.{ring.node}".encode(), connect_timeout=5,
    )  # fmt: skip
    try:
        answer = await line.request(f"fleet.{ring.fleet}.{to}.in", data, timeout=0.5)
        return answer.data
    except TimeoutError:
        return None
    finally:
        await line.close()


def test_signatures_of_every_wrong_length_get_400_at_the_door_and_silence_from_the_broker(world: World) -> None:
    a, b = world.pair()
    me, other = _identity(b), _identity(a)
    honest = _parcel(me, other)
    key = other.fleet_keys[0]
    status, answer = _post(a, sealing.frame(key, honest))
    assert (status, answer[:4]) == (200, b"FLH1"), "the true one is answered"
    for length in [*range(0, 64, 3), 63, *range(65, 130, 8)]:
        wrong = honest[:-64] + (honest[-64:] * 3)[:length]
        assert _post(a, sealing.frame(key, wrong)) == (400, b""), length
    ring = KeyRing.load(b.home / "keys")
    assert asyncio.run(_ask_broker(a, ring, "a", sealing.frame(key, honest))) is not None
    for length in (0, 32, 63, 65, 128):
        wrong = honest[:-64] + (honest[-64:] * 3)[:length]
        assert asyncio.run(_ask_broker(a, ring, "a", sealing.frame(key, wrong))) is None
    assert a.alive()
    assert a.rows("SELECT count(*) FROM inbox") == [(0,)]
    assert b.ok("send", "a", "still honest")["state"] == "received"


# --- revocation -------------------------------------------------------------------------------------------------------


def test_the_revoked_is_cut_off_by_the_broker_others_are_not_disturbed_and_it_comes_back_when_it_is_invited(
    world: World,
) -> None:
    a = world.found("a")
    b, c = world.join("b", a), world.join("c", a)
    for node in (b, c):
        until(lambda node=node: node.ok("send", "a", "hello")["channel"] == "nats", "NATS stands")
    stolen = KeyRing.load(c.home / "keys")
    broker = a.broker_pid()
    a.ok("revoke", "c", "--yes")
    began = time.monotonic()
    until(lambda: _barred(a, stolen), "the broker lets the stolen nkey in no more", 10)
    assert time.monotonic() - began < 10
    assert a.broker_pid() == broker
    assert b.ok("send", "a", "undisturbed")["channel"] == "nats"
    assert a.fleet("send", "c", "to the revoked").code in (4, 5)
    assert c.fleet("send", "a", "from the revoked", "--timeout", "2").code in (4, 6, 7)
    until(lambda: b.fleet("send", "c", "to the revoked", "--wait", "none").code in (4, 5), "b heard of it")
    link = world.invite(a)
    assert c.ok("join", link)["node"] == "c"
    until(lambda: c.alive() and "a" in [peer["node"] for peer in c.ok("peers")], "c started anew")
    until(lambda: a.fleet("send", "c", "welcome back").code == 0, "the way to c")
    until(lambda: c.fleet("send", "b", "and to b").code == 0, "the way to b")
    assert KeyRing.load(c.home / "keys").signing.public != stolen.signing.public, "with another key than the stolen one"
    assert "from the revoked" not in b.arrived().values()


def _barred(a: Node, ring: KeyRing) -> bool:
    async def knock() -> bool:
        try:
            await _ask_broker(a, ring, "a", b"x")
        except (nats.errors.Error, OSError):
            return True
        return False

    return asyncio.run(knock())


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_key_token_or_body_stands_in_an_argument_an_environment_or_a_log(world: World) -> None:
    a = world.found("a")
    link = world.invite(a)
    b = world.node("b")
    b.ok("join", "-", "--node", "b", stdin=link.encode())
    b.start()
    body = "canary-4711-body"
    assert b.ok("send", "a", "-", stdin=body.encode())["state"] == "received"
    for what in ("seal", "sign", "fleet"):
        a.ok("keys", "rotate", what)
    assert a.ok("send", "b", "-", stdin=body.encode())["state"] == "received"
    secrets = [body.encode(), read_link(link).token.hex().encode(), link.removeprefix("fleet1:")[:200].encode()]
    for node in (a, b):
        for path in (node.home / "keys").iterdir():
            if path.suffix == ".key":
                secrets += path.read_bytes().split()
    told = [a.log_file.read_bytes(), b.log_file.read_bytes()]
    for node in (a, b):
        assert node.process is not None
        for pid in [node.process.pid, *filter(None, [node.broker_pid()])]:
            told += [Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes()]
        told += [path.read_bytes() for path in (node.home / "log").glob("*")] if (node.home / "log").exists() else []
        told += [path.read_bytes() for path in (node.home / "run").rglob("*") if path.is_file() and path.name != "token"]
    for secret in secrets:
        assert not any(secret in text for text in told), secret[:12]


def test_the_certificate_and_manifest_of_a_member_hold(world: World) -> None:
    a, b = world.pair()
    for node in (a, b):
        me = _identity(node)
        certificate = read_frame(Certificate, me.certificate, me.root_public)
        manifest = read_frame(Manifest, me.manifest, certificate.key)
        assert manifest.tls.startswith("-----BEGIN CERTIFICATE")
        assert manifest.addresses["http"]["url"].startswith("https://")  # type: ignore[union-attr]
        assert json.loads((node.home / "keys/identity.json").read_text())["node"] == node.name
