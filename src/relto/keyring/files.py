"""Private keys of one party's node in one directory, readable by its owner alone.

=================  ===================================================================================
``keyring.json``   what may be known: party and public keys; written last, so it marks a whole keyring
``authority.key``  signs agreements and cards; may wear a passphrase, and may be kept off the machine
``node.key``       signs batches, receipts and checkpoints; used all the time
``sealing.key``    opens what others sealed to this party
``tls-ca.key``     issues the node's TLS certificates; ``tls-ca.pem`` is its own certificate
``tls.pem``        the node's TLS key and certificate in one file, so that a renewal changes both at once
=================  ===================================================================================

The directory has mode 0700 and every file 0600; anything wider, another owner, or a symbolic link in it is refused,
on opening and on each use. A file is written beside its place, brought to the disk (fsync), and then linked (new
keys: never over old ones) or renamed (renewal) into it, and the directory is brought to the disk as well. So a crash
leaves the old file or the new one, and a keyring whose making was cut off cannot be opened.

Secrets lie in one small container, with or without a passphrase, rather than in PKCS #8: the PKCS #8 encryption of
``cryptography`` stretches a passphrase by 2,048 rounds of PBKDF2, which a graphics card undoes, and takes no other
count; and the sealing key has no PKCS #8 form. Here scrypt (RFC 7914) with 128 MiB and about half a second for each
guess gives an AES-256-GCM key, and party and role are authenticated with it. The TLS keys alone are PEM files, as
the TLS library reads nothing else.
"""

from __future__ import annotations

import base64
import errno
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from relto.bounds import KIB
from relto.clock import SECOND_MS, from_datetime
from relto.envelope.card import CARD_VERSION, PartyCard, Revocation, check_party
from relto.envelope.keys import SEED_BYTES, PrivateKeys, PublicKeys, Signer, fingerprint
from relto.envelope.seal import SealingKey
from relto.errors import OurError, PeerError
from relto.keyring.tls import CA_LIFETIME_S, LEAF_LIFETIME_S, Issued, issue_ca, issue_leaf
from relto.strict import canonical, parse_canonical

Role = Literal["authority", "node", "sealing"]

RECORD = "keyring.json"
TLS_CA_KEY = "tls-ca.key"
TLS_CA = "tls-ca.pem"
TLS_LEAF = "tls.pem"
KEY_FILES: dict[Role, str] = {"authority": "authority.key", "node": "node.key", "sealing": "sealing.key"}
FILES = (*KEY_FILES.values(), TLS_CA_KEY, TLS_CA, TLS_LEAF, RECORD)
PASSPHRASE_BYTES = 12

_FILE_BYTES = 64 * KIB
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_VERSION: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the TLS library finds this node's key and certificate (``leaf``) and its issuing certificate (``ca``)."""

    leaf: Path
    ca: Path


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public side of a keyring."""

    v: Literal[1]
    party: str
    created_ms: int
    authority: PublicKeys
    node: PublicKeys
    sealing: str
    tls_ca: str


class _Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is needed, beside the passphrase, to open a secret. The strength of scrypt is fixed by the version."""

    salt: str
    nonce: str


