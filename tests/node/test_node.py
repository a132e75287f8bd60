"""What a node promises its own people: nothing twice, nothing before its time or after it, and a log that shows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, select, update

from relto.clock import DAY_MS, FixedClock, parse_utc
from relto.envelope.keys import fingerprint
from relto.errors import OurError, PeerError, ReltoError
from relto.exchange.answer import answer
from relto.exchange.books import Stored
from relto.exchange.steps import Pages
from relto.exercise.network import Network
from relto.item import parse_item
from relto.node import agree, audit, pair, read
from relto.node.ingest import Defaults, ingest
from relto.node.node import Node
from relto.node.run import share
from relto.peers.asking import PATHS
from relto.peers.https import RefusedError
from relto.store.records import Selection
from relto.store.schema import checkpoints, items, leaves, tiles
from tests.node.conftest import START, agreement, detection, publish

MakeNetwork = Callable[..., Network]


@pytest.fixture
def network(make_network: MakeNetwork) -> Network:
    """USA and JPN, paired, with nothing signed yet."""
    return make_network(("USA", "JPN"), (), START)


def sign(network: Network, name: str = "ALL", **terms: str) -> None:
    network.conclude([(f"{name}.toml", agreement(name, ("USA", "JPN"), **terms))])
    network.settle()


def everything(node: Node) -> list[Stored]:
    """All rows, whoever may read them."""
    with node.store.database.read() as connection:
        seqs = list(connection.execute(select(items.c.seq)).scalars())
    with node.store.read() as books:
        return books.by_seq(seqs)


def id_of(stored: Stored) -> str:
    return parse_item(stored.header, stored.content).header.id


def later(network: Network, ms: int) -> None:
    clock = network.clock
    assert isinstance(clock, FixedClock)
    clock.set(clock.now_ms() + ms)


# --- ingest ---


def test_a_file_ingested_twice_is_stored_once(network: Network) -> None:
    usa = network.nodes["USA"]
    two = json.dumps({"type": "FeatureCollection", "features": [json.loads(detection(n)) for n in (1, 2)]}).encode()
    assert ingest(usa, two, "a.geojson", Defaults(level="OFFICIAL")).new == 2
    kept = everything(usa)
    later(network, DAY_MS)
    again = ingest(usa, two, "b.geojson", Defaults(level="OFFICIAL", tlp="CLEAR"))
    assert (again.items, again.new) == (2, 0)
    assert everything(usa) == kept


# --- agreements and partners ---


def test_an_agreement_starts_the_stream_from_its_signature_on(network: Network) -> None:
    publish(network.nodes["USA"], 1)
    assert network.settle() == 0
    sign(network)
    assert everything(network.nodes["JPN"]) == []
    publish(network.nodes["USA"], 2)
    network.settle()
    assert [json.loads(each.content)["properties"]["remarks"] for each in everything(network.nodes["JPN"])] == [
        "contact 2"
    ]


def test_an_agreement_that_not_all_have_signed_releases_nothing(network: Network) -> None:
    usa, jpn = network.nodes["USA"], network.nodes["JPN"]
    held = agree.propose(usa, agreement("ALL", ("USA", "JPN")), "all.toml")
    agree.take(jpn, held.envelope)
    assert agree.show(usa, "ALL").state.phase == agree.show(jpn, "ALL").state.phase == "proposed"
    publish(usa, 1)
    publish(jpn, 2)
    assert network.settle() == 0
    first = Pages(after=0)
    assert usa.run(answer(usa.core, "JPN", first)) == jpn.run(answer(jpn.core, "USA", first)) == b""
    stored = everything(usa)[0]
    assert read.verdicts(usa, stored)["JPN"].reasons == ("NO_AGREEMENT",)
    signed = agree.countersign(jpn, "ALL", 1)
    assert network.settle() == 0  # the proposer does not know of the second signature yet
    agree.take(usa, signed.envelope)
    network.settle()
    publish(usa, 3)
    assert network.settle() == 1


def test_a_partner_whose_card_is_over_gets_nothing_until_it_has_a_new_one(network: Network) -> None:
    sign(network)
    usa = network.nodes["USA"]
    later(network, pair.CARD_DAYS * DAY_MS - 1)
    publish(usa, 1)
    assert share(usa) == 1
    later(network, 1)
    publish(usa, 2)
    assert share(usa) == 0
    with usa.store.read() as books:
        stream = books.stream("JPN")
    assert stream is not None and stream.next_n == 2
    assert read.log_records(usa, limit=10)[-1].n == 1
    # JPN knows a newer card of USA, so it can still ask; USA does not answer it
    renew(network, "USA", "JPN")
    with network.client("JPN", "USA") as client, pytest.raises(RefusedError, match=r"403 .*unknown party"):
        client.get(PATHS[Pages], {"after": 0})
    renew(network, "JPN", "USA")
    assert network.settle() == 2


def renew(network: Network, party: str, partner: str) -> None:
    """Give a partner the newest card of a party."""
    card, spoken = pair.invite(network.nodes[party], network.places[party].url)
    pair.accept(network.nodes[partner], card, spoken)


# --- retention ---


def test_what_is_over_its_retention_is_hidden_everywhere_then_purged(network: Network) -> None:
    sign(network, retention='"7 days"')
    publish(network.nodes["USA"], 1)
    network.settle()
    jpn = network.nodes["JPN"]
    (stored,) = everything(jpn)
    item_id = id_of(stored)
    later(network, 7 * DAY_MS - 1)
    assert read.listing(jpn, Selection()) == ([stored], 1)
    assert read.find(jpn, item_id[:8]) == stored
    later(network, 1)
    assert read.listing(jpn, Selection()) == ([], 0)
    with jpn.store.read() as books:
        assert books.find(item_id, jpn.reading()) == []
        assert books.starting_with(item_id[:8], jpn.reading()) == []
        assert books.holdings(jpn.reading()) == []
    for ask in (read.find, audit.prove):
        with pytest.raises(OurError):
            ask(jpn, item_id)
    with pytest.raises(OurError):
        read.why(jpn, item_id, "USA")
    assert everything(jpn) == [stored]
    assert jpn.store.write(lambda books: books.purge(jpn.now_ms())) == 1
    assert everything(jpn) == []
    assert len(everything(network.nodes["USA"])) == 1


# --- why, prove, verify ---


def test_why_answered_withheld_leaves_a_leaf_and_answered_otherwise_none(network: Network) -> None:
    sign(network)
    usa = network.nodes["USA"]
    publish(usa, 1)
    publish(usa, 2, rel_to=("PHL",))
    network.settle()
    open_, barred = everything(usa)
    assert read.why(usa, id_of(open_), "JPN").decision.verdict == "FULL"
    assert audit.check_log(usa).size == 1
    asked = read.why(usa, id_of(barred), "JPN")
    assert (asked.decision.verdict, asked.decision.reasons) == ("WITHHELD", ("NOT_RELEASABLE_TO",))
    assert audit.check_log(usa).size == 2
    leaf = read.log_records(usa, start=1, limit=1)[0]
    assert (leaf.item, leaf.to, leaf.n, leaf.rendition) == (id_of(barred), "JPN", 0, "")
    publish(usa, 3)
    assert network.settle() == 1  # the log grew between two pages; the recipient's proof spans it
    assert audit.check_log(usa).size == 3


@pytest.fixture
def proven(network: Network) -> tuple[Network, bytes]:
    """The second of three releases, with its proof, written by its recipient."""
    sign(network)
    publish(network.nodes["USA"], 1, 2, 3)
    network.settle()
    jpn = network.nodes["JPN"]
    return network, audit.prove(jpn, id_of(everything(jpn)[1]))


def test_what_is_proven_verifies_with_the_file_alone(proven: tuple[Network, bytes]) -> None:
    network, file = proven
    pinned = fingerprint(network.nodes["USA"].keyring.authority_public)
    found = audit.verify(file, pinned=pinned)
    assert (found.by, found.to, found.n, found.log_index, found.fingerprint_checked) == ("USA", "JPN", 2, 1, True)
    assert found.header.id == id_of(everything(network.nodes["JPN"])[1])
    assert not audit.verify(file).fingerprint_checked
    with pytest.raises(PeerError):
        audit.verify(file, pinned=fingerprint(network.nodes["JPN"].keyring.authority_public))


def test_verify_refuses_each_single_changed_field(proven: tuple[Network, bytes]) -> None:
    _, file = proven
    good = msgspec.json.decode(file, type=audit.ProvenItem)
    refused = 0
    for name in good.__struct_fields__:
        for changed in variants(name, getattr(good, name)):
            spoilt = audit.canonical(msgspec.structs.replace(good, **{name: changed}))
            assert spoilt != file
            with pytest.raises(PeerError):
                audit.verify(spoilt)
            refused += 1
    assert refused >= 30


def variants(name: str, value: Any) -> list[Any]:
    """A value with one bit flipped in several places; lists also cut, doubled and turned round."""
    if name == "format":
        return ["relto-item/2", ""]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, str):
        content = base64.b64decode(value)
        places = (0, len(content) // 3, len(content) // 2, len(content) - 1)
        spoilt = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in places]
        return [base64.b64encode(each).decode() for each in (*spoilt, content[:-1], b"")]
    first = [(each, *value[1:]) for each in (variants("", value[0]) if value else ())]
    turned = [value[::-1]] if len(value) > 1 else []
    return [*first, *turned, value[1:] or ("AAAA",), (*value, base64.b64encode(bytes(32)).decode())]


# --- the log ---


def change_leaf(node: Node) -> None:
    record = read.log_records(node, limit=10)[1]
    other = audit.canonical(msgspec.structs.replace(record, to="PHL"))
    _edit(node, update(leaves).where(leaves.c.index == 1).values(record=other))


def change_entry(node: Node) -> None:
    _edit(node, update(leaves).where(leaves.c.index == 1).values(entry=bytes(32)))


def change_leaf_and_entry(node: Node) -> None:
    """A forger who can write the store makes leaf and entry fit each other; the tiles do not follow."""
    with node.store.read() as books:
        _, _, leaf = books.opened(1, 1)[0]
    record = msgspec.json.decode(leaf.record, type=read.LeafRecord)
    other = msgspec.structs.replace(leaf, record=audit.canonical(msgspec.structs.replace(record, to="PHL")))
    changed = update(leaves).where(leaves.c.index == 1)
    _edit(node, changed.values(record=other.record, entry=other.entry))


def add_leaf(node: Node) -> None:
    """A decision that no signed head counts."""
    with node.store.database.read() as connection:
        row = dict(connection.execute(select(leaves).where(leaves.c.index == 1)).one()._mapping)
    _edit(node, leaves.insert().values(row | {"index": 3}))


def change_policy(node: Node) -> None:
    _edit(node, update(leaves).where(leaves.c.index == 1).values(policy_sha256="0" * 64))


def remove_leaf(node: Node) -> None:
    _edit(node, delete(leaves).where(leaves.c.index == 2))


def change_tile(node: Node) -> None:
    _change_first_tile(node, "tile/0/")


def change_bundle(node: Node) -> None:
    _change_first_tile(node, "tile/entries/")


def remove_tile(node: Node) -> None:
    _edit(node, delete(tiles).where(tiles.c.path.startswith("tile/0/")))


def change_root(node: Node) -> None:
    _edit(node, update(checkpoints).where(checkpoints.c.size == 3).values(root=bytes(32)))


def change_note(node: Node) -> None:
    with node.store.read() as books:
        note = books.head().note
    _edit(node, update(checkpoints).where(checkpoints.c.size == 3).values(note=note.replace(b"\n3\n", b"\n2\n", 1)))


def change_note_for_an_older_one(node: Node) -> None:
    """Signed by this very node, of another size."""
    with node.store.database.read() as connection:
        older = connection.execute(select(checkpoints.c.note).where(checkpoints.c.size == 2)).scalar_one()
    _edit(node, update(checkpoints).where(checkpoints.c.size == 3).values(note=older))


def remove_note(node: Node) -> None:
    """The log set back to what it was before."""
    _edit(node, delete(checkpoints).where(checkpoints.c.size == 3))


def _change_first_tile(node: Node, prefix: str) -> None:
    with node.store.read() as books:
        path = next(each for each in books.tile_paths() if each.startswith(prefix))
        content = books.tile(path)
    assert content
    _edit(node, update(tiles).where(tiles.c.path == path).values(content=content[:-1] + bytes([content[-1] ^ 1])))


def _edit(node: Node, statement: Any) -> None:
    assert node.store.database.write(lambda connection: connection.execute(statement).rowcount) >= 1


CHANGES = (
    change_leaf,
    change_entry,
    change_leaf_and_entry,
    add_leaf,
    change_policy,
    remove_leaf,
    change_tile,
    change_bundle,
    remove_tile,
    change_root,
    change_note,
    change_note_for_an_older_one,
    remove_note,
)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """USA's node with a log of three leaves and two signed heads, and the bytes of its store."""
    network = Network(tmp_path_factory.mktemp("logged"), ("USA", "JPN"), FixedClock(parse_utc(START)))
    network.conclude([("all.toml", agreement("ALL", ("USA", "JPN")))])
    usa = network.nodes["USA"]
    share(usa)
    for numbers in ((1, 2), (3,)):
        publish(usa, *numbers)
        while share(usa):
            pass
    yield usa
    network.close()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_the_log_check_finds(logged: Node, change: Callable[[Node], None]) -> None:
    assert audit.check_log(logged).size == 3
    tables = (leaves, tiles, checkpoints)
    with logged.store.database.read() as connection:
        kept = {table: [dict(row._mapping) for row in connection.execute(select(table))] for table in tables}
    try:
        change(logged)
        with pytest.raises(ReltoError):
            audit.check_log(logged)
    finally:

        def restore(connection: Any) -> None:
            for table, rows in kept.items():
                connection.execute(delete(table))
                connection.execute(table.insert(), rows)

        logged.store.database.write(restore)
    assert audit.check_log(logged).size == 3
