"""The tools as the MCP inspector sees them: over standard input and output and over HTTP, listed, called, portable."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ide import equipment
from tests.ide.conftest import FLEET
from tests.support.nodes import Done, Node, until

pytestmark = [pytest.mark.tier("ide"), pytest.mark.timeout(300)]


def inspect(node: Node, *words: str) -> Done:
    """Run the inspector's command-line client beside a node; it writes nothing into anybody's home."""
    home = node.home.parent / "inspector"
    home.mkdir(exist_ok=True)
    command = [str(equipment.programs() / "mcp-inspector"), "--cli", *words]
    done = subprocess.run(command, env={**node.environ, "HOME": str(home)}, capture_output=True, timeout=90, cwd=home)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def stdio(node: Node, *words: str) -> Done:
    """Inspect `fleet mcp` as an agent program starts it."""
    return inspect(node, "-e", f"FLEET_HOME={node.home}", str(FLEET), "mcp", *words)


def called(done: Done) -> Any:
    """What a tool gave, as a value."""
    assert done.code == 0, done
    return done.value["structuredContent"]


def test_the_inspector_lists_every_tool_and_finds_no_fault(pair: tuple[Node, Node]) -> None:
    done = stdio(pair[0], "--method", "tools/list", "--strict")
    assert done.code == 0, done.err
    found = {tool["name"] for tool in done.value["tools"]}
    assert {"fleet_send", "fleet_inbox", "fleet_reply", "fleet_ask", "fleet_operate"} <= found and len(found) == 16


def test_the_inspector_calls_the_tools_and_reads_the_resources(pair: tuple[Node, Node]) -> None:
    a, b = pair
    words = ["--method", "tools/call", "--tool-name"]
    sent = called(stdio(a, *words, "fleet_send", "--tool-arg", "to=b", "--tool-arg", "text=from the inspector"))
    assert sent["arrived"] and b.arrived()[sent["id"]] == "from the inspector"
    assert called(stdio(a, *words, "fleet_status"))["node"] == "a"
    assert [peer["node"] for peer in called(stdio(a, *words, "fleet_peers"))["peers"]] == ["b"]
    id = b.send("a", "for the inspector")[0]
    until(lambda: id in a.arrived(), "the answer is there")
    assert "for the inspector" in called(stdio(a, *words, "fleet_inbox"))["text"]
    assert called(stdio(a, *words, "fleet_done", "--tool-arg", f"id={id}"))["state"] == "done"
    read = stdio(a, "--method", "resources/read", "--uri", "fleet://status")
    assert json.loads(read.value["contents"][0]["text"])["node"] == "a"


def test_the_inspector_cannot_act_as_the_operator(pair: tuple[Node, Node]) -> None:
    words = ["--method", "tools/call", "--tool-name", "fleet_operate", "--tool-arg", "action=evict", "--tool-arg", "peer=b"]
    done = stdio(pair[0], *words)
    assert "fleet evict b" in done.out + done.err or "did not agree" in done.out + done.err
    assert pair[0].ok("breaker", "b")["state"] == "active"


@pytest.fixture
def served(pair: tuple[Node, Node]) -> Iterator[tuple[str, str]]:
    """`fleet mcp --http` beside the first node; gives its URL and the token."""
    a, _ = pair
    a.terminate()
    a.environ["FLEET_API"] = "127.0.0.1:0"
    a.start()
    words = [str(FLEET), "mcp", "--http", "--port", "0", "--json"]
    with subprocess.Popen(words, env=a.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield said["url"], Path(said["token"]).read_text().strip()
        process.terminate()


def test_the_inspector_comes_in_over_http_with_the_token_alone(pair: tuple[Node, Node], served: tuple[str, str]) -> None:
    url, token = served
    words = [url, "--transport", "http", "--method", "tools/call", "--tool-name", "fleet_status"]
    assert called(inspect(pair[0], *words, "--header", f"Authorization: Bearer {token}"))["node"] == "a"
    assert inspect(pair[0], *words).code != 0
