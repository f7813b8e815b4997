"""P6: one packet a minute into every network, for known cards only, where this machine or the operator says."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from channels import wol
from channels.wol import Segment, Wol
from fleet.core import policy
from fleet.core.outcome import Word
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty, Unreachable
from tests.channels.contract import LONG, Conformance, World, parcel
from tests.support.netns import Host, Net

MAC = "02:11:22:33:44:55"
MAGIC = b"\xff" * 6 + bytes.fromhex(MAC.replace(":", "")) * 16
LAN = Segment("eth0", "10.0.0.2", "10.0.0.255")
WLAN = Segment("wlan0", "10.0.1.2", "10.0.1.255")
Sent = list[dict[str, Any]]


class WolWorld(World):
    async def start(self) -> None:
        self.here, self.there = wol.build({"node": "here"}, {}), wol.build({"node": "there"}, {})
        for channel in (self.here, self.there):
            await channel.open()
        self.peer = Peer(id="there", mac=MAC)


class TestContract(Conformance):
    World = WolWorld


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What would have left this machine, which stands in two networks."""
    sent: Sent = []
    monkeypatch.setattr(wol, "wake", lambda mac, **words: sent.append({"mac": mac, **words}))
    monkeypatch.setattr(wol, "segments", lambda: [LAN, WLAN])
    return sent


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def send(road: Wol, peer: Peer, **more: Any) -> Word:
    return asyncio.run(road.send(peer, parcel(b"sealed", to=peer.id, **more), LONG)).word


def peer_of(card: str = MAC, id: str = "there", **table: Any) -> Peer:
    return Peer(id=id, mac=card, addresses={"wol": table} if table else {})


def believing(*words: str) -> Wol:
    road = Wol("here")
    road.own_word = lambda peer, word: word in words
    return road


def test_a_packet_goes_into_every_network_and_carries_nothing(sent: Sent) -> None:
    assert send(Wol("here"), peer_of()) is Word.NUDGED
    assert sent == [
        {"mac": MAC.replace(":", ""), "host": one.broadcast, "port": 9, "interface": one.address} for one in (LAN, WLAN)
    ]


def test_a_peer_is_woken_once_a_minute_whatever_card_it_names(sent: Sent) -> None:
    clock = Clock()
    road = Wol("here", clock)
    send(road, peer_of())
    for mac in (MAC, "02:00:00:00:00:99"):
        clock.now += policy.WAKE_EVERY / 2 - 1
        with pytest.raises(Barred, match="once in 60 s"):
            send(road, peer_of(mac))
    clock.now += 2
    send(road, peer_of())
    assert len(sent) == 4


def test_two_peers_that_name_one_card_wake_it_once_a_minute(sent: Sent) -> None:
    road = Wol("here", Clock())
    send(road, peer_of(id="there"))
    with pytest.raises(Barred, match="woken already"):
        send(road, peer_of(id="twin"))
    send(road, peer_of("02:00:00:00:00:99", id="other"))
    assert [one["mac"] for one in sent[::2]] == ["021122334455", "020000000099"]


@pytest.mark.parametrize("mac", ["", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "02:11:22:33:44", "02:11:22:33:44:5g", "x"])
def test_what_is_no_card_s_address_wakes_nobody(sent: Sent, mac: str) -> None:
    with pytest.raises(Barred):
        send(Wol("here"), peer_of(mac))
    assert sent == []


def test_the_operator_s_word_on_the_card_goes_before_the_peer_s(sent: Sent) -> None:
    send(Wol("here"), peer_of(MAC, mac="0A-00-00-00-00-01"))
    assert sent[0]["mac"] == "0a0000000001"


def test_a_parcel_that_is_carried_for_another_wakes_nobody(sent: Sent) -> None:
    with pytest.raises(Barred, match="own mail"):
        send(Wol("chief"), peer_of())
    assert sent == []


def test_this_machine_is_not_woken(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wol, "own_cards", lambda: frozenset({"021122334455"}))
    with pytest.raises(Barred, match="this machine"):
        send(Wol("here"), peer_of())
    assert sent == []


def test_the_machine_s_own_cards_are_known() -> None:
    cards = {one.address for card in psutil.net_if_addrs().values() for one in card if one.family == psutil.AF_LINK}
    assert wol.own_cards() == {card.replace(":", "") for card in cards if len(set(card)) > 2}


