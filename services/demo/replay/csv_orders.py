"""Read order events from a CSV file of rides: an acceptance and a completion for each row, by a column mapping.

Wall times without an offset are read as Asia/Shanghai. The record time of an event is its own time. With a month to
shift to, all dates move by whole days, so that the month with most rows begins with that month.
"""

import csv
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
from shared.contracts.topics import orders_topic
from shared.domain.calendar import SHANGHAI, Month, since_epoch_us
from shared.domain.errors import Refused, RefusedLine
from shared.domain.scheme.enterprise import is_uscc_shaped
from shared.domain.scheme.industry import Industry
from shared.domain.scheme.rating import Charged, Scheme
from shared.domain.scheme.worker import worker_token

ROW: Final = "row"
HOUR: Final = "hour"
SERIES: Final = "replay"
RegionRule = Literal["code", "spread"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The column of each field. `order_id` may be "row", a part of `worker` may be "hour" (of the acceptance)."""

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

    @property
    def columns(self) -> set[str]:
        named = {self.accepted_at, self.completed_at or "", self.enterprise_column, self.region, self.order_id}
        return (named | set(self.worker)) - {"", ROW, HOUR}


@dataclass(slots=True)
class _Ride:
    row: int
    fields: Mapping[str, str]
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


def read_csv(file: Path, mapped: Mapped, scheme: Scheme) -> list[Record]:
    """Read all events of the file in order of time; raises RefusedLine naming the row that cannot be read."""
    rides = list(_rides(file, mapped))
    if mapped.shift_to is not None and rides:
        _shift(rides, mapped.shift_to)
    regions = _Regions(scheme, mapped, rides[0].accepted_at if rides else None)
    numbers: dict[str, int] = defaultdict(int)
    records: list[Record] = []
    for ride in sorted(rides, key=lambda each: (each.accepted_at, each.row)):
        order = _order(file, ride, mapped, regions)
        numbers[order.uscc] = order.sequence = numbers[order.uscc] + 1
        records += _events(order, ride)
    return sorted(records)


def _rides(file: Path, mapped: Mapped) -> Iterator[_Ride]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = mapped.columns - set(reader.fieldnames or ())
            if missing:
                raise RefusedLine(str(file), 1, f"no column {', '.join(sorted(missing))}")
            for number, fields in enumerate(reader, 1):
                yield _ride(file, number, fields, mapped)
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedLine(str(file), 0, f"cannot be read: {error}") from error


def _ride(file: Path, number: int, fields: Mapping[str, str], mapped: Mapped) -> _Ride:
    try:
        completed = fields[mapped.completed_at] if mapped.completed_at else ""
        return _Ride(number, fields, _instant(fields[mapped.accepted_at]), _instant(completed) if completed else None)
    except (ValueError, TypeError) as error:
        raise RefusedLine(str(file), number + 1, f"not a time: {error}") from error


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=SHANGHAI)


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
        self._rule = mapped.region_rule
        self._provinces = {
            uscc: [code for code in sorted(scheme.joined_at) if instant is not None
                   and isinstance(scheme.rate(uscc, code, mapped.industry, instant, is_employee=False), Charged)]
            for uscc in mapped.enterprises.values()
        }  # fmt: skip

    def of(self, uscc: str, value: str) -> str:
        """Return a code of six digits; raises Refused when the enterprise is charged in no province."""
        if self._rule == "code":
            return value
        provinces = self._provinces[uscc]
        if not provinces:
            raise Refused(f"--region-rule spread: the scheme charges {uscc} in no province")
        number = int(value) if value.isascii() and value.isdigit() else crc32(value.encode())
        return f"{provinces[number % len(provinces)]}0000"


def _order(file: Path, ride: _Ride, mapped: Mapped, regions: _Regions) -> Acceptance:
    uscc = mapped.enterprises.get(ride.fields[mapped.enterprise_column])
    if uscc is None:
        value = ride.fields[mapped.enterprise_column]
        raise RefusedLine(str(file), ride.row + 1, f"{mapped.enterprise_column} {value!r} is mapped to no enterprise")
    worker = "-".join(str(ride.accepted_at.hour) if part == HOUR else ride.fields[part] for part in mapped.worker)
    return Acceptance(
        accepted=since_epoch_us(ride.accepted_at),
        topic=orders_topic(uscc),
        uscc=uscc,
        order_id=str(ride.row) if mapped.order_id == ROW else ride.fields[mapped.order_id],
        worker=worker_token(DEMO_KEY, "REPLAY", worker),
        industry=mapped.industry.value,
        region=regions.of(uscc, ride.fields[mapped.region]),
        series=SERIES,
    )


def _events(order: Acceptance, ride: _Ride) -> Iterator[Record]:
    key = order.order_id.encode()
    yield Record(order.accepted // 1_000, order.topic, key, wire.accepted(order))
    if ride.completed_at is not None:
        at = since_epoch_us(ride.completed_at)
        yield Record(at // 1_000, order.topic, key, wire.completed(order, at))
