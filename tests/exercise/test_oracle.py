"""The oracle keeps to docs/spec/release.md rule by rule, and the worlds it is asked about reach all of the page."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from decimal import Decimal
from math import asin, cos, radians, sin, sqrt
from pathlib import Path
from random import Random
from typing import Any

import pytest

from relto.agreements.document import read
from relto.exercise import oracle
from relto.item import Header
from relto.kinds.spec import shipped_kinds
from relto.strict import canonical, parse_canonical
from tests.worlds import KINDS, NOW_MS, Question, worlds

pytestmark = pytest.mark.pure
Plain = dict[str, Any]

TEXT = b"""
format = "relto-agreement/1"
id = "MDA-X"
version = 2
title = "Exercise"

[term]
from = 2026-01-01T00:00:00Z
until = 2027-01-01T09:00:00+09:00

[[party]]
id = "USA"
name = "United States"
tier = "T3"
[[party]]
id = "JPN"
name = "Japan"
tier = "T3"
[[party]]
id = "PHL"
name = "Philippines"
tier = "T2"
[[party]]
id = "IDN"
name = "Indonesia"
tier = "T1"

[[level]]
name = "OPEN"
USA = ["CUI", "LES"]
JPN = ["BUGAI"]
PHL = ["OPEN"]
IDN = ["BIASA"]
[[level]]
name = "CLOSED"
USA = ["CONFIDENTIAL"]
JPN = { sends = ["HI"] }
PHL = { shows = "CONFIDENTIAL" }
[[level]]
name = "TOP"
USA = ["SECRET"]
PHL = { sends = ["SECRET"], shows = "SECRET" }

[[region]]
name = "BAY"
boxes = [[10, 110, 20, 120.5]]

[[grant]]
id = "plain"
text = "USA and JPN may give PHL maritime items."
from = ["USA", "JPN"]
to = ["PHL"]
domains = ["maritime"]
ceiling = "CLOSED"
view = "full"

[[grant]]
id = "limited"
text = "USA may give a tier cyber items with duties."
from = ["USA"]
to_tier = ["T1"]
domains = ["cyber"]
kinds = ["cyber.event"]
subjects = ["CT"]
regions = ["BAY"]
ceiling = "OPEN"
tlp_ceiling = "RED"
view = "detail"
precision_m = 1000
delay = "6 h"
remove = ["Event.info"]
retention = "180 days"
onward = ["JPN", "PHL"]
purposes = ["rescue"]
caveats = ["ORCON"]

