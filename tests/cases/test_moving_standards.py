"""Kind L: a copied list of a moving standard. Working days and regions are dated data that an operator renews."""

import re
from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from shutil import copytree
from typing import get_args

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.audit.books.due_dates import StatementRow, check_due_dates
from services.audit.verdict import Verdict
from services.charging.ingest.batch_reader import EventReader
from services.charging.queries.dry_run import DryRun
from services.charging.queries.progress import ProgressQueries
from services.charging.rows.batch import Batch
from services.ledger.billing.due_dates import adopt_calendar
from services.ledger.billing.issue_statements import issue_set_aside, issue_statements
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.books.set_aside import Step, open_quarantine
from services.ledger.operations.alarms import calendar_alarms
from services.ledger.queries.book_queries import read_payment_states, read_statements
from shared.adapters.files.holiday_calendar import load_calendar
from shared.adapters.files.regions import DELIVERED, known_regions, load_regions
from shared.adapters.postgres.pool import open_pool
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.bounds import IndustryName, IndustryWord
from shared.contracts.topics import orders_topic
from shared.domain.books.plausibility import plausible_count
from shared.domain.calendar import FIRST_DAY, LAST_DAY, PERIOD_FORM, Month, day_start
from shared.domain.errors import Refused
from shared.domain.scheme.industry import Industry
from shared.domain.working_days import WorkingDays, due_date
from shared.runtime.http.types import PERIOD
from shared.runtime.settings import HOUSE
from tests.integration.charging.charging_harness import (
    LIMITS,
    NOON,
    Record,
    Sent,
    accepted,
    demo_scheme,
    migrate_charging,
    open_house,
)
from tests.integration.ledger.ledger_harness import ENTERPRISE, Ledger, new_run, open_ledger, total
from tests.support.authors import CHARGING
from tests.support.deployed_calendar import deployed_calendar

COURIERS = "91000000FAKE00004Q"
NOTICE = "国办发明电〔2026〕99号"
SWAPPED = ("02-09", "02-10", "05-03", "05-04", "10-04", "10-05")
"""Weekdays off for the holidays of 2027 that fall on a weekend: with them a made-up notice is whole."""
Renewed = Callable[..., WorkingDays]


@pytest.fixture
def renewed(tmp_path: Path) -> Renewed:
    """The delivered calendar after an operator entered a made-up notice for 2027."""

    def enter(*lines: str, without: str = "") -> WorkingDays:
        folder = tmp_path / f"edition-{len(list(tmp_path.iterdir()))}"
        copytree(HOUSE / "deploy" / "calendar", folder)
        years, days = folder / "years.csv", folder / "days.csv"
        old = "2027,statutory,国令第795号,2024-11-10"
        years.write_text(years.read_text("utf-8").replace(old, f"2027,published,{NOTICE},2026-12-04"), "utf-8")
        kept = [line for line in days.read_text("utf-8").splitlines() if not without or not line.startswith(without)]
        kept += [f"2027-{day},false,a made-up holiday,{NOTICE}" for day in SWAPPED]
        days.write_text("\n".join([*kept, *(f"{line},a made-up holiday,{NOTICE}" for line in lines)]) + "\n", "utf-8")
        return load_calendar(folder)

    return enter


@pytest.fixture
async def december(database: str) -> AsyncIterator[Ledger]:
    """Books of the last two days of 2026, with a statement of 100.00 yuan: provisionally due on 2027-01-15."""
    async with open_ledger(database, date(2026, 12, 30)) as ledger:
        yield await billed(ledger, Month(2026, 12), deployed_calendar())


async def billed(ledger: Ledger, period: Month, calendar: WorkingDays) -> Ledger:
    await ledger.charge(new_run(), total(orders=100, base=10_000, day=period.last_day - timedelta(days=1)))
    for day in (period.last_day - timedelta(days=1), period.last_day):
        assert await ledger.close(day) == "closed"
    answer = await issue_statements(ledger.engine, period, noon(period.last_day + timedelta(days=2)), calendar)
    assert answer.state == "issued"
    return ledger


