"""Every number of the house, each with the sentence that justifies it; never a decision.

Seconds unless the name says otherwise; wire times are integer milliseconds since the epoch.
"""

from __future__ import annotations

from types import MappingProxyType

# --- the wire (design § 6; final) -------------------------------------------------------------------------------------
WIRE_VERSION = 1  # "v" in every header, certificate, manifest and revocation list
INTRO_LIMIT = 12 * 1024  # bytes; a certificate and a manifest with a dozen addresses are about 3 KiB
HEADER_LIMIT = 4 * 1024  # bytes; the largest honest header is below 600
BODY_LIMIT = (1 << 20) - 4096 - INTRO_LIMIT - HEADER_LIMIT - 1024  # bytes; NATS carries 1 MiB a message
PARCEL_LIMIT = (1 << 20) - 4096  # bytes; what one road must be able to carry whole
VIA_LIMIT = 8  # relays a hop frame may name; more is a loop
ENVELOPE_LIMIT = 512 * 1024  # bytes as encoded; the hard limit of one message
MESSAGE_LIMIT = 256 * 1024  # bytes of body; the default limit, a setting
CONTEXT_LIMIT = 16 * 1024  # bytes as encoded; context is for headers of the agents' own, not a second body
JSON_DEPTH = 32  # levels; agents' payloads nest to about 10, bombs to 100,000
SAFE_INTEGER = 1 << 53  # beyond it other languages' JSON readers round
BATCH_ENVELOPES = 256  # one signature, one seal and one receipt for so many (design § 8)
BATCH_BYTES = 256 * 1024  # …or for so much; larger parcels gain nothing and wait longer on slow roads
FUTURE_LIMIT = 400 * 86_400_000  # ms; an expiry further ahead than a year and a month is a lie or a broken clock
SYSTEM_LIFE = 7 * 86_400_000  # ms; a receipt may travel as long as the mail it answers

# --- time to live and tries (mission M3, design § 6) ------------------------------------------------------------------
TTL = 7 * 86_400.0  # a week of holidays without a laptop being opened
TTL_COMMAND = 3_600.0  # task, repair, spawn: an order that is an hour late is a surprise
TTL_BROADCAST = 60.0  # fire and forget
BACKOFF_BASE = 1.0  # the first retry; a restart of a daemon takes about that long
BACKOFF_CAP = 60.0  # mail to a peer that is away for days costs one walk a minute
BACKOFF_JITTER = (0.5, 1.5)  # so that a fleet does not come back in step

# --- hedging and deadlines (mission M1, design § 7) -------------------------------------------------------------------
DEADLINES = MappingProxyType(
    {"cloud": 5.0, "nats": 3.0, "http": 5.0, "relay": 5.0, "seed": 10.0, "ssh": 10.0, "wol": 60.0, "git": 30.0, "text": 2.0}
)  # upper bounds of mission M1
DEADLINE = 10.0  # a road the table does not know
DEADLINE_DEGRADED = 1.5  # a road that has just failed gets little time before it is given up
HEDGE_MIN, HEDGE_MAX = 0.25, 2.0  # clamp of 2 × p95 of the round trip
HEDGE_ROUND_TRIPS = 2.0  # a road that takes twice its p95 is probably not going to answer
HEDGE_SLOW = MappingProxyType({"seed": 4.0, "ssh": 4.0})  # a login alone takes a second
WAKE_EVERY = 60.0  # a peer and its network card get one wake-up packet a minute (attack 27)
ROUND_TRIPS_KEPT = 64  # samples a link's p95 is taken from

