"""Who belongs to the fleet, as signed frames and the operator's words; verifies no signature and trusts nobody.

Every method runs inside Database.transaction(); none commits. Serials and versions only rise here: that is the whole
defence against an old manifest or revocation list that is sent again.
"""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from fleet.core.sealing import Secret
from fleet.store.database import Database

CERTIFICATE = "certificate"
MANIFEST = "manifest"


class Frames(msgspec.Struct, frozen=True):
    """The signed frames of one node; b"" and serial 0 = not known."""

    node: str
    certificate: bytes = b""
    certificate_serial: int = 0
    manifest: bytes = b""
    manifest_serial: int = 0


class Invite(msgspec.Struct, frozen=True):
    """An open invitation. `expires` in ms since the epoch."""

    id: str
    secret: Secret
    expires: int
    trust: int
    address: str


_PUT_FRAME = """INSERT INTO frame (node, kind, serial, frame) VALUES (?, ?, ?, ?)
                ON CONFLICT (node, kind) DO UPDATE SET serial = excluded.serial, frame = excluded.frame
                WHERE excluded.serial > serial OR (excluded.serial = serial AND excluded.frame = frame)
                RETURNING serial"""
_FRAMES = "SELECT node, kind, serial, frame FROM frame WHERE node = coalesce(?, node) ORDER BY node"
_PUT_REVOCATION = """INSERT INTO revocation (one, version, frame) VALUES (1, ?, ?)
                     ON CONFLICT (one) DO UPDATE SET version = excluded.version, frame = excluded.frame
                     WHERE excluded.version > version OR (excluded.version = version AND excluded.frame = frame)
                     RETURNING version"""