[[refusal]]
id = "no-missiles"
text = "Nothing on missiles goes to PHL."
from = ["USA"]
to = ["PHL"]
domains = ["maritime", "cyber"]
subjects = ["DPRK-MISSILE"]
"""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec" / "release.md"


# ---- what is asked, with one thing changed


def agreement(*grants: Plain, **changes: Any) -> Plain:
    """The agreement of the text; with grants, each given as what differs from ``plain``."""
    parsed = oracle.parse_agreement(TEXT)
    given = [parsed["grants"][0] | grant for grant in grants] or parsed["grants"]
    return parsed | {"grants": given} | changes


def handling(level: str = "USA:CUI", *categories: tuple[str, str, list[str]], tlp: str = "", **changes: Any) -> Plain:
    policy, _, level = level.partition(":")
    markings = [{"policy": policy, "level": level, "text": "as printed"}]
    given = [{"tag": tag, "type": type, "values": values} for tag, type, values in categories]
    return {"markings": markings, "categories": given, "tlp": tlp, "licences": []} | changes


def header(
    handled: Plain | None = None,
    *,
    originators: tuple[str, ...] = ("USA",),
    portions: Plain | None = None,
    **changes: Any,
) -> Plain:
    """A header of a point in the bay; ``portions`` gives the handling by selector."""
    label = {
        "handling": handled or handling(),
        "originators": list(originators),
        "portions": [{"selector": name, "handling": each} for name, each in (portions or {}).items()],
        "foreign": "",
    }
    return {
        "id": "0" * 32,
        "kind": "maritime.detection",
        "origin": "USA",
        "place": point(15, 115),
        "subjects": [],
        "label": label,
    } | changes


def point(lat: float, lon: float) -> Plain:
    return box(lat, lon, lat, lon)


def box(*degrees: float) -> Plain:
    edges = ("south_e7", "west_e7", "north_e7", "east_e7")
    return {edge: round(degree * 10**7) for edge, degree in zip(edges, degrees, strict=True)}


def came(rule: str, *to: str, purposes: tuple[str, ...] = (), retention_s: int | None = None) -> Plain:
    onward = {"rule": rule, "to": list(to)}
    return {"from": "JPN", "onward": onward, "purposes": list(purposes), "retention_s": retention_s}


def decide(item: Plain | None = None, *agreements: Plain, **changes: Any) -> Plain:
    asked: Plain = {
        "holder": "USA",
        "recipient": "PHL",
        "header": item or header(),
        "upstream": [],
        "agreements": agreements or [agreement()],
        "now_ms": NOW_MS,
    }
    return oracle.decide(**asked | changes)


def asked(question: Question, agreements: list[Plain]) -> Plain:
    return oracle.decide(
        holder=question.holder,
        recipient=question.recipient,
        header=question.header,
        upstream=question.upstream,
        agreements=agreements,
        now_ms=question.now_ms,
        quarantined=question.quarantined,
        overrides=question.overrides,
    )


# ---- independence


def test_oracle_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text("utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    roots = {(name or "").partition(".")[0] for name in [*names, *(node.module for node in froms)]}
    assert {node.level for node in froms} == {0}
    assert roots <= sys.stdlib_module_names
    assert not roots & {"importlib", "runpy"}


def test_kinds_named_by_hand_are_those_of_the_shipped_data() -> None:
    kinds = shipped_kinds().by_name
    assert {name: kind.media_type for name, kind in kinds.items()} == KINDS
    assert {name for name, kind in kinds.items() if kind.shape == "columns"} == oracle.BATCH_KINDS


# ---- the text of an agreement


def test_text_gives_plain_values_with_defaults() -> None:
    parsed = oracle.parse_agreement(TEXT)
    assert (parsed["id"], parsed["version"]) == ("MDA-X", 2)
    assert (parsed["from_ms"], parsed["until_ms"]) == (1_767_225_600_000, 1_798_761_600_000)
    assert parsed["tiers"] == {"USA": "T3", "JPN": "T3", "PHL": "T2", "IDN": "T1"}
    assert [rung["name"] for rung in parsed["ladder"]] == ["OPEN", "CLOSED", "TOP"]
    assert parsed["ladder"][0]["sends"]["USA"] == ["CUI", "LES"]
    assert parsed["ladder"][0]["shows"]["USA"] == "CUI"
    assert (parsed["ladder"][1]["sends"].keys(), parsed["ladder"][1]["shows"].keys()) == (
        {"USA", "JPN"},
        {"USA", "PHL"},
    )
    plain, limited = parsed["grants"]
    assert (plain["tlp_ceiling"], plain["onward"], plain["retention_s"]) == ("AMBER", ("none", []), None)
    assert (plain["boxes"], limited["boxes"]) == (None, [[10, 110, 20, Decimal("120.5")]])
    assert (limited["delay_s"], limited["retention_s"]) == (21_600, 15_552_000)
    assert limited["onward"] == ("list", ["JPN", "PHL"])
    assert parsed["refusals"][0]["subjects"] == ["DPRK-MISSILE"]


def test_an_agreement_without_an_end_has_none() -> None:
    text = TEXT.replace(b"until = 2027-01-01T09:00:00+09:00\n", b"")
    assert oracle.parse_agreement(text)["until_ms"] is None
    assert decide(None, oracle.parse_agreement(text), now_ms=NOW_MS * 100)["verdict"] == "FULL"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90 s", 90),
        ("1 second", 1),
        ("2 seconds", 2),
        ("5 min", 300),
        ("1 minute", 60),
        ("3 minutes", 180),
        ("4 h", 14_400),
        ("1 hour", 3600),
        ("2 hours", 7200),
        ("1 day", 86_400),
        ("2 days", 172_800),
        ("1 week", 604_800),
        ("2 weeks", 1_209_600),
    ],
)
def test_lengths_of_time_are_read_in_each_unit(written: str, seconds: int) -> None:
    text = TEXT.replace(b'"180 days"', f'"{written}"'.encode()).replace(b'delay = "6 h"', b"delay_s = 7")
    limited = oracle.parse_agreement(text)["grants"][1]
    assert (limited["retention_s"], limited["delay_s"]) == (seconds, 7)


def test_unlimited_retention_has_no_end() -> None:
    assert oracle.parse_agreement(TEXT.replace(b"180 days", b"unlimited"))["grants"][1]["retention_s"] is None


# ---- section 2


def test_plain_item_is_full_with_its_clause_and_duties() -> None:
    assert decide() == {
        "verdict": "FULL",
        "view": "full",
        "reason": "",
        "precision_m": 0,
        "delay_s": 0,
        "retention_s": None,
        "onward": ("none", ()),
        "purposes": [],
        "remove": [],
        "regions": [],
        "boxes": None,
        "grant": "MDA-X/2/plain",
        "removed_portions": [],
        "marks": [],
    }


def test_withheld_tells_nothing_but_the_code() -> None:
    answer = decide(header(handling("USA:SECRET")))
    assert answer == decide() | {"verdict": "WITHHELD", "view": "nothing", "reason": "LEVEL_ABOVE_CEILING", "grant": ""}


STOPS: list[tuple[str, Plain]] = [
    ("NO_AGREEMENT", {"recipient": "VNM"}),
    ("NO_AGREEMENT", {"holder": "VNM"}),
    ("AGREEMENT_NOT_IN_FORCE", {"now_ms": 1_767_225_599_999}),
    ("AGREEMENT_NOT_IN_FORCE", {"now_ms": 1_798_761_600_000}),
    ("", {"now_ms": 1_767_225_600_000}),
    ("", {"now_ms": 1_798_761_599_999}),
    ("QUARANTINED", {"quarantined": {"PHL"}}),
    ("QUARANTINED", {"quarantined": {"0" * 32}}),
    ("", {"quarantined": {"USA", "IDN"}}),
    ("NATIONAL_OVERRIDE", {"overrides": [{"from": ["USA"], "to": ["PHL"], "domains": ["maritime"]}]}),
    ("NATIONAL_OVERRIDE", {"overrides": [{"from": ["USA"], "to_tier": ["T2"], "domains": ["maritime"]}]}),
    ("", {"overrides": [{"from": ["USA"], "to_tier": ["T3"], "domains": ["maritime"]}]}),
    ("", {"overrides": [{"from": ["USA"], "to": ["PHL"], "domains": ["cyber"]}]}),
    ("", {"overrides": [{"from": ["JPN"], "to": ["PHL"], "domains": ["maritime"]}]}),
    ("", {"overrides": [{"from": ["USA"], "to": ["PHL"], "domains": ["maritime"], "kinds": ["maritime.vessels"]}]}),
    (
        "NATIONAL_OVERRIDE",
        {"overrides": [{"from": ["USA"], "to": ["PHL"], "domains": ["maritime"], "kinds": ["maritime.detection"]}]},
    ),
    ("REFUSED_BY_CLAUSE", {"header": header(subjects=["CT", "DPRK-MISSILE"])}),
    ("NOFORN", {"header": header(handling("USA:CUI", ("NOFORN", "restrictive", [])))}),
    ("", {"header": header(handling("USA:CUI", ("NOFORN", "informative", [])))}),
    ("NOT_RELEASABLE_TO", {"header": header(handling("USA:CUI", ("REL TO", "permissive", ["JPN"])))}),
    ("NOT_RELEASABLE_TO", {"header": header(handling("USA:CUI", ("REL TO", "permissive", [])))}),
    ("", {"header": header(handling("USA:CUI", ("REL TO", "permissive", ["JPN", "PHL"])))}),
    ("TLP_RED_NOT_NAMED", {"header": header(handling(tlp="RED"))}),
    ("TLP_ABOVE_CEILING", {"header": header(handling("USA:CUI", ("REL TO", "permissive", ["PHL"]), tlp="RED"))}),
    ("ONWARD_NONE", {"header": header(originators=("KOR", "USA"))}),
    ("", {"header": header(originators=("PHL", "USA"))}),
    ("ONWARD_NONE", {"header": header(originators=("KOR",)), "upstream": [came("none")]}),
    ("ONWARD_NONE", {"header": header(originators=("KOR",)), "upstream": [came("list", "IDN")]}),
    ("ONWARD_NONE", {"header": header(originators=("KOR",)), "upstream": [came("consent"), came("none")]}),
    ("ONWARD_CONSENT_MISSING", {"header": header(originators=("KOR",)), "upstream": [came("consent")]}),
    (
        "ONWARD_CONSENT_MISSING",
        {"header": header(originators=("KOR",)), "upstream": [came("list", "PHL"), came("consent")]},
    ),
    ("", {"header": header(originators=("KOR",)), "upstream": [came("list", "PHL", "IDN")]}),
    ("", {"header": header(originators=("PHL", "USA")), "upstream": [came("none")]}),
]


@pytest.mark.parametrize(("code", "changes"), STOPS)
def test_rule_stops_with_its_code(code: str, changes: Plain) -> None:
    assert decide(**changes)["reason"] == code


def test_first_rule_that_stops_gives_the_code() -> None:
    """Everything stands in the way; taking away the first obstacle shows the next."""
    override = {"from": ["USA"], "to": ["PHL"], "domains": ["maritime"]}
    no, rel = ("NOFORN", "restrictive", list[str]()), ("REL TO", "permissive", ["JPN"])
    barred: Plain = {"originators": ("KOR",), "subjects": ["DPRK-MISSILE"], "origin": "KOR"}
    free = barred | {"subjects": []}
    red = handling("USA:SECRET", tlp="RED")
    steps = [
        decide(header(handling("USA:CUI", no, rel, tlp="RED"), **barred), now_ms=0, quarantined={"PHL"}),
        decide(header(handling("USA:CUI", no, rel, tlp="RED"), **barred), quarantined={"PHL"}, overrides=[override]),
        decide(
            header(handling("USA:CUI", no, rel, tlp="RED"), **barred | {"originators": ("USA",)}), overrides=[override]
        ),
        decide(header(handling("USA:CUI", no, rel, tlp="RED"), **barred | {"originators": ("USA",)})),
        decide(header(handling("USA:CUI", no, rel, tlp="RED"), **free)),
        decide(header(handling("USA:CUI", rel, tlp="RED"), **free)),
        decide(header(red, **free)),
        decide(header(red | {"tlp": ""}, **free)),
        decide(header(red | {"tlp": ""}, **free), upstream=[came("list", "PHL")]),
    ]
    assert [step["reason"] for step in steps] == [
        "AGREEMENT_NOT_IN_FORCE",
        "QUARANTINED",
        "NATIONAL_OVERRIDE",
        "REFUSED_BY_CLAUSE",
        "NOFORN",
        "NOT_RELEASABLE_TO",
        "TLP_RED_NOT_NAMED",
        "ONWARD_NONE",
        "ORIGINATOR_NOT_COVERED",
    ]


def test_who_passes_on_adds_its_own_equal_of_the_highest_level() -> None:
    def marks(*levels: str) -> list[str]:
        markings = [marking for level in levels for marking in handling(level)["markings"]]
        found = decide(header(handling(markings=markings)), holder="JPN", upstream=[came("list", "PHL")])
        assert found["reason"] == ""
        return found["marks"]

    assert marks("USA:CUI") == ["BUGAI"]
    assert marks("USA:CUI", "USA:CONFIDENTIAL") == ["HI"]
    assert marks("USA:CUI", "JPN:BUGAI") == []
    assert decide(header(handling("USA:CONFIDENTIAL")))["marks"] == []


def test_refusal_of_one_agreement_binds_the_grant_of_another() -> None:
    missile = header(subjects=["DPRK-MISSILE"])
    other = agreement(id="OTHER", refusals=[])
    assert decide(missile, other)["grant"] == "OTHER/2/plain"
    assert decide(missile, other, agreement())["reason"] == "REFUSED_BY_CLAUSE"
    assert decide(missile, other, agreement(until_ms=NOW_MS))["grant"] == "OTHER/2/plain"


# ---- section 3

COVERS: list[tuple[str, Plain, Plain]] = [
    ("RECIPIENT_NOT_COVERED", {"to": ["IDN"]}, {}),
    ("RECIPIENT_NOT_COVERED", {"to": [], "to_tier": ["T1", "T3"]}, {}),
    ("", {"to": [], "to_tier": ["T2"]}, {}),
    ("ORIGINATOR_NOT_COVERED", {"from": ["JPN"]}, {}),
    ("HOLDER_NOT_COVERED", {"by": ["JPN"]}, {}),
    ("DOMAIN_NOT_COVERED", {"domains": ["cyber"]}, {}),
    ("KIND_NOT_COVERED", {"kinds": ["maritime.vessels"]}, {}),
    ("", {"kinds": ["maritime.detection"]}, {}),
    ("SUBJECT_NOT_COVERED", {"subjects": ["CT"]}, {}),
    ("SUBJECT_NOT_COVERED", {"subjects": ["CT"]}, {"subjects": ["CABLE"]}),
    ("", {"subjects": ["CT"]}, {"subjects": ["CABLE", "CT"]}),
    ("REGION_NOT_COVERED", {"boxes": [[10, 110, 20, 120]]}, {"place": None}),
    ("REGION_NOT_COVERED", {"boxes": [[10, 110, 20, 120]]}, {"place": point(21, 115)}),
    ("", {"boxes": [[80, 0, 81, 1], [10, 110, 20, 120]]}, {}),
    ("LEVEL_UNMAPPED", {}, {"handled": handling(markings=[])}),
    ("LEVEL_UNMAPPED", {}, {"handled": handling("XXX:CUI")}),
    ("LEVEL_UNMAPPED", {}, {"handled": handling("USA:RESTRICTED")}),
    ("LEVEL_UNMAPPED", {}, {"handled": handling("PHL:CONFIDENTIAL")}),
    ("", {}, {"handled": handling("JPN:HI")}),
    ("LEVEL_ABOVE_CEILING", {}, {"handled": handling("USA:SECRET")}),
    ("", {"ceiling": "TOP"}, {"handled": handling("USA:SECRET")}),
    ("LEVEL_ABOVE_CEILING", {"ceiling": "OPEN"}, {"handled": handling("USA:CONFIDENTIAL")}),
    ("TLP_ABOVE_CEILING", {}, {"handled": handling(tlp="AMBER+STRICT")}),
    ("", {}, {"handled": handling(tlp="AMBER")}),
    ("TLP_ABOVE_CEILING", {"tlp_ceiling": "CLEAR"}, {"handled": handling(tlp="GREEN")}),
    ("", {"tlp_ceiling": "CLEAR"}, {"handled": handling(tlp="CLEAR")}),
    ("CAVEAT_NOT_COVERED", {"caveats": ["EYES:A"]}, {"handled": handling("USA:CUI", ("EYES", "restrictive", []))}),
    ("CAVEAT_NOT_COVERED", {"caveats": ["EYES"]}, {"handled": handling("USA:CUI", ("EYES", "restrictive", ["A"]))}),
    ("", {"caveats": ["EYES:A"]}, {"handled": handling("USA:CUI", ("EYES", "restrictive", ["A"]))}),
    ("", {"caveats": ["EYES"]}, {"handled": handling("USA:CUI", ("EYES", "restrictive", []))}),
    ("", {}, {"handled": handling("USA:CUI", ("EYES", "informative", ["A"]))}),
    ("CAVEAT_NOT_COVERED", {"caveats": ["ACME"]}, {"handled": handling(licences=["ACME"])}),
    ("", {"caveats": ["LICENCE:ACME"]}, {"handled": handling(licences=["ACME"])}),
    (
        "CAVEAT_NOT_COVERED",
        {"caveats": ["EYES", "ORCON"]},
        {"handled": handling("USA:CUI", ("EYES", "restrictive", []), licences=["ACME"])},
    ),
    (
        "CAVEAT_NOT_COVERED",
        {"caveats": ["ORCON"]},
        {"handled": handling("USA:CUI", ("EYES", "restrictive", []), ("ORCON", "restrictive", []))},
    ),
    ("PURPOSE_NOT_COVERED", {}, {"handled": handling("USA:CUI", ("PURPOSE", "permissive", ["rescue"]))}),
    ("", {"purposes": ["rescue"]}, {"handled": handling("USA:CUI", ("PURPOSE", "permissive", ["other", "rescue"]))}),
    (
        "PURPOSE_NOT_COVERED",
        {"purposes": ["other", "rescue"]},
        {"handled": handling("USA:CUI", ("PURPOSE", "permissive", ["rescue"]))},
    ),
    (
        "PURPOSE_NOT_COVERED",
        {"purposes": ["rescue"]},
        {"handled": handling("USA:CUI", ("PURPOSE", "permissive", []))},
    ),
]


@pytest.mark.parametrize(("code", "clause", "item"), COVERS)
def test_grant_covers_by_each_test(code: str, clause: Plain, item: Plain) -> None:
    assert decide(header(**item), agreement(clause))["reason"] == code


def test_every_marking_must_be_mapped_and_within_the_ceiling() -> None:
    both = handling("USA:CUI")["markings"] + handling("USA:SECRET")["markings"]
    assert decide(header(handling(markings=both)))["reason"] == "LEVEL_ABOVE_CEILING"
    unknown = handling("USA:CUI")["markings"] + handling("KOR:II-KUP")["markings"]
    assert decide(header(handling(markings=unknown)))["reason"] == "LEVEL_UNMAPPED"


def test_markings_are_mapped_by_what_the_recipient_is_shown() -> None:
    to_japan = agreement({"to": ["JPN"]})
    assert decide(header(handling("USA:CUI")), to_japan, recipient="JPN")["verdict"] == "FULL"
    assert decide(header(handling("USA:CONFIDENTIAL")), to_japan, recipient="JPN")["reason"] == "LEVEL_UNMAPPED"


def test_purposes_with_which_it_came_bind_the_grant() -> None:
    item, bound = header(originators=("KOR",)), came("list", "PHL", purposes=("rescue",))
    assert decide(item, upstream=[bound])["reason"] == "PURPOSE_NOT_COVERED"
    wide = agreement({"purposes": ["other", "rescue"]})
    assert decide(item, wide, upstream=[bound])["reason"] == "PURPOSE_NOT_COVERED"
    narrow = agreement({"purposes": ["rescue"]})
    assert decide(item, narrow, upstream=[bound])["purposes"] == ["rescue"]
    two = [bound, came("list", "PHL", purposes=("other",))]
    assert decide(item, narrow, upstream=two)["reason"] == "PURPOSE_NOT_COVERED"


def test_code_is_that_of_the_grant_that_got_furthest() -> None:
    near, far = {"caveats": ["NONE"]}, {"from": ["JPN"]}
    item = header(handling("USA:CUI", ("EYES", "restrictive", [])))
    assert decide(item, agreement(near, far))["reason"] == "CAVEAT_NOT_COVERED"
    assert decide(item, agreement(far, near))["reason"] == "CAVEAT_NOT_COVERED"
    assert decide(item, agreement(far), agreement(near, id="OTHER"))["reason"] == "CAVEAT_NOT_COVERED"


def test_grant_of_an_agreement_without_the_holder_gives_nothing() -> None:
    strangers = agreement(id="OTHER", tiers={"PHL": "T2", "JPN": "T3"})
    assert decide(None, strangers)["reason"] == "NO_AGREEMENT"
    assert decide(None, strangers, agreement({"to": ["IDN"]}))["reason"] == "RECIPIENT_NOT_COVERED"


TOUCHES: list[tuple[bool, Plain, list[float]]] = [
    (True, point(20, 120.5), [10, 110, 20, 120.5]),
    (False, point(20.0000001, 120.5), [10, 110, 20, 120.5]),
    (False, point(20, 120.5000001), [10, 110, 20, 120.5]),
    (False, point(9.9999999, 115), [10, 110, 20, 120.5]),
    (True, point(10, 110), [10, 110, 20, 120.5]),
    (True, box(0, 100, 10, 110), [10, 110, 20, 120.5]),
    (True, point(15, 110), [10, 110, 20, 110]),
    (False, point(15, 115), [10, 110, 20, 110]),
    (True, box(-80, -170, 80, 170), [10, 110, 20, 120.5]),
    (True, point(0, -175), [-10, 170, 10, -170]),
    (True, point(0, 175), [-10, 170, 10, -170]),
    (False, point(0, 169), [-10, 170, 10, -170]),
    (False, point(0, -169), [-10, 170, 10, -170]),
    (True, box(0, 175, 1, -179), [-10, -179.5, 10, -170]),
    (True, box(0, 160, 1, 175), [-10, 170, 10, -170]),
    (False, box(0, 175, 1, -179), [-10, -178, 10, -170]),
    (True, point(0, -180), [-10, 170, 10, 180]),
    (True, point(0, 180), [-10, -180, 10, -170]),
]


@pytest.mark.parametrize(("expected", "place", "region"), TOUCHES)
def test_box_touches_if_it_has_a_point_in_common(expected: bool, place: Plain, region: list[float]) -> None:
    boxes = [[Decimal(str(edge)) for edge in region]]
    assert (decide(header(place=place), agreement({"boxes": boxes}))["reason"] == "") is expected


# ---- section 4


def test_highest_view_decides_then_precision_delay_agreement_and_grant() -> None:
    a = {"view": "detail", "precision_m": 0, "delay_s": 0, "id": "a"}
    order = [
        {"view": "full", "precision_m": 10, "delay_s": 9, "id": "z"},
        {"view": "detail", "precision_m": 0, "delay_s": 1, "id": "y"},
        {"view": "detail", "precision_m": 1, "delay_s": 0, "id": "x"},
        {"view": "summary", "precision_m": 0, "delay_s": 0, "id": "b"},
    ]
    assert decide(None, agreement(a, *order))["grant"] == "MDA-X/2/z"
    assert decide(None, agreement(*order[1:], a))["grant"] == "MDA-X/2/a"
    assert decide(None, agreement(*order[1:]))["grant"] == "MDA-X/2/y"
    assert decide(None, agreement(*order[2:]))["grant"] == "MDA-X/2/x"
    first = agreement({"id": "k"}, {"id": "j"})
    assert decide(None, first)["grant"] == "MDA-X/2/j"
    assert decide(None, first, agreement({"id": "z"}, id="EARLIER"))["grant"] == "EARLIER/2/z"
    assert decide(None, first, agreement({"id": "j"}, version=3))["grant"] == "MDA-X/3/j"
    assert decide(None, agreement({"id": "j"}, version=3), first)["grant"] == "MDA-X/3/j"


def test_view_and_its_duties_are_the_deciding_grants() -> None:
    wide = {"id": "wide", "view": "full", "precision_m": 5, "delay_s": 7, "remove": ["x"], "purposes": ["b", "a"]}
    answer = decide(None, agreement({"view": "detail", "purposes": ["c"]}, wide | {"regions": ["BAY"]}))
    assert (answer["view"], answer["precision_m"], answer["delay_s"]) == ("full", 5, 7)
    assert (answer["remove"], answer["purposes"], answer["regions"]) == (["x"], ["a", "b"], ["BAY"])


ONWARDS: list[tuple[tuple[str, tuple[str, ...]], list[tuple[str, list[str]]], str]] = [
    (("list", ("IDN", "JPN")), [("list", ["JPN", "IDN"])], ""),
    (("list", ("JPN",)), [("list", ["IDN", "JPN"]), ("list", ["JPN", "USA"])], ""),
    (("consent", ()), [("list", ["IDN", "JPN"]), ("consent", [])], ""),
    (("none", ()), [("consent", []), ("none", []), ("list", ["JPN"])], ""),
    (("none", ()), [("list", ["IDN"]), ("list", ["JPN"])], ""),
    (("list", ("JPN",)), [("list", ["JPN"])], "GREEN"),
    (("consent", ()), [("list", ["JPN"])], "AMBER"),
    (("none", ()), [("list", ["JPN"])], "AMBER+STRICT"),
]


@pytest.mark.parametrize(("expected", "rules", "tlp"), ONWARDS)
def test_onward_is_the_strictest_of_all_covering_grants_and_of_the_tlp(
    expected: tuple[str, tuple[str, ...]], rules: list[tuple[str, list[str]]], tlp: str
) -> None:
    grants = [{"id": f"g{n}", "onward": rule, "tlp_ceiling": "RED"} for n, rule in enumerate(rules)]
    assert decide(header(handling(tlp=tlp)), agreement(*grants))["onward"] == expected


def test_a_grant_that_does_not_cover_binds_nothing() -> None:
    idle = {"id": "idle", "from": ["JPN"], "onward": ("none", []), "retention_s": 1}
    answer = decide(None, agreement({"onward": ("list", ["JPN"])}, idle))
    assert (answer["onward"], answer["retention_s"]) == (("list", ("JPN",)), None)


def test_retention_is_the_shortest_of_grants_and_upstream() -> None:
    grants = [{"id": "a", "retention_s": 20}, {"id": "b", "view": "detail", "retention_s": 10}, {"id": "c"}]
    assert decide(None, agreement(*grants))["retention_s"] == 10
    item = header(originators=("KOR",))
    upstream = [came("list", "PHL", retention_s=5), came("list", "PHL")]
    assert decide(item, agreement(*grants), upstream=upstream)["retention_s"] == 5


def test_onward_is_no_wider_than_that_with_which_it_came() -> None:
    item, given = header(originators=("KOR",)), agreement({"onward": ("list", ["IDN", "JPN"])})
    assert decide(item, given, upstream=[came("list", "PHL", "JPN")])["onward"] == ("list", ("JPN",))
    assert decide(item, given, upstream=[came("list", "PHL")])["onward"] == ("none", ())


@pytest.mark.parametrize(
    ("verdict", "kind", "clause"),
    [
        ("SANITISED", "maritime.detection", {"view": "detail"}),
        ("SANITISED", "maritime.detection", {"precision_m": 1}),
        ("SANITISED", "maritime.detection", {"delay_s": 1}),
        ("SANITISED", "maritime.detection", {"remove": ["x"]}),
        ("FULL", "maritime.detection", {"regions": ["BAY"]}),
        ("SANITISED", "maritime.positions", {"regions": ["BAY"]}),
        ("FULL", "maritime.positions", {"purposes": ["x"], "retention_s": 1}),
    ],
)
def test_full_only_if_nothing_is_held_back(verdict: str, kind: str, clause: Plain) -> None:
    assert decide(header(kind=kind), agreement(clause))["verdict"] == verdict


# ---- section 5


@pytest.mark.parametrize(
    "stricter",
    [
        handling("USA:CUI", ("NOFORN", "restrictive", [])),
        handling("USA:CUI", ("REL TO", "permissive", ["JPN"])),
        handling("USA:SECRET"),
        handling("XXX:SECRET"),
        handling("USA:CUI", ("EYES", "restrictive", [])),
        handling("USA:CUI", ("PURPOSE", "permissive", ["rescue"])),
        handling("USA:CUI", licences=["ACME"]),
        handling(tlp="RED"),
    ],
)
def test_portion_that_is_withheld_is_removed_and_the_rest_goes(stricter: Plain) -> None:
    answer = decide(header(portions={"b": stricter, "a": handling()}))
    assert (answer["verdict"], answer["removed_portions"]) == ("SANITISED", ["b"])


def test_portion_is_joined_with_the_item_and_never_lowers() -> None:
    """Its own ``REL TO`` does not widen the item's, and it needs no marking of its own."""
    named = handling("USA:CUI", ("REL TO", "permissive", ["PHL"]))
    assert decide(header(named, portions={"a": handling(markings=[])}))["verdict"] == "FULL"
    narrower = handling("USA:CUI", ("REL TO", "permissive", ["JPN", "USA"]))
    assert decide(header(named, portions={"a": narrower}))["removed_portions"] == ["a"]
    assert decide(header(narrower, portions={"a": named}))["reason"] == "NOT_RELEASABLE_TO"


