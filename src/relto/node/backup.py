"""Backup and restore: everything that a node must not lose, in one file, and a node from it.

A form of our own and no archive: the names in it are a fixed few, so nothing can be written elsewhere. It is the line
``relto-backup/1``, the length (4 bytes, big-endian) and bytes of a header, then the body in chunks::

    length (4 bytes, big-endian)  content

The body is the length and bytes of a manifest, then the files of the manifest one after the other. With keys in it,
the body is encrypted: scrypt (RFC 7914) makes an AES-256-GCM key of a passphrase, as for ``authority.key``; the nonce
of a chunk is 8 random bytes and its number, its associated data the header and whether it is the last. So no chunk
can be changed, moved, dropped or added. Without keys the digests in the manifest find damage, and prove nothing.

INVARIANT: what is restored begins halted. A backup is older than what the partners have seen, and a log that was
continued from it would fork; see ``relto.exchange.resuming``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relto.bounds import BOUNDS, MIB
from relto.errors import MalformedError, OurError
from relto.exchange.resuming import begin_restored
from relto.keyring.files import FILES, KEY_FILES, PASSPHRASE_BYTES, FileKeyring, stretched
from relto.node.home import DATABASE, KEYS, SETTINGS, Settings, read_settings, set_database
from relto.node.node import Node
from relto.store.books import SqlBooks
from relto.store.database import Database
from relto.store.dialect import Sqlite
from relto.store.move import copy
from relto.strict import canonical, parse_canonical

MAGIC = b"relto-backup/1\n"
AUTHORITY = f"{KEYS}/{KEY_FILES['authority']}"
NAMES = frozenset({SETTINGS, DATABASE, *(f"{KEYS}/{name}" for name in FILES)})

_CHUNK_BYTES = MIB
_TAG_BYTES = 16
_LAST, _MORE = b"last", b"more"


class _Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    salt: str
    nonce: str


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]
    party: str
    created_ms: int
    lock: _Lock | None


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in a backup."""

    name: str
    size: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: tuple[Part, ...]


class Backup(msgspec.Struct, frozen=True):
    """What was written or read: whose node, as of when, and which files."""

    party: str
    created_ms: int
    encrypted: bool
    parts: tuple[Part, ...]


def write_backup(
    node: Node, target: Path, *, passphrase: bytes | None = None, keys: bool = True, authority: bool = False
) -> Backup:
    """Write a backup of a node, which may run meanwhile: the store in one consistent state, settings and keys.

    ``keys`` need a passphrase; ``authority`` takes the authority keys with them, which are better kept elsewhere.
    When this returns, the file is durable; before, there is none of that name.

    Raises:
        OurError: the file is there already or cannot be written, the passphrase is missing or too short.
    """
    _check_passphrase(passphrase, keys)
    if target.exists():
        raise OurError("is there already.", field=str(target), remedy="Give another name.")
    lock = _Lock(secrets.token_hex(16), secrets.token_hex(8)) if passphrase else None
    header = _Header(1, node.party, node.now_ms(), lock)
    snapshot, written = (target.with_name(f".{target.name}.{end}") for end in ("db", "part"))
    try:
        _snapshot(node.store.database, snapshot)
        sources = {SETTINGS: node.home / SETTINGS, DATABASE: snapshot} | (_keys(node, authority) if keys else {})
        parts = tuple(_part(name, path) for name, path in sources.items())
        with _created(written) as stream:
            _write(stream, header, passphrase, parts, [sources[part.name] for part in parts])
            stream.flush()
            os.fsync(stream.fileno())
        os.link(written, target)
    except OSError as error:
        raise OurError(f"cannot be written: {error}.", field=str(target), remedy="See to its directory.") from None
    finally:
        for path in (snapshot, written):
            path.unlink(missing_ok=True)
    _sync(target.parent)
    return Backup(node.party, header.created_ms, lock is not None, parts)


