"""What a page says, as plain values: the node fills them, ``relto.web.render`` turns them into HTML.

All text is taken as it is and escaped when it is drawn; every ``href`` is a path of this node. ``None`` always means
that there is nothing to say. Counts are those of the reader: whoever fills a view counts after the reader's filter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from relto.web.viewport import Viewport

Theme = Literal["night", "day"]
State = Literal["routine", "watch", "alert"]
Source = Literal["ais", "rf", "sar", "other"]
View = Literal["nothing", "notice", "summary", "detail", "full"]
Verdict = Literal["full", "reduced", "nothing", "originator"]
Glyph = Literal["pass", "reduce", "stop", "skip"]
Link = Literal["up", "late", "down"]
Strength = Literal["enforced", "evidenced", "recorded"]
Standing = Literal["draft", "proposed", "signed", "in_force", "suspended", "notice", "ended"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A link that chooses something: a page, a filter, a direction. ``key`` is the single key that does the same."""

    title: str
    href: str
    current: bool = False
    count: int | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class LinkState:
    """How well this node is connected to one partner."""

    party: str
    name: str
    last_synced_ms: int | None
    state: Link


@dataclass(frozen=True, slots=True)
class Search:
    """The search field: a form that asks ``action`` for ``?q=...`` and keeps the other fields of the query."""

    action: str
    text: str = ""
    kept: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Shell:
    """What surrounds every page. ``marking`` stands above it on screen, and above and below every printed sheet."""

    party: str
    party_name: str
    role_line: str
    marking: str
    now_ms: int
    nav: tuple[Choice, ...]
    links: tuple[LinkState, ...] = ()
    theme: Theme = "night"
    theme_href: str = "?theme=day"
    search: Search | None = None
    language: str = "en"
    lite: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact on the chart; ``name`` is what its own source calls it."""

    item_id: str
    lat_e7: int
    lon_e7: int
    source: Source
    observed_ms: int
    origin: str
    course_ddeg: int | None = None
    name: str | None = None
    uncertainty_m: int | None = None
    state: State = "routine"


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """One fix of the selected contact's track; ``after_gap`` draws the way to it dashed."""

    lat_e7: int
    lon_e7: int
    after_gap: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """An agreed area, drawn as a dashed outline; its corners are (lat_e7, lon_e7)."""

    name: str
    corners: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SeaName:
    """One name on the water, drawn while the chart is between two widths in degrees of longitude."""

    name: str
    lat_e7: int
    lon_e7: int
    narrowest: float = 0.0
    widest: float = 360.0
    large: bool = False


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One record in a list. ``view`` is how much of it this node holds; ``withdrawn`` is the reason it was."""

    item_id: str
    kind: str
    title: str
    origin: str
    view: View
    observed_ms: int
    received_ms: int
    marking: str
    href: str
    note: str = ""
    sources: tuple[str, ...] = ()
    state: State = "routine"
    current: bool = False
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known about a record; ``mono`` for what a person reads back or compares."""

    label: str
    value: str
    mono: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class PartyVerdict:
    """What one partner gets of a record. ``view`` is the view in which it leaves."""

    party: str
    name: str
    verdict: Verdict
    view: View
    href: str
    selected: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One rule in the order in which the rules ran, the value that decided, and the clause that says so."""

    glyph: Glyph
    sentence: str
    value: str = ""
    clause: str = ""
    clause_href: str | None = None


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field as we hold it and as they get it; ``they_get`` is None where it is held back."""

    name: str
    we_hold: str
    they_get: str | None


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that would change the verdict, and where to begin with it."""

    sentence: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class WhyView:
    """Why one partner gets what it gets of one record."""

    party: str
    name: str
    headline: str
    verdict: Verdict
    view: View
    policy_ref: str
    steps: tuple[Step, ...]
    fields: tuple[FieldRow, ...] = ()
    change: tuple[Remedy, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemView:
    """One record with who can see it. ``href`` is the record's own page.

    ``signed`` says whether its origin released it to us itself; None for a record of our own.
    """

    item_id: str
    version: int
    kind: str
    title: str
    origin: str
    signed: bool | None
    marking: str
    href: str
    facts: tuple[Fact, ...]
    who: tuple[PartyVerdict, ...]
    why: WhyView | None = None
    state: State = "routine"
    acts: tuple[Choice, ...] = ()
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """Which rows of how many; numbers start at 1 and ``last`` is 0 where there are none."""

    first: int
    last: int
    total: int
    previous_href: str | None = None
    next_href: str | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a list: one of ``segments`` always holds, any of ``chips`` may."""

    segments: tuple[Choice, ...] = ()
    chips: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """How many records one slice of time holds, and how many of them are alerts."""

    count: int
    alerts: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """Records over time at the foot of the chart: equal slices from ``from_ms`` to ``until_ms``."""

    from_ms: int
    until_ms: int
    bars: tuple[Bar, ...]
    windows: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class ChartView:
    """What the chart is asked to show.

    ``path`` and ``query`` are the page and the fields of its address that zooming and selecting must keep; the
    fields ``area`` and ``item`` are added to them. ``seas`` None takes the names that ship with the node.
    """

    viewport: Viewport
    contacts: tuple[Contact, ...]
    contact_total: int
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()
    selected_id: str | None = None
    track: tuple[TrackPoint, ...] = ()
    areas: tuple[Area, ...] = ()
    seas: tuple[SeaName, ...] | None = None
    home: Viewport | None = None


