"""The second floor: waiting, deadlines and the order of acts; it decides nothing itself and knows no particular road.

How a message travels: a courier (one per peer) leases what is due and packs it into one sealed parcel; the cascade walks
the parcel down its plan, each try an attempt that alone may call an answer proven; whatever comes in enters through the
receiver, which files mail and answers with a signed receipt; receipts settle outbox rows wherever they come from. All
changes of the store pass through the one writer, which commits everything that waits together.
"""
