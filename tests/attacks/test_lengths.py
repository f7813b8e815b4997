"""Attack 7: frames cut at every byte, lengths that lie, bytes behind the end, too much: nothing is taken, little is kept."""

import http.client
import json
import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.core import parcel, policy, sealing
from fleet.core.parcel import ParcelType
from fleet.core.receipt import Ping, Receipt
from fleet.engine.identity import Identity, system_item
from fleet.store.keys import KeyRing
from tests.identity.ground import (
    bare,
    forge,
    ground,
    hand,
    honest_still_flows,
    in_virtual_time,
    mail,
    own,
    ping,
    settled,
    truth,
)
from tests.support.fleet import Fleet
from tests.support.nodes import World

DOORS = (("http", True, True), ("nats", True, True), ("ssh", False, True), ("git", False, False))
LIES = (0, 1, -1, 1 << 31, (1 << 32) - 1, (1 << 31) - 1, 0xFFFF, 0x8000)
GROWTH = 20 << 20  # bytes of memory that all of it together may cost


def _honest(fleet: Fleet) -> dict[str, bytes]:
    a, b = own(fleet.node("a")), own(fleet.node("b"))
    receipt = system_item(Receipt(pid="0" * 32, road="nats"))
    return {
        "mail": bare(forge(b, a, ParcelType.MAIL, [mail(fleet)], intro=b.intro)),
        "ping": bare(forge(b, a, ParcelType.PING, [ping()])),
        "receipt": bare(forge(b, a, ParcelType.RECEIPT, [receipt])),
    }


def _lying(data: bytes, me: Identity) -> Iterator[bytes]:
    """Every length field of a parcel and its frame with every lie, as it came and signed anew by a member."""
    for at, width in ((13, 2), (15, 2), (17, 4)):
        for lie in LIES:
            word = (lie & (1 << 8 * width) - 1).to_bytes(width, "big")
            changed = data[:at] + word + data[at + width :]
            if changed != data:
                yield changed
                yield changed[:-64] + sealing.sign(me.signing, sealing.PARCEL, changed[:-64])
    framed = sealing.frame(me.fleet_keys[0], data)
    for lie in LIES:
        if lie & 0xFFFF:
            yield framed[:4] + struct.pack(">H", lie & 0xFFFF) + framed[6:]


@pytest.mark.parametrize("kind", ["mail", "ping", "receipt"])
def test_a_frame_cut_at_any_byte_or_with_a_lying_length_is_accepted_by_no_door(kind: str) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            await settled(fleet)
            node, me = fleet.node("a"), own(fleet.node("b"))
            honest = _honest(fleet)[kind]
            before, counted, tried = truth(node), _refusals(node), 0
            bad = [honest[:end] for end in range(len(honest))] + list(_lying(honest, me))
            bad += [honest + b"\0" * more for more in (1, 2, 64, 1000)] + [bytes(policy.PARCEL_LIMIT + 1), b""]
            tracemalloc.start()
            for road, framed, replies in DOORS:
                for data in bad:
                    ways = [data, sealing.frame(me.fleet_keys[0], data)] if framed else [data]
                    for way in ways:
                        answer = await hand(node, way, road, framed=framed, replies=replies)
                        assert (answer.kind.value, answer.data) == ("none", b""), (road, len(data))
                        tried += 1
            whole = sealing.frame(me.fleet_keys[0], honest)
            for end in range(len(whole)):
                assert (await hand(node, whole[:end], "http")).kind.value == "none", end
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert _refusals(node) - counted == tried + len(whole)
            assert truth(node) == before
            assert peak < GROWTH
            await honest_still_flows(fleet)

    told()


def _refusals(node: object) -> int:
    counters = node.exchange.counters  # type: ignore[attr-defined]
    return sum(count for name, count in counters.items() if name.startswith("refused_"))


def test_a_member_whose_sealed_items_lie_about_their_lengths_gets_nothing_in() -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            await settled(fleet)
            node, me = fleet.node("a"), own(fleet.node("b"))
            rows = list(node.store.db.conn.execute("SELECT * FROM inbox"))
            item = mail(fleet)
            for lie in (0, 1, len(item) - 1, len(item) + 1, 1 << 31, (1 << 32) - 1):
                for tail in (b"", b"\0", item):
                    with pytest.MonkeyPatch.context() as patch:
                        inner = lie.to_bytes(4, "big") + item + tail
                        patch.setattr(parcel, "join_items", lambda items, inner=inner: inner)
                        data = forge(me, own(node), ParcelType.MAIL, [item])
                    await hand(node, data)
            for n in (2, 255, 256):
                await hand(node, forge(me, own(node), ParcelType.MAIL, [item], n=n))
            assert list(node.store.db.conn.execute("SELECT * FROM inbox")) == rows
            await honest_still_flows(fleet, ("a", "b"))

    told()


