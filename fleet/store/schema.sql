-- Version 1 of the store. Times are milliseconds since the epoch, UTC; 0 = not yet.
-- The numbers in `status` are core.lifecycle.Status for the outbox and inbox.Stage for the inbox.

-- One message that this node wants delivered: everything that changes on its way. Small, because every step rewrites it.
CREATE TABLE outbox (
    row      INTEGER PRIMARY KEY,           -- submission order; never given twice (table number)
    id       TEXT NOT NULL,                 -- UUIDv7 as 32 hex digits
    peer     TEXT NOT NULL,                 -- the addressee
    priority INTEGER NOT NULL,              -- 0 low … 3 urgent
    status   INTEGER NOT NULL,              -- changed by outbox.apply and outbox.lease only
    due      INTEGER NOT NULL,              -- when something must happen: next walk, end of lease, hold or patience; <= exp
    exp      INTEGER NOT NULL,              -- when the message is worth nothing any more
    inc      INTEGER NOT NULL DEFAULT 0,    -- incarnation that seq belongs to; 0 = never leased
    seq      INTEGER NOT NULL DEFAULT 0,    -- its number in that incarnation
    lease    INTEGER NOT NULL DEFAULT 0,    -- number of the last parcel it went into
    tries    INTEGER NOT NULL DEFAULT 0,    -- walks that ended without any road taking it
    type     TEXT NOT NULL,
    pin      TEXT NOT NULL,                 -- the one channel it may use; '' = any
    taken    TEXT NOT NULL DEFAULT '',      -- JSON: channel -> when its patience is over; '' = no road ever took it
    reason   TEXT NOT NULL DEFAULT '',      -- why it is held, refused or dead
    what     TEXT NOT NULL DEFAULT '',      -- of a dead letter: undelivered, unconfirmed, refused
    reached  TEXT NOT NULL DEFAULT '',      -- highest receipt: received, shown, done
    created  INTEGER NOT NULL,
    final_at INTEGER NOT NULL DEFAULT 0,    -- when it became final
    size     INTEGER NOT NULL,              -- bytes of the body
    digest   BLOB NOT NULL                  -- SHA-256 of the content
);

-- The same id twice is the same message: a caller may ask again after a crash.
CREATE UNIQUE INDEX outbox_id ON outbox (id);
-- What a courier may take next, tier by tier, oldest due first.
CREATE INDEX outbox_queued ON outbox (peer, priority, due) WHERE status = 0;
-- Holds, leases and custody in the order in which they end.
CREATE INDEX outbox_pending ON outbox (peer, due) WHERE status > 0 AND status < 4;
-- Everything unfinished of a peer in the order in which it expires.
CREATE INDEX outbox_open ON outbox (peer, exp) WHERE status < 4;
-- The lowest seq that is not final: the `low` of every parcel.
CREATE INDEX outbox_low ON outbox (peer, inc, seq) WHERE status < 4 AND inc > 0;
-- Finished messages in the order in which they are forgotten.
CREATE INDEX outbox_final ON outbox (status, final_at) WHERE status > 3;

-- The frozen bytes of a message (its envelope without seq and exp), written once and never touched again.
CREATE TABLE content (
    row   INTEGER PRIMARY KEY,              -- of the outbox
    bytes BLOB NOT NULL
);

-- Numbers that must never be given twice, also when the highest row is deleted.
CREATE TABLE number (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) WITHOUT ROWID;

-- Per peer: the incarnation in use and the end of the block of seqs that was reserved.
CREATE TABLE sequence (
    peer     TEXT PRIMARY KEY,
    inc      INTEGER NOT NULL,
    reserved INTEGER NOT NULL               -- seqs up to and including this one may have been used
) WITHOUT ROWID;

-- One message that came in; (id, sender) is there at most once, whatever the network does.
CREATE TABLE inbox (
    row      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    sender   TEXT NOT NULL,
    inc      INTEGER NOT NULL,              -- 0 = put in by this node itself
    seq      INTEGER NOT NULL,
    status   INTEGER NOT NULL,              -- 0 new, 1 shown, 2 done
    owed     INTEGER NOT NULL,              -- 1 = the sender must still be told
    copies   INTEGER NOT NULL DEFAULT 0,    -- duplicates that came after it
    priority INTEGER NOT NULL,
    level    INTEGER NOT NULL,              -- the sender's trust level when it came
    received INTEGER NOT NULL,
    exp      INTEGER NOT NULL,
    shown_at INTEGER NOT NULL DEFAULT 0,
    done_at  INTEGER NOT NULL DEFAULT 0,
    pid      TEXT NOT NULL,                 -- the parcel of its latest copy; '' = put in by this node itself
    road     TEXT NOT NULL,                 -- the channel by which that copy came
    session  TEXT NOT NULL DEFAULT '',      -- the agent session that was shown it
    type     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    content  BLOB NOT NULL                  -- the envelope without seq and exp
);

-- The lock against duplicates; by id alone it also finds a message for `fleet done`.
CREATE UNIQUE INDEX inbox_id ON inbox (id, sender);
-- What nobody was shown yet, oldest first.
CREATE INDEX inbox_new ON inbox (row) WHERE status = 0;
-- What must still be receipted, peer by peer.
CREATE INDEX inbox_owed ON inbox (sender) WHERE owed = 1;
-- Read mail in the order in which it is forgotten.
CREATE INDEX inbox_final ON inbox (received) WHERE status > 0;

