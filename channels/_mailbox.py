"""What the roads that poll a mailbox share: how one parcel is handed over; knows no mailbox and judges no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleet.core.channel import Answer, AnswerKind, Deliver

NOTHING = Answer(AnswerKind.NONE)


async def hand_over(road: str, deliver: Deliver, data: bytes, again: Callable[[], object]) -> Answer:
    """Hand a parcel to the receiver; `again` is called when it must be handed over once more.

    That is: when the receiver was busy, or was broken off before it had an answer. One that breaks by itself is reported
    as the bug it is and counts as silent.
    """
    task = asyncio.ensure_future(deliver(data))
    try:
        await asyncio.wait({task})
    finally:
        if not task.done() or _is_busy(task):  # also when we are cancelled in the moment in which it ends
            again()
        task.cancel()
    error = task.exception()
    if error is None:
        return task.result()
    words = {"message": f"{road}: a parcel could not be received", "exception": error}
    asyncio.get_running_loop().call_exception_handler(words)
    return NOTHING


def _is_busy(task: asyncio.Future[Answer]) -> bool:
    return task.exception() is None and task.result().kind is AnswerKind.BUSY
