"""``relto agreement``."""

from __future__ import annotations

from pathlib import Path

import click

from relto.agreements.compile import GLOBAL_FORBIDS, SCHEMA, compile_agreement
from relto.agreements.document import read
from relto.agreements.templates import STARTERS, Starter, starter
from relto.agreements.terms import TIERS, PartyEntry
from relto.bounds import BOUNDS
from relto.cli.output import NO, Output, output, passphrase, read_file, write_file
from relto.clock import DAY_MS, format_utc
from relto.errors import DocumentError
from relto.kinds.spec import shipped_kinds
from relto.node import agree
from relto.node.agree import Held
from relto.node.home import SystemClock
from relto.node.node import Node

FILE = click.Path(path_type=Path, dir_okay=False)
DRAFT = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("agreement")
def command() -> None:
    """Agreements: what lawyers negotiate is what runs."""


@command.command()
@click.argument("name")
@click.argument("parties", nargs=-1, required=True)
@click.option("--title", default=None, help="One line; the name if not given.")
@click.option("--subject", type=click.Choice(STARTERS), default="maritime", show_default=True)
@click.option("--out", "path", type=click.Path(path_type=Path, dir_okay=False), default=None)
@output
def new(
    out: Output, name: str, parties: tuple[str, ...], title: str | None, subject: Starter, path: Path | None
) -> None:
    """Write a commented draft NAME between PARTIES: two or more ids, with a tier if it is not T1, as PHL:T2."""
    target = path or Path(f"{name.lower()}.toml")
    if target.exists():
        raise click.UsageError(f"{target} is there already; choose another --out.")
    text = starter(name, title or name, [_entry(each) for each in parties], from_ms=_midnight_ms(), subject=subject)
    write_file(target, text.encode())
    out.result({"draft": str(target)}, f"draft written to {target}\nnext: edit it, then relto agreement check {target}")


def _entry(text: str) -> PartyEntry:
    party, _, word = text.partition(":")
    tier = next((tier for tier in TIERS if tier == (word or "T1")), None)
    if tier is None:
        raise click.UsageError(f"{word!r} is no tier; choose one of {', '.join(TIERS)}.")
    return PartyEntry(party, party, tier)


def _midnight_ms() -> int:
    """The beginning of today, UTC: a term begins on a day."""
    now_ms = SystemClock().now_ms()
    return now_ms - now_ms % DAY_MS


@command.command()
@click.argument("draft", type=DRAFT)
@output
@click.pass_context
def check(ctx: click.Context, out: Output, draft: Path) -> None:
    """Read a DRAFT and report everything that is wrong with it, at once."""
    text = read_file(draft, BOUNDS.agreement_bytes)
    try:
        terms = read(text, draft.name, known_kinds=tuple(shipped_kinds().by_name))
    except DocumentError as error:
        out.error(error)
        ctx.exit(NO)
    parties = ", ".join(entry.id for entry in terms.parties)
    out.result(
        {"id": terms.ref.id, "version": terms.ref.version, "sha256": terms.ref.sha256, "findings": []},
        f"{terms.ref.id} v{terms.ref.version} between {parties}: {len(terms.grants)} grants, no findings",
    )


@command.command()
@click.argument("draft", type=DRAFT)
@output
def propose(out: Output, draft: Path) -> None:
    """Sign a DRAFT as this party and offer it to the others; their nodes pull it."""
    with out.node() as node:
        held = agree.propose(node, read_file(draft, BOUNDS.agreement_bytes), draft.name, passphrase=_locked(node))
        _told(out, held)


@command.command()
@click.argument("name")
@click.option("--version", type=int, default=None, help="The newest if not given.")
@output
def sign(out: Output, name: str, version: int | None) -> None:
    """Sign agreement NAME as this party. Read it first: relto agreement show NAME --text."""
    with out.node() as node:
        _told(out, agree.countersign(node, name, version, passphrase=_locked(node)))


@command.command()
@click.argument("envelope", type=DRAFT)
@output
def take(out: Output, envelope: Path) -> None:
    """Take an agreement from a file that a partner sent; signatures are united."""
    with out.node() as node:
        _told(out, agree.take(node, read_file(envelope, 2 * BOUNDS.agreement_bytes)))


@command.command()
@click.argument("name")
@click.option("--version", type=int, default=None, help="The newest if not given.")
@click.option("--cedar", is_flag=True, help="Print the policy that it compiles to.")
@click.option("--text", is_flag=True, help="Print the signed text.")
@click.option(
    "--out", "path", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write its envelope."
)
@output
def show(out: Output, name: str, version: int | None, cedar: bool, text: bool, path: Path | None) -> None:
    """Show agreement NAME: parties, signatures, state and clauses."""
    with out.node() as node:
        held = agree.show(node, name, version)
    if path is not None:
        write_file(path, held.envelope)
    if cedar:
        policy = GLOBAL_FORBIDS + "\n" + compile_agreement(held.terms)
        out.result({"schema": SCHEMA, "policy": policy}, policy)
    elif text:
        out.result({"text": held.text.decode()}, held.text.decode())
    else:
        out.result(_value(held), "\n".join(_lines(held)))


@command.command("ls")
@output
def listing(out: Output) -> None:
    """List the agreements."""
    with out.node() as node:
        found = agree.everything(node)
    rows = [
        (held.terms.ref.id, str(held.terms.ref.version), held.state.phase, _parties(held), held.terms.title)
        for held in found
    ]
    out.table(
        [_value(held) for held in found], ("ID", "V", "STATE", "PARTIES", "TITLE"), rows, empty="no agreements yet"
    )


def _locked(node: Node) -> bytes | None:
    return passphrase() if node.keyring.authority_locked else None


def _told(out: Output, held: Held) -> None:
    out.result(_value(held), f"{held.terms.ref.id} v{held.terms.ref.version}: {held.state.phase}. {held.state.because}")


def _parties(held: Held) -> str:
    return " ".join(entry.id for entry in held.terms.parties)


def _value(held: Held) -> dict[str, object]:
    return {
        "id": held.terms.ref.id,
        "version": held.terms.ref.version,
        "sha256": held.terms.ref.sha256,
        "title": held.terms.title,
        "illustration": held.terms.illustration,
        "parties": [entry.id for entry in held.terms.parties],
        "signed_by": held.signed_by,
        "state": held.state.phase,
        "because": held.state.because,
        "grants": [grant.id for grant in held.terms.grants],
    }


def _lines(held: Held) -> list[str]:
    terms = held.terms
    until = "no end" if terms.term.until_ms is None else format_utc(terms.term.until_ms)
    lines = [
        f"{terms.ref.id} version {terms.ref.version}: {terms.title}",
        f"state    {held.state.phase}. {held.state.because}",
        f"term     {format_utc(terms.term.from_ms)} to {until}, notice {terms.term.notice_days} days",
        f"text     sha256 {terms.ref.sha256}",
        "",
    ]
    for entry in terms.parties:
        signed = "signed" if entry.id in held.signed_by else "not signed"
        lines.append(f"  {entry.id:<10} {entry.tier}  {signed:<11} {entry.name}")
    for grant in terms.grants:
        to = " ".join(terms.recipients(grant)) or "nobody"
        lines += ["", f"  {grant.id}: {grant.text}", f"      {' '.join(grant.scope.originators)} to {to}: {grant.view}"]
    for refusal in terms.refusals:
        lines += ["", f"  {refusal.id} (refusal): {refusal.text}"]
    return lines
