"""Files put through SFTP (version 3): written, fsynced, renamed, every status read; it reads and lists nothing.

Paramiko's client loses the status of pipelined writes and of close, so that a full disk would look like a delivery. Here
everything goes out together, as the server does it in that order, and each answer is looked at.
"""

from __future__ import annotations

import struct

from channels._ssh.line import Job, Stream
from channels._ssh.words import said
from fleet.errors import Unreachable

INIT, OPEN, CLOSE, WRITE, REMOVE, RENAME, EXTENDED = 1, 3, 4, 6, 13, 18, 200
VERSION, STATUS, HANDLE = 2, 101, 102
WRITE_NEW = 0x02 | 0x08 | 0x20  # write, create, exclusive
OK, NO_SUCH_FILE, UNSUPPORTED = 0, 2, 8
CHUNK = 32_768
REPLY_LIMIT = 65_536
FSYNC, POSIX_RENAME = b"fsync@openssh.com", b"posix-rename@openssh.com"
MODE_PRIVATE = struct.pack(">II", 0x04, 0o600)  # attributes: permissions only
NOTHING = struct.pack(">I", 0)


class Refused(Unreachable):
    """The other side's file system said no."""

    def __init__(self, code: int, words: bytes) -> None:
        """Keep the status code of SFTP."""
        super().__init__(f"the peer did not take the file: {said(words) or f'status {code}'}")
        self.status = code


class Depot:
    """One SFTP session."""

    def __init__(self, stream: Stream, job: Job) -> None:
        """Begin a session on a stream. Raises Unreachable when no SFTP server answers."""
        self._stream = stream
        self._rest = b""
        self._number = 0
        self.broken = False  # out of step: an answer is missing
        [(kind, data)] = self._exchange([bytes([INIT]) + struct.pack(">I", 3)], job)
        if kind != VERSION:
            raise Unreachable("something else than SFTP answers")
        self._extensions = _texts(data[4:])[::2]

    def put(self, path: str, temporary: str, data: bytes, job: Job) -> None:
        """Write a file under its temporary name, have it fsynced where the server can, give it its name.

        The server does these one after another; they are asked for at once. Raises Refused when it failed at any of them:
        then whoever asked removes both names. A piece of a parcel proves nothing to its addressee.
        """
        handle = self._open(temporary, job)
        requests = [
            self._request(WRITE, _text(handle) + struct.pack(">Q", at) + _text(data[at : at + CHUNK]))
            for at in range(0, len(data), CHUNK)
        ]
        if FSYNC in self._extensions:
            requests.append(self._request(EXTENDED, _text(FSYNC) + _text(handle)))
        requests.append(self._request(CLOSE, _text(handle)))
        if POSIX_RENAME in self._extensions:
            requests.append(self._request(EXTENDED, _text(POSIX_RENAME) + _text(temporary.encode()) + _text(path.encode())))
            self._ask(requests, job)
            return
        self._ask(requests, job)
        self.remove(path, job)  # version 3 renames nothing onto a file: the same parcel from an earlier walk
        self._ask([self._request(RENAME, _text(temporary.encode()) + _text(path.encode()))], job)

    def remove(self, path: str, job: Job) -> bool:
        """Delete a file; says whether there was one."""
        try:
            self._ask([self._request(REMOVE, _text(path.encode()))], job)
        except Refused as refused:
            if refused.status == NO_SUCH_FILE:
                return False
            raise
        return True

    def close(self) -> None:
        """End the session."""
        self._stream.close()

    def _open(self, path: str, job: Job) -> bytes:
        request = self._request(OPEN, _text(path.encode()) + struct.pack(">I", WRITE_NEW) + MODE_PRIVATE)
        [(kind, data)] = self._exchange([request], job)
        if kind == HANDLE:
            return _texts(data[4:])[0]
        raise _refusal(kind, data)

    def _request(self, kind: int, words: bytes) -> bytes:
        self._number = (self._number + 1) & 0xFFFFFFFF
        return bytes([kind]) + struct.pack(">I", self._number) + words

    def _ask(self, requests: list[bytes], job: Job) -> None:
        """Send requests together; every one must be answered with OK. Raises the first refusal."""
        refused = None
        for kind, data in self._exchange(requests, job):
            if kind != STATUS or int.from_bytes(data[4:8], "big") != OK:
                refused = refused or _refusal(kind, data)
        if refused is not None:
            raise refused

    def _exchange(self, packets: list[bytes], job: Job) -> list[tuple[int, bytes]]:
        """Send packets and give as many answers; until the last one is here the session is out of step."""
        self.broken = True
        self._write(packets, job)
        answers = [self._packet(job) for _ in packets]
        self.broken = False
        return answers

    def _write(self, packets: list[bytes], job: Job) -> None:
        view = memoryview(b"".join(struct.pack(">I", len(packet)) + packet for packet in packets))
        while view:
            self._stream.settimeout(job.breath())
            try:
                sent = self._stream.send(view[:CHUNK])  # type: ignore[arg-type]
            except TimeoutError:
                continue
            except OSError as error:
                raise Unreachable(f"the session broke: {error.strerror or type(error).__name__}") from None
            view = view[sent:]

    def _packet(self, job: Job) -> tuple[int, bytes]:
        length = int.from_bytes(self._read(4, job), "big")
        if not 0 < length <= REPLY_LIMIT:
            raise Unreachable("something else than SFTP answers")
        packet = self._read(length, job)
        return packet[0], packet[1:]

    def _read(self, size: int, job: Job) -> bytes:
        while len(self._rest) < size:
            self._stream.settimeout(job.breath())
            try:
                part = self._stream.recv(CHUNK)
            except TimeoutError:
                continue
            except OSError as error:
                raise Unreachable(f"the session broke: {error.strerror or type(error).__name__}") from None
            if not part:
                raise Unreachable("the peer ended the SFTP session")
            self._rest += part
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _refusal(kind: int, data: bytes) -> Unreachable:
    if kind != STATUS:
        return Unreachable("something else than SFTP answers")
    words = _texts(data[8:])
    return Refused(int.from_bytes(data[4:8], "big"), words[0] if words else b"")


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _texts(data: bytes) -> list[bytes]:
    """Split length-prefixed strings; what does not add up is left out."""
    found = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if end > len(data):
            break
        found.append(data[4:end])
        data = data[end:]
    return found
