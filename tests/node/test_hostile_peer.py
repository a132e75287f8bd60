"""What a hostile partner, a former partner or a stranger tries on real nodes. Nothing of what is refused is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, select, update

from relto.api.exchange import exchange_app
from relto.clock import FixedClock, parse_utc
from relto.envelope.keys import Signer
from relto.envelope.merkle import leaf_hash, root
from relto.envelope.seal import Sealed, seal, unseal
from relto.errors import NotForUsError, PeerError, ProofError, ReltoError, SignatureError
from relto.exchange import receive
from relto.exchange.books import Inbound
from relto.exchange.documents import parse
from relto.exchange.messages import FIRST_CHAIN, Batch, Receipt, sign_receipt
from relto.exchange.page import LogProof, Sent, log_origin, sha256, write_page
from relto.exchange.receive import TermsUnknownError
from relto.exchange.steps import Documents, Growth, Pages, Receipts
from relto.exercise.network import Network
from relto.item import AgreementRef, Header, new_item
from relto.keyring.files import FileKeyring
from relto.keyring.tls import issue_leaf
from relto.labels import Handling
from relto.log.checkpoint import Checkpoint, sign_checkpoint
from relto.log.leaf import LeafRecord, commit, record_bytes
from relto.node.home import entropy
from relto.node.node import Node
from relto.node.run import share
from relto.peers.asking import PATHS
from relto.peers.https import RefusedError
from relto.peers.tls import client_context
from relto.store.books import SqlBooks
from relto.store.records import Selection
from relto.store.schema import pages, partners
from relto.store.schema import streams as stream_table
from tests.node.conftest import START, agreement, publish, state

PARTIES = ("USA", "JPN", "PHL")
PAGES, RECEIPTS, DOCUMENTS, GROWTH = (PATHS[form] for form in (Pages, Receipts, Documents, Growth))
ROUTES = (("GET", PAGES), ("POST", RECEIPTS), ("GET", DOCUMENTS), ("GET", GROWTH))
_Decode = msgspec.msgpack.decode
_encode = msgspec.msgpack.encode


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """USA is the hostile one: two pages wait for JPN, which has taken neither; PHL has taken both of its own."""
    made = Network(tmp_path_factory.mktemp("hostile"), PARTIES, FixedClock(parse_utc(START)))
    made.conclude([("all.toml", agreement("ALL", PARTIES)), ("two.toml", agreement("TWO", ("USA", "PHL")))])
    made.serve()
    made.settle()
    for number in (1, 2):
        publish(made.nodes["USA"], number, tlp="AMBER")
        while share(made.nodes["USA"]):
            pass
    while made.pull("PHL", "USA"):
        pass
    yield made
    made.close()


def accept(node: Node, peer: str, page: bytes) -> tuple[int, Inbound]:
    return node.run(receive.accept(node.core, peer, page))


def page_of(network: Network, to: str, after_n: int = 0) -> bytes:
    with network.nodes["USA"].store.read() as books:
        page = books.page_after(to, after_n)
    assert page is not None
    return page


@contextmanager
def unchanged(network: Network, party: str, peer: str = "USA") -> Iterator[None]:
    before = state(network, party, peer)
    yield
    assert state(network, party, peer) == before


def refused(network: Network, page: bytes, error: type[ReltoError] = PeerError, to: str = "JPN") -> PeerError:
    """USA's server gives this page to a party that pulls: it is refused for this reason and leaves no trace."""
    usa = network.nodes["USA"]
    with network.nodes[to].store.read() as books:
        stream_end = books.inbound("USA").next_n
    where = (pages.c.recipient == to) & (pages.c.first_n == stream_end)
    with usa.store.database.read() as connection:
        kept = connection.execute(select(pages.c.content).where(where)).scalar()
    swap = update(pages).where(where)
    if kept is None:
        row = {"recipient": to, "first_n": stream_end, "last_n": stream_end, "chain": "", "created_ms": 0}
        usa.store.database.write(lambda c: c.execute(pages.insert().values(content=page, **row)))
    else:
        usa.store.database.write(lambda c: c.execute(swap.values(content=page)))
    try:
        with unchanged(network, to), pytest.raises(error) as found:
            network.pull(to, "USA")
    finally:
        if kept is None:
            usa.store.database.write(lambda c: c.execute(delete(pages).where(where)))
        else:
            usa.store.database.write(lambda c: c.execute(swap.values(content=kept)))
    assert isinstance(found.value, PeerError)
    return found.value


