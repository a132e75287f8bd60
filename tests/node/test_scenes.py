"""Large files: whole or not at all, in bounded memory, the same bytes on the other side."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from relto.errors import OurError
from relto.exercise.network import Network
from relto.node import read
from relto.node.ingest import Defaults
from relto.node.scenes import SCENE, SLICE, SLICE_BYTES, export_scene, ingest_scene
from relto.store.records import Selection

DEFAULTS = Defaults(level="OFFICIAL")
AT = "2026-11-01T00:00:00Z"
TEXT = """
format = "relto-agreement/1"
id = "SCENES"
version = 1
title = "Scenes"
illustration = true
term = {{ from = 2026-01-01T00:00:00Z }}
party = [{{ id = "AUS", name = "A", tier = "T3" }}, {{ id = "JPN", name = "J", tier = "T3" }}]
level = [{{ name = "OFFICIAL", AUS = ["OFFICIAL"], JPN = ["OFFICIAL"] }}]

[[grant]]
id = "scenes"
text = "Scenes go."
from = ["AUS"]
to = ["JPN"]
domains = ["geospatial"]
ceiling = "OFFICIAL"
view = "{view}"
onward = "none"
"""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    noise = random.Random(5).randbytes(3 * SLICE_BYTES + 17)
    path.write_bytes(noise + bytes(2 * SLICE_BYTES))
    return path


def _network(make_network: Callable[..., Network], view: str) -> Network:
    network = make_network(("AUS", "JPN"), (), AT)
    network.conclude([("SCENES", TEXT.format(view=view).encode())])
    network.settle()
    return network


def test_a_large_file_arrives_as_it_was(make_network: Callable[..., Network], scene: Path, tmp_path: Path) -> None:
    network = _network(make_network, "full")
    name = ingest_scene(network.nodes["AUS"], scene, "image/tiff", DEFAULTS)
    assert ingest_scene(network.nodes["AUS"], scene, "image/tiff", DEFAULTS) == name
    network.settle()
    held = read.listing(network.nodes["JPN"], Selection(kinds=(SLICE,)))[1]
    assert held == 6  # two of them are zeros, but no two are equal
    found = export_scene(network.nodes["JPN"], name, tmp_path / "out.tif")
    assert (tmp_path / "out.tif").read_bytes() == scene.read_bytes()
    assert found.sha256 == hashlib.sha256(scene.read_bytes()).hexdigest()


def test_equal_slices_are_stored_once(make_network: Callable[..., Network], tmp_path: Path) -> None:
    network = _network(make_network, "full")
    zeros = tmp_path / "zeros.bin"
    zeros.write_bytes(bytes(5 * SLICE_BYTES))
    name = ingest_scene(network.nodes["AUS"], zeros, "application/octet-stream", DEFAULTS)
    assert read.listing(network.nodes["AUS"], Selection(kinds=(SLICE,)))[1] == 1
    export_scene(network.nodes["AUS"], name, tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == zeros.read_bytes()


def test_less_than_the_whole_is_withheld(make_network: Callable[..., Network], scene: Path, tmp_path: Path) -> None:
    network = _network(make_network, "detail")
    name = ingest_scene(network.nodes["AUS"], scene, "image/tiff", DEFAULTS)
    network.settle()
    slices = read.listing(network.nodes["AUS"], Selection(kinds=(SLICE,)))[0]
    decided = read.verdicts(network.nodes["AUS"], slices[0])["JPN"]
    assert (decided.verdict, decided.reasons) == ("WITHHELD", ("NOT_WHOLE",))
    assert read.listing(network.nodes["JPN"], Selection(kinds=(SLICE,)))[1] == 0
    assert read.listing(network.nodes["JPN"], Selection(kinds=(SCENE,)))[1] == 1
    with pytest.raises(OurError, match="no large file held in full"):
        export_scene(network.nodes["JPN"], name, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


def test_a_missing_slice_is_counted_and_nothing_is_written(
    make_network: Callable[..., Network], scene: Path, tmp_path: Path
) -> None:
    network = _network(make_network, "full")
    aus = network.nodes["AUS"]
    name = ingest_scene(aus, scene, "image/tiff", DEFAULTS)
    gone = read.header_of(read.listing(aus, Selection(kinds=(SLICE,)))[0][0]).id
    aus.store.write(lambda books: books.set_quarantined(frozenset({gone})))
    with pytest.raises(OurError, match="1 of 6 slices are not here"):
        export_scene(aus, name, tmp_path / "out.tif")
    assert list(tmp_path.glob("*.part")) == [] and not (tmp_path / "out.tif").exists()
