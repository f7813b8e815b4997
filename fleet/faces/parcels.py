"""Parcels that `fleet receive` brings to the running daemon over its Unix socket; it reads nothing and judges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.core import policy
from fleet.core.channel import Answer, AnswerKind
from fleet.faces.reader import Reply, Request, refusal

if TYPE_CHECKING:
    from fleet.daemon.service import Node

BYTES = b"application/octet-stream"
PATH = "/parcel"


async def post(node: Node, request: Request) -> Reply:
    """Hand a parcel to the road it came by; the answer's bytes, or 202 custody, 503 busy, 400 not authenticated."""
    take = getattr(node.roads.channels.get("ssh"), "take", None)
    if not request.private or take is None:
        return refusal(404, "not_found", "the ssh road is switched off here" if request.private else "not served here")
    if not 0 < len(request.body) <= policy.PARCEL_LIMIT:
        return refusal(413, "too_large", f"a parcel has 1 to {policy.PARCEL_LIMIT} bytes")
    return reply_of(await take(request.body))


def reply_of(answer: Answer) -> Reply:
    """Write an answer as the parcel door does."""
    if answer.kind is AnswerKind.SIGNED:
        return Reply(body=answer.data, kind=BYTES.decode())
    if answer.kind is AnswerKind.CUSTODY:
        return Reply(202, kind=BYTES.decode())
    if answer.kind is AnswerKind.BUSY:
        return Reply(503, f"{answer.retry_after:g}".encode(), kind="text/plain")
    return Reply(400, kind=BYTES.decode())
