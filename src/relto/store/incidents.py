"""Incidents in the store: once per kind, party and subject, however often they happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, case, select, update

from relto.exchange.books import Incident
from relto.store.dialect import insert
from relto.store.schema import incidents as incident_table

_COLUMNS = tuple(incident_table.c[name] for name in Incident.__struct_fields__)
_evidence = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


class Incidents:
    """What should not have happened, with what proves it."""

    _connection: Connection

    def note_incident(self, incident: Incident) -> Incident:
        """Note an incident, or count one more of it; the first evidence stays.

        A closed one is opened anew, with the new text and evidence, and is to be told again.
        """
        values = msgspec.structs.asdict(incident) | {"evidence": msgspec.msgpack.encode(incident.evidence), "open": 1}
        del values["id"]
        statement = insert(incident_table).values(**values)
        new, was_open = statement.excluded, incident_table.c.open == 1
        again = {"last_ms": new.last_ms, "count": incident_table.c.count + 1, "open": 1}
        again |= {
            name: case((was_open, incident_table.c[name]), else_=new[name])
            for name in ("text", "evidence", "first_ms", "told_ms")
        }
        keys = ["kind", "party", "subject"]
        self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=again))
        same = [incident_table.c[name] == getattr(incident, name) for name in keys]
        return _incident(self._connection.execute(select(*_COLUMNS).where(*same)).one())

    def incident(self, kind: str, party: str, subject: str) -> Incident | None:
        """One incident, open or closed."""
        same = incident_table.c.kind == kind, incident_table.c.party == party, incident_table.c.subject == subject
        row = self._connection.execute(select(*_COLUMNS).where(*same)).first()
        return _incident(row) if row else None

    def incidents(self, *, open_only: bool = False) -> list[Incident]:
        """All incidents, or those that are not closed, oldest first."""
        query = select(*_COLUMNS).order_by(incident_table.c.id)
        if open_only:
            query = query.where(incident_table.c.open == 1)
        return [_incident(row) for row in self._connection.execute(query)]

    def open_incidents(self) -> list[tuple[int, int, str, str, str]]:
        """The open ones without their evidence: (number, since when, kind, party, text)."""
        names = ("id", "first_ms", "kind", "party", "text")
        query = select(*(incident_table.c[name] for name in names)).where(incident_table.c.open == 1)
        rows = self._connection.execute(query.order_by(incident_table.c.id))
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def incident_told(self, number: int, at_ms: int) -> None:
        """Remember when its party took our notice; 0 if it must be told again."""
        self._connection.execute(update(incident_table).where(incident_table.c.id == number).values(told_ms=at_ms))

    def close_incident(self, number: int, reason: str) -> None:
        """Close one, for a reason."""
        closed = update(incident_table).where(incident_table.c.id == number)
        self._connection.execute(closed.values(open=0, closed=reason))


def _incident(row: Sequence[Any]) -> Incident:
    found = Incident(*row)
    return msgspec.structs.replace(found, evidence=_evidence.decode(row[4]), open=bool(found.open))
