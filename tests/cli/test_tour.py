"""The command line as a new user walks it: two nodes, an agreement, records, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relto.cli import COMMANDS, main

FEATURE = {
    "type": "Feature",
    "id": "sar-1",
    "geometry": {"type": "Point", "coordinates": [120.4567891, 14.3698831]},
    "properties": {
        "sensor": "sar",
        "observed": "2026-06-01T03:00:00Z",
        "ellipse": {"semi_major_m": 120, "semi_minor_m": 80, "orientation_deg": 10, "confidence_pct": 95},
        "length_m": 41,
    },
}
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(party: str, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(tmp_path / party), *words])
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    return call


def value(run: Run, party: str, *words: str, code: int = 0) -> Any:
    return json.loads(run(party, "--json", *words, code=code).stdout)


@pytest.fixture
def paired(run: Run, tmp_path: Path) -> Run:
    """JPN and PHL have each other's cards, and an agreement that both signed."""
    for party, port in (("JPN", "17443"), ("PHL", "17444")):
        value(run, party, "init", party, "--port", port, "--level", "OFFICIAL")
    prints = {party: value(run, party, "partner", "invite")["fingerprint"] for party in ("JPN", "PHL")}
    value(run, "JPN", "partner", "accept", "PHL.card", "--fingerprint", prints["PHL"])
    value(run, "PHL", "partner", "accept", "JPN.card", "--fingerprint", prints["JPN"].lower())
    value(run, "JPN", "agreement", "new", "STRAIT", "JPN:T3", "PHL:T2")
    assert value(run, "JPN", "agreement", "check", "strait.toml")["findings"] == []
    assert value(run, "JPN", "agreement", "propose", "strait.toml")["state"] == "proposed"
    value(run, "JPN", "agreement", "show", "STRAIT", "--out", "strait.envelope")
    value(run, "PHL", "agreement", "take", "strait.envelope")
    assert value(run, "PHL", "agreement", "sign", "STRAIT")["state"] == "in force"
    value(run, "PHL", "agreement", "show", "STRAIT", "--out", "signed.envelope")
    assert value(run, "JPN", "agreement", "take", "signed.envelope")["signed_by"] == ["JPN", "PHL"]
    (tmp_path / "sar.geojson").write_text(json.dumps(FEATURE))
    return run


def test_ingest_ls_why_tell_the_same_item(paired: Run) -> None:
    result = value(paired, "JPN", "ingest", "sar.geojson")["sar.geojson"]
    assert (result["summary"]["accepted"], result["new"]) == (1, 1)
    assert value(paired, "JPN", "ingest", "sar.geojson")["sar.geojson"]["new"] == 0
    listing = value(paired, "JPN", "ls")
    assert listing["total"] == 1
    item = listing["items"][0]["id"]
    answer = value(paired, "JPN", "why", item[:10], "--to", "PHL")
    assert answer["verdict"] == "SANITISED" and answer["rules"]
    fields = {each["path"]: each["theirs"] for each in answer["fields"]}
    assert fields["geometry.coordinates"] != "[120.4567891, 14.3698831]"
    assert "held back" in paired("JPN", "why", item, "--to", "PHL").output


def test_refusal_names_the_rule_and_the_remedy_and_is_logged(paired: Run) -> None:
    value(paired, "JPN", "ingest", "sar.geojson", "--rel-to", "AUS")
    item = value(paired, "JPN", "ls")["items"][0]["id"]
    answer = value(paired, "JPN", "why", item, "--to", "PHL", code=1)
    assert (answer["verdict"], list(answer["reasons"])) == ("WITHHELD", ["NOT_RELEASABLE_TO"])
    assert "releasability" in answer["remedy"]
    assert [each["verdict"] for each in value(paired, "JPN", "log", "ls")] == ["WITHHELD"]
    assert value(paired, "JPN", "log", "check")["size"] == 1


def test_quarantine_stops_a_party_and_hides_an_item_until_it_is_lifted(paired: Run) -> None:
    value(paired, "JPN", "ingest", "sar.geojson")
    item = value(paired, "JPN", "ls")["items"][0]["id"]
    assert value(paired, "JPN", "quarantine", "add", "PHL") == ["PHL"]
    answer = value(paired, "JPN", "why", item, "--to", "PHL", code=1)
    assert list(answer["reasons"]) == ["QUARANTINED"]
    assert value(paired, "JPN", "quarantine", "lift", "PHL") == []
    assert value(paired, "JPN", "why", item, "--to", "PHL")["verdict"] == "SANITISED"
    value(paired, "JPN", "quarantine", "add", item[:12])
    assert value(paired, "JPN", "ls")["total"] == 0
    assert value(paired, "JPN", "quarantine", "ls") == [item]


def test_a_route_by_a_relay_is_set_shown_and_taken_back(paired: Run) -> None:
    assert value(paired, "JPN", "partner", "route", "PHL") == {"party": "PHL", "via": "", "only": False, "left": 0}
    assert "no partner" in paired("JPN", "partner", "route", "PHL", "--via", "KOR", code=3).output
    assert "relay to itself" in paired("JPN", "partner", "route", "PHL", "--via", "PHL", code=3).output
    paired("JPN", "partner", "route", "PHL", "--via", "PHL", "--direct", code=2)
    assert value(paired, "JPN", "partner", "route", "PHL", "--direct")["via"] == ""


def test_a_relay_carries_for_partners_only_and_for_nobody_at_first(paired: Run) -> None:
    assert value(paired, "JPN", "relay", "ls") == []
    assert "not two partners" in paired("JPN", "relay", "allow", "PHL", "KOR", code=3).output
    assert "not allowed" in paired("JPN", "relay", "deny", "PHL", "KOR", code=3).output


def test_cedar_of_an_agreement_is_what_decides(paired: Run) -> None:
    found = value(paired, "JPN", "agreement", "show", "STRAIT", "--cedar")
    assert "law/third-party" in found["policy"] and "permit" in found["policy"] and "namespace Relto" in found["schema"]


def test_wrong_fingerprint_is_refused_as_a_peers_fault(run: Run) -> None:
    for party in ("JPN", "PHL"):
        value(run, party, "init", party)
    value(run, "JPN", "partner", "invite")
    answer = value(run, "PHL", "partner", "accept", "JPN.card", "--fingerprint", "0000-" * 6, code=4)
    assert answer["error"] == "SignatureError" and value(run, "PHL", "partner", "ls") == []


def test_bad_draft_lists_every_finding_at_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('format = "relto-agreement/1"\nid = "x y"\nversion = 0\n')
    found = value(run, "JPN", "agreement", "check", "bad.toml", code=1)["findings"]
    assert len(found) > 3 and all(each["line"] >= 1 and each["remedy"] for each in found)


def test_missing_node_is_told_without_a_traceback(run: Run) -> None:
    result = run("NOBODY", "ls", code=3)
    assert "relto init" in result.output and "Traceback" not in result.output


def test_doctor_status_and_strangers_file(paired: Run, tmp_path: Path) -> None:
    looks = {each["name"]: each["good"] for each in value(paired, "JPN", "doctor")}
    assert looks["release log"] and looks["store"] and looks["card of PHL"]
    assert value(paired, "JPN", "status")["party"] == "JPN"
    (tmp_path / "forged.json").write_text("{}")
    assert value(paired, "JPN", "verify", "forged.json", code=4)["error"] == "MalformedError"


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(run: Run, command: str) -> None:
    assert "Usage:" in run("JPN", command, "--help").output


def test_completion_scripts(run: Run) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_RELTO_COMPLETE" in run("JPN", "completion", shell).output
