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
    scene_bytes: int = 20 * 1024 * MIB
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
    batch_bytes: int = 8 * MIB
    page_bytes: int = 128 * MIB
    peer_requests: int = 8
    peer_requests_per_s: int = 40
    peer_burst: int = 400
    peer_workers: int = 2
    peer_held_up: int = 64
    window_pages: int = 8
    window_bytes: int = 64 * MIB
    thin_page_bytes: int = 4 * KIB
    thin_item_bytes: int = 4 * KIB
    thin_frame_bytes: int = 11 * KIB
    thin_receipt_bytes: int = 6 * KIB
    kept_part_bytes: int = 16 * MIB
    documents_bytes: int = 32 * MIB
    hops: int = 4
    relay_parcels: int = 256
    relay_bytes: int = 256 * MIB
    relay_days: int = 14
    relay_round: int = 64
    relay_pairs: int = 1024
    receipt_gap_polls: int = 20
    recalled: int = 10_000
    heads: int = 1024
    party_logs: int = 64
    growth_grace_ms: int = 72 * 3600 * 1000
    open_incidents: int = 64
    notice_exhibits: int = 8
    notice_exhibit_bytes: int = 64 * KIB
    unread_ms: int = 5000
    bundle_bytes: int = 64 * 1024 * MIB
    bundle_frames: int = 1_000_000
    bundle_volumes: int = 1000
    bundle_header_bytes: int = 4 * KIB
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
    card_logs: int = 64
    returns_bytes: int = 8 * MIB
    refusal_bytes: int = 4 * KIB
    transfer_s: int = 3600
    body_s: int = 600
    request_bytes: int = 1 * MIB
    poll_wait_ms: int = 20_000


BOUNDS = Bounds()
