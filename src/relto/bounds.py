"""Every limit on what others can send or make us do, in one table. The tests read this table."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits, all inclusive. A field's name ends in its unit; no unit means a count."""

    json_depth: int = 32
    json_integer: int = 2**53 - 1
    json_text_bytes: int = 64 * MIB
    header_bytes: int = 1 * MIB
    content_bytes: int = 64 * MIB
    record_bytes: int = 1 * MIB
    statement_bytes: int = 256 * KIB
    agreement_bytes: int = 256 * KIB
    agreements: int = 512
    agreement_parties: int = 64
    agreement_grants: int = 256
    agreement_levels: int = 32
    agreement_regions: int = 64
    agreement_boxes: int = 64
    agreement_values: int = 64
    agreement_text_chars: int = 4000
    agreement_findings: int = 200
    label_categories: int = 32
    label_values: int = 64
    label_portions: int = 4096
    subjects: int = 32
    sources: int = 4096
    text_chars: int = 256
    batch_items: int = 1024
    batch_bytes: int = 96 * MIB
    page_bytes: int = 128 * MIB
    proof_hashes: int = 128
    envelope_bytes: int = 2 * MIB
    envelope_signatures: int = 256
    note_bytes: int = 512 * KIB
    note_signatures: int = 128
    sealed_parts: int = 4096
    positions_per_batch: int = 100_000
    nmea_sentence_bytes: int = 1024
    nmea_fragments: int = 9
    nmea_pending_groups: int = 4096
    nmea_fragment_lines: int = 512
    nmea_fragment_gap_ms: int = 10_000
    archive_bytes: int = 256 * MIB
    archive_rows: int = 4_000_000
    archive_decoded_bytes: int = 1024 * MIB
    csv_line_bytes: int = 64 * KIB
    rejects_listed: int = 1000
    stix_objects: int = 50_000
    misp_attributes: int = 200_000
    future_ms: int = 10 * 60 * 1000
    partners: int = 256
    certificate_bytes: int = 8 * KIB
    card_bytes: int = 64 * KIB
    refusal_bytes: int = 4 * KIB
    transfer_s: int = 3600
    request_bytes: int = 1 * MIB
    poll_wait_ms: int = 20_000


BOUNDS = Bounds()
