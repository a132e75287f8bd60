"""A TCP proxy that fails as told: it stands where a partner's node is expected, and passes bytes on or does not.

It knows nothing of TLS or of what the nodes say. Each direction has its own ``Faults``, a frozen value that is put in
force for all connections at once, those that are open and those to come; faults compose. Everything that it draws
comes from one seed. It runs in a thread and an event loop of its own; what is set takes hold with the next bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Literal, TypeVar

from relto.exercise.network import free_ports

HOST = "127.0.0.1"
BYTES_S_9600 = 1200  # a link of 9.6 kbit/s

_STEPS_S = 20  # a throttled or stalled direction is looked at so often in a second
_HOLD_S = 0.05  # how long a chunk that is to change places waits for the next
_READ_BYTES = 16_384
_QUEUED = 16  # chunks on their way in one direction of one connection
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: a close sends RST
_PATIENCE_S = 10

Refusal = Literal["", "closed", "reset", "silent"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to the bytes of one direction. The default passes them on as they come.

    Args:
        delay_s: every chunk is this late; the rate is not touched, and the order is kept.
        jitter_s: it is later still by up to this much, drawn for each chunk.
        bytes_s: no more bytes than this in a second; 0 is no limit.
        stalled: nothing goes on until this is lifted, and then all of it.
        dropped: bytes are swallowed, and the connection stays.
        cut_after: both ends are closed when a connection has passed so many bytes this way; None is never.
        cut_chance: both ends are closed at a chunk with this probability.
        corrupt_every: one bit, drawn, is flipped in every n-th chunk of a connection; 0 is never.
        reordered: each two chunks that come in a row change places.
        ended: the receiver sees the end of the stream and the sender nothing: half of the connection stays open.
        chunk_bytes: no chunk is longer.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_s: int = 0
    stalled: bool = False
    dropped: bool = False
    cut_after: int | None = None
    cut_chance: float = 0.0
    corrupt_every: int = 0
    reordered: bool = False
    ended: bool = False
    chunk_bytes: int = _READ_BYTES


NONE = Faults()


class Way:
    """One direction of the proxy: its faults, and what became of the bytes of all connections so far."""

    def __init__(self) -> None:
        self.faults = NONE
        self.taken_bytes = self.passed_bytes = self.dropped_bytes = 0
        self.chunks = self.corrupted = self.swapped = self.ended = 0


class FaultProxy:
    """Listens on loopback and connects each client to the target's port. ``up`` is what clients send.

    ``connections``, ``refused`` and ``cuts`` count; ``up`` and ``down`` count bytes. They may be read from any thread.
    """

    def __init__(self, target_port: int, seed: int = 0) -> None:
        self.target_port = target_port
        self.up, self.down = Way(), Way()
        self.connections = self.refused = self.cuts = 0
        self.draw = Random(seed)
        self._refusal: Refusal = ""
        self._listening = False
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # by its number: a port that the system chose is given back when the socket no longer listens
        self.port = free_ports(1)[0]
        self._listener.bind((HOST, self.port))
        self._listener.setblocking(False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault-proxy-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        """What a client takes for the node's address."""
        return f"https://{HOST}:{self.port}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self.heal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._listener.close()
        self._loop.close()

    def set(self, *, up: Faults = NONE, down: Faults = NONE, refusal: Refusal = "") -> None:
        """Put these faults in force in place of all others; when it returns, they are.

        ``refusal`` is what new connections meet: ``closed`` (nobody listens), ``reset`` (taken, and reset at once) or
        ``silent`` (the system takes them, and nobody answers).
        """

        def change() -> None:
            self.up.faults, self.down.faults = up, down
            for connection in self._open:
                connection.begin_faults()
            self._refuse(refusal)

        self._call(change)

    def heal(self) -> None:
        """No faults from here on. A connection that has lost bytes stays spoilt: to notice is the nodes' task."""
        self.set()

    def cut(self) -> int:
        """Close both ends of every open connection; returns how many there were."""

        def cut_all() -> int:
            found = list(self._open)
            for connection in found:
                connection.cut()
            return len(found)

        return self._call(cut_all)

    def open_connections(self) -> int:
        """How many connections there are now."""
        return self._call(lambda: len(self._open))

    def _call(self, work: Callable[[], T]) -> T:
        """Do something in the loop's thread, and wait for it."""

        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_PATIENCE_S)

    async def _end(self) -> None:
        self._loop.remove_reader(self._listener)
        for connection in list(self._open):
            connection.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._loop.remove_reader(self._listener)
        if refusal == "closed":
            # No longer listening but still bound: no other program can get the port meanwhile. Once only: what is shut
            # down while it does not listen stays so, and hands that on to every connection that it takes later.
            if self._listening:
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listening = False
            return
        self._listener.listen(64)
        self._listening = True
        if refusal != "silent":
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has hung up again
            return
        if self._refusal == "reset":
            self.refused += 1
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        self.connections += 1
        client.setblocking(False)
        task = self._loop.create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: socket.socket) -> None:
        near_reader, near = await asyncio.open_connection(sock=client)
        try:
            far_reader, far = await asyncio.open_connection(HOST, self.target_port)
        except OSError:  # the node is not there: so its client is told the same way
            self.refused += 1
            near.transport.abort()
            return
        connection = _Connection(self, near, far)
        connection.flows = (
            _Flow(connection, self.up, near_reader, far),
            _Flow(connection, self.down, far_reader, near),
        )
        self._open.add(connection)
        try:
            connection.begin_faults()
            async with asyncio.TaskGroup() as group:
                for flow in connection.flows:
                    group.create_task(flow.take())
                    group.create_task(flow.give())
        except* OSError:
            pass  # an end is gone: so is the other
        finally:
            connection.close()
            self._open.discard(connection)


