"""Attack 6: invitations used, expired, damaged, guessed, raced: refused alike outside, the reason is in the log."""

import asyncio
from pathlib import Path
from typing import Any

from fleet.core import policy, sealing
from fleet.core.peer import Manifest, write_frame
from fleet.daemon.enrolment import MAGIC, Link, read_link, read_request, write_request
from tests.identity.ground import NOBODY, ground, honest_still_flows, in_virtual_time, own, settled, truth
from tests.support import virtual
from tests.support.fleet import Fleet

GUEST = sealing.signing_key(b"the guest's own signing key, 32b")
GUEST_OPENS = sealing.opening_key(b"the guest's own opening key, 32b")
DICE = b"\x09" * 32


async def invited(fleet: Fleet, **words: Any) -> Link:
    return read_link((await fleet.node("a").control.invite(**words))["link"])


def guest_manifest(key: sealing.SigningKey = GUEST, **changes: Any) -> bytes:
    words = {"v": 1, "fleet": "simfleet", "node": "guest", "serial": int(virtual.now() * 1000), "seal": GUEST_OPENS.public}
    return write_frame(Manifest(**(words | changes)), key)


def asking(link: Link, key: sealing.SigningKey = GUEST, manifest: bytes = b"", dice: bytes = DICE) -> bytes:
    return write_request(link, key.public, manifest or guest_manifest(key), dice)


class Log:
    """What the inviter's operator reads."""

    def __init__(self, fleet: Fleet) -> None:
        self.reasons: list[str] = []
        fleet.on_log = self.hear

    def hear(self, name: str, event: str, fields: dict[str, Any]) -> None:
        if event == "join refused":
            self.reasons.append(fields["reason"])


async def _refused(fleet: Fleet, log: Log, data: bytes, reason: str, source: str = "") -> None:
    node = fleet.node("a")
    before, counted = truth(node), node.exchange.counters.get("join_refused", 0)
    _sources.append(source or f"10.0.{len(_sources) // 250}.{len(_sources) % 250}")
    assert await node.control.take_in(data, _sources[-1]) is None
    assert truth(node) == before
    assert node.exchange.counters["join_refused"] == counted + 1
    assert reason in log.reasons[-1], log.reasons[-1]


_sources: list[str] = []


@in_virtual_time
async def test_every_wrong_request_is_refused_alike_and_only_the_log_says_why(home: Path) -> None:
    async with ground(home / "ours", "ab") as fleet, ground(home / "theirs", "ab", seed="another") as theirs:
        await settled(fleet)
        log, link = Log(fleet), await invited(fleet)
        foreign = await invited(theirs)

        def changed(**words: Any) -> Link:
            return Link(**({name: getattr(link, name) for name in Link.__struct_fields__} | words))

        honest = asking(link)
        for data, reason in (
            (asking(changed(token=b"g" * 16)), "wrong"),
            (asking(changed(id="0" * 16)), "never given"),
            (asking(changed(seal=GUEST_OPENS.public)), "another key"),
            (asking(foreign), "another key"),
            (asking(changed(token=foreign.token)), "wrong"),
            (asking(link, manifest=guest_manifest(NOBODY)), ""),  # signed by another key than it asks for
            (asking(link, manifest=guest_manifest(fleet="away")), "wrong"),
            (asking(link, manifest=guest_manifest(node="b")), "another member"),
            (asking(link, manifest=guest_manifest(node="a")), "another member"),
            (honest[:-1], ""), (honest + b"\0", ""), (b"FLJ2" + honest[4:], ""), (b"", ""), (MAGIC, ""),
            (honest[:40] + bytes([honest[40] ^ 1]) + honest[41:], ""), (MAGIC + bytes(20_000), ""),
        ):  # fmt: skip
            await asyncio.sleep(61)  # the limits are another test's
            await _refused(fleet, log, data, reason)
        link = await invited(fleet)
        assert await fleet.node("a").control.take_in(asking(link), "10.9.9.9") is not None, "the true guest is let in"
        await honest_still_flows(fleet)


