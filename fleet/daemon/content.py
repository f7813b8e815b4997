"""The settings of `[content]`: how large a body may be and what is done with each kind at each level; it screens nothing."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from fleet.core import policy
from fleet.core.actions import DEFAULTS, Action
from fleet.daemon import rules

_ACTIONS = rules.levels(*Action)


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a body may be, and what is done with the secrets and personal data in it (mission R6)."""

    limit: Annotated[int, rules.size(1024, policy.ENVELOPE_LIMIT)] = policy.MESSAGE_LIMIT
    private_key: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["private_key"]
    database_url: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["database_url"]
    github_token: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["github_token"]
    aws_key: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["aws_key"]
    jwt: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["jwt"]
    api_key: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["api_key"]
    password: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["password"]
    card: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["card"]
    ssn: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["ssn"]
    email: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["email"]
    phone: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["phone"]
    ip: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["ip"]
    name: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["name"]
    address: Annotated[tuple[str, ...], _ACTIONS] = DEFAULTS["address"]

    @property
    def actions(self) -> Mapping[str, tuple[Action, ...]]:
        """What is done with each kind, level 0 first."""
        return {kind: tuple(Action(word) for word in getattr(self, kind)) for kind in DEFAULTS}
