"""One try: what a channel says becomes a result, and nothing but the addressee's signature is proof."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet.core import sealing
from fleet.core.outcome import Attempt, Outcome, Result
from fleet.core.parcel import Parcel, ParcelType
from fleet.core.plan import Step
from fleet.core.receipt import Entry, Fate, Ping
from fleet.engine.attempt import Attempts, Cargo, supervise
from fleet.engine.identity import system_item
from fleet.errors import Barred, Faulty, Malformed, StoreError, Unreachable
from tests.engine.parts import FLEET_KEY, Log, Script, opener, parcel_of, receipt_for, roster, world
from tests.support import virtual

STEP = Step("road", 3.0, 0.0)
NONCE = "0" * 32


def attempt(
    answer: Any, *, delay: float = 0.0, kind: ParcelType = ParcelType.MAIL, log: Log | None = None, **traits: Any
) -> Attempt:
    """Try a parcel of a to b on a road that answers so; gives the attempt."""

    async def story() -> Attempt:
        a = roster("a", "b", "c")
        attempts = Attempts(opener(a), lambda peer, data, via: sealing.frame(FLEET_KEY, data, via), world(), log or Log())
        road = Script("road", (delay, answer), **traits)
        peer = a.get("b")
        assert peer is not None
        return await attempts.make(road, peer, Cargo(parcel_of(a, "b", kind=kind), kind, NONCE), STEP)

    return virtual.run(story())


def replied(answer: Callable[[Parcel], bytes]) -> Callable[[Any, Parcel], Outcome]:
    return lambda peer, parcel: Outcome.replied(answer(parcel))


@pytest.mark.parametrize(
    ("raised", "result", "reason"),
    [
        (Unreachable("no responders"), Result.DEFERRED, "no responders"),
        (TimeoutError(), Result.DEFERRED, "no answer within 3 s"),
        (ConnectionResetError(104, "Connection reset by peer"), Result.DEFERRED, "Connection reset by peer"),
        (OSError(), Result.DEFERRED, "OSError"),
        (Barred("b has no address"), Result.BARRED, "b has no address"),
        (Faulty("unknown host key"), Result.FAULTY, "unknown host key"),
        (StoreError("something else"), Result.DEFERRED, "something else"),
        (KeyError("secret words"), Result.DEFERRED, "a bug in road: KeyError"),
    ],
)
def test_what_a_channel_raises_becomes_a_result_with_a_reason(raised: Exception, result: Result, reason: str) -> None:
    found = attempt(raised)
    assert (found.result, found.reason) == (result, reason)


def test_a_bug_of_a_channel_is_logged_by_its_type_and_never_by_its_words() -> None:
    log = Log()
    attempt(KeyError("secret words"), log=log)
    assert log.lines == [("bug", {"channel": "road", "error": "KeyError"})]


def test_a_busy_road_says_when_to_come_again() -> None:
    assert attempt(Unreachable("busy", retry_after=7.0)).retry_after == 7.0


def test_a_security_fault_is_marked_as_one() -> None:
    assert attempt(Faulty("another host key", security=True)).security
    assert not attempt(Faulty("wrong password")).security


def test_who_has_no_address_is_told_from_who_cannot_take_this_parcel() -> None:
    assert attempt(Barred("b has no ssh address", address=True)).homeless
    assert not attempt(Barred("too many bytes")).homeless


def test_a_channel_that_hangs_costs_the_deadline_and_no_more() -> None:
    found = attempt(Outcome.taken("never"), delay=100.0)
    assert (found.result, found.ms, found.reason) == (Result.DEFERRED, 3000.0, "no answer within 3 s")


def test_how_long_it_took_and_when_it_began_is_on_record() -> None:
    found = attempt(Outcome.taken("git"), delay=0.25)
    assert (found.started_at, found.ms) == (int(virtual.EPOCH * 1000), 250.0)


def test_custody_is_taken_and_names_the_holder() -> None:
    found = attempt(Outcome.taken("relay chief1"))
    assert (found.result, found.reason, found.receipt) == (Result.TAKEN, "relay chief1", None)


def test_a_nudge_is_a_nudge() -> None:
    assert attempt(Outcome.nudged()).result is Result.NUDGED


def test_a_receipt_of_the_addressee_over_this_parcel_is_delivery() -> None:
    found = attempt(replied(lambda parcel: receipt_for(roster("b", "a"), parcel)))
    assert found.result is Result.DELIVERED
    assert found.receipt is not None and found.receipt.fate is Fate.STORED


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.LATER, Fate.EXPIRED, Fate.CLOSED])
def test_a_signed_no_is_a_rejection_and_proves_the_road(fate: Fate) -> None:
    found = attempt(replied(lambda parcel: receipt_for(roster("b", "a"), parcel, fate, reason="because")))
    assert (found.result, found.reason) == (Result.REJECTED, f"{fate}: because")


def test_a_no_without_a_reason_is_named_by_its_fate() -> None:
    assert attempt(replied(lambda parcel: receipt_for(roster("b", "a"), parcel, Fate.LATER))).reason == "later"


def entries(*fates: Fate) -> tuple[Entry, ...]:
    return tuple(Entry(f"{n:032x}", n, bytes(32), fate, "full" * (fate is Fate.LATER)) for n, fate in enumerate(fates))


@pytest.mark.parametrize(
    ("fates", "result", "reason"),
    [
        ((Fate.STORED, Fate.REFUSED), Result.DELIVERED, ""),
        ((Fate.REFUSED, Fate.DUPLICATE), Result.DELIVERED, ""),
        ((Fate.LATER, Fate.REFUSED), Result.REJECTED, "later: full"),
        ((Fate.EXPIRED,), Result.REJECTED, "expired"),
    ],
)
def test_one_good_envelope_makes_a_delivery(fates: tuple[Fate, ...], result: Result, reason: str) -> None:
    found = attempt(replied(lambda parcel: receipt_for(roster("b", "a"), parcel, entries=entries(*fates))))
    assert (found.result, found.reason) == (result, reason)


def _other_pid(parcel: Parcel) -> bytes:
    return receipt_for(roster("b", "a"), parcel, pid="f" * 32)


def _other_answer(parcel: Parcel) -> bytes:
    return receipt_for(roster("b", "a"), replace(parcel, pid="f" * 32), pid=parcel.pid)


FALSE_ANSWERS: dict[str, Callable[[Parcel], bytes]] = {
    "nothing": lambda parcel: b"",
    "bytes that mean nothing": lambda parcel: b"200 OK",
    "the parcel itself": lambda parcel: parcel.data,
    "a receipt of another member": lambda parcel: receipt_for(roster("c", "a"), parcel),
    "a receipt of a stranger": lambda parcel: receipt_for(roster("d", "a"), parcel),
    "a receipt for another parcel": _other_pid,
    "a receipt that answers another parcel": _other_answer,
    "mail instead of a receipt": lambda parcel: parcel_of(roster("b", "a"), "a", re=parcel.pid).data,
    "a receipt with a flipped bit": lambda parcel: receipt_for(roster("b", "a"), parcel)[:-1] + b"\0",
    "a cut receipt": lambda parcel: receipt_for(roster("b", "a"), parcel)[:-1],
    "a receipt sealed to somebody else": lambda parcel: receipt_for(
        roster("b", "c"), replace(parcel, sender="c")
    ),
    "a pong": lambda parcel: parcel_of(
        roster("b", "a"), "a", (system_item(Ping(nonce=NONCE)),), ParcelType.PONG, re=parcel.pid
    ).data,
    "a receipt that is none": lambda parcel: parcel_of(
        roster("b", "a"), "a", (b"{}",), ParcelType.RECEIPT, re=parcel.pid
    ).data,
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE_ANSWERS)
def test_everything_else_proves_nothing(name: str) -> None:
    found = attempt(replied(FALSE_ANSWERS[name]))
    assert (found.result, found.receipt) == (Result.DEFERRED, None)
    assert found.reason.startswith("an answer that proves nothing: ")


def test_a_pong_with_the_pings_nonce_is_proof_of_life() -> None:
    def pong(nonce: str) -> Callable[[Any, Parcel], Outcome]:
        item = system_item(Ping(nonce=nonce))
        return replied(lambda parcel: parcel_of(roster("b", "a"), "a", (item,), ParcelType.PONG, re=parcel.pid).data)

    assert attempt(pong(NONCE), kind=ParcelType.PING).result is Result.DELIVERED
    assert attempt(pong("1" * 32), kind=ParcelType.PING).result is Result.DEFERRED


def test_a_framed_road_carries_frames_both_ways() -> None:
    def answer(parcel: Parcel) -> bytes:
        _, inner = sealing.unframe((FLEET_KEY,), parcel.data)
        assert inner[:4] == b"FLT1"
        return sealing.frame(FLEET_KEY, receipt_for(roster("b", "a"), parcel))

    assert attempt(replied(answer), framed=True).result is Result.DELIVERED
    bare = attempt(replied(lambda parcel: receipt_for(roster("b", "a"), parcel)), framed=True)
    assert bare.result is Result.DEFERRED


def test_a_parcel_too_large_for_a_road_is_barred_before_the_road_is_called() -> None:
    found = attempt(AssertionError("it was called"), max_bytes=10)
    assert found.result is Result.BARRED
    assert "road takes 10" in found.reason


# --- supervision ------------------------------------------------------------------------------------------------------


def supervised(*works: Callable[[], Awaitable[None]], lasting: float) -> tuple[list[float], Log]:
    """Let parts run under supervision; gives when each began and what was logged."""
    began: list[float] = []
    log = Log()

    async def story() -> None:
        left = list(works)

        async def work() -> None:
            began.append(asyncio.get_running_loop().time())
            await (left.pop(0) if len(left) > 1 else left[0])()

        task = asyncio.ensure_future(supervise("part", work, log))
        await asyncio.sleep(lasting)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(story())
    return began, log


async def breaks() -> None:
    raise LookupError("a word of a message")


async def fails() -> None:
    raise Malformed("the door is closed")


async def ends() -> None:
    return None


async def lasts() -> None:
    await asyncio.Event().wait()


def test_a_part_that_breaks_begins_again_after_a_pause_that_doubles() -> None:
    began, log = supervised(breaks, lasting=120.0)
    assert began[:7] == [0, 1, 3, 7, 15, 31, 61]
    assert {event for event, _ in log.lines} == {"bug"}
    where = log.lines[0][1]
    assert (where["part"], where["error"], where["where"].split(":")[0]) == ("part", "LookupError", "test_attempt.py")
    assert "word" not in repr(log.lines)


def test_a_part_that_fails_or_ends_is_told_and_begins_again() -> None:
    began, log = supervised(fails, ends, lasts, lasting=100.0)
    assert began == [0, 1, 3]
    assert log.lines == [("failed", {"part": "part", "reason": "the door is closed"}), ("ended", {"part": "part"})]


def test_a_part_that_lasted_long_begins_again_soon() -> None:
    async def lasts_a_minute() -> None:
        await asyncio.sleep(60.0)
        raise LookupError

    began, _ = supervised(breaks, breaks, breaks, lasts_a_minute, lasts, lasting=300.0)
    assert began == [0, 1, 3, 7, 68]
