"""The checker of the campaigns sees what it is there to see: faults planted by hand into the stores of two real nodes."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.campaign.reading import Record, Sent, check, recovered, sha
from tests.support.nodes import World


@pytest.fixture
def played(world: World) -> tuple[dict[str, Path], Record, list[str]]:
    """Four messages from a to b, delivered and receipted, both daemons down."""
    a, b = world.pair()
    bodies = [f"{n}" for n in range(4)]
    ids = a.send("b", *bodies)
    world.drained()
    for node in (a, b):
        node.terminate()
    asked = {id: Sent("a", "b", sha(body)) for id, body in zip(ids, bodies, strict=True)}
    return {"a": a.database, "b": b.database}, Record(asked, set(ids)), ids


def plant(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def words(found: list[str]) -> list[str]:
    return sorted({line.partition(":")[0] for line in found})


def test_what_went_well_is_not_complained_of(played: tuple[dict[str, Path], Record, list[str]]) -> None:
    files, record, _ = played
    assert check(files, record) == []


@pytest.mark.parametrize(
    ("node", "statement", "found"),
    [
        ("b", "DELETE FROM inbox WHERE id = '{id}'", ["false", "lost"]),
        ("a", "DELETE FROM outbox", []),  # retired rows are no fault
        ("a", "UPDATE outbox SET status = 0 WHERE id = '{id}'", ["open"]),
        ("a", "UPDATE outbox SET status = 6 WHERE id = '{id}'", ["dead"]),
        ("a", "UPDATE outbox SET status = 5 WHERE id = '{id}'", ["refused"]),
        ("b", "UPDATE inbox SET seq = 1, inc = 1", ["twice"]),
        ("b", "UPDATE inbox SET sender = 'c' WHERE id = '{id}'", ["changed"]),
        ("b", "UPDATE inbox SET content = CAST(replace(content, '\"0\"', '\"9\"') AS BLOB)", ["changed"]),
        ("b", "UPDATE inbox SET id = '00000000000070008000000000000000' WHERE id = '{id}'", ["false", "lost", "phantom"]),
    ],
)
def test_a_planted_fault_is_found_and_called_by_its_name(
    played: tuple[dict[str, Path], Record, list[str]], node: str, statement: str, found: list[str]
) -> None:
    files, record, ids = played
    plant(files[node], statement.format(id=ids[0]))
    assert words(check(files, record)) == found


def test_the_same_message_twice_is_found(played: tuple[dict[str, Path], Record, list[str]]) -> None:
    files, record, ids = played
    columns = "id, sender, inc, seq, status, owed, priority, level, received, exp, pid, road, type, digest, content"
    plant(
        files["b"], "DROP INDEX inbox_id", f"INSERT INTO inbox ({columns}) SELECT {columns} FROM inbox WHERE id = '{ids[0]}'"
    )
    assert words(check(files, record)) == ["twice"]


def test_what_nobody_was_promised_may_have_arrived(played: tuple[dict[str, Path], Record, list[str]]) -> None:
    files, record, ids = played
    record.accepted.discard(ids[0])
    assert check(files, record) == []
    assert recovered(files, record) == 1
