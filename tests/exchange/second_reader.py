"""A second reader of the exchange, written from docs/spec alone. It imports nothing of the program.

It opens and verifies what two nodes send each other, from the bytes to the items, and refuses with the word that a node
answers. What it does not do: it stores nothing, reads of an agreement what a release rests on and no more, and looks
into no Parquet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from msgspec import DecodeError, msgpack

KIB, MIB = 1024, 1024 * 1024
FUTURE_MS = 600_000
FIRST_CHAIN = hashlib.sha256(b"relto-stream/1\n").hexdigest()
EMPTY_ROOT = hashlib.sha256(b"").digest()
DICTIONARY = (Path(__file__).parents[2] / "vectors" / "bundle" / "dictionary").read_bytes()


class RefusedError(Exception):
    """What was read breaks a rule; ``word`` is the class of the refusal."""

    def __init__(self, word: str, what: str) -> None:
        super().__init__(f"{word}: {what}")
        self.word = word


def need(holds: object, word: str, what: str) -> None:
    """Refuse unless it holds."""
    if not holds:
        raise RefusedError(word, what)


def sha256(content: bytes) -> str:
    """The digest as hex."""
    return hashlib.sha256(content).hexdigest()


# --- item.md, section 2: canonical JSON, against a form ---

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
HEX32, HEX64 = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{64}")
PARTY = re.compile("[A-Z][A-Z0-9-]{1,15}")
Form = Any  # a type, a pattern, a set of words, a list of one form, a dict of fields, or (form, None) where null may be


class _Pairs(list[Any]):
    """The fields of an object in their order."""


def canonical(
    content: bytes, form: Form, limit_bytes: int = 256 * KIB, optional: Mapping[str, Any] | None = None
) -> Any:
    """Read a value of a form from its one spelling. ``optional``: fields left out where they have this value."""
    need(len(content) <= limit_bytes, "too large", f"{len(content)} bytes")
    try:
        value = json.loads(content.decode(), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise RefusedError("malformed", str(error)) from None
    read = _shaped(value, form, optional or {})
    need(_plain(read), "malformed", "characters that deceive")
    written = json.dumps(_without(read, optional or {}), ensure_ascii=False, separators=(",", ":"))
    need(written.encode() == content, "malformed", "not canonical")
    return read


def _without(read: Any, optional: Mapping[str, Any]) -> Any:
    if not optional:
        return read
    return {key: value for key, value in read.items() if key not in optional or value != optional[key]}


def _shaped(value: Any, form: Form, optional: Mapping[str, Any]) -> Any:
    if isinstance(form, tuple):
        return None if value is None else _shaped(value, form[0], {})
    if isinstance(form, dict):
        need(isinstance(value, _Pairs), "malformed", "no object")
        names = [key for key, _ in value]
        found = dict(value)
        need(len(found) == len(names), "malformed", "a field twice")
        found = {**{key: optional[key] for key in optional if key not in found}, **found}
        need(set(found) == set(form), "malformed", f"fields {names}")
        return {key: _shaped(found[key], inner, {}) for key, inner in form.items()}
    if isinstance(form, list):
        need(isinstance(value, list) and not isinstance(value, _Pairs), "malformed", "no list")
        return [_shaped(each, form[0], {}) for each in value]
    if form is int:
        need(type(value) is int and abs(value) < 2**53, "malformed", f"{value!r} is no integer")
    elif form is str:
        need(isinstance(value, str), "malformed", "no text")
    elif isinstance(form, re.Pattern):
        need(isinstance(value, str) and form.fullmatch(value), "malformed", f"{value!r} is not {form.pattern}")
    else:
        need(type(value) in (int, str) and value in form, "malformed", f"{value!r} is none of {form}")
    return value


def _plain(value: Any) -> bool:
    """Whether no text in it holds what only an escape can spell."""
    if isinstance(value, dict):
        return all(_plain(each) for each in value.values())
    if isinstance(value, list):
        return all(_plain(each) for each in value)
    return not isinstance(value, str) or FORBIDDEN.search(value) is None


def unbase64(text: str) -> bytes:
    """Standard base64 with padding, in its one spelling."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        raise RefusedError("malformed", "no base64") from None
    need(base64.b64encode(content).decode() == text, "malformed", "another spelling of base64")
    return content


# --- envelope.md, section 1: keys ---


