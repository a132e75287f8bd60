"""A second decision, written for clarity alone from docs/spec/release.md, to compare the real one with.

It shares nothing with the real one but data: no import of the project, its own reading of an agreement's text, plain
dicts, and no regard for speed. Where the page leaves room the stricter reading is taken, and the place says so.
Input is taken as valid; what is not raises whatever it raises.

Pages: docs/spec/release.md (sections 1 to 6), docs/spec/agreement.md (the text of agreements).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from math import floor
from typing import Any

Plain = dict[str, Any]

VIEWS = ["nothing", "notice", "summary", "detail", "full"]
COLOURS = ["", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
STRICTNESS = ["none", "consent", "list"]
BATCH_KINDS = frozenset({"maritime.positions", "maritime.vessels"})  # content in columns: can be clipped to a region
UNIT_S = {
    "s": 1,
    "second": 1,
    "seconds": 1,
    "min": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hour": 3600,
    "hours": 3600,
    "day": 86_400,
    "days": 86_400,
    "week": 604_800,
    "weeks": 604_800,
}

# ---- the text of an agreement


def parse_agreement(text: bytes) -> Plain:
    """Read the text of a valid agreement into plain values.

    Returns:
        ``id, version, from_ms, until_ms`` (None: no end), ``tiers`` (party -> tier; a caller who knows the earned ones
        may put them here), ``ladder`` (lowest rung first: name, sends, shows), ``grants`` and ``refusals`` with every
        default filled in. A clause's ``boxes`` are its regions' in degrees, None where it is not limited.
    """
    document = tomllib.loads(text.decode(), parse_float=Decimal)
    regions = {region["name"]: region["boxes"] for region in document.get("region", [])}
    until = document["term"].get("until")
    return {
        "id": document["id"],
        "version": document["version"],
        "from_ms": _instant_ms(document["term"]["from"]),
        "until_ms": None if until is None else _instant_ms(until),
        "tiers": {party["id"]: party["tier"] for party in document["party"]},
        "ladder": [_rung(level) for level in document["level"]],
        "grants": [_grant(clause, regions) for clause in document["grant"]],
        "refusals": [_scope(clause, regions) for clause in document.get("refusal", [])],
    }


def _instant_ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _rung(level: Plain) -> Plain:
    """A row that is a list sends all of it and shows the first; a row that is a table says both, or one."""
    sends, shows = {}, {}
    for party, row in level.items():
        if party == "name":
            continue
        if isinstance(row, list):
            row = {"sends": row, "shows": row[0]}
        if "sends" in row:
            sends[party] = row["sends"]
        if "shows" in row:
            shows[party] = row["shows"]
    return {"name": level["name"], "sends": sends, "shows": shows}


def _scope(clause: Plain, regions: Plain) -> Plain:
    names = clause.get("regions", [])
    return {
        "id": clause["id"],
        "from": clause["from"],
        "to": clause.get("to", []),
        "to_tier": clause.get("to_tier", []),
        "domains": clause["domains"],
        "kinds": clause.get("kinds", []),
        "subjects": clause.get("subjects", []),
        "regions": names,
        "boxes": [box for name in names for box in regions[name]] if names else None,
    }


def _grant(clause: Plain, regions: Plain) -> Plain:
    onward = clause.get("onward", "none")
    return _scope(clause, regions) | {
        "ceiling": clause["ceiling"],
        "tlp_ceiling": clause.get("tlp_ceiling", "AMBER"),
        "view": clause["view"],
        "precision_m": clause.get("precision_m", 0),
        "delay_s": _seconds(clause["delay"]) if "delay" in clause else clause.get("delay_s", 0),
        "remove": clause.get("remove", []),
        "retention_s": _seconds(clause["retention"]) if "retention" in clause else clause.get("retention_s"),
        "onward": (onward, []) if isinstance(onward, str) else ("list", onward),
        "purposes": clause.get("purposes", []),
        "caveats": clause.get("caveats", []),
        "by": clause.get("by", []),
    }


def _seconds(text: str) -> int | None:
    if text == "unlimited":
        return None
    number, unit = text.split()
    return int(number) * UNIT_S[unit]


# ---- the decision


def decide(
    *,
    holder: str,
    recipient: str,
    header: Plain,
    upstream: Sequence[Plain],
    agreements: Sequence[Plain],
    now_ms: int,
    quarantined: AbstractSet[str] = frozenset(),
    overrides: Sequence[Plain] = (),
) -> Plain:
    """Decide whether the holder releases an item to the recipient now, in which view and with which duties.

    Args:
        header: the item's header as ``json.loads`` gives it.
        upstream: how the item came to the holder: ``from``, ``onward`` (``rule``, ``to``), ``purposes`` and
            ``retention_s`` of each release. Every one of them covers all originators other than the holder.
        agreements: as ``parse_agreement`` gives them; all whose text every party signed.
        quarantined: parties and item ids.
        overrides: the holder's own refusals: ``from, to, domains`` and perhaps ``to_tier, kinds, subjects, boxes``
            with the meaning that they have in a refusal clause.

    Returns:
        ``verdict, view, reason`` (the code if WITHHELD), the duties, ``regions`` to clip to, ``grant`` that decided
        (``ID/VERSION/GRANT``) and ``removed_portions``. FULL or SANITISED is judged before rendering.
    """
    case: Plain = {
        "holder": holder,
        "recipient": recipient,
        "header": header,
        "upstream": upstream,
        "agreements": agreements,
        "now_ms": now_ms,
        "quarantined": quarantined,
        "overrides": overrides,
    }
    handling = header["label"]["handling"]
    whole = _decide_handling(case, handling)
    if whole["verdict"] == "WITHHELD":
        return whole
    kept, removed = [whole], []
    for portion in header["label"]["portions"]:
        part = _decide_handling(case, _join(handling, portion["handling"]))
        if _stays(part, whole):
            kept.append(part)
        else:
            removed.append(portion["selector"])
    return _judged(
        whole
        | {
            "retention_s": _shortest(answer["retention_s"] for answer in kept),
            "onward": _strictest(answer["onward"] for answer in kept),
            "removed_portions": sorted(removed),
            "marks": sorted({mark for answer in kept for mark in answer["marks"]}),
        },
        header["kind"],
    )


def _join(a: Plain, b: Plain) -> Plain:
    """Both at once. Categories are not merged: every rule below asks each of them, which is the same and simpler."""
    return {
        "markings": a["markings"] + b["markings"],
        "categories": a["categories"] + b["categories"],
        "tlp": max(a["tlp"], b["tlp"], key=COLOURS.index),
        "licences": a["licences"] + b["licences"],
    }


def _stays(part: Plain, whole: Plain) -> bool:
    """Whether a portion may go along: nothing that its own decision demands is missing from the whole's.

    Without purposes, removed fields and regions among these, a portion would leave by a grant whose terms the release
    does not carry.
    """
    if part["verdict"] == "WITHHELD" or VIEWS.index(part["view"]) < VIEWS.index(whole["view"]):
        return False
    if part["precision_m"] > whole["precision_m"] or part["delay_s"] > whole["delay_s"]:
        return False
    if part["purposes"] and not (whole["purposes"] and set(whole["purposes"]) <= set(part["purposes"])):
        return False
    if not set(part["remove"]) <= set(whole["remove"]):
        return False
    return _clips_as_much(whole, part)


def _clips_as_much(whole: Plain, part: Plain) -> bool:
    """Whether no position stays in the whole that the part's regions would cut: areas count, not their names."""
    if part["boxes"] is None:
        return True
    return whole["boxes"] is not None and {tuple(box) for box in whole["boxes"]} <= {
        tuple(box) for box in part["boxes"]
    }


