"""Somebody with all privileges in our database changes rows, and repairs everything above them that he can reach.

`tests/e2e/test_tampering.py` changes one row of each kind and has the audit name it. Here he knows better: manifests
say what the rows say, sums what their parts say. The audit still notices whenever it is run, at the first place that he
left: the log; and where he re-signed that too, at what the national platform cosigned. Rows are not put back between
the tests: each test checks only its own changes.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.audit.run import audit_all
from services.audit.verdict import Verdict
from services.cli.operations.service_requests import read_receipts, write_evidence
from services.demo.demo import audit_sources
from services.verify.keys import Keys
from services.verify.receipt import Expected, verify_receipt
from services.verify.verdict import NotProved
from shared.domain.evidence import merkle
from shared.domain.evidence.order_receipt import OrderReceipt
from shared.runtime.exits import CommandFailed
from tests.attacks.kafka.intruder import Intruder, intrude
from tests.e2e.conftest import Month
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.exhaustive
CHARGED = "kind = 1 and premium > 0 and batch in (select batch from charging.manifest where leaves > 9)"


@pytest.fixture
async def intruder(month: Month) -> AsyncIterator[Intruder]:
    async with intrude(month.system) as opened:
        yield opened


async def audit(intruder: Intruder) -> Verdict:
    return await audit_all(audit_sources(intruder.system))


def findings(verdict: Verdict) -> list[str]:
    return [finding for check in verdict.checks for finding in check.findings]


def keys_of(intruder: Intruder) -> Keys:
    return Keys.read([str(intruder.system.settings.vkeys)])


async def test_a_row_altered_and_everything_above_it_re_signed_with_the_logs_key(intruder: Intruder) -> None:
    """Rows, manifest, books and log agree. Noticed by charging's signature, and by what the national platform cosigned.

    The running ledger hands its checkpoint to the witness, which refuses; the worker's receipt of before stays proved.
    """
    assert (await audit(intruder)).has_passed
    row = await intruder.row("kind = 2 and exists (select from charging.manifest m where m.batch = e.batch)")
    wish = {"enterprise": await intruder.uscc(row), "order_id": row["order_id"]}
    (before,) = (await read_receipts(intruder.system.settings, wish))["orders"]
    await intruder.connection.execute(
        "update charging.entry set ended_at = ended_at - interval '5 seconds'"
        " where tableoid = $1 and ctid = $2::text::tid",
        row["tableoid"], row["ctid"],
    )  # fmt: skip
    await intruder.remember()
    reported = await intruder.repair_manifest(row["batch"])
    await intruder.repair_booking(reported)
    await intruder.repair_log(reported)
    verdict = await audit(intruder)
    failed = {check.what for check in verdict.checks if not check.has_passed}
    assert failed == {
        "every entry of the log is made by charging",
        "what the national platform cosigned is what the log holds",
    }
    receipt = OrderReceipt.parse_text(str(before["receipt"]))
    assert verify_receipt(receipt, keys_of(intruder), Expected(order=row["order_id"])).startswith("Proved")
    (after,) = (await read_receipts(intruder.system.settings, wish))["orders"]
    assert after["receipt"] is None, "what is not cosigned is not shown"
    await eventually_async(lambda: has_alarm(intruder), "the witness to refuse what the ledger hands it")
    await intruder.put_back()


async def has_alarm(intruder: Intruder) -> bool:
    status = await intruder.system.apis.national_platform.get("/v1/status")
    return any(alarm.startswith("log forked") for alarm in status["alarms"])


CHANGES = {
    "altered": "update charging.entry set premium = premium + 100 where {place}",
    "removed": "delete from charging.entry where {place}",
    "added": "insert into charging.entry select (jsonb_populate_record(e, jsonb_build_object('order_id', order_id"
    " || '-2', 'leaf_index', 1000000))).* from charging.entry e where {place}",
    "moved to another day": "update charging.entry set accepted_at = accepted_at - interval '1 day' where {place}",
}


@pytest.mark.parametrize("how", sorted(CHANGES))
async def test_a_row_of_a_charge_alone_and_with_its_manifest_repaired(intruder: Intruder, how: str) -> None:
    """Noticed by the audit: the rows are not the manifest's; then, that log and ledger have the head of another.

    Also at once by the worker who requests a receipt, or by anyone who is shown that worker's receipt.
    """
    row = await intruder.row(f"{CHARGED} and extract(day from accepted_at) = 15")
    place = f"tableoid = {row['tableoid']} and ctid = '{row['ctid']}'"
    await intruder.connection.execute(CHANGES[how].format(place=place))
    reported = await intruder.manifest(row["batch"])
    name = f"{reported.run}/{reported.number}"
    assert [
        finding
        for finding in findings(await audit(intruder))
        if finding.startswith(f"charging.manifest {name}: stored")
    ]
    await intruder.repair_manifest(row["batch"])
    reported_findings = findings(await audit(intruder))
    assert not [finding for finding in reported_findings if finding.startswith(f"charging.manifest {name}, payload")], (
        "rows = manifest"
    )
    assert [
        finding for finding in reported_findings if finding.startswith("ledger.log_entry") and f"({name})" in finding
    ]
    assert [finding for finding in reported_findings if finding.startswith(f"ledger.manifest_booked {name}")]
    expected = "none" if how == "removed" else "log proof of row 1"
    assert await proof_for_the_worker(intruder, row) == expected


async def proof_for_the_worker(intruder: Intruder, row: Any) -> str:
    """Request the order's receipt: returns "none", or the step at which its proof fails."""
    wish = {"enterprise": await intruder.uscc(row), "order_id": row["order_id"]}
    try:
        (order,) = (await read_receipts(intruder.system.settings, wish))["orders"]
        if order["receipt"] is None:
            return "none"
        return verify_receipt(OrderReceipt.parse_text(str(order["receipt"])), keys_of(intruder), Expected())
    except CommandFailed:
        return "none"
    except NotProved as failed:
        return failed.step