class _Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A private key on the disk: ``content`` is hex, encrypted if there is a lock."""

    v: Literal[1]
    party: str
    role: Role
    lock: _Lock | None
    content: str


class FileKeyring:
    """The keys of one party's node, loaded from their directory when they are asked for and not kept."""

    def __init__(self, directory: Path, record: _Record) -> None:
        self._directory = directory
        self._record = record

    @classmethod
    def create(
        cls,
        directory: Path,
        party: str,
        *,
        now_ms: int,
        hostnames: Sequence[str] = (),
        passphrase: bytes | None = None,
        authority: bytes | None = None,
        leaf_lifetime_s: int = LEAF_LIFETIME_S,
        ca_lifetime_s: int = CA_LIFETIME_S,
    ) -> FileKeyring:
        """Make new keys and bring them to the disk; when it returns, they survive a loss of power.

        Args:
            directory: made if it is not there; its parent has to be.
            party: whose keys they are.
            now_ms: from when the certificates are valid.
            hostnames: DNS names and IP addresses of the node, named in its TLS certificate beside its URI.
            passphrase: locks the authority keys, or opens those given; at least ``PASSPHRASE_BYTES`` bytes.
            authority: the content of the ``authority.key`` of a node that was lost; all other keys are new.
            leaf_lifetime_s: how long the first TLS certificate lasts.
            ca_lifetime_s: how long the party's TLS issuing certificate lasts.

        Raises:
            OurError: a keyring, or part of one, is there already; nothing was changed then. Or the directory is open
                to others or cannot be written, or the passphrase is too short or another, or a host name is none.
            MalformedError: ``party`` is not a party's id.
        """
        check_party(party)
        _check_passphrase(passphrase)
        if authority is None:
            made = PrivateKeys.generate()
            public, authority = made.public, _close(party, "authority", b"".join(made.seeds()), passphrase)
        else:
            public = _authority_of(party, authority, passphrase)
        made_for = _MadeFor(party, public, authority, now_ms, tuple(hostnames), leaf_lifetime_s, ca_lifetime_s)
        return cls(directory, _make(directory, made_for))

    @classmethod
    def open(cls, directory: Path) -> FileKeyring:
        """Open a keyring; nothing secret is read yet, but who else could read it is checked for every file.

        Raises:
            OurError: there is no whole keyring, or its directory or a file of it is open to others.
        """
        _check_directory(directory)
        for name in FILES:
            if (directory / name).is_symlink() or (directory / name).exists():
                _read(directory / name)
        content = _read(directory / RECORD, "Its making was cut off, or it was not copied whole: make it anew.")
        try:
            record = parse_canonical(content, _Record)
        except PeerError as error:
            raise OurError(
                f"cannot be read: {error.reason}", field=str(directory / RECORD), remedy="Restore the keyring."
            ) from None
        return cls(directory, record)

    @property
    def party(self) -> str:
        """Whose keys these are."""
        return self._record.party

    @property
    def authority_public(self) -> PublicKeys:
        """The public authority keys; needs no passphrase and no ``authority.key``."""
        return self._record.authority

    @property
    def authority_locked(self) -> bool:
        """Whether ``authority`` needs a passphrase.

        Raises:
            OurError: the key file is not here, or open to others.
        """
        return self._secret("authority").lock is not None

    def authority(self, passphrase: bytes | None = None) -> Signer:
        """Return the keys that sign agreements and cards.

        Raises:
            OurError: the file is not here, open to others, changed, or locked by another passphrase.
        """
        return self._signer("authority", self._record.authority, passphrase)

    def node(self) -> Signer:
        """Return the keys that sign batches, receipts and checkpoints.

        Raises:
            OurError: the file is not here, open to others, or changed.
        """
        return self._signer("node", self._record.node, None)

    def sealing(self) -> SealingKey:
        """Return the key that opens what was sealed to this party.

        Raises:
            OurError: the file is not here, open to others, or changed.
        """
        key = SealingKey.from_private_bytes(self._open("sealing", None))
        self._check_public("sealing", key.public_bytes().hex() == self._record.sealing)
        return key

    def tls_files(self) -> TlsFiles:
        """Return where the TLS files are, after a look at who could read them.

        Raises:
            OurError: one is not here, or open to others.
        """
        files = TlsFiles(leaf=self._directory / TLS_LEAF, ca=self._directory / TLS_CA)
        _check_directory(self._directory)
        _read(files.leaf)
        _read(files.ca)
        return files

    def tls_expires_ms(self) -> int:
        """Return when the node's TLS certificate is over, in ms since the epoch.

        Raises:
            OurError: the file is not here, open to others, or no certificate.
        """
        path = self._directory / TLS_LEAF
        return from_datetime(_load_certificate(path, _read(path)).not_valid_after_utc)

    def renew_tls(self, now_ms: int, lifetime_s: int, hostnames: Sequence[str]) -> None:
        """Put a fresh TLS key and certificate in the place of the node's old ones, both in one step.

        A running server takes them up by ``relto.peers.tls.load_identity``. Partners need no news of it.

        Raises:
            OurError: the issuing key is not here, open to others, or over; the old certificate stays.
        """
        key_path, path = self._directory / TLS_CA_KEY, self._directory / TLS_CA
        _check_directory(self._directory)
        issuer = _load_key(key_path, _read(key_path)), _load_certificate(path, _read(path))
        leaf = issue_leaf(self.party, issuer, now_ms=now_ms, lifetime_s=lifetime_s, hostnames=hostnames)
        _write(self._directory / TLS_LEAF, _key_pem(leaf) + _certificate_pem(leaf), os.replace)

    def renew(
        self,
        *,
        now_ms: int,
        hostnames: Sequence[str] = (),
        leaf_lifetime_s: int = LEAF_LIFETIME_S,
        ca_lifetime_s: int = CA_LIFETIME_S,
    ) -> Path:
        """Make new node, sealing and TLS keys under the same authority; returns where the old keyring lies now.

        The new keyring is made whole beside the old one, then the two change places. Cut off between the two
        renames, the old keyring is gone from its place and both lie beside it: rename the new one (``.next``) by hand.
        Partners know the new keys by a new card.

        Raises:
            OurError: a directory cannot be written, or one of the two names is taken.
        """
        key = self._directory / KEY_FILES["authority"]
        authority = _read(key) if key.exists() else None
        made_for = _MadeFor(
            self.party, self._record.authority, authority, now_ms, tuple(hostnames), leaf_lifetime_s, ca_lifetime_s
        )
        fresh = self._directory.with_name(f"{self._directory.name}.next")
        past = self._directory.with_name(f"{self._directory.name}.old-{fingerprint(self._record.node)[:9]}")
        if past.exists():
            raise OurError("is there already.", field=str(past), remedy="Move it away.")
        self._record = _make(fresh, made_for)
        try:
            self._directory.rename(past)
            fresh.rename(self._directory)
        except OSError as error:
            raise OurError(
                f"cannot be renamed: {error.strerror}.", field=str(fresh), remedy="See to the directory above it."
            ) from None
        _sync(self._directory.parent)
        return past

    def node_public(self) -> PublicKeys:
        """The public node keys."""
        return self._record.node

    def card(
        self,
        name: str,
        url: str,
        version: int,
        now_ms: int,
        lifetime_s: int,
        *,
        log: int = 1,
        revoked: tuple[Revocation, ...] = (),
    ) -> PartyCard:
        """Return this party's card, yet to be signed by the authority keys (``relto.envelope.card.sign_card``).

        Raises:
            MalformedError, TooLargeError: name, address, version or times are not as a card has them.
        """
        return PartyCard(
            v=CARD_VERSION,
            party=self.party,
            name=name,
            version=version,
            authority=self._record.authority,
            node=self._record.node,
            sealing=self._record.sealing,
            tls_ca=self._record.tls_ca,
            url=url,
            issued_ms=now_ms,
            expires_ms=now_ms + lifetime_s * SECOND_MS,
            log=log,
            revoked=revoked,
        )

    def _signer(self, role: Role, public: PublicKeys, passphrase: bytes | None) -> Signer:
        seeds = self._open(role, passphrase)
        keys = PrivateKeys.from_seeds(seeds[:SEED_BYTES], seeds[SEED_BYTES:])
        self._check_public(role, keys.public == public)
        return keys

    def _secret(self, role: Role) -> _Secret:
        _check_directory(self._directory)
        path = self._directory / KEY_FILES[role]
        content = _read(path, "Bring it back from where it is kept.")
        try:
            secret = parse_canonical(content, _Secret)
        except PeerError:  # its text could quote the secret
            raise _changed(path) from None
        if (secret.party, secret.role) != (self.party, role):
            raise _changed(path)
        return secret

    def _open(self, role: Role, passphrase: bytes | None) -> bytes:
        return _unlock(self._secret(role), self._directory / KEY_FILES[role], passphrase)

    def _check_public(self, role: Role, same: bool) -> None:
        if not same:
            raise _changed(self._directory / KEY_FILES[role])


