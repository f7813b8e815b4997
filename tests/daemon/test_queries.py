"""What daemons ask each other: answered without troubling anybody, as far as the asker is trusted, and never for long."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.core import policy
from fleet.daemon import queries
from fleet.daemon.sessions import Event
from tests.support import virtual
from tests.support.fleet import Fleet

Story = Callable[[Fleet], Awaitable[None]]


def play(tmp_path: Path, story: Story, names: tuple[str, ...] = ("a", "b")) -> None:
    async def whole() -> None:
        fleet = Fleet(tmp_path, names, roads=("http",))
        await fleet.start()
        await fleet.until(lambda: all(peer["state"] == "on" for peer in fleet.node("a").sight.peers()))
        await story(fleet)
        await fleet.stop()

    virtual.run(whole())


async def begin(fleet: Fleet, node: str, session: str, **more: object) -> str:
    """Let a session start on a node; gives what it is told."""
    one = Event(event="start", session=session, program="claude", limit=10_000, **more)  # type: ignore[arg-type]
    return (await fleet.node(node).agents.handover.came(one)).text


async def listed(fleet: Fleet, node: str = "a") -> dict[str, dict[str, Any]]:
    found = await fleet.node(node).agents.queries.sessions()
    return {f"{one['node']}/{one['id']}": one for one in found}


def test_all_sessions_of_the_fleet_are_listed(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await begin(fleet, "a", "s1")
        await begin(fleet, "b", "s2", cwd="/home/x/project")
        await begin(fleet, "c", "s3")
        found = await listed(fleet)
        assert sorted(found) == ["a/s1", "b/s2", "c/s3"]
        assert found["b/s2"]["cwd"] == ""
        await asyncio.sleep(1)
        assert all(mail.state == "done" for name in "abc" for mail in fleet.inbox(name))

    play(tmp_path, story, ("a", "b", "c"))


def test_a_trusted_peer_is_told_where_the_sessions_work(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await begin(fleet, "b", "s2", cwd="/home/x/project", branch="main")
        fleet.node("b").exchange.level = lambda peer: 3  # type: ignore[method-assign]
        answer = await fleet.node("a").agents.queries.ask("b", "status")
        assert answer is not None
        level = fleet.inbox("b")[-1].level
        body = (await fleet.node("a").agents.queries.ask("b", "sessions")) or {}
        assert ("cwd" in body["sessions"][0]) == (level >= policy.TRUST_SHARED)

    play(tmp_path, story)


def test_every_ask_has_its_answer(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        asked = fleet.node("a").agents.queries.ask
        assert (await asked("b", "sessions")) == {"answer": "sessions", "sessions": []}
        status = await asked("b", "status")
        assert status is not None
        assert (status["status"]["node"], status["status"]["sessions"]) == ("b", 0)
        known = await asked("b", "capabilities")
        assert known is not None
        assert "message" in known["capabilities"]["types"]

    play(tmp_path, story)


def test_a_node_that_does_not_answer_is_unknown_with_what_it_said_last_and_leaves_no_dead_letter(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await begin(fleet, "b", "s2")
        assert (await listed(fleet))["b/s2"]["state"] == "active"
        await fleet.stop("b")
        await asyncio.sleep(policy.ASK_AGAIN + 1)
        assert (await listed(fleet))["b/s2"]["state"] == "unknown"
        await asyncio.sleep(300)
        assert (await listed(fleet))["b/s2"]["state"] == "unknown"
        reader = fleet.node("a").reader
        assert (reader.outbox.list_dead(10), reader.outbox.list_open(10)) == ([], [])

    play(tmp_path, story)


def test_a_node_of_which_nothing_was_ever_heard_is_a_line_of_its_own(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await fleet.stop("b")
        await asyncio.sleep(300)
        assert (await listed(fleet))["b/None"] == {
            "id": None, "node": "b", "program": "", "agent": "", "cwd": "", "branch": "", "idle_ms": None, "state": "unknown"
        }  # fmt: skip

    play(tmp_path, story)


def test_an_answer_counts_for_a_few_seconds(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        for _ in range(20):
            await listed(fleet)
        assert len(fleet.inbox("b")) == 1
        await asyncio.sleep(policy.ASK_AGAIN + 1)
        await listed(fleet)
        assert len(fleet.inbox("b")) == 2

    play(tmp_path, story)


def test_a_question_for_people_stays_in_the_inbox(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await fleet.send("a", "b", "how are you?", type="query")
        await fleet.send("a", "b", {"ask": "weather"}, type="query")  # type: ignore[arg-type]
        await fleet.until(lambda: len(fleet.inbox("b")) == 2)
        await asyncio.sleep(10)
        assert [mail.state for mail in fleet.inbox("b")] == ["received", "received"]

    play(tmp_path, story)


def test_an_answer_nobody_asked_for_changes_nothing_and_troubles_nobody(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        lie = {"answer": "sessions", "sessions": [{"id": "x", "agent": "root"}]}
        await fleet.send("a", "b", lie, type="reply", re="f" * 32)  # type: ignore[arg-type]
        await fleet.until(lambda: [mail.state for mail in fleet.inbox("b")] == ["done"])
        assert await listed(fleet, "b") == {}
        assert (await begin(fleet, "b", "s")).count("\n") == 1  # who is there, and no mail

    play(tmp_path, story)


def test_one_who_asks_without_end_gets_no_more_answers(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        for _ in range(queries.PER_MINUTE + 5):
            await fleet.send("a", "b", {"ask": "status"}, type="query")  # type: ignore[arg-type]
        await fleet.until(lambda: all(mail.state == "done" for mail in fleet.inbox("b")))
        await asyncio.sleep(10)
        assert len(fleet.inbox("a")) == queries.PER_MINUTE

    play(tmp_path, story)


def test_a_session_that_starts_is_told_who_is_there_and_what_they_do(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await begin(fleet, "b", "s2", agent="reviewer")
        await fleet.node("a").agents.queries.sessions()
        told = await begin(fleet, "a", "s1")
        assert "this is session s1 (agent claude) on node a" in told
        assert "- b is on" in told
        assert "reviewer busy" in told

    play(tmp_path, story)


def test_the_names_of_agents_change_the_manifest_once_a_minute_at_most(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        node = fleet.node("b")
        serials = set()
        for n in range(90):
            await begin(fleet, "b", f"s{n}", agent=f"agent{n % 20}")
            await asyncio.sleep(2)
            serials.add(node.roster.me.read_manifest().serial)
        assert len(serials) <= 5
        await asyncio.sleep(120)
        assert len(node.roster.me.read_manifest().agents) == 16
        await fleet.until(lambda: fleet.node("a").sight.peers()[0]["agents"] != [])
        before = node.roster.me.read_manifest().serial
        await fleet.stop("b")
        await fleet.start("b")
        assert fleet.node("b").roster.me.read_manifest().serial == before

    play(tmp_path, story)


def test_a_name_leaves_the_manifest_some_time_after_its_last_session(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await begin(fleet, "b", "s")
        agents = lambda: list(fleet.node("b").roster.me.read_manifest().agents)  # noqa: E731
        await fleet.until(lambda: agents() == ["claude"])
        await fleet.node("b").agents.handover.came(Event(event="end", session="s", program="claude"))
        await asyncio.sleep(policy.NAMES_LINGER / 1000 - 30)
        assert agents() == ["claude"]
        await fleet.until(lambda: agents() == [])

    play(tmp_path, story)


@pytest.mark.parametrize("said", [b"", b"no json", b"{}", b'[{"sessionId": 7}]', b"[" * 100_000])
def test_what_claude_code_says_badly_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    async def run(argv: list[str], patience: float, most: int = 0) -> bytes:
        return said

    async def story(fleet: Fleet) -> None:
        await begin(fleet, "a", "s1")
        fleet.node("a").agents.rollcall._ask_claude = True
        assert [one["id"] for one in await fleet.node("a").agents.rollcall.all()] == ["s1"]

    monkeypatch.setattr("fleet.daemon.rollcall.run", run)
    play(tmp_path, story)


def test_sessions_without_hooks_are_listed_as_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def run(argv: list[str], patience: float, most: int = 0) -> bytes:
        asked.append(argv)
        known = [
            {"pid": 7, "cwd": "/w", "kind": "interactive", "sessionId": "s1", "name": "x", "status": "idle"},
            {"pid": 8, "cwd": "/v", "kind": "interactive", "sessionId": "s9", "name": "bare", "status": "busy"},
        ]
        return json.dumps(known).encode()

    async def story(fleet: Fleet) -> None:
        await begin(fleet, "a", "s1")
        fleet.node("a").agents.rollcall._ask_claude = True
        for _ in range(3):
            found = {one["id"]: one for one in await fleet.node("a").agents.rollcall.all()}
        assert (found["s9"]["reach"], found["s9"]["agent"], found["s9"]["state"]) == ("none", "bare", "active")
        assert found["s1"]["reach"] == "hook"
        assert asked == [["claude", "agents", "--json"]]

    monkeypatch.setattr("fleet.daemon.rollcall.run", run)
    play(tmp_path, story)
