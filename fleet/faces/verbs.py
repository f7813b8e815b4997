"""What anyone can ask, once: over the node while it lives, over its store when not; must never print or parse.

A verb that only reads the store is one function of the store; everything else is the node's. `still` is what a verb does
while no daemon runs; a verb without it needs one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from fleet import __version__
from fleet.core.healing import Level
from fleet.daemon.letters import for_people, for_session
from fleet.daemon.sessions import Event
from fleet.errors import NoDaemon, NotFound, UsageError
from fleet.faces import asked, inquiries, overseeing, sitting, views
from fleet.faces.doctor import patients
from fleet.faces.doctor.round import go_round
from fleet.store import Store
from fleet.store.milestones import Milestones

if TYPE_CHECKING:
    from fleet.daemon.mailroom import Mailroom
    from fleet.daemon.service import Node
    from fleet.faces.house import House


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing to ask. `patient` = it only waits, so it may be cancelled when the caller hangs up."""

    words: type[msgspec.Struct]
    live: Callable[[Node, Any], Awaitable[Any]]
    still: Callable[[House, Any], Any] | None = None
    patient: bool = False


def now() -> int:
    """Read the wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


# ── what the store alone answers ─────────────────────────────────────────────────────────────────────────────────────
def inbox(store: Store, words: asked.Reading) -> list[dict[str, Any]]:
    """List what was not shown yet, or everything, oldest first, or one message; marks nothing. Raises NotFound."""
    if words.id:
        mail = store.inbox.get(words.id)
        if mail is None:
            raise NotFound(f"no mail here has the id {words.id}", hint="fleet inbox --all")
        return [views.mail_view(mail)]
    mails = for_people(store.inbox.unshown(words.limit, all=words.all))
    return [views.mail_view(mail) for mail in (for_session(store, mails, words.session) if words.session else mails)]


def outbox(store: Store, words: asked.Listing) -> list[dict[str, Any]]:
    """List what waits."""
    return [views.row_view(row, now()) for row in store.outbox.list_open(words.limit)]


def dead(store: Store, words: asked.Listing) -> list[dict[str, Any]]:
    """List dead letters, the latest first."""
    return [views.dead_view(row) for row in store.outbox.list_dead(words.limit)]


def trace(store: Store, words: asked.One) -> dict[str, Any]:
    """Show every attempt of a message of this node, or the arrival of one that came in. Raises NotFound."""
    row = store.outbox.get(words.id)
    if row is not None:
        return views.trace_view(row, store.ledger.attempts_of(row), Milestones(store.db).of(row.id), now())
    mail = store.inbox.get(words.id)
    if mail is None:
        raise NotFound(f"no message here has the id {words.id}", hint="fleet outbox, fleet inbox --all")
    return views.arrival_view(mail, Milestones(store.db).passage(mail.row))


def _reader(read: Callable[[Store, Any], Any]) -> Callable[[Node, Any], Awaitable[Any]]:
    async def live(node: Node, words: Any) -> Any:
        return read(node.reader, words)

    return live


def _from_store(read: Callable[[Store, Any], Any]) -> Callable[[House, Any], Any]:
    return lambda house, words: read(house.store, words)


def _verb_of_store(words: type[msgspec.Struct], read: Callable[[Store, Any], Any]) -> Verb:
    return Verb(words, _reader(read), _from_store(read))


# ── what the node answers ────────────────────────────────────────────────────────────────────────────────────────────
async def _invite(node: Node, words: asked.Invitation) -> Any:
    return await node.control.invite(asked.life(words.ttl), words.trust, words.address)


async def _join(node: Node, words: asked.Joining) -> Any:
    return await node.control.join(words.link, words.node or None)


async def _ping(node: Node, words: asked.To) -> Any:
    return await node.control.ping(words.peer, words.channel or None)


async def _reset(node: Node, words: asked.To) -> Any:
    return await node.control.reset(words.peer, words.channel or None)


async def _repair(node: Node, words: asked.Mend) -> Any:
    return await node.healing.by_hand(node.sight.known(words.peer), words.channel, Level(words.level))


async def _explain(node: Node, words: asked.Question) -> Any:
    return node.sight.explain(words.peer, words.type)


async def _peer_set(node: Node, words: asked.PeerWords) -> Any:
    return await node.control.peer_set(words.peer, words.settings, add=words.add)


async def _peer_remove(node: Node, words: asked.To) -> Any:
    return await node.control.peer_remove(words.peer)


async def _peer_show(node: Node, words: asked.To) -> Any:
    return node.sight.peer(node.sight.known(words.peer))


async def _status(node: Node, words: asked.Words) -> Any:
    return node.sight.status()


async def _peers(node: Node, words: asked.Words) -> Any:
    return node.sight.peers()


async def _stats(node: Node, words: asked.Words) -> Any:
    return node.sight.stats()


async def _doctor(node: Node, words: asked.Words) -> Any:
    return await go_round(patients.of_node(node), node.log)


async def _mend(node: Node, words: asked.Words) -> Any:
    return await go_round(patients.of_node(node), node.log, fix=True)


def _examine(house: House, *, fix: bool) -> Any:
    return asyncio.run(go_round(patients.of_house(house), lambda event, **fields: None, fix=fix))


async def _here(node: Node, words: asked.Words) -> Any:
    return {
        "node": node.id,
        "fleet": node.ring.fleet,
        "pid": os.getpid(),
        "socket": str(node.paths.socket),
        "bind": node.bind,
        "advertise": node.settings.node.advertise,
        "version": __version__,
    }


async def _keys(node: Node, words: asked.Words) -> Any:
    return node.rotation.show()


async def _rotate(node: Node, words: asked.Key) -> Any:
    return await node.rotation.rotate(words.what)


async def _revoke(node: Node, words: asked.To) -> Any:
    return await node.revoking.revoke(words.peer)


async def _check(node: Node, words: asked.To) -> Any:
    return await node.reach.check(words.peer)


async def _wake(node: Node, words: asked.To) -> Any:
    return await node.reach.wake(words.peer)


async def _tunnels(node: Node, words: asked.Words) -> Any:
    return node.tunnels.list()


async def _tunnel_open(node: Node, words: asked.To) -> Any:
    return await node.tunnels.open(words.peer)


async def _tunnel_close(node: Node, words: asked.To) -> Any:
    return await node.tunnels.close(words.peer)


async def _nudge(node: Node, words: asked.Nudge) -> Any:
    look = getattr(node.roads.channels.get("seed"), "look", None)
    if look is not None:
        look()
    node.exchange.poke_all()
    if words.announce:
        await node.reach.announce()
    return {"node": node.id}


async def _stop(node: Node, words: asked.Words) -> Any:
    node.ask_to_stop()
    return {"node": node.id, "pid": os.getpid()}


def _counter(words: type[msgspec.Struct], act: Callable[[Mailroom, Any], Awaitable[Any]]) -> Verb:
    """Make the verb of something done at the counter, which stands with and without a daemon."""

    async def with_node(node: Node, given: Any) -> Any:
        return await act(node.mail, given)

    return Verb(words, with_node, lambda house, given: house.run(lambda mail: act(mail, given)))


async def _shown(mail: Mailroom, words: asked.Shown) -> Any:
    return {"shown": await mail.shown(words.ids, words.session)}


VERBS: dict[str, Verb] = {
    "inbox": _verb_of_store(asked.Reading, inbox),
    "outbox": _verb_of_store(asked.Listing, outbox),
    "dead": _verb_of_store(asked.Listing, dead),
    "trace": _verb_of_store(asked.One, trace),
    "shown": _counter(asked.Shown, _shown),
    "done": _counter(asked.One, lambda mail, words: mail.done(words.id)),
    "cancel": _counter(asked.One, lambda mail, words: mail.cancel(words.id)),
    "retry": _counter(asked.One, lambda mail, words: mail.retry(words.id)),
    "drop": _counter(asked.One, lambda mail, words: mail.drop(words.id)),
    "here": Verb(asked.Words, _here),
    "explain": Verb(asked.Question, _explain, lambda house, words: house.explain(words.peer, words.type)),
    "doctor": Verb(asked.Words, _doctor, lambda house, words: _examine(house, fix=False)),
    "mend": Verb(asked.Words, _mend, lambda house, words: _examine(house, fix=True)),
    "status": Verb(asked.Words, _status),
    "peers": Verb(asked.Words, _peers),
    "sessions": Verb(asked.Words, sitting.listed),
    "session": Verb(Event, sitting.came, sitting.came_still),
    "session_wait": Verb(Event, sitting.wait, patient=True),
    "stats": Verb(asked.Words, _stats),
    "peer_show": Verb(asked.To, _peer_show),
    "peer_set": Verb(asked.PeerWords, _peer_set),
    "peer_remove": Verb(asked.To, _peer_remove),
    "ping": Verb(asked.To, _ping, patient=True),
    "check": Verb(asked.To, _check, patient=True),
    "wake": Verb(asked.To, _wake, patient=True),
    "reset": Verb(asked.To, _reset),
    "repair": Verb(asked.Mend, _repair),
    "invite": Verb(asked.Invitation, _invite),
    "join": Verb(asked.Joining, _join),
    "keys": Verb(asked.Words, _keys),
    "rotate": Verb(asked.Key, _rotate),
    "revoke": Verb(asked.To, _revoke),
    "tunnels": Verb(asked.Words, _tunnels),
    "tunnel_open": Verb(asked.To, _tunnel_open),
    "tunnel_close": Verb(asked.To, _tunnel_close),
    "nudge": Verb(asked.Nudge, _nudge, lambda house, words: {"taken_in": house.take_in_seeds()}),
    "stop": Verb(asked.Words, _stop),
    **inquiries.verbs(Verb),
    **overseeing.verbs(Verb),
}


def words_of(name: str, body: bytes) -> Any:
    """Read the words of a verb from JSON; nothing at all is no words. Raises UsageError."""
    try:
        given = msgspec.json.decode(body, type=dict[str, Any]) if body.strip() else {}
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise UsageError(f"not a JSON object: {error}") from None
    return asked.read(VERBS[name].words, given)


def words_of_query(name: str, given: dict[str, str]) -> Any:
    """Read the words of a verb from a query. Raises UsageError."""
    return asked.read(VERBS[name].words, dict(given), texts=True)


async def live(node: Node, name: str, words: Any) -> Any:
    """Ask a running node."""
    return await VERBS[name].live(node, words)


def still(house: House, name: str, given: dict[str, Any]) -> Any:
    """Ask the store of a node that is not running. Raises NoDaemon for what only a daemon can say."""
    verb = VERBS[name]
    if verb.still is None:
        raise NoDaemon(hint="fleet up --detach")
    house.take_in_seeds()
    return verb.still(house, asked.read(verb.words, given))
