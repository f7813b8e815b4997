"""Attack 6: revocation acts within 5 s of the list's arrival on every road, and nothing old brings anybody back."""

import asyncio
from pathlib import Path

import pytest

from fleet.core import sealing
from fleet.core.parcel import ParcelType
from fleet.core.peer import Revocation, join_intro, write_frame
from fleet.errors import NoIdentity, UnknownPeer, UsageError
from tests.identity.ground import (
    bodies,
    forge,
    ground,
    honest_still_flows,
    in_virtual_time,
    mail,
    manifest_of,
    own,
    ping,
    refused,
    settled,
    truth,
)
from tests.support.fleet import Fleet
from tests.support.weather import Weather

DOORS = (("nats", True, True), ("http", True, True), ("ssh", False, True), ("git", False, False))
EFFECTIVE = 5.0  # seconds after the list's arrival


async def _revoke_c(fleet: Fleet) -> None:
    await settled(fleet)
    await fleet.node("a").revoking.revoke("c")
    await fleet.until(lambda: fleet.node("b").roster.revoked("c"), EFFECTIVE)


@in_virtual_time
async def test_within_five_seconds_every_road_of_every_member_refuses_the_revoked(home: Path) -> None:
    async with ground(home) as fleet:
        await _revoke_c(fleet)
        thief = own(fleet.node("c"))
        for name in "ab":
            victim = fleet.node(name)
            for road, framed, replies in DOORS:
                for kind, item in ((ParcelType.MAIL, mail(fleet)), (ParcelType.PING, ping())):
                    for intro, counter in ((b"", "refused_forged"), (thief.intro, "refused_revoked")):
                        data = forge(thief, own(victim), kind, [item], intro=intro)
                        data = data if framed else data[38:]
                        await refused(victim, data, counter, road=road, framed=framed, replies=replies)
        await honest_still_flows(fleet, ("a", "b"), ("b", "a"))


