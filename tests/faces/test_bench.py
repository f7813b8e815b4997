"""fleet bench: what it refuses, what it counts, and one real run; figures themselves are never judged here."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.errors import FleetError, SettingsError, UnknownPeer, UsageError
from fleet.faces import bench, bench_load, cli, sandbox
from fleet.faces.bench_load import Course, Line, Load, Submitter
from fleet.faces.render import Screen
from fleet.faces.sandbox import Guard, Member, Sandbox
from tests.faces.standin import StandIn, served
from tests.faces.test_cli import fleet_json

BENCH = (sys.executable, "-I", "-m", "fleet.faces.cli", "bench", "--loopback")


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose sockets have short paths; it must be empty in the end."""
    directory = Path(tempfile.mkdtemp(prefix="fb", dir="/var/tmp"))
    yield directory
    left = list(directory.iterdir())
    shutil.rmtree(directory)
    assert left == []


def living(under: Path) -> list[psutil.Process]:
    """The processes whose node lies under a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLEET_HOME", "").startswith(str(under)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def settled(node: StandIn) -> None:
    """Let the stand-in have received everything at once."""
    node.sight.stats = lambda: {"waiting": {"mac1": 0}}  # type: ignore[method-assign]


def arguments(**given: Any) -> Namespace:
    usual = {"peer": None, "loopback": False, "messages": 10, "size": 10, "concurrency": 2, "batch": 4, "json": True}
    return Namespace(**{**usual, **given})


@pytest.mark.parametrize("given", [{}, {"peer": "mac1", "loopback": True}])
def test_it_measures_a_peer_or_nodes_of_its_own(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--loopback"):
        bench.run(arguments(**given))


@pytest.mark.parametrize("name", ["messages", "size", "concurrency", "batch"])
@pytest.mark.parametrize("value", [0, -1, 10**9])
def test_every_number_has_its_limits(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"--{name} is a number from 1 to"):
        bench.run(arguments(loopback=True, **{name: value}))


def test_a_peer_nobody_knows_is_named_with_those_that_are(daemon: StandIn) -> None:
    with pytest.raises(UnknownPeer, match="no peer is called 'mac9': mac1, mac2"):
        bench.run(arguments(peer="mac9"))


def test_a_peer_is_measured_through_the_daemon(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    settled(daemon)
    code, found = fleet_json(capsys, "bench", "--peer", "mac1", "--messages", "50", "--concurrency", "3", "--batch", "8")
    assert code == 0
    assert (found["peer"], found["messages"], found["concurrency"], found["batch"]) == ("mac1", 50, 3, 8)
    assert found["accepted_per_s"] > 0 and found["received_per_s"] > 0
    assert set(found["accept_ms"]) == set(found["received_ms"]) == {"p50", "p99"}
    assert len(daemon.mail.accepted) == 20 + 50 + 50  # warming up, the load, one at a time
    assert {len(asked.body) for asked in daemon.mail.accepted} == {1024}


def test_the_talk_says_what_will_stand_in_the_inbox(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    settled(daemon)
    assert cli.main(["bench", "--peer", "mac1", "--messages", "8"]) == 0
    out, err = capsys.readouterr()
    assert "will stand in the inbox of mac1" in err
    assert "messages a second" in out and "p99" in out


@pytest.mark.parametrize(("concurrency", "batch", "messages"), [(1, 1, 7), (4, 1, 9), (3, 4, 10), (9, 5, 3)])
async def test_exactly_so_many_messages_are_submitted(concurrency: int, batch: int, messages: int, home: Path) -> None:
    async with served(home) as (node, path, _):
        course = await bench_load.submit(str(path), Load("mac1", messages, 5, concurrency, batch))
    assert len(node.mail.accepted) == messages
    assert len(course.took) == -(-messages // batch)
    assert course.left == 0


@pytest.mark.parametrize("batch", [1, 4])
async def test_a_message_that_is_not_accepted_ends_it_with_the_reason(home: Path, batch: int) -> None:
    async with served(home) as (_, path, _):
        with pytest.raises(FleetError, match="not accepted: no member of this fleet is called 'nobody'"):
            await bench_load.submit(str(path), Load("nobody", 10, 5, 2, batch))


async def test_one_that_is_not_received_ends_it_too(home: Path) -> None:
    async with served(home) as (node, path, _):
        node.mail.becomes = "custody"
        line = await Line.open(str(path))
        with pytest.raises(FleetError, match="not received: custody"):
            await bench_load.one_by_one(line, Load("mac1", 1, 5, 1, 1), 1)
        line.close()


async def test_a_daemon_that_goes_away_ends_it() -> None:
    submitter = Submitter(Course(Load("mac1", 1, 1, 1, 1), 1))
    submitter.connection_lost(None)
    with pytest.raises(FleetError, match="went away"):
        await submitter.ended


async def test_waiting_ends_when_nothing_waits_or_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([9, 4, 0])

    class Waits:
        async def waiting(self, peer: str) -> tuple[int, int]:
            return next(left, 3), 0

    monkeypatch.setattr(bench_load, "LOOK", 0.001)
    await bench_load.drained(Waits(), "mac1")  # type: ignore[arg-type]
    monkeypatch.setattr(bench_load, "STILL", 0.01)
    with pytest.raises(FleetError, match="3 messages wait and none was received"):
        await asyncio.wait_for(bench_load.drained(Waits(), "mac1"), 5)  # type: ignore[arg-type]


def test_percentiles_are_those_of_the_ranked_values_in_ms() -> None:
    assert bench.percentiles([0.003, 0.001, 0.002]) == {"p50": 2.0, "p99": 2.0}
    assert bench.percentiles([i / 1000 for i in range(1, 101)]) == {"p50": 50.0, "p99": 99.0}
    assert bench.percentiles([0.5]) == {"p50": 500.0, "p99": 500.0}


def test_the_stores_are_never_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk, memory, said = tmp_path / "disk", tmp_path / "disk" / "memory", list[str]()
    memory.mkdir(parents=True)
    monkeypatch.setattr(bench, "mounts", lambda: iter([("/", "ext4"), (str(memory), "tmpfs")]))
    monkeypatch.setattr(bench, "ELSEWHERE", (str(tmp_path / "none"), str(disk)))
    assert bench.on_disk(disk, said.append) == disk
    assert not said
    assert bench.on_disk(memory, said.append) == disk
    assert said == [f"{memory} is in memory, where an fsync costs nothing: the stores go to {disk}"]
    monkeypatch.setattr(bench, "ELSEWHERE", (str(memory),))
    with pytest.raises(UsageError, match="in memory"):
        bench.on_disk(memory, said.append)


def test_the_mounts_of_this_machine_are_found() -> None:
    assert "/" in dict(sandbox.mounts())


def test_two_real_nodes_are_measured_and_nothing_is_left(short: Path) -> None:
    done = subprocess.run(
        [*BENCH, "--messages", "300", "--concurrency", "4", "--json"], cwd=short, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["messages"] == 300 and found["received_per_s"] > 0
    assert "submitting 300 messages" in done.stderr
    assert living(short) == []


def test_interrupted_it_takes_everything_with_it(short: Path) -> None:
    process = subprocess.Popen([*BENCH, "--messages", "5000000"], cwd=short, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "submitting" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stderr.close()
    assert living(short) == []


def test_nodes_end_with_a_bench_that_is_killed() -> None:
    with tempfile.TemporaryDirectory(prefix="fb", dir="/var/tmp") as directory:
        process = subprocess.Popen([*BENCH, "--messages", "5000000"], cwd=directory, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        while "submitting" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()
        process.wait()
        process.stderr.close()
        deadline = time.monotonic() + 30
        while living(Path(directory)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_directory_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    with Sandbox(deep, "x-") as made, pytest.raises(SettingsError, match="too long a path"):
        made.member("a")
    assert list(deep.iterdir()) == []


def test_a_daemon_that_does_not_come_up_is_reported_with_its_last_words(short: Path) -> None:
    with Sandbox(short, "x-") as made:
        member = made.member("a")  # never initialised
        with pytest.raises(FleetError, match=r"the daemon of a does not come up: .*no node yet"):
            member.start()


def test_an_error_of_a_command_is_raised_as_it_was_told(short: Path) -> None:
    with Sandbox(short, "x-") as made:
        member = made.member("a")
        with pytest.raises(FleetError) as told:
            member.fleet("send", "b", "hello", "--type", "nonsense")
        assert told.value.exit_code
        with pytest.raises(FleetError, match="fleet version on a"):
            member.fleet("version", "--nonsense", "--help")


def test_no_setting_of_the_caller_reaches_a_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEET_NATS_URL", "nats://elsewhere:1")
    member = Member("a", tmp_path, Guard())
    assert "FLEET_NATS_URL" not in member.environ
    assert member.environ["FLEET_HOME"] == str(tmp_path)
    assert member.last_words() == "it said nothing"


def test_a_wait_that_is_too_long_says_for_what() -> None:
    with pytest.raises(FleetError, match="a miracle: not within 0 s"):
        sandbox.wait_until(lambda: False, 0.05, "a miracle")


def test_the_report_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "accepted_per_s": 12345.6, "received_per_s": 9876.5, "accept_ms": {"p50": 1.0, "p99": 2.0},
        "received_ms": {"p50": 3.0, "p99": 4.0},
    }  # fmt: skip
    bench.report(found, Screen(json=False))
    out = capsys.readouterr().out
    assert "12,346 messages a second" in out
    assert "3.00 ms p50, 4.00 ms p99" in out
    assert os.linesep in out


def test_a_signal_while_a_child_starts_waits_until_the_child_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard()
    start = subprocess.Popen

    def interrupted(*args: Any, **options: Any) -> Any:
        child = start(*args, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return child

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    guard.install()
    try:
        with pytest.raises(KeyboardInterrupt):
            guard.spawn([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        os.kill(os.getpid(), signal.SIGTERM)  # heard once is enough: the end is not interrupted again
    finally:
        guard.remove()
    (child,) = guard.children
    sandbox.end(child)
    assert child.returncode == -signal.SIGKILL
