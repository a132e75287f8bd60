"""Merkle trees as RFC 6962, 2.1 and RFC 9162, 2.1 define them, over SHA-256.

There is one mechanism. A tree of ``size`` leaves is split again and again at the largest power of two below its
width; every proof is the list of hashes of the *spans* (subtrees of that split) which the recipient does not know,
from the bottom up. Building a proof asks a ``NodeReader`` for the complete subtrees that make up each span, so it
costs O(log size) reads wherever the nodes live: a list, tiles, a database. Checking a proof walks the same split and
takes one hash of the proof for each span. A single leaf gives the inclusion path of RFC 6962, 2.1.1 and an old size
the consistency proof of 2.1.2, hash for hash.

Leaves are given as *leaf hashes* (``leaf_hash(entry)``), never as entries. What a proof ties is the leaf to the root,
by its path; a size is only as good as the signed checkpoint that names it together with the root (two sizes can give
a leaf the same path). So sizes and roots must come from one checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from relto.bounds import BOUNDS
from relto.errors import MalformedError, ProofError

HASH_BYTES = 32
LARGEST_SIZE = BOUNDS.json_integer
EMPTY_ROOT = hashlib.sha256(b"").digest()
_SIZE_BYTES = 8

NodeReader = Callable[[int, int], bytes]
"""``read(level, index)``: the hash of the complete subtree over leaves [index * 2^level, (index + 1) * 2^level)."""

Span = tuple[int, int]
Proof = tuple[bytes, ...]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the leaf hashes; that of no leaves is SHA-256 of nothing."""
    return _levels(hashes)[-1][0] if hashes else EMPTY_ROOT


def reader(hashes: Sequence[bytes]) -> NodeReader:
    """Hash a list of leaf hashes once and return what every proof over it reads."""
    levels = _levels(hashes)
    return lambda level, index: levels[level][index]


def root_nodes(read: NodeReader, size: int) -> bytes:
    """Return the root of the first ``size`` leaves from O(log size) nodes."""
    _check_size(size)
    return _span_hash(read, (0, size)) if size else EMPTY_ROOT


def inclusion_proof(hashes: Sequence[bytes], index: int) -> Proof:
    """Prove one leaf of a list. For many leaves of one list use ``reader`` once and ``inclusion_nodes``."""
    return inclusion_nodes(reader(hashes), index, len(hashes))


def inclusion_nodes(read: NodeReader, index: int, size: int) -> Proof:
    """Prove the leaf at ``index`` in the tree of the first ``size`` leaves.

    Raises:
        ProofError: there is no such leaf.
    """
    return range_nodes(read, index, index + 1, size)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with this *leaf hash* stands at ``index`` of the tree.

    Raises:
        ProofError: it does not follow from the proof.
    """
    verify_range((leaf,), index, size, proof, root)


def range_proof(hashes: Sequence[bytes], start: int, end: int) -> Proof:
    """Prove the run of leaves [start, end) of a list."""
    return range_nodes(reader(hashes), start, end, len(hashes))


def range_nodes(read: NodeReader, start: int, end: int, size: int) -> Proof:
    """Prove the run of leaves [start, end) in the tree of the first ``size`` leaves, in at most 2 log2(size) hashes.

    Raises:
        ProofError: the run is empty or not inside the tree.
    """
    _check_run(start, end, size)
    return tuple(_span_hash(read, span) for span in _outside((start, end), (0, size)))


def verify_range(leaf_hashes: Sequence[bytes], start: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that exactly these leaves, in this order, stand from ``start`` on in the tree.

    Raises:
        ProofError: it does not follow from the proof.
    """
    _check_run(start, start + len(leaf_hashes), size)
    _check_hashes("leaf", leaf_hashes)
    rest = _rest(proof)
    found = _join(leaf_hashes, start, (0, size), rest)
    _check_used(rest)
    _check_equal(found, root, "root")


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> Proof:
    """Prove that the first ``old_size`` leaves of a list are the tree it was before."""
    return consistency_nodes(reader(hashes), old_size, len(hashes))


