-- What the gates remember of each peer: experience, spend, breaker. Times are milliseconds since the epoch, UTC; 0 = not yet.

-- Time that no wall clock can push (core.timeline), as it was last kept; one row.
CREATE TABLE timeline (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    boot   TEXT NOT NULL,                   -- which run of the machine
    steady REAL NOT NULL,                   -- seconds of its clock that runs on in sleep
    time   INTEGER NOT NULL                 -- ms
) STRICT;

-- What the operator said a peer may cost; without a row the settings hold.
CREATE TABLE budget (
    peer      TEXT PRIMARY KEY,
    tokens    INTEGER NOT NULL,
    micro_usd INTEGER NOT NULL,
    hops      INTEGER NOT NULL,
    window    INTEGER NOT NULL,             -- ms
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was debited in the window under way, by side: `in` = its mail to us, `out` = ours to it.
CREATE TABLE purse (
    peer      TEXT NOT NULL,
    side      TEXT NOT NULL,
    began     INTEGER NOT NULL,             -- of the timeline
    tokens    INTEGER NOT NULL,
    micro_usd INTEGER NOT NULL,
    PRIMARY KEY (peer, side)
) STRICT, WITHOUT ROWID;

-- What a peer cost, in parts of ten minutes: the breaker looks back on it.
CREATE TABLE spending (
    peer      TEXT NOT NULL,
    slot      INTEGER NOT NULL,             -- of the timeline, in policy.SPEND_SLOT
    tokens    INTEGER NOT NULL,
    micro_usd INTEGER NOT NULL,
    PRIMARY KEY (peer, slot)
) STRICT, WITHOUT ROWID;

-- What was counted of a peer since an operator last set its level (core.trust.Experience).
CREATE TABLE experience (
    peer      TEXT PRIMARY KEY,
    sent      INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    bad       INTEGER NOT NULL,
    threats   INTEGER NOT NULL,
    threat_at INTEGER NOT NULL,             -- of the timeline
    heard     INTEGER NOT NULL,             -- ms in which it was on …
    watched   INTEGER NOT NULL              -- … of the ms in which this node listened
) STRICT, WITHOUT ROWID;

-- The breaker of a peer (core.breaker); without a row it is active.
CREATE TABLE breaker (
    peer    TEXT PRIMARY KEY,
    state   TEXT NOT NULL,
    since   INTEGER NOT NULL,               -- of the timeline
    at      INTEGER NOT NULL,               -- of the wall clock
    reason  TEXT NOT NULL,
    samples TEXT NOT NULL                   -- JSON: [[slot, good, bad], …]
) STRICT, WITHOUT ROWID;

-- What the content gate judged a waiting message by (core.content.stamp); -1 = it must be screened before it is sent.
ALTER TABLE outbox ADD COLUMN screened INTEGER NOT NULL DEFAULT -1;
-- SHA-256 of the content as it was asked for, where the gate changed it: the same request again is known by it.
ALTER TABLE outbox ADD COLUMN asked BLOB NOT NULL DEFAULT x'';
