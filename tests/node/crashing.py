"""A fork server: processes of real nodes that begin within milliseconds, to be killed by the thousand.

The server has imported everything, has opened nothing and has no threads; it forks a process for each order. Such a
process opens a node's home and serves it, or publishes into it, as the command line does. It is killed by SIGKILL at a
drawn moment: when it begins a certain statement for the n-th time, or some milliseconds later. ``FAULTS`` break a
promise of the program on purpose: the proof that the kills can find what they look for.

This module is both ends: ``ForkServer`` starts the server, ``main`` is it.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from relto.api.exchange import exchange_app
from relto.errors import OurError
from relto.exchange import filing, receive
from relto.exchange.books import Books, Filed
from relto.exchange.steps import Ask, Pages, Read, Steps, Write
from relto.feeds import files
from relto.item import Header, new_item
from relto.node import ingest, revise
from relto.node.node import Node
from relto.node.run import Runner
from relto.store import database, dialect
from relto.store.migrate import check_unchanged
from tests.node.conftest import detection

MESSAGE_BYTES = 1 << 17
# what is first needed when a store or a port is opened
ENGINES = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite")
LATE = (*ENGINES, "uvicorn.lifespan.off", "uvicorn.loops.auto")
LEVEL = "OFFICIAL"
TELLING = "TELLING"  # no statement, but the moment between what is done and the word of it


class Doom(msgspec.Struct, frozen=True):
    """When a process kills itself, and others first: ``delay_s`` after the ``count``-th statement that begins so.

    ``held``: the statement is held up meanwhile, and does not begin any more; everything else goes on.
    """

    at: str
    count: int = 1
    delay_s: float = 0.0
    held: bool = False
    others: tuple[int, ...] = ()


class Deed(msgspec.Struct, frozen=True):
    """What one command would do: publish records, correct one for the ``turn``-th time, or withdraw one."""

    verb: Literal["ingest", "correct", "withdraw"]
    numbers: tuple[int, ...]
    turn: int = 0


class Order(msgspec.Struct, frozen=True):
    """What a process does. It serves if it has no deeds; else it does them and writes each into ``told`` when done."""

    home: str
    log: str
    deeds: tuple[Deed, ...] = ()
    told: str = ""
    pause_s: float = 0.0
    doom: Doom | None = None
    fault: str = ""


class Told(msgspec.Struct, frozen=True):
    """One line of a process: the deed at this place was done, or refused for a reason."""

    at: int
    refused: str = ""


class Asked(msgspec.Struct, frozen=True):
    """One message to the fork server: begin a process, arm one, or look after one and kill it first if asked to."""

    order: Order | None = None
    pid: int = 0
    doom: Doom | None = None
    kill: bool = False


class ForkServer:
    """The fork server as its owner has it. Nothing of it is left when it is closed."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # a library's threads would not live on in the processes, and their locks would stay closed
        bare = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.node.crashing", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                env=os.environ | bare,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        assert self._answer() == {"threads": 1}, "a fork of a process with threads is no sound process"

    def begin(self, order: Order) -> int:
        """Begin a process; returns its number."""
        return int(self._ask(Asked(order=order)))

    def arm(self, pid: int, doom: Doom) -> None:
        """Tell a process when it is to die."""
        self._ask(Asked(pid=pid, doom=doom))

    def ended(self, pid: int) -> int | None:
        """How a process ended: its exit code, or a signal below zero; None if it runs. Tells it once."""
        return self._ask(Asked(pid=pid))  # type: ignore[no-any-return]

    def kill(self, pid: int) -> int:
        """Kill a process by SIGKILL; how it ended, since it may have been faster."""
        return int(self._ask(Asked(pid=pid, kill=True)))

    def close(self) -> None:
        """End the server, and with it every process that it began."""
        self._channel.close()
        self._process.wait(timeout=60)

    def _ask(self, asked: Asked) -> Any:
        self._channel.send(msgspec.json.encode(asked))
        return self._answer()

    def _answer(self) -> Any:
        content = self._channel.recv(MESSAGE_BYTES)
        assert content, "the fork server is gone"
        return json.loads(content)


