"""Cyber indicators of the exercise, as STIX 2.1 bundles with TLP 2.0 markings.

Domains end in ``.example`` (RFC 2606), addresses lie in the blocks kept for documentation (RFC 5737), names begin
with ``EXERCISE``, identifiers are drawn from the seed. The marking definitions are the ones OASIS publishes for TLP 2.0
as an extension of STIX 2.1 (cti-stix-common-objects, extension 60a3c5c5), under their fixed identifiers.
"""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import Any
from uuid import UUID

from relto.clock import HOUR_MS, format_utc

Object = dict[str, Any]

TLP_2_0_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP_2_0 = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
SHARED_DOMAIN = "grid-update.example"
"""The domain that JPN and USA report independently of each other."""
VICTIM_NAME = "EXERCISE Vidyutlok Power Company"
WITHDRAWN_ADDRESS = "198.51.100.23"
"""The address that turns out to be a false positive."""


def cyber(seed: int, start_ms: int) -> dict[str, bytes]:
    """Each nation's bundle as of ``start_ms``, keyed by nation: JPN, USA, AUS, IND.

    JPN's is the one with the hidden victim: three indicators, one malware, one victim, one sighting and their
    relationships, all TLP:AMBER+STRICT but the victim, which is TLP:RED. USA reports the same domain from its own
    source; AUS's comes from an automatic feed and holds an indicator so wide (0.0.0.0/0) that no block list may have
    it; IND's has a phishing address and a vulnerability.
    """
    makers = {"JPN": _hidden_victim, "USA": _same_domain, "AUS": _automatic_feed, "IND": _phishing}
    return {nation: _bundle(make(_Maker(seed, nation, start_ms))) for nation, make in makers.items()}


def withdrawal(seed: int, start_ms: int) -> bytes:
    """JPN's second version, six hours later: the address of its bundle is revoked, under the same identifier."""
    bundle = json.loads(cyber(seed, start_ms)["JPN"])
    kept = [item for item in bundle["objects"] if item.get("name") == "TLP:AMBER+STRICT"]
    address = next(item for item in bundle["objects"] if WITHDRAWN_ADDRESS in item.get("pattern", ""))
    revoked = {**address, "modified": _stamp(start_ms + 6 * HOUR_MS), "revoked": True}
    maker = _Maker(seed, "JPN withdrawal", start_ms)
    maker.objects = [*kept, revoked]
    return _bundle(maker)