def opened(network: Network, page: bytes, to: str) -> list[bytes]:
    magic, named, batch, enc, parts = _Decode(page)
    context = f"{magic}\n{named}\n{batch}".encode()
    return list(unseal(Sealed(enc, tuple(parts)), key=network.nodes[to].core.sealing, context=context))


def sealed(network: Network, parts: list[bytes], batch: str, to: str = "JPN", named: str = "JPN") -> bytes:
    """Anybody can seal for a party: only its public key is needed."""
    magic = "relto-page/1"
    key = network.nodes[to].core.sealing.public_bytes()
    found = seal(parts, recipient=key, context=f"{magic}\n{named}\n{batch}".encode(), content_key=entropy(32))
    return _encode([magic, named, batch, found.enc, list(found.parts)])


def forged(
    network: Network,
    *,
    change: Callable[[Header], Header] = lambda header: header,
    signer: Signer | None = None,
    by: str = "USA",
    logged: Callable[[LeafRecord], LeafRecord] = lambda record: record,
) -> bytes:
    """A page for JPN made from nothing, right in all but what is asked for: the releaser has its keys and its log."""
    _, *releases = opened(network, page_of(network, "PHL"), "PHL")
    header_bytes, content, record, *_ = _Decode(releases[0])
    header = msgspec.json.decode(header_bytes, type=Header)
    assert header.release is not None
    both = tuple(ref for ref in header.release.agreements if ref.id == "ALL")
    release = msgspec.structs.replace(header.release, by=by, to="JPN", agreements=both, rules=("ALL/1/all",))
    honest = msgspec.structs.replace(header, release=release)
    fields = {name: getattr(change(honest), name) for name in Header.__struct_fields__ if name not in _TAKEN}
    item = new_item(content=content, **fields)
    assert item.header.release is not None
    release = item.header.release
    leaf = logged(
        msgspec.structs.replace(
            msgspec.json.decode(record, type=LeafRecord),
            by=by,
            to="JPN",
            n=1,
            agreements=release.agreements,
            rules=release.rules,
            rendition=sha256(item.header_bytes),
        )
    )
    salt, keys = bytes(32), signer or network.nodes["USA"].signer
    entry = leaf_hash(commit(record_bytes(leaf), salt))
    batch = Batch(
        v=1,
        by=by,
        to="JPN",
        batch="f" * 32,
        first_n=1,
        count=1,
        root=root([leaf_hash(item.header_bytes)]).hex(),
        previous=FIRST_CHAIN,
        log_start=0,
        created_ms=network.clock.now_ms(),
    )
    note = sign_checkpoint(Checkpoint(log_origin(by), 1, root([entry])), keys, by)
    sent = [Sent(item.header_bytes, content, record_bytes(leaf), salt)]
    recipient = network.nodes["JPN"].core.sealing.public_bytes()
    page, _ = write_page(
        batch, sent, LogProof(note, (), (), 0), node=keys, recipient=recipient, content_key=entropy(32)
    )
    return page


_TAKEN = {"v", "size", "sha256"}


def relabelled(header: Header) -> Header:
    """The widest label: no colour, no limit."""
    whole = Handling(markings=header.label.handling.markings, tlp="CLEAR")
    return msgspec.structs.replace(header, label=msgspec.structs.replace(header.label, handling=whole))


# --- pages ---


