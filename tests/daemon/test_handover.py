"""Mail into sessions: the right one, once, whatever breaks on the way; the sender learns that it was shown."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fleet.core import policy
from fleet.core.framing import Framed
from fleet.daemon.handover import Handover, Ways
from fleet.daemon.sessions import Event, Line
from fleet.errors import Faulty, FleetError, Unreachable
from tests.support import virtual
from tests.support.fleet import Fleet

LEASE = policy.HANDOVER_LEASE / 1000  # seconds
Story = Callable[[Fleet], Awaitable[None]]


class Programs:
    """Agent programs as the daemon sees them: what their sockets and queues were given, and how they fail."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []  # path, text, sender
        self.queued: list[str] = []
        self.fault: FleetError | None = None

    async def say(self, line: Line, text: str, sender: str) -> None:
        if isinstance(self.fault, Unreachable):
            raise self.fault
        self.said.append((line.path, text, sender))
        if self.fault is not None:
            raise self.fault

    async def queue(self, thread: str) -> None:
        self.queued.append(thread)
        if self.fault is not None:
            raise self.fault

    def attend(self, fleet: Fleet) -> Handover:
        """Be the programs of node b."""
        handover = fleet.node("b").agents.handover
        handover.ways = Ways(self.say, self.queue)
        return handover


def play(tmp_path: Path, story: Story) -> None:
    async def whole() -> None:
        fleet = Fleet(tmp_path, ("a", "b"), roads=("http",))
        await fleet.start()
        await story(fleet)
        await fleet.stop()

    virtual.run(whole())


def event(kind: str, session: str = "s", program: str = "claude", **more: object) -> Event:
    return Event(event=kind, session=session, program=program, limit=10_000, **more)  # type: ignore[arg-type]


async def hook(fleet: Fleet, kind: str, session: str = "s", program: str = "claude", **more: object) -> Framed:
    """One hook of a session on b that prints and confirms what it was given."""
    node = fleet.node("b")
    found = await node.agents.handover.came(event(kind, session, program, **more))
    if found.ids:
        await node.mail.shown(found.ids, session)
    return found


async def received(fleet: Fleet, body: str = "hello", **words: object) -> str:
    """Send from a to b and wait until it is there."""
    id = await fleet.send("a", "b", body, **words)
    await fleet.until(lambda: fleet.state("a", id) == "received", step=0.01)
    return id