@pytest.mark.parametrize(
    "lesser", [{"view": "detail"}, {"precision_m": 1}, {"delay_s": 1}, {"purposes": ["rescue"]}, {"remove": ["x"]}]
)
def test_portion_decided_to_less_than_the_item_is_removed(lesser: Plain) -> None:
    grants = agreement({"id": "b", "ceiling": "OPEN"}, {"id": "c"} | lesser)
    item = header(portions={"a": handling("USA:CONFIDENTIAL"), "b": handling()})
    assert decide(item, grants)["removed_portions"] == ["a"]
    assert decide(item, agreement({"id": "b", "ceiling": "OPEN"}, {"id": "c"}))["removed_portions"] == []


def test_portion_stays_if_the_whole_goes_for_its_purposes_only() -> None:
    item = header(portions={"a": handling("USA:CONFIDENTIAL")})

    def removed(whole: list[str], part: list[str]) -> list[str]:
        clauses = {"id": "b", "ceiling": "OPEN", "purposes": whole}, {"id": "c", "purposes": part}
        answer = decide(item, agreement(*clauses))
        return list(answer["removed_portions"])

    assert removed(["rescue"], ["rescue"]) == []
    assert removed(["rescue"], ["other", "rescue"]) == []
    assert removed(["rescue"], []) == []
    assert removed(["other", "rescue"], ["rescue"]) == ["a"]
    assert removed(["other"], ["rescue"]) == ["a"]


