"""What an agreement's text is read as, and that every fault of it is found where it stands."""

import hashlib
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relto.agreements import templates
from relto.agreements.document import read
from relto.agreements.lines import line_index, tokens_of
from relto.agreements.terms import CLAUSE_KINDS, Clause, PartyEntry, Term, Terms
from relto.bounds import BOUNDS
from relto.errors import DocumentError, Finding
from relto.item import VIEWS, AgreementRef, Onward, Place
from relto.kinds.spec import shipped_kinds
from relto.labels import TLP_ORDER

pytestmark = pytest.mark.pure

TEXTS = Path(__file__).parent / "texts"
SHIPPED = sorted(
    (entry.name, entry.read_bytes())
    for entry in resources.files("relto.exercise").joinpath("agreements").iterdir()
    if entry.name.endswith(".toml")
)
STORIES = sorted((path.name, path.read_bytes()) for path in TEXTS.glob("*.toml"))
KINDS = shipped_kinds().by_name

GOOD = """\
format = "relto-agreement/1"
id = "MDA-X"
version = 3
title = "Maritime picture (illustration)"
illustration = true
note = "Invented."

[term]
from = 2026-01-01T09:00:00.5+09:00
until = 2028-01-01T00:00:00Z
notice_days = 90

[[party]]
id = "JPN"
name = "Japan"
tier = "T3"

[[party]]
id = "KOR"
name = "Korea"
tier = "T3"

[[party]]
id = "IDN"
name = "Indonesia"
tier = "T1"

[[level]]
name = "CONFIDENTIAL"
JPN = ["HI"]
KOR = ["III-KUP"]
IDN = { sends = ["RAHASIA"], shows = "RAHASIA" }

[[level]]
name = "SECRET"
JPN = ["GOKUHI", "TOKUTEI HIMITSU"]
KOR = { sends = ["II-KUP"], shows = "II-KUP" }

[[region]]
name = "strait"
boxes = [
  [33.0, 128.5, 35.1234567, 131],
  [-1.0, 179.5, 1.0, -179.5],
]

[[grant]]
id = "bilateral"
text = "The two give each other all."
from = ["JPN", "KOR"]
to = ["JPN", "KOR"]
domains = ["maritime"]
ceiling = "SECRET"
view = "full"

[[grant]]
id = "tier-one"
text = \"\"\"
Those of tier 1
receive a summary.
\"\"\"
from = ["JPN", "KOR", "IDN"]
to_tier = ["T1"]
to = ["KOR"]
domains = ["maritime", "cyber"]
kinds = ["maritime.detection", "maritime.positions"]
subjects = ["PIRACY"]
regions = ["strait"]
ceiling = "CONFIDENTIAL"
tlp_ceiling = "GREEN"
view = "summary"
precision_m = 10_000
delay = "6 h"
remove = ["properties.rf.pulse"]
retention = "180 days"
onward = ["KOR", "IDN"]
purposes = ["rescue", "cable protection"]
caveats = ["LICENCE:gov-partners-only"]

[[refusal]]
id = "submarines"
text = "No submarines."
from = ["JPN", "KOR"]
to = ["IDN"]
domains = ["maritime"]
subjects = ["SUBMARINE"]

[[clause]]
id = "visits"
text = "Officers may visit."
kind = "recorded"
"""

TIER_ONE_PARTIES = 'from = ["JPN", "KOR", "IDN"]'
KOREAN = 'KOR = { sends = ["II-KUP"], shows = "II-KUP" }'


def parse(text: str, **options: object) -> Terms:
    return read(text.encode(), "x.toml", **options)  # type: ignore[arg-type]


def findings(text: str | bytes) -> tuple[Finding, ...]:
    try:
        read(text.encode() if isinstance(text, str) else text, "x.toml")
    except DocumentError as error:
        return error.findings
    return ()


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


