"""Run one system, with databases, broker, keys, topics and the four services, for `demo`, `up` and the tests.

Everything private lies in one state directory (mode 0700): keys, `danbao.env` for other commands, `processes.json`,
`logs/`. The embedded parts are used unless both DANBAO_KAFKA and DANBAO_DATABASE name others.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from deploy.embedded.ports import free_port
from deploy.embedded.stack import EmbeddedStack
from deploy.first_keys import (
    FIRST_OPERATOR,
    first_operator,
    make_author_keys,
    make_log_keys,
    our_authors,
    outside_sources,
    write_readers,
)
from deploy.service_keys import key_file, key_settings, make_service_keys
from services.demo.running.apis import Api, Apis, open_apis
from services.demo.running.migrate import HISTORIES, migrate_all, read_passwords, write_env_file, write_secret
from services.demo.running.state import ENV_FILE
from services.demo.running.supervisor import Supervisor
from shared.adapters.crypto.signing import AuthorSigner, make_key_pair
from shared.adapters.files.scheme import load_scheme
from shared.adapters.files.vkeys import read_authors
from shared.adapters.kafka.clients import ensure_topics
from shared.adapters.postgres.ownership import AUDITOR, PORTAL
from shared.adapters.postgres.pool import with_login
from shared.contracts.manifests import ALONE
from shared.contracts.topic_rights import SERVICES, logins_of
from shared.contracts.topics import INTERNAL, orders_topic
from shared.domain.errors import Refused
from shared.domain.evidence.authors import Role
from shared.domain.scheme.rating import Scheme
from shared.runtime.callers import OPERATOR, Direction, callees_of
from shared.runtime.command_settings import CommandSettings
from shared.runtime.deployments import load_deployments
from shared.runtime.exits import CommandFailed, Unavailable
from shared.runtime.secret_file import ENDINGS, find_secret
from shared.runtime.service import S
from shared.runtime.settings import HOUSE, find_secrets

DEMO_SCHEME: Final = f"{HOUSE / 'deploy' / 'tariffs'}:{HOUSE / 'deploy' / 'demo'}"
READY_SECONDS: Final = 60.0
AUTHORS: Final = "authors"
"""Folder of the state directory with the private keys of authors."""
ROLES: Final = "roles"
"""Folder of the state directory with the passwords of the databases' roles."""
MADE_UP_TIME_SECONDS: Final = "3155760000"
"""A century: where no clock closes days, the times of events, closes and money are those of a story."""
EMBEDDED_KAFKA: Final = {
    # A join waits half the session time-out on the embedded broker (docs/decisions); idempotent producers fail on it.
    "DANBAO_KAFKA_SESSION_TIMEOUT_MS": "2000",
    "DANBAO_KAFKA_HEARTBEAT_MS": "300",
    "DANBAO_KAFKA_METADATA_MAX_AGE_MS": "1000",
    "DANBAO_KAFKA_IDEMPOTENT": "false",
}
OPERATORS_KEYS: Final = {f"DANBAO_{callee.upper()}_KEY": Direction(OPERATOR, callee) for callee in callees_of(OPERATOR)}
"""Environment names of the operator's keys, by the service that each opens."""
SECRETS: Final = (
    "DANBAO_DATABASE",
    "DANBAO_PORTAL_DATABASE",
    "DANBAO_PLATFORM_DATABASE",
    "DANBAO_AUDIT_DATABASE",
    "DANBAO_AUDIT_PLATFORM_DATABASE",
    "DANBAO_PLATFORM_KEY",
    "DANBAO_OPERATOR_KEY",
    *OPERATORS_KEYS,
)
"""Variables that are in no process's environment: each is in a file that it reads."""
PRIVATE: Final = {name + ending for name in SECRETS for ending in ("", *ENDINGS)} | {"DANBAO_PERSON_KEY"}
"""Variables of the operator that no service gets."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of the system; `extra` has further DANBAO_ variables for the services."""

    directory: Path
    scheme: str = DEMO_SCHEME
    books_open_on: date | None = None
    has_scheduler: bool = False
    roster: Path | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class System:
    """A running system and its addresses; `variables` is the environment for an operator's commands."""

    directory: Path
    variables: dict[str, str]
    operator_key: str
    supervisor: Supervisor
    settings: CommandSettings
    apis: Apis
    scheme: Scheme


