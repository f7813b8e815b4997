"""What one remote holds of ours: one ref per addressee, its tree the parcels not yet taken back; pushed together.

Sends and take-backs that come while a push runs go out with the next one. Only this node writes its refs, so what stands
here is right and a ref that differs is overwritten; a push that was refused or broken off changes nothing here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from channels._git.box import NAME, Box, Item, filed, make_room
from channels._git.command import Command, words_of
from channels._git.repository import REMOTE, Repository, is_oid
from fleet.core.parcel import Parcel
from fleet.errors import Malformed, RoadError, Unreachable

TAKE_BACK = 30.0  # seconds for a push that only takes back
_SAFE = re.compile(r"[^A-Za-z0-9 ,.'()-]")
_STALE = "stale info"


@dataclass(eq=False, slots=True)
class _Wish:
    """A parcel to put, or (without one) that what was forgotten leaves; `done` is told once it is so or cannot be."""

    to: str
    parcel: Parcel | None
    until: float
    done: asyncio.Future[None]

    def tell(self, error: RoadError | None) -> None:
        if not self.done.done():
            self.done.set_exception(error) if error is not None else self.done.set_result(None)


@dataclass(slots=True)
class _Push:
    """The boxes as they shall be, and the commits that say so."""

    wishes: list[_Wish]
    boxes: dict[str, Box] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)


class Outgoing:
    """The mailboxes of one remote that this node writes."""

    def __init__(self, repository: Repository, command: Command, fleet: str, node: str) -> None:
        """Take our repository for this remote, git in it, and the names that stand in every ref."""
        self._repository = repository
        self._command = command
        self._fleet = fleet
        self._node = node
        self._boxes: dict[str, Box] = {}
        self._tips: dict[str, str] = {}  # the commit that each ref of ours holds at the remote, as far as we know
        self._trees: dict[str, str] = {}
        self._gone: dict[str, set[str]] = {}  # pids taken back that the remote may still hold
        self._wishes: list[_Wish] = []
        self._flying: list[_Wish] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def _ref(self, to: str) -> str:
        return f"refs/fleet/{self._fleet}/{to}/{self._node}"

    async def load(self) -> None:
        """Take up what stands on disk; a box that is damaged is begun anew, its mail goes again by itself."""
        self._boxes, self._tips, self._trees = await asyncio.to_thread(self._read)

    def _read(self) -> tuple[dict[str, Box], dict[str, str], dict[str, str]]:
        repository = self._repository
        repository.make()
        boxes: dict[str, Box] = {}
        tips: dict[str, str] = {}
        trees: dict[str, str] = {}
        for path in repository.path.glob(f"refs/fleet/{self._fleet}/*/{self._node}"):
            to = path.parent.name
            tip = repository.ref(self._ref(to))
            try:
                tree, blobs = repository.read_mail(tip)
                items = {name: self._item(name, oid) for name, oid in blobs.items()}
            except Malformed:
                path.unlink()
                continue
            boxes[to] = {name: item for name, item in items.items() if item is not None}
            tips[to], trees[to] = tip, tree
        keep = {*tips.values(), *trees.values(), *(item.oid for box in boxes.values() for item in box.values())}
        repository.discard(oid for oid in repository.loose() if oid not in keep)
        return boxes, tips, trees

    def _item(self, name: str, oid: str) -> Item | None:
        words = NAME(name)
        return Item(oid, self._repository.weigh(oid), int(words[2]), words[3] == "r") if words else None

    # --- what is asked ------------------------------------------------------------------------------------------------

    async def put(self, parcel: Parcel, timeout: float) -> None:
        """Put a parcel into its addressee's box; returns when the remote has it. Raises a RoadError."""
        wish = self._wish(parcel.to, parcel, timeout)
        try:
            await wish.done
        except asyncio.CancelledError:
            if wish in self._wishes:
                self._wishes.remove(wish)
            else:  # it may be there in a moment: it leaves with the next push
                self._gone.setdefault(parcel.to, set()).add(parcel.pid)
            raise

    async def take_back(self, to: str, pids: Sequence[str]) -> None:
        """Take parcels out of an addressee's box; returns when the remote has them no more. Raises a RoadError."""
        there = {name[:32] for name in self._boxes.get(to, {})}
        there |= {wish.parcel.pid for wish in self._wishes + self._flying if wish.to == to and wish.parcel is not None}
        if there.intersection(pids):
            self._gone.setdefault(to, set()).update(there.intersection(pids))
            await self._wish(to, None, TAKE_BACK).done

    def _wish(self, to: str, parcel: Parcel | None, timeout: float) -> _Wish:
        if self._closed:
            raise Unreachable("this road is closed")
        loop = asyncio.get_running_loop()
        wish = _Wish(to, parcel, loop.time() + timeout, loop.create_future())
        self._wishes.append(wish)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        return wish

    async def close(self) -> None:
        """Stop; whoever waits is told."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for wish in self._wishes:
            wish.tell(Unreachable("this road is closed"))

    # --- pushing ------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while self._wishes:
            self._flying, self._wishes = self._wishes, []
            error: RoadError | None = Unreachable("this road is closed")
            try:
                await self._carry(_Push(self._flying))
                error = None
            except RoadError as refused:
                error = refused
            except OSError as refused:
                error = Unreachable(f"the git mailbox cannot be written: {refused.strerror}")
            except Malformed as lie:
                error = Unreachable(lie.message)
            finally:
                for wish in self._flying:
                    wish.tell(error)
                self._flying = []
            if error is not None:
                with contextlib.suppress(OSError):  # a full disk: the next push says so
                    await self.load()

    async def _carry(self, push: _Push) -> None:
        """Push what is wished, and once more those refs of which the remote knew another state than we."""
        await self._write(push)
        until = max(wish.until for wish in push.wishes)
        refused = await self._push(push, list(push.commits), until)
        stale = [to for to, why in refused.items() if why == _STALE]
        if stale:
            await self._look(stale, until)
            refused = {to: why for to, why in refused.items() if to not in stale}
            refused |= await self._push(push, stale, until)
        await self._settle(push, [to for to in push.commits if to not in refused])
        for wish in push.wishes:
            if wish.to in refused:
                wish.tell(Unreachable(f"the git remote refused the push: {refused[wish.to]}", unsent=True))

    async def _write(self, push: _Push) -> None:
        """Work out the boxes as they shall be and store their objects."""
        now = int(time.time() * 1000)
        for to in dict.fromkeys(wish.to for wish in push.wishes):
            gone = self._gone.get(to, ())
            old = self._boxes.get(to, {}).items()
            push.boxes[to] = {name: item for name, item in old if item.exp >= now and name[:32] not in gone}
        fresh = [wish for wish in push.wishes if wish.parcel is not None and self._fits(push.boxes[wish.to], wish)]
        oids = await asyncio.to_thread(lambda: [self._repository.write("blob", w.parcel.data) for w in fresh if w.parcel])
        for wish, oid in zip(fresh, oids, strict=True):
            if wish.parcel is not None:
                name, item = filed(wish.parcel, oid)
                push.boxes[wish.to][name] = item
        for to, box in push.boxes.items():
            push.trees[to] = self._repository.write_tree({name: item.oid for name, item in box.items()})
            push.commits[to] = self._repository.write_commit(push.trees[to])

    def _fits(self, box: Box, wish: _Wish) -> bool:
        """Make room for a parcel, of old receipts if need be; whoever wishes what does not fit is told."""
        assert wish.parcel is not None
        if wish.parcel.pid in self._gone.get(wish.to, ()):
            wish.tell(Unreachable("it was taken back"))
            return False
        name, item = filed(wish.parcel, "")
        if make_room(box, item.size):
            box[name] = item
            return True
        wish.tell(Unreachable("the git mailbox of this peer is full", unsent=True))
        return False

    async def _push(self, push: _Push, peers: Sequence[str], until: float) -> dict[str, str]:
        """Push some refs; gives why those were refused that were. Raises RoadError when git got no answer for them."""
        leases = [f"--force-with-lease={self._ref(to)}:{self._tips.get(to, '')}" for to in peers]
        pairs = [f"{push.commits[to]}:{self._ref(to)}" for to in peers]
        done = await self._command.run(
            "push", "--porcelain", "--no-verify", "--no-signed", *leases, "--", REMOTE, *pairs, timeout=_left(until)
        )
        said = _statuses(words_of(done.out))
        if any(self._ref(to) not in said for to in peers):
            raise done.why() if done.code else Unreachable("git says nothing of our push")
        refused = {to: _why(said[self._ref(to)][1]) for to in peers if said[self._ref(to)][0] == "!"}
        if done.code and not refused:
            raise done.why()
        return refused

    async def _look(self, peers: Sequence[str], until: float) -> None:
        """Ask the remote what our refs hold there."""
        refs = {self._ref(to): to for to in peers}
        done = await self._command.run("ls-remote", "--", REMOTE, *refs, timeout=_left(until))
        if done.code:
            raise done.why()
        found = {ref: oid for oid, _, ref in (line.partition("\t") for line in words_of(done.out))}
        for ref, to in refs.items():
            oid = found.get(ref, "")
            self._tips[to] = oid if is_oid(oid) else ""

    async def _settle(self, push: _Push, done: Sequence[str]) -> None:
        """Write down what the remote has now and drop what nobody needs any more."""
        old = {*push.trees.values(), *push.commits.values(), *(self._tips.get(to, "") for to in push.boxes)}
        old |= {self._trees.get(to, "") for to in push.boxes}
        old |= {item.oid for to in push.boxes for box in (push.boxes, self._boxes) for item in box.get(to, {}).values()}
        for to in done:
            self._boxes[to], self._tips[to], self._trees[to] = push.boxes[to], push.commits[to], push.trees[to]
            self._gone[to] = self._gone.get(to, set()) & {name[:32] for name in push.boxes[to]}
        kept = {item.oid for box in self._boxes.values() for item in box.values()}
        unused = old - kept - set(self._tips.values()) - set(self._trees.values()) - {""}
        await asyncio.to_thread(self._store, {self._ref(to): push.commits[to] for to in done}, unused)

    def _store(self, refs: Mapping[str, str], unused: Iterable[str]) -> None:
        for ref, commit in refs.items():
            self._repository.set_ref(ref, commit)
        self._repository.discard(unused)


def _left(until: float) -> float:
    return max(0.5, until - asyncio.get_running_loop().time())


def _statuses(lines: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Read what `git push --porcelain` says: ref → flag and summary."""
    said = {}
    for line in lines:
        flag, _, rest = line.partition("\t")
        pair, _, summary = rest.partition("\t")
        if len(flag) == 1 and ":" in pair:
            said[pair.partition(":")[2]] = (flag, summary)
    return said


def _why(summary: str) -> str:
    """Give the reason of a refusal in harmless characters: the remote chose the words."""
    words = summary.partition("(")[2].rpartition(")")[0] or summary
    return _SAFE.sub("?", words)[:100] or "no reason given"