# --- link health (mission M2, design § 5) -----------------------------------------------------------------------------
TRIP_AFTER = 3  # failures in a row
CALM_AFTER = 900.0  # 15 minutes without failure
HOLD_BASE = 1.0
HOLD_JITTER = (0.8, 1.4)
HOLD_CAP_PINGS = 8.0  # a ping costs nothing: look often
HOLD_CAP_MAIL = 60.0  # a road proven only by mail, while mail waits
HOLD_CAP_IDLE = 300.0  # …and when nothing waits
PING_SILENCE = 2.0  # a road that said nothing for so long is asked
PING_PROOF = 5.0  # …and one that was only heard: that proves the peer's direction, not ours
PING_DEADLINE = 2.0
PING_DEADLINE_DEGRADED = 1.0
PING_ROADS = 2  # only the best two roads to a peer are kept warm
PINGS_PER_SECOND = 20  # of one node, whatever the size of the fleet
ALIVE_FOR = 45.0  # a peer heard within it is on (mission M7: heartbeat 10 s, four may be lost)
HEARTBEAT = 10.0
HEALER_TICK = 0.25  # how often links are looked at; a quarter of the shortest ping deadline
BARRED_PAUSE = 10.0  # a road without the peer's address is not asked again before
SHARED_WINDOW = 5.0  # failures of several peers within it have one cause
SHARED_PEERS = 2  # so many peers at once are no coincidence; also half of those that live on the layer
LAYER_USED = 10.0  # a layer proven within it counts as in use: four rounds of pings
LAYER_DOWN_FOR = 10.0  # what is shared is told to the operator once it lasted so long; a restart takes less
STRETCH = 1.5  # our own deadlines while we suspect ourselves; more would hide a black hole beyond 10 s
LAYERS = MappingProxyType({"nats": "broker", "http": "lan", "relay": "lan", "seed": "ssh key", "ssh": "ssh key"})
PLACES = ("git", "cloud")  # mailboxes: all peers in one place share it, a peer's own place is its own layer
GOSSIP_PAUSE = 5.0  # a peer is told the membership at most so often
GOSSIP_INTROS = 64  # members per letter: about 200 KiB
LETTERS_WAITING = 64  # system letters kept for one peer; whoever misses one asks again

# --- couriers and the writer (design § 8) -----------------------------------------------------------------------------
IN_FLIGHT = 4  # parcels of one peer under way; the round trip of one hides the fsync of the next
IN_FLIGHT_EXPRESS = 2  # more, for high and urgent only, so that they never wait behind bulk
STOP_GRACE = 3.0  # seconds that parcels under way get to be settled when the daemon is told to stop
LEASE_MARGIN = 5.0  # a lease outlives its walk's last deadline by this much
SEAL_IN_THREAD = 64 * 1024  # bytes; sealing more takes a quarter of a millisecond and up, a thread's hop a tenth
WRITER_QUEUE = 4096  # jobs waiting for the disk before submitters are told to come later
COURIER_NAP = 30.0  # a courier with nothing due looks again after this long, whatever it was told
COURIER_CROWDED = 1.0  # …and one that cannot take what is due, for lack of room or of the peer, after this long
STORE_WATCH = 0.5  # how often the daemon looks whether another process wrote to the store

# --- patience: how long a road may hold a parcel before others are tried (design § 5) -------------------------------------
PATIENCE = MappingProxyType({"relay": 30.0, "cloud": 60.0, "seed": 30.0, "git": 120.0, "nats": 30.0})
PATIENCE_DEFAULT = 60.0

# --- replay window (design § 6) ---------------------------------------------------------------------------------------
WINDOW_RANGES = 4096  # gaps remembered of one sender; more means mail is refused `later`
INCS_KEPT = 16  # incarnations remembered of one sender
SEQ_BLOCK = 10_000  # sequence numbers reserved at once; a crash wastes at most so many of 2^53

# --- the clock (design § 6) -------------------------------------------------------------------------------------------
CLOCK_OFF = 300.0  # seconds; no honest drift comes near it, a time zone set wrong is beyond it
CLOCK_QUIET = 600.0  # seconds a peer's time counts, and after which a clock nobody contradicts is believed
CLOCK_PEERS = 64  # peers whose time is remembered: enough for a majority

# --- enrolment (design § 6, Joining) ----------------------------------------------------------------------------------
INVITE_TTL = 600.0
INVITE_SECRET = 16  # bytes = 128 bits
JOIN_TRIES_PER_MINUTE = 5  # of one source address
JOIN_TRIES_TOTAL = 60  # of all, a minute
PREVIOUS_KEY_LIFE = 8 * 86_400_000  # ms a retired signing key is still believed: mail lives a week on slow roads
NKEY_PAUSE = 3.0  # seconds between telling a new nkey and using it: a letter to the broker's node needs one round trip
NKEY_OVERLAP = 600.0  # seconds the broker still lets the old nkey in: who was refused comes back with the new one in 15
RENEWAL_PAUSE = 60.0  # how often a wish for a certificate is repeated
TRUST_START = 2
TRUST_CEILING = 4

