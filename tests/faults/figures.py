"""Every figure of the books, without names of runs and batches: equal after each crash, in any process at any step."""

from typing import Any

import asyncpg

_ENTRY = "accepted_at, uscc, order_id, worker_key, kind, ended_at, premium, region, tariff_line, reason, departed"
_LINE = "posting_day, insured_on, enterprise, province, industry, tariff_line, outcome, reason"
FIGURES = {
    "entries": f"select {_ENTRY} from charging.entry join charging.enterprise e on e.id = enterprise",
    "unsettled": "select accepted_at, order_id, worker_key from charging.unsettled",
    "parked": "select topic, partition, record_offset, received, reason from charging.parked",
    "conflicts": "select topic, partition, record_offset, received from charging.conflict",
    "declarations": "select enterprise, declaration_id, body from charging.declaration",
    "positions": "select topic, partition, next_offset, events from charging.position",
    "batches": "select sum(events), sum(leaves) from charging.manifest",
    "resends": "select order_id, accepted_at, kept_accepted_at, was_charged, found_on from charging.resend",
    "participants": "select province, worker, first_on from charging.participant",
    "counted": "select day, max(attempt) from charging.day_count group by 1",
    "settlements": "select day, batch is null from charging.day_settlement",
    "lines": f"select {_LINE}, sum(orders), sum(premium) from ledger.day_line group by 1, 2, 3, 4, 5, 6, 7, 8",
    "journal": """select e.kind, posting_day, insured_on, statement_id, remittance_id, a.kind, enterprise, province,
        count(*), sum(amount) from ledger.journal_entry e join ledger.posting using (entry_id)
        join ledger.account a using (account_id) group by 1, 2, 3, 4, 5, 6, 7, 8""",
    "closed days": """select day, attempt, as_of, orders, premium, totals, workers, first_time, hours, resends,
        unmatched_cancellations from ledger.day_closed""",
    "statements": "select statement_id, due_on, orders, exact_amount, amount from ledger.statement",
    "statement lines": "select * from ledger.statement_line",
    "remittances": "select remittance_id, amount, received_on from ledger.remittance",
    "allocations": "select statement_id, what, amount, effective_on, remittance_id from ledger.allocation",
    "late fees": "select statement_id, as_of, amount, total from ledger.late_fee",
    "refused": "select topic, reason, sha256 from ledger.refused_message",
    "waiting": """select (select count(*) from ledger.manifest_inbox), (select count(*) from ledger.outbox),
        (select count(*) from charging.outbox)""",
    "signed": """select count(*), sum((size = (select max(size) from ledger.cosignature))::int)
        from ledger.checkpoint""",
    "days signed for": "select day from ledger.day_checkpoint",
    "log faults": "select kind from ledger.log_fault",
    "reported": "select report_id, kind, body_sha256 from reporting.report",
    "shares": "select report_id, enterprise, orders, amount from reporting.share",
    "deliveries": "select report_id, state from reporting.delivery",
    "receipts": "select report_id, body_sha256 from reporting.receipt",
    "discrepancies": "select kind, report_id, day, province, enterprise, detail, state from reporting.discrepancy_now",
    "portal sums": "select * from reporting.daily_sum",
    "portal reasons": "select * from reporting.daily_reason",
    "portal workers": "select * from reporting.participation",
    "portal hours": "select * from reporting.daily_hours",
    "portal first time": "select * from reporting.first_time",
    "portal months": "select * from reporting.monthly_sum",
    "portal since the start": "select * from reporting.whole_sum",
    "portal statements": "select * from reporting.statement_sum",
    "portal remittances": "select remittance_id, province, enterprise, amount, received_on from reporting.remittance",
    "portal arrivals": "select minute, enterprise, outcome, reason, events from reporting.arrival",
    "examined": "select day, findings from reporting.day_examined",
    "held": """select report_id, body_sha256, count(*) from national_platform.delivery where outcome = 'taken'
        group by 1, 2""",
    "held lines": """select report_id, number, insured_on, enterprise, orders, premium
        from national_platform.coverage_line""",
    "declared": "select report_id, enterprise, orders, exact, amount from national_platform.declaration",
    "refusals": "select report_id, reason from national_platform.delivery where outcome = 'refused'",
}
Figures = dict[str, list[tuple[Any, ...]]]


async def read_figures(owner: asyncpg.Connection) -> Figures:
    """All of them, sorted."""
    return {name: sorted((tuple(row) for row in await owner.fetch(query)), key=repr) for name, query in FIGURES.items()}
