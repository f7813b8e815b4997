"""fleet demo: the whole story on real parts, what it leaves behind, and that it never calls a bad end good."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.faces import demo
from fleet.faces.demo import Sent, Story
from fleet.faces.sandbox import Guard, Member
from tests.faces.test_bench import living

DEMO = (sys.executable, "-I", "-m", "fleet.faces.cli", "demo")


@pytest.fixture
def stage() -> Iterator[Path]:
    """Where temporary files go; a demo must leave it empty."""
    directory = Path(tempfile.mkdtemp(prefix="fd", dir="/tmp"))
    yield directory
    left = list(directory.iterdir())
    shutil.rmtree(directory)
    assert left == []


def environ(stage: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(stage)}


def test_the_whole_story_on_real_parts(stage: Path) -> None:
    done = subprocess.run([*DEMO, "--json"], env=environ(stage), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["elapsed_ms"] < 50_000
    messages = found["messages"]
    assert [message["channel"] for message in messages[:4]] == ["nats", "nats", "http", "http"]
    assert {message["state"] for message in messages} == {"received"}
    assert {message["copies"] for message in messages} == {1}
    assert messages[4]["attempts"] > 1
    assert "it waits" in done.stderr
    assert living(stage) == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGTERM, "alpha: fleet init"), (signal.SIGHUP, "beta: fleet join"), (signal.SIGINT, "killing the daemon")],
)
def test_interrupted_it_leaves_nothing(stage: Path, number: signal.Signals, moment: str) -> None:
    process = subprocess.Popen(DEMO, env=environ(stage), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    while moment not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(30) == 130
    process.stderr.close()
    assert living(stage) == []


def sent(copies: int = 1, strays: int = 0, state: str = "received") -> Sent:
    one, two = (Member(name, Path("/nowhere"), Guard()) for name in "ab")
    return Sent("a story", "0" * 32, one, two, 12.3, state, "http", ["nats", "http"], copies, strays)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (sent(), 0),
        (sent(copies=0), 1),
        (sent(copies=2), 1),
        (sent(strays=1), 1),
        (sent(copies=0, strays=1), 1),
        (sent(state="custody"), 1),
    ],
)
def test_only_exactly_once_is_good(
    what: Sent, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Story, "play", lambda self: [what])
    assert demo.run(Namespace(json=True)) == code
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is (code == 0)
    assert found["messages"][0]["copies"] == what.copies + what.strays
    assert demo.run(Namespace(json=False)) == code
    out, err = capsys.readouterr()
    assert "a story\ta → b\thttp\t2 (nats, http)\t12 ms\t" in out
    assert ("NOT every message" in err) is (code == 1)


def test_times_are_written_for_people() -> None:
    assert [demo._span(ms) for ms in (0.4, 999, 1500)] == ["0 ms", "999 ms", "1.5 s"]


def test_a_temporary_directory_too_deep_for_sockets_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert demo._directory() == Path("/var/tmp")
    monkeypatch.setattr(tempfile, "tempdir", "/" + "d" * 80)
    assert demo._directory() == Path("/tmp")
