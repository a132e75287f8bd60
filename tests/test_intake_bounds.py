"""Hostile JSON costs no more than its length: these inputs once took minutes."""

from __future__ import annotations

import pytest

from relto.errors import MalformedError
from relto.strict import parse_json

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("tail", [b"", b'"', b'"}', b"["])
def test_quote_followed_by_a_million_escapes_is_refused_in_one_pass(tail: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(b'{"a":"' + b'\\"' * 1_000_000 + tail + b"\x00")


def test_brackets_in_strings_are_no_depth() -> None:
    assert parse_json(b'{"a":"' + b"[" * 100 + b'"}') == {"a": "[" * 100}
