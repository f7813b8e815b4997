"""Attack 8: JSON bombs to every reader, in every place; verified before they are parsed. More inputs: campaign fuzz."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fleet.core import parcel, peer, policy, sealing
from fleet.core.parcel import ParcelType
from fleet.core.peer import Certificate, Manifest, Revocation
from fleet.errors import Forged, Malformed
from tests.attacks.bombs import READERS, TREES, VALUES, Reader, corpus, fuzz, offered
from tests.core import samples
from tests.identity.ground import forge, ground, hand, honest_still_flows, in_virtual_time, own, settled
from tests.support.nodes import World

SAMPLE = 20_000
ITEM = 900_000  # bytes: a parcel holds no more


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_no_bomb_is_more_to_a_reader_than_a_refusal(reader: Reader) -> None:
    bombs = list(corpus(reader))
    taken = [data for data in bombs if offered(reader, data)]
    assert len(bombs) > 100
    assert len(taken) < len(bombs) / (10 if reader.strict else 1)
    assert offered(reader, reader.honest) or reader.name == "welcome"  # whose proof fits one link only


@pytest.mark.parametrize("seed", range(4))
def test_random_inputs_meet_no_reader_that_breaks(seed: int) -> None:
    assert fuzz(SAMPLE // 4, seed) < SAMPLE // 4


@settings(max_examples=1_000, deadline=None)
@given(TREES, some.sampled_from(READERS))
def test_any_value_at_all_meets_no_reader_that_breaks(value: object, reader: Reader) -> None:
    for text in (json.dumps(value), json.dumps(value, separators=(",", ":"), ensure_ascii=False)):
        data = text.encode("utf-8", "surrogatepass")
        offered(reader, data)
        offered(reader, reader.honest[:-1] + b',"more":%s}' % data)


def test_nothing_is_parsed_before_its_signature_was_verified() -> None:
    bombs = [value for value in VALUES if len(value) <= policy.HEADER_LIMIT]
    for bomb in bombs:
        signed = parcel.head(ParcelType.MAIL, samples.ALICE.kid, b"", bomb, 8) + bytes(8)
        with pytest.raises(Forged):
            sealing.check(parcel.take_apart(signed + bytes(64)), samples.ALICE.public)
        good = signed + sealing.sign(samples.ALICE, sealing.PARCEL, signed)
        with pytest.raises(Malformed):
            sealing.check(parcel.take_apart(good), samples.ALICE.public)
    for kind, magic in ((Certificate, b"FLC1"), (Manifest, b"FLM1"), (Revocation, b"FLV1")):
        for bomb in bombs:
            with pytest.raises(Forged):
                peer.read_frame(kind, peer._FRAME.pack(magic, len(bomb)) + bomb + bytes(64), samples.ROOT.public)


@pytest.mark.parametrize("kind", list(ParcelType), ids=lambda kind: kind.name.lower())
def test_a_member_that_seals_bombs_gets_nothing_in_and_the_daemon_lives(kind: ParcelType) -> None:
    @in_virtual_time
    async def told(home: Path) -> None:
        async with ground(home, "ab") as fleet:
            await settled(fleet)
            a, me = fleet.node("a"), own(fleet.node("b"))
            before = _mail(a)
            for bomb in VALUES:
                data = forge(me, own(a), kind, [bomb[:ITEM]])
                await hand(a, data, "nats")
                a.conduct.begin_anew("b")  # a member that does this is soon unheard; every bomb shall be heard
            assert _mail(a) == before
            await honest_still_flows(fleet, ("a", "b"))

    told()


def _mail(node: object) -> list[object]:
    return [list(node.store.db.conn.execute(f"SELECT * FROM {table}")) for table in ("inbox", "level", "frame", "sender")]  # type: ignore[attr-defined]


HOOK = [value if value[:1] == b"{" else b'{"session_id":"s","prompt":%s}' % value for value in VALUES[::5]]


def test_real_commands_and_doors_say_no_to_bombs_and_go_on(world: World) -> None:
    a = world.found("a", nats=False)
    for bomb in VALUES:
        for body in (bomb, b'{"to":"a","unknown":' + bomb + b"}", b'{"to":' + bomb + b',"body":"x"}'):
            answer = a.post("/message", body)
            assert 400 <= answer.status < 500, (body[:60], answer)
            assert json.loads(answer.body)["error"]["message"]
        for verb in ("shown", "session", "trace", "peer_set", "join"):
            assert 400 <= a.post(f"/verb/{verb}", b'{"peer":' + bomb + b',"unknown":1}').status < 500, (verb, bomb[:60])
    for data in HOOK:
        done = a.fleet("hook", "prompt", "--ide", "gemini", stdin=data)
        assert (done.code, done.out, done.err) == (0, "", ""), data[:60]
    assert a.arrived() == {} and a.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert '"bug"' not in a.log and "Traceback" not in a.log
    a.ok("send", "a", "honest")
    assert list(a.arrived().values()) == ["honest"]