def noon(day: date) -> datetime:
    return day_start(day) + timedelta(hours=12)


async def due_now(ledger: Ledger, as_of: date, period: Month) -> tuple[date, bool, str, str]:
    """Due date, whether it is provisional, arrears and late fee, as the API says them."""
    async with ledger.engine.connect() as connection:
        (paid,) = await read_payment_states(connection, period, as_of)
        (statement,) = await read_statements(connection, period, None, None)
    assert (statement.due_on, statement.due_on_is_provisional) == (paid.due_on, paid.due_on_is_provisional)
    return paid.due_on, paid.due_on_is_provisional, paid.arrears_yuan, paid.late_fee_yuan


async def audited(ledger: Ledger) -> list[str]:
    """What the audit finds about due dates; it knows no calendar but those that the ledger stored."""
    verdict = Verdict()
    async with open_pool(ledger.url.replace("danbao_ledger:ledger", "danbao_auditor:auditor"), size=1) as pool:
        async with pool.acquire() as connection:
            rows = await fetch_structs(connection, StatementRow, "select * from ledger.statement")
            await check_due_dates(connection, rows, verdict)
    return verdict.checks[0].findings


# working days ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "due", "is_provisional"),
    [
        ("2026-01", date(2026, 2, 24), False),
        ("2026-10", date(2026, 11, 16), False),
        ("2026-12", date(2027, 1, 15), True),
        ("2027-08", date(2027, 9, 16), True),
    ],
)
def test_k1_k2_k3_due_dates_of_the_delivered_calendar(period: str, due: date, is_provisional: bool) -> None:
    assert due_date(Month.parse(period), deployed_calendar().is_working_day) == (due, is_provisional)


def test_k1_a_statement_is_due_on_a_sunday_that_is_worked(tmp_path: Path) -> None:
    """2015 by a calendar made for the test: 15 February was a Sunday, worked in return for the spring festival."""
    off = ["01-01", "01-02", "02-18", "02-19", "02-20", "02-23", "02-24", "04-06", "05-01", "06-22", "09-28"]
    off += ["10-01", "10-02", "10-05", "10-06", "10-07"]
    lines = [f"2015-{day},false,holiday,notice" for day in off]
    lines += [f"2015-{day},true,holiday,notice" for day in ("01-04", "02-15", "02-28", "10-10", "09-06")]
    (tmp_path / "days.csv").write_text("\n".join(["day,is_working,name,notice", *lines]), "utf-8")
    years = "year,state,notice,published_on\n2015,published,notice,2014-12-16\n"
    (tmp_path / "years.csv").write_text(years, "utf-8")
    assert due_date(Month(2015, 1), load_calendar(tmp_path).is_working_day) == (date(2015, 2, 15), False)


def test_k4_no_year_begins_with_a_working_day_and_2094_is_refused() -> None:
    for year in range(2022, 2028):
        assert not deployed_calendar().is_working_day(date(year, 1, 1)).is_working
    with pytest.raises(Refused, match=r"no working days are known for 2094: .* years\.csv"):
        deployed_calendar().is_working_day(date(2094, 1, 1))


async def test_k2_no_late_fee_and_no_arrears_on_a_provisional_due_date(december: Ledger) -> None:
    far = date(2027, 3, 1)
    assert (await book_late_fees(december.engine, far)).booked == 0
    assert await due_now(december, far, Month(2026, 12)) == (date(2027, 1, 15), True, "0.00", "0.00")
    payload = await december.value("select convert_from(payload, 'utf8') from ledger.outbox order by id desc limit 1")
    assert '"due_on_is_provisional":true' in payload
    assert f'"calendar":"{deployed_calendar().edition}"' in payload