def _judged(answer: Plain, kind: str) -> Plain:
    cut = answer["removed_portions"] or answer["remove"] or (answer["regions"] and kind in BATCH_KINDS)
    full = answer["view"] == "full" and not answer["precision_m"] and not answer["delay_s"] and not cut
    return answer | {"verdict": "FULL" if full else "SANITISED"}


def _withheld(code: str) -> Plain:
    return {
        "verdict": "WITHHELD",
        "view": "nothing",
        "reason": code,
        "precision_m": 0,
        "delay_s": 0,
        "retention_s": None,
        "onward": ("none", ()),
        "purposes": [],
        "remove": [],
        "regions": [],
        "boxes": None,
        "grant": "",
        "removed_portions": [],
        "marks": [],
    }


# ---- section 2: the rules in their order


def _decide_handling(case: Plain, handling: Plain) -> Plain:
    """Decide as if the item had this handling and no portions."""
    shared = [a for a in case["agreements"] if case["holder"] in a["tiers"] and case["recipient"] in a["tiers"]]
    in_force = [agreement for agreement in shared if _in_force(agreement, case["now_ms"])]
    if not in_force:
        return _withheld("AGREEMENT_NOT_IN_FORCE" if shared else "NO_AGREEMENT")
    code = (
        _quarantine(case)
        or _refusals(case, in_force)
        or _categories_and_tlp(handling, case["recipient"])
        or _third_party(case)
    )
    if code:
        return _withheld(code)
    covering, stopped = [], []
    for agreement in in_force:
        for grant in agreement["grants"]:
            failed = [
                (at, code) for at, (code, holds) in enumerate(_tests(case, handling, agreement, grant)) if not holds
            ]
            if failed:
                stopped.append(failed[0])
            else:
                covering.append((agreement, grant))
    return _duties(case, handling, covering) if covering else _withheld(max(stopped)[1])


