"""``relto doctor``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import click
import msgspec

from relto.cli.output import NO, Output, output
from relto.clock import DAY_MS, format_utc
from relto.envelope.card import signed_card
from relto.errors import ReltoError
from relto.node import agree, audit
from relto.node.node import Node

LEAST_FREE_BYTES = 2 * 1024**3
SOON_MS = 14 * DAY_MS


class Look(msgspec.Struct, frozen=True):
    """One thing looked at: whether it is good, what was found, and what to do if it is not."""

    name: str
    good: bool
    found: str
    remedy: str = ""


@click.command("doctor")
@output
@click.pass_context
def command(ctx: click.Context, out: Output) -> None:
    """Look over keys, certificates, cards, agreements, log, store and disk; exit code 1 if anything needs mending."""
    with out.node() as node:
        found = list(look_over(node))
    rows = [("ok" if look.good else "MEND", look.name, look.found, look.remedy) for look in found]
    out.table(found, ("", "LOOKED AT", "FOUND", "DO"), rows, empty="")
    if not all(look.good for look in found):
        ctx.exit(NO)


def look_over(node: Node) -> Iterator[Look]:
    """Everything that can be told from the node alone."""
    now_ms = node.now_ms()
    expires_ms = node.keyring.tls_expires_ms()
    yield Look(
        "TLS certificate",
        expires_ms > now_ms,
        f"good until {format_utc(expires_ms)}",
        "" if expires_ms > now_ms else "Start the node: relto serve renews it.",
    )
    locked = node.keyring.authority_locked
    yield Look(
        "authority keys", True, "locked by a passphrase" if locked else "not locked: keep a copy offline, lock them"
    )
    yield from _cards(node, now_ms)
    yield from _agreements(node)
    try:
        checked = audit.check_log(node)
        yield Look("release log", True, f"verified, {checked.size:,} leaves")
    except ReltoError as error:
        yield Look("release log", False, str(error), "Keep the store as evidence; restore from a backup.")
    yield _store(node)
    free = shutil.disk_usage(node.home).free
    yield Look(
        "disk",
        free >= LEAST_FREE_BYTES,
        f"{free / 1024**3:.1f} GiB free",
        "" if free >= LEAST_FREE_BYTES else "Make room.",
    )


def _cards(node: Node, now_ms: int) -> Iterator[Look]:
    with node.store.read() as books:
        known = books.partners()
    for each in known:
        card = signed_card(each.card, pinned=each.fingerprint)
        good = card.expires_ms > now_ms + SOON_MS
        remedy = "" if good else f"Ask {card.party} for a newer card; without one nothing goes to it."
        yield Look(f"card of {card.party}", good, f"good until {format_utc(card.expires_ms)}", remedy)
    if not known:
        yield Look("partners", False, "none", "Begin with: relto partner invite.")


def _agreements(node: Node) -> Iterator[Look]:
    for held in agree.everything(node):
        until_ms = held.terms.term.until_ms
        ends = until_ms is not None and held.state.phase == "in force" and until_ms < node.now_ms() + 4 * SOON_MS
        waits = held.state.phase in ("draft", "proposed")
        remedy = "Renew it." if ends else "Read it, then: relto agreement sign." if waits else ""
        name = f"agreement {held.terms.ref.id} v{held.terms.ref.version}"
        yield Look(name, not ends and not waits, f"{held.state.phase}. {held.state.because}", remedy)


def _store(node: Node) -> Look:
    dialect = node.store.database.dialect
    with node.store.database.read() as connection:
        fault, version = dialect.fault(connection), dialect.version(connection)
    found = fault or f"sound ({version})"
    return Look("store", not fault, found, "Stop the node and restore from a backup." if fault else "")
