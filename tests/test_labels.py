"""Labels: joining never lowers, and whatever is added to a label never lets more go."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.errors import MalformedError
from relto.item import VIEWS, Header, Onward
from relto.labels import (
    NOFORN,
    REL_TO,
    TLP_ORDER,
    Category,
    Handling,
    Label,
    Marking,
    Portion,
    caveats,
    dominates,
    handling,
    join,
    join_handling,
    overall,
    parse_tlp,
)
from relto.release.classes import ONWARD_STRICTNESS, Upstream
from relto.release.decide import ItemDecision, Table
from tests.release.test_against_oracle import epoch
from tests.worlds import CAST, COLOURS, Question, worlds

pytestmark = pytest.mark.pure

WORDS = st.sampled_from(["ALPHA", "BRAVO", "JPN", ""])
CATEGORIES = st.builds(
    Category,
    st.sampled_from(["ORCON", "EYES", REL_TO, NOFORN]),
    st.sampled_from(["permissive", "restrictive", "informative"]),
    st.lists(WORDS, max_size=3).map(tuple),
)
MARKINGS = st.builds(Marking, st.sampled_from(["JPN", "USA"]), st.sampled_from(["HI", "CUI"]), st.just("text"))
HANDLINGS = st.builds(
    lambda m, c, t, li: handling(markings=tuple(m), categories=tuple(c), tlp=t, licences=tuple(li)),
    st.lists(MARKINGS, max_size=2),
    st.lists(CATEGORIES, max_size=4),
    st.sampled_from(TLP_ORDER),
    st.lists(st.sampled_from(["ACME", "ZENITH"]), max_size=2),
)
LABELS = st.builds(
    lambda h, o, parts, f: Label(h, tuple(sorted(set(o))), tuple(Portion(s, p) for s, p in sorted(parts.items())), f),
    HANDLINGS,
    st.lists(st.sampled_from(CAST), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["part-a", "part-b"]), HANDLINGS, max_size=2),
    st.sampled_from(["", "<a/>", "<b/>"]),
)


@given(HANDLINGS, HANDLINGS, HANDLINGS)
def test_join_is_associative_commutative_and_idempotent(a: Handling, b: Handling, c: Handling) -> None:
    assert join_handling(a, join_handling(b, c)) == join_handling(join_handling(a, b), c)
    assert join_handling(a, b) == join_handling(b, a)
    assert join_handling(a, a) == a


@given(HANDLINGS, HANDLINGS)
def test_join_dominates_both_and_lowers_nothing(a: Handling, b: Handling) -> None:
    both = join_handling(a, b)
    for one in (a, b):
        assert dominates(both, one)
        restrictive = handling(categories=tuple(c for c in one.categories if c.type == "restrictive"))
        assert set(caveats(restrictive)) <= set(caveats(both))
        assert set(one.markings) <= set(both.markings) and set(one.licences) <= set(both.licences)
        assert TLP_ORDER.index(both.tlp) >= TLP_ORDER.index(one.tlp)
        mine, ours = one.values(REL_TO, "permissive"), both.values(REL_TO, "permissive")
        assert mine is None or (ours is not None and set(ours) <= set(mine))
        assert one.values(NOFORN, "restrictive") is None or both.values(NOFORN, "restrictive") is not None


@given(LABELS, LABELS, LABELS)
def test_labels_join_alike_and_keep_all_originators(a: Label, b: Label, c: Label) -> None:
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert dominates(join(a, b).handling, overall(a))
    assert set(join(a, b).originators) == {*a.originators, *b.originators}


@pytest.mark.parametrize("text", ["TLP:PURPLE", "", "AMBER STRICT", "TLP:AMBER+", "ＲＥＤ"])
def test_an_unknown_colour_restricts(text: str) -> None:
    colour, category = parse_tlp(text)
    assert colour == "" and category is not None and category.type == "restrictive"
    assert caveats(handling(categories=(category,)))


@pytest.mark.parametrize(("text", "colour"), [("tlp:white", "CLEAR"), ("TLP:AMBER+STRICT", "AMBER+STRICT")])
def test_a_known_colour_is_read(text: str, colour: str) -> None:
    assert parse_tlp(text) == (colour, None)


@pytest.mark.parametrize(
    "label",
    [
        lambda: Label(Handling(), ()),
        lambda: Label(Handling(), ("USA", "JPN")),
        lambda: Handling(licences=("A", "A")),
        lambda: Handling(categories=(Category("A", "restrictive", ("b", "a")),)),
        lambda: Handling(categories=(Category("A", "restrictive"), Category("A", "restrictive", ("a",)))),
        lambda: Label(Handling(), ("USA",), (Portion("a", Handling()), Portion("a", Handling(tlp="RED")))),
        lambda: handling(licences=("a\u202eb",)),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(label: object) -> None:
    with pytest.raises(MalformedError):
        label()  # type: ignore[operator]


# ---- adding to a label, decided in random worlds


def upstream(question: Question) -> tuple[Upstream, ...]:
    return tuple(
        Upstream(
            u["from"], Onward(u["onward"]["rule"], tuple(u["onward"]["to"])), tuple(u["purposes"]), u["retention_s"]
        )
        for u in question.upstream
    )


def added(rng: Random) -> Handling:
    """One step stricter."""
    return rng.choice(
        [
            handling(categories=(Category(rng.choice(("ORCON", "EYES", "NEW")), "restrictive", ("ALPHA",)),)),
            handling(categories=(Category("ORCON", "restrictive"),)),
            handling(categories=(Category(NOFORN, "restrictive"),)),
            handling(categories=(Category(REL_TO, "permissive", (rng.choice(CAST),)),)),
            handling(categories=(Category("PURPOSE", "permissive", ("rescue",)),)),
            handling(licences=("ACME",)),
            handling(tlp=rng.choice(COLOURS)),  # type: ignore[arg-type]
            handling(markings=(Marking(rng.choice(CAST), "KIMITSU", "KIMITSU"),)),
        ]
    )


def with_handling(header: Header, more: Handling) -> Header:
    label = msgspec.structs.replace(header.label, handling=join_handling(header.label.handling, more))
    return msgspec.structs.replace(header, label=label)


def with_portion(header: Header, more: Handling) -> Header:
    portions = {each.selector: each.handling for each in header.label.portions}
    portions["part-a"] = join_handling(portions.get("part-a", Handling()), more)
    label = msgspec.structs.replace(
        header.label, portions=tuple(Portion(name, each) for name, each in sorted(portions.items()))
    )
    return msgspec.structs.replace(header, label=label)


@pytest.mark.parametrize("seed", range(2))
def test_no_addition_to_a_label_releases_more(seed: int) -> None:
    """A lower view may come by another grant with other duties; by the same grant everything is at least as strict."""
    rng, narrowed, same = Random(seed), 0, 0
    for world in worlds(100 + seed, count=15, questions=15):
        for question in world.questions:
            header = msgspec.convert(question.header, Header)
            table = Table(epoch(world, question))
            before = table.decide_item(header, upstream(question), question.recipient)
            for change in (with_handling, with_portion):
                stricter = change(header, added(rng))
                after = table.decide_item(stricter, upstream(question), question.recipient)
                assert_no_more(before, after)
                narrowed += after != before and not before.decision.withheld
                same += after.decision.rules[:1] == before.decision.rules[:1] and not before.decision.withheld
    assert narrowed >= 20 and same >= 20


def assert_no_more(before: ItemDecision, after: ItemDecision) -> None:
    old, new = before.decision, after.decision
    assert VIEWS.index(new.view) <= VIEWS.index(old.view)
    assert set(new.rules) <= set(old.rules)
    if new.view == old.view:
        assert new.duties.precision_m >= old.duties.precision_m
    if not new.withheld and new.rules[0] == old.rules[0]:
        assert set(before.removed_portions) <= set(after.removed_portions)
        # what is taken out binds no more, and neither does a clause that covers it no more
        if before.removed_portions == after.removed_portions and new.rules == old.rules:
            rank = ONWARD_STRICTNESS.index
            assert rank(new.duties.onward.rule) <= rank(old.duties.onward.rule)


def test_a_restriction_that_no_grant_names_withholds() -> None:
    """Also an unread colour, which ends in a restrictive category."""
    _, colour = parse_tlp("TLP:PURPLE")
    assert colour is not None
    stopped = 0
    for world in worlds(7, count=15, questions=15):
        for question in world.questions:
            header, table = msgspec.convert(question.header, Header), Table(epoch(world, question))
            for category in (colour, Category("UNHEARD OF", "restrictive")):
                marked = with_handling(header, handling(categories=(category,)))
                assert table.decide_item(marked, upstream(question), question.recipient).decision.withheld
            stopped += not table.decide_item(header, upstream(question), question.recipient).decision.withheld
    assert stopped >= 20
