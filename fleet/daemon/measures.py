"""The figures of a node under the names that Prometheus reads; labels are our own words and members' ids, never texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from fleet import __version__
from fleet.daemon.figures import BOUNDS, Histogram
from fleet.store.census import Census

if TYPE_CHECKING:
    from fleet.daemon.service import Node

Labels = dict[str, str]


class Sample(NamedTuple):
    """One number; `suffix` belongs to the name of its family."""

    labels: Labels
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """All numbers of one name. `kind`: gauge, counter, histogram."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


def measure(node: Node) -> list[Family]:
    """Read every figure of a node."""
    return [*_process(node), *_store(node), *_links(node), *_traffic(node)]


def one(name: str, help: str, value: float, kind: str = "gauge") -> Family:
    """Make a family of one number."""
    return Family(name, kind, help, [Sample({}, value)])


def _process(node: Node) -> Iterator[Family]:
    now = node.world.now()
    info = {"node": node.id, "version": __version__}
    yield Family("fleet_info", "gauge", "Who this is.", [Sample(info, 1)])
    yield one("fleet_uptime_seconds", "Since the daemon started.", (now - node.started) / 1000)
    yield one("fleet_commits_total", "Transactions on the disk.", node.writer.commits, "counter")
    yield one("fleet_jobs_total", "What those transactions did.", node.writer.jobs, "counter")
    standing = [Sample({"condition": kind}, count) for kind, count in sorted(node.watchdog.standing().items())]
    yield Family("fleet_watchdog_standing", "gauge", "Conditions over their threshold now.", standing)


def _store(node: Node) -> Iterator[Family]:
    db, census, now = node.reader.db, Census(node.reader.db), node.world.now()
    waiting = {found.peer: found for found in census.waiting()}
    names = sorted({peer.id for peer in node.roster.peers()} | waiting.keys())
    count = [Sample({"peer": peer}, waiting[peer].count if peer in waiting else 0) for peer in names]
    age = [Sample({"peer": peer}, (now - waiting[peer].oldest) / 1000 if peer in waiting else 0) for peer in names]
    yield Family("fleet_queue_messages", "gauge", "Messages not delivered yet.", count)
    yield Family("fleet_queue_oldest_seconds", "gauge", "Age of the one that waits longest.", age)
    yield one("fleet_dead_letters", "Dead letters that are kept.", census.dead())
    yield one("fleet_inbox_unread", "Mail that nobody was shown.", census.unread())
    yield one("fleet_custody_parcels", "Parcels kept for others.", census.kept())
    yield one("fleet_wal_bytes", "The write-ahead log's file.", db.wal_bytes())
    yield one("fleet_disk_free_bytes", "Free on the store's disk.", db.free_space())


def _links(node: Node) -> Iterator[Family]:
    states: list[Sample] = []
    trips: list[Sample] = []
    for peer in node.sight.peers():
        for channel, link in peer["channels"].items():
            where = {"peer": peer["node"], "channel": channel}
            states.append(Sample({**where, "state": link["state"]}, 1))
            if link["rtt_ms"] is not None:
                trips.append(Sample(where, link["rtt_ms"] / 1000))
    yield Family("fleet_link_state", "gauge", "The state in which each link is.", states)
    yield Family("fleet_link_rtt_seconds", "gauge", "The latest round trip of each link.", trips)


def _traffic(node: Node) -> Iterator[Family]:
    figures = node.figures
    tries = [Sample({"channel": c, "result": r}, n) for (c, r), n in sorted(figures.attempts.items())]
    yield Family("fleet_attempts_total", "counter", "Tries of a road, pings included.", tries)
    times = [sample for channel, found in sorted(figures.times.items()) for sample in _histogram(channel, found)]
    yield Family("fleet_attempt_seconds", "histogram", "Time until the peer's signed answer.", times)
    verdicts = [
        Sample({"direction": direction, "gate": gate, "verdict": verdict}, count)
        for (direction, gate, verdict), count in sorted(figures.verdicts.items())
    ]
    yield Family("fleet_gate_verdicts_total", "counter", "What our gates decided.", verdicts)
    counters = node.exchange.counters
    steps = [Sample({"level": name.removeprefix(ESCALATED)}, n) for name, n in sorted(counters.items())
             if name.startswith(ESCALATED)]  # fmt: skip
    yield Family("fleet_escalations_total", "counter", "Repairs, by level.", steps)
    events = [Sample({"event": name}, n) for name, n in sorted(counters.items()) if not name.startswith(ESCALATED)]
    yield Family("fleet_events_total", "counter", "What else is counted, by name.", events)


ESCALATED = "escalation_"  # counters of this name are levels of healing


def _histogram(channel: str, found: Histogram) -> Iterator[Sample]:
    seen = 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), found.counts, strict=True):
        seen += count
        yield Sample({"channel": channel, "le": bound}, seen, "_bucket")
    yield Sample({"channel": channel}, found.total, "_sum")
    yield Sample({"channel": channel}, seen, "_count")