def _in_force(agreement: Plain, now_ms: int) -> bool:
    """From the first instant on; not any more at the last."""
    until_ms = agreement["until_ms"]
    return bool(agreement["from_ms"] <= now_ms and (until_ms is None or now_ms < until_ms))


def _quarantine(case: Plain) -> str:
    if case["recipient"] in case["quarantined"] or case["header"]["id"] in case["quarantined"]:
        return "QUARANTINED"
    return ""


def _refusals(case: Plain, in_force: list[Plain]) -> str:
    """National law first, then every agreement's refusals, whichever agreement may grant."""
    tiers = {agreement["tiers"][case["recipient"]] for agreement in in_force}
    if any(_refuses(refusal, case, tiers) for refusal in case["overrides"]):
        return "NATIONAL_OVERRIDE"
    for agreement in in_force:
        tier = agreement["tiers"][case["recipient"]]
        if any(_refuses(refusal, case, {tier}) for refusal in agreement["refusals"]):
            return "REFUSED_BY_CLAUSE"
    return ""


def _refuses(refusal: Plain, case: Plain, tiers: set[str]) -> bool:
    """Whether a refusal covers the item, read widely: whatever holds anything of its originators, and wherever an item
    without a place may lie.
    """
    header = case["header"]
    domain = header["kind"].split(".")[0]
    boxes = refusal.get("boxes")
    return bool(
        (case["recipient"] in refusal.get("to", []) or tiers & set(refusal.get("to_tier", [])))
        and _originators(header) & set(refusal["from"])
        and domain in refusal["domains"]
        and (not refusal.get("kinds") or header["kind"] in refusal["kinds"])
        and (not refusal.get("subjects") or set(header["subjects"]) & set(refusal["subjects"]))
        and (boxes is None or header["place"] is None or _touches(header["place"], boxes))
    )


def _originators(header: Plain) -> set[str]:
    """All whose information is in the item; who signed it first is one of them, whatever the label says."""
    return {header["origin"], *header["label"]["originators"]}


def _categories_and_tlp(handling: Plain, recipient: str) -> str:
    """Rules 4 to 6. A joined handling can hold several ``REL TO``: each must name the recipient."""
    if any(c["tag"] == "NOFORN" and c["type"] == "restrictive" for c in handling["categories"]):
        return "NOFORN"
    releasable_to = _permitted(handling, "REL TO")
    if any(recipient not in parties for parties in releasable_to):
        return "NOT_RELEASABLE_TO"
    if handling["tlp"] == "RED" and not releasable_to:
        return "TLP_RED_NOT_NAMED"
    return ""


def _permitted(handling: Plain, tag: str) -> list[list[str]]:
    return [c["values"] for c in handling["categories"] if c["tag"] == tag and c["type"] == "permissive"]


def _third_party(case: Plain) -> str:
    """Rule 7. Nobody's consent is on record here, so a release with ``consent`` never allows passing on."""
    if not _originators(case["header"]) - {case["holder"], case["recipient"]}:
        return ""
    rules = [release["onward"]["rule"] for release in case["upstream"]]
    listed = [case["recipient"] in release["onward"]["to"] for release in case["upstream"]]
    if not rules or any(
        rule == "none" or (rule == "list" and not named) for rule, named in zip(rules, listed, strict=True)
    ):
        return "ONWARD_NONE"
    return "ONWARD_CONSENT_MISSING" if "consent" in rules else ""


