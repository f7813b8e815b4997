-- What was done to mend roads. Times are milliseconds since the epoch, UTC.

-- One step of one repair: what this node did for or about a peer.
CREATE TABLE mending (
    number INTEGER PRIMARY KEY,
    peer   TEXT NOT NULL,
    roads  TEXT NOT NULL,                   -- the roads that were down, with commas
    level  INTEGER NOT NULL,                -- core.healing.Level; 0 = they are mended
    state  TEXT NOT NULL,                   -- done, failed, refused, healed
    at     INTEGER NOT NULL
) STRICT;

-- How far a peer's case is, and how often it was escalated within the hour.
CREATE INDEX mending_peer ON mending (peer, at);

-- What came of a repair that a peer asked for: told with the receipt.
CREATE TABLE repaired (
    row    INTEGER PRIMARY KEY,             -- of the inbox
    result TEXT NOT NULL
) STRICT;
