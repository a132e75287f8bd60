"""What several tests need: real nodes on loopback under an injected clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relto.clock import FixedClock, parse_utc
from relto.exercise.network import Network

TEXTS = Path(__file__).parent / "agreements" / "texts"
MakeNetwork = Callable[..., Network]


@pytest.fixture
def make_network(tmp_path: Path) -> Iterator[MakeNetwork]:
    """Make networks of real nodes: ``make_network(parties, agreements, at)``; closed after the test."""
    made: list[Network] = []

    def make(parties: tuple[str, ...], agreements: tuple[str, ...], at: str) -> Network:
        network = Network(tmp_path / f"network-{len(made)}", parties, FixedClock(parse_utc(at)))
        made.append(network)
        network.conclude((name, (TEXTS / name).read_bytes()) for name in agreements)
        network.serve()
        network.settle()
        return network

    yield make
    for network in made:
        network.close()
