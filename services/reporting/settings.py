"""Settings that only reporting reads."""

from pathlib import Path

from pydantic import Field, SecretStr

from shared.runtime.settings import Settings


class ReportingSettings(Settings):
    """Settings that only reporting reads."""

    portal_database: SecretStr = Field(
        SecretStr(""), description="URL that pages and the API of persons and keys log in with: danbao_portal's"
    )
    signing_key: Path | None = Field(None, description="Ed25519 private key (PEM) that signs reports")
    acknowledgement_name: str = Field(
        "danbao.example/acknowledgements", description="name under which acknowledgements are signed, with signing_key"
    )
    public_url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*)?$",
        description="address of the pages as browsers reach it, with the path of a proxy that serves them below one;"
        " links are built from it, another Host is refused, by https:// cookies are Secure and HSTS sent; without it"
        " links name host and port of this process",
    )
    receipt_page: str = Field("", description="address of /receipt as workers reach it; else below public_url")
    report_timeout_seconds: float = 10.0
    report_attempts: int = Field(200, description="tries before a report is a discrepancy: undeliverable")
    report_retry_seconds: float = Field(0.5, description="first pause between tries; doubles up to a minute")
    registration_tokens: int = Field(10_000, description="tokens in one registration report; more go into parts")
