"""The engine: one heap of events, one clock, nodes whose verbs move one effect at a time, and a network that fails.

What runs are the generators of ``relto.exchange``. Between any two effects of any verb other verbs move, clocks jump,
messages arrive and nodes die; a node that dies loses everything but its disk. All chance comes from one
``random.Random``, so a seed gives the same run again, and ``trace`` is its digest.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from relto.errors import InvariantError, OurError, PeerError, ReltoError
from relto.exchange import documents, receive
from relto.exchange.answer import answer
from relto.exchange.core import Core
from relto.exchange.share import share_all
from relto.exchange.steps import Ask, Documents, Effect, Pages, Read, Steps
from relto.exercise.simulator.memory import MemoryStore, State
from relto.exercise.simulator.primitives import START_MS, Identity
from relto.kinds.spec import shipped_kinds

RETRY_MS = 4000
POLL_MS = 4000
_TIMEOUT_MS = 3000
_KINDS = shipped_kinds()

Done = Callable[[Any, ReltoError | None], None]


class Violation(NamedTuple):
    """A broken promise: in which step of the run, which one, and what was seen."""

    step: int
    invariant: str
    what: str


@dataclass(slots=True)
class Weather:
    """How badly things go. Chances are per effect or message; all of it ends when the world heals."""

    loss: float = 0.0
    duplicates: float = 0.0
    replays: float = 0.0
    crashes: float = 0.0
    latency_ms: int = 40
    gaps: float = 0.4
    gap_ms: int = 25
    ticks: float = 0.0
    workers: int = 1


class Clock:
    """A node's own clock: the world's time, what it is wrong by, and now and then a tick while somebody looks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.skew_ms = 0
        self.jumped_ms = -1  # in the world's time, when it was set last

    def now_ms(self) -> int:
        """The instant as this node believes it."""
        ticks = self._world.weather.ticks
        if ticks and self._world.rng.random() < ticks:
            self.skew_ms += 1
        return START_MS + self._world.now_ms + self.skew_ms

    def set(self, skew_ms: int) -> None:
        """Jump."""
        self.skew_ms = skew_ms
        self.jumped_ms = self._world.now_ms


@dataclass(slots=True, eq=False)
class Verb:
    """A verb under way: its generator, and whom to tell at its end."""

    node: Node
    name: str
    steps: Steps[Any]
    done: Done
    lost: Callable[[], None] | None = None
    over: bool = False


@dataclass(slots=True, eq=False)
class Loop:
    """Something that a node does again and again, like a thread of the real one."""

    token: int = 0
    busy: bool = False
    again: bool = False
    quiet: int = 0
    fresh: bool = False
    known: int = 0  # the mark of the documents that were taken last


@dataclass(slots=True, eq=False)
class Node:
    """A party's node: its disk, which survives, and its core and verbs, which do not."""

    world: World
    identity: Identity
    store: MemoryStore
    clock: Clock
    honest: bool = True
    alive: bool = False
    restarts: int = 0
    core: Core = field(init=False)
    verbs: dict[Verb, None] = field(default_factory=dict)
    loops: dict[str, Loop] = field(default_factory=dict)
    serve: Callable[[str, Any, bytes], bytes] | None = None
    opened: dict[str, int] = field(default_factory=dict)  # recipient -> newest item when its stream began
    stored_ms: dict[int, int] = field(default_factory=dict)  # item -> the world's time when it was stored
    rules_ms: int = 0  # the world's time of the last change of its rules

    @property
    def party(self) -> str:
        """Whose node it is."""
        return self.identity.party

    def start(self) -> None:
        """Come up with nothing but what is on the disk."""
        self.core = Core(
            party=self.party,
            authority=self.identity.authority.public,
            signer=self.identity.node,
            sealing=self.identity.sealing,
            kinds=_KINDS,
            clock=self.clock,
            entropy=self.world.rng.randbytes,
        )
        self.alive = True
        peers = [each.party for each in self.store.books().partners()]
        shares = [f"share {number}" for number in range(self.world.weather.workers)]
        self.loops = {name: Loop() for name in (*shares, *peers)}
        for name in self.loops:
            self.world.again(self, name, self.world.rng.randint(1, 400))


