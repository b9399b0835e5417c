"""The tables of schema `charging` as queries see them; the migrations are the authority on what they may hold.

Consuming (`ingest`, `rows`, `store`) does without this module: COPY and the transaction of a batch are raw asyncpg.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from services.charging.rows.order_columns import ORDER_COLUMNS

metadata = MetaData(schema="charging")
INSTANT = DateTime(timezone=True)
_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "timestamptz": INSTANT,
    "bigint": BigInteger(),
    "integer": Integer(),
    "smallint": SmallInteger(),
    "text": Text(),
    "bytea": LargeBinary(),
    "boolean": Boolean(),
}


def _table(name: str, /, **columns: type[TypeEngine[Any]] | TypeEngine[Any]) -> Table:
    return Table(name, metadata, *(Column(column, kind) for column, kind in columns.items()))


enterprise = _table("enterprise", id=SmallInteger, uscc=Text)

decision = _table("decision", decision_id=BigInteger, decided_at=INSTANT, person=Text, request=Text, content=JSONB)

run = _table("run", id=Integer, run=Text, purpose=Text, started_at=INSTANT, decision_id=BigInteger)

deployment = _table("deployment", one=Boolean, name=Text)

manifest = _table(
    "manifest",
    batch=BigInteger,
    turn=BigInteger,
    run_id=Integer,
    number=Integer,
    events=Integer,
    leaves=Integer,
    root=LargeBinary,
    payload=LargeBinary,
    groups=LargeBinary,
    committed_at=INSTANT,
)

batch_day = _table("batch_day", insured_on=Date, batch=BigInteger)

unlisted_region = _table("unlisted_region", region=Integer, batch=BigInteger, first_seen=INSTANT)

outbox = _table("outbox", id=BigInteger, topic=Text, key=Text, payload=LargeBinary, refusal=Text, refused_at=INSTANT)

entry = Table(
    "entry",
    metadata,
    *(Column(column.name, _TYPES[column.sql_type]) for column in ORDER_COLUMNS),
)

parked = _table(
    "parked",
    batch=BigInteger,
    leaf_index=Integer,
    topic=Text,
    redacted=Text,
    series=Text,
    reason=Text,
    detail=Text,
    partition=Integer,
    bytes=Integer,
    record_offset=BigInteger,
    record_time_ms=BigInteger,
    arrived_ms=BigInteger,
    sequence=BigInteger,
    received=LargeBinary,
    sealed=LargeBinary,
    sealed_on=Date,
    headers=JSONB,
)

conflict = _table(
    "conflict",
    batch=BigInteger,
    record_offset=BigInteger,
    record_time_ms=BigInteger,
    sequence=BigInteger,
    worker_key=BigInteger,
    leaf_index=Integer,
    partition=Integer,
    bytes=Integer,
    topic=Text,
    redacted=Text,
    series=Text,
    order_id=Text,
    received=LargeBinary,
    sealed=LargeBinary,
    sealed_on=Date,
    accepted_at=INSTANT,
    enterprise=SmallInteger,
    kind=SmallInteger,
)

declaration = _table(
    "declaration",
    enterprise=SmallInteger,
    declaration_id=Text,
    declared_day=Date,
    stated_revision=BigInteger,
    recorded_at=INSTANT,
    body=LargeBinary,
    received=LargeBinary,
    key_id=LargeBinary,
    signature=LargeBinary,
    signed_data=LargeBinary,
    batch=BigInteger,
    revision=BigInteger,
    leaf_index=Integer,
)

kept_key = _table("kept_key", day=Date, key=LargeBinary, made_at=INSTANT, destroyed_at=INSTANT)

resending = _table("resending", batch=BigInteger, leaf_index=Integer, decided_at=INSTANT)

resent = _table(
    "resent", batch=BigInteger, record_offset=BigInteger, leaf_index=Integer, partition=Integer, resent_at=INSTANT
)

unsettled = _table(
    "unsettled", accepted_at=INSTANT, enterprise=SmallInteger, order_id=Text, worker_key=BigInteger, batch=BigInteger
)

resend = _table(
    "resend",
    enterprise=SmallInteger,
    order_id=Text,
    worker_key=BigInteger,
    accepted_at=INSTANT,
    kept_accepted_at=INSTANT,
    was_charged=Boolean,
    found_on=Date,
)

reinstated = _table(
    "reinstated", enterprise=SmallInteger, order_id=Text, worker_key=BigInteger, accepted_at=INSTANT, found_on=Date
)

day_count = _table("day_count", day=Date, attempt=Integer, question=Text, payload=LargeBinary, answered_at=INSTANT)

day_settlement = _table("day_settlement", day=Date, cut=Text, batch=BigInteger)

participant = _table("participant", province=SmallInteger, worker=LargeBinary, first_on=Date)

accounted_day = _table("accounted_day", day=Date, accounted_at=INSTANT)

number_range = _table(
    "number_range",
    enterprise=SmallInteger,
    series=Text,
    state=Text,
    first=BigInteger,
    last=BigInteger,
    insured_on=Date,
    found_on=Date,
    excluded=LargeBinary,
)

parked_reported = _table("parked_reported", batch=BigInteger, leaf_index=Integer, found_on=Date)

parked_settled = _table("parked_settled", batch=BigInteger, leaf_index=Integer, settled_on=Date)

judged_day = _table("judged_day", day=Date, is_presumed=Boolean, judged_on=Date)

number_gap = _table(
    "number_gap",
    enterprise=SmallInteger,
    series=Text,
    first=BigInteger,
    last=BigInteger,
    is_presumed=Boolean,
    is_declared=Boolean,
    insured_on=Date,
)

assessment = _table(
    "assessment",
    batch=BigInteger,
    leaf_index=Integer,
    enterprise=SmallInteger,
    province=SmallInteger,
    industry=SmallInteger,
    tariff_line=SmallInteger,
    series=Text,
    why=Text,
    first=BigInteger,
    last=BigInteger,
    of_batch=BigInteger,
    insured_on=Date,
    base_amount=Integer,
    of_leaf=Integer,
)

adjustment_proposal = _table(
    "adjustment_proposal",
    id=BigInteger,
    enterprise=SmallInteger,
    insured_on=Date,
    decision_id=BigInteger,
    orders=BigInteger,
    premium=BigInteger,
    orders_sha256=LargeBinary,
    proposed_by=Text,
    reason=Text,
    proposed_at=INSTANT,
)

adjustment_consent = _table(
    "adjustment_consent",
    id=BigInteger,
    decision_id=BigInteger,
    proposed_by=Text,
    consented_by=Text,
    batches=ARRAY(BigInteger),
    consented_at=INSTANT,
)

archived_day = _table(
    "archived_day",
    id=BigInteger,
    rows=BigInteger,
    bytes=BigInteger,
    day=Date,
    what=Text,
    index_sha256=LargeBinary,
    noted_at=INSTANT,
)

archived_nodes = _table("archived_nodes", day=Date, batch=BigInteger, nodes=LargeBinary)

# Tables that only `ingest`, `store` and the adapters write and read with their own statements.

position = _table(
    "position",
    partition=Integer,
    cluster_id=Text,
    topic=Text,
    first_offset=BigInteger,
    next_offset=BigInteger,
    events=BigInteger,
    topic_id=Uuid,
)

topic_position = _table(
    "topic_position", partition=Integer, cluster_id=Text, topic=Text, next_offset=BigInteger, topic_id=Uuid
)

pause = _table(
    "pause", id=BigInteger, topic=Text, reason=Text, is_paused=Boolean, events=Integer, parked=Integer, noted_at=INSTANT
)

moved_on = _table(
    "moved_on",
    id=BigInteger,
    cluster_id=Text,
    topic=Text,
    reason=Text,
    who=Text,
    why=Text,
    partition=Integer,
    first_offset=BigInteger,
    from_offset=BigInteger,
    to_offset=BigInteger,
    events=BigInteger,
    topic_id=Uuid,
    new_topic_id=Uuid,
    moved_at=INSTANT,
)

refused_message = _table(
    "refused_message",
    refused_id=BigInteger,
    topic=Text,
    reason=Text,
    redacted=Text,
    detail=Text,
    partition=Integer,
    bytes=Integer,
    record_offset=BigInteger,
    sha256=LargeBinary,
    sealed=LargeBinary,
    recorded_at=INSTANT,
    received_at=INSTANT,
    sealed_on=Date,
)

refused_review = _table("refused_review", refused_id=BigInteger, reviewer=Text, note=Text, noted_at=INSTANT)

archive = _table(
    "archive",
    id=BigInteger,
    day=Date,
    what=Text,
    rows=BigInteger,
    bytes=BigInteger,
    index_sha256=LargeBinary,
    noted_at=INSTANT,
)
