"""Bundles as files: written under another name until they are whole, read from plain files only.

A file is made readable by its owner alone and never through a symbolic link; a stick that is full or pulled leaves
nothing under the name that was asked for. Reading holds one frame at a time, whatever the file's size.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from relto.bounds import MIB
from relto.errors import MalformedError, OurError, PeerError, ReltoError
from relto.exchange import carry
from relto.exchange.bundle import BundleHeader, BundleReader, Frame, Kind, write_bundle
from relto.exchange.carry import Taken, VolumePlan
from relto.node.node import Node

Step = Callable[[int, int], None]

_PIECE_BYTES = MIB
_REASONS = {
    errno.ELOOP: "is a symbolic link.",
    errno.ENXIO: "is a device or a pipe.",
    errno.ENOENT: "is not there.",
    errno.ENOSPC: "has no room left.",
    errno.EFBIG: "would be larger than its file system takes.",
    errno.EISDIR: "is a directory.",
}


class Written(msgspec.Struct, frozen=True):
    """One file that was written."""

    file: str
    bytes: int
    pages: int
    first_n: int
    last_n: int


class ReadFile(msgspec.Struct, frozen=True):
    """What became of one file: pages and releases that were new, pages known already, and why papers were refused.

    ``failed``: why it was not read to its end; what stands before that is stored. ``fault``: whose that is.
    """

    file: str
    by: str
    volume: int
    volumes: int
    pages: int = 0
    releases: int = 0
    known_pages: int = 0
    agreements: int = 0
    cards: int = 0
    receipts: int = 0
    refused: tuple[str, ...] = ()
    failed: str = ""
    fault: Literal["", "ours", "theirs"] = ""


def volume_path(path: Path, volume: VolumePlan) -> Path:
    """The file of a volume: the name that was asked for, with a number if there are several."""
    parts = volume.header.parts
    return path if parts.count == 1 else path.with_name(f"{path.name}.{parts.number:03d}")


def write(node: Node, path: Path, volumes: Sequence[VolumePlan], step: Step) -> list[Written]:
    """Write the volumes; each is whole and on the disk when it gets its name.

    Raises:
        OurError: a file of that name is there, or it cannot be written.
    """
    for each in volumes:
        if os.path.lexists(volume_path(path, each)):
            raise OurError("is there already.", field=str(volume_path(path, each)), remedy="Choose another name.")
    total, done, found = sum(each.size_bytes for each in volumes), 0, []
    for volume in volumes:
        target, before = volume_path(path, volume), done
        pieces = write_bundle(volume.header, _frames(node, volume))
        done += _write_whole(target, pieces, lambda size, before=before: step(before + size, total))  # type: ignore[misc]
        first_n = volume.header.from_n
        last_n = volume.pages[-1][1] if volume.pages else first_n - 1
        found.append(Written(str(target), done - before, len(volume.pages), first_n, last_n))
    step(total, total)
    return found


def _frames(node: Node, volume: VolumePlan) -> Iterator[Frame]:
    yield from volume.papers
    for first_n, _, _ in volume.pages:
        yield Frame(Kind.PAGE, node.run(carry.page_at(volume.header.to, first_n)))


def _write_whole(path: Path, pieces: Iterable[bytes], told: Callable[[int], None]) -> int:
    """Write a file under another name, and give it its own when it is whole; returns its size."""
    part, size_bytes = path.with_name(f"{path.name}.part"), 0
    with _explained(path):
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
            try:
                for piece in pieces:
                    file.write(piece)
                    size_bytes += len(piece)
                    told(size_bytes)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink()
                raise
        part.replace(path)
        _sync(path.parent)
    return size_bytes


def _sync(directory: Path) -> None:
    """Make the name durable as well; a file system that cannot is left as it is."""
    with contextlib.suppress(OSError):
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def read(node: Node, paths: Sequence[Path], step: Step) -> list[ReadFile]:
    """Read bundles: all headers first, then volume after volume in the order of their releases.

    A page that is refused or missing ends its party's bundles; what stands before it is stored.

    Raises:
        PeerError: a file is no bundle of a partner for us; then nothing of any of them is used.
        OurError: a file cannot be read.
    """
    ordered = headers(node, paths)
    total, done, found = sum(path.stat().st_size for path, _ in ordered), 0, list[ReadFile]()
    for path, header in ordered:
        before = done
        if any(each.failed and each.by == header.by for each in found):
            failure = OurError("not read, since the volume before it failed.", remedy="Read both again.")
            found.append(_result(path, header, [], failure))
            continue
        found.append(_read_one(node, path, header, lambda size, before=before: step(before + size, total)))  # type: ignore[misc]
        done += path.stat().st_size
    return found


def headers(node: Node, paths: Sequence[Path]) -> list[tuple[Path, BundleHeader]]:
    """What the files say of themselves, in the order in which they are to be read.

    Raises:
        PeerError: a file is no bundle of a partner for us. OurError: a file cannot be read.
    """
    found = [(path, _header(node, path)) for path in paths]
    return sorted(found, key=lambda each: (each[1].by, each[1].from_n, each[1].parts.number))


def _header(node: Node, path: Path) -> BundleHeader:
    reader = BundleReader()
    for piece in _pieces(path, 4096):
        reader.feed(piece)
        if reader.header is not None:
            break
    else:
        reader.finish()
    header = reader.header
    if header is None:
        raise MalformedError("has no header.", field=str(path), remedy="Ask for a new file.")
    with node.store.read() as books:
        carry.check_header(node.core, books, header)
    return header


def _read_one(node: Node, path: Path, header: BundleHeader, told: Callable[[int], None]) -> ReadFile:
    reader, taken, failure = BundleReader(), list[Taken](), None
    try:
        for piece in _pieces(path, _PIECE_BYTES):
            for frame in reader.feed(piece):
                _check_same(reader, header)
                taken.append(node.run(carry.take(node.core, header.by, frame)))
            told(reader.offset)
        reader.finish()
    except ReltoError as error:
        failure = error
    return _result(path, header, taken, failure)


def _check_same(reader: BundleReader, header: BundleHeader) -> None:
    if reader.header != header:
        raise MalformedError("was changed while it was read.", field="bundle", remedy="Read it again.")


def _result(path: Path, header: BundleHeader, taken: Sequence[Taken], failure: ReltoError | None) -> ReadFile:
    good = [each for each in taken if not each.refused]
    pages = [each for each in good if each.kind is Kind.PAGE]
    return ReadFile(
        file=str(path),
        by=header.by,
        volume=header.parts.number,
        volumes=header.parts.count,
        pages=sum(not each.known for each in pages),
        releases=sum(each.releases for each in pages),
        known_pages=sum(each.known for each in pages),
        agreements=sum(each.kind is Kind.AGREEMENT for each in good),
        cards=sum(each.kind is Kind.CARD and not each.known for each in good),
        receipts=sum(each.kind is Kind.RECEIPT for each in good),
        refused=tuple(each.refused for each in taken if each.refused),
        failed=str(failure or ""),
        fault="" if failure is None else "theirs" if isinstance(failure, PeerError) else "ours",
    )


def _pieces(path: Path, size_bytes: int) -> Iterator[bytes]:
    """The bytes of a plain file; a link, a directory, a pipe or a device is refused without waiting for it."""
    with _explained(path):
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise OurError("is no plain file.", field=str(path), remedy="Give the file of a bundle.")
            while piece := file.read(size_bytes):
                yield piece


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror}.")
        raise OurError(reason, field=str(path), remedy="Check the path and the stick.") from None