class World:
    """Nodes, the network between them, and time."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now_ms = 0
        self.step = 0
        self.weather = Weather()
        self.healed = False
        self.nodes: dict[str, Node] = {}
        self.cut: set[tuple[str, str]] = set()
        self.asked: dict[tuple[str, str], int] = {}
        self.copies: dict[str, State] = {}  # older books that a cheat kept
        self.told: dict[tuple[str, str], list[bytes]] = {}  # what a cheat has answered
        self.on_refresh: Callable[[Node, str], Callable[[], None]] = lambda *_: lambda: None
        self.violation: Violation | None = None
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._trace = hashlib.blake2b(digest_size=8)
        self._answers: dict[tuple[str, str, type], deque[bytes]] = {}

    # --- time ---

    def after(self, delay_ms: int, act: Callable[..., None], *told: Any) -> None:
        """Let something happen later."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._order, act, told))

    def run(self, until_ms: int) -> None:
        """Let everything happen until then, or until a promise is broken."""
        while self._heap and self.violation is None and self._heap[0][0] <= until_ms:
            self.now_ms, _, act, told = heapq.heappop(self._heap)
            act(*told)
        self.now_ms = max(self.now_ms, until_ms) if self.violation is None else self.now_ms

    def note(self, *told: object) -> None:
        """Put a step into the trace."""
        self.step += 1
        self._trace.update(f"{self.now_ms}{told}".encode())

    @property
    def digest(self) -> str:
        """The digest of everything that happened."""
        return self._trace.hexdigest()

    def violated(self, invariant: str, what: str) -> None:
        """A promise is broken; the first one ends the run."""
        if self.violation is None:
            self.note("violated", invariant)
            self.violation = Violation(self.step, invariant, what)

    # --- verbs ---

    def begin(
        self, node: Node, name: str, steps: Steps[Any], done: Done, lost: Callable[[], None] | None = None
    ) -> None:
        """Start a verb at a node. ``lost`` is called if the node dies before its end."""
        verb = Verb(node, name, steps, done, lost)
        node.verbs[verb] = None
        self._go(verb, None, None)

    def _go(self, verb: Verb, value: Any, error: ReltoError | None) -> None:
        """Move a verb on with what came of its last effect, until it must wait."""
        while not verb.over:
            try:
                effect: Effect = verb.steps.send(value) if error is None else verb.steps.throw(error)
            except StopIteration as stop:
                self._end(verb, stop.value, None)
                return
            except Exception as failure:
                self._failed(verb, failure)
                return
            if isinstance(effect, Ask):
                self._ask(verb, effect)
                return
            if self.rng.random() < self.weather.gaps:
                self.after(self.rng.randint(1, self.weather.gap_ms), self._later, verb, effect)
                return
            value, error = self._carry_out(verb, effect)

    def _later(self, verb: Verb, effect: Read) -> None:
        if not verb.over:
            self._go(verb, *self._carry_out(verb, effect))

    def _carry_out(self, verb: Verb, effect: Any) -> tuple[Any, ReltoError | None]:
        """Do one effect on the disk; the node may die just before it, while it is lost, or just after it."""
        node, reading = verb.node, isinstance(effect, Read)
        dies = ""
        if self.weather.crashes and self.rng.random() < self.weather.crashes:
            dies = "before" if reading else self.rng.choice(("before", "lost", "after"))
        value, failure = None, None
        try:
            if reading:
                value = effect.job(node.store.books())
            elif dies == "lost":
                node.store.lose(effect.job)
            elif dies != "before":
                value = node.store.write(effect.job)
        except ReltoError as error:
            failure = error
            self._check_ours(verb, error)
        except Exception as error:
            self._failed(verb, error)
        self.note(node.party, verb.name, reading, dies, type(failure).__name__)
        if dies:
            self.crash(node)
        return value, failure

    def _check_ours(self, verb: Verb, error: Exception) -> None:
        if isinstance(error, InvariantError) or not isinstance(error, ReltoError):
            self.violated("S0", f"{verb.node.party} {verb.name}: {type(error).__name__}: {error}")

    def _failed(self, verb: Verb, error: Exception) -> None:
        self._check_ours(verb, error)
        self._end(verb, None, error if isinstance(error, ReltoError) else OurError("failed."))

    def _end(self, verb: Verb, value: Any, error: ReltoError | None) -> None:
        if verb.over:
            return
        verb.over = True
        verb.node.verbs.pop(verb, None)
        self.note(verb.node.party, verb.name, "ends", type(error).__name__)
        verb.done(value, error)

    def crash(self, node: Node) -> None:
        """A node dies with all its verbs, and comes up again some time later."""
        if not node.alive:
            return
        self.note(node.party, "crash")
        node.alive = False
        verbs, node.verbs = list(node.verbs), {}
        for verb in verbs:
            verb.over = True
            verb.steps.close()
            if verb.lost is not None:
                verb.lost()
        self.after(self.rng.randint(200, 5000), self.restart, node)

    def restart(self, node: Node) -> None:
        """A dead node comes up."""
        if not node.alive:
            self.note(node.party, "restart")
            node.restarts += 1
            node.start()

    # --- what a node does again and again ---

    def again(self, node: Node, name: str, delay_ms: int) -> None:
        """Let a loop of a node turn once more, at this time and no other."""
        loop = node.loops.get(name)
        if loop is None or not node.alive:
            return
        if loop.busy:
            loop.again = True
            return
        loop.token += 1
        self.after(delay_ms, self._turn, node, name, loop, loop.token)

    def _turn(self, node: Node, name: str, loop: Loop, token: int) -> None:
        if not node.alive or node.loops.get(name) is not loop or loop.busy or loop.token != token:
            return
        loop.busy, loop.again = True, False
        if name.startswith("share"):
            self.begin(node, "share", share_all(node.core), lambda value, _: self._shared(node, name, value))
        elif not loop.fresh:
            then = self.on_refresh(node, name)
            refresh = documents.refresh(node.core, name, known=loop.known)
            self.begin(node, "refresh", refresh, lambda value, error: self._refreshed(node, name, value, error, then))
        else:
            pull = receive.pull(node.core, name)
            self.begin(node, "pull", pull, lambda value, error: self._pulled(node, name, value, error))

    def _shared(self, node: Node, name: str, moved: int | None) -> None:
        loop = node.loops[name]
        loop.busy = False
        soon = bool(moved) or loop.again
        self.again(node, name, self.rng.randint(5, 60) if soon else self._poll_ms())

    def _refreshed(
        self,
        node: Node,
        name: str,
        taken: documents.Taken | None,
        error: ReltoError | None,
        then: Callable[[], None],
    ) -> None:
        if taken is not None:
            then()
            node.loops[name].known = taken.known
        self._pulled(node, name, 1, error)

    def _pulled(self, node: Node, name: str, moved: int | None, error: ReltoError | None) -> None:
        """As the real node does: documents first on each connection and after each failure, and now and then."""
        loop = node.loops[name]
        loop.busy = False
        if error is not None:
            loop.fresh, loop.quiet = False, 0
            return self.again(node, name, self.rng.randint(RETRY_MS // 2, RETRY_MS))
        loop.quiet = 0 if moved else loop.quiet + 1
        loop.fresh = not loop.fresh or loop.quiet % 5 != 4
        soon = bool(moved) or loop.again
        if moved:
            self.woken(node)
        return self.again(node, name, self.rng.randint(5, 60) if soon else self._poll_ms())

    def _poll_ms(self) -> int:
        """With many peers each is asked less often, so that large worlds do not cost what they should not."""
        return self.rng.randint(POLL_MS, 2 * POLL_MS) * max(3, len(self.nodes)) // 3

    def woken(self, node: Node) -> None:
        """Something new is in the queue; mostly the node looks at once."""
        if self.healed or self.rng.random() < 0.5:
            self.again(node, "share 0", self.rng.randint(1, 50))

    def shared_with(self, node: Node, recipient: str) -> None:
        """A page was made: who waits for it may hear of it at once."""
        other = self.nodes.get(recipient)
        if other is not None and other.alive and (self.healed or self.rng.random() < 0.7):
            self.again(other, node.party, self.rng.randint(5, 100))

    # --- the network ---

    def blocked(self, source: str, target: str) -> bool:
        """Whether a message is lost on this way now."""
        return (source, target) in self.cut or (self.weather.loss > 0 and self.rng.random() < self.weather.loss)

    def _travel_ms(self) -> int:
        return self.rng.randint(1, self.weather.latency_ms)

    def _ask(self, verb: Verb, ask: Ask) -> None:
        asker = verb.node.party
        self.asked[asker, ask.peer] = self.asked.get((asker, ask.peer), 0) + 1
        if self.blocked(asker, ask.peer):
            return self._unreachable(verb)
        if self.weather.duplicates and self.rng.random() < self.weather.duplicates:
            self.after(self._travel_ms() * 20, self._arrive, None, asker, ask)
        return self.after(self._travel_ms(), self._arrive, verb, asker, ask)

    def _unreachable(self, verb: Verb | None) -> None:
        if verb is not None:
            error = OurError("cannot be reached.", field="peer", remedy="Look at the link.")
            self.after(_TIMEOUT_MS, self._go, verb, None, error)

    def _arrive(self, verb: Verb | None, asker: str, ask: Ask) -> None:
        """A request arrives; nobody waits any more for the answer to one that was doubled."""
        node = self.nodes[ask.peer]
        if not node.alive:
            return self._unreachable(verb)

        def done(value: Any, error: ReltoError | None) -> None:
            self._reply(verb, node, asker, ask, value, error)

        steps = answer(node.core, asker, ask.request)
        return self.begin(node, "answer", steps, done, lambda: self._unreachable(verb))

    def _reply(self, verb: Verb | None, node: Node, asker: str, ask: Ask, value: Any, error: ReltoError | None) -> None:
        if verb is None or self.blocked(node.party, asker):
            return self._unreachable(verb)
        if error is not None:
            return self.after(self._travel_ms(), self._go, verb, None, PeerError("refused.", field=node.party))
        content: bytes = value
        if node.serve is not None:
            content = node.serve(asker, ask.request, content)
        if isinstance(ask.request, Pages | Documents):
            content = self._perhaps_old((asker, node.party, type(ask.request)), content)
        return self.after(self._travel_ms(), self._go, verb, content, None)

    def _perhaps_old(self, key: tuple[str, str, type], content: bytes) -> bytes:
        """An answer to an earlier request comes once more in place of this one."""
        if not self.weather.replays:
            return content
        earlier = self._answers.setdefault(key, deque(maxlen=6))
        earlier.append(content)
        return self.rng.choice(earlier) if self.rng.random() < self.weather.replays else content

    def request(self, node: Node, peer: str, request: Any) -> None:
        """A single request outside of every loop, whatever comes of it."""

        def once() -> Steps[None]:
            yield Ask(peer, request)

        self.begin(node, "request", once(), lambda *_: None)
