"""One large file from a node's process to another's: how fast, and how much memory either of them ever held."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.items import AGREEMENT
from bench.measure import Row, seconds
from relto.bounds import MIB
from relto.exercise.network import Place, conclude, found_node, free_ports, pair_all
from relto.node.home import Settings
from relto.node.node import Node
from relto.node.run import share

PATIENCE_S = 1800
TEXT = AGREEMENT.replace(b'domains = ["cyber"]', b'domains = ["geospatial"]')


def measure(size_mib: int) -> list[Row]:
    """Ingest, carry and export a file of so many MiB; the peaks are those of the two serving processes."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        places = _places(root)
        source, target = root / "scene.bin", root / "arrived.bin"
        digest = _write(source, size_mib)
        took_ingest_s = seconds(
            lambda: _relto(places["AUS"], "ingest", str(source), "--whole", "application/octet-stream")
        )
        serving = {party: _serve(place) for party, place in places.items()}
        try:
            name = json.loads(_relto(places["AUS"], "--json", "ls", "--kind", "geospatial.scene"))
            start = time.monotonic()
            while not _export(places["JPN"], name["items"][0]["id"], target):
                if time.monotonic() - start > PATIENCE_S:
                    raise TimeoutError("the file did not arrive")
                time.sleep(2)
            took_s = time.monotonic() - start
            peaks = {party: _peak_mib(process.pid) for party, process in serving.items()}
        finally:
            for process in serving.values():
                process.terminate()
                process.wait()
        assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
    return [
        Row(f"A file of {size_mib:,} MiB ingested in slices", f"{size_mib / took_ingest_s:.0f} MiB/s", "", ""),
        Row(f"- to another node's process and exported there (peak memory: sender {peaks['AUS']:.0f} MiB, "
            f"receiver {peaks['JPN']:.0f} MiB)", f"{size_mib / took_s:.0f} MiB/s", "", ""),
    ]  # fmt: skip


def _places(root: Path) -> dict[str, Place]:
    ports = free_ports(4)
    places = {
        party: Place(party, root / party, ports[2 * at], ports[2 * at + 1]) for at, party in enumerate(("AUS", "JPN"))
    }
    for party, place in places.items():
        settings = Settings(party, party, port=place.port, web_port=place.web_port, level="OFFICIAL", poll_ms=50)
        found_node(place, settings)
    nodes = {party: Node.open(place.home) for party, place in places.items()}
    pair_all(nodes, {party: place.url for party, place in places.items()})
    conclude(nodes, TEXT, "scenes")
    for node in nodes.values():
        share(node)
        node.close()
    return places


def _write(path: Path, size_mib: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(size_mib):
            content = os.urandom(MIB)
            digest.update(content)
            stream.write(content)
    return digest.hexdigest()


def _relto(place: Place, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "relto", "--home", str(place.home), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _serve(place: Place) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "relto", "--home", str(place.home), "serve"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _export(place: Place, name: str, target: Path) -> bool:
    command = [sys.executable, "-m", "relto", "--home", str(place.home), "export", name, "--out", str(target)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _peak_mib(pid: int) -> float:
    """The most memory that a process ever held (VmHWM of proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
