"""Settings that several processes read, from the environment with the prefix `DANBAO_`; each service adds its own.

Each limit has a name here and a consequence in its description. Durations are seconds, sizes bytes. A secret (a setting
of type `SecretStr`) is in a file that `DANBAO_<NAME>_FILE` names; shared/runtime/secret_file.py has the rule.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from shared.runtime.secret_file import find_secret

HOUSE = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Settings that any process may need; `services/<name>/settings.py` has what only that service reads."""

    model_config = SettingsConfigDict(env_prefix="DANBAO_", extra="ignore")

    # Where things are
    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port[,host:port]")
    database: SecretStr = Field(
        SecretStr("postgresql://danbao@127.0.0.1:5432/danbao"),
        description="URL this process logs in with; the administrator's for migrate and up, else its own login",
    )
    database_answer_seconds: float = Field(
        120.0, gt=0, description="a statement that is not answered for so long is given up, and tried again"
    )
    database_long_answer_seconds: float = Field(
        3600.0, gt=0, description="the same for what reads a whole day: its count, its index, a re-rating"
    )
    database_silence_seconds: int = Field(
        30, ge=4, description="a database whose machine gives no sign of life for so long is given up"
    )
    host: str = Field("127.0.0.1", description="address this service listens on")
    port: int = Field(0, ge=0, le=65535, description="port this service listens on; 0 takes a free one")
    charging_url: str = "http://127.0.0.1:8101"
    deployments: Path | None = Field(
        None,
        description="TOML file of charging's deployments: names, URLs, enterprises; without it there is one, at "
        "charging_url, that charges all",
    )
    deployment: str = Field("charging", description="which of them a charging worker belongs to")
    ledger_url: str = "http://127.0.0.1:8102"
    platform_url: str = "http://127.0.0.1:8104"
    scheme: Annotated[list[Path], NoDecode] = Field(
        default_factory=lambda: [HOUSE / "deploy" / "tariffs"],
        description="directories of tariffs and enrolment, colon-separated; later ones add to the earlier",
    )

    calendar: Path = Field(
        HOUSE / "deploy" / "calendar",
        description="directory of the working-day calendar: years.csv and days.csv, read at the start",
    )

    regions: Path = Field(
        HOUSE / "deploy" / "regions" / "regions.csv",
        description="file of region codes; a code that is not in it is charged by its province, with an alarm",
    )

    # Who may send requests
    access_keys: Path | None = Field(None, description="TOML file of API keys (hashed) with their scopes")
    charging_key: SecretStr = Field(SecretStr(""), description="key this process shows charging")
    ledger_key: SecretStr = Field(SecretStr(""), description="key this process shows the ledger")
    log_origin: str = Field("danbao.example/log", description="name of the evidence log: its origin line and key name")
    witness_name: str = Field("platform.danbao.example/witness", description="name the national platform cosigns under")
    vkeys: Path | None = Field(
        None,
        description="file of verifier keys, one vkey a line: of logs, which the witness takes, and of witnesses, which "
        "the ledger waits for; with a role behind it, an author's; the page /receipt checks with them",
    )
    author_key: Path | None = Field(
        None, description="Ed25519 private key (PEM) that signs manifests and messages; its vkey is in DANBAO_VKEYS"
    )
    platform_key: SecretStr = Field(SecretStr(""), description="key reporting shows the national platform")

    # TLS of HTTP: without a certificate a service is on this machine only, or on a network that is encrypted
    tls_certificate: Path | None = Field(
        None, description="certificate (PEM, its chain behind it) with which this service is HTTPS; read again when new"
    )
    tls_key: Path | None = Field(None, description="its private key (PEM, not encrypted), unless it is in that file")
    tls_ca: Path | None = Field(
        None, description="certificates (PEM) that those of our services are checked against; without it the system's"
    )
    platform_ca: Path | None = Field(None, description="likewise that of the national platform; without it tls_ca")

    certificates: Path | None = Field(
        None, description="folder of other servers' certificates (*.pem) whose ends are warnings here: database, broker"
    )

    # HTTP: limits of each process; sizes are in shared/runtime/http/limits.py
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="addresses or networks of proxies whose X-Forwarded-For and -Proto are believed, comma-separated; "
        "the network's gateway is refused",
    )
    http_connections: int = Field(512, ge=8, description="open connections; one more is answered 503 and closed")
    http_connections_of_address: int = Field(128, ge=1, description="the same of one address that is no named proxy's")
    http_header_seconds: float = Field(10.0, gt=0, description="a header that takes longer is answered 408")
    http_body_seconds: float = Field(30.0, gt=0, description="a body that takes longer is answered 408")
    http_write_seconds: float = Field(30.0, gt=0, description="a client that reads nothing for so long is cut off")
    http_idle_seconds: int = Field(15, ge=1, description="a connection without a request is closed after it")
    http_requests: int = Field(
        200, ge=4, description="requests under way, strangers' at most half of them; one more is answered 503"
    )
    http_requests_of_address: int = Field(50, ge=1, description="strangers' requests under way of one address")
    http_stranger_rate: float = Field(
        50.0, gt=0, description="requests a second of one address without a known key or session; more: 429"
    )
    http_stranger_burst: float = Field(200.0, ge=1, description="the same at once, after a pause")
    http_caller_rate: float = Field(100.0, gt=0, description="requests a second of one key or session; more: 429")
    http_caller_burst: float = Field(1_000.0, ge=1, description="the same at once, after a pause")
    pool_wait_seconds: float = Field(
        2.0, gt=0, description="a request that waits longer for a database connection is answered 503"
    )

    # Kafka
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how the listener is spoken to; PLAINTEXT is for the embedded broker only"
    )
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="how SASL proves who logs in"
    )
    kafka_user: str = Field("", description="who logs in (SCRAM, PLAIN)")
    kafka_password: SecretStr = Field(SecretStr(""), description="its password (SCRAM, PLAIN)")
    kafka_token_command: str = Field(
        "", description="program with arguments, no shell, whose first line is a token (OAUTHBEARER)"
    )
    kafka_ca: Path | None = Field(
        None, description="certificates (PEM) that a broker's is checked against; without it the system's"
    )
    kafka_certificate: Path | None = Field(None, description="own certificate (PEM, with its chain) for mutual TLS")
    kafka_key: Path | None = Field(None, description="its private key (PEM, not encrypted)")
    kafka_session_timeout_ms: int = Field(10_000, description="a worker silent for so long loses its partitions")
    kafka_heartbeat_ms: int = 3_000
    kafka_metadata_max_age_ms: int = Field(5_000, description="a new topic is found after at most so long")
    kafka_idempotent: bool = Field(True, description="idempotent producers; off for the embedded broker only")
    message_wait_seconds: float = Field(
        300.0, ge=0, description="a message between services that waits for another one is quarantined after so long"
    )
    message_attempts: int = Field(
        5, ge=1, description="a message between services whose handling fails so often, unexplained, is quarantined"
    )
    order_partitions: int = Field(4, description="partitions of a new orders topic")
    topic_replicas: int = 1

    # Charging
    max_age_days: int = Field(30, description="an acceptance older than its record time by more is parked")
    acceptance_wait_days: int = Field(
        3, ge=1, description="days after which an order's missing acceptance, or an injury's order, is not waited for"
    )

    # What is kept in addition to the books
    kept_bytes_days: int = Field(
        90,
        ge=2,
        description="days after which the bytes of what was parked, refused or in conflict are erased: the key of "
        "their day is destroyed; hash and redacted form stay",
    )

    # Ledger
    scheduler: bool = Field(True, description="close, bill and assess by the clock; off where a command does it")
    close_after_hours: int = Field(36, description="a day closes so many hours after it began: T+1 12:00")
    clock_span_seconds: float = Field(
        300.0,
        gt=0,
        description="most that this process, the database and the broker may differ about the time, and a date may be "
        "ahead of it; beyond it nothing is closed, billed, assessed or reported (alarm clocks_disagree)",
    )
    close_timeout_seconds: float = Field(60.0, description="a count that takes longer raises the alarm close_overdue")

    # A process
    log_level: str = "info"
    ready_commit_age_seconds: float = Field(30.0, description="lag with no commit for so long: not ready")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's names
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then secrets and the files that the environment names for them, then the environment."""
        return init_settings, _Secrets(settings_cls), env_settings

    @field_validator("scheme", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split_paths(value)


def split_paths(value: object) -> object:
    """Paths of a setting that separates them with colons; anything else unchanged."""
    return [Path(part) for part in value.split(":") if part] if isinstance(value, str) else value


def find_secrets(kind: type[BaseSettings], variables: Mapping[str, str]) -> dict[str, str]:
    """Every secret of these settings for which there is a file or a variable, by the name of its setting."""
    names = (name for name, field in kind.model_fields.items() if field.annotation is SecretStr)
    secrets = {name: find_secret(f"DANBAO_{name.upper()}", variables) for name in names}
    return {name: secret for name, secret in secrets.items() if secret is not None}


class _Secrets(PydanticBaseSettingsSource):
    """Secrets in files: what `docker inspect` and /proc do not show."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[None, str, bool]:  # noqa: ARG002 - pydantic's
        """Nothing: all secrets are found at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, str]:
        """Every secret that there is."""
        return find_secrets(self.settings_cls, os.environ)
