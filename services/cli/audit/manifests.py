"""Rows against manifests, positions and what the close counted: I1, I2 and the first half of I4."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any, Final

from services.cli.audit.facts import Facts, Manifest
from services.cli.audit.rows import Found, RowReader, TotalKey
from services.cli.audit.verdict import Check, Verdict
from shared.adapters.postgres import Connection
from shared.contracts.manifests import AcceptancesByHour, DayCounted, FirstTime, Outcome, Total, WorkerCount
from shared.contracts.topics import enterprise_of

_WITHOUT_PLACE = ("parked", "conflict")
"""Outcomes whose day and place only the kept bytes tell: counted by enterprise and reason."""


async def check_manifests(connection: Connection, facts: Facts, rows: RowReader, verdict: Verdict) -> None:
    """Every batch's rows against its manifest."""
    _check_sums(facts, verdict)
    await _check_positions(connection, facts, rows, verdict)
    leaves = verdict.check("I4", "every leaf and root worked out anew from the rows is the manifest's")
    totals = verdict.check("I4", "rows = manifests: orders and premium of every batch")
    for batch, manifest in facts.manifests.items():
        found = rows.found.get(batch, Found(0))
        worked_out = (found.count, found.root().hex())
        leaves.compare(manifest.name, (manifest.leaves, manifest.root), worked_out)
        leaves.compare(f"{manifest.name}, payload", (manifest.told.leaves, manifest.told.root), worked_out)
        totals.compare_all(f"{manifest.name},", _told(manifest), _sums(found))
    for batch in rows.found.keys() - facts.manifests.keys():
        totals.find(f"{rows.found[batch].count} rows of batch {batch}, which has no manifest")
    await _check_batch_days(connection, rows, verdict)


def _check_sums(facts: Facts, verdict: Verdict) -> None:
    """I2, and that numbers have no gaps."""
    check = verdict.check("I2", "events = charged + excluded + recorded + parked + repeats + conflicts, per manifest")
    last: dict[str, int] = defaultdict(int)
    for manifest in facts.manifests.values():
        counted = sum(total.orders for total in _events(manifest))
        check.compare(f"{manifest.name}, events", manifest.events, counted)
        identity = (manifest.told.run, manifest.told.number, manifest.told.kind)
        kind = "settlement" if manifest.purpose == "close" else manifest.purpose
        check.compare(f"{manifest.name}, payload", identity, (manifest.run, manifest.number, kind))
        check.compare(f"{manifest.name}, the number that follows", manifest.number, last[manifest.run] + 1)
        last[manifest.run] = manifest.number


_POSITIONS: Final = """
    select topic, partition, first_offset, next_offset, events, false as goes_back from charging.position
    union all
    select topic, partition, first_offset, from_offset, events, to_offset < from_offset from charging.moved_on"""
"""Where each partition stands, and where it stood when an operator moved on: a log made anew begins lower."""


async def _check_positions(connection: Connection, facts: Facts, rows: RowReader, verdict: Verdict) -> None:
    check = verdict.check("I1", "events counted in positions = events in manifests, for each enterprise's topic")
    stored: Counter[str] = Counter()
    begun_again: Counter[tuple[str, int]] = Counter()
    for row in await connection.fetch(_POSITIONS):
        stored[enterprise_of(row["topic"]) or row["topic"]] += row["events"]
        begun_again[row["topic"], row["partition"]] += row["goes_back"]
        if not 0 <= row["events"] <= row["next_offset"] - row["first_offset"]:
            check.find(f"charging.position {row['topic']}/{row['partition']}: more events than offsets")
    counted: Counter[str] = Counter()
    for manifest in facts.manifests.values():
        for total in _events(manifest):
            counted[total.enterprise] += total.orders
    check.compare_all("charging.position, topic of", dict(+stored), dict(+counted))
    for place, count in rows.kept.items():
        if count > 1 + begun_again[place[0], place[1]]:
            check.find(f"the record {place[0]}/{place[1]} at {place[2]} is kept {count} times")


def _events(manifest: Manifest) -> list[Total]:
    """The totals that count events; settlements and corrections hold rows that charging made itself."""
    return manifest.told.totals if manifest.told.kind == "orders" else []


def _told(manifest: Manifest) -> dict[TotalKey, tuple[int, int]]:
    """What the manifest says, without repeats, which leave no row."""
    found: dict[TotalKey, tuple[int, int]] = {}
    for total in manifest.told.totals:
        if total.outcome is Outcome.REPEAT:
            continue
        reason, outcome = total.reason, total.outcome.value
        if outcome in _WITHOUT_PLACE:
            key: TotalKey = (None, total.enterprise, None, None, outcome, reason, None)
        else:
            place = (total.insured_on, total.enterprise, total.province, total.industry)
            key = (*place, outcome, reason, total.tariff_line)
        orders, premium = found.get(key, (0, 0))
        found[key] = (orders + total.orders, premium + total.premium)
    return found


def _sums(found: Found) -> dict[TotalKey, tuple[int, int]]:
    return {key: (orders, found.premium[key]) for key, orders in found.orders.items()}


