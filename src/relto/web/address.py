"""Addresses of this node's own pages: how they are written, and the check that a page links nowhere else."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from relto.errors import invariant

# one slash, not two: "//host" is another host; no backslash: browsers read it as a slash
_LOCAL = re.compile(r"(?:/(?!/)|\?|#)[^\\\s\x00-\x1f\x7f]*")


def href(path: str, query: tuple[tuple[str, str], ...] = (), **changes: str | None) -> str:
    """Return an address of this node; ``changes`` replace fields of the query, None leaves one out."""
    kept = [(name, value) for name, value in query if name not in changes]
    added = [(name, value) for name, value in changes.items() if value is not None]
    fields = urlencode(kept + added, safe=",:/")
    return f"{path}?{fields}" if fields else path


def local(address: str) -> str:
    """Return an address that cannot lead off this node.

    Raises:
        InvariantError: a scheme, another host, or characters that browsers read differently.
    """
    invariant(_LOCAL.fullmatch(address) is not None, f"pages link to this node only, not to {address[:60]!r}")
    return address