async def test_k5_a_notice_that_makes_it_later_extends_it_without_a_fee_in_between(
    december: Ledger, renewed: Renewed
) -> None:
    later = renewed("2027-01-15,false", "2027-01-23,true")
    assert (await book_late_fees(december.engine, date(2027, 1, 17))).booked == 0
    assert await adopt_calendar(december.engine, later) == 1
    assert await adopt_calendar(december.engine, later) == 0, "a second start changes nothing"
    (change,) = await december.rows(
        "select due_on, due_on_is_provisional, calendar, notice from ledger.due_date_change"
    )
    assert tuple(change) == (date(2027, 1, 18), False, later.edition, NOTICE)
    assert (await book_late_fees(december.engine, date(2027, 1, 18))).booked == 0
    assert (await book_late_fees(december.engine, date(2027, 1, 19))).booked == 1
    assert await due_now(december, date(2027, 1, 19), Month(2026, 12)) == (date(2027, 1, 18), False, "100.00", "0.05")
    assert await audited(december) == []


async def test_k5_a_notice_that_would_make_it_earlier_changes_nothing(database: str, renewed: Renewed) -> None:
    """Provisionally due on Thursday 16 September 2027, since the 15th is mid-autumn; a notice moves that holiday."""
    async with open_ledger(database, date(2027, 8, 30)) as ledger:
        await billed(ledger, Month(2027, 8), deployed_calendar())
        earlier = renewed("2027-09-17,false", without="2027-09-15")
        assert due_date(Month(2027, 8), earlier.is_working_day).due_on == date(2027, 9, 15)
        assert await adopt_calendar(ledger.engine, earlier) == 1
        assert await due_now(ledger, date(2027, 9, 17), Month(2027, 8)) == (date(2027, 9, 16), False, "100.00", "0.05")
        assert await audited(ledger) == []


async def test_k5_the_database_takes_no_due_date_that_comes_earlier_or_is_unsettled_again(
    december: Ledger, renewed: Renewed
) -> None:
    settled = renewed()
    assert await adopt_calendar(december.engine, settled) == 1
    change = """insert into ledger.due_date_change (statement_id, calendar, due_on, due_on_is_provisional, notice)
        select statement_id, calendar, {due}, {provisional}, 'n' from ledger.statement"""
    for due, provisional in (("due_on - 1", "false"), ("due_on + 1", "true"), ("due_on", "false")):
        with pytest.raises(DBAPIError, match="is moved later or settled"):
            async with december.engine.begin() as connection:
                await connection.execute(text(change.format(due=due, provisional=provisional)))


async def test_k6_the_audit_works_due_dates_out_with_the_edition_that_they_name(
    december: Ledger, renewed: Renewed
) -> None:
    for edition in (renewed(), renewed("2027-01-15,false", "2027-01-23,true")):
        await adopt_calendar(december.engine, edition)
        assert await audited(december) == []
    async with december.owner.begin() as connection:
        await connection.execute(text("set session_replication_role = replica"))
        await connection.execute(text("update ledger.statement set due_on = due_on + 1"))
        await connection.execute(text("update ledger.edition_file set content = content || '\\x0a'"))
    findings = await audited(december)
    assert any("ledger.statement" in finding and "due on" in finding for finding in findings)
    assert sum("ledger.edition" in finding for finding in findings) == 3


async def test_k6_an_edition_is_stored_whole_or_not_at_all(december: Ledger) -> None:
    add = "insert into ledger.edition_file select edition, 'more.csv', 'x' from ledger.edition"
    with pytest.raises(DBAPIError, match="its files have another name"):
        async with december.engine.begin() as connection:
            await connection.execute(text(add))


def test_k7_working_days_are_counted_over_the_spring_festival() -> None:
    start, calendar = date(2026, 1, 23), deployed_calendar()
    days = (start + timedelta(days=number) for number in count())
    working = (day for day in days if calendar.is_working_day(day).is_working)
    fifteen = [next(working) for _ in range(15)]
    assert (fifteen[0], fifteen[-1], next(working)) == (start, date(2026, 2, 12), date(2026, 2, 13))


