"""The first words of what another machine wrote to its standard error, made safe to keep; never a control character."""

from __future__ import annotations

LIMIT = 120


def said(data: bytes) -> str:
    """Give the first line that says something, as printable ASCII, at most LIMIT characters."""
    for line in data[:4096].splitlines():
        words = " ".join(line.decode("ascii", "replace").split())
        safe = "".join(sign if " " <= sign <= "~" else "?" for sign in words)
        if safe.strip("? "):
            return safe[:LIMIT]
    return ""
