"""Debian's PostgreSQL with TLS on, and no connection without it: what the wheel's server cannot do."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.account import find_system_user
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.state import StateDirectory
from tests.support.tools import tool
from tests.tidy.source import ROOT

RULES: Final = ROOT / "deploy" / "postgres" / "pg_hba.conf"
"""Who may connect, as in docker-compose.yml."""


@dataclass(frozen=True, slots=True)
class TlsPostgres:
    """A running server, and the file of its certificate and key."""

    server: EmbeddedPostgres
    file: Path

    def take(self, certificate: Path) -> None:
        """Read a new certificate, as deploy/postgres/start.sh makes the server do."""
        _give(certificate, self.file)
        self.server.server.send_signal(signal.SIGHUP)


@contextmanager
def tls_postgres(certificate: Path, password: str | None = None) -> Iterator[TlsPostgres]:
    """Run a server with this file of certificate and key, which only TLS reaches."""
    with StateDirectory(shared=find_system_user() is not None) as state:
        file, rules = state.path / "tls.pem", state.path / "pg_hba.conf"
        shutil.copyfile(RULES, rules)
        rules.chmod(0o644)
        _give(certificate, file)
        settings = {"fsync": "off", "hba_file": str(rules), "ssl": "on"}
        settings |= {"ssl_cert_file": str(file), "ssl_key_file": str(file)}
        server = EmbeddedPostgres(settings, binaries=Path(tool("postgresql")))
        if password is not None:
            server.password = password
        with server:
            yield TlsPostgres(server, file)


def _give(certificate: Path, file: Path) -> None:
    """Copy it for the server's user alone, at once."""
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(certificate.read_bytes())
    if (user := find_system_user()) is not None:
        os.chown(fresh, user.uid, user.gid)
    fresh.replace(file)
