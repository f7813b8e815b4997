"""What the manifest says of the machine: SSH host key, network card, a mark that tells a clone; read, never changed."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
from pathlib import Path

HOST_KEYS = ("/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ecdsa_key.pub", "/etc/ssh/ssh_host_rsa_key.pub")
_MAC = re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
_VIRTUAL = ("lo", "docker", "veth", "br-", "tun", "tap", "wg", "utun", "bridge", "virbr", "vnet", "awdl", "llw")


def host_key() -> str:
    """Give the SSH server's public key as known_hosts writes it (type and base64); empty without a server."""
    for name in HOST_KEYS:
        try:
            words = Path(name).read_text("ascii").split()
        except (OSError, UnicodeDecodeError):
            continue
        if len(words) >= 2:
            return f"{words[0]} {words[1]}"
    return ""


def mac(address: str = "") -> str:
    """Give the hardware address of the card that has `address`, else of the first real one; empty without."""
    import psutil  # 5 ms, once a start

    cards = psutil.net_if_addrs()
    found = [(name, _mac_of(addresses)) for name, addresses in sorted(cards.items()) if not name.startswith(_VIRTUAL)]
    for name, card in found:
        if card and any(one.address == address for one in cards[name]):
            return card
    return next((card for _, card in found if card), "")


def address() -> str:
    """Give the first IPv4 address of a real card that other machines may reach; empty without one."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        if name in up and not name.startswith(_VIRTUAL):
            for one in addresses:
                if one.family is socket.AF_INET and not one.address.startswith(("127.", "169.254.")):
                    return str(one.address)
    return ""


def _mac_of(addresses: list[object]) -> str:
    for one in addresses:
        text = str(getattr(one, "address", "")).lower().replace("-", ":")
        if _MAC.match(text) and text != "00:00:00:00:00:00":
            return text
    return ""


def mark(home: Path) -> str:
    """Name this machine and this home in 16 hex digits: a copy elsewhere has another mark. Empty when unknown."""
    identity = _machine_id()
    return hashlib.sha256(f"{identity}\0{home}".encode()).hexdigest()[:16] if identity else ""


def _machine_id() -> str:
    if sys.platform == "darwin":
        return f"{socket.gethostname()}"  # IOPlatformUUID needs a process; the host name is what a clone changes first
    try:
        return Path("/etc/machine-id").read_text("ascii").strip()
    except OSError:
        return ""