def test_the_forger_can_make_a_page_that_is_taken_when_nothing_is_wrong_with_it(network: Network) -> None:
    jpn = network.nodes["JPN"]
    before = state(network, "JPN", "USA")

    class UndoneError(Exception):
        pass

    original = jpn.store.write

    def never(job: Any) -> Any:
        def look(books: SqlBooks) -> None:
            raise UndoneError(job(books)[0])

        return original(look)

    jpn.store.write = never  # type: ignore[method-assign]
    try:
        with pytest.raises(UndoneError, match="1"):
            accept(jpn, "USA", forged(network))
    finally:
        del jpn.store.write
    assert state(network, "JPN", "USA") == before


def test_a_page_redirected_as_it_is(network: Network) -> None:
    assert refused(network, page_of(network, "PHL"), NotForUsError).peer_text == "misdirected"


def test_a_page_redirected_by_rewriting_its_recipient(network: Network) -> None:
    _, _, *rest = _Decode(page_of(network, "PHL"))
    refused(network, _encode(["relto-page/1", "JPN", *rest]), SignatureError)


def test_a_page_redirected_by_sealing_it_anew(network: Network) -> None:
    page = page_of(network, "PHL")
    refused(network, sealed(network, opened(network, page, "PHL"), _Decode(page)[2]), NotForUsError)


def test_a_page_of_another_party_passed_on_as_ones_own(network: Network) -> None:
    page = page_of(network, "JPN")
    with unchanged(network, "JPN", "PHL"), pytest.raises(SignatureError):
        accept(network.nodes["JPN"], "PHL", page)


def test_a_page_replayed(network: Network) -> None:
    error = refused(network, page_of(network, "PHL"), NotForUsError, to="PHL")
    assert error.field == "batch" and "begins at 1, next is 3" in error.reason


def test_a_page_left_out(network: Network) -> None:
    assert "begins at 2, next is 1" in refused(network, page_of(network, "JPN", 1), NotForUsError).reason


def test_a_page_with_one_flipped_bit_in_each_region(network: Network) -> None:
    page = page_of(network, "JPN")
    magic, to, batch, enc, parts = _Decode(page)
    regions = [magic.encode(), to.encode(), batch.encode(), enc, *parts]
    offsets = {0, 1, len(page) - 1}
    for region in regions:
        begin = page.index(region)
        offsets |= {begin - 1, begin, begin + len(region) // 2, begin + len(region) - 1}
    for offset in sorted(offsets):
        spoilt = bytearray(page)
        spoilt[offset] ^= 1 << (offset % 8)
        refused(network, bytes(spoilt))


def test_a_page_with_any_one_flipped_bit(network: Network) -> None:
    page, draw = page_of(network, "JPN"), Random(7)
    with unchanged(network, "JPN"):
        for _ in range(150):
            spoilt = bytearray(page)
            spoilt[draw.randrange(len(page))] ^= 1 << draw.randrange(8)
            with pytest.raises(PeerError):
                accept(network.nodes["JPN"], "USA", bytes(spoilt))


def test_a_page_with_one_flipped_bit_under_a_fresh_seal(network: Network) -> None:
    page = page_of(network, "JPN")
    parts, batch, draw = opened(network, page, "JPN"), _Decode(page)[2], Random(7)
    manifest, sent = _Decode(parts[0]), _Decode(parts[1])
    fields = [(0, at) for at in range(len(manifest))] + [(1, at) for at in range(len(sent))]
    refusals = 0
    with unchanged(network, "JPN"):
        for part, at in fields:
            for _ in range(6):
                values = [list(manifest), list(sent)]
                values[part][at] = flipped(values[part][at], draw)
                if values == [manifest, sent]:
                    continue
                changed = sealed(network, [_encode(values[0]), _encode(values[1]), *parts[2:]], batch)
                with pytest.raises(PeerError):
                    accept(network.nodes["JPN"], "USA", changed)
                refusals += 1
    assert refusals >= 6 * 7
    assert refused(network, sealed(network, [parts[0], parts[1], parts[1]], batch))
    assert refused(network, sealed(network, [parts[0]], batch))


def flipped(value: Any, draw: Random) -> Any:
    if isinstance(value, bytes) and value:
        at = draw.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << draw.randrange(8)]) + value[at + 1 :]
    if isinstance(value, list) and value:
        return [flipped(value[0], draw), *value[1:]]
    return value + 1 if isinstance(value, int) else value


