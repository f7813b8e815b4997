"""One hook's way: the program's JSON in, one request to the daemon, what waits out; raises for everything that is wrong.

The caller turns every error into silence. Standard library at its cheapest until something waits: `_json` and `_signal`
are the C cores of modules that load `re` and `enum`. What is printed is confirmed afterwards, so a hook that dies shows
nothing twice; without a daemon the store itself is asked, so that mail which came over SSH meanwhile is shown all the same.
"""

from __future__ import annotations

import os
import sys

try:
    from _json import encode_basestring_ascii as quoted
except ImportError:  # another Python than CPython
    from json.encoder import encode_basestring_ascii as quoted

from fleet.errors import NoDaemon
from fleet.faces.local import Client, Lost, socket_path
from fleet.faces.programs import IDLE, PROGRAMS, PROMPT, START, WAIT, WAIT_SECONDS, Program, printed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

READ_AT_MOST = 16 * 1024 * 1024  # bytes of JSON; a prompt may hold pasted files
PATIENCE = 8.0  # seconds of a hook that somebody waits for …
SHARE = 0.8  # … or this part of what its program gives it
RETRIES = 30  # seconds that a waiting hook gives a daemon to come back
CLIMB = 6  # directories looked through for a repository
LOOKED = "looked"  # in run/: the store as it was when a hook found nothing there


class Hook:
    """What is known of one event: its program, its session, and the words the daemon is sent."""

    __slots__ = ("event", "given", "program", "session")

    def __init__(self, arguments: list[str], data: bytes, environ: Mapping[str, str]) -> None:
        """Read the arguments and the JSON. Raises whatever is wrong with them."""
        self.event = arguments[0]
        self.given = parse(data)
        name = arguments[arguments.index("--ide") + 1]
        if name == "claude" and "CLAUDECODE" not in environ:
            name = "vscode"  # it reads Claude's settings
        self.program: Program = PROGRAMS[name]
        self.program.events[self.event]  # raises for one it does not have
        self.session = next(self.given[field] for field in self.program.session if self.given.get(field))

    def words(self, environ: Mapping[str, str]) -> str:
        """Write the request: where the session runs and how it is reached, nothing of what is said in it."""
        directory = self._directory()
        takes = bool(printed(self.program, self.event, "x")[0]) or self.event == WAIT
        members = [
            ("event", self.event), ("session", self.session), ("program", self.program.name),
            ("agent", environ.get("FLEET_AGENT", "")[:256]), ("cwd", directory),
        ]  # fmt: skip
        if self.event in (START, PROMPT):
            members.append(("branch", branch_of(directory)))
        if self.program.name == "claude":
            members += [
                ("socket", environ.get("CLAUDE_CODE_MESSAGING_SOCKET", "")),
                ("token", environ.get("CLAUDE_CODE_MESSAGING_TOKEN", "")),
            ]
        held = "true" if self.given.get(self.program.mode) == self.program.bypass else "false"
        alone = "true" if self.program.name == "claude" and _is_alone(environ) else "false"
        texts = ",".join(f"{quoted(name)}:{quoted(value)}" for name, value in members if value)
        limit = self.program.limit if takes else 0
        pid = environ.get("CLAUDE_PID", "") if self.program.name == "claude" else ""
        pid = pid if pid.isdecimal() and len(pid) < 10 else str(os.getppid())
        return f'{{{texts},"pid":{pid},"limit":{limit},"held":{held},"headless":{alone}}}'

    def _directory(self) -> str:
        for field in self.program.directory:
            found = self.given.get(field)
            first = found[0] if isinstance(found, list) and found else found
            if isinstance(first, str) and first:
                return first[:4096].encode("utf-8", "replace").decode()
        return ""


def run(arguments: list[str]) -> int:
    """Take one event; gives the exit code. Raises whatever goes wrong."""
    event = arguments[0]
    if event == WAIT and _is_alone(os.environ):
        return 0  # such a run has no idle time: it would wait for its hook
    _limit(PATIENCE)
    hook = Hook(arguments, _read(), os.environ)
    _limit(0 if event == WAIT else min(PATIENCE, hook.program.events[event].seconds * SHARE))
    client = Client(socket_path(os.environ))
    words = hook.words(os.environ).encode("ascii")
    try:
        answer = _waited(client, words) if event == WAIT else client.ask("POST", "/sessions", words)
    except NoDaemon:
        if event not in (START, PROMPT, IDLE):
            return 0
        return _without_daemon(hook, words)
    if answer.status != 200 or answer.body == b"{}":
        return 0
    import json

    found = json.loads(answer.body)
    code = _show(hook, found["text"])
    if found["ids"]:
        _confirm(client, found["ids"], hook.session)
    return code


