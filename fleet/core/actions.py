"""What is done with each kind of content at each trust level unless the operator says otherwise; it looks for nothing."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Action(StrEnum):
    """What is done with a finding."""

    PASS = "pass"
    HASH = "hash"  # a keyed mark in its place: equal values are seen to be equal
    REDACT = "redact"  # a mark in its place
    BLOCK = "block"  # the message does not cross


LEVELS = 5  # of trust, 0 to 4
_SECRET = (Action.BLOCK, Action.BLOCK, Action.BLOCK, Action.REDACT, Action.PASS)
_NUMBER = (Action.BLOCK, Action.BLOCK, Action.REDACT, Action.HASH, Action.PASS)
_CONTACT = (Action.REDACT, Action.HASH, Action.PASS, Action.PASS, Action.PASS)

DEFAULTS: Mapping[str, tuple[Action, ...]] = MappingProxyType(
    {
        # A key in a message is a slip: its sender shall hear of it, not the peer. Level 3 shares whole contexts, where one
        # stray key must not stop the rest; level 4 may run commands on this machine and could read it anyway.
        "private_key": _SECRET,
        "database_url": _SECRET,
        "github_token": _SECRET,
        "aws_key": _SECRET,
        "jwt": _SECRET,
        "api_key": _SECRET,
        "password": _SECRET,
        # Work on the code around them never needs the digits; at level 3 equal ones must stay recognisable.
        "card": _NUMBER,
        "ssn": _NUMBER,
        # Every honest message has some (a commit its author, a log its addresses): from level 2 on they pass.
        "email": _CONTACT,
        "phone": _CONTACT,
        "ip": _CONTACT,
        "name": _CONTACT,
        "address": _CONTACT,
    }
)
