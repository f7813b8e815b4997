"""Attack 3: real frames recorded on the wire and handed in again, over every road, at once and later."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet.core.parcel import ParcelType
from fleet.core.receipt import Fate, Receipt, read_receipt
from fleet.engine.identity import system_item
from fleet.errors import WireError
from tests.identity.ground import bare, forge, ground, hand, honest_still_flows, in_virtual_time, own, ping, settled, truth
from tests.support.fleet import Fleet
from tests.support.simnet import SimNet
from tests.support.simroad import kind_of
from tests.support.weather import Weather

ROADS = (("nats", True, True), ("http", True, True), ("ssh", False, True), ("git", False, False))
MESSAGES = 100
MAIL = ("inbox", "turned_away", "counter", "level", "frame", "revocation", "words", "invite", "keys", "roster", "me")
DAY = 86_400.0


@dataclass
class Recorder:
    """Whoever listens on the wires: keeps the bytes of every parcel that reached a node."""

    heard: list[bytes]

    @classmethod
    def on(cls, net: SimNet) -> "Recorder":
        recorder = cls([])
        serve = net.serve

        async def listen(road: object, sender: str, to: str, data: bytes, answered: object) -> None:
            if to == "a":
                framed = data[:4] == b"FLH1"
                recorder.heard.append(bare(data) if framed else data)
            await serve(road, sender, to, data, answered)  # type: ignore[arg-type]

        net.serve = listen  # type: ignore[method-assign, assignment]
        return recorder


async def _at_once(fleet: Fleet) -> None:
    return None


async def _restarted(fleet: Fleet) -> None:
    await fleet.stop("a")
    await fleet.start("a")


async def _crashed(fleet: Fleet) -> None:
    await fleet.crash("a")
    await fleet.start("a")


async def _a_day_later(fleet: Fleet) -> None:
    fleet.jump("a", DAY)


async def _a_day_back(fleet: Fleet) -> None:
    fleet.jump("a", -DAY)
    await _restarted(fleet)


async def _tidied(fleet: Fleet) -> None:
    """After eight days of housekeeping: what was shown and is finished is deleted, the file is made small."""
    await fleet.node("a").mail.shown([one.id for one in fleet.inbox("a")], "a session")
    fleet.jump("a", 9 * DAY)
    fleet.jump("b", 9 * DAY)
    await fleet.node("a").upkeep.retire()
    fleet.node("a").store.db.conn.execute("VACUUM")


SETTINGS: dict[str, Callable[[Fleet], Awaitable[None]]] = {
    "at once": _at_once, "after a restart": _restarted, "after a crash": _crashed, "a day later": _a_day_later,
    "with the clock a day back": _a_day_back, "after the store was tidied": _tidied,
}  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
def test_recorded_frames_have_no_second_effect_over_any_road(setting: str) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            await settled(fleet)
            recorder = Recorder.on(fleet.net)
            for number in range(MESSAGES):
                await fleet.send("b", "a", f"once {number}", priority="urgent" if number % 3 else "normal")
                await fleet.send("a", "b", f"back {number}")
                if number % 4:
                    await asyncio.sleep(0.3)  # a parcel of its own
            await fleet.until(lambda: len(fleet.inbox("a")) >= MESSAGES and not fleet.node("b").reader.outbox.waiting("a"))
            frames = list(dict.fromkeys(recorder.heard))
            assert sum(kind_of(data) == "mail" for data in frames) >= MESSAGES // 2
            await SETTINGS[setting](fleet)
            await settled(fleet)
            node = fleet.node("a")
            before = {part: truth(node)[part] for part in MAIL}
            before["inbox"] = _ids(fleet)
            received = node.exchange.counters.get("received", 0)
            for road, framed, replies in ROADS:
                for data in frames * 3:
                    copy = node.hops.wrap("b", data) if framed else data
                    answer = await hand(node, copy, road, framed=framed, replies=replies)
                    if kind_of(data) == "mail" and replies:
                        _says_nothing_new(fleet, answer.data, framed=framed)
            after = {part: truth(node)[part] for part in MAIL}
            after["inbox"] = _ids(fleet)
            assert after == before
            assert node.exchange.counters.get("received", 0) == received
            assert node.exchange.counters.get("alarm", 0) == 0
            await honest_still_flows(fleet)

    told()


def _ids(fleet: Fleet) -> list[object]:
    """Who wrote what, without how often it came again."""
    rows = fleet.node("a").store.db.conn.execute("SELECT row, id, sender, status, received, digest FROM inbox ORDER BY row")
    return list(rows)


def _says_nothing_new(fleet: Fleet, data: bytes, *, framed: bool) -> None:
    """The answer is a signed receipt: a duplicate, or closed where even the memory of it is gone."""
    opener = fleet.node("b").attempts._opener
    opened = opener.open(data, framed=framed)
    receipt = read_receipt(opener.items(opened)[0])
    assert {entry.fate for entry in receipt.entries} <= {Fate.DUPLICATE, Fate.CLOSED, Fate.EXPIRED}, receipt


@in_virtual_time
async def test_the_answer_to_a_replay_is_a_duplicate_by_name(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        await settled(fleet)
        recorder = Recorder.on(fleet.net)
        await fleet.send("b", "a", "once")
        await fleet.until(lambda: any(kind_of(data) == "mail" for data in recorder.heard))
        await settled(fleet)
        data = next(data for data in recorder.heard if kind_of(data) == "mail")
        opener = fleet.node("b").attempts._opener
        answer = await hand(fleet.node("a"), fleet.node("a").hops.wrap("b", data), "nats")
        receipt = read_receipt(opener.items(opener.open(answer.data, framed=True))[0])
        assert [entry.fate for entry in receipt.entries] == [Fate.DUPLICATE]


@in_virtual_time
async def test_a_replayed_frame_is_of_no_use_at_another_node_or_on_the_way_back(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        recorder = Recorder.on(fleet.net)
        for number in range(10):
            await fleet.send("b", "a", f"once {number}")
        await fleet.until(lambda: len(fleet.inbox("a")) >= 12)
        for name in "bc":
            before = truth(fleet.node(name))
            for data in dict.fromkeys(recorder.heard):
                for road, framed, replies in ROADS:
                    copy = fleet.node(name).hops.wrap("a", data) if framed else data
                    answer = await hand(fleet.node(name), copy, road, framed=framed, replies=replies)
                    assert answer.data == b""
            assert truth(fleet.node(name)) == before
        await honest_still_flows(fleet)


@in_virtual_time
async def test_old_system_words_replayed_after_newer_ones_prove_no_life_and_open_no_link(home: Path) -> None:
    async with ground(home, "ab", roads=("nats", "http")) as fleet:
        await settled(fleet)
        node = fleet.node("a")
        old = forge(own(fleet.node("b")), own(node), ParcelType.PING, [ping()])
        await asyncio.sleep(1)
        await hand(node, forge(own(fleet.node("b")), own(node), ParcelType.PING, [ping()]), "http")
        fleet.net.sky.both("a", "b", "*", Weather(cut=True))
        await fleet.until(lambda: not node.links.usable("b", "http"))
        await hand(node, old, "http")
        assert not node.links.usable("b", "http")


# --- receipts forged, swapped and lent ------------------------------------------------------------------------------------


async def _waiting(fleet: Fleet, body: str) -> tuple[str, str]:
    """A message of a to b that is under way for ever; gives its id and the pid of its parcel."""
    fleet.net.sky.both("a", "b", "*", Weather(hole=True))
    id = await fleet.send("a", "b", body)
    await fleet.until(lambda: bool(fleet.row("a", id).lease))
    return id, _pid(fleet, id)


def _pid(fleet: Fleet, id: str) -> str:
    """The latest parcel that carried a message."""
    row = fleet.row("a", id)
    asked = "SELECT pid, rows FROM parcel WHERE peer = ? ORDER BY number"
    parcels = fleet.node("a").store.db.conn.execute(asked, (row.peer,))
    return [str(pid) for pid, rows in parcels if row.row in json.loads(rows)][-1]


@in_virtual_time
async def test_twelve_false_receipts_leave_the_outbox_row_open(home: Path) -> None:
    from fleet.core.receipt import Entry

    async with ground(home) as fleet:
        await settled(fleet)
        node = fleet.node("a")
        a, b, c = (own(fleet.node(name)) for name in "abc")
        first, pid = await _waiting(fleet, "one")
        other = await fleet.send("a", "c", "another's")
        await fleet.until(lambda: fleet.state("a", other) == "received")
        row = fleet.row("a", first)
        true = Entry(row.id, row.seq, row.digest, Fate.STORED)
        foreign = fleet.row("a", other)
        lent = Entry(foreign.id, foreign.seq, foreign.digest, Fate.STORED)
        lies: dict[str, tuple[object, Receipt, dict[str, object]]] = {
            "1 signed by another member": (c, Receipt(pid=pid, road="nats", entries=(true,)), {}),
            "2 signed by another member, for the whole parcel": (c, Receipt(pid=pid, road="nats"), {}),
            "3 in the addressee's name": (c, Receipt(pid=pid, road="nats", entries=(true,)), {"sender": "b"}),
            "4 signed by our own key": (a, Receipt(pid=pid, road="nats", entries=(true,)), {"sender": "b"}),
            "5 of a parcel that never was": (b, Receipt(pid="f" * 32, road="nats", entries=(true,)), {}),
            "6 of another's parcel": (b, Receipt(pid=_pid(fleet, other), road="nats", entries=(true,)), {}),
            "7 with another digest": (
                b, Receipt(pid=pid, road="nats", entries=(Entry(row.id, row.seq, bytes(32), Fate.STORED),)), {}),
            "8 of another message": (
                b, Receipt(pid=pid, road="nats", entries=(lent,)), {}),
            "9 this id with another's digest": (
                b, Receipt(pid=pid, road="nats", entries=(Entry(row.id, row.seq, foreign.digest, Fate.DONE),)), {}),
            "10 to another addressee": (b, Receipt(pid=pid, road="nats", entries=(true,)), {"to": "c"}),
            "11 of another fleet": (b, Receipt(pid=pid, road="nats", entries=(true,)), {"fleet": "away"}),
            "12 a refusal of an older number": (
                b, Receipt(pid=pid, road="nats", entries=(Entry(row.id, row.seq + 1, row.digest, Fate.REFUSED),)), {}),
        }  # fmt: skip
        assert len(lies) == 12
        for name, (signer, receipt, header) in lies.items():
            data = forge(signer, a, ParcelType.RECEIPT, [system_item(receipt)], **header)  # type: ignore[arg-type]
            counted = dict(node.exchange.counters)
            answer = await hand(node, data, "nats")
            assert answer.data == b"", name
            assert fleet.state("a", first) in ("accepted", "sending"), name
            gained = {key for key, n in node.exchange.counters.items() if n > counted.get(key, 0)} - {"settled"}
            quiet = name.split()[0] in ("5", "8", "10", "12")  # may be honest: long forgotten, late, or for a chief to keep
            assert gained or quiet, name
        for liar in "bc":  # each signed two of these at least
            peer = node.roster.get(liar)
            assert peer is not None
            assert node.conduct.level(peer) == 0
            await node.oversight.set_trust(liar, 2, "it is our own test")
        if fleet.state("a", first) == "refused":  # by our own gate, towards a peer of level 0
            await node.mail.retry(first)
        fleet.net.sky.clear()
        await fleet.until(lambda: fleet.state("a", first) == "received")
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_relay_that_acknowledges_mail_itself_has_only_custody(home: Path) -> None:
    """It signs `stored` for what is another's: as an answer it proves nothing, as a letter it counts against the relay."""
    async with ground(home) as fleet:
        await settled(fleet)
        first, pid = await _waiting(fleet, "for b")
        c = own(fleet.node("c"))
        letter = forge(c, own(fleet.node("a")), ParcelType.RECEIPT, [system_item(Receipt(pid=pid, road="relay"))], re=pid)
        counted = fleet.node("a").exchange.counters.get("proof_wrong_receipt", 0)
        await hand(fleet.node("a"), letter, "relay")
        assert fleet.node("a").exchange.counters["proof_wrong_receipt"] == counted + 1
        assert fleet.state("a", first) != "received"
        with pytest.raises(WireError):
            fleet.node("a").attempts._prove(*_as_answer(fleet, letter, pid))


def _as_answer(fleet: Fleet, data: bytes, pid: str) -> tuple[object, bytes, object, bool]:
    from fleet.core.outcome import Attempt, Result
    from fleet.core.parcel import Parcel
    from fleet.engine.attempt import Cargo

    blank = Attempt(pid, "b", "relay", 0, 0.0, Result.DEFERRED)
    return blank, data, Cargo(Parcel(pid, "a", "b", 0, b"")), True
