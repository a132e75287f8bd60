"""A node's directory: settings, keys, database and published log."""

from __future__ import annotations

import os
import re
import time
import tomllib
from pathlib import Path

import msgspec

from relto.errors import MalformedError, OurError, invariant
from relto.item import PARTY
from relto.labels import Tlp

SETTINGS = "relto.toml"
KEYS = "keys"
DATABASE = "relto.db"
LOG = "log"

_DATABASE = re.compile(r"\s*database\s*=")


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """The present instant."""
        return time.time_ns() // 1_000_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator decides. No setting turns a signature, a label or a release check off."""

    party: str
    name: str
    host: str = "127.0.0.1"
    port: int = 7443
    web_port: int = 7080
    strip: str = "UNCLASSIFIED INFORMATION ONLY"
    level: str = "UNCLASSIFIED"
    tlp: Tlp = ""
    poll_ms: int = 500
    database: str = ""

    def __post_init__(self) -> None:
        if PARTY.fullmatch(self.party) is None:
            raise MalformedError(
                f"{self.party!r} is no party's id.", field="party", remedy="Write it as JPN or IFC-SGP."
            )
        if not 0 <= self.port <= 65535 or not 0 <= self.web_port <= 65535 or not 50 <= self.poll_ms <= 60_000:
            raise MalformedError("port or poll_ms out of range.", field=SETTINGS, remedy="Correct it.")


def write_settings(home: Path, settings: Settings) -> None:
    """Write the settings file of a new node.

    Raises:
        OurError: there is one already.
    """
    path = home / SETTINGS
    if path.exists():
        raise OurError("is there already.", field=str(path), remedy="Choose another directory.")
    lines = ["# Relto node settings. Times in ms. See docs/settings.md.\n"]
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        shown = msgspec.json.encode(value).decode() if isinstance(value, str) else value
        lines.append(f"{name} = {shown}\n")
    path.write_text("".join(lines), encoding="utf-8")


def read_settings(home: Path) -> Settings:
    """Read a node's settings.

    Raises:
        OurError: missing, unreadable, or a field is wrong.
    """
    path = home / SETTINGS
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Settings)
    except FileNotFoundError:
        raise OurError("there is no node here.", field=str(home), remedy="Make one with: relto init.") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError, MalformedError) as error:
        raise OurError(str(error), field=str(path), remedy="Correct the file.") from None


def store_place(home: Path, database: str) -> Path | str:
    """Where the store is by this setting: a URL, or a file, by default in the node's directory."""
    return database if "://" in database else home / (database or DATABASE)


def set_database(home: Path, database: str) -> None:
    """Write another ``database`` into the settings file; every other line stays as it is.

    Raises:
        OurError: the file cannot be read or written.
    """
    path = home / SETTINGS
    wanted = msgspec.structs.replace(read_settings(home), database=database)
    try:
        lines = [each for each in path.read_text("utf-8").splitlines() if not _DATABASE.match(each)]
        written = path.with_suffix(".new")
        written.touch(mode=0o600)
        text = "\n".join([*lines, f"database = {msgspec.json.encode(database).decode()}", ""])
        written.write_text(text, encoding="utf-8")
        invariant(msgspec.convert(tomllib.loads(text), Settings) == wanted, "no other setting changes")
        written.replace(path)
    except OSError as error:
        raise OurError(
            f"{error.strerror}.", field=str(path), remedy="Set `database` in it to the place of the move."
        ) from None


def make_home(home: Path) -> None:
    """Make the directory, readable by its owner only.

    Raises:
        OurError: it cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as error:
        raise OurError(str(error), field=str(home), remedy="Choose a directory that you may write.") from None


def entropy(size: int) -> bytes:
    """Random bytes of the operating system."""
    return os.urandom(size)
