"""Files: what a file holds is told from its bytes, and its reader turns it into drafts."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from relto.bounds import BOUNDS
from relto.errors import OurError, TooLargeError
from relto.formats import alert, detection, kev, misp, positions, stix, track
from relto.formats.ais import AisIntake, read_dma_csv, read_nmea, read_noaa_csv, read_noaa_parquet
from relto.formats.draft import Draft, Intake
from relto.item import Place

_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1024 * 1024

Reader = Callable[[bytes, int, str], Intake]


def load(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is gzip.

    Raises:
        OurError: it cannot be read, or is not whole. TooLargeError: over ``BOUNDS.archive_bytes``, also unpacked.
    """
    try:
        if path.stat().st_size > BOUNDS.archive_bytes:
            raise TooLargeError(f"{path.stat().st_size} bytes.", field=path.name, remedy="Split the file.")
        content = path.read_bytes()
        return unpack(content, path.name) if content.startswith(_GZIP) else content
    except OSError as error:
        raise OurError(error.strerror or str(error), field=str(path), remedy="Check the path.") from None


def unpack(content: bytes, name: str) -> bytes:
    """Unpack gzip without ever holding more than the bound.

    Raises:
        TooLargeError: more than ``BOUNDS.archive_bytes``. OurError: damaged or cut off.
    """
    parts, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            while part := stream.read(_CHUNK_BYTES):
                size += len(part)
                if size > BOUNDS.archive_bytes:
                    raise TooLargeError(
                        f"unpacks to over {BOUNDS.archive_bytes} bytes.", field=name, remedy="Split it."
                    )
                parts.append(part)
    except (OSError, EOFError, zlib.error) as error:
        raise OurError(f"is damaged: {error}.", field=name, remedy="Copy the file again.") from None
    return b"".join(parts)


def read(content: bytes, name: str, *, received_ms: int) -> Intake:
    """Turn a file's bytes into drafts, with the count of what was not accepted and why.

    Raises:
        OurError: no reader knows the form.
    """
    form = sniff(content)
    if form is None:
        raise OurError(
            "no reader knows this form.",
            field=name,
            remedy=f"Readers: {', '.join(sorted(READERS))}; see docs/feeds.md.",
        )
    return READERS[form](content, received_ms, name)


def sniff(content: bytes) -> str | None:
    """Which reader a file needs, by its first bytes; None if none does."""
    head = content[:4096]
    if head.startswith(b"PAR1"):
        return "noaa-parquet"
    if head.lower().startswith((b"mmsi,basedatetime", b"mmsi,base_date_time")):
        return "noaa-csv"
    if head.removeprefix(b"\xef\xbb\xbf").startswith(b"# Timestamp,"):
        return "dma-csv"
    # alerts and tracks are Features as well
    found = alert.sniff(content) or track.sniff(content) or detection.sniff(content)
    found = found or kev.sniff(content) or stix.sniff(content) or misp.sniff(content)
    if found is None and any(mark in head for mark in (b"!AIVD", b"!BSVD", b"!ABVD", b"$PGHP", b"VDM,", b"VDO,")):
        return "nmea"
    return found


def _ais(intake: AisIntake) -> Intake:
    """Batches of positions and of vessel particulars, each a draft."""
    drafts = [_batch("maritime.positions", each, "positions") for each in positions.batches(intake.positions)]
    drafts += [_batch("maritime.vessels", each, "vessels") for each in positions.batches(intake.vessels)]
    return Intake(tuple(drafts), intake.summary)


def _batch(kind: str, table: pa.Table, noun: str) -> Draft:
    if kind == "maritime.positions":
        span = positions.span(table)
        from_ms, until_ms = span.from_ms, span.until_ms
        place = Place(span.south_e7, span.west_e7, span.north_e7, span.east_e7)
    else:
        times = table["observed_ms"].to_numpy()
        from_ms, until_ms, place = int(times.min()), int(times.max()), None
    vessels = pc.count_distinct(table["mmsi"]).as_py()
    return Draft(
        kind=kind,
        media_type="application/vnd.apache.parquet",
        content=positions.write(table),
        observed_ms=from_ms,
        until_ms=until_ms,
        place=place,
        title=f"{len(table):,} {noun} of {vessels:,} vessels",
    )


READERS: dict[str, Reader] = {
    "nmea": lambda content, received_ms, name: _ais(read_nmea(content, received_ms=received_ms, source=name)),
    "noaa-csv": lambda content, received_ms, name: _ais(read_noaa_csv(content, received_ms=received_ms, source=name)),
    "noaa-parquet": lambda content, received_ms, name: _ais(
        read_noaa_parquet(content, received_ms=received_ms, source=name)
    ),
    "dma-csv": lambda content, received_ms, name: _ais(read_dma_csv(content, received_ms=received_ms, source=name)),
    "geojson": lambda content, received_ms, name: detection.read_geojson(content, received_ms=received_ms, source=name),
    "csv": lambda content, received_ms, name: detection.read_csv(content, received_ms=received_ms, source=name),
    "alert": lambda content, received_ms, name: alert.read_geojson(content, received_ms=received_ms, source=name),
    "track": lambda content, received_ms, name: track.read_geojson(content, received_ms=received_ms, source=name),
    "stix": lambda content, received_ms, name: stix.read_bundle(content, received_ms=received_ms, source=name),
    "misp": lambda content, received_ms, name: misp.read_event(content, received_ms=received_ms, source=name),
    "kev": lambda content, received_ms, name: kev.read_catalog(content, received_ms=received_ms, source=name),
}
