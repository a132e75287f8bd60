"""``relto verify``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.bounds import BOUNDS
from relto.cli.output import Output, output, read_file
from relto.clock import format_utc
from relto.exchange.fork import Forked, verify_fork
from relto.node import audit

_FORK = b'{"format":"relto-fork/'


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE")
@click.option("--fingerprint", default=None, help="The releasing party's fingerprint, as you know it.")
@output
def command(out: Output, path: Path, fingerprint: str | None) -> None:
    """Verify a proven item, or the proof of a fork, offline: all signatures and proofs in it."""
    content = read_file(path, BOUNDS.page_bytes)
    if content.startswith(_FORK):
        _told_fork(out, verify_fork(content, pinned=fingerprint))
        return
    found = audit.verify(content, pinned=fingerprint)
    release = found.header.release
    view = release.view if release else "full"
    value = {
        "verified": True,
        "item": found.header.id,
        "version": found.header.version,
        "origin": found.header.origin,
        "by": found.by,
        "to": found.to,
        "n": found.n,
        "log_index": found.log_index,
        "view": view,
        "marking": found.marking,
        "released_ms": release.time_ms if release else None,
        "fingerprint_checked": found.fingerprint_checked,
        "hops": [{"by": e.by, "to": e.to, "released_ms": e.time_ms, "fingerprint": e.fingerprint} for e in found.hops],
    }
    lines = [
        f"verified: item {found.header.id} version {found.header.version}, view {view}",
        f"released by {found.by} to {found.to} as number {found.n} of their stream, log index {found.log_index}",
        f"at {format_utc(release.time_ms) if release else '-'}, marked {found.marking}",
    ]
    lines += [
        f"before that: {each.by} to {each.to} at {format_utc(each.time_ms)}, {each.by}'s signature verified; "
        f"its keys: {each.fingerprint}"
        for each in found.hops
    ]
    if not found.fingerprint_checked:
        lines.append("the keys were taken from the file; give --fingerprint to know whose they are")
    out.result(value, "\n".join(lines))


def _told_fork(out: Output, found: Forked) -> None:
    pairs = [(each.origin, each.size, each.root.hex()) for each in (found.first, found.second)]
    lines = [f"verified: {found.party} signed two logs under one name"]
    lines += [f"{origin}: size {size:,}, root {root}" for origin, size, root in pairs]
    if not found.fingerprint_checked:
        lines.append("the keys were taken from the file; give --fingerprint to know whose they are")
    heads = [{"origin": origin, "size": size, "root": root} for origin, size, root in pairs]
    value = {"verified": True, "fork_of": found.party, "heads": heads, "fingerprint_checked": found.fingerprint_checked}
    out.result(value, "\n".join(lines))
