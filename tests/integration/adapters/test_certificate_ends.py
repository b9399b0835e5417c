"""A certificate that ends within thirty days is a warning and a metric, and the service stays ready."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.certificates import CERTIFICATE_DAYS, issue, make_authority
from shared.adapters.crypto.certificate_ends import ALARM_DAYS, CertificateWatch
from shared.adapters.run_service import make_service
from shared.runtime.clock import now
from shared.runtime.service import Service
from shared.runtime.settings import Settings


def write(file: Path, days_left: float) -> datetime:
    """A certificate of a server, with its key, that ends in so many days; returns when."""
    made_at = now() + timedelta(days=days_left - CERTIFICATE_DAYS)
    pair = issue(make_authority("test", made_at), "ledger", ("ledger",), made_at)
    file.write_bytes(pair.key + pair.certificate)
    return made_at + timedelta(days=CERTIFICATE_DAYS)


@asynccontextmanager
async def nothing(_: Service[Settings]) -> AsyncIterator[None]:
    yield


async def readyz(service: Service[Settings], path: str = "/readyz") -> httpx.Response:
    transport = httpx.ASGITransport(service.app)
    async with (
        service.app.router.lifespan_context(service.app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        return await client.get(path)


def make(**settings: Any) -> Service[Settings]:
    return make_service("national_platform", Settings(**settings), nothing)


async def test_a_service_warns_thirty_days_before_an_end_and_stays_ready(tmp_path: Path) -> None:
    own, folder = tmp_path / "tls.pem", tmp_path / "certificates"
    folder.mkdir()
    write(own, ALARM_DAYS + 1)
    write(folder / "kafka.pem", 400)
    settings = {"tls_certificate": own, "tls_ca": own, "certificates": folder}
    assert (await readyz(make(**settings))).json() == {"ready": True, "reasons": {}}
    ends = write(folder / "kafka.pem", 29.4)
    answer = await readyz(make(**settings))
    assert answer.status_code == httpx.codes.OK
    words = f"{folder / 'kafka.pem'} ends in 29 days, on {ends:%Y-%m-%d}"
    assert answer.json() == {"ready": True, "reasons": {}, "warnings": {"certificates": words}}
    metrics = (await readyz(make(**settings), "/metrics")).text
    days = {
        line.split('"')[1]: float(line.split()[-1])
        for line in metrics.splitlines()
        if line.startswith("danbao_national_platform_certificate_days{")
    }
    assert days == pytest.approx({str(own): 31.0, str(folder / "kafka.pem"): 29.4}, abs=0.01)


def test_what_has_ended_and_what_is_no_certificate_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, chain, empty = tmp_path / "ended.pem", tmp_path / "chain.pem", tmp_path / "none.pem"
    ends = write(ended, -1)
    write(chain, 400)
    chain.write_bytes(chain.read_bytes() + ended.read_bytes())
    monkeypatch.setenv("PGSSLROOTCERT", str(empty))
    watch = CertificateWatch("ledger", Settings(tls_ca=ended, kafka_ca=chain, platform_ca=ended))
    day = f"{ends:%Y-%m-%d}"
    words = [f"{chain} has ended on {day}", f"{ended} has ended on {day}", f"{empty} holds no certificate"]
    assert watch.warning() == "; ".join(words)
    monkeypatch.delenv("PGSSLROOTCERT")
    assert CertificateWatch("ledger", Settings()).warning() is None
