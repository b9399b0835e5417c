"""Bad input, each to its reason: the section "Bad input" as a table, and generated input."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.charging.ingest.batch_reader import STEP_EVENTS, EventReader
from services.charging.rows.batch import Batch
from shared.adapters.files.regions import known_regions
from shared.contracts.events import SOURCE_PREFIX
from shared.contracts.parking import ParkReason
from shared.contracts.topics import orders_topic
from shared.intake.bulk_decoder import BulkDecoder
from shared.intake.rated_events import ParkedEvent
from shared.intake.strict_decoder import DETAIL_LENGTH, Parked, decode
from tests.integration.charging.charging_harness import (
    LIMITS,
    NOON,
    OTHER_RIDES,
    RIDES,
    STRANGER,
    Record,
    Sent,
    accepted,
    cancelled,
    completed,
    declared,
    demo_scheme,
)

R = ParkReason
GOOD = accepted("good").value or b""


def changed(old: str, new: str, sent: Sent | None = None) -> bytes:
    value = (sent or accepted("o1")).value or b""
    assert old.encode() in value, old
    return value.replace(old.encode(), new.encode(), 1)


def with_data(**data: Any) -> bytes:
    event = json.loads(GOOD)
    event["data"] = {name: value for name, value in {**event["data"], **data}.items() if value is not None}
    return json.dumps(event).encode()


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BYTES: dict[str, tuple[bytes | None, ParkReason]] = {
    "tombstone": (None, R.EMPTY),
    "no bytes": (b"", R.EMPTY),
    "5 MB": (b"x" * 5_000_000, R.TOO_LARGE),
    "not JSON": (b"order 17 was accepted at noon", R.NOT_JSON),
    "white space": (b" \n", R.NOT_JSON),
    "cut off": (GOOD[:-1], R.NOT_JSON),
    "two in one": (GOOD * 2, R.NOT_JSON),
    "a zero byte behind": (GOOD + b"\0", R.NOT_JSON),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, R.NOT_JSON),
    "UTF-16": (GOOD.decode().encode("utf-16"), R.NOT_UTF8),
    "Latin-1 in what is not read": (GOOD[:-1] + b', "note": "\xe9"}', R.NOT_UTF8),
    "surrogates as UTF-8": (GOOD[:-1] + b', "note": "\xed\xa0\x80"}', R.NOT_UTF8),
    "half a surrogate pair": (changed('"series"', r'"\udc00": 1, "series"'), R.NOT_JSON),
    "deep where nothing is read": ((f'{{"note": {nested(20_000)}, ' + GOOD.decode()[1:]).encode(), R.TOO_DEEP),
    "deep from the start": (nested(30_000).encode(), R.TOO_DEEP),
    "deeper than the limit": ((f'{{"note": {nested(500)}, ' + GOOD.decode()[1:]).encode(), R.TOO_DEEP),
    "cut off in the deep": (b"[" * 30_000, R.TOO_DEEP),
    "not an object": (b"null", R.WRONG_TYPE),
    "a number beyond all bounds": (b"1e999", R.BAD_VALUE),
}
SHAPE: dict[str, tuple[bytes, ParkReason]] = {
    "unknown type": (changed("order.accepted.v1", "order.dreamt.v1"), R.UNKNOWN_TYPE),
    "type of a later version": (changed("order.accepted.v1", "order.accepted.v9"), R.UNKNOWN_TYPE),
    "type that is a number": (changed('"order.accepted.v1"', "7"), R.UNKNOWN_TYPE),
    "CloudEvents 0.3": (changed('"specversion": "1.0"', '"specversion": "0.3"'), R.UNKNOWN_VERSION),
    "no specversion": (changed('"specversion": "1.0", ', ""), R.MISSING_FIELD),
    "no type": (changed('"type": "order.accepted.v1", ', ""), R.MISSING_FIELD),
    "no token_key": (with_data(token_key=None), R.MISSING_FIELD),
    "no data": (GOOD.partition(b', "data"')[0] + b"}", R.MISSING_FIELD),
    "extra field": (with_data(tip="2.00"), R.UNKNOWN_FIELD),
    "extra field with a misleading name": (with_data(**{"missing required field": 1}), R.UNKNOWN_FIELD),
    "extra field with a zero": (with_data(**{"a\0": 1}), R.UNKNOWN_FIELD),
    "wrong type": (with_data(token_key="one"), R.WRONG_TYPE),
    "region as a number": (with_data(acceptance_region=440106), R.WRONG_TYPE),
    "order id with a zero": (with_data(order_id="a\0b"), R.BAD_VALUE),
    "order id with a line feed": (with_data(order_id="o1\n"), R.BAD_VALUE),
    "order id too long": (with_data(order_id="o" * 65), R.BAD_VALUE),
    "token in capitals": (with_data(worker_id="A" * 64), R.BAD_VALUE),
    "token_key 0": (with_data(token_key=0), R.BAD_VALUE),
    "token_key beyond its column": (with_data(token_key=32_768), R.BAD_VALUE),
    "source that is none": (changed(f"urn:uscc:{RIDES}", "somebody"), R.BAD_VALUE),
    "negative sequence": (with_data(sequence=-5), R.BAD_SEQUENCE),
    "sequence 0": (with_data(sequence=0), R.BAD_SEQUENCE),
    "absurd sequence": (with_data(sequence=2**60), R.BAD_SEQUENCE),
    "sequence of 5,000 digits": (changed('"sequence": 1', '"sequence": ' + "9" * 5_000), R.BAD_SEQUENCE),
    "fractional sequence": (with_data(sequence=1.5), R.WRONG_TYPE),
    "naive time": (with_data(accepted_at="2026-10-03T12:00:00"), R.NAIVE_TIME),
    "30 February": (with_data(accepted_at="2026-02-30T12:00:00+08:00"), R.IMPOSSIBLE_TIME),
    "month 13": (with_data(accepted_at="2026-13-03T12:00:00+08:00"), R.IMPOSSIBLE_TIME),
    "hour 24": (with_data(accepted_at="2026-10-03T24:00:00+08:00"), R.IMPOSSIBLE_TIME),
    "a leap second": (with_data(accepted_at="2026-10-03T23:59:60+08:00"), R.IMPOSSIBLE_TIME),
    "offset 99:99": (with_data(accepted_at="2026-10-03T12:00:00+99:99"), R.IMPOSSIBLE_TIME),
    "no time at all": (with_data(accepted_at="noon"), R.IMPOSSIBLE_TIME),
    "declared for 30 February": (declared("d1", "2026-02-30").value or b"", R.IMPOSSIBLE_TIME),
    "region of five digits": (with_data(acceptance_region="44010"), R.UNKNOWN_REGION),
    "unknown industry": (with_data(industry="parcel_post"), R.UNKNOWN_INDUSTRY),
}  # fmt: skip
BEHIND = timedelta(seconds=LIMITS.max_skew_seconds)
OLD = timedelta(days=LIMITS.max_age_days)
MICRO = timedelta(microseconds=1_000)
CONTENT: dict[str, tuple[Sent, ParkReason | None]] = {
    "region that is not in the standard": (accepted("o1", acceptance_region="990101"), R.UNKNOWN_REGION),
    "industry that was merged": (accepted("o1", industry="food_delivery"), R.UNKNOWN_INDUSTRY),
    "enterprise that nobody registered": (accepted("o1", uscc=STRANGER), R.UNKNOWN_ENTERPRISE),
    "topic of another": (Sent(accepted("o1", uscc=OTHER_RIDES).value), R.OTHER_ENTERPRISE),
    "declared on the topic of another": (Sent(declared("d1", uscc=OTHER_RIDES).value), R.OTHER_ENTERPRISE),
    "at the skew": (Sent(GOOD, NOON - BEHIND), None),
    "beyond the skew": (Sent(GOOD, NOON - BEHIND - MICRO), R.IN_FUTURE),
    "at the age": (Sent(GOOD, NOON + OLD), None),
    "beyond the age": (Sent(GOOD, NOON + OLD + MICRO), R.TOO_OLD),
    "year 1": (accepted("o1", accepted_at="0001-01-01T00:00:00+14:00"), R.TOO_OLD),
    "year 9999": (accepted("o1", accepted_at="9999-12-31T23:59:59-14:00"), R.IN_FUTURE),
    "record time -1": (Sent(GOOD, time_ms=-1), R.IMPOSSIBLE_TIME),
    "record time of the year 30000": (Sent(GOOD, time_ms=884_541_000_000_000), R.IMPOSSIBLE_TIME),
    "record time that fits no calendar": (Sent(GOOD, time_ms=2**63 - 1), R.IMPOSSIBLE_TIME),
    "completed at acceptance": (completed("o1", seconds=0), None),
    "completed before acceptance": (completed("o1", seconds=-60), R.COMPLETION_BEFORE_ACCEPTANCE),
    "completed a microsecond before": (completed("o1", seconds=-0.000001), R.COMPLETION_BEFORE_ACCEPTANCE),
    "completed in the future": (Sent(completed("o1", seconds=400).value, NOON), R.IN_FUTURE),
    "cancelled at acceptance": (cancelled("o1", seconds=0), None),
    "cancelled before acceptance": (cancelled("o1", seconds=-1), R.CANCELLATION_BEFORE_ACCEPTANCE),
    "cancelled in the year 9999": (cancelled("o1", cancelled_at="9999-12-31T23:59:59Z"), R.IN_FUTURE),
    "as deep as may be": (Sent((f'{{"note": {nested(499)}, ' + GOOD.decode()[1:]).encode()), None),
    "brackets in a text": (Sent(GOOD[:-1] + b', "note": "' + b"[{" * 600 + b'\\""}'), None),
    "any extension of the envelope": (Sent(GOOD[:-1] + b', "traceparent": "x", "more": {"a": [1]}}'), None),
    "microseconds beyond six digits": (accepted("o1", accepted_at="2026-10-03T12:00:00.123456789+08:00"), None),
}


def reader() -> EventReader:
    ids = {uscc: number for number, uscc in enumerate(sorted(demo_scheme().enterprises), 1)}
    return EventReader(demo_scheme(), known_regions(), ids, LIMITS)


def records(*sent: Sent) -> list[Record]:
    def time_ms(each: Sent) -> int:
        return round(each.at.timestamp() * 1000) if each.time_ms is None else each.time_ms

    return [
        Record(orders_topic(order.uscc), 0, offset, time_ms(order), order.key, order.value, order.headers)
        for offset, order in enumerate(sent)
    ]


@pytest.mark.parametrize("name", [*BYTES, *SHAPE])
def test_bytes_and_shape(name: str) -> None:
    value, reason = (BYTES | SHAPE)[name]
    parked = decode(value, LIMITS.max_event_bytes)
    assert isinstance(parked, Parked)
    assert parked.reason is reason, parked.detail
    assert 0 < len(parked.detail) <= DETAIL_LENGTH


@pytest.mark.parametrize("name", CONTENT)
def test_content(name: str) -> None:
    sent, reason = CONTENT[name]
    batch = reader().read(records(sent), 1)
    assert [kept.reason for kept in batch.parked] == ([reason] if reason else [])


@pytest.mark.parametrize("name", [*BYTES, *SHAPE, *CONTENT])
def test_one_bad_event_costs_its_neighbours_nothing(name: str) -> None:
    bad = CONTENT[name][0] if name in CONTENT else Sent((BYTES | SHAPE)[name][0])
    batch = reader().read(records(accepted("before"), bad, accepted("after")), 1)
    assert batch.events == len(batch.totals) == len(batch.leaves) == 3
    assert {"before", "after"} <= {row[2] for row in batch.rows}
    assert [kept.record.value for kept in batch.parked] in ([], [bad.value])


def as_sent(value: bytes, time_ms: int) -> list[Record]:
    return records(accepted("before"), Sent(value, time_ms=time_ms), accepted("after"))


@given(
    value=st.binary(max_size=300)
    | st.builds(
        lambda at, piece: GOOD[:at] + piece + GOOD[at + len(piece) :], st.integers(0, len(GOOD)), st.binary(max_size=4)
    ),
    time_ms=st.integers(-(2**63), 2**63 - 1) | st.just(round(NOON.timestamp() * 1000)),
)
def test_no_bytes_break_a_batch(value: bytes, time_ms: int) -> None:
    batch = reader().read(as_sent(value, time_ms), 1)
    assert len(batch.totals) == len(batch.leaves) == 3
    assert len(batch.rows) + len(batch.declarations) + len(batch.parked) == 3


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(json.loads(GOOD)["data"])


@given(field=st.sampled_from(FIELDS), value=JSON_VALUES)
def test_no_value_of_a_field_breaks_a_batch(field: str, value: Any) -> None:
    event = json.loads(GOOD)
    event["data"][field] = value
    batch = reader().read(as_sent(json.dumps(event).encode(), round(NOON.timestamp() * 1000)), 1)
    assert len(batch.rows) + len(batch.parked) == 3


@pytest.mark.exhaustive
@given(st.datetimes())
def test_no_time_breaks_a_batch(at: Any) -> None:
    for offset in ("+08:00", "-14:00", "Z"):
        value = accepted("o1", accepted_at=at.isoformat() + offset).value or b""
        batch = reader().read(as_sent(value, round(NOON.timestamp() * 1000)), 1)
        assert len(batch.rows) + len(batch.parked) == 3


def primed(*usual: Sent) -> EventReader:
    """A reader with cached templates for such orders, so that it encodes the next ones by the fast path."""
    made = reader()
    made.read(records(*usual), 1)
    return made


USUAL: Final = (
    accepted("u1"),
    accepted("u2", employer_insurance_no="GS-1"),
    completed("u3"),
    cancelled("u4"),
    cancelled("u5", reason="worker", departed=True),
)


def reported(batch: Batch) -> tuple[Any, ...]:
    kept = [(event.leaf_index, event.reason, event.detail) for event in batch.parked]
    return batch.rows, batch.leaves, batch.totals, batch.days, batch.declarations, kept


def assert_same_both_ways(*sent: Sent) -> None:
    """A new reader takes the slow path, a primed one the fast path: both encode the same rows."""
    for order in sent:
        assert reported(primed(*USUAL).read(records(order), 7)) == reported(reader().read(records(order), 7))


def test_an_answer_without_a_database_is_what_charging_books() -> None:
    """`EventRater` alone, as an HTTP gateway calls it, against batches by the fast path."""
    rater, usual = reader().rater, primed(*USUAL)
    corpus = [Sent(value) for value, _ in (BYTES | SHAPE).values()]
    for record in records(*USUAL, *corpus, *(sent for sent, _ in CONTENT.values())):
        rated, batch = rater.rate(record.topic, record.timestamp, record.value), usual.read([record], 7)
        assert [rated.total] == batch.totals
        details = [rated.detail] if isinstance(rated, ParkedEvent) else []
        assert details == [kept.detail for kept in batch.parked]


@pytest.mark.parametrize("name", [*BYTES, *SHAPE, *CONTENT])
def test_a_glance_finds_what_a_look_at_each_finds(name: str) -> None:
    assert_same_both_ways(CONTENT[name][0] if name in CONTENT else Sent((BYTES | SHAPE)[name][0]))


@given(
    st.sampled_from(USUAL),
    st.sampled_from(["order_id", "worker_id", "accepted_at", "acceptance_region", "series", "agency_uscc",
                     "employer_insurance_no", "completed_at", "cancelled_at", "token_key", "industry", "sequence"]),
    st.integers(0, 70),
    st.text("aA0f9 \n\\\"_-:.Z+é\0", max_size=3),
)  # fmt: skip
def test_no_change_of_a_field_is_seen_by_one_way_alone(usual: Sent, name: str, at: int, piece: str) -> None:
    event = json.loads(usual.value or b"")
    old = str(event["data"].get(name, ""))
    event["data"][name] = old[:at] + piece + old[at + len(piece) :]
    assert_same_both_ways(replace(usual, value=json.dumps(event, ensure_ascii=False).encode()))


@pytest.mark.exhaustive
@given(st.sampled_from(USUAL), st.integers(-4_000_000_000, 4_000_000_000) | st.integers(-700_000, 700_000))
def test_no_record_time_is_seen_by_one_way_alone(usual: Sent, shift_ms: int) -> None:
    assert_same_both_ways(replace(usual, time_ms=round(usual.at.timestamp() * 1000) + shift_ms))


def test_plain_events_are_laid_out_at_a_glance() -> None:
    """Else the two ways above would be one."""
    values = [order.value for order in USUAL]
    decoder = BulkDecoder(known_regions(), [SOURCE_PREFIX + RIDES], LIMITS.max_event_bytes)
    assert decoder.decode(values).indexes == list(range(len(values)))
    more = decoder.decode([*values, b"{", *values])
    assert set(range(2 * len(values) + 1)) - set(more.indexes) == {len(values)}
    assert len(more.events) == len(more.indexes) == len(more.tokens) // 32
    ids = {uscc: number for number, uscc in enumerate(sorted(demo_scheme().enterprises), 1)}
    events = EventReader(demo_scheme(), known_regions(), ids, LIMITS)
    for _ in range(2):
        events.read(records(*USUAL), 7)
    assert events.slow_path_events == len(USUAL)  # all of them the first time, none the second


def test_batches_whose_steps_take_turns_are_read_as_one_after_the_other() -> None:
    """Each batch is an object: what one holds between two steps is not seen by another."""
    many = [accepted(f"o{number}", sequence=number + 1) for number in range(STEP_EVENTS + 3)]
    first, second = records(*many), records(*USUAL, Sent(b"{"), *many[::-1])
    shared, alone = reader(), reader()
    open_batches = [shared.open(first, 1), shared.open(second, 2)]
    for _ in zip_longest(*(batch.steps() for batch in open_batches)):
        continue
    assert [reported(batch.batch) for batch in open_batches] == [
        reported(alone.read(first, 1)),
        reported(alone.read(second, 2)),
    ]
