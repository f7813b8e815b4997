"""Where others reach this node, as an operator says with an invitation: it edits config.toml; never binds for good."""

from __future__ import annotations

import contextlib
import errno
import socket

from fleet.daemon import edit
from fleet.daemon.paths import Paths
from fleet.daemon.quantities import split_address
from fleet.daemon.rules import is_loopback, is_routable
from fleet.daemon.settings import DEFAULT, Settings
from fleet.errors import UsageError


def settle(paths: Paths, settings: Settings, address: str, bound: str) -> dict[str, str]:
    """Write down that others reach this node at `address`; gives the settings that changed, to act on by a new start.

    An address of this machine becomes the bind, unless one was chosen; any other is advertised. Raises UsageError for a
    word that is no HOST:PORT, or a port that somebody has.
    """
    if not is_routable(address):
        raise UsageError(f"{address!a} is no address: HOST:PORT that other machines can call", hint="fleet invite --help")
    if is_loopback(address) or address in (bound, settings.node.advertise):
        return {}
    chosen = settings.origin("node.bind") != DEFAULT
    found = {"node.advertise": address} if chosen or not _is_ours(address) else {"node.bind": address}
    edit.set_keys(paths, found)
    return found


def _is_ours(address: str) -> bool:
    """Say whether this machine could listen at `address`. Raises UsageError when somebody else does."""
    host, port = split_address(address)
    with contextlib.suppress(OSError):
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise UsageError(f"somebody listens at {address} already", hint="another port") from None
                return False
            return True
    return False
