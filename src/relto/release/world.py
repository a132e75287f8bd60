"""What is in force at one node: terms, quarantine, the holder's own law; compiled once per epoch and recipient."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import cedarpy

from relto.agreements.compile import (
    GLOBAL_FORBIDS,
    SCHEMA,
    compile_agreement,
    compile_overrides,
    compile_quarantine,
    rule_id,
    validate,
)
from relto.agreements.terms import Grant, Refusal, Terms


@dataclass(frozen=True, slots=True)
class Epoch:
    """One constant state of the rules. Decisions hold for as long as the epoch does; time does not enter them.

    ``in_force`` and ``dormant`` are signed by all their parties; the dormant are outside their term now. What came from
    a ``frozen`` party goes no further, while the party itself still gets what it is due.
    """

    holder: str
    in_force: tuple[Terms, ...]
    dormant: tuple[Terms, ...] = ()
    overrides: tuple[Refusal, ...] = ()
    quarantined_parties: frozenset[str] = frozenset()
    quarantined_items: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()
    # A memo of what follows from the rest; it never changes an answer.
    policies: dict[str, CompiledPolicy] = field(default_factory=dict, repr=False, compare=False)

    def between(self, recipient: str) -> tuple[Terms, ...]:
        """The agreements in force that name both the holder and the recipient."""
        return _naming(self.in_force, self.holder, recipient)

    def dormant_between(self, recipient: str) -> tuple[Terms, ...]:
        """The agreements not in force that name both."""
        return _naming(self.dormant, self.holder, recipient)

    def recipients(self) -> tuple[str, ...]:
        """Everybody with whom the holder has an agreement in force."""
        named = {entry.id for terms in self.in_force if terms.party(self.holder) for entry in terms.parties}
        return tuple(sorted(named - {self.holder}))

    def policy(self, recipient: str) -> CompiledPolicy:
        """The compiled policy that decides for one recipient, made on first use.

        Raises:
            InvariantError: the compiled text does not validate.
        """
        if recipient not in self.policies:
            self.policies[recipient] = compile_policy(self, recipient)
        return self.policies[recipient]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """The Cedar text that decides for one recipient, its parsed forms, and the grant behind each permit."""

    text: str
    sha256: str
    policies: cedarpy.PolicySet
    schema: cedarpy.Schema
    grants: dict[str, tuple[Terms, Grant]]


def compile_policy(epoch: Epoch, recipient: str) -> CompiledPolicy:
    """Compile and validate everything that applies between the holder and one recipient.

    Raises:
        InvariantError: the text does not validate.
    """
    agreements = epoch.between(recipient)
    text = "\n".join(
        [
            GLOBAL_FORBIDS,
            compile_quarantine(epoch.quarantined_parties),
            compile_overrides(epoch.overrides),
            *(compile_agreement(terms) for terms in agreements),
        ]
    )
    validate(text)
    return CompiledPolicy(
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        policies=cedarpy.PolicySet.from_str(text),
        schema=cedarpy.Schema.from_str(SCHEMA),
        grants={rule_id(terms, grant): (terms, grant) for terms in agreements for grant in terms.grants},
    )


def _naming(agreements: tuple[Terms, ...], holder: str, recipient: str) -> tuple[Terms, ...]:
    return tuple(terms for terms in agreements if terms.party(holder) and terms.party(recipient))
