"""The tables of the first stores. Frozen: what a revision made is never edited, only followed by another."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, UniqueConstraint

from relto.store.dialect import Integer, Text

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table("settings", Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False))
    op.create_table(
        "partner",
        Column("party", Text, primary_key=True),
        Column("card", LargeBinary, nullable=False),
        Column("fingerprint", Text, nullable=False),
        Column("accepted_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "agreement",
        Column("id", Text, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("sha256", Text, primary_key=True),
        Column("text", LargeBinary, nullable=False),
        Column("envelope", LargeBinary, nullable=False),
        Column("signed_by", Text, nullable=False),
        Column("changed_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "item",
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
        Column("header", LargeBinary, nullable=False),
        Column("content", LargeBinary, nullable=False),
        UniqueConstraint("id", "version", "by", "edition", "digest", name="item_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("item_kind", "item", ["kind", "observed_ms"])
    op.create_table(
        "floor",
        Column("origin", Text, primary_key=True),
        Column("id", LargeBinary(16), primary_key=True),
        Column("version", Integer, nullable=False),
    )
    op.create_table(
        "stream",
        Column("recipient", Text, primary_key=True),
        Column("scanned_seq", BigInteger, nullable=False),
        Column("next_n", BigInteger, nullable=False),
        Column("chain", Text, nullable=False),
        Column("log_size", BigInteger, nullable=False),
        Column("receipted_n", BigInteger, nullable=False),
        Column("receipt", LargeBinary),
        Column("receipted_ms", BigInteger),
    )
    op.create_table(
        "page",
        Column("recipient", Text, primary_key=True),
        Column("first_n", BigInteger, primary_key=True),
        Column("last_n", BigInteger, nullable=False),
        Column("chain", Text, nullable=False),
        Column("content", LargeBinary, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "release",
        Column("recipient", Text, primary_key=True),
        Column("n", BigInteger, primary_key=True),
        Column("item", BigInteger, nullable=False),
        Column("leaf", BigInteger, nullable=False),
    )
    op.create_index("release_item", "release", ["item"])
    op.create_table(
        "deferred",
        Column("recipient", Text, primary_key=True),
        Column("item", BigInteger, primary_key=True),
        Column("due_ms", BigInteger, nullable=False),
    )
    op.create_index("deferred_due", "deferred", ["recipient", "due_ms"])
    op.create_table(
        "tally",
        Column("recipient", Text, primary_key=True),
        Column("verdict", Text, primary_key=True),
        Column("reason", Text, primary_key=True),
        Column("count", BigInteger, nullable=False),
    )
    op.create_table(
        "inbound",
        Column("peer", Text, primary_key=True),
        Column("next_n", BigInteger, nullable=False),
        Column("chain", Text, nullable=False),
        Column("log_size", BigInteger, nullable=False),
        Column("log_root", LargeBinary(32), nullable=False),
        Column("receipted_n", BigInteger, nullable=False),
        Column("synced_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "arrival",
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("peer", Text, nullable=False),
        Column("first_n", BigInteger, nullable=False),
        Column("card", LargeBinary, nullable=False),
        Column("hashes", LargeBinary, nullable=False),
        Column("statement", LargeBinary, nullable=False),
        Column("proof", LargeBinary, nullable=False),
        Column("entries", LargeBinary, nullable=False),
        Column("records", LargeBinary, nullable=False),
    )
    op.create_table(
        "leaf",
        Column("index", BigInteger, primary_key=True, autoincrement=False),
        Column("entry", LargeBinary(32), nullable=False),
        Column("record", LargeBinary, nullable=False),
        Column("salt", LargeBinary(32), nullable=False),
        Column("policy_sha256", Text, nullable=False),
        Column("policy_salt", LargeBinary(32), nullable=False),
    )
    op.create_table("tile", Column("path", Text, primary_key=True), Column("content", LargeBinary, nullable=False))
    op.create_table(
        "checkpoint",
        Column("size", BigInteger, primary_key=True, autoincrement=False),
        Column("root", LargeBinary(32), nullable=False),
        Column("note", LargeBinary, nullable=False),
    )
    op.create_table(
        "intake",
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("source", Text, nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("summary", LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
