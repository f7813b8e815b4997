"""The content gate where mail passes: refused or marked at the counter, at the first lease and at the door."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fleet.core import policy
from fleet.core.envelope import content, digest, read, stamp
from fleet.core.receipt import Fate
from fleet.core.submission import Desk, Submission, draft_of
from fleet.store import Store
from tests.engine.doors import Door, at_the_door, mail, parcel
from tests.engine.nodes import Tale, told
from tests.support import virtual
from tests.support.enrolment import paths_at

KEY = "AKIAIOSFODNN7EXAMPLE"
CARD = "4111 1111 1111 1111"


async def submitted(tale: Tale, body: Any, **words: Any) -> dict[str, Any]:
    """What a answers when it is asked to send something to b."""
    return (await tale.fleet.node("a").mail.submit([Submission(to="b", body=body, **words)]))[0]


def body_at(tale: Tale, name: str) -> list[Any]:
    """The bodies in an inbox, oldest first."""
    return [read(stamp(mail.content, 0, mail.exp)).body for mail in tale.fleet.inbox(name)]


def audited(tale: Tale, name: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Peer and details of the entries of a kind in a node's audit chain."""
    return [(entry.peer, entry.details) for entry in tale.fleet.node(name).reader.audit.entries(kind=kind)]


def levelled(tale: Tale, name: str, peer: str, level: int) -> None:
    """Let a node trust a peer so far, as an operator would say it."""
    tale.fleet.node(name).exchange.levels[peer] = level


# ── at the counter ───────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_secret_is_refused_at_the_counter_and_nothing_goes_out(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        answer = await submitted(tale, {"env": {"AWS": KEY}})
        assert answer["state"] == "refused"
        assert answer["reason"] == "content: aws_key at body.env.AWS; b has level 2; take it out, or fleet trust b 3"
        await asyncio.sleep(5)
        assert tale.sent() == [] and tale.fleet.inbox("b") == []
        assert tale.fleet.state("a", answer["id"]) == "refused"
        ((peer, details),) = audited(tale, "a", "refused_out")
        assert peer == "b" and details["gate"] == "content" and KEY not in str(details)
        assert tale.fleet.node("a").exchange.counters["content_aws_key"] == 1

    told(tmp_path, story)


