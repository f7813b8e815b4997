"""What the content gate says of one message, as a value; it names kinds and places, never what stood there."""

from __future__ import annotations

from typing import Any

import msgspec

from fleet.core.actions import Action

Body = str | dict[str, Any]
UNSCREENED = -1


class Found(msgspec.Struct, frozen=True, gc=False):
    """One finding: which kind, where (`body.a[2].b`), what is done with it."""

    kind: str
    place: str
    action: Action


class Screened(msgspec.Struct, frozen=True, gc=False):
    """What screening a message came to; `body` and `context` are the very objects that came when nothing changed."""

    body: Body
    context: dict[str, Any] | None
    stamp: int = UNSCREENED  # what it was screened by
    found: tuple[Found, ...] = ()  # those that are blocked first
    count: int = 0  # also those that are not kept
    refusal: str = ""  # why it may not cross, and what would change that

    @property
    def changed(self) -> bool:
        """Whether anything was replaced."""
        return bool(self.found) and not self.refusal
