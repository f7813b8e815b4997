"""`fleet ssh authorize`: the line of authorized_keys that lets a peer's key do what fleet needs here; never a shell.

The key may run `fleet receive`, whatever it asks for, and forward to the two ports of this node; nothing else. A line that
is there already is left alone; another one of this peer is replaced, with a copy of the file kept beside it.
"""

from __future__ import annotations

import base64
import binascii
import os
import pwd
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from fleet.daemon.quantities import split_address
from fleet.errors import NotFound, UnknownPeer, UsageError
from fleet.faces.caller import Caller
from fleet.faces.render import Screen, visible
from fleet.store.files import atomic_write

KEY_TYPES = (
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
)  # fmt: skip
LARGEST = 16_384  # bytes of a public key
ANYWHERE = ("", "0.0.0.0", "::")
BACKUP = ".before-fleet"


def authorize(args: Namespace, call: Caller, screen: Screen) -> int:
    """Print the line, and write it if asked."""
    peer = call.house.roster.get(args.peer)
    if peer is None:
        raise UnknownPeer(f"no member of this fleet is called {args.peer!a}", hint="fleet peers")
    given = sys.stdin.read(LARGEST) if args.key == "-" else args.key or str(peer.addresses.get("ssh", {}).get("key", ""))
    if not given:
        raise UsageError(
            f"which key does {peer.id} log in with? fleet ssh authorize {peer.id} 'ssh-ed25519 AAAA…'",
            hint=f"on {peer.id}: cat ~/.ssh/id_ed25519.pub",
        )
    line = line_of(peer.id, read_key(given), command(call), places(call))
    path = Path(args.file) if args.file else _home() / ".ssh" / "authorized_keys"
    changed, backup = install(path, line, f"fleet:{peer.id}") if args.install else (False, None)
    found = {
        "peer": peer.id, "line": line, "file": str(path), "installed": bool(args.install), "changed": changed,
        "backup": backup,
    }  # fmt: skip
    if args.install:
        screen.talk(visible(f"{path}: {'the line was written' if changed else 'the line is there already'}"))
        for number in rivals(path.read_text("utf-8", "replace"), line):
            screen.talk(f"line {number} of it lets the same key in with other rights: the first line of a key counts")
    if screen.json:
        screen.value(found)
    elif not args.install:
        screen.line(visible(line))
        screen.talk(visible(f"add it to {path}, or: fleet ssh authorize {peer.id} --install"))
    return 0


def read_key(text: str) -> str:
    """Read a public key as "type base64", whatever stands around it. Raises UsageError."""
    if "PRIVATE KEY" in text:
        raise UsageError("this is a private key; give the public one", hint="the file that ends in .pub")
    words = text.split()
    while words and words[0] not in KEY_TYPES:
        words = words[1:]
    if len(words) < 2 or len(text) >= LARGEST:
        raise UsageError("not a public SSH key: TYPE BASE64, such as ssh-ed25519 AAAA…")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != words[0].encode() or len(blob) < 40:
        raise UsageError("not a public SSH key: its base64 is not that of its type")
    return f"{words[0]} {words[1]}"


def line_of(peer: str, key: str, command: str, places: Iterable[str]) -> str:
    """Write the line: this command and these places, nothing else."""
    opens = [f'permitopen="{place}"' for place in places]
    quoted = command.replace('"', '\\"')
    forwarding = ["port-forwarding", *opens, 'permitlisten="127.0.0.1:1"'] if opens else []
    return ",".join(["restrict", *forwarding, f'command="{quoted}"']) + f" {key} fleet:{peer}"


def command(call: Caller) -> str:
    """Say how `fleet receive` is run here. Raises UsageError for a path no line can hold."""
    home = ["env", f"FLEET_HOME={call.house.paths.home}"] if call.environ.get("FLEET_HOME") else []
    line = shlex.join([*home, *executable(), "receive"])
    if not line.isprintable() or "\\" in line:
        raise UsageError(f"authorized_keys cannot hold this command: {line!a}")
    return line


def executable() -> tuple[str, ...]:
    """Say how `fleet` is run from anywhere on this machine: the checkout's, else the environment's."""
    for path in (Path(__file__).parents[2] / "bin" / "fleet", Path(sys.executable).parent / "fleet"):
        if path.exists():
            return (str(path),)
    return sys.executable, "-I", "-m", "fleet.faces.cli"


def places(call: Caller) -> list[str]:
    """List what the peer may be forwarded to: the parcel door and the broker, as they are reached from here."""
    here = call.alive()
    settings = call.house.settings
    bind = here["bind"] if here and here["bind"] else settings.node.bind
    found = [_local(bind)]
    broker = str(call.daemon("status").get("broker", "")) if here else ""
    if settings.nats.serve:
        port = urlsplit(broker).port if broker else None
        found.append(f"127.0.0.1:{port or settings.nats.port}")
    return list(dict.fromkeys(place for place in found if place))


def _local(address: str) -> str:
    host, port = split_address(address)
    return f"{'127.0.0.1' if host in ANYWHERE else f'[{host}]' if ':' in host else host}:{port}"


def install(path: Path, line: str, mark: str) -> tuple[bool, str | None]:
    """Write the line into a file of keys; says whether it changed, and where the file before it is kept."""
    path = path.resolve()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = path.read_text("utf-8", "surrogateescape") if path.exists() else ""
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    lines = old.splitlines()
    kept = [one for one in lines if one.split()[-1:] != [mark] or one.lstrip().startswith("#")]
    if line in lines and len(kept) == len(lines) - 1:
        return False, None
    backup = None
    if old:
        backup = path.with_name(path.name + BACKUP)
        atomic_write(backup, old.encode("utf-8", "surrogateescape"))
    atomic_write(path, ("\n".join([*kept, line]) + "\n").encode("utf-8", "surrogateescape"))
    return True, str(backup) if backup else None


def rivals(text: str, line: str) -> list[int]:
    """Number the other lines that let the same key in."""
    blob = line.split()[-2]
    lines = enumerate(text.splitlines(), 1)
    return [number for number, one in lines if one != line and blob in one.split() and not one.startswith("#")]


def _home() -> Path:
    """Give the user's home as sshd knows it, whatever HOME says."""
    return Path(pwd.getpwuid(os.geteuid()).pw_dir)
