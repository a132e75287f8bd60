"""The agreement as people write and sign it: TOML text to ``Terms``, or every fault of the text at once.

Rules that this module keeps:

* What is not understood is refused: an unknown key, a name that nobody defined, a word that is not on the list.
* An empty matcher is refused, never wide and never dead: a clause must be able to let something go, or to stop it.
* Nothing is guessed. A level means what its row says; times carry an offset; degrees are read digit by digit.
* The digest is that of the bytes that were read, since these are what the parties sign.

Format: docs/spec/agreement.md.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import cast

from relto.agreements.sheet import Table, open_sheet
from relto.agreements.terms import (
    CLAUSE_KINDS,
    TIERS,
    Clause,
    ClauseKind,
    Grant,
    PartyEntry,
    Refusal,
    Region,
    Rung,
    Scope,
    Term,
    Terms,
    Tier,
)
from relto.bounds import BOUNDS
from relto.errors import MalformedError
from relto.item import KIND, PARTY, VIEWS, AgreementRef, Onward, OnwardRule, Place, View
from relto.labels import NOFORN, TLP_ORDER, Tlp

FORMAT = "relto-agreement/1"

AGREEMENT_ID = re.compile(r"[A-Z][A-Z0-9-]{1,31}", re.ASCII)
CLAUSE_ID = re.compile(r"[a-z][a-z0-9-]{1,47}", re.ASCII)
_DOMAIN = re.compile(r"[a-z]{2,24}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\[\])?(?:\.[A-Za-z0-9_-]{1,64}(?:\[\])?){0,7}", re.ASCII)
_LENGTH = re.compile(r"(\d{1,9}) ([a-z]{1,8})", re.ASCII)
_UNIT_S = {
    **dict.fromkeys(("s", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("day", "days"), 86_400),
    **dict.fromkeys(("week", "weeks"), 7 * 86_400),
}
_LONGEST_S = 36_500 * 86_400
_COARSEST_M = 1_000_000
_HIGHEST_VERSION = 2**31 - 1
_LONGEST_NOTICE_DAYS = 3650
_UNLIMITED = "unlimited"
_RANKED = ("UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET")


@dataclass(frozen=True, slots=True)
class _Named:
    """What clauses may refer to by name."""

    parties: dict[str, Tier]
    ladder: tuple[Rung, ...]
    regions: tuple[str, ...]
    kinds: tuple[str, ...]
    sound: bool  # whether parties and levels are without a fault; else what follows from them is not told as well


def read(text: bytes, name: str, *, known_kinds: Collection[str] = ()) -> Terms:
    """Read the text of an agreement.

    Args:
        text: the very bytes that are signed.
        name: how findings call the document, such as its file name.
        known_kinds: if given, a kind that is not among them is a finding, and so is a domain that is nearly one of
            theirs. A node that reads what was signed gives none: a kind that it lacks is no fault of the text.

    Raises:
        DocumentError: with everything that is wrong, each with line, field, reason and remedy.
    """
    top = open_sheet(text, name)
    _check_format(top)
    ref = AgreementRef(
        id=top.matching("id", AGREEMENT_ID, "MDA-X"),
        version=top.number("version", 1, _HIGHEST_VERSION),
        sha256=hashlib.sha256(text).hexdigest(),
    )
    title, illustration, note = top.title("title"), top.flag("illustration"), top.prose("note", required=False)
    term, parties = _term(top.table("term")), _parties(top)
    ladder, regions = _ladder(top, tuple(entry.id for entry in parties)), _regions(top)
    named = _Named(
        {entry.id: entry.tier for entry in parties if entry.id},
        ladder,
        tuple(region.name for region in regions),
        tuple(sorted(known_kinds)),
        sound=top.sound("party", "level"),
    )
    ids: set[str] = set()
    grants = tuple(_grant(table, named, ids) for table in top.tables("grant", BOUNDS.agreement_grants, required=True))
    refusals = tuple(_refusal(table, named, ids) for table in top.tables("refusal", BOUNDS.agreement_grants))
    clauses = tuple(_clause(table, ids) for table in top.tables("clause", BOUNDS.agreement_grants))
    top.close()
    top.finish()
    return Terms(ref, title, illustration, note, parties, term, ladder, regions, grants, refusals, clauses)


def _check_format(top: Table) -> None:
    """Another format has other keys: then this is the one finding."""
    form = top.value("format", str)
    if form is not None and form != FORMAT:
        top.note("format", "is another format than this program reads.", f"Write {FORMAT!r}.")
        top.finish()


def _term(table: Table) -> Term:
    from_ms, until_ms = table.instant("from"), table.instant("until", required=False)
    if from_ms is not None and until_ms is not None and until_ms <= from_ms:
        table.note("until", "is not after the beginning.", "Swap the two, or leave the end out.")
    notice_days = table.number("notice_days", 0, _LONGEST_NOTICE_DAYS, default=0)
    table.close()
    return Term(from_ms or 0, until_ms, notice_days)


def _parties(top: Table) -> tuple[PartyEntry, ...]:
    entries, ids, names = [], set[str](), set[str]()
    for table in top.tables("party", BOUNDS.agreement_parties, required=True):
        entry = PartyEntry(
            id=table.matching("id", PARTY, "JPN"),
            name=table.title("name"),
            tier=cast(Tier, table.one_of("tier", TIERS) or "T0"),
        )
        _once(table, "id", entry.id, ids)
        _once(table, "name", entry.name, names)
        table.close()
        entries.append(entry)
    if len(entries) == 1:
        top.note("party", "names one party; an agreement has two at least.", "Write another [[party]].")
    return tuple(entries)


def _ladder(top: Table, parties: tuple[str, ...]) -> tuple[Rung, ...]:
    """The rungs from the lowest to the highest, as the document has them."""
    rungs: list[Rung] = []
    names = set[str]()
    sent: dict[tuple[str, str], int] = {}
    for table in top.tables("level", BOUNDS.agreement_levels, required=True):
        rung = Rung(table.title("name"), {}, {})
        _once(table, "name", rung.name, names)
        for party in parties:
            sends, shows = _row(table, party)
            if sends:
                rung.sends[party] = sends
            if shows is not None:
                rung.shows[party] = shows
            _check_row(table, party, len(rungs), sent, rung)
        if not rung.sends and not rung.shows:
            table.note("", "no party stands on this rung.", 'Write a row for each party, like JPN = ["HI"].')
        _check_order(table, rung.name, rungs)
        table.close("is no party of this agreement, nor a key of a level.")
        rungs.append(rung)
    return tuple(rungs)


def _check_order(table: Table, name: str, below: list[Rung]) -> None:
    """The order gives the ceiling its meaning; words that everybody ranks alike must not stand upside down."""
    above = _RANKED[_RANKED.index(name) + 1 :] if name in _RANKED else ()
    higher = next((rung.name for rung in below if rung.name in above), None)
    if higher is not None:
        table.note("name", f"{name} stands above {higher}.", "Write the lowest level first.")


def _row(table: Table, party: str) -> tuple[tuple[str, ...], str | None]:
    """What a party sends at a rung, and as what it shows the rung."""
    if not table.holds(party, dict):
        sends = table.words(party)
        return sends, sends[0] if sends else None
    row = table.table(party)
    sends = row.words("sends")
    shows = row.title("shows", required=False)
    row.close()
    if row.empty:
        table.note(party, "neither sends nor shows anything.", 'Write { sends = ["HI"], shows = "HI" }.')
    return sends, shows if "shows" in row else None


def _check_row(table: Table, party: str, at: int, sent: dict[tuple[str, str], int], rung: Rung) -> None:
    """A level has one meaning, and a rung is never shown as a level that means less."""
    for level in rung.sends.get(party, ()):
        if sent.setdefault((party, _folded(level)), at) != at:
            table.note_word(party, level, f"{level!r} stands on a lower rung already.", "Keep it on one rung.")
    shows = rung.shows.get(party)
    if shows and sent.get((party, _folded(shows)), at) < at:
        table.note(party, f"{shows!r} means a lower rung.", "Show a level that protects at least as well.")


def _regions(top: Table) -> tuple[Region, ...]:
    regions, names = [], set[str]()
    for table in top.tables("region", BOUNDS.agreement_regions):
        region = Region(table.title("name"), tuple(_boxes(table)))
        _once(table, "name", region.name, names)
        table.close()
        regions.append(region)
    return tuple(regions)


def _boxes(table: Table) -> Iterator[Place]:
    for at, box in enumerate(table.entries("boxes", BOUNDS.agreement_boxes)):
        edges = [_e7(edge) for edge in box] if isinstance(box, list) else []
        if len(edges) != 4 or None in edges:
            table.note(
                "boxes",
                "is not four numbers of degrees with at most 7 decimals.",
                "Write [south, west, north, east], like [4.0, 115.5, 22.0, 128.0].",
                at,
            )
            continue
        try:
            yield Place(*cast(list[int], edges))
        except MalformedError as error:
            table.note("boxes", error.reason, "Write [south, west, north, east] in degrees.", at)


def _e7(number: object) -> int | None:
    """Degrees as 1e-7 degrees, only if that is exact."""
    if type(number) is int:
        return number * 10**7
    if type(number) is not Decimal or not number.is_finite() or number.copy_abs() > 180:
        return None
    sign, digits, exponent = number.as_tuple()
    shift = int(exponent) + 7
    if not any(digits):
        return 0
    if shift < -len(digits):
        return None
    whole, rest = divmod(int("".join(map(str, digits))) * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    return None if rest else (-whole if sign else whole)


def _grant(table: Table, named: _Named, ids: set[str]) -> Grant:
    identity, text = _clause_id(table, ids), table.prose("text")
    scope = _scope(table, named)
    ceiling = table.one_of("ceiling", [rung.name for rung in named.ladder])
    if ceiling is not None and named.sound and table.sound("from", "to", "to_tier"):
        _check_levels(table, scope, named, ceiling)
    grant = Grant(
        id=identity,
        text=text,
        scope=scope,
        ceiling=ceiling or "",
        view=cast(View, table.one_of("view", VIEWS[1:]) or "notice"),
        tlp_ceiling=cast(Tlp, table.one_of("tlp_ceiling", TLP_ORDER[1:], required=False) or "AMBER"),
        precision_m=table.number("precision_m", 0, _COARSEST_M, default=0),
        delay_s=_delay_s(table),
        remove=table.matching_words("remove", _FIELD, "properties.rf.pulse"),
        retention_s=_retention_s(table),
        onward=_onward(table, named),
        purposes=tuple(sorted(table.words("purposes"))),
        caveats=_caveats(table),
        by=_by(table, named, scope),
    )
    table.close()
    return grant


def _by(table: Table, named: _Named, scope: Scope) -> tuple[str, ...]:
    """Who may release by the clause: a hub, say; nobody releases to itself."""
    by = table.known_words("by", named.parties, "is not a party of this agreement.")
    if by and named.sound and set(by) == {*scope.recipients, *_by_tier(scope, named)} and len(by) == 1:
        table.note_word("by", by[0], f"{by[0]} is the only recipient as well.", "Name somebody else.")
    return by


def _refusal(table: Table, named: _Named, ids: set[str]) -> Refusal:
    refusal = Refusal(_clause_id(table, ids), table.prose("text"), _scope(table, named))
    table.close()
    return refusal


def _clause(table: Table, ids: set[str]) -> Clause:
    kind = cast(ClauseKind, table.one_of("kind", CLAUSE_KINDS) or "recorded")
    clause = Clause(_clause_id(table, ids), table.prose("text"), kind)
    table.close()
    return clause


def _clause_id(table: Table, ids: set[str]) -> str:
    """Grants, refusals and clauses share their ids: a release names its rules by them."""
    identity = table.matching("id", CLAUSE_ID, "tier-2-positions")
    _once(table, "id", identity, ids)
    return identity


def _scope(table: Table, named: _Named) -> Scope:
    stranger = "is not a party of this agreement."
    scope = Scope(
        originators=table.known_words("from", named.parties, stranger, required=True),
        recipients=table.known_words("to", named.parties, stranger),
        tiers=cast(tuple[Tier, ...], table.known_words("to_tier", TIERS, "is not a tier.")),
        domains=table.matching_words("domains", _DOMAIN, "maritime", required=True),
        kinds=table.matching_words("kinds", KIND, "maritime.detection"),
        subjects=table.words("subjects"),
        regions=table.known_words("regions", named.regions, "is not a region of this agreement."),
    )
    _check_recipients(table, scope, named)
    _check_kinds(table, scope, named)
    return scope


def _check_recipients(table: Table, scope: Scope, named: _Named) -> None:
    if "to" not in table and "to_tier" not in table:
        table.note("to", "is missing, and so is to_tier: the clause reaches nobody.", "Name parties, or tiers.")
    for tier in scope.tiers:
        if named.sound and tier not in named.parties.values():
            table.note_word("to_tier", tier, f"no party has the tier {tier}.", "Correct it, or leave it out.")
    if not named.sound or not table.sound("from", "to", "to_tier"):
        return
    for party in scope.recipients:
        if scope.originators == (party,):
            table.note_word("to", party, f"{party} is the only originator as well.", "Name somebody else.")
    alone = set(scope.originators) if len(scope.originators) == 1 else set()
    if alone and not scope.recipients and _by_tier(scope, named) == alone:
        table.note("to_tier", "only the originator itself has this tier.", "Name a tier that others have.")


def _by_tier(scope: Scope, named: _Named) -> set[str]:
    return {party for party, tier in named.parties.items() if tier in scope.tiers}


def _check_kinds(table: Table, scope: Scope, named: _Named) -> None:
    for kind in scope.kinds:
        if table.sound("domains") and kind.partition(".")[0] not in scope.domains:
            table.note_word("kinds", kind, f"{kind} is not of a domain that is listed.", "Add its domain.")
        elif named.kinds and kind not in named.kinds:
            table.note_word("kinds", kind, f"no kind is named {kind}.", table.suggest(kind, named.kinds))
    known = sorted({kind.partition(".")[0] for kind in named.kinds})
    for domain in scope.domains:
        near = get_close_matches(domain, known, 1, 0.8)
        if near and domain not in known:
            table.note_word("domains", domain, f"no domain is named {domain}.", f"Did you mean {near[0]!r}?")


def _check_levels(table: Table, scope: Scope, named: _Named, ceiling: str) -> None:
    """Each originator must be able to send to some recipient at or below the ceiling, and the other way round."""
    names = [rung.name for rung in named.ladder]
    originators, recipients = set(scope.originators), {*scope.recipients, *_by_tier(scope, named)}
    pairs = {
        (sender, reader)
        for rung in named.ladder[: names.index(ceiling) + 1]
        for sender in rung.sends.keys() & originators
        for reader in rung.shows.keys() & recipients
        if sender != reader
    }
    senders, readers = {sender for sender, _ in pairs}, {reader for _, reader in pairs}
    mute = ", ".join(sorted(party for party in originators - senders if recipients - {party}))
    if mute:
        table.note("ceiling", f"{mute} can send nothing to these recipients up to {ceiling}.", "See the levels' rows.")
    blind = ", ".join(sorted(party for party in recipients - readers if originators - {party}))
    if blind:
        table.note("ceiling", f"{blind} can be shown nothing of it up to {ceiling}.", "See the levels' rows.")


def _delay_s(table: Table) -> int:
    delay_s = table.number("delay_s", 0, _LONGEST_S, default=0)
    written_s = _length_s(table, "delay", low_s=0)
    if "delay" in table and "delay_s" in table:
        table.note("delay_s", "stands beside delay.", "Keep one of the two.")
    return delay_s if written_s is None else written_s


def _retention_s(table: Table) -> int | None:
    """Seconds, or None for no end. ``none`` is refused: it could be read as either."""
    if table.holds("retention", str) and table.value("retention", str) == _UNLIMITED:
        return None
    return _length_s(table, "retention", low_s=1)


def _length_s(table: Table, key: str, *, low_s: int) -> int | None:
    text = table.value(key, str, required=False)
    if text is None:
        return None
    match = _LENGTH.fullmatch(text)
    unit_s = _UNIT_S.get(match.group(2)) if match else None
    if match is None or unit_s is None:
        also = f', or "{_UNLIMITED}"' if key == "retention" else ""
        table.note(key, "is not a length of time in s, min, h, days or weeks.", f'Write it like "6 h"{also}.')
        return None
    length_s = int(match.group(1)) * unit_s
    if not low_s <= length_s <= _LONGEST_S:
        table.note(key, f"is not within {low_s} s and 36500 days.", "Correct it.")
    return length_s


def _onward(table: Table, named: _Named) -> Onward:
    if table.holds("onward", list):
        fault = "is not a party of this agreement; others have no duties under it."
        return Onward("list", tuple(sorted(table.known_words("onward", named.parties, fault))))
    rule = table.one_of("onward", ("none", "consent"), required=False)
    return Onward(cast(OnwardRule, rule or "none"))


def _caveats(table: Table) -> tuple[str, ...]:
    caveats = table.words("caveats")
    if NOFORN in caveats:
        table.note_word("caveats", NOFORN, f"no grant can lift {NOFORN}.", "Leave it out.")
    return tuple(sorted(caveats))


def _once(table: Table, key: str, name: str, seen: set[str]) -> None:
    """Note a name that stands for two things, also where only case or width tell them apart."""
    if name and _folded(name) in seen:
        table.note(key, f"{name[:40]!r} stands twice.", "Give each its own.")
    seen.add(_folded(name))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
