"""Looks at what lies outside the files: broker, ports, pins, mailboxes, versions; asks, and must never send mail."""

from __future__ import annotations

import json
import os
import socket
from urllib.parse import urlsplit

from fleet import __version__
from fleet.core.peer import Peer
from fleet.core.visible import visible
from fleet.daemon.mistakes import shown
from fleet.daemon.nats_program import OLDEST
from fleet.daemon.quantities import split_address
from fleet.errors import FleetError
from fleet.faces.doctor.finding import FAILED, OK, WARNING, Finding, Patient, merged

TIMEOUT = 3.0  # seconds for one connection
GREETING = 8192  # bytes of a broker's first line
NATS_PORT = 4222


def broker(patient: Patient) -> Finding:
    """See whether a broker answers, and that it is new enough; without one the other roads carry the mail."""
    urls = str((patient.live or {}).get("broker") or patient.settings.nats.url)
    if "nats" not in patient.settings.roads or not urls:
        later = "it starts with the daemon" if patient.settings.nats.serve else "none is configured"
        return Finding("broker", why=later)
    found = [_ask_broker(url) for url in urls.split(",")]
    wrong = [one for one in found if one.status != OK]
    return merged("broker", wrong) if wrong else Finding("broker", why="; ".join(one.why for one in found))


def _ask_broker(url: str) -> Finding:
    name, parts = shown(url)[1:-1], urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or NATS_PORT), TIMEOUT) as line:
            line.settimeout(TIMEOUT)
            greeting = line.makefile("rb").readline(GREETING)
        info = json.loads(greeting.removeprefix(b"INFO "))
        version = visible(info["version"])[:32]
        numbers = tuple(int(word) for word in version.split("-")[0].split(".")[:2])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        words = getattr(error, "strerror", None) or type(error).__name__
        return Finding("broker", WARNING, f"{name} does not answer as a broker: {words}", "fleet up, where the broker runs")
    if numbers < OLDEST:
        least = ".".join(map(str, OLDEST))
        return Finding("broker", FAILED, f"{name} is version {version}, {least} is needed", "use a newer nats-server")
    return Finding("broker", why=f"{version}, {'with' if info.get('jetstream') else 'without'} JetStream")


def ports(patient: Patient) -> Finding:
    """See that the ports this node wants are its own."""
    settings, wrong = patient.settings, []
    if settings.api.listen != "off" and not (patient.live is not None and patient.paths.token.exists()):
        wrong += _taken(settings.api.listen, "the local API serves its socket only", "api.listen")
    if patient.live is None:
        wrong += _taken(settings.node.bind, "the parcel door will take another port", "node.bind")
    return merged("ports", wrong)


def _taken(address: str, meaning: str, key: str) -> list[Finding]:
    host, port = split_address(address)
    if port == 0:
        return []
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = f"{address}: {error.strerror}{_holder(port)}; {meaning}"
            return [Finding("ports", WARNING, why, f"fleet config set {key} {host}:{port + 10}")]
    return []


def _holder(port: int) -> str:
    """Name the process of ours that listens on a port, if it can be known."""
    import psutil

    try:
        found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.laddr.port == port]
        pids = [one.pid for one in found if one.pid and one.pid != os.getpid()]
        return f" (by {psutil.Process(pids[0]).name()}, pid {pids[0]})" if pids else ""
    except (psutil.Error, OSError):
        return ""


def host_keys(patient: Patient) -> Finding:
    """See that every peer reached over SSH has a pinned host key, and that the pin is what the peer says of itself."""
    if not {"ssh", "seed"} & set(patient.settings.roads):
        return Finding("ssh-host-keys")
    return merged("ssh-host-keys", [found for peer in patient.peers if (found := _pin(peer))])


def _pin(peer: Peer) -> Finding | None:
    table = peer.addresses.get("ssh", {})
    pinned = str(table.get("host_key") or "")
    said = peer.host_key
    if not table.get("host"):
        return None
    if not pinned and not said:
        why = f"no SSH host key of {peer.id} is known, and none is taken on trust"
        return Finding("ssh-host-keys", WARNING, why, f"fleet peer set {peer.id} ssh.host_key='ssh-ed25519 AAAA…'")
    if pinned and said and said.split()[-1] not in pinned:
        why = f"the host key pinned for {peer.id} is not the one it tells of itself"
        return Finding("ssh-host-keys", FAILED, why, f"compare both, then fleet peer set {peer.id} ssh.host_key=…")
    return None


async def mailboxes(patient: Patient) -> list[Finding]:
    """Ask the roads that can look at what they stand on: git remote, object store, network cards."""
    found = []
    for name in ("git", "cloud", "wol"):
        road = patient.roads.get(name)
        examine = getattr(road, "examine", None)
        if road is None or examine is None:
            found.append(Finding(name))
            continue
        try:
            if patient.live is None:
                await road.open()
            found.append(Finding(name, why=await examine(patient.peers, TIMEOUT)))
        except FleetError as error:
            status = FAILED if getattr(error, "security", False) else WARNING
            found.append(Finding(name, status, error.message, error.hint or f"fleet config show channel.{name}"))
        except (OSError, TimeoutError) as error:
            found.append(Finding(name, WARNING, str(error) or type(error).__name__, f"fleet config show channel.{name}"))
    return found


def roads(patient: Patient) -> Finding:
    """See whether the daemon could open its roads."""
    failed = (patient.live or {}).get("failed") or {}
    wrong = [
        Finding("roads", WARNING, f"{name}: {why}", f"fleet config show channel.{name}") for name, why in failed.items()
    ]
    return merged("roads", wrong)


def versions(patient: Patient) -> Finding:
    """See that the members speak of neighbouring versions."""
    far = [peer for peer in patient.peers if not _near(peer.versions.get("fleet", ""))]
    if not far:
        return Finding("versions")
    why = "; ".join(f"{peer.id} runs {shown(peer.versions['fleet'])[1:-1]}, this node {__version__}" for peer in far)
    return Finding("versions", WARNING, why, "bring all machines to the same version")


def _near(version: str) -> bool:
    """Say whether a version is ours or a neighbour's: the same first number, the middle one at most one away."""
    try:
        (major, middle), (own, ours) = (map(int, word.split(".")[:2]) for word in (version, __version__))
    except ValueError:
        return True  # it does not say
    return major == own and abs(middle - ours) <= 1


