"""What an operator does to topics, as far as aiokafka's own admin client does not do it or does it wrongly."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteRecordsRequest

from shared.adapters.kafka.security import Client


@asynccontextmanager
async def open_admin(client: Client) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def make_topic(client: Client, topic: str, partitions: int = 1, **settings: str) -> None:
    """Settings are Kafka's, with underscores for dots."""
    reported = {name.replace("_", "."): value for name, value in settings.items()}
    async with open_admin(client) as admin:
        await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=reported)])


async def set_topic(client: Client, topic: str, settings: Mapping[str, str]) -> None:
    async with open_admin(client) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))])


async def delete_records(client: Client, topic: str, before_offset: int, partition: int = 0) -> None:
    """Cut the log off; aiokafka's own method does not find the leader of a topic on Kafka 4."""
    async with open_admin(client) as admin:
        (node,) = (await admin.describe_cluster())["brokers"]
        request = DeleteRecordsRequest([(topic, [(partition, before_offset)])], 10_000)
        answer = await admin._client.send(node["node_id"], request)
        (((_, ((_, _, code, *_),), *_)),) = answer.topics
        if code:
            raise for_code(code)


async def bounds(client: Client, topic: str, partition: int = 0) -> tuple[int, int]:
    """Where the log begins and ends."""
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(**client)
    await consumer.start()
    try:
        return (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    finally:
        await consumer.stop()
