"""Alarms that a person has to act on, computed from the books; an alarm goes when its cause does.

clocks_disagree        this process, the database and the broker differ by more than DANBAO_CLOCK_SPAN_SECONDS about the
                       time: nothing is closed, billed or assessed until they agree again
close_overdue          a count has been awaited for longer than DANBAO_CLOSE_TIMEOUT_SECONDS; it is requested again
day_not_equal          charging's count of a day and the books differ; every difference is named by the day's API
gap                    a manifest is missing and a later one of its run waits
message_refused        a message was kept aside: undecodable, absurd, unexpected, or known with other content;
                           it goes when a person has reviewed the message
set_aside              a statement, the late fees of an enterprise and province, or a duty of the clock that cannot
                           be done; the others are done, and it is tried again within an hour
advance_unused         an enterprise and province owe money, and have money in advances that is not set against it
outbox_refused         the broker refuses a message of the ledger; the next ones are published
remittance_unallocated money of an enterprise and province that the books do not know
calendar_unpublished   the holidays of this year, or from 1 December on of the next, are not published: due dates in it
                       are provisional, and no day of it is compared with others
log_inconsistent       what is stored does not continue the checkpoint signed last: nothing is signed (I7)
witness_refused        the witness did not cosign; both of these go when a later checkpoint is signed, or cosigned
checkpoint_unwitnessed a checkpoint has been without a cosignature for longer than DANBAO_COSIGN_TIMEOUT_SECONDS
"""

from collections.abc import Sequence
from datetime import date
from math import inf
from typing import Final

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import tables
from services.ledger.billing.debts import read_advances, read_debts
from services.ledger.books.clocks import BOUND, CONSEQUENCE, Clocks
from services.ledger.books.missing_manifests import read_gap_seconds, read_missing
from services.ledger.books.open_days import Books, Closing
from services.ledger.books.outside_declaration import Difference
from services.ledger.close.close_day import read_waited_seconds
from services.ledger.close.compare_count import latest_differences
from services.ledger.settings import LedgerSettings
from shared.adapters.postgres.quarantine import list_set_aside
from shared.domain.books.billing import Debt
from shared.domain.books.journal import AccountKind, Party
from shared.domain.money import Amount, yuan
from shared.domain.working_days import WorkingDays

log = structlog.get_logger(__name__)
GAP_SECONDS: Final = 10.0
"""A gap younger than this is the ordinary course of things."""
MOST_NAMED: Final = 20
"""Items set aside that have an alarm each; `GET /v1/set-aside` lists them all."""
NAMES: Final = (
    "clocks_disagree", "close_overdue", "day_not_equal", "gap", "message_refused", "remittance_unallocated",
    "log_inconsistent", "witness_refused", "checkpoint_unwitnessed", "set_aside", "advance_unused",
    "outbox_refused", "calendar_unpublished",
)  # fmt: skip

_REFUSED = text(
    "select topic, reason, count(*) as count from ledger.refused_message"
    " where refused_id not in (select refused_id from ledger.refused_review) group by topic, reason order by 1, 2"
)

_LOG_FAULTS = text("""
select case kind when 'inconsistent' then 'log_inconsistent' else 'witness_refused' end as name, size, detail
from ledger.log_fault
where found_at > coalesce(case kind when 'inconsistent' then (select max(signed_at) from ledger.checkpoint)
                                    else (select max(recorded_at) from ledger.cosignature) end, '-infinity')
order by fault_id
""")
_UNWITNESSED = text("""
select min(size) as size, extract(epoch from now() - min(signed_at)) as waited from ledger.checkpoint
where size > coalesce((select max(size) from ledger.cosignature), -1)
""")

_AWAITED = text("""
select distinct deployment from ledger.enterprise_deployment d
where exists (select from ledger.day_count c where (c.day, c.attempt) = (:day, :attempt))
  and deployment not in (select deployment from ledger.day_count c where (c.day, c.attempt) = (:day, :attempt))
order by 1
""")


def cosign_timeout(settings: LedgerSettings) -> float:
    """Seconds a checkpoint may be without a cosignature; without end where no witness is named."""
    return settings.cosign_timeout_seconds if settings.vkeys else inf


