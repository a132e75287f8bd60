"""The demo as a user runs it: seven processes come to rest, and everything is as the oracle says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


def test_headless_demo_ends_with_everything_delivered_receipted_verified_and_agreed(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    command = [sys.executable, "-m", "relto", "demo", "--headless", "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(report.read_text())
    assert sorted(found["nodes"]) == ["AUS", "IDN", "IND", "JPN", "KOR", "PHL", "USA"]
    assert found["oracle"]["pairs"] > 10_000 and found["oracle"]["differences"] == 0
    for node in found["nodes"].values():
        assert node["released"] == node["delivered"] == node["receipted"] == node["log_size"] > 0
        assert node["log_verified"]
    # each node sees another part: the summary of tier 1 is not the full view of tier 3
    held = {party: node["held"] for party, node in found["nodes"].items()}
    assert set(held["IDN"]["maritime.detection"]) == {"summary"}
    assert held["PHL"]["maritime.positions"]["detail"] > 0
    assert set(held["IND"]["cyber.vulnerability"]) == {"full"} and "cyber.vulnerability" not in held["KOR"]
