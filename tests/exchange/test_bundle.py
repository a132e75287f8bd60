"""Bundles: what is read is what was written, or it is refused at the first bad frame; nothing large is ever awaited."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relto.bounds import BOUNDS, Bounds
from relto.errors import InvariantError, MalformedError, OurError, PeerError, TooLargeError
from relto.exchange import bundle
from relto.exchange.bundle import (
    CHAIN_BYTES,
    LIMIT_BYTES,
    MAGIC,
    PREFIX_BYTES,
    BundleHeader,
    BundleReader,
    Frame,
    Kind,
    Place,
    Totals,
    Volume,
    write_bundle,
)
from relto.strict import canonical, parse_canonical

pytestmark = pytest.mark.pure

HEADER = BundleHeader(1, "JPN", "PHL", 1_795_483_317_236, 8, Volume(1, 2))
FRAMES = (
    Frame(Kind.CARD, b"a card"),
    Frame(Kind.AGREEMENT, b"an agreement"),
    Frame(Kind.PAGE, b"first page"),
    Frame(Kind.PAGE, b"second page"),
    Frame(Kind.HEAD, b"a head note"),
    Frame(Kind.RECEIPT, b"a receipt"),
)
CARRIED = [kind for kind in Kind if kind not in (Kind.HEADER, Kind.END)]

some_frames = st.lists(st.builds(Frame, st.sampled_from(CARRIED), st.binary(min_size=1, max_size=60)), max_size=8)
some_cuts = st.lists(st.integers(0, 2000), max_size=12)


def written(frames: Iterable[Frame] = FRAMES, header: BundleHeader = HEADER) -> bytes:
    return b"".join(write_bundle(header, frames))


WHOLE = written()


def pieces(content: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    return [content[start:stop] for start, stop in pairwise(places)]


def read(content: bytes, cuts: Sequence[int] = ()) -> tuple[list[Frame], PeerError | None, BundleReader]:
    """The frames, then what was refused if anything was, and the reader as it is left."""
    reader, found = BundleReader(), []
    try:
        for piece in pieces(content, cuts):
            found += reader.feed(piece)
        reader.finish()
    except PeerError as refusal:
        return found, refusal, reader
    return found, None, reader


def refused(content: bytes) -> PeerError:
    _, refusal, _ = read(content)
    assert refusal is not None
    return refusal


def framed(*frames: Frame) -> bytes:
    """Frames with right chain values, whether they may stand there or not."""
    place, content = Place(), MAGIC
    for frame in frames:
        chain = bundle._link(place, frame)
        content += bundle._prefix(frame) + frame.content + chain
        place = bundle._behind(place, frame, chain, HEADER)
    return content


def test_the_form_is_that_of_the_specification() -> None:
    """Written a second time from the text alone."""
    header = b'{"v":1,"by":"JPN","to":"PHL","created_ms":1795483317236,"from_n":8,"parts":{"number":1,"count":2}}'
    end = b'{"frames":3,"content_bytes":%d,"cards":0,"agreements":1,"heads":0,"pages":1,"receipts":0}'
    expected, chain = b"relto-bundle/1\n", hashlib.sha256(b"relto-bundle/1\n").digest()
    for kind, content in ((b"H", header), (b"A", b"terms"), (b"P", b"page"), (b"E", end % (len(header) + 9))):
        length = struct.pack(">Q", len(content))
        chain = hashlib.sha256(chain + kind + length + hashlib.sha256(content).digest()).digest()
        expected += kind + length + content + chain
    assert written([Frame(Kind.AGREEMENT, b"terms"), Frame(Kind.PAGE, b"page")]) == expected


@given(some_frames, some_cuts)
def test_what_is_read_is_what_was_written_in_any_pieces(frames: list[Frame], cuts: list[int]) -> None:
    content = written(frames)
    found, refusal, reader = read(content, cuts)
    assert (found, refusal, reader.header, reader.complete) == (frames, None, HEADER, True)
    assert reader.offset == len(content)
    assert reader.place.totals.pages == sum(frame.kind is Kind.PAGE for frame in frames)


@given(some_frames, st.integers(0, 2000), some_cuts)
def test_a_read_that_broke_off_goes_on_from_its_place(frames: list[Frame], at: int, cuts: list[int]) -> None:
    content = written(frames)
    first = BundleReader()
    found = [frame for piece in pieces(content[: at % len(content)], cuts) for frame in first.feed(piece)]
    stored = canonical(first.place)
    second = BundleReader(parse_canonical(stored, Place))
    found += [frame for piece in pieces(content[second.offset :], cuts) for frame in second.feed(piece)]
    second.finish()
    assert (found, second.header) == (frames, HEADER)


def test_reading_on_refuses_a_file_whose_beginning_was_another() -> None:
    first = BundleReader()
    first.feed(WHOLE[:-1])
    other = written([Frame(Kind.CARD, b"b card"), *FRAMES[1:]])
    with pytest.raises(MalformedError, match=r"frame 8 \(end\): its chain value"):
        BundleReader(first.place).feed(other[first.offset :])


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), some_cuts)
def test_pieces_do_not_change_what_is_refused(at: int, flip: int, cuts: list[int]) -> None:
    changed = WHOLE[:at] + bytes([WHOLE[at] ^ flip]) + WHOLE[at + 1 :]
    whole_found, whole_refusal, whole_reader = read(changed)
    found, refusal, reader = read(changed, cuts)
    assert (found, str(refusal), reader.place) == (whole_found, str(whole_refusal), whole_reader.place)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF])
def test_every_flipped_byte_is_refused_and_the_frames_before_it_are_good(flip: int) -> None:
    ends = [end for end, _ in frame_ends()]
    for at in range(len(WHOLE)):
        found, refusal, reader = read(WHOLE[:at] + bytes([WHOLE[at] ^ flip]) + WHOLE[at + 1 :])
        assert refusal is not None, at
        assert reader.offset == max((end for end in ends if end <= at), default=0)
        assert tuple(found) == FRAMES[: len(found)]


def frame_ends() -> list[tuple[int, bytes]]:
    """Where each frame ends, and its bytes."""
    contents = [canonical(HEADER), *(frame.content for frame in FRAMES)]
    found, at = [], len(MAGIC)
    for content in contents:
        end = at + PREFIX_BYTES + len(content) + CHAIN_BYTES
        found.append((end, WHOLE[at:end]))
        at = end
    return [*found, (len(WHOLE), WHOLE[at:])]


def test_every_truncation_is_noticed() -> None:
    for size in range(len(WHOLE)):
        found, refusal, reader = read(WHOLE[:size])
        assert refusal is not None, size
        assert tuple(found) == FRAMES[: len(found)]
        assert not reader.complete
        if size > len(MAGIC):
            assert f"breaks off in frame {len([end for end, _ in frame_ends() if end <= size]) + 1}" in str(refusal)


def test_every_two_frames_in_the_other_order_are_refused() -> None:
    parts = [part for _, part in frame_ends()]
    for first in range(len(parts)):
        for second in range(first + 1, len(parts)):
            swapped = list(parts)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            found, refusal, _ = read(MAGIC + b"".join(swapped))
            assert refusal is not None
            assert tuple(found) == FRAMES[: max(first - 1, 0)]


def test_a_frame_left_out_or_twice_is_refused() -> None:
    parts = [part for _, part in frame_ends()]
    for at in range(len(parts)):
        assert read(MAGIC + b"".join(parts[:at] + parts[at + 1 :]))[1] is not None
        assert read(MAGIC + b"".join(parts[:at] + parts[at : at + 1] + parts[at:]))[1] is not None


def test_good_frames_are_given_before_the_refusal_and_the_refusal_stays() -> None:
    reader = BundleReader()
    assert reader.feed(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1])) == list(FRAMES)
    for call in (lambda: reader.feed(b""), lambda: reader.feed(WHOLE), reader.finish):
        with pytest.raises(MalformedError, match=r"^frame 8 \(end\): its chain value"):
            call()
    assert reader.place.totals.frames == 7


def test_nothing_may_follow_the_end() -> None:
    for extra in (b"\x00", WHOLE, b"PK\x03\x04"):
        found, refusal, reader = read(WHOLE + extra)
        assert (tuple(found), reader.complete) == (FRAMES, True)
        assert f"goes on behind its end at byte {len(WHOLE)}" in str(refusal)


@pytest.mark.parametrize("size_bytes", [2**63, 2**64 - 1, BOUNDS.page_bytes + 1, 2**40])
@pytest.mark.parametrize("kind", list(Kind))
def test_a_hostile_length_is_refused_before_anything_is_held_for_it(kind: Kind, size_bytes: int) -> None:
    before = MAGIC if kind is Kind.HEADER else framed(Frame(Kind.HEADER, canonical(HEADER)))
    reader = BundleReader()
    reader.feed(before)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match=rf"\({kind.name.lower()}\): {size_bytes} bytes, at most"):
            reader.feed(kind.value + size_bytes.to_bytes(8, "big"))
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


def test_a_length_within_bounds_takes_memory_only_as_bytes_come() -> None:
    reader = BundleReader()
    reader.feed(framed(Frame(Kind.HEADER, canonical(HEADER))))
    tracemalloc.start()
    try:
        reader.feed(Kind.PAGE.value + BOUNDS.page_bytes.to_bytes(8, "big") + b"only this")
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


def test_many_frames_in_one_large_piece_are_taken_one_at_a_time() -> None:
    content = written([Frame(Kind.PAGE, bytes(100_000))] * 50)
    reader = BundleReader()
    tracemalloc.start()
    try:
        assert sum(len(frame.content) for frame in reader._frames(memoryview(content))) == 50 * 100_000
        assert tracemalloc.get_traced_memory()[1] < 400_000
    finally:
        tracemalloc.stop()
    reader.finish()


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_has_its_limit_and_takes_it_whole(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMIT_BYTES[kind] <= BOUNDS.page_bytes
    if kind in (Kind.HEADER, Kind.END):
        return
    monkeypatch.setitem(LIMIT_BYTES, kind, 40)
    assert read(written([Frame(kind, b"x" * 40)]))[1] is None
    with pytest.raises(OurError, match="41 bytes, at most 40"):
        written([Frame(kind, b"x" * 41)])
    over = framed(Frame(Kind.HEADER, canonical(HEADER)), Frame(kind, b"x" * 41))
    assert isinstance(refused(over), TooLargeError)


def test_the_number_of_frames_and_the_whole_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, text in (("bundle_frames", 4, "frames"), ("bundle_bytes", 500, "bytes")):
        monkeypatch.setattr(bundle, "BOUNDS", _with_bound(name, value))
        with pytest.raises(OurError, match=f"over {value} {text}"):
            written()
        refusal = refused(WHOLE)
        assert isinstance(refusal, TooLargeError)
        assert f"over {value} {text}" in str(refusal)


def _with_bound(name: str, value: int) -> Bounds:
    return dataclasses.replace(BOUNDS, **{name: value})


def test_the_last_allowed_frame_leaves_room_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "BOUNDS", _with_bound("bundle_frames", 1 + len(FRAMES)))
    assert read(written())[:2] == (list(FRAMES), None)


def test_frames_that_may_not_stand_there_are_refused_although_their_chain_fits() -> None:
    header, page = Frame(Kind.HEADER, canonical(HEADER)), Frame(Kind.PAGE, b"page")
    end = Frame(Kind.END, canonical(Totals(1, len(header.content))))
    cases = {
        framed(page, header): "frame 1 (page): the header stands first",
        framed(end): "frame 1 (end): the header stands first",
        framed(header, header): "frame 2 (header): the header stands first",
        framed(header, Frame(Kind.PAGE, b"")): "frame 2 (page): is empty",
        framed(header) + b"Z" + bytes(8): "frame 2: 0x5A is no kind of frame",
        framed(header, page, end): "frame 3 (end): counts other frames",
        framed(header, Frame(Kind.END, b'{"frames":1}')): "frame 2 (end): totals: ",
        framed(header, Frame(Kind.END, canonical(Totals(2, len(header.content))))): "counts other frames",
    }
    for content, expected in cases.items():
        assert expected in str(refused(content))
    assert read(framed(header, end))[1] is None


@pytest.mark.parametrize(
    "changed",
    [
        b'"v":2',
        b'"by":"jpn"',
        b'"by":"PHL"',
        b'"to":"../.."',
        b'"from_n":0',
        b'"from_n":9007199254740992',
        b'"created_ms":-1',
        b'"parts":{"number":0,"count":2}',
        b'"parts":{"number":3,"count":2}',
        b'"parts":{"number":1,"count":1001}',
        b'"v": 1',
        b'"v":1,"more":1',
    ],
)
def test_a_header_out_of_form_is_refused(changed: bytes) -> None:
    key = changed.split(b":")[0]
    good = canonical(HEADER)
    old = next(
        part for part in (b'"v":1', b'"by":"JPN"', b'"to":"PHL"', b'"from_n":8', b'"created_ms":1795483317236',
                          b'"parts":{"number":1,"count":2}') if part.startswith(key + b":")
    )  # fmt: skip
    assert old in good
    assert str(refused(framed(Frame(Kind.HEADER, good.replace(old, changed))))).startswith("frame 1 (header): ")


def test_a_writer_takes_no_second_header_no_end_and_nothing_empty() -> None:
    for frame in (Frame(Kind.HEADER, canonical(HEADER)), Frame(Kind.END, b"{}"), Frame(Kind.PAGE, b"")):
        with pytest.raises(InvariantError):
            written([frame])


def test_a_writer_asks_for_one_frame_at_a_time() -> None:
    asked: list[int] = []

    def frames() -> Iterable[Frame]:
        for number in range(3):
            asked.append(number)
            yield Frame(Kind.PAGE, b"page %d" % number)

    pieces_made = write_bundle(HEADER, frames())
    while b"page 0" not in next(pieces_made):
        pass
    assert asked == [0]


def _zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("../../etc/passwd", WHOLE)
    return target.getvalue()


def _tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("bundle")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return target.getvalue()


FOREIGN = {
    "a ZIP archive": _zip(),
    "a tar archive": _tar(),
    "a gzip file": gzip.compress(WHOLE),
    "a bzip2 file": bz2.compress(WHOLE),
    "an xz file": lzma.compress(WHOLE),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24),
    "a zstd file": b"\x28\xb5\x2f\xfd\x24\x00",
    "an LZ4 file": b"\x04\x22\x4d\x18\x64\x40\xa7",
    "a RAR archive": b"Rar!\x1a\x07\x01\x00",
    "a CAB archive": b"MSCF\x00\x00\x00\x00",
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "an old office document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "a web page": b"\n  <!DOCTYPE HTML><html><title>Sign in</title>" + b" " * 600,
    "HTML or XML": b'<?xml version="1.0"?><a/>',
    "JSON": b'\xef\xbb\xbf {"payload":""}',
    "a program (ELF)": b"\x7fELF\x02\x01\x01" + bytes(600),
    "a program (Windows)": b"MZ\x90\x00\x03",
    "a program (macOS)": b"\xcf\xfa\xed\xfe\x07\x00\x00\x01",
    "a script": b"#!/bin/sh\nexit\n",
    "a Windows shortcut": b"L\x00\x00\x00\x01\x14\x02\x00\x00\x00",
    "a companion file of macOS": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ",
    "a SQLite database": b"SQLite format 3\x00\x40\x00",
    "a picture": b"\x89PNG\r\n\x1a\n",
    "an empty file": b"",
    "nothing but zeros": bytes(4096),
    "UTF-16 text": MAGIC.decode().encode("utf-16"),
    "in text mode": WHOLE.replace(b"\n", b"\r\n"),
    "of another version": MAGIC.replace(b"1", b"2") + WHOLE[len(MAGIC) :],
    "of an unknown form": bytes(range(7, 250)),
}


@pytest.mark.parametrize("name", list(FOREIGN))
def test_a_file_of_another_form_is_refused_by_its_name(name: str) -> None:
    found, refusal, reader = read(FOREIGN[name])
    assert found == []
    assert isinstance(refusal, MalformedError)
    assert str(refusal).startswith("bundle: is ")
    assert name in refusal.reason
    assert refusal.remedy
    assert reader.offset == 0


@pytest.mark.parametrize("content", [MAGIC.decode().encode("utf-16-le"), MAGIC.decode().encode("utf-16-be")])
def test_utf_16_without_its_mark_is_named_too(content: bytes) -> None:
    assert "UTF-16 text" in str(refused(content))


@settings(max_examples=30)
@given(st.sampled_from(sorted(FOREIGN)), some_cuts)
def test_a_foreign_file_is_refused_alike_in_any_pieces(name: str, cuts: list[int]) -> None:
    assert str(read(FOREIGN[name], cuts)[1]) == str(refused(FOREIGN[name]))


def test_a_foreign_file_is_refused_without_reading_on() -> None:
    reader = BundleReader()
    with pytest.raises(MalformedError, match="tar archive"):
        reader.feed(_tar()[:600])


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_in_another_way(junk: bytes) -> None:
    for content in (junk, MAGIC + junk, framed(Frame(Kind.HEADER, canonical(HEADER))) + junk):
        found, refusal, _ = read(content)
        assert found == []
        assert refusal is not None


def test_a_place_that_no_reader_gave_is_refused() -> None:
    for made in (
        lambda: Place(offset=-1),
        lambda: Place(offset=9),
        lambda: Place(chain="0g" * 32),
        lambda: Place(header=HEADER),
    ):
        with pytest.raises(MalformedError, match="place"):
            made()
