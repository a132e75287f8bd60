"""When an agreement lets something go, and that nobody is moved to other terms by the others."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.agreements.lifecycle import PAYLOAD_TYPE, PHASES, Standing, State, in_force, state
from relto.agreements.terms import PartyEntry, Term, Terms
from relto.item import AgreementRef

pytestmark = pytest.mark.pure

FROM_MS = 1_767_225_600_000
UNTIL_MS = 1_830_297_600_000
BOTH = frozenset({"JPN", "KOR"})


def terms(
    *parties: str,
    id: str = "A2",
    version: int = 1,
    text: str = "0",
    from_ms: int = FROM_MS,
    until_ms: int | None = UNTIL_MS,
) -> Terms:
    return Terms(
        ref=AgreementRef(id, version, text * 64),
        title="",
        illustration=False,
        note="",
        parties=tuple(PartyEntry(party, party, "T3") for party in parties or ("JPN", "KOR")),
        term=Term(from_ms, until_ms, 90),
        ladder=(),
        regions=(),
        grants=(),
        refusals=(),
    )


def standing(one: Terms, *signed_by: str) -> Standing:
    return Standing(one, frozenset(signed_by or (entry.id for entry in one.parties)), one.ref.sha256)


@pytest.mark.parametrize(
    ("signed_by", "now_ms", "phase", "because", "changes_ms"),
    [
        ("", FROM_MS, "draft", "Nobody has signed", None),
        ("USA", FROM_MS, "draft", "Nobody has signed", None),
        ("JPN", FROM_MS, "proposed", "Not signed yet by KOR.", None),
        ("JPN USA", FROM_MS, "proposed", "Not signed yet by KOR.", None),
        ("JPN", UNTIL_MS, "proposed", "Its term ended at 2028-01-01T00:00:00Z.", None),
        ("", UNTIL_MS, "draft", "Its term ended", None),
        ("JPN KOR", FROM_MS - 1, "signed", "Its term begins at 2026-01-01T00:00:00Z.", FROM_MS),
        ("JPN KOR", FROM_MS, "in force", "All parties have signed", UNTIL_MS),
        ("JPN KOR USA", FROM_MS, "in force", "All parties have signed", UNTIL_MS),
        ("JPN KOR", UNTIL_MS - 1, "in force", "its term holds", UNTIL_MS),
        ("JPN KOR", UNTIL_MS, "ended", "Its term ended at 2028-01-01T00:00:00Z.", None),
    ],
)
def test_phases(signed_by: str, now_ms: int, phase: str, because: str, changes_ms: int | None) -> None:
    found = state(terms(), frozenset(signed_by.split()), now_ms)
    assert (found.phase, found.changes_ms) == (phase, changes_ms)
    assert because in found.because


def test_without_an_end_it_stays_in_force() -> None:
    found = state(terms(until_ms=None), BOTH, 10 * UNTIL_MS)
    assert found == State("in force", "All parties have signed, and its term holds.", None)


@given(
    st.frozensets(st.sampled_from(["JPN", "KOR", "USA", "PHL"])),
    st.integers(FROM_MS - 3, FROM_MS + 6),
    st.one_of(st.none(), st.integers(FROM_MS + 1, FROM_MS + 5)),
)
def test_nothing_is_in_force_without_every_signature_and_the_term(
    signed_by: frozenset[str], now_ms: int, until_ms: int | None
) -> None:
    found = state(terms(until_ms=until_ms), signed_by, now_ms)
    holds = signed_by >= BOTH and now_ms >= FROM_MS and (until_ms is None or now_ms < until_ms)
    assert (found.phase == "in force") == holds
    assert found.phase in PHASES
    assert found.because


@given(st.integers(FROM_MS - 3, FROM_MS + 6), st.one_of(st.none(), st.integers(FROM_MS + 1, FROM_MS + 5)))
def test_the_phase_holds_until_the_instant_that_is_told(now_ms: int, until_ms: int | None) -> None:
    """Whoever caches a state may do so until then, and not a millisecond longer."""
    one = terms(until_ms=until_ms)
    found = state(one, BOTH, now_ms)
    if found.changes_ms is None:
        assert state(one, BOTH, now_ms + 1000) == found
    else:
        assert state(one, BOTH, found.changes_ms - 1) == found
        assert state(one, BOTH, found.changes_ms).phase != found.phase


def test_only_what_is_in_force_is_given_sorted_and_once() -> None:
    b, a = standing(terms(id="B")), standing(terms(id="A"))
    draft, early = standing(terms(id="C"), "JPN"), standing(terms(id="D", from_ms=FROM_MS + 1))
    again = msgspec.structs.replace(b, envelope_sha256="f" * 64)
    assert [one.terms.ref.id for one in in_force([b, draft, a, early, again], FROM_MS)] == ["A", "B"]


def test_a_new_version_replaces_the_old_from_its_first_instant() -> None:
    old, new = standing(terms()), standing(terms(version=2, text="1", from_ms=FROM_MS + 10))
    for held in itertools.permutations([old, new]):
        assert in_force(held, FROM_MS + 9) == (old,)
        assert in_force(held, FROM_MS + 10) == (new,)


def test_an_old_version_does_not_come_back_when_the_new_one_ends() -> None:
    old, new = standing(terms()), standing(terms(version=2, text="1", until_ms=FROM_MS + 10))
    assert in_force([old, new], FROM_MS + 10) == ()


def test_a_version_that_not_all_have_signed_replaces_nothing() -> None:
    old, proposed = standing(terms()), standing(terms(version=2, text="1"), "JPN")
    assert in_force([old, proposed], FROM_MS) == (old,)


def test_a_party_is_not_moved_out_by_the_others() -> None:
    """Two of three sign a version 2 without the third: version 1, with its refusals, goes on."""
    old, coup = standing(terms("JPN", "KOR", "USA")), standing(terms("JPN", "USA", version=2, text="1"))
    assert in_force([old, coup], FROM_MS) == (old, coup)


def test_a_party_leaves_by_signing_the_version_without_it() -> None:
    old = standing(terms("JPN", "KOR", "USA"))
    new = standing(terms("JPN", "USA", version=2, text="1"), "JPN", "KOR", "USA")
    assert in_force([old, new], FROM_MS) == (new,)


def test_a_stranger_with_the_same_id_changes_nothing() -> None:
    ours, theirs = standing(terms()), standing(terms("AUS", "IND", version=9, text="1"))
    assert in_force([ours, theirs], FROM_MS) == (ours, theirs)


def test_another_agreement_of_the_same_parties_changes_nothing() -> None:
    ours, theirs = standing(terms(id="A")), standing(terms(id="B", version=9, text="1"))
    assert in_force([ours, theirs], FROM_MS) == (ours, theirs)


def test_two_texts_of_one_version_contradict_and_neither_holds() -> None:
    one, other = standing(terms(text="0")), standing(terms(text="1"))
    assert in_force([one, other], FROM_MS) == ()


def test_the_payload_type_is_what_other_parts_sign_under() -> None:
    assert PAYLOAD_TYPE == "application/vnd.relto.agreement+toml"
