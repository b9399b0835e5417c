"""Kafka's admin client: makes topics, reads the cluster's id; and what every client of this project may send."""

from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from shared.adapters.kafka.login import check_login
from shared.adapters.kafka.security import Client, client_options
from shared.domain.errors import Refused, Stop
from shared.runtime.settings import Settings

LARGEST_REQUEST_BYTES: Final = 32 * 1024 * 1024
"""Before compression: a parked event is sent again whole, and a manifest may have a total for each event."""
CODECS: Final = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}
NOT_ALLOWED: Final = (ClusterAuthorizationFailedError, TopicAuthorizationFailedError)


def check_codecs() -> None:
    """Raises Stop where this machine cannot unpack what an enterprise may send."""
    missing = [name for name, is_there in CODECS.items() if not is_there()]
    if missing:
        raise Stop(f"codecs missing on this machine: {', '.join(missing)}; enterprises may use any of the four")


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
