"""Topic ids: distinguish a topic from another one that was made under its name later.

aiokafka's own metadata requests end at a version before ids, so the later one is encoded here, as the protocol's
documentation has it. A broker that knows none says nothing, and then only a log that has become shorter is noticed.
"""

from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from shared.adapters.kafka.security import Client

NO_ID: Final = UUID(int=0)
_API_KEY: Final = 3
_VERSION: Final = 10


class _Id(AbstractType[UUID]):
    """16 bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_PARTITION: Final = (
    ("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)), ("isr", CompactArray(Int32)), ("offline", CompactArray(Int32)),
    ("tags", TaggedFields),
)  # fmt: skip
_TOPIC: Final = (
    ("error_code", Int16), ("name", CompactString("utf-8")), ("topic_id", _Id), ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)), ("authorized", Int32), ("tags", TaggedFields),
)  # fmt: skip
_BROKER: Final = (
    ("node_id", Int32), ("host", CompactString("utf-8")), ("port", Int32), ("rack", CompactString("utf-8")),
    ("tags", TaggedFields),
)  # fmt: skip


class _MetadataResponse(Response):
    API_KEY = _API_KEY
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("brokers", CompactArray(*_BROKER)), ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32), ("topics", CompactArray(*_TOPIC)), ("authorized", Int32), ("tags", TaggedFields),
    )  # fmt: skip


class _MetadataStruct(RequestStruct):
    API_KEY = _API_KEY
    API_VERSION = _VERSION
    RESPONSE_TYPE = _MetadataResponse
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Id), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("makes_topics", Boolean), ("with_cluster_operations", Boolean), ("with_topic_operations", Boolean),
        ("tags", TaggedFields),
    )  # fmt: skip


class _MetadataRequest(Request[_MetadataStruct]):
    API_KEY = _API_KEY

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics: list[tuple[UUID, str, dict[int, bytes]]] = [(NO_ID, topic, {}) for topic in topics]

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class(self._topics, False, False, False, {})


async def read_topic_ids(client: Client, topics: Iterable[str]) -> dict[str, UUID]:
    """The id of each of these topics; one that is not there, or that the broker has no id for, is left out."""
    admin: Any = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        node = admin._client.get_random_node()
        answer = await admin._client.send(node, _MetadataRequest(sorted(set(topics))))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}  # older than ids
    finally:
        await admin.close()
    return {name: topic_id for code, name, topic_id, *_ in answer.topics if not code and topic_id != NO_ID}