def test_a_peer_cannot_say_where_the_packet_goes(sent: Sent) -> None:
    for table in ({"broadcast": "8.8.8.8"}, {"interface": "eth0"}):
        with pytest.raises(Barred, match="only the operator"):
            send(Wol("here"), peer_of(**table))
    assert sent == []


def test_the_operator_can(sent: Sent) -> None:
    send(believing("10.9.0.255"), peer_of(broadcast="10.9.0.255"))
    send(believing("wlan0"), peer_of(interface="wlan0"))
    send(believing("10.0.0.2", "10.9.0.255"), peer_of(interface="10.0.0.2", broadcast="10.9.0.255"))
    assert [(one["host"], one["interface"]) for one in sent] == [
        ("10.9.0.255", None), ("10.0.1.255", "10.0.1.2"), ("10.9.0.255", "10.0.0.2")
    ]  # fmt: skip
    with pytest.raises(Faulty, match="no interface"):
        send(believing("eth9"), peer_of(interface="eth9"))


def test_a_network_that_takes_nothing_is_recorded_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(mac: str, **words: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(wol, "wake", refuse)
    monkeypatch.setattr(wol, "segments", lambda: [LAN])
    with pytest.raises(Unreachable, match=r"10\.0\.0\.255: Network is unreachable"):
        send(Wol("here"), peer_of())
    monkeypatch.setattr(wol, "segments", list)
    with pytest.raises(Unreachable, match="no network"):
        send(Wol("here"), peer_of())


def test_asking_what_it_would_do_wakes_nobody(sent: Sent) -> None:
    assert Wol("here").would(peer_of()) == "would wake"
    with pytest.raises(Barred, match="no hardware address"):
        Wol("here").would(Peer(id="there"))
    assert sent == []


# ── on a real wire ───────────────────────────────────────────────────────────────────────────────────────────────────

SENDER = f"""
import asyncio, sys
from channels.wol import Wol
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred
road = Wol("here")
async def main():
    for id, mac in (("there", "{MAC}"), ("there", "{MAC}"), ("twin", "{MAC}"), ("nobody", "")):
        try:
            await road.send(Peer(id=id, mac=mac), Parcel("0" * 32, "here", id, 0, b"sealed"), 5.0)
            print("nudged")
        except Barred:
            print("barred")
asyncio.run(main())
"""
LISTENER = """
import socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0800))
wire.bind(("eth0", 0))
print("ready", flush=True)
while True:
    frame = wire.recv(65535)
    length = (frame[14] & 15) * 4
    if frame[23] != 17:
        continue
    port = struct.unpack("!H", frame[14 + length + 2 : 14 + length + 4])[0]
    print(frame[:6].hex(), socket.inet_ntoa(frame[30:34]), port, frame[14 + length + 8 :].hex(), flush=True)
    if port == 7:
        break
"""


@pytest.fixture
def wire() -> Iterator[tuple[Host, "subprocess.Popen[str]"]]:
    """A host, and everything that reaches the card of another one on its segment."""
    with Net("a", "b") as net:
        command = [*net["b"].exec, sys.executable, "-c", LISTENER]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None and listener.stdout.readline() == "ready\n"
            yield net["a"], listener
            listener.kill()


@pytest.mark.tier("hosts")
def test_on_a_captured_segment_there_is_one_packet_to_everybody_for_a_known_card(
    wire: tuple[Host, "subprocess.Popen[str]"],
) -> None:
    host, listener = wire
    assert host.do(sys.executable, "-c", SENDER).split() == ["nudged", "barred", "barred", "barred"]
    end = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'end', ('10.77.0.2', 7))"
    host.do(sys.executable, "-c", end)
    frames = [line.split() for line in listener.communicate(timeout=30)[0].splitlines()]
    assert [frame[2] for frame in frames] == ["9", "7"]
    assert frames[0] == ["f" * 12, "10.77.0.255", "9", MAGIC.hex()]


@pytest.mark.tier("hosts")
def test_the_directed_broadcast_needs_no_default_route(wire: tuple[Host, "subprocess.Popen[str]"]) -> None:
    host, _ = wire
    assert "default" not in host.do("ip", "route")
    assert "nudged" in host.do(sys.executable, "-c", SENDER)
    code = "from channels.wol import segments; print([(s.card, s.address, s.broadcast) for s in segments()])"
    assert host.do(sys.executable, "-c", code).strip() == "[('eth0', '10.77.0.1', '10.77.0.255')]"
