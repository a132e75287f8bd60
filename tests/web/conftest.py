"""One invented node, seen through each of its pages. Nations, vessels, agreements and numbers are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from relto.clock import DAY_MS, parse_utc
from relto.web import render
from relto.web.address import href
from relto.web.viewport import parse_area
from relto.web.views import (
    Activity,
    AgreementsView,
    AgreementView,
    Area,
    Bar,
    Cell,
    ChartView,
    Choice,
    Clause,
    Contact,
    ErrorView,
    Fact,
    FieldRow,
    Filters,
    ItemPageView,
    ItemRow,
    ItemView,
    LinkState,
    LogView,
    Paging,
    PartnerRow,
    PartyVerdict,
    PictureView,
    ReleaseRow,
    Remedy,
    SeaName,
    Search,
    Shell,
    Signature,
    Step,
    TrackPoint,
    WhyView,
)

NOW_MS = parse_utc("2026-11-23T03:58:20Z")
MINUTE_MS = 60_000
DOMAINS = ("AIS contacts", "SAR contacts", "Cyber threat")

SHELL = Shell(
    party="ARU",
    party_name="Aruna",
    role_line="Maritime fusion centre",
    marking="EXERCISE · INVENTED RECORDS · NOT FOR NAVIGATION",
    now_ms=NOW_MS,
    nav=(Choice("Picture", "/", True), Choice("Agreements", "/agreements", count=2), Choice("Releases", "/log")),
    links=(LinkState("DVI", "Dvipa", NOW_MS - 9000, "up"), LinkState("IOA", "Ioa", None, "down")),
    theme_href="/?theme=day",
    search=Search("/", "sri", (("area", "110,5,126,21"),)),
)
CONTACTS = (
    Contact("A-2291", 108_600_000, 1_164_200_000, "sar", NOW_MS - 6 * MINUTE_MS, "Calder", None, None, 40_000, "alert"),
    Contact("C-1", 110_000_000, 1_170_000_000, "ais", NOW_MS - 90 * MINUTE_MS, "Aruna", 620, "Sri Mulia 8"),
    Contact("C-2", 120_000_000, 1_180_000_000, "rf", NOW_MS - 9 * 60 * MINUTE_MS, "Bayu", state="watch"),
    Contact("C-3", 121_000_000, 1_181_000_000, "other", NOW_MS, "Bayu"),
)
CHART = ChartView(
    viewport=parse_area("110,5,126,21"),
    contacts=CONTACTS,
    contact_total=9,
    query=(("party", "DVI"),),
    selected_id="A-2291",
    track=(
        TrackPoint(90_000_000, 1_130_000_000),
        TrackPoint(95_000_000, 1_140_000_000),
        TrackPoint(108_600_000, 1_164_200_000, True),
    ),
    areas=(
        Area("Area Bravo", ((90_000_000, 1_130_000_000), (120_000_000, 1_130_000_000), (100_000_000, 1_180_000_000))),
    ),
    seas=(SeaName("Sea of nothing", 130_000_000, 1_150_000_000),),
    home=parse_area("104,2,126,22"),
)
WHY = WhyView(
    party="DVI",
    name="Dvipa",
    headline="Dvipa sees a reduced version",
    verdict="reduced",
    view="notice",
    policy_ref="2026-11-20.3",
    steps=(
        Step("pass", "Agreement in force", "both signatures valid", "AG-031 §1", "/agreements?ref=AG-031"),
        Step("reduce", "SAR contacts: Notice", "", "LBL-7719"),
        Step("stop", "No clause gives this"),
        Step("skip", "Later rules not evaluated"),
    ),
    fields=(FieldRow("Position", "10.86 N 116.42 E", "11 N 116 E"), FieldRow("Length", "41 m", None)),
    change=(Remedy("Dvipa signs draft v4", "/agreements?ref=AG-031"), Remedy("An officer approves this record")),
)
ITEM = ItemView(
    item_id="A-2291",
    version=3,
    kind="maritime.contact",
    title="AIS silent, radar contact held",
    origin="Calder node 2",
    signed=True,
    marking="OFFICIAL//REL TO ARU, DVI",
    href="/items/A-2291",
    facts=(Fact("Position", "10°51.6′N 116°25.2′E"), Fact("Note", "seen by radar only", mono=False, note="6 min")),
    who=(
        PartyVerdict("BAY", "Bayu", "full", "full", "/?party=BAY"),
        PartyVerdict("CAL", "Calder", "originator", "full", "/?party=CAL"),
        PartyVerdict("DVI", "Dvipa", "reduced", "notice", "/?party=DVI", True),
        PartyVerdict("FEN", "Fenwick", "nothing", "nothing", "/?party=FEN"),
    ),
    why=WHY,
    state="alert",
    acts=(Choice("Request release", "/items/A-2291?ask=1", key="R"),),
)
ROW = ItemRow(
    item_id="A-2291",
    kind="maritime.contact",
    title="AIS silent, radar contact held",
    origin="Calder",
    view="detail",
    observed_ms=NOW_MS - 6 * MINUTE_MS,
    received_ms=NOW_MS - 5 * MINUTE_MS,
    marking="OFFICIAL//REL TO ARU, DVI",
    href="/?item=A-2291",
    note="SAR contact 41 m",
    sources=("SAR", "RF"),
    state="alert",
    current=True,
)
PICTURE = PictureView(
    shell=SHELL,
    chart=CHART,
    rows=(ROW, replace(ROW, item_id="A-2279", current=False, withdrawn="the originator corrected it")),
    paging=Paging(1, 2, 7, "/?page=1", "/?page=3"),
    selected=ITEM,
    filters=Filters(
        (Choice("Open", "/?open=1", True, 4),), (Choice("Area Bravo", "/?a=1", True), Choice("RF", "/?r=1"))
    ),
    activity=Activity(NOW_MS - DAY_MS, NOW_MS, (Bar(3), Bar(0), Bar(9, 1)), (Choice("24 h", "/?w=24", True),)),
    refresh_s=30,
)
AGREEMENTS = AgreementsView(
    shell=SHELL,
    directions=(Choice("We give", "/agreements", True), Choice("We get", "/agreements?way=get")),
    sentence="Outgoing from Aruna.",
    domains=DOMAINS,
    rows=tuple(
        PartnerRow(
            party,
            name,
            "node",
            tuple(
                Cell(domain, view, f"/agreements?party={party}" if party == "BAY" else None)
                for domain, view in zip(DOMAINS, ("full", "summary", "nothing"), strict=True)
            ),
            f"AG-0{index} v1",
            ends_ms,
            f"/agreements?ref=AG-0{index}" if index else None,
            index == 1,
        )
        for index, (party, name, ends_ms) in enumerate(
            (("BAY", "Bayu", NOW_MS + 19 * DAY_MS), ("DVI", "Dvipa", NOW_MS + 30 * DAY_MS), ("FEN", "Fenwick", None))
        )
    ),
    selected=AgreementView(
        ref="AG-031 v3",
        title="Aruna and Dvipa share maritime contacts",
        standing="in_force",
        sentence="For safety at sea only.",
        from_ms=NOW_MS - 300 * DAY_MS,
        ends_ms=NOW_MS + 300 * DAY_MS,
        signatures=(Signature("Aruna", True, "4F:A1"), Signature("Dvipa", False)),
        clauses=(
            Clause("§4.2", "Positions inside area Bravo", "enforced"),
            Clause("§8", "Deleted after 90 days", "evidenced"),
            Clause("§11", "For safety at sea only", "recorded"),
        ),
        acts=(Choice("Compare", "/agreements?compare=1"),),
    ),
)
LOG = LogView(
    shell=SHELL,
    checkpoint="aruna.example/log\n48212\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— aruna.example/log Az3g\n",
    size=48_212,
    verified=True,
    rows=(
        ReleaseRow(48_211, NOW_MS, "DVI", "Dvipa", "A-2291", "/items/A-2291", "reduced", "notice", ("AG-031 §5.3",)),
        ReleaseRow(48_210, NOW_MS, "FEN", "Fenwick", "A-2291", "/items/A-2291", "nothing", "nothing", ()),
    ),
    paging=Paging(1, 2, 48_212, None, "/log?page=2"),
    checked_ms=NOW_MS - 8000,
)
ITEM_PAGE = ItemPageView(SHELL, ITEM, Choice("Picture", "/"), CHART)
ERROR = ErrorView(SHELL, 404, "There is no such record here", "It may have been withdrawn.", Choice("Picture", "/"))

Page = tuple[Callable[..., str], object]


@pytest.fixture(scope="session")
def pages() -> dict[str, Page]:
    """Every page as (render function, filled view), with the empty forms of each beside the full ones."""
    empty_shell = replace(SHELL, links=(), search=None, nav=())
    nothing = Paging(0, 0, 0)
    return {
        "picture": (render.picture, PICTURE),
        "picture lite": (render.picture, replace(PICTURE, shell=replace(SHELL, lite=True))),
        "picture empty": (
            render.picture,
            PictureView(empty_shell, ChartView(CHART.viewport, (), 0, home=CHART.home), (), nothing),
        ),
        "picture without why": (render.picture, replace(PICTURE, selected=replace(ITEM, why=None, signed=False))),
        "item": (render.item, ITEM_PAGE),
        "item withdrawn": (
            render.item,
            replace(ITEM_PAGE, item=replace(ITEM, withdrawn="mistaken"), chart=None, back=None),
        ),
        "agreements": (render.agreements, AGREEMENTS),
        "agreements empty": (render.agreements, replace(AGREEMENTS, rows=(), selected=None)),
        "log": (render.log, LOG),
        "log broken": (render.log, replace(LOG, verified=False, rows=(), paging=nothing, checked_ms=None)),
        "error": (render.error, ERROR),
        "error bare": (render.error, replace(ERROR, shell=empty_shell, act=None)),
    }


@pytest.fixture(scope="session")
def drawn(pages: dict[str, Page]) -> dict[str, str]:
    """Every page as HTML."""
    return {name: draw(view) for name, (draw, view) in pages.items()}


@pytest.fixture(scope="session")
def chart_view() -> ChartView:
    """A chart with one contact of each source around an alert."""
    return CHART


@pytest.fixture(scope="session")
def picture_view() -> PictureView:
    """The picture with a record chosen."""
    return PICTURE


@pytest.fixture(scope="session")
def agreements_view() -> AgreementsView:
    """The matrix of three partners."""
    return AGREEMENTS


@pytest.fixture(scope="session")
def follow() -> Callable[[dict[str, str]], PictureView]:
    """Answer a query as a node would: another area, record or partner on the same picture."""

    def answer(query: dict[str, str]) -> PictureView:
        kept = tuple((name, query[name]) for name in ("party", "lite") if name in query)
        item = query.get("item", "A-2291")
        chosen = query.get("party", "DVI")
        area = query.get("area", "110,5,126,21")
        who = tuple(
            replace(one, href=href("/", kept, area=area, item=item, party=one.party), selected=one.party == chosen)
            for one in ITEM.who
        )
        name = next(one.name for one in who if one.selected)
        why = replace(WHY, party=chosen, name=name, headline=f"{name} sees what the agreement gives")
        return replace(
            PICTURE,
            shell=replace(SHELL, lite="lite" in query),
            chart=replace(CHART, viewport=parse_area(area), query=kept, selected_id=item),
            rows=tuple(
                replace(row, href=href("/", kept, area=area, item=row.item_id), current=row.item_id == item)
                for row in PICTURE.rows
            ),
            selected=replace(ITEM, who=who, why=why) if item == "A-2291" else None,
        )

    return answer
