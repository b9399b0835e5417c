"""The compose file at work: docker reads it as we do, and its commands and environments make a system that charges."""

import json
import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.children import Child, start_child
from deploy.embedded.ports import free_port
from deploy.embedded.postgres import EmbeddedPostgres
from services.demo.running.system import EMBEDDED_KAFKA, settings_of
from shared.adapters.kafka.security import Client, client_options
from shared.contracts.topic_rights import enterprise_principal
from shared.domain.calendar import insured_day
from shared.runtime.clock import now
from tests.e2e.compose_file import Outside, fill_env, in_order, read_services
from tests.e2e.compose_kafka import compose_broker
from tests.support.servers import Broker, client_of
from tests.support.tools import compose_commands, needs
from tests.support.waiting import eventually, eventually_async
from tests.tidy.source import ROOT

JOBS = {"keys", "kafka-setup", "migrate"}
OURS = {"charging", "ledger", "reporting", "national-platform"}
DATABASES = {"postgres", "platform-postgres"}
WITHOUT_IDENTITIES = {"DANBAO_KAFKA_PROTOCOL": "PLAINTEXT", "DANBAO_KAFKA_CA": None}
WITHOUT_TLS: dict[str, str | None] = {"PGSSLMODE": None, "PGSSLROOTCERT": None}
"""The wheel's PostgreSQL has none; tests/integration/adapters/test_database_tls.py is about one that has."""
ENTERPRISE = "91000000FAKE00001F"