class _Maker:
    """Collects the objects of one bundle; everything made after ``mark`` bears that marking."""

    def __init__(self, seed: int, name: str, start_ms: int) -> None:
        self._rng = Random(f"{seed} {name}")  # noqa: S311 - an exercise must come out the same every time
        self.start_ms = start_ms
        self._marking = ""
        self.objects: list[Object] = []

    def mark(self, colour: str) -> None:
        self._marking = TLP_2_0[colour]
        self.objects.append(
            {
                "type": "marking-definition",
                "spec_version": "2.1",
                "id": self._marking,
                "created": "2022-10-01T00:00:00.000Z",
                "name": f"TLP:{colour.upper()}",
                "extensions": {TLP_2_0_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": colour}},
            }
        )

    def identifier(self, kind: str) -> str:
        return f"{kind}--{UUID(int=self._rng.getrandbits(128), version=4)}"

    def add(self, kind: str, **fields: Any) -> str:
        identifier = self.identifier(kind)
        stamp = _stamp(self.start_ms)
        head = {"type": kind, "spec_version": "2.1", "id": identifier, "created": stamp, "modified": stamp}
        self.objects.append({**head, **fields, "object_marking_refs": [self._marking]})
        return identifier

    def indicator(self, name: str, pattern: str, **fields: Any) -> str:
        return self.add(
            "indicator",
            name=f"EXERCISE {name}",
            indicator_types=["malicious-activity"],
            pattern=pattern,
            pattern_type="stix",
            valid_from=_stamp(self.start_ms),
            **fields,
        )

    def relate(self, source: str, verb: str, target: str) -> str:
        return self.add("relationship", relationship_type=verb, source_ref=source, target_ref=target)

    def reporter(self, nation: str) -> str:
        return self.add("identity", name=f"EXERCISE {nation} CERT", identity_class="organization")


def _bundle(maker: _Maker) -> bytes:
    bundle = {"type": "bundle", "id": maker.identifier("bundle"), "objects": maker.objects}
    return (json.dumps(bundle, ensure_ascii=False, indent=1) + "\n").encode()


def _stamp(at_ms: int) -> str:
    """STIX instants always carry milliseconds here, so that texts compare like times."""
    text = format_utc(at_ms)
    return text if "." in text else f"{text[:-1]}.000Z"


def _hidden_victim(maker: _Maker) -> _Maker:
    seen = _stamp(maker.start_ms - HOUR_MS)
    maker.mark("red")
    victim = maker.add(
        "identity",
        name=VICTIM_NAME,
        description="An invented power company in India.",
        identity_class="organization",
        sectors=["utilities"],
    )
    maker.mark("amber+strict")
    malware = maker.add("malware", name="EXERCISE DUSKRELAY", malware_types=["remote-access-trojan"], is_family=False)
    digest = hashlib.sha256(b"EXERCISE DUSKRELAY").hexdigest()
    domain = maker.indicator("command domain", f"[domain-name:value = '{SHARED_DOMAIN}']", confidence=85)
    address = maker.indicator("command address", f"[ipv4-addr:value = '{WITHDRAWN_ADDRESS}']", confidence=55)
    sample = maker.indicator("sample", f"[file:hashes.'SHA-256' = '{digest}']", confidence=95)
    for indicator in (domain, address, sample):
        maker.relate(indicator, "indicates", malware)
    maker.relate(malware, "targets", victim)
    maker.add(
        "sighting",
        sighting_of_ref=domain,
        where_sighted_refs=[victim],
        first_seen=seen,
        last_seen=seen,
        count=3,
        description="EXERCISE. Called from the control network.",
    )
    return maker


def _same_domain(maker: _Maker) -> _Maker:
    maker.mark("amber")
    reporter = maker.reporter("USA")
    domain = maker.indicator(
        "domain seen by a sinkhole", f"[domain-name:value = '{SHARED_DOMAIN}']", confidence=70, created_by_ref=reporter
    )
    tool = maker.add("malware", name="EXERCISE PALEHARBOR", malware_types=["downloader"], is_family=True)
    maker.relate(domain, "indicates", tool)
    seen = _stamp(maker.start_ms - 2 * HOUR_MS)
    maker.add(
        "sighting", sighting_of_ref=domain, where_sighted_refs=[reporter], first_seen=seen, last_seen=seen, count=11
    )
    return maker


def _automatic_feed(maker: _Maker) -> _Maker:
    maker.mark("green")
    reporter = maker.reporter("AUS")
    for value in ("203.0.113.77", "203.0.113.0/28", "0.0.0.0/0"):
        maker.indicator(f"scanner {value}", f"[ipv4-addr:value = '{value}']", confidence=40, created_by_ref=reporter)
    maker.indicator(
        "drop site", "[url:value = 'https://files.harbour-pilot.example/form.zip']", created_by_ref=reporter
    )
    return maker


def _phishing(maker: _Maker) -> _Maker:
    maker.mark("clear")
    reporter = maker.reporter("IND")
    weakness = maker.add(
        "vulnerability",
        name="EXERCISE-2026-0001",
        description="An invented weakness of an invented port scheduling product.",
        created_by_ref=reporter,
    )
    lure = maker.indicator(
        "lure", "[email-addr:value = 'berth-office@port-notice.example']", confidence=60, created_by_ref=reporter
    )
    host = maker.indicator("lure host", "[ipv4-addr:value = '192.0.2.146']", confidence=60, created_by_ref=reporter)
    maker.relate(lure, "related-to", host)
    maker.relate(host, "related-to", weakness)
    return maker
