"""Which agent sessions this node has, and which message was handed to which of them; never a socket, never a token.

Every method runs inside Database.transaction(); none commits. A handing over is noted before it happens and confirmed
after it: what was noted and never confirmed may have been seen, so that session gets it by name only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw
import msgspec

from fleet.core import policy
from fleet.store.database import Database
from fleet.store.inbox import SELECT, Mail, mail_of

RETIRE_LIMIT = 1000  # rows of one table that one retire() deletes at most


class Session(msgspec.Struct, frozen=True, gc=False):
    """One agent session of this node. Times in ms since the epoch."""

    id: str
    program: str
    agent: str
    pid: int = 0  # 0 = not known
    born: int = 0  # when its process began
    cwd: str = ""
    branch: str = ""
    headless: bool = False  # a single run without a person
    started: int = 0
    seen: int = 0
    idle: int = 0  # since when it waits for its user; 0 = busy


class Pending(msgspec.Struct, frozen=True, gc=False):
    """Unread mail that nobody is being shown, and the sessions to which it was handed before."""

    mail: Mail
    had: list[str]


_PUT = """INSERT INTO session (id, program, agent, pid, born, cwd, branch, headless, started, seen, idle, closed)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
          ON CONFLICT (id) DO UPDATE SET program = excluded.program, agent = excluded.agent, pid = excluded.pid,
              born = excluded.born, cwd = excluded.cwd, branch = excluded.branch, headless = excluded.headless,
              seen = excluded.seen, idle = excluded.idle, closed = 0"""
_OPEN = """SELECT id, program, agent, pid, born, cwd, branch, headless, started, seen, idle FROM session
           WHERE closed = 0 ORDER BY started, id"""
_NAMES = "SELECT DISTINCT agent FROM session WHERE closed = 0 OR closed > ? ORDER BY agent LIMIT 16"
_CLOSE = "UPDATE session SET closed = ? WHERE id = ? AND closed = 0"
_PENDING = """WHERE status = 0 AND NOT EXISTS (
                  SELECT 1 FROM showing AS s WHERE s.message = inbox.id AND s.shown = 0 AND s.offered > ?)
              ORDER BY row LIMIT ?"""
_HAD = "SELECT message, session FROM showing WHERE message IN (SELECT value FROM carray(?))"
_OFFER = """INSERT INTO showing (message, session, offered)
            SELECT :id, :session, :now
            WHERE EXISTS (SELECT 1 FROM inbox WHERE id = :id AND status = 0)
                  AND NOT EXISTS (SELECT 1 FROM showing WHERE message = :id AND shown = 0 AND offered > :live)
            ON CONFLICT DO NOTHING RETURNING message"""
_WITHDRAW = "DELETE FROM showing WHERE message = ? AND session = ? AND shown = 0"
_CONFIRM = """INSERT INTO showing (message, session, offered, shown) VALUES (:id, :session, :now, :now)
              ON CONFLICT DO UPDATE SET shown = :now WHERE shown = 0"""
_DOUBTFUL = """WHERE status = 0 AND id IN (
                   SELECT message FROM showing WHERE session = ? AND shown = 0 AND named = 0 AND offered <= ?)
               ORDER BY row LIMIT ?"""
_NAME = "UPDATE showing SET named = ? WHERE message = ? AND session = ?"
_RETIRE = (
    """DELETE FROM showing WHERE (message, session) IN (
           SELECT message, session FROM showing WHERE offered < :before
               AND NOT EXISTS (SELECT 1 FROM inbox WHERE id = message) LIMIT :limit)""",
    "DELETE FROM session WHERE closed > 0 AND closed < :before",
)

class Sessions:
    """The tables of agent sessions."""

    __slots__ = ("_conn",)

    def __init__(self, db: Database) -> None:
        """Work on an open database."""
        self._conn: apsw.Connection = db.conn

    def put(self, one: Session) -> None:
        """Note a session as it is now, open."""
        self._conn.execute(_PUT, msgspec.structs.astuple(one))

    def open_ones(self) -> list[Session]:
        """List the sessions that nobody closed, the oldest first."""
        return [_session(values) for values in self._conn.execute(_OPEN)]

    def names(self, since: int) -> list[str]:
        """Name the agents whose sessions are open, or were after `since` (ms since the epoch)."""
        return [name for (name,) in self._conn.execute(_NAMES, (since,))]

    def close(self, ids: Iterable[str], now: int) -> None:
        """Note that sessions are over. `now` in ms since the epoch."""
        self._conn.executemany(_CLOSE, [(now, id) for id in ids])

    def pending(self, now: int, limit: int) -> list[Pending]:
        """List unread mail that is not being handed over to anybody, oldest first."""
        mails = self._select(_PENDING, now - policy.HANDOVER_LEASE, limit)
        had: dict[str, list[str]] = {mail.id: [] for mail in mails}
        for message, session in self._conn.execute(_HAD, (apsw.carray(tuple(had)),)) if had else ():
            had[message].append(session)
        return [Pending(mail, had[mail.id]) for mail in mails]

    def _select(self, where: str, *bindings: str | int) -> list[Mail]:
        return [mail_of(values) for values in self._conn.execute(SELECT + where, bindings)]

    def offer(self, ids: Iterable[str], session: str, now: int) -> list[str]:
        """Note that messages are about to be handed to a session; gives those nobody else took first."""
        live = now - policy.HANDOVER_LEASE
        rows = [{"id": id, "session": session, "now": now, "live": live} for id in ids]
        return [id for (id,) in self._conn.executemany(_OFFER, rows)]

    def withdraw(self, ids: Iterable[str], session: str) -> None:
        """Note that messages certainly never reached a session."""
        self._conn.executemany(_WITHDRAW, [(id, session) for id in ids])

    def confirm(self, ids: Iterable[str], session: str, now: int) -> None:
        """Note that a session was shown messages."""
        self._conn.executemany(_CONFIRM, [{"id": id, "session": session, "now": now} for id in ids])

    def doubtful(self, session: str, now: int, limit: int) -> list[Mail]:
        """List unread mail whose handing over to this session was cut short and that it was not told of yet."""
        return self._select(_DOUBTFUL, session, now - policy.HANDOVER_LEASE, limit)

    def name(self, ids: Iterable[str], session: str, now: int) -> None:
        """Note that a session was told of messages that it may have missed."""
        self._conn.executemany(_NAME, [(now, id, session) for id in ids])

    def retire(self, before: int, limit: int = RETIRE_LIMIT) -> None:
        """Forget what is older than `before` (ms) and whose message is gone."""
        for statement in _RETIRE:
            words = {"before": before, "limit": limit} if ":limit" in statement else {"before": before}
            self._conn.execute(statement, words)


def _session(values: tuple[Any, ...]) -> Session:
    id, program, agent, pid, born, cwd, branch, headless, *times = values
    return Session(id, program, agent, pid, born, cwd, branch, bool(headless), *times)