-- What was answered without an inbox row (refused, expired): the same envelope gets the same answer again.
CREATE TABLE turned_away (
    id     TEXT NOT NULL,
    sender TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    digest BLOB NOT NULL,
    fate   TEXT NOT NULL,                   -- refused, expired
    reason TEXT NOT NULL,
    owed   INTEGER NOT NULL,                -- 1 = the sender must still be told
    copies INTEGER NOT NULL DEFAULT 0,      -- duplicates that came after it
    pid    TEXT NOT NULL,                   -- the parcel of its latest copy
    road   TEXT NOT NULL,                   -- the channel by which that copy came
    at     INTEGER NOT NULL,
    exp    INTEGER NOT NULL,
    PRIMARY KEY (id, sender)
) WITHOUT ROWID;

-- Answers without an inbox row that must still be given, peer by peer.
CREATE INDEX turned_away_owed ON turned_away (sender) WHERE owed = 1;

-- The replay window: which seqs of one incarnation of one sender were seen.
CREATE TABLE window (
    sender TEXT NOT NULL,
    inc    INTEGER NOT NULL,
    low    INTEGER NOT NULL,                -- everything below is final at the sender; only rises
    ranges TEXT NOT NULL,                   -- JSON: [[start, end), …] from low up
    PRIMARY KEY (sender, inc)
) WITHOUT ROWID;

-- What is known of a sender's incarnations as a whole.
CREATE TABLE sender (
    sender   TEXT PRIMARY KEY,
    floor    INTEGER NOT NULL,              -- at or below it an incarnation is stale
    disputed INTEGER NOT NULL               -- the incarnation of the first `seq used` or `stale inc`; 0 = never
) WITHOUT ROWID;

-- One parcel that was made: which messages it held, so that an answer to its pid finds them.
CREATE TABLE parcel (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    pid     TEXT NOT NULL,
    peer    TEXT NOT NULL,
    rows    TEXT NOT NULL,                  -- JSON: rows of the outbox
    created INTEGER NOT NULL,
    exp     INTEGER NOT NULL,               -- afterwards no answer to it counts
    answered INTEGER NOT NULL DEFAULT 0     -- 1 = its addressee's receipt came
);

-- An answer names the pid it answers.
CREATE UNIQUE INDEX parcel_pid ON parcel (pid);
-- The parcels made for a peer while a message was open: where `fleet trace` looks for it.
CREATE INDEX parcel_peer ON parcel (peer, created);
-- Parcels in the order in which they are forgotten.
CREATE INDEX parcel_exp ON parcel (exp);

-- One try of one parcel on one road: what `fleet trace` shows.
CREATE TABLE attempt (
    number     INTEGER PRIMARY KEY,
    pid        TEXT NOT NULL,
    peer       TEXT NOT NULL,
    channel    TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ms         REAL NOT NULL,
    result     TEXT NOT NULL,
    reason     TEXT NOT NULL
);

-- The attempts of one parcel.
CREATE INDEX attempt_pid ON attempt (pid);
-- Attempts in the order in which they are forgotten.
CREATE INDEX attempt_started ON attempt (started_at);

-- What is known of one road to one peer (core.health.Link), so that a restart does not begin blind.
CREATE TABLE link (
    peer     TEXT NOT NULL,
    channel  TEXT NOT NULL,
    health   TEXT NOT NULL,
    fields   TEXT NOT NULL,                 -- JSON: the other fields of Link
    saved_at INTEGER NOT NULL,
    PRIMARY KEY (peer, channel)
) WITHOUT ROWID;

-- Trust levels by our own experience and our operator's word, never by the peer's.
CREATE TABLE level (
    peer   TEXT PRIMARY KEY,
    level  INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at     INTEGER NOT NULL
) WITHOUT ROWID;

-- Persistent counters: what happened how often since this store was made.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- What an operator should read: alarms, restored backups, full disks.
CREATE TABLE notice (
    number INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,
    text   TEXT NOT NULL,
    at     INTEGER NOT NULL
);

-- The signed frames of a member: the root's word (certificate) and its own (manifest).
CREATE TABLE frame (
    node   TEXT NOT NULL,
    kind   TEXT NOT NULL,                   -- certificate, manifest
    serial INTEGER NOT NULL,                -- only rises
    frame  BLOB NOT NULL,
    PRIMARY KEY (node, kind)
) WITHOUT ROWID;

-- The root's list of retired certificates; one row.
CREATE TABLE revocation (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,               -- only rises
    frame   BLOB NOT NULL
);

-- What the operator said of a peer at run time (`fleet peer add`, `fleet peer set`).
CREATE TABLE words (
    peer  TEXT PRIMARY KEY,
    words TEXT NOT NULL                     -- JSON: settings as in [peer.ID]
) WITHOUT ROWID;

-- Open invitations; taking one deletes it.
CREATE TABLE invite (
    id      TEXT PRIMARY KEY,
    secret  BLOB NOT NULL,
    expires INTEGER NOT NULL,
    trust   INTEGER NOT NULL,
    address TEXT NOT NULL
) WITHOUT ROWID;

-- Parcels kept for others, sealed: a chief's custody. Names stay until they expire, so that a repeat is known.
CREATE TABLE custody (
    pid       TEXT NOT NULL,
    origin    TEXT NOT NULL,
    addressee TEXT NOT NULL,
    type      INTEGER NOT NULL,             -- core.parcel.ParcelType
    exp       INTEGER NOT NULL,
    hops      INTEGER NOT NULL,             -- relays its sender allows
    via       TEXT NOT NULL,                -- relays it came through, this one last
    tries     INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    data      BLOB NOT NULL,                -- the parcel; empty once custody ended
    taken_at  INTEGER NOT NULL,
    ended     INTEGER NOT NULL DEFAULT 0,   -- when custody ended; 0 = held
    PRIMARY KEY (origin, pid)
) WITHOUT ROWID;

-- What must be forwarded, the longest due first.
CREATE INDEX custody_due ON custody (due) WHERE ended = 0;

-- Single values that belong nowhere else.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