# ---- section 3: the tests of a grant in their order


def _tests(case: Plain, handling: Plain, agreement: Plain, grant: Plain) -> Iterator[tuple[str, bool]]:
    """The code and the outcome of each test, a to k."""
    header, recipient = case["header"], case["recipient"]
    tier = agreement["tiers"][recipient]
    yield "RECIPIENT_NOT_COVERED", recipient in grant["to"] or tier in grant["to_tier"]
    yield "ORIGINATOR_NOT_COVERED", header["origin"] in grant["from"]
    yield "HOLDER_NOT_COVERED", not grant["by"] or case["holder"] in grant["by"]
    yield "DOMAIN_NOT_COVERED", header["kind"].split(".")[0] in grant["domains"]
    yield "KIND_NOT_COVERED", not grant["kinds"] or header["kind"] in grant["kinds"]
    yield "SUBJECT_NOT_COVERED", not grant["subjects"] or any(s in grant["subjects"] for s in header["subjects"])
    yield (
        "REGION_NOT_COVERED",
        grant["boxes"] is None or (header["place"] is not None and _touches(header["place"], grant["boxes"])),
    )
    rungs = [_rungs_sending(marking, agreement) for marking in handling["markings"]]
    yield "LEVEL_UNMAPPED", bool(rungs) and all(_all_shown(sending, agreement, recipient) for sending in rungs)
    ceiling = [rung["name"] for rung in agreement["ladder"]].index(grant["ceiling"])
    yield "LEVEL_ABOVE_CEILING", all(at <= ceiling for sending in rungs for at in sending)
    yield "TLP_ABOVE_CEILING", COLOURS.index(handling["tlp"]) <= COLOURS.index(grant["tlp_ceiling"])
    yield "CAVEAT_NOT_COVERED", _caveats(handling) <= set(grant["caveats"])
    limits = _permitted(handling, "PURPOSE") + [r["purposes"] for r in case["upstream"] if r["purposes"]]
    yield (
        "PURPOSE_NOT_COVERED",
        not limits
        or (bool(grant["purposes"]) and all(purpose in limit for purpose in grant["purposes"] for limit in limits)),
    )


def _rungs_sending(marking: Plain, agreement: Plain) -> list[int]:
    """The numbers, from the lowest, of the rungs that send this level of this policy; the text says nothing."""
    ladder = enumerate(agreement["ladder"])
    return [at for at, rung in ladder if marking["level"] in rung["sends"].get(marking["policy"], [])]


def _all_shown(rungs: list[int], agreement: Plain, recipient: str) -> bool:
    """At least one rung, and if several send the same marking, each shows it: the stricter reading."""
    return bool(rungs) and all(recipient in agreement["ladder"][at]["shows"] for at in rungs)


def _caveats(handling: Plain) -> set[str]:
    """``TAG:value`` for each value, ``TAG`` where there is none, ``LICENCE:name``; a grant names exactly these."""
    caveats = {f"LICENCE:{licence}" for licence in handling["licences"]}
    for category in handling["categories"]:
        if category["type"] == "restrictive":
            caveats |= {
                f"{category['tag']}:{value}" if value else category["tag"] for value in category["values"] or [""]
            }
        elif category["type"] == "permissive" and category["tag"] not in ("REL TO", "PURPOSE"):
            caveats.add(category["tag"])
    return caveats


def _touches(place: Plain, boxes: Iterable[Sequence[Decimal | int]]) -> bool:
    """Whether the place and a box have a point in common; 180 degrees east and west are one meridian."""
    south, west, north, east = (Decimal(place[edge]) / 10**7 for edge in ("south_e7", "west_e7", "north_e7", "east_e7"))
    if west > east:
        east += 360
    for low, left, high, right in boxes:
        end = right + 360 if left > right else right
        apart = north < low or high < south
        if not apart and any(left + turn <= east and west <= end + turn for turn in (-360, 0, 360)):
            return True
    return False


# ---- section 4: view and duties