def test_portion_is_removed_if_its_clause_clips_more() -> None:
    item = header(portions={"a": handling("USA:CONFIDENTIAL")})
    bay, gulf = [[10, 110, 20, 120]], [[5, 90, 21, 121]]
    wide, clipped = {"id": "b", "ceiling": "OPEN"}, {"id": "c", "boxes": bay}
    assert decide(item, agreement(wide, clipped))["removed_portions"] == ["a"]
    assert decide(item, agreement(wide | {"boxes": bay}, clipped))["removed_portions"] == []
    assert decide(item, agreement(wide | {"boxes": bay + gulf}, clipped))["removed_portions"] == ["a"]


def test_portion_that_stays_binds_onward_and_one_that_is_removed_does_not() -> None:
    given = agreement({"onward": ("list", ["JPN"]), "tlp_ceiling": "RED"})
    red = handling("USA:CUI", ("REL TO", "permissive", ["PHL"]), tlp="RED")
    assert decide(header(portions={"a": red}), given)["onward"] == ("none", ())
    removed = decide(header(portions={"a": handling(tlp="RED")}), given)
    assert (removed["onward"], removed["removed_portions"]) == (("list", ("JPN",)), ["a"])


def test_without_a_record_what_holds_others_information_goes_no_further() -> None:
    given = agreement({"onward": ("list", ["JPN"])})
    assert decide(header(originators=("PHL", "USA")), given)["onward"] == ("none", ())
    back = [came("list", "JPN")]
    assert decide(header(originators=("PHL", "USA")), given, upstream=back)["onward"] == ("list", ("JPN",))


