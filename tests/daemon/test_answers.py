"""Who waits for an answer gets it, from its addressee alone, and no session is handed it meanwhile; in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from fleet.core import policy
from fleet.daemon.sessions import Event
from fleet.store.inbox import Mail
from tests.support import virtual
from tests.support.fleet import Fleet

Story = Callable[[Fleet], Awaitable[None]]


def play(tmp_path: Path, story: Story) -> None:
    async def whole() -> None:
        fleet = Fleet(tmp_path, ("a", "b", "c"), roads=("http",))
        await fleet.start()
        await story(fleet)
        await fleet.stop()

    virtual.run(whole())


def waits(fleet: Fleet, id: str, timeout: float = 60.0, session: str = "ask") -> "asyncio.Task[Mail | None]":
    """Wait on a for b's answer."""
    return asyncio.create_task(fleet.node("a").agents.answers.wait(id, "b", session, timeout))


async def prompt(fleet: Fleet) -> tuple[str, ...]:
    """What the next hook of a session on a is handed."""
    event = Event(event="prompt", session="s", program="claude", limit=10_000)
    return (await fleet.node("a").agents.handover.came(event)).ids


async def settled(fleet: Fleet, sender: str, id: str) -> None:
    await fleet.until(lambda: fleet.state(sender, id) == "received", step=0.01)


def test_the_answer_wakes_who_waits_and_goes_to_no_session(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await prompt(fleet)
        id = await fleet.send("a", "b", "how many?", type="query")
        task = waits(fleet, id)
        await settled(fleet, "a", id)
        answer = await fleet.send("b", "a", "three", type="reply", re=id)
        found = await task
        assert found is not None and found.id == answer
        assert await prompt(fleet) == ()  # it is being handed to who waited
        await fleet.node("a").mail.shown([answer], "ask")
        await fleet.until(lambda: fleet.state("b", answer) == "shown")

    play(tmp_path, story)


def test_an_answer_that_was_never_printed_is_shown_to_a_session_later(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        id = await fleet.send("a", "b", "how many?", type="query")
        task = waits(fleet, id)
        await settled(fleet, "a", id)
        answer = await fleet.send("b", "a", "three", type="reply", re=id)
        assert await task is not None
        await asyncio.sleep(policy.HANDOVER_LEASE / 1000 + 1)
        assert await prompt(fleet) == (answer,)

    play(tmp_path, story)


def test_what_others_say_of_a_question_is_no_answer(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        id = await fleet.send("a", "b", "how many?", type="query")
        task = waits(fleet, id, timeout=30.0)
        forged = await fleet.send("c", "a", "nine", type="reply", re=id)
        other = await fleet.send("b", "a", "of another question", type="reply", re="0" * 32)
        plain = await fleet.send("b", "a", "no reply", re=id)
        assert await task is None
        assert set(await prompt(fleet)) == {forged, other, plain}

    play(tmp_path, story)


def test_an_answer_that_came_before_anybody_waited_is_found(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        id = await fleet.send("a", "b", "how many?", type="query")
        answer = await fleet.send("b", "a", "three", type="reply", re=id)
        await settled(fleet, "b", answer)
        found = await waits(fleet, id)
        assert found is not None and found.id == answer
        again = await asyncio.gather(waits(fleet, id), waits(fleet, id, session="other"))
        assert [mail.id for mail in again if mail] == [answer, answer]

    play(tmp_path, story)


def test_a_question_that_is_over_is_waited_for_no_longer(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        await fleet.stop("b")
        id = await fleet.send("a", "b", "how many?", type="query")
        task = waits(fleet, id, timeout=3600.0)
        await asyncio.sleep(1.0)
        began = asyncio.get_running_loop().time()
        await fleet.node("a").mail.cancel(id)
        assert await task is None
        assert asyncio.get_running_loop().time() - began < 60.0
        await fleet.start("b")

    play(tmp_path, story)
