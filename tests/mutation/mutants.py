"""Mutants of `make mutants`: one safety each, its place in the code, and the tests that must notice it switched off."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutant:
    """One safety, its place in the code, the text that turns it off, and the tests that must notice."""

    what: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]


MUTANTS: Final = (
    Mutant(
        "re-sends over the end of a month",
        "shared/domain/scheme/assignment.py",
        "day.replace(day=1) - 2 * RESEND_SPAN",
        "day.replace(day=1)",
        ("tests/cases/test_assignments.py::test_an_order_sent_again_over_the_end_of_a_month_is_charged_once",),
    ),
    Mutant(
        "compare-and-set of the position",
        "services/charging/store/positions.py",
        " and p.partition = m.partition and p.next_offset = m.held",
        " and p.partition = m.partition",
        ("tests/faults/test_charging_positions.py",),
    ),
    Mutant(
        "conflict clause",
        "services/charging/store/duplicates.py",
        "order by {_KEY}, leaf_index on conflict do nothing returning leaf_index",
        "order by {_KEY}, leaf_index returning leaf_index",
        ("tests/integration/charging/test_charging_outcomes.py",),
    ),
    Mutant(
        "sum of outcomes",
        "services/charging/store/batch_writer.py",
        "    if became != batch.events or parked != len(batch.parked):\n",
        "    if parked > batch.events:\n",
        ("tests/faults/test_charging_positions.py",),
    ),
    Mutant(
        "outbox transaction",
        "shared/adapters/postgres/outbox.py",
        ' order by id limit $1 for update skip locked",\n',
        ' order by id limit $1",\n',
        ("tests/integration/adapters/test_outbox.py",),
    ),
    Mutant(
        "forms of a time in a file",
        "shared/domain/times.py",
        "    if not _LOCAL.fullmatch(text):\n",
        "    if not text:\n",
        ("tests/cases/test_times_are_read_strictly.py",),
    ),
    Mutant(
        "offset of a time for people",
        "shared/domain/times.py",
        """    return instant.astimezone(SHANGHAI).isoformat(" ", timespec="seconds")""",
        """    return f"{instant:%Y-%m-%d %H:%M:%S}\"""",
        ("tests/cases/test_times_say_their_zone.py",),
    ),
    Mutant(
        "second clock of the ledger",
        "services/ledger/books/clocks.py",
        "        if abs(ours - at) > self.span:\n",
        "        if ours is None:\n",
        ("tests/cases/test_dates_are_bounded.py",),
    ),
    Mutant(
        "money of a day to come",
        "shared/intake/time_bounds.py",
        "        if day > insured_day(self.at + self.span):\n",
        "        if day > date.max:\n",
        ("tests/cases/test_dates_are_bounded.py",),
    ),
    Mutant(
        "money that waits after a reversal",
        "services/ledger/billing/reversals.py",
        "    await _use_what_waits(connection, party, day)\n",
        "",
        ("tests/cases/test_money_is_taken_back.py",),
    ),
    Mutant(
        "posting-day rule",
        "shared/domain/books/journal.py",
        "return oldest_open_day if insured_on is None else max(insured_on, oldest_open_day)",
        "return oldest_open_day if insured_on is None else insured_on",
        ("tests/domain/test_journal.py", "tests/integration/ledger/test_ledger_booking.py"),
    ),
    Mutant(
        "no late fee on a provisional due date",
        "shared/domain/books/billing.py",
        "    if debt.principal <= 0 or debt.due_on_is_provisional:\n",
        "    if debt.principal <= 0:\n",
        ("tests/domain/test_billing.py",),
    ),
    Mutant(
        "a due date never comes earlier",
        "shared/domain/working_days.py",
        "DueDate(max(before.due_on, worked_out.due_on), ",
        "DueDate(worked_out.due_on, ",
        ("tests/domain/test_working_days.py",),
    ),
    Mutant(
        "days of a provisional year are not judged",
        "shared/domain/working_days.py",
        "return not answer.is_provisional and answer.is_working",
        "return answer.is_working",
        ("tests/domain/test_working_days.py",),
    ),
    Mutant(
        "an unlisted region is an alarm",
        "services/charging/ingest/batch_reader.py",
        "        if data.acceptance_region not in self._reader.regions:\n",
        '        if data.acceptance_region == "":\n',
        ("tests/cases/test_moving_standards.py::test_case_5_a_region_is_charged_as_any_other_of_its_province",),
    ),
    Mutant(
        "rounding place",
        "shared/domain/books/billing.py",
        "        amount=round_to_fen(one.premium),\n",
        "        amount=Amount(orders * round_to_fen(Amount(base_amount))),\n",
        ("tests/domain/test_billing.py",),
    ),
    Mutant(
        "receipt check",
        "shared/adapters/http/national_platform.py",
        "    if receipt.report_id != report_id or receipt.body_sha256 != hashlib.sha256(body).hexdigest():\n",
        "    if receipt.report_id != report_id:\n",
        ("tests/contract/test_receipts.py",),
    ),
    Mutant(
        "place of an event that was sent again",
        "services/charging/store/first_arrivals.py",
        "return is_there and is_same and is_possible",
        "return is_same and is_possible",
        ("tests/cases/test_our_own_faults.py::test_an_enterprise_cannot_date_its_own_arrival_back",),
    ),
    Mutant(
        "parked events that a close reports",
        "services/charging/close/count_day.py",
        "        await account_parked(connection, closing.day, reach)\n",
        "",
        ("tests/cases/test_parked_is_reported.py",),
    ),
    Mutant(
        "routes of a caller's key",
        "shared/runtime/access.py",
        'scopes=frozenset({"service"} if is_allowed else ())',
        'scopes=frozenset({"service"})',
        ("tests/attacks/http/test_service_keys.py",),
    ),
    Mutant(
        "no end before the acceptance",
        "services/charging/ingest/template_cache.py",
        "is_known &= (ended_us >= accepted_us) & (ended_us <= latest_us)",
        "is_known &= ended_us <= latest_us",
        ("tests/cases/test_ends_at_acceptance.py",),
    ),
    Mutant(
        "which declaration holds",
        "services/charging/numbers/day_declarations.py",
        "    return is_later != is_signed\n",
        "    return not is_signed\n",
        ("tests/cases/test_corrected_declarations.py",),
    ),
    Mutant(
        "name of an unread mode",
        "services/charging/ingest/batch_reader.py",
        "record.value, record.headers, arrived_ms)",
        "record.value, (), arrived_ms)",
        ("tests/cases/test_unread_modes_are_named.py",),
    ),
    Mutant(
        "mark of a replayed file",
        "services/demo/replay/csv_orders.py",
        "    mark = _mark_of(file, mapped.shift_to)\n",
        '    mark = "rides"\n',
        ("tests/cases/test_files_people_hand_in.py",),
    ),
    Mutant(
        "content by meaning",
        "shared/intake/message_content.py",
        "return value.astimezone(UTC)",
        "return value",
        ("tests/cases/test_same_meaning.py::test_money_and_instants_count_by_their_value",),
    ),
    Mutant(
        "events behind a transaction",
        "services/charging/ingest/topics_watch.py",
        "if ends.end > ends.committed:",
        "if ends.first > ends.committed:",
        ("tests/cases/test_health_reports_it.py",),
    ),
    Mutant(
        "end of the patience with an item",
        "shared/adapters/postgres/quarantine.py",
        "(now - known.first_at >= patience)",
        "(now - known.first_at < patience * 0)",
        ("tests/cases/test_nobody_waits.py::test_an_item_that_goes_on_failing_is_an_alarm_by_its_name",),
    ),
    Mutant(
        "parking what the database refuses",
        "services/charging/ingest/batch_charger.py",
        "if not refused:",
        "if refused:",
        ("tests/cases/test_nobody_waits.py::test_events_that_the_database_refuses_are_parked_and_the_rest_is_charged",),
    ),
    Mutant(
        "rows of a download behind its first page",
        "services/reporting/downloads/lists.py",
        "        while page.next is not None:\n",
        "        while page.next is not None and page is not first:\n",
        ("tests/cases/test_nothing_ends_early.py::test_a_download_holds_every_row",),
    ),
    Mutant(
        "payment that is not known",
        "services/reporting/read_model/payment_state.py",
        "        if statement.period in self.unanswered:\n",
        "        if not statement.period:\n",
        ("tests/cases/test_figures_are_named_rightly.py",),
    ),
    Mutant(
        "path below which pages are served",
        "services/reporting/rendering/layout.py",
        "        if prefix:\n",
        "        if not prefix:\n",
        ("tests/cases/test_a_portal_below_a_path.py",),
    ),
    Mutant(
        "settling of what arrived since",
        "services/reporting/register/examine_days.py",
        "    return finding.is_settled or (",
        "    return (",
        ("tests/cases/test_findings_settle_by_themselves.py",),
    ),
    Mutant(
        "one form of money",
        "shared/contracts/events.py",
        '"^" + YUAN_FORM + END, description="yuan, decimal, exact"',
        'r"^-?[0-9]{1,15}(\\.[0-9]{1,4})?" + END, description="yuan, decimal, exact"',
        ("tests/cases/test_one_validator.py::test_money_that_cannot_be_parsed_is_parked_when_it_arrives",),
    ),
    Mutant(
        "NUL shown as a sign",
        "shared/adapters/postgres/queries/storable_text.py",
        'text.replace("\\0", SHOWN_NUL)',
        "text",
        ("tests/cases/test_one_validator.py::test_a_finding_with_nul_in_every_text_is_registered",),
    ),
    Mutant(
        "outbox past a refused message",
        "shared/adapters/postgres/outbox.py",
        "except Refused as error:",
        "except ZeroDivisionError as error:",
        ("tests/integration/adapters/test_outbox.py",),
    ),
    Mutant(
        "events sent again outside the limit",
        "services/charging/ingest/topic_pauses.py",
        " for kept in batch.parked if kept.leaf_index not in batch.arrivals)",
        " for kept in batch.parked)",
        ("tests/cases/test_nobody_waits.py::test_events_sent_again_in_vain_pause_no_topic",),
    ),
    Mutant(
        "name of a server in its certificate",
        "shared/runtime/http/tls.py",
        "= _OLDEST\n        return context\n\n    return RenewedContext(build, authorities)",
        "= _OLDEST\n        context.check_hostname = False\n        return context\n\n"
        "    return RenewedContext(build, authorities)",
        ("tests/integration/adapters/test_http_tls.py",),
    ),
    Mutant(
        "new certificate at the next handshake",
        "shared/runtime/http/tls.py",
        "if (state := self._state()) != self._made_of:",
        "if not (state := self._state()):",
        ("tests/integration/adapters/test_http_tls.py",),
    ),
)
