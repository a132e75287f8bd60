"""The tables. Header and content are kept as received: they are signed. What is looked up stands in columns beside."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 1

metadata = MetaData()

# SQLite gives out rowids only to a column declared INTEGER; other databases want the wide type.
Sequence = BigInteger().with_variant(Integer, "sqlite")

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
    Column("seq", Sequence, primary_key=True, autoincrement=True),
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
    Column("header", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    # One key, one record; a second with other bytes is kept beside the first as proof of equivocation.
    UniqueConstraint("id", "version", "by", "edition", "digest", name="item_key"),
    sqlite_autoincrement=True,
)
Index("item_kind", items.c.kind, items.c.observed_ms)

floors = Table(
    "floor",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("id", LargeBinary(16), primary_key=True),
    Column("version", Integer, nullable=False),
)

# Outgoing: one stream per recipient, its pages, what is in them, and what waits for its hour.
streams = Table(
    "stream",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("scanned_seq", BigInteger, nullable=False),
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
)
Index("release_item", releases.c.item)

deferred = Table(
    "deferred",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("item", BigInteger, primary_key=True),
    Column("due_ms", BigInteger, nullable=False),
)
Index("deferred_due", deferred.c.recipient, deferred.c.due_ms)

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
    Column("log_size", BigInteger, nullable=False),
    Column("log_root", LargeBinary(32), nullable=False),
    Column("receipted_n", BigInteger, nullable=False),
    Column("synced_ms", BigInteger, nullable=False),
)

arrivals = Table(
    "arrival",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("peer", Text, nullable=False),
    Column("first_n", BigInteger, nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("proof", LargeBinary, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Column("records", LargeBinary, nullable=False),
)

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

intakes = Table(
    "intake",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("summary", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
