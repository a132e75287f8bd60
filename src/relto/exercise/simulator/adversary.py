"""Parties that cheat. They have their own real keys and nobody else's; everything else they may do.

A cheat changes what a node answers (``serve``), or does something at some moment (``act``). What a cheating party holds
and tells is no promise of ours; that no honest party believes it, falls over it or passes it on, is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from relto.envelope.seal import Sealed
from relto.exchange.documents import Papers
from relto.exchange.messages import Receipt, sign_receipt
from relto.exchange.steps import Documents, Growth, Pages, Receipts
from relto.exercise.simulator.engine import Node, World
from relto.exercise.simulator.memory import Row, State
from relto.exercise.simulator.primitives import sealed, unsealed
from relto.item import Header, Onward
from relto.labels import Handling
from relto.strict import canonical

_decoder = msgspec.json.Decoder(Header)

Act = Callable[[World, Node], None]
Serve = Callable[[World, Node, str, Any, bytes], bytes]


# --- what a cheat does of its own accord ---


def roll_back(world: World, node: Node) -> None:
    """Go on from an older copy of the books, as if nothing had been released since, and release something else."""
    older = world.copies.get(node.party)
    if older is not None:
        node.store.state = older
        equivocate(world, node)
        world.crash(node)
        _go_on(world, node, 60)


def _go_on(world: World, node: Node, times: int) -> None:
    """Go on though the node has halted itself."""
    settings = node.store.state["settings"]
    if settings.get("halted"):
        node.store.state = {**node.store.state, "settings": {**settings, "halted": b""}}
    if times and not world.healed:
        world.after(300, _go_on, world, node, times - 1)


def keep_copy(world: World, node: Node) -> None:
    """Copy the books for later."""
    world.copies[node.party] = node.store.state


def equivocate(world: World, node: Node) -> None:
    """Release one more content under an id and version that was released before."""
    rows = [row for row in node.store.state["items"].values() if not row.stored.by and row.stored.view != "nothing"]
    if rows:
        row = world.rng.choice(rows)
        record = json.loads(row.stored.content) | {"equivocal": world.rng.randrange(10**6)}
        content = json.dumps(record, separators=(",", ":")).encode()
        _replace(node, row, _rewritten(row, content), forget=True)


def pass_on(world: World, node: Node) -> None:
    """Pass on what was given on terms that forbid it, under a wider label."""
    rows = [row for row in node.store.state["items"].values() if row.stored.by and row.stored.header]
    if not rows:
        return
    row = world.rng.choice(rows)
    header = _decoder.decode(row.stored.header)
    if header.release is None or header.release.view == "nothing":
        return
    duties = msgspec.structs.replace(header.release.duties, onward=Onward("list", tuple(sorted(world.nodes))))
    open_handling = Handling(markings=header.label.handling.markings)
    label = msgspec.structs.replace(header.label, handling=open_handling, portions=())
    release = msgspec.structs.replace(header.release, duties=duties)
    widened = msgspec.structs.replace(header, label=label, release=release)
    _replace(node, row, (canonical(widened), row.stored.content), forget=False)


def claim(world: World, node: Node) -> None:
    """Release somebody else's item as one's own, under its id."""
    rows = [row for row in node.store.state["items"].values() if row.stored.by and row.stored.content]
    if rows:
        row = world.rng.choice(rows)
        header = _decoder.decode(row.stored.header)
        label = msgspec.structs.replace(header.label, originators=(node.party,))
        own = msgspec.structs.replace(header, origin=node.party, label=label, release=None, sources=())
        kept = msgspec.structs.replace(row.stored, by="", arrival=None, place=None)
        _replace(node, row._replace(origin=node.party, stored=kept), (canonical(own), kept.content), forget=False)


def flood(world: World, node: Node) -> None:
    """Ask everybody for everything, with junk, replayed and made-up receipts among it."""
    for _ in range(world.rng.randint(5, 15)):
        peer = world.rng.choice([name for name in world.nodes if name != node.party])
        world.request(node, peer, _request(world.rng, node, peer))


def _request(rng: Random, node: Node, peer: str) -> Any:
    number = rng.randint(-3, 40)
    chain = rng.randbytes(32).hex()
    lie = Receipt(
        v=1, by=node.party, to=peer, up_to_n=number, chain=chain, log=1, log_size=number, log_root=chain, time_ms=0
    )
    true = node.store.books().inbound(peer)
    over = msgspec.structs.replace(lie, up_to_n=true.next_n + 3, chain=true.chain)
    return rng.choice(
        (
            Pages(number),
            Documents(),
            Growth(rng.randint(0, 2), rng.randint(-2, 30), rng.randint(-2, 60)),
            Receipts(rng.randbytes(rng.randint(0, 80))),
            Receipts(sign_receipt(lie, node.identity.node)),
            Receipts(sign_receipt(over, node.identity.node)),
        )
    )


def _rewritten(row: Row, content: bytes) -> tuple[bytes, bytes]:
    header = _decoder.decode(row.stored.header)
    sha256 = hashlib.sha256(content).hexdigest()
    return canonical(msgspec.structs.replace(header, size=len(content), sha256=sha256)), content


def _replace(node: Node, row: Row, told: tuple[bytes, bytes], *, forget: bool) -> None:
    """Write a row anew at the end of the queue, straight onto the disk; with ``forget``, as if it had never gone."""
    state: dict[str, dict[Any, Any]] = {name: dict(table) for name, table in node.store.state.items()}
    seq = state["counters"]["items"] = state["counters"].get("items", 0) + 1
    header, content = told
    stored = msgspec.structs.replace(row.stored, seq=seq, header=header, content=content, standing="current")
    del state["items"][row.stored.seq]
    state["items"][seq] = row._replace(stored=stored)
    others = tuple(each for each in state["item_ids"][row.id] if each != row.stored.seq)
    state["item_ids"][row.id] = (*others, seq)
    if forget:
        state["release_ids"].pop(row.id, None)
    changed: State = state
    node.store.state = changed


# --- how a cheat answers; each is given the world, the cheat, who asks, what, and the true answer ---
# ruff: noqa: ARG001


def freeze(world: World, node: Node, asker: str, request: Any, content: bytes) -> bytes:
    """Say that there is nothing new."""
    return b"" if isinstance(request, Pages) else content


def replay(world: World, node: Node, asker: str, request: Any, content: bytes) -> bytes:
    """Answer with something that was told before."""
    earlier = world.told.setdefault((node.party, asker), [])
    earlier.append(content)
    return world.rng.choice(earlier[-8:])


def redirect(world: World, node: Node, asker: str, request: Any, content: bytes) -> bytes:
    """Give one party the pages of another, its own and those that it got from others."""
    pages = [page.content for kept in node.store.state["pages"].values() for page in kept]
    return world.rng.choice(pages) if isinstance(request, Pages) and pages else content


def corrupt(world: World, node: Node, asker: str, request: Any, content: bytes) -> bytes:
    """Change, cut or lengthen the answer."""
    if not content:
        return world.rng.randbytes(world.rng.randint(0, 40))
    at, how = world.rng.randrange(len(content)), world.rng.randrange(3)
    if how == 0:
        return content[:at] + bytes([content[at] ^ (1 << world.rng.randrange(8))]) + content[at + 1 :]
    return content[:at] if how == 1 else content + world.rng.randbytes(3)


def forge(world: World, node: Node, asker: str, request: Any, content: bytes) -> bytes:
    """Add signatures of others to agreements that they have not signed."""
    if not isinstance(request, Documents) or not content:
        return content
    papers = msgspec.msgpack.decode(content, type=Papers)
    forged = tuple(_forged(world, envelope) for envelope in papers.agreements)
    return msgspec.msgpack.encode(msgspec.structs.replace(papers, agreements=forged))


def _forged(world: World, envelope: bytes) -> bytes:
    found = json.loads(envelope)
    there = {each["keyid"]: each["sig"] for each in found["signatures"]}
    example = next(iter(there.values()))
    for other in world.nodes.values():
        for key_id in other.identity.authority.public.key_ids():
            there.setdefault(key_id, example)
    found["signatures"] = [{"keyid": key_id, "sig": there[key_id]} for key_id in sorted(there)]
    return json.dumps(found, separators=(",", ":")).encode()


def readdress(world: World, node: Node, asker: str, request: Any, content: bytes) -> bytes:
    """Close a page that was made for one party anew for another."""
    others = [name for name in world.nodes if name not in (asker, node.party)]
    pages = [page for name in others for page in node.store.state["pages"].get(name, ())]
    if not isinstance(request, Pages) or not pages:
        return content
    magic, to, batch, enc, parts = msgspec.msgpack.decode(world.rng.choice(pages).content)
    opened = unsealed(Sealed(enc, tuple(parts)), world.nodes[to].identity.sealing, f"{magic}\n{to}\n{batch}".encode())
    recipient = world.nodes[asker].identity.sealing.public_bytes()
    context = f"{magic}\n{asker}\n{batch}".encode()
    again = sealed(opened, recipient=recipient, context=context, content_key=world.rng.randbytes(32))
    return msgspec.msgpack.encode([magic, asker, batch, again.enc, again.parts])


ACTS: tuple[Act, ...] = (roll_back, equivocate, pass_on, claim, flood)
SERVES: tuple[Serve, ...] = (freeze, replay, redirect, corrupt, forge, readdress)


def corrupt_party(world: World, node: Node, until_ms: int) -> None:
    """Let a party cheat in a few ways until then."""
    rng = world.rng
    node.honest = False
    for act in rng.sample(ACTS, rng.randint(1, 3)):
        for at_ms in sorted(rng.randrange(2000, until_ms) for _ in range(rng.randint(1, 3))):
            world.after(max(0, at_ms - rng.randint(500, 8000)), keep_copy, world, node)
            world.after(at_ms, act, world, node)
    chosen = rng.sample(SERVES, rng.randint(1, 3))
    if rng.random() < 0.8:
        node.serve = _served_by(world, node, chosen, rng.choice((0.2, 0.6, 1.0)))


def _served_by(world: World, node: Node, chosen: list[Serve], chance: float) -> Callable[[str, Any, bytes], bytes]:
    def serve(asker: str, request: Any, content: bytes) -> bytes:
        if world.rng.random() >= chance:
            return content
        return world.rng.choice(chosen)(world, node, asker, request, content)

    return serve
