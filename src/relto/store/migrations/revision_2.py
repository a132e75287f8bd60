"""Withdrawal, urgency, incidents, relays, losses, claims; a release tells its item when the item is gone."""

from __future__ import annotations

from typing import Any

import msgspec
from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, Row, UniqueConstraint, text

from relto.store.dialect import Integer, NoBytes, Text

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add what is new; make the two tables anew whose keys or columns cannot be added to."""
    _items()
    _floors()
    _releases()
    _streams()
    _tables()


def _items() -> None:
    op.add_column("item", Column("standing", Text, nullable=False, server_default="current"))
    op.add_column("item", Column("urgency", Integer, nullable=False, server_default="0"))
    op.add_column("item", Column("hops", LargeBinary, nullable=False, server_default=NoBytes()))
    op.create_index("item_arrival", "item", ["arrival"])
    urgent = text("urgency > 0")
    op.create_index("item_urgent", "item", ["seq"], sqlite_where=urgent, postgresql_where=urgent)


def _floors() -> None:
    op.execute("CREATE TABLE floor_1 AS SELECT * FROM floor")
    op.drop_table("floor")
    op.create_table(
        "floor",
        Column("id", LargeBinary(16), primary_key=True),
        Column("party", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("dead", Integer, nullable=False, server_default="0"),
    )
    op.execute("INSERT INTO floor (id, party, version) SELECT id, origin, version FROM floor_1")
    op.drop_table("floor_1")


class _Record(msgspec.Struct, frozen=True):
    """What a leaf's record says of its release."""

    item: str
    version: int
    view: str
    time_ms: int


_decoder = msgspec.json.Decoder(_Record)


def _releases() -> None:
    """What was released stands in the log, also where the item is over its retention and gone."""
    op.execute("CREATE TABLE release_1 AS SELECT * FROM release")
    op.drop_table("release")
    release = op.create_table(
        "release",
        Column("recipient", Text, primary_key=True),
        Column("n", BigInteger, primary_key=True),
        Column("item", BigInteger, nullable=False),
        Column("leaf", BigInteger, nullable=False),
        Column("id", LargeBinary(16), nullable=False),
        Column("version", Integer, nullable=False),
        Column("view", Text, nullable=False),
        Column("released_ms", BigInteger, nullable=False),
        Column("expires_ms", BigInteger),
        Column("level", Text, nullable=False, server_default=""),
        Column("originators", Text, nullable=False, server_default=""),
        Column("log", Integer, nullable=False, server_default="1"),
    )
    op.create_index("release_id", "release", ["id", "recipient"])
    old = text('SELECT r.recipient, r.n, r.item, r.leaf, l.record FROM release_1 r JOIN leaf l ON l."index" = r.leaf')
    connection = op.get_bind()
    for rows in connection.execute(old, execution_options={"yield_per": 500}).partitions():
        connection.execute(release.insert(), [_release(row) for row in rows])
    op.drop_table("release_1")


def _release(row: Row[Any]) -> dict[str, Any]:
    record = _decoder.decode(row.record)
    return {
        "recipient": row.recipient,
        "n": row.n,
        "item": row.item,
        "leaf": row.leaf,
        "id": bytes.fromhex(record.item),
        "version": record.version,
        "view": record.view,
        "released_ms": record.time_ms,
    }


def _streams() -> None:
    op.add_column("stream", Column("urgent_seq", BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE stream SET urgent_seq = scanned_seq")
    op.add_column("inbound", Column("log", Integer, nullable=False, server_default="1"))
    op.add_column("arrival", Column("received_ms", BigInteger, nullable=False, server_default="0"))
    op.add_column("arrival", Column("salts", LargeBinary, nullable=False, server_default=NoBytes()))
    op.create_index("arrival_peer", "arrival", ["peer", "first_n"])


def _tables() -> None:
    op.create_table(
        "page_key",
        Column("recipient", Text, primary_key=True),
        Column("first_n", BigInteger, primary_key=True),
        Column("key", LargeBinary(32), nullable=False),
        Column("grown_from", BigInteger, nullable=False),
    )
    op.create_table(
        "past_leaf",
        Column("log", Integer, primary_key=True, autoincrement=False),
        Column("index", BigInteger, primary_key=True, autoincrement=False),
        Column("entry", LargeBinary(32), nullable=False),
        Column("record", LargeBinary, nullable=False),
        Column("salt", LargeBinary(32), nullable=False),
        Column("policy_sha256", Text, nullable=False),
        Column("policy_salt", LargeBinary(32), nullable=False),
    )
    op.create_table("claim", Column("recipient", Text, primary_key=True))
    op.create_table(
        "receipt",
        Column("recipient", Text, primary_key=True),
        Column("up_to_n", BigInteger, primary_key=True),
        Column("envelope", LargeBinary, nullable=False),
        Column("taken_ms", BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO receipt (recipient, up_to_n, envelope, taken_ms) SELECT recipient, receipted_n, receipt, "
        "receipted_ms FROM stream WHERE receipt IS NOT NULL AND receipted_ms IS NOT NULL"
    )
    op.create_table(
        "head",
        Column("party", Text, primary_key=True),
        Column("log", Integer, primary_key=True),
        Column("source", Text, primary_key=True, server_default=""),
        Column("size", BigInteger, nullable=False),
        Column("root", LargeBinary(32), nullable=False),
        Column("note", LargeBinary, nullable=False),
        Column("seen_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "incident",
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
    op.create_table(
        "parcel",
        Column("sender", Text, primary_key=True),
        Column("recipient", Text, primary_key=True),
        Column("n", BigInteger, primary_key=True),
        Column("batch", Text, nullable=False),
        Column("content", LargeBinary, nullable=False),
        Column("deposited_ms", BigInteger, nullable=False),
    )
    op.create_index("parcel_age", "parcel", ["deposited_ms"])
    op.create_table(
        "carriage",
        Column("sender", Text, primary_key=True),
        Column("recipient", Text, primary_key=True),
        Column("last_n", BigInteger, nullable=False),
        Column("collected_n", BigInteger, nullable=False),
    )
