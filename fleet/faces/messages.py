"""POST /message: one message, many lines, or one to everybody; must never answer before the fsync or out of order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from fleet.core.submission import Submission, read_line, seconds
from fleet.errors import FleetError, UsageError
from fleet.faces.reader import STATUS_OF, Reply, Request, error_of
from fleet.faces.verdicts import WAITS, exit_of, exit_of_all, exit_of_error

if TYPE_CHECKING:
    from fleet.daemon.service import Node
    from fleet.engine.roster import Roster

LINES_LIMIT = 4096  # messages of one request; a caller with more sends the next request
WAIT_LIMIT = 86_400.0
TIMEOUT = 10.0  # seconds that send waits unless it is told otherwise
EVERYBODY = "*"
LINES = "application/x-ndjson"
_encode = msgspec.json.Encoder().encode
_each = msgspec.json.Decoder(Submission).decode_lines
Answer = dict[str, Any]


async def post_lines(node: Node, request: Request) -> Reply:
    """Accept one message a line; one answer a line, in order; a bad line gets its error and the others count."""
    asked = read_lines(request.body)
    answers, _ = await carry_out(node, asked, request)
    return Reply(body=b"\n".join(map(_encode, answers)) + b"\n", kind=LINES)


async def post_one(node: Node, request: Request) -> Reply:
    """Accept one message, or with `to` = `*` the same to every member; the exit code travels in a header."""
    asked = read_line(request.body)
    if asked.to == EVERYBODY:
        answers, codes = await carry_out(node, broadcast(node, asked), request)
        return Reply(body=_encode(answers), headers=(("Fleet-Exit", str(exit_of_all(codes))),))
    answers, codes = await carry_out(node, [asked], request)
    answer = answers[0]
    status = STATUS_OF.get(answer["error"]["code"], 500) if "error" in answer else 200
    return Reply(status, _encode(answer), headers=(("Fleet-Exit", str(codes[0])),))


def read_lines(body: bytes) -> list[Submission | FleetError]:
    """Read every line; what is no message is an error in its place. Raises UsageError for too many lines."""
    lines = body.split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    if len(lines) > LINES_LIMIT:
        raise UsageError(f"{len(lines)} messages in one request, the limit is {LINES_LIMIT}")
    try:
        read: list[Submission | FleetError] = list(_each(body))
        if len(read) == len(lines):
            return read
    except (msgspec.MsgspecError, RecursionError, ValueError):
        pass  # one of them is bad: read them one by one
    return [_read(line) for line in lines]


def _read(line: bytes) -> Submission | FleetError:
    try:
        return read_line(line)
    except FleetError as error:
        return error


def everybody(roster: Roster) -> list[str]:
    """Name every other member that may be written to."""
    return [peer.id for peer in roster.peers() if peer.enabled]


def broadcast(node: Node, asked: Submission) -> list[Submission | FleetError]:
    """Address a message to every other enabled member."""
    return [msgspec.structs.replace(asked, to=peer) for peer in everybody(node.roster)]


async def carry_out(node: Node, asked: list[Submission | FleetError], request: Request) -> tuple[list[Answer], list[int]]:
    """Submit what can be, wait if the query says so; answers in order, and the exit code of each."""
    wait, timeout = wish(request) if b"?" in request.target else ("none", 0.0)
    started = asyncio.get_running_loop().time()
    answers = await submit(node, asked)
    if wait == "none":
        return answers, [exit_of(answer, wait) for answer in answers]
    request.patient = True
    waited = await asyncio.gather(*(_wait(node, answer, wait, timeout, started) for answer in answers))
    return [answer for answer, _ in waited], [code for _, code in waited]


async def submit(node: Node, asked: list[Submission | FleetError]) -> list[Answer]:
    """Hand everything that is a message over at once and put the errors into their places."""
    good = [item for item in asked if isinstance(item, Submission)]
    answers = await node.mail.submit(good) if good else []
    if len(good) == len(asked):
        return answers
    rest = iter(answers)
    return [next(rest) if isinstance(item, Submission) else error_of(item) for item in asked]


async def _wait(node: Node, answer: Answer, wait: str, timeout: float, started: float) -> tuple[Answer, int]:
    if "error" in answer:
        return answer, exit_of_error(answer["error"])
    found = await node.mail.wait(answer["id"], wait, timeout)
    walked = bool(found.pop("walked", False))
    if "content" in answer:
        found["content"] = answer["content"]  # what was marked in it
    found["elapsed_ms"] = round((asyncio.get_running_loop().time() - started) * 1000, 1)
    return found, exit_of(found, wait, walked)


def wish(request: Request) -> tuple[str, float]:
    """Read ?wait= and ?timeout=. Raises UsageError."""
    query = request.query
    wait = query.pop("wait", "none")
    timeout = seconds(query.pop("timeout", str(TIMEOUT)))
    if wait not in WAITS or query:
        raise UsageError(f"wait is one of {', '.join(WAITS)}; other words of the query: {', '.join(query) or 'none'}")
    return wait, min(timeout, WAIT_LIMIT)
