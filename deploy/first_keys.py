"""Make what a deployment needs once: keys that sign reports, checkpoints and messages, and the access files.

`python -m deploy.first_keys`, run by the compose file before the services. Existing files are kept, so it can
be run again. Portal users and API clients have separate accounts and keys: `danbao user`, `danbao key`.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.kafka_keys import make_kafka_files
from deploy.proxy_files import make_proxy_files
from deploy.service_keys import entry, make_service_keys
from deploy.tls_files import make_tls_files
from shared.adapters.crypto.signing import make_key_pair, make_note_key
from shared.adapters.files.scheme import load_scheme
from shared.adapters.files.vkeys import add_author, add_vkey
from shared.domain.evidence.authors import Author, Role
from shared.domain.evidence.signed_note import COSIGNATURE, ED25519
from shared.runtime.access import sha256_hex
from shared.runtime.clock import now
from shared.runtime.deployments import load_deployments
from shared.runtime.secret_file import find_secret
from shared.runtime.settings import Settings

METER: Final = "demo-meter"
"""The `source` of the totals that the simulated independent meter counts."""
FIRST_OPERATOR: Final = "operator"
KEYS = "/keys"
"""Where the compose file mounts a volume for each of the folders; DANBAO_KEYS names another place."""


def main(keys: Path, operator_key: str, public_url: str, kafka_published: str) -> None:
    """Write the missing files; the operator's key itself is kept nowhere, only its hash.

    `private` is for reporting alone, `charging` and `log` for charging and the ledger, `sources` for the simulated
    outside sources, `witness` for the national platform, `readers` for our services, `public` for everybody;
    `ledger`, `reporting` and `operator` hold the keys that each shows to others; `proxy` and `tls` are the proxy's.
    """
    make_key_pair(keys / "private" / "signing.pem", keys / "public" / "signing.pub.pem")
    make_log_keys(keys / "log" / "log.pem", keys / "witness" / "witness.pem", keys / "public" / "vkeys")
    names = load_deployments(Settings()).names
    make_author_keys(our_authors(names, keys / "charging", keys / "log"), keys / "public" / "vkeys")
    make_author_keys(outside_sources(keys / "sources"), keys / "public" / "vkeys")
    make_author_keys([first_operator(keys / "operator")], keys / "public" / "vkeys")
    write_readers(keys / "readers" / "access.toml", operator_key, "operator")
    make_service_keys(keys, keys / "readers" / "access.toml")
    make_proxy_files(keys, public_url, now())
    write_readers(keys / "public" / "platform-access.toml", operator_key, "national")
    make_kafka_files(keys, kafka_published, sorted(load_scheme(Settings().scheme).enterprises))
    make_tls_files(keys, now())


def make_log_keys(log: Path, witness: Path, vkeys: Path) -> dict[str, str]:
    """Make the keys of the evidence log and its witness, both in the file of vkeys; return the settings that name them.

    Names are those of DANBAO_LOG_ORIGIN and DANBAO_WITNESS_NAME. A key that was replaced stays in the file.
    """
    settings = Settings()
    add_vkey(vkeys, make_note_key(log, settings.log_origin, ED25519))
    add_vkey(vkeys, make_note_key(witness, settings.witness_name, COSIGNATURE))
    return {"DANBAO_LOG_KEYS": str(log), "DANBAO_WITNESS_KEY": str(witness), "DANBAO_VKEYS": str(vkeys)}


@dataclass(frozen=True, slots=True)
class AuthorFile:
    """An author with the path of its private key."""

    private: Path
    role: Role
    identity: str = ""


def our_authors(deployments: Iterable[str], charging: Path, ledger: Path) -> list[AuthorFile]:
    """List the ledger and each deployment of charging, with their keys in these folders."""
    authors = [AuthorFile(charging / f"{name}.author.pem", Role.CHARGING, name) for name in sorted(deployments)]
    return [*authors, AuthorFile(ledger / "ledger.author.pem", Role.LEDGER)]


def outside_sources(folder: Path) -> list[AuthorFile]:
    """Simulated outside sources; real ones make their own keys (`danbao author key`) and keep them."""
    return [
        AuthorFile(folder / "remittances.author.pem", Role.REMITTANCES),
        AuthorFile(folder / "injuries.author.pem", Role.INJURIES),
        AuthorFile(folder / f"{METER}.author.pem", Role.TOTALS, METER),
    ]


def first_operator(folder: Path) -> AuthorFile:
    """The person who decides with the command `danbao` until persons have their own keys (`danbao author key`)."""
    return AuthorFile(folder / f"{FIRST_OPERATOR}.author.pem", Role.OPERATOR, FIRST_OPERATOR)


def make_author_keys(authors: Iterable[AuthorFile], vkeys: Path) -> None:
    """Make the missing keys and add all of them to the file of vkeys."""
    domain = Settings().log_origin.partition("/")[0]
    for author in authors:
        name = "/".join(part for part in (domain, author.role, author.identity) if part)
        add_author(vkeys, Author(make_note_key(author.private, name, ED25519), author.role, author.identity))


def write_readers(file: Path, key: str, scope: str) -> None:
    """Write a file of access keys with one reader, unless it exists."""
    if not file.exists():
        file.write_text(entry("operator", sha256_hex(key), scope))


if __name__ == "__main__":
    operator_key = find_secret("DANBAO_OPERATOR_KEY")
    if operator_key is None:
        sys.exit("DANBAO_OPERATOR_KEY_FILE is not set")
    main(
        Path(os.environ.get("DANBAO_KEYS", KEYS)),
        operator_key,
        os.environ["DANBAO_PUBLIC_URL"],
        os.environ["KAFKA_PUBLISHED"],
    )
