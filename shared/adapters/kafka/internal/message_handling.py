"""Handle one message of an internal topic: done, or quarantined with a reason. It never stops or starves a service.

An error is final (the message is quarantined), or it is the database, the broker or another service that is away (tried
again for ever), or something that the message needs is missing (tried for `message_wait_seconds`), or nobody foresaw it
(tried `message_attempts` times, counting only attempts after which the database answers).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from shared.adapters.postgres.message_faults import detail_of, meaning_of
from shared.adapters.postgres.topic_store import TopicStore
from shared.contracts.quarantine import Message, QuarantineReason
from shared.domain.errors import Stop
from shared.runtime.settings import Settings

log = structlog.get_logger(__name__)
Handle = Callable[[Message], Awaitable[object]]
"""Idempotent; raises for a message that it does not take, `Quarantined` where it knows the reason."""
RETRY_FIRST_SECONDS: Final = 0.2
RETRY_MOST_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a message is not taken."""

    reason: QuarantineReason
    detail: str


Verify = Callable[[Message], Fault | None]
"""Checks topic, headers and bytes before anything is decoded: None, or why the message is quarantined."""


class MessageHandler:
    """Handles one topic's messages, read or replayed."""

    def __init__(self, topic: str, handle: Handle, store: TopicStore, settings: Settings, verify: Verify) -> None:
        self.topic = topic
        self._handle = handle
        self._store = store
        self._verify = verify
        self._wait_seconds, self._attempts = settings.message_wait_seconds, settings.message_attempts

    async def try_once(self, message: Message) -> Fault | None:
        """None when it was handled, else why not; raises what is no fault of the message."""
        try:
            return await self._try(message)
        except Stop:
            raise
        except Exception as error:
            meaning = meaning_of(error)
            if isinstance(meaning, QuarantineReason):
                return Fault(meaning, detail_of(error))
            raise

    async def take(self, message: Message) -> Fault | None:
        """Try until it is handled, or cannot be; only Stop and a cancel get out."""
        loop, failures, pause = asyncio.get_running_loop(), 0, RETRY_FIRST_SECONDS
        give_up_at = loop.time() + self._wait_seconds
        while True:
            try:
                return await self.try_once(message)
            except Stop:
                raise
            except Exception as error:  # noqa: BLE001 - none of them may end the reading
                meaning, detail = self._meaning_of(error), detail_of(error)
            if meaning == "waiting" and loop.time() >= give_up_at:
                return Fault(QuarantineReason.EXPIRED, detail)
            if meaning == "unknown" and await self._is_database_up():
                failures += 1
                if failures >= self._attempts:
                    return Fault(QuarantineReason.UNPROCESSABLE, detail)
            log.warning(
                "message not handled, trying again", topic=self.topic, offset=message.offset, error=detail,
                pause_seconds=pause,
            )  # fmt: skip
            await asyncio.sleep(min(pause, max(0.0, give_up_at - loop.time())) if meaning == "waiting" else pause)
            pause = min(pause * 2, RETRY_MOST_SECONDS)

    async def _try(self, message: Message) -> Fault | None:
        if (fault := self._verify(message)) is not None:
            return fault
        await self._handle(message)
        return None

    def _meaning_of(self, error: Exception) -> str:
        return "transient" if isinstance(error, KafkaError) else meaning_of(error)

    async def _is_database_up(self) -> bool:
        try:
            return await self._store.is_up()
        except Exception:  # noqa: BLE001 - on any error the store does not answer
            return False
