"""Invented worlds from a seed: agreements as the text that parties sign, and questions of release about items.

The words are few, so that clauses and items meet often. A question is first aimed at a grant and then spoiled, or not:
so every verdict and every reason comes up. Everything here is valid input; the same seed gives the same world.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

Plain = dict[str, Any]

CAST = ("AUS", "IDN", "IND", "JPN", "KOR", "PHL", "USA")
LEVELS = {  # each party's own, lowest first; what stands together means about the same
    "AUS": (("OFFICIAL",), ("PROTECTED",), ("SECRET",)),
    "IDN": (("BIASA",), ("TERBATAS",), ("RAHASIA",)),
    "IND": (("UNCLASSIFIED",), ("RESTRICTED", "GOPNIYA"), ("GUPT",)),
    "JPN": (("BUGAI",), ("HI", "TORIATSUKAI CHUI"), ("GOKUHI", "TOKUTEI HIMITSU")),
    "KOR": (("DAEOEBI",), ("III-KUP",), ("II-KUP",)),
    "PHL": (("OPEN",), ("RESTRICTED", "CONFIDENTIAL"), ("SECRET",)),
    "USA": (("CUI",), ("CONFIDENTIAL",), ("SECRET",)),
}
RUNGS = ("OPEN", "CLOSED", "SECRET")
TIERS = ("T0", "T1", "T2", "T3")
KINDS = {
    "cyber.bundle": "application/stix+json;version=2.1",
    "cyber.event": "application/vnd.misp+json",
    "cyber.vulnerability": "application/json",
    "geospatial.scene": "application/json",
    "geospatial.slice": "application/octet-stream",
    "maritime.detection": "application/geo+json",
    "maritime.distress": "application/geo+json",
    "maritime.positions": "application/vnd.apache.parquet",
    "maritime.vessels": "application/vnd.apache.parquet",
    "maritime.warning": "application/geo+json",
    "military.track": "application/geo+json",
}
SUBJECTS = ("CABLE", "CT", "DPRK-MISSILE")
PURPOSES = ("cable protection", "counter terrorism", "rescue")
CAVEATS = ("EYES:ALPHA", "EYES:BRAVO", "LICENCE:ACME", "LICENCE:ZENITH", "ORCON", "ORCON:ALPHA")
COLOURS = ("", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
FIELDS = ("mmsi", "name", "properties.rf.pulse")
REGIONS: dict[str, list[list[float]]] = {  # south, west, north, east in degrees
    "BAY": [[10, 110, 20, 120.5]],
    "STRAIT": [[20, 120.5, 30, 130], [-10, 100, 0, 110]],
    "DATELINE": [[-20, 170, 20, -170]],
    "EAST END": [[30, 160, 40, 180]],
}
PLACES = (  # south, west, north, east in 1e-7 degree; corners and edges of the regions are among them
    (150_000_000, 1_150_000_000, 150_000_000, 1_150_000_000),
    (200_000_000, 1_205_000_000, 200_000_000, 1_205_000_000),
    (200_000_001, 1_204_999_999, 210_000_000, 1_204_999_999),
    (-50_000_000, 1_050_000_000, 150_000_000, 1_250_000_000),
    (0, 1_750_000_000, 10_000_000, -1_790_000_000),
    (0, -1_800_000_000, 0, -1_800_000_000),
    (350_000_000, -1_800_000_000, 360_000_000, -1_790_000_000),
    (400_000_001, 1_700_000_000, 410_000_000, 1_750_000_000),
    (-900_000_000, -1_800_000_000, 900_000_000, 1_800_000_000),
)
SELECTORS = ("part-a", "part-b", "part-c")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Question:
    """One cell: may ``holder`` release the item to ``recipient`` now? The fields are those that the oracle takes.

    ``upstream`` holds, for each release by which the item came, ``from, onward, purposes, retention_s``; ``overrides``
    are refusals with ``id, text, from, to, domains`` and perhaps ``kinds`` and ``subjects``.
    """

    holder: str
    recipient: str
    header: Plain
    upstream: tuple[Plain, ...]
    now_ms: int
    quarantined: frozenset[str]
    overrides: tuple[Plain, ...]

    @property
    def header_bytes(self) -> bytes:
        """The header as canonical JSON, as items carry it."""
        return json.dumps(self.header, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class World:
    """The signed texts of all agreements, and questions about them."""

    texts: tuple[bytes, ...]
    questions: tuple[Question, ...]


def world(rng: Random, *, questions: int = 20) -> World:
    """One to four agreements among the cast, and questions about them."""
    plans = [_agreement(rng, f"WORLD-{letter}") for letter in "ABCD"[: rng.randint(1, 4)]]
    return World(
        tuple(_toml(plan).encode() for plan in plans),
        tuple(_question(rng, plans) for _ in range(questions)),
    )


def worlds(seed: int, *, count: int, questions: int = 20) -> Iterator[World]:
    """Worlds one after the other; each has its own seed, so that one can be looked at alone."""
    for number in range(count):
        yield world(Random(f"{seed}/{number}"), questions=questions)


# ---- agreements


def _agreement(rng: Random, identity: str) -> Plain:
    """The tables of an agreement; drawn again until its clauses can reach somebody, as the format demands."""
    while True:
        tiers = {party: rng.choice(TIERS) for party in sorted(rng.sample(CAST, rng.randint(2, 5)))}
        regions = rng.sample(sorted(REGIONS), rng.randint(0, 3))
        ladder = _ladder(rng, list(tiers))
        grants = [_grant(rng, f"grant-{n}", tiers, ladder, regions) for n in range(1, rng.randint(2, 5))]
        grants += [_wider(rng, grant, ladder, regions) for grant in grants if rng.random() < 0.4]
        refusals = [_refusal(rng, f"refusal-{n}", tiers, regions) for n in range(rng.choice((0, 0, 0, 0, 1, 2)))]
        if all(_reaches(clause, tiers, ladder) for clause in (*grants, *refusals)):
            break
    return {
        "format": "relto-agreement/1",
        "id": identity,
        "version": rng.randint(1, 3),
        "title": f"Exercise agreement {identity}",
        "illustration": True,
        "term": _term(rng),
        "party": [{"id": party, "name": f"Party {party}", "tier": tier} for party, tier in tiers.items()],
        "level": ladder,
        "region": [{"name": name, "boxes": REGIONS[name]} for name in regions],
        "grant": grants,
        "refusal": refusals,
    }


def _term(rng: Random) -> Plain:
    """Mostly in force; else over, not begun, or with its first or its first missing instant just now."""
    year = timedelta(days=365)
    begins, ends = rng.choices(
        [
            (NOW - year, NOW + year),
            (NOW - year, None),
            (NOW, NOW + year),
            (NOW - year, NOW),
            (NOW - 2 * year, NOW - year),
            (NOW + timedelta(milliseconds=1), None),
        ],
        [30, 10, 3, 2, 2, 2],
    )[0]
    return {"from": begins} | ({} if ends is None else {"until": ends})


def _ladder(rng: Random, parties: Sequence[str]) -> list[Plain]:
    """One to three rungs. Some parties only send, only see, or have no place there; a level may stand a rung higher."""
    steps = sorted(rng.sample(range(3), rng.choice((1, 2, 2, 3, 3))))
    return [{"name": RUNGS[step]} | _rows(rng, parties, step, step - 1 not in steps) for step in steps]


def _rows(rng: Random, parties: Sequence[str], step: int, alone: bool) -> Plain:
    rows: Plain = {}
    for party in parties:
        own = LEVELS[party][step]
        levels = [*own[: rng.randint(1, len(own))], *(LEVELS[party][step - 1] if alone and step else ())]
        shape = rng.choices(("list", "sends", "shows", "both", "none"), (12, 1, 1, 2, 1))[0]
        if shape == "list":
            rows[party] = levels
        elif shape != "none":
            row = {"sends": levels, "shows": own[-1]}
            rows[party] = row if shape == "both" else {shape: row[shape]}
    return rows or {parties[0]: list(LEVELS[parties[0]][step])}


def _some(rng: Random, words: Sequence[str], chance: float) -> list[str]:
    """Some of the words, or with the rest of the chance none."""
    return sorted(rng.sample(list(words), rng.randint(1, len(words)))) if words and rng.random() < chance else []


def _filled(clause: Plain) -> Plain:
    """The clause without its empty lists, which the format refuses."""
    return {key: value for key, value in clause.items() if value != []}


def _scope(rng: Random, identity: str, tiers: Plain, regions: Sequence[str], narrow: float) -> Plain:
    parties, domains = list(tiers), _some(rng, ("cyber", "maritime"), 1)
    by_tier = rng.random() < 0.3
    return {
        "id": identity,
        "text": f"Clause {identity} of the exercise.",
        "from": _some(rng, parties, 1),
        "to": _some(rng, parties, 0.3 if by_tier else 1),
        "to_tier": _some(rng, sorted(set(tiers.values())), float(by_tier)),
        "domains": domains,
        "kinds": _some(rng, [kind for kind in KINDS if kind.split(".")[0] in domains], narrow),
        "subjects": _some(rng, SUBJECTS, narrow),
        "regions": _some(rng, regions, narrow),
    }


def _grant(rng: Random, identity: str, tiers: Plain, ladder: Sequence[Plain], regions: Sequence[str]) -> Plain:
    scope = _scope(rng, identity, tiers, regions, 0.3)
    scope["kinds"] = [rng.choice(scope["kinds"])] if scope["kinds"] else []
    delay = rng.choice(({}, {}, {}, {}, {}, {"delay": "6 h"}, {"delay": "30 min"}, {"delay_s": 90}))
    retention = rng.choice(({}, {"retention": "unlimited"}, {"retention": "30 days"}, {"retention": "26 weeks"}))
    onward = rng.choice(({}, {"onward": "none"}, {"onward": "consent"}, {"onward": _some(rng, list(tiers), 1)}))
    return _filled(
        scope
        | {
            "ceiling": rng.choice((*ladder[:-1], *ladder))["name"],
            "tlp_ceiling": rng.choice((*COLOURS[1:4], *COLOURS[1:])),
            "view": rng.choices(("full", "detail", "summary", "notice"), (6, 2, 1, 1))[0],
            "precision_m": rng.choice((0, 0, 0, 0, 1000, 10_000)),
            "remove": _some(rng, FIELDS, 0.15),
            "purposes": _some(rng, PURPOSES, 0.5),
            "caveats": _some(rng, CAVEATS, 0.6),
            "by": _some(rng, list(tiers), 0.15),
        }
        | delay
        | retention
        | onward
    )


def _wider(rng: Random, grant: Plain, ladder: Sequence[Plain], regions: Sequence[str]) -> Plain:
    """The same grant for stricter handling, at the price of one more duty: a portion may then go by this one only."""
    price = rng.choice(("purposes", "remove", "regions", "onward", "retention", "view"))
    duties: Plain = {
        "purposes": _some(rng, PURPOSES, 1),
        "remove": _some(rng, FIELDS, 1),
        "regions": _some(rng, regions, 1),
        "onward": rng.choice(("none", "consent")),
        "retention": "1 day",
        "view": "notice",
    }
    widened = {"id": f"{grant['id']}-wider", "ceiling": ladder[-1]["name"], "tlp_ceiling": "RED", "caveats": [*CAVEATS]}
    return _filled(grant | widened | {price: duties[price]})


def _refusal(rng: Random, identity: str, tiers: Plain, regions: Sequence[str]) -> Plain:
    return _filled(_scope(rng, identity, tiers, regions, 0.6))


def _recipients(clause: Plain, tiers: Plain) -> set[str]:
    by_tier = {party for party, tier in tiers.items() if tier in clause.get("to_tier", ())}
    return {*clause.get("to", ()), *by_tier}


def _reaches(clause: Plain, tiers: Plain, ladder: Sequence[Plain]) -> bool:
    """Whether the format takes the clause: each originator reaches a recipient by it, and each recipient is reached."""
    senders, readers = set(clause["from"]), _recipients(clause, tiers)
    if len(senders) == 1 and senders <= set(clause.get("to", ())):
        return False
    if len(readers) == 1 and set(clause.get("by", ())) == readers:
        return False
    readers -= senders if len(senders) == 1 else set()
    if "ceiling" not in clause or not readers:
        return bool(readers)
    pairs = {
        (sender, reader)
        for level in ladder[: [level["name"] for level in ladder].index(clause["ceiling"]) + 1]
        for sender in senders & _standing(level, "sends")
        for reader in readers & _standing(level, "shows")
        if sender != reader
    }
    return {sender for sender, _ in pairs} == senders and {reader for _, reader in pairs} == readers


def _standing(level: Plain, side: str) -> set[str]:
    """The parties that send, or see, at a rung."""
    rows = {party: row for party, row in level.items() if party != "name"}
    return {party for party, row in rows.items() if isinstance(row, list) or side in row}


def _toml(plan: Plain) -> str:
    """The tables as a text: single values first, then each table under its name."""
    lines = [f"{key} = {_value(value)}" for key, value in plan.items() if not _is_table(value)]
    for key, value in plan.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_value(each)}" for name, each in value.items())]
        elif _is_table(value):
            for table in value:
                lines += ["", f"[[{key}]]", *(f"{name} = {_value(each)}" for name, each in table.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict | list)


def _value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


# ---- questions


def _question(rng: Random, plans: Sequence[Plain]) -> Question:
    """A question aimed at one grant, and for every second one something that may stand in its way."""
    plan = rng.choice(plans)
    grant = rng.choice(plan["grant"])
    tiers = {party["id"]: party["tier"] for party in plan["party"]}
    origin = rng.choice(grant["from"])
    recipient = rng.choice(sorted(_recipients(grant, tiers) - {origin}) or sorted(tiers.keys() - {origin}))
    holder = origin if rng.random() < 0.6 else rng.choice(sorted(tiers.keys() - {recipient}))
    draft: Plain = {
        "holder": holder,
        "recipient": recipient,
        "header": _header(rng, plan, grant, origin, recipient),
        "now_ms": NOW_MS,
        "quarantined": set(),
        "overrides": [],
    }
    for spoil in rng.sample(SPOILERS, rng.choice((0, 0, 0, 1, 1, 2))):
        spoil(rng, draft)
    draft["upstream"] = _upstream(rng, draft)
    if draft["upstream"] and draft["header"]["origin"] != draft["holder"]:
        draft["header"]["release"] = _release(draft)
    return Question(
        **draft
        | {
            "upstream": tuple(draft["upstream"]),
            "quarantined": frozenset(draft["quarantined"]),
            "overrides": tuple(draft["overrides"]),
        }
    )


def _header(rng: Random, plan: Plain, grant: Plain, origin: str, recipient: str) -> Plain:
    """A header that the grant is likely to cover."""
    kind = rng.choice(grant.get("kinds") or [k for k in KINDS if k.split(".")[0] in grant["domains"]])
    others = {rng.choice(CAST)} if rng.random() < 0.15 else set()
    return {
        "v": 1,
        "id": f"{rng.getrandbits(128):032x}",
        "version": rng.randint(1, 3),
        "kind": kind,
        "origin": origin,
        "observed_ms": NOW_MS - 3_600_000,
        "until_ms": NOW_MS - rng.choice((0, 3_600_000)),
        "place": _place(rng.choice(PLACES)) if "regions" in grant or rng.random() < 0.6 else None,
        "subjects": sorted({*_some(rng, grant.get("subjects", SUBJECTS), 0.9 if "subjects" in grant else 0.4)}),
        "label": {
            "handling": _fitting_handling(rng, plan, grant, recipient),
            "originators": sorted({origin} | others),
            "portions": [
                {"selector": selector, "handling": _portion_handling(rng, plan, recipient)}
                for selector in _some(rng, SELECTORS, 0.4)
            ],
            "foreign": "",
        },
        "sources": [],
        "media_type": KINDS[kind],
        "size": 0,
        "sha256": hashlib.sha256(b"").hexdigest(),
        "release": None,
    }


def _place(edges: tuple[int, int, int, int]) -> Plain:
    return dict(zip(("south_e7", "west_e7", "north_e7", "east_e7"), edges, strict=True))


def _handling(markings: Sequence[tuple[str, str]], caveats: Sequence[str], tlp: str, permitted: Plain) -> Plain:
    """A handling in its one form: sorted, a tag once. ``permitted`` are the permissive categories by tag."""
    values: dict[str, set[str]] = {}
    for caveat in caveats:
        tag, _, value = caveat.partition(":")
        values.setdefault(tag, set()).update({value} - {""})
    licences = values.pop("LICENCE", set())
    categories = [(tag, "restrictive", sorted(each)) for tag, each in values.items()]
    categories += [(tag, "permissive", sorted(each)) for tag, each in permitted.items()]
    return {
        "markings": [{"policy": policy, "level": level, "text": level} for policy, level in sorted(set(markings))],
        "categories": [{"tag": tag, "type": type, "values": each} for tag, type, each in sorted(categories)],
        "tlp": tlp,
        "licences": sorted(licences),
    }


def _fitting_handling(rng: Random, plan: Plain, grant: Plain, recipient: str) -> Plain:
    colours = COLOURS[: COLOURS.index(grant["tlp_ceiling"]) + 1]
    permitted: Plain = {}
    if rng.random() < 0.2:
        permitted["REL TO"] = {recipient, rng.choice(CAST)}
    if rng.random() < (0.3 if "purposes" in grant else 0.05):
        permitted["PURPOSE"] = {*grant.get("purposes", ()), rng.choice(PURPOSES)}
    mapped = _mapped(plan, grant["ceiling"], recipient) or [("XXX", "OPEN")]
    markings = rng.sample(mapped, min(len(mapped), rng.choice((1, 1, 2))))
    return _handling(markings, _some(rng, grant.get("caveats", ()), 0.4), rng.choice(colours), permitted)


def _mapped(plan: Plain, ceiling: str, recipient: str) -> list[tuple[str, str]]:
    """The markings that the ladder shows to the recipient up to the ceiling."""
    found = []
    for level in plan["level"]:
        if recipient in _standing(level, "shows"):
            for party in sorted(_standing(level, "sends")):
                row = level[party]
                found += [(party, each) for each in (row if isinstance(row, list) else row["sends"])]
        if level["name"] == ceiling:
            break
    return found


def _portion_handling(rng: Random, plan: Plain, recipient: str) -> Plain:
    """Something stricter in one or two ways, or in none."""
    top = plan["level"][-1]["name"]
    markings, caveats, permitted = [], list[str](), dict[str, set[str]]()
    colour = rng.choice(COLOURS[1:]) if rng.random() < 0.4 else ""
    for way in rng.sample(("marking", "unknown", "caveat", "NOFORN", "REL TO", "PURPOSE"), rng.choice((0, 1, 1, 2))):
        if way == "marking":
            markings += rng.sample(_mapped(plan, top, recipient)[-2:], 1) if _mapped(plan, top, recipient) else []
        elif way == "unknown":
            markings.append(rng.choice((("XXX", "OPEN"), ("JPN", "KIMITSU"))))
        elif way == "caveat":
            caveats.append(rng.choice((*CAVEATS, "ORCON", "ORCON")))
        elif way == "NOFORN":
            caveats.append("NOFORN")
        else:
            permitted[way] = {*_some(rng, CAST if way == "REL TO" else PURPOSES, 0.9)}
    return _handling(markings, caveats, colour, permitted)


def _upstream(rng: Random, draft: Plain) -> list[Plain]:
    """How the item came to the holder: nothing if the holder made it alone, and now and then no record at all."""
    strangers = sorted({*draft["header"]["label"]["originators"]} - {draft["holder"]})
    if not strangers or rng.random() < 0.08:
        return []
    return [_upstream_release(rng, draft, strangers) for _ in range(rng.choice((1, 1, 1, 2)))]


def _upstream_release(rng: Random, draft: Plain, strangers: Sequence[str]) -> Plain:
    rule = rng.choices(("list", "consent", "none"), (7, 1, 1))[0]
    named = {draft["recipient"]} if rng.random() < 0.9 else set()
    return {
        "from": rng.choice(strangers),
        "onward": {"rule": rule, "to": sorted(named | {*_some(rng, CAST, 0.5)}) if rule == "list" else []},
        "purposes": _some(rng, PURPOSES, 0.2),
        "retention_s": rng.choice((None, None, 86_400, 90 * 86_400)),
    }


def _release(draft: Plain) -> Plain:
    """The release that stands in the header of what came from somebody else: the first of its upstream."""
    first = draft["upstream"][0]
    return {
        "by": first["from"],
        "to": draft["holder"],
        "edition": 1,
        "view": "full",
        "duties": {
            "precision_m": 0,
            "delay_s": 0,
            "retention_s": first["retention_s"],
            "onward": first["onward"],
            "purposes": first["purposes"],
        },
        "agreements": [],
        "rules": [],
        "time_ms": NOW_MS - 60_000,
    }


# ---- what may stand in the way


def _other_recipient(rng: Random, draft: Plain) -> None:
    draft["recipient"] = rng.choice([party for party in CAST if party != draft["holder"]])


def _other_holder(rng: Random, draft: Plain) -> None:
    draft["holder"] = rng.choice([party for party in CAST if party != draft["recipient"]])


def _other_origin(rng: Random, draft: Plain) -> None:
    header = draft["header"]
    header["origin"] = rng.choice(CAST)
    header["label"]["originators"] = sorted({header["origin"], *header["label"]["originators"]})
    if rng.random() < 0.7:
        draft["holder"] = header["origin"] if header["origin"] != draft["recipient"] else draft["holder"]
        header["label"]["originators"] = [header["origin"]]


def _other_kind(rng: Random, draft: Plain) -> None:
    kind = rng.choice(sorted(KINDS))
    draft["header"] |= {"kind": kind, "media_type": KINDS[kind]}


def _other_subjects(rng: Random, draft: Plain) -> None:
    draft["header"]["subjects"] = _some(rng, SUBJECTS, 0.5)


def _other_place(rng: Random, draft: Plain) -> None:
    draft["header"]["place"] = None if rng.random() < 0.3 else _place(rng.choice(PLACES))


def _other_markings(rng: Random, draft: Plain) -> None:
    """Any level of any policy, an unknown one, or none."""
    party = rng.choice((draft["header"]["origin"], rng.choice(CAST)))
    marking = (party, rng.choice(["KIMITSU", *(level for step in LEVELS[party] for level in step)]))
    found = _handling([] if rng.random() < 0.1 else [marking], (), "", {})
    draft["header"]["label"]["handling"]["markings"] = found["markings"]


def _set_category(draft: Plain, tag: str, type: str, values: Sequence[str]) -> None:
    handling = draft["header"]["label"]["handling"]
    kept = [c for c in handling["categories"] if (c["tag"], c["type"]) != (tag, type)]
    found = [*kept, {"tag": tag, "type": type, "values": sorted(values)}]
    handling["categories"] = sorted(found, key=lambda c: (c["tag"], c["type"], c["values"]))


def _no_foreigners(rng: Random, draft: Plain) -> None:
    _set_category(draft, "NOFORN", "restrictive", [])


def _releasable_to(rng: Random, draft: Plain) -> None:
    _set_category(draft, "REL TO", "permissive", _some(rng, CAST, 0.9))


def _purpose_bound(rng: Random, draft: Plain) -> None:
    _set_category(draft, "PURPOSE", "permissive", _some(rng, PURPOSES, 0.9))


def _restricted(rng: Random, draft: Plain) -> None:
    _set_category(draft, "ORCON", "restrictive", _some(rng, ("ALPHA", "BRAVO"), 0.5))


def _remarked(rng: Random, draft: Plain) -> None:
    """An informative category restricts nothing, even under a tag that would."""
    _set_category(draft, rng.choice(("NOFORN", "REL TO", "REMARK")), "informative", ["ALPHA"])


def _licensed(rng: Random, draft: Plain) -> None:
    draft["header"]["label"]["handling"]["licences"] = _some(rng, ("ACME", "ZENITH"), 1)


def _coloured(rng: Random, draft: Plain) -> None:
    draft["header"]["label"]["handling"]["tlp"] = rng.choice(COLOURS)


def _quarantined(rng: Random, draft: Plain) -> None:
    """The recipient, the item, or somebody who has no part in it."""
    draft["quarantined"] |= {rng.choice((draft["recipient"], draft["header"]["id"], "VNM"))}


def _overridden(rng: Random, draft: Plain) -> None:
    header = draft["header"]
    domain = header["kind"].split(".")[0]
    refusal = {
        "id": "national-1",
        "text": "A law of the holder.",
        "from": sorted({header["origin"], rng.choice(CAST)}),
        "to": sorted({draft["recipient"] if rng.random() < 0.8 else rng.choice(CAST)}),
        "domains": [domain],
        "kinds": _some(rng, [kind for kind in KINDS if kind.startswith(domain)], 0.3),
        "subjects": _some(rng, SUBJECTS, 0.3),
    }
    draft["overrides"].append(_filled(refusal))


SPOILERS: tuple[Callable[[Random, Plain], None], ...] = (
    _other_recipient,
    _other_holder,
    _other_origin,
    _other_kind,
    _other_subjects,
    _other_place,
    _other_markings,
    _no_foreigners,
    _releasable_to,
    _purpose_bound,
    _restricted,
    _remarked,
    _licensed,
    _coloured,
    _quarantined,
    _overridden,
)
