"""Write what the proxy of docker-compose.yml reads: its configuration, and a certificate where none is given.

The public address of the pages (DANBAO_PUBLIC_URL) gives host and port; everything else of deploy/proxy/nginx.conf is
one deployment like another. A certificate and key of one's own are put into the folder beforehand, as tls.crt and
tls.key; otherwise an authority that signs this one certificate is made, its certificate is public/proxy-ca.pem.
"""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.certificates import issue, make_authority
from shared.domain.errors import Refused

TEMPLATE: Final = Path(__file__).resolve().parent / "proxy" / "nginx.conf"
PORTAL_PORT: Final = 8443
PLATFORM_PORT: Final = 8444
IN_COMPOSE: Final = {
    "RUN": "/run/nginx",
    "ACCESS_LOG": "/dev/stdout",
    "TLS": "/keys/tls",
    "UPSTREAM": "https",
    "CA": "/keys/public/ca.pem",
    "WAIT": "10s",
    "HEALTH_PORT": "8080",
    "PORTAL_PORT": str(PORTAL_PORT),
    "PLATFORM_PORT": str(PLATFORM_PORT),
    "REPORTING": "reporting:8103",
    "LEDGER": "ledger:8102",
    "PLATFORM": "national-platform:8104",
}
"""Paths and addresses within the containers, and timeouts for slow clients."""
_PLACE: Final = re.compile(r"\$\{([A-Z_]+)\}")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")


def make_proxy_files(keys: Path, public_url: str, now: datetime) -> None:
    """Write `proxy/nginx.conf` at every start, and `tls/tls.crt` and `tls/tls.key` once."""
    name, _ = _public(public_url)
    configuration = keys / "proxy" / "nginx.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(render(IN_COMPOSE, public_url), encoding="utf-8")
    make_certificate(keys / "tls", keys / "public" / "proxy-ca.pem", name, now)


def render(places: Mapping[str, str], public_url: str) -> str:
    """Render the configuration with these values; raises Refused for an invalid address."""
    name, netloc = _public(public_url)
    known = {**places, "NAME": name, "PORTAL_HOST": netloc, "PLATFORM_HOST": f"{name}:{places['PLATFORM_PORT']}"}
    return _PLACE.sub(lambda found: known[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def make_certificate(folder: Path, authority_file: Path, name: str, now: datetime) -> None:
    """Make a certificate for this host, unless there is one, and an authority whose key is forgotten at once."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    if certificate.exists() != key.exists():
        raise Refused(f"{folder} has one of tls.crt and tls.key: give both, or neither")
    if certificate.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    authority = make_authority("Danbao proxy", now)
    pair = issue(authority, name, [name], now)
    _write_private(key, pair.key)
    certificate.write_bytes(pair.certificate + authority.certificate)
    authority_file.parent.mkdir(parents=True, exist_ok=True)
    authority_file.write_bytes(authority.certificate)


def _public(url: str) -> tuple[str, str]:
    """Return the host, and the host with port as browsers send it."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise Refused(f"DANBAO_PUBLIC_URL: {url!r} is not the https:// address of a host")
    if parts.path.strip("/"):
        raise Refused(f"DANBAO_PUBLIC_URL: {url!r} has a path: this proxy serves a host; a path is for another proxy")
    return parts.hostname, parts.netloc.lower()


def _write_private(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
