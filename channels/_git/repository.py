"""A bare repository of our own: its configuration, its loose objects, its refs; nothing is ever checked out.

What goes out is written here in Python (blob, tree, commit; a push is then the only program that runs), and since gc is
off everything written stays loose until it is discarded. Nothing here is the only copy of a message: a repository that
is damaged or too large is thrown away and made anew.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from fleet.errors import Malformed

REMOTE = "mail"  # its URL stands in the configuration file: it is nobody's argument
is_oid = re.compile(r"[0-9a-f]{40}").fullmatch
_COMMIT = "tree {}\nauthor fleet <fleet> 0 +0000\ncommitter fleet <fleet> 0 +0000\n\nmail\n"
CONFIG = """\
[core]
	repositoryformatversion = 0
	bare = true
	hooksPath = /dev/null
	attributesFile = /dev/null
	compression = 0
	looseCompression = 0
	bigFileThreshold = 2m
	sshCommand = {ssh}
[gc]
	auto = 0
[maintenance]
	auto = false
[pack]
	window = 0
	threads = 1
[transfer]
	fsckObjects = true
	bundleURI = false
[fetch]
	fsckObjects = true
	unpackLimit = 1
	recurseSubmodules = false
	writeCommitGraph = false
[push]
	default = nothing
	followTags = false
	recurseSubmodules = no
[http]
	followRedirects = false
	lowSpeedLimit = 1
	lowSpeedTime = 15
[protocol]
	version = 2
[ssh]
	variant = ssh
[credential]
	helper =
{helper}[remote "mail"]
	url = {url}
"""


class Repository:
    """One bare repository in the state directory."""

    def __init__(self, path: Path, url: str, ssh: str, helper: str) -> None:
        """Take where it lies, the remote's URL, and how ssh and the store of passwords are called."""
        self.path = path
        words = f"\thelper = {_quoted(helper)}\n" if helper else ""
        self._config = CONFIG.format(ssh=_quoted(ssh), helper=words, url=_quoted(url))

    def make(self) -> None:
        """Make it, or what is missing of it."""
        for place in ("objects/info", "objects/pack", "refs"):
            (self.path / place).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / "HEAD").write_text("ref: refs/heads/nothing\n")
        (self.path / "config").write_text(self._config)

    def renew(self) -> None:
        """Throw everything away and begin again."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.make()

    def size(self) -> tuple[int, int]:
        """Count the bytes and the files it takes."""
        total = files = 0
        for path in self.path.rglob("*"):
            try:
                total += path.lstat().st_size
            except FileNotFoundError:
                continue  # git renames while we look
            files += path.is_file()
        return total, files

    # --- objects ------------------------------------------------------------------------------------------------------

    def write(self, kind: str, data: bytes) -> str:
        """Store an object; gives its id."""
        whole = b"%s %d\0" % (kind.encode(), len(data)) + data
        oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        place = self._place(oid)
        if not place.exists():
            place.parent.mkdir(mode=0o700, exist_ok=True)
            new = place.with_suffix(".new")
            new.write_bytes(zlib.compress(whole, 0))
            new.replace(place)
        return oid

    def write_tree(self, blobs: Mapping[str, str]) -> str:
        """Store a tree of files: name → blob."""
        entries = sorted((name.encode(), bytes.fromhex(oid)) for name, oid in blobs.items())
        return self.write("tree", b"".join(b"100644 %s\0%s" % entry for entry in entries))

    def write_commit(self, tree: str) -> str:
        """Store a commit without parents; the same tree is always the same commit."""
        return self.write("commit", _COMMIT.format(tree).encode())

    def read(self, oid: str, kind: str) -> bytes:
        """Read a loose object of our own. Raises Malformed when it is not there whole."""
        try:
            whole = zlib.decompress(self._place(oid).read_bytes())
        except (OSError, zlib.error):
            raise Malformed("an object of our own is damaged") from None
        head, _, data = whole.partition(b"\0")
        if head != b"%s %d" % (kind.encode(), len(data)):
            raise Malformed("an object of our own is damaged")
        return data

    def read_mail(self, commit: str) -> tuple[str, dict[str, str]]:
        """Read a commit of our own: its tree and the files in it. Raises Malformed."""
        words = self.read(commit, "commit")[:45].decode("ascii", "replace").split()
        if len(words) != 2 or not is_oid(words[1]):
            raise Malformed("a commit of our own is damaged")
        data, blobs = self.read(words[1], "tree"), {}
        while data:
            head, _, rest = data.partition(b"\0")
            blobs[head.decode("ascii", "replace").partition(" ")[2]] = rest[:20].hex()
            data = rest[20:]
        return words[1], blobs

    def weigh(self, oid: str) -> int:
        """Give the bytes of a loose object, about. Raises Malformed when it is not there."""
        try:
            return self._place(oid).stat().st_size
        except OSError:
            raise Malformed("an object of our own is gone") from None

    def discard(self, oids: Iterable[str]) -> None:
        """Delete objects nobody needs any more."""
        for oid in oids:
            self._place(oid).unlink(missing_ok=True)

    def loose(self) -> list[str]:
        """List all objects."""
        found = (path.parent.name + path.name for path in (self.path / "objects").glob("[0-9a-f][0-9a-f]/*"))
        return [oid for oid in found if is_oid(oid)]

    def _place(self, oid: str) -> Path:
        return self.path / "objects" / oid[:2] / oid[2:]

    # --- refs ---------------------------------------------------------------------------------------------------------

    def ref(self, name: str) -> str:
        """Read a ref; empty when there is none."""
        try:
            text = (self.path / name).read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return ""
        return text if is_oid(text) else ""

    def set_ref(self, name: str, oid: str) -> None:
        """Write a ref."""
        place = self.path / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = place.with_suffix(".new")
        new.write_text(f"{oid}\n")
        new.replace(place)

    def refs(self, under: str) -> dict[str, str]:
        """List the refs right under a place: last part of the name → object."""
        names = [path.name for path in (self.path / under).glob("*") if path.is_file() and not path.suffix]
        return {name: oid for name in names if (oid := self.ref(f"{under}/{name}"))}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