async def read_alarms(
    connection: AsyncConnection,
    books: Books,
    close_timeout_seconds: float,
    cosign_timeout_seconds: float = inf,
    clocks: Clocks = BOUND,
) -> list[str]:
    """One line each, beginning with the name of the alarm. Without a witness nothing waits for a cosignature."""
    disagreement = await clocks.disagree(connection)
    return [
        *([f"clocks_disagree: {disagreement}: {CONSEQUENCE}"] if disagreement else []),
        *await _of_closing(connection, books.closing, close_timeout_seconds),
        *await _of_gaps(connection),
        *await _of_refused(connection),
        *await _of_remittances(connection),
        *await _of_log(connection, cosign_timeout_seconds),
        *await _of_set_aside(connection),
        *await _of_outbox(connection),
    ]


async def _of_outbox(connection: AsyncConnection) -> list[str]:
    message = tables.outbox.c
    query = select(message.refusal).where(message.refusal.is_not(None)).order_by(message.id).limit(MOST_NAMED)
    return [f"outbox_refused: {refusal}" for refusal in await connection.scalars(query)]


def calendar_alarms(calendar: WorkingDays, today: date) -> list[str]:
    """The alarm where the State Council's notice for the year is missing; it goes with a restart on the new lines."""
    if not calendar.is_notice_missing(today):
        return []
    until = calendar.published_until
    act = "enter the notice in years.csv and days.csv of DANBAO_CALENDAR, and restart"
    return [f"calendar_unpublished: holidays are published until {until}: later due dates are provisional; {act}"]


async def _of_set_aside(connection: AsyncConnection) -> list[str]:
    rows = await list_set_aside(connection, tables.set_aside)
    named = [f"set_aside: {row['step']} {row['item']}: {row['reason']}: {row['detail']}" for row in rows[:MOST_NAMED]]
    return named + ([f"set_aside: {len(rows) - MOST_NAMED} more"] if len(rows) > MOST_NAMED else [])


async def _of_log(connection: AsyncConnection, timeout_seconds: float) -> list[str]:
    alarms = [f"{row.name}: {row.detail}" for row in await connection.execute(_LOG_FAULTS)]
    oldest = (await connection.execute(_UNWITNESSED)).one()
    if oldest.waited is not None and oldest.waited > timeout_seconds:
        alarms.append(f"checkpoint_unwitnessed: {oldest.size} entries: no cosignature for {oldest.waited:.0f} s")
    return alarms


async def _of_closing(connection: AsyncConnection, closing: Closing | None, timeout_seconds: float) -> list[str]:
    if closing is None:
        return []
    if differences := await latest_differences(connection, closing):
        return [f"day_not_equal: {closing.day}: {_difference(difference)}" for difference in differences]
    waited = await read_waited_seconds(connection, closing.day, closing.attempt)
    if waited < timeout_seconds:
        return []
    awaited = ", ".join(await connection.scalars(_AWAITED, {"day": closing.day, "attempt": closing.attempt}))
    who = f" of {awaited}" if awaited else ""
    return [f"close_overdue: {closing.day}, attempt {closing.attempt}: no count{who} for {waited:.0f} s"]


def _difference(difference: Difference) -> str:
    names = ("insured_on", "enterprise", "province", "industry", "tariff_line", "outcome", "reason")
    where = " ".join(str(difference[name]) for name in names if difference[name] is not None)
    return (
        f"{where}: counted {difference['counted_orders']} orders, {difference['counted_premium']}; "
        f"booked {difference['booked_orders']} orders, {difference['booked_premium']}"
    )


async def _of_gaps(connection: AsyncConnection) -> list[str]:
    if await read_gap_seconds(connection) < GAP_SECONDS:
        return []
    return [f"gap: manifest {run}/{number} is missing" for run, number in await read_missing(connection)]


async def _of_refused(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(_REFUSED)
    return [f"message_refused: {row.topic}: {row.reason}: {row.count}" for row in rows]


async def _of_remittances(connection: AsyncConnection) -> list[str]:
    account = tables.account.c
    query = select(account.enterprise, account.province).where(account.kind == AccountKind.RECEIVABLE.value)
    known = {Party(row.enterprise, row.province) for row in await connection.execute(query)}
    held = sorted((await read_advances(connection)).items())
    unknown = [
        f"remittance_unallocated: {party.enterprise} in {party.province}: {yuan(amount)} yuan"
        for party, amount in held
        if party not in known
    ]
    debts = await read_debts(connection) if len(unknown) < len(held) else {}
    return unknown + [
        f"advance_unused: {party.enterprise} in {party.province}: {yuan(amount)} yuan in advances, {yuan(owed)} owed"
        for party, amount in held
        if (owed := _owed(debts.get(party, []))) > 0
    ]


def _owed(debts: Sequence[Debt]) -> Amount:
    return Amount(sum(max(debt.outstanding, 0) + max(debt.fee_outstanding, 0) for debt in debts))