# --- trust, budget, breaker (mission R3-R5) ---------------------------------------------------------------------------
TRUST_SAMPLES = 10  # interactions below which no rule moves a level: a bad first minute is no conduct
THREAT_WINDOW = 3_600_000  # ms; two threats within it lead to level 0
CONDUCT_EVERY = 10.0  # seconds between two looks of the rules at what peers did
CONDUCT_KEEP = 60.0  # seconds between two commits of what was only counted; whatever moved is kept at once
SPEND_SLOT = 600_000  # ms of the timeline that one row of spending covers

# --- limits at the doors (attacks 15–18) ------------------------------------------------------------------------------
CONNECTIONS = 64
CONNECTIONS_PER_ADDRESS = 8
REQUEST_DEADLINE = 5.0
BUSY_RETRY = 1.0  # what a full queue tells the other side to wait
INGRESS_QUEUE = 256  # parcels being received at once
DISK_WATERMARK = 64 * 1024 * 1024  # bytes free below which new mail is refused
BALLAST = 2 * 1024 * 1024  # bytes kept to be deleted when the disk is full, so that cleaning up can write
WAL_LIMIT = 16 * 1024 * 1024  # bytes; a TRUNCATE checkpoint at idle brings the file below it
KEEP_FINAL = 7 * 86_400.0  # how long finished mail, attempts and parcels stay readable for `fleet trace`
UNREAD_BYTES = 1 << 30  # bytes of one sender that may lie unread before its mail is put off
CUSTODY_PARCELS = 1_000  # of one origin in a chief's keeping; a week of a silent laptop is far below
CUSTODY_BYTES = 64 * 1024 * 1024  # of one origin
CUSTODY_IN_FLIGHT = 8  # parcels a chief forwards at once
CUSTODY_PAUSE = 0.05  # seconds a chief rests at least between two looks at what it keeps
RELAYED = "relay"  # the road a receipt names for a parcel that came through a chief
CUSTODY_LIFE = 7 * 86_400.0

# --- the audit chain (mission R7, M19) --------------------------------------------------------------------------------
AUDIT_MINUTE = 60_000  # ms in which equal entries about one peer are counted instead of written
AUDIT_TALLIES = 32  # different entries of one kind about one peer in that time; a member cannot fill the disk with words
AUDIT_SIGN_EVERY = 3_600_000  # ms; the head is signed once an hour if anything came …
AUDIT_SIGN_ENTRIES = 256  # … or after so many entries
AUDIT_DAY = 86_400_000  # ms; the front is pruned at most once a day
AUDIT_KEEP = 90 * 86_400.0  # a quarter of a year: what an operator still asks about
AUDIT_REMEMBER = 10.0  # seconds between two looks whether the head beside the keys is the present one

# --- agent sessions (mission M9, M10, M27) ----------------------------------------------------------------------------
TRUST_SHARED = 3  # from this level on a peer is told directories and branches, and its text bears no random mark
WAKE_WINDOW = 3_600_000  # ms …
WAKES = 30  # … in which mail may wake a session or keep it going so often: two agents must not talk a night away
SESSION_SILENT = 12 * 3_600_000  # ms; a session without a process of its own that said nothing for half a day is gone
SESSIONS = 64  # open at once on one node; the longest silent goes
SESSION_LOOK = 15.0  # seconds between two looks whether the processes of the sessions still live
HANDOVER_LEASE = 60_000  # ms a hook has to print what it was given and to say so; hooks live 10 s
HANDOVER_SCAN = 2_000  # rows of unread mail that are looked through for one session
HANDOVER_TEXT = 10_000  # characters put into a session at once; what Claude Code takes of a hook
HANDOVER_LETTERS = 32  # messages handed over at once; more do not fit into a session's 10,000 characters
GATHER = 0.05  # seconds in which more mail may come: one text for all
PUSHES = 20  # texts a busy session is sent before one of its hooks is heard again; Claude Code queues 50 messages
ASK_PEERS = 3.0  # seconds that other nodes have to say which sessions they have
ASK_AGAIN = 5.0  # seconds an answer of theirs counts
ASK_LIMIT = 86_400.0  # seconds an answer is waited for; a later one is read in the inbox
NAMES_PAUSE = 60.0  # seconds between two manifests because of agent names …
NAMES_LINGER = 600_000  # ms a name stays in the manifest after its last session