def consistency_nodes(read: NodeReader, old_size: int, new_size: int) -> Proof:
    """Prove that the tree of ``old_size`` is a beginning of the tree of ``new_size``.

    Raises:
        ProofError: the old size is larger than the new.
    """
    _check_growth(old_size, new_size)
    if old_size in (0, new_size):
        return ()
    return tuple(_span_hash(read, span) for span in _unknown(old_size, (0, new_size)))


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the new tree only added to the old.

    Every tree extends the empty one: from ``old_size`` 0 the proof is empty and the new root is not looked at.

    Raises:
        ProofError: it does not follow from the proof.
    """
    _check_growth(old_size, new_size)
    _check_hashes("root", (old_root, new_root))
    rest = _rest(proof)
    old, new = old_root, new_root
    if old_size == 0:
        old, new = EMPTY_ROOT, new_root if new_size else EMPTY_ROOT
    elif old_size == new_size:
        new = old_root
    else:
        old, new = _grow(old_size, old_root, (0, new_size), rest)
    _check_used(rest)
    _check_equal(old, old_root, "old root")
    _check_equal(new, new_root, "new root")


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all that is needed to append to a log of any length.

    ``edge`` holds the hashes of the complete subtrees that ``size`` is made of, the largest first: one for each bit
    set in ``size``.

    Raises:
        MalformedError: the number or the length of the hashes does not fit the size.
    """

    size: int = 0
    edge: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST_SIZE or len(self.edge) != self.size.bit_count():
            raise MalformedError(
                f"{len(self.edge)} hashes do not make up a tree of {self.size} leaves.",
                field="frontier",
                remedy="Rebuild it from the log.",
            )
        if any(len(node) != HASH_BYTES for node in self.edge):
            raise MalformedError("holds a hash that is not 32 bytes.", field="frontier", remedy="Rebuild it.")

    def append(self, hashes: Sequence[bytes]) -> Frontier:
        """Return the frontier after these leaf hashes: about one hash operation per leaf, whatever the size."""
        edge = list(self.edge)
        for place, leaf in enumerate(hashes, start=self.size):
            node, left_siblings = leaf, (~place & (place + 1)).bit_length() - 1
            for _ in range(left_siblings):
                node = node_hash(edge.pop(), node)
            edge.append(node)
        return Frontier(self.size + len(hashes), tuple(edge))

    def root(self) -> bytes:
        """Return the root of the tree that ends in this edge."""
        return _fold(self.edge) if self.edge else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Return the size as 8 bytes big-endian, then the hashes."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self.edge)

    @classmethod
    def from_bytes(cls, content: bytes) -> Frontier:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: anything else.
        """
        size, rest = int.from_bytes(content[:_SIZE_BYTES], "big"), content[_SIZE_BYTES:]
        if len(content) < _SIZE_BYTES or len(rest) != HASH_BYTES * size.bit_count():
            raise MalformedError(
                f"{len(content)} bytes are no frontier.", field="frontier", remedy="Rebuild it from the log."
            )
        return cls(size, tuple(rest[at : at + HASH_BYTES] for at in range(0, len(rest), HASH_BYTES)))


def _levels(hashes: Sequence[bytes]) -> list[Sequence[bytes]]:
    """All levels of the tree, leaves first; an odd last node rises unhashed, as in RFC 9162, 2.1.2."""
    levels: list[Sequence[bytes]] = [hashes]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
        levels.append([*above, below[-1]] if len(below) % 2 else above)
    return levels


def _split(span: Span) -> int:
    low, high = span
    return low + (1 << (high - low - 1).bit_length() - 1)


def _span_hash(read: NodeReader, span: Span) -> bytes:
    """Hash a span of the split from complete subtrees: its own if it is one, else those its width is made of."""
    low, high = span
    nodes = []
    while low < high:
        level = (high - low).bit_length() - 1
        nodes.append(read(level, low >> level))
        low += 1 << level
    return _fold(nodes)


def _fold(nodes: Sequence[bytes]) -> bytes:
    *others, found = nodes
    for node in reversed(others):
        found = node_hash(node, found)
    return found


def _outside(run: Span, span: Span) -> Iterator[Span]:
    """The largest spans that hold no leaf of the run, bottom up; for a run of one this is PATH of RFC 6962, 2.1.1."""
    (start, end), (low, high) = run, span
    if start <= low and high <= end:
        return
    if end <= low or high <= start:
        yield span
        return
    left, right = (low, _split(span)), (_split(span), high)
    nearer, other = (right, left) if start >= left[1] else (left, right)
    yield from _outside(run, nearer)
    yield from _outside(run, other)


def _join(leaves: Sequence[bytes], start: int, span: Span, rest: Iterator[bytes]) -> bytes:
    """The hash of a span from the run's leaves and the proof; visits the spans in the order of ``_outside``."""
    low, high = span
    end = start + len(leaves)
    if start <= low and high <= end:
        return root(leaves[low - start : high - start])
    if end <= low or high <= start:
        return _next(rest)
    middle = _split(span)
    if start >= middle:
        right = _join(leaves, start, (middle, high), rest)
        return node_hash(_next(rest), right)
    left = _join(leaves, start, (low, middle), rest)
    return node_hash(left, _join(leaves, start, (middle, high), rest))