def _is_alone(environ: Mapping[str, str]) -> bool:
    """Say whether Claude Code runs without a person: once, in a script."""
    return environ.get("CLAUDE_CODE_SESSION_ATTENDED") == "0" or environ.get("CLAUDE_CODE_ENTRYPOINT", "").startswith("sdk")


def parse(data: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError or StopIteration for anything else."""
    try:
        from _json import make_scanner
    except ImportError:  # another Python than CPython
        import json

        value = json.loads(data)
    else:
        value, _ = make_scanner(_Scan)(data.decode().lstrip(), 0)  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


class _Scan:
    """What the C scanner asks of a decoder."""

    strict, object_hook, object_pairs_hook, memo = True, None, None, None
    parse_float, parse_int, parse_constant = float, int, float


def _read() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("nobody speaks")
    data = sys.stdin.buffer.read(READ_AT_MOST + 1)
    if len(data) > READ_AT_MOST:
        raise ValueError("too much")
    return data


def _limit(seconds: float) -> None:
    """End silently after so many seconds; 0 = no limit."""
    import _signal  # type: ignore[import-not-found]

    if hasattr(_signal, "setitimer"):
        _signal.signal(_signal.SIGALRM, lambda number, frame: os._exit(0))
        _signal.setitimer(_signal.ITIMER_REAL, seconds)


def branch_of(directory: str) -> str:
    """Read which branch a directory is on, without starting git; empty when it is on none."""
    for _ in range(CLIMB if directory.startswith("/") else 0):
        head = _line(f"{directory}/.git/HEAD")
        if not head and (link := _line(f"{directory}/.git")).startswith("gitdir: "):
            head = _line(os.path.join(directory, link[8:], "HEAD"))  # noqa: PTH118
        if head:
            return head.removeprefix("ref: refs/heads/")[:256] if head.startswith("ref: ") else head[:12]
        directory = directory.rpartition("/")[0]
    return ""


def _line(path: str) -> str:
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            return os.read(file, 512).decode().strip()
        finally:
            os.close(file)
    except (OSError, ValueError):
        return ""


def _waited(client: Client, words: bytes) -> Any:
    """Ask for what comes, again while the daemon starts anew. Raises NoDaemon when it is gone, or our program is."""
    import time

    parent, tries, lost = os.getppid(), 0, False
    while True:
        try:
            return client.ask("POST", "/verb/session_wait", words, wait=WAIT_SECONDS)
        except Lost:
            lost, tries = True, 0
        except NoDaemon:
            tries += 1
            if not lost or tries > RETRIES or os.getppid() != parent:
                raise
        time.sleep(1)


def _show(hook: Hook, text: str) -> int:
    """Print text in the program's shape; it is out when this returns."""
    import json

    value, talk, code = printed(hook.program, hook.event, text)
    if value is not None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()
    if talk:
        sys.stderr.write(talk + "\n")
        sys.stderr.flush()
    return code


def _confirm(client: Client, ids: list[str], session: str) -> None:
    """Say that a session was shown messages: to the daemon, or to the store when the daemon is gone since."""
    import json

    try:
        client.ask("POST", "/inbox/shown", json.dumps({"ids": ids, "session": session}).encode())
    except NoDaemon:
        _house().run(lambda mail: mail.shown(ids, session))


def _without_daemon(hook: Hook, words: bytes) -> int:
    """Do what the daemon would, over the store; where none is, there is nothing to do."""
    home = os.path.dirname(os.path.dirname(socket_path(os.environ)))  # noqa: PTH120
    stamp = _stamp(home)
    if not stamp or _line(f"{home}/run/{LOOKED}") == stamp:
        return 0  # there is no store, or nothing was written into it since a hook looked
    house = _house()
    from fleet.faces import verbs

    found = verbs.still(house, "session", parse(words))
    if not found:
        from fleet.store.files import atomic_write

        atomic_write(house.paths.run / LOOKED, stamp.encode())
        return 0
    code = _show(hook, found["text"])
    house.run(lambda mail: mail.shown(found["ids"], hook.session))
    return code


def _stamp(home: str) -> str:
    """Name the store as it is on the disk now; empty when there is none."""
    try:
        facts = os.stat(f"{home}/fleet.db")  # noqa: PTH116
    except OSError:
        return ""
    try:
        waiting = os.stat(f"{home}/fleet.db-wal").st_size  # noqa: PTH116
    except OSError:
        waiting = 0
    return f"{facts.st_mtime_ns} {facts.st_size} {waiting}"


def _house() -> Any:
    if "site" not in sys.modules:
        import site

        site.main()
    from fleet.faces.house import House

    return House(os.environ)



