"""Messages with their author's signature in a header."""

from faststream.kafka import KafkaBroker

from shared.adapters.crypto.signing import AuthorSigner
from shared.contracts.topics import SIGNATURE_HEADER


async def publish_signed(broker: KafkaBroker, author: AuthorSigner, topic: str, key: str, value: bytes) -> None:
    """Publish a message that its reader can check; returns when the broker has it."""
    headers = {SIGNATURE_HEADER: author.sign_message(topic, value).decode()}
    await broker.publish(value, topic, key=key.encode(), headers=headers)
