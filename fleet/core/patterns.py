"""The fourteen kinds of content (mission R6) in the order in which they lay claim to a text; decides nothing."""

from collections.abc import Mapping
from types import MappingProxyType

from fleet.core.look import Pattern
from fleet.core.personal import PERSONAL
from fleet.core.tokens import SECRETS

PATTERNS: Mapping[str, Pattern] = MappingProxyType({**SECRETS, **PERSONAL})
