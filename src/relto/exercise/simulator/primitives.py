"""Keys of the simulated parties, and what makes a run fast without changing what it decides.

Nine of ten seeds run with simulated primitives: a signature is a keyed hash that only the owner's signer can make, and
a seal binds recipient, context, number and place of the parts. Inside the simulation they are as hard to forge as the
real ones, because no party is given another's secret; outside of it they are worth nothing, and they are in force only
within ``primitives``. The tenth seed runs with the real keys.

Pure functions whose arguments come again from seed to seed (reading an agreement, compiling a policy, deciding a class)
are remembered as well, by everything that their answer depends on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import relto.agreements.document
import relto.envelope.dsse
import relto.envelope.keys
import relto.envelope.seal
import relto.exchange.core
import relto.exchange.documents
import relto.exchange.page
import relto.log.checkpoint
import relto.release.decide
import relto.release.world
from relto.agreements.terms import Terms
from relto.bounds import BOUNDS
from relto.envelope.card import PartyCard, sign_card
from relto.envelope.keys import ED25519, Algorithm, PrivateKeys, PublicKeys, Signer, fingerprint
from relto.envelope.seal import PUBLIC_KEY_BYTES, Sealed, SealingKey
from relto.errors import SignatureError
from relto.release.classes import LabelClass
from relto.release.decide import Decision, decide_class
from relto.release.world import CompiledPolicy, Epoch, compile_policy

START_MS = 1_795_500_000_000  # 2026-11-24T06:00:00Z, when every simulated world begins
_DAY_MS = 86_400_000
_secrets: dict[str, bytes] = {}


class KeyedHash:
    """A signer whose signatures are keyed hashes."""

    def __init__(self, name: str) -> None:
        stream = hashlib.shake_256(b"simulated key " + name.encode()).digest(64 + 1952)
        self._secret = stream[:32]
        self.public = PublicKeys(ed25519=(stream[32:63] + b"\x01").hex(), ml_dsa_65=stream[64:].hex())
        _secrets[self.public.ed25519] = self._secret

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Both signatures; not of the real lengths."""
        first = hashlib.blake2b(message, key=self._secret, digest_size=32).digest()
        return first, first[::-1]


def _verifies(public: PublicKeys, algorithm: Algorithm, message: bytes, signature: bytes) -> bool:
    secret = _secrets.get(public.ed25519)
    if secret is None:
        return False
    good = hashlib.blake2b(message, key=secret, digest_size=32).digest()
    return signature == (good if algorithm == ED25519 else good[::-1])


class NamedSeal:
    """The private sealing key of a simulated party, as far as it takes part."""

    def __init__(self, name: str) -> None:
        self._public = hashlib.shake_256(b"simulated seal " + name.encode()).digest(PUBLIC_KEY_BYTES)

    def public_bytes(self) -> bytes:
        """What senders need."""
        return self._public


def _tag(recipient: bytes, context: bytes, content_key: bytes, parts: Sequence[bytes]) -> bytes:
    found = hashlib.blake2b(recipient[:32] + len(context).to_bytes(4, "big") + context + content_key, digest_size=32)
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return content_key + found.digest()


def _seal(parts: Sequence[bytes], *, recipient: bytes, context: bytes, content_key: bytes) -> Sealed:
    return Sealed(_tag(recipient, context, content_key, parts), tuple(parts))


def _unseal(sealed: Sealed, *, key: Any, context: bytes) -> tuple[bytes, ...]:
    if sealed.enc != _tag(key.public_bytes(), context, sealed.enc[:32], sealed.parts):
        raise SignatureError("the page does not open with our key.", field="sealed page")
    return sealed.parts


@dataclass(frozen=True, slots=True)
class Identity:
    """A party's keys and its card, made once in a process."""

    party: str
    authority: Signer
    node: Signer
    sealing: Any
    card: bytes
    fingerprint: str


