"""`fleet ask` between two real nodes: the addressee's answer and nobody else's, in time, late, and with daemons that die."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.nodes import FLEET, Node, World, until


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Node, Node]]:
    """Two members whose daemons run."""
    with World() as world:
        yield world.pair()


def start(node: Node, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start `fleet ask … --json`."""
    command = [*node.prefix, *FLEET, "ask", *words, "--json"]
    return subprocess.Popen(command, env=node.environ, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(asking: subprocess.Popen[bytes]) -> tuple[int, dict[str, object]]:
    """Wait for its end; gives exit code and value."""
    out, err = asking.communicate(timeout=60)
    return asking.returncode, json.loads(out) if out else {"err": err.decode()}


def question(node: Node, text: str) -> str:
    """Wait until a question is in a node's inbox; gives its id."""

    def found() -> str:
        return next((mail["id"] for mail in node.ok("inbox", "--peek", "--all") if mail["body"] == text), "")

    return until(found, f"{text} has arrived")


def shown(node: Node, body: str) -> str:
    """Say how far a message in a node's inbox is."""
    return next((str(mail["state"]) for mail in node.ok("inbox", "--peek", "--all") if mail["body"] == body), "missing")


def test_the_answer_is_printed_and_counts_as_shown(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "what is red?", "--timeout", "30")
    id = question(b, "what is red?")
    b.ok("send", "a", "the barn", "--type", "reply", "--re", id)
    code, value = end(asking)
    assert (code, value["id"], value["reply"], value["trust"]) == (0, id, "the barn", 2)
    assert shown(a, "the barn") == "shown"


def test_what_does_not_regard_the_question_is_no_answer_and_stays_unread(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "what is blue?", "--timeout", "30")
    id = question(b, "what is blue?")
    b.ok("send", "a", "something else", "--type", "reply", "--re", "0" * 32)
    b.ok("send", "a", "of another type", "--type", "message", "--re", id)
    b.ok("send", "a", "the river", "--type", "reply", "--re", id)
    assert end(asking)[1]["reply"] == "the river"
    assert shown(a, "something else") == shown(a, "of another type") == "received"


def test_only_the_addressee_can_answer(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "what is green?", "--timeout", "3")
    id = question(b, "what is green?")
    a.ok("send", "a", "forged", "--type", "reply", "--re", id)  # by another sender than b
    assert end(asking)[0] == 7
    assert shown(a, "forged") == "received"


def test_an_answer_that_comes_too_late_waits_in_the_inbox(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "what is slow?", "--timeout", "1")
    code, value = end(asking)
    assert code == 7 and value["reply"] is None and value["id"] == question(b, "what is slow?")
    b.ok("send", "a", "the snail", "--type", "reply", "--re", str(value["id"]))
    until(lambda: shown(a, "the snail") == "received", "the late answer is unread")


def test_the_daemon_may_start_anew_while_an_answer_is_awaited(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "what lasts?", "--timeout", "60")
    id = question(b, "what lasts?")
    a.kill()
    b.fleet("send", "a", "stone", "--type", "reply", "--re", id, "--wait", "none")
    a.start()
    code, value = end(asking)
    assert (code, value["reply"]) == (0, "stone")


def test_an_object_and_standard_input_pass_whole(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "-", "--timeout", "30", stdin=subprocess.PIPE)
    assert asking.stdin is not None
    asking.stdin.write("ünïcode question".encode())
    asking.stdin.close()
    asking.stdin = None
    id = question(b, "ünïcode question")
    b.submit([{"to": "a", "type": "reply", "re": id, "body": {"n": [1, 2]}}])
    assert end(asking)[1]["reply"] == {"n": [1, 2]}


def test_a_question_that_cannot_be_accepted_ends_at_once(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    assert a.fleet("ask", "nobody", "hello", "--json").code == 5
    assert a.fleet("ask", "b", "--json").code == 2
    assert a.fleet("ask", "b", "x", "--timeout", "3d", "--json").code == 2
    refused = a.fleet("ask", "b", "x", "--type", "spawn", "--json")
    assert refused.code == 2, "only what can be answered"


def test_an_evicted_peer_is_refused(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    a.ok("evict", "b", "--yes")
    try:
        done = a.fleet("ask", "b", "are you there?", "--timeout", "20", "--json")
        assert done.code == 4 and done.value["state"] == "refused" and done.value["reply"] is None
        assert "evict" in done.value["reason"]
    finally:
        a.ok("reactivate", "b", "--yes")


def test_an_interrupt_ends_the_waiting_and_leaves_the_question(pair: tuple[Node, Node]) -> None:
    a, b = pair
    asking = start(a, "b", "what is left?", "--timeout", "60")
    id = question(b, "what is left?")
    asking.send_signal(signal.SIGINT)
    assert end(asking)[0] == 130
    b.ok("send", "a", "this", "--type", "reply", "--re", id)
    until(lambda: shown(a, "this") == "received", "the answer is unread")


def test_without_a_daemon_the_question_is_accepted_and_nobody_waits(pair: tuple[Node, Node]) -> None:
    a, b = pair
    a.terminate()
    done = a.fleet("ask", "b", "are we down?", "--timeout", "60", "--json")
    a.start()
    assert done.code == 7 and done.value["state"] == "accepted" and done.value["reply"] is None
    assert question(b, "are we down?") == done.value["id"]