async def test_a_due_date_in_an_unknown_year_sets_its_statement_aside_and_stops_nothing(
    database: str, renewed: Renewed, tmp_path: Path
) -> None:
    async with open_ledger(database, date(2027, 12, 30)) as ledger:
        await billed(ledger, Month(2027, 12), renewed())
        ((item, reason, detail),) = await ledger.rows("select item, reason, detail from ledger.set_aside")
        assert (item, reason) == (f"2027-12-44-{ENTERPRISE}", "refused")
        assert "no working days are known for 2028" in detail
        assert (await book_late_fees(ledger.engine, date(2028, 1, 3))).booked == 0
        folder = next(tmp_path.iterdir())
        with (folder / "years.csv").open("a", encoding="utf-8") as years:
            years.write("2028,statutory,国令第795号,2024-11-10\n")
        law = ("01-01", "01-25", "01-26", "01-27", "01-28", "04-04", "05-01", "05-02", "05-28")
        with (folder / "days.csv").open("a", encoding="utf-8") as days:
            days.writelines(f"2028-{day},false,law,国令第795号\n" for day in (*law, "10-01", "10-02", "10-03", "10-04"))
        await open_quarantine(ledger.engine).try_again(Step.BILL)
        assert await issue_set_aside(ledger.engine, noon(date(2028, 1, 4)), load_calendar(folder)) == 1
        assert await due_now(ledger, date(2028, 2, 1), Month(2027, 12)) == (date(2028, 1, 17), True, "0.00", "0.00")


@pytest.mark.parametrize("day", [date(2027, 2, 8), date(2027, 10, 4), date(2026, 2, 18), date(2031, 3, 3)])
def test_case_16_the_count_of_a_holiday_that_nobody_announced_is_not_judged(day: date) -> None:
    """Case 16. Spring Festival 2027 is no ordinary week; a provisional or unknown year is neither judged nor used."""
    before = (day - timedelta(days=back) for back in range(1, 57))
    history = {known: 12_000 if known.weekday() >= 5 else 10_000 for known in before}
    assert plausible_count(history, day, deployed_calendar().is_regular_day) is None
    assert plausible_count(history, day, lambda _: True) is not None


def test_the_alarm_says_from_1_december_on_what_to_enter(renewed: Renewed) -> None:
    assert calendar_alarms(deployed_calendar(), date(2026, 11, 30)) == []
    (alarm,) = calendar_alarms(deployed_calendar(), date(2026, 12, 1))
    assert alarm.startswith("calendar_unpublished: holidays are published until 2026-12-31: later due dates")
    assert calendar_alarms(renewed(), date(2026, 12, 1)) == []
    assert calendar_alarms(renewed(), date(2027, 12, 1)) != []


# regions -----------------------------------------------------------------------------------------------------------


def order(region: str, number: int) -> Sent:
    """Acceptance of a courier in that region."""
    return accepted(
        f"T-{number}", uscc=COURIERS, acceptance_region=region, industry="instant_delivery", sequence=number + 1
    )


def read(*events: Sent) -> Batch:
    """Read a batch as charging does, without a database."""
    topic, now = orders_topic(COURIERS), round(NOON.timestamp() * 1_000)
    records = [Record(topic, 0, number, now, event.key, event.value, []) for number, event in enumerate(events)]
    return EventReader(demo_scheme(), known_regions(), {COURIERS: 1}, LIMITS).read(records, 1)


@pytest.mark.parametrize("region", ["330113", "330114", "330199"])
def test_case_5_a_region_is_charged_as_any_other_of_its_province(region: str) -> None:
    """Case 5. Linping and Qiantang in Hangzhou since 2021, and a code that no list has yet: 0.07, as 330106 is."""
    batch = read(order(region, 0), order("330106", 1))
    one, other = batch.totals
    assert one == other
    assert (one.outcome, one.province, one.base_amount) == ("charged", "33", 700)
    assert batch.unlisted_regions == ([330199] if region == "330199" else [])


@pytest.mark.parametrize("region", ["133100", "320571", "320576", "410173", "620171", "500157", "131099"])
def test_case_5_a_zone_or_a_new_code_parks_no_order(region: str) -> None:
    """Case 5. Xiong'an, development zones, Liangjiang: their province decides whether they are charged or excluded."""
    batch = read(order(region, 0))
    assert batch.parked == []
    assert batch.totals[0].province == region[:2]