def test_what_is_marked_at_the_counter_is_marked_in_every_copy(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        answer = await submitted(tale, {"note": f"paid with {CARD}", "n": 4111111111111111}, context={"by": "ana@x.example"})
        assert answer["state"] == "accepted"
        assert answer["content"] == [{"kind": "card", "place": "body.note", "action": "redact"}]
        await tale.fleet.until(lambda: tale.fleet.state("a", answer["id"]) == "received")
        assert body_at(tale, "b") == [{"note": "paid with [redacted:card]", "n": 4111111111111111}]
        row = tale.fleet.row("a", answer["id"])
        assert CARD.encode() not in row.content and row.digest == digest(row.content) == tale.fleet.inbox("b")[0].digest
        assert audited(tale, "a", "content") == [
            ("b", {"direction": "out", "kind": "card", "action": "redact", "place": "body.note", "id": answer["id"]})
        ]
        assert audited(tale, "b", "content") == []

    told(tmp_path, story)


def test_an_honest_message_is_left_alone(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        body = {"author": "Jane Doe <jane@example.com>", "host": "10.0.0.7", "call": "+1 555-123-4567"}
        answer = await submitted(tale, body)
        assert set(answer) == {"id", "to", "state"}
        await tale.fleet.until(lambda: body_at(tale, "b") == [body])

    told(tmp_path, story)


def test_the_same_request_again_is_known_whatever_the_gate_did_to_it(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = (await submitted(tale, f"card {CARD}"))["id"]
        asked = {"body": f"card {CARD}", "id": id}
        assert "error" not in await submitted(tale, **asked)
        levelled(tale, "a", "b", 4)  # now it would pass unmarked
        assert "error" not in await submitted(tale, **asked)
        assert (await submitted(tale, "card 5555-5555-5555-4444", id=id))["error"]["code"] == "conflict"

    told(tmp_path, story, start="a")


def test_mail_to_oneself_is_nobody_elses_business(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.node("a").mail.submit([Submission(to="a", body=KEY)])
        assert body_at(tale, "a") == [KEY]

    told(tmp_path, story, start="a")


# ── at the first lease ───────────────────────────────────────────────────────────────────────────────────────────────
async def asleep(tale: Tale, *bodies: Any) -> list[str]:
    """Stop a, put messages for b into its store that nobody screened, and start it again; gives their ids."""
    dice = tale.fleet.node("a").world.dice
    await tale.fleet.stop("a")
    home = paths_at(tale.fleet.directory / "a")
    store = Store.open(home.database, home.keys)
    now = int(virtual.now() * 1000)
    drafts = [draft_of(Submission(to="b", body=body), Desk(), now, dice(10)) for body in bodies]
    with store.db.transaction():
        store.outbox.submit(drafts, now)
    store.close()
    await tale.fleet.start("a")
    return [draft.id for draft in drafts]


def test_what_nobody_screened_is_screened_before_it_is_sent(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        secret, card, plain = await asleep(tale, f"take {KEY}", f"card {CARD}", "hello")
        await tale.fleet.until(lambda: len(tale.fleet.inbox("b")) == 2)
        assert sorted(body_at(tale, "b")) == ["card [redacted:card]", "hello"]
        refused = tale.fleet.row("a", secret)
        assert refused.what == "refused" and refused.reason.startswith("content: aws_key at body; b has level 2")
        assert KEY.encode() in refused.content
        row = tale.fleet.row("a", card)
        assert row.digest == digest(row.content) and row.size == len("card [redacted:card]")
        ((_, found),) = audited(tale, "a", "content")
        assert found["id"] == card and found["kind"] == "card"
        assert "error" not in await submitted(tale, f"card {CARD}", id=card)
        assert tale.fleet.state("a", plain) == "received"

    told(tmp_path, story)


def test_what_was_sent_once_is_sent_again_as_it_was(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        levelled(tale, "a", "b", 4)
        id = (await submitted(tale, KEY))["id"]
        await tale.fleet.until(lambda: tale.fleet.row("a", id).inc > 0)
        levelled(tale, "a", "b", 2)
        await tale.fleet.start("b")
        levelled(tale, "b", "a", 4)
        await tale.fleet.until(lambda: body_at(tale, "b") == [KEY])

    told(tmp_path, story, start="a")


def test_a_refused_secret_does_not_slip_out_by_a_retry(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = (await submitted(tale, f"take {KEY}"))["id"]
        await tale.fleet.node("a").mail.retry(id)
        await tale.fleet.until(lambda: tale.fleet.state("a", id) == "refused")
        assert tale.sent() == []
        levelled(tale, "a", "b", 3)
        await tale.fleet.node("a").mail.retry(id)
        await tale.fleet.until(lambda: body_at(tale, "b") == ["take [redacted:aws_key]"])

    told(tmp_path, story)


# ── at the door ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_secret_that_comes_in_is_refused_signed_and_twice_the_same(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        data = parcel(door.a, "b", [mail(1, body=f"take {KEY}"), mail(2)])
        for fates in ((Fate.REFUSED, Fate.STORED), (Fate.REFUSED, Fate.DUPLICATE)):
            answer = door.receipt(await door.bare(data))
            assert tuple(entry.fate for entry in answer.entries) == fates
            assert answer.entries[0].reason == "content: aws_key at body; a has level 2; take it out, or fleet trust a 3"
        assert body_at(door.tale, "b") == ["body 2"]
        assert [peer for peer, _ in audited(door.tale, "b", "refused_in")] == ["a"]
        assert door.counted["content_aws_key"] == 2

    at_the_door(tmp_path, story)


def test_what_is_marked_on_its_way_in_is_receipted_by_what_was_sent(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        item = mail(1, body={"note": CARD}, context={"by": "ssn 123-45-6789"})
        now = read(item)
        sent = digest(content(item, now.seq, now.exp))
        for fate in (Fate.STORED, Fate.DUPLICATE):
            (entry,) = door.receipt(await door.bare(parcel(door.a, "b", [item]))).entries
            assert (entry.fate, entry.digest) == (fate, sent)
        (kept,) = door.tale.fleet.inbox("b")
        found = read(stamp(kept.content, 0, kept.exp))
        assert (found.body, found.context) == ({"note": "[redacted:card]"}, {"by": "ssn [redacted:ssn]"})
        assert kept.digest == sent != digest(kept.content)
        places = [details["place"] for _, details in audited(door.tale, "b", "content")]
        assert places == ["body.note", "context.by"]

    at_the_door(tmp_path, story)


@pytest.mark.parametrize(
    ("level", "kept"), [(2, None), (3, {"key": "[redacted:aws_key]"}), (4, {"key": KEY})], ids=["2", "3", "4"]
)
def test_the_level_of_the_sender_decides_at_the_door(tmp_path: Path, level: int, kept: Any) -> None:
    async def story(door: Door) -> None:
        levelled(door.tale, "b", "a", level)
        await door.bare(parcel(door.a, "b", [mail(1, body={"key": KEY})]))
        assert body_at(door.tale, "b") == ([] if kept is None else [kept])

    at_the_door(tmp_path, story)


def test_words_that_are_handed_on_are_screened_by_the_lower_level(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        levelled(door.tale, "b", "a", 4)
        levelled(door.tale, "b", "c", 3)
        items = [mail(1, body={"key": KEY}), mail(2, body={"key": KEY}, context={"forwarded_from": "c"})]
        await door.bare(parcel(door.a, "b", items))
        assert body_at(door.tale, "b") == [{"key": KEY}, {"key": "[redacted:aws_key]"}]

    at_the_door(tmp_path, story)


def test_what_grows_beyond_the_limit_by_its_marks_is_refused(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        levelled(door.tale, "b", "a", 3)
        body = {"fill": "x" * (policy.ENVELOPE_LIMIT - 30_000), "list": [{"password": "q"}] * 1500}
        (entry,) = door.receipt(await door.bare(parcel(door.a, "b", [mail(1, body=body)]))).entries
        assert entry.fate is Fate.REFUSED and entry.reason.startswith("content: with 1500 marks in it")

    at_the_door(tmp_path, story, config={"b": '[content]\nlimit = "512KiB"\n'})


# ── what an operator says ────────────────────────────────────────────────────────────────────────────────────────────
def test_the_settings_of_each_node_hold_on_its_own_side(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await submitted(tale, f"take {KEY}, says jane@example.com")
        await tale.fleet.until(lambda: len(tale.fleet.inbox("b")) == 1)
        (body,) = body_at(tale, "b")
        assert KEY in body and "jane@" not in body and "[email:" in body

    told(
        tmp_path, story,
        config={"a": '[content]\naws_key = "pass"\n', "b": '[content]\naws_key = "pass"\nemail = "hash"\n'},
    )  # fmt: skip


def test_the_marks_of_two_nodes_of_a_fleet_are_the_same(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        for sender, to in (("a", "b"), ("b", "a")):
            await tale.fleet.send(sender, to, "ask jane@example.com")
        await tale.fleet.until(lambda: len(tale.fleet.inbox("a")) == len(tale.fleet.inbox("b")) == 1)
        assert body_at(tale, "a") == body_at(tale, "b") != ["ask jane@example.com"]

    config = '[content]\nemail = "hash"\n'
    told(tmp_path, story, config={"a": config, "b": config})


def test_explain_says_what_the_content_gate_would_do(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        gates = {one["gate"]: one for one in tale.fleet.node("a").sight.explain("b")["gates"]}
        assert gates["content"]["verdict"] == "clear"
        assert gates["content"]["reason"].startswith("level 2: block private_key, ")

    told(tmp_path, story, start="a")
