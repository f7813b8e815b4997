"""Fixtures of the top floor: a short home, and a stand-in node behind real doors in a thread of its own."""

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.standin import StandIn, served


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A FLEET_HOME whose socket path is short enough anywhere; no TCP door, no settings of the caller's."""
    directory = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))
    monkeypatch.setenv("FLEET_HOME", str(directory))
    monkeypatch.setenv("FLEET_API", "off")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def daemon(home: Path) -> Iterator[StandIn]:
    """A stand-in daemon at the socket of `home`."""
    (home / "run").mkdir(mode=0o700)
    node, started, loop = StandIn(), threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with served(home / "run", node):
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield node
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    with contextlib.suppress(RuntimeError):
        loop.close()
