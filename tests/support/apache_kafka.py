"""Apache Kafka as a child process: one node that is broker and controller, its log on disk.

Its jars come through Maven (`make test-kafka`, tests/kafka/pom.xml); Java 17 or later runs them. Unlike the embedded
broker it may be killed and started again on what it had written.
"""

import asyncio
import os
import re
import secrets
import shutil
import signal
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

from aiokafka.errors import KafkaError

from deploy.broker_files import make_password, write_certificates, write_settings
from deploy.embedded.children import Child, EmbeddedError, NotReadyError, start_child
from deploy.embedded.ports import LOOPBACK, free_port, is_listening
from deploy.embedded.state import StateDirectory
from services.cli.cluster.setup import grant
from services.demo.running.system import DEMO_SCHEME, settings_of
from shared.adapters.kafka.clients import read_cluster_id
from shared.adapters.kafka.security import client_options
from shared.contracts.topic_rights import BROKER, FIXED, SETUP, SUPER_USERS, logins_of
from shared.runtime.clock import now

JARS: Final = Path(__file__).resolve().parents[2] / "var" / "kafka" / "libs"
JAVA: Final = 17
"""Apache Kafka 4 runs on nothing older."""
START_SECONDS: Final = 60.0
PORT_ATTEMPTS: Final = 3
# A short life on two busy cores: no second compiler, a small heap, no log file of the collector.
JVM: Final = ("-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
QUIET: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=INSIDE://{host}:{port},CONTROLLER://{host}:{controller}
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
log.dirs={log}
# A topic that nobody made is a mistake here.
auto.create.topics.enable=false
# One node: nothing can be replicated, and few partitions of the inner topics are made and loaded sooner.
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# The first member of a group need not wait for others.
group.initial.rebalance.delay.ms=0
# Enterprises send what is too large, and it has to come through to be parked.
message.max.bytes=33554432
# Records carry the times of their events, not the clock's: nothing expires or is refused for that, unless a
# topic says otherwise; then retention is seen at work within a test.
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=0
# After a SIGKILL the new start is let in when the old one counts as gone.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
OPEN: Final = "listener.security.protocol.map=INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
"""What an unsecured node has in the place of deploy/kafka/security.properties."""


class ApacheKafka:
    """One node: `with ApacheKafka() as kafka: produce_to(kafka.bootstrap)`.

    It is secured as the compose file's broker is, unless a measurement wants one that is not.
    """

    def __init__(self, *, is_secured: bool = True) -> None:
        self.is_secured = is_secured
        self.cluster_id = ""
        self.port = 0
        self._state: StateDirectory | None = None
        self._server: Child | None = None
        self._java = Path()
        self._has_rights = False

    def start(self) -> Self:
        """Start it on an empty log; returns when it answers with our cluster id.

        Raises:
            EmbeddedError: It cannot be done here; nothing is left behind.
        """
        try:
            self._java = find_java()
            _check_jars()
            self._state = StateDirectory()
            for attempt in range(1, PORT_ATTEMPTS + 1):
                try:
                    self.format()
                    self.restart()
                    break
                except EmbeddedError as error:
                    if isinstance(error, NotReadyError) or attempt == PORT_ATTEMPTS:
                        raise
        except BaseException:
            self.stop()
            raise
        return self

    def format(self) -> None:
        """Reformat its log: an empty cluster with another id, on the same port if it had one."""
        shutil.rmtree(self._log, ignore_errors=True)
        self.port = self.port if self.port and not is_listening(self.port) else free_port()
        self.cluster_id = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        properties = PROPERTIES.format(host=LOOPBACK, port=self.port, controller=free_port(), log=self._log)
        users: list[str] = []
        if self.is_secured:
            write_certificates(self._folder / "authority", self._folder, (LOOPBACK,), now())
            passwords = {login: make_password(self.logins / login) for login in SUPER_USERS}
            write_settings(self._folder, str(self._folder), properties, passwords[BROKER], passwords)
            users = (self._folder / "users").read_text().split()
        else:
            self._properties.write_text(properties + OPEN, encoding="utf-8")
        formatting = ("format", "--cluster-id", self.cluster_id, "--config", str(self._properties), *users)
        self._has_rights = False
        done = subprocess.run(
            [*self._command("kafka.tools.StorageTool"), *formatting], capture_output=True, text=True, check=False,
            timeout=START_SECONDS,
        )  # fmt: skip
        if done.returncode:
            raise EmbeddedError(f"Kafka's log cannot be formatted: {(done.stderr or done.stdout)[-500:]}")

    def restart(self) -> None:
        """Start it on the log it has; does nothing while it runs."""
        if self.is_running():
            return
        log = self._folder / "kafka.log"
        command = [*self._command("kafka.Kafka"), str(self._properties)]
        server = start_child("Apache Kafka", command, log=log)
        try:
            server.wait_until(lambda: is_listening(self.port), START_SECONDS)
            answer = _ask_cluster_id(self.variables())
            if answer != self.cluster_id:
                raise EmbeddedError(f"another broker ({answer}) answers on port {self.port}")
        except BaseException:
            server.stop(signal.SIGKILL)
            raise
        self._server = server
        if self.is_secured and not self._has_rights:
            self.set_up(FIXED)
            self._has_rights = True

    def set_up(self, principals: Iterable[str]) -> None:
        """Give these principals of the table their logins, and all of the table its rights."""
        for login in (login for principal in principals for login in logins_of(principal)):
            make_password(self.logins / login)
        settings = settings_of(self.variables() | {"DANBAO_SCHEME": DEMO_SCHEME})
        _in_a_thread(grant(settings))

    def variables(self, principal: str = SETUP) -> dict[str, str]:
        """Settings of a process that logs in as this principal: DANBAO_ variables."""
        where = {"DANBAO_KAFKA": self.bootstrap}
        if not self.is_secured:
            return where
        if principal == SETUP:
            where["DANBAO_KAFKA_LOGINS"] = str(self.logins)
        return where | {
            "DANBAO_KAFKA_PROTOCOL": "SASL_SSL",
            "DANBAO_KAFKA_CA": str(self._folder / "ca.pem"),
            "DANBAO_KAFKA_USER": f"{principal}-a",
            "DANBAO_KAFKA_PASSWORD_FILE": str(self.logins / f"{principal}-a"),
        }

    def kill(self) -> None:
        """SIGKILL it; its log stays as it is."""
        self.server.stop(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it without ado; everything in it is gone. May be called again."""
        if self._server is not None:
            self._server.stop(signal.SIGKILL)
            self._server = None
        if self._state is not None:
            self._state.remove()
            self._state = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._server is not None and self._server.poll() is None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def server(self) -> Child:
        """Its process."""
        if self._server is None:
            raise EmbeddedError("Apache Kafka was not started")
        return self._server

    @property
    def _folder(self) -> Path:
        if self._state is None:
            raise EmbeddedError("Apache Kafka was not started")
        return self._state.path

    @property
    def logins(self) -> Path:
        """The folder of passwords."""
        return self._folder / "logins"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    def _command(self, main: str) -> list[str]:
        return java_command(main, self._java)


def java_command(main: str, java: Path | None = None) -> list[str]:
    """The command that runs one of Kafka's programs from its jars."""
    return [str(java or find_java()), *JVM, QUIET, "-cp", f"{JARS}{os.sep}*", main]


def find_java() -> Path:
    """The Java of `JAVA_HOME`, or the first of the path.

    Raises:
        EmbeddedError: There is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    wanted = f"Apache Kafka needs Java {JAVA} or later (the rest of the tests does not)"
    if java is None:
        raise EmbeddedError(f"{wanted}: no java in {'JAVA_HOME' if home else 'the path'}")
    reported = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=START_SECONDS)
    version = re.search(r'version "(?:1\.)?(\d+)', reported.stderr)
    if version is None or int(version[1]) < JAVA:
        raise EmbeddedError(f"{wanted}: {java} is {reported.stderr.partition(chr(10))[0] or 'silent'}")
    return Path(java)


def complaint() -> str | None:
    """Why Apache Kafka cannot run here, for a person; None when a Java is there that can."""
    try:
        find_java()
    except EmbeddedError as error:
        return str(error)
    return None


def _check_jars() -> None:
    if not any(JARS.glob("kafka_*.jar")):
        raise EmbeddedError(f"Apache Kafka's jars are not in {JARS}: `make test-kafka` fetches them")


def _ask_cluster_id(variables: dict[str, str]) -> str:
    try:
        answer: str = _in_a_thread(read_cluster_id(client_options(settings_of(variables))))
    except (KafkaError, OSError) as error:
        raise EmbeddedError(f"the broker at {variables['DANBAO_KAFKA']} does not answer: {error}") from error
    return answer


def _in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end, also where an event loop is running already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
