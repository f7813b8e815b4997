"""The receiver and what is no mail: pings, receipts, heartbeats."""

import asyncio
from pathlib import Path

from fleet.core.channel import Answer, AnswerKind
from fleet.core.parcel import ParcelType
from fleet.core.receipt import Heartbeat, Ping, Receipt
from fleet.engine.identity import system_item
from tests.engine.doors import Door, at_the_door, parcel


def test_a_ping_is_answered_with_its_nonce(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        ping = system_item(Ping(nonce="ab" * 16, known=door.b.roster.known()))
        answer = await door.bare(parcel(door.a, "b", [ping], ParcelType.PING))
        opened = door.a.attempts._opener.open(answer.data, framed=False)
        assert opened.type is ParcelType.PONG
        assert b"ab" * 16 in door.a.attempts._opener.items(opened)[0]

    at_the_door(tmp_path, story)


def test_receipts_and_heartbeats_are_answered_by_custody_only(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        receipt = system_item(Receipt(pid="0" * 32, road="nats"))
        beat = system_item(Heartbeat(boot="0" * 32, counter=1, known=door.b.roster.known()))
        for kind, item in ((ParcelType.RECEIPT, receipt), (ParcelType.HEARTBEAT, beat)):
            assert await door.bare(parcel(door.a, "b", [item], kind)) == Answer(AnswerKind.CUSTODY)

    at_the_door(tmp_path, story)


def test_an_old_system_parcel_proves_no_life(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        ping = parcel(door.a, "b", [system_item(Ping(nonce="0" * 32))], ParcelType.PING)
        await door.bare(ping)
        heard = door.b.links.get("a", "ssh").heard_at
        await asyncio.sleep(10.0)
        await door.bare(ping)
        assert door.b.links.get("a", "ssh").heard_at == heard

    at_the_door(tmp_path, story)


def test_receipts_from_a_mailbox_settle_only_what_their_addressee_was_sent(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        fleet = door.tale.fleet
        id = await fleet.send("a", "b")
        await asyncio.sleep(0.1)
        pid = door.tale.sent()[0].pid
        box = door.a.receiver.deliver_for("git", framed=False, replies=False)
        c = fleet.node("c")
        await box(parcel(c, "a", [system_item(Receipt(pid=pid, road="nats"))], ParcelType.RECEIPT))
        assert fleet.state("a", id) != "received"
        await box(parcel(door.b, "a", [system_item(Receipt(pid="f" * 32, road="nats"))], ParcelType.RECEIPT))
        assert fleet.state("a", id) != "received"
        await box(parcel(door.b, "a", [system_item(Receipt(pid=pid, road="nats"))], ParcelType.RECEIPT))
        assert fleet.state("a", id) == "received"

    at_the_door(tmp_path, story)
