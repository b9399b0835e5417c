"""Authors of the tests: keys made of their names, so that every process and file of a test has the same ones."""

import re
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.adapters.crypto.signing import AuthorSigner, is_signed
from shared.adapters.files.vkeys import add_author, add_vkey
from shared.adapters.http.as_person import AsPerson
from shared.contracts.topics import SIGNATURE_HEADER, SPEAKERS
from shared.domain.evidence.authors import Author, Authors, Role
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519, VerifierKey

METER: Final = "tax-bureau"
SOURCES: Final = (METER, "meters", "bank", "unions")
"""Who counts independently in the tests."""


def author_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(f"author {name}".encode()).digest())


def author(role: Role, identity: str = "", name: str = "") -> AuthorSigner:
    """The signer; its key's name follows from role and identity unless it is given."""
    written = name or "/".join(part for part in ("authors.example", role.value, identity) if part)
    key = author_key(written)
    return AuthorSigner(key, Author(VerifierKey(written, ED25519, key.public_key().public_bytes_raw()), role, identity))


CHARGING: Final = author(Role.CHARGING, "charging")
WEST: Final = author(Role.CHARGING, "west")
EAST: Final = author(Role.CHARGING, "east")
LEDGER: Final = author(Role.LEDGER)
COLLECTOR: Final = author(Role.REMITTANCES)
INJURIES: Final = author(Role.INJURIES)
METERS: Final = author(Role.TOTALS, METER)
OPERATOR: Final = author(Role.OPERATOR, "operator")
BOB: Final = author(Role.OPERATOR, "bob")
ALL: Final = (
    CHARGING, WEST, EAST, LEDGER, COLLECTOR, INJURIES, *(author(Role.TOTALS, source) for source in SOURCES),
    OPERATOR, BOB,
)  # fmt: skip
STRANGER: Final = author(Role.CHARGING, "charging", "stranger.example/charging")
"""Somebody who says that he is charging, and whom nobody knows."""
AUTHORS: Final = Authors((signer.author for signer in ALL), is_signed)


def rightful(topic: str, body: bytes) -> AuthorSigner:
    """Who may send this to the topic: the one that it names, or any of the role where it names nobody known."""
    named = re.search(rb'"(?:deployment|source)":"([a-z-]+)"[^{]*\Z', body)
    may = [signer for signer in ALL if signer.author.role == SPEAKERS[topic]]
    own = [signer for signer in may if named and signer.author.identity == named[1].decode()]
    return (own or may)[0]


def headers_of(topic: str, body: bytes, signer: AuthorSigner | None = None) -> tuple[tuple[str, bytes], ...]:
    """The header of a message that its rightful author, or somebody else, has signed."""
    return ((SIGNATURE_HEADER, (signer or rightful(topic, body)).sign_message(topic, body)),)


def as_operator(service: str) -> AsPerson:
    """Signs the decisions that a client of this service sends."""
    return AsPerson(OPERATOR, service)


def person_variables(folder: Path, signer: AuthorSigner = OPERATOR) -> dict[str, str]:
    """A person's key, as variables of the command; in a folder with the files of `write_author_files`."""
    private = folder / f"{signer.author.identity}.author.pem"
    private.write_bytes(_pem(signer))
    return {"DANBAO_PERSON_KEY": str(private), "DANBAO_VKEYS": str(folder / "vkeys")}


def write_author_files(folder: Path, signer: AuthorSigner) -> dict[str, str]:
    """The private key of one and the file of all, as settings name them; with a witness, so that the ledger starts."""
    vkeys, private = folder / "vkeys", folder / f"{signer.author.key.name.replace('/', '-')}.pem"
    witness = author_key("witness.example").public_key().public_bytes_raw()
    add_vkey(vkeys, VerifierKey("witness.example", COSIGNATURE, witness))
    for member in ALL:
        add_author(vkeys, member.author)
    private.write_bytes(_pem(signer))
    return {"VKEYS": str(vkeys), "AUTHOR_KEY": str(private)}


def _pem(signer: AuthorSigner) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return author_key(signer.author.key.name).private_bytes(encoding, form, serialization.NoEncryption())