@dataclass(frozen=True, slots=True)
class _MadeFor:
    """What a new keyring is made from. ``authority_file`` is None where the authority keys are kept elsewhere."""

    party: str
    authority: PublicKeys
    authority_file: bytes | None
    now_ms: int
    hostnames: tuple[str, ...]
    leaf_lifetime_s: int
    ca_lifetime_s: int


def _make(directory: Path, made_for: _MadeFor) -> _Record:
    """Make all keys but the authority's and bring them to the disk."""
    party, now_ms = made_for.party, made_for.now_ms
    node, sealing = PrivateKeys.generate(), SealingKey.generate()
    issuer = issue_ca(party, now_ms=now_ms, lifetime_s=made_for.ca_lifetime_s)
    leaf = issue_leaf(party, issuer, now_ms=now_ms, lifetime_s=made_for.leaf_lifetime_s, hostnames=made_for.hostnames)
    record = _Record(
        v=_VERSION,
        party=party,
        created_ms=now_ms,
        authority=made_for.authority,
        node=node.public,
        sealing=sealing.public_bytes().hex(),
        tls_ca=base64.b64encode(issuer[1].public_bytes(serialization.Encoding.DER)).decode(),
    )
    contents = {
        KEY_FILES["node"]: _close(party, "node", b"".join(node.seeds()), None),
        KEY_FILES["sealing"]: _close(party, "sealing", sealing.private_bytes(), None),
        TLS_CA_KEY: _key_pem(issuer),
        TLS_CA: _certificate_pem(issuer),
        TLS_LEAF: _key_pem(leaf) + _certificate_pem(leaf),
        RECORD: canonical(record),
    }
    if made_for.authority_file is not None:
        contents = {KEY_FILES["authority"]: made_for.authority_file, **contents}
    _prepare(directory)
    for name, content in contents.items():
        _write(directory / name, content, os.link)
    return record