class _Connection:
    """A client's connection and the one to the target that belongs to it."""

    def __init__(self, proxy: FaultProxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.flows: tuple[_Flow, ...] = ()
        self._ends = (near, far)
        self._closed = False

    def begin_faults(self) -> None:
        """What holds without any byte coming."""
        for flow in self.flows:
            flow.end_if_told()

    def cut(self) -> None:
        """Close both ends, without or with the word (RST) that something was wrong."""
        if self._closed:
            return
        self.proxy.cuts += 1
        if self.proxy.draw.random() < 0.5:
            for writer in self._ends:
                with contextlib.suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Let go of both ends, sent or not."""
        self._closed = True
        for writer in self._ends:
            writer.transport.abort()


class _Flow:
    """One direction of one connection: ``take`` reads and decides, ``give`` writes when it is time."""

    def __init__(
        self, connection: _Connection, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connection = connection
        self._way = way
        self._reader = reader
        self._writer = writer
        self._due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED)
        self._latest_s = 0.0
        self._chunks = self._passed_bytes = 0
        self._ended = False

    async def take(self) -> None:
        """Read until the sender ends, and queue what is to go on; an empty chunk is the end."""
        while chunk := await self._read():
            size_bytes = self._way.faults.chunk_bytes
            chunks = [chunk[at : at + size_bytes] for at in range(0, len(chunk), size_bytes)]
            for each in await self._swapped(chunks):
                await self._consider(each)
        while self._way.faults.dropped:  # the end is swallowed too; a system sends it again until it is taken
            await asyncio.sleep(1 / _STEPS_S)
        await self._queue(b"")

    async def give(self) -> None:
        """Write each chunk when it is due, no faster than allowed."""
        loop = asyncio.get_running_loop()
        while True:
            due_s, chunk = await self._due.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not chunk:
                self._end()
                return
            await self._pass_on(chunk)

    def end_if_told(self) -> None:
        """Begin to be half open."""
        if self._way.faults.ended and not self._ended:
            self._way.ended += 1
            self._end()

    def _end(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def _read(self) -> bytes:
        await self._while_stalled()
        chunk = await self._reader.read(_READ_BYTES)
        await self._while_stalled()
        return chunk

    async def _while_stalled(self) -> None:
        while self._way.faults.stalled:
            await asyncio.sleep(1 / _STEPS_S)

    async def _swapped(self, chunks: list[bytes]) -> list[bytes]:
        """The chunks, each two of them in the other order; the last of an odd number waits a moment for one more."""
        if not self._way.faults.reordered:
            return chunks
        if len(chunks) % 2:
            with contextlib.suppress(TimeoutError):
                chunks.append(await asyncio.wait_for(self._reader.read(self._way.faults.chunk_bytes), _HOLD_S))
        for at in range(0, len(chunks) - 1, 2):
            chunks[at], chunks[at + 1] = chunks[at + 1], chunks[at]
            self._way.swapped += 1
        return [each for each in chunks if each]

    async def _consider(self, chunk: bytes) -> None:
        way, faults, draw = self._way, self._way.faults, self._connection.proxy.draw
        way.chunks += 1
        way.taken_bytes += len(chunk)
        self._chunks += 1
        if faults.cut_chance and draw.random() < faults.cut_chance:
            self._connection.cut()
            return
        if faults.dropped or self._ended:
            way.dropped_bytes += len(chunk)
            return
        if faults.corrupt_every and self._chunks % faults.corrupt_every == 0:
            way.corrupted += 1
            spoilt = bytearray(chunk)
            spoilt[draw.randrange(len(chunk))] ^= 1 << draw.randrange(8)
            chunk = bytes(spoilt)
        await self._queue(chunk)

    async def _queue(self, chunk: bytes) -> None:
        faults, draw = self._way.faults, self._connection.proxy.draw
        late_s = faults.delay_s + (draw.uniform(0, faults.jitter_s) if faults.jitter_s else 0)
        self._latest_s = max(self._latest_s, asyncio.get_running_loop().time() + late_s)
        await self._due.put((self._latest_s, chunk))

    async def _pass_on(self, chunk: bytes) -> None:
        while chunk and not self._ended:
            await self._while_stalled()
            faults = self._way.faults
            step_bytes = max(1, faults.bytes_s // _STEPS_S) if faults.bytes_s else len(chunk)
            if faults.cut_after is not None:
                step_bytes = min(step_bytes, max(0, faults.cut_after - self._passed_bytes))
            part, chunk = chunk[:step_bytes], chunk[step_bytes:]
            self._writer.write(part)
            await self._writer.drain()
            self._passed_bytes += len(part)
            self._way.passed_bytes += len(part)
            if faults.cut_after is not None and self._passed_bytes >= faults.cut_after:
                self._connection.cut()
                return
            if faults.bytes_s:
                await asyncio.sleep(len(part) / faults.bytes_s)
