"""What a service manager is told by the daemon (sd_notify): ready, stopping; silence where there is none."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


def tell(environ: Mapping[str, str], words: str) -> None:
    """Send one line to the manager that started us, if one wants to know."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.settimeout(1.0)
        line.sendto(words.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
