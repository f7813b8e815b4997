"""The work of `fleet receive`: a fixed list of things a peer may do here over SSH; must never run what the peer wrote.

    receive   (also without a word) a parcel on standard input, its signed answer on standard output
    sftp      puts parcels into the directory of seeds, nothing else
    nudge     lets the daemon look at once; without one the seeds that lie there are taken in
    restart   stops the daemon if it runs, and starts it

With `command="fleet receive"` in authorized_keys, sshd puts what the peer asked for into SSH_ORIGINAL_COMMAND: its last
word is looked up in this list, the rest means nothing. Exit codes: 0 an answer, 7 custody, 75 busy (seconds on standard
output), else a failure with its reason on standard error. The daemon answers over its socket; when it is down, the store
is opened here and the parcel filed by the same receiver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from fleet.core.policy import BUSY_RETRY, PARCEL_LIMIT
from fleet.errors import FleetError, NoDaemon
from fleet.faces.local import Client, socket_path

CUSTODY, BUSY, USAGE, FAILED = 7, 75, 2, 1
PATIENCE = 15.0  # seconds; whoever asks has given up by then
BYTES = "application/octet-stream"
STATUS = {"signed": 200, "custody": 202, "busy": 503}  # what the daemon would have answered
UNWANTED = ("ssl", "typing_extensions", "bz2", "lzma")  # asyncio, msgspec and shutil do without; 8 ms of 80
HELD: list[object] = []  # not let go of before the process ends


def main(arguments: list[str]) -> int:
    """Do the one thing that was asked; gives the exit code."""
    os.umask(0o077)
    word = arguments[0] if len(arguments) == 1 else "" if arguments else asked(os.environ.get("SSH_ORIGINAL_COMMAND"))
    act = ACTS.get(word)
    if act is None:
        return _say("fleet receive: one of receive, sftp, nudge, restart", USAGE)
    try:
        return act()
    except FleetError as error:
        return _say(f"fleet receive: {error.message}", error.exit_code or FAILED)
    except OSError as error:
        return _say(f"fleet receive: {error.strerror or type(error).__name__}", FAILED)


def asked(original: str | None) -> str:
    """Say which thing of the list a peer asked for; empty when it is none of them. Nothing at all is `receive`."""
    words = (original or "receive").split()
    if not words:
        return ""
    if words[0].rpartition("/")[2] in ("sftp-server", "internal-sftp"):  # what sshd writes for the sftp subsystem
        return "sftp"
    return words[-1] if words[-1] in ACTS else ""


def receive() -> int:
    """Take one parcel in and print the signed answer."""
    data = sys.stdin.buffer.read(PARCEL_LIMIT + 1)
    if not 0 < len(data) <= PARCEL_LIMIT:
        return _say(f"fleet receive: a parcel has 1 to {PARCEL_LIMIT} bytes", USAGE)
    try:
        answer = _client().ask("POST", "/parcel", data, BYTES)
    except NoDaemon:
        _with_libraries()
        from fleet.daemon import reception

        given, desk = reception.receive(os.environ, data)
        HELD.append(desk)
        return _answer(STATUS.get(given.kind.value, 400), given.data, given.retry_after)
    return _answer(answer.status, answer.body, _number(answer.body))


def _answer(status: int, data: bytes, retry_after: float) -> int:
    out = sys.stdout.buffer
    if status == 200:
        out.write(data)
        return 0
    if status == 202:
        out.write(b"custody\n")
        return CUSTODY
    if status == 503:
        out.write(b"%g\n" % retry_after)
        return _say("fleet receive: busy", BUSY)
    return _say("fleet receive: not accepted" if status == 400 else f"fleet receive: the daemon answers {status}", FAILED)


def _number(text: bytes) -> float:
    try:
        return float(text[:16])
    except ValueError:
        return BUSY_RETRY


def sftp() -> int:
    """Let parcels be put into the directory of seeds."""
    from pathlib import Path

    from fleet.daemon import slot

    seeds = Path(socket_path(os.environ)).parent.parent / "seeds"
    opened = slot.Slot(seeds, on_seed=_tell)
    try:
        slot.serve(opened, 0, 1)
    finally:
        opened.end()
    return 0


def _tell() -> None:
    """Let a running daemon look at once; one that does not run will look when it starts."""
    client = _client()
    try:
        client.ask("POST", "/verb/nudge")
    except FleetError:
        return
    finally:
        client.close()


def nudge() -> int:
    """Let the daemon look at once and say that mail waits, where it may; or take the seeds in."""
    try:
        _client().ask("POST", "/verb/nudge", b'{"announce":true}')
    except NoDaemon:
        _with_libraries()
        from fleet.daemon import reception

        reception.take_in(os.environ)
    return 0


def restart() -> int:
    """Stop the daemon if it runs, and start it."""
    _with_libraries()
    from fleet.faces import daemon
    from fleet.faces.caller import Caller

    found = daemon.restart(Caller())
    print(found["pid"])
    return 0


def _client() -> Client:
    return Client(socket_path(os.environ), PATIENCE)


def _with_libraries() -> None:
    """Make the environment's libraries importable: this file is run without them, and without what `site` does besides."""
    import gc

    if "site" in sys.modules:
        return
    gc.disable()  # a process that lives for a tenth of a second has nothing to collect
    for name in UNWANTED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # importing it is an ImportError, which is expected
    environment = os.path.dirname(os.path.dirname(sys.executable))  # noqa: PTH120
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = f"{environment}/lib/{version}/site-packages"
    if os.path.isfile(f"{environment}/pyvenv.cfg") and os.path.isdir(libraries):  # noqa: PTH112, PTH113
        sys.path.append(libraries)
    else:
        import site

        site.main()


def _say(words: str, code: int) -> int:
    print(words.encode("ascii", "backslashreplace").decode(), file=sys.stderr)
    return code


ACTS: dict[str, Callable[[], int]] = {"receive": receive, "sftp": sftp, "nudge": nudge, "restart": restart}