def test_a_widened_label_under_the_keys_of_another_party(network: Network) -> None:
    page = forged(network, change=relabelled, signer=network.nodes["PHL"].signer)
    refused(network, page, SignatureError)


def test_a_widened_label_under_the_authority_keys_in_place_of_the_nodes(network: Network) -> None:
    refused(
        network, forged(network, change=relabelled, signer=network.nodes["USA"].keyring.authority()), SignatureError
    )


def test_a_widened_label_in_a_page_whose_statement_stays(network: Network) -> None:
    page = page_of(network, "JPN")
    parts = opened(network, page, "JPN")
    header, *rest = _Decode(parts[1])
    wider = header.replace(b'"AMBER"', b'"CLEAR"')
    assert wider != header
    error = refused(network, sealed(network, [parts[0], _encode([wider, *rest])], _Decode(page)[2]), ProofError)
    assert error.field == "batch"


def test_a_widened_label_that_the_log_does_not_know(network: Network) -> None:
    told = sha256(b"the header before it was widened")
    page = forged(network, change=relabelled, logged=lambda each: msgspec.structs.replace(each, rendition=told))
    assert refused(network, page, ProofError).field == "leaf"


def test_a_batch_in_the_name_of_another_party(network: Network) -> None:
    refused(network, forged(network, by="PHL"), NotForUsError)


@pytest.mark.parametrize("name", ["unknown", "other text", "not ours", "none"])
def test_a_batch_by_an_agreement_that_does_not_bind_us(network: Network, name: str) -> None:
    standings = network.nodes["USA"].rules().standings
    known = {each.terms.ref.id: each.terms.ref for each in standings}
    refs = {
        "unknown": (AgreementRef("SECRET", 1, "0" * 64),),
        "other text": (msgspec.structs.replace(known["ALL"], sha256="0" * 64),),
        "not ours": (known["TWO"],),
        "none": (),
    }[name]

    def under(header: Header) -> Header:
        assert header.release is not None
        return msgspec.structs.replace(header, release=msgspec.structs.replace(header.release, agreements=refs))

    assert refused(network, forged(network, change=under), TermsUnknownError).peer_text == "agreement"


def test_a_release_made_before_the_agreement_began(network: Network) -> None:
    def early(header: Header) -> Header:
        assert header.release is not None
        began_ms = parse_utc("2026-01-01T00:00:00Z")
        return msgspec.structs.replace(header, release=msgspec.structs.replace(header.release, time_ms=began_ms - 1))

    refused(network, forged(network, change=early), TermsUnknownError)


# --- receipts ---


def receipts(network: Network) -> dict[str, tuple[bytes, str]]:
    """By the attack: the envelope that PHL posts, and the one word that it is answered."""
    usa, phl, jpn = (network.nodes[party] for party in PARTIES[:1] + PARTIES[2:] + PARTIES[1:2])
    with usa.store.read() as books:
        stream = books.stream("PHL")
        first = books.chain_at("PHL", 1)
        head = books.head()
    assert stream is not None and first is not None
    good = Receipt(1, "PHL", "USA", 2, stream.chain, 1, head.size, head.root.hex(), usa.now_ms())
    change = msgspec.structs.replace
    return {
        "wrong chain": (sign_receipt(change(good, chain="0" * 64), phl.signer), "malformed"),
        "chain of another place": (sign_receipt(change(good, chain=first), phl.signer), "malformed"),
        "beyond the end": (sign_receipt(change(good, up_to_n=3), phl.signer), "malformed"),
        "before the beginning": (sign_receipt(change(good, up_to_n=-1), phl.signer), "malformed"),
        "root that the log never had": (sign_receipt(change(good, log_root="0" * 64), phl.signer), "malformed"),
        "size that the log never had": (sign_receipt(change(good, log_size=head.size + 1), phl.signer), "malformed"),
        "root of no form": (sign_receipt(change(good, log_root=""), phl.signer), "malformed"),
        "signed by another party": (sign_receipt(good, jpn.signer), "signature"),
        "in the name of another party": (sign_receipt(change(good, by="JPN"), phl.signer), "misdirected"),
        "for another party": (sign_receipt(change(good, to="JPN"), phl.signer), "misdirected"),
        "of no form": (b"{}", "malformed"),
        "too long": (b" " * (300 * 1024), "too large"),
    }