def _duties(case: Plain, handling: Plain, covering: list[tuple[Plain, Plain]]) -> Plain:
    agreement, grant = min(covering, key=lambda pair: _preference(*pair))
    came_with = [release["purposes"] for release in case["upstream"] if release["purposes"]]
    upstream_onward = [(r["onward"]["rule"], r["onward"]["to"]) for r in case["upstream"]]
    if not upstream_onward and _originators(case["header"]) - {case["holder"]}:
        upstream_onward = [("none", ())]
    retentions = [each["retention_s"] for _, each in covering] + [r["retention_s"] for r in case["upstream"]]
    answer = {
        "verdict": "",
        "view": grant["view"],
        "reason": "",
        "precision_m": grant["precision_m"],
        "delay_s": grant["delay_s"],
        "retention_s": _shortest(retentions),
        "onward": _strictest([*(each["onward"] for _, each in covering), *upstream_onward, _tlp_onward(handling)]),
        "purposes": sorted(p for p in grant["purposes"] if all(p in purposes for purposes in came_with)),
        "remove": grant["remove"],
        "regions": grant["regions"],
        "boxes": grant["boxes"],
        "grant": f"{agreement['id']}/{agreement['version']}/{grant['id']}",
        "removed_portions": [],
        "marks": _marks(case, handling, agreement),
    }
    return _judged(answer, case["header"]["kind"])


def _marks(case: Plain, handling: Plain, agreement: Plain) -> list[str]:
    """The holder's own equal of the highest rung, where it passes on what it has not marked itself (section 4)."""
    holder = case["holder"]
    if case["header"]["origin"] == holder or holder in {marking["policy"] for marking in handling["markings"]}:
        return []
    highest = max(at for marking in handling["markings"] for at in _rungs_sending(marking, agreement))
    rung = agreement["ladder"][highest]
    own, shown = rung["sends"].get(holder, []), rung["shows"].get(holder)
    return [shown] if shown in own else own[:1]


def _preference(agreement: Plain, grant: Plain) -> tuple[int, int, int, str, str, int]:
    """The smallest decides. Of two versions of one agreement the later goes first."""
    view = -VIEWS.index(grant["view"])
    return view, grant["precision_m"], grant["delay_s"], agreement["id"], grant["id"], -agreement["version"]


def _shortest(retentions: Iterable[int | None]) -> int | None:
    ends = [retention_s for retention_s in retentions if retention_s is not None]
    return min(ends) if ends else None


def _strictest(onwards: Iterable[tuple[str, Sequence[str]] | None]) -> tuple[str, tuple[str, ...]]:
    """The strictest rule. Lists without a party in common leave nobody, which is ``none``."""
    rules = [onward for onward in onwards if onward is not None]
    rule = min((rule for rule, _ in rules), key=STRICTNESS.index)
    if rule != "list":
        return rule, ()
    common = set.intersection(*(set(parties) for _, parties in rules))
    return ("list", tuple(sorted(common))) if common else ("none", ())


def _tlp_onward(handling: Plain) -> tuple[str, Sequence[str]] | None:
    """What the colour binds; None where it binds nothing."""
    if handling["tlp"] in ("AMBER+STRICT", "RED"):
        return "none", ()
    return ("consent", ()) if handling["tlp"] == "AMBER" else None


# ---- section 6: precision of one position


def snap(lat_e7: int, lon_e7: int, precision_m: int) -> tuple[int, int]:
    """Move a position in 1e-7 degree to the centre of its cell of the grid for this precision, in exact arithmetic."""
    metres = Fraction(precision_m * 14_142_000, 111_700)  # the cell's side where a degree is longest, in 1e-7 degree
    height = max(1, floor(metres))
    south = height * floor(Fraction(lat_e7, height))
    nearest = south if south >= 0 else south + height
    width = _cell_width(metres, nearest)
    west = width * floor(Fraction(lon_e7, width))
    return _within(south + height // 2, 900_000_000), _within(west + width // 2, 1_800_000_000)


def _cell_width(metres: Fraction, lat_e7: int) -> int:
    if abs(lat_e7) >= 900_000_000:
        return 3_600_000_000
    with localcontext(prec=60):
        width = Decimal(metres.numerator) / Decimal(metres.denominator) / _cosine(Decimal(lat_e7) / 10**7)
        return min(max(1, floor(width)), 3_600_000_000)


def _cosine(degrees: Decimal) -> Decimal:
    """The power series, to more digits than any position has."""
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    square = (degrees * pi / 180) ** 2
    total = term = Decimal(1)
    for step in range(1, 60, 2):
        term = -term * square / (step * (step + 1))
        total += term
    return total


def _within(value: int, limit: int) -> int:
    return min(max(value, -limit), limit)
