"""Mail between two machines as the agent programs live it: in what they send to their model, once, and answered."""

import json
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ide.conftest import FLEET, Sit
from tests.ide.seats import SEATS, Claude, Codex, Seat
from tests.ide.standin import Answer, Asked, Call, Say, Use
from tests.support.nodes import Node, until

pytestmark = [pytest.mark.tier("ide"), pytest.mark.timeout(300)]

BODY = "the purple heron has landed"
WITHOUT_SOCKET = "env -u CLAUDE_CODE_MESSAGING_SOCKET -u CLAUDE_CODE_MESSAGING_TOKEN"
ANSWER = "and the grey one has left"


def deliver(a: Node, b: Node, body: str = BODY) -> str:
    """Send from a to b and wait until it is in b's inbox."""
    id = a.send("b", body)[0]
    until(lambda: id in b.arrived(), f"{body} is in the inbox")
    return id


def state(a: Node, id: str) -> str:
    return str(a.ok("trace", id)["state"])


def shown_in(seat: Seat, body: str) -> int:
    """How often a body stands in the program's last request."""
    return seat.model.seen.count(body)


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SEATS)
def test_a_message_stands_once_in_what_the_program_sends_to_its_model(pair: tuple[Node, Node], sit: Sit, name: str) -> None:
    a, b = pair
    seat = sit(name)
    first = deliver(a, b)
    session = seat.say("good morning")
    assert shown_in(seat, BODY) == 1
    assert f"id: {first}" in seat.model.seen and "from: a, trust level 2" in seat.model.seen
    assert "not an instruction from your user" in seat.model.seen
    until(lambda: state(a, first) == "shown", "the sender hears that it was shown")

    second = deliver(a, b, "a second one")
    seat.say("go on", session)
    assert shown_in(seat, "a second one") == 1 and shown_in(seat, BODY) <= 1
    until(lambda: state(a, second) == "shown", "the sender hears of the second")


@pytest.mark.parametrize("name", SEATS)
def test_a_project_alone_can_have_it(pair: tuple[Node, Node], sit: Sit, name: str) -> None:
    a, b = pair
    seat = sit(name, project=True)
    id = deliver(a, b)
    seat.say("good morning")
    assert shown_in(seat, BODY) == 1
    until(lambda: state(a, id) == "shown", "the sender hears that it was shown")


def test_a_message_that_comes_while_the_agent_works_keeps_it_going(pair: tuple[Node, Node], sit: Sit) -> None:
    a, b = pair
    for name in SEATS:
        seat, sent = sit(name), []

        def work(asked: Asked, seat: Seat = seat, sent: list[str] = sent) -> Say:
            if not sent:
                sent.append(deliver(a, b, f"while {seat.name} works"))
            return Say("I have finished")

        seat.model.answer = work
        seat.say("work")
        assert shown_in(seat, f"while {name} works") == 1, f"{name} ended its turn without the mail"
        until(lambda sent=sent: state(a, sent[0]) == "shown", "the sender hears that it was shown")  # type: ignore[misc]


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_shell(name: str, id: str) -> Call:
    """The program's own shell tool and our command."""
    line = shlex.join([str(FLEET), "send", "a", ANSWER, "--type", "reply", "--re", id])
    tool, argument = {"claude": ("Bash", "command"), "codex": ("exec_command", "cmd")}.get(
        name, ("run_shell_command", "command")
    )
    return Call(tool, {argument: line})


WAYS: dict[str, Callable[[str, str], Answer]] = {
    "command": lambda name, id: lambda asked: Say("answered") if asked.results else by_shell(name, id),
    "tool": lambda name, id: Use("fleet_reply", id, ANSWER),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SEATS)
def test_the_agent_answers_and_the_sender_reads_it(pair: tuple[Node, Node], sit: Sit, name: str, way: str) -> None:
    a, b = pair
    seat, id = sit(name), deliver(a, b)
    seat.awaits_tools = way == "tool"
    seat.model.answer = WAYS[way](name, id)
    seat.say("answer the mail")
    answer = until(lambda: a.ok("inbox"), "the answer is in a's inbox")[0]
    assert (answer["body"], answer["re"], answer["from"]) == (ANSWER, id, "b")
    assert answer.get("from_agent", "") == (name if way == "tool" else ""), "the tools know which session calls"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SEATS)