# Each: what of the good text is replaced, by what, on the line of which part the finding stands, field, reason, remedy.
BAD: dict[str, tuple[str, str, str, str, str, str]] = {
    # the whole
    "no format": ('format = "relto-agreement/1"\n', "", "id =", "format", "missing", "text in quotes"),
    "another format": ("agreement/1", "agreement/2", "format =", "format", "another format", "relto-agreement/1"),
    "an id in small letters": ('"MDA-X"', '"mda-x"', "id =", "id", "not the form", "MDA-X"),
    "an id that is a path": ('"MDA-X"', '"A/../B"', "id =", "id", "not the form", "MDA-X"),
    "version nought": ("version = 3", "version = 0", "version", "version", "not within 1", "Correct"),
    "a version in quotes": ("version = 3", 'version = "3"', "version", "version", "another form", "whole number"),
    "a version that is true": ("version = 3", "version = true", "version", "version", "another form", "whole number"),
    "a version of many digits": ("version = 3", "version = " + "9" * 3000, "version", "version", "not within", ""),
    "no title": ('title = "Maritime picture (illustration)"\n', "", "format", "title", "missing", "text"),
    "a title of two lines": ("picture (", "\\nforbid(", "title", "title", "line breaks", "Correct"),
    "a title of spaces": ('"Maritime picture (illustration)"', '" "', "title", "title", "spaces", "Correct"),
    "illustration as text": ("= true", '= "yes"', "illustration =", "illustration", "another form", "true or false"),
    "an unknown key": ("note =", "notes =", "notes", "notes", "not known", "Did you mean 'note'?"),
    "an unknown table": ("[[clause]]", "[[clauses]]", "[[clauses]]", "clauses", "not known", "'clause'?"),
    "a key that would be a terminal code": ("note =", '"\\u001b[2J" =', '"\\u001b', "\\x1b[2J", "not known", "Known"),
    "a note that runs the other way": ("Invented.", "In\\u202evented.", "note", "note", "U+202E", "Remove"),
    "a comment that runs the other way": ("[term]", "# \u202ex\n[term]", "# \u202e", "document", "U+202E", "Remove"),
    "a line break that editors differ on": ("[term]", "# x\u2028y\n[term]", "# x", "document", "U+2028", "Remove"),
    "a syntax error": ("[term]", "[term", "[term", "document", "not TOML", "Correct"),
    "a key that stands twice": ("[term]\n", '[term]\nnote="a"\nnote="b"\n', 'note="b"', "document", "TOML", "Keep one"),
    "a table that stands twice": ("[[party]]", "[term]\n[[party]]", "[term]\n[[", "document", "not TOML", "Keep one"),
    "brackets in brackets": ("version = 3", "version = " + "[" * 900, "version", "document", "deep", "flatten"),
    "a key of many steps": ("version = 3", "a" + ".a" * 900 + " = 3", "a.a", "document", "deep", "flatten"),
    "a line without end": ("[term]", "#" * 5000 + "\n[term]", "####", "document", "5000 characters", "Wrap"),
    # term
    "no beginning": ("from = 2026-01-01T09:00:00.5+09:00\n", "", "[term]", "term.from", "missing", "instant"),
    "no offset": ("00.5+09:00", "00.5", "from = 2", "term.from", "no offset", "+09:00"),
    "a day only": ("2026-01-01T09:00:00.5+09:00", "2026-01-01", "from = 2", "term.from", "another form", "instant"),
    "a time in quotes": ("2028-01-01T00:00:00Z", '"2028-01-01"', "until", "term.until", "another form", "instant"),
    "an end before the beginning": ("until = 2028", "until = 2025", "until", "term.until", "not after", "Swap"),
    "an end at the beginning": (
        "2028-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5Z",
        "until",
        "term.until",
        "not after",
        "",
    ),
    "finer than a millisecond": ("09:00:00.5+", "09:00:00.0005+", "from = 2", "term.from", "finer", "Cut"),
    "before 1970": ("from = 2026", "from = 1926", "from = 1", "term.from", "1970", "date"),
    "negative notice": ("notice_days = 90", "notice_days = -1", "notice", "term.notice_days", "not within", ""),
    "an unknown key of the term": ("until = 2028", "untill = 2028", "untill", "term.untill", "not known", "'until'?"),
    # parties
    "a party in small letters": (
        '[[level]]\nname = "CONF',
        '[[party]]\nid = "Vnm"\nname = "Viet Nam"\ntier = "T1"\n[[level]]\nname = "CONF',
        'id = "Vnm"',
        "party.Vnm.id",
        "not the form",
        "JPN",
    ),
    "a party that stands twice": (
        '[[party]]\nid = "IDN"\nname = "Indonesia"',
        '[[party]]\nid = "IDN"\nname = "I"\ntier = "T1"\n[[party]]\nid = "IDN"\nname = "Indonesia"',
        'id = "IDN"\nname = "Indonesia"',
        "party.IDN.id",
        "twice",
        "its own",
    ),
    "two parties of one name": ('"Korea"', '"JAPAN"', '"JAPAN"', "party.KOR.name", "twice", "its own"),
    "an unknown tier": ('tier = "T1"', 'tier = "T4"', '"T4"', "party.IDN.tier", "'T4' is not known", "T"),
    # levels
    "a row of a stranger": ("IDN = {", "IND = {", "IND =", "level.CONFIDENTIAL.IND", "no party", "Did you mean"),
    "a row that is text": ('["HI"]', '"HI"', 'JPN = "HI"', "level.CONFIDENTIAL.JPN", "another form", "list"),
    "a row that is empty": ('["HI"]', "[]", "JPN = []", "level.CONFIDENTIAL.JPN", "empty list", "Name at least"),
    "a level on two rungs": (
        '"GOKUHI", "TOKUTEI HIMITSU"',
        '"GOKUHI", "HI"',
        '"GOKUHI", "HI"',
        "level.SECRET.JPN",
        "'HI' stands on a lower rung",
        "one rung",
    ),
    "a level on two rungs in another case": (
        '"TOKUTEI HIMITSU"',
        '"Hi"',
        '"Hi"',
        "level.SECRET.JPN",
        "'Hi' stands on a lower rung",
        "one rung",
    ),
    "a level twice on one rung": (
        '"TOKUTEI HIMITSU"',
        '"GOKUHI"',
        '"GOKUHI", "GOKUHI"',
        "level.SECRET.JPN",
        "twice",
        "Keep one",
    ),
    "secret shown as less": (
        'shows = "II-KUP"',
        'shows = "III-KUP"',
        'shows = "III-KUP"',
        "level.SECRET.KOR",
        "means a lower rung",
        "at least as well",
    ),
    "a row that says nothing": (
        '{ sends = ["RAHASIA"], shows = "RAHASIA" }',
        "{}",
        "IDN = {}",
        "level.CONFIDENTIAL.IDN",
        "neither sends nor shows",
        "Write",
    ),
    "an unknown key of a row": (
        'shows = "RAHASIA"',
        'show = "R"',
        "IDN = {",
        "level.CONFIDENTIAL.IDN.show",
        "not known",
        "'shows'?",
    ),
    "a level with unseen spaces": ('"GOKUHI",', '"GOKUHI ",', '"GOKUHI ",', "level.SECRET.JPN", "nobody sees", ""),
    "a level in a look-alike letter": (
        '"GOKUHI",',
        '"G\u041eKUHI",',
        '"G\u041e',
        "level.SECRET.JPN",
        "look like",
        "Correct",
    ),
    "a level with a zero width space": ('"GOKUHI",', '"GO\\u200bKUHI",', '"GO', "level.SECRET.JPN", "U+200B", ""),
    "a level not composed": ('"GOKUHI",', '"GO\u0301KUHI",', '"GO', "level.SECRET.JPN", "NFC", ""),
    "a rung that stands twice": (
        '[[region]]\nname = "strait"',
        '[[level]]\nname = "SECRET"\nJPN = ["X"]\n[[region]]\nname = "strait"',
        'name = "SECRET"\nJPN = ["X"]',
        "level.SECRET.name",
        "twice",
        "its own",
    ),
    "a rung where nobody stands": (
        "[[region]]",
        '[[level]]\nname = "TOP"\n[[region]]',
        '[[level]]\nname = "TOP"',
        "level.TOP",
        "no party stands",
        "row",
    ),
    "a ladder upside down": (
        "[[region]]",
        '[[level]]\nname = "RESTRICTED"\nJPN = ["X"]\n[[region]]',
        'name = "RESTRICTED"',
        "level.RESTRICTED.name",
        "above",
        "lowest level first",
    ),
    # regions
    "latitude and longitude swapped": ("33.0, 128.5", "128.5, 33.0", "[128.5", "region.strait.boxes", "latitude", ""),
    "south above north": ("33.0, 128.5", "36.0, 128.5", "[36.0", "region.strait.boxes", "latitude", "south, west"),
    "three numbers": ("33.0, 128.5, 3", "33.0, 3", "[33.0", "region.strait.boxes", "four numbers", "south, west"),
    "a decimal too many": ("35.1234567", "35.12345671", "[33.0", "region.strait.boxes", "7 decimals", ""),
    "no number": ("35.1234567", "nan", "[33.0", "region.strait.boxes", "7 decimals", ""),
    "a number without end": (
        "35.1234567",
        "1e99999999999999999999",
        "[33.0",
        "region.strait.boxes",
        "four numbers",
        "",
    ),
    "a box of text": ("[33.0, 128.5, 35.1234567, 131]", '"all"', '"all"', "region.strait.boxes", "four numbers", ""),
    "a region that stands twice": (
        '[[grant]]\nid = "bil',
        '[[region]]\nname = "Strait"\nboxes = [[0, 0, 1, 1]]\n[[grant]]\nid = "bil',
        'name = "Strait"',
        "region.Strait.name",
        "twice",
        "its own",
    ),
    # grants
    "no grant id": ('id = "tier-one"\n', "", "[[grant]]\ntext", "grant[2].id", "missing", "text"),
    "an id of a clause again": (
        '"visits"',
        '"tier-one"',
        'id = "tier-one"\ntext = "Off',
        "clause.tier-one.id",
        "twice",
        "",
    ),
    "no words": ('"The two give each other all."', '""', 'text = ""', "grant.bilateral.text", "empty", "in words"),
    "from nobody": (TIER_ONE_PARTIES, "from = []", "from = []", "grant.tier-one.from", "empty list", "Name at least"),
    "from missing": (TIER_ONE_PARTIES + "\n", "", '[[grant]]\nid = "tier', "grant.tier-one.from", "missing", "list"),
    "from a stranger": (
        TIER_ONE_PARTIES,
        'from = [\n"JPN",\n"KRO",\n]',
        '"KRO"',
        "grant.tier-one.from",
        "'KRO' is not a party",
        "Did you mean 'KOR'?",
    ),
    "from a number": (TIER_ONE_PARTIES, 'from = ["JPN", 7]', "7]", "grant.tier-one.from", "not text", "text"),
    "to nobody": (
        'to_tier = ["T1"]\nto = ["KOR"]\n',
        "",
        '[[grant]]\nid = "tier',
        "grant.tier-one.to",
        "nobody",
        "tiers",
    ),
    "to a tier that nobody has": ('["T1"]', '["T2"]', '["T2"]', "grant.tier-one.to_tier", "no party has", "Correct"),
    "to a tier that is none": ('["T1"]', '["T9"]', '["T9"]', "grant.tier-one.to_tier", "is not a tier", "T"),
    "to the originator alone": (
        'from = ["JPN", "KOR"]\nto = ["JPN", "KOR"]',
        'from = ["KOR"]\nto = ["KOR"]',
        'to = ["KOR"]',
        "grant.bilateral.to",
        "only originator",
        "somebody else",
    ),
    "to the tier of the originator alone": (
        'from = ["JPN", "KOR"]\nto = ["JPN", "KOR"]',
        'from = ["IDN"]\nto_tier = ["T1"]',
        "to_tier",
        "grant.bilateral.to_tier",
        "only the originator",
        "others",
    ),
    "no domain": ('["maritime", "cyber"]', "[]", "domains = []", "grant.tier-one.domains", "empty list", ""),
    "a ceiling that is no rung": (
        'g = "SECRET"',
        'g = "SECRTE"',
        "SECRTE",
        "grant.bilateral.ceiling",
        "known",
        "'SECRET'?",
    ),
    "no ceiling": ('ceiling = "SECRET"\n', "", '[[grant]]\nid = "bil', "grant.bilateral.ceiling", "missing", "text"),
    "a view of nothing": ('view = "full"', 'view = "nothing"', '"nothing"', "grant.bilateral.view", "not known", ""),
    "no view": ('view = "full"\n', "", '[[grant]]\nid = "bil', "grant.bilateral.view", "missing", "text"),
    "an unknown view": ('view = "full"', 'view = "Full"', '"Full"', "grant.bilateral.view", "known", "'full'?"),
    "a colour of another protocol": ('"GREEN"', '"WHITE"', '"WHITE"', "grant.tier-one.tlp_ceiling", "known", "CLEAR"),
    "no colour": ('"GREEN"', '""', 'tlp_ceiling = ""', "grant.tier-one.tlp_ceiling", "known", "CLEAR"),
    "a colour with its prefix": ('"GREEN"', '"TLP:GREEN"', '"TLP:', "grant.tier-one.tlp_ceiling", "known", "'GREEN'?"),
    "negative precision": ("10_000", "-1", "precision_m", "grant.tier-one.precision_m", "not within 0", "Correct"),
    "precision with a point": ("10_000", "10.5", "precision_m", "grant.tier-one.precision_m", "another form", "whole"),
    "precision beyond the map": ("10_000", "2_000_000", "precision_m", "grant.tier-one.precision_m", "not within", ""),
    "a misspelt duty": (
        "precision_m",
        "precison_m",
        "precison_m",
        "grant.tier-one.precison_m",
        "known",
        "'precision_m'?",
    ),
    "delay in months": ('"6 h"', '"6 months"', '"6 months"', "grant.tier-one.delay", "length of time", "6 h"),
    "delay without a unit": ('"6 h"', '"6"', "delay", "grant.tier-one.delay", "length of time", "6 h"),
    "negative delay": ('"6 h"', '"-6 h"', "delay", "grant.tier-one.delay", "length of time", "6 h"),
    "delay twice": (
        'delay = "6 h"',
        'delay = "6 h"\ndelay_s = 5',
        "delay_s",
        "grant.tier-one.delay_s",
        "beside",
        "one",
    ),
    "retention that could mean either": (
        '"180 days"',
        '"none"',
        '"none"',
        "grant.tier-one.retention",
        "length",
        "unlimited",
    ),
    "retention of nothing": ('"180 days"', '"0 days"', '"0 days"', "grant.tier-one.retention", "not within 1 s", ""),
    "onward of another word": ('["KOR", "IDN"]', '"any"', '"any"', "grant.tier-one.onward", "not known", "consent"),
    "onward to a stranger": ('["KOR", "IDN"]', '["VNM"]', '["VNM"]', "grant.tier-one.onward", "no duties", "Known"),
    "onward to nobody": ('["KOR", "IDN"]', "[]", "onward = []", "grant.tier-one.onward", "empty list", ""),
    "a region that nobody defined": (
        's = ["strait"]',
        's = ["strat"]',
        'strat"]',
        "grant.tier-one.regions",
        "not a region",
        "'strait'?",
    ),
    "no subject": ('["PIRACY"]', "[]", "subjects = []", "grant.tier-one.subjects", "matches nothing", ""),
    "a subject twice": ('["PIRACY"]', '["PIRACY", "PIRACY"]', '["PIRACY", ', "grant.tier-one.subjects", "twice", "one"),
    "a field that is no path": (
        "properties.rf.pulse",
        "rf..pulse",
        "rf..",
        "grant.tier-one.remove",
        "not the form",
        "",
    ),
    "a caveat that nothing lifts": (
        "LICENCE:gov-partners-only",
        "NOFORN",
        "NOFORN",
        "grant.tier-one.caveats",
        "lift",
        "",
    ),
    "a kind that has no domain": (
        '"maritime.detection"',
        '"detection"',
        '"detection"',
        "grant.tier-one.kinds",
        "form",
        "",
    ),
    "a kind of a domain not listed": (
        '"maritime.detection", ',
        '"space.object", ',
        '"space.object"',
        "grant.tier-one.kinds",
        "not of a domain",
        "Add its domain",
    ),
    # refusals and clauses
    "a refusal to nobody": ('to = ["IDN"]\n', "", "[[refusal]]", "refusal.submarines.to", "nobody", "Name"),
    "a refusal of no domain": (
        'domains = ["maritime"]\nsubjects = ["SUB',
        'subjects = ["SUB',
        "[[refusal]]",
        "refusal.submarines.domains",
        "missing",
        "",
    ),
    "a refusal with a duty": (
        '["SUBMARINE"]',
        '["SUBMARINE"]\nview = "full"',
        'view = "full"\n\n[[clause',
        "refusal.submarines.view",
        "known",
        "",
    ),
    "a clause of another kind": ('"recorded"', '"noted"', '"noted"', "clause.visits.kind", "known", "recorded"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_fault_is_found_once_and_where_it_stands(case: str) -> None:
    old, new, part, field, reason, remedy = BAD[case]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    found = findings(text)
    assert [(finding.line, finding.field) for finding in found] == [(line_of(text, part), field)], found
    assert reason in found[0].reason
    assert remedy in found[0].remedy
    assert found[0].remedy


def test_every_fault_is_reported_at_once_in_the_order_of_the_document() -> None:
    text = GOOD.replace("version = 3", "version = 0").replace('"full"', '"all"').replace('"recorded"', '"noted"')
    found = findings(text)
    assert [finding.field for finding in found] == ["version", "grant.bilateral.view", "clause.visits.kind"]
    with pytest.raises(DocumentError, match=r"(?s)x\.toml: 3 finding.*line 3: version.*line \d+: clause"):
        parse(text)


def test_an_empty_document_lacks_everything() -> None:
    fields = {finding.field for finding in findings("")}
    assert fields == {"format", "id", "version", "title", "term.from", "party", "level", "grant"}


def test_an_agreement_of_one_is_none() -> None:
    text = GOOD[: GOOD.index('[[party]]\nid = "KOR"')] + '[[level]]\nname = "A"\nJPN = ["A"]\n'
    found = [finding.reason for finding in findings(text) if finding.field == "party"]
    assert found == ["names one party; an agreement has two at least."]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("", "JPN, KOR can send nothing"),
        ('KOR = { shows = "II-KUP" }', "KOR can send nothing"),
        ('KOR = { sends = ["II-KUP"] }', "KOR can be shown nothing"),
    ],
)
def test_a_party_that_the_levels_leave_out_is_told(row: str, reason: str) -> None:
    """A clause that names a party which no level lets in looks wide and is dead."""
    text = GOOD.replace('KOR = ["III-KUP"]\n', "").replace(KOREAN, row)
    text = text.replace(TIER_ONE_PARTIES, 'from = ["JPN"]').replace('to = ["KOR"]\n', "")
    found = [finding for finding in findings(text) if finding.field == "grant.bilateral.ceiling"]
    assert any(finding.reason.startswith(reason) for finding in found)
    assert {finding.line for finding in found} == {line_of(text, 'ceiling = "SECRET"')}


