"""The daemon's log: listed fields only, bounded in size and rate, turned over, and read back over the turns."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.daemon.sections import Log
from fleet.faces import journal, logs
from fleet.faces.journal import Journal


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    made = Journal(tmp_path / journal.NAME, Log(size=64 << 10, files=3), clock=clock)
    yield made
    made.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_time_level_event_and_the_listed_fields_alone(tmp_path: Path, log: Journal) -> None:
    log.line("link", peer="mac1", channel="nats", body="the words of a message", old="healthy")
    (entry,) = read(tmp_path / journal.NAME)
    assert entry == {
        "at": 1_800_000_000_000, "severity": "info", "event": "link", "peer": "mac1", "channel": "nats", "old": "healthy",
        "left_out": ["body"],
    }  # fmt: skip
    assert (tmp_path / journal.NAME).stat().st_mode & 0o777 == 0o600


def test_a_url_loses_its_user_part_and_a_long_text_its_end(tmp_path: Path, log: Journal) -> None:
    log.line("road out", reason="https://me:hunter2@host/x " + "y" * 1000)
    (entry,) = read(tmp_path / journal.NAME)
    assert "hunter2" not in entry["reason"] and "//…@host/x" in entry["reason"]
    assert len(entry["reason"]) <= 400


def test_the_level_of_the_settings_keeps_out_what_is_below_it(tmp_path: Path) -> None:
    log = Journal(tmp_path / journal.NAME, Log(level="error"))
    log.line("link", peer="b")
    log.line("alarm", peer="b")
    log.line("bug", part="courier")
    assert [entry["event"] for entry in read(tmp_path / journal.NAME)] == ["bug"]
    log.close()


def test_every_event_s_level_is_one_that_there_is() -> None:
    assert set(journal.EVENTS.values()) <= set(journal.LEVELS)


def test_the_files_never_take_more_room_than_the_settings_say(tmp_path: Path, log: Journal, clock: Clock) -> None:
    for number in range(4000):
        clock.now += 1
        log.line("link", peer="b", reason="x" * 200, count=number)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sorted(sizes) == ["fleetd.log", "fleetd.log.1", "fleetd.log.2"]
    assert max(sizes.values()) <= 64 << 10
    found = [entry["count"] for entry in logs.tail(tmp_path / journal.NAME, 10_000)]
    assert found == list(range(found[0], 4000)), "the newest lines, in order, none missing"


def test_one_event_cannot_fill_the_log_within_a_minute(tmp_path: Path, log: Journal, clock: Clock) -> None:
    for _ in range(journal.PER_MINUTE + 50):
        log.line("not authenticated", channel="http")
    log.line("bug", part="x")
    clock.now += 60
    log.line("link", peer="b")
    found = read(tmp_path / journal.NAME)
    assert [entry["event"] for entry in found].count("not authenticated") == journal.PER_MINUTE
    assert next(entry for entry in found if entry["event"] == "left out")["count"] == 50
    assert [entry["event"] for entry in found][-3:] == ["bug", "left out", "link"]


def test_a_restart_goes_on_in_the_same_file(tmp_path: Path, clock: Clock) -> None:
    for number in range(2):
        log = Journal(tmp_path / journal.NAME, Log(), clock=clock)
        log.line("started", count=number)
        log.close()
    assert [entry["count"] for entry in read(tmp_path / journal.NAME)] == [0, 1]


def test_a_place_that_cannot_be_written_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    log = Journal(tmp_path / "not there" / journal.NAME, Log())
    log.line("started")
    assert log.lost == 1


def test_what_is_read_is_filtered_by_level_and_time(tmp_path: Path, log: Journal, clock: Clock) -> None:
    log.line("bug", part="old")
    clock.now += 600
    log.line("link", peer="b")
    log.line("bug", part="new")
    found = logs.tail(tmp_path / journal.NAME, 100)
    assert [entry["part"] for entry in logs.wanted(found, "error", 0)] == ["old", "new"]
    assert [entry["event"] for entry in logs.wanted(found, "debug", (clock.now - 60) * 1000)] == ["link", "bug"]


def test_a_line_that_is_no_entry_stops_nobody(tmp_path: Path, log: Journal) -> None:
    (tmp_path / journal.NAME).write_bytes(b"Traceback (most recent call last):\n\xff\n[1]\n")
    log.line("started")
    assert [entry["event"] for entry in logs.tail(tmp_path / journal.NAME, 100)] == ["started"]


def test_follow_goes_on_over_the_turns_of_the_file(tmp_path: Path, log: Journal, clock: Clock) -> None:
    log.line("started")
    path = tmp_path / journal.NAME
    found: list[int] = []
    ready = threading.Event()

    def reading() -> None:
        with path.open("rb") as file:
            file.seek(0, 2)
            ready.set()
            for entry in logs.follow(path, file):
                found.append(entry["count"])
                if entry["count"] == 599:
                    return

    thread = threading.Thread(target=reading, daemon=True)
    thread.start()
    assert ready.wait(30)
    deadline = time.monotonic() + 30
    for number in range(600):
        clock.now += 1
        log.line("link", reason="x" * 300, count=number)
        while number % 50 == 0 and len(found) <= number and time.monotonic() < deadline:
            time.sleep(0.01)
    thread.join(30)
    assert found == list(range(600))
    assert (tmp_path / f"{journal.NAME}.1").exists()
