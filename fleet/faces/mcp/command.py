"""The command mcp: tools over standard input and output or HTTP on loopback, or what they cost; holds nothing itself."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet.errors import UsageError
from fleet.faces.caller import Caller
from fleet.faces.local import socket_path
from fleet.faces.render import Screen
from fleet.faces.verdicts import DONE

HOST = "127.0.0.1"
PATH = "/mcp"
CONNECTIONS = 64  # at once
BODY = 2 << 20  # bytes of one request; a message has half a MiB at most


def mcp(args: Namespace, call: Caller, screen: Screen) -> int:
    """Serve the tools until the agent program hangs up. Raises UsageError without the extra or for a port that is taken."""
    try:
        from fleet.faces.mcp import server
        from fleet.faces.mcp.desk import Desk
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("mcp", "mcp_types", "pydantic"):
            raise
        hint = f"{sys.executable} -m pip install 'mcp>=2.3'"
        raise UsageError("the tools for agents need the extra mcp, which is not installed", hint=hint) from None
    if args.cost:
        return _cost(server.cost(server.tools(Desk(call.environ))), screen)
    if args.http:
        return _http(server.make(Desk(call.environ, alone=False)), args.port, call.environ, screen)
    server.make(Desk(call.environ)).run("stdio")
    return DONE


def _cost(rows: list[dict[str, Any]], screen: Screen) -> int:
    total = {name: sum(row[name] for row in rows) for name in ("bytes", "tokens")}
    if screen.json:
        screen.value({**total, "tools": rows})
    else:
        shown = [(row["tool"], row["tokens"], row["bytes"]) for row in rows]
        screen.table(("tool", "tokens in context", "bytes of the list"), [*shown, ("all", total["tokens"], total["bytes"])])
    return DONE


def _http(made: Any, port: int, environ: Mapping[str, str], screen: Screen) -> int:
    import uvicorn

    from fleet.faces.door import bind_tcp
    from fleet.faces.mcp.guard import Guard

    try:
        sock = bind_tcp(HOST, port)
        sock.listen(CONNECTIONS)
    except OSError as error:
        raise UsageError(f"{HOST}:{port} cannot be used: {error.strerror}", hint="fleet mcp --http --port 0") from None
    token = Path(os.path.dirname(socket_path(environ))) / "token"  # noqa: PTH120
    url = f"http://{HOST}:{sock.getsockname()[1]}{PATH}"
    app = made.streamable_http_app(streamable_http_path=PATH, max_request_body_size=BODY, max_sessions=CONNECTIONS)
    settings = uvicorn.Config(Guard(app, token), log_level="warning", access_log=False, limit_concurrency=CONNECTIONS)
    if screen.json:
        screen.value({"url": url, "token": str(token)})
    else:
        screen.talk(f"tools at {url}, with Authorization: Bearer and the token in {token}")
    uvicorn.Server(settings).run([sock])
    return DONE
