"""Reduces a quarantined message to hash, length and a redacted form to read; its bytes and headers are sealed.

The table is `refused_message` of each schema that has a quarantine. A message can be opened, and so replayed, for as
long as the key of its day lives (docs/decisions/0019). The headers are sealed with it, so its signature is not lost.
"""

from datetime import date, datetime
from hashlib import sha256
from typing import Final

import msgspec

from shared.adapters.crypto.sealing import DayKey, unseal
from shared.adapters.postgres.pool import Row
from shared.adapters.postgres.queries.storable_text import storable
from shared.contracts.quarantine import Message, QuarantineReason
from shared.domain.privacy.redaction import redact_detail, redacted

MOST_DETAIL: Final = 1_000
"""Characters of a detail; the message itself is kept whole."""
_PAGE: Final = 500
"""Messages that a migration seals at once."""
_WITHOUT_MESSAGE: Final = frozenset({QuarantineReason.LOST, QuarantineReason.UNREADABLE})


class SealedMessage(msgspec.Struct, array_like=True):
    """The sealed content, in MessagePack."""

    body: bytes
    headers: list[tuple[str, bytes]]


def quarantine_sql(schema: str) -> str:
    """SQL: keep a message (`quarantine_row`) once for as long as it can be read; when it is erased, once more."""
    return f"""insert into {schema}.refused_message (topic, partition, record_offset, reason, detail, sha256, bytes,
            redacted, sealed, sealed_on, recorded_at)
        select $1::text, $2::integer, $3::bigint, $4::text, $5::text, $6::bytea, $7::integer, $8::text, $9::bytea,
            $10::date, coalesce($11::timestamptz, clock_timestamp())
        where not exists (select from {schema}.refused_message m join {schema}.kept_key k on k.day = m.sealed_on
            where (m.topic, m.reason, m.sha256) = ($1::text, $4::text, $6::bytea) and k.key is not null)
        on conflict (topic, reason, sha256, sealed_on) do nothing"""


Parameter = str | int | bytes | date | datetime | None
"""A value of a column."""


def quarantine_row(
    key: DayKey, schema: str, message: Message, reason: QuarantineReason, detail: str
) -> tuple[Parameter, ...]:
    """The parameters of that statement."""
    form = seal_message(key, schema, message.topic, reason, SealedMessage(message.body, list(message.headers)))
    place = (message.topic, message.partition, message.offset)
    return (*place, reason.value, shorten_detail(detail), *form, message.recorded_at)


def row_without_place(
    key: DayKey, schema: str, topic: str, body: bytes, reason: QuarantineReason, detail: str
) -> tuple[Parameter, ...]:
    """The parameters for a message that has no place in a log."""
    form = seal_message(key, schema, topic, reason, SealedMessage(body, []))
    return (topic, None, None, reason.value, shorten_detail(detail), *form, None)


def shorten_detail(detail: str) -> str:
    """Shorten a detail for storage and logs: without what it quotes of the message."""
    return storable(redact_detail(detail)[:MOST_DETAIL])


def seal_message(
    key: DayKey, schema: str, topic: str, reason: QuarantineReason, message: SealedMessage
) -> tuple[bytes, int, str, bytes, date]:
    """The columns sha256, bytes, redacted, sealed and sealed_on."""
    digest = sha256(message.body).digest()
    form = "no message" if reason in _WITHOUT_MESSAGE else redacted(message.body)
    sealed = key.seal(msgspec.msgpack.encode(message), name_place(schema, topic, reason, digest))
    return digest, len(message.body), form, sealed, key.day


def open_message(key: bytes, schema: str, row: Row) -> SealedMessage:
    """The message of a row; raises Refused where its sealed bytes were changed."""
    place = name_place(schema, row["topic"], row["reason"], row["sha256"])
    return msgspec.msgpack.decode(unseal(key, row["sealed"], place), type=SealedMessage)


def name_place(schema: str, topic: str, reason: str, digest: bytes) -> str:
    """What binds sealed bytes to their row."""
    return f"{schema}.refused_message {topic} {reason} {digest.hex()}"
