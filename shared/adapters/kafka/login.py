"""Checks with the brokers once, at the start, whether they accept this process's login.

Clients try a refused login again for ever, as they do with a broker that is away. Here the two differ: a process whose
login is refused ends with a line that says why, and one that reaches no broker goes on and lets the client wait.
"""

import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from shared.adapters.kafka.security import client_options
from shared.domain.errors import Refused
from shared.runtime.settings import Settings

log = structlog.get_logger(__name__)
CHECK_SECONDS: Final = 5.0
"""A broker that answers later counts as one that does not speak the protocol."""
_OF_CLIENTS_ALONE: Final = {"bootstrap_servers"}


async def check_login(settings: Settings) -> None:
    """Return when one broker takes the login, or when none can be reached.

    Raises:
        Refused: A broker was reached and refused: the login, the mechanism, the protocol or one of the certificates.
    """
    options = client_options(settings)
    connection = {name: value for name, value in options.items() if name not in _OF_CLIENTS_ALONE}
    refusals = []
    for server in options["bootstrap_servers"]:
        host, _, port = server.rpartition(":")
        if not port.isdecimal() or not host:
            raise Refused(f"DANBAO_KAFKA: {server!r} is not host:port")
        try:
            await _check_broker(host.strip("[]"), int(port), connection)
        except (KafkaError, OSError, ValueError, AssertionError) as error:
            if reason := _refusal(error, settings):
                refusals.append(f"{server}: {reason}")
            else:
                log.warning("a Kafka broker does not answer", server=server, error=repr(error))
        else:
            return
    if refusals:
        raise Refused("Kafka does not take this login: " + "; ".join(refusals))


async def _check_broker(host: str, port: int, connection: dict[str, Any]) -> None:
    """Log in and send a request: a listener that wants a login closes the connection only then."""
    conn = await create_conn(host, port, request_timeout_ms=int(CHECK_SECONDS * 1000), **connection)
    try:
        await conn.send(MetadataRequest([]))
    finally:
        with suppress(OSError, KafkaError):
            conn.close()


def _refusal(error: BaseException, settings: Settings) -> str | None:
    """What the broker refused, in words; None where it was not there, or went away for another reason."""
    for cause in _causes(error):
        if reason := _reason(cause, settings):
            return reason
    if isinstance(error, KafkaConnectionError) and "token command" in str(error):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no {settings.kafka_protocol} answer within {CHECK_SECONDS:g} s: DANBAO_KAFKA_PROTOCOL"
    if isinstance(error, KafkaConnectionError | ConnectionResetError | BrokenPipeError):
        # It was there and hung up on the first words: another protocol, seen from outside.
        return f"it closes a {settings.kafka_protocol} connection without an answer: DANBAO_KAFKA_PROTOCOL"
    return None


def _reason(cause: BaseException, settings: Settings) -> str | None:
    user = settings.kafka_user or "this login"
    match cause:
        case SaslAuthenticationFailed():
            return f"wrong user or password of {user}"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return f"the listener does not offer {settings.kafka_mechanism}: DANBAO_KAFKA_MECHANISM"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted ({cause.verify_message}): DANBAO_KAFKA_CA"
        case ssl.SSLError():
            return f"no TLS with it ({cause.reason}): DANBAO_KAFKA_PROTOCOL, or the certificate that it requires"
        case ValueError() | AssertionError():
            return f"it could not prove that it knows the password of {user}: {cause}"
        case _:
            return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
