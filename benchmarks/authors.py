"""Authors of the benchmarks: keys made of their names, known to everybody and good for nothing else."""

from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.adapters.crypto.signing import AuthorSigner, is_signed
from shared.adapters.files.vkeys import add_author
from shared.domain.evidence.authors import Author, Authors, Role
from shared.domain.evidence.signed_note import ED25519, VerifierKey


def charging_author(deployment: str) -> AuthorSigner:
    """The signer of a deployment."""
    name = f"bench.example/charging/{deployment}"
    key = _key(name)
    public = VerifierKey(name, ED25519, key.public_key().public_bytes_raw())
    return AuthorSigner(key, Author(public, Role.CHARGING, deployment))


def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


CHARGING: Final = charging_author("charging")
AUTHORS: Final = Authors([CHARGING.author], is_signed)


def write_author_files(folder: Path, deployment: str) -> dict[str, str]:
    """The key of a deployment and a file that names it, as the variables of a worker."""
    signer, vkeys, private = charging_author(deployment), folder / "vkeys", folder / f"{deployment}.author.pem"
    ledger = "bench.example/ledger"
    add_author(vkeys, signer.author)
    add_author(vkeys, Author(VerifierKey(ledger, ED25519, _key(ledger).public_key().public_bytes_raw()), Role.LEDGER))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(_key(signer.author.key.name).private_bytes(encoding, form, serialization.NoEncryption()))
    return {"DANBAO_VKEYS": str(vkeys), "DANBAO_AUTHOR_KEY": str(private)}
