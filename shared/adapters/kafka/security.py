"""Builds this process's connection to Kafka: protocol, mechanism, login and certificates, from settings and files.

Every client of the project is made with `client_options`; FastStream, which wraps the same options into objects, with
`broker_options`. Any fault in the settings or their files is a `Refused` that names the setting.
"""

import asyncio
import shlex
import ssl
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from faststream.security import BaseSecurity, SASLOAuthBearer, SASLPlaintext, SASLScram256, SASLScram512

from shared.domain.errors import Refused
from shared.runtime.http.tls import RenewedContext
from shared.runtime.settings import Settings

Client = Mapping[str, Any]
"""The options that every aiokafka client takes alike."""
TOKEN_SECONDS: Final = 30.0
"""A token command that runs longer is stopped, and the connection fails."""
_BY_PASSWORD: Final = {"SCRAM-SHA-512": SASLScram512, "SCRAM-SHA-256": SASLScram256, "PLAIN": SASLPlaintext}


def client_options(settings: Settings) -> dict[str, Any]:
    """Connection options (brokers, protocol, login) for any aiokafka client.

    Raises:
        Refused: A setting is missing or contradicts another one, or its file cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka.split(","),
        "security_protocol": settings.kafka_protocol,
        "ssl_context": _tls(settings),
    }
    if not _has_login(settings):
        return options
    options["sasl_mechanism"] = settings.kafka_mechanism
    if settings.kafka_mechanism == "OAUTHBEARER":
        return options | {"sasl_oauth_token_provider": TokenCommand(settings.kafka_token_command)}
    return options | {"sasl_plain_username": settings.kafka_user, "sasl_plain_password": _password(settings)}


def broker_options(settings: Settings) -> dict[str, Any]:
    """`client_options` as FastStream's broker takes them."""
    options = client_options(settings)
    context, provider = options["ssl_context"], options.get("sasl_oauth_token_provider")
    if not _has_login(settings):
        security = BaseSecurity(ssl_context=context)
    elif provider is not None:
        security = SASLOAuthBearer(ssl_context=context)
    else:
        user, password = options["sasl_plain_username"], options["sasl_plain_password"]
        security = _BY_PASSWORD[settings.kafka_mechanism](user, password, ssl_context=context)
    return {
        "bootstrap_servers": options["bootstrap_servers"],
        "security": security,
        "sasl_oauth_token_provider": provider,
    }


class TokenCommand(AbstractTokenProvider):
    """OAUTHBEARER tokens: the first line that a command prints, fetched at every connection."""

    def __init__(self, command: str) -> None:
        self._words = shlex.split(command)
        if not self._words:
            raise Refused("DANBAO_KAFKA_TOKEN_COMMAND is not set: OAUTHBEARER takes its tokens from a command")

    async def token(self) -> str:
        """A token; `KafkaConnectionError` with the reason where there is none, so that clients try again."""
        process = None
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                process = await asyncio.create_subprocess_exec(*self._words, stdout=PIPE, stderr=PIPE)
                out, reported = await process.communicate()
        except TimeoutError as error:
            if process is not None:
                process.kill()
            raise KafkaConnectionError(f"the token command gave nothing within {TOKEN_SECONDS:g} s") from error
        except OSError as error:
            raise KafkaConnectionError(f"the token command cannot be run: {error}") from error
        token = out.decode(errors="replace").partition("\n")[0].strip()
        if process.returncode or not token:
            reason = reported.decode(errors="replace").strip()[-200:] or "no token"
            raise KafkaConnectionError(f"the token command ended with {process.returncode}: {reason}")
        return token


def _has_login(settings: Settings) -> bool:
    return settings.kafka_protocol.startswith("SASL_")


def _password(settings: Settings) -> str:
    if not settings.kafka_user or not settings.kafka_password.get_secret_value():
        raise Refused(
            f"DANBAO_KAFKA_USER and DANBAO_KAFKA_PASSWORD_FILE have to be set for {settings.kafka_protocol} "
            f"with {settings.kafka_mechanism}"
        )
    return settings.kafka_password.get_secret_value()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """A context that checks the broker's certificate and name, by its files as they are at each connection.

    None where the protocol has no TLS.
    """
    files = {
        "DANBAO_KAFKA_CA": settings.kafka_ca,
        "DANBAO_KAFKA_CERTIFICATE": settings.kafka_certificate,
        "DANBAO_KAFKA_KEY": settings.kafka_key,
    }
    if not settings.kafka_protocol.endswith("SSL"):
        if named := [name for name, file in files.items() if file is not None]:
            raise Refused(f"{', '.join(named)}: DANBAO_KAFKA_PROTOCOL is {settings.kafka_protocol}, without TLS")
        return None
    if (settings.kafka_certificate is None) != (settings.kafka_key is None):
        raise Refused("DANBAO_KAFKA_CERTIFICATE and DANBAO_KAFKA_KEY go together: one of them is not set")
    return RenewedContext(lambda: _build(settings, files), *(file for file in files.values() if file is not None))


def _build(settings: Settings, files: Mapping[str, Path | None]) -> ssl.SSLContext:
    for name, file in files.items():
        _check_readable(name, file)
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca)
    except (OSError, ValueError) as error:
        raise Refused(f"DANBAO_KAFKA_CA: {settings.kafka_ca} is no PEM file of certificates: {_why(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.kafka_certificate is not None:
        try:
            # An encrypted key would prompt at the terminal: the empty password refuses it instead.
            context.load_cert_chain(settings.kafka_certificate, settings.kafka_key, password="")
        except (OSError, ValueError) as error:
            raise Refused(
                f"DANBAO_KAFKA_CERTIFICATE, DANBAO_KAFKA_KEY: {settings.kafka_certificate} and {settings.kafka_key} "
                f"are no unencrypted pair: {_why(error)}"
            ) from error
    return context


def _check_readable(name: str, file: Path | None) -> None:
    if file is None:
        return
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise Refused(f"{name}: {file} cannot be read: {_why(error)}") from error


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