def test_case_5_only_a_code_of_no_province_is_parked() -> None:
    """Case 5. An order that belongs to nobody's fund cannot be charged."""
    batch = read(order("990101", 0))
    detail = "990101 begins with no province of GB/T 2260"
    assert [(kept.reason, kept.detail) for kept in batch.parked] == [("unknown_region", detail)]
    assert batch.unlisted_regions == []


def test_case_5_codes_of_the_file_take_the_fast_path() -> None:
    topic, now = orders_topic(COURIERS), round(NOON.timestamp() * 1_000)
    reader = EventReader(demo_scheme(), known_regions(), {COURIERS: 1}, LIMITS)
    for batch in (1, 2):
        events = [order(code, number) for number, code in enumerate(("330106", "330113", "330114", "330127"))]
        reader.slow_path_events = 0
        reader.read([Record(topic, 0, n, now, event.key, event.value, []) for n, event in enumerate(events)], batch)
    assert reader.slow_path_events == 0


async def test_case_5_an_operator_adds_a_region_by_a_line_and_the_alarm_ends(database: str, tmp_path: Path) -> None:
    """Case 5. 150 of 200 orders from a district that no list has: all are charged, and one alarm names the code."""
    await migrate_charging(database)
    async with open_house(database) as house:
        worker = await house.worker()
        await worker.charge(*(order("330199" if number % 4 else "330106", number) for number in range(200)))
        await worker.charge(order("330199", 200))
        assert await house.value("select count(*) from charging.entry where reason = 0") == 201
        assert await house.fetch("select region from charging.unlisted_region") == [(330199,)]
        (alarm,) = await ProgressQueries(house.pool, CHARGING, known_regions()).alarms()
        assert alarm.startswith("unlisted_region: 330199, first on ")
        assert alarm.endswith("charged by its province; add its line to DANBAO_REGIONS and restart")
        path = tmp_path / "regions.csv"
        path.write_text(f"{DELIVERED.read_text('utf-8')}330199,a new district,gb2260,2026,\n", "utf-8")
        assert await ProgressQueries(house.pool, CHARGING, known_regions(path)).alarms() == []


async def test_case_5_a_trial_says_what_is_odd_about_a_code(database: str) -> None:
    remarks = {
        "330106": None,
        "320571": "320571 (苏州工业园区) is a code of the statistics bureau and not of GB/T 2260",
        "330103": "330103 (下城区) has not been valid since 2021-04-09",
        "330199": "330199 is in no list of regions: its province decides, and we have an alarm",
        "990101": "990101 begins with no province of GB/T 2260",
    }
    await migrate_charging(database)
    async with open_house(database) as house:
        ids = {row["uscc"]: row["id"] for row in await house.pool.fetch("select uscc, id from charging.enterprise")}
        reader = EventReader(house.scheme, known_regions(), ids, LIMITS)
        trial = DryRun(house.pool, lambda: reader, load_regions(DELIVERED))
        results = {region: await trial.run(COURIERS, order(region, 0).value or b"", NOON) for region in remarks}
    assert {region: result.detail for region, result in results.items()} == remarks


# literals ----------------------------------------------------------------------------------------------------------


def test_a_month_has_one_form_wherever_it_is_read() -> None:
    """Siblings of case 16: five patterns had three lists of years; the form is that of the books' days."""
    form = re.compile(PERIOD_FORM)
    known = {f"{year}-{number:02}" for year in range(1900, 2200) for number in range(14)}
    months = {str(Month(year, number)) for year in range(FIRST_DAY.year, LAST_DAY.year + 1) for number in range(1, 13)}
    assert {month for month in known if form.fullmatch(month)} == months
    assert f"^{PERIOD_FORM}$" == PERIOD


def test_an_industry_is_named_in_one_list() -> None:
    """Siblings of case 5: events, messages and the scheme know the same industries."""
    (names, *_) = get_args(IndustryName)
    assert list(get_args(names)) == list(Industry)
    (_, meta) = get_args(IndustryWord)
    accepted_words = [word for word in (*Industry, "courier") if re.match(meta.pattern, word)]
    assert accepted_words == list(Industry)