@dataclass(frozen=True, slots=True)
class PictureView:
    """The picture: records in view, the chart, and one of them with who can see it."""

    shell: Shell
    chart: ChartView
    rows: tuple[ItemRow, ...]
    paging: Paging
    selected: ItemView | None = None
    filters: Filters = field(default_factory=Filters)
    activity: Activity | None = None
    refresh_s: int | None = None


@dataclass(frozen=True, slots=True)
class ItemPageView:
    """One record on a page of its own; the chart only where the record has a place."""

    shell: Shell
    item: ItemView
    back: Choice | None = None
    chart: ChartView | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What one partner can see of one domain."""

    domain: str
    view: View
    href: str | None = None


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """One partner's line of the matrix; ``cells`` stand in the order of the view's domains."""

    party: str
    name: str
    note: str
    cells: tuple[Cell, ...]
    agreement_ref: str
    ends_ms: int | None
    agreement_href: str | None = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signs an agreement, whether its signature verified, and the fingerprint of the keys that sign."""

    name: str
    signed: bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause in plain words and what upholds it: the program, evidence, or only a record."""

    ref: str
    sentence: str
    strength: Strength


@dataclass(frozen=True, slots=True)
class AgreementView:
    """One agreement beside the matrix."""

    ref: str
    title: str
    standing: Standing
    sentence: str
    from_ms: int | None
    ends_ms: int | None
    signatures: tuple[Signature, ...]
    clauses: tuple[Clause, ...]
    acts: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class AgreementsView:
    """What each partner can see. ``directions`` are "we give" and "we get"; ``sentence`` says which one this is."""

    shell: Shell
    directions: tuple[Choice, ...]
    sentence: str
    domains: tuple[str, ...]
    rows: tuple[PartnerRow, ...]
    selected: AgreementView | None = None


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One leaf of the release log: what went to whom, or was withheld when asked for, and because of what."""

    leaf: int
    at_ms: int
    recipient: str
    recipient_name: str
    item_id: str
    href: str
    verdict: Verdict
    view: View
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogView:
    """The release log under its newest checkpoint. ``verified`` says that this node has just checked it."""

    shell: Shell
    checkpoint: str
    size: int
    verified: bool
    rows: tuple[ReleaseRow, ...]
    paging: Paging
    checked_ms: int | None = None
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True)
class ErrorView:
    """Something did not work: one sentence and one act."""

    shell: Shell
    status: int
    title: str
    sentence: str
    act: Choice | None = None
