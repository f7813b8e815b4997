"""The texts that let a service manager keep the daemon: systemd units and a launchd plist; writes and runs nothing.

What may write where is restricted as far as the roads allow: they start ssh, git and tmux and speak to any address. A
user's manager can restrict less than the system's.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from dataclasses import dataclass, field

MARK = "made by fleet service install"
STOP = 30  # seconds until the manager kills: doors 2, parcels 3, roads 5, broker 3, and a slow disk
_ANY = (  # needs no privilege of the manager
    "NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "RestrictRealtime=yes", "RestrictNamespaces=yes", "LockPersonality=yes",
    "SystemCallArchitectures=native", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
)  # fmt: skip
_SYSTEM = (
    "ProtectSystem=strict", "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes", "ProtectClock=yes", "ProtectHostname=yes", "PrivateDevices=yes", "CapabilityBoundingSet=",
    "AmbientCapabilities=", "RemoveIPC=yes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """What is kept running: for whom, by which command, with which environment."""

    name: str  # of the unit, without an ending
    node: str
    command: tuple[str, ...]
    home: str  # the node's own directory
    user: str = ""  # of a system service; empty = the user's own manager
    environment: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[str, ...] = ()  # further places it writes to


def systemd(service: Service) -> str:
    """Write the unit."""
    rows = [
        f"# {MARK}; fleet service remove takes it away",
        "[Unit]",
        f"Description=Fleet, the message bus of this machine ({service.node})",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(map(_word, service.command))}",
        *(f"Environment={_word(f'{name}={value}')}" for name, value in sorted(service.environment.items())),
        "Restart=on-failure",
        "RestartSec=2",
        "RestartPreventExitStatus=2",
        "TimeoutStartSec=60",
        f"TimeoutStopSec={STOP}",
        "KillMode=mixed",
        "UMask=0077",
        "LimitNOFILE=65536",
        *_ANY,
    ]
    if service.user:
        rows += [f"User={service.user}", *_SYSTEM]
        rows += [f"ReadWritePaths={_word(place)}" for place in (service.home, *service.writable)]
    wanted = "multi-user.target" if service.user else "default.target"
    return "\n".join([*rows, "", "[Install]", f"WantedBy={wanted}", ""])


def _word(word: str) -> str:
    """Write a word so that systemd takes it as it is: quoted, specifiers and variables escaped."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{safe}"'


def launchd(service: Service, log: str) -> bytes:
    """Write the property list; what the interpreter itself says goes to `log`."""
    value: dict[str, object] = {
        "Label": service.name,
        "ProgramArguments": [*service.command],
        "EnvironmentVariables": {"PATH": "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin", **service.environment},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": STOP,
        "Umask": 0o077,
        "ProcessType": "Background",
        "StandardErrorPath": log,
        "StandardOutPath": log,
    }
    if service.user:
        value["UserName"] = service.user
    text = plistlib.dumps(value).decode()
    return text.replace("<plist", f"<!-- {MARK} -->\n<plist", 1).encode()
