"""How long a withdrawal takes between running nodes: from the command until no reader of a recipient finds the item."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from relto.api.exchange import exchange_app
from relto.errors import InvariantError, OurError
from relto.exercise.network import Network
from relto.node import read, revise
from relto.node.node import Node
from relto.node.run import Runner, share

_LOOK_S = 0.005
_PATIENCE_S = 60.0


@contextmanager
def running(network: Network) -> Iterator[Network]:
    """All nodes of a network as they run in production: servers, workers, TLS, their own poll interval."""
    for node in network.nodes.values():
        share(node)  # opens the streams: they carry what is stored from then on
    runners = [Runner(node, exchange_app) for node in network.nodes.values()]
    for runner in runners:
        runner.start()
    try:
        yield network
    finally:
        for runner in runners:
            runner.stop()


def latencies(giver: Node, takers: Sequence[Node], publish: Callable[[int], str], count: int) -> list[float]:
    """Publish, wait until all takers have it, withdraw, wait until none finds it: the last took so many seconds.

    ``publish(number)`` makes an item of the giver's and returns its id.
    """
    found = []
    for number in range(count):
        item = publish(number)
        _until(lambda: all(finds(node, item) for node in takers))  # noqa: B023
        began_s = time.perf_counter()
        revise.withdraw(giver, item, "Published by mistake.")
        _until(lambda: not any(finds(node, item) for node in takers))  # noqa: B023
        found.append(time.perf_counter() - began_s)
    return found


def finds(node: Node, item: str) -> bool:
    """Whether a reader of this node finds the item."""
    try:
        read.find(node, item)
    except OurError:
        return False
    return True


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of all lies: the next larger one that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def shown(values: Sequence[float]) -> str:
    """The two figures that count: p50 / p99."""
    return f"{quantile(values, 0.5):.2f} s / {quantile(values, 0.99):.2f} s"


def _until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > end_s:
            raise InvariantError("an item or its withdrawal did not arrive")
        time.sleep(_LOOK_S)
