"""P0, the cloud road: a mailbox in any object store, a spare road that may cost money; never proves, never overwrites.

Settings: the table [channel.cloud], and from the daemon
    url          the bucket and prefix of this node's mailbox and, unless they have their own, its peers'; "" = none
    others       those of peers, which are polled too: a peer's receipts come home by the bucket its mail went to
    endpoint, region, allow_http    of a store that is not the provider's own
    credentials  a file of NAME=VALUE lines, 0600; "" = the provider's usual environment
    poll         seconds between two looks
    trigger      a URL that is called with an empty POST after something was put
    node, fleet  our own id and the fleet's
and on the finished channel
    own_word     (peer id, url) -> True when the operator's own configuration gave this URL

One object per parcel, FLEET/TO/FROM/EXP.PID.m (mail) or .r (a receipt), created once and never written again. Mail is
deleted by its sender when the receipt is there (forget): until then it can be read again by an addressee that lost its
disk. Receipts, which nobody takes back, are deleted by the addressee as soon as it took them in. What is long expired is
deleted by its addressee, and once a day by its sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from channels._lines import Lines, Target
from channels._mailbox import hand_over
from fleet.core import policy
from fleet.core.channel import AnswerKind, Channel, Deliver, Traits
from fleet.core.envelope import is_message_id, is_node_id
from fleet.core.outcome import Outcome
from fleet.core.parcel import Parcel
from fleet.core.peer import Peer
from fleet.errors import Barred, RoadError, SettingsError, Unreachable

if TYPE_CHECKING:
    from channels._bucket import Bucket, Listed

POLL = 10.0
READERS = 8  # objects read at once
SWEEP = 86_400.0  # seconds between two looks for what we put and nobody took
LATE = 86_400_000  # ms behind its exp that an object is deleted: clocks differ
TRIGGER_TIMEOUT = 3.0
_KEY = re.compile(r"([^/]{1,63})/([^/]{1,63})/([^/]{1,63})/(\d{16})\.([0-9a-f]{32})\.([mr])", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Key:
    """The name of an object, taken apart."""

    path: str
    to: str
    sender: str
    exp: int
    pid: str
    receipt: bool

    @classmethod
    def of(cls, fleet: str, parcel: Parcel) -> Key:
        """Name the object of a parcel. Raises Barred for one whose words are no name."""
        good = is_node_id(parcel.to) and is_node_id(parcel.sender) and is_message_id(parcel.pid)
        if not good or not 0 <= parcel.exp <= policy.SAFE_INTEGER:
            raise Barred("the parcel's words are no object's name")
        kind = "r" if parcel.receipt else "m"
        path = f"{fleet}/{parcel.to}/{parcel.sender}/{parcel.exp:016d}.{parcel.pid}.{kind}"
        return cls(path, parcel.to, parcel.sender, parcel.exp, parcel.pid, parcel.receipt)

    @classmethod
    def read(cls, fleet: str, path: str) -> Key | None:
        """Read a name that a store lists; None for what is not one of ours."""
        words = _KEY(path)
        if words is None or words[1] != fleet or not (is_node_id(words[2]) and is_node_id(words[3])):
            return None
        return cls(path, words[2], words[3], int(words[4]), words[5], words[6] == "r")


@dataclass(slots=True)
class _Place:
    """One bucket and what we know of it."""

    bucket: Bucket
    handed: dict[str, str] = field(default_factory=dict)  # path → tag of what was handed over and is still there
    taken: set[str] = field(default_factory=set)  # those the receiver took
    put: dict[str, str] = field(default_factory=dict)  # pid → path of our mail
    swept: float = 0.0


class Cloud:
    """The cloud road of one node; its library is loaded when a bucket is named, not before."""

    name = "cloud"
    traits = Traits(replies=False, pings=False, hedges=False, spare=True)

    def __init__(self, settings: Mapping[str, Any], fleet: str, node: str, trigger: Target | None) -> None:
        self.own_word: Callable[[str, str], bool] = lambda peer, url: False
        self._settings = settings
        self._own = str(settings.get("url") or "")
        self._named = [url for url in dict.fromkeys([self._own, *settings.get("others", ())]) if url]
        self._fleet = fleet
        self._node = node
        self._poll = float(settings.get("poll") or POLL)
        self._credentials: dict[str, str] = {}
        self._places: dict[str, _Place] = {}
        self._news = asyncio.Event()
        self._trigger = trigger
        self._lines = Lines(lambda place, port: False)  # only to where the operator's own word leads
        self._closed = False

    async def open(self) -> None:
        """Read the credentials; no store is asked. Raises SettingsError or Faulty for settings that cannot be used."""
        credentials = str(self._settings.get("credentials") or "")
        if credentials:
            from channels._bucket import read_credentials

            self._credentials = await asyncio.to_thread(read_credentials, credentials)
        for url in self._named:
            self._place(url)

    async def send(self, peer: Peer, parcel: Parcel, timeout: float) -> Outcome:
        """Put the parcel into the peer's mailbox; that it is there already is as good."""
        place = self._place_of(peer)
        if len(parcel) > self.traits.max_bytes:
            raise Barred(f"{len(parcel)} bytes; the limit is {self.traits.max_bytes}")
        key = Key.of(self._fleet, parcel)
        began = asyncio.get_running_loop().time()
        fresh = await place.bucket.create(key.path, parcel.data, timeout)
        if not key.receipt:
            place.put[key.pid] = key.path
        left = timeout - (asyncio.get_running_loop().time() - began)
        return Outcome.taken("cloud" + (await self._call(left) if fresh else ""))

    async def _call(self, left: float) -> str:
        """Call the trigger; gives what to add to the report when that failed: the parcel lies where it shall."""
        if self._trigger is None:
            return ""
        try:
            status, _, _ = await self._lines.post(self._trigger, b"", max(0.1, min(left * 0.9, TRIGGER_TIMEOUT)))
        except RoadError as error:
            return f"; its trigger failed: {error.message}"
        return "" if 200 <= status < 300 else f"; its trigger answers {status}"

    async def listen(self, deliver: Deliver) -> None:
        """Look into every mailbox that is ours, again and again; runs until cancelled or until a store fails."""
        while True:
            self._news.clear()
            busy = 0.0
            for place in list(self._places.values()):
                busy = max(busy, await self._look(place, deliver))
                await self._sweep(place)
            try:
                async with asyncio.timeout(min(self._poll, busy or self._poll)):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def examine(self, peers: Sequence[Peer], timeout: float) -> str:
        """List our mailbox in every store that the configuration names; says how many answered. Raises RoadError."""
        for url in self._named:
            await self._place(url).bucket.list(f"{self._fleet}/{self._node}")
        return f"{len(self._named)} answered" if self._named else "none is configured"

    async def forget(self, peer: Peer, pids: Sequence[str]) -> None:
        """Delete parcels from the peer's mailbox; what an earlier life put is looked up."""
        try:
            place = self._place_of(peer)
        except Barred:
            return  # it has no mailbox, so nothing is in it
        paths = [place.put[pid] for pid in pids if pid in place.put]
        unknown = {pid for pid in pids if pid not in place.put}
        if unknown:
            listed = await place.bucket.list(f"{self._fleet}/{peer.id}/{self._node}")
            keys = (Key.read(self._fleet, one.path) for one in listed)
            paths += [key.path for key in keys if key is not None and key.pid in unknown and key.sender == self._node]
        await place.bucket.delete(paths)
        for pid in pids:
            place.put.pop(pid, None)

    async def close(self) -> None:
        """Let the trigger's connection go."""
        self._closed = True
        self._lines.close()

    def _place_of(self, peer: Peer) -> _Place:
        """Find a peer's mailbox, by the operator's word alone: nobody else may choose what this machine connects to."""
        if self._closed:
            raise Unreachable("this road is closed")
        if not is_node_id(peer.id):
            raise Barred("the peer's id is no name")
        url = str(peer.addresses.get(self.name, {}).get("url", "")) or self._own
        if not url:
            raise Barred(f"{peer.id} has no cloud address", address=True, hint=f"fleet peer set {peer.id} cloud.url=…")
        if url not in self._named and not self.own_word(peer.id, url):
            raise Barred("the cloud address is not from this machine's own configuration", address=True)
        return self._place(url)

    def _place(self, url: str) -> _Place:
        found = self._places.get(url)
        if found is None:
            from channels._bucket import Bucket, is_place

            if not is_place(url):
                raise Barred("the cloud address must look like s3://BUCKET/PREFIX, gs://… or az://…", address=True)
            found = self._places[url] = _Place(Bucket(url, self._settings, self._credentials))
            self._news.set()
        return found

    # --- taking in ----------------------------------------------------------------------------------------------------

    async def _look(self, place: _Place, deliver: Deliver) -> float:
        """Hand over what is new, each object once; gives after how many seconds the receiver wants the rest."""
        listed = await place.bucket.list(f"{self._fleet}/{self._node}")
        found = [(key, one) for one in listed if (key := Key.read(self._fleet, one.path)) and key.to == self._node]
        tags = {key.path: one.tag for key, one in found}
        place.handed = {path: tag for path, tag in place.handed.items() if tags.get(path) == tag}
        place.taken &= place.handed.keys()
        fresh = [one for key, one in found if key.path not in place.handed and one.size <= policy.PARCEL_LIMIT]
        busy = 0.0
        for at in range(0, len(fresh), READERS):
            busy = max(busy, await self._hand_over(place, fresh[at : at + READERS], deliver))
        now = int(time.time() * 1000)
        await self._delete(place, [
            key.path for key, _ in found
            if key.path in place.handed and ((key.receipt and key.path in place.taken) or key.exp + LATE < now)
        ])  # fmt: skip
        return busy

    async def _hand_over(self, place: _Place, fresh: Sequence[Listed], deliver: Deliver) -> float:
        contents = await asyncio.gather(*(place.bucket.read(one.path, policy.PARCEL_LIMIT) for one in fresh))
        busy = 0.0
        for one, data in zip(fresh, contents, strict=True):
            if data is None:
                continue
            place.handed[one.path] = one.tag
            answer = await hand_over(self.name, deliver, data, partial(place.handed.pop, one.path, None))
            if answer.kind is AnswerKind.BUSY:
                busy = max(busy, answer.retry_after, 0.01)
            elif answer.kind is not AnswerKind.NONE:
                place.taken.add(one.path)
        return busy

    async def _sweep(self, place: _Place) -> None:
        """Once a day, delete what this node put and nobody took before it expired."""
        now = asyncio.get_running_loop().time()
        if place.swept and now - place.swept < SWEEP:
            return
        place.swept = now
        before = int(time.time() * 1000) - LATE
        with contextlib.suppress(RoadError):  # a bucket that shows us only our own mailbox
            keys = [Key.read(self._fleet, one.path) for one in await place.bucket.list(self._fleet)]
            mine = [key for key in keys if key is not None and key.sender == self._node and key.exp < before]
            await self._delete(place, [key.path for key in mine])
            place.put = {pid: path for pid, path in place.put.items() if path not in {key.path for key in mine}}

    async def _delete(self, place: _Place, paths: Iterable[str]) -> None:
        with contextlib.suppress(RoadError):  # who may not delete here leaves it to who may
            await place.bucket.delete(list(paths))


def build(settings: Mapping[str, Any], earlier: Mapping[str, Channel]) -> Cloud:
    """Make the cloud road. Raises SettingsError for ids or a trigger that cannot be used."""
    fleet, node = str(settings.get("fleet") or ""), str(settings.get("node") or "")
    if not (is_node_id(fleet) and is_node_id(node)):
        raise SettingsError("the cloud road needs the fleet's and the node's id")
    return Cloud(settings, fleet, node, _trigger(str(settings.get("trigger") or "")))


def _trigger(url: str) -> Target | None:
    """Read the trigger's URL; being the operator's own word it may lead anywhere, but to one place only."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise SettingsError("channel.cloud.trigger is not a URL") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    plain = all("!" <= letter <= "~" for letter in url)
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not plain:
        raise SettingsError("channel.cloud.trigger must look like https://HOST/PATH")
    tls = parts.scheme == "https"
    return Target(tls, host, port or (443 if tls else 80), path, "", True)
