"""A service that Kafka refuses ends with one line and status 78; it neither tries for ever nor shows a stack."""

import os
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.certificates import make_authority
from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port
from services.demo.running.system import settings_of
from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import client_options
from shared.contracts.topic_rights import SERVICES
from shared.domain.errors import Refused
from shared.runtime.clock import now
from tests.integration.charging.charging_harness import ROOT
from tests.integration.charging.charging_service import KEY
from tests.support.access_keys import write_access_keys
from tests.support.apache_kafka import ApacheKafka
from tests.support.servers import Broker, client_settings
from tests.support.waiting import eventually_async


@pytest.fixture
def kafka(broker: Broker) -> ApacheKafka:
    """A broker with identities."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("the embedded broker knows no identities: make test-kafka")
    return broker


def wrong_ones(kafka: ApacheKafka, folder: Path) -> dict[str, tuple[dict[str, str], str]]:
    """Settings that differ in one thing, and what is said of them."""
    password, authority = folder / "password", folder / "ca.pem"
    password.write_text("guessed\n")
    authority.write_bytes(make_authority("another", now()).certificate)
    return {
        "password": ({"DANBAO_KAFKA_PASSWORD_FILE": str(password)}, "wrong user or password of ledger-a"),
        "user": ({"DANBAO_KAFKA_USER": "nobody"}, "wrong user or password of nobody"),
        "authority": ({"DANBAO_KAFKA_CA": str(authority)}, "its certificate is not to be trusted"),
        "mechanism": ({"DANBAO_KAFKA_MECHANISM": "PLAIN"}, "the listener does not offer PLAIN"),
        "no TLS": (
            {"DANBAO_KAFKA_PROTOCOL": "SASL_PLAINTEXT", "DANBAO_KAFKA_CA": ""}, "DANBAO_KAFKA_PROTOCOL",
        ),
        "no login": ({"DANBAO_KAFKA_PROTOCOL": "SSL"}, "DANBAO_KAFKA_PROTOCOL"),
    }  # fmt: skip


async def test_each_refusal_has_its_own_words(kafka: ApacheKafka, tmp_path: Path) -> None:
    right = client_settings(kafka, "ledger")
    await check_login(settings_of(right))
    for name, (wrong, words) in wrong_ones(kafka, tmp_path).items():
        given = {key: value for key, value in {**right, **wrong}.items() if value}
        with pytest.raises(Refused, match=r"Kafka does not take this login: .*" + words):
            await check_login(settings_of(given))
        assert name


@pytest.mark.parametrize("service", SERVICES)
async def test_a_refused_service_ends_with_a_line(kafka: ApacheKafka, service: str, tmp_path: Path) -> None:
    """Before it opens its database: there is none here."""
    (password := tmp_path / "password").write_text("guessed\n")
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        **client_settings(kafka, service),
        "DANBAO_KAFKA_PASSWORD_FILE": str(password),
        "DANBAO_PORT": str(free_port()),
        "DANBAO_ACCESS_KEYS": str(write_access_keys(tmp_path / "access.toml", KEY)),
    }
    log = tmp_path / "log"
    child = start_child(service, [sys.executable, "-m", f"services.{service}"], env=env, cwd=ROOT, log=log)
    try:
        await eventually_async(lambda: has_ended(child), f"the end of {service}")
        assert child.poll() == 78, log.read_text()
    finally:
        child.stop()
    lines = log.read_text().splitlines()
    assert lines[-1].startswith(f"danbao {service}: Kafka does not take this login: ")
    assert lines[-1].endswith(f"wrong user or password of {service}-a")
    assert not any("Traceback" in line for line in lines)


async def has_ended(child: Child) -> bool:
    return child.poll() is not None


async def test_a_stranger_without_a_login_gets_nowhere(kafka: ApacheKafka) -> None:
    """What every attack on the broker began with: its address and nothing else."""
    with pytest.raises(KafkaError):
        await AIOKafkaProducer(**client_options(settings_of({"DANBAO_KAFKA": kafka.bootstrap}))).start()