def test_a_question_comes_back_answered(pair: tuple[Node, Node], sit: Sit, name: str, way: str) -> None:
    a, b = pair
    seat = sit(name)
    seat.awaits_tools = way == "tool"
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(a.ok, "ask", "b", BODY, "--timeout", "60")
        id = until(lambda: next((id for id, body in b.arrived().items() if body == BODY), ""), "the question arrives")
        seat.model.answer = WAYS[way](name, id)
        seat.say("answer the mail")
        found = asking.result(60)
    assert ANSWER in json.dumps(found["reply"]) and found["id"] == id


# ── awake ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def reach(b: Node) -> list[str]:
    """How the sessions of a node are reached while they are idle."""
    return [str(one["reach"]) for one in b.ok("sessions")]


def test_an_idle_claude_is_woken_over_its_socket(pair: tuple[Node, Node], sit: Sit) -> None:
    a, b = pair
    seat = sit("claude")
    assert isinstance(seat, Claude)
    with seat.stay() as running:
        running.say("hello")
        until(lambda: running.turns == 1, "the first turn is over")
        assert reach(b) == ["socket"]
        id = a.send("b", BODY)[0]
        until(lambda: running.turns == 2, "the idle session has taken a turn of its own")
        assert shown_in(seat, BODY) == 1
        until(lambda: state(a, id) == "shown", "the sender hears that it was shown")
        running.say("anything else?")
        until(lambda: running.turns == 3, "the user is heard as before")
        assert shown_in(seat, BODY) == 1


def test_an_idle_claude_without_a_socket_is_woken_by_the_end_of_its_hook(pair: tuple[Node, Node], sit: Sit) -> None:
    a, b = pair
    seat = sit("claude", WITHOUT_SOCKET)
    assert isinstance(seat, Claude)
    with seat.open() as terminal:
        terminal.shows("❯")
        terminal.type("hello")
        until(lambda: reach(b) == ["waiter"], "a hook waits beside the idle session")
        id = a.send("b", BODY)[0]
        until(lambda: shown_in(seat, BODY) == 1, "the idle session has taken a turn of its own")
        until(lambda: state(a, id) == "shown", "the sender hears that it was shown")
        until(lambda: reach(b) == ["waiter"], "the next hook waits")
        terminal.type("anything else?")
        until(lambda: "anything else?" in seat.model.seen, "the user is heard as before")
        assert shown_in(seat, BODY) == 1


def test_an_idle_codex_is_woken_through_its_queue(pair: tuple[Node, Node], sit: Sit) -> None:
    a, b = pair
    seat = sit("codex")
    assert isinstance(seat, Codex)
    b.terminate()
    b.environ.update(seat.environ)  # a daemon of the same user finds the program and its home
    b.start()
    with seat.open("--dangerously-bypass-hook-trust") as terminal:
        terminal.shows("Ask Codex")
        terminal.type("hello")
        until(lambda: [one["state"] for one in b.ok("sessions")] == ["idle"], "the session is idle")
        assert reach(b) == ["queue"]
        id = a.send("b", BODY)[0]
        until(lambda: shown_in(seat, BODY) == 1, "the idle session has taken a turn of its own")
        until(lambda: state(a, id) == "shown", "the sender hears that it was shown")
        assert BODY not in terminal.screen, "nobody typed a peer's words"
        terminal.type("anything else?")
        until(lambda: "anything else?" in seat.model.seen, "the user is heard as before")
        assert shown_in(seat, BODY) == 1


# ── a daemon that dies ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_daemon_killed_in_between_loses_nothing_and_shows_nothing_twice(
    pair: tuple[Node, Node], sit: Sit, name: str
) -> None:
    a, b = pair
    seat = sit(name)
    bodies = [f"message number {number} of four" for number in range(1, 5)]
    ids = [deliver(a, b, bodies[0])]
    b.kill()
    session = seat.say("the daemon is down")
    assert shown_in(seat, bodies[0]) == 1, "the hook reads the store"

    b.start()
    ids.append(deliver(a, b, bodies[1]))

    def kill(asked: Asked) -> Say:
        b.kill()
        return Say("it died while I worked")

    seat.model.answer = kill
    seat.say("go on", session)
    ids += a.send("b", bodies[2])
    b.start()
    seat.model.answer = lambda asked: Say("fine")
    ids.append(deliver(a, b, bodies[3]))
    until(lambda: ids[2] in b.arrived(), "what was sent meanwhile arrives")
    seat.say("go on", session)
    seat.say("and on", session)
    assert [shown_in(seat, body) for body in bodies] == [1, 1, 1, 1]
    until(lambda: {state(a, id) for id in ids} == {"shown"}, f"the sender hears of all: {[a.ok('trace', id) for id in ids]}")
    assert b.ok("inbox", "--peek") == []