def stream_row(network: Network, recipient: str) -> Any:
    with network.nodes["USA"].store.read() as books:
        return books.stream(recipient)


def test_false_receipts(network: Network) -> None:
    before = [stream_row(network, party) for party in ("PHL", "JPN")]
    for attack, (envelope, word) in receipts(network).items():
        with network.client("PHL", "USA") as client, pytest.raises(RefusedError) as found:
            client.post(RECEIPTS, envelope)
        assert found.value.status == 400, attack
        assert found.value.reason == f'USA answers 400 \'{{"error":"{word}"}}\' to {RECEIPTS}.', attack
    assert [stream_row(network, party) for party in ("PHL", "JPN")] == before


def test_a_receipt_of_another_party_replayed_by_a_third(network: Network) -> None:
    true = stream_row(network, "PHL").receipt
    assert true
    with network.client("JPN", "USA") as client, pytest.raises(RefusedError, match="signature"):
        client.post(RECEIPTS, true)
    assert stream_row(network, "JPN").receipted_n == 0


# --- certificates ---


def leaf_der(keyring: FileKeyring) -> bytes:
    certificate = x509.load_pem_x509_certificate(keyring.tls_files().leaf.read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


def asked(network: Network, der: bytes | None, method: str, path: str) -> tuple[int, bytes]:
    """What USA's application answers to whoever holds this certificate, as if the handshake had let it through."""
    node = network.nodes["USA"]
    app = exchange_app(node, lambda: {each: node.partner(each).tls_ca_der() for each in node.partners()})

    async def with_certificate(scope: Any, receive_: Any, send: Any) -> None:
        await app(scope | {"state": {"peer_der": der}}, receive_, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(with_certificate)
        async with httpx.AsyncClient(transport=transport, base_url="https://usa.example") as client:
            return await client.request(method, path)

    answer = asyncio.run(ask())
    return answer.status_code, answer.content


@pytest.fixture(scope="module")
def strangers(network: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | None]:
    """Certificates that are nobody's here."""
    now_ms = network.clock.now_ms()
    made = {
        party: FileKeyring.create(tmp_path_factory.mktemp(party) / "keys", party, now_ms=now_ms)
        for party in ("KOR", "JPN")
    }
    keys = network.places["PHL"].home / "keys"
    key = serialization.load_pem_private_key((keys / "tls-ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuer = key, x509.load_pem_x509_certificate((keys / "tls-ca.pem").read_bytes())
    as_jpn = issue_leaf("JPN", issuer, now_ms=now_ms, lifetime_s=3600)[1]
    return {
        "none": None,
        "no certificate at all": b"\x30\x03\x02\x01\x01",
        "a stranger's": leaf_der(made["KOR"]),
        "of a stranger in a partner's name": leaf_der(made["JPN"]),
        "of a partner in another's name": as_jpn.public_bytes(serialization.Encoding.DER),
    }


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_certificate_that_is_nobodys_here(
    network: Network, strangers: dict[str, bytes | None], method: str, path: str
) -> None:
    words = set()
    for name, der in strangers.items():
        status, body = asked(network, der, method, path)
        assert status == 403, name
        told = msgspec.json.decode(body, type=dict[str, str])
        assert list(told) == ["error"], name
        words.add(told["error"])
    assert words == {"unknown party", "malformed", "signature"}
    assert asked(network, leaf_der(network.nodes["PHL"].keyring), method, path)[0] in (200, 400)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_stranger_does_not_come_through_the_handshake(
    network: Network, tmp_path: Path, method: str, path: str
) -> None:
    for party in ("KOR", "JPN"):
        keyring = FileKeyring.create(tmp_path / party, party, now_ms=network.clock.now_ms(), hostnames=("127.0.0.1",))
        ca_der = network.nodes["JPN"].partner("USA").tls_ca_der()
        context = client_context(keyring.tls_files(), "USA", ca_der)
        with (
            httpx.Client(verify=context, trust_env=False) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.request(method, network.places["USA"].url + path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_partner_is_refused_from_the_moment_it_is_removed_even_on_an_open_connection(
    network: Network, method: str, path: str
) -> None:
    usa = network.nodes["USA"]
    with usa.store.read() as books:
        kept = books.partner("JPN")
    assert kept is not None
    with network.client("JPN", "USA") as client:
        call = (lambda: client.get(path)) if method == "GET" else (lambda: client.post(path, b"{}"))
        if method == "GET":
            assert call() is not None

        def remove(connection: Any) -> None:
            connection.execute(delete(partners).where(partners.c.party == "JPN"))
            SqlBooks(connection).rules_changed()

        usa.store.database.write(remove)
        try:
            with pytest.raises(RefusedError) as found:
                call()
        finally:
            usa.store.write(lambda books: books.keep_partner(kept))
    assert found.value.status == 403
    assert found.value.reason == f'USA answers 403 \'{{"error":"unknown party"}}\' to {path}.'


# --- what an answer tells ---


def raw(network: Network, path: str, **params: str) -> tuple[int, dict[str, str], bytes]:
    node = network.nodes["JPN"]
    context = client_context(node.keyring.tls_files(), "USA", node.partner("USA").tls_ca_der())
    with httpx.Client(verify=context, trust_env=False) as client:
        found = client.get(network.places["USA"].url + path, params=params)
    return found.status_code, {key: value for key, value in found.headers.items() if key != "date"}, found.content


def test_an_item_that_is_held_back_and_one_that_is_not_held_are_answered_alike(network: Network) -> None:
    usa = network.nodes["USA"]
    ends = [{"after": str(n)} for n in (2, 3, 4)]
    before = [raw(network, PAGES, **end) for end in ends]
    publish(usa, 3, rel_to=("PHL",))
    while share(usa):
        pass
    assert stream_row(network, "PHL").next_n == 4 and stream_row(network, "JPN").next_n == 3
    assert [raw(network, PAGES, **end) for end in ends] == before
    with usa.store.read() as books:
        assert books.count(Selection(), usa.reading()) == 3
        held = [row.header for row in books.after(0, 9)]
    for reference in (msgspec.json.decode(held[-1])["id"], "0" * 32):
        for path in ("items", "pages", "documents", "growth"):
            status, headers, body = raw(network, f"/exchange/v1/{path}/{reference}")
            assert (status, body) == (404, b"Not Found"), reference
            assert headers.keys() <= {"content-length", "content-type"}
    with usa.store.database.read() as connection:
        rows = connection.execute(select(stream_table.c.recipient)).scalars().all()
    assert sorted(rows) == ["JPN", "PHL"]
    network.pull("PHL", "USA")


@pytest.mark.parametrize(
    "text", ["-1", "+1", "1.0", "1e3", "0x1", "", " ", "two", "٣", "²", "9" * 16, "1;2", "0\n", "' OR 1=1"]
)
@pytest.mark.parametrize("name", ["after", "wait_ms"])
def test_nonsense_for_a_number(network: Network, name: str, text: str) -> None:
    before = stream_row(network, "JPN")
    status, _, body = raw(network, PAGES, **{name: text})
    assert (status, body) == (400, b'{"error":"malformed"}')
    assert stream_row(network, "JPN") == before


@pytest.mark.parametrize("text", ["1000000", "9" * 15])
def test_a_number_where_no_page_ends(network: Network, text: str) -> None:
    assert raw(network, PAGES, after=text)[::2] == (400, b'{"error":"misdirected"}')


def test_a_party_is_not_told_of_agreements_of_others(network: Network) -> None:
    _, _, body = raw(network, DOCUMENTS)
    assert len(parse(body).agreements) == 1
