-- What an operator can be told of a message beyond its present state. Times are milliseconds since the epoch, UTC.

-- How far the addressee's signed receipts said a message of ours had come, each step when we first learned of it.
CREATE TABLE milestone (
    id    TEXT NOT NULL,                    -- of the message
    state TEXT NOT NULL,                    -- received, shown, done
    at    INTEGER NOT NULL,                 -- when the receipt reached us
    road  TEXT NOT NULL,                    -- the channel by which the message had reached its addressee, as it says
    PRIMARY KEY (id, state)
) WITHOUT ROWID;

-- Steps in the order in which they are forgotten.
CREATE INDEX milestone_at ON milestone (at);
