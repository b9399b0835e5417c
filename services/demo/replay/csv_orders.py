"""Read order events from a CSV file of rides: an acceptance and a completion for each row, by a column mapping.

Times are text, in Asia/Shanghai where they have no offset, or numbers of a declared unit (shared/domain/times.py).
The record time of an event is its own time. With a month to shift to, all dates move by whole days, so that the
month with most rows begins with that month.

The series, and an order id or worker that is made from the row, have the file's mark in them: two files never share
one. The same content, under any name, has the same mark, so sending it again only repeats; moved to another month it
is other orders.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from zlib import crc32

from services.demo.generator import wire
from services.demo.generator.plan import DEMO_KEY
from services.demo.generator.records import Record
from services.demo.generator.wire import Acceptance
from shared.adapters.files.csv import Record as FileRecord
from shared.adapters.files.csv import read_intact_table
from shared.adapters.files.text_lines import open_bytes
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI, Month, since_epoch_us
from shared.domain.errors import Refused
from shared.domain.scheme.enterprise import is_uscc_shaped
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged, Scheme
from shared.domain.scheme.worker import worker_token
from shared.domain.times import TimeUnit, read_in_unit

ROW: Final = "row"
HOUR: Final = "hour"
_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")
"""Digits of a mark as letters: a row of digits could read as somebody's number."""
_ORDER_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CODE: Final = re.compile(r"[0-9]{6}")
RegionRule = Literal["code", "spread"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The column of each field. `order_id` and parts of `worker` may be "row", parts of `worker` "hour" (accepted)."""

    industry: Industry
    accepted_at: str
    completed_at: str | None
    enterprise_column: str
    enterprises: Mapping[str, str]
    region: str
    region_rule: RegionRule
    order_id: str
    worker: Sequence[str]
    shift_to: Month | None
    time_unit: TimeUnit = "text"

    @property
    def columns(self) -> set[str]:
        named = {self.accepted_at, self.completed_at or "", self.enterprise_column, self.region, self.order_id}
        return (named | set(self.worker)) - {"", ROW, HOUR}

    @property
    def identifiers(self) -> set[str]:
        """The columns whose values are compared letter by letter."""
        return {self.enterprise_column, self.region, self.order_id, *self.worker} - {ROW, HOUR}


@dataclass(slots=True)
class _Ride:
    row: int
    record: FileRecord
    accepted_at: datetime
    completed_at: datetime | None


def parse_enterprises(text: str) -> tuple[str, dict[str, str]]:
    """Parse column and codes of `VendorID=1:USCC1,2:USCC2`; raises Refused for another form or a broken code."""
    column, sign, pairs = text.partition("=")
    enterprises = dict(pair.partition(":")[::2] for pair in pairs.split(",") if pair)
    if not (column and sign and enterprises):
        raise Refused(f"--enterprise is COLUMN=value:USCC,value:USCC, not {text!r}")
    for value, uscc in enterprises.items():
        if not is_uscc_shaped(uscc):
            raise Refused(f"--enterprise: {uscc!r} (for {value!r}) is not a unified social credit code")
    return column, enterprises


def read_csv(file: Path, mapped: Mapped, scheme: Scheme, delimiter: str = ",") -> list[Record]:
    """Read all events of the file in order of time; raises RefusedLine naming the row that cannot be read."""
    rides = [
        _ride(number, record, mapped)
        for number, record in enumerate(read_intact_table(file, mapped.columns, mapped.identifiers, delimiter), 1)
    ]
    if mapped.shift_to is not None and rides:
        _shift(rides, mapped.shift_to)
    regions = _Regions(scheme, mapped, rides[0].accepted_at if rides else None)
    mark = _mark_of(file, mapped.shift_to)
    numbers: dict[str, int] = defaultdict(int)
    records: list[Record] = []
    for ride in sorted(rides, key=lambda ride: (ride.accepted_at, ride.row)):
        order = _order(mark, ride, mapped, regions)
        numbers[order.uscc] = order.sequence = numbers[order.uscc] + 1
        records += _events(order, ride)
    return sorted(records)


def _mark_of(file: Path, month: Month | None) -> str:
    """Return ten letters that identify the file's content, as it is when unpacked, moved to this month."""
    digest = hashlib.sha256(str(month or "").encode())
    with open_bytes(file) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:10].translate(_LETTERS)