@needs("compose")
def test_compose_reads_the_file_as_we_do(tmp_path: Path) -> None:
    given = fill_env(tmp_path)
    ours = {name: service.get("environment") or {} for name, service in read_services(given).items()}
    for reader in compose_commands():
        config = [*reader, "--env-file", str(tmp_path / ".env"), "--profile", "tools", "config"]
        done = subprocess.run(
            config, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        theirs = yaml.safe_load(done.stdout)["services"]
        assert {name: service.get("environment") or {} for name, service in theirs.items()} == ours


@dataclass(frozen=True, slots=True)
class Running:
    """The services of the compose file as processes of this machine, all of them healthy."""

    outside: Outside
    children: Mapping[str, Child]
    producer: Client
    """What the enterprise's own client is made with."""

    def address(self, service: str) -> str:
        """Where a service's HTTP interface is."""
        return f"https://127.0.0.1:{self.outside.environment(service)['DANBAO_PORT']}"

    def run_tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm danbao …`"""
        return run_once(self.outside, "danbao", [*self.outside.services["danbao"]["entrypoint"], *words])


def run_once(outside: Outside, name: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the environment of a service and wait for its end."""
    command, env = outside.command(words), outside.environment(name)
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def running(broker: Broker, folder: Path) -> Iterator[Running]:
    """Start what the compose file starts, in its order, each when those it waits for are healthy or done."""
    given = fill_env(folder)
    services = read_services(given)
    keys = folder / "keys"
    for volume in services["keys"]["volumes"]:
        (keys / Path(volume.split(":")[1]).name).mkdir(parents=True)
    with ExitStack() as stack:
        hosts = {"kafka:9092": broker.bootstrap}
        is_open = isinstance(broker, EmbeddedBroker)
        hosts |= {f"{name}:{services[name]['environment']['DANBAO_PORT']}": free_address() for name in OURS}
        # The embedded broker needs what `danbao up` gives to a service on it, and knows no identities.
        extra = WITHOUT_TLS | ({**EMBEDDED_KAFKA, **WITHOUT_IDENTITIES} if is_open else {})
        outside = Outside(services, hosts, keys, folder / "secrets", extra)
        children: dict[str, Child] = {}
        producer = client_of(broker)
        for name in in_order(services, JOBS | OURS):
            if name == "kafka-setup":
                if is_open:
                    continue
                published, cluster_id = given["KAFKA_PUBLISHED"], given["KAFKA_CLUSTER_ID"]
                kafka = stack.enter_context(compose_broker(keys / "kafka-broker", published, cluster_id, folder))
                hosts["kafka:9092"], producer = kafka.inside, enterprise_client(kafka.outside, keys)
            if name in JOBS:
                done = run_once(outside, name, services[name]["command"])
                assert done.returncode == 0, f"{name}: {done.stderr}"
                for database in sorted(DATABASES, key=len, reverse=True) if name == "keys" else ():
                    hosts[f"{database}:5432"] = stack.enter_context(database_server(outside, database))
            else:
                children[name] = start(outside, name, folder)
                stack.callback(children[name].stop)
        for name, child in children.items():
            wait_until_healthy(outside, name, child)
        yield Running(outside, children, producer)


@contextmanager
def database_server(outside: Outside, name: str) -> Iterator[str]:
    """A server with the owner, password and database that the image of PostgreSQL is given."""
    environment = outside.environment(name)
    server = EmbeddedPostgres()
    server.password = Path(environment["POSTGRES_PASSWORD_FILE"]).read_text().strip()
    with server:
        server.create_database(environment["POSTGRES_DB"])
        assert f"/{environment['POSTGRES_DB']}" in server.url(environment["POSTGRES_DB"], environment["POSTGRES_USER"])
        yield f"127.0.0.1:{server.port}"


def enterprise_client(kafka: str, keys: Path) -> Client:
    """The enterprise's own login, at the listener that is published."""
    login = f"{enterprise_principal(ENTERPRISE)}-a"
    variables = {
        "DANBAO_KAFKA": kafka, "DANBAO_KAFKA_PROTOCOL": "SASL_SSL", "DANBAO_KAFKA_USER": login,
        "DANBAO_KAFKA_CA": str(keys / "public" / "kafka-ca.pem"),
        "DANBAO_KAFKA_PASSWORD_FILE": str(keys / "kafka-logins" / login),
    }  # fmt: skip
    return client_options(settings_of(variables))


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


def start(outside: Outside, name: str, folder: Path) -> Child:
    """A service's process, as its container would run it."""
    command = outside.command(outside.services[name]["command"])
    return start_child(name, command, env=outside.environment(name), log=folder / f"{name}.log")


def authority_of(outside: Outside) -> ssl.SSLContext:
    """What checks the services' certificates."""
    return ssl.create_default_context(cafile=outside.keys / "public" / "ca.pem")


def wait_until_healthy(outside: Outside, name: str, child: Child) -> None:
    """Wait until the service says that it is ready; then its health check must find so."""
    url = f"https://127.0.0.1:{outside.environment(name)['DANBAO_PORT']}/readyz"
    answers = ["no answer"]

    def is_ready() -> bool:
        assert child.poll() is None, f"{name} ended: {child.last_words()}"
        with suppress(httpx.TransportError):
            answer = httpx.get(url, verify=authority_of(outside), trust_env=False)
            answers.append(answer.text)
            return answer.status_code == httpx.codes.OK
        return False

    try:
        eventually(is_ready, name)
    except AssertionError as error:
        raise AssertionError(f"{error}: {answers[-1]}: {child.last_words()}") from error
    kind, *check = outside.services[name]["healthcheck"]["test"]
    assert kind == "CMD"
    done = run_once(outside, name, check)
    assert done.returncode == 0, f"{name}: {done.stdout} {done.stderr}"


def acceptance(order_id: str, at: datetime) -> bytes:
    """An order that the demo's ride-hailing enterprise accepts in Guangdong."""
    data = {
        "order_id": order_id, "worker_id": secrets.token_hex(32), "token_key": 1, "industry": "ride_hailing",
        "acceptance_region": "440106", "accepted_at": at.isoformat(), "series": "app", "sequence": 1,
    }  # fmt: skip
    envelope = {"specversion": "1.0", "id": order_id, "source": f"urn:uscc:{ENTERPRISE}", "type": "order.accepted.v1"}
    return json.dumps(envelope | {"data": data}).encode()


async def send(client: Client, order_id: str, payload: bytes) -> None:
    """Send one event as an enterprise does."""
    producer = AIOKafkaProducer(**client, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(f"orders.v1.{ENTERPRISE}", payload, key=order_id.encode())
    finally:
        await producer.stop()


async def get_json(system: Running, service: str, path: str) -> Any:
    """A GET with the operator's key, which the key job has put on both lists."""
    headers = {"Authorization": f"Bearer {(system.outside.secrets / 'operator_key').read_text().strip()}"}
    verify = authority_of(system.outside)
    async with httpx.AsyncClient(
        base_url=system.address(service), headers=headers, verify=verify, trust_env=False
    ) as client:
        answer = await client.get(path)
        return answer.raise_for_status().json()


@pytest.mark.exhaustive
async def test_the_compose_files_commands_charge_an_order(fresh_broker: Broker, open_folder: Path) -> None:
    with running(fresh_broker, open_folder) as system:
        order_id, at = f"C-{secrets.token_hex(6)}", now()
        await send(system.producer, order_id, acceptance(order_id, at))
        where = f"/v1/orders/{ENTERPRISE}/{order_id}?day={insured_day(at)}"

        async def is_charged() -> bool:
            rows = (await get_json(system, "charging", where))["rows"]
            return [(row["kind"], row["reason"], row["premium_yuan"]) for row in rows] == [("acceptance", None, "0.01")]

        async def is_booked() -> bool:
            return bool((await get_json(system, "ledger", "/v1/status"))["runs"])

        await eventually_async(is_charged, "the charge of the order")
        await eventually_async(is_booked, "the booking of its manifest")
        assert (await get_json(system, "national-platform", "/v1/reports"))["reports"] == []
        status = system.run_tool("status", "--json")
        assert status.returncode == 0, status.stderr
        audit = system.run_tool("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert {name: child.stop() for name, child in system.children.items()} == dict.fromkeys(system.children, 0)