@dataclass(frozen=True)
class Keys:
    """The two public keys of a party or of its node."""

    ed25519: bytes
    ml_dsa_65: bytes

    @classmethod
    def of(cls, told: Mapping[str, str]) -> Keys:
        p = 2**255 - 19
        small = {0, 1, p - 1, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826}
        small.add(p - 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826)
        keys = cls(bytes.fromhex(told["ed25519"]), bytes.fromhex(told["ml_dsa_65"]))
        y = int.from_bytes(keys.ed25519, "little") & (2**255 - 1)
        need(y < p and y not in small, "malformed", "a key under which anyone can sign")
        return keys

    def fingerprint(self) -> str:
        digest = hashlib.sha256(b"relto fingerprint v1\n" + self.ed25519 + self.ml_dsa_65).digest()
        bits = int.from_bytes(digest[:15], "big")
        text = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[bits >> (5 * at) & 31] for at in reversed(range(24)))
        return "-".join(text[at : at + 4] for at in range(0, 24, 4))

    def ids(self) -> dict[str, str]:
        return {
            sha256(b"ed25519\n" + self.ed25519): "ed25519",
            sha256(b"ml-dsa-65\n" + self.ml_dsa_65): "ml-dsa-65",
        }

    def verifies(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        try:
            if algorithm == "ed25519":
                Ed25519PublicKey.from_public_bytes(self.ed25519).verify(signature, message)
            else:
                MLDSA65PublicKey.from_public_bytes(self.ml_dsa_65).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


KEYS = {"ed25519": HEX64, "ml_dsa_65": re.compile("[0-9a-f]{3904}")}

# --- envelope.md, section 2: envelopes ---

TYPE = "application/vnd.relto."
ENVELOPE = {"payload": str, "payloadType": str, "signatures": [{"keyid": str, "sig": str}]}


def opened(envelope: bytes, kind: str, parties: Mapping[str, Keys]) -> tuple[bytes, set[str]]:
    """The payload, and who of the parties signed it with both keys."""
    told = canonical(envelope, ENVELOPE, 2 * MIB)
    payload = unbase64(told["payload"])
    signatures = [(each["keyid"], unbase64(each["sig"])) for each in told["signatures"]]
    ids = [key_id for key_id, _ in signatures]
    need(0 < len(ids) <= 256, "too large" if ids else "malformed", "signatures")
    need(all(len(each) == 64 for each in ids) and ids == sorted(set(ids)), "malformed", "key ids")
    need(told["payloadType"] == TYPE + kind, "signature", told["payloadType"])
    name = told["payloadType"].encode()
    message = b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
    good: set[tuple[str, str]] = set()
    for party, keys in parties.items():
        for key_id, algorithm in keys.ids().items():
            for signature in (sig for found, sig in signatures if found == key_id):
                need(keys.verifies(algorithm, message, signature), "signature", f"{algorithm} of {party}")
                good.add((party, algorithm))
    return payload, {party for party in parties if {(party, "ed25519"), (party, "ml-dsa-65")} <= good}


def signed(envelope: bytes, kind: str, keys: Keys) -> bytes:
    """The payload that the owner of these keys signed."""
    payload, by = opened(envelope, kind, {"": keys})
    need(by, "signature", "is missing")
    return payload


# --- envelope.md, section 3: trees ---


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(width: int) -> int:
    """The largest power of two below a width."""
    return 1 << ((width - 1).bit_length() - 1)


def root(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else EMPTY_ROOT
    middle = split(len(hashes))
    return node_hash(root(hashes[:middle]), root(hashes[middle:]))


def _hashes(proof: Sequence[bytes]) -> Iterator[bytes]:
    need(len(proof) <= 128 and all(len(each) == 32 for each in proof), "proof", "no hashes")
    return iter(proof)


def _next(rest: Iterator[bytes]) -> bytes:
    found = next(rest, None)
    need(found is not None, "proof", "ends too early")
    return found or b""


def check_run(leaves: Sequence[bytes], start: int, size: int, proof: Sequence[bytes], top: bytes) -> None:
    """The leaf hashes stand from ``start`` on in the tree of this size."""
    end, rest = start + len(leaves), _hashes(proof)
    need(0 <= start < end <= size < 2**53, "proof", "not in the tree")

    def walk(low: int, high: int) -> bytes:
        if start <= low and high <= end:
            return root(leaves[low - start : high - start])
        if end <= low or high <= start:
            return _next(rest)
        middle = low + split(high - low)
        if start >= middle:  # the proof goes from the bottom up
            right = walk(middle, high)
            return node_hash(walk(low, middle), right)
        left = walk(low, middle)
        return node_hash(left, walk(middle, high))

    found = walk(0, size)
    need(next(rest, None) is None and found == top, "proof", "another root")


def check_growth(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """The tree of size ``old`` is a beginning of that of size ``new`` (RFC 9162, 2.1.4.2)."""
    rest = list(_hashes(proof))
    need(0 <= old <= new < 2**53, "proof", "has shrunk")
    if old == 0 or old == new:
        need(not rest and old_root == (new_root if old else EMPTY_ROOT), "proof", "not the same")
        return
    if old & (old - 1) == 0:
        rest.insert(0, old_root)
    need(rest, "proof", "ends too early")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = rest[0]
    for each in rest[1:]:
        need(sn, "proof", "too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(each, fr), node_hash(each, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, each)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and (fr, sr) == (old_root, new_root), "proof", "another root")


# --- envelope.md, section 4: sealing ---


def unsealed(enc: bytes, parts: Sequence[bytes], private: bytes, context: bytes) -> list[bytes]:
    """The parts of a page that is closed for this private key (64 bytes of ML-KEM-768 seed, 32 of X25519)."""
    need(len(parts) <= 4096 and sum(map(len, parts)) <= 128 * MIB and len(context) <= MIB, "too large", "page")
    key = MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(private[:64]), X25519PrivateKey.from_private_bytes(private[64:])
    )
    info = b"relto sealed page v1\n" + len(parts).to_bytes(8, "big") + context
    try:
        need(len(enc) == 1168, "signature", "enc")
        content_key = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM).decrypt(enc, key, info=info)
        cipher = AESGCM(content_key)
        numbered = [(at.to_bytes(8, "big"), part) for at, part in enumerate(parts)]
        return [cipher.decrypt(bytes(4) + at, part, context + at) for at, part in numbered]
    except (InvalidTag, ValueError):
        raise RefusedError("signature", "does not open") from None


# --- envelope.md, section 5: cards ---

REVOKED = {"node": re.compile("(?:[0-9A-Z]{4}-){5}[0-9A-Z]{4}"), "since_ms": int}
CARD = {
    "v": {1},
    "party": PARTY,
    "name": str,
    "version": int,
    "authority": KEYS,
    "node": KEYS,
    "sealing": re.compile("[0-9a-f]{2432}"),
    "tls_ca": str,
    "url": re.compile(r"https://[a-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?"),
    "issued_ms": int,
    "expires_ms": int,
    "log": int,
    "revoked": [REVOKED],
}


@dataclass(frozen=True)
class Card:
    """A card whose signatures were verified; whether it is good at some time is asked apart."""

    told: Mapping[str, Any]
    authority: Keys
    node: Keys

    @property
    def party(self) -> str:
        return str(self.told["party"])

    def check_times(self, now_ms: int) -> None:
        need(now_ms < self.told["expires_ms"], "expired", "card")
        need(self.told["issued_ms"] <= now_ms + FUTURE_MS, "malformed", "card of the future")


def read_card(envelope: bytes, pinned: str | None) -> Card:
    """A card that the authority keys on it signed; ``pinned`` is their fingerprint where it is known."""
    need(len(envelope) <= 64 * KIB, "too large", "card")
    payload, _ = opened(envelope, "card+json", {})
    told = canonical(payload, CARD, 64 * KIB, {"log": 1, "revoked": []})
    card = Card(told, Keys.of(told["authority"]), Keys.of(told["node"]))
    void = [each["node"] for each in told["revoked"]]
    need(1 <= told["version"] < 2**53 and told["name"].strip() and len(told["name"]) <= 256, "malformed", "card")
    need(told["issued_ms"] < told["expires_ms"] and 1 <= told["log"] <= 64, "malformed", "card")
    need(len(void) <= 64 and void == sorted(set(void)), "malformed", "revoked")
    need(card.node.fingerprint() not in void and 0 < len(unbase64(told["tls_ca"])) <= 8 * KIB, "malformed", "card")
    signed(envelope, "card+json", card.authority)
    need(pinned in (None, card.authority.fingerprint()), "signature", "another authority")
    return card


# --- agreement.md: as much of a text as a release rests on ---


@dataclass(frozen=True)
class Agreement:
    """An agreement's name, parties and term, and who has signed it."""

    ref: tuple[str, int, str]
    parties: frozenset[str]
    from_ms: int
    until_ms: int | None
    signed_by: frozenset[str]


def read_agreement(envelope: bytes, authorities: Mapping[str, Keys]) -> Agreement:
    text, by = opened(envelope, "agreement+toml", authorities)
    try:
        told = tomllib.loads(text.decode())
    except (ValueError, UnicodeDecodeError) as error:
        raise RefusedError("malformed", str(error)) from None
    need(told.get("format") == "relto-agreement/1", "malformed", "format")
    term = told["term"]
    until_ms = round(term["until"].timestamp() * 1000) if "until" in term else None
    parties = frozenset(each["id"] for each in told["party"])
    ref = (told["id"], told["version"], sha256(text))
    return Agreement(ref, parties, round(term["from"].timestamp() * 1000), until_ms, frozenset(by))


# --- log.md, section 3: signed notes and checkpoints ---

NOTE_TYPES = {"ed25519": b"\x01", "ml-dsa-65": b"\xffrelto note ML-DSA-65 v1\n"}


@dataclass(frozen=True)
class Head:
    """The signed head of a log."""

    origin: str
    size: int
    root: bytes


def _name(text: str) -> str:
    need(0 < len(text) <= 256 and "+" not in text and not re.search(r"\s", text), "malformed", "a name")
    return text


def _note(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """A note's text, and its signature lines as name and content."""
    need(len(note) <= 512 * KIB, "too large", "note")
    try:
        content = note.decode()
    except UnicodeDecodeError:
        raise RefusedError("malformed", "no UTF-8") from None
    need(not FORBIDDEN.search(content) and "\r" not in content and "\t" not in content, "malformed", "characters")
    text, blank, lines = content.rpartition("\n\n")
    need(blank and lines.endswith("\n"), "malformed", "no signatures")
    found = []
    for line in lines[:-1].split("\n"):
        need(line.startswith("— "), "malformed", "no em dash")
        name, _, encoded = line[2:].partition(" ")
        found.append((_name(name), unbase64(encoded)))
        need(len(found[-1][1]) > 4, "malformed", "no signature")
    need(len(found) <= 128, "too large", "signatures")
    return text + "\n", found


def read_head(note: bytes, party: str, keys: Keys) -> Head:
    """The head that this party's node signed with both keys."""
    text, lines = _note(note)
    for algorithm, kind in NOTE_TYPES.items():
        raw = keys.ed25519 if algorithm == "ed25519" else keys.ml_dsa_65
        key_id = hashlib.sha256(party.encode() + b"\n" + kind + raw).digest()[:4]
        mine = [sig[4:] for name, sig in lines if name == party and sig[:4] == key_id]
        good = len(mine) == 1 and keys.verifies(algorithm, text.encode(), mine[0])
        need(good, "signature", f"{algorithm} line of {party}")
    origin, size, top, *more = [*text[:-1].split("\n"), "", ""][: max(3, text.count("\n"))]
    need(re.fullmatch(r"0|[1-9][0-9]{0,15}", size), "malformed", "size")
    head = Head(_name(origin), int(size), unbase64(top))
    need(all(0 < len(line) <= 256 for line in more) and head.size < 2**53, "malformed", "extension or size")
    need(len(head.root) == 32 and (head.size or head.root == EMPTY_ROOT), "malformed", "root")
    return head


def origin_of(party: str, log: int) -> str:
    return f"relto.release/{party}" if log == 1 else f"relto.release/{party}/{log}"


def log_of(note: bytes) -> tuple[str, int]:
    """Whose log a note says it is of, and its number (1 to 64)."""
    match = re.fullmatch("relto\\.release/([^/]*)(?:/([0-9]{1,3}))?", _note(note)[0].split("\n", 1)[0])
    need(match, "malformed", "no release log")
    party, log = (match[1], int(match[2] or 1)) if match else ("", 0)
    need(1 <= log <= 64 and (match is None or match[0] == origin_of(party, log)), "malformed", "no release log")
    return party, log


# --- label.md and item.md, section 3: headers ---

MARKING = {"policy": str, "level": str, "text": str}
CATEGORY = {"tag": str, "type": {"permissive", "restrictive", "informative"}, "values": [str]}
TLP = {"", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"}
HANDLING = {"markings": [MARKING], "categories": [CATEGORY], "tlp": TLP, "licences": [str]}
PORTION = {"selector": str, "handling": HANDLING}
LABEL = {"handling": HANDLING, "originators": [str], "portions": [PORTION], "foreign": str}
PLACE = {"south_e7": int, "west_e7": int, "north_e7": int, "east_e7": int}
REF = {"id": str, "version": int, "sha256": str}
ONWARD = {"rule": {"none", "consent", "list"}, "to": [str]}
DUTIES = {"precision_m": int, "delay_s": int, "retention_s": (int, None), "onward": ONWARD, "purposes": [str]}
VIEW = {"nothing", "notice", "summary", "detail", "full"}
RELEASE = {
    "by": str,
    "to": str,
    "edition": int,
    "view": VIEW,
    "duties": DUTIES,
    "agreements": [REF],
    "rules": [str],
    "time_ms": int,
}
HEADER = {
    "v": {1},
    "id": HEX32,
    "version": int,
    "kind": re.compile(r"[a-z]{2,24}\.[a-z][a-z_]{1,31}"),
    "origin": PARTY,
    "observed_ms": int,
    "until_ms": int,
    "place": (PLACE, None),
    "subjects": [str],
    "label": LABEL,
    "sources": [{"id": str, "version": int}],
    "media_type": re.compile(r"[a-z]+/[a-z0-9.+-]+(?:;version=[0-9.]+)?"),
    "size": int,
    "sha256": HEX64,
    "release": (RELEASE, None),
}
SHAPES = {
    "maritime.detection": "record",
    "maritime.warning": "record",
    "maritime.distress": "record",
    "maritime.positions": "columns",
    "maritime.vessels": "columns",
    "military.track": "record",
    "cyber.vulnerability": "record",
    "cyber.bundle": "stix",
    "cyber.event": "misp",
    "geospatial.scene": "record",
    "geospatial.slice": "opaque",
}
WITHDRAWAL = "statement.withdrawal"


def _ascending(values: Sequence[Any], most: int) -> bool:
    return len(values) <= most and all(a < b for a, b in pairwise(values))


def _check_handling(told: Mapping[str, Any]) -> None:
    markings = [tuple(each.values()) for each in told["markings"]]
    tags = [(each["tag"], each["type"]) for each in told["categories"]]
    need(_ascending(markings, 64) and _ascending(tags, 32) and _ascending(told["licences"], 64), "malformed", "label")
    need(all(_ascending(each["values"], 64) for each in told["categories"]), "malformed", "category")


def read_header(content: bytes) -> dict[str, Any]:
    told: dict[str, Any] = canonical(content, HEADER, MIB)
    label = told["label"]
    for each in (label["handling"], *(portion["handling"] for portion in label["portions"])):
        _check_handling(each)
    need(label["originators"] and _ascending(label["originators"], 64), "malformed", "originators")
    need(_ascending([each["selector"] for each in label["portions"]], 4096), "malformed", "portions")
    need(told["version"] >= 1 and 0 <= told["size"] <= 64 * MIB, "malformed", "version or size")
    need(0 <= told["observed_ms"] <= told["until_ms"], "malformed", "times")
    need(_ascending(told["subjects"], 32) and len(told["sources"]) <= 4096, "malformed", "subjects")
    need(told["origin"] in label["originators"], "malformed", "origin")
    box = told["place"]
    if box is not None:
        need(-900_000_000 <= box["south_e7"] <= box["north_e7"] <= 900_000_000, "malformed", "latitude")
        need(all(abs(box[side]) <= 1_800_000_000 for side in ("west_e7", "east_e7")), "malformed", "longitude")
    return told


def check_content(kind: str, content: bytes) -> None:
    """The content is of the form of its kind at all (item.md, section 6)."""
    need(kind in SHAPES, "malformed", f"unknown kind {kind}")
    if SHAPES[kind] in ("columns", "opaque"):
        return
    record = strict_json(content)
    need(isinstance(record, dict), "malformed", "no object")
    need(SHAPES[kind] != "stix" or isinstance(record.get("objects"), list), "malformed", "no objects")


def strict_json(content: bytes) -> Any:
    """JSON that no two readers read differently (item.md, section 6)."""
    text = _utf8(content)
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    need(deepest <= 32, "too large", "depth")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(found)) == len(found), "malformed", "a key twice")
        return dict(found)

    def number(text: str) -> float:
        need(math.isfinite(float(text)), "malformed", text)
        return float(text)

    def integer(text: str) -> int:
        need(len(text) <= 17 and abs(int(text)) < 2**53, "malformed", text)
        return int(text)

    def constant(text: str) -> None:
        raise RefusedError("malformed", text)

    try:
        value = json.loads(
            text, object_pairs_hook=pairs, parse_float=number, parse_int=integer, parse_constant=constant
        )
    except (ValueError, RecursionError) as error:
        raise RefusedError("malformed", str(error)) from None
    need(FORBIDDEN.search(text) is None and _texts_are_plain(value), "malformed", "characters that deceive")
    return value


def _utf8(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RefusedError("malformed", "no UTF-8") from None


def _texts_are_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_texts_are_plain(each) for pair in value.items() for each in pair)
    return all(map(_texts_are_plain, value)) if isinstance(value, list) else _plain(value)


# --- exchange.md ---


@dataclass(frozen=True)
class Position:
    """Where a recipient is in a stream, and the newest head of the releaser's log that it has verified."""

    next_n: int = 1
    chain: str = FIRST_CHAIN
    log: int = 1
    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True)
class Known:
    """What a party has beside the bytes that come: its name and sealing key, the cards it pinned, its agreements."""

    us: str
    sealing: bytes
    cards: Mapping[str, Card]
    agreements: Sequence[Agreement]

    def card(self, party: str) -> Card:
        need(party in self.cards, "unknown party", party)
        return self.cards[party]


@dataclass(frozen=True)
class Release:
    """One release of a page. ``hops`` are those that verify; ``hops_fault`` says why they were dropped.

    ``withdrawn_by`` is, for a withdrawal, whose word it is: that of the originator, or of who released it.
    """

    header: Mapping[str, Any]
    header_bytes: bytes
    content: bytes
    record: Mapping[str, Any]
    hops: tuple[str, ...] = ()
    hops_fault: str = ""
    withdrawn_by: str = ""


@dataclass(frozen=True)
class Page:
    """A page of which all was verified."""

    batch: Mapping[str, Any]
    releases: tuple[Release, ...]
    position: Position


BATCH = {
    "v": {1},
    "by": str,
    "to": str,
    "batch": str,
    "first_n": int,
    "count": int,
    "root": HEX64,
    "previous": HEX64,
    "log_start": int,
    "created_ms": int,
}
RECORD = {
    "v": {1},
    "by": str,
    "to": str,
    "n": int,
    "item": str,
    "version": int,
    "verdict": {"FULL", "SANITISED", "WITHHELD", "WITHDRAWN"},
    "view": VIEW,
    "reasons": [str],
    "agreements": [REF],
    "rules": [str],
    "rendition": str,
    "policy": str,
    "time_ms": int,
}
STATEMENT = {"v": {1}, "by": str, "item": str, "version": int, "reason": str, "time_ms": int}


def chain_after(previous: str, top: str) -> str:
    return sha256(bytes.fromhex(previous) + bytes.fromhex(top))


def array(content: bytes, *forms: Any, limit_bytes: int = 128 * MIB) -> list[Any]:
    """A MessagePack array of these types in its one spelling."""
    need(len(content) <= limit_bytes, "too large", "array")
    value = unpacked_map(content)
    need(isinstance(value, list) and len(value) == len(forms), "malformed", "not its array")
    need(msgpack.encode(value) == content, "malformed", "not in its one form")
    for each, form in zip(value, forms, strict=True):
        _check_type(each, form)
    return list(value)


def _check_type(value: Any, form: Any) -> None:
    if isinstance(form, list):
        need(isinstance(value, list), "malformed", "no list")
        for each in value:
            _check_type(each, form[0])
    else:
        need(type(value) is form, "malformed", f"{type(value).__name__} for {form.__name__}")


def unpacked_map(content: bytes) -> Any:
    try:
        return msgpack.decode(content)
    except (DecodeError, RecursionError, ValueError) as error:
        raise RefusedError("malformed", str(error)) from None


def unpack(part: bytes, limit_bytes: int) -> bytes:
    """A part as it was before it was packed (section 3)."""
    if not part.startswith(b"\0"):
        need(len(part) <= limit_bytes, "too large", "part")
        return part
    opener = zlib.decompressobj(-15, DICTIONARY)
    try:
        content = opener.decompress(part[1:], limit_bytes + 1)
    except zlib.error as error:
        raise RefusedError("malformed", str(error)) from None
    need(len(content) <= limit_bytes, "too large", "part")
    need(opener.eof and not opener.unused_data, "malformed", "breaks off or goes on")
    return content


def read_batch(statement: bytes, keys: Keys) -> dict[str, Any]:
    batch: dict[str, Any] = canonical(signed(statement, "batch+json", keys), BATCH)
    need(batch["first_n"] >= 1 and batch["count"] >= 1 and batch["log_start"] >= 0, "malformed", "numbers")
    return batch


def read_page(page: bytes, peer: str, known: Known, position: Position, now_ms: int) -> Page:
    """Section 3: all of it, or nothing of the page is used."""
    card = known.card(peer)
    card.check_times(now_ms)
    magic, to, batch_id, enc, parts = array(page, str, str, str, bytes, [bytes])
    need(magic == "relto-page/1" and to == known.us, "misdirected", "page")
    opened_parts = unsealed(enc, parts, known.sealing, f"relto-page/1\n{to}\n{batch_id}".encode())
    need(len(opened_parts) >= 2, "malformed", "no release")
    manifest = unpack(opened_parts[0], 256 * KIB)
    statement, note, run, growth, grown_from = array(manifest, bytes, bytes, [bytes], [bytes], int)
    batch = read_batch(statement, card.node)
    need((batch["by"], batch["to"], batch["batch"]) == (peer, known.us, batch_id), "misdirected", "batch")
    count = len(opened_parts) - 1
    need(batch["count"] == count <= 1024, "malformed", "count")
    need((batch["first_n"], batch["previous"]) == (position.next_n, position.chain), "misdirected", "not the next")
    need(batch["created_ms"] <= now_ms + FUTURE_MS, "malformed", "batch of the future")
    sent, room = [], 128 * MIB
    for part in opened_parts[1:]:
        content = unpack(part, room)
        room -= len(content)
        sent.append(array(content, bytes, bytes, bytes, bytes, [list]))
    headers = [_bound(each[0], each[1]) for each in sent]
    need(root([leaf_hash(each[0]) for each in sent]).hex() == batch["root"], "proof", "root")
    entries, records = zip(*(_leaf(each[2], each[3]) for each in sent), strict=True)
    for n, (header, each, record) in enumerate(zip(headers, sent, records, strict=True), batch["first_n"]):
        _check_release(header, each[0], record, n, batch)
    head = read_head(note, peer, card.node)
    need(head.origin == origin_of(peer, position.log), "misdirected", "another log")
    check_run([leaf_hash(each) for each in entries], batch["log_start"], head.size, run, head.root)
    need(grown_from == position.size, "proof", "grown from another size")
    check_growth(position.size, position.root, head.size, head.root, growth)
    for header, each in zip(headers, sent, strict=True):
        _check_ground(header, each[1], peer, known, now_ms)
    releases = tuple(
        _release(header, each, record, peer, known) for header, each, record in zip(headers, sent, records, strict=True)
    )
    after = chain_after(batch["previous"], batch["root"])
    return Page(batch, releases, Position(batch["first_n"] + count, after, position.log, head.size, head.root))


def _bound(header: bytes, content: bytes) -> dict[str, Any]:
    told = read_header(header)
    need((len(content), sha256(content)) == (told["size"], told["sha256"]), "malformed", "another content")
    return told


def _leaf(record: bytes, salt: bytes) -> tuple[bytes, dict[str, Any]]:
    need(len(salt) == 32, "malformed", "salt")
    return hashlib.sha256(b"relto-release-leaf/1\n" + salt + record).digest(), canonical(record, RECORD)


def _check_release(
    header: Mapping[str, Any], header_bytes: bytes, record: Mapping[str, Any], n: int, batch: Mapping[str, Any]
) -> None:
    release = header["release"]
    need(release and (release["by"], release["to"]) == (batch["by"], batch["to"]), "misdirected", "release")
    true = {
        "by": batch["by"],
        "to": batch["to"],
        "n": n,
        "item": header["id"],
        "version": header["version"],
        "view": release["view"],
        "agreements": release["agreements"],
        "rules": release["rules"],
        "rendition": sha256(header_bytes),
    }
    need(all(record[key] == value for key, value in true.items()), "proof", "logged as something else")


def _check_ground(header: Mapping[str, Any], content: bytes, peer: str, known: Known, now_ms: int) -> None:
    release = header["release"]
    need(release["time_ms"] <= now_ms + FUTURE_MS, "malformed", "released in the future")
    if header["kind"] == WITHDRAWAL:
        _check_withdrawal(header, content)
        return
    check_content(header["kind"], content)
    for ref in release["agreements"]:
        of = next((each for each in known.agreements if each.ref == tuple(ref.values())), None)
        need(of and of.parties <= of.signed_by and {peer, known.us} <= of.parties, "agreement", "not signed here")
        if of:
            over = of.until_ms is not None and release["time_ms"] >= of.until_ms
            need(of.from_ms <= release["time_ms"] and not over, "agreement", "not in force")
    need(release["agreements"], "agreement", "none is named")


def _check_withdrawal(header: Mapping[str, Any], content: bytes) -> None:
    """Section 6: nothing more than a withdrawal may say."""
    bare = {"markings": [], "categories": [], "tlp": "", "licences": []}
    label = {"handling": bare, "originators": [header["origin"]], "portions": [], "foreign": ""}
    is_bare = (header["label"], header["place"], header["subjects"], header["sources"]) == (label, None, [], [])
    need(is_bare and header["media_type"] == "application/vnd.relto.withdrawal", "malformed", "says more")
    need(header["observed_ms"] == header["until_ms"] and len(content) <= 256 * KIB, "malformed", "says more")
    release = header["release"]
    need(release["view"] == "nothing" and not release["agreements"], "malformed", "released like an item")
    need(header["version"] >= 2, "malformed", "a first version")


def _release(
    header: Mapping[str, Any], sent: Sequence[Any], record: Mapping[str, Any], peer: str, known: Known
) -> Release:
    withdrawn_by = _withdrawn_by(header, sent[1], peer, known) if header["kind"] == WITHDRAWAL else ""
    try:
        hops, fault = read_hops(sent[4], header, known), ""
    except RefusedError as refused:  # one bad chain stops no stream
        hops, fault = (), str(refused)
    return Release(header, sent[0], sent[1], record, hops, fault, withdrawn_by)


def _withdrawn_by(header: Mapping[str, Any], content: bytes, peer: str, known: Known) -> str:
    """Whose word a withdrawal is: the originator's only if it came from it, or with a statement that verifies."""
    if peer == header["origin"]:
        return peer
    try:
        read_withdrawal(content, header, known.card(header["origin"]).node)
    except RefusedError:
        return peer
    return str(header["origin"])


def read_withdrawal(envelope: bytes, header: Mapping[str, Any], originator: Keys) -> dict[str, Any]:
    told: dict[str, Any] = canonical(signed(envelope, "withdrawal+json", originator), STATEMENT)
    named = (told["by"], told["item"], told["version"])
    need(named == (header["origin"], header["id"], header["version"]), "misdirected", "of another item")
    return told


# --- section 8: provenance ---


def read_hops(hops: Sequence[Any], header: Mapping[str, Any], known: Known) -> tuple[str, ...]:
    """Who released the item before, the first of them first; every hop must hold."""
    need(len(hops) <= 4, "too large", "hops")
    later, found = header, []
    for hop in reversed(hops):
        need(len(hop) == 5, "malformed", "hop")
        for each, form in zip(hop, (bytes, bytes, bytes, int, [bytes]), strict=True):
            _check_type(each, form)
        later = _hop(hop, later, known)
        found.append(later["release"]["by"])
    return tuple(reversed(found))


def _hop(hop: Sequence[Any], later: Mapping[str, Any], known: Known) -> dict[str, Any]:
    header_bytes, statement, card_bytes, index, path = hop
    header = read_header(header_bytes)
    before, after = header["release"], later["release"]
    need(before and before["to"] == after["by"], "misdirected", "leads elsewhere")
    need(_continues(header, later), "proof", "another item")
    others = {header["origin"], *header["label"]["originators"]} - {after["by"], after["to"]}
    onward = before["duties"]["onward"]
    need(not others or (onward["rule"] == "list" and after["to"] in onward["to"]), "misdirected", "not onward")
    partner = known.cards.get(before["by"])
    card = read_card(card_bytes, partner.authority.fingerprint() if partner else None)
    batch = read_batch(statement, card.node)
    parties = (card.party, batch["by"], batch["to"])
    need(parties == (before["by"], before["by"], before["to"]), "misdirected", "of other parties")
    check_run([leaf_hash(header_bytes)], index, batch["count"], path, bytes.fromhex(batch["root"]))
    return header


def _continues(header: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    def bare(told: Mapping[str, Any]) -> dict[str, Any]:
        label = told["label"]
        handling = {**label["handling"], "markings": []}
        return {**told, "label": {**label, "handling": handling}, "release": None}

    of = [each["label"]["handling"]["markings"] for each in (header, later)]
    return all(each in of[1] for each in of[0]) and bare(header) == bare(later)


# --- section 4: receipts ---

RECEIPT = {
    "v": {1},
    "by": str,
    "to": str,
    "up_to_n": int,
    "chain": str,
    "log": int,
    "log_size": int,
    "log_root": HEX64,
    "time_ms": int,
}


def read_receipt(content: bytes, by: str, to: str, keys: Keys) -> dict[str, Any]:
    told: dict[str, Any] = canonical(signed(unpack(content, 256 * KIB), "receipt+json", keys), RECEIPT)
    need((told["by"], told["to"]) == (by, to), "misdirected", "receipt")
    need(told["up_to_n"] >= 0 and told["log"] >= 1 and told["log_size"] >= 0, "malformed", "numbers")
    return told


def check_receipt(
    told: Mapping[str, Any], chains: Mapping[int, str], log: int, root_at: Callable[[int], bytes | None]
) -> None:
    """Hold a receipt against our own stream and log."""
    need(chains.get(told["up_to_n"]) == told["chain"], "malformed", "a chain that we never had")
    had = told["log"] < log or (told["log"] == log and root_at(told["log_size"]) == bytes.fromhex(told["log_root"]))
    need(had, "malformed", "a head that we never had")


# --- section 5: documents ---


def mark(*contents: bytes) -> int:
    joined = b"".join(hashlib.sha256(each).digest() for each in contents)
    return int.from_bytes(hashlib.sha256(joined).digest()[:6], "big")


def read_documents(content: bytes) -> dict[str, Any]:
    """What a partner's documents say; nothing in them is verified by that."""
    told = unpacked_map(_within(unpack(content, 32 * MIB), 32 * MIB))
    need(isinstance(told, dict), "malformed", "no map")
    told = {"heads": [], "cards": [], "stored": None, "sent": None, **told}
    fields = {
        "v": int,
        "agreements": [bytes],
        "recalled": [list],
        "more_recalled": bool,
        "heads": [bytes],
        "cards": [list],
    }
    need(set(told) == {*fields, "stored", "sent"}, "malformed", "fields")
    for name, form in fields.items():
        _check_type(told[name], form)
    for name in ("stored", "sent"):
        if told[name] is not None:
            _check_row(told[name], int, str, int, int, bytes)
    for name, most in (("recalled", 10_000), ("agreements", 512), ("heads", 1024)):
        need(len(told[name]) <= most, "too large", name)
    need(len(told["cards"]) <= 257, "malformed", "cards")
    for each in told["cards"]:
        _check_row(each, str, int, str)
        need(PARTY.fullmatch(each[0]) and 1 <= each[1] < 2**53, "malformed", "card")
    for each in told["recalled"]:
        _check_row(each, str, int)
        need(HEX32.fullmatch(each[0]) and 2 <= each[1] < 2**53, "malformed", "recalled")
    return told


def _within(content: bytes, limit_bytes: int) -> bytes:
    need(len(content) <= limit_bytes, "too large", f"{len(content)} bytes")
    return content


def _check_row(row: Any, *forms: type) -> None:
    need(isinstance(row, list) and len(row) == len(forms), "malformed", "row")
    for each, form in zip(row, forms, strict=True):
        _check_type(each, form)


# --- section 7: growth, notices ---


def is_one_log(old: tuple[int, bytes], new: tuple[int, bytes], growth: bytes) -> bool:
    """Whether a growth proves one log; False if it proves two. What proves neither is refused."""
    need(growth and len(growth) % 32 == 0 and len(growth) <= 128 * 32 and 0 < old[0] < new[0], "proof", "growth")
    first, *rest = (growth[at : at + 32] for at in range(0, len(growth), 32))
    check_growth(old[0], first, *new, rest)
    return first == old[1]


NOTICE = {
    "v": {1},
    "by": str,
    "to": str,
    "kind": str,
    "subject": str,
    "evidence": [{"name": str, "content": str}],
    "time_ms": int,
}
KINDS = {"EQUIVOCATION", "AGREEMENT_EQUIVOCATION", "TWO_CARDS", "FORK", "UNPROVEN", "ROLLBACK", "FORGERY"}


def read_notice(envelope: bytes, by: str, to: str, keys: Keys) -> dict[str, Any]:
    need(len(envelope) <= MIB, "too large", "notice")
    told: dict[str, Any] = canonical(signed(envelope, "notice+json", keys), NOTICE, MIB)
    need((told["by"], told["to"]) == (by, to), "misdirected", "notice")
    need(told["kind"] in KINDS, "malformed", told["kind"])
    need(len(told["evidence"]) <= 8 and len(told["subject"]) <= 256, "too large", "notice")
    for each in told["evidence"]:
        unbase64(each["content"])
    return told


# --- section 9: parcels and what a relay answers ---

PARCEL = {
    "v": {1},
    "by": str,
    "to": str,
    "batch": str,
    "what": {"receipt", "documents"},
    "sha256": str,
    "time_ms": int,
}


def read_parcel(content: bytes, peer: str, known: Known, now_ms: int) -> tuple[str, bytes]:
    """What a parcel is, and the thing in it."""
    magic, to, batch, enc, parts = array(content, str, str, str, bytes, [bytes], limit_bytes=32 * MIB + 256 * KIB)
    need(magic == "relto-parcel/1" and to == known.us, "misdirected", "parcel")
    opened_parts = unsealed(enc, parts, known.sealing, f"relto-parcel/1\n{to}\n{batch}".encode())
    need(len(opened_parts) == 2, "malformed", "parts")
    told = canonical(signed(opened_parts[0], "parcel+json", known.card(peer).node), PARCEL)
    need((told["by"], told["to"], told["batch"]) == (peer, known.us, batch), "misdirected", "parcel")
    need(told["sha256"] == sha256(opened_parts[1]) and told["time_ms"] <= now_ms + FUTURE_MS, "malformed", "parcel")
    return told["what"], opened_parts[1]


def read_collected(content: bytes) -> dict[str, Any]:
    """A relay's answer to a collection."""
    told = unpacked_map(content)
    fields = {"n": int, "last_n": int, "content": bytes, "kept_n": int, "fetched_n": int}
    need(isinstance(told, dict) and set(fields) <= set(told), "malformed", "answer")
    for name, form in fields.items():
        _check_type(told[name], form)
    return {name: told[name] for name in fields}


# --- section 10: returns ---


@dataclass(frozen=True)
class Returned:
    """A batch of ours that came back: its statement, and what is left of its items by their place."""

    batch: Mapping[str, Any]
    items: Mapping[int, tuple[Mapping[str, Any], bytes]]
    originals: Mapping[int, bytes]


def read_returns(content: bytes, peer: str, known: Known, next_n: int, chain: str) -> list[Returned]:
    """Our own releases as a partner holds them, in the order of the stream; each checked by our own keys."""
    value = unpacked_map(_within(content, 128 * MIB))
    _check_row(value, int, list)
    found: list[Returned] = []
    seen: tuple[int, int, bytes] | None = None
    for each in value[1]:
        _check_row(each, bytes, bytes, bytes, bytes, bytes, bytes, bytes, int, list)
        returned, head, growth = _returned(each, peer, known)
        batch = returned.batch
        need((batch["first_n"], batch["previous"]) == (next_n, chain), "proof", "not the next")
        if seen and seen[0] == head[0]:
            need(growth[0] == seen[1], "proof", "grown from another head")
            check_growth(seen[1], seen[2], head[1], head[2], growth[1])
        seen, next_n = head, next_n + batch["count"]
        chain = chain_after(batch["previous"], batch["root"])
        found.append(returned)
    return found


def _returned(told: Sequence[Any], peer: str, known: Known) -> tuple[Returned, tuple[int, int, bytes], tuple[int, Any]]:
    card_bytes, joined, statement, proof_bytes, joined_entries, record_bytes, salts, _, items = told
    card = read_card(card_bytes, known.card(known.us).authority.fingerprint())
    batch = read_batch(statement, card.node)
    need((card.party, batch["by"], batch["to"]) == (known.us, known.us, peer), "misdirected", "of another stream")
    hashes, entries = _split(joined), _split(joined_entries)
    whole = len(hashes) == len(entries) == batch["count"] and root(hashes).hex() == batch["root"]
    need(whole, "proof", "root")
    proof, records = unpacked_map(proof_bytes), unpacked_map(record_bytes)
    need(isinstance(proof, dict) and isinstance(records, list), "malformed", "proof or records")
    log = card.told["log"]
    head = read_head(proof["checkpoint"], known.us, card.node)
    need(head.origin == origin_of(known.us, log), "misdirected", "another log")
    leaves = [leaf_hash(entry) for entry in entries]
    check_run(leaves, batch["log_start"], head.size, proof["run_proof"], head.root)
    kept = {}
    for row in items:
        _check_row(row, int, bytes, bytes)
        place, header, content = row
        release = (told_header := _bound(header, content))["release"]
        need(0 <= place < len(hashes) and leaf_hash(header) == hashes[place], "proof", "at another place")
        need(release and (release["by"], release["to"]) == (known.us, peer), "proof", "not of the stream")
        kept[place] = (told_header, header)
    need(len(records) == batch["count"] and len(kept) == len(items), "malformed", "records")
    for place, (_, header) in kept.items():
        record = records[place]
        same = (record["n"], record["rendition"]) == (batch["first_n"] + place, sha256(header))
        need(same, "proof", "another's record")
    if salts:
        _check_entries(records, entries, _split(salts))
    originals = {
        place: _original(header)
        for place, (header, _) in kept.items()
        if salts and (records[place]["verdict"], records[place]["reasons"]) == ("FULL", ["AS_HELD"])
    }
    growth = (proof["grown_from"], proof["growth_proof"])
    contents = {
        place: (header, content) for (place, (header, _)), (_, _, content) in zip(kept.items(), items, strict=True)
    }
    return Returned(batch, contents, originals), (log, head.size, head.root), growth


def _check_entries(records: Sequence[Any], entries: Sequence[bytes], salts: Sequence[bytes]) -> None:
    need(len(salts) == len(entries), "malformed", "salts")
    for record, entry, salt in zip(records, entries, salts, strict=True):
        written = json.dumps({key: record[key] for key in RECORD}, ensure_ascii=False, separators=(",", ":")).encode()
        need(_leaf(written, salt)[0] == entry, "proof", "opens to another record")


def _original(header: Mapping[str, Any]) -> bytes:
    """The originator's own header: the same without its release."""
    return json.dumps({**header, "release": None}, ensure_ascii=False, separators=(",", ":")).encode()


def _split(joined: bytes) -> list[bytes]:
    need(joined and len(joined) % 32 == 0, "malformed", "no hashes")
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


# --- section 11: bundles ---

FRAME_BYTES = {b"H": 4 * KIB, b"C": 2 * MIB, b"A": 2 * MIB, b"N": 512 * KIB, b"P": 128 * MIB, b"R": 2 * MIB}
BUNDLE = {
    "v": {1},
    "by": PARTY,
    "to": PARTY,
    "created_ms": int,
    "from_n": int,
    "parts": {"number": int, "count": int},
}
END = dict.fromkeys(("frames", "content_bytes", "cards", "agreements", "heads", "pages", "receipts"), int)


def read_bundle(content: bytes) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """A bundle's header, and its frames by kind; what is in them is verified as from the wire."""
    first = b"relto-bundle/1\n"
    need(content.startswith(first), "malformed", "no bundle")
    at, chain = len(first), hashlib.sha256(first).digest()
    frames: list[tuple[bytes, bytes]] = []
    while not frames or frames[-1][0] != b"E":
        kind, length = content[at : at + 1], content[at + 1 : at + 9]
        size = int.from_bytes(length, "big")
        need(len(length) == 8 and kind in {**FRAME_BYTES, b"E": 0}, "malformed", "frame")
        need(size <= FRAME_BYTES.get(kind, 4 * KIB), "too large", "frame")
        inside, told = content[at + 9 : at + 9 + size], content[at + 9 + size : at + 41 + size]
        chain = hashlib.sha256(chain + kind + length + hashlib.sha256(inside).digest()).digest()
        need(len(inside) == size and told == chain, "malformed", "chain")
        frames.append((kind, inside))
        at += 41 + size
        need((kind == b"H") == (len(frames) == 1) and len(frames) <= 1_000_000, "malformed", "order")
    need(at == len(content), "malformed", "goes on")
    header = canonical(frames[0][1], BUNDLE, 4 * KIB)
    volume = header["parts"]
    need(header["by"] != header["to"] and header["from_n"] >= 1, "malformed", "header")
    need(1 <= volume["number"] <= volume["count"] <= 1000, "malformed", "volume")
    counted = {"frames": len(frames) - 1, "content_bytes": sum(len(inside) for _, inside in frames[:-1])}
    for name, kind in zip(("cards", "agreements", "heads", "pages", "receipts"), b"CANPR", strict=True):
        counted[name] = sum(each == bytes([kind]) for each, _ in frames)
    need(canonical(frames[-1][1], END, 4 * KIB) == counted, "malformed", "miscounted")
    return header, [(kind.decode(), inside) for kind, inside in frames[1:-1]]
