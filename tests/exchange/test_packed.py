"""Packed parts: what was packed comes back, and nothing swells beyond its room."""

from __future__ import annotations

import dataclasses
import hashlib
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.errors import MalformedError, TooLargeError
from relto.exchange import page
from relto.exchange.packed import DICTIONARY, PACKED, pack, unpack
from relto.exchange.page import Sent

pytestmark = pytest.mark.pure


@given(st.binary(max_size=3000).filter(lambda part: not part.startswith(PACKED)))
def test_what_was_packed_comes_back_and_is_never_longer(part: bytes) -> None:
    packed = pack(part)
    assert len(packed) <= len(part)
    assert unpack(packed, len(part)) == part
    assert pack(part) == packed


def test_what_every_header_repeats_costs_next_to_nothing() -> None:
    part = DICTIONARY[-400:]
    assert len(pack(part)) < 20


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = PACKED + packer.compress(bytes(50_000_000)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        unpack(bomb, 100_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_many_small_parts_have_no_more_room_than_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "BOUNDS", dataclasses.replace(BOUNDS, page_bytes=3000))
    part = pack(msgspec.msgpack.encode(Sent(b"", bytes(2000), b"", b"")))
    assert len(part) < 100 and len(page._unpacked([part])) == 1
    with pytest.raises(TooLargeError):
        page._unpacked([part, part])


def test_what_is_damaged_cut_or_goes_on_is_refused() -> None:
    packed = pack(DICTIONARY[-900:] + b"some words that are not in it")
    for bad in (packed[:-1], packed + b"\0", PACKED, PACKED + b"\xff\xff\xff"):
        with pytest.raises(MalformedError):
            unpack(bad, 10_000)
    with pytest.raises(TooLargeError):
        unpack(b"\x93" * 11, 10)


def test_the_dictionary_is_part_of_the_format() -> None:
    assert hashlib.sha256(DICTIONARY).hexdigest() == "dde131e6b845f14d54528edd8763d7b6bd6f3befb5787058e16c154c4a1e1de9"
