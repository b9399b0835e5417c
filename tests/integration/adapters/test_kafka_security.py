"""A wrong setting of Kafka's security is one line that names it; no broker is needed to see it."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from faststream.security import BaseSecurity, SASLOAuthBearer, SASLScram512

from deploy.certificates import issue, make_authority
from shared.adapters.kafka.faststream_broker import open_broker
from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import TokenCommand, broker_options, client_options
from shared.domain.errors import Refused
from shared.runtime.clock import now
from shared.runtime.settings import Settings
from tests.support.servers import Broker, client_settings


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An authority and a certificate with its key."""
    authority = make_authority("test", now())
    pair = issue(authority, "charging-a", (), now())
    for name, pem in {"ca": authority.certificate, "certificate": pair.certificate, "key": pair.key}.items():
        (tmp_path / name).write_bytes(pem)
    return {name: tmp_path / name for name in ("ca", "certificate", "key")}


def scram(files: dict[str, Path], **other: Any) -> Settings:
    given = {
        "kafka_protocol": "SASL_SSL",
        "kafka_user": "charging-a",
        "kafka_password": "correct horse",
    }
    return Settings(**{**given, "kafka_ca": files["ca"], **other})


def test_without_settings_there_is_no_login() -> None:
    options = client_options(Settings(kafka="a:1,b:2"))
    assert options == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT", "ssl_context": None}
    assert type(broker_options(Settings())["security"]) is BaseSecurity


def test_scram_over_tls(files: dict[str, Path]) -> None:
    options = client_options(scram(files))
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("charging-a", "correct horse")
    assert options["ssl_context"].check_hostname
    security = broker_options(scram(files))["security"]
    assert isinstance(security, SASLScram512)
    assert security.use_ssl
    open_broker(scram(files))


def test_mutual_tls(files: dict[str, Path]) -> None:
    mutual = Settings(
        kafka_protocol="SSL", kafka_ca=files["ca"], kafka_certificate=files["certificate"], kafka_key=files["key"]
    )
    assert client_options(mutual)["security_protocol"] == "SSL"
    assert "sasl_mechanism" not in client_options(mutual)
    assert broker_options(mutual)["security"].use_ssl


async def test_a_token_is_what_the_command_prints(files: dict[str, Path]) -> None:
    command = shlex.join([sys.executable, "-c", "print('to ken\\nmore')"])
    settings = scram(files, kafka_mechanism="OAUTHBEARER", kafka_token_command=command)
    assert await client_options(settings)["sasl_oauth_token_provider"].token() == "to ken"
    assert isinstance(broker_options(settings)["security"], SASLOAuthBearer)


@pytest.mark.parametrize("command", ["false", "true", "/no/such/program"])
async def test_a_token_command_that_gives_none_is_a_failed_connection(command: str) -> None:
    with pytest.raises(Exception, match="the token command"):
        await TokenCommand(command).token()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kafka_user": ""}, "DANBAO_KAFKA_USER and DANBAO_KAFKA_PASSWORD_FILE have to be set"),
        ({"kafka_password": ""}, "DANBAO_KAFKA_USER and DANBAO_KAFKA_PASSWORD_FILE have to be set"),
        ({"kafka_ca": Path("/no/such")}, "DANBAO_KAFKA_CA: /no/such cannot be read: No such"),
        ({"kafka_ca": Path("/")}, "DANBAO_KAFKA_CA: / cannot be read: Is a directory"),
        ({"kafka_ca": Path("/dev/null")}, "DANBAO_KAFKA_CA: /dev/null is no PEM file"),
        ({"kafka_certificate": Path("/dev/null")}, "go together"),
        (
            {"kafka_certificate": Path("/dev/null"), "kafka_key": Path("/dev/null")},
            "DANBAO_KAFKA_CERTIFICATE, DANBAO_KAFKA_KEY: /dev/null and /dev/null are no unencrypted pair",
        ),
        ({"kafka_protocol": "SASL_PLAINTEXT"}, "DANBAO_KAFKA_CA: DANBAO_KAFKA_PROTOCOL is SASL_PLAINTEXT, without TLS"),
        ({"kafka_mechanism": "OAUTHBEARER"}, "DANBAO_KAFKA_TOKEN_COMMAND is not set"),
    ],
)
def test_a_wrong_setting_is_named(files: dict[str, Path], wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        client_options(scram(files, **wrong))


async def test_a_broker_without_tls_is_one_line(broker: Broker, files: dict[str, Path]) -> None:
    where = client_settings(broker)["DANBAO_KAFKA"]
    if "DANBAO_KAFKA_PROTOCOL" in client_settings(broker):
        pytest.skip("this broker has TLS: test_kafka_logins.py")
    with pytest.raises(Refused, match=r"does not take this login: .*DANBAO_KAFKA_PROTOCOL"):
        await check_login(scram(files, kafka=where))


async def test_an_address_is_checked_before_it_is_used() -> None:
    with pytest.raises(Refused, match="DANBAO_KAFKA: 'kafka' is not host:port"):
        await check_login(Settings(kafka="kafka"))


async def test_a_broker_that_is_away_refuses_nothing() -> None:
    await check_login(Settings(kafka="127.0.0.1:1"))