_REVOCATION = "SELECT version, frame FROM revocation"
_PUT_WORDS = "INSERT INTO words (peer, words) VALUES (?, ?) ON CONFLICT (peer) DO UPDATE SET words = excluded.words"
_WORDS = "SELECT words FROM words WHERE peer = ?"
_ALL_WORDS = "SELECT peer, words FROM words ORDER BY peer"
_REMOVE_WORDS = "DELETE FROM words WHERE peer = ?"
_REMOVE_FRAMES = "DELETE FROM frame WHERE node = ?"
_PUT_INVITE = "INSERT INTO invite (id, secret, expires, trust, address) VALUES (?, ?, ?, ?, ?)"
_OPEN = "SELECT id, secret, expires, trust, address FROM invite WHERE secret != x'' AND expires > ?"  # used = no secret
_INVITES = f"{_OPEN} ORDER BY expires, id"
_INVITE = f"{_OPEN} AND id = ?"
_USE_INVITE = "UPDATE invite SET secret = x'' WHERE id = ?"
_STATE = "SELECT CASE WHEN secret = x'' THEN 'used' WHEN expires <= ? THEN 'expired' ELSE '' END FROM invite WHERE id = ?"
_EXPIRE_INVITES = "DELETE FROM invite WHERE expires <= ? RETURNING id"
_META = "SELECT value FROM meta WHERE key = ?"
_SET_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Members:
    """The tables of membership."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def put_certificate(self, node: str, serial: int, frame: bytes) -> bool:
        """Keep a verified certificate; False for a lower serial, or the same serial with other bytes."""
        return bool(self._conn.execute(_PUT_FRAME, (node, CERTIFICATE, serial, frame)).fetchall())

    def put_manifest(self, node: str, serial: int, frame: bytes) -> bool:
        """Keep a verified manifest; False for a lower serial, or the same serial with other bytes."""
        return bool(self._conn.execute(_PUT_FRAME, (node, MANIFEST, serial, frame)).fetchall())

    def frames(self, node: str) -> Frames | None:
        """Give the frames of a node, None when there is none."""
        return next(iter(self._frames(node)), None)

    def all(self) -> list[Frames]:
        """Give the frames of every node, by name."""
        return self._frames(None)

    def _frames(self, node: str | None) -> list[Frames]:
        found: dict[str, dict[str, Any]] = {}
        for name, kind, serial, frame in self._conn.execute(_FRAMES, (node,)):
            found.setdefault(name, {}).update({kind: frame, f"{kind}_serial": serial})
        return [Frames(name, **fields) for name, fields in found.items()]

    def put_revocation(self, version: int, frame: bytes) -> bool:
        """Keep a verified revocation list; False for a lower version, or the same version with other bytes."""
        return bool(self._conn.execute(_PUT_REVOCATION, (version, frame)).fetchall())

    def revocation(self) -> tuple[int, bytes]:
        """Give (version, frame) of the revocation list; (0, b"") when there is none."""
        found = self._conn.execute(_REVOCATION).get
        return (0, b"") if found is None else (int(found[0]), found[1])

    def put_words(self, peer: str, words: dict[str, Any]) -> None:
        """Keep what the operator says of a peer, in place of what was said before."""
        self._conn.execute(_PUT_WORDS, (peer, msgspec.json.encode(words, order="sorted").decode()))

    def get_words(self, peer: str) -> dict[str, Any] | None:
        """Give what the operator said of a peer at run time, None for nothing."""
        found = self._conn.execute(_WORDS, (peer,)).get
        return None if found is None else _decode(found)

    def remove_words(self, peer: str) -> bool:
        """Forget what the operator said of a peer; says whether there was anything."""
        return self._deleted(_REMOVE_WORDS, peer)

    def peers(self) -> dict[str, dict[str, Any]]:
        """Give the operator's words of all peers."""
        return {peer: _decode(words) for peer, words in self._conn.execute(_ALL_WORDS)}

    def remove(self, node: str) -> bool:
        """Forget a node, frames and words; says whether it was known."""
        return self._deleted(_REMOVE_FRAMES, node) | self._deleted(_REMOVE_WORDS, node)

    def _deleted(self, statement: str, name: str) -> bool:
        before = self._conn.total_changes()
        self._conn.execute(statement, (name,))
        return self._conn.total_changes() > before

    def put_invite(self, id: str, secret: Secret, expires: int, trust: int, address: str) -> None:
        """Open an invitation. `expires` in ms since the epoch."""
        self._conn.execute(_PUT_INVITE, (id, secret.reveal(), expires, trust, address))

    def invite(self, id: str, now: int) -> Invite | None:
        """Look at an open invitation without using it, to check a proof against its secret."""
        return _invite(self._conn.execute(_INVITE, (now, id)).get)

    def take_invite(self, id: str, now: int) -> Invite | None:
        """Use an invitation: it is given once; None when it is unknown, used or expired."""
        found = self.invite(id, now)
        if found is not None:
            self._conn.execute(_USE_INVITE, (id,))
        return found

    def invite_fault(self, id: str, now: int) -> str:
        """Say why an invitation is not open: used, expired, never given; empty when it is."""
        found = self._conn.execute(_STATE, (now, id)).get
        return "never given" if found is None else str(found)

    def invites(self, now: int) -> list[Invite]:
        """List the invitations that are open at `now` (ms)."""
        return [Invite(id, Secret(secret), *rest) for id, secret, *rest in self._conn.execute(_INVITES, (now,))]

    def expire_invites(self, now: int) -> int:
        """Delete the invitations whose time was over at `now`, used ones too; says how many."""
        return len(self._conn.execute(_EXPIRE_INVITES, (now,)).fetchall())

    def meta(self, key: str) -> str | None:
        """Give a single value, None when it was never set."""
        found = self._conn.execute(_META, (key,)).get
        return None if found is None else str(found)

    def set_meta(self, key: str, value: str) -> None:
        """Keep a single value."""
        self._conn.execute(_SET_META, (key, value))


def _invite(found: Any) -> Invite | None:
    if found is None:
        return None
    id, secret, expires, trust, address = found
    return Invite(id, Secret(secret), expires, trust, address)
