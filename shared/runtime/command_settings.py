"""Settings that only the command `danbao` and what it starts read: demo, audit, archive."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from shared.runtime.settings import Settings


class CommandSettings(Settings):
    """Settings that only the command `danbao` and what it starts read: demo, audit, archive."""

    platform_database: SecretStr = Field(
        SecretStr("postgresql://danbao@127.0.0.1:5432/national_platform"),
        description="administrator's URL of the national platform's database (migrate and up)",
    )
    audit_database: SecretStr = Field(SecretStr(""), description="URL that `danbao audit` reads; `database` without it")
    audit_platform_database: SecretStr = Field(SecretStr(""), description="the same; `platform_database` without it")
    audit_charging_databases: SecretStr = Field(
        SecretStr(""), description="of several charging deployments, `name=URL` of each, separated by spaces"
    )
    role_passwords: Path | None = Field(
        None, description="folder of password files, one for each role, named after it (migrate)"
    )
    reporting_url: str = "http://127.0.0.1:8103"
    reporting_key: SecretStr = Field(SecretStr(""), description="key this process shows reporting")
    public_url: str = Field("", description="address of the portal as people type it; else reporting's own")
    person_key: Path | None = Field(
        None, description="Ed25519 private key (PEM) of the person whose decisions `danbao` sends; vkey in DANBAO_VKEYS"
    )
    kafka_logins: Path | None = Field(
        None, description="folder of password files, one for each login: for the setup job, and for up and demo"
    )
    topic_timestamps: Literal["LogAppendTime", "CreateTime"] = Field(
        "LogAppendTime",
        description="record times the setup job gives topics: the broker's, or (replays) the producer's",
    )
    archive: Path = Field(Path("archive"), description="folder of archived days; kept with the database's backups")
    archive_after_days: int = Field(
        62, ge=1, description="days before the last closed one that stay: how late orders may be, and what Kafka keeps"
    )
    retention_days: int = Field(1_826, ge=1, description="days for which an archived day is kept: five years")
    archive_processes: int = Field(2, ge=1, description="files of an archive that are worked on at once, 400 MB each")
