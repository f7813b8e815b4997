"""An SFTP server with one directory in it and nothing but parcels: files can be put there; nothing read, listed or replaced.

`fleet receive sftp` speaks it on its standard input and output. Whatever directory a path names, it is this one; a name
that is not a parcel's (fleet/core/seeds.py) does not exist. Files are made new, never through a link, and get their name
when they are whole and on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from fleet.core import policy
from fleet.core.seeds import is_seed, is_unfinished

INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = 1, 3, 4, 5, 6, 7, 8, 9, 10
OPENDIR, REMOVE, REALPATH, STAT, RENAME, EXTENDED = 11, 13, 16, 17, 18, 200
VERSION, STATUS, HANDLE, NAME, ATTRS = 2, 101, 102, 104, 105
OK, NO_SUCH_FILE, DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 2, 3, 4, 5, 8
WRITES, CREATES = 0x02, 0x08
SIZE, PERMISSIONS = 0x01, 0x04
EXTENSIONS = (b"posix-rename@openssh.com", b"1", b"fsync@openssh.com", b"1")
PACKET_LIMIT = 256 * 1024
FILES_OPEN = 16
FILES_WAITING = 10_000
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class No(Exception):
    """A request that is answered with a status other than OK."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Slot:
    """One session."""

    def __init__(self, directory: Path, on_seed: Callable[[], None] = lambda: None) -> None:
        """Open the directory; `on_seed` is called when a parcel has got its name."""
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._path = directory
        self._on_seed = on_seed
        self._files: dict[bytes, int] = {}
        self._names: dict[bytes, str] = {}
        self._flawed: set[str] = set()  # files of which something could not be written: they get no name
        self._number = 0
        self._acts: dict[int, Callable[[_Words], bytes]] = {
            OPEN: self._open, CLOSE: self._close, WRITE: self._write, REMOVE: self._remove, RENAME: self._rename,
            EXTENDED: self._extended, REALPATH: self._realpath, STAT: self._stat, LSTAT: self._stat, FSTAT: self._fstat,
            READ: _denied, OPENDIR: _denied,
        }  # fmt: skip

    def answer(self, packet: bytes) -> bytes:
        """Give the answer to one packet."""
        if packet[:1] == bytes([INIT]):
            return bytes([VERSION]) + struct.pack(">I", 3) + b"".join(map(_text, EXTENSIONS))
        if len(packet) < 5:
            return _status(b"\0\0\0\0", BAD_MESSAGE, "too short")
        kind, id, words = packet[0], packet[1:5], _Words(packet[5:])
        try:
            body = self._acts.get(kind, _unsupported)(words)
        except No as no:
            return _status(id, no.code, str(no))
        except FileNotFoundError:
            return _status(id, NO_SUCH_FILE, "no such file")
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return _status(id, FAILURE, "the disk is full" if full else "the file system refused")
        return body[:1] + id + body[1:] if body else _status(id, OK, "")

    def end(self) -> None:
        """Close what is open; unfinished files are left to be removed in time."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
        os.close(self._directory)

    def _open(self, words: _Words) -> bytes:
        name, flags = _name(words.text(), unfinished=True), words.number()
        if not flags & WRITES or not flags & CREATES:
            raise No(DENIED, "files can only be put here")
        waiting = os.listdir(self._directory)  # noqa: PTH208 - of the directory that was opened, whatever its path means now
        if len(self._files) >= FILES_OPEN or len(waiting) >= FILES_WAITING:
            raise No(FAILURE, "too many files")
        if shutil.disk_usage(self._path).free < policy.DISK_WATERMARK:
            raise No(FAILURE, "the disk is full")
        self._number += 1
        handle = b"%d" % self._number
        self._files[handle] = os.open(name, _FLAGS, 0o600, dir_fd=self._directory)
        self._names[handle] = name
        self._flawed.discard(name)
        return bytes([HANDLE]) + _text(handle)

    def _file(self, handle: bytes) -> int:
        descriptor = self._files.get(handle)
        if descriptor is None:
            raise No(FAILURE, "no such handle")
        return descriptor

    def _write(self, words: _Words) -> bytes:
        handle = words.text()
        descriptor, offset, data = self._file(handle), words.long(), words.text()
        try:
            if offset + len(data) > policy.PARCEL_LIMIT:
                raise No(FAILURE, "larger than a parcel may be")
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
        except (No, OSError):
            self._flawed.add(self._names[handle])
            raise
        return b""

    def _close(self, words: _Words) -> bytes:
        handle = words.text()
        descriptor = self._files.pop(handle, None)
        self._names.pop(handle, None)
        if descriptor is None:
            raise No(FAILURE, "no such handle")
        os.close(descriptor)
        return b""

    def _remove(self, words: _Words) -> bytes:
        os.unlink(_name(words.text()), dir_fd=self._directory)
        return b""

    def _rename(self, words: _Words) -> bytes:
        old, new = _name(words.text(), unfinished=True), _name(words.text())
        if not is_seed(new) or old[1:33] != new[:32]:
            raise No(DENIED, "not the name of this parcel")
        if old in self._flawed:
            raise No(FAILURE, "not written whole")
        os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        with contextlib.suppress(OSError):  # some file systems have no fsync for directories
            os.fsync(self._directory)
        self._on_seed()
        return b""

    def _extended(self, words: _Words) -> bytes:
        word = words.text()
        if word == b"posix-rename@openssh.com":
            return self._rename(words)
        if word == b"fsync@openssh.com":
            os.fsync(self._file(words.text()))
            return b""
        raise No(UNSUPPORTED, "Operation unsupported")

    def _realpath(self, words: _Words) -> bytes:
        name = words.text().rpartition(b"/")[2].strip(b".")
        path = b"/" + (name if is_seed(name.decode("ascii", "replace")) else b"")
        return bytes([NAME]) + struct.pack(">I", 1) + _text(path) + _text(path) + struct.pack(">I", 0)

    def _stat(self, words: _Words) -> bytes:
        facts = os.stat(_name(words.text()), dir_fd=self._directory, follow_symlinks=False)
        return bytes([ATTRS]) + struct.pack(">IQI", SIZE | PERMISSIONS, facts.st_size, facts.st_mode)

    def _fstat(self, words: _Words) -> bytes:
        facts = os.fstat(self._file(words.text()))
        return bytes([ATTRS]) + struct.pack(">IQI", SIZE | PERMISSIONS, facts.st_size, facts.st_mode)


class _Words:
    """The fields of a packet, read one after another. Raises No for a packet that lies about its lengths."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _take(self, size: int) -> bytes:
        if size > len(self._data):
            raise No(BAD_MESSAGE, "a packet that ends too soon")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def long(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def text(self) -> bytes:
        return self._take(self.number())


def _name(path: bytes, *, unfinished: bool = False) -> str:
    """Give the name of the file that a path means. Raises No when it is none that can lie here."""
    name = path.rpartition(b"/")[2].decode("ascii", "replace")
    if not (is_unfinished(name) or (is_seed(name) and not unfinished)):
        raise No(DENIED, "not the name of a parcel")
    return name


def _denied(words: _Words) -> bytes:
    raise No(DENIED, "files can only be put here")


def _unsupported(words: _Words) -> bytes:
    raise No(UNSUPPORTED, "Operation unsupported")


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _status(id: bytes, code: int, words: str) -> bytes:
    return bytes([STATUS]) + id + struct.pack(">I", code) + _text(words.encode()) + _text(b"")


def serve(slot: Slot, source: int, sink: int) -> None:
    """Answer packets from one descriptor on another until the input ends or makes no sense."""
    data = b""
    while part := os.read(source, PACKET_LIMIT):
        data += part
        while len(data) >= 4:
            length = int.from_bytes(data[:4], "big")
            if not 0 < length <= PACKET_LIMIT:
                return
            if len(data) < 4 + length:
                break
            packet, data = data[4 : 4 + length], data[4 + length :]
            _write_out(sink, slot.answer(packet))


def _write_out(sink: int, packet: bytes) -> None:
    data = struct.pack(">I", len(packet)) + packet
    while data:
        data = data[os.write(sink, data) :]
