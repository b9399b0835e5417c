"""Makes the HTTP clients of services and command, which check a server's certificate against our authorities."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import httpx

from shared.runtime.http.tls import client_context
from shared.runtime.settings import Settings

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def make_client(
    settings: Settings,
    url: str,
    timeout_seconds: float,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    auth: httpx.Auth | None = None,
    limits: httpx.Limits | None = None,
) -> httpx.AsyncClient:
    """A client for a service at this URL; proxies of the environment are not used.

    The national platform is another party: DANBAO_PLATFORM_CA names its authorities where they are not ours.
    """
    return httpx.AsyncClient(
        base_url=url,
        headers=dict(headers),
        auth=auth,
        timeout=timeout_seconds,
        limits=limits or httpx.Limits(max_connections=100, max_keepalive_connections=20),
        verify=_authorities(settings, url),
        trust_env=False,
    )


def _authorities(settings: Settings, url: str) -> ssl.SSLContext:
    is_platform = settings.platform_ca is not None and url.startswith(settings.platform_url)
    named: tuple[str, Path | None] = (
        ("DANBAO_PLATFORM_CA", settings.platform_ca) if is_platform else ("DANBAO_TLS_CA", settings.tls_ca)
    )
    return client_context(*named)