# ---- what is read strictly


def test_refusal_covers_what_holds_anything_of_its_originator() -> None:
    derived = header(originators=("JPN", "USA"), subjects=["CT"])
    refusal = {"from": ["JPN"], "to": ["PHL"], "domains": ["maritime"]}
    assert decide(derived, overrides=[refusal])["reason"] == "NATIONAL_OVERRIDE"
    assert decide(header(), overrides=[refusal])["reason"] == ""


def test_refusal_of_a_region_covers_an_item_without_a_place() -> None:
    refusal = {"from": ["USA"], "to": ["PHL"], "domains": ["maritime"], "boxes": [[10, 110, 20, 120]]}
    assert decide(header(place=None), overrides=[refusal])["reason"] == "NATIONAL_OVERRIDE"
    assert decide(header(), overrides=[refusal])["reason"] == "NATIONAL_OVERRIDE"
    assert decide(header(place=point(0, 0)), overrides=[refusal])["reason"] == ""


def test_a_signer_whom_the_label_does_not_name_is_an_originator_all_the_same() -> None:
    assert decide(header(origin="JPN", originators=("USA",)))["reason"] == "ONWARD_NONE"


def test_a_marking_that_two_rungs_send_must_be_shown_from_both() -> None:
    low, high = agreement()["ladder"][:2]
    hidden = high | {"sends": {"USA": ["CUI"]}, "shows": {"USA": "CUI"}}
    assert decide(None, agreement(ladder=[low, hidden]))["reason"] == "LEVEL_UNMAPPED"
    assert decide(None, agreement(ladder=[low, hidden | {"shows": high["shows"]}]))["verdict"] == "FULL"


