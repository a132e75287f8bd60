"""Correct, narrow, withdraw and who as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relto.cli import main
from tests.node.conftest import detection

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """JPN's node with one detection in it."""

    def call(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(tmp_path / "JPN"), *words])
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    (tmp_path / "one.geojson").write_bytes(detection(1))
    (tmp_path / "two.geojson").write_bytes(detection(2))
    call("init", "JPN", "--level", "OFFICIAL")
    call("ingest", str(tmp_path / "one.geojson"))
    return call


def value(run: Run, *words: str, code: int = 0) -> Any:
    return json.loads(run("--json", *words, code=code).stdout)


def test_an_item_is_corrected_narrowed_and_withdrawn(run: Run, tmp_path: Path) -> None:
    item = value(run, "ls")["items"][0]["id"]
    assert value(run, "correct", item[:8], str(tmp_path / "two.geojson"), "--withhold", "properties.remarks") == {
        "item": item,
        "version": 2,
    }
    assert value(run, "narrow", item, "--rel-to", "PHL", "--tlp", "amber", "--caveat", "ORCON")["version"] == 3
    (held,) = value(run, "ls")["items"]
    assert (held["version"], held["marking"]) == (3, "JPN OFFICIAL // TLP:AMBER // NOFORN // ORCON // REL TO PHL")
    found = value(run, "who", item[:8])
    assert (found["version"], found["standing"], found["holders"]) == (3, "current", [])
    assert "v3 is current here: released to nobody" in run("who", item).stdout
    assert "withdrawn by version 4" in run("withdraw", item, "--reason", "A mistake.").stdout
    assert value(run, "ls")["total"] == 0
    assert value(run, "who", item)["standing"] == "withdrawn"
    assert value(run, "log", "who", item) == []


def test_what_cannot_be_revised_is_refused_with_a_remedy(run: Run, tmp_path: Path) -> None:
    item = value(run, "ls")["items"][0]["id"]
    assert value(run, "withdraw", "ffff", "--reason", "A mistake.", code=3)["reason"] == "none known."
    assert "says nothing" in value(run, "correct", item, str(tmp_path / "one.geojson"), code=3)["reason"]
    assert "says nothing" in value(run, "narrow", item, code=3)["reason"]
    run("withdraw", item, code=2)
    run("withdraw", item, "--reason", "A mistake.")
    assert "withdrawn" in value(run, "withdraw", item, "--reason", "Again.", code=3)["reason"]
