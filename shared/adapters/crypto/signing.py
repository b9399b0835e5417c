"""Ed25519 over bytes, keys in PEM files."""

import base64
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.domain.errors import Refused
from shared.domain.evidence.authors import Author, Role, message_statement, signature_header
from shared.domain.evidence.signed_note import Signature, VerifierKey, is_key_name, make_signature


def make_key_pair(private: Path, public: Path) -> None:
    """Write a new key pair; the private one readable by its owner only. Existing files are left as they are."""
    if private.exists() and public.exists():
        return
    key = Ed25519PrivateKey.generate()
    pem, raw = serialization.Encoding.PEM, serialization.NoEncryption()
    _write_private(private, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, raw))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))


def make_note_key(private: Path, name: str, kind: int) -> VerifierKey:
    """Write a new private key, readable by its owner only, unless the file is there; returns its public half.

    Raises Refused before anything is written where the name is none.
    """
    _check_name(name)
    if not private.exists():
        pem, raw = serialization.Encoding.PEM, serialization.NoEncryption()
        made = Ed25519PrivateKey.generate()
        _write_private(private, made.private_bytes(pem, serialization.PrivateFormat.PKCS8, raw))
    return NoteSigner(private, name, kind).verifier


class Signer:
    """Signs with the private key of one file; raises Refused naming the file when it holds none."""

    def __init__(self, private: Path) -> None:
        self._key = _load_private(private)

    def sign(self, body: bytes) -> str:
        """Base64 of the 64-byte signature."""
        return base64.b64encode(self._key.sign(body)).decode()


class NoteSigner:
    """Signs notes under a name with the private key of one file; `kind` is a signature type of `signed_note`."""

    def __init__(self, private: Path, name: str, kind: int) -> None:
        _check_name(name)
        self._key = _load_private(private)
        self.verifier = VerifierKey(name, kind, self._key.public_key().public_bytes_raw())

    def sign(self, text: str, cosigned_at: int = 0) -> Signature:
        """Its signature line for the text; a cosigning key needs the POSIX time."""
        return make_signature(self.verifier, text, self._key.sign, cosigned_at)

    def sign_bytes(self, statement: bytes) -> bytes:
        """The 64-byte signature over a statement that is no note."""
        return self._key.sign(statement)


class AuthorSigner:
    """Signs manifests and messages as one author; `author` says which and what it may say."""

    def __init__(self, key: Ed25519PrivateKey, author: Author) -> None:
        self._key, self.author = key, author
        self.key_id = author.key.key_id

    @classmethod
    def load(cls, private: Path, known: Iterable[Author], role: Role, identity: str = "") -> "AuthorSigner":
        """With the key of a file; raises Refused where it is not a known key of this role and identity."""
        key = _load_private(private)
        public = key.public_key().public_bytes_raw()
        for author in known:
            if author.key.public == public and (author.role, author.identity) == (role, identity):
                if author.is_retired:
                    raise Refused(f"{private}: this key of {author.name} is retired, so nobody would take its word")
                return cls(key, author)
        raise Refused(f"{private}: the known authors have no such key of {role} {identity}".rstrip())

    @classmethod
    def load_person(cls, private: Path, known: Iterable[Author]) -> "AuthorSigner":
        """With a person's key from a file; raises Refused where no known operator has it."""
        public = _load_private(private).public_key().public_bytes_raw()
        for author in known:
            if author.role is Role.OPERATOR and author.key.public == public and not author.is_retired:
                return cls.read(private, author)
        raise Refused(f"{private}: the known authors have no such key of a person")

    @classmethod
    def read(cls, private: Path, author: Author) -> "AuthorSigner":
        """With the key of a file, whose public half is the author's; raises Refused naming the file when it is none."""
        return cls(_load_private(private), author)

    def sign(self, statement: bytes) -> bytes:
        """The 64-byte signature."""
        return self._key.sign(statement)

    def sign_token(self, claims: Mapping[str, str | datetime]) -> str:
        """A JSON Web Token of these claims, which names the key."""
        return jwt.encode(dict(claims), self._key, algorithm="EdDSA", headers={"kid": self.key_id.hex()})

    def sign_message(self, topic: str, value: bytes) -> bytes:
        """The value of the signature header of a message with this value to this topic."""
        return signature_header(self.key_id, self.sign(message_statement(topic, value)))


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """True when the raw 64-byte signature is that of the raw 32-byte key over the message; never raises."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Verifier:
    """Checks against the public key of one file; raises Refused naming the file when it holds none."""

    def __init__(self, public: Path) -> None:
        try:
            key = serialization.load_pem_public_key(public.read_bytes())
        except (OSError, ValueError) as error:
            raise Refused(f"{public}: not an Ed25519 public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise Refused(f"{public}: not an Ed25519 public key")
        self._key = key

    def is_signed(self, body: bytes, signature: str) -> bool:
        """True when the base64 signature is this key's over exactly these bytes."""
        try:
            self._key.verify(base64.b64decode(signature, validate=True), body)
        except (InvalidSignature, ValueError):
            return False
        return True


def _check_name(name: str) -> None:
    if not is_key_name(name):
        raise Refused(f"{name!r} is no name of a key: no spaces, no plus signs")


def _write_private(private: Path, data: bytes) -> None:
    handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _load_private(private: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"{private}: not an Ed25519 private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(f"{private}: not an Ed25519 private key")
    return key
