"""Every error of the house, drawn as one tree; imports nothing and never holds rich objects.

    FleetError
    ├── UsageError            exit 2   nothing was accepted
    │   ├── TooLarge
    │   └── UnknownType
    ├── NotFound              exit 1
    ├── NoDaemon              exit 3
    ├── GateRefused           exit 4
    ├── UnknownPeer           exit 5
    ├── SettingsError         exit 1   every mistake of the configuration at once
    ├── JoinRefused           exit 4   the inviter did not take the request
    ├── Busy                  exit 1   a queue is full; come again
    ├── StoreError            exit 1
    │   ├── NewerStore
    │   ├── LooseKey
    │   ├── NoIdentity
    │   ├── DiskFull
    │   └── Conflict                   the same id again with other content
    ├── WireError                      bytes of a peer that are not what they must be
    │   ├── Malformed
    │   ├── Forged
    │   ├── WrongFleet
    │   └── Unopened                   sealed to a key that is not ours any more
    ├── RoadError                      what a channel may raise
    │   ├── Unreachable
    │   ├── Barred
    │   └── Faulty
    ├── IllegalTransition              a bug: the table has no such cell
    └── Bug                            something unforeseen in a handler; its place is in the log

The first line of each docstring is the message shown when a raiser gives none.
"""


class FleetError(Exception):
    """Something went wrong."""

    code = "failed"
    exit_code = 1
    retryable = False

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        """Keep the sentence for people and the one command to try."""
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.hint = hint

    @property
    def message(self) -> str:
        """What happened and why, as one sentence."""
        return str(self.args[0])


class UsageError(FleetError):
    """The request is not one that can be accepted."""

    code = "usage"
    exit_code = 2


class TooLarge(UsageError):
    """The body is larger than the limit."""

    code = "too_large"


class UnknownType(UsageError):
    """There is no such message type."""

    code = "unknown_type"


class NotFound(FleetError):
    """Nothing here has this id."""

    code = "not_found"


class NoDaemon(FleetError):
    """No daemon answers on this machine."""

    code = "no_daemon"
    exit_code = 3
    retryable = True


class GateRefused(FleetError):
    """A gate refused the message."""

    code = "refused"
    exit_code = 4


class UnknownPeer(FleetError):
    """No member of the fleet has this name."""

    code = "unknown_peer"
    exit_code = 5


class SettingsError(FleetError):
    """The configuration has mistakes."""

    code = "settings"


class JoinRefused(FleetError):
    """not accepted: wrong, used, expired or closed"""

    code = "join_refused"
    exit_code = 4


class Busy(FleetError):
    """Too much is waiting already."""

    code = "busy"
    retryable = True


class StoreError(FleetError):
    """The store could not do this."""

    code = "store"


class NewerStore(StoreError):
    """The database was written by a newer version of Fleet."""

    code = "newer_store"


class LooseKey(StoreError):
    """A key file can be read by others."""

    code = "loose_key"


class NoIdentity(StoreError):
    """This machine has no node yet."""

    code = "no_identity"


class DiskFull(StoreError):
    """The disk is full: nothing was accepted."""

    code = "disk_full"
    retryable = True


class Conflict(StoreError):
    """The same id was used before for another content."""

    code = "conflict"
    exit_code = 2


class WireError(FleetError):
    """The bytes are not a parcel of this fleet."""

    code = "wire"


class Malformed(WireError):
    """The bytes do not follow the layout."""

    code = "malformed"


class Forged(WireError):
    """The signature, the seal or the hop tag is not right."""

    code = "forged"


class WrongFleet(WireError):
    """The parcel is meant for another fleet or node."""

    code = "wrong_fleet"


class Unopened(WireError):
    """The parcel is sealed to a key this node does not hold."""

    code = "unopened"


class RoadError(FleetError):
    """A channel could not carry the parcel."""

    code = "road"


class Unreachable(RoadError):
    """The road does not lead to the peer now."""

    code = "unreachable"
    retryable = True

    def __init__(self, message: str = "", *, retry_after: float = 0.0, hint: str = "", unsent: bool = False) -> None:
        """Keep how many seconds the other side asked to be left alone (0 = it did not say).

        `unsent` = surely nothing reached the peer; without it the parcel may have arrived.
        """
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.unsent = unsent


class Barred(RoadError):
    """This road cannot take this parcel."""

    code = "barred"

    def __init__(self, message: str = "", *, address: bool = False, hint: str = "") -> None:
        """Remember whether it is for want of an address: then no other parcel fares better until one is known."""
        super().__init__(message, hint=hint)
        self.address = address


class Faulty(RoadError):
    """The road is set up wrongly or its other end is not who it should be."""

    code = "faulty"

    def __init__(self, message: str = "", *, security: bool = False, hint: str = "") -> None:
        """Remember whether it is a security fault, which never heals by itself."""
        super().__init__(message, hint=hint)
        self.security = security


class IllegalTransition(FleetError):
    """The table has no cell for this state and event."""

    code = "illegal_transition"


class Bug(FleetError):
    """A bug in Fleet stopped this; the log names the place."""

    code = "bug"