class Fate:
    """What a process knows of its end."""

    def __init__(self) -> None:
        self._doom: Doom | None = None
        self._seen = 0
        self._lock = threading.Lock()

    def meet(self, doom: Doom) -> None:
        """From now on, count what the doom counts."""
        with self._lock:
            self._doom, self._seen = doom, 0

    def passing(self, statement: str) -> None:
        """A statement is about to begin."""
        with self._lock:
            doom = self._doom
            if doom is None or not statement.startswith(doom.at):
                return
            self._seen += 1
            if self._seen != doom.count:
                return
        if doom.delay_s and not doom.held:
            threading.Timer(doom.delay_s, _die, (doom.others,)).start()
            return
        time.sleep(doom.delay_s)
        _die(doom.others)


def _die(others: tuple[int, ...]) -> None:
    for pid in (*others, os.getpid()):
        os.kill(pid, signal.SIGKILL)


def features(numbers: tuple[int, ...], turn: int = 0) -> bytes:
    """A file of records; corrected ones say so."""
    made = [json.loads(detection(number)) for number in numbers]
    for each in made:
        each["properties"]["remarks"] += f", corrected {turn}" if turn else ""
    return json.dumps({"type": "FeatureCollection", "features": made}).encode()


def ids_of(node: Node, numbers: tuple[int, ...]) -> list[str]:
    """The ids that the records of these numbers get at a node."""
    key, read = ingest.item_key(node), files.read(features(numbers), "some.geojson", received_ms=node.now_ms())
    return [ingest.item_id(key, draft.kind, draft.content) for draft in read.drafts]


def do(node: Node, deed: Deed) -> None:
    """What one command does; when it returns, it has been acknowledged."""
    content = features(deed.numbers, deed.turn)
    if deed.verb == "ingest":
        assert ingest.ingest(node, content, "some.geojson", ingest.Defaults(LEVEL)).items == len(deed.numbers)
    elif deed.verb == "correct":
        revise.correct(node, ids_of(node, deed.numbers)[0], content, "one.geojson", ingest.Defaults(LEVEL))
    else:
        revise.withdraw(node, ids_of(node, deed.numbers)[0], "killed in a test")


