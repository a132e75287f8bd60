"""The tables. Header and content are kept as received: they are signed. What is looked up stands in columns beside."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from relto.store.dialect import Integer, NoBytes, Text

SCHEMA_VERSION = 2

metadata = MetaData()

settings = Table(
    "settings", metadata, Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False)
)

partners = Table(
    "partner",
    metadata,
    Column("party", Text, primary_key=True),
    Column("card", LargeBinary, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
)

agreements = Table(
    "agreement",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    # Part of the key: two texts under one id and version are kept both, as proof, and neither holds.
    Column("sha256", Text, primary_key=True),
    Column("text", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("signed_by", Text, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

# Items, own (`by` empty) and received. `seq` is the queue of the release: each stream remembers how far it has looked.
items = Table(
    "item",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", LargeBinary(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("edition", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("origin", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("view", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("observed_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("arrival", BigInteger),
    Column("place", Integer),
    Column("standing", Text, nullable=False, server_default="current"),
    Column("urgency", Integer, nullable=False, server_default="0"),
    Column("hops", LargeBinary, nullable=False, server_default=NoBytes()),
    Column("header", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    # One key, one record; a second with other bytes is kept beside the first as proof of equivocation.
    UniqueConstraint("id", "version", "by", "edition", "digest", name="item_key"),
    sqlite_autoincrement=True,
)
Index("item_arrival", items.c.arrival)
Index("item_kind", items.c.kind, items.c.observed_ms)
Index("item_urgent", items.c.seq, sqlite_where=items.c.urgency > 0, postgresql_where=items.c.urgency > 0)

# What each party has spoken of last, item by item: a floor only rises. `dead`: with this version it withdrew the item.
floors = Table(
    "floor",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("party", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("dead", Integer, nullable=False, server_default="0"),
)

# Outgoing: one stream per recipient, its pages, what is in them, and what waits for its hour.
streams = Table(
    "stream",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("scanned_seq", BigInteger, nullable=False),
    Column("urgent_seq", BigInteger, nullable=False, server_default="0"),
    Column("next_n", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("log_size", BigInteger, nullable=False),
    Column("receipted_n", BigInteger, nullable=False),
    Column("receipt", LargeBinary),
    Column("receipted_ms", BigInteger),
)

pages = Table(
    "page",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("first_n", BigInteger, primary_key=True),
    Column("last_n", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

releases = Table(
    "release",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("item", BigInteger, nullable=False),
    Column("leaf", BigInteger, nullable=False),
    # Who ever had what must be known when the item is long gone.
    Column("id", LargeBinary(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("view", Text, nullable=False),
    Column("released_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    # What an exposure list says, also of what is long deleted; and in which of our logs the leaf is.
    Column("level", Text, nullable=False, server_default=""),
    Column("originators", Text, nullable=False, server_default=""),
    Column("log", Integer, nullable=False, server_default="1"),
)
Index("release_id", releases.c.id, releases.c.recipient)

# The signed receipts of each stream, one a page: since when a recipient is known to have what.
receipts = Table(
    "receipt",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("up_to_n", BigInteger, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("taken_ms", BigInteger, nullable=False),
)

deferred = Table(
    "deferred",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("item", BigInteger, primary_key=True),
    Column("due_ms", BigInteger, nullable=False),
)
Index("deferred_due", deferred.c.recipient, deferred.c.due_ms)

# What a release worker locks while it works for a recipient; no more than a name to lock.
claims = Table("claim", metadata, Column("recipient", Text, primary_key=True))

tallies = Table(
    "tally",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("verdict", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# Incoming: how far each peer's stream is stored, and what proves it.
inbounds = Table(
    "inbound",
    metadata,
    Column("peer", Text, primary_key=True),
    Column("next_n", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("log", Integer, nullable=False, server_default="1"),
    Column("log_size", BigInteger, nullable=False),
    Column("log_root", LargeBinary(32), nullable=False),
    Column("receipted_n", BigInteger, nullable=False),
    Column("synced_ms", BigInteger, nullable=False),
)

arrivals = Table(
    "arrival",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("peer", Text, nullable=False),
    Column("first_n", BigInteger, nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("proof", LargeBinary, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Column("records", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False, server_default="0"),
    Column("salts", LargeBinary, nullable=False, server_default=NoBytes()),
)
Index("arrival_peer", arrivals.c.peer, arrivals.c.first_n)

# The release log: entries with their openings, and the tiles over them as they are published.
leaves = Table(
    "leaf",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary(32), nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("policy_sha256", Text, nullable=False),
    Column("policy_salt", LargeBinary(32), nullable=False),
)

tiles = Table("tile", metadata, Column("path", Text, primary_key=True), Column("content", LargeBinary, nullable=False))

checkpoints = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", LargeBinary, nullable=False),
)

# What closes a page again for its recipient's newer key, until the page is receipted.
page_keys = Table(
    "page_key",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("first_n", BigInteger, primary_key=True),
    Column("key", LargeBinary(32), nullable=False),
    Column("grown_from", BigInteger, nullable=False),
)

# Logs of ours that could not be continued after a loss, as far as we have them.
past_leaves = Table(
    "past_leaf",
    metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary(32), nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("policy_sha256", Text, nullable=False),
    Column("policy_salt", LargeBinary(32), nullable=False),
)

# What this node keeps for one partner until another collects it, sealed, and how far each pair of them is.
parcels = Table(
    "parcel",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("batch", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("deposited_ms", BigInteger, nullable=False),
)
Index("parcel_age", parcels.c.deposited_ms)

carriages = Table(
    "carriage",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("last_n", BigInteger, nullable=False),
    Column("collected_n", BigInteger, nullable=False),
)

intakes = Table(
    "intake",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("summary", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

# Heads of others' logs: the newest of each that was verified, and with a source those that wait to be compared.
heads = Table(
    "head",
    metadata,
    Column("party", Text, primary_key=True),
    Column("log", Integer, primary_key=True),
    Column("source", Text, primary_key=True, server_default=""),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

incidents = Table(
    "incident",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("open", Integer, nullable=False),
    Column("closed", Text, nullable=False, server_default=""),
    Column("told_ms", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("kind", "party", "subject", name="incident_key"),
    sqlite_autoincrement=True,
)