def _unknown(old_size: int, span: Span) -> Iterator[Span]:
    """SUBPROOF of RFC 6962, 2.1.2: the spans that show how the old tree sits in the new one, bottom up."""
    low, high = span
    if old_size == high:
        if low:  # at 0 the span is the old tree itself, whose root the verifier has
            yield span
        return
    middle = _split(span)
    if old_size <= middle:
        yield from _unknown(old_size, (low, middle))
        yield (middle, high)
    else:
        yield from _unknown(old_size, (middle, high))
        yield (low, middle)


def _grow(old_size: int, old_root: bytes, span: Span, rest: Iterator[bytes]) -> tuple[bytes, bytes]:
    """The hashes of the old and the new tree within a span; visits the spans in the order of ``_unknown``."""
    low, high = span
    if old_size == high:
        same = _next(rest) if low else old_root
        return same, same
    middle = _split(span)
    if old_size <= middle:
        old, new = _grow(old_size, old_root, (low, middle), rest)
        return old, node_hash(new, _next(rest))
    old, new = _grow(old_size, old_root, (middle, high), rest)
    left = _next(rest)
    return node_hash(left, old), node_hash(left, new)


def _check_size(size: int) -> None:
    if not 0 <= size <= LARGEST_SIZE:
        raise ProofError(f"{size} is no size of a tree.", field="size", remedy="Ask for the signed checkpoint.")


def _check_run(start: int, end: int, size: int) -> None:
    _check_size(size)
    if not 0 <= start < end <= size:
        raise ProofError(
            f"leaves {start} to {end} are not in a tree of {size}.",
            field="index",
            remedy="Ask for a proof to the newest checkpoint.",
        )


def _check_growth(old_size: int, new_size: int) -> None:
    _check_size(new_size)
    if not 0 <= old_size <= new_size:
        raise ProofError(
            f"a tree of {new_size} leaves cannot extend one of {old_size}.",
            field="size",
            remedy="Compare the log's signed checkpoints: it has shrunk.",
        )


def _check_hashes(field: str, hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofError("a hash is not 32 bytes.", field=field, remedy="Ask for the proof again.")


def _rest(proof: Sequence[bytes]) -> Iterator[bytes]:
    if len(proof) > BOUNDS.proof_hashes:
        raise ProofError(
            f"{len(proof)} hashes, at most {BOUNDS.proof_hashes}.", field="proof", remedy="Ask for the proof again."
        )
    _check_hashes("proof", proof)
    return iter(proof)


def _next(rest: Iterator[bytes]) -> bytes:
    found = next(rest, None)
    if found is None:
        raise ProofError("ends too early.", field="proof", remedy="Ask for the proof again.")
    return found


def _check_used(rest: Iterator[bytes]) -> None:
    if next(rest, None) is not None:
        raise ProofError("holds more hashes than it needs.", field="proof", remedy="Ask for the proof again.")


def _check_equal(found: bytes, expected: bytes, field: str) -> None:
    if found != expected:
        raise ProofError(
            f"the proof leads to {found.hex()[:16]}..., not to {expected.hex()[:16]}...",
            field=field,
            remedy="Keep both as evidence and tell the log's owner.",
        )
