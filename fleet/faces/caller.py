"""How a command reaches its node: over the local API while the daemon lives, over the store when it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from fleet.errors import FleetError, NoDaemon, NoIdentity
from fleet.faces.local import Client, socket_path
from fleet.faces.verdicts import exit_of_error

if TYPE_CHECKING:
    from fleet.faces.house import House

_encode, _decode = msgspec.json.encode, msgspec.json.decode


class Told(FleetError):
    """An error that the daemon told us: its code, sentence and hint."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        """Take the `error` object of an answer."""
        super().__init__(str(error.get("message", "")), hint=str(error.get("hint", "")))
        self.code = str(error.get("code", "failed"))
        self.exit_code = exit_of_error(error)
        self.retryable = bool(error.get("retryable"))


class Caller:
    """One command's way to its node."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Find the node that the environment names; opens nothing yet."""
        self.environ = os.environ if environ is None else environ

    @cached_property
    def client(self) -> Client:
        """The connection to the daemon."""
        return Client(socket_path(self.environ))

    @cached_property
    def house(self) -> House:
        """The node's own files."""
        from fleet.faces.house import House

        return House(self.environ)

    def ask(self, verb: str, *, wait: float = 0.0, **words: Any) -> Any:
        """Ask the daemon, or the store when there is none. Raises the error that was told, NoDaemon, or the store's."""
        try:
            return self.daemon(verb, wait=wait, **words)
        except NoDaemon as gone:
            from fleet.faces import verbs

            if verbs.VERBS[verb].still is None:
                raise self.explained(gone) from None
            return verbs.still(self.house, verb, words)

    def daemon(self, verb: str, *, wait: float = 0.0, **words: Any) -> Any:
        """Ask the daemon and nobody else. Raises the error that was told, or NoDaemon."""
        answer = self.client.ask("POST", f"/verb/{verb}", _encode(words), wait=wait)
        value = _decode(answer.body) if answer.body else None
        if answer.status != 200:
            raise Told(value["error"] if isinstance(value, dict) and "error" in value else {"code": "failed"})
        return value

    def post(self, message: Mapping[str, Any], wait: str, timeout: float) -> tuple[Any, int]:
        """Hand a message over and wait as asked; gives the answer, errors included, and the exit code."""
        target = "/message" if wait == "none" else f"/message?wait={wait}&timeout={timeout:g}"
        answer = self.client.ask("POST", target, _encode(message), wait=timeout)
        value = _decode(answer.body)
        failed = isinstance(value, dict) and "error" in value
        return value, answer.exit_code or (exit_of_error(value["error"]) if failed else 0)

    def events(self) -> Iterator[dict[str, Any]]:
        """Follow what happens on the node."""
        for line in self.client.lines("/events"):
            if line.startswith(b"data: "):
                yield _decode(line[6:])

    def explained(self, gone: NoDaemon) -> NoDaemon:
        """Give the hint that fits: a machine without keys needs more than a daemon."""
        if not self.house.initialised:
            return NoDaemon(NoIdentity().message, hint="fleet init, or fleet join LINK")
        return gone

    def alive(self) -> dict[str, Any] | None:
        """Say who the running daemon is; None when none runs."""
        try:
            found: dict[str, Any] = self.daemon("here")
        except NoDaemon:
            return None
        return found
