"""The internal topics that a service reads, and its quarantine: delivers, quarantines and replays their messages."""

from shared.adapters.kafka.internal.message_handling import Fault, Handle, MessageHandler, Verify
from shared.adapters.kafka.internal.topic_reader import TopicReader
from shared.adapters.postgres.topic_store import TopicStore, Unavailable
from shared.contracts.quarantine import Message
from shared.domain.privacy.redaction import redact_detail
from shared.runtime.settings import Settings


class InternalTopics:
    """All internal topics that a service reads, and its quarantine."""

    def __init__(self, store: TopicStore, settings: Settings, verify: Verify) -> None:
        self.store = store
        self._settings = settings
        self._verify = verify
        self._handlers: dict[str, MessageHandler] = {}
        self.readers: list[TopicReader] = []

    def add(self, topic: str, handle: Handle, *, is_sole: bool = False, limit_seconds: float = 0.0) -> TopicReader:
        """Read one more topic. `is_sole`: of several processes one reads it, and the others wait to take over.

        A message may take `ready_commit_age_seconds`, or `limit_seconds` where that is more, before readiness says so.
        """
        handler = self._handlers[topic] = MessageHandler(topic, handle, self.store, self._settings, self._verify)
        reader = TopicReader(handler, self.store, self._settings, is_sole=is_sole, limit_seconds=limit_seconds)
        self.readers.append(reader)
        return reader

    async def deliver(self, message: Message) -> Fault | None:
        """Handle or quarantine a message that is not read from a log; no position is moved."""
        fault = await self._handlers[message.topic].take(message)
        if fault is not None:
            await self.store.quarantine(message, fault.reason, fault.detail, None)
        return fault

    async def replay(self, refused_id: int, reviewer: str) -> str:
        """Have a quarantined message handled again, which reviews it where it is taken now.

        Returns `replayed`, `unknown`, `refused: ` and why it is still not taken, or `erased: ` or `altered: ` and why
        its bytes cannot be had.
        """
        message = await self.store.read_message(refused_id)
        if isinstance(message, Unavailable):
            return f"{message.state}: {message.detail}"
        if message is None or message.topic not in self._handlers:
            return "unknown"
        fault = await self._handlers[message.topic].try_once(message)
        if fault is not None:
            return f"refused: {fault.reason.value}: {redact_detail(fault.detail)}"
        await self.store.review(refused_id, reviewer, "replayed")
        return "replayed"
