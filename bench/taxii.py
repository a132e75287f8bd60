"""STIX indicators from node to node, beside a plain pull of the same objects from OpenTAXII.

OpenTAXII is a peer and no dependency: it lives in an environment of its own under .bench/, and runs as a process of
its own on loopback, with SQLite, without TLS, asked by a token, which spares it the hashing of a password for each
page. Its client reads the pages and keeps nothing. Both sides of ours share one process, and do all that they always
do.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import httpx
import msgspec

from bench import items
from bench.measure import RUNS, Row, rate, share, typical_s
from relto.bounds import BOUNDS
from relto.formats.draft import Draft
from relto.formats.stix import TLP_MARKINGS, read_bundle
from relto.node.ingest import store_drafts

PEER = ("opentaxii==0.10.0b1", "gunicorn==27.0.1")
NAME = "OpenTAXII 0.10"
HOME = Path(__file__).parent.parent / ".bench" / "opentaxii"
PAGE = BOUNDS.batch_items
BUNDLED = 500
START_S = 30
INSTALL_S = 300
MEDIA_TYPE = "application/taxii+json;version=2.1"
CLEAR = next(marking for marking, colour in TLP_MARKINGS.items() if colour == "CLEAR")
NAMESPACE = uuid.UUID("0a4b8a52-6b8c-4b0e-9d0f-1f3f5b6c7d8e")


class NoPeerError(Exception):
    """OpenTAXII cannot be installed or does not run here; the message says why."""


class _Page(msgspec.Struct):
    objects: list[msgspec.Raw] = []
    more: bool = False
    next: str = ""


def indicators(count: int) -> list[dict[str, object]]:
    """Distinct STIX 2.1 indicators of 600 to 1000 bytes."""
    rng = Random(11)
    return [_indicator(rng, number) for number in range(count)]


def _indicator(rng: Random, number: int) -> dict[str, object]:
    when = "2026-10-01T00:00:00.000Z"
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid.uuid5(NAMESPACE, str(number))}",
        "created": when,
        "modified": when,
        "name": f"Invented host {number}",
        "description": "x" * rng.randrange(150, 500),
        "indicator_types": ["malicious-activity"],
        "pattern": f"[domain-name:value = 'host-{number}.vendor-{rng.randrange(900)}.example']",
        "pattern_type": "stix",
        "valid_from": when,
        "object_marking_refs": [CLEAR],
    }


def measure(count: int) -> list[Row]:
    """The exchange and its second half alone, one object to an item and many, beside the pull from OpenTAXII."""
    every = indicators(count)
    single = [_exchange(every, 1) for _ in range(RUNS)]
    bundled = [_exchange(every, BUNDLED) for _ in range(RUNS)]
    took_s = {
        f"STIX indicators node to node, whole (beside: the same, pulled from {NAME})": median(map(_whole_s, single)),
        "- of it after sealing: transfer, open, verify, store, receipts": median(
            _whole_s(t) - t["share"] for t in single
        ),
        f"- whole, {BUNDLED} indicators to an item": median(map(_whole_s, bundled)),
    }
    try:
        with opentaxii(every) as pull:
            theirs_s = typical_s(pull)
    except (NoPeerError, httpx.HTTPError) as missing:
        first, *rest = [Row(what, _rate(count, s), "", "") for what, s in took_s.items()]
        return [replace(first, floor=f"not measured: {missing}".replace("|", " ")), *rest]
    return [Row(what, _rate(count, s), _rate(count, theirs_s), share(s, theirs_s)) for what, s in took_s.items()]


def _whole_s(took: dict[str, float]) -> float:
    return sum(took.values())


def _rate(count: int, taken_s: float) -> str:
    return rate(count, taken_s, "objects")


def _exchange(every: Sequence[dict[str, object]], size: int) -> dict[str, float]:
    """The seconds of each stage in new stores, with so many objects to a bundle; a bundle is one item."""
    drafts = [_draft(every[start : start + size]) for start in range(0, len(every), size)]
    with items.two_nodes() as network:
        store_drafts(network.nodes["AUS"], drafts, items.DEFAULTS)
        return items.exchange(network, len(drafts))


def _draft(objects: Sequence[dict[str, object]]) -> Draft:
    bundle = {"type": "bundle", "id": str(objects[0]["id"]).replace("indicator", "bundle"), "objects": objects}
    intake = read_bundle(msgspec.json.encode(bundle), received_ms=items.NOW_MS)
    assert intake.summary.accepted == len(objects)
    return intake.drafts[0]


@contextmanager
def opentaxii(every: Sequence[dict[str, object]]) -> Iterator[Callable[[], None]]:
    """A running OpenTAXII that holds these objects; what it gives pulls them all.

    Raises:
        NoPeerError: it cannot be installed, started or filled.
    """
    _install()
    with tempfile.TemporaryDirectory() as root, socket.create_server(("127.0.0.1", 0)) as listener:
        api_root, token = _prepare(Path(root))
        process = _start(Path(root), listener)
        try:
            headers = {"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE}
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
                _wait(client, process)
                objects = f"/taxii2/{api_root}/collections/bench/objects/"
                _fill(client, objects, every)
                yield lambda: _pull(client, objects, len(every))
        finally:
            process.terminate()
            process.wait()


def _install() -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise NoPeerError("uv is not here to install it")
    if not (HOME / "bin" / "python").exists():
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(HOME)])
    _run([uv, "pip", "install", "--quiet", "--python", str(HOME / "bin" / "python"), *PEER])


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a command prints; its last words are the reason if it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        raise NoPeerError(f"{name} is not done within {INSTALL_S} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise NoPeerError(f"{name} says: {last.strip()[:120]}")
    return done.stdout


def _environment(root: Path) -> dict[str, str]:
    return {"OPENTAXII_CONFIG": str(root / "opentaxii.yml"), "PATH": str(HOME / "bin")}


def _prepare(root: Path) -> tuple[str, str]:
    """Settings, an account, an API root and a collection; the id of the API root and a token."""
    api_root, environment = str(uuid.uuid5(NAMESPACE, "api root")), _environment(root)
    settings = {
        "taxii1": None,
        "taxii2": {
            "persistence_api": {
                "class": "opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI",
                "parameters": {"db_connection": f"sqlite:///{root}/objects.db", "create_tables": True},
            }
        },
        "auth_api": {
            "class": "opentaxii.auth.sqldb.SQLDatabaseAPI",
            "parameters": {
                "db_connection": f"sqlite:///{root}/accounts.db",
                "create_tables": True,
                "secret": uuid.uuid4().hex + uuid.uuid4().hex,
            },
        },
        "logging": {"opentaxii": "error", "root": "error"},
    }
    (root / "opentaxii.yml").write_bytes(msgspec.json.encode(settings))  # JSON is YAML
    scripts = HOME / "bin"
    _run([str(scripts / "opentaxii-add-api-root"), "--title", "bench", "--id", api_root], environment)
    collection = ["--rootid", api_root, "--title", "bench", "--alias", "bench"]
    _run([str(scripts / "opentaxii-add-collection"), *collection], environment)
    account = ["--username", "bench", "--password", uuid.uuid4().hex, "--admin"]
    said = _run([str(scripts / "opentaxii-create-account"), *account], environment)
    return api_root, said.rpartition("token: ")[2].strip()


def _start(root: Path, listener: socket.socket) -> subprocess.Popen[bytes]:
    """OpenTAXII as its own documentation runs it: under gunicorn; with threads, so that connections are kept."""
    return subprocess.Popen(
        [str(HOME / "bin" / "gunicorn"), "opentaxii.http:app", "--bind", f"fd://{listener.fileno()}",
         "--worker-class", "gthread", "--threads", "4", "--log-level", "error", "--timeout", "300"],
        env=_environment(root), cwd=root, pass_fds=[listener.fileno()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/management/health", timeout=START_S).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise NoPeerError(f"it does not answer within {START_S} s")


def _fill(client: httpx.Client, objects: str, every: Sequence[dict[str, object]]) -> None:
    for start in range(0, len(every), PAGE):
        body = msgspec.json.encode({"objects": every[start : start + PAGE]})
        answer = client.post(objects, content=body, headers={"Content-Type": MEDIA_TYPE})
        if answer.status_code != httpx.codes.ACCEPTED:
            raise NoPeerError(f"it answers {answer.status_code} to new objects")


def _pull(client: httpx.Client, objects: str, count: int) -> None:
    """Every object, page by page as TAXII 2.1 (section 3.4) says."""
    arrived, after = 0, ""
    while True:
        answer = client.get(objects, params={"limit": PAGE} | ({"next": after} if after else {}))
        answer.raise_for_status()
        page = msgspec.json.decode(answer.content, type=_Page)
        arrived, after = arrived + len(page.objects), page.next
        if not page.more:
            break
    assert arrived == count
