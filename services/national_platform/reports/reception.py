"""Receives a report: check it, keep it, answer. Every report is kept, taken or refused.

The order of the checks: signature, schema (with the profile's version), province, sums, and then whether the report
was held before. A key that nobody gave out is turned away before this and not kept.
"""

from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.national_platform.reports import report_store
from services.national_platform.reports.checks import AnyReport, sums_fault
from services.national_platform.reports.report_store import Delivery
from services.national_platform.reports.roster import Roster
from shared.adapters.crypto.signing import Verifier
from shared.contracts.reports import REPORT, CoverageReport, Receipt, Refusal, RefusalReason
from shared.domain.scheme.province import PROVINCES
from shared.domain.times import shown_time


@dataclass(frozen=True, slots=True)
class Taken:
    """The report is held. `is_new` False: it was held before, and this is its first receipt again."""

    receipt: Receipt
    is_new: bool


class Reception:
    """The use case over one database, one reporter's public key and one roster."""

    def __init__(self, engine: AsyncEngine, verifier: Verifier, roster: Roster) -> None:
        self._engine = engine
        self._verifier = verifier
        self._roster = roster

    async def receive(self, delivery: Delivery, *, refuse: bool = False) -> Taken | Refusal:
        """Take or refuse, in one transaction with keeping the bytes. `refuse` is a fault knob."""
        checked = self._check(delivery)
        if refuse and not isinstance(checked, Refusal):
            checked = Refusal(report_id=checked.report_id, reason="refused_by_setting", detail="a fault knob is set")
        async with self._engine.begin() as connection:
            if isinstance(checked, Refusal):
                await report_store.keep_refused(connection, delivery, checked)
                return checked
            await report_store.lock_report(connection, checked.report_id)
            held = await report_store.find_receipt(connection, checked.report_id)
            if held is None:
                unconfirmed = self._roster.unconfirmed(checked) if isinstance(checked, CoverageReport) else []
                return Taken(await report_store.keep_taken(connection, delivery, checked, unconfirmed), is_new=True)
            if held.body_sha256 == delivery.sha256:
                await report_store.keep_repeat(connection, delivery, checked.report_id)
                return Taken(held, is_new=False)
            detail = f"held since {shown_time(held.received_at)} with SHA-256 {held.body_sha256}"
            refusal = Refusal(report_id=checked.report_id, reason="different_content", detail=detail)
            await report_store.keep_refused(connection, delivery, refusal)
            return refusal

    def _check(self, delivery: Delivery) -> AnyReport | Refusal:
        if not delivery.signature or not self._verifier.is_signed(delivery.body, delivery.signature):
            return _refusal(None, "bad_signature", "Danbao-Signature is not the reporter's over these bytes")
        try:
            report = REPORT.validate_json(delivery.body, strict=True)
        except ValidationError as error:
            return _refusal(None, "bad_schema", _first_fault(error))
        if delivery.idempotency_key != report.report_id:
            return _refusal(report.report_id, "bad_schema", "Idempotency-Key is not the report's id")
        if report.province not in PROVINCES:
            return _refusal(report.report_id, "wrong_province", f"{report.province} is not a province")
        if delivery.provinces is not None and report.province not in delivery.provinces:
            return _refusal(report.report_id, "wrong_province", f"this key does not report for {report.province}")
        if fault := sums_fault(report):
            return _refusal(report.report_id, "bad_sums", fault)
        return report


def _refusal(report_id: str | None, reason: RefusalReason, detail: str) -> Refusal:
    return Refusal(report_id=report_id, reason=reason, detail=detail)


def _first_fault(error: ValidationError) -> str:
    """The first fault with its place; never the input itself, which may be anything."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{place}: {first['msg']} ({error.error_count()} faults in all)"