def test_a_directed_row_may_be_shown_without_sending() -> None:
    text = GOOD.replace('sends = ["RAHASIA"], ', "").replace(TIER_ONE_PARTIES, 'from = ["JPN", "KOR"]')
    terms = parse(text)
    assert "IDN" not in terms.ladder[0].sends
    assert terms.shown_as("JPN:HI", "IDN") == "RAHASIA"


def test_one_fault_in_a_row_is_not_a_fault_of_each_clause() -> None:
    text = GOOD.replace('["III-KUP"]', '"III-KUP"').replace(KOREAN, "KOR = 5")
    assert [finding.field for finding in findings(text)] == ["level.CONFIDENTIAL.KOR", "level.SECRET.KOR"]


def test_a_level_may_be_shown_as_one_that_protects_more() -> None:
    text = GOOD.replace('KOR = ["III-KUP"]', 'KOR = { sends = ["III-KUP"], shows = "II-KUP" }')
    assert parse(text).shown_as("JPN:HI", "KOR") == "II-KUP"


def test_the_good_text_is_read_whole() -> None:
    terms = parse(GOOD)
    assert terms.ref == AgreementRef("MDA-X", 3, hashlib.sha256(GOOD.encode()).hexdigest())
    assert (terms.title, terms.illustration, terms.note) == ("Maritime picture (illustration)", True, "Invented.")
    assert terms.term == Term(1_767_225_600_500, 1_830_297_600_000, 90)
    assert terms.party("IDN") == PartyEntry("IDN", "Indonesia", "T1")
    assert terms.shown_as("JPN:TOKUTEI HIMITSU", "KOR") == "II-KUP"
    assert terms.shown_as("KOR:II-KUP", "JPN") == "GOKUHI"
    assert terms.shown_as("KOR:II-KUP", "IDN") is None
    assert terms.region("strait").boxes == (
        Place(330_000_000, 1_285_000_000, 351_234_567, 1_310_000_000),
        Place(-10_000_000, 1_795_000_000, 10_000_000, -1_795_000_000),
    )
    assert terms.refusals[0].scope.subjects == ("SUBMARINE",)
    assert terms.clauses == (Clause("visits", "Officers may visit.", "recorded"),)


