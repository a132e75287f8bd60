"""Reason codes: stable, in the order of the rules, with one sentence each. Screens and logs take the text from here."""

from __future__ import annotations

# What stops a release, in the order of docs/spec/release.md, section 2 and 3.
WITHHELD: dict[str, str] = {
    "NO_AGREEMENT": "No agreement names both parties.",
    "AGREEMENT_NOT_IN_FORCE": "An agreement names both parties, but it is not in force now.",
    "QUARANTINED": "The recipient or the record is in quarantine.",
    "NATIONAL_OVERRIDE": "The holder's own law keeps it back.",
    "REFUSED_BY_CLAUSE": "A clause of an agreement keeps it back.",
    "NOFORN": "It is marked never to leave its party.",
    "NOT_RELEASABLE_TO": "Its releasability does not name the recipient.",
    "TLP_RED_NOT_NAMED": "TLP:RED goes to named recipients only, and this one is not named.",
    "ONWARD_NONE": "It came from another party on terms that forbid passing it on.",
    "ONWARD_CONSENT_MISSING": "It came from another party, whose consent to passing it on is missing.",
    "RECIPIENT_NOT_COVERED": "No clause names the recipient or its tier.",
    "ORIGINATOR_NOT_COVERED": "No clause lets information of this originator go.",
    "HOLDER_NOT_COVERED": "No clause lets this party release it.",
    "DOMAIN_NOT_COVERED": "No clause covers this domain.",
    "KIND_NOT_COVERED": "No clause covers this kind of record.",
    "SUBJECT_NOT_COVERED": "No clause covers this subject.",
    "REGION_NOT_COVERED": "It is outside the agreed areas.",
    "LEVEL_UNMAPPED": "Its level has no equal at the recipient in the agreement's table.",
    "LEVEL_ABOVE_CEILING": "Its level is above what the clause covers.",
    "TLP_ABOVE_CEILING": "Its TLP colour is above what the clause covers.",
    "CAVEAT_NOT_COVERED": "It carries a caveat or licence that no clause names.",
    "PURPOSE_NOT_COVERED": "It is bound to purposes that the clause does not keep to.",
    "NOT_WHOLE": "It can only go whole, and what is agreed is less.",
    "RENDER_CHECK_FAILED": "The second check of the rendition found something that must not leave.",
    "DECISION_ERROR": "Deciding failed, and an error withholds.",
}
# What a reduced release is reduced by; <n> stands for the number in the code.
REDUCED: dict[str, str] = {
    "PRECISION": "Positions are exact to <n> metres only.",
    "DELAY": "It goes <n> seconds after it was observed.",
    "FIELD_REMOVED": "Something that the holder holds is left out.",
    "REGION_CLIPPED": "What lies outside the agreed areas is left out.",
    "VIEW_LIMITED": "It goes in a reduced view, of which nothing had to be left out here.",
}
# Why what went before is void.
WITHDRAWN: dict[str, str] = {
    "WITHDRAWN": "Its originator has withdrawn it.",
    "NARROWED": "It went on in a newer version that the recipient may not have.",
}
AS_HELD = "AS_HELD"
WHOLE = "It goes as it is held."

# What would change a refusal: the shortest lawful way.
REMEDIES: dict[str, str] = {
    "NO_AGREEMENT": "Conclude an agreement that names both parties.",
    "AGREEMENT_NOT_IN_FORCE": "Wait for the agreement's term to begin, or renew it.",
    "QUARANTINED": "Lift the quarantine once its cause is settled.",
    "NATIONAL_OVERRIDE": "Only the holder's own authority can lift its override.",
    "REFUSED_BY_CLAUSE": "Amend the clause; all parties must sign.",
    "NOFORN": "The originator must re-mark the record, or publish a releasable version of it.",
    "NOT_RELEASABLE_TO": "The originator must add the recipient to the record's releasability.",
    "TLP_RED_NOT_NAMED": "The originator must name the recipient, or lower the colour.",
    "ONWARD_NONE": "Refer the recipient to the originator.",
    "ONWARD_CONSENT_MISSING": "Ask the originator for its consent.",
    "RECIPIENT_NOT_COVERED": "Amend the agreement to name the recipient, or raise its tier by evidence.",
    "ORIGINATOR_NOT_COVERED": "Amend the agreement to cover this originator.",
    "HOLDER_NOT_COVERED": "Refer the recipient to the party that the clause names, or amend the clause.",
    "DOMAIN_NOT_COVERED": "Amend the agreement to cover this domain.",
    "KIND_NOT_COVERED": "Amend the agreement to cover this kind.",
    "SUBJECT_NOT_COVERED": "Amend the agreement to cover this subject.",
    "REGION_NOT_COVERED": "Amend the agreement's areas.",
    "LEVEL_UNMAPPED": "Amend the equivalence table; a level without an equal is never mapped down.",
    "LEVEL_ABOVE_CEILING": "Publish a version at a lower level, or amend the ceiling.",
    "TLP_ABOVE_CEILING": "Publish a version with a lower colour, or amend the ceiling.",
    "CAVEAT_NOT_COVERED": "Have the caveat named in a clause, so that the recipient undertakes to honour it.",
    "PURPOSE_NOT_COVERED": "Have the clause keep to the record's purposes.",
    "NOT_WHOLE": "Agree on the full view at full precision for it.",
    "RENDER_CHECK_FAILED": "Report it: rendering and its check disagree.",
    "DECISION_ERROR": "Report it with the log; nothing leaves meanwhile.",
}


def sentence(code: str) -> str:
    """The sentence of a code; codes that carry a number have it put in."""
    if code in WITHHELD or code in WITHDRAWN:
        return {**WITHHELD, **WITHDRAWN}[code]
    name, _, number = code.rpartition("_")
    if number.isdigit() and name in REDUCED:
        return REDUCED[name].replace("<n>", f"{int(number):,}")
    return REDUCED.get(code, WHOLE)