def _authority_of(party: str, content: bytes, passphrase: bytes | None) -> PublicKeys:
    """The public half of the authority keys in the content of a key file."""
    path = Path(KEY_FILES["authority"])
    try:
        secret = parse_canonical(content, _Secret)
    except PeerError:  # its text could quote the secret
        secret = None
    if secret is None or (secret.party, secret.role) != (party, "authority"):
        raise OurError(f"is not the authority keys of {party}.", field=str(path), remedy="Give the right file.")
    seeds = _unlock(secret, path, passphrase)
    return PrivateKeys.from_seeds(seeds[:SEED_BYTES], seeds[SEED_BYTES:]).public


def _changed(path: Path) -> OurError:
    return OurError(
        f"is not the key that {RECORD} beside it names.", field=str(path), remedy="Restore the keyring as a whole."
    )


def _check_passphrase(passphrase: bytes | None) -> None:
    if passphrase is not None and len(passphrase) < PASSPHRASE_BYTES:
        raise OurError(
            f"has {len(passphrase)} bytes, needs {PASSPHRASE_BYTES}.",
            field="passphrase",
            remedy="Take five or six words at random.",
        )


def _close(party: str, role: Role, content: bytes, passphrase: bytes | None) -> bytes:
    if passphrase is None:
        return canonical(_Secret(v=_VERSION, party=party, role=role, lock=None, content=content.hex()))
    lock = _Lock(salt=secrets.token_hex(16), nonce=secrets.token_hex(12))
    header = _Secret(v=_VERSION, party=party, role=role, lock=lock, content="")
    sealed = _cipher(lock, passphrase).encrypt(bytes.fromhex(lock.nonce), content, canonical(header))
    return canonical(msgspec.structs.replace(header, content=sealed.hex()))