def test_each_duty_of_a_grant_is_read() -> None:
    grant = parse(GOOD).grants[1]
    assert grant.text == "Those of tier 1 receive a summary."
    assert grant.scope.originators == ("JPN", "KOR", "IDN")
    assert (grant.scope.recipients, grant.scope.tiers) == (("KOR",), ("T1",))
    assert grant.scope.domains == ("maritime", "cyber")
    assert grant.scope.kinds == ("maritime.detection", "maritime.positions")
    assert (grant.scope.subjects, grant.scope.regions) == (("PIRACY",), ("strait",))
    assert (grant.ceiling, grant.view, grant.tlp_ceiling) == ("CONFIDENTIAL", "summary", "GREEN")
    assert (grant.precision_m, grant.delay_s, grant.retention_s) == (10_000, 21_600, 15_552_000)
    assert grant.onward == Onward("list", ("IDN", "KOR"))
    assert grant.purposes == ("cable protection", "rescue")
    assert (grant.remove, grant.caveats) == (("properties.rf.pulse",), ("LICENCE:gov-partners-only",))


def test_a_clause_may_be_for_a_hub_alone() -> None:
    first = 'to = ["JPN", "KOR"]'
    by = GOOD.replace(first, f'{first}\nby = ["IDN"]', 1)
    assert (parse(GOOD).grants[0].by, parse(by).grants[0].by) == ((), ("IDN",))
    (stranger,) = findings(by.replace('by = ["IDN"]', 'by = ["XXX"]'))
    assert "XXX" in str(stranger)


