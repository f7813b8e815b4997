"""What is taken back from the roads that hold it: answered and finished parcels, together; never one still waited for."""

from collections.abc import Sequence
from pathlib import Path

from fleet.core.peer import Peer
from fleet.core.submission import Submission
from tests.support import virtual
from tests.support.fleet import Fleet
from tests.support.weather import Weather

Told = list[tuple[str, str, list[str]]]  # peer, road, pids


def watch(fleet: Fleet, name: str) -> Told:
    """What the roads of a node are told to forget from now on."""
    told: Told = []

    def attach(road: str) -> None:
        channel = fleet.lives[name].channels[road]
        forget = channel.forget

        async def watched(peer: Peer, pids: Sequence[str]) -> None:
            told.append((peer.id, road, list(pids)))
            await forget(peer, pids)

        channel.forget = watched  # type: ignore[method-assign]

    for road in fleet.roads:
        attach(road)
    return told


def pids_of(fleet: Fleet, name: str, *ids: str) -> set[str]:
    reader = fleet.node(name).reader
    return {attempt.pid for id in ids for attempt in reader.ledger.attempts_of(fleet.row(name, id))}


def test_what_was_receipted_is_taken_back_from_the_mailbox(tmp_path: Path) -> None:
    async def story() -> None:
        fleet = Fleet(tmp_path, ("a", "b"), roads=("git",))
        await fleet.start()
        told = watch(fleet, "a")
        ids = [await fleet.send("a", "b", f"message {n}") for n in range(3)]
        await fleet.until(lambda: all(fleet.state("a", id) == "received" for id in ids) and bool(told))
        assert {(peer, road) for peer, road, _ in told} == {("b", "git")}
        assert {pid for _, _, pids in told for pid in pids} == pids_of(fleet, "a", *ids)
        await fleet.stop()

    virtual.run(story())


def test_what_another_road_delivered_is_taken_back_too(tmp_path: Path) -> None:
    async def story() -> None:
        fleet = Fleet(tmp_path, ("a", "b"), roads=("git", "http"))
        await fleet.start()
        fleet.net.sky.set("a", "b", "git", Weather(custody="lost"))
        told = watch(fleet, "a")
        id = await fleet.send("a", "b")
        await fleet.until(lambda: fleet.state("a", id) == "received" and bool(told))
        assert told == [("b", "git", sorted(pids_of(fleet, "a", id)))]
        await fleet.stop()

    virtual.run(story())


def test_a_parcel_stays_while_one_of_its_messages_is_waited_for(tmp_path: Path) -> None:
    async def story() -> None:
        fleet = Fleet(tmp_path, ("a", "b"), roads=("git",))
        await fleet.start()
        fleet.net.sky.set("a", "b", "git", Weather(custody="lost"))
        told = watch(fleet, "a")
        answers = await fleet.node("a").mail.submit([Submission(to="b", body=f"message {n}") for n in range(2)])
        ids = [str(answer["id"]) for answer in answers]
        await fleet.until(lambda: all(fleet.state("a", id) == "custody" for id in ids))
        held = pids_of(fleet, "a", ids[0])
        assert held == pids_of(fleet, "a", ids[1]), "they travel together"
        await fleet.node("a").mail.cancel(ids[0])
        await fleet.until(lambda: fleet.node("a").world.steady() > 20)
        assert not told
        await fleet.node("a").mail.cancel(ids[1])
        await fleet.until(lambda: bool(told))
        assert told == [("b", "git", sorted(held))]
        await fleet.stop()

    virtual.run(story())


def test_a_node_that_stops_takes_back_what_is_settled(tmp_path: Path) -> None:
    async def story() -> None:
        fleet = Fleet(tmp_path, ("a", "b"), roads=("git",))
        await fleet.start()
        told = watch(fleet, "a")
        id = await fleet.send("a", "b")
        await fleet.until(lambda: fleet.state("a", id) == "received", step=0.01)
        assert not told
        await fleet.stop("a")
        assert len(told) == 1
        await fleet.stop()

    virtual.run(story())
