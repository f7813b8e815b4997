"""The grammar of `fleet`: every command with its options and the handler it names; must never import a handler."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from fleet import __version__
from fleet.errors import UsageError

PRIORITIES = ("low", "normal", "high", "urgent")
WAITS = ("none", "received", "shown", "done")
LEVELS = ("debug", "info", "warning", "error")
Add = Callable[..., Any]


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of printing and leaving."""

    def error(self, message: str) -> NoReturn:
        """Report what is wrong with the arguments."""
        raise UsageError(message, hint=f"{self.prog} --help")


def build(prog: str = "fleet") -> tuple[Parser, dict[str, Parser]]:
    """Build the whole grammar; gives the root and the parser of each command."""
    root = Parser(
        prog=prog, description="A message bus for the machines of one fleet.", epilog=_EPILOG, formatter_class=_Help
    )
    root.add_argument("--version", action="version", version=f"fleet {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    found: dict[str, Parser] = {}

    def command(name: str, handler: str, summary: str, **more: Any) -> Add:
        words = f"{summary[0].upper()}{summary[1:]}."
        parser = commands.add_parser(name, help=summary, description=words, formatter_class=_Help, **more)
        parser.add_argument("--json", action="store_true", help="one JSON value on standard output")
        parser.set_defaults(handler=handler)
        found[name] = parser
        return parser.add_argument

    for group in (_machine, _mail, _peers, _gates, _tools, _care, _programs):
        group(command)
    return root, found


_Help = argparse.RawDescriptionHelpFormatter
_EPILOG = """\
exit codes: 0 done · 1 failed, unknown id · 2 usage, nothing was accepted
3 no daemon · 4 refused · 5 unknown peer · 6 no road took it yet, it waits
7 accepted, not received in time · 8 partly (broadcast)
9 received, not later · 130 interrupted
FLEET_HOME=DIR puts everything of one node under DIR."""


def _machine(command: Callable[..., Add]) -> None:
    add = command("init", "machine:init", "make this machine the first of a new fleet: keys, configuration, database")
    add("--node", metavar="ID", help="what this node is called (default: the host name)")
    add("--fleet", metavar="ID", help="what the fleet is called (default: made up)")
    add = command("up", "daemon:up", "run the daemon, in the foreground unless --detach")
    add("--detach", action="store_true", help="return when socket, parcel door and NATS answer")
    add("--bind", metavar="HOST:PORT", help="where other nodes reach this one's parcel door")
    command("down", "daemon:down", "stop the daemon")
    add = command("invite", "machine:invite", "print a link with which one other machine can join")
    add("--ttl", metavar="D", default="10m", help="how long it is valid (default: 10m)")
    add("--trust", metavar="N", type=int, default=2, choices=range(5), help="the trust it starts with (default: 2)")
    add("--address", metavar="HOST:PORT", help="where the other machine reaches this one")
    add = command("join", "machine:join", "join the fleet of the machine that printed LINK")
    add("link", metavar="LINK", help="the link, or - to read it from standard input")
    add("--node", metavar="ID", help="what this node is called (default: the host name)")


def _mail(command: Callable[..., Add]) -> None:
    send_options(command("send", "mail:send", "hand over a message and wait for its receipt"))
    add = command("ask", "ask:ask", "send a message and wait for the answer that regards it")
    add("words", metavar="PEER TEXT|-", nargs="*", help="the addressee and the text; - reads standard input")
    add("--timeout", metavar="S", default="300", help="how long to wait for the answer: seconds, 90s, 10m (default: 300)")
    add("--agent", metavar="NAME", help="the agent it is meant for")
    add("--type", metavar="T", default="query", choices=("query", "message", "task"), help="message type (default: query)")
    add("--priority", choices=PRIORITIES, help="a higher one overtakes (default: normal)")
    add = command("inbox", "mail:inbox", "show what was not shown yet, oldest first, and mark it shown")
    add("--follow", action="store_true", help="go on showing what comes in")
    add("--peek", action="store_true", help="mark nothing")
    add("--all", action="store_true", help="also what was shown before")
    add("--limit", metavar="N", type=int, default=1000, help="at most so many (default: 1000)")
    add("--session", metavar="ID", default="", help="the agent session that reads it: what names another is left out")
    add("id", metavar="ID", nargs="?", default="", help="one message, whatever its state")
    command("sessions", "sessions:sessions", "show the live agent sessions of all nodes")
    add = command("hook", "hooks:command", "what the hooks of agent programs run: reads their JSON, silent when it fails")
    add("event", metavar="EVENT", help="start, prompt, idle, wait or end")
    add("--ide", metavar="NAME", help="claude, codex, gemini, cursor or vscode")
    add = command("done", "mail:done", "tell the sender that a message was processed")
    add("id", metavar="ID")
    add = command("outbox", "mail:outbox", "show what waits")
    add("--limit", metavar="N", type=int, default=1000, help="at most so many (default: 1000)")
    add = command("cancel", "mail:cancel", "take back a message that is not delivered")
    add("id", metavar="ID")
    add = command("trace", "tracing:trace", "show every attempt of one message, and what is known of its other end")
    add("id", metavar="ID")
    add = command("dead", "mail:dead", "show dead letters, try one again or drop it")
    add("action", nargs="?", choices=("list", "retry", "drop"), default="list")
    add("id", metavar="ID", nargs="?", help="for retry and drop")
    add("--limit", metavar="N", type=int, default=1000, help="at most so many (default: 1000)")


def send_options(add: Add, wait: str = "received") -> None:
    """Add what `fleet send` and fleet_send take."""
    add("words", metavar="PEER [TEXT|-]", nargs="*", help="the addressee and the text; - reads standard input")
    add("--all", action="store_true", help="to every other member (type broadcast unless --type says otherwise)")
    add("--type", metavar="T", help="message type (default: message)")
    add("--priority", choices=PRIORITIES, help="a higher one overtakes (default: normal)")
    add("--re", metavar="ID", help="the message this one answers")
    add("--correlation", metavar="ID", help="a name for the conversation")
    add("--agent", metavar="NAME", help="the agent it is meant for")
    add("--session", metavar="ID", help="the session it is meant for")
    add("--channel", metavar="NAME", help="that road and no other")
    add("--ttl", metavar="D", help="how long it is worth delivering: 90s, 10m, 2h, 7d")
    add("--cost", metavar="tokens=N,usd=X,hops=N", help="what handling it may cost")
    add("--id", metavar="ID", help="its own id (UUIDv7, 32 hex digits): asking again sends nothing twice")
    add("--wait", choices=WAITS, default=wait, help=f"what to wait for (default: {wait})")
    add("--timeout", metavar="S", default="10", help="how long to wait (default: 10 s)")


def _peers(command: Callable[..., Add]) -> None:
    command("status", "home:status", "show this node and its peers")
    command("peers", "home:peers", "show the peers")
    add = command("peer", "peers:peer", "add, change, show or remove a peer")
    add("action", choices=("add", "set", "show", "remove"))
    add("peer", metavar="ID")
    add("settings", metavar="KEY=VALUE", nargs="*", help="such as http.url=http://10.0.0.2:8856 or enabled=false")
    add = command("ping", "peers:ping", "ask a peer for a signed sign of life")
    add("peer", metavar="PEER")
    add("--channel", metavar="NAME", help="on that road (default: the best)")
    add("-c", metavar="N", dest="count", type=int, default=1, help="so often (default: once)")
    add = command("check", "reach:check", "try every road to a peer")
    add("peer", metavar="PEER")
    add = command("wake", "reach:wake", "wake a peer: ask it, then over SSH, then by Wake-on-LAN")
    add("peer", metavar="PEER")
    add = command("doctor", "doctor.command:doctor", "look at everything this node stands on; tells the exact remedy")
    add("--fix", action="store_true", help="do what is safe, and say what was done")
    add = command("explain", "peers:explain", "show the verdict of each gate and the plan; sends nothing")
    add("peer", metavar="PEER")
    add("--type", metavar="T", default="message", help="message type (default: message)")
    add = command("keys", "keys:keys", "show or rotate this node's keys, move the fleet's root key")
    add("action", choices=("show", "rotate", "export-root", "import-root"))
    add("what", metavar="KEY|FILE", nargs="?", default="", help="sign, seal, nats or fleet; the file of an export")
    add("--move", action="store_true", help="export-root: remove the root key from this machine")
    add("--yes", action="store_true", help="do not ask")
    add = command("revoke", "keys:revoke", "retire a member's certificates, where the fleet's root key is")
    add("peer", metavar="PEER")
    add("--yes", action="store_true", help="do not ask")
    add = command("repair", "repair:repair", "mend the roads to a peer, level by level, until a round trip proves them")
    add("peer", metavar="PEER")
    add("--channel", metavar="NAME", default="", help="that road (default: every road that pings)")
    add("--level", metavar="N", type=int, choices=range(1, 5), default=2, help="how far to go: 1 this side, 2 ask the peer, "
        "3 restart its daemon over SSH, 4 show what a person can do (default: 2)")  # fmt: skip
    add("--yes", action="store_true", help="do not ask")
    add = command("reset", "peers:reset", "say that a road to a peer is mended")
    add("peer", metavar="PEER")
    add("channel", metavar="CHANNEL", nargs="?", help="one road (default: all)")


def _gates(command: Callable[..., Add]) -> None:
    add = command("trust", "trusting:trust", "show how far peers are trusted, or set a peer's level", epilog=_TRUST)
    add("peer", metavar="PEER", nargs="?")
    add("level", metavar="LEVEL", nargs="?", type=int, choices=range(5), help="0 to 4; what was counted begins anew")
    add("--reason", metavar="R", help="why; the audit keeps it")
    add("--yes", action="store_true", help="do not ask")
    add = command("budget", "trusting:budget", "show or set what a peer may cost in a window", epilog=_BUDGET)
    add("peer", metavar="PEER", nargs="?")
    add("--tokens", metavar="N", type=int, help="tokens in a window, 0 to 1000000000")
    add("--usd", metavar="X", help="dollars in a window, 0 to 1000000")
    add("--hops", metavar="N", type=int, help="relays a message may cross, 0 to 64")
    add("--window", metavar="D", help="how long a window is: 10m, 12h, 1d")
    add = command("spend", "trusting:spend", "report what a peer's work cost, or that it failed", epilog=_SPEND)
    add("peer", metavar="PEER")
    add("--tokens", metavar="N", type=int)
    add("--usd", metavar="X")
    add("--failed", action="store_true", help="it was of no use: a failure for the breaker")
    add = command("breaker", "trusting:breaker", "show which peers are suspended or evicted, since when and why")
    add("peer", metavar="PEER", nargs="?")
    add = command("evict", "trusting:evict", "shut a peer out until it is reactivated")
    add("peer", metavar="PEER")
    add("--reason", metavar="R", help="why; the audit keeps it")
    add("--yes", action="store_true", help="do not ask")
    add = command("reactivate", "trusting:reactivate", "let a suspended or evicted peer in again")
    add("peer", metavar="PEER")
    add("--yes", action="store_true", help="also before its time")


_TRUST = """\
examples:
  fleet trust
      every peer: level, score, interactions, what it has earned
  fleet trust mac2 3 --reason "runs our tests"
      mac2 may send tasks from now on"""
_BUDGET = """\
examples:
  fleet budget mac2
      what mac2 may cost, and what it cost in this window
  fleet budget mac2 --usd 2.50 --window 12h
      what does not fit into 2.50 USD in 12 hours is refused"""
_SPEND = """\
examples:
  fleet spend mac2 --tokens 12000 --usd 0.31
  fleet spend mac2 --failed"""


def _tools(command: Callable[..., Add]) -> None:
    add = command("config", "machine:config", "show or change the configuration")
    add("action", choices=("show", "set", "unset"), nargs="?", default="show")
    add("key", metavar="KEY", nargs="?", help="a dotted path such as channel.git.remote")
    add("value", metavar="VALUE", nargs="?")
    add("--origin", action="store_true", help="where each value comes from")
    command("paths", "machine:paths", "show where everything of this node lies")
    add = command("bench", "bench:run", "measure rates and percentiles of this bus on this machine")
    add("--peer", metavar="P", help="a peer to measure against")
    add("--loopback", action="store_true", help="make two nodes and a broker of its own, in the working directory")
    add("--messages", metavar="N", type=int, default=20_000, help="so many (default: 20000)")
    add("--size", metavar="B", type=int, default=1024, help="bytes of each body (default: 1024)")
    add("--concurrency", metavar="C", type=int, default=64, help="connections at once (default: 64)")
    add("--batch", metavar="N", type=int, default=64, help="messages a request (default: 64)")
    command("demo", "demo:run", "show the main job on real parts: NATS, three nodes, failures")
    add = command("completion", "machine:completion", "print the completion script of a shell")
    add("shell", choices=("bash", "zsh", "tcsh"))
    command("version", "machine:version", "show the version")
    add = command("tunnel", "tunnels:tunnel", "reach a peer's parcel door and broker through SSH")
    add("action", choices=("open", "close", "list"))
    add("peer", metavar="PEER", nargs="?")
    add = command("ssh", "authorize:authorize", "let a peer's SSH key do here what fleet needs and nothing else")
    add("action", choices=("authorize",))
    add("peer", metavar="PEER")
    add("key", metavar="KEY", nargs="?", help="its public key, or - for standard input (default: ssh.key of the peer)")
    add("--install", action="store_true", help="write the line into ~/.ssh/authorized_keys")
    add("--file", metavar="PATH", help="another file of authorized keys")
    add = command("receive", "receive:command", "what other nodes may do here over SSH; their key line names this command")
    add("action", nargs="?", choices=("receive", "sftp", "nudge", "restart"))


def _care(command: Callable[..., Add]) -> None:
    add = command("logs", "logs:logs", "show the daemon's log")
    add("--follow", action="store_true", help="go on showing what comes in")
    add("--level", choices=LEVELS, default="debug", help="at least so grave (default: everything that was written)")
    add("--since", metavar="D", help="of the last 90s, 10m, 2h, 7d")
    add("--lines", "-n", metavar="N", type=int, default=200, help="the last N lines (default: 200)")
    add = command("audit", "audit:audit", "show what was refused, held or changed, or verify that nobody touched it")
    add("action", nargs="?", choices=("show", "verify"), default="show")
    add("--since", metavar="D", help="of the last 90s, 10m, 2h, 7d")
    add("--type", metavar="T", help="one kind of entry, such as refused_in, alarm, revoked")
    add("--peer", metavar="P", help="about one peer")
    add("--limit", metavar="N", type=int, help="the latest N (default: 100, all in an export)")
    add("--export", choices=("json", "ndjson", "csv"), help="write them to standard output")
    add = command("service", "service:service", "let systemd or launchd keep the daemon running")
    add("action", choices=("install", "remove"))
    add("--system", action="store_true", help="as a service of the machine, not of this user")
    add("--dry-run", action="store_true", help="say what would happen, write nothing")
    add = command("bugreport", "bugreport:bugreport", "pack what helps to find a bug: no messages, no keys")
    add("--output", metavar="FILE", help="where to write it (default: fleet-bugreport-NODE.tar.gz here)")


def _programs(command: Callable[..., Add]) -> None:
    add = command("mcp", "mcp.command:mcp", "serve the tools for agents (MCP) on standard input and output")
    add("--http", action="store_true", help="as streamable HTTP on loopback, with the token of run/token")
    add("--port", metavar="N", type=int, default=8858, help="of --http; 0: any (default: 8858)")
    add("--cost", action="store_true", help="say what the tools cost in context, serve nothing")
    for name, words, default in (("install", "bring {} to", "those on PATH"), ("uninstall", "take {} from", "all")):
        add = command(name, f"install:{name}", f"{words.format('hooks, tools and skills')} agent programs")
        add("--ide", metavar="NAME[,NAME]", help=f"claude, codex, gemini, cursor, vscode (default: {default})")
        add("--project", metavar="DIR", help="for the project in DIR alone (default: for the user)")
        add("--dry-run", action="store_true", help="say what would happen, write nothing")