def test_a_clause_by_its_only_recipient_matches_nothing() -> None:
    clause = 'from = ["JPN", "KOR"]\nto = ["IDN"]\nby = ["IDN"]'
    (found,) = findings(
        GOOD.replace('from = ["JPN", "KOR"]\nto = ["JPN", "KOR"]', clause, 1).replace(
            '"SECRET"\nview', '"CONFIDENTIAL"\nview'
        )
    )
    assert "only recipient" in str(found)


def test_the_equal_of_several_levels_is_that_of_the_highest() -> None:
    terms = parse(GOOD)
    assert terms.equal_of(["KOR:III-KUP"], "JPN") == "HI"
    assert terms.equal_of(["KOR:III-KUP", "JPN:GOKUHI"], "KOR") == "II-KUP"
    assert terms.equal_of(["KOR:II-KUP"], "IDN") is None
    assert terms.equal_of(["KOR:SECRET"], "JPN") is None
    assert parse(GOOD.replace(KOREAN, 'KOR = { sends = ["II-KUP"] }')).equal_of(["JPN:GOKUHI"], "KOR") == "II-KUP"


def test_what_is_not_said_of_passing_on_is_the_strictest() -> None:
    grant = parse(GOOD).grants[0]
    assert (grant.onward, grant.caveats, grant.tlp_ceiling) == (Onward("none"), (), "AMBER")
    assert (grant.precision_m, grant.delay_s, grant.retention_s) == (0, 0, None)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0 s", 0), ("90 s", 90), ("30 min", 1800), ("1 hour", 3600), ("2 days", 172_800), ("1 week", 604_800)],
)
def test_lengths_of_time(written: str, seconds: int) -> None:
    assert parse(GOOD.replace('"6 h"', f'"{written}"')).grants[1].delay_s == seconds


