"""The mailboxes of the NATS road, one JetStream stream for each addressee; custody, never proof, never more than parcels.

A sender lays a parcel into the addressee's box under a name of its own and may only write over that name. The addressee
alone reads, acknowledges and so deletes. Who serves the broker makes the boxes; where nobody does, each node makes its
own, if it may. A broker without JetStream or without permission is a broker without mailboxes, nothing worse.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from nats.aio.msg import Msg

from channels._mailbox import hand_over
from channels._requests import Away, Requests
from fleet.core import policy, subjects
from fleet.core.channel import Answer, AnswerKind, Deliver
from fleet.core.envelope import is_message_id, is_node_id
from fleet.core.parcel import Parcel
from fleet.errors import Faulty, RoadError, Unreachable

LIFE = 7 * 86_400  # s; mail lives no longer unless somebody asked for it
NANO = 1_000_000_000
FRAME_LIMIT = policy.PARCEL_LIMIT + 1024  # a parcel and its hop frame
OBJECT_LIMIT = FRAME_LIMIT + 1024  # …and the headers beside it
BATCH = 8  # parcels fetched at once
PULL = 10.0  # s the broker may wait for something to come before it says that nothing did
PULL_GRACE = 3.0  # s behind that after which its silence counts as an end
ACK_WAIT = 30.0  # s a parcel may be in our hands before the broker offers it again
API_TIMEOUT = 5.0  # s; a cluster that lost a node answers within two
RECHECK_FIRST, RECHECK_LAST = 0.5, 60.0  # s between two looks for a mailbox that is not there
REMEMBERED = 4096  # parcels whose place we know, and those whose acknowledgement may be lost
REPLICAS = (3, 2, 1)  # as many as the cluster has servers for
OTHER_SETTINGS, NO_ROOM = 10058, 10077  # JetStream: the stream has other settings; it is full
TOMB = {"Nats-TTL": "1s"}  # what is taken back is written over by nothing, which leaves at once


class Boxes:
    """The mailboxes as one node uses them."""

    def __init__(self, fleet: str, node: str, size: int, requests: Requests) -> None:
        """Take the fleet's and our own id, the bytes of one mailbox and what asks the broker."""
        self._fleet = fleet
        self._node = node
        self._most = self._size = size
        self._requests = requests
        self._wards: tuple[str, ...] = ()
        self._placed: OrderedDict[str, tuple[str, int]] = OrderedDict()  # pid → addressee, sequence number
        self._handed: OrderedDict[tuple[str, str], None] = OrderedDict()  # what was handed over and is perhaps still there
        self._forbidden_until = 0.0
        self._making = asyncio.Lock()

    # --- sending ------------------------------------------------------------------------------------------------------

    async def put(self, to: str, parcel: Parcel, timeout: float) -> None:
        """Lay a parcel into a mailbox; that it lies there already is as good. Raises Unreachable, Away without a mailbox."""
        clock = asyncio.get_running_loop().time
        if clock() < self._forbidden_until or not is_message_id(parcel.pid):
            raise Away("no mailbox", unsent=True)
        life = min(LIFE, max(1, parcel.exp // 1000 - int(time.time())))
        headers = {"Nats-Msg-Id": parcel.pid, "Nats-TTL": f"{life}s"}
        subject = subjects.box(self._fleet, to, self._node, parcel.pid)
        try:
            answer = _read(await self._requests.ask(subject, parcel.data, timeout, headers))
        except Faulty:
            self._forbidden_until = clock() + RECHECK_LAST
            raise Away("no mailbox", unsent=True) from None
        number = answer.get("seq")
        if "error" in answer or answer.get("stream") != subjects.stream(self._fleet, to) or type(number) is not int:
            full = _code(answer) == NO_ROOM
            raise Unreachable("the mailbox is full" if full else "no mailbox takes it", unsent=True)
        self._placed[parcel.pid] = to, number
        while len(self._placed) > REMEMBERED:
            self._placed.popitem(last=False)

    async def take_back(self, to: str, pids: Sequence[str]) -> None:
        """Write over parcels that still lie where we put them; those of an earlier life stay until they expire."""
        known = [(pid, self._placed.pop(pid)[1]) for pid in pids if self._placed.get(pid, ("", 0))[0] == to]
        for pid, number in known:
            with contextlib.suppress(RoadError):
                headers = {**TOMB, "Nats-Expected-Last-Subject-Sequence": str(number)}
                await self._requests.ask(subjects.box(self._fleet, to, self._node, pid), b"", API_TIMEOUT, headers)

    # --- making mailboxes ---------------------------------------------------------------------------------------------

    def care_for(self, nodes: Iterable[str], room: int) -> None:
        """Say whose mailboxes this node makes, because it serves the broker, and how many bytes all may take."""
        self._wards = tuple(node for node in dict.fromkeys(nodes) if is_node_id(node))
        self._size = min(self._most, room // (len(self._wards) + 1))  # one share is left: the server counts its own too

    async def make_all(self) -> bool:
        """Make the mailboxes this node cares for; says whether all stand."""
        async with self._making:
            wards = self._wards
            stand = [await self.make(node) for node in (*wards, *wards)]  # first some may have to shrink
        return wards == self._wards and all(stand[len(wards) :])

    async def make(self, node: str) -> bool:
        """Make a node's mailbox as it shall be, with its one reader; says whether it stands."""
        with contextlib.suppress(RoadError):
            for replicas in REPLICAS:
                if await self._make_stream(node, replicas):
                    reader = {"stream_name": subjects.stream(self._fleet, node), "action": "", "config": READER}
                    answer = await self._api(subjects.create_consumer(self._fleet, node), reader)
                    return "error" not in answer
        return False

    async def _make_stream(self, node: str, replicas: int) -> bool:
        wanted = {
            "name": subjects.stream(self._fleet, node), "subjects": [subjects.box(self._fleet, node)],
            "retention": "workqueue", "storage": "file", "discard": "new", "max_msgs_per_subject": 1,
            "max_bytes": self._size, "max_msg_size": OBJECT_LIMIT, "max_age": LIFE * NANO, "allow_msg_ttl": True,
            "max_consumers": 1, "num_replicas": replicas,
        }  # fmt: skip
        answer = await self._api(subjects.create_stream(self._fleet, node), wanted)
        if _code(answer) == OTHER_SETTINGS:
            answer = await self._api(subjects.update_stream(self._fleet, node), wanted)
        return "error" not in answer

    async def _api(self, subject: str, words: object) -> dict[str, Any]:
        return _read(await self._requests.ask(subject, json.dumps(words).encode(), API_TIMEOUT))

    # --- reading ------------------------------------------------------------------------------------------------------

    async def drain(self, deliver: Deliver) -> None:
        """Hand over what lies in our own mailbox and whatever comes; runs until cancelled."""
        pause = RECHECK_FIRST
        while True:
            await self._requests.connected()
            began = asyncio.get_running_loop().time()
            try:
                got = await self._pull(deliver)
            except Away:
                got = await self.make(self._node)
            except RoadError:
                got = False
            quick = asyncio.get_running_loop().time() - began < RECHECK_FIRST
            if got or not quick:
                pause = RECHECK_FIRST
                continue
            await asyncio.sleep(pause)
            pause = min(RECHECK_LAST, pause * 2)

    async def _pull(self, deliver: Deliver) -> bool:
        """Fetch what there is or comes within a while; says whether there was anything."""
        wish = json.dumps({"batch": BATCH, "expires": int(PULL * NANO)}).encode()
        got = False
        async with self._requests.fetching(subjects.fetch(self._fleet, self._node), wish) as answers:
            for _ in range(BATCH):
                try:
                    async with asyncio.timeout(PULL + PULL_GRACE):
                        answer = await answers.get()
                except TimeoutError:
                    break
                if isinstance(answer, RoadError):
                    raise answer
                if not answer.reply.startswith(subjects.ACK):
                    break  # nothing more: the broker says why in headers we do not read
                await self._take(answer, deliver)
                got = True
        return got

    async def _take(self, message: Msg, deliver: Deliver) -> None:
        """Hand one parcel over, unless that was done, and let the broker delete it; a busy receiver gets it again."""
        name = _place_of(message.reply)
        answer = Answer(AnswerKind.NONE)
        if name not in self._handed and 0 < len(message.data) <= FRAME_LIMIT:
            self._handed[name] = None
            answer = await hand_over("nats", deliver, message.data, partial(self._handed.pop, name, None))
            while len(self._handed) > REMEMBERED:
                self._handed.popitem(last=False)
        if answer.kind is AnswerKind.BUSY:
            delay = json.dumps({"delay": int(max(answer.retry_after, 0.01) * NANO)})
            await self._requests.tell(message.reply, b"-NAK " + delay.encode())
        else:
            await self._requests.tell(message.reply, b"+ACK")


READER = {
    "durable_name": subjects.CONSUMER, "name": subjects.CONSUMER, "deliver_policy": "all", "ack_policy": "explicit",
    "ack_wait": int(ACK_WAIT * NANO), "max_ack_pending": 4 * BATCH,
}  # fmt: skip


def _read(message: Msg) -> dict[str, Any]:
    """Read JetStream's answer. Raises Unreachable for what is none."""
    try:
        found = json.loads(message.data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreachable("the broker's mailbox answers nonsense")
    return found


def _code(answer: dict[str, Any]) -> int:
    error = answer.get("error")
    code = error.get("err_code") if isinstance(error, dict) else 0
    return code if isinstance(code, int) else 0


def _place_of(reply: str) -> tuple[str, str]:
    """Name an object by its number and its time in the stream; the rest of the words change with every delivery."""
    words = reply.split(".")[4:]  # without "$JS.ACK.STREAM.CONSUMER"; newer servers put domain and account before the stream
    words = words[2:] if len(words) > 5 else words
    return (words[1], words[3]) if len(words) >= 5 else (reply, "")
