"""The certificates that the job `keys` makes for each server by its name, again before they end; others are kept."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from deploy.certificates import CERTIFICATE_DAYS, issue, make_authority
from deploy.tls_files import RENEW_DAYS, SERVERS, make_tls_files
from shared.runtime.http.tls import client_context, server_context

NOW = datetime(2026, 11, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=CERTIFICATE_DAYS - RENEW_DAYS)


def files(keys: Path) -> dict[str, bytes]:
    return {server.host: (keys / server.folder / "tls.pem").read_bytes() for server in SERVERS}


def made(keys: Path, now: datetime) -> dict[str, bytes]:
    (keys / "public").mkdir(exist_ok=True)
    make_tls_files(keys, now)
    return files(keys)


def test_each_server_has_a_certificate_of_its_names_and_a_key_that_nobody_else_sees(tmp_path: Path) -> None:
    made(tmp_path, NOW)
    for server in SERVERS:
        file = tmp_path / server.folder / "tls.pem"
        assert file.stat().st_mode & 0o777 == 0o600
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [server.host, "localhost"]
        assert server_context(file, None) is not None
    client_context("DANBAO_TLS_CA", tmp_path / "public" / "ca.pem")
    public = [file.read_bytes() for file in (tmp_path / "public").rglob("*.pem")]
    assert len(public) == len(SERVERS) + 1
    assert not [content for content in public if b"PRIVATE" in content]
    assert [x509.load_pem_x509_certificate(content) for content in public]
    assert ssl.create_default_context(cafile=tmp_path / "public" / "ca.pem").get_ca_certs()


def test_a_certificate_is_made_again_before_it_ends_and_not_sooner(tmp_path: Path) -> None:
    first = made(tmp_path, NOW)
    assert made(tmp_path, LATER - timedelta(days=1)) == first
    second = made(tmp_path, LATER + timedelta(seconds=1))
    assert not set(first.values()) & set(second.values())
    watched = (tmp_path / "public" / "certificates" / "ledger.pem").read_bytes()
    assert watched in second["ledger"]
    assert (tmp_path / "public" / "ca.pem").read_bytes() == (tmp_path / "kafka-authority" / "ca.pem").read_bytes()


def test_an_operators_own_certificate_stays_even_when_it_ends(tmp_path: Path) -> None:
    pair = issue(make_authority("an operator's", NOW), "ledger", ("ledger",), NOW)
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "tls.pem").write_bytes(pair.key + pair.certificate)
    made(tmp_path, NOW)
    assert made(tmp_path, NOW + timedelta(days=CERTIFICATE_DAYS + 1))["ledger"] == pair.key + pair.certificate