def test_delay_in_seconds_and_retention_without_end() -> None:
    text = GOOD.replace('delay = "6 h"', "delay_s = 7").replace('"180 days"', '"unlimited"')
    grant = parse(text).grants[1]
    assert (grant.delay_s, grant.retention_s) == (7, None)


@given(st.integers(-900_000_000, 900_000_000), st.integers(0, 10))
def test_degrees_are_read_digit_by_digit(value_e7: int, zeros: int) -> None:
    sign, magnitude = "-" if value_e7 < 0 else "", abs(value_e7)
    written = f"{sign}{magnitude // 10**7}.{magnitude % 10**7:07d}{'0' * zeros}"
    place = parse(GOOD.replace("[33.0, 128.5, 35.1234567, 131]", f"[{written}, 0, 90, 0]")).regions[0].boxes[0]
    assert place.south_e7 == value_e7


@pytest.mark.parametrize("written", ["1e-999999999", "0.00000001", "180.00000000000000000000000000000000001", "-inf"])
def test_degrees_that_are_not_exact_are_refused(written: str) -> None:
    text = GOOD.replace("35.1234567, 131]", f"89.0, {written}]")
    assert [finding.field for finding in findings(text)] == ["region.strait.boxes"]


def test_nought_is_nought_however_it_is_written() -> None:
    text = GOOD.replace("[33.0, 128.5, ", "[0e999999999, -0.0, ")
    assert parse(text).regions[0].boxes[0] == Place(0, 0, 351_234_567, 1_310_000_000)


def test_a_field_of_each_element_of_a_list_can_be_removed() -> None:
    text = GOOD.replace('["properties.rf.pulse"]', '["Event.Attribute[].value", "attack-pattern"]')
    assert parse(text).grants[1].remove == ("Event.Attribute[].value", "attack-pattern")


def test_kinds_that_the_node_does_not_know_are_told_only_to_the_writer() -> None:
    text = GOOD.replace('"maritime.positions"]', '"maritime.position"]').replace('", "cyber"]', '", "cybre"]')
    assert findings(text) == ()
    with pytest.raises(DocumentError) as caught:
        parse(text, known_kinds=KINDS)
    assert [(finding.field, finding.remedy) for finding in caught.value.findings] == [
        ("grant.tier-one.domains", "Did you mean 'cyber'?"),
        ("grant.tier-one.kinds", "Did you mean 'maritime.positions'?"),
    ]


def test_a_domain_of_which_the_node_has_no_kinds_is_no_fault() -> None:
    text = GOOD.replace('domains = ["maritime"]\nceiling', 'domains = ["maritime", "military"]\nceiling')
    assert parse(text, known_kinds=KINDS).grants[0].scope.domains == ("maritime", "military")


def test_the_digest_is_of_the_bytes_not_of_what_they_mean() -> None:
    other = GOOD.replace('id = "MDA-X"', 'id  = "MDA-X"')
    assert parse(other).grants == parse(GOOD).grants
    assert parse(other).ref.sha256 == hashlib.sha256(other.encode()).hexdigest() != parse(GOOD).ref.sha256


def test_line_breaks_of_another_system_change_no_line() -> None:
    text = GOOD.replace("version = 3", "version = 0").replace("\n", "\r\n")
    assert [finding.line for finding in findings(text)] == [3]


