"""Canary bodies and the keys of real nodes, and a search for both in everything that outlives or shows a process.

finder = Finder({"bodies": [...], "sign.key of a": [...]})
finder.look("log of a", data); finder.found                     # [(where, which, form), …]
with Watch(directory) as watch: …                               # every command line and environment there is, meanwhile
"""

import base64
import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.nodes import Node

LARGEST = 16 << 20  # bytes of one file that are read
WRAPPED = ("git", "ssh", "tmux")


def forms(word: bytes) -> dict[str, bytes]:
    """How a word could stand somewhere: raw, hex, UTF-16, and base64 at each of its three places."""
    found = {"raw": word, "hex": word.hex().encode(), "HEX": word.hex().upper().encode()}
    with contextlib.suppress(UnicodeDecodeError):
        found["utf-16"], found["utf-16be"] = word.decode().encode("utf-16-le"), word.decode().encode("utf-16-be")
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + word)
        inner = whole[(0, 2, 3)[shift] : len(whole) - (0, 4, 4)[(shift + len(word)) % 3]]  # what no neighbour changes
        found[f"base64 {shift}"] = inner
        found[f"base64url {shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def secrets_of(node: Node) -> dict[str, list[bytes]]:
    """Every private key of a node as its files hold it, as raw bytes too."""
    found: dict[str, list[bytes]] = {}
    for path in sorted((node.home / "keys").iterdir()):
        if path.suffix == ".key":
            words = path.read_bytes().split()
            raw = [bytes.fromhex(word.decode()) for word in words if re.fullmatch(rb"[0-9a-f]{64}", word)]
            found[f"{path.name} of {node.name}"] = [*words, *raw]
        elif path.name == "tls.pem":
            lines = path.read_bytes().partition(b"-----END PRIVATE KEY")[0].split(b"\n")[1:-1]
            found[f"{path.name} of {node.name}"] = lines[-1:]  # the line with the key itself
    return found


class Finder:
    """Looks for words in any of their forms."""

    def __init__(self, words: Mapping[str, Sequence[bytes]]) -> None:
        self._needles = {
            needle: f"{name}, {form}"
            for name, some in words.items() for word in some for form, needle in forms(word).items()
        }
        self.found: list[tuple[str, str]] = []
        self.looked: dict[str, int] = {}  # kind of place → bytes

    def look(self, where: str, data: bytes) -> None:
        """Look through bytes; `where` begins with the kind of place."""
        kind = where.partition(":")[0]
        self.looked[kind] = self.looked.get(kind, 0) + len(data)
        self.found += [(where, name) for needle, name in self._needles.items() if needle in data]

    def files(self, kind: str, directory: Path, but: Sequence[str] = ()) -> None:
        """Look through every file below a directory, and at its names, but those whose path matches one of `but`."""
        for path in _files(directory):
            name = path.relative_to(directory).as_posix()
            if not any(re.search(pattern, name) for pattern in but):
                with contextlib.suppress(OSError):
                    self.look(f"{kind}: {name}", name.encode() + b"\n" + path.read_bytes()[:LARGEST])

    def git(self, repository: Path) -> None:
        """Look through every object of a repository, unpacked."""
        words = ("git", "cat-file", "--batch-all-objects", "--unordered", "--batch")
        said = subprocess.run(words, cwd=repository, capture_output=True, check=True, timeout=60).stdout
        self.look(f"git objects: {repository.name}", said)


def _files(directory: Path) -> Iterator[Path]:
    for place, _, names in os.walk(directory):
        yield from (path for name in names if (path := Path(place, name)).is_file() and not path.is_symlink())


class Watch:
    """Every command line and environment on this machine, as long as it lasts; short-lived programs write theirs down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes = directory / "notes"
        self._ended = threading.Event()
        self._seen: dict[bytes, None] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Make the programs that take notes; whoever shall use them has `directory` first on PATH."""
        self.notes.mkdir(parents=True)
        for name in WRAPPED:
            real = subprocess.run(["which", name], capture_output=True, text=True, timeout=10).stdout.strip()
            if real:
                note = f'cat /proc/$$/cmdline /proc/$$/environ > "{self.notes}/{name}.$$"'
                (self.directory / name).write_text(f'#!/bin/sh\n{note}\nexec {real} "$@"\n')
                (self.directory / name).chmod(0o755)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.glance()

    def glance(self) -> None:
        """Read what /proc shows now."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_bytes()
                self._seen[line + (process / "environ").read_bytes()] = None

    def told(self, finder: Finder) -> int:
        """Show everything to a finder; gives how many different processes there were."""
        notes = [path.read_bytes() for path in self.notes.iterdir()]
        finder.look("processes: /proc", b"\n".join([*self._seen, *notes]))
        return len(self._seen) + len(notes)
