"""The vectors of vectors/log: each folder's name says what must come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relto.envelope.keys import PublicKeys
from relto.errors import PeerError, ProofError
from relto.log import tiles
from relto.log.checkpoint import Checkpoint, open_checkpoint

pytestmark = pytest.mark.pure

VECTORS = Path(__file__).parents[2] / "vectors" / "log"
CASES = sorted(path.name for path in VECTORS.iterdir() if path.is_dir())


def read_json(case: Path, name: str) -> Any:
    return json.loads((case / name).read_text())


def read_checkpoint(case: Path) -> None:
    keys = msgspec.json.decode((case / "keys.json").read_bytes(), type=PublicKeys)
    found = open_checkpoint((case / "note.txt").read_bytes(), keys, (case / "name.txt").read_text())
    said = read_json(case, "checkpoint.json")
    assert found == Checkpoint(said["origin"], said["size"], bytes.fromhex(said["root"]), tuple(said["extensions"]))


def check_log(case: Path) -> None:
    def read(path: str) -> bytes | None:
        file = case / path
        return file.read_bytes() if file.is_file() else None

    log = read_json(case, "log.json")
    try:
        tiles.check(log["size"], bytes.fromhex(log["root"]), read, read)
    except ProofError as error:
        assert error.field == (case / "wrong.txt").read_text()
        raise


READERS: dict[str, Callable[[Path], None]] = {"checkpoint": read_checkpoint, "tiles": check_log}


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