def test_bytes_that_are_not_text() -> None:
    found = findings(GOOD.encode().replace(b"Indonesia", b"Indon\xffsia"))
    assert [(finding.line, finding.reason) for finding in found] == [(line_of(GOOD, "Indonesia"), "is not UTF-8.")]
    assert findings(b"\xef\xbb\xbf" + GOOD.encode())[0].reason.startswith("holds the character U+FEFF")


def test_a_text_over_the_bound_is_not_looked_at() -> None:
    text = GOOD + "# x\n" * (BOUNDS.agreement_bytes // 4)
    assert "at most" in findings(text)[0].reason
    assert len(findings(text)) == 1


def test_a_clause_may_not_be_a_book() -> None:
    book = "word\n" * 1000
    text = GOOD.replace('text = "Officers may visit."', f'text = """{book}"""')
    found = findings(text)
    assert [(finding.field, finding.line) for finding in found] == [
        ("clause.visits.text", line_of(text, 'text = """w'))
    ]


def test_findings_are_bounded() -> None:
    found = findings(GOOD + "".join(f'[[refusal]]\nid = "R{n}"\n' for n in range(300)))
    assert len(found) == BOUNDS.agreement_findings + 1
    assert found[-1].reason == "There may be more."
    assert any("entries, at most" in finding.reason for finding in found)


@pytest.mark.parametrize("written", ['"\\u001b[31m\\u0007"', '"' + "x" * 3000 + '"'])
def test_a_finding_shows_nothing_that_a_terminal_obeys(written: str) -> None:
    found = findings(GOOD.replace('"JPN"', written).replace('"GREEN"', written))
    assert found
    for finding in found:
        assert str(finding).isprintable()
        assert len(str(finding)) < 1000


@pytest.mark.parametrize(("name", "text"), SHIPPED + STORIES)
def test_every_agreement_that_comes_with_relto_is_read_without_a_finding(name: str, text: bytes) -> None:
    terms = read(text, name, known_kinds=KINDS)
    assert terms.illustration
    assert terms.ref.sha256 == hashlib.sha256(text).hexdigest()
    for grant in terms.grants:
        assert terms.recipients(grant)
        assert any(terms.accepted_markings(grant.ceiling, party) for party in terms.recipients(grant))


@pytest.mark.parametrize(("name", "text"), SHIPPED)
def test_the_exercise_says_that_it_is_one(name: str, text: bytes) -> None:
    terms = read(text, name)
    assert terms.title.endswith("(illustration)")
    assert terms.note == (
        "Illustration for an exercise; not the text of any treaty. Levels, limits and dates are invented."
    )
    assert text.startswith(b"# Inspired by public facts:")


def test_the_example_of_the_specification_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs/spec/agreement.md").read_text("utf-8")
    terms = parse(page.split("```toml\n")[1].split("```")[0])
    assert (terms.ref.id, terms.shown_as("JPN:GOKUHI", "KOR")) == ("STRAIT-1", "II-KUP")


def test_the_exercise_reaches_every_node_in_both_domains() -> None:
    reached: dict[str, set[str]] = {"maritime": set(), "cyber": set()}
    for name, text in SHIPPED:
        terms = read(text, name)
        for grant in terms.grants:
            for domain in set(grant.scope.domains) & reached.keys():
                reached[domain].update(terms.recipients(grant))
    nodes = {"USA", "JPN", "AUS", "IND", "KOR", "PHL", "IDN"}
    assert reached == {"maritime": nodes, "cyber": nodes}


def test_the_two_stories_have_the_limits_that_they_tell() -> None:
    told = {name: read(text, name) for name, text in STORIES}
    a1, a6 = (next(terms for name, terms in told.items() if story in name) for story in ("p1-a1", "p5-a6"))
    duties = {
        party: (grant.view, grant.precision_m, grant.delay_s, grant.onward.rule, grant.caveats)
        for grant in a1.grants
        for party in a1.recipients(grant)
        if party != "USA"
    }
    licence = ("LICENCE:gov-partners-only",)
    assert duties == {
        "PHL": ("full", 1000, 0, "consent", licence),
        "IDN": ("full", 10_000, 21_600, "none", licence),
        "JPN": ("full", 1000, 0, "consent", licence),
    }
    assert [entry.id for entry in a6.parties] == ["AUS", "IND", "JPN", "USA"]
    assert {grant.id: grant.tlp_ceiling for grant in a6.grants} == {
        "indicators": "AMBER+STRICT",
        "victim-identity": "RED",
    }


@pytest.mark.parametrize("subject", templates.STARTERS)
def test_a_starter_stands_as_it_is(subject: templates.Starter) -> None:
    parties = (PartyEntry("AUS", 'A "quoted" $name \\', "T3"), PartyEntry("IFC-SGP", "Fusion Centre", "T1"))
    text = templates.starter("MDA-X", "Between $two", parties, from_ms=1_767_225_600_000, subject=subject)
    terms = read(text.encode(), "new.toml", known_kinds=KINDS)
    assert (terms.ref.id, terms.title, terms.parties) == ("MDA-X", "Between $two", parties)
    assert terms.term.from_ms == 1_767_225_600_000
    assert {grant.onward.rule for grant in terms.grants} == {"none"}


@pytest.mark.parametrize(
    ("id", "title", "parties", "field"),
    [
        ("mda", "T", ("AUS", "IDN"), "id"),
        ("MDA-X", "a\nb", ("AUS", "IDN"), "title"),
        ("MDA-X", "T", ("AUS",), "party"),
        ("MDA-X", "T", ("AUS", 'X"]\n'), "party[2].id"),
    ],
)
def test_a_starter_refuses_what_an_agreement_would(id: str, title: str, parties: tuple[str, ...], field: str) -> None:
    entries = [PartyEntry(party, f"number {n}", "T1") for n, party in enumerate(parties)]
    with pytest.raises(DocumentError) as caught:
        templates.starter(id, title, entries, from_ms=0)
    assert field in {finding.field for finding in caught.value.findings}


def test_an_unknown_starter_is_told() -> None:
    with pytest.raises(DocumentError, match="Known: maritime, cyber, classified"):
        templates.starter("MDA-X", "T", [], from_ms=0, subject="space")  # type: ignore[arg-type]


# ---- what holds of any text ----

PIECES = sorted(
    {*GOOD.split(" "), *GOOD.split("\n"), "\u00e9", "\u202e", "[", "]", "{", "}", '"', "'", "#", "\\", "nan", "-1"}
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good text with a few of its pieces changed, doubled, cut out or moved."""
    text = draw(st.sampled_from([GOOD, *(each.decode() for _, each in SHIPPED)]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.sampled_from([0, 1, 1, 5, 40])))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[until:]
    return text


@st.composite
def mistaken(draw: st.DrawFn) -> str:
    """The good text with several of the faults of the table at once, as far as they go together."""
    text = GOOD
    for case in draw(st.lists(st.sampled_from(sorted(BAD)), min_size=2, max_size=6, unique=True)):
        text = text.replace(*BAD[case][:2], 1)
    return text


@given(st.one_of(mutated(), mistaken()))
@example("")
@example("\n\n[a")
@example('a = """')
@example("[[grant]]\n[[grant.x]]\n[grant.x.y]\nz = 1")
def test_any_text_is_read_or_refused_with_lines_inside_it(text: str) -> None:
    try:
        terms = parse(text)
    except DocumentError as error:
        assert error.findings
        for finding in error.findings:
            assert 1 <= finding.line <= text.count("\n") + 1
            assert finding.field
            assert finding.reason
            assert finding.remedy
    else:
        assert_sound(terms)


def assert_sound(terms: Terms) -> None:
    """What every reader of terms relies on."""
    parties = {entry.id for entry in terms.parties}
    ids = [clause.id for clause in (*terms.grants, *terms.refusals, *terms.clauses)]
    assert len(parties) == len(terms.parties) >= 2
    assert len(set(ids)) == len(ids)
    for clause in (*terms.grants, *terms.refusals):
        assert clause.scope.originators
        assert clause.scope.domains
        assert set(clause.scope.originators) <= parties
        assert terms.recipients(clause)
    for grant in terms.grants:
        assert grant.view in VIEWS[1:]
        assert grant.tlp_ceiling in TLP_ORDER
        assert terms.rungs_up_to(grant.ceiling)
        assert min(grant.precision_m, grant.delay_s) >= 0
        assert set(grant.onward.to) <= parties
    assert {clause.kind for clause in terms.clauses} <= set(CLAUSE_KINDS)


ODD = """\
a = 1 # = not a key
"quoted \\"key" = [ # comment ]
  1, 2.5,
  "a ] b", # [
  { x = [1, [2, 3]], 'y.z' = "} " },
  2026-01-01 00:00:00Z,
]
d.o.t = \"\"\"
[not a table]
key = 1 \\\"\"\" \"\"\"\"
after = '''
[[nor this]]'''
[t . "s p"]
k = {}
[[list]]
n = ''
[list.sub]
m = ""
[[list.inner]]
o = []
[[list.inner]]
p.q = { r = { s = 1 } }
[[list]]
[[list.inner]]
last = 1e5"""


def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(part, (*path, step)) for step, part in steps))


