"""Make the certificates with which our servers prove who they are, by the deployment's internal authority.

Part of `python -m deploy.first_keys`. One that ends within RENEW_DAYS is made again each time the job runs, and its
server takes it without a restart. A certificate by another authority is an operator's own, and stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.broker_files import AUTHORITY, FOR_BROKER, SECRET, replace_file, write_file
from deploy.certificates import Pair, issue, make_authority

RENEW_DAYS: Final = 60
"""Twice what the alarm waits for."""
PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Server:
    """A server: the folder of its certificate and key (`tls.pem`), and its name on the networks of compose."""

    folder: str
    host: str


SERVERS: Final = (
    Server("charging", "charging"),
    Server("ledger", "ledger"),
    Server("reporting", "reporting"),
    Server("witness", "national-platform"),
    Server("postgres-tls", "postgres"),
    Server("platform-postgres-tls", "platform-postgres"),
)


def make_tls_files(keys: Path, now: datetime) -> None:
    """Write what is missing or ends soon, and the authority's certificate and all others without keys to `public`."""
    authority = make_internal_authority(keys / "kafka-authority", now)
    replace_file(keys / "public" / "ca.pem", authority.certificate, PUBLIC)
    for server in SERVERS:
        make_server_file(authority, keys / server.folder / "tls.pem", (server.host, "localhost", "127.0.0.1"), now)
        publish(keys / server.folder / "tls.pem", keys, server.host)
    for file, name in ((keys / "kafka-broker" / "broker.pem", "kafka"), (keys / "tls" / "tls.crt", "proxy")):
        if file.exists():
            publish(file, keys, name)


def make_internal_authority(folder: Path, now: datetime) -> Pair:
    """Read the authority, or make it at the first start; its key stays in this folder."""
    if not (folder / "ca.pem").exists():
        made = make_authority(AUTHORITY, now)
        write_file(folder / "ca.key", made.key, SECRET)
        write_file(folder / "ca.pem", made.certificate, FOR_BROKER)
    return Pair((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes())


def make_server_file(authority: Pair, file: Path, hosts: Sequence[str], now: datetime) -> bool:
    """Write key and certificate into one file, unless a good one is there: both change at once. True if written."""
    if file.exists():
        certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
        ends_later = certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
        if ends_later or not is_issued_by(certificate, authority):
            return False
    pair = issue(authority, hosts[0], hosts, now)
    replace_file(file, pair.key + pair.certificate, SECRET)
    return True


def is_issued_by(certificate: x509.Certificate, authority: Pair) -> bool:
    """Whether this authority signed it: another one's is an operator's, and not ours to replace."""
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def publish(file: Path, keys: Path, name: str) -> None:
    """Copy the certificates of a file, without its key, for those who watch when they end."""
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    content = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    (keys / "public" / "certificates").mkdir(exist_ok=True)
    replace_file(keys / "public" / "certificates" / f"{name}.pem", content, PUBLIC)
