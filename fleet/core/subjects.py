"""What the NATS road calls its subjects and streams; names only, never a connection and never a permission.

Ids hold neither dots nor underscores, so no two nodes or fleets ever share a name.
"""

from __future__ import annotations

CONSUMER = "in"  # the one reader of a mailbox
INBOX = "_INBOX."
ACK = "$JS.ACK."
MAKING = ("$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", f"$JS.API.CONSUMER.CREATE.*.{CONSUMER}")


def door(fleet: str, node: str) -> str:
    """Name the subject on which a node is asked; it stays outside every stream."""
    return f"fleet.{fleet}.{node}.in"


def box(fleet: str, to: str, sender: str = "*", pid: str = "*") -> str:
    """Name the subject under which `sender` lays one parcel into a mailbox; without a pid, all of them."""
    return f"fleet.{fleet}.{to}.box.{sender}.{pid}"


def stream(fleet: str, node: str) -> str:
    """Name the stream that is a node's mailbox."""
    return f"fleet_{fleet}_{node}"


def answers(node: str) -> str:
    """Begin the subjects to which a node's answers come."""
    return f"{INBOX}{node}."


def create_stream(fleet: str, node: str) -> str:
    """Name the request that makes a mailbox."""
    return f"$JS.API.STREAM.CREATE.{stream(fleet, node)}"


def update_stream(fleet: str, node: str) -> str:
    """Name the request that changes a mailbox's limits."""
    return f"$JS.API.STREAM.UPDATE.{stream(fleet, node)}"


def create_consumer(fleet: str, node: str) -> str:
    """Name the request that makes a mailbox's reader."""
    return f"$JS.API.CONSUMER.CREATE.{stream(fleet, node)}.{CONSUMER}"


def fetch(fleet: str, node: str) -> str:
    """Name the request for what lies in a mailbox."""
    return f"$JS.API.CONSUMER.MSG.NEXT.{stream(fleet, node)}.{CONSUMER}"


def acknowledgements(fleet: str, node: str) -> list[str]:
    """Name the subjects by which an object leaves a mailbox; newer servers put domain and account before the stream."""
    return [f"{ACK}{before}{stream(fleet, node)}.{CONSUMER}.>" for before in ("", "*.*.")]