@pytest.mark.parametrize("text", [ODD, GOOD, *(each.decode() for _, each in SHIPPED)])
def test_the_index_knows_the_line_of_every_key(text: str) -> None:
    lines = line_index(tokens_of(text))
    source = text.split("\n")
    assert lines.keys() == paths(tomllib.loads(text))
    for path, line in lines.items():
        if path and isinstance(path[-1], str):
            assert path[-1].replace('"', '\\"') in source[line - 1]


def test_the_index_where_the_lines_are_known() -> None:
    lines = line_index(tokens_of(ODD))
    assert lines[('quoted "key', 3, "x", 1, 1)] == 5
    assert lines[('quoted "key', 4)] == 6
    assert lines[("d", "o", "t")] == 8
    assert lines[("after",)] == 11
    assert lines[("t", "s p", "k")] == 14
    assert lines[("list", 0, "inner", 1, "p", "q", "r", "s")] == 22
    assert lines[("list", 1, "inner", 0, "last")] == 25


@pytest.mark.parametrize("unit", ['"', '"""', "'''", '\\"""\n', '"\\', "[", "{a=", "a.", "#", "\n", "[[a]]\n", "\\"])
def test_no_text_makes_the_index_look_twice(unit: str) -> None:
    """Every token takes its characters once, so their lengths add up to the text's at most."""
    text = unit * 2000
    assert sum(len(part) for part, _ in tokens_of(text)) <= len(text)
    assert findings(text)
