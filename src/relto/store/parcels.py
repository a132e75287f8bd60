"""What this node carries for others as their relay: sealed parcels, numbered for each pair of sender and recipient."""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, select

from relto.exchange.books import Carriage, Parcel, Waiting
from relto.store.dialect import insert
from relto.store.schema import carriages, parcels

_PARCEL = tuple(parcels.c[name] for name in Parcel.__struct_fields__)
_CARRIAGE = tuple(carriages.c[name] for name in Carriage.__struct_fields__)


class Parcels:
    """Parcels that wait, and how far each pair is."""

    _connection: Connection

    def carriage(self, sender: str, recipient: str) -> Carriage:
        """How far a pair is; a new one is at its beginning."""
        of = (carriages.c.sender == sender) & (carriages.c.recipient == recipient)
        row = self._connection.execute(select(*_CARRIAGE).where(of)).first()
        return Carriage(*row) if row else Carriage(sender, recipient)

    def carriages(self) -> list[Carriage]:
        """How far every pair is that ever deposited anything."""
        query = select(*_CARRIAGE).order_by(carriages.c.sender, carriages.c.recipient)
        return [Carriage(*row) for row in self._connection.execute(query)]

    def move_carriage(self, moved: Carriage) -> None:
        """Store how far a pair is now."""
        values = msgspec.structs.asdict(moved)
        stored = insert(carriages).values(**values)
        self._connection.execute(stored.on_conflict_do_update(index_elements=["sender", "recipient"], set_=values))

    def add_parcel(self, parcel: Parcel) -> None:
        """Keep a parcel until it is collected."""
        self._connection.execute(parcels.insert().values(**msgspec.structs.asdict(parcel)))

    def parcel_after(self, sender: str, recipient: str, n: int, since_ms: int) -> Parcel | None:
        """The first parcel of a pair after a number that was not deposited before an instant."""
        query = select(*_PARCEL).where(_of(sender, recipient), parcels.c.n > n, parcels.c.deposited_ms >= since_ms)
        row = self._connection.execute(query.order_by(parcels.c.n).limit(1)).first()
        return Parcel(*row) if row else None

    def parcel_number(self, sender: str, recipient: str, batch: str) -> int | None:
        """The number under which a parcel waits, or None if it does not."""
        query = select(parcels.c.n).where(_of(sender, recipient), parcels.c.batch == batch)
        found: int | None = self._connection.execute(query).scalar()
        return found

    def waiting_parcels(self, sender: str, recipient: str) -> Waiting:
        """How much of a pair waits."""
        query = select(func.count(), func.coalesce(func.sum(func.length(parcels.c.content)), 0))
        row = self._connection.execute(query.where(_of(sender, recipient))).one()
        return Waiting(int(row[0]), int(row[1]))

    def drop_parcels(self, sender: str, recipient: str, up_to_n: int) -> None:
        """Forget the parcels of a pair up to a number."""
        self._connection.execute(delete(parcels).where(_of(sender, recipient), parcels.c.n <= up_to_n))

    def drop_old_parcels(self, before_ms: int) -> int:
        """Forget what was deposited before an instant; returns how many parcels."""
        return self._connection.execute(delete(parcels).where(parcels.c.deposited_ms < before_ms)).rowcount


def _of(sender: str, recipient: str) -> ColumnElement[bool]:
    return and_(parcels.c.sender == sender, parcels.c.recipient == recipient)
