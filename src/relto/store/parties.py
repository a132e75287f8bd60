"""Partners and agreements in the store. Every change of either raises the version of the rules."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from relto.store.schema import agreements as agreement_table
from relto.store.schema import partners as partner_table
from relto.store.schema import settings

_RULES = "rules"
_QUARANTINE = "quarantine"


class Partner(msgspec.Struct, frozen=True):
    """A partner: its signed card, and the fingerprint by which it was accepted."""

    party: str
    card: bytes
    fingerprint: str
    accepted_ms: int


class SignedAgreement(msgspec.Struct, frozen=True):
    """An agreement's text, the envelope with the signatures so far, and whose of them verified when it was stored."""

    id: str
    version: int
    sha256: str
    text: bytes
    envelope: bytes
    signed_by: tuple[str, ...]
    changed_ms: int


def rules_version(connection: Connection) -> int:
    """A number that rises with every change of partners, agreements or quarantine."""
    value = connection.execute(select(settings.c.value).where(settings.c.name == _RULES)).scalar()
    return int(value) if value else 0


def rules_changed(connection: Connection) -> None:
    """Make every node process read the rules anew."""
    put_setting(connection, _RULES, str(rules_version(connection) + 1).encode())


def put_setting(connection: Connection, name: str, value: bytes) -> None:
    """Store a value of the node's own, over an older one."""
    changed = insert(settings).values(name=name, value=value)
    connection.execute(changed.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def partner(connection: Connection, party: str) -> Partner | None:
    """One partner."""
    row = connection.execute(select(partner_table).where(partner_table.c.party == party)).first()
    return Partner(*row) if row else None


def partners(connection: Connection) -> list[Partner]:
    """All partners, by name."""
    return [Partner(*row) for row in connection.execute(select(partner_table).order_by(partner_table.c.party))]


def keep_partner(connection: Connection, kept: Partner) -> None:
    """Store a partner or its newer card."""
    values = msgspec.structs.asdict(kept)
    stored = insert(partner_table).values(**values)
    connection.execute(stored.on_conflict_do_update(index_elements=["party"], set_=values))
    rules_changed(connection)


def agreements(connection: Connection) -> list[SignedAgreement]:
    """All agreements that the node holds, signed or not."""
    query = select(agreement_table).order_by(agreement_table.c.id, agreement_table.c.version, agreement_table.c.sha256)
    return [_agreement(tuple(row)) for row in connection.execute(query)]


def agreement(connection: Connection, name: str, version: int | None = None) -> SignedAgreement | None:
    """One agreement; without a version, its newest."""
    query = select(agreement_table).where(agreement_table.c.id == name)
    if version is not None:
        query = query.where(agreement_table.c.version == version)
    row = connection.execute(query.order_by(agreement_table.c.version.desc()).limit(1)).first()
    return _agreement(tuple(row)) if row else None


def same_agreement(connection: Connection, name: str, version: int, sha256: str) -> SignedAgreement | None:
    """The agreement with this very text."""
    query = select(agreement_table).where(
        agreement_table.c.id == name, agreement_table.c.version == version, agreement_table.c.sha256 == sha256
    )
    row = connection.execute(query).first()
    return _agreement(tuple(row)) if row else None


def _agreement(row: tuple[object, ...]) -> SignedAgreement:
    found = SignedAgreement(*row)  # type: ignore[arg-type]
    return msgspec.structs.replace(found, signed_by=tuple(str(row[5]).split()))


def keep_agreement(connection: Connection, kept: SignedAgreement) -> None:
    """Store an agreement, or another state of its signatures."""
    values = msgspec.structs.asdict(kept) | {"signed_by": " ".join(kept.signed_by)}
    stored = insert(agreement_table).values(**values)
    connection.execute(stored.on_conflict_do_update(index_elements=["id", "version", "sha256"], set_=values))
    rules_changed(connection)


def quarantined(connection: Connection) -> frozenset[str]:
    """The parties and item ids to which, or of which, nothing goes."""
    value = connection.execute(select(settings.c.value).where(settings.c.name == _QUARANTINE)).scalar()
    return frozenset(value.decode().split()) if value else frozenset()


def set_quarantined(connection: Connection, names: frozenset[str]) -> None:
    """Store what is in quarantine now."""
    put_setting(connection, _QUARANTINE, " ".join(sorted(names)).encode())
    rules_changed(connection)


def secret(connection: Connection, name: str) -> bytes | None:
    """A value that only this node knows."""
    found: bytes | None = connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar()
    return found


def keep_secret(connection: Connection, name: str, value: bytes) -> None:
    """Store such a value once; a second time changes nothing."""
    connection.execute(insert(settings).values(name=name, value=value).on_conflict_do_nothing())
