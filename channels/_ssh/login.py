"""Where a peer's SSH server is, as whom to log in, and which host key it must show; it reads words and opens nothing."""

from __future__ import annotations

import base64
import binascii
import os
import pwd
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fleet.core.envelope import is_node_id
from fleet.core.peer import Peer
from fleet.errors import Barred, Faulty

_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,254}\Z").match
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\Z").match
_KEY_TYPES = frozenset({"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"})


@dataclass(frozen=True, slots=True)
class Login:
    """One peer's SSH server; a word that is empty is left to the user's SSH configuration, then to the usual default."""

    peer: str
    host: str
    port: int  # 0 = not said
    user: str
    identity: str
    pins: tuple[str, ...]  # "type base64" of the host keys it may show


def login_of(peer: Peer, *tables: Mapping[str, Any]) -> Login:
    """Read a peer's address tables, the first that says a word wins.

    Raises Barred when they name no host, Faulty when a word cannot be used or no host key is known.
    """
    words: dict[str, Any] = {}
    for table in reversed(tables):
        words.update({key: value for key, value in table.items() if value != ""})
    host, user, port = str(words.get("host", "")).strip("[]"), str(words.get("user", "")), words.get("port", 0)
    if not host:
        raise Barred(f"no SSH address of {peer.id} is known", address=True, hint=f"fleet peer set {peer.id} ssh.host=HOST")
    if not is_node_id(peer.id) or not _HOST(host) or (user and not _USER(user)):
        raise Faulty("ssh.host or ssh.user is no name", hint=f"fleet peer set {peer.id} ssh.host=HOST ssh.user=USER")
    if not isinstance(port, int) or not 0 <= port < 65536:
        raise Faulty("ssh.port is no port", hint=f"fleet peer set {peer.id} ssh.port=22")
    pins = pins_of(str(words.get("host_key", "") or peer.host_key))
    if not pins:
        raise Faulty(
            f"no SSH host key of {peer.id} is known, and none is taken on trust",
            hint=f"fleet peer set {peer.id} ssh.host_key='ssh-ed25519 AAAA…'",
        )
    identity = str(words.get("identity", ""))
    if identity.startswith("~/"):
        identity = str(_home() / identity[2:])
    return Login(peer.id, host, port, user, identity, pins)


@lru_cache(maxsize=256)
def pins_of(text: str) -> tuple[str, ...]:
    """Read host keys, one a line or between commas, each as "type base64" with or without a host before it."""
    pins = []
    for line in re.split(r"[\n,;]", text):
        words = line.split()
        if len(words) > 1 and words[0] not in _KEY_TYPES:
            words = words[1:]
        if len(words) > 1 and words[0] in _KEY_TYPES and _is_key(words[0], words[1]):
            pins.append(f"{words[0]} {words[1]}")
    return tuple(pins)


def _is_key(kind: str, text: str) -> bool:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")] == kind.encode()


@dataclass(frozen=True, slots=True)
class Way:
    """A login with the user's SSH configuration worked in; `proxied` = only the system's `ssh` can go there."""

    host: str
    port: int
    user: str
    identities: tuple[str, ...]
    proxied: bool


def way_of(login: Login, config: str) -> Way:
    """Work the user's configuration in; `config` = its path, empty = none. Raises Faulty when others can change it."""
    words = _configured(login.host, config) if config else {}
    identities = (login.identity,) if login.identity else tuple(words.get("identityfile", ()))
    return Way(
        str(words.get("hostname", login.host)),
        login.port or int(words.get("port", 22)),
        login.user or str(words.get("user", "")),
        identities,
        bool(words.get("proxied")),
    )


def _configured(host: str, config: str) -> dict[str, Any]:
    import paramiko

    if not readable(config):
        return {}
    try:
        found = paramiko.SSHConfig.from_path(config).lookup(host)
    except (paramiko.SSHException, ImportError):
        return {"proxied": True}  # more than paramiko reads; the system's program understands all of it
    except (OSError, UnicodeDecodeError) as error:
        raise Faulty(f"{config} cannot be read: {type(error).__name__}") from None
    words: dict[str, Any] = dict(found.items())
    proxies = [str(words.get(name, "none")).lower() for name in ("proxyjump", "proxycommand")]
    words["proxied"] = any(proxy != "none" for proxy in proxies)
    return words


def readable(config: str) -> bool:
    """Say whether there is a configuration to read. Raises Faulty for one that others could have written."""
    try:
        found = Path(config).stat()
    except OSError:
        return False
    if found.st_uid not in (0, os.geteuid()) or stat.S_IMODE(found.st_mode) & 0o022:
        raise Faulty(f"{config} can be changed by others", hint=f"chmod go-w {config}")
    return True


def user_config(setting: str) -> str:
    """Say which SSH configuration is the user's: by the user database, as ssh does, whatever HOME says."""
    if setting == "none":
        return ""
    return setting or str(_home() / ".ssh" / "config")


def _home() -> Path:
    return Path(pwd.getpwuid(os.geteuid()).pw_dir)