async def test_a_manifest_altered_in_the_books_too(intruder: Intruder) -> None:
    """A batch says less than its rows; charging and the ledger agree on it. Noticed by the audit, twice."""
    row = await intruder.row(f"{CHARGED} and extract(day from accepted_at) = 20")
    await intruder.connection.execute(
        "update charging.manifest set root = $2, payload = replace(convert_from(payload, 'UTF8'), $3, $4)::bytea"
        " where batch = $1",
        row["batch"], merkle.EMPTY_ROOT, (await intruder.manifest(row["batch"])).root, merkle.EMPTY_ROOT.hex(),
    )  # fmt: skip
    reported = await intruder.manifest(row["batch"])
    await intruder.repair_booking(reported)
    audit_findings = findings(await audit(intruder))
    name = f"{reported.run}/{reported.number}"
    assert [finding for finding in audit_findings if finding.startswith(f"charging.manifest {name}: stored")]
    assert [finding for finding in audit_findings if finding.startswith("ledger.log_entry") and f"({name})" in finding]


async def test_a_journal_entry_altered_with_all_sums_above_it(intruder: Intruder, tmp_path: Path) -> None:
    """Line, postings, day and statement: noticed by the audit, and by the export of the statement's evidence."""
    reported, statement = await intruder.lower_a_bill()
    audit_findings = findings(await audit(intruder))
    assert [
        finding
        for finding in audit_findings
        if finding.startswith(f"ledger.day_line of {reported.run}/{reported.number}")
    ]
    with pytest.raises(CommandFailed, match="are not the totals in the log"):
        await write_evidence(intruder.system.settings, [statement], tmp_path)


async def test_a_batch_withheld_from_the_log(intruder: Intruder) -> None:
    """Noticed by the audit, and by a worker's receipt: his order is charged, and no checkpoint ever covers it."""
    row = await intruder.row(f"{CHARGED} and extract(day from accepted_at) = 25")
    reported = await intruder.manifest(row["batch"])
    await intruder.connection.execute(
        "delete from ledger.log_entry where (run, number) = ($1, $2)", reported.run, reported.number
    )
    audit_findings = findings(await audit(intruder))
    assert f"ledger.log_entry: manifest {reported.run}/{reported.number} is booked and not in the log" in audit_findings
    assert await proof_for_the_worker(intruder, row) == "none"
