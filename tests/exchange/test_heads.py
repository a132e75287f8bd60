"""Heads: who keeps two logs is found out by its own signatures, and nobody by anybody's word."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from random import Random

import pytest

from relto.bounds import BOUNDS
from relto.envelope.keys import fingerprint
from relto.envelope.merkle import root
from relto.errors import PeerError, ProofError, SignatureError
from relto.exchange import heads, incidents
from relto.exchange.books import FORK, ROLLBACK, UNPROVEN, Head, Inbound, Incident, Leaf, SeenHead
from relto.exchange.core import HALTED, LOG_NUMBER
from relto.exchange.fork import party_of, verify_fork, write_fork
from relto.exchange.messages import Receipt
from relto.exchange.steps import Ask, Growth, drive
from relto.log.checkpoint import Checkpoint, sign_checkpoint
from tests.exchange.worlds import NOW_MS, Log, Observer, card, keys

pytestmark = pytest.mark.pure

COMMON = [f"common {n}" for n in range(7)]
ONE = Log("JPN", COMMON)


def forked_at(common: int) -> Log:
    return Log("JPN", [*COMMON[:common], *(f"other {n}" for n in range(7 - common))])


def observer(seen: bytes | None = None) -> Observer:
    """PHL, which has verified a head of JPN."""
    found = Observer("PHL", ("JPN", "USA", "VNM"))
    if seen is not None:
        exchange(found, [seen], ONE)
    return found


def exchange(found: Observer, shown: Sequence[bytes], log: Log | Callable[[Growth], bytes], by: str = "JPN") -> None:
    """An exchange of heads with a peer that answers for its log."""

    def ask(asked: Ask) -> bytes:
        assert asked.peer == by
        assert isinstance(asked.request, Growth)
        if isinstance(log, Log):
            return log.growth(asked.request.old, asked.request.new) if asked.request.log == log.number else b""
        return log(asked.request)

    drive(heads.exchange(found.core, by, shown), found.store, ask)


def seen(found: Observer) -> list[tuple[str, int]]:
    with found.store.read() as books:
        assert books.told_heads() == []
        return [(each.party, each.size) for each in books.seen_heads()]


def proof_of(incident: Incident) -> bytes:
    evidence = dict(incident.evidence)
    return write_fork(evidence["card"], evidence["first"], evidence["second"], evidence.get("growth", b""))


# --- pairs of heads ---

SIZES = range(1, 8)


@pytest.mark.parametrize("common", [0, 3, 4, 7])
def test_every_pair_of_heads_is_one_log_or_a_proven_fork(common: int) -> None:
    other = forked_at(common)
    for a, b in itertools.product(SIZES, SIZES):
        found = observer(ONE.head(a))
        exchange(found, [other.head(b)], ONE, by="USA")
        if min(a, b) <= common:
            # whichever log the owner goes on with, it has both of these heads
            exchange(found, [], ONE if b <= a or b <= common else other)
            assert (found.kinds(), seen(found)) == ([], [("JPN", max(a, b))]), (a, b)
            continue
        assert (found.kinds() == [(FORK, "JPN")]) == (a == b), (a, b)
        exchange(found, [], ONE if a > b else other)
        assert found.kinds() == [(FORK, "JPN")], (a, b)
        assert found.frozen() == {"JPN"}
        proven = verify_fork(proof_of(found.incidents()[0]), pinned=fingerprint(keys("JPN", "authority").public))
        assert (proven.party, {proven.first.size, proven.second.size}) == ("JPN", {a, b})


def test_an_owner_that_hides_one_of_its_logs_is_a_suspect_and_frozen_when_the_grace_is_over() -> None:
    found = observer(ONE.head(3))
    exchange(found, [forked_at(1).head(5)], ONE, by="USA")
    assert found.kinds() == []
    for answer in (b"", b"x", bytes(64), ONE.growth(3, 6), forked_at(2).growth(3, 5)):
        exchange(found, [ONE.head(3)], lambda _, answer=answer: answer)
        assert found.kinds() == [(UNPROVEN, "JPN")]
    assert found.frozen() == frozenset()
    found.clock.set(NOW_MS + BOUNDS.growth_grace_ms - 1)
    assert found.frozen() == frozenset()
    found.clock.set(NOW_MS + BOUNDS.growth_grace_ms)
    assert found.frozen() == {"JPN"}


def test_an_owner_that_refuses_to_answer_is_a_suspect_until_it_proves_its_log() -> None:
    def refuses(_: Growth) -> bytes:
        raise SignatureError("no")

    found = observer(ONE.head(3))
    exchange(found, [ONE.head(5)], refuses)
    assert found.kinds() == [(UNPROVEN, "JPN")]
    exchange(found, [], ONE)
    assert (found.kinds(), seen(found)) == ([], [("JPN", 5)])
    (closed,) = found.incidents(open_only=False)
    assert "proven" in closed.closed


def test_a_suspicion_that_comes_back_has_its_whole_grace_again() -> None:
    found = observer(ONE.head(3))
    exchange(found, [ONE.head(5)], lambda _: b"")
    exchange(found, [], ONE)
    found.clock.set(NOW_MS + 2 * BOUNDS.growth_grace_ms)
    exchange(found, [ONE.head(6)], lambda _: b"")
    assert found.kinds() == [(UNPROVEN, "JPN")]
    assert found.frozen() == frozenset()


def test_a_log_that_shrank_is_a_rollback_and_one_that_was_shown_late_is_not() -> None:
    found = observer(ONE.head(5))
    exchange(found, [ONE.head(3)], ONE)
    assert (found.kinds(), seen(found)) == ([], [("JPN", 5)])
    exchange(found, [ONE.head(3)], Log("JPN", COMMON[:3]))
    assert found.kinds() == [(ROLLBACK, "JPN")]
    assert found.frozen() == frozenset()
    exchange(found, [ONE.head(6)], ONE)
    assert found.kinds() == []


def test_two_heads_of_one_size_shown_together_are_a_fork() -> None:
    found = observer()
    exchange(found, [ONE.head(4), forked_at(2).head(6), forked_at(3).head(4), forked_at(1).head(4)], ONE, by="USA")
    assert [(each.kind, each.party, each.count) for each in found.incidents()] == [(FORK, "JPN", 1)]


def test_a_head_that_contradicts_several_is_one_fork() -> None:
    found = observer(ONE.head(4))
    for peer in ("USA", "VNM"):
        exchange(found, [ONE.head(5)], ONE, by=peer)
    exchange(found, [ONE.head(5), forked_at(3).head(5)], ONE, by="USA")
    assert [(each.kind, each.count) for each in found.incidents()] == [(FORK, 1)]


def test_a_fork_is_noted_once_and_again_after_it_was_closed() -> None:
    found = observer(ONE.head(4))
    for _ in range(3):
        exchange(found, [forked_at(2).head(4)], ONE, by="USA")
    assert [(each.kind, each.count) for each in found.incidents()] == [(FORK, 1)]
    number = found.incidents()[0].id
    found.store.write(lambda books: incidents.close(found.core, books, number, "JPN began a new log"))
    assert (found.kinds(), found.frozen(), seen(found)) == ([], frozenset(), [])
    exchange(found, [forked_at(2).head(4)], ONE, by="USA")
    exchange(found, [ONE.head(5)], ONE)
    assert [(each.kind, each.count) for each in found.incidents()] == [(FORK, 2)]


# --- what a hostile peer shows ---


def test_a_forged_head_of_an_innocent_party_changes_nothing() -> None:
    found = observer(ONE.head(4))
    forged = [forked_at(2).head(size, signed_by="USA") for size in SIZES]
    strangers = [Log("IDN", ["a"]).head(1), Log("IDN", ["b"]).head(1)]
    numbered = [Log("JPN", ["a"], number).head(1) for number in (BOUNDS.party_logs + 1, 999)]
    mangled = [ONE.head(5)[:-9], b"", b"\xff", ONE.head(5).replace(b"relto.release", b"relto.other")]
    exchange(found, [*forged, *strangers, *numbered, *mangled], ONE, by="USA")
    exchange(found, [], ONE)
    assert (found.kinds(), seen(found)) == ([], [("JPN", 4)])


def test_a_true_head_that_only_a_third_party_has_seen_takes_the_owners_proof() -> None:
    found = observer()
    exchange(found, [ONE.head(4)], ONE, by="USA")
    with found.store.read() as books:
        assert (books.seen_heads(), [each.source for each in books.told_heads()]) == ([], ["USA"])
    exchange(found, [], ONE)
    assert seen(found) == [("JPN", 4)]


def test_a_verified_head_that_is_shown_again_waits_for_nothing() -> None:
    found = observer(ONE.head(4))
    exchange(found, [ONE.head(4)], ONE, by="USA")
    assert seen(found) == [("JPN", 4)]


def test_a_page_of_a_fork_that_extends_the_pages_before_is_found_by_the_head_that_was_shown() -> None:
    other = forked_at(3)
    found = observer(ONE.head(5))
    before = Inbound("JPN", log_size=3, log_root=root(ONE.hashes[:3]))
    page = SeenHead("JPN", 1, 6, root(other.hashes[:6]), other.head(6), NOW_MS)
    found.store.write(lambda books: heads.arrived(found.core, books, before, page))
    exchange(found, [], other)
    assert found.kinds() == [(FORK, "JPN")]


def test_a_page_that_extends_the_verified_head_needs_no_further_proof() -> None:
    found = observer(ONE.head(5))
    before = Inbound("JPN", log_size=5, log_root=root(ONE.hashes[:5]))
    page = SeenHead("JPN", 1, 6, root(ONE.hashes[:6]), ONE.head(6), NOW_MS)
    found.store.write(lambda books: heads.arrived(found.core, books, before, page))
    assert seen(found) == [("JPN", 6)]


def test_a_new_log_begins_anew() -> None:
    found = observer(ONE.head(4))
    second = Log("JPN", ["new"], 2)
    exchange(found, [second.head(1)], second)
    assert (found.kinds(), seen(found)) == ([], [("JPN", 4), ("JPN", 1)])


@pytest.mark.parametrize(
    "origin", ["relto.release/JPN/1", "relto.release/JPN/02", "relto.release/JPN/0", "relto.releases/JPN", "JPN"]
)
def test_an_origin_has_one_spelling(origin: str) -> None:
    with pytest.raises(PeerError):
        party_of(ONE.head(1).replace(b"relto.release/JPN", origin.encode()))


# --- the proof of a fork, for whoever trusts nobody ---


def test_no_proof_of_a_fork_can_be_made_of_heads_of_one_log() -> None:
    jpn = card("JPN")
    pairs = [
        (jpn, ONE.head(4), ONE.head(4), b""),
        (jpn, ONE.head(3), ONE.head(5), ONE.growth(3, 5)),
        (jpn, ONE.head(3), ONE.head(5), b""),
        (jpn, ONE.head(3), ONE.head(5), forked_at(1).growth(3, 5)),
        (jpn, ONE.head(4), Log("JPN", ["a"], 2).head(1), b""),
        (jpn, ONE.head(4), Log("JPN", ["a", "b", "c", "d"], 2).head(4), b""),
        (
            jpn,
            *(sign_checkpoint(Checkpoint("other.log/JPN", 1, bytes([n]) * 32), keys("JPN"), "JPN") for n in (1, 2)),
            b"",
        ),
        (jpn, ONE.head(4), forked_at(2).head(4, signed_by="USA"), b""),
        (card("USA"), ONE.head(4), forked_at(2).head(4), b""),
    ]
    for each in pairs:
        with pytest.raises(PeerError):
            verify_fork(write_fork(*each))


def test_a_changed_proof_of_a_fork_proves_nothing() -> None:
    other = forked_at(2)
    proof = write_fork(card("JPN"), ONE.head(3), other.head(6), other.growth(3, 6))
    assert not verify_fork(proof).fingerprint_checked
    with pytest.raises(SignatureError):
        verify_fork(proof, pinned=fingerprint(keys("USA", "authority").public))
    draw = Random(1)
    for at in draw.sample(range(len(proof)), 150):
        changed = proof[:at] + bytes([proof[at] ^ 1 << draw.randrange(7)]) + proof[at + 1 :]
        with pytest.raises(PeerError):
            verify_fork(changed)


# --- our own log ---


def own_log(size: int) -> Observer:
    """JPN itself, with the first entries of its log."""
    found = Observer("JPN", ("PHL",))

    def append(books: heads.Books) -> None:
        for n in range(size):
            new_root, _ = books.append(n, [Leaf(b"%d" % n, bytes(32), "", b"")])
            books.set_head(Head(n + 1, new_root, b"note"))

    found.store.write(append)
    return found


def own_head(found: Observer, size: int, number: int = 1) -> bytes:
    log = Log("JPN", [], number)
    with found.store.read() as books:
        read = books.log_nodes()
        log.hashes = [read(0, n) for n in range(books.head().size)]
    return log.head(size)


def halted(found: Observer) -> str:
    with found.store.read() as books:
        return (books.secret(HALTED) or b"").decode()


def test_a_node_that_is_shown_its_own_larger_head_halts() -> None:
    newest = own_head(own_log(5), 5)
    found = own_log(3)
    exchange(found, [own_head(found, 2), own_head(found, 3)], ONE, by="PHL")
    assert halted(found) == ""
    exchange(found, [newest], ONE, by="PHL")
    assert halted(found).startswith("ROLLBACK: We have signed log 1 at size 5")
    assert found.kinds() == [(ROLLBACK, "JPN")]
    assert found.frozen() == frozenset()
    number = found.incidents()[0].id
    found.store.write(lambda books: incidents.close(found.core, books, number, "the newest store is back"))
    assert halted(found) == ""
    exchange(found, [newest], ONE, by="PHL")
    assert halted(found) != ""


def test_a_node_that_is_shown_another_log_under_its_own_signature_halts() -> None:
    found = own_log(3)
    exchange(found, [ONE.head(2)], ONE, by="PHL")
    assert halted(found).startswith("FORK: ")
    assert found.frozen() == frozenset()


def test_a_head_under_other_keys_and_one_of_a_log_that_was_lost_halt_nobody() -> None:
    found = own_log(3)
    exchange(found, [ONE.head(5, signed_by="PHL")], ONE, by="PHL")
    found.store.write(lambda books: books.put_setting(LOG_NUMBER, b"2"))
    exchange(found, [ONE.head(5)], ONE, by="PHL")
    assert (halted(found), found.kinds()) == ("", [])


def test_a_node_that_is_halted_already_compares_in_peace() -> None:
    found = own_log(3)
    found.store.write(lambda books: books.put_setting(HALTED, b"restored from a backup"))
    exchange(found, [own_head(own_log(5), 5)], ONE, by="PHL")
    assert (halted(found), found.kinds()) == ("restored from a backup", [])


def test_a_receipt_is_a_witness_only_of_a_head_that_the_log_had() -> None:
    found = own_log(5)
    with found.store.read() as books:
        for size in range(6):
            had = Receipt(1, "PHL", "JPN", 1, "", 1, size, heads.root_nodes(books.log_nodes(), size).hex(), NOW_MS)
            assert heads.witnessed(books, had)
            for changed in ({"log_size": 6}, {"log_size": (size + 1) % 6}, {"log": 2}, {"log_root": "00" * 32}):
                false = Receipt(**{name: getattr(had, name) for name in had.__struct_fields__} | changed)
                assert not heads.witnessed(books, false)


def test_growth_answers_only_for_sizes_that_the_log_had() -> None:
    found = own_log(5)
    with found.store.read() as books:
        assert len(heads.growth_of(books, 1, 3, 5)) >= 64
        for log, old, new in ((1, 0, 5), (1, 3, 3), (1, 5, 3), (1, 3, 6), (2, 3, 5)):
            assert heads.growth_of(books, log, old, new) == b""


def test_a_growth_of_too_many_hashes_is_refused() -> None:
    found = observer(ONE.head(3))
    exchange(found, [ONE.head(5)], lambda _: bytes(32 * (BOUNDS.proof_hashes + 1)))
    assert found.kinds() == [(UNPROVEN, "JPN")]
    with pytest.raises(ProofError):
        verify_fork(write_fork(card("JPN"), ONE.head(3), forked_at(1).head(5), bytes(31)))
