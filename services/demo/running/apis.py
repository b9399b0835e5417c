"""Clients of the services' HTTP interfaces; a client waits for a service that is restarting."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from shared.adapters.crypto.signing import AuthorSigner
from shared.adapters.files.vkeys import read_authors
from shared.adapters.http.as_person import AsPerson
from shared.adapters.http.clients import make_client
from shared.domain.errors import Refused
from shared.runtime.access import DECIDING
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed, Unavailable

PATIENCE_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 30.0
"""Timeout of one answer."""
PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0


class Api:
    """Client of one service; answers are decoded JSON."""

    def __init__(self, name: str, client: httpx.AsyncClient, patience_seconds: float) -> None:
        self.name = name
        self._client = client
        self._patience = patience_seconds

    async def get(self, path: str, **params: str) -> Any:
        """Send a GET; raises Unavailable, or CommandFailed with the service's reason for a refusal."""
        return await self._send("GET", path, params=params)

    async def post(self, path: str, body: object = None, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        """Send a POST, with a retry when the answer is lost: every POST of the services is idempotent."""
        return await self._send("POST", path, json=body, timeout=timeout_seconds)

    async def probe(self, path: str) -> None:
        """Send one GET without a retry; raises Unavailable with the answer when it is not a success."""
        try:
            answer = await self._client.get(path)
        except httpx.TransportError as error:
            raise Unavailable(f"{self.name} does not answer: {type(error).__name__}") from error
        if not answer.is_success:
            raise Unavailable(f"{self.name}: {answer.text[:300]}")

    async def _send(self, method: str, path: str, **rest: Any) -> Any:
        deadline, pause = time.monotonic() + self._patience, PAUSE_SECONDS
        while True:
            try:
                answer = await self._client.request(method, path, **rest)
                if answer.status_code < 500:
                    return _taken(self.name, answer)
                reason = f"HTTP {answer.status_code}: {answer.text[:200]}"
            except httpx.TransportError as error:
                reason = f"{type(error).__name__} {error}".strip()
            if time.monotonic() >= deadline:
                raise Unavailable(f"{self.name} at {self._client.base_url} does not answer: {reason}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _taken(name: str, answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.text[:200]
    raise CommandFailed(f"{name} refused {answer.request.url.path} ({answer.status_code}): {detail}")


@dataclass(frozen=True, slots=True)
class Apis:
    """Clients of all four services."""

    charging: Api
    ledger: Api
    reporting: Api
    national_platform: Api


@asynccontextmanager
async def open_apis(settings: CommandSettings, patience_seconds: float = PATIENCE_SECONDS) -> AsyncIterator[Apis]:
    """Open clients, each with the operator's key for that service; raises Refused when no key is given.

    A command needs the keys of the services that it calls; another one may be missing.
    """
    wanted = [
        ("charging", settings.charging_url, settings.charging_key.get_secret_value()),
        ("ledger", settings.ledger_url, settings.ledger_key.get_secret_value()),
        ("reporting", settings.reporting_url, settings.reporting_key.get_secret_value()),
        ("national_platform", settings.platform_url, settings.platform_key.get_secret_value()),
    ]
    if not any(key for _, _, key in wanted[:3]):
        variables = ", ".join(f"DANBAO_{name.upper()}_KEY" for name, _, _ in wanted[:3])
        raise Refused(f"no key: name the directory with --state, or set {variables}")
    person = _load_person(settings)
    clients = [
        make_client(
            settings,
            url,
            ANSWER_SECONDS,
            headers={"Authorization": f"Bearer {key or '-'}"},
            auth=AsPerson(person, name) if person and name in DECIDING else None,
        )
        for name, url, key in wanted
    ]
    try:
        yield Apis(*(Api(name, client, patience_seconds) for (name, _, _), client in zip(wanted, clients, strict=True)))
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


def _load_person(settings: CommandSettings) -> AuthorSigner | None:
    """Load the key of the person who decides; without it services refuse decisions with a reason."""
    if settings.person_key is None or settings.vkeys is None:
        return None
    return AuthorSigner.load_person(settings.person_key, read_authors(settings.vkeys))