@lru_cache(maxsize=64)
def identity(party: str, real: bool) -> Identity:
    """The keys of a party; the same name always has the same."""
    authority: Signer
    node: Signer
    if real:
        seeds = [hashlib.sha256(f"{party} {at}".encode()).digest() for at in range(7)]
        authority, node = PrivateKeys.from_seeds(*seeds[:2]), PrivateKeys.from_seeds(*seeds[2:4])
        sealing: Any = SealingKey.from_private_bytes(b"".join(seeds[4:7]))
    else:
        authority, node, sealing = KeyedHash(f"{party} authority"), KeyedHash(f"{party} node"), NamedSeal(party)
    card = PartyCard(
        v=1,
        party=party,
        name=f"Party {party}",
        version=1,
        authority=authority.public,
        node=node.public,
        sealing=sealing.public_bytes().hex(),
        tls_ca="AAAA",
        url=f"https://{party.lower()}.example",
        issued_ms=START_MS - _DAY_MS,
        expires_ms=START_MS + 365 * _DAY_MS,
    )
    return Identity(party, authority, node, sealing, sign_card(card, authority), fingerprint(authority.public))


def unsealed(sealed: Sealed, sealing: Any, context: bytes) -> tuple[bytes, ...]:
    """Open a page with a party's key, whichever primitives it was closed with."""
    if isinstance(sealing, NamedSeal):
        return _unseal(sealed, key=sealing, context=context)
    return relto.envelope.seal.unseal(sealed, key=sealing, context=context)


def sealed(parts: Sequence[bytes], *, recipient: bytes, context: bytes, content_key: bytes) -> Sealed:
    """Close a page for a party, with the primitives that are in force."""
    close = _seal if relto.exchange.page.__dict__["seal"] is _seal else relto.envelope.seal.seal
    return close(parts, recipient=recipient, context=context, content_key=content_key)


_read = lru_cache(maxsize=4096)(relto.agreements.document.read)
_policies: dict[Any, CompiledPolicy] = {}
_decisions: dict[Any, Decision] = {}
_REMEMBERED = 200_000
_true_key_ids = PublicKeys.key_ids


def _refs(agreements: Sequence[Terms]) -> tuple[Any, ...]:
    """Agreements by their ids, versions and the digests of their texts."""
    return tuple(terms.ref for terms in agreements)


def _compile_policy(epoch: Epoch, recipient: str) -> CompiledPolicy:
    key = (_refs(epoch.between(recipient)), epoch.overrides, epoch.quarantined_parties)
    if key not in _policies:
        _policies[key] = compile_policy(epoch, recipient)
    return _policies[key]


def _decide_class(cls: LabelClass, recipient: str, epoch: Epoch) -> Decision:
    agreed = _refs(epoch.between(recipient)), _refs(epoch.dormant_between(recipient))
    key = (cls, recipient, epoch.holder, *agreed, epoch.overrides, epoch.quarantined_parties, epoch.frozen)
    if key not in _decisions:
        if len(_decisions) > _REMEMBERED:
            _decisions.clear()
        _decisions[key] = decide_class(cls, recipient, epoch)
    return _decisions[key]


@lru_cache(maxsize=256)
def _key_ids(keys: PublicKeys) -> tuple[str, str]:
    return _true_key_ids(keys)


_MEMORY: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (relto.exchange.core, "read", _read),
    (relto.exchange.documents, "read", _read),
    (relto.release.world, "compile_policy", _compile_policy),
    (relto.release.decide, "decide_class", _decide_class),
    (PublicKeys, "key_ids", _key_ids),
    (relto.log.checkpoint, "parse_note", lru_cache(maxsize=4096)(relto.log.checkpoint.parse_note)),
)
_SIMULATED: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (relto.envelope.dsse, "verifies", _verifies),
    (relto.log.checkpoint, "verifies", _verifies),
    (relto.exchange.page, "seal", _seal),
    (relto.exchange.page, "unseal", _unseal),
)


@contextmanager
def primitives(*, real: bool) -> Iterator[None]:
    """Within this block, and only there, this process uses simulated primitives, or with ``real`` the real ones."""
    with ExitStack() as stack:
        for module, name, function in _MEMORY if real else (*_MEMORY, *_SIMULATED):
            stack.enter_context(replaced(module, name, function))
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within this block a module has another function under this name."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def bounds(**limits: int) -> Iterator[None]:
    """Within this block some limits are smaller, so that small worlds reach them."""
    before = {name: getattr(BOUNDS, name) for name in limits}
    try:
        for name, limit in limits.items():
            object.__setattr__(BOUNDS, name, limit)
        yield
    finally:
        for name, limit in before.items():
            object.__setattr__(BOUNDS, name, limit)