@in_virtual_time
async def test_a_used_and_an_expired_invitation_are_told_apart_in_the_log(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        log, link, other = Log(fleet), await invited(fleet), await invited(fleet, ttl=5)
        assert await fleet.node("a").control.take_in(asking(link), "10.1.1.1") is not None
        await _refused(fleet, log, asking(link), "used")
        await _refused(fleet, log, asking(link, NOBODY), "used")
        await asyncio.sleep(6)
        await _refused(fleet, log, asking(other), "expired")
        await fleet.stop("a")
        await fleet.start("a")
        await _refused(fleet, log, asking(link), "used")
        secrets = fleet.node("a").store.db.conn.execute("SELECT count(*) FROM invite WHERE secret = ?", (link.token,)).get
        assert secrets == 0, "the secret of a used invitation is not kept"


@in_virtual_time
async def test_of_two_guests_with_one_link_at_the_same_time_one_is_let_in_and_the_other_is_nobody(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        link, control = await invited(fleet), fleet.node("a").control
        rival = guest_manifest(NOBODY, node="rival")
        answers = await asyncio.gather(
            control.take_in(asking(link), "10.1.1.1"), control.take_in(asking(link, NOBODY, rival), "10.1.1.2")
        )
        assert sum(answer is not None for answer in answers) == 1
        members = {peer.id for peer in fleet.node("a").roster.peers()}
        assert len(members & {"guest", "rival"}) == 1
        await fleet.until(lambda: fleet.node("b").roster.known() == fleet.node("a").roster.known(), 60)


@in_virtual_time
async def test_ten_thousand_guesses_are_blocked_five_a_minute_of_one_source_and_sixty_of_all(home: Path) -> None:
    async with ground(home, "ab", roads=("http",)) as fleet:
        log, link = Log(fleet), await invited(fleet, ttl=3_600)
        control = fleet.node("a").control
        began = fleet.net.time()
        for number in range(10_000):
            guess = Link(**({name: getattr(link, name) for name in Link.__struct_fields__}
                            | {"token": number.to_bytes(16, "big")}))  # fmt: skip
            source = f"10.0.0.{number % 40}"
            assert await control.take_in(asking(guess), source) is None
            if number % 500 == 499:
                await asyncio.sleep(15)
        minutes = (fleet.net.time() - began) / 60
        weighed = sum("too many" not in reason for reason in log.reasons)
        assert len(log.reasons) == 10_000
        assert weighed <= 60 * (minutes + 1)
        assert weighed >= 60, "the limit lets honest people in"
        await asyncio.sleep(61)
        for _ in range(policy.JOIN_TRIES_PER_MINUTE):
            assert await control.take_in(b"x", "10.1.1.1") is None
        assert "too many" not in log.reasons[-1]
        assert await control.take_in(asking(link), "10.1.1.1") is None
        assert "too many" in log.reasons[-1]
        assert await control.take_in(asking(link), "10.1.1.2") is not None, "another address is not blocked by it"


@in_virtual_time
async def test_the_words_to_compare_differ_with_the_root_the_sealing_key_and_the_invitation(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        link = await invited(fleet)
        fields = {name: getattr(link, name) for name in Link.__struct_fields__}
        other_words = {
            Link(**(fields | change)).words
            for change in ({"root": NOBODY.public}, {"id": "0" * 16}, {"seal": GUEST_OPENS.public})
        }
        assert len(other_words | {link.words}) == 4
        assert Link(**(fields | {"url": "http://elsewhere:1"})).words == link.words
        assert len({(await invited(fleet)).words for _ in range(20)}) >= 19


@in_virtual_time
async def test_a_link_and_a_request_say_no_secret_in_their_repr_and_the_log_never_says_it(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        said: list[str] = []
        fleet.on_log = lambda name, event, fields: said.append(repr((event, fields)))
        link = await invited(fleet)
        assert link.token.hex() not in repr(link) + str(link)
        assert repr(link.token) not in repr(link)
        data = asking(link)
        request = read_request(data, tuple(own(fleet.node("a")).opening))
        assert await fleet.node("a").control.take_in(data, "10.1.1.1") is not None
        secrets = (link.token, fleet.node("a").ring.fleet_keys[0].reveal(), request.proof)
        for secret in secrets:
            assert not any(secret.hex() in line or repr(secret) in line for line in said)
