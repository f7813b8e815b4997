"""/metrics of a real node, read by Prometheus' own parser: the figures are there, their labels bounded and ours."""

import asyncio
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from fleet.daemon.measures import Family, Sample, measure
from fleet.faces import metrics
from tests.engine.nodes import Tale, told
from tests.support.weather import Weather

ASKED_FOR = {  # mission C8 and issue 6: what an operator's dashboard is made of
    "fleet_info", "fleet_uptime_seconds", "fleet_link_state", "fleet_queue_messages", "fleet_attempts",
    "fleet_attempt_seconds", "fleet_events", "fleet_wal_bytes", "fleet_dead_letters", "fleet_inbox_unread",
    "fleet_custody_parcels", "fleet_disk_free_bytes", "fleet_commits",
}  # fmt: skip


def scraped(tale: Tale, name: str = "a") -> dict[str, Any]:
    """What Prometheus understands of a node's /metrics: family → its samples as (labels, value)."""
    text = metrics.text(measure(tale.fleet.node(name)))
    return {
        family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_a_node_that_worked_tells_its_figures(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        for _ in range(3):
            await tale.fleet.send("a", "b", "the words of a message")
        await asyncio.sleep(5)
        await tale.fleet.stop("b")
        await tale.fleet.send("a", "b", "this one waits")
        await asyncio.sleep(30)
        found = scraped(tale)
        assert set(found) >= ASKED_FOR
        assert found["fleet_queue_messages"] == [("fleet_queue_messages", {"peer": "b"}, 1.0)]
        assert found["fleet_queue_oldest_seconds"][0][2] >= 30
        delivered = [v for _, labels, v in found["fleet_attempts"] if labels == {"channel": "nats", "result": "delivered"}]
        assert delivered and delivered[0] >= 1
        times = {(name, labels["channel"]): value for name, labels, value in found["fleet_attempt_seconds"]}
        assert times["fleet_attempt_seconds_count", "nats"] == delivered[0]

    told(tmp_path, story)


def test_no_word_of_a_message_is_a_label(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        tale.fleet.net.sky.set("a", "b", "http", Weather(cut=True))
        await tale.fleet.send("a", "b", "canary", correlation="canary", agent="canary", session="canary")
        await asyncio.sleep(5)
        assert "canary" not in metrics.text(measure(tale.fleet.node("a"))) + metrics.text(measure(tale.fleet.node("b")))

    told(tmp_path, story)


def test_ten_times_the_mail_makes_no_more_lines(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        for _ in range(3):
            await tale.fleet.send("a", "b")
        await asyncio.sleep(5)
        before = len(metrics.text(measure(tale.fleet.node("a"))).splitlines())
        for _ in range(30):
            await tale.fleet.send("a", "b")
        await asyncio.sleep(5)
        assert len(metrics.text(measure(tale.fleet.node("a"))).splitlines()) == before

    told(tmp_path, story)


def test_a_histogram_grows_from_bound_to_bound(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.send("a", "b")
        await asyncio.sleep(60)
        buckets = [value for name, _, value in scraped(tale)["fleet_attempt_seconds"] if name.endswith("_bucket")][:8]
        assert buckets == sorted(buckets) and buckets[-1] > 0

    told(tmp_path, story)


def test_a_label_is_quoted_and_a_family_without_samples_left_out() -> None:
    text = metrics.text([
        Family("x", "gauge", "X.", [Sample({"a": 'q"\\\n'}, 1.5)]),
        Family("y", "counter", "Y.", []),
    ])  # fmt: skip
    assert text == '# HELP x X.\n# TYPE x gauge\nx{a="q\\"\\\\\\n"} 1.5\n'


def test_what_a_gate_refused_is_counted_by_gate_and_a_peer_names_none(tmp_path: Path) -> None:
    async def story(tale: Tale) -> None:
        await tale.fleet.send("a", "b", type="task")  # orders need level 3 at the addressee
        await asyncio.sleep(5)
        told_a, told_b = (scraped(tale, name)["fleet_gate_verdicts"] for name in "ab")
        assert [labels for _, labels, _ in told_b] == [{"direction": "in", "gate": "trust", "verdict": "refuse"}]
        assert told_a[0][1]["verdict"] == "refused by peer"
        node = tale.fleet.node("a")
        node.figures.tallied("refused_by_peer", {"gate": "canary of a peer"}, 1)
        assert "canary" not in metrics.text(measure(node))

    told(tmp_path, story)