def _ride(number: int, record: FileRecord, mapped: Mapped) -> _Ride:
    try:
        completed = record.fields[mapped.completed_at] if mapped.completed_at else ""
        accepted_at = read_in_unit(record.fields[mapped.accepted_at], mapped.time_unit)
        return _Ride(number, record, accepted_at, read_in_unit(completed, mapped.time_unit) if completed else None)
    except Refused as error:
        record.refuse(str(error))


def _shift(rides: Iterable[_Ride], month: Month) -> None:
    """Shift all times by whole days."""
    rides = list(rides)
    counted = Counter(Month.of(ride.accepted_at.astimezone(SHANGHAI).date()) for ride in rides)
    busiest = min(counted, key=lambda each: (-counted[each], each))
    span = month.first_day - busiest.first_day
    for ride in rides:
        ride.accepted_at += span
        ride.completed_at = ride.completed_at + span if ride.completed_at is not None else None


class _Regions:
    """Return where an order was accepted: the column's code, or spread over the enterprise's charged provinces."""

    def __init__(self, scheme: Scheme, mapped: Mapped, instant: datetime | None) -> None:
        self._rule, self._column = mapped.region_rule, mapped.region
        self._provinces = {
            uscc: [code for code in sorted(scheme.joined_at) if instant is not None
                   and isinstance(scheme.rate(uscc, code, mapped.industry, instant, is_employee=False), Charged)]
            for uscc in mapped.enterprises.values()
        }  # fmt: skip

    def of(self, uscc: str, record: FileRecord) -> str:
        """Return a code of six digits; raises Refused when the enterprise is charged in no province."""
        value = record.text(self._column)
        if self._rule == "code":
            if not _CODE.fullmatch(value):
                record.refuse(f"{self._column} {value[:80]!r} is not a code of six digits (GB/T 2260)")
            return value
        provinces = self._provinces[uscc]
        if not provinces:
            raise Refused(f"--region-rule spread: the scheme charges {uscc} in no province")
        number = int(value) if value.isascii() and value.isdigit() else crc32(value.encode())
        return f"{provinces[number % len(provinces)]}0000"


def _order(mark: str, ride: _Ride, mapped: Mapped, regions: _Regions) -> Acceptance:
    fields = ride.record.fields
    value = fields[mapped.enterprise_column]
    uscc = mapped.enterprises.get(value)
    if uscc is None:
        ride.record.refuse(f"{mapped.enterprise_column} {value!r} is mapped to no enterprise")
    made = {ROW: f"{mark}-{ride.row}", HOUR: str(ride.accepted_at.hour)}
    order_id = made[ROW] if mapped.order_id == ROW else fields[mapped.order_id]
    if not _ORDER_ID.fullmatch(order_id):
        ride.record.refuse(f"{mapped.order_id} {order_id[:80]!r} is not an order id: 1 to 64 letters, digits, _ . : -")
    return Acceptance(
        accepted=since_epoch_us(ride.accepted_at),
        topic=orders_topic(uscc),
        uscc=uscc,
        order_id=order_id,
        worker=worker_token(
            DEMO_KEY, "REPLAY", "-".join(made.get(part, fields.get(part, "")) for part in mapped.worker)
        ),
        industry=mapped.industry.value,
        region=regions.of(uscc, ride.record),
        series=mark,
    )


def _events(order: Acceptance, ride: _Ride) -> Iterator[Record]:
    key = order.order_id.encode()
    yield Record(order.accepted // 1_000, order.topic, key, wire.accepted(order))
    if ride.completed_at is not None:
        at = since_epoch_us(ride.completed_at)
        yield Record(at // 1_000, order.topic, key, wire.completed(order, at))