def _publish(order: Order, fate: Fate) -> None:
    """Do the deeds one after the other, and write down each that is done before the next begins."""
    node = Node.open(Path(order.home))
    told = os.open(order.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for at, deed in enumerate(order.deeds):
        refused = ""
        try:
            do(node, deed)
        except OurError as error:
            refused = str(error)
        fate.passing(TELLING)
        os.write(told, msgspec.json.encode(Told(at, refused)) + b"\n")
        time.sleep(order.pause_s)
    node.close()


def _serve(order: Order) -> None:
    """What ``relto serve`` does, without pages."""
    node = Node.open(Path(order.home))
    Runner(node, exchange_app).start()
    signal.pause()


def _listen(control: int, fate: Fate) -> None:
    """Hear how it ends: by a doom, or with the fork server."""
    with os.fdopen(control, "rb") as lines:
        for line in lines:
            fate.meet(msgspec.json.decode(line, type=Doom))
    os._exit(0)


def _live(order: Order, control: int) -> None:
    """The life of one process."""
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.register(signal.SIGUSR1)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    fate = Fate()
    if order.doom is not None:
        fate.meet(order.doom)
    if order.fault:
        FAULTS[order.fault]()

    @event.listens_for(Engine, "before_cursor_execute")
    def execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        fate.passing(statement)

    @event.listens_for(Engine, "commit")
    def commit(connection: Connection) -> None:
        if connection.get_execution_options().get("relto_writes"):
            fate.passing("COMMIT")

    threading.Thread(target=_listen, args=(control, fate), daemon=True).start()
    if order.deeds:
        _publish(order, fate)
    else:
        _serve(order)


def _told_early() -> None:
    """The store tells that a job is durable before it is."""

    def commit(self: database.Database, group: list[Any]) -> None:
        with self._told(), self._connect() as connection, connection.begin():
            self._gone = check_unchanged(connection, self.dialect.place)
            for job, done in group:
                _, result, failure = database._attempt(connection, job, done, self._gone)
                done.set_result(result) if failure is None else done.set_exception(failure)

    database.Database._commit = commit  # type: ignore[method-assign]


def _receipt_first() -> None:
    """A page is receipted when it is verified, and then stored."""

    def pull(core: Any, peer: str, *, wait_ms: int = 0) -> Steps[int]:
        inbound = yield Read(lambda books: books.inbound(peer))
        page = yield Ask(peer, Pages(inbound.next_n - 1, wait_ms))
        if not page:
            yield Write(lambda books: receive._synced(core, books, peer))
            return 0
        position = (yield Read(lambda books: receive._verified(core, books, peer, page))).position
        size, root = position.checkpoint.size, position.checkpoint.root
        moved = {"next_n": position.next_n, "chain": position.chain, "log_size": size, "log_root": root}
        yield from receive.acknowledge(core, msgspec.structs.replace(inbound, **moved))
        arrived, _ = yield from receive.accept(core, peer, page)
        return arrived

    receive.pull = pull


def _stored_anew() -> None:
    """A record that comes again is stored again, as another item."""

    def anew(filed: Filed) -> Filed:
        header = filed.item.header
        kept = {name: getattr(header, name) for name in Header.__struct_fields__ if name not in ("v", "size", "sha256")}
        item = new_item(content=filed.item.content, **kept | {"id": os.urandom(16).hex()})
        return msgspec.structs.replace(filed, item=item)

    def file(books: Books, filed: Sequence[Filed]) -> int:
        known = {id for _, id in books.floors({each.item.header.id for each in filed})}
        return filing.file(books, [anew(each) if each.item.header.id in known else each for each in filed]).new

    ingest._file = file


def _unsynced() -> None:
    """PostgreSQL says that a commit is durable while it still is in its memory."""
    dialect._SESSION = "SET synchronous_commit = off"


FAULTS: dict[str, Callable[[], None]] = {
    "told early": _told_early,
    "receipt first": _receipt_first,
    "stored anew": _stored_anew,
    "unsynced": _unsynced,
}


def _fork(order: Order, channel: socket.socket, controls: dict[int, int]) -> int:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        controls[pid] = writing
        return pid
    code = 1
    try:
        channel.close()
        for each in (*controls.values(), writing):  # it ends when nobody can order it any more
            os.close(each)
        _live(order, reading)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _look_after(pid: int, kill: bool, controls: dict[int, int]) -> int | None:
    """Nobody else waits for these processes, so the number is theirs until here."""
    if kill:
        os.kill(pid, signal.SIGKILL)
    gone, status = os.waitpid(pid, 0 if kill else os.WNOHANG)
    if not gone:
        return None
    os.close(controls.pop(pid))
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """The fork server: one answer to each message, until its owner is gone."""
    for each in LATE:
        importlib.import_module(each)
    channel = socket.socket(fileno=int(sys.argv[1]))
    controls: dict[int, int] = {}
    gc.collect()
    gc.freeze()
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()
    channel.send(msgspec.json.encode({"threads": threads}))
    while content := channel.recv(MESSAGE_BYTES):
        asked = msgspec.json.decode(content, type=Asked)
        answer: int | None = None
        if asked.order is not None:
            answer = _fork(asked.order, channel, controls)
        elif asked.doom is not None:
            with suppress(BrokenPipeError):
                os.write(controls[asked.pid], msgspec.json.encode(asked.doom) + b"\n")
        else:
            answer = _look_after(asked.pid, asked.kill, controls)
        channel.send(msgspec.json.encode(answer))
    for pid in list(controls):
        _look_after(pid, True, controls)


if __name__ == "__main__":
    main()
