"""TLS between services: an unknown authority or another name is refused; a new certificate needs no restart."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest
from pydantic import SecretStr

from deploy.certificates import Pair, issue, make_authority
from services.demo.running.system import Wishes, running_system
from shared.adapters.http.clients import make_client
from shared.adapters.run_service import make_service
from shared.domain.errors import Refused
from shared.runtime.clock import now
from shared.runtime.http.tls import client_context, server_context
from shared.runtime.service import Service
from shared.runtime.settings import Settings
from tests.support.waiting import eventually_async

HOSTS: Final = ("localhost", "127.0.0.1")


class Certificates:
    """The files of one service and of its clients, and the authority that signs for them."""

    def __init__(self, folder: Path) -> None:
        self.file, self.ca = folder / "tls.pem", folder / "ca.pem"
        self.authority = make_authority("one", now())
        self.ca.write_bytes(self.authority.certificate)
        self.renew()

    def renew(self, authority: Pair | None = None, hosts: tuple[str, ...] = HOSTS, at: datetime | None = None) -> None:
        """Replace the service's certificate, as the job `keys` does: at once, whole."""
        pair = issue(authority or self.authority, "test", hosts, at or now())
        fresh = self.file.with_suffix(".new")
        fresh.write_bytes(pair.key + pair.certificate)
        fresh.replace(self.file)

    def settings(self, **other: object) -> Settings:
        given = {"tls_certificate": self.file, "tls_ca": self.ca, "ledger_key": SecretStr("key")}
        return Settings(**{**given, **other})  # type: ignore[arg-type]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@asynccontextmanager
async def nothing(_: Service[Settings]) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """A service without further routes, on uvicorn; its URL."""
    service = make_service("national_platform", settings, nothing)
    task = asyncio.create_task(service.server.serve())
    try:
        await eventually_async(lambda: has(service.server.started or task.done()), "the service to start")
        assert not task.done(), task.exception()
        port = service.server.servers[0].sockets[0].getsockname()[1]
        yield f"https://127.0.0.1:{port}"
    finally:
        service.server.should_exit = True
        await task


async def has(value: bool) -> bool:
    return value


async def request(settings: Settings, url: str) -> int:
    async with make_client(settings, url, 10.0) as client:
        return (await client.get("/healthz")).status_code


async def test_a_client_takes_a_certificate_of_its_authority_for_that_name_only(
    certificates: Certificates, tmp_path: Path
) -> None:
    stranger = make_authority("another", now())
    (tmp_path / "stranger.pem").write_bytes(stranger.certificate)
    async with serving(certificates.settings()) as url:
        assert await request(certificates.settings(), url) == httpx.codes.OK
        for settings in (certificates.settings(tls_ca=tmp_path / "stranger.pem"), certificates.settings(tls_ca=None)):
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await request(settings, url)
        certificates.renew(hosts=("ledger",))
        with pytest.raises(httpx.ConnectError, match=r"CERTIFICATE_VERIFY_FAILED.*127"):
            await request(certificates.settings(), url)
        certificates.renew(at=now() - timedelta(days=900))
        with pytest.raises(httpx.ConnectError, match="certificate has expired"):
            await request(certificates.settings(), url)
        with pytest.raises(httpx.TransportError):
            await request(certificates.settings(), url.replace("https:", "http:"))


async def test_the_national_platform_may_have_another_authority(certificates: Certificates, tmp_path: Path) -> None:
    (tmp_path / "stranger.pem").write_bytes(make_authority("another", now()).certificate)
    async with serving(certificates.settings()) as url:
        ours = certificates.settings(tls_ca=tmp_path / "stranger.pem", platform_ca=certificates.ca, platform_url=url)
        assert await request(ours, url) == httpx.codes.OK
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await request(ours.model_copy(update={"platform_url": "https://elsewhere"}), url)


async def test_certificate_and_authority_change_under_load_and_no_request_is_refused(
    certificates: Certificates,
) -> None:
    """Overlap: the new authority joins the old one in the file, then the certificate changes, then the old one goes."""
    serials: set[str] = set()
    answered = 0
    new = make_authority("two", now())
    async with serving(certificates.settings()) as url, make_client(certificates.settings(), url, 10.0) as kept:
        host, port = url.removeprefix("https://").split(":")

        async def load() -> None:
            nonlocal answered
            while not is_over.is_set():
                assert (await kept.get("/healthz")).status_code == httpx.codes.OK
                # A client made now, and one made at the beginning: both make handshakes all the time.
                assert await request(certificates.settings(), url) == httpx.codes.OK
                answered += 1

        async def serve_some() -> None:
            before = answered
            await eventually_async(lambda: has(answered >= before + 4 or loading.done()), "requests")
            assert not loading.done(), loading.exception()
            serials.add(await asyncio.to_thread(ssl.get_server_certificate, (host, int(port))))

        is_over = asyncio.Event()
        loading = asyncio.gather(load(), load())
        await serve_some()
        certificates.renew()
        await serve_some()
        certificates.ca.write_bytes(certificates.authority.certificate + new.certificate)
        certificates.renew(authority=new)
        await serve_some()
        certificates.ca.write_bytes(new.certificate)
        await serve_some()
        is_over.set()
        await loading
    assert len(serials) == 3


def test_files_that_cannot_be_used_are_named_and_later_ones_change_nothing(
    certificates: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for certificate, key, words in (
        (tmp_path / "none", None, "DANBAO_TLS_CERTIFICATE: .*/none is no certificate"),
        (certificates.ca, None, "DANBAO_TLS_CERTIFICATE: .*/ca.pem is no certificate with its unencrypted key"),
        (certificates.file, tmp_path / "empty", "tls.pem and .*/empty are no certificate"),
        (None, certificates.file, "DANBAO_TLS_KEY is set"),
    ):
        with pytest.raises(Refused, match=words):
            server_context(certificate, key)
    with pytest.raises(Refused, match=r"DANBAO_TLS_CA: .*/empty is no PEM file"):
        client_context("DANBAO_TLS_CA", tmp_path / "empty")
    assert server_context(None, None) is None
    context = server_context(certificates.file, None)
    assert context is not None
    first = context.current()
    assert context.current() is first
    whole = certificates.file.read_bytes()
    certificates.file.write_bytes(whole[:100])
    assert context.current() is first
    certificates.file.unlink()
    assert context.current() is first
    certificates.file.write_bytes(whole)
    assert context.current() is not first


@pytest.mark.exhaustive
async def test_four_services_call_each_other_by_tls(certificates: Certificates, tmp_path: Path) -> None:
    """Each is ready, and takes a new certificate as well as a service alone."""
    (tmp_path / "state").mkdir(mode=0o700)
    tls = {"DANBAO_TLS_CERTIFICATE": str(certificates.file), "DANBAO_TLS_CA": str(certificates.ca)}
    async with running_system(Wishes(tmp_path / "state", extra=tls)) as system:
        urls = {value for name, value in system.variables.items() if name.endswith("_URL")}
        assert len(urls) == 4
        assert all(url.startswith("https://") for url in urls)
        certificates.renew()
        for url in urls:
            assert await request(certificates.settings(), url) == httpx.codes.OK
        assert (await system.apis.ledger.get("/v1/status"))["runs"] is not None
