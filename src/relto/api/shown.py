"""From the node to the views of ``web``: what is shown is what a reader may read, decided and rendered, not guessed."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from relto.agreements.terms import Terms
from relto.clock import SECOND_MS, format_utc
from relto.envelope.keys import fingerprint
from relto.errors import PeerError
from relto.exchange.books import Stored
from relto.exchange.provenance import Passage
from relto.item import VIEWS, Header, View
from relto.labels import banner, overall
from relto.log.leaf import LeafRecord
from relto.node import agree, audit, read
from relto.node.node import Node
from relto.picture.contacts import Contact, contacts_of, newest
from relto.release.decide import Decision
from relto.release.reasons import sentence
from relto.store.records import Selection
from relto.web import views
from relto.web.address import href
from relto.web.viewport import Viewport, parse_area

HOME = Viewport.around(88, -16, 155, 46)
PAGE_ROWS = 50
_LATE_MS = 60 * SECOND_MS
_DOWN_MS = 300 * SECOND_MS
_CHART_ITEMS = 2000
_KINDS = ("maritime", "cyber")
_HEADLINES = {"FULL": "gets it as we hold it", "SANITISED": "gets a reduced version", "WITHHELD": "does not see this"}
Query = dict[str, str]


class Shown:
    """Fills views for one node. Keeps decoded contacts of the newest items, since batches take a while to decode."""

    def __init__(self, node: Node, strip: str | None) -> None:
        self.node = node
        self.strip = strip or node.settings.strip
        self._contacts: OrderedDict[int, tuple[Contact, ...]] = OrderedDict()

    def picture(self, query: Query) -> views.PictureView:
        """The picture page: chart, list, and the selected item with who can see it."""
        selection = self._selection(query)
        rows, total = read.listing(self.node, selection)
        chosen = self._chosen(query)
        contacts = self.contacts()
        port = parse_area(query["area"]) if query.get("area") else HOME
        kept = tuple((name, query[name]) for name in ("domain", "q", "theme", "lite") if query.get(name))
        return views.PictureView(
            shell=self.shell("picture", query),
            chart=views.ChartView(
                viewport=port,
                contacts=tuple(self._drawn(each) for each in contacts),
                contact_total=len(contacts),
                query=kept,
                selected_id=chosen.item_id if chosen else None,
                home=HOME,
            ),
            rows=tuple(self._row(each, query) for each in rows),
            paging=_paging(selection, len(rows), total, query),
            selected=chosen,
            filters=views.Filters(segments=_segments(query)),
        )

    def item(self, reference: str, query: Query) -> views.ItemPageView:
        """One item on a page of its own."""
        stored = read.find(self.node, reference)
        shown = self._item(stored, query, path=f"/item/{read.header_of(stored).id}")
        back = views.Choice("Picture", "/")
        found = newest(contacts_of(read.header_of(stored), stored.content))
        chart = None
        if found:
            lats, lons = [each.lat_e7 / 1e7 for each in found], [each.lon_e7 / 1e7 for each in found]
            port = Viewport.around(min(lons) - 3, min(lats) - 3, max(lons) + 3, max(lats) + 3)
            drawn = tuple(self._drawn(each) for each in found)
            chart = views.ChartView(port, drawn, len(found), path=f"/item/{shown.item_id}")
        return views.ItemPageView(self.shell("item", query), shown, back, chart)

    def agreements(self, query: Query) -> views.AgreementsView:
        """The matrix of what each partner can see, and one agreement beside it."""
        giving = query.get("direction", "give") != "get"
        held = agree.everything(self.node)
        chosen = next((each for each in held if each.terms.ref.id == query.get("agreement")), None)
        partners = sorted({entry.id for each in held for entry in each.terms.parties} - {self.node.party})
        directions = tuple(
            views.Choice(title, href("/agreements", direction=name), current=(name == "give") == giving)
            for title, name in (("We give", "give"), ("We get", "get"))
        )
        now = format_utc(self.node.now_ms())
        said = "what goes to each partner at best" if giving else "what each partner gives us at best"
        return views.AgreementsView(
            shell=self.shell("agreements", query),
            directions=directions,
            sentence=f"By the agreements in force at {now}: {said}.",
            domains=_KINDS,
            rows=tuple(self._partner_row(party, giving) for party in partners),
            selected=self._agreement(chosen) if chosen else None,
        )

    def log(self, query: Query) -> views.LogView:
        """The release log, newest first, under its checked head."""
        checked = audit.check_log(self.node)
        with self.node.store.read() as books:
            note = books.head().note.decode()
        first = max(0, checked.size - _number(query, "offset") - PAGE_ROWS)
        count = min(PAGE_ROWS, max(0, checked.size - _number(query, "offset")))
        found = list(enumerate(read.log_records(self.node, start=first, limit=count), start=first))
        selection = Selection(limit=PAGE_ROWS, offset=_number(query, "offset"))
        return views.LogView(
            shell=self.shell("log", query),
            checkpoint="\n".join(note.split("\n")[:3]),
            size=checked.size,
            verified=True,
            rows=tuple(self._leaf(index, record) for index, record in reversed(found)),
            paging=_paging(selection, len(found), checked.size, query, path="/log"),
            checked_ms=self.node.now_ms(),
        )

    def error(self, status: int, title: str, said: str, query: Query) -> views.ErrorView:
        """Something did not work: a sentence and a way back."""
        return views.ErrorView(self.shell("", query), status, title, said, views.Choice("Back to the picture", "/"))

    def shell(self, page: str, query: Query) -> views.Shell:
        """What surrounds every page."""
        theme: views.Theme = "day" if query.get("theme") == "day" else "night"
        other = "night" if theme == "day" else "day"
        pages = (("Picture", "picture", "/"), ("Agreements", "agreements", "/agreements"), ("Log", "log", "/log"))
        return views.Shell(
            party=self.node.party,
            party_name=self.node.settings.name,
            role_line="",
            marking=self.strip,
            now_ms=self.node.now_ms(),
            nav=tuple(views.Choice(title, path, current=name == page) for title, name, path in pages),
            links=self._links(),
            theme=theme,
            theme_href=f"?theme={other}",
            search=views.Search("/", query.get("q", "")),
            lite=query.get("lite") == "1",
        )

    def contacts(self) -> tuple[Contact, ...]:
        """The newest contacts out of everything that may be read now."""
        reading = self.node.reading()
        with self.node.store.read() as books:
            selection = Selection(("maritime.positions", "maritime.detection"), limit=_CHART_ITEMS)
            held = books.listing(selection, reading)
        return newest(each for stored in held for each in self._contacts_of(stored))

    def _contacts_of(self, stored: Stored) -> tuple[Contact, ...]:
        if stored.seq not in self._contacts:
            found = tuple(contacts_of(read.header_of(stored), stored.content))
            self._contacts[stored.seq] = found
            if len(self._contacts) > _CHART_ITEMS:
                self._contacts.popitem(last=False)
        return self._contacts[stored.seq]

    def _links(self) -> tuple[views.LinkState, ...]:
        with self.node.store.read() as books:
            synced = {each.peer: each.synced_ms for each in books.all_inbounds()}
        now_ms = self.node.now_ms()
        found = []
        for party in self.node.partners():
            age_ms = now_ms - synced.get(party, 0)
            state: views.Link = "up" if age_ms < _LATE_MS else "late" if age_ms < _DOWN_MS else "down"
            found.append(views.LinkState(party, party, synced.get(party) or None, state))
        return tuple(found)

    def _selection(self, query: Query) -> Selection:
        domain = query.get("domain", "")
        kinds = tuple(name for name in self.node.kinds.by_name if not domain or name.startswith(f"{domain}."))
        return Selection(kinds, text=query.get("q", "")[:80], limit=PAGE_ROWS, offset=_number(query, "offset"))

    def _chosen(self, query: Query) -> views.ItemView | None:
        if not query.get("item"):
            return None
        return self._item(read.find(self.node, query["item"]), query, path="/")

    def _item(self, stored: Stored, query: Query, *, path: str) -> views.ItemView:
        header = read.header_of(stored)
        decided = read.verdicts(self.node, stored)
        came = read.provenance(self.node, stored)
        asked = query.get("to", "")
        kept = tuple((name, query[name]) for name in ("area", "domain", "q", "theme", "lite") if query.get(name))
        link = (*kept, ("item", header.id)) if path == "/" else kept
        return views.ItemView(
            item_id=header.id,
            version=header.version,
            kind=self.node.kinds[header.kind].title,
            title=stored.title or header.id[:12],
            origin=header.origin,
            # what another party passed on carries the originator's signature only in its provenance
            signed=_vouched(header, stored, came) if stored.by else None,
            marking=banner(overall(header.label)),
            href=f"/item/{header.id}",
            facts=(
                *_facts(header, stored),
                *_came(header, came, read.handled_as(self.node, header)),
                *self._history(stored, header),
            ),
            who=tuple(
                views.PartyVerdict(
                    party,
                    party,
                    _verdict(party, header, decision),
                    decision.view,
                    href(path, link, to=party),
                    selected=party == asked,
                )
                for party, decision in decided.items()
            ),
            why=self._why(header, asked) if asked in decided else None,
        )

    def _history(self, stored: Stored, header: Header) -> tuple[views.Fact, ...]:
        """Which versions of an item of our own went before, and since when each stood."""
        if header.version == 1 or stored.by:
            return ()
        with self.node.store.read() as books:
            ours = [each for each in books.versions(header.id) if not each.by and each.view != "nothing"]
        told = [f"v{read.header_of(each).version} {format_utc(each.received_ms)}" for each in ours]
        return (views.Fact("History", ", ".join(told)),)

    def _why(self, header: Header, to: str) -> views.WhyView:
        answer = read.why(self.node, header.id, to)
        decision = answer.decision
        changes = (answer.examination.remedy,) if answer.examination.remedy else ()
        reductions = tuple(
            views.Step("reduce", sentence(code), code, decision.rules[0] if decision.rules else "")
            for code in decision.reasons
            if not decision.withheld and code != "AS_HELD"
        )
        steps = tuple(views.Step(s.glyph, s.sentence, s.value, s.clause) for s in answer.examination.steps)
        return views.WhyView(
            party=to,
            name=to,
            headline=f"{to} {_HEADLINES[decision.verdict]}",
            verdict=_verdict(to, header, decision),
            view=decision.view,
            policy_ref=decision.policy_sha256[:12],
            steps=steps + reductions,
            fields=tuple(views.FieldRow(f.path, f.ours, f.theirs) for f in answer.fields[:200]),
            change=tuple(views.Remedy(each) for each in changes),
        )

    def _row(self, stored: Stored, query: Query) -> views.ItemRow:
        header = read.header_of(stored)
        kept = tuple((name, query[name]) for name in ("area", "domain", "q", "theme", "lite") if query.get(name))
        return views.ItemRow(
            item_id=header.id,
            kind=self.node.kinds[header.kind].title,
            title=stored.title or header.id[:12],
            origin=header.origin,
            view=cast(View, stored.view),
            observed_ms=header.observed_ms,
            received_ms=stored.received_ms,
            marking=banner(overall(header.label)),
            href=href("/", kept, item=header.id),
            current=query.get("item") == header.id,
        )

    def _drawn(self, contact: Contact) -> views.Contact:
        return views.Contact(
            item_id=contact.item_id,
            lat_e7=contact.lat_e7,
            lon_e7=contact.lon_e7,
            source=contact.sensor,
            observed_ms=contact.observed_ms,
            origin=contact.origin,
            course_ddeg=contact.course_ddeg,
            name=contact.name,
            uncertainty_m=contact.uncertainty_m or None,
        )

    def _partner_row(self, party: str, giving: bool) -> views.PartnerRow:
        epoch = self.node.rules().table.epoch
        between = epoch.between(party)
        giver, taker = (self.node.party, party) if giving else (party, self.node.party)
        ends = [terms.term.until_ms for terms in between if terms.term.until_ms is not None]
        names = " ".join(f"{terms.ref.id} v{terms.ref.version}" for terms in between)
        first = between[0].ref.id if between else None
        return views.PartnerRow(
            party=party,
            name=party,
            note=self._partner_note(party),
            cells=tuple(views.Cell(domain, _best(between, domain, giver, taker)) for domain in _KINDS),
            agreement_ref=names or "none in force",
            ends_ms=min(ends, default=None),
            agreement_href=href("/agreements", agreement=first) if first else None,
        )

    def _partner_note(self, party: str) -> str:
        try:
            return self.node.partner(party).name
        except PeerError as error:
            return error.reason

    def _agreement(self, held: agree.Held) -> views.AgreementView:
        terms = held.terms
        with self.node.store.read() as books:
            authorities = self.node.core.authorities(books)
        standing = cast(views.Standing, held.state.phase.replace(" ", "_"))
        return views.AgreementView(
            ref=f"{terms.ref.id} v{terms.ref.version}",
            title=terms.title,
            standing=standing,
            sentence=f"{held.state.because} {terms.note}".strip(),
            from_ms=terms.term.from_ms,
            ends_ms=terms.term.until_ms,
            signatures=tuple(
                views.Signature(
                    entry.name,
                    entry.id in held.signed_by,
                    fingerprint(authorities[entry.id]) if entry.id in authorities else "",
                )
                for entry in terms.parties
            ),
            clauses=tuple(views.Clause(grant.id, grant.text, "enforced") for grant in terms.grants)
            + tuple(views.Clause(refusal.id, refusal.text, "enforced") for refusal in terms.refusals),
        )

    def _leaf(self, index: int, record: LeafRecord) -> views.ReleaseRow:
        verdicts: dict[str, views.Verdict] = {
            "FULL": "full",
            "SANITISED": "reduced",
            "WITHHELD": "nothing",
            "WITHDRAWN": "nothing",
        }
        return views.ReleaseRow(
            leaf=index,
            at_ms=record.time_ms,
            recipient=record.to,
            recipient_name=record.to,
            item_id=record.item,
            href=f"/item/{record.item}",
            verdict=verdicts[record.verdict],
            view=record.view,
            reasons=record.reasons,
        )


def _best(agreements: tuple[Terms, ...], domain: str, giver: str, taker: str) -> View:
    """The best view that any grant gives in a domain; what an item gets depends on the item."""
    found = [
        grant.view
        for terms in agreements
        for grant in terms.grants
        if domain in grant.scope.domains and giver in grant.scope.originators and taker in terms.recipients(grant)
    ]
    return max(found, key=VIEWS.index, default="nothing")


def _verdict(party: str, header: Header, decision: Decision) -> views.Verdict:
    if party == header.origin:
        return "originator"
    verdicts: dict[str, views.Verdict] = {"FULL": "full", "SANITISED": "reduced", "WITHHELD": "nothing"}
    return verdicts[decision.verdict]


def _facts(header: Header, stored: Stored) -> tuple[views.Fact, ...]:
    facts = [views.Fact("Observed", format_utc(header.observed_ms))]
    if header.version > 1:
        facts.append(views.Fact("Version", f"{header.version}, supersedes version {header.version - 1}", mono=False))
    if header.release:
        duties = header.release.duties
        facts.append(views.Fact("Released by", f"{header.release.by}, {format_utc(header.release.time_ms)}"))
        if header.release.by != header.origin:
            facts.append(views.Fact("Origin", f"{header.origin}, as {header.release.by} tells", mono=False))
        facts.append(views.Fact("Precision", f"{duties.precision_m:,} m" if duties.precision_m else "as observed"))
        facts.append(views.Fact("Onward", duties.onward.rule))
        if stored.expires_ms:
            facts.append(views.Fact("Keep until", format_utc(stored.expires_ms)))
    return tuple(facts)


def _vouched(header: Header, stored: Stored, came: tuple[Passage, ...]) -> bool:
    """Whether its origin's own signature was verified, directly or at the beginning of the provenance."""
    return stored.by == header.origin or (bool(came) and came[0].by == header.origin and came[0].known)