@asynccontextmanager
async def running_system(wishes: Wishes) -> AsyncIterator[System]:
    """Start everything, yield when all four are ready, and leave no process behind."""
    scheme = load_scheme([Path(part) for part in wishes.scheme.split(":")])
    with ExitStack() as stack:
        variables, embedded = _parts(stack)
        variables |= {
            **_places("DANBAO_TLS_CERTIFICATE" in wishes.extra),
            **_keys(wishes.directory),
            "DANBAO_SCHEME": wishes.scheme,
        }
        variables |= _choices(wishes)
        settings = settings_of(variables)
        variables["DANBAO_PERSON_KEY"] = _make_authors(wishes.directory, settings)
        settings = settings_of(variables)
        passwords, _ = read_passwords(wishes.directory / ROLES)
        await migrate_all(settings, passwords)
        await ensure_topics(settings, topics_of(settings, scheme))
        supervisor = Supervisor(wishes.directory, embedded.check if embedded else lambda: None)
        try:
            for history in HISTORIES:
                environment = service_environment(history.service, variables, passwords)
                supervisor.start(history.service, in_files(wishes.directory / "secrets" / history.service, environment))
            variables["DANBAO_AUDIT_DATABASE"] = _login(variables["DANBAO_DATABASE"], AUDITOR, passwords)
            variables["DANBAO_AUDIT_PLATFORM_DATABASE"] = _login(
                variables["DANBAO_PLATFORM_DATABASE"], AUDITOR, passwords
            )
            write_env_file(wishes.directory / ENV_FILE, in_files(wishes.directory / "secrets" / OPERATOR, variables))
            supervisor.watch()
            async with open_apis(settings) as apis:
                await supervisor.guard(_all_ready(apis))
                key = variables["DANBAO_OPERATOR_KEY"]
                yield System(wishes.directory, variables, key, supervisor, settings, apis, scheme)
        finally:
            await supervisor.stop()


def settings_of(variables: Mapping[str, str]) -> CommandSettings:
    """Return the settings of a command with these variables."""
    return read_settings(CommandSettings, variables)


def read_settings(kind: type[S], variables: Mapping[str, str]) -> S:
    """Return the settings of a process with these variables."""
    named = {name.removeprefix("DANBAO_").lower(): value for name, value in variables.items()}
    given = {name: value for name, value in named.items() if name in kind.model_fields}
    return kind(**{**given, **find_secrets(kind, variables)})  # type: ignore[arg-type]


def in_files(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Write each secret among these variables into a file of the folder; return the variables with its name instead."""
    named = {name: value for name, value in variables.items() if name not in SECRETS}
    for name in sorted(variables.keys() & set(SECRETS)):
        file = folder / name.removeprefix("DANBAO_").lower()
        write_secret(file, variables[name])
        named[f"{name}_FILE"] = str(file)
    return named


def topics_of(settings: CommandSettings, scheme: Scheme) -> dict[str, int]:
    """Return partitions by topic: one for each internal topic, and a topic for each enterprise (decision 0004)."""
    orders = {orders_topic(uscc): settings.order_partitions for uscc in sorted(scheme.enterprises)}
    return dict.fromkeys(INTERNAL, 1) | orders


def service_environment(service: str, variables: Mapping[str, str], passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of one service: its own login, and only the keys that concern it."""
    history = next(history for history in HISTORIES if history.service == service)
    theirs = {name: value for name, value in variables.items() if name not in PRIVATE}
    owner = variables["DANBAO_PLATFORM_DATABASE" if history.is_own_database else "DANBAO_DATABASE"]
    theirs["DANBAO_DATABASE"] = _login(owner, history.role, passwords)
    theirs["DANBAO_PORT"] = variables[_URLS[service]].rpartition(":")[2]
    if history.is_own_database:
        theirs["DANBAO_ACCESS_KEYS"] = variables["DANBAO_PLATFORM_ACCESS_KEYS"]
        theirs.pop("DANBAO_SIGNING_KEY", None)
    else:
        theirs |= key_settings(Path(variables["DANBAO_STATE_DIRECTORY"]) / "keys", service)
        theirs.pop("DANBAO_WITNESS_KEY")
    if service != "ledger":
        theirs.pop("DANBAO_LOG_KEYS")
    if service in {"charging", "ledger"}:
        name = variables.get("DANBAO_DEPLOYMENT", ALONE) if service == "charging" else service
        theirs["DANBAO_AUTHOR_KEY"] = str(author_key(Path(variables["DANBAO_STATE_DIRECTORY"]), name))
    if service == "reporting":
        theirs["DANBAO_PORTAL_DATABASE"] = _login(owner, PORTAL, passwords)
    if service in {"reporting", "national_platform"}:
        theirs["DANBAO_PLATFORM_KEY"] = variables["DANBAO_PLATFORM_KEY"]
    ours = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    return _logged_in(service, {**ours, **theirs})


def _logged_in(service: str, environment: dict[str, str]) -> dict[str, str]:
    """Add this service's Kafka login to its environment, where there is a folder of logins."""
    logins = environment.pop("DANBAO_KAFKA_LOGINS", None)
    if logins is not None and service in SERVICES:
        login = logins_of(service)[0]
        environment |= {"DANBAO_KAFKA_USER": login, "DANBAO_KAFKA_PASSWORD_FILE": str(Path(logins) / login)}
    return environment


_URLS: Final = {
    "charging": "DANBAO_CHARGING_URL",
    "ledger": "DANBAO_LEDGER_URL",
    "reporting": "DANBAO_REPORTING_URL",
    "national_platform": "DANBAO_PLATFORM_URL",
}


def _parts(stack: ExitStack) -> tuple[dict[str, str], EmbeddedStack | None]:
    """Return database and broker: those of the environment when it names both, else embedded ones."""
    given = {"DANBAO_KAFKA": os.environ.get("DANBAO_KAFKA"), "DANBAO_DATABASE": find_secret("DANBAO_DATABASE")}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) == 1:
        raise Refused(f"{next(iter(named))} is set alone: set DANBAO_KAFKA and DANBAO_DATABASE, or neither")
    if named:
        named |= {name: value for name, value in os.environ.items() if name.startswith("DANBAO_KAFKA_")}
        platform = find_secret("DANBAO_PLATFORM_DATABASE")
        if platform is None:
            raise Refused("DANBAO_PLATFORM_DATABASE is not set: the national platform has a separate database")
        return {**named, "DANBAO_PLATFORM_DATABASE": platform}, None
    embedded = stack.enter_context(EmbeddedStack())
    databases = {
        "DANBAO_DATABASE": embedded.database("danbao"),
        "DANBAO_PLATFORM_DATABASE": embedded.database("national_platform"),
    }
    return {"DANBAO_KAFKA": embedded.kafka, **databases, **EMBEDDED_KAFKA}, embedded


