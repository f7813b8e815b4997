"""A task for a node whose agents are all away waits at the chief, and comes when a session opens."""

import asyncio
from pathlib import Path

from fleet.core.lifecycle import Status
from fleet.daemon.sessions import Event
from tests.engine.nodes import Tale, told

ROADS = {"roads": ("nats", "http", "relay"), "trust": {"a": 3, "b": 3, "chief": 3}}


def session(tale: Tale, name: str, *, opens: bool) -> None:
    sessions = tale.fleet.node(name).agents.sessions
    if opens:
        sessions.came(Event(event="start", session="s1", program="claude"), idle=True)
    else:
        sessions.left("s1")


def run(tmp_path: Path, story: object, names: tuple[str, ...] = ("chief", "a", "b")) -> Tale:
    return told(tmp_path, story, names, **ROADS)  # type: ignore[arg-type]


def test_a_task_waits_at_the_chief_until_a_session_opens_and_arrives_once(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        session(tale, "b", opens=True)
        await asyncio.sleep(1)
        session(tale, "b", opens=False)
        id = await fleet.send("a", "b", type="task")
        await fleet.until(lambda: fleet.state("a", id) == "custody")
        assert set(fleet.row("a", id).taken) == {"relay"} and "no session" in fleet.row("a", id).reason
        await asyncio.sleep(120)
        assert fleet.inbox("b") == [] and fleet.state("a", id) == "custody"
        before = len([trip for trip in tale.sent() if trip.sender == "a"])
        assert before <= 3, "the sender bothers nobody while the chief keeps it"
        session(tale, "b", opens=True)
        took = await fleet.until(lambda: fleet.row("a", id).status is Status.DONE)
        assert took < 15 and [mail.id for mail in fleet.inbox("b")] == [id]

    run(tmp_path, story)


def test_mail_that_needs_no_session_comes_in_meanwhile(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        session(tale, "b", opens=True)
        await asyncio.sleep(1)
        session(tale, "b", opens=False)
        task, word = await fleet.send("a", "b", type="task"), await fleet.send("a", "b")
        await fleet.until(lambda: fleet.row("a", word).status is Status.DONE)
        assert [mail.id for mail in fleet.inbox("b")] == [word] and fleet.row("a", task).status is not Status.DONE

    run(tmp_path, story)


def test_where_no_session_ever_was_a_task_is_mail_like_any_other(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        id = await tale.fleet.send("a", "b", type="task")
        await tale.fleet.until(lambda: tale.fleet.row("a", id).status is Status.DONE, 5)

    run(tmp_path, story)


def test_without_a_third_node_that_is_chief_a_task_comes_in(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        session(tale, "b", opens=True)
        await asyncio.sleep(1)
        session(tale, "b", opens=False)
        id = await tale.fleet.send("chief", "b", type="task")
        await tale.fleet.until(lambda: tale.fleet.row("chief", id).status is Status.DONE, 5)

    run(tmp_path, story, ("chief", "b"))


def test_a_task_whose_time_ends_at_the_chief_is_a_dead_letter_that_may_have_arrived(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        fleet = tale.fleet
        session(tale, "b", opens=True)
        await asyncio.sleep(1)
        session(tale, "b", opens=False)
        id = await fleet.send("a", "b", type="task", ttl=300.0)
        await fleet.until(lambda: fleet.row("a", id).status is Status.DEAD)
        assert fleet.row("a", id).what == "unconfirmed"
        session(tale, "b", opens=True)
        await asyncio.sleep(60)
        assert fleet.inbox("b") == []

    run(tmp_path, story)
