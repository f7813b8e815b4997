-- Live agent sessions of this node, and which of them was shown which message. Times are milliseconds since the epoch, UTC.

-- One agent session; its socket and the token for it are secrets of the running daemon and stand nowhere.
CREATE TABLE session (
    id       TEXT PRIMARY KEY,              -- the program's own name of it
    program  TEXT NOT NULL,                 -- claude, codex, gemini, cursor, vscode
    agent    TEXT NOT NULL,                 -- what mail may call it
    pid      INTEGER NOT NULL,              -- its process; 0 = not known
    born     INTEGER NOT NULL,              -- when that process began: a pid that was given again is somebody else
    cwd      TEXT NOT NULL,
    branch   TEXT NOT NULL,
    headless INTEGER NOT NULL,              -- 1 = a single run without a person
    started  INTEGER NOT NULL,
    seen     INTEGER NOT NULL,              -- its last sign of life
    idle     INTEGER NOT NULL,              -- since when it waits for its user; 0 = busy
    closed   INTEGER NOT NULL DEFAULT 0     -- 0 = open
) WITHOUT ROWID;

-- One message in one session: written before it is handed over, so that no crash shows it there twice.
CREATE TABLE showing (
    message TEXT NOT NULL,
    session TEXT NOT NULL,
    offered INTEGER NOT NULL,               -- when it was handed over
    shown   INTEGER NOT NULL DEFAULT 0,     -- when it was known to be shown; 0 = the handing over was cut short, or is under way
    named   INTEGER NOT NULL DEFAULT 0,     -- when the session was told that it may have missed it
    PRIMARY KEY (message, session)
) WITHOUT ROWID;

-- What a session may or may not have been shown: few rows of many.
CREATE INDEX showing_open ON showing (session) WHERE shown = 0;
-- What is old enough to be forgotten.
CREATE INDEX showing_offered ON showing (offered);

-- The replies of one peer, for whoever waits for one.
CREATE INDEX inbox_reply ON inbox (sender, received) WHERE type = 'reply';

-- Unread mail that the daemon itself reads: few rows of many.
CREATE INDEX inbox_asking ON inbox (row) WHERE status = 0 AND type IN ('query', 'reply', 'repair');
