"""Files that a page refers to: a fixed table, so that no path from outside ever reaches the disk.

Addresses carry a digest of the whole table. A file never changes under its address and can be kept for ever.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

PREFIX = "/assets/"
_SERVED = (
    ("app.css", "text/css; charset=utf-8"),
    ("app.js", "text/javascript; charset=utf-8"),
    ("icon.svg", "image/svg+xml"),
    ("plex-sans-400.woff2", "font/woff2"),
    ("plex-sans-500.woff2", "font/woff2"),
    ("plex-sans-600.woff2", "font/woff2"),
    ("plex-mono-400.woff2", "font/woff2"),
    ("plex-mono-500.woff2", "font/woff2"),
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it goes out: its bytes, media type and strong entity tag (RFC 9110, 8.8.3).

    ``gzipped`` is the same file under content coding gzip, with a tag of its own, or None where it would not pay.
    """

    body: bytes
    media_type: str
    etag: str
    gzipped: bytes | None
    gzipped_etag: str


def read_package_file(name: str) -> bytes:
    """Return a file that ships with the pages; ``name`` is a constant of this package, never from outside."""
    return files("relto.web").joinpath("assets", name).read_bytes()


@cache
def assets() -> Mapping[str, Asset]:
    """Return every file that may be served, by the part of its address that follows ``PREFIX``."""
    bodies = {name: read_package_file(name) for name, _ in _SERVED}
    release = hashlib.sha256(b"".join(bodies[name] for name, _ in _SERVED)).hexdigest()[:12]
    return MappingProxyType({f"{release}/{name}": _asset(bodies[name], kind) for name, kind in _SERVED})


def asset(path: str) -> Asset | None:
    """Return the file at an address, or nothing; ``path`` is what follows ``PREFIX``, exactly as it came."""
    return assets().get(path)


@cache
def address(name: str) -> str:
    """Return the address of a served file, to be written into a page.

    Raises:
        KeyError: no such file is served.
    """
    for path in assets():
        if path.endswith(f"/{name}"):
            return PREFIX + path
    raise KeyError(name)


def _asset(body: bytes, media_type: str) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:32]
    packed = None if media_type.startswith("font/") else gzip.compress(body, mtime=0)
    return Asset(body, media_type, f'"{digest}"', packed, f'"{digest}-gzip"')
