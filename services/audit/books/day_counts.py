"""Check the close's counts other than money: hours, distinct workers, workers insured for the first time (I4, I5)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from services.audit.charging.deployments import Charging, join_workers
from services.audit.charging.workers import Workers
from services.audit.facts import ClosedDay, Facts
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.manifests import AcceptancesByHour, DayCounted, WorkerCount

_COUNTED: Final = "select day, attempt, $1::text as deployment, payload as body from charging.day_count"
_HEARD: Final = "select day, attempt, deployment, answer as body from ledger.day_count"
Answers = dict[tuple[date, int, str], DayCounted]
"""By day, attempt and deployment."""


class _AnswerRow(Struct, frozen=True):
    """A stored answer of one deployment to a close."""

    day: date
    attempt: int
    deployment: str
    body: str | bytes


async def check_counts(books: Connection, charging: Sequence[Charging], verdict: Verdict) -> None:
    """Check every closed day's counts against the rows of all deployments and against their answers."""
    closed_days, workers = charging[0].facts.closed, join_workers([part.rows.workers for part in charging])
    hours = verdict.check("I4", "acceptances by hour of every closed day, recomputed from the rows")
    distinct = verdict.check("I4", "distinct and first-time workers of every closed day, recomputed from the rows")
    counts, first_time = workers.distinct(), _first_time_counts(workers)
    for closed in closed_days:
        name, message = f"ledger.day_closed {closed.day}", closed.reported
        reported_hours = {(count.insured_on, count.enterprise, count.province): count.orders for count in message.hours}
        reported_workers = {
            (count.insured_on, count.enterprise, count.province): count.workers for count in message.workers
        }
        hours.compare_all(f"{name}, hours", reported_hours, workers.hours.get(closed.day, {}))
        distinct.compare_all(f"{name}, workers", reported_workers, counts.get(closed.day, {}))
        new = {count.province: count.workers for count in message.first_time}
        distinct.compare_all(f"{name}, first-time workers of", new, first_time.get(closed.day, {}))
    for part in charging:
        await _check_participants(part.connection, part.facts, part.rows.workers, distinct)
    await _check_answers(books, charging, verdict)


def _first_time_counts(workers: Workers) -> dict[date, dict[str, int]]:
    counts: dict[date, dict[str, int]] = defaultdict(dict)
    for (counted_on, province), new in workers.first_time().items():
        counts[counted_on][province] = len(new)
    return counts


async def _check_participants(connection: Connection, facts: Facts, workers: Workers, check: Check) -> None:
    """Check a deployment's participants and their first days, up to the last closed day."""
    last = facts.closed[-1].day if facts.closed else date.min
    rows = await connection.fetch(
        "select province, worker, first_on from charging.participant where first_on <= $1", last
    )
    stored = {(f"{row['province']:02}", bytes(row["worker"])): row["first_on"] for row in rows}
    new = workers.first_time().items()
    worked_out = {(province, worker): day for (day, province), known in new if day <= last for worker in known}
    for key in stored.keys() | worked_out.keys():
        check.compare(f"charging.participant {key[0]}/{key[1].hex()}", stored.get(key), worked_out.get(key))


async def _check_answers(books: Connection, charging: Sequence[Charging], verdict: Verdict) -> None:
    """Check that charging's kept answers, the ledger's kept answers and the closed day agree."""
    check = verdict.check(
        "I5", "charging's answers to the close, as both sides keep them, are what the days were closed on"
    )
    names = [part.facts.deployment for part in charging]
    answers: Answers = {}
    for name, part in zip(names, charging, strict=True):
        answers |= _read(await fetch_structs(part.connection, _AnswerRow, _COUNTED, name), check, "charging.day_count")
    heard = _read(await fetch_structs(books, _AnswerRow, _HEARD), check, "ledger.day_count")
    for key in heard.keys() & answers.keys():
        if heard[key] != answers[key]:
            check.find(f"ledger.day_count {key[0]}, attempt {key[1]}: not what charging.day_count keeps")
    for closed in charging[0].facts.closed:
        keys = [(closed.day, closed.attempt, name) for name in names]
        if all(key in answers and key in heard for key in keys):
            _compare_day(check, closed, [answers[key] for key in keys])
        else:
            check.find(f"ledger.day_closed {closed.day}: no kept answer of attempt {closed.attempt}")


def _read(rows: Sequence[_AnswerRow], check: Check, table: str) -> Answers:
    answers = {}
    for row in rows:
        key = (row.day, row.attempt, row.deployment)
        empty = DayCounted(
            day=key[0], attempt=key[1], cut={}, settlement=None, totals=[], workers=[], first_time=[], resends=-1,
            unmatched_cancellations=-1,
        )  # fmt: skip
        answers[key] = check.read(f"{table} {key[0]}, attempt {key[1]}", row.body, DayCounted, empty)
    return answers


def _compare_day(check: Check, closed: ClosedDay, answers: Sequence[DayCounted]) -> None:
    """Compare a closed day with its answers: the ledger joins the workers of a province and sums all other counts."""
    is_joined = len(answers) > 1

    def texts(counts: Iterable[AcceptancesByHour | WorkerCount]) -> set[str]:
        return {repr(count) for count in counts if not is_joined or count.enterprise is not None}

    name, message = f"charging.day_count {closed.day}", closed.reported
    check.compare(
        f"{name}, workers", texts(count for answer in answers for count in answer.workers), texts(message.workers)
    )
    check.compare(f"{name}, hours", texts(count for answer in answers for count in answer.hours), texts(message.hours))
    if not is_joined:
        check.compare(f"{name}, first time", set(map(repr, answers[0].first_time)), set(map(repr, message.first_time)))
    figures = (sum(answer.resends for answer in answers), sum(answer.unmatched_cancellations for answer in answers))
    check.compare(f"ledger.day_closed {closed.day}", (closed.resends, closed.unmatched_cancellations), figures)
