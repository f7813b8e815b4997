-- Whether an attempt ended without a word after bytes may have left: the message may have arrived, so its dead letter says so.
ALTER TABLE outbox ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0;
