"""Custody of private keys on the disk: what is written, who may read it, and what a crash leaves."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from relto.envelope.card import open_card, sign_card
from relto.envelope.keys import Signer, fingerprint, verifies
from relto.envelope.seal import SealingKey, seal, unseal
from relto.errors import MalformedError, OurError
from relto.keyring.files import FILES, KEY_FILES, FileKeyring

NOW_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
DAY_S = 24 * 3600
PASSPHRASE = b"correct horse battery staple"
SECRET_FILES = ("authority.key", "node.key", "sealing.key", "tls-ca.key", "tls.pem")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keyring(place: Path) -> FileKeyring:
    return FileKeyring.create(place, "PHL", now_ms=NOW_MS, hostnames=["node.example"])


def signs(signer: Signer) -> bool:
    return all(
        verifies(signer.public, algorithm, b"message", signature)
        for algorithm, signature in zip(("ed25519", "ml-dsa-65"), signer.sign(b"message"), strict=True)
    )


def test_keys_come_back_the_same(keyring: FileKeyring, place: Path) -> None:
    again = FileKeyring.open(place)
    assert again.party == "PHL"
    assert signs(again.authority())
    assert signs(again.node())
    assert again.authority().public == keyring.authority_public == keyring.authority().public
    assert again.node().public == keyring.node().public
    assert again.authority().public != again.node().public
    page = seal([b"secret"], recipient=keyring.sealing().public_bytes(), context=b"header", content_key=os.urandom(32))
    assert unseal(page, key=again.sealing(), context=b"header") == (b"secret",)


def test_two_keyrings_share_no_key(tmp_path: Path) -> None:
    first, second = (FileKeyring.create(tmp_path / name, "PHL", now_ms=NOW_MS) for name in "ab")
    assert first.authority().public != second.authority().public
    assert first.node().public != second.node().public
    assert first.sealing().public_bytes() != second.sealing().public_bytes()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_nobody_else_can_read_a_file(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        if umask == 0o777:
            place.mkdir()
            place.chmod(0o700)
        FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    finally:
        os.umask(before)
    assert sorted(path.name for path in place.iterdir()) == sorted(FILES)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    for path in place.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_file_open_to_others_is_refused_with_the_command_that_mends_it(
    keyring: FileKeyring, place: Path, name: str, mode: int
) -> None:
    (place / name).chmod(mode)
    with pytest.raises(OurError, match="is open to others: its mode is") as told:
        FileKeyring.open(place)
    assert told.value.field == str(place / name)
    assert f"chmod 600 {place / name}" in told.value.remedy
    (place / name).chmod(0o600)
    FileKeyring.open(place)


@pytest.mark.parametrize(
    "use",
    [
        lambda keyring: keyring.node(),
        lambda keyring: keyring.authority(),
        lambda keyring: keyring.sealing(),
        lambda keyring: keyring.tls_files(),
        lambda keyring: keyring.renew_tls(NOW_MS, DAY_S, []),
    ],
)
def test_directory_opened_to_others_later_is_noticed_on_use(
    keyring: FileKeyring, place: Path, use: Callable[[FileKeyring], object]
) -> None:
    use(keyring)
    place.chmod(0o750)
    with pytest.raises(OurError, match="is open to others") as told:
        use(keyring)
    assert f"chmod 700 {place}" in told.value.remedy


def test_file_of_another_owner(keyring: FileKeyring, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(OurError, match=r"belongs to user \d+, and this program runs as user") as told:
        FileKeyring.open(place)
    assert told.value.remedy.startswith("chown ")


@pytest.mark.parametrize("name", FILES)
def test_link_and_pipe_in_the_place_of_a_file(keyring: FileKeyring, place: Path, name: str) -> None:
    kept = place.parent / "kept"
    (place / name).rename(kept)
    (place / name).symlink_to(kept)
    with pytest.raises(OurError, match="is a symbolic link"):
        FileKeyring.open(place)
    (place / name).unlink()
    os.mkfifo(place / name, 0o600)
    with pytest.raises(OurError, match="is no key file"):
        FileKeyring.open(place)


def test_existing_keyring_is_never_overwritten(keyring: FileKeyring, place: Path) -> None:
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(OurError, match=r"holds authority\.key, .* already"):
        FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


@pytest.mark.parametrize("name", FILES)
def test_single_file_is_not_overwritten_either(place: Path, name: str) -> None:
    place.mkdir(mode=0o700)
    (place / name).write_bytes(b"precious")
    with pytest.raises(OurError, match=f"holds {name} already"):
        FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    assert [(path.name, path.read_bytes()) for path in place.iterdir()] == [(name, b"precious")]


def test_two_makers_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one arrives after the first looked and before it wrote: one of them has to stop."""
    link = os.link

    def late(source: Path, target: Path) -> None:
        if target.name == "node.key":
            target.write_bytes(b"the other maker's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(OurError, match="cannot be written: File exists"):
        FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    assert (place / "node.key").read_bytes() == b"the other maker's"


def test_directory_open_to_others_gets_no_keys(place: Path) -> None:
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(OurError, match="is open to others"):
        FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    assert list(place.iterdir()) == []


def test_directory_above_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OurError, match="cannot be made: No such file or directory"):
        FileKeyring.create(tmp_path / "a" / "b", "PHL", now_ms=NOW_MS)