def test_the_next_hook_shows_what_waits_once_and_the_sender_is_told(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await hook(fleet, "start")
        id = await received(fleet)
        found = await hook(fleet, "prompt")
        assert found.ids == (id,)
        assert "| hello" in found.text
        assert await hook(fleet, "prompt") == Framed("", (), "")
        await fleet.until(lambda: fleet.state("a", id) == "shown")
        (mail,) = fleet.inbox("b")
        assert mail.session == "s"

    play(tmp_path, story)


def test_a_hook_that_takes_no_text_is_given_none(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        id = await received(fleet)
        silent = Event(event="prompt", session="s", program="cursor")
        assert (await fleet.node("b").agents.handover.came(silent)).ids == ()
        assert (await hook(fleet, "idle", program="cursor")).ids == (id,)

    play(tmp_path, story)


def test_two_hooks_of_one_session_at_once_show_a_message_once(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await received(fleet)
        both = await asyncio.gather(hook(fleet, "prompt"), hook(fleet, "prompt", program="vscode"))
        assert sorted(len(found.ids) for found in both) == [0, 1]
        assert sum("hello" in found.text for found in both) == 1

    play(tmp_path, story)


def test_who_is_named_gets_it_and_nobody_else(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await hook(fleet, "start", "s", agent="reviewer")
        await hook(fleet, "start", "t")
        for_t = await received(fleet, session="t")
        for_reviewer = await received(fleet, agent="reviewer")
        for_nobody_here = await received(fleet, session="gone")
        assert (await hook(fleet, "prompt", "s")).ids == ()  # under another agent's name
        assert (await hook(fleet, "prompt", "s", agent="reviewer")).ids == (for_reviewer,)
        assert (await hook(fleet, "prompt", "t")).ids == (for_t,)
        assert fleet.state("a", for_nobody_here) == "received"

    play(tmp_path, story)


def test_urgent_mail_comes_first_and_what_does_not_fit_comes_with_the_next_hook(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        many = [await received(fleet, "x" * 3_000) for _ in range(4)]
        urgent = await received(fleet, "y" * 3_000, priority="urgent")
        first = await hook(fleet, "prompt")
        assert first.ids == (urgent, *many[: len(first.ids) - 1])
        assert f"{5 - len(first.ids)} messages more" in first.text
        shown = list(first.ids)
        while found := (await hook(fleet, "prompt")).ids:
            shown += found
        assert sorted(shown) == sorted([*many, urgent])

    play(tmp_path, story)


def test_a_session_with_a_socket_is_handed_mail_as_it_comes(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        await hook(fleet, "start", socket="/run/claude.sock", token="t")
        await hook(fleet, "idle")
        id = await received(fleet)
        await fleet.until(lambda: fleet.state("a", id) == "shown")
        ((path, text, sender),) = programs.said
        assert (path, sender) == ("/run/claude.sock", "a")
        assert "| hello" in text
        assert (await hook(fleet, "prompt")).ids == ()
        assert fleet.node("b").agents.rollcall.known()[0]["reach"] == "socket"

    play(tmp_path, story)


def test_the_idle_session_is_preferred_to_the_busy_one(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        await hook(fleet, "start", "idle", socket="/idle", token="t")
        await hook(fleet, "idle", "idle", socket="/idle", token="t")
        await hook(fleet, "prompt", "busy", socket="/busy", token="t")
        await received(fleet, "one")
        await fleet.until(lambda: len(programs.said) == 1)
        await hook(fleet, "end", "idle")
        await received(fleet, "two")
        await fleet.until(lambda: len(programs.said) == 2)
        assert [path for path, _, _ in programs.said] == ["/idle", "/busy"]

    play(tmp_path, story)


def test_a_dead_socket_is_forgotten_and_the_waiting_hook_gets_the_mail(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        handover = programs.attend(fleet)
        programs.fault = Unreachable("gone")
        await hook(fleet, "idle", socket="/s", token="t")
        waiting = asyncio.ensure_future(handover.wait(event("wait", socket="/s", token="t")))
        id = await received(fleet)
        assert (await waiting).ids == (id,)
        assert programs.said == []

    play(tmp_path, story)


def test_what_a_socket_perhaps_took_is_not_shown_there_again_but_named(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        programs.fault = Faulty("broke off")
        await hook(fleet, "idle", socket="/s", token="t")
        id = await received(fleet)
        await fleet.until(lambda: len(programs.said) == 1)
        programs.fault = None
        await asyncio.sleep(LEASE + 1)
        assert fleet.state("a", id) == "received"
        found = await hook(fleet, "prompt")
        assert found.ids == ()
        assert f"fleet inbox {id}" in found.text
        assert "hello" not in found.text
        assert (await hook(fleet, "prompt")).text == ""
        assert (await hook(fleet, "prompt", "another")).ids == (id,)  # it never had it
        assert len(programs.said) == 1

    play(tmp_path, story)


def test_a_waiting_hook_ends_when_mail_comes_and_only_the_latest_waits(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        handover = Programs().attend(fleet)
        await hook(fleet, "idle")
        first = asyncio.ensure_future(handover.wait(event("wait")))
        await asyncio.sleep(1)
        second = asyncio.ensure_future(handover.wait(event("wait")))
        assert await first == Framed("", (), "")
        assert fleet.node("b").agents.rollcall.known()[0]["reach"] == "waiter"
        id = await received(fleet)
        found = await second
        assert found.ids == (id,)
        assert fleet.node("b").agents.rollcall.known()[0]["state"] == "active"

    play(tmp_path, story)


def test_a_waiting_hook_is_let_go_when_its_session_ends(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        handover = Programs().attend(fleet)
        waiting = asyncio.ensure_future(handover.wait(event("wait")))
        await asyncio.sleep(1)
        await hook(fleet, "end")
        assert (await waiting).text == ""
        assert fleet.node("b").agents.rollcall.known() == []

    play(tmp_path, story)


def test_mail_for_a_waiting_hook_that_died_goes_to_the_next_hook(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        handover = Programs().attend(fleet)
        waiting = asyncio.ensure_future(handover.wait(event("wait")))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        id = await received(fleet)
        assert (await hook(fleet, "prompt")).ids == (id,)

    play(tmp_path, story)


def test_an_idle_codex_session_is_told_to_begin_a_turn_and_gets_the_mail_with_it(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        await hook(fleet, "idle", "thread", "codex")
        ids = [await received(fleet, f"{n}") for n in range(3)]
        await asyncio.sleep(60)
        assert programs.queued == ["thread"]
        assert (await hook(fleet, "prompt", "thread", "codex")).ids == tuple(ids)

    play(tmp_path, story)


def test_a_session_that_asks_nobody_is_not_reached_by_its_socket(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        await hook(fleet, "idle", socket="/s", token="t", held=True)
        id = await received(fleet)
        await asyncio.sleep(60)
        assert programs.said == []
        assert (await hook(fleet, "prompt", socket="/s", token="t", held=True)).ids == (id,)

    play(tmp_path, story)


def test_mail_wakes_a_session_only_so_often_an_hour_and_then_waits_for_its_user(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        for n in range(policy.WAKES):
            await received(fleet, f"{n}")
            assert len((await hook(fleet, "idle")).ids) == 1
        last = await received(fleet, "one too many")
        assert (await hook(fleet, "idle", socket="/s", token="t")).ids == ()
        await asyncio.sleep(60)
        assert programs.said == []
        assert (await hook(fleet, "prompt")).ids == (last,)
        await asyncio.sleep(policy.WAKE_WINDOW / 1000)
        await received(fleet, "later")
        await fleet.until(lambda: len(programs.said) == 1)

    play(tmp_path, story)


def test_a_busy_session_whose_hooks_are_silent_is_not_sent_more_than_it_can_queue(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        await hook(fleet, "prompt", socket="/s", token="t")
        for n in range(policy.PUSHES + 5):
            await received(fleet, f"{n}")
            await asyncio.sleep(1)
        assert len(programs.said) == policy.PUSHES
        assert len((await hook(fleet, "prompt", socket="/s", token="t")).ids) == 5

    play(tmp_path, story)


def test_what_a_person_read_meanwhile_is_not_shown_again(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        id = await received(fleet)
        await fleet.node("b").mail.shown([id])
        assert (await hook(fleet, "prompt")).text == ""

    play(tmp_path, story)


@pytest.mark.parametrize("after", [False, True])
def test_a_daemon_that_dies_while_it_hands_over_loses_nothing_and_shows_nothing_twice(tmp_path: Path, after: bool) -> None:
    async def story(fleet: Fleet) -> None:
        id = await received(fleet)
        fleet.crash_at_commit("b", 1, after=after)
        with pytest.raises(FleetError):
            await fleet.node("b").agents.handover.came(event("prompt"))
        await fleet.start("b")
        found = await hook(fleet, "prompt")
        if not after:  # it was not noted: nothing can have gone out
            assert found.ids == (id,)
            return
        assert found.text == ""
        await asyncio.sleep(LEASE + 1)
        found = await hook(fleet, "prompt")
        assert (found.ids, f"fleet inbox {id}" in found.text) == ((), True)

    play(tmp_path, story)


def test_a_daemon_that_dies_between_the_socket_and_the_note_does_not_say_it_twice(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        programs = Programs()
        programs.attend(fleet)
        await hook(fleet, "idle", socket="/s", token="t")
        say = programs.say

        async def fatal(line: Line, text: str, sender: str) -> None:
            await say(line, text, sender)
            fleet.crash_at_commit("b", 1, after=False)

        fleet.node("b").agents.handover.ways = Ways(fatal, programs.queue)
        id = await received(fleet)
        await fleet.until(lambda: "b" not in fleet.lives)
        await fleet.start("b")
        programs.attend(fleet)
        await hook(fleet, "idle", socket="/s", token="t")
        await asyncio.sleep(LEASE + 60)
        assert len(programs.said) == 1
        assert f"fleet inbox {id}" in (await hook(fleet, "prompt")).text
        assert fleet.state("a", id) == "received"

    play(tmp_path, story)


def test_sessions_are_open_again_after_a_restart(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await hook(fleet, "start", cwd="/work/api", branch="main")
        await asyncio.sleep(1)
        await fleet.stop("b")
        await fleet.start("b")
        (one,) = fleet.node("b").agents.rollcall.known()
        assert (one["id"], one["cwd"], one["branch"]) == ("s", "/work/api", "main")
        id = await received(fleet)
        assert (await hook(fleet, "prompt")).ids == (id,)

    play(tmp_path, story)
