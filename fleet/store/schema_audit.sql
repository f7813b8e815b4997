-- The audit chain: what was refused, held or changed, entry by entry. Times are milliseconds since the epoch, UTC.
-- One entry.
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,            -- from 1, without gaps
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,                  -- a word of core.audit.KINDS
    peer    TEXT NOT NULL,                  -- whom it regards; '' = nobody else
    details TEXT NOT NULL,                  -- canonical JSON of allowed scalars
    hash    BLOB NOT NULL                   -- SHA-256 of the hash before and this entry
) STRICT;

-- What the chain says of itself: the latest of them is asked for often.
CREATE INDEX audit_self ON audit (kind, seq) WHERE kind IN ('checkpoint', 'pruned', 'chain_touched');

-- The head of the chain, vouched for by this node's key; one row, rewritten with every entry.
CREATE TABLE audit_head (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL,                 -- the seq of the last entry
    hash  BLOB NOT NULL,                    -- its hash
    epoch TEXT NOT NULL,                    -- the opening key whose derivative made the MAC
    mac   BLOB NOT NULL
) STRICT;

-- What repeats is counted here for a minute, then written as one entry.
CREATE TABLE audit_tally (
    kind    TEXT NOT NULL,
    peer    TEXT NOT NULL,
    details TEXT NOT NULL,
    since   INTEGER NOT NULL,               -- when its first one was written as an entry
    repeats INTEGER NOT NULL,               -- how many came since
    PRIMARY KEY (kind, peer, details)
) STRICT, WITHOUT ROWID;

-- The last heartbeat of each peer: where its audit chain stood, so that a cut tail is noticed here.
CREATE TABLE beat (
    peer      TEXT PRIMARY KEY,
    boot      TEXT NOT NULL,
    counter   INTEGER NOT NULL,
    ts        INTEGER NOT NULL,             -- by the peer's clock
    heard     INTEGER NOT NULL,             -- by ours
    count     INTEGER NOT NULL,             -- entries of its audit chain
    hash      BLOB NOT NULL,                -- of the last of them
    branch    TEXT NOT NULL,
    commit_id TEXT NOT NULL
) STRICT;
