"""`fleet`: one grammar, handlers imported when called, errors as the contract says; must never do a command's work."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Collection, Sequence

from fleet.errors import FleetError, UsageError
from fleet.faces.caller import Caller
from fleet.faces.parser import Parser, build, send_options
from fleet.faces.reader import error_of
from fleet.faces.render import Screen, visible
from fleet.faces.verdicts import FAILED, INTERRUPTED, USAGE


def main(arguments: Sequence[str] | None = None, *, prog: str = "fleet", id: str = "", stdin: bytes | None = None) -> int:
    """Run one command; gives its exit code. fleet_send hands over the id it made and what it read already."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["hook"] and "--help" not in given:
        from fleet.faces import hooks

        return hooks.main(given[1:])
    screen = Screen(json="--json" in given)
    try:
        args = fast_arguments(given[1:]) if prog == "fleet_send" else parse(given)
        args.made_id, args.read_already = id, stdin
        screen.json = args.json
        return run(args, screen)
    except FleetError as error:
        return report(error, screen)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # nobody reads any more, nor shall Python complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def parse(given: list[str]) -> Namespace:
    """Read the arguments of `fleet`. Raises UsageError."""
    root, commands = build()
    words = [word for word in given if word != "--json"] if given[:1] == ["--json"] else given
    if not words or words[0] not in commands:
        if words and not words[0].startswith("-"):
            raise UsageError(f"there is no command {words[0]!a}", hint=_nearest(words[0], commands))
        args = root.parse_args(words)
        if not words:
            root.print_help(sys.stderr)
            raise SystemExit(USAGE)
        return args
    args = commands[words[0]].parse_intermixed_args(words[1:])
    args.json = args.json or words is not given
    args.command = words[0]
    return args


def _nearest(word: str, commands: Collection[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, commands, 1)
    return f"fleet {near[0]}" if near else "fleet --help"


def fast_arguments(given: list[str]) -> Namespace:
    """Read the arguments of fleet_send. Raises UsageError."""
    parser = Parser(prog="fleet_send", description="Hand over a message, fast, with or without a daemon.")
    parser.add_argument("--json", action="store_true", help="one JSON value on standard output")
    send_options(parser.add_argument, wait="none")
    parser.set_defaults(handler="mail:send", command="send")
    return parser.parse_intermixed_args(given)


def run(args: Namespace, screen: Screen) -> int:
    """Call the handler that the grammar names."""
    module, _, name = args.handler.partition(":")
    handler = getattr(importlib.import_module(f"fleet.faces.{module}"), name)
    if module in ("bench", "demo"):
        return int(handler(args))
    return int(handler(args, Caller(), screen))


def report(error: FleetError, screen: Screen) -> int:
    """Say what went wrong: one JSON value on standard output, or a sentence and the command to try on stderr."""
    if screen.json:
        screen.value(error_of(error))
    else:
        for line in error.message.splitlines():
            screen.talk(visible(line))
        if error.hint:
            screen.talk(f"try: {visible(error.hint)}")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
