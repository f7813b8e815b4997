"""What one remote holds for us: asked, fetched and handed over once; never checked out, never believed.

Whoever may write to the remote chooses refs, trees and blobs, so each is looked at before it is used: names by their
pattern, sizes before contents, everything fetched within a limit. A ref that cannot be taken in keeps no other back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial

from channels._git.box import BOX_BYTES, BOX_PARCELS, NAME
from channels._git.command import OUTPUT_LIMIT, Command, words_of
from channels._git.repository import REMOTE, Repository, is_oid
from channels._mailbox import hand_over
from fleet.core import policy
from fleet.core.channel import AnswerKind, Deliver
from fleet.core.envelope import is_node_id
from fleet.errors import Malformed, RoadError, Unreachable

DEADLINE = 30.0  # seconds for each run of git
SENDERS = 1024  # refs looked at
FETCHED = BOX_BYTES + (16 << 20)  # bytes one fetch may bring: a full box and what surrounds it
KEPT = 2 * FETCHED  # bytes our copy may take before it is begun anew
KEPT_FILES = 200
CHUNK = 8 << 20  # bytes of contents held in memory at once
_ENTRY = re.compile(r"100644 blob ([0-9a-f]{40}) +(\d{1,9})\t(.*)", re.DOTALL).fullmatch

_HOSTILE = re.compile("fsck|index-pack|unpack-objects|bad object|not a tree|bad tree|invalid object", re.IGNORECASE).search
_FULL = re.compile("no space left|quota", re.IGNORECASE).search

Box = dict[str, int]  # blob → size


class Incoming:
    """The mailboxes of one remote that others write to this node."""

    def __init__(self, repository: Repository, command: Command, fleet: str, node: str) -> None:
        """Take our copy of the remote, git in it, and the names that stand in every ref."""
        self._repository = repository
        self._command = command
        self._place = f"refs/fleet/{fleet}/{node}/"
        self._seen: dict[str, str] = {}  # sender → what its ref held when it was taken in
        self._boxes: dict[str, Box] = {}
        self._handed: dict[str, set[str]] = {}  # sender → blobs that were handed over and are still there

    async def poll(self, deliver: Deliver) -> float:
        """Look once and hand over what is new; gives after how many seconds the receiver wants the rest, 0 = no rest.

        Raises RoadError when the remote does not answer, Malformed when it answers without end.
        """
        await asyncio.to_thread(self._repository.make)
        there = await self._look()
        for sender in self._boxes.keys() - there.keys():
            for known in (self._seen, self._boxes, self._handed):
                known.pop(sender, None)
        busy = 0.0
        failed: list[RoadError] = []
        for sender, oid in there.items():
            try:
                if self._seen.get(sender) != oid:
                    await self._fetch(sender, oid)
                busy = max(busy, await self._hand_over(sender, deliver))
            except RoadError as error:
                failed.append(error)
            await self._tidy()
        if failed:
            raise failed[0]
        return busy

    async def ask(self) -> int:
        """Ask how many mailboxes are for us, taking nothing in. Raises RoadError."""
        await asyncio.to_thread(self._repository.make)
        return len(await self._look())

    async def _look(self) -> dict[str, str]:
        """Ask which refs are for us: sender → object."""
        out = await self._run("ls-remote", "--", REMOTE, f"{self._place}*")
        found = {}
        for line in words_of(out):
            oid, _, ref = line.partition("\t")
            sender = ref.removeprefix(self._place)
            if ref.startswith(self._place) and is_node_id(sender) and is_oid(oid):
                found[sender] = oid
        return dict(list(found.items())[:SENDERS])

    async def _run(
        self, *words: str, stdin: bytes = b"", limit: int = OUTPUT_LIMIT, excess: Callable[[], bool] | None = None
    ) -> bytes:
        """Run git. Raises Malformed for what nobody honest wrote, else RoadError.

        The remote has just answered when something else than ls-remote fails: if we know no reason, the content is it.
        """
        done = await self._command.run(*words, timeout=DEADLINE, stdin=stdin, limit=limit, excess=excess)
        strange = words[0] != "ls-remote" and (done.known() is None or _HOSTILE(done.err)) and not _FULL(done.err)
        if done.code and strange:
            raise Malformed("a git mailbox that is none")
        if done.code:
            raise done.why()
        return done.out

    async def _tidy(self) -> None:
        """Begin our copy anew when it has grown; only what is still to be handed over is fetched again."""
        size, files = await asyncio.to_thread(self._repository.size)
        if size > KEPT or files > KEPT_FILES:
            await self._begin_anew()

    async def _begin_anew(self) -> None:
        await asyncio.to_thread(self._repository.renew)
        for sender, box in self._boxes.items():
            if box.keys() - self._handed[sender]:
                self._seen.pop(sender, None)

    async def _fetch(self, sender: str, oid: str) -> None:
        """Fetch a ref that changed and list what is in it; one that is no mailbox is an empty one until it changes."""
        ceiling = (await asyncio.to_thread(self._repository.size))[0] + FETCHED
        options = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        pair = f"+{self._place}{sender}:refs/in/{sender}"
        box: Box = {}
        try:
            await self._run("fetch", *options, "--", REMOTE, pair, excess=lambda: self._repository.size()[0] > ceiling)
            box = await self._list(sender)
        except Malformed:
            await asyncio.to_thread(self._sweep)
        self._boxes[sender] = box
        self._handed[sender] = self._handed.get(sender, set()) & box.keys()
        self._seen[sender] = oid

    def _sweep(self) -> None:
        """Delete what a fetch that was broken off left behind."""
        for path in (self._repository.path / "objects").rglob("tmp_*"):
            path.unlink(missing_ok=True)

    async def _list(self, sender: str) -> Box:
        """List the parcels in a sender's tree: only plain files that are named and sized as parcels are."""
        listed = await self._run("ls-tree", "-z", "-l", "--full-tree", f"refs/in/{sender}", limit=BOX_PARCELS * 256)
        box: Box = {}
        for line in listed.decode("utf-8", "replace").split("\0"):
            entry = _ENTRY(line)
            if entry and NAME(entry[3]) and int(entry[2]) <= policy.PARCEL_LIMIT and len(box) < BOX_PARCELS:
                box[entry[1]] = int(entry[2])
        return box

    # --- handing over -------------------------------------------------------------------------------------------------

    async def _hand_over(self, sender: str, deliver: Deliver) -> float:
        """Hand over what was not yet, each once; what the receiver is too busy for waits."""
        handed, box = self._handed[sender], self._boxes[sender]
        busy = 0.0
        for chunk in _chunks({oid: size for oid, size in box.items() if oid not in handed}):
            for oid, data in zip(chunk, await self._contents(chunk, box), strict=True):
                handed.add(oid)
                answer = await hand_over("git", deliver, data, partial(handed.discard, oid))
                if answer.kind is AnswerKind.BUSY:
                    busy = max(busy, answer.retry_after, 0.01)
        return busy

    async def _contents(self, oids: Sequence[str], box: Box) -> list[bytes]:
        """Read blobs. Raises RoadError when our copy is damaged: it is begun anew."""
        limit = sum(box[oid] + 64 for oid in oids)
        out = await self._run("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode(), limit=limit)
        found, at = [], 0
        for oid in oids:
            head = b"%s blob %d\n" % (oid.encode(), box[oid])
            if not out.startswith(head, at):
                await self._begin_anew()
                raise Unreachable("our copy of the git mailbox was damaged")
            at += len(head)
            found.append(out[at : at + box[oid]])
            at += box[oid] + 1
        return found


def _chunks(box: Box) -> list[list[str]]:
    """Divide blobs so that no part is more than CHUNK bytes, or one blob."""
    parts: list[list[str]] = []
    room = 0
    for oid, size in box.items():
        room -= size
        if room < 0:
            parts.append([])
            room = CHUNK - size
        parts[-1].append(oid)
    return parts