def test_a_bare_caveat_stays_beside_one_with_values_when_handlings_are_joined() -> None:
    item = header(
        handling("USA:CUI", ("ORCON", "restrictive", ["ALPHA"])),
        portions={"a": handling("USA:CUI", ("ORCON", "restrictive", []))},
    )
    assert decide(item, agreement({"caveats": ["ORCON:ALPHA"]}))["removed_portions"] == ["a"]
    assert decide(item, agreement({"caveats": ["ORCON", "ORCON:ALPHA"]}))["removed_portions"] == []


# ---- section 6: precision


@pytest.mark.parametrize(
    ("lat_e7", "lon_e7", "precision_m", "expected"),
    [
        (0, 0, 1117, (70_710, 70_710)),
        (141_419, 141_419, 1117, (70_710, 70_710)),
        (141_420, 141_420, 1117, (212_130, 212_130)),
        (-1, -1, 1117, (-70_710, -70_710)),
        (-141_421, -141_421, 1117, (-212_130, -212_130)),
        (123_456_789, 1_204_567_800, 0, (123_456_789, 1_204_567_800)),
        (123_456_788, -1_204_567_801, 0, (123_456_788, -1_204_567_801)),
        (900_000_000, 5, 1_000_000, (900_000_000, 1_800_000_000)),
        (-900_000_000, -5, 1_000_000, (-900_000_000, -1_800_000_000)),
        (0, 1_800_000_000, 1_000_000, (63_303_491, 1_800_000_000)),
    ],
)
def test_snap_gives_the_centre_of_the_cell(
    lat_e7: int, lon_e7: int, precision_m: int, expected: tuple[int, int]
) -> None:
    assert oracle.snap(lat_e7, lon_e7, precision_m) == expected


