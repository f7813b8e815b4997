"""The counter of the daemon: accept messages, wait for them, mark them shown or done; it carries nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fleet.core.envelope import FREE, Cost, Kind, cost_in, kind_of, read, stamp
from fleet.core.gates import Verdict, judge
from fleet.core.lifecycle import Event, State, Status
from fleet.core.peer import Peer
from fleet.core.screened import UNSCREENED, Body, Screened
from fleet.core.submission import Desk, Draft, Submission, draft_of
from fleet.engine.conduct import Conduct, Regard
from fleet.engine.outbound import outbound
from fleet.engine.roster import Roster
from fleet.engine.screening import Screening
from fleet.engine.waiting import Waiting, reached, state_of
from fleet.engine.world import World
from fleet.engine.writer import Writer
from fleet.errors import Conflict, DiskFull, FleetError, GateRefused, NotFound, UsageError
from fleet.store import Store
from fleet.store.inbox import Arrival
from fleet.store.outbox import Applied, Change, Row

DICE = 10  # random bytes of an id


class Mailroom:
    """What senders and readers on this machine can do with mail."""

    def __init__(
        self, writer: Writer, reader: Store, roster: Roster, waiting: Waiting, kinds: Mapping[str, Kind], limit: int,
        channels: Sequence[str], world: World, screening: Screening, conduct: Conduct,
    ) -> None:  # fmt: skip
        """Take the writer, a store to read from on the loop's thread, and what messages are checked against."""
        self._writer = writer
        self._reader = reader
        self._roster = roster
        self._waiting = waiting
        self._kinds = kinds
        self._limit = limit
        self._world = world
        self._conduct = conduct
        self._said: dict[tuple[str, str], tuple[Peer, Regard, str]] = {}  # what our gates said of (peer, type)
        self._screening = screening
        self._desk = Desk(kinds, limit, self._knows, tuple(channels), self._screen)
        self.poke: Callable[[str], None] = lambda peer: None
        self.on_mail: Callable[[str, int], None] = lambda sender, count: None
        self.on_owed: Callable[[str], None] = lambda peer: None
        self.on_cancelled: Callable[[Row], None] = lambda row: None
        self.room_left: Callable[[], bool] = lambda: True

    def _knows(self, node: str) -> bool:
        """Say whether mail to `node` is accepted. Raises GateRefused for one the root revoked."""
        if self._roster.revoked(node):
            raise GateRefused(f"membership: the root revoked {node}", hint="fleet invite, if it shall come back")
        return node in self._roster

    def _screen(self, node: str, body: Body, context: dict[str, Any] | None) -> Screened:
        """Ask the content gate; mail to oneself crosses to nobody."""
        peer = self._roster.get(node)
        return Screened(body, context) if peer is None else self._screening.outgoing(peer, body, context)

    async def submit(self, asked: Sequence[Submission]) -> list[dict[str, Any]]:
        """Accept messages; one answer each, in order, after the fsync: the id and state, or the error."""
        now = self._world.now()
        answers: list[dict[str, Any]] = []
        drafts: list[Draft] = []
        own: list[Draft] = []
        dice = self._world.dice(DICE * len(asked))  # one call for all: each lets go of the interpreter lock
        for at, one in enumerate(asked):
            try:
                draft = self._draft(one, now, dice[at * DICE : at * DICE + DICE])
            except FleetError as error:
                answers.append({"error": error_words(error)})
                continue
            (own if draft.peer == self._roster.me.node else drafts).append(draft)
            state = "refused" if draft.refused else "accepted"
            answer: dict[str, Any] = {"id": draft.id, "to": draft.peer, "state": state}
            if draft.refused:
                answer["reason"] = draft.refused
            elif draft.found:
                answer["content"] = [{"kind": one.kind, "place": one.place, "action": one.action} for one in draft.found]
            answers.append(answer)
        if drafts:
            await self._accept(drafts, answers, now)
        if own:
            await self._keep(own, answers, now)
        return answers

    def _draft(self, asked: Submission, now: int, dice: bytes) -> Draft:
        if not self.room_left():
            raise DiskFull("too little space is left on the disk: nothing was accepted", hint="fleet doctor")
        draft = draft_of(asked, self._desk, now, dice)
        refusal = self._refusal(draft)
        return msgspec.structs.replace(draft, refused=refusal, screened=UNSCREENED) if refusal else draft

    def _refusal(self, draft: Draft) -> str:
        """Ask our gates for the caller's sake, once per peer as it stands and type; the draft's size was checked."""
        peer = self._roster.get(draft.peer)
        if peer is None:
            return ""
        regard, cost = self._conduct.regard(peer), cost_in(draft.content)
        if cost is not FREE:
            return self._judge(draft, peer, regard, cost)
        asked, then, said = self._said.get((draft.peer, draft.type), (None, None, ""))
        if asked is peer and then == regard:  # a peer that changes in any way is another value
            return said
        said = self._judge(draft, peer, regard, cost)
        self._said[(draft.peer, draft.type)] = (peer, regard, said)
        return said

    def _judge(self, draft: Draft, peer: Peer, regard: Regard, cost: Cost) -> str:
        """Say why a draft is refused; one that only waits for its budget is held when its turn comes."""
        purse = self._conduct.purse(self._reader, peer.id)
        shortage = purse.wish(cost)
        until = self._world.now() + purse.left() if shortage is not None else 0
        kind = kind_of(draft.type, self._kinds)
        case = outbound(peer, regard, kind, self._limit, size=draft.size, shortage=shortage, until=until)
        found = judge(case).decisive
        return f"{found.gate}: {found.reason}" if found.verdict is Verdict.REFUSE else ""

    async def _accept(self, drafts: list[Draft], answers: list[dict[str, Any]], now: int) -> None:
        accepted = self._writer.post(lambda store: store.outbox.submit(drafts, now))
        for peer in dict.fromkeys(draft.peer for draft in drafts):
            self.poke(peer)  # before the commit: its courier then leases the mail in the same one
        outcomes = await accepted
        if any(outcome != "accepted" for outcome in outcomes):
            by_id = {draft.id: outcome for draft, outcome in zip(drafts, outcomes, strict=True)}
            for answer in answers:
                if by_id.get(answer.get("id", "")) == "conflict":
                    answer["error"] = error_words(Conflict(f"id {answer['id']} was used for another message"))

    async def _keep(self, own: list[Draft], answers: list[dict[str, Any]], now: int) -> None:
        """Put mail to oneself straight into the inbox."""
        me = self._roster.me.node
        arrivals = [Arrival(read(stamp(d.content, 0, d.exp)), d.content, d.digest) for d in own]
        ids = {draft.id for draft in own}
        try:
            rows = await self._writer.run(lambda store: store.inbox.put_local(me, arrivals, now))
        except Conflict as error:
            rows = []
            refusal = error_words(error)
            answers[:] = [{"error": refusal} if answer.get("id") in ids else answer for answer in answers]
        for answer in answers:
            if answer.get("id") in ids:
                answer["state"] = State.RECEIVED.value
        self.on_mail(me, len(rows))

    async def wait(self, id: str, wanted: str, timeout: float) -> dict[str, Any]:
        """Wait at most `timeout` seconds until a message is received, shown or done; gives how far it is."""
        began = self._world.steady()
        state = State(wanted)
        future = self._waiting.enter(id, state)
        word = "timeout"
        try:
            row = self._reader.outbox.get(id)
            if row is None or _over(row, state):
                word = "over"
            elif row.tries and row.status is Status.QUEUED:
                word = "walked"  # before anybody asked
            else:
                async with asyncio.timeout(timeout):
                    word = await future
        except TimeoutError:
            word = "timeout"
        finally:
            self._waiting.leave(id, future)
        return {**self.standing(id), "elapsed_ms": round((self._world.steady() - began) * 1000, 3),
                "walked": word == "walked"}  # fmt: skip

    def standing(self, id: str) -> dict[str, Any]:
        """Say how far a message is: id, to, state, channel, number of attempts, reason. Raises NotFound."""
        row = self._reader.outbox.get(id)
        if row is None:
            mail = self._reader.inbox.get(id)
            if mail is None:
                raise NotFound(f"no message has the id {id!a}", hint="fleet outbox")
            return {"id": id, "to": self._roster.me.node, "state": "received", "channel": "", "attempts": 0}
        attempts = self._reader.ledger.attempts_of(row)
        proven = [attempt.channel for attempt in attempts if attempt.result in ("delivered", "taken")]
        state = state_of(row.status, bool(row.taken), row.reached)
        return {
            "id": id, "to": row.peer, "state": state.value, "channel": proven[-1] if proven else "",
            "attempts": len(attempts), "reason": row.reason,
        }  # fmt: skip

    async def shown(self, ids: Iterable[str], session: str = "") -> list[str]:
        """Mark mail as shown; the senders are told. Gives the ids that changed."""
        wanted, now = list(ids), self._world.now()
        changed: list[str] = await self._writer.run(lambda store: _show(store, wanted, session, now))
        self._tell(changed)
        return changed

    async def done(self, id: str) -> dict[str, Any]:
        """Mark mail as processed; the sender is told. Raises NotFound."""
        if self._reader.inbox.get(id) is None:
            raise NotFound(f"no mail has the id {id!a}", hint="fleet inbox --all")
        now = self._world.now()
        await self._writer.run(lambda store: store.inbox.mark_done(id, now))
        self._tell([id])
        return {"id": id, "state": State.DONE.value}

    def _tell(self, ids: Iterable[str]) -> None:
        for sender in dict.fromkeys(mail.sender for mail in map(self._reader.inbox.get, ids) if mail is not None):
            if sender != self._roster.me.node:
                self.on_owed(sender)

    async def cancel(self, id: str) -> dict[str, Any]:
        """Take back what is not delivered. Raises NotFound or UsageError."""
        row = self._row(id)
        if row.status in (Status.DONE, Status.REFUSED, Status.DEAD):
            raise UsageError(f"message {id} is {state_of(row.status, False, row.reached).value} already")
        await self._apply("cancel", row, Change(row.row, Event.NACK, reason="cancelled", unsure=True))
        self.on_cancelled(row)
        return self.standing(id)

    async def retry(self, id: str) -> dict[str, Any]:
        """Give a dead letter a new life of the length its type has. Raises NotFound or UsageError."""
        row = self._row(id)
        if row.status not in (Status.DEAD, Status.REFUSED):
            raise UsageError(f"message {id} is not a dead letter", hint="fleet dead")
        until = self._world.now() + int(kind_of(row.type, self._kinds).ttl * 1000)
        await self._apply("retry", row, Change(row.row, Event.REVIVE, until=until))
        self.poke(row.peer)
        return self.standing(id)

    async def drop(self, id: str) -> dict[str, Any]:
        """Forget a dead letter. Raises NotFound."""
        now = self._world.now()

        def forget(store: Store) -> bool:
            gone = store.outbox.drop(id)
            if gone:
                store.audit.add("operator", details={"action": "drop", "id": id}, now=now)
            return gone

        if not await self._writer.run(forget):
            raise NotFound(f"no dead letter has the id {id!a}", hint="fleet dead")
        return {"id": id, "state": "dropped"}

    def _row(self, id: str) -> Row:
        row = self._reader.outbox.get(id)
        if row is None:
            raise NotFound(f"no message has the id {id!a}", hint="fleet outbox")
        return row

    async def _apply(self, action: str, row: Row, change: Change) -> None:
        """Let what an operator wants happen to a message, and write it down."""
        now = self._world.now()

        def act(store: Store) -> list[Applied]:
            store.audit.add("operator", peer=row.peer, details={"action": action, "id": row.id}, now=now)
            return store.outbox.apply([change], now)

        self._waiting.applied(await self._writer.run(act))


def _show(store: Store, ids: Sequence[str], session: str, now: int) -> list[str]:
    if session:
        store.sessions.confirm(ids, session, now)
    return store.inbox.mark_shown(ids, session, now)


def _over(row: Row, wanted: State) -> bool:
    if row.status is Status.DONE:
        return reached(row.reached, wanted)
    return row.status in (Status.REFUSED, Status.DEAD)


def error_words(error: FleetError) -> dict[str, Any]:
    """Write an error as the JSON every face gives (contract.md)."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}