def _check_passphrase(passphrase: bytes | None, keys: bool) -> None:
    if passphrase is None and keys:
        raise OurError("keys are not written in the clear.", field="passphrase", remedy="Give one, or --no-keys.")
    if passphrase is not None and len(passphrase) < PASSPHRASE_BYTES:
        raise OurError(
            f"has {len(passphrase)} bytes, needs {PASSPHRASE_BYTES}.", field="passphrase", remedy="Take six words."
        )


def _snapshot(database: Database, target: Path) -> None:
    """The store as one SQLite file, while others write in it."""
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    if isinstance(database.dialect, Sqlite):
        with (
            closing(sqlite3.connect(f"{Path(database.dialect.place).resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as copied,
        ):
            source.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")
        return
    into = Database(target)
    try:
        copy(database, into)
    finally:
        into.close()


def _keys(node: Node, authority: bool) -> dict[str, Path]:
    FileKeyring.open(node.home / KEYS)  # who else can read them is looked at
    names = [name for name in FILES if authority or name != KEY_FILES["authority"]]
    return {f"{KEYS}/{name}": node.home / KEYS / name for name in names if (node.home / KEYS / name).exists()}


def _part(name: str, path: Path) -> Part:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Part(name, path.stat().st_size, digest)


def _created(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")


def _write(
    stream: BinaryIO, header: _Header, passphrase: bytes | None, parts: tuple[Part, ...], paths: list[Path]
) -> None:
    head = canonical(header)
    stream.write(MAGIC + len(head).to_bytes(4, "big") + head)
    cipher = _Cipher(header, passphrase)
    waiting = b""
    for piece in _pieces(parts, paths):
        waiting += piece
        while len(waiting) > _CHUNK_BYTES:
            _write_chunk(stream, cipher.close(waiting[:_CHUNK_BYTES], last=False))
            waiting = waiting[_CHUNK_BYTES:]
    _write_chunk(stream, cipher.close(waiting, last=True))


def _pieces(parts: tuple[Part, ...], paths: list[Path]) -> Iterator[bytes]:
    manifest = canonical(_Manifest(parts))
    yield len(manifest).to_bytes(4, "big") + manifest
    for path in paths:
        with path.open("rb") as stream:
            while piece := stream.read(_CHUNK_BYTES):
                yield piece


def _write_chunk(stream: BinaryIO, content: bytes) -> None:
    stream.write(len(content).to_bytes(4, "big") + content)


class _Cipher:
    """Closes and opens the chunks of one body, each in its place; without a passphrase it only marks the last one."""

    def __init__(self, header: _Header, passphrase: bytes | None) -> None:
        self._number = 0
        self._header = canonical(header)
        lock = header.lock
        self._key = AESGCM(stretched(passphrase or b"", bytes.fromhex(lock.salt))) if lock else None
        self._prefix = bytes.fromhex(lock.nonce) if lock else b""

    def close(self, content: bytes, *, last: bool) -> bytes:
        flag = _LAST if last else _MORE
        return flag + (self._key.encrypt(self._next(), content, self._header + flag) if self._key else content)

    def open(self, chunk: bytes) -> tuple[bytes, bool]:
        flag, content = chunk[: len(_LAST)], chunk[len(_LAST) :]
        if flag not in (_LAST, _MORE):
            raise _damaged("a chunk is none")
        if self._key is not None:
            try:
                content = self._key.decrypt(self._next(), content, self._header + flag)
            except InvalidTag:
                raise _damaged("it does not open: another passphrase, or it was changed") from None
        return content, flag == _LAST

    def _next(self) -> bytes:
        self._number += 1
        return self._prefix + self._number.to_bytes(4, "big")


def restore(file: Path, home: Path, *, passphrase: bytes | None = None) -> Backup:
    """Make a node's directory from a backup. It is halted until its partners have compared their heads with its own.

    Everything is checked and complete before the directory has its name.

    Raises:
        OurError: the directory is not empty, the passphrase is missing, or the disk fails.
        MalformedError: the file is no backup, or was changed.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise OurError("is not empty.", field=str(home), remedy="Give a new directory.")
    made = home.with_name(f".{home.name}.restoring")
    if made.exists():
        raise OurError("is left of a restore that was cut off.", field=str(made), remedy="Remove it, then try again.")
    try:
        made.mkdir(mode=0o700, parents=True)
        found = _unpack(file, made, passphrase)
        _halt(made, found)
        made.rename(home)
    except OSError as error:
        raise OurError(f"cannot be restored: {error}.", field=str(home), remedy="See to its directory.") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    _sync(home.parent)
    return found


def is_encrypted(file: Path) -> bool:
    """Whether a backup needs a passphrase.

    Raises:
        OurError: it cannot be read. MalformedError: it is no backup.
    """
    try:
        with file.open("rb") as stream:
            return _header(stream).lock is not None
    except OSError as error:
        raise OurError(f"cannot be read: {error.strerror}.", field=str(file), remedy="Check the path.") from None


def _header(stream: BinaryIO) -> _Header:
    if stream.read(len(MAGIC)) != MAGIC:
        raise _damaged("it does not begin like one")
    return parse_canonical(_sized(stream, BOUNDS.statement_bytes), _Header)


def _halt(made: Path, found: Backup) -> None:
    settings: Settings = read_settings(made)
    if settings.party != found.party:
        raise _damaged("header and settings speak of different parties")
    if settings.database:
        set_database(made, "")
    database = Database(made / DATABASE)
    try:
        database.write(lambda connection: begin_restored(SqlBooks(connection)))
    finally:
        database.close()


def _unpack(file: Path, made: Path, passphrase: bytes | None) -> Backup:
    with file.open("rb") as stream:
        header = _header(stream)
        if header.lock is not None and passphrase is None:
            raise OurError("is encrypted.", field=str(file), remedy="Give its passphrase: --passphrase-file.")
        body = _Body(stream, _Cipher(header, passphrase))
        manifest = parse_canonical(body.take(int.from_bytes(body.take(4), "big")), _Manifest)
        names = [part.name for part in manifest.parts]
        if set(names) - NAMES or len(set(names)) != len(names) or not {SETTINGS, DATABASE} <= set(names):
            raise _damaged("it holds other files than a node has")
        (made / KEYS).mkdir(mode=0o700)
        for part in manifest.parts:
            _unpack_part(body, part, made / part.name)
        body.finish()
        if not any((made / KEYS).iterdir()):
            (made / KEYS).rmdir()
    return Backup(header.party, header.created_ms, header.lock is not None, manifest.parts)


def _unpack_part(body: _Body, part: Part, path: Path) -> None:
    digest, left = hashlib.sha256(), part.size
    with _created(path) as target:
        while left > 0:
            piece = body.take(min(left, _CHUNK_BYTES))
            digest.update(piece)
            target.write(piece)
            left -= len(piece)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != part.sha256:
        raise _damaged(f"{part.name} is not what was backed up")


class _Body:
    """The body of a backup, read chunk by chunk; at most one chunk more than is asked for is in memory."""

    def __init__(self, stream: BinaryIO, cipher: _Cipher) -> None:
        self._stream = stream
        self._cipher = cipher
        self._held = b""
        self._ended = False

    def take(self, size: int) -> bytes:
        """The next bytes, no fewer."""
        if not 0 <= size <= _CHUNK_BYTES:
            raise _damaged("a length in it is out of range")
        while len(self._held) < size:
            if self._ended:
                raise _damaged("it ends too early")
            content, self._ended = self._cipher.open(_sized(self._stream, _CHUNK_BYTES + _TAG_BYTES + len(_LAST)))
            self._held += content
        found, self._held = self._held[:size], self._held[size:]
        return found

    def finish(self) -> None:
        """Refuse anything that follows."""
        if self._held or not self._ended or self._stream.read(1):
            raise _damaged("something follows its end, or the end is missing")


def _sized(stream: BinaryIO, limit_bytes: int) -> bytes:
    size = int.from_bytes(stream.read(4), "big")
    content = stream.read(size) if size <= limit_bytes else b""
    if not size or len(content) != size:
        raise _damaged("it was cut, or a length in it is out of range")
    return content


def _damaged(reason: str) -> MalformedError:
    return MalformedError(f"is no whole backup: {reason}.", field="backup", remedy="Take another copy of it.")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