@pytest.mark.parametrize("at", range(len(FILES) * 4))
def test_crash_while_a_keyring_is_made(place: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before any one of its writes, syncs and links: there is no keyring, or a whole one."""
    steps = itertools.count()

    class PowerCutError(BaseException):
        pass

    def cutting(step: Callable[..., object]) -> Callable[..., object]:
        def cut(*arguments: object) -> object:
            if next(steps) >= at:
                raise PowerCutError
            return step(*arguments)

        return cut

    with monkeypatch.context() as patch:
        for name in ("link", "fsync", "fchmod"):
            patch.setattr(os, name, cutting(getattr(os, name)))
        with contextlib.suppress(PowerCutError):
            FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    if (place / "keyring.json").exists():
        assert signs(FileKeyring.open(place).authority())
    else:
        with pytest.raises(OurError, match="cannot be opened"):
            FileKeyring.open(place)


def test_file_reaches_the_disk_before_its_name_does(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    link, fsync = os.link, os.fsync

    def noting_sync(descriptor: int) -> None:
        order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noting_link(source: Path, target: Path) -> None:
        order.append("name")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(os, "link", noting_link)
    FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    assert order == ["directory", *["file", "name", "directory"] * len(FILES)]


def test_full_disk_leaves_no_piece_of_a_key(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OurError, match="cannot be written: No space left on device"):
        FileKeyring.create(place, "PHL", now_ms=NOW_MS)
    assert list(place.iterdir()) == []


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a keyring whose authority keys wear a passphrase."""
    place = tmp_path_factory.mktemp("locked") / "keys"
    FileKeyring.create(place, "PHL", now_ms=NOW_MS, passphrase=PASSPHRASE)
    return place


class TestPassphrase:
    def test_opens_the_authority_keys_and_nothing_else_needs_it(self, locked: Path) -> None:
        keyring = FileKeyring.open(locked)
        assert keyring.authority_locked
        assert signs(keyring.authority(PASSPHRASE))
        assert signs(keyring.node())
        assert keyring.card("Philippines", "https://node.example", 1, NOW_MS, DAY_S).authority == (
            keyring.authority_public
        )

    def test_missing_or_wrong(self, locked: Path) -> None:
        keyring = FileKeyring.open(locked)
        with pytest.raises(OurError, match="is locked"):
            keyring.authority()
        with pytest.raises(OurError, match="does not open: another passphrase"):
            keyring.authority(PASSPHRASE + b"r")

    def test_seeds_are_nowhere_on_the_disk(self, locked: Path) -> None:
        seeds = FileKeyring.open(locked).authority(PASSPHRASE).seeds()  # type: ignore[attr-defined]
        for path in locked.iterdir():
            content = path.read_bytes()
            for seed in seeds:
                assert seed not in content
                assert seed.hex().encode() not in content

    @pytest.mark.parametrize("before", [b'"party":"PH', b'"role":"', b'"salt":"', b'"nonce":"', b'"content":"'])
    def test_changed_container_does_not_open(self, locked: Path, tmp_path: Path, before: bytes) -> None:
        place = tmp_path / "keys"
        shutil.copytree(locked, place)
        content = (place / "authority.key").read_bytes()
        at = content.index(before) + len(before)
        other = b"1" if content[at : at + 1] == b"0" else b"0"
        (place / "authority.key").write_bytes(content[:at] + other + content[at + 1 :])
        with pytest.raises(OurError, match=r"does not open|is not the key that"):
            FileKeyring.open(place).authority(PASSPHRASE)

    def test_too_short(self, place: Path) -> None:
        for short in (b"", b"elevenbytes"):
            with pytest.raises(OurError, match=f"has {len(short)} bytes, needs 12"):
                FileKeyring.create(place, "PHL", now_ms=NOW_MS, passphrase=short)
        assert not place.exists()


def test_authority_keys_may_be_kept_elsewhere(keyring: FileKeyring, place: Path) -> None:
    away = place.parent / "stick"
    (place / "authority.key").rename(away)
    node = FileKeyring.open(place)
    assert signs(node.node())
    assert node.card("Philippines", "https://node.example", 1, NOW_MS, DAY_S).authority == keyring.authority_public
    with pytest.raises(OurError, match=r"authority\.key: cannot be opened") as told:
        node.authority()
    assert "Bring it back" in told.value.remedy
    away.rename(place / "authority.key")
    assert signs(node.authority())


@pytest.mark.parametrize("role", KEY_FILES)
def test_key_of_another_keyring_in_the_place_of_ours(
    keyring: FileKeyring, place: Path, tmp_path: Path, role: str
) -> None:
    FileKeyring.create(tmp_path / "other", "PHL", now_ms=NOW_MS)
    name = f"{role}.key"
    (place / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(OurError, match=r"is not the key that keyring\.json beside it names"):
        getattr(FileKeyring.open(place), role)()


def test_keys_that_changed_places(keyring: FileKeyring, place: Path) -> None:
    (place / "authority.key").write_bytes((place / "node.key").read_bytes())
    with pytest.raises(OurError, match="is not the key that"):
        keyring.authority()


@pytest.mark.parametrize(("old", "new"), [(b'"PHL"', b'"JPN"'), (b'"node"', b'"authority"')])
def test_key_file_that_is_marked_for_another_use(keyring: FileKeyring, place: Path, old: bytes, new: bytes) -> None:
    content = (place / "node.key").read_bytes()
    (place / "node.key").write_bytes(content.replace(old, new))
    with pytest.raises(OurError, match="is not the key that"):
        keyring.node()


@pytest.mark.parametrize("name", SECRET_FILES)
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"-----BEGIN PRIVATE KEY-----\n", bytes(100_000)])
def test_damaged_key_file_says_so_and_quotes_nothing(
    keyring: FileKeyring, place: Path, name: str, content: bytes
) -> None:
    whole = (place / name).read_bytes()
    (place / name).write_bytes(content or whole[: len(whole) // 2])
    uses: dict[str, Callable[[], object]] = {
        "authority.key": keyring.authority,
        "node.key": keyring.node,
        "sealing.key": keyring.sealing,
        "tls-ca.key": lambda: keyring.renew_tls(NOW_MS, DAY_S, []),
        "tls.pem": keyring.tls_expires_ms,
    }
    with pytest.raises(OurError) as told:
        uses[name]()
    assert told.value.field == str(place / name)
    assert len(str(told.value)) < 400


def test_damaged_record(keyring: FileKeyring, place: Path) -> None:
    record = (place / "keyring.json").read_bytes()
    for content in (b"", b"{}", record[:-1], record.replace(b'"v":1', b'"v":2'), record + b"\n"):
        (place / "keyring.json").write_bytes(content)
        with pytest.raises(OurError, match=r"keyring\.json: cannot be read"):
            FileKeyring.open(place)


class TestCertificates:
    def test_files_work_in_the_tls_library(self, place: Path) -> None:
        now_ms = time.time_ns() // 1_000_000
        files = FileKeyring.create(place, "PHL", now_ms=now_ms, hostnames=["node.example"]).tls_files()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.leaf)
        ca, leaf = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (files.ca, files.leaf))
        leaf.verify_directly_issued_by(ca)

    def test_renewal_puts_key_and_certificate_in_one_step(self, keyring: FileKeyring, place: Path) -> None:
        before, card = (place / "tls.pem").read_bytes(), keyring.card("P", "https://a.b", 1, NOW_MS, DAY_S)
        assert keyring.tls_expires_ms() == NOW_MS + 7 * DAY_S * 1000
        keyring.renew_tls(NOW_MS + 6 * DAY_S * 1000, 14 * DAY_S, ["192.0.2.1"])
        assert (place / "tls.pem").read_bytes() != before
        assert keyring.tls_expires_ms() == NOW_MS + 20 * DAY_S * 1000
        assert stat.S_IMODE((place / "tls.pem").stat().st_mode) == 0o600
        assert sorted(path.name for path in place.iterdir()) == sorted(FILES)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(keyring.tls_files().leaf)
        assert keyring.card("P", "https://a.b", 1, NOW_MS, DAY_S) == card

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_crash_while_renewing_keeps_the_old_pair(
        self, keyring: FileKeyring, place: Path, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cut(*_: object) -> None:
            raise KeyboardInterrupt

        before = (place / "tls.pem").read_bytes()
        monkeypatch.setattr(os, step, cut)
        with pytest.raises(KeyboardInterrupt):
            keyring.renew_tls(NOW_MS, DAY_S, [])
        assert (place / "tls.pem").read_bytes() == before

    def test_issuing_certificate_that_is_over(self, place: Path) -> None:
        keyring = FileKeyring.create(place, "PHL", now_ms=NOW_MS, ca_lifetime_s=DAY_S)
        before = (place / "tls.pem").read_bytes()
        with pytest.raises(OurError, match="no certificate can be issued"):
            keyring.renew_tls(NOW_MS + 2 * DAY_S * 1000, DAY_S, [])
        assert (place / "tls.pem").read_bytes() == before


def test_card_carries_what_partners_need(keyring: FileKeyring) -> None:
    card = keyring.card("Philippine Coast Guard", "https://node.example:8443", 3, NOW_MS, 90 * DAY_S)
    opened = open_card(
        sign_card(card, keyring.authority()), now_ms=NOW_MS, pinned=fingerprint(keyring.authority_public)
    )
    assert opened == card
    assert (opened.party, opened.version) == ("PHL", 3)
    assert opened.node == keyring.node().public
    assert bytes.fromhex(opened.sealing) == keyring.sealing().public_bytes()
    assert opened.expires_ms == NOW_MS + 90 * DAY_S * 1000
    x509.load_pem_x509_certificate(keyring.tls_files().leaf.read_bytes()).verify_directly_issued_by(
        x509.load_der_x509_certificate(opened.tls_ca_der())
    )
    assert isinstance(keyring.sealing(), SealingKey)


def test_party_that_is_none_gets_no_keyring(place: Path) -> None:
    with pytest.raises(MalformedError):
        FileKeyring.create(place, "phl", now_ms=NOW_MS)
    assert not place.exists()


def test_new_keys_under_the_same_authority(keyring: FileKeyring, place: Path) -> None:
    old_node, old_sealing = keyring.node().public, keyring.sealing().public_bytes()
    past = keyring.renew(now_ms=NOW_MS + 1, hostnames=["node.example"])
    again = FileKeyring.open(place)
    assert again.authority().public == FileKeyring.open(past).authority().public
    assert FileKeyring.open(past).node().public == old_node
    assert again.node().public == keyring.node_public() != old_node
    assert again.sealing().public_bytes() != old_sealing
    assert sorted(path.name for path in place.iterdir()) == sorted(FILES)
    assert not place.with_name("keys.next").exists()


def test_new_keys_where_the_authority_is_kept_elsewhere(keyring: FileKeyring, place: Path) -> None:
    kept = (place / "authority.key").read_bytes()
    (place / "authority.key").unlink()
    keyring.renew(now_ms=NOW_MS)
    again = FileKeyring.open(place)
    assert again.authority_public == keyring.authority_public
    with pytest.raises(OurError, match="cannot be opened"):
        again.authority()
    (place / "authority.key").write_bytes(kept)
    (place / "authority.key").chmod(0o600)
    assert signs(again.authority())


def test_a_lost_node_gets_new_keys_from_its_kept_authority(tmp_path: Path) -> None:
    lost = FileKeyring.create(tmp_path / "a", "PHL", now_ms=NOW_MS, passphrase=PASSPHRASE)
    kept = (tmp_path / "a" / "authority.key").read_bytes()
    for wrong in (None, PASSPHRASE + b"!"):
        with pytest.raises(OurError):
            FileKeyring.create(tmp_path / "b", "PHL", now_ms=NOW_MS, authority=kept, passphrase=wrong)
    with pytest.raises(OurError, match="not the authority keys of JPN"):
        FileKeyring.create(tmp_path / "b", "JPN", now_ms=NOW_MS, authority=kept, passphrase=PASSPHRASE)
    assert not (tmp_path / "b").exists()
    found = FileKeyring.create(tmp_path / "b", "PHL", now_ms=NOW_MS, authority=kept, passphrase=PASSPHRASE)
    assert found.authority(PASSPHRASE).public == lost.authority_public
    assert found.node().public != lost.node().public


def test_new_keys_never_take_the_place_of_older_old_ones(keyring: FileKeyring, place: Path) -> None:
    place.with_name(f"keys.old-{fingerprint(keyring.node_public())[:9]}").mkdir()
    before = keyring.node().public
    with pytest.raises(OurError, match="is there already"):
        keyring.renew(now_ms=NOW_MS)
    assert FileKeyring.open(place).node().public == before
