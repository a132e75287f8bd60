"""Merkle proofs: the public tree of certificate-transparency, RFC 6962 read literally, and every way to be wrong."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.envelope import merkle
from relto.errors import MalformedError, ProofError

pytestmark = pytest.mark.pure

# The test tree that Certificate Transparency implementations share: 8 entries and the root after each.
CT_ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_LEAVES = [merkle.leaf_hash(entry) for entry in CT_ENTRIES]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [merkle.leaf_hash(b"entry %d" % place) for place in range(300)]

sizes = st.integers(1, 300)


# RFC 6962, section 2.1, word for word: slow, recursive, over lists


def rfc_split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def rfc_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = rfc_split(len(leaves))
    return hashlib.sha256(b"\x01" + rfc_root(leaves[:k]) + rfc_root(leaves[k:])).digest()


def rfc_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = rfc_split(len(leaves))
    if index < k:
        return [*rfc_path(index, leaves[:k]), rfc_root(leaves[k:])]
    return [*rfc_path(index - k, leaves[k:]), rfc_root(leaves[:k])]


def rfc_subproof(old: int, leaves: list[bytes], complete: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if complete else [rfc_root(leaves)]
    k = rfc_split(len(leaves))
    if old <= k:
        return [*rfc_subproof(old, leaves[:k], complete), rfc_root(leaves[k:])]
    return [*rfc_subproof(old - k, leaves[k:], False), rfc_root(leaves[:k])]


def turns(index: int, size: int) -> str:
    """The way from the root down to a leaf."""
    if size == 1:
        return ""
    k = rfc_split(size)
    return "L" + turns(index, k) if index < k else "R" + turns(index - k, size - k)


def flip(hash_: bytes, bit: int) -> bytes:
    return (int.from_bytes(hash_, "big") ^ (1 << bit)).to_bytes(32, "big")


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_certificate_transparency_tree(size: int) -> None:
    assert merkle.root(CT_LEAVES[:size]).hex() == CT_ROOTS[size]
    assert merkle.Frontier().append(CT_LEAVES[:size]).root().hex() == CT_ROOTS[size]
    assert merkle.root_nodes(merkle.reader(CT_LEAVES), size).hex() == CT_ROOTS[size]


def test_known_proofs_of_the_certificate_transparency_tree() -> None:
    assert [node.hex()[:8] for node in merkle.inclusion_proof(CT_LEAVES, 5)] == ["bc1a0643", "ca854ea1", "d37ee418"]
    assert [node.hex()[:8] for node in merkle.inclusion_proof(CT_LEAVES[:3], 2)] == ["fac54203"]
    assert [node.hex()[:8] for node in merkle.consistency_proof(CT_LEAVES, 6)] == ["0ebc5d34", "ca854ea1", "d37ee418"]
    assert [node.hex()[:8] for node in merkle.consistency_proof(CT_LEAVES[:5], 2)] == ["5f083f0a", "bc1a0643"]


def test_leaf_and_node_hash_apart_so_that_a_node_is_no_leaf() -> None:
    left, right = CT_LEAVES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.leaf_hash(b"").hex() == CT_ROOTS[1]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 9, 31, 33, 64, 70])
def test_proofs_are_those_of_rfc_6962_hash_for_hash(size: int) -> None:
    leaves = LEAVES[:size]
    read = merkle.reader(leaves)
    assert merkle.root(leaves) == rfc_root(leaves)
    for index in range(size):
        assert list(merkle.inclusion_nodes(read, index, size)) == rfc_path(index, leaves)
        assert list(merkle.consistency_nodes(read, index + 1, size)) == rfc_subproof(index + 1, leaves, True)


@settings(deadline=None)
@given(sizes, st.data())
def test_every_inclusion_proof_verifies_and_serves_earlier_sizes(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    read = merkle.reader(LEAVES)  # the log has grown past the size asked for
    proof = merkle.inclusion_nodes(read, index, size)
    assert proof == merkle.inclusion_proof(LEAVES[:size], index)
    merkle.verify_inclusion(LEAVES[index], index, size, proof, merkle.root(LEAVES[:size]))


@settings(deadline=None)
@given(sizes, st.integers(0, 255), st.data())
def test_one_changed_bit_of_leaf_proof_or_root_is_refused(size: int, bit: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves, root = LEAVES[:size], merkle.root(LEAVES[:size])
    proof = merkle.inclusion_proof(leaves, index)
    cases = [(flip(leaves[index], bit), proof, root), (leaves[index], proof, flip(root, bit))]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        cases.append((leaves[index], (*proof[:at], flip(proof[at], bit), *proof[at + 1 :]), root))
    for leaf, nodes, head in cases:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(leaf, index, size, nodes, head)


@settings(deadline=None)
@given(sizes, st.integers(0, 70), st.data())
def test_one_changed_bit_of_the_index_is_refused(size: int, bit: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(LEAVES[:size], index)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(LEAVES[index], index ^ (1 << bit), size, proof, merkle.root(LEAVES[:size]))


@settings(deadline=None)
@given(sizes, st.integers(0, 70), st.data())
def test_another_size_is_refused_unless_the_leaf_has_the_same_way_to_the_root(
    size: int, bit: int, data: st.DataObject
) -> None:
    """RFC 6962 proofs bind the way, not the size: that is why size and root come from one signed checkpoint."""
    index = data.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_proof(LEAVES[:size], index), merkle.root(LEAVES[:size])
    other = size ^ (1 << bit)
    if index < other <= merkle.LARGEST_SIZE and turns(index, other) == turns(index, size):
        merkle.verify_inclusion(LEAVES[index], index, other, proof, root)
    else:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(LEAVES[index], index, other, proof, root)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, 300])
def test_a_proof_with_a_hash_too_few_too_many_or_of_another_length_is_refused(size: int) -> None:
    root = merkle.root(LEAVES[:size])
    proof = merkle.inclusion_proof(LEAVES[:size], size - 1)
    wrong = [(*proof, root), (root, *proof), (*proof, b""), (*proof[:-1], proof[-1][:31]) if proof else (b"",)]
    if proof:
        wrong += [proof[:-1], proof[1:], tuple(reversed(proof)) if len(proof) > 1 else ()]
    for nodes in wrong:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(LEAVES[size - 1], size - 1, size, nodes, root)


def test_hashes_of_another_length_are_refused_even_where_they_lead_to_the_root() -> None:
    """Two hashes cut at another place are the same bytes to the hash above them."""
    left, right = CT_LEAVES[:2]
    root = bytes.fromhex(CT_ROOTS[2])
    assert merkle.node_hash(left + right[:8], right[8:]) == root
    with pytest.raises(ProofError, match="leaf"):
        merkle.verify_inclusion(left + right[:8], 0, 2, (right[8:],), root)
    with pytest.raises(ProofError, match="leaf"):
        merkle.verify_inclusion(b"short", 0, 1, (), b"short")
    with pytest.raises(ProofError, match="proof: a hash is not 32 bytes"):
        merkle.verify_inclusion(left, 0, 2, (right + b"x",), root)


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (1, 1), (8, 8), (-1, 8), (0, -1), (0, 2**53), (0, 10**4000), (10**4000, 8)]
)
def test_hostile_index_and_size_are_refused_before_any_work(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        merkle.verify_inclusion(CT_LEAVES[0], index, size, (), CT_LEAVES[0])
    with pytest.raises(ProofError):
        merkle.inclusion_nodes(merkle.reader(CT_LEAVES), index, size)


def test_a_flood_of_hashes_is_refused_by_number() -> None:
    with pytest.raises(ProofError, match="at most"):
        merkle.verify_inclusion(
            CT_LEAVES[0], 0, 8, (CT_LEAVES[0],) * (BOUNDS.proof_hashes + 1), bytes.fromhex(CT_ROOTS[8])
        )


def test_the_longest_possible_proof_is_within_the_bound() -> None:
    def read(level: int, index: int) -> bytes:
        return b"%016d%016d" % (level, index)

    size, middle = merkle.LARGEST_SIZE, merkle.LARGEST_SIZE // 2
    assert len(merkle.range_nodes(read, middle, middle + 2, size)) <= BOUNDS.proof_hashes
    assert len(merkle.consistency_nodes(read, middle + 1, size)) <= BOUNDS.proof_hashes


def test_a_run_of_leaves_is_proven_for_every_start_and_end() -> None:
    for size in range(1, 41):
        leaves, root = LEAVES[:size], merkle.root(LEAVES[:size])
        read = merkle.reader(leaves)
        for start in range(size):
            for end in range(start + 1, size + 1):
                proof = merkle.range_nodes(read, start, end, size)
                assert len(proof) <= 2 * size.bit_length()
                merkle.verify_range(leaves[start:end], start, size, proof, root)


def test_a_run_of_one_is_the_inclusion_proof_and_the_whole_needs_none() -> None:
    assert merkle.range_proof(LEAVES[:77], 13, 14) == merkle.inclusion_proof(LEAVES[:77], 13)
    assert merkle.range_proof(LEAVES[:77], 0, 77) == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 120), st.data())
def test_a_run_with_a_leaf_dropped_added_swapped_moved_or_changed_is_refused(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 2))
    end = data.draw(st.integers(start + 2, size))
    at = data.draw(st.integers(start, end - 2)) - start
    leaves, root, run = LEAVES[:size], merkle.root(LEAVES[:size]), LEAVES[start:end]
    proof = merkle.range_proof(leaves, start, end)
    wrong = [
        (run[:at] + run[at + 1 :], start),
        ([*run[:at], run[at + 1], run[at], *run[at + 2 :]], start),
        ([*run, LEAVES[size]], start),
        ([*run[:-1], flip(run[-1], data.draw(st.integers(0, 255)))], start),
        (run, start + 1),
        (run, start - 1),
        (run[:-1], start),
        (run[1:], start + 1),
        ([], start),
        ([*run[:-1], run[-1] + b"x"], start),
    ]
    for leaf_hashes, place in wrong:
        with pytest.raises(ProofError):
            merkle.verify_range(leaf_hashes, place, size, proof, root)


def test_no_range_proof_is_made_for_a_run_outside_the_tree() -> None:
    for start, end in ((0, 0), (3, 2), (0, 9), (-1, 3), (8, 9)):
        with pytest.raises(ProofError):
            merkle.range_proof(CT_LEAVES, start, end)


@settings(deadline=None)
@given(st.integers(0, 300), st.data())
def test_every_consistency_proof_verifies(new_size: int, data: st.DataObject) -> None:
    old_size = data.draw(st.integers(0, new_size))
    old_root, new_root = merkle.root(LEAVES[:old_size]), merkle.root(LEAVES[:new_size])
    proof = merkle.consistency_nodes(merkle.reader(LEAVES), old_size, new_size)
    assert proof == merkle.consistency_proof(LEAVES[:new_size], old_size)
    merkle.verify_consistency(old_size, old_root, new_size, new_root, proof)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 255), st.data())
def test_one_changed_bit_of_a_consistency_proof_is_refused(new_size: int, bit: int, data: st.DataObject) -> None:
    old_size = data.draw(st.integers(1, new_size))
    old_root, new_root = merkle.root(LEAVES[:old_size]), merkle.root(LEAVES[:new_size])
    proof = merkle.consistency_proof(LEAVES[:new_size], old_size)
    cases = [(flip(old_root, bit), new_root, proof), (old_root, flip(new_root, bit), proof)]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        cases.append((old_root, new_root, (*proof[:at], flip(proof[at], bit), *proof[at + 1 :])))
        cases += [(old_root, new_root, proof[:-1]), (old_root, new_root, proof[1:])]
    cases += [(old_root, new_root, (*proof, new_root)), (old_root, new_root, (old_root, *proof))]
    for old, new, nodes in cases:
        with pytest.raises(ProofError):
            merkle.verify_consistency(old_size, old, new_size, new, nodes)


@settings(deadline=None)
@given(st.integers(2, 300), st.data())
def test_a_log_that_rewrote_one_old_leaf_cannot_prove_consistency(new_size: int, data: st.DataObject) -> None:
    old_size = data.draw(st.integers(1, new_size - 1))
    at = data.draw(st.integers(0, old_size - 1))
    rewritten = [*LEAVES[:at], merkle.leaf_hash(b"rewritten"), *LEAVES[at + 1 : new_size]]
    with pytest.raises(ProofError):
        merkle.verify_consistency(
            old_size,
            merkle.root(LEAVES[:old_size]),
            new_size,
            merkle.root(rewritten),
            merkle.consistency_proof(rewritten, old_size),
        )


def test_a_log_that_shrank_is_refused() -> None:
    old, new = (bytes.fromhex(CT_ROOTS[size]) for size in (8, 7))
    with pytest.raises(ProofError, match="cannot extend"):
        merkle.verify_consistency(8, old, 7, new, ())
    with pytest.raises(ProofError, match="cannot extend"):
        merkle.consistency_proof(CT_LEAVES, 9)
    with pytest.raises(ProofError):
        merkle.verify_consistency(1, old, 10**4000, new, ())


def test_from_the_empty_log_there_is_nothing_to_prove() -> None:
    empty, full = (bytes.fromhex(CT_ROOTS[size]) for size in (0, 8))
    merkle.verify_consistency(0, empty, 8, full, ())
    merkle.verify_consistency(0, empty, 0, empty, ())
    for old_root, new_size, new_root, proof in (
        (full, 8, full, ()),
        (empty, 0, full, ()),
        (empty, 8, full, (full,)),
        (empty, 8, full[:31], ()),
    ):
        with pytest.raises(ProofError):
            merkle.verify_consistency(0, old_root, new_size, new_root, proof)


def test_equal_sizes_need_equal_roots_and_no_proof() -> None:
    root, other = (bytes.fromhex(CT_ROOTS[size]) for size in (8, 7))
    merkle.verify_consistency(8, root, 8, root, ())
    for new_root, proof in ((other, ()), (root, (root,))):
        with pytest.raises(ProofError):
            merkle.verify_consistency(8, root, 8, new_root, proof)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=6))
def test_a_frontier_grows_in_any_steps_to_the_same_tree(steps: list[int]) -> None:
    frontier, size = merkle.Frontier(), 0
    for step in steps:
        frontier = merkle.Frontier.from_bytes(frontier.append(LEAVES[size : size + step]).to_bytes())
        size += step
        assert frontier.size == size
        assert frontier.root() == merkle.root(LEAVES[:size])
    assert len(frontier.to_bytes()) == 8 + 32 * size.bit_count()


def test_a_damaged_frontier_is_refused() -> None:
    content = merkle.Frontier().append(LEAVES[:7]).to_bytes()
    oversized = (2**53).to_bytes(8, "big") + bytes(32)
    for wrong in (b"", content[:7], content[:-1], content + b"x", content + bytes(32), oversized):
        with pytest.raises(MalformedError):
            merkle.Frontier.from_bytes(wrong)
    with pytest.raises(MalformedError):
        merkle.Frontier(1, (b"short",))
    with pytest.raises(MalformedError):
        merkle.Frontier(2, (bytes(32), bytes(32)))


def test_proofs_over_a_million_leaves_read_few_nodes() -> None:
    size, reads = 1_000_003, 0

    def read(level: int, index: int) -> bytes:
        nonlocal reads
        assert (index + 1) << level <= size, "only complete subtrees may be asked for"
        reads += 1
        return hashlib.sha256(b"%d %d" % (level, index)).digest()

    for index in (0, 1, 524_288, 777_777, size - 1):
        merkle.inclusion_nodes(read, index, size)
        merkle.range_nodes(read, index // 2, index // 2 + 5000, size)
        merkle.consistency_nodes(read, index + 1, size)
    merkle.root_nodes(read, size)
    assert reads < 16 * 3 * size.bit_length()


def test_every_step_of_a_growing_log_is_consistent_with_the_next() -> None:
    roots = [merkle.root(LEAVES[:size]) for size in range(66)]
    read = merkle.reader(LEAVES)
    for (old, old_root), (new, new_root) in pairwise(enumerate(roots)):
        merkle.verify_consistency(old, old_root, new, new_root, merkle.consistency_nodes(read, old, new))
