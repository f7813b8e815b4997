"""What of a message's body may cross to or from a peer: values pass, are marked, or refused; never a number.

It works on the values of the body and of `context`, at any depth, never on serialised text, so no payload can break.
What it tells of a finding is the kind and the place; the value itself goes nowhere.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from fleet.core.actions import DEFAULTS, LEVELS, Action
from fleet.core.claims import claims, fires
from fleet.core.screened import UNSCREENED, Body, Found, Screened

if TYPE_CHECKING:
    from fleet.core.sealing import Secret

Path = tuple[Any, ...]  # "body" or "context", then numbers in lists and (number, key) in objects


NAMED = 4  # findings that a refusal names one by one
FINDINGS_KEPT = 16  # … and that a result does; the rest is counted
FINDINGS_LIMIT = 2000  # of one message; what holds more is a dump of a database and is refused
ROUNDS = 4  # looks at one text, so that a second screening finds nothing that the first left
PLACE_LIMIT = 120  # characters of a place
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")


class ContentGate:
    """What is done with each kind at each level, and the fleet's key for marks; made once, asked for every message."""

    def __init__(self, key: Callable[[], Secret], actions: Mapping[str, Sequence[Action]] = DEFAULTS) -> None:
        """Take where the fleet's present key is, and five actions a kind, level 0 first."""
        self._levels = tuple(
            {kind: row[level] for kind, row in actions.items() if row[level] is not Action.PASS} for level in range(LEVELS)
        )
        self._stamps = tuple(zlib.crc32(repr(acts).encode()) for acts in self._levels)
        self._key = key

    def screen(self, body: Body, context: dict[str, Any] | None, peer: str, level: int) -> Screened:
        """Say what of a message may cross to or from a peer of a level; bodies are bounded before (canonical.bound)."""
        acts = self._levels[level]
        if not acts or not fires(acts, body, context):
            return Screened(body, context, self._stamps[level])
        look = _Look(acts, self._key().reveal())
        new_body, new_context = look.value(body, ("body",), ""), look.value(context, ("context",), "")
        if look.blocked:
            return Screened(
                body, context, UNSCREENED, (*look.blocked, *look.marked), look.count, self._refusal(look, peer, level)
            )
        return Screened(new_body, new_context, self._stamps[level], tuple(look.marked), look.count)

    def stamp(self, level: int) -> int:
        """Give the number of the actions at a level: what was screened by the same number need not be screened again."""
        return self._stamps[level]

    def _refusal(self, look: _Look, peer: str, level: int) -> str:
        named = ", ".join(f"{found.kind} at {found.place}" for found in look.blocked[:NAMED])
        more = f" and {len(look.blocked) - NAMED} more" if len(look.blocked) > NAMED else ""
        kinds = {found.kind for found in look.blocked}
        better = [at for at in range(level + 1, LEVELS) if not any(self._blocks(kind, at) for kind in kinds)]
        remedy = f"take it out, or fleet trust {peer} {better[0]}" if better and kinds <= DEFAULTS.keys() else "take it out"
        return f"content: {named}{more}; {peer} has level {level}; {remedy}"

    def _blocks(self, kind: str, level: int) -> bool:
        return self._levels[level].get(kind) is Action.BLOCK

    def describe(self, level: int) -> str:
        """Say in one line what is done at a level."""
        acts = self._levels[level]
        parts = [
            f"{action} {', '.join(kinds)}"
            for action in (Action.BLOCK, Action.REDACT, Action.HASH)
            if (kinds := [kind for kind, found in acts.items() if found is action])
        ]
        return f"level {level}: " + ("; ".join(parts) + "; the rest passes" if parts else "everything passes")


class _Look:
    """The precise look at one message: what it found, and the values that take the place of others."""

    def __init__(self, acts: Mapping[str, Action], key: bytes) -> None:
        self._acts = acts
        self._key = key
        self.blocked: list[Found] = []
        self.marked: list[Found] = []
        self.count = 0

    def value(self, value: Any, path: Path, key: str) -> Any:
        """Give a value back, or another one of the same shape when something in it was replaced."""
        if type(value) is str:
            return self._text(value, path, key)
        if type(value) is dict:
            self._names(value, path)
            inner = [self.value(item, (*path, (at, name)), name) for at, (name, item) in enumerate(value.items())]
            same = all(map(is_, inner, value.values()))
            return value if same else dict(zip(value, inner, strict=True))
        if type(value) is list:
            inner = [self.value(item, (*path, at), key) for at, item in enumerate(value)]
            return value if all(map(is_, inner, value)) else inner
        return value

    def _names(self, value: dict[str, Any], path: Path) -> None:
        """Block what may not pass in a key: another key would break the payload."""
        for at, name in enumerate(value):
            for claim in claims(name):
                if claim.kind in self._acts:
                    self._note(claim.kind, (*path, (at, name)), Action.BLOCK)

    def _text(self, text: str, path: Path, key: str) -> str:
        for _ in range(ROUNDS):
            pieces: list[str] = []
            last = 0
            for start, end, kind in claims(text, key, self._acts):
                action = self._acts.get(kind)
                if action is not None and self.count < FINDINGS_LIMIT:
                    self._note(kind, path, action)
                    pieces += (text[last:start], self._mark(kind, text[start:end], action))
                    last = end
            if not pieces:
                break
            text = "".join(pieces) + text[last:]
        return text

    def _note(self, kind: str, path: Path, action: Action) -> None:
        self.count += 1
        if self.count == FINDINGS_LIMIT:
            self.blocked.append(Found(f"{FINDINGS_LIMIT} findings", place(path), Action.BLOCK))
        kept = self.blocked if action is Action.BLOCK else self.marked
        if len(kept) < FINDINGS_KEPT:
            kept.append(Found(kind, place(path), action))

    def _mark(self, kind: str, value: str, action: Action) -> str:
        if action is not Action.HASH:
            return f"[redacted:{kind}]"
        data = value.encode("utf-8", "surrogatepass")
        return f"[{kind}:{hashlib.blake2b(data, digest_size=6, key=self._key, person=b'fleet content').hexdigest()}]"


def place(path: Path) -> str:
    """Write where a value is: `body.a[2].b`; a key that is no plain word, or is a secret, by its number: `body.#3`."""
    words = [str(path[0])]
    for step in path[1:]:
        if isinstance(step, int):
            words.append(f"[{step}]")
        else:
            at, key = step
            words.append(f".{key}" if _PLAIN_KEY.fullmatch(key) and not claims(key) else f".#{at}")
    whole = "".join(words)
    return whole if len(whole) <= PLACE_LIMIT else whole[: PLACE_LIMIT - 1] + "…"