# --- a real daemon ----------------------------------------------------------------------------------------------------


class Target:
    """A daemon whose parcel door speaks plain HTTP, and a member's honest parcels to it."""

    def __init__(self, world: World) -> None:
        self.node = world.node("a")
        self.node.ok("init", "--node", "a")
        for key in ("nats.serve", "channel.http.tls"):
            self.node.ok("config", "set", key, "false")
        self.node.start()
        self.other = world.join("b", self.node)
        self.other.terminate()
        self.port = int(str(self.node.ask("here")["bind"]).rpartition(":")[2])
        self.key = KeyRing.load(self.node.home / "keys").fleet_keys[0]

    def parcels(self) -> dict[str, bytes]:
        from tests.identity.test_real import _identity, _parcel

        me, there = _identity(self.other), _identity(self.node)
        found = {"ping": _parcel(me, there)}
        raw = parcel.take_apart(found["ping"])
        header = parcel.read_header(raw.header)
        receipt, pong = system_item(Receipt(pid="0" * 32, road="http")), system_item(Ping(nonce="6" * 32))
        for name, kind, inner in (("receipt", ParcelType.RECEIPT, receipt), ("pong", ParcelType.PONG, pong)):
            found[name] = sealing.seal(kind, me.signing, there.opening[0].public, header, [inner], bytes(range(1, 33)))
        return found

    def post(self, data: bytes, **headers: str) -> tuple[int, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.request("POST", "/parcel", data, headers=headers)
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    def say(self, data: bytes) -> bytes:
        """Send bytes, hang up the sending side, read all that comes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            said = b""
            while part := line.recv(1 << 16):
                said += part
            return said

    def memory(self) -> int:
        assert self.node.process is not None
        return int(psutil.Process(self.node.process.pid).memory_info().rss)

    def refused(self) -> int:
        counters: dict[str, int] = self.node.ask("stats")["counters"]
        return sum(count for name, count in counters.items() if name.startswith("refused_"))


def _counted(target: Target, what: Callable[[], int]) -> None:
    """Do something that must be refused so many times, change nothing and cost little."""
    node = target.node
    before, rows, memory = target.refused(), node.rows("SELECT count(*) FROM inbox"), target.memory()
    expected = what()
    assert target.refused() - before >= expected
    assert node.rows("SELECT count(*) FROM inbox") == rows
    assert target.memory() - memory < GROWTH


def test_the_real_doors_refuse_every_truncation_and_every_lying_length_within_bounds(world: World) -> None:
    target = Target(world)
    frames = {name: sealing.frame(target.key, data) for name, data in target.parcels().items()}
    assert target.post(frames["ping"])[0] == 200, "the whole one is answered"

    def parcel_door() -> int:
        tried = 0
        for frame in frames.values():
            for bad in [frame[:end] for end in range(len(frame))] + [frame + b"\0", frame + frame]:
                assert target.post(bad) == (400, b"")
                tried += 1
        return tried

    def local_door() -> int:
        tried = 0
        for frame in frames.values():
            data = bare(frame)
            for bad in [data[:end] for end in range(1, len(data))] + [data + b"\0"]:
                answer = target.node.post("/parcel", bad, "application/octet-stream")
                assert (answer.status, answer.body) == (400, b""), len(bad)
                tried += 1
        assert target.node.post("/parcel", b"", "application/octet-stream").status == 413
        return tried

    def lies() -> int:
        frame = frames["ping"]
        for length in (0, 1, len(frame) - 1, len(frame) + 1, (1 << 20) - 1):
            said = target.say(b"POST /parcel HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + frame)
            assert said == b"" or said.startswith(b"HTTP/1.1 400"), length
        for text in (b"-1", b"2147483648", b"4294967295", b"4294967296", b"18446744073709551616", b"1e9", b"0x10", b""):
            said = target.say(b"POST /parcel HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\n\r\n" % text + frame * 50)
            assert said.startswith(b"HTTP/1.1 400") and said.endswith(b"\r\n\r\n"), text
        for size in (policy.PARCEL_LIMIT + 1, policy.PARCEL_LIMIT + 1025, 8 << 20):
            head = b"POST /parcel HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
            assert b"200" not in target.say(head + bytes(min(size, 2 << 20)))[:20]
        return 1

    for attack in (parcel_door, local_door, lies):
        _counted(target, attack)
    assert target.node.alive() and target.post(frames["receipt"])[0] in (200, 202, 400)
    target.other.start()
    assert target.other.ok("send", "a", "still honest")["state"] == "received"
    assert '"bug"' not in json.dumps(target.node.log)
