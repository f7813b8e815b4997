"""One mailbox on a remote: file names, parcels, limits; never bytes of a parcel, never a repository."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet.core.parcel import Parcel

BOX_BYTES = 32 << 20  # of one addressee; more than a day of text, and what its fetch may bring
BOX_PARCELS = 4096
NAME = re.compile(r"([0-9a-f]{32})\.(\d{1,16})\.([mr])", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Item:
    """A parcel in a mailbox; `receipt` = nobody will take it back, it leaves at its exp (ms)."""

    oid: str
    size: int
    exp: int
    receipt: bool


Box = dict[str, Item]  # file name → parcel


def filed(parcel: Parcel, oid: str) -> tuple[str, Item]:
    """Name the file of a parcel and say what is in it."""
    name = f"{parcel.pid}.{parcel.exp}.{'r' if parcel.receipt else 'm'}"
    return name, Item(oid, len(parcel), parcel.exp, parcel.receipt)


def make_room(box: Box, size: int) -> bool:
    """Make room for a parcel, of old receipts if need be: one that is missed is asked for again. False = there is none."""
    receipts = iter(sorted((item.exp, name) for name, item in box.items() if item.receipt))
    while not _has_room(box, size):
        oldest = next(receipts, None)
        if oldest is None:
            return False
        del box[oldest[1]]
    return True


def _has_room(box: Box, size: int) -> bool:
    return len(box) < BOX_PARCELS and sum(item.size for item in box.values()) + size <= BOX_BYTES
