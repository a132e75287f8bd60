"""Documents cut into the bytes of their records: the cut and the whole are understood in one way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS
from relto.errors import MalformedError
from relto.formats.slices import RefusedError, cut, is_whole, names, read_object

pytestmark = pytest.mark.pure

TEXTS = st.text(alphabet='ab"\\{}[],: \n\té\u2028', max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
@settings(max_examples=60, deadline=None)
def test_the_slices_of_an_array_are_its_elements_and_put_it_together_again(
    around: dict[str, Any], elements: list[Any], indent: int | None
) -> None:
    document = {"deep": {**around, "list": elements}, **around, "list": elements}
    content = json.dumps(document, indent=indent).encode()
    for path in (("list",), ("deep", "list")):
        found = cut(content, *path)
        assert found is not None
        assert [json.loads(element) for element in found.elements] == elements
        assert json.loads(found.holding(list(found.elements))) == document
        assert content.startswith(found.head)
        assert content.endswith(found.tail)
    assert names(content) == tuple(document)
    assert is_whole(content)


@pytest.mark.parametrize("content", [b'{"list":{}}', b'{"list":"[]"}', b'{"other":[1]}', b'"list"', b"7", b""])
def test_where_no_array_stands_nothing_is_cut(content: bytes) -> None:
    assert cut(content, "list") is None


@pytest.mark.parametrize(
    "content",
    [
        b'{"list":[1',
        b'{"list":[1]]}',
        b'{"list":[1]}{}',
        b'{"list":[1]} "x',
        b'{"list":[1]} x',
        b'{"list":["1]}',
        b'{"list":[1]},',
        b"[}{]",
    ],
)
def test_what_is_not_closed_or_goes_on_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError, match="BAD_JSON"):
        cut(content, "list")
    assert not is_whole(content)


def test_an_escaped_name_is_the_same_name() -> None:
    found = cut(b'{"l\\u0069st":[1,2]}', "list")
    assert found is not None
    assert found.elements == (b"1", b"2")


@pytest.mark.parametrize("content", [b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":tru}', b'{"a":"\\"}', b""])
def test_a_slice_is_read_strictly(content: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        read_object(content)
    assert refused.value.code == "BAD_JSON"


def test_a_slice_over_its_bound_and_one_that_is_no_object_are_told_apart() -> None:
    with pytest.raises(RefusedError, match="TOO_LARGE"):
        read_object(b'{"a":1}', limit_bytes=6)
    with pytest.raises(RefusedError, match="TOO_LARGE"):
        read_object(b'{"a":' + b"[" * BOUNDS.json_depth + b"]" * BOUNDS.json_depth + b"}")
    with pytest.raises(RefusedError, match="NOT_AN_OBJECT"):
        read_object(b"[]")


@pytest.mark.parametrize("hostile", [b'{"' + b'\\"' * 500_000, b"{" + b'\\"' * 500_000 + b"}"])
def test_quotes_that_never_close_do_not_cost_the_square_of_their_number(hostile: bytes) -> None:
    # Looked at once for each quote, this would not end.
    for read in (read_object, lambda content: cut(content, "list")):
        try:
            assert read(hostile[: BOUNDS.record_bytes]) is None
        except MalformedError as refused:
            assert refused.field == "BAD_JSON"
