"""Hosts in network namespaces around one bridge: what runs in one meets the others over a real TCP stack; needs root.

with Net("a", "b") as net:
    net["a"].address; net["a"].exec               # the prefix with which a program runs there
    net.drop("b", "a", 4222)                      # what b sends to a's port vanishes, and a's answers stay good
    net.blackhole("a", 4222); net.reset("a", 4222); net.lossy("b", 10); net.slow("b", "1mbit"); net.heal()

Rules lie in the input chain of the host that shall not hear: a sender is never told, as with a real black hole.
"""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

_NUMBERS = itertools.count()


def _do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


class Host:
    """One namespace with one address."""

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address

    @property
    def exec(self) -> tuple[str, ...]:
        """What makes a command run here."""
        return ("ip", "netns", "exec", self.namespace)

    def do(self, *command: str) -> str:
        """Run a command here, which must succeed."""
        return _do(*self.exec, *command)

    def rule(self, *words: str) -> None:
        """Add a rule to what comes in here."""
        self.do("nft", "add", "rule", "inet", "weather", "input", *words)


class Net:
    """A bridge and the hosts on it; all of it is gone after the `with` block."""

    def __init__(self, *names: str) -> None:
        self._tag = f"fl{os.getpid()}n{next(_NUMBERS)}"
        self._bridge = f"{self._tag}-br"
        self._names = names
        self.hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _build(self) -> None:
        _do("ip", "netns", "add", self._bridge)
        _do("ip", "netns", "exec", self._bridge, "ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _do("ip", "netns", "exec", self._bridge, "ip", "link", "set", "bridge", "up")
        for name in self._names:
            self.add(name)

    def add(self, name: str) -> Host:
        """Plug one more host in."""
        number = len(self.hosts) + 1
        host = Host(name, f"{self._tag}-{name}", f"10.77.0.{number}")
        self.hosts[name] = host
        _do("ip", "netns", "add", host.namespace)
        plug = f"p{number}"
        host.do("ip", "link", "add", "eth0", "type", "veth", "peer", "name", plug, "netns", self._bridge)
        inside = ("ip", "netns", "exec", self._bridge, "ip", "link", "set", plug)
        _do(*inside, "master", "bridge")
        _do(*inside, "up")
        host.do("ip", "link", "set", "lo", "up")
        host.do("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        host.do("ip", "link", "set", "eth0", "up")
        host.do("nft", "add", "table", "inet", "weather")
        host.do("nft", "add", "chain", "inet", "weather", "input", "{ type filter hook input priority 0; }")
        return host

    def move(self, name: str, address: str) -> None:
        """Give a host another address, the old one is gone."""
        host = self[name]
        host.do("ip", "addr", "flush", "dev", "eth0")
        host.do("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        host.address = address

    # ── the weather ──────────────────────────────────────────────────────────────────────────────────────────────────

    def drop(self, source: str, target: str, port: int = 0) -> None:
        """Let what `source` sends to `target` vanish: all, or what goes to one TCP port; never the other direction."""
        match = ("tcp", "dport", str(port)) if port else ()
        self[target].rule("ip", "saddr", self[source].address, *match, "drop")

    def blackhole(self, server: str, port: int) -> None:
        """Let everything to and from one TCP port of a host vanish, for all other hosts."""
        self[server].rule("iifname", "eth0", "tcp", "dport", str(port), "drop")
        for name, host in self.hosts.items():
            if name != server:
                host.rule("ip", "saddr", self[server].address, "tcp", "sport", str(port), "drop")

    def reset(self, server: str, port: int) -> None:
        """Answer everything to one TCP port with a reset, as a host does where nobody listens."""
        self[server].rule("iifname", "eth0", "tcp", "dport", str(port), "reject", "with", "tcp", "reset")

    def isolate(self, name: str) -> None:
        """Let everything from and to a host vanish."""
        self[name].rule("iifname", "eth0", "drop")
        for other, host in self.hosts.items():
            if other != name:
                host.rule("ip", "saddr", self[name].address, "drop")

    def lossy(self, name: str, percent: int) -> None:
        """Let some of what comes to a host vanish."""
        self[name].rule("iifname", "eth0", "numgen", "random", "mod", "100", "<", str(percent), "drop")

    def slow(self, name: str, rate: str) -> None:
        """Bound what a host sends, for instance to 1mbit."""
        line = ("root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms")
        self[name].do("tc", "qdisc", "replace", "dev", "eth0", *line)

    def heal(self) -> None:
        """Blue sky everywhere."""
        for host in self.hosts.values():
            host.do("nft", "flush", "chain", "inet", "weather", "input")
            with contextlib.suppress(AssertionError):  # there was none
                host.do("tc", "qdisc", "del", "dev", "eth0", "root")

    def close(self) -> None:
        """Remove the namespaces; what still runs in them must have been ended before."""
        names = [host.namespace for host in self.hosts.values()]
        for namespace in [*names, self._bridge]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, timeout=30)


def placed(host: Host, port: int = 8856) -> dict[str, Any]:
    """Say where a node of tests.support.nodes lives: World().found("a", **placed(net["a"]))."""
    prefix: Sequence[str] = host.exec
    return {"prefix": prefix, "bind": f"{host.address}:{port}"}
