"""The one room that knows Kafka's clients: brokers, topics, and how a low-volume topic is read.

Correctness of delivery is nobody's here: a handler is idempotent, and a message is acknowledged after it was handled.
"""

import asyncio
from typing import Any, Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from shared.adapters.kafka.bounded_fetch import bound_batches
from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import Client, broker_options, client_options
from shared.domain.errors import Refused, Stop
from shared.runtime.settings import Settings

log = structlog.get_logger(__name__)
LARGEST_REQUEST_BYTES: Final = 32 * 1024 * 1024
"""Before compression: a parked event is sent again whole, and a manifest may have a total for each event."""
CODECS: Final = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}
NOT_ALLOWED: Final = (ClusterAuthorizationFailedError, TopicAuthorizationFailedError)


def open_broker(settings: Settings, client_id: str = "danbao") -> KafkaBroker:
    """FastStream's broker, not yet started; its producer waits for all replicas, its consumers unpack within limits.

    `client_id` is what the broker shows of this process to whoever asks for the members of a group.
    """
    bound_batches()
    return KafkaBroker(
        **broker_options(settings),
        client_id=client_id,
        acks="all",
        compression_type="gzip",
        max_request_size=LARGEST_REQUEST_BYTES,
        enable_idempotence=settings.kafka_idempotent,
        metadata_max_age_ms=settings.kafka_metadata_max_age_ms,
        graceful_timeout=10.0,
        logger=None,
    )


async def is_answering(broker: KafkaBroker, seconds: float) -> bool:
    """Whether Kafka answers a started broker within this time."""
    return await broker.ping(seconds)


async def start_broker(broker: KafkaBroker) -> None:
    """Connect, and have all subscribers join their groups at the same time.

    `broker.start()` has one join after the other, in an order that changes from start to start; each takes a second on
    the embedded broker, three on Apache Kafka.
    """
    await broker.connect()
    await asyncio.gather(*(subscriber.start() for subscriber in broker.subscribers))
    broker.running = True


def check_codecs() -> None:
    """Raises Stop where this machine cannot unpack what an enterprise may send."""
    missing = [name for name, is_there in CODECS.items() if not is_there()]
    if missing:
        raise Stop(f"codecs missing on this machine: {', '.join(missing)}; enterprises may use any of the four")


def consumer_options(settings: Settings) -> dict[str, Any]:
    """What every subscriber here is made with: manual, from the start, committed data only."""
    return {
        "ack_policy": AckPolicy.MANUAL,
        "decoder": _leave_raw,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "session_timeout_ms": settings.kafka_session_timeout_ms,
        "heartbeat_interval_ms": settings.kafka_heartbeat_ms,
    }


def fetch_options(fetch_bytes: int, wait_ms: int) -> dict[str, Any]:
    """What a subscriber that takes batches asks of a broker at once, and how long it lets one wait that has nothing."""
    return {
        "max_partition_fetch_bytes": fetch_bytes // 3,  # one long queue must not fill the answer
        "fetch_max_bytes": fetch_bytes,
        "fetch_max_wait_ms": wait_ms,
    }


async def ensure_topics(settings: Settings, partitions: dict[str, int]) -> None:
    """Make the topics (name to partition count) that do not exist yet.

    Raises:
        Refused: Some are missing, and this login may not make any.
    """
    await check_login(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        missing = partitions.keys() - set(await admin.list_topics())
        if not missing:
            return
        replicas = settings.topic_replicas
        wanted = [NewTopic(name, partitions[name], replicas) for name in sorted(missing)]
        answer: Any = await admin.create_topics(wanted)
        errors = {name: (for_code(code), rest) for name, code, *rest in answer.topic_errors if code}
        if forbidden := [name for name, (error, _) in errors.items() if issubclass(error, NOT_ALLOWED)]:
            raise Refused(
                f"no topic {', '.join(forbidden)}, and {settings.kafka_user or 'this login'} may not make any: "
                "`danbao kafka setup` makes them"
            )
        for name, (error, rest) in errors.items():
            if error is not TopicAlreadyExistsError:
                raise error(f"topic {name}: {rest}")
    finally:
        await admin.close()


async def read_cluster_id(client: Client) -> str:
    """The id of the cluster that answers now; another one than before means other topics under the same names."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def _leave_raw(message: object) -> None:
    """A decoder that does not decode: handlers read the record itself."""