def _unlock(secret: _Secret, path: Path, passphrase: bytes | None) -> bytes:
    try:
        content = bytes.fromhex(secret.content)
        if secret.lock is None:
            return content
        if passphrase is None:
            raise OurError("is locked.", field=str(path), remedy="Give its passphrase.")
        header = canonical(msgspec.structs.replace(secret, content=""))
        return _cipher(secret.lock, passphrase).decrypt(bytes.fromhex(secret.lock.nonce), content, header)
    except InvalidTag:
        raise OurError(
            "does not open: another passphrase, or the file was changed.",
            field=str(path),
            remedy="Try the passphrase again; if it is right, restore the file.",
        ) from None
    except ValueError:
        raise _changed(path) from None


def _cipher(lock: _Lock, passphrase: bytes) -> AESGCM:
    return AESGCM(stretched(passphrase, bytes.fromhex(lock.salt)))


def stretched(passphrase: bytes, salt: bytes) -> bytes:
    """The 32-byte key that a passphrase makes: scrypt (RFC 7914), about half a second and 128 MiB."""
    return Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(passphrase)


def _key_pem(issued: Issued) -> bytes:
    return issued[0].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(issued: Issued) -> bytes:
    return issued[1].public_bytes(serialization.Encoding.PEM)


def _load_key(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OurError("holds no key of ours.", field=str(path), remedy="Restore the keyring as a whole.")
    return key


def _load_certificate(path: Path, content: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError:
        raise OurError("holds no certificate.", field=str(path), remedy="Restore the keyring as a whole.") from None


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700)
        _sync(directory.parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise OurError(
            f"cannot be made: {error.strerror}.", field=str(directory), remedy="Make the directory above it."
        ) from None
    _check_directory(directory)
    there = [name for name in FILES if (directory / name).is_symlink() or (directory / name).exists()]
    if there:
        raise OurError(
            f"holds {', '.join(there)} already.",
            field=str(directory),
            remedy=f"Take another directory. If {RECORD} is missing, a making was cut off and no card was ever issued "
            "from these keys: then remove the directory.",
        )


def _check_directory(directory: Path) -> None:
    try:
        found = directory.stat()
    except OSError as error:
        raise OurError(
            f"cannot be opened: {error.strerror}.", field=str(directory), remedy="Make a keyring there first."
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise OurError("is not a directory.", field=str(directory), remedy="Name the keyring's directory.")
    _check_custody(directory, found, "700")


def _check_custody(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise OurError(
            f"belongs to user {found.st_uid}, and this program runs as user {os.geteuid()}.",
            field=str(path),
            remedy=f"chown {os.geteuid()} {path}",
        )
    if found.st_mode & _OTHERS:
        raise OurError(
            f"is open to others: its mode is {stat.S_IMODE(found.st_mode):04o}.",
            field=str(path),
            remedy=f"If nobody can have read it: chmod {mode} {path} (else make new keys).",
        )


def _read(path: Path, missing: str = "Restore the keyring as a whole.") -> bytes:
    try:
        # a link could lead to a file of another keyring, and opening a pipe would wait for a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}"
        raise OurError(f"{reason}.", field=str(path), remedy=missing) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _FILE_BYTES:
            raise OurError("is no key file.", field=str(path), remedy=missing)
        _check_custody(path, found, "600")
        return file.read(_FILE_BYTES)


def _write(path: Path, content: bytes, place: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask says
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        place(temporary, path)
    except OSError as error:
        raise OurError(
            f"cannot be written: {error.strerror}.", field=str(path), remedy="See to the directory and its disk."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
