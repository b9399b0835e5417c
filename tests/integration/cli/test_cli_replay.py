"""What a file becomes on its way to the topics: a CSV of rides by a mapping, or NDJSON."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from services.demo.generator.month import Wanted, generate
from services.demo.generator.records import Record, write_line
from services.demo.replay.csv_orders import Mapped, parse_enterprises, read_csv
from services.demo.replay.ndjson import count_lines, read_ndjson
from shared.adapters.files.scheme import load_scheme
from shared.contracts.events import Event, OrderAccepted, OrderCompleted
from shared.domain.calendar import SHANGHAI, Month, instant_of
from shared.domain.errors import Refused, RefusedLine
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Scheme

DEPLOY = Path(__file__).parents[3] / "deploy"
USCC = "91000000FAKE00001F"
ROWS = """kind,taken,done,place
1,2019-03-30 23:59:59,2019-03-31 00:10:00,141
1,2019-03-01 08:00:00,2019-03-01 08:00:00,7
1,2019-02-28 10:00:00,,7
"""


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return load_scheme([DEPLOY / "tariffs", DEPLOY / "demo"])


@pytest.fixture
def mapped() -> Mapped:
    column, enterprises = parse_enterprises(f"kind=1:{USCC}")
    return Mapped(
        industry=Industry.RIDE_HAILING,
        accepted_at="taken",
        completed_at="done",
        enterprise_column=column,
        enterprises=enterprises,
        region="place",
        region_rule="spread",
        order_id="row",
        worker=("place", "hour"),
        shift_to=Month(2026, 10),
    )


def written(folder: Path, text: str, name: str = "rides.csv") -> Path:
    """A file with this text."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def decoded(record: Record) -> Event:
    event: Event = msgspec.json.decode(record.value, type=Event)
    return event


def test_rows_become_events_in_order_of_their_own_time(tmp_path: Path, mapped: Mapped, scheme: Scheme) -> None:
    records = read_csv(written(tmp_path, ROWS), mapped, scheme)
    events = [decoded(record) for record in records]
    assert [type(event) for event in events].count(OrderAccepted) == 3
    assert [type(event) for event in events].count(OrderCompleted) == 2
    times = [instant_of(record.time_ms * 1_000) for record in records]
    assert times == sorted(times)
    ids = [event.data.order_id for event in events if isinstance(event, OrderAccepted)]
    assert [order_id.partition("-")[2] for order_id in ids] == ["3", "2", "1"]


def test_dates_are_shifted_by_whole_days_to_the_busiest_month(tmp_path: Path, mapped: Mapped, scheme: Scheme) -> None:
    records = read_csv(written(tmp_path, ROWS), mapped, scheme)
    events = [event for event in map(decoded, records) if isinstance(event, OrderAccepted)]
    accepted = [event.data.accepted_at for event in events]
    assert accepted == [
        datetime(2026, 9, 30, 10, tzinfo=SHANGHAI),
        datetime(2026, 10, 1, 8, tzinfo=SHANGHAI),
        datetime(2026, 10, 30, 23, 59, 59, tzinfo=SHANGHAI),
    ]


def test_without_a_month_nothing_is_shifted(tmp_path: Path, mapped: Mapped, scheme: Scheme) -> None:
    file = written(tmp_path, ROWS.replace("2019-0", "2026-0"))
    records = read_csv(file, replace(mapped, shift_to=None), scheme)
    assert instant_of(records[0].time_ms * 1_000) == datetime(2026, 2, 28, 10, tzinfo=SHANGHAI)


def test_series_are_numbered_without_a_gap(tmp_path: Path, mapped: Mapped, scheme: Scheme) -> None:
    records = read_csv(written(tmp_path, ROWS), mapped, scheme)
    events = [event for event in map(decoded, records) if isinstance(event, OrderAccepted)]
    assert [event.data.sequence for event in events] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind,taken\n1,2019-03-01 08:00:00\n", r":1: no column done, place"),
        (ROWS.replace("2019-03-30 23:59:59", "yesterday"), r":2: not a time"),
        (ROWS.replace("\n1,2019-02-28", "\n9,2019-02-28"), r":4: kind '9' is mapped to no enterprise"),
    ],
)
def test_a_bad_row_is_named(text: str, words: str, tmp_path: Path, mapped: Mapped, scheme: Scheme) -> None:
    with pytest.raises(RefusedLine, match=words):
        read_csv(written(tmp_path, text), mapped, scheme)


@pytest.mark.parametrize("text", ["", "kind", "kind=", "kind=1:notacode", "=1:91000000FAKE00001F"])
def test_a_bad_mapping_of_enterprises_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="--enterprise"):
        parse_enterprises(text)


def test_ndjson_of_records_and_of_bare_events(tmp_path: Path, scheme: Scheme) -> None:
    generated = generate(scheme, Wanted(100, 1, Month(2026, 10)))
    records = [record for record in generated if record.key.startswith(b"26")][:50]
    whole = tmp_path / "records.ndjson"
    whole.write_bytes(b"".join(map(write_line, records)))
    assert list(read_ndjson(whole)) == records
    assert count_lines(whole) == len(records)
    bare = tmp_path / "events.ndjson"
    bare.write_bytes(b"".join(record.value + b"\n" for record in records))
    events = list(read_ndjson(bare))
    assert [(event.topic, event.key, event.value) for event in events] == [(r.topic, r.key, r.value) for r in records]


def test_a_line_that_is_neither_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, '{"specversion":"1.0","type":"order.dreamt.v1"}\n', "events.ndjson")
    with pytest.raises(RefusedLine, match=r":1: neither a record nor an event"):
        list(read_ndjson(file))
