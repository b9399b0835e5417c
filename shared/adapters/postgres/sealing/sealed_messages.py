"""What stays of a quarantined message: hash, length and a redacted form to read; its bytes and headers are sealed.

The table is `refused_message` of each schema that has a quarantine. A message can be opened, and so replayed, for as
long as the key of its day lives (docs/decisions/0019). The headers are sealed with it, so its signature is not lost.
"""

import json
from datetime import date, datetime
from hashlib import sha256
from typing import Final

import msgspec

from shared.adapters.crypto.sealing import DayKey, unseal
from shared.adapters.postgres.pool import Connection, Row
from shared.adapters.postgres.sealing.kept_keys import read_key_of_today
from shared.contracts.quarantine import Message, QuarantineReason
from shared.domain.privacy.redaction import redact_detail, redacted

MOST_DETAIL: Final = 1_000
"""Characters of a detail; the message itself is kept whole."""
_PAGE: Final = 500
"""Messages that a migration seals at once."""
_WITHOUT_MESSAGE: Final = frozenset({QuarantineReason.LOST, QuarantineReason.UNREADABLE})


class SealedMessage(msgspec.Struct, array_like=True):
    """What is sealed, in MessagePack."""

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
    """What is kept and logged of a detail: nothing that it quotes of the message."""
    return redact_detail(detail)[:MOST_DETAIL].replace("\0", "")


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


ADD_SEALED: Final = """
alter table {0}.refused_message disable trigger user;
alter table {0}.refused_message add bytes integer, add redacted text, add sealed bytea, add sealed_on date,
    add said text;
"""
"""SQL of a migration, before `seal_quarantine`."""
DROP_CLEAR: Final = """
alter table {0}.refused_message drop payload, drop headers, drop detail, alter said set not null,
    alter bytes set not null, alter redacted set not null, alter sealed set not null, alter sealed_on set not null,
    drop constraint refused_message_topic_reason_sha256_key,
    add constraint refused_message_once unique (topic, reason, sha256, sealed_on);
alter table {0}.refused_message rename said to detail;
alter table {0}.refused_message enable trigger user;
cluster {0}.refused_message using refused_message_pkey;
"""
"""SQL after it. The table is written anew, so that what was in clear is in none of its pages. Versions of rows from
before this transaction's updates stay in it without the dropped columns, so `detail` is a new column, too."""


async def seal_quarantine(connection: Connection, schema: str) -> None:
    """Seal every message that was kept in clear, some at a time; a step of a migration."""
    update = f"""update {schema}.refused_message set said = $2, bytes = $3, redacted = $4, sealed = $5, sealed_on = $6
        where refused_id = $1"""
    page = f"""select *, headers::text as headers_text from {schema}.refused_message
        where refused_id > $1 order by refused_id limit {_PAGE}"""
    after = -1
    while rows := await connection.fetch(page, after):
        key = await read_key_of_today(connection, schema)
        await connection.executemany(update, [_sealed_row(key, schema, row) for row in rows])
        after = rows[-1]["refused_id"]


def _sealed_row(key: DayKey, schema: str, row: Row) -> tuple[Parameter, ...]:
    headers = [(name, bytes.fromhex(value)) for name, value in json.loads(row["headers_text"])]
    message = SealedMessage(row["payload"], headers)
    _, *form = seal_message(key, schema, row["topic"], QuarantineReason(row["reason"]), message)
    detail, _, _ = row["detail"].partition("\nDETAIL:")  # the row that the database quoted
    return (row["refused_id"], shorten_detail(detail), *form)
