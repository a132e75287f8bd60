"""JSON from outside: whatever two readers could read differently is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.errors import MalformedError, TooLargeError
from relto.exchange.messages import Receipt
from relto.strict import canonical, check_text, parse_canonical, parse_json

pytestmark = pytest.mark.pure

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text("abc 漢\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_come_back(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1,"a":1}',
        b'{"x":[{"a":1,"\\u0061":2}]}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"9007199254740992",
        b"-9007199254740992",
        b"9" * 5000,
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b'"a\\u0000"',
        b'"a\\u202eb"',
        '"a\u2066b"'.encode(),
        '{"a\u202eb":1}'.encode(),
        b'"a\x00b"',
        b'"\\u009f"',
        b"{}{}",
        b"",
        b"{'a':1}",
        b"[1,]",
        b"[" * (BOUNDS.json_depth + 1) + b"]" * (BOUNDS.json_depth + 1),
        b"[" * 200_000,
    ],
)
def test_it_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(content)


def test_the_bounds_themselves_are_allowed() -> None:
    deep = b"[" * BOUNDS.json_depth + b"]" * BOUNDS.json_depth
    assert parse_json(deep) is not None
    assert parse_json(b"9007199254740991") == BOUNDS.json_integer
    assert parse_json(b'"[[[[\\"{{"', limit_bytes=10) == '[[[["{{'
    with pytest.raises(TooLargeError):
        parse_json(b'"' + b"a" * 9 + b'"', limit_bytes=10)
    with pytest.raises(TooLargeError):
        check_text("a" * (BOUNDS.text_chars + 1), "text")


@pytest.mark.parametrize("number", [2**53, -(2**53), 10**30])
def test_a_number_over_the_bound_is_refused_in_canonical_form_too(number: int) -> None:
    receipt = Receipt(v=1, by="JPN", to="USA", up_to_n=number, chain="", log=1, log_size=0, log_root="", time_ms=0)
    with pytest.raises(MalformedError, match="over 2\\^53-1") as refused:
        parse_canonical(canonical(receipt), Receipt)
    assert refused.value.peer_text == "malformed"


def test_a_number_at_the_bound_and_digits_in_a_text_are_taken() -> None:
    receipt = Receipt(
        v=1, by="JPN", to="USA", up_to_n=2**53 - 1, chain=":1234567890123456789", log=1, log_size=0, log_root="",
        time_ms=0,
    )  # fmt: skip
    assert parse_canonical(canonical(receipt), Receipt) == receipt
