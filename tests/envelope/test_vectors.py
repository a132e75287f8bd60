"""The vectors of vectors/envelope: each folder's name says what must come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relto.envelope import dsse, merkle
from relto.envelope.keys import PublicKeys, fingerprint, phonetic
from relto.envelope.seal import Sealed, SealingKey, unseal
from relto.errors import PeerError

pytestmark = pytest.mark.pure

VECTORS = Path(__file__).parents[2] / "vectors" / "envelope"
CASES = sorted(path.name for path in VECTORS.iterdir() if path.is_dir())


def read_json(case: Path, name: str) -> Any:
    return json.loads((case / name).read_text())


def hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def numbered(case: Path, stem: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(case.glob(f"{stem}_*.bin")))


def open_envelope(case: Path) -> None:
    parties = msgspec.json.decode((case / "parties.json").read_bytes(), type=dict[str, PublicKeys])
    opened = dsse.open_signed((case / "envelope.json").read_bytes(), (case / "type.txt").read_text(), parties)
    assert opened.payload == (case / "payload.bin").read_bytes()
    assert opened.signed_by == set(read_json(case, "signed_by.json"))


def read_keys(case: Path) -> None:
    try:
        keys = msgspec.json.decode((case / "keys.json").read_bytes(), type=PublicKeys)
    except msgspec.ValidationError as error:
        raise PeerError(str(error)) from error
    assert list(keys.key_ids()) == read_json(case, "key_ids.json")
    assert fingerprint(keys) == (case / "fingerprint.txt").read_text()
    assert phonetic(fingerprint(keys)) == (case / "words.txt").read_text()


def open_page(case: Path) -> None:
    key = SealingKey.from_private_bytes(bytes.fromhex((case / "private_key.hex").read_text()))
    page = Sealed((case / "enc.bin").read_bytes(), numbered(case, "sealed"))
    assert unseal(page, key=key, context=(case / "context.bin").read_bytes()) == numbered(case, "part")


def verify_inclusion(case: Path) -> None:
    given = read_json(case, "inclusion.json")
    leaf, root = bytes.fromhex(given["leaf"]), bytes.fromhex(given["root"])
    merkle.verify_inclusion(leaf, given["index"], given["size"], hashes(given["proof"]), root)


def verify_range(case: Path) -> None:
    given = read_json(case, "range.json")
    leaves, root = hashes(given["leaf_hashes"]), bytes.fromhex(given["root"])
    merkle.verify_range(leaves, given["start"], given["size"], hashes(given["proof"]), root)


def verify_consistency(case: Path) -> None:
    given = read_json(case, "consistency.json")
    old_root, new_root = hashes([given["old_root"], given["new_root"]])
    merkle.verify_consistency(given["old_size"], old_root, given["new_size"], new_root, hashes(given["proof"]))


READERS: dict[str, Callable[[Path], None]] = {
    "dsse": open_envelope,
    "keys": read_keys,
    "seal": open_page,
    "inclusion": verify_inclusion,
    "range": verify_range,
    "consistency": verify_consistency,
}


@pytest.mark.parametrize("name", CASES)
def test_vector(name: str) -> None:
    read = READERS[name.split("_", 1)[0]]
    if name.endswith("_pass"):
        read(VECTORS / name)
    else:
        assert name.endswith("_fail")
        with pytest.raises(PeerError):
            read(VECTORS / name)


def test_every_kind_of_vector_has_cases_of_both_results() -> None:
    kinds = {(name.split("_", 1)[0], name.rsplit("_", 1)[1]) for name in CASES}
    assert kinds == {(kind, result) for kind in READERS for result in ("pass", "fail")}
