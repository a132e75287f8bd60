"""Terms compiled to Cedar: each grant a permit, each refusal a forbid, and the forbids that no agreement can lift.

The view ladder is a ladder of actions: a grant of view ``detail`` permits ``release_detail``, ``release_summary`` and
``release_notice``, so the permits that answer ``release_notice`` are all the grants that cover an item. Duties do not
stand in the conditions; they ride with the grant, joined to the deciding permit by its ``@id``. Time stands nowhere:
only agreements in force are compiled, and delay is a duty.

The level ceiling and the equivalence table become one set of national levels per recipient: a level that the table does
not map is in no set, hence permitted to nobody. Cedar skips a forbid that errors at evaluation; each optional attribute
is therefore guarded with ``has``, and whoever asks must treat any diagnostic error as withheld.

Semantics: docs/spec/release.md. Cedar: https://docs.cedarpolicy.com (policy syntax, schema, validation).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import cedarpy

from relto.agreements.terms import Grant, Refusal, Scope, Terms
from relto.errors import InvariantError
from relto.item import VIEWS
from relto.labels import TLP_ORDER

SCHEMA = """
namespace Relto {
  entity Party;
  entity Item = {
    holder: Party,
    origin: Party,
    originators: Set<Party>,
    domain: String,
    kind: String,
    subjects: Set<String>,
    placed: Bool,
    regions: Set<String>,
    markings: Set<String>,
    tlp: String,
    caveats: Set<String>,
    noforn: Bool,
    quarantined: Bool,
    rel_to?: Set<Party>,
    purposes?: Set<String>,
    foreign: Set<Party>,
    may_pass: Bool,
    pass_to: Set<Party>,
  };
  action release_notice, release_summary, release_detail, release_full
    appliesTo { principal: [Party], resource: [Item], context: {} };
}
"""

GLOBAL_FORBIDS = """
@id("law/quarantine")
forbid (principal, action, resource) when { resource.quarantined };

@id("law/noforn")
forbid (principal, action, resource) when { resource.noforn };

@id("law/rel-to")
forbid (principal, action, resource) when { resource has rel_to && !resource.rel_to.contains(principal) };

@id("law/tlp-red")
forbid (principal, action, resource)
when { resource.tlp == "RED" && !(resource has rel_to && resource.rel_to.contains(principal)) };

@id("law/third-party")
forbid (principal, action, resource)
when {
  ![principal].containsAll(resource.foreign) &&
  !(resource.may_pass && resource.pass_to.contains(principal))
};
"""


def rule_id(terms: Terms, clause: Grant | Refusal) -> str:
    """The stable name of a clause: ``AGREEMENT/VERSION/CLAUSE``."""
    return f"{terms.ref.id}/{terms.ref.version}/{clause.id}"


def region_id(terms: Terms, name: str) -> str:
    """The name of a region outside its agreement."""
    return f"{terms.ref.id}/{terms.ref.version}/{name}"


def compile_agreement(terms: Terms) -> str:
    """The Cedar text of one agreement."""
    return "\n".join(
        [f"// {terms.ref.id} version {terms.ref.version}: {terms.title}"]
        + [_permit(terms, grant) for grant in terms.grants]
        + [_forbid(terms, refusal) for refusal in terms.refusals]
    )


def compile_quarantine(parties: frozenset[str]) -> str:
    """Forbid everything to parties in quarantine."""
    if not parties:
        return ""
    return f'@id("law/quarantine-party")\nforbid (principal, action, resource) when {{ {_is_one_of(parties)} }};\n'


def compile_overrides(overrides: tuple[Refusal, ...]) -> str:
    """The holder's own law: forbids before any agreement."""
    return "\n".join(
        _statement(
            "forbid", f"override/{each.id}", "action", [_is_one_of(each.scope.recipients), *_refused(each.scope, ())]
        )
        for each in overrides
    )


def validate(text: str) -> None:
    """Check compiled text against the schema.

    Raises:
        InvariantError: it does not validate; such a text must never decide anything.
    """
    result = cedarpy.validate_policies(text, SCHEMA)
    if not result.validation_passed:
        problems = "; ".join(str(error) for error in result.errors[:3])
        raise InvariantError(f"compiled policy does not validate: {problems}", remedy="Please report this agreement.")


