"""The broker of docker-compose.yml on Apache Kafka's jars: with the very files that the job `keys` has made for it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.children import start_child
from deploy.embedded.ports import LOOPBACK, free_port, is_listening
from deploy.kafka_keys import SEEN_AS
from tests.support.apache_kafka import START_SECONDS, java_command


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the services and the enterprises reach it."""

    inside: str
    outside: str


@contextmanager
def compose_broker(files: Path, published: str, cluster_id: str, folder: Path) -> Iterator[Listeners]:
    """Format and start it as deploy/kafka/start.sh does; of the settings only addresses and folders are others here."""
    inside, outside, controller = free_port(), free_port(), free_port()
    text = (files / "server.properties").read_text()
    for there, here in {
        SEEN_AS: str(files),
        "INSIDE://:9092": f"INSIDE://{LOOPBACK}:{inside}",
        "INSIDE://kafka:9092": f"INSIDE://localhost:{inside}",
        "OUTSIDE://:9094": f"OUTSIDE://{LOOPBACK}:{outside}",
        f"OUTSIDE://{published}": f"OUTSIDE://{LOOPBACK}:{outside}",
        "localhost:9093": f"localhost:{controller}",
        "/var/lib/kafka/data": str(folder / "kafka-log"),
    }.items():
        assert there in text, there
        text = text.replace(there, here)
    properties = folder / "server.properties"
    properties.write_bytes(text.encode("ascii", "backslashreplace"))  # Java reads it as Latin-1, with such escapes
    users = f"@{files / 'users'}"
    formatting = ["format", "--ignore-formatted", "--cluster-id", cluster_id, "--config", str(properties), users]
    done = subprocess.run(
        [*java_command("kafka.tools.StorageTool"), *formatting], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    server = start_child("Apache Kafka", [*java_command("kafka.Kafka"), str(properties)], log=folder / "kafka.log")
    try:
        server.wait_until(lambda: is_listening(inside) and is_listening(outside), START_SECONDS)
        yield Listeners(f"localhost:{inside}", f"{LOOPBACK}:{outside}")
    finally:
        server.stop(signal.SIGKILL)
