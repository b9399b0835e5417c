"""`danbao replay`: send a file's events with their own times to a running system."""

from collections.abc import Iterable

from services.demo.driver import open_stream
from services.demo.generator.records import Record
from services.demo.progress import Watcher
from services.demo.running.apis import open_apis
from shared.adapters.kafka.clients import ensure_topics
from shared.contracts.topics import orders_topic
from shared.domain.scheme.rating import Scheme
from shared.runtime.command_settings import CommandSettings


async def replay(
    settings: CommandSettings, scheme: Scheme, records: Iterable[Record], watcher: Watcher, is_waited_for: bool
) -> int:
    """Send all events and return their number; `is_waited_for` waits until they are charged and booked."""
    topics = {orders_topic(uscc): settings.order_partitions for uscc in scheme.enterprises}
    await ensure_topics(settings, topics)
    async with open_apis(settings) as apis, open_stream(settings, apis, watcher) as stream:
        watcher.stage("sending")
        await stream.send(records)
        if is_waited_for:
            watcher.stage("charging and booking")
            await stream.is_taken_in()
        return stream.sent