def _permit(terms: Terms, grant: Grant) -> str:
    actions = ", ".join(f'Relto::Action::"release_{view}"' for view in VIEWS[1 : VIEWS.index(grant.view) + 1])
    regions = tuple(region_id(terms, name) for name in grant.scope.regions)
    return _statement(
        "permit",
        rule_id(terms, grant),
        f"action in [{actions}]",
        [
            f"{_parties(grant.by or (entry.id for entry in terms.parties))}.contains(resource.holder)",
            f"{_parties(grant.scope.originators)}.contains(resource.origin)" if grant.scope.originators else "false",
            *_scope(grant.scope),
            *([f"resource.regions.containsAny({_strings(regions)})"] if regions else []),
            _recipients_and_levels(terms, grant),
            f"{_strings(TLP_ORDER[: TLP_ORDER.index(grant.tlp_ceiling) + 1])}.contains(resource.tlp)",
            _all_of(grant.caveats, "resource.caveats"),
            _purposes(grant),
        ],
    )


def _forbid(terms: Terms, refusal: Refusal) -> str:
    regions = tuple(region_id(terms, name) for name in refusal.scope.regions)
    conditions = [_is_one_of(terms.recipients(refusal)), *_refused(refusal.scope, regions)]
    conditions.append(f"{_parties(entry.id for entry in terms.parties)}.contains(resource.holder)")
    return _statement("forbid", rule_id(terms, refusal), "action", conditions)


def _statement(effect: str, rule: str, action: str, conditions: list[str]) -> str:
    body = " &&\n  ".join(conditions)
    return f"@id({_text(rule)})\n{effect} (principal, {action}, resource)\nwhen {{\n  {body}\n}};\n"


def _scope(scope: Scope) -> list[str]:
    """The conditions on what the item is; an empty list of domains matches nothing, never everything."""
    conditions = [f"{_strings(scope.domains)}.contains(resource.domain)" if scope.domains else "false"]
    if scope.kinds:
        conditions.append(f"{_strings(scope.kinds)}.contains(resource.kind)")
    if scope.subjects:
        conditions.append(f"resource.subjects.containsAny({_strings(scope.subjects)})")
    return conditions


def _refused(scope: Scope, regions: tuple[str, ...]) -> list[str]:
    """What a refusal covers, read widely: all of its originators, and whatever cannot be shown to lie elsewhere."""
    originators = f"{_parties(scope.originators)}.containsAny(resource.originators)" if scope.originators else "false"
    inside = [f"(!resource.placed || resource.regions.containsAny({_strings(regions)}))"] if regions else []
    return [originators, *_scope(scope), *inside]


def _recipients_and_levels(terms: Terms, grant: Grant) -> str:
    """Who may get it and from which national levels: recipients with the same levels share one condition."""
    levels: dict[frozenset[str], list[str]] = {}
    for recipient in terms.recipients(grant):
        levels.setdefault(terms.accepted_markings(grant.ceiling, recipient), []).append(recipient)
    options = [
        f"({_is_one_of(recipients)} && {_strings(accepted)}.containsAll(resource.markings))"
        for accepted, recipients in sorted(levels.items(), key=lambda each: each[1])
        if accepted
    ]
    return f"!resource.markings.isEmpty() && ({' || '.join(options)})" if options else "false"


def _purposes(grant: Grant) -> str:
    if not grant.purposes:
        return "!(resource has purposes)"
    kept = f"resource.purposes.containsAll({_strings(grant.purposes)})"
    return f"(if resource has purposes then {kept} else true)"


def _all_of(allowed: tuple[str, ...], attribute: str) -> str:
    return f"{_strings(allowed)}.containsAll({attribute})" if allowed else f"{attribute}.isEmpty()"


def _is_one_of(parties: Iterable[str]) -> str:
    named = sorted(parties)
    return f"{_parties(named)}.contains(principal)" if named else "false"


def _parties(parties: Iterable[str]) -> str:
    return "[" + ", ".join(f"Relto::Party::{_text(party)}" for party in sorted(parties)) + "]"


def _strings(values: Iterable[str]) -> str:
    return "[" + ", ".join(_text(value) for value in sorted(values)) + "]"


def _text(value: str) -> str:
    """A Cedar string. JSON's escapes for quote and backslash are Cedar's; others never pass ``check_text``."""
    return json.dumps(value, ensure_ascii=False)
