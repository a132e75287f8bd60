"""Items: one spelling of every header, bound to one content; every other spelling is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.errors import MalformedError, TooLargeError
from relto.item import Item, Place, new_item, parse_item
from relto.labels import Handling, Label

pytestmark = pytest.mark.pure


def item(**changes: Any) -> Item:
    plain: dict[str, Any] = {
        "id": "ab" * 16,
        "kind": "maritime.detection",
        "origin": "JPN",
        "observed_ms": 5,
        "label": Label(Handling(), ("JPN",)),
        "content": b"{}",
        "media_type": "application/json",
        "subjects": ("CABLE",),
    }
    return new_item(**plain | changes)


@given(
    st.binary(max_size=40),
    st.lists(st.text("ABCあ", min_size=1, max_size=5), max_size=4),
    st.integers(0, 2**53 - 1),
    st.none() | st.builds(lambda lat, lon: Place(lat, lon, lat, lon), st.integers(-9, 9), st.integers(-9, 9)),
)
def test_what_is_written_is_read(content: bytes, subjects: list[str], when_ms: int, place: Place | None) -> None:
    made = item(content=content, subjects=tuple(subjects), observed_ms=when_ms, place=place)
    assert parse_item(made.header_bytes, made.content) == made


def spellings() -> list[bytes]:
    true = item().header_bytes
    plain = json.loads(true)
    reordered = dict(reversed(plain.items()))
    return [
        b" " + true,
        true + b"\n",
        json.dumps(plain).encode(),
        json.dumps(reordered, separators=(",", ":")).encode(),
        true.replace(b'"version":1', b'"version":1,"version":1'),
        true.replace(b'"version":1', b'"version":1.0'),
        true.replace(b'"version":1', b'"version":1e0'),
        true.replace(b'"version":1', b'"version":01'),
        true.replace(b'"v":1', b'"v":2'),
        true.replace(b'"size":2', b'"size":' + b"9" * 400),
        true.replace(b'"observed_ms":5', b'"observed_ms":-5'),
        true[:-1] + b',"extra":1}',
        true.replace(b"CABLE", b"C\\u0041BLE"),
        true.replace(b"CABLE", "C\u202eBLE".encode()),
        true.replace(b"CABLE", b"C\\u0000BLE"),
        true.replace(b"CABLE", b"C\xffBLE"),
        b"\xef\xbb\xbf" + true,
        true.replace(b'"place":null', b'"place":{"south_e7":2,"west_e7":0,"north_e7":1,"east_e7":0}'),
        true.replace(b'"place":null,', b""),
        true.replace(b'"subjects":["CABLE"]', b'"subjects":["CABLE","CABLE"]'),
        true.replace(b'"subjects":["CABLE"]', b'"subjects":["CABLE","ALPHA"]'),
        true.replace(b"abababab", b"ABABABAB"),
        b"[" * 5000,
        b"",
    ]


@pytest.mark.parametrize("spelling", spellings())
def test_every_other_spelling_is_refused(spelling: bytes) -> None:
    assert spelling != item().header_bytes
    with pytest.raises(MalformedError):
        parse_item(spelling, b"{}")


def test_another_content_and_a_huge_header_are_refused() -> None:
    with pytest.raises(MalformedError):
        parse_item(item().header_bytes, b"[]")
    with pytest.raises(TooLargeError):
        parse_item(item().header_bytes + b" " * BOUNDS.header_bytes, b"{}")
