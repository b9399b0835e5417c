"""No secret leaves its file: not by the environment or the arguments of a process, a log, a traceback or an answer.

Recognisable secrets are planted in every setting that is one, services are started as processes, errors are provoked,
and everything that somebody else may see is searched.
"""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from deploy.first_keys import make_author_keys, make_log_keys, our_authors
from services.charging.settings import ChargingSettings
from services.demo.running.system import ROLES, Wishes, running_system
from services.ledger.settings import LedgerSettings
from services.national_platform.settings import PlatformSettings
from services.reporting.settings import ReportingSettings
from shared.adapters.crypto.signing import make_key_pair
from shared.domain.errors import Refused
from shared.runtime.command_settings import CommandSettings
from shared.runtime.secret_file import find_secret
from shared.runtime.settings import Settings
from tests.support.servers import Broker, client_settings
from tests.tidy.source import ROOT

KINDS: Final[Mapping[str, type[Settings]]] = {
    "charging": ChargingSettings,
    "ledger": LedgerSettings,
    "reporting": ReportingSettings,
    "national_platform": PlatformSettings,
    "cli": CommandSettings,
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads processes in /proc")


def secret_settings(kind: type[Settings]) -> list[str]:
    """Names of the settings that are secrets."""
    return [name for name, field in kind.model_fields.items() if field.annotation is SecretStr]


def plant(folder: Path, kind: type[Settings], address: str) -> tuple[dict[str, str], list[str]]:
    """A file for each secret setting; databases have theirs as a password of a role that is there. Returns both."""
    variables: dict[str, str] = {}
    planted: list[str] = []
    for name in secret_settings(kind):
        planted.append(f"PLANTED/{name}/{secrets.token_hex(8)}")
        file = folder / name
        file.write_text(f"{planted[-1]}\n")
        variable = f"DANBAO_{name.upper()}"
        if name.endswith("database"):
            variables |= {variable: f"postgresql://postgres@{address}/danbao", f"{variable}_PASSWORD_FILE": str(file)}
        else:
            variables[f"{variable}_FILE"] = str(file)
    return variables, planted


def shown_by(pid: int) -> str:
    """What anybody sees of a process: its environment and its arguments."""
    return "".join(Path(f"/proc/{pid}/{part}").read_bytes().decode(errors="replace") for part in ("environ", "cmdline"))


def leaks(planted: Iterable[str], text: str) -> list[str]:
    """Planted secrets that are in a text, as they are or as a URL has them."""
    return [secret for secret in planted if secret in text or quote(secret, "") in text or secret in unquote(text)]


def make_keys(folder: Path, service: str) -> dict[str, str]:
    """The keys that services need before they log in."""
    private, public, vkeys = (folder / file for file in ("signing.pem", "signing.pub.pem", "vkeys"))
    make_key_pair(private, public)
    make_author_keys(our_authors(["charging"], folder, folder), vkeys)
    own = {"DANBAO_SIGNING_KEY": str(private), "DANBAO_REPORTER_PUBLIC_KEY": str(public)}
    own |= {"DANBAO_AUTHOR_KEY": str(folder / f"{service}.author.pem")} if service in {"charging", "ledger"} else {}
    return own | make_log_keys(folder / "log.pem", folder / "witness.pem", vkeys)


def start(name: str, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """A service's process, or the command's with a request that it cannot fulfil."""
    words = ["services.cli", "audit"] if name == "cli" else [f"services.{name}"]
    own = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT), "DANBAO_TRACEBACK": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env=own | dict(variables), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_process_that_cannot_log_in_shows_no_secret(name: str, database: str, broker: Broker, tmp_path: Path) -> None:
    """Wrong passwords at a database that answers (for the command: no URLs): the process ends and says why."""
    address = database.rpartition("@")[2].partition("/")[0]
    variables, planted = plant(tmp_path, KINDS[name], address)
    process = start(name, client_settings(broker) | variables | make_keys(tmp_path, name))
    try:
        shown = shown_by(process.pid)
        said = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode not in {0, -9}, said
    refused = (
        "DANBAO_AUDIT_CHARGING_DATABASES is not name=URL" if name == "cli" else r"InvalidPassword|Kafka does not take"
    )
    assert re.search(refused, said), said
    assert leaks(planted, shown + said) == []


@pytest.mark.parametrize("setting", ["DANBAO_DATABASE_FILE", "DANBAO_LEDGER_KEY_FILE", "DANBAO_KAFKA_PASSWORD_FILE"])
@pytest.mark.parametrize("content", [b"PLANTED\nPLANTED\n", b"PLANTED\xff"])
def test_a_file_that_is_refused_is_not_quoted(setting: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Refused, match=setting) as refused:
        find_secret(setting.removesuffix("_FILE"), {setting: str(tmp_path / "file")})
    assert "PLANTED" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_alone_is_put_into_its_url(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("p/w:d@?#%\n")
    variables = {"X": "postgresql://role@db:5432/danbao?sslmode=disable", "X_PASSWORD_FILE": str(tmp_path / "file")}
    assert find_secret("X", variables) == "postgresql://role:p%2Fw%3Ad%40%3F%23%25@db:5432/danbao?sslmode=disable"
    for url in ("postgresql://role:old@db/danbao", "postgresql://db/danbao", "", "PLANTED"):
        with pytest.raises(Refused, match=r"X has to be a URL with a role and no password$"):
            find_secret("X", variables | {"X": url})
    with pytest.raises(Refused, match="X_FILE and X are both set"):
        find_secret("X", {"X": "", "X_FILE": "/a"})
    with pytest.raises(Refused, match="X_FILE and X_PASSWORD_FILE are both set"):
        find_secret("X", {"X_FILE": "/a", "X_PASSWORD_FILE": "/b"})


@pytest.mark.exhaustive
async def test_a_running_system_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four services, with everything right, then with wrong keys, a password that was changed, and a refused login."""
    for name in ("DANBAO_KAFKA", "DANBAO_DATABASE"):  # on separate parts: it changes a password
        monkeypatch.delenv(name, raising=False)
    async with running_system(Wishes(tmp_path)) as system:
        kept = [file.read_text().strip() for place in ("secrets", ROLES, "keys") for file in files_of(tmp_path / place)]
        passwords = [unquote(url.split("@")[0].rpartition(":")[2]) for url in kept if url.startswith("postgresql://")]
        planted = [secret for secret in {*kept, *passwords} if len(secret) >= 12]
        assert len(planted) > 20
        pids = [system.supervisor.pid(name) for name in KINDS if name != "cli"]
        urls = [system.variables[name] for name in system.variables if name.endswith("_URL")]
        owner = await asyncpg.connect(system.variables["DANBAO_DATABASE"])
        await change_password(owner, "another one")
        answers: list[str] = []
        async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
            while "InvalidPassword" not in log_of(tmp_path, "ledger"):
                answers.append(await read(client, f"{system.variables['DANBAO_LEDGER_URL']}/readyz"))
            await change_password(owner, (tmp_path / ROLES / "danbao_ledger").read_text().strip())
            for url in urls:
                for path in ("/v1/status", "/v1/reports", "/metrics", "/readyz", "/openapi.json", "/v1/none"):
                    answers += [await read(client, url + path, key) for key in ("wrong", system.operator_key)]
        assert any('"status":401' in answer for answer in answers), answers[-1]
        logs = [log_of(tmp_path, name) for name in KINDS if name != "cli"]
        shown = "".join([*map(shown_by, pids), *logs, *answers])
        assert [secret[:4] for secret in leaks(planted, shown)] == []
        await owner.close()


async def change_password(owner: asyncpg.Connection, password: str) -> None:
    await owner.execute(f"alter role danbao_ledger password '{password}'")
    await owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'danbao_ledger'")


async def read(client: httpx.AsyncClient, url: str, key: str = "wrong") -> str:
    """An answer with its headers; empty where a service is restarting."""
    try:
        answer = await client.get(url, headers={"Authorization": f"Bearer {key}"})
    except httpx.TransportError:
        return ""
    return f"{answer.headers!r}{answer.text}"


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def log_of(folder: Path, name: str) -> str:
    return (folder / "logs" / f"{name}.log").read_text()
