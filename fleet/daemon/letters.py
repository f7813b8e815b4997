"""Inbox rows as mail for agents: whom they name, what is shown of them, which are no mail at all; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fleet.core.envelope import Priority
from fleet.core.framing import Letter
from fleet.core.querying import answered, asked
from fleet.core.seating import Seat, Wanted, fits
from fleet.store import Store
from fleet.store.inbox import Mail


class _Content(msgspec.Struct, frozen=True):
    """What the choice and the text need of a message's content."""

    to_agent: str = ""
    session: str = ""
    from_agent: str = ""
    re: str = ""
    body: str | dict[str, object] = ""


_read = msgspec.json.Decoder(_Content).decode


def wanted_of(mail: Mail) -> Wanted:
    """Read whom a message names."""
    content = _content(mail)
    return Wanted(content.to_agent, content.session)


def _content(mail: Mail) -> _Content:
    return _read(b"{" + mail.content)


def regards(mail: Mail) -> str:
    """Read the id of the message that this one answers; empty when it answers none."""
    return _content(mail).re


def letter_of(mail: Mail) -> Letter:
    """Show one message to the text."""
    content = _content(mail)
    return Letter(
        mail.id, mail.sender, mail.level, mail.received, mail.type, Priority(mail.priority).word, content.body,
        content.from_agent, content.re,
    )  # fmt: skip


def for_people(mails: Sequence[Mail]) -> list[Mail]:
    """Leave out what daemons ask and answer each other."""
    return [mail for mail in mails if not among_daemons(mail)]


def among_daemons(mail: Mail) -> bool:
    """Say whether a message is between daemons: neither a person nor an agent is shown it."""
    if mail.type not in ("query", "reply"):
        return False
    body = _content(mail).body
    return bool(asked(mail.type, body) or answered(mail.type, body))


def for_session(store: Store, mails: Sequence[Mail], session: str) -> list[Mail]:
    """Leave of mail what a session may be shown: what names it or its agent, and what names nobody."""
    seats = [
        Seat(one.id, one.agent, one.program, one.seen, one.idle > 0, one.headless) for one in store.sessions.open_ones()
    ]
    seat = next((seat for seat in seats if seat.session == session), Seat(session, "", "", 0))
    return [mail for mail in mails if fits(wanted_of(mail), seat, seats)]
