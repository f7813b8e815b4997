"""The commands about keys: show, rotate, export-root, import-root, revoke; never a secret in an argument."""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from fleet.errors import NotFound, UsageError
from fleet.faces import audit
from fleet.faces.agreement import agreed
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, dumps, visible

SHORTEST = 8  # characters of a passphrase; Argon2id does the rest


def keys(args: Namespace, call: Caller, screen: Screen) -> int:
    """Do what `fleet keys ACTION` says."""
    act = {"show": _show, "rotate": _rotate, "export-root": _export, "import-root": _import}[args.action]
    return act(args, call, screen)


def _show(args: Namespace, call: Caller, screen: Screen) -> int:
    return _print(call.ask("keys"), screen)


def _rotate(args: Namespace, call: Caller, screen: Screen) -> int:
    if not args.what:
        raise UsageError("which key: sign, seal, nats or fleet", hint="fleet keys rotate sign")
    found = call.ask("rotate", what=args.what)
    if not screen.json:
        screen.talk(visible(f"the {args.what} key: {found['state']}"))
    return _print(found, screen)


def _export(args: Namespace, call: Caller, screen: Screen) -> int:
    """Write the root key, encrypted, to a file or to standard output; `--move` removes it here."""
    from fleet.core.sealing import lock_secret

    agreed(args, screen, "the fleet's root key leaves this machine, encrypted with a passphrase", "keys export-root")
    ring = call.house.ring
    seed = ring.root_seed()
    blob = lock_secret(_passphrase(twice=True), seed).decode()
    audit.note(call, screen, "operator", {"action": "export-root"})
    if args.what and args.what != "-":
        from fleet.store.files import atomic_write

        atomic_write(Path(args.what), blob.encode() + b"\n")
    if args.move:
        ring.drop_root()
    if screen.json:
        screen.value({"node": ring.node, "fleet": ring.fleet, "file": args.what or "", "root": blob, "moved": args.move})
    elif not args.what or args.what == "-":
        screen.line(blob)
    else:
        screen.talk(visible(f"written to {args.what}; on the other machine: fleet keys import-root {args.what}"))
    return 0


def _import(args: Namespace, call: Caller, screen: Screen) -> int:
    """Take the root key over; a running daemon takes it up at its next start."""
    from fleet.core.sealing import unlock_secret

    if not args.what or args.what == "-":
        raise UsageError("import-root wants the exported FILE; the passphrase comes from the terminal or standard input")
    try:
        blob = Path(args.what).read_bytes().strip()
    except OSError as error:
        raise NotFound(f"{args.what} cannot be read: {error.strerror}") from None
    ring = call.house.ring.put_root(unlock_secret(_passphrase(twice=False), blob))
    store = call.house.store
    with store.db.transaction():
        store.members.set_meta("root_node", ring.node)
    audit.note(call, screen, "operator", {"action": "import-root"})
    found = {"node": ring.node, "fleet": ring.fleet, "root": ring.root_public.hex(), "root_here": True}
    if call.alive() is not None and not screen.json:
        screen.talk("restart the daemon so that it takes the key up: fleet down; fleet up --detach")
    return _print(found, screen)


def revoke(args: Namespace, call: Caller, screen: Screen) -> int:
    """Retire a member's certificates: nothing signed with them counts any more."""
    agreed(args, screen, f"{args.peer} is out of the fleet until it is invited anew", f"revoke {args.peer}")
    found = call.ask("revoke", peer=args.peer)
    if not screen.json:
        screen.talk(visible(f"{args.peer} is revoked; every member that hears of it cuts it off"))
    return _print(found, screen)


def _passphrase(*, twice: bool) -> bytes:
    """Read a passphrase from the terminal, or the first line of standard input. Raises UsageError."""
    if not sys.stdin.isatty():
        word = sys.stdin.readline().rstrip("\n")
    else:
        word = getpass.getpass("fleet: passphrase: ")
        if twice and getpass.getpass("fleet: once more: ") != word:
            raise UsageError("the two passphrases differ")
    if len(word) < SHORTEST:
        hint = "type it at a terminal, or give it as the first line of standard input"
        raise UsageError(f"a passphrase has at least {SHORTEST} characters", hint=hint)
    return word.encode()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)


def _print(found: dict[str, Any], screen: Screen) -> int:
    if screen.json:
        screen.value(found)
    else:
        screen.table(("what", "value"), [(name, _shown(value)) for name, value in found.items()])
    return 0
