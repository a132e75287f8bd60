"""Large files: cut into slices on the way in and put together again on the way out, in memory that does not grow.

A scene is a record that names its slices by their item ids, and its whole by its digest. Each slice is an item of its
own, so it is decided, released, receipted and resumed like any other; equal slices are stored once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from relto.bounds import BOUNDS, MIB
from relto.errors import OurError, TooLargeError
from relto.formats.draft import Draft
from relto.node import read
from relto.node.ingest import Defaults, item_id, item_key, store_drafts
from relto.node.node import Node
from relto.strict import check_text

SCENE, SLICE = "geospatial.scene", "geospatial.slice"
SLICE_BYTES = MIB

Progress = Callable[[int, int], None]


class Scene(msgspec.Struct, frozen=True):
    """The record of a large file."""

    name: str
    media_type: str
    size: int
    sha256: str
    slice_bytes: int
    slices: tuple[str, ...]


def ingest_scene(
    node: Node, path: Path, media_type: str, defaults: Defaults, *, progress: Progress | None = None
) -> str:
    """Store a large file as a scene with its slices; returns the scene's id. The same file twice is stored once.

    Raises:
        OurError: it cannot be read, or changes meanwhile. TooLargeError: over ``BOUNDS.scene_bytes``.
    """
    key, now_ms, digest = item_key(node), node.now_ms(), hashlib.sha256()
    slices: list[str] = []
    size = done = 0
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > BOUNDS.scene_bytes:
                raise TooLargeError(f"{size} bytes, at most {BOUNDS.scene_bytes}.", field=path.name, remedy="Split it.")
            for content in _cut(stream):
                draft = Draft(
                    kind=SLICE,
                    media_type="application/octet-stream",
                    content=content,
                    observed_ms=now_ms,
                    until_ms=now_ms,
                    title=f"slice {len(slices) + 1} of {path.name}",
                )
                store_drafts(node, (draft,), defaults)
                slices.append(item_id(key, SLICE, content))
                digest.update(content)
                done += len(content)
                if progress is not None:
                    progress(done, size)
    except OSError as error:
        raise OurError(error.strerror or str(error), field=str(path), remedy="Check the path.") from None
    if done != size:
        raise OurError(f"was {size} bytes and is {done} now.", field=str(path), remedy="Wait until it is written.")
    scene = Scene(check_text(path.name, "name"), media_type, size, digest.hexdigest(), SLICE_BYTES, tuple(slices))
    content = json.dumps(msgspec.structs.asdict(scene), ensure_ascii=False).encode()
    draft = Draft(
        kind=SCENE,
        media_type="application/json",
        content=content,
        observed_ms=now_ms,
        until_ms=now_ms,
        title=f"{path.name} ({size:,} bytes)",
    )
    store_drafts(node, (draft,), defaults)
    return item_id(key, SCENE, content)


def _cut(stream: BinaryIO) -> Iterator[bytes]:
    while content := stream.read(SLICE_BYTES):
        yield content


def export_scene(node: Node, reference: str, target: Path, *, progress: Progress | None = None) -> Scene:
    """Write a scene's file, slice by slice; it appears under its name only when its digest has been compared.

    Raises:
        OurError: it is no scene held in full, slices are missing yet, the digest differs, or it cannot be written.
    """
    stored = read.find(node, reference)
    header = read.header_of(stored)
    if header.kind != SCENE or stored.view != "full":
        raise OurError(
            "is no large file held in full.", field=header.id, remedy="See: relto ls --kind geospatial.scene."
        )
    scene = msgspec.json.decode(stored.content, type=Scene)
    _check_slices(node, scene)
    part = target.with_name(f".{target.name}.part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as stream:
            for at, each in enumerate(scene.slices, start=1):
                content = read.find(node, each).content
                digest.update(content)
                stream.write(content)
                if progress is not None:
                    progress(at, len(scene.slices))
            stream.flush()
            os.fsync(stream.fileno())
        if digest.hexdigest() != scene.sha256 or part.stat().st_size != scene.size:
            raise OurError("the slices are not those of the file.", field=header.id, remedy="Tell its originator.")
        part.replace(target)
    except OSError as error:
        raise OurError(error.strerror or str(error), field=str(target), remedy="Choose another path.") from None
    finally:
        part.unlink(missing_ok=True)
    return scene


def _check_slices(node: Node, scene: Scene) -> None:
    reading = node.reading()
    with node.store.read() as books:
        missing = [each for each in scene.slices if not books.find(each, reading)]
    if missing:
        raise OurError(
            f"{len(missing):,} of {len(scene.slices):,} slices are not here.",
            field=scene.name,
            remedy="They may be on their way, or withheld: see relto status.",
        )