@in_virtual_time
async def test_mail_to_the_revoked_is_refused_with_the_reason_and_its_own_mail_arrives_nowhere(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        fleet.net.sky.both("b", "c", "*", Weather(hole=True))
        waiting = await fleet.send("b", "c", "waits")
        await fleet.node("a").revoking.revoke("c")
        await fleet.until(lambda: fleet.node("b").roster.revoked("c"), EFFECTIVE)
        for sender in "ab":
            with pytest.raises(UsageError, match="the root revoked c"):
                await fleet.send(sender, "c", "later")
        late = await fleet.send("c", "a", "from the revoked")
        sent: list[str] = []
        fleet.net.on_send = lambda trip: sent.append(f"{trip.sender} → {trip.to}")
        await fleet.until(lambda: fleet.state("b", waiting) == "refused", 120)  # when its lease has ended
        assert "b → c" not in sent, "not even what was under way goes on"
        assert "revoked c" in fleet.row("b", waiting).reason
        await asyncio.sleep(60)
        assert fleet.state("c", late) in ("accepted", "custody")
        assert "from the revoked" not in bodies(fleet, "a")


@in_virtual_time
async def test_an_old_list_manifest_or_certificate_changes_nothing(home: Path) -> None:
    async with ground(home, "abcd") as fleet:
        await settled(fleet)
        a = fleet.node("a")
        stolen = {name: own(fleet.node(name)) for name in "abcd"}
        await a.revoking.revoke("c")
        old_list = a.roster.revocation_frame
        await asyncio.sleep(1)
        await a.revoking.revoke("d")
        await fleet.node("b").rotation.rotate("seal")
        await fleet.until(lambda: fleet.node("b").roster.revoked("d"), EFFECTIVE)
        await honest_still_flows(fleet, ("a", "b"), ("b", "a"))
        await asyncio.sleep(20)
        before = truth(a)
        b = own(fleet.node("b"))
        for kind, item in (
            (ParcelType.REVOCATION, old_list),
            (ParcelType.MANIFEST, stolen["b"].intro),
            (ParcelType.MANIFEST, stolen["c"].intro),
            (ParcelType.MANIFEST, join_intro(stolen["c"].certificate, manifest_of(stolen["c"], serial=1 << 50))),
            (ParcelType.CERTIFICATE, stolen["c"].certificate),
            (ParcelType.CERTIFICATE, stolen["a"].certificate),
        ):
            await a.receiver.deliver_for("http", framed=True, replies=True)(forge(b, own(a), kind, [item]))
            assert truth(a) == before
        assert [key for key in a.exchange.counters if key.startswith("proof")] == [], "an honest member may not know yet"


@in_virtual_time
async def test_a_revocation_outlives_restarts_and_reaches_who_was_down(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        await fleet.stop("b")
        await fleet.node("a").revoking.revoke("c")
        await fleet.stop("a")
        await fleet.start("b")
        assert not fleet.node("b").roster.revoked("c"), "it cannot know yet"
        await fleet.start("a")
        await fleet.until(lambda: fleet.node("b").roster.revoked("c"), 60)
        await fleet.stop("a", "b")
        await fleet.start("a", "b")
        for name in "ab":
            await refused(fleet.node(name), forge(own(fleet.node("c")), own(fleet.node(name)), ParcelType.PING, [ping()]),
                          "refused_forged")  # fmt: skip
        await honest_still_flows(fleet, ("a", "b"), ("b", "a"))


@in_virtual_time
async def test_a_list_that_comes_from_anybody_acts_because_the_root_signed_it(home: Path) -> None:
    async with ground(home) as fleet:
        await settled(fleet)
        fleet.net.sky.both("a", "b", "*", Weather(hole=True))
        await fleet.node("a").revoking.revoke("c")
        frame = fleet.node("a").roster.revocation_frame
        letter = forge(own(fleet.node("c")), own(fleet.node("b")), ParcelType.REVOCATION, [frame])
        await fleet.node("b").receiver.deliver_for("git", framed=False, replies=False)(letter[38:])
        assert fleet.node("b").roster.revoked("c"), "even the revoked one may bring it"


@in_virtual_time
async def test_only_the_root_s_node_revokes_and_never_a_stranger_or_itself(home: Path) -> None:
    async with ground(home, "ab") as fleet:
        with pytest.raises(NoIdentity):
            await fleet.node("b").revoking.revoke("a")
        for nobody in ("z", "a"):
            with pytest.raises(UnknownPeer):
                await fleet.node("a").revoking.revoke(nobody)
        await honest_still_flows(fleet)


@in_virtual_time
async def test_the_revoked_is_let_in_again_above_its_lost_serial_also_when_the_clock_went_back(home: Path) -> None:
    async with ground(home) as fleet:
        await _revoke_c(fleet)
        a = fleet.node("a")
        floor = a.roster.revocation.nodes["c"]
        fleet.jump("a", -400 * 86_400.0)
        fresh = sealing.signing_key(b"the new key of the same machine.")
        serial, certificate = a.control._certify("c", fresh.public, 2, a.world.now())
        assert serial >= floor
        intro = join_intro(certificate, manifest_of(own(fleet.node("c")), fresh))
        a.gossip.learn([intro])
        assert a.roster.member("c")
        known = a.roster.get("c")
        assert known is not None
        assert known.key == fresh.public
        thief = own(fleet.node("c"))
        await refused(a, forge(thief, own(a), ParcelType.MAIL, [mail(fleet)], intro=thief.intro), "refused_revoked")
        await refused(a, forge(thief, own(a), ParcelType.MAIL, [mail(fleet)]), "refused_forged")


@in_virtual_time
async def test_the_root_s_version_rises_although_its_clock_went_back(home: Path) -> None:
    async with ground(home, "abcd") as fleet:
        await settled(fleet)
        await fleet.node("a").revoking.revoke("c")
        first = fleet.node("a").roster.revocation.version
        fleet.jump("a", -86_400.0)
        await fleet.node("a").revoking.revoke("d")
        assert fleet.node("a").roster.revocation.version == first + 1
        await fleet.until(lambda: fleet.node("b").roster.revoked("d"), 60)
        emptied = write_frame(
            Revocation(v=1, fleet="simfleet", version=first, nodes={}), own(fleet.node("a")).root  # type: ignore[arg-type]
        )
        assert fleet.node("b").roster.revoke(emptied) is False