def _places(has_tls: bool) -> dict[str, str]:
    """Choose a free port for each service; a restarted service keeps its port."""
    return {name: f"http{'s' if has_tls else ''}://127.0.0.1:{free_port()}" for name in _URLS.values()}


def _keys(directory: Path) -> dict[str, str]:
    """Make the keys and access files; they stay in the state directory."""
    platform, operator = (secrets.token_urlsafe(24) for _ in range(2))
    private, public = directory / "signing.pem", directory / "signing.pub.pem"
    make_key_pair(private, public)
    for file, scope in (("access.toml", "operator"), ("platform-access.toml", "national")):
        (directory / file).unlink(missing_ok=True)  # the operator has another key at every start
        write_readers(directory / file, operator, scope)
    make_service_keys(directory / "keys", directory / "access.toml")
    return {
        **{name: key_file(directory / "keys", to).read_text() for name, to in OPERATORS_KEYS.items()},
        "DANBAO_PLATFORM_KEY": platform,
        "DANBAO_OPERATOR_KEY": operator,
        "DANBAO_SIGNING_KEY": str(private),
        "DANBAO_REPORTER_PUBLIC_KEY": str(public),
        "DANBAO_ACCESS_KEYS": str(directory / "access.toml"),
        "DANBAO_PLATFORM_ACCESS_KEYS": str(directory / "platform-access.toml"),
        **make_log_keys(directory / "log.pem", directory / "witness.pem", directory / "vkeys"),
    }


def author_key(directory: Path, name: str) -> Path:
    """Return the path of an author's private key: a deployment of charging, `ledger`, or a simulated outside source."""
    return directory / AUTHORS / f"{name}.author.pem"


def stand_in(system: System, role: Role) -> AuthorSigner:
    """Return a signer for the collecting authority or the source of injury notices, with a key of this system."""
    return AuthorSigner.load(author_key(system.directory, role), read_authors(system.directory / "vkeys"), role)


def _make_authors(directory: Path, settings: CommandSettings) -> str:
    """Make the keys of services, outside sources and the operator, and name all in the file of vkeys.

    Returns the operator's file.
    """
    folder = directory / AUTHORS
    folder.mkdir(mode=0o700, exist_ok=True)
    authors = [
        *our_authors(load_deployments(settings).names, folder, folder),
        *outside_sources(folder),
        first_operator(folder),
    ]
    make_author_keys(authors, directory / "vkeys")
    return str(author_key(directory, FIRST_OPERATOR))


def _choices(wishes: Wishes) -> dict[str, str]:
    chosen = {"DANBAO_SCHEDULER": "true" if wishes.has_scheduler else "false"}
    if not wishes.has_scheduler:
        chosen["DANBAO_CLOCK_SPAN_SECONDS"] = MADE_UP_TIME_SECONDS
    chosen["DANBAO_STATE_DIRECTORY"] = str(wishes.directory)
    if wishes.books_open_on is not None:
        chosen["DANBAO_BOOKS_OPEN_ON"] = wishes.books_open_on.isoformat()
    if wishes.roster is not None:
        chosen["DANBAO_PLATFORM_ROSTER"] = str(wishes.roster)
    return {**chosen, **wishes.extra}


def _login(owner_url: str, role: str, passwords: Mapping[str, str]) -> str:
    return with_login(owner_url, role, passwords[role])


async def _all_ready(apis: Apis) -> None:
    """Wait until every service says that it is ready; raises Unavailable with the reasons."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS
    for api in (apis.national_platform, apis.ledger, apis.reporting, apis.charging):
        while (reason := await _not_ready(api)) is not None:
            if loop.time() > deadline:
                raise Unavailable(f"{api.name} was not ready in {READY_SECONDS:g} s: {reason}")
            await asyncio.sleep(0.05)


async def _not_ready(api: Api) -> str | None:
    try:
        await api.probe("/readyz")
        return None
    except CommandFailed as error:
        return str(error)
