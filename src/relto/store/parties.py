"""Partners and agreements in the store. Every change of either raises the version of the rules."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select

from relto.exchange.books import Partner, SignedAgreement
from relto.store.dialect import insert
from relto.store.schema import agreements as agreement_table
from relto.store.schema import partners as partner_table
from relto.store.schema import settings

_RULES = "rules"
_QUARANTINE = "quarantine"


class Parties:
    """Partners, agreements, and the node's own values."""

    _connection: Connection

    def rules_version(self) -> int:
        """A number that rises with every change of partners, agreements or quarantine."""
        value = self._connection.execute(select(settings.c.value).where(settings.c.name == _RULES)).scalar()
        return int(value) if value else 0

    def rules_changed(self) -> None:
        """Make every node process read the rules anew."""
        self.put_setting(_RULES, str(self.rules_version() + 1).encode())

    def put_setting(self, name: str, value: bytes) -> None:
        """Store a value of the node's own, over an older one."""
        changed = insert(settings).values(name=name, value=value)
        self._connection.execute(changed.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

    def partner(self, party: str) -> Partner | None:
        """One partner."""
        row = self._connection.execute(select(partner_table).where(partner_table.c.party == party)).first()
        return Partner(*row) if row else None

    def partners(self) -> list[Partner]:
        """All partners, by name."""
        return [
            Partner(*row) for row in self._connection.execute(select(partner_table).order_by(partner_table.c.party))
        ]

    def keep_partner(self, kept: Partner) -> None:
        """Store a partner or its newer card."""
        values = msgspec.structs.asdict(kept)
        stored = insert(partner_table).values(**values)
        self._connection.execute(stored.on_conflict_do_update(index_elements=["party"], set_=values))
        self.rules_changed()

    def agreements(self) -> list[SignedAgreement]:
        """All agreements that the node holds, signed or not."""
        query = select(agreement_table).order_by(
            agreement_table.c.id, agreement_table.c.version, agreement_table.c.sha256
        )
        return [_agreement(tuple(row)) for row in self._connection.execute(query)]

    def agreement(self, name: str, version: int | None = None) -> SignedAgreement | None:
        """One agreement; without a version, its newest."""
        query = select(agreement_table).where(agreement_table.c.id == name)
        if version is not None:
            query = query.where(agreement_table.c.version == version)
        row = self._connection.execute(query.order_by(agreement_table.c.version.desc()).limit(1)).first()
        return _agreement(tuple(row)) if row else None

    def same_agreement(self, name: str, version: int, sha256: str) -> SignedAgreement | None:
        """The agreement with this very text."""
        query = select(agreement_table).where(
            agreement_table.c.id == name, agreement_table.c.version == version, agreement_table.c.sha256 == sha256
        )
        row = self._connection.execute(query).first()
        return _agreement(tuple(row)) if row else None

    def keep_agreement(self, kept: SignedAgreement) -> None:
        """Store an agreement, or another state of its signatures."""
        values = msgspec.structs.asdict(kept) | {"signed_by": " ".join(kept.signed_by)}
        stored = insert(agreement_table).values(**values)
        self._connection.execute(stored.on_conflict_do_update(index_elements=["id", "version", "sha256"], set_=values))
        self.rules_changed()

    def quarantined(self) -> frozenset[str]:
        """The parties and item ids to which, or of which, nothing goes."""
        value = self._connection.execute(select(settings.c.value).where(settings.c.name == _QUARANTINE)).scalar()
        return frozenset(value.decode().split()) if value else frozenset()

    def set_quarantined(self, names: frozenset[str]) -> None:
        """Store what is in quarantine now."""
        self.put_setting(_QUARANTINE, " ".join(sorted(names)).encode())
        self.rules_changed()

    def secret(self, name: str) -> bytes | None:
        """A value that only this node knows."""
        found: bytes | None = self._connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar()
        return found

    def keep_secret(self, name: str, value: bytes) -> None:
        """Store such a value once; a second time changes nothing."""
        self._connection.execute(insert(settings).values(name=name, value=value).on_conflict_do_nothing())


def _agreement(row: tuple[object, ...]) -> SignedAgreement:
    found = SignedAgreement(*row)  # type: ignore[arg-type]
    return msgspec.structs.replace(found, signed_by=tuple(str(row[5]).split()))
