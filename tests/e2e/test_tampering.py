"""One stored row is changed behind everybody's back, for each kind of row: the audit fails and names it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from services.audit.run import audit_all
from services.audit.verdict import Verdict
from services.demo.demo import audit_sources
from tests.e2e.conftest import Month

pytestmark = pytest.mark.exhaustive


@dataclass(frozen=True, slots=True)
class Tampering:
    """One row of `table` (the first `where` gives) gets another value; the audit must say `named`."""

    table: str
    column: str
    value: str
    where: str = "true"
    named: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.column}" + (f"-{self.where}" if "kind" in self.where else "")

    @property
    def is_of_the_platform(self) -> bool:
        return self.table.startswith("national_platform.")


ENTRY = "charging.entry"
NEXT_BYTE = "set_byte({0}, 0, (get_byte({0}, 0) + 1) % 256)"


def other_bytes(column: str) -> str:
    """Every byte but the first stays."""
    return NEXT_BYTE.format(column)


CASES = [
    # Rows of charging, of each kind
    Tampering(ENTRY, "premium", "premium + 100", "kind = 1 and premium > 0", "charging.manifest"),
    Tampering(ENTRY, "tariff_line", "tariff_line + 1", "kind = 1 and premium > 0", "charging.entry acceptance"),
    Tampering(ENTRY, "region", "region + 10000", "kind = 1 and premium > 0", "charging.manifest"),
    Tampering(ENTRY, "reason", "2", "kind = 1 and reason = 3", "charging.entry acceptance"),
    Tampering(ENTRY, "employer_insurance_no", "'GS0'", "kind = 1 and reason = 3", "charging.manifest"),
    Tampering(ENTRY, "worker_rest", other_bytes("worker_rest"), "kind = 1", "charging.manifest"),
    Tampering(ENTRY, "sequence", "sequence + 1", "kind = 1", "charging.manifest"),
    Tampering(ENTRY, "ended_at", "ended_at + interval '1 second'", "kind = 2", "charging.manifest"),
    Tampering(ENTRY, "departed", "not departed", "kind = 3", "charging.manifest"),
    Tampering(ENTRY, "premium", "premium - 100", "kind = 4", "charging.entry reversal"),
    Tampering(ENTRY, "order_id", "order_id || 'x'", "kind = 2", "charging.manifest"),
    Tampering(ENTRY, "leaf_index", "leaf_index + 1000000", "kind = 1", "charging.manifest"),
    Tampering("charging.parked", "reason", "'empty'", "reason = 'not_json'", "charging.manifest"),
    Tampering("charging.parked", "received", other_bytes("received"), named="charging.manifest"),
    Tampering("charging.conflict", "received", other_bytes("received"), named="charging.manifest"),
    Tampering("charging.declaration", "declared_day", "declared_day + 1", named="charging.declaration"),
    Tampering(
        "charging.declaration",
        "body",
        """convert_to(replace(convert_from(body, 'UTF8'), '"orders":', '"orders":1'), 'UTF8')""",
        named="charging.manifest",
    ),
    Tampering("charging.manifest", "root", other_bytes("root"), "leaves > 0", "charging.manifest"),
    Tampering("charging.manifest", "events", "events + 1", "events > 0", "charging.manifest"),
    Tampering("charging.position", "events", "events - 1", "events > 0", "charging.position"),
    Tampering("charging.enterprise", "uscc", "'91000000FAKE999999'", named="charging.manifest"),
    Tampering("charging.batch_day", "insured_on", "date '2020-01-01'", named="charging.batch_day"),
    Tampering("charging.participant", "first_on", "first_on - 1", named="charging.participant"),
    Tampering("charging.resend", "was_charged", "not was_charged", named="charging.resend"),
    Tampering(
        "charging.day_count", "payload",
        """convert_to(regexp_replace(convert_from(payload, 'UTF8'), '"resends":[0-9]+', '"resends":99'), 'UTF8')""",
        named="charging.day_count",
    ),
    Tampering(ENTRY, "industry", "9", "kind = 1", "charging.entry order"),
    Tampering("charging.manifest", "payload", "'no json'::bytea", "leaves > 0", "charging.manifest"),
    # Books of the ledger
    Tampering("ledger.manifest_booked", "root", "repeat('0', 64)", named="ledger.manifest_booked"),
    Tampering("ledger.day_line", "orders", "orders + 1", "outcome = 'recorded'", "ledger.day_line"),
    Tampering("ledger.day_line", "premium", "premium + 100", "outcome = 'charged'", "ledger.day_line"),
    Tampering("ledger.day_line", "posting_day", "posting_day + 1", "outcome = 'charged'", "ledger.day_line"),
    Tampering("ledger.journal_entry", "posting_day", "posting_day + 1", "kind = 'late_charge'", "ledger.journal_entry"),
    Tampering("ledger.posting", "amount", "amount + 100", named="ledger.journal_entry"),
    Tampering("ledger.account", "province", "'99'", "kind = 'receivable'", "ledger.posting"),
    Tampering("ledger.day_closed", "premium", "premium + 100", named="ledger.day_closed"),
    Tampering("ledger.day_closed", "totals", "totals - 0", named="ledger.day_closed"),
    Tampering("ledger.day_closed", "hours", "hours - 0", named="ledger.day_closed"),
    Tampering("ledger.day_closed", "cut", "'{}'::jsonb", named="ledger.day_closed"),
    Tampering("ledger.day_sum", "enterprise", "enterprise || 'X'", named="ledger.day_sum"),
    Tampering("ledger.day_closing", "cut", "'{}'::jsonb", named="ledger.day_closed"),
    Tampering("ledger.day_count", "answer", "jsonb_set(answer, '{resends}', '99')", named="ledger.day_count"),
    Tampering("ledger.statement", "amount", "amount + 100", named="ledger.statement"),
    Tampering("ledger.statement", "due_on", "due_on + 30", named="ledger.statement"),
    Tampering("ledger.statement", "due_on_is_provisional", "not due_on_is_provisional", named="ledger.statement"),
    Tampering("ledger.edition_file", "content", "content || '\\x0a'::bytea", named="ledger.edition"),
    Tampering("ledger.statement_line", "tariff_line", "tariff_line + 1", named="ledger.statement_line"),
    Tampering("ledger.period_issued", "statements", "statements - 1", named="ledger.period_issued"),
    Tampering("ledger.remittance", "amount", "amount + 100", named="ledger.remittance"),
    Tampering("ledger.allocation", "amount", "amount - 100", named="ledger.allocation"),
    Tampering("ledger.late_fee", "amount", "amount + 100", named="ledger.late_fee"),
    # What reporting keeps
    Tampering("reporting.day_closed", "body", other_bytes("body"), named="reporting.day_closed"),
    Tampering("reporting.statement_issued", "body_sha256", "repeat('0', 64)", named="reporting.statement_issued"),
    Tampering("reporting.report", "body", "body || ' '::bytea", "kind = 'coverage'", "reporting.report coverage."),
    Tampering("reporting.report", "body", "body || ' '::bytea", "kind = 'registration'", "reporting.report reg"),
    Tampering("reporting.report", "province", "'99'", "kind = 'declaration'", "reporting.report declaration."),
    Tampering("reporting.share", "orders", "orders + 1", named="reporting.share"),
    Tampering("reporting.discrepancy", "kind", "'orders'", "kind = 'other_content'", "reporting.discrepancy other"),
    Tampering("reporting.discrepancy", "count", "count + 1", "kind = 'several_acceptance_times'", "several_acceptance"),
    Tampering("charging.resend", "found_on", "found_on + 1", named="reporting.discrepancy several_acceptance_times"),
    Tampering("reporting.receipt", "receipt_id", "'R0'", named="national_platform.report"),
    Tampering("reporting.daily_sum", "premium", "premium + 100", named="reporting.daily_sum"),
    Tampering("reporting.statement_sum", "amount", "amount + 100", named="reporting.statement_sum"),
    Tampering("reporting.remittance", "amount", "amount + 100", named="reporting.remittance"),
    # What the national platform holds
    Tampering("national_platform.delivery", "body", "body || ' '::bytea", "outcome = 'taken'", "national_platform"),
    Tampering("national_platform.report", "province", "'99'", named="national_platform.report"),
    Tampering("national_platform.receipt", "body_sha256", "repeat('0', 64)", named="national_platform.delivery"),
    Tampering("national_platform.coverage_line", "orders", "orders + 1", named="national_platform.coverage_line"),
    Tampering("national_platform.declaration", "exact", "exact + 1", named="national_platform.declaration"),
]  # fmt: skip


@asynccontextmanager
async def tampered(month: Month, case: Tampering) -> AsyncIterator[None]:
    """The row with its other value, past every trigger; put back at the end."""
    name = "DANBAO_PLATFORM_DATABASE" if case.is_of_the_platform else "DANBAO_DATABASE"
    connection = await asyncpg.connect(month.system.variables[name])
    try:
        await connection.execute("set session_replication_role = replica")
        place = await connection.fetchrow(
            f"select tableoid, ctid::text, {case.column} as before from {case.table} where {case.where} limit 1"
        )
        assert place is not None, f"no such row: {case}"
        changed = await connection.fetchrow(
            f"update {case.table} set {case.column} = {case.value} where tableoid = $1 and ctid = $2::text::tid"
            f" returning tableoid, ctid::text, {case.column} as after",
            place["tableoid"], place["ctid"],
        )  # fmt: skip
        assert changed is not None
        assert changed["after"] != place["before"]
        try:
            yield
        finally:
            await connection.execute(
                f"update {case.table} set {case.column} = $1 where tableoid = $2 and ctid = $3::text::tid",
                place["before"], changed["tableoid"], changed["ctid"],
            )  # fmt: skip
    finally:
        await connection.close()


async def audit(month: Month) -> Verdict:
    """The audit, as the command runs it."""
    return await audit_all(audit_sources(month.system))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_audit_names_a_row_that_was_changed(month: Month, case: Tampering) -> None:
    async with tampered(month, case):
        verdict = await audit(month)
    findings = [finding for check in verdict.checks for finding in check.findings]
    assert not verdict.has_passed
    assert any(case.named in finding for finding in findings), findings[:10]


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
async def test_the_audit_notices_a_row_that_was_removed(month: Month, kind: int) -> None:
    connection = await asyncpg.connect(month.system.variables["DANBAO_DATABASE"])
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute("create temporary table removed (like charging.entry)")
        removed = await connection.fetchval(
            "with gone as (delete from charging.entry where (tableoid, ctid) ="
            " (select tableoid, ctid from charging.entry where kind = $1 limit 1) returning *),"
            " kept as (insert into removed select * from gone returning 1) select count(*) from kept",
            kind,
        )
        assert removed == 1
        try:
            verdict = await audit(month)
        finally:
            await connection.execute("insert into charging.entry select * from removed")
    finally:
        await connection.close()
    assert any("charging.manifest" in finding for check in verdict.checks for finding in check.findings)


async def test_an_uncovered_order_fails_the_audit(month: Month) -> None:
    case = Tampering("charging.parked", "reason", "'no_tariff_line'", "reason = 'not_json'")
    async with tampered(month, case):
        verdict = await audit(month)
    check = next(check for check in verdict.checks if check.invariant == "I11")
    assert not check.has_passed
    assert "charging.parked" in check.findings[0]


async def test_a_role_that_may_change_the_books_fails_the_audit(month: Month) -> None:
    connection = await asyncpg.connect(month.system.variables["DANBAO_DATABASE"])
    try:
        await connection.execute("grant update on ledger.posting to danbao_ledger")
        verdict = await audit(month)
        await connection.execute("revoke update on ledger.posting from danbao_ledger")
    finally:
        await connection.close()
    assert any(
        "ledger.posting: danbao_ledger may change it" in finding for c in verdict.checks for finding in c.findings
    )


async def test_the_audit_passes_again_once_everything_is_put_back(month: Month) -> None:
    assert (await audit(month)).has_passed
