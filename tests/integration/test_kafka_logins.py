"""A service that Kafka refuses ends with one line and status 78; it neither tries for ever nor shows a stack."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.certificates import make_authority
from services.cli.running.system import settings_of
from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import client_options
from shared.domain.errors import Refused
from shared.runtime.clock import now
from tests.apache_kafka import ApacheKafka
from tests.integration.charging_house import House
from tests.integration.charging_service import Field
from tests.servers import Broker, client_settings
from tests.waiting import eventually_async


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


async def test_a_refused_service_ends_with_a_line(kafka: ApacheKafka, house: House, tmp_path: Path) -> None:
    (tmp_path / "charging-a").write_text("guessed\n")
    wrong = {"DANBAO_KAFKA_PASSWORD_FILE": str(tmp_path / "charging-a")}
    field = Field(house, client_settings(kafka, "charging") | wrong, tmp_path)
    async with field.worker(wait=False) as worker:
        await eventually_async(worker.has_ended, "the end of charging")
        assert worker.child.poll() == 78
        lines = worker.log.read_text().splitlines()
    assert lines[-1].startswith("danbao charging: Kafka does not take this login: ")
    assert lines[-1].endswith("wrong user or password of charging-a")
    assert not any("Traceback" in line for line in lines)


async def test_a_stranger_without_a_login_gets_nowhere(kafka: ApacheKafka) -> None:
    """What every attack on the broker began with: its address and nothing else."""
    with pytest.raises(KafkaError):
        await AIOKafkaProducer(**client_options(settings_of({"DANBAO_KAFKA": kafka.bootstrap}))).start()
