"""Who may enter the embedded broker and what each may do there; pure, and never lets one member's word harm another.

A member may publish to every node's subject, answer what it was asked, and listen to its own subject and its own answers.
It may lay parcels into every mailbox under its own name, but read and delete in its own alone; only the node that runs the
broker makes mailboxes.
Its nkey is its own word (the manifest): one that is none, or that another member holds, is left out and nobody else is.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

from fleet.core import subjects
from fleet.core.envelope import is_node_id

LOGIN_TIMEOUT = 1  # seconds to answer the server's challenge
NKEY = re.compile(r"U[A-Z2-7]{55}\Z")

User = tuple[str, str]  # node id, public nkey


def admit(before: Sequence[User], wanted: Sequence[User]) -> tuple[tuple[User, ...], list[str]]:
    """Choose who of `wanted` gets in, and name the nodes that do not; whoever was in before keeps a disputed key."""
    owners: dict[str, str] = {}
    for node, nkey in sorted(wanted, key=lambda user: user not in before):
        if is_node_id(node) and NKEY.match(nkey):
            owners.setdefault(nkey, node)
    admitted = tuple(user for user in dict.fromkeys(wanted) if owners.get(user[1]) == user[0])
    return admitted, [user[0] for user in wanted if user not in admitted]


class Overlap:
    """The nkeys that members gave up a while ago: still let in, because the new one may not have been tried yet."""

    def __init__(self, seconds: float) -> None:
        """Take for how long an older nkey is still let in."""
        self._seconds = seconds
        self._latest: dict[str, str] = {}
        self._older: dict[str, tuple[str, float]] = {}

    def extend(self, users: Sequence[User], now: float) -> list[User]:
        """Add to `users` the older nkeys of those who changed theirs; `now` in steady seconds. Who is gone has none."""
        for node, nkey in users:
            known = self._latest.get(node, nkey)
            if known != nkey:
                self._older[node] = known, now + self._seconds
        self._latest = dict(users)
        self._older = {
            node: (nkey, until) for node, (nkey, until) in self._older.items() if node in self._latest and until > now
        }
        return [*users, *((node, nkey) for node, (nkey, _) in self._older.items() if nkey != self._latest[node])]

    @property
    def pending(self) -> bool:
        """Say whether an older nkey is let in at present."""
        return bool(self._older)


def authorization(fleet: str, users: Sequence[User], house: str = "") -> dict[str, Any]:
    """Write the block of nats-server's configuration that lets `users` in and nobody else; `house` runs the broker."""
    if not users:  # with no user at all the server would let everybody in
        return {"timeout": LOGIN_TIMEOUT, "token": secrets.token_hex(32)}
    return {"timeout": LOGIN_TIMEOUT, "users": [_user(fleet, node, nkey, house) for node, nkey in users]}


def _user(fleet: str, node: str, nkey: str, house: str) -> dict[str, Any]:
    publish = [
        subjects.door(fleet, "*"), subjects.box(fleet, "*", node), subjects.fetch(fleet, node),
        *subjects.acknowledgements(fleet, node),
    ]  # fmt: skip
    if node == house:
        publish += subjects.MAKING
    return {
        "nkey": nkey,
        "permissions": {
            "publish": {"allow": publish},
            "subscribe": {"allow": [subjects.door(fleet, node), subjects.answers(node) + ">"]},
            "allow_responses": {"max": 1, "expires": "1m"},
        },
    }
