"""The vectors of vectors/bundle: each folder's name says what must come out."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from relto.errors import PeerError
from relto.exchange.bundle import BundleReader
from relto.exchange.packed import DICTIONARY, unpack

pytestmark = pytest.mark.pure

VECTORS = Path(__file__).parents[2] / "vectors" / "bundle"
CASES = sorted(path.name for path in VECTORS.iterdir() if path.is_dir())


def read_file(case: Path) -> None:
    reader = BundleReader()
    frames = reader.feed((case / "file.bundle").read_bytes())
    reader.finish()
    said = json.loads((case / "said.json").read_text())
    assert msgspec.to_builtins(reader.header) == said["header"]
    assert [[each.kind.value.decode(), each.content.decode()] for each in frames] == said["frames"]


def read_part(case: Path) -> None:
    assert unpack((case / "part").read_bytes(), 1000) == (case / "content").read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_vector(name: str) -> None:
    read = read_file if name.startswith("file_") else read_part
    if name.endswith("_pass"):
        read(VECTORS / name)
        return
    with pytest.raises(PeerError):
        read(VECTORS / name)


def test_the_dictionary_beside_the_vectors_is_the_one_in_use() -> None:
    assert (VECTORS / "dictionary").read_bytes() == DICTIONARY