async def _check_batch_days(connection: Connection, rows: RowReader, verdict: Verdict) -> None:
    check = verdict.check("I4", "the days that batches are said to touch hold all the days of their rows")
    said = {(row["batch"], row["insured_on"]) for row in await connection.fetch("select * from charging.batch_day")}
    for batch, found in rows.found.items():
        for day in found.days:
            if (batch, day) not in said:
                check.find(f"charging.batch_day: batch {batch} has rows of {day}")


def _check_hours(facts: Facts, rows: RowReader, verdict: Verdict) -> None:
    check = verdict.check("I4", "acceptances by hour of every closed day, worked out anew from the rows")
    for closed in facts.closed:
        stored = {(each.insured_on, each.enterprise, each.province): each.orders for each in closed.told.hours}
        check.compare_all(f"ledger.day_closed {closed.day}, hours", stored, rows.workers.hours.get(closed.day, {}))


async def check_counts(connection: Connection, facts: Facts, rows: RowReader, verdict: Verdict) -> None:
    """What the close counted beside money: hours, distinct workers, those insured for the first time."""
    _check_hours(facts, rows, verdict)
    check = verdict.check("I4", "distinct and first-time workers of every closed day, worked out anew from the rows")
    workers, first_time = (
        _worker_counts(rows),
        Counter((day, place) for (place, _), day in rows.workers.first_time.items()),
    )
    for closed in facts.closed:
        stored = {(each.insured_on, each.enterprise, each.province): each.workers for each in closed.told.workers}
        check.compare_all(f"ledger.day_closed {closed.day}, workers", stored, workers.get(closed.day, {}))
        new = {each.province: each.workers for each in closed.told.first_time}
        worked_out = {place: count for (day, place), count in first_time.items() if day == closed.day}
        check.compare_all(f"ledger.day_closed {closed.day}, first-time workers of", new, worked_out)
    last = facts.closed[-1].day if facts.closed else None
    stored_participants = {
        (f"{row['province']:02}", bytes(row["worker"])): row["first_on"]
        for row in await connection.fetch("select * from charging.participant")
        if last is not None and row["first_on"] <= last
    }
    found = {(place, worker): day for (place, worker), day in rows.workers.first_time.items() if last and day <= last}
    for key in stored_participants.keys() | found.keys():
        check.compare(
            f"charging.participant {key[0]}/{key[1].hex()}", stored_participants.get(key), found.get(key)
        )  # fmt: skip
    await _check_answers(connection, facts, verdict)


def _worker_counts(rows: RowReader) -> dict[Any, dict[tuple[Any, str | None, str], int]]:
    counts: dict[Any, dict[tuple[Any, str | None, str], int]] = defaultdict(lambda: defaultdict(int))
    for (day, uscc, province, _), counted_on in rows.workers.by_enterprise.items():
        counts[counted_on][day, uscc, province] += 1
    for (day, province, _), counted_on in rows.workers.by_province.items():
        counts[counted_on][day, None, province] += 1
    return counts


async def _check_answers(connection: Connection, facts: Facts, verdict: Verdict) -> None:
    """Charging's kept answer, the ledger's kept answer and the closed day say the same."""
    check = verdict.check(
        "I5", "charging's answers to the close, as both sides keep them, are what the days were closed on"
    )
    answers = await _read_answers(connection, check, "charging.day_count", "payload")
    heard = await _read_answers(connection, check, "ledger.day_count", "answer")
    for key in heard.keys() & answers.keys():
        if heard[key] != answers[key]:
            check.find(f"ledger.day_count {key[0]}, attempt {key[1]}: not what charging.day_count keeps")
    for closed in facts.closed:
        answer = answers.get((closed.day, closed.attempt))
        if answer is None or (closed.day, closed.attempt) not in heard:
            check.find(f"ledger.day_closed {closed.day}: no kept answer of attempt {closed.attempt}")
            continue
        check.compare(f"charging.day_count {closed.day}, workers", _set(answer.workers), _set(closed.told.workers))
        check.compare(
            f"charging.day_count {closed.day}, first time", _set(answer.first_time), _set(closed.told.first_time)
        )
        check.compare(f"charging.day_count {closed.day}, hours", _set(answer.hours), _set(closed.told.hours))
        figures = (answer.resends, answer.unmatched_cancellations)
        check.compare(f"ledger.day_closed {closed.day}", (closed.resends, closed.unmatched_cancellations), figures)


async def _read_answers(
    connection: Connection, check: Check, table: str, column: str
) -> dict[tuple[date, int], DayCounted]:
    """The answers that a table keeps, by day and attempt."""
    found = {}
    for row in await connection.fetch(f"select day, attempt, {column} as body from {table}"):
        key = (row["day"], row["attempt"])
        empty = DayCounted(
            day=key[0], attempt=key[1], cut={}, settlement=None, totals=[], workers=[], first_time=[], resends=-1,
            unmatched_cancellations=-1,
        )  # fmt: skip
        found[key] = check.read(f"{table} {key[0]}, attempt {key[1]}", row["body"], DayCounted, empty)
    return found


def _set(counts: list[WorkerCount] | list[FirstTime] | list[AcceptancesByHour]) -> set[str]:
    return {repr(each) for each in counts}