def test_snap_in_exact_arithmetic_is_the_formula_of_the_page_in_doubles() -> None:
    rng = Random(5)
    for _ in range(1500):
        lat_e7, lon_e7 = rng.randint(-900_000_000, 900_000_000), rng.randint(-1_800_000_000, 1_800_000_000)
        precision_m = round(10 ** rng.uniform(0, 6))
        assert oracle.snap(lat_e7, lon_e7, precision_m) == _snap_of_the_page(lat_e7, lon_e7, precision_m)


def _snap_of_the_page(lat: int, lon: int, p: int) -> tuple[int, int]:
    h = max(1, p * 14_142_000 // 111_700)
    r = lat // h
    e = r * h if r >= 0 else (r + 1) * h
    w = min(max(1, int(p * 14_142_000 / (111_700 * cos(radians(e / 10**7))))), 3_600_000_000)
    c = lon // w
    return max(-(9 * 10**8), min(r * h + h // 2, 9 * 10**8)), max(-(18 * 10**8), min(c * w + w // 2, 18 * 10**8))


def test_snap_moves_nothing_further_than_the_precision() -> None:
    rng = Random(6)
    for _ in range(1500):
        lat_e7, lon_e7 = rng.randint(-900_000_000, 900_000_000), rng.randint(-1_800_000_000, 1_800_000_000)
        precision_m = round(10 ** rng.uniform(0.5, 6))
        moved_m = _distance_m((lat_e7, lon_e7), oracle.snap(lat_e7, lon_e7, precision_m))
        assert moved_m <= precision_m + 0.02, (lat_e7, lon_e7, precision_m)


def test_snap_gives_all_of_a_cell_the_same_output() -> None:
    """Two positions far nearer to each other than the cell's side mostly share an output; all outputs are few."""
    rng = Random(7)
    seen = {oracle.snap(rng.randint(0, 9_999_999), rng.randint(0, 9_999_999), 50_000) for _ in range(2000)}
    assert len(seen) <= 9


def _distance_m(a: tuple[int, int], b: tuple[int, int]) -> float:
    """On a sphere with the longest degree that the Earth has, 111.7 km."""
    lat1, lon1, lat2, lon2 = (radians(each / 10**7) for each in (*a, *b))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * asin(min(1.0, sqrt(half))) * 111_700 / radians(1)


# ---- the worlds


def test_worlds_hold_valid_agreements_and_items_only() -> None:
    for each in worlds(2, count=12):
        for text in each.texts:
            parsed, terms = oracle.parse_agreement(text), read(text, "world", known_kinds=KINDS)
            assert (parsed["id"], len(parsed["grants"])) == (terms.ref.id, len(terms.grants))
        for question in each.questions:
            item = parse_canonical(question.header_bytes, Header)
            assert canonical(item) == question.header_bytes
            assert item.origin in item.label.originators
            assert question.holder != question.recipient


def test_worlds_reach_every_verdict_and_every_code_of_the_page() -> None:
    answers = [
        asked(question, agreements)
        for each in worlds(1, count=100)
        for agreements in [[oracle.parse_agreement(text) for text in each.texts]]
        for question in each.questions
    ]
    assert len(answers) == 2000
    verdicts = Counter(answer["verdict"] for answer in answers)
    assert verdicts["FULL"] > 60
    assert verdicts["SANITISED"] > 60
    assert {answer["reason"] for answer in answers} == _codes_of_the_page() | {""}
    released = [answer for answer in answers if answer["verdict"] != "WITHHELD"]
    assert {answer["view"] for answer in released} == {"notice", "summary", "detail", "full"}
    assert {answer["onward"][0] for answer in released} == {"none", "consent", "list"}
    assert sum(bool(answer["removed_portions"]) for answer in released) > 60


def _codes_of_the_page() -> set[str]:
    """What stands in capitals in the last column of the tables of rules and of tests."""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    return {code for row in rows for code in re.findall(r"`([A-Z_]{5,})`", row.rstrip("| ").rpartition("| ")[2])}


def test_a_world_is_the_same_from_the_same_seed() -> None:
    assert list(worlds(3, count=2)) == list(worlds(3, count=2))
    assert list(worlds(3, count=1)) != list(worlds(4, count=1))