def _came(header: Header, came: tuple[Passage, ...], handled_as: str) -> tuple[views.Fact, ...]:
    """The chain of releases and of levels, the originals verbatim."""
    facts = []
    for each in came:
        said = "signature verified" if each.known else f"signed by keys that are not known to us: {each.fingerprint}"
        facts.append(views.Fact("Provenance", f"{each.by} to {each.to}, {format_utc(each.time_ms)}: {said}"))
    if came and header.release:
        last = header.release
        said = f"{last.by} to {last.to}, {format_utc(last.time_ms)}: signature verified"
        facts.append(views.Fact("Provenance", said))
    if handled_as:
        facts.append(views.Fact("Handled here as", handled_as))
    return tuple(facts)


def _segments(query: Query) -> tuple[views.Choice, ...]:
    kept = tuple((name, query[name]) for name in ("area", "q", "theme", "lite") if query.get(name))
    chosen = query.get("domain", "")
    every = views.Choice("All", href("/", kept), current=not chosen)
    return (every, *(views.Choice(d.capitalize(), href("/", kept, domain=d), current=d == chosen) for d in _KINDS))


def _paging(selection: Selection, shown: int, total: int, query: Query, *, path: str = "/") -> views.Paging:
    kept = tuple((name, value) for name, value in query.items() if name in ("area", "domain", "q", "theme", "lite"))
    before, after = selection.offset - selection.limit, selection.offset + selection.limit
    return views.Paging(
        first=selection.offset + 1 if shown else 0,
        last=selection.offset + shown,
        total=total,
        previous_href=href(path, kept, offset=str(max(0, before))) if selection.offset else None,
        next_href=href(path, kept, offset=str(after)) if after < total else None,
    )


def _number(query: Query, name: str) -> int:
    text = query.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
