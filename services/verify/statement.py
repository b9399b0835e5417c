"""Verify a statement with its evidence: recompute every line and the total from what the log holds."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, TypedDict

from services.verify.due_dates import ShownDueDate, check_due_dates
from services.verify.keys import Keys, Signed, check_checkpoint
from services.verify.verdict import NotProved, step
from shared.domain.books.billing import OUTSIDE_DECLARATION, Bill, BookedSum, draw_up_bill
from shared.domain.calendar import Month
from shared.domain.errors import Refused
from shared.domain.evidence.log_authors import LogAuthors
from shared.domain.evidence.manifest_head import ManifestHead
from shared.domain.evidence.merkle import leaf_hash, verify_inclusion
from shared.domain.money import Amount, parse_yuan, yuan
from shared.domain.scheme.presumption import series_of
from shared.domain.times import read_day

FORMAT: Final = "danbao.statement-evidence/1"
NOT_PROVED: Final = (
    "It does not prove that no order of the month is missing from the manifests (compare your own numbers and manifest"
    " of each day), nor that the ledger reported the days' cuts correctly (a manifest moved to another close moves"
    " between months, and shows when two months' files are compared), nor that the calendar has what the State Council"
    " announced."
)
SPLIT: Final = (
    " Of orders outside the signed declaration it proves the sum of their line and the line of the others; how many"
    " they are, the statement says, and the audit works it out."
)


class StatementLine(TypedDict):
    """A line of the statement."""

    number: int
    kind: str
    insured_month: str
    industry: str
    tariff_line: int
    base_yuan: str
    orders: int
    exact_yuan: str
    amount_yuan: str
    series: str | None
    insured_on: str | None


class Statement(TypedDict):
    """The statement that is verified."""

    enterprise: str
    province: str
    period: str
    orders: int
    exact_yuan: str
    amount_yuan: str
    rounding_yuan: str
    due_on: str
    due_on_is_provisional: bool
    due_dates: list[ShownDueDate]
    lines: list[StatementLine]


class TotalWithProof(TypedDict):
    """A total of a manifest: its content, its rank, and the proof to the totals' root as indexes into `hashes`."""

    content: str
    rank: int
    proof: list[int]


class ManifestWithProof(TypedDict):
    """A manifest's head, its place in the log with the proof, and those of its totals that are billed."""

    index: int
    entry: str
    proof: list[int]
    totals_count: int
    totals: list[TotalWithProof]


class DayCut(TypedDict):
    """How far the close of a day reaches: the last number of each run."""

    day: str
    cut: dict[str, int]


class StatementEvidence(TypedDict):
    """The file: a statement with its evidence."""

    format: str
    statement: Statement
    calendars: dict[str, dict[str, str]]
    checkpoint: str
    hashes: list[str]
    manifests: list[ManifestWithProof]
    cuts: list[DayCut]


@dataclass(frozen=True, slots=True)
class ShownTotal:
    """A billed total that follows from the log, and the manifest that has it."""

    run: str
    number: int
    insured_on: date
    industry: str
    tariff_line: int
    outcome: str
    series: str | None
    """Of assessed numbers."""
    orders: int
    premium: int


def verify_statement(data: bytes, keys: Keys) -> str:
    """Return the sentence of what was proved; raises `NotProved` naming the step that failed."""
    evidence = _read(data)
    try:
        return _verify(evidence, keys)
    except (LookupError, TypeError, ValueError, AttributeError, Refused) as error:
        raise NotProved("form of the file", f"{type(error).__name__}: {error}") from error


def _read(data: bytes) -> StatementEvidence:
    try:
        evidence: StatementEvidence = json.loads(data)
        if evidence["format"] == FORMAT:
            return evidence
    except ValueError as error:
        raise NotProved("form of the file", f"not JSON: {error}") from error
    except (LookupError, TypeError):  # no object, or one without a format
        pass
    raise NotProved("form of the file", f"not of the format {FORMAT}")


def _verify(evidence: StatementEvidence, keys: Keys) -> str:
    statement = evidence["statement"]
    period = Month.parse(statement["period"])
    signed = check_checkpoint(evidence["checkpoint"].encode(), keys)
    hashes = [bytes.fromhex(text) for text in evidence["hashes"]]
    authors = LogAuthors(keys.authors)
    totals = list(_read_manifests(evidence, hashes, signed, authors))
    _check_posting_days(evidence, totals, period)
    with step("bill"):
        outside = _outside(statement)
        bill = draw_up_bill(period, _sums(totals, outside))
    _check_lines(statement, bill)
    with step("due date"):
        due = check_due_dates(statement["due_dates"], period, evidence["calendars"])
    if due != (read_day(statement["due_on"]), statement["due_on_is_provisional"]):
        raise NotProved("due date", f"the statement is due on {statement['due_on']}, which is not its last due date")
    return (
        f"Proved: the statement of {statement['enterprise']} for province {statement['province']} and {period},"
        f" {bill.orders} orders, {yuan(bill.exact_amount)} yuan exact, {yuan(bill.amount)} yuan due"
        f" {'provisionally ' if due.is_provisional else ''}on {due.due_on}, line by line, from"
        f" {len(totals)} totals of {len(evidence['manifests'])} manifests that are in the log"
        f" {signed.checkpoint.origin} of {signed.checkpoint.size} entries, {signed.who}."
        f" {authors.sentence} {NOT_PROVED}{SPLIT if outside else ''}"
    )


def _read_manifests(
    evidence: StatementEvidence, hashes: list[bytes], signed: Signed, authors: LogAuthors
) -> Iterator[ShownTotal]:
    """Yield the totals with valid proofs; a repeated one is refused."""
    seen: set[int] = set()
    own = (evidence["statement"]["enterprise"], evidence["statement"]["province"])
    for manifest in evidence["manifests"]:
        index, entry = manifest["index"], bytes.fromhex(manifest["entry"])
        if index in seen:
            raise NotProved("log proof", f"entry {index} is shown twice")
        seen.add(index)
        with step(f"entry {index}"):
            head = ManifestHead.parse(entry)
        proof, checkpoint = [hashes[place] for place in manifest["proof"]], signed.checkpoint
        if not verify_inclusion(leaf_hash(entry), index, checkpoint.size, proof, checkpoint.root):
            raise NotProved(f"log proof of entry {index}", f"{_name(head)} does not lead to the checkpoint's root")
        with step(f"author of entry {index}"):
            authors.check(index, entry)
        yield from _read_totals(manifest, head, hashes, own)


def _read_totals(
    manifest: ManifestWithProof, head: ManifestHead, hashes: list[bytes], own: tuple[str, str]
) -> Iterator[ShownTotal]:
    seen: set[str] = set()
    for shown in manifest["totals"]:
        content = shown["content"]
        proof = [hashes[place] for place in shown["proof"]]
        leaf = leaf_hash(content.encode())
        if not verify_inclusion(leaf, shown["rank"], manifest["totals_count"], proof, head.totals_root):
            raise NotProved("proof of a total", f"{content} does not lead to the totals' root of {_name(head)}")
        total = json.loads(content)
        if content in seen or (total["enterprise"], total["province"]) != own:
            raise NotProved("total", f"{_name(head)}: {content} is shown twice, or is of somebody else")
        seen.add(content)
        yield ShownTotal(
            run=head.run,
            number=head.number,
            insured_on=read_day(total["insured_on"]),
            industry=total["industry"],
            tariff_line=total["tariff_line"],
            outcome=total["outcome"],
            series=series_of(total["reason"]),
            orders=total["orders"],
            premium=total["premium"],
        )


def _name(head: ManifestHead) -> str:
    return f"manifest {head.number} of run {head.run}"


def _check_posting_days(evidence: StatementEvidence, totals: list[ShownTotal], period: Month) -> None:
    """Check that each total is posted in the month: on its insured day, or on the day whose close took it if later."""
    cuts = [(read_day(row["day"]), row["cut"]) for row in evidence["cuts"]]
    _check_cuts(cuts, period)
    for total in totals:
        taken_on = next((day for day, cut in cuts if total.number <= cut.get(total.run, 0)), None)
        if taken_on is None:
            raise NotProved("posting day", f"no close of {period} took manifest {total.number} of run {total.run}")
        if not period.contains(max(total.insured_on, taken_on)):
            raise NotProved(
                "posting day", f"manifest {total.number} of run {total.run} was taken on {taken_on}, not in {period}"
            )


def _check_cuts(cuts: list[tuple[date, dict[str, int]]], period: Month) -> None:
    """Check that there is a cut for each day to the month's end, each at least as far as the one before."""
    days = [day for day, _ in cuts]
    expected = [days[0] + timedelta(days=place) for place in range(len(days))] if days else []
    if not days or days != expected or days[-1] != period.last_day:
        raise NotProved("posting day", f"the cuts are not those of every day up to {period.last_day}")
    for (_, before), (day, cut) in pairwise(cuts):
        if any(cut.get(run, 0) < number for run, number in before.items()):
            raise NotProved("posting day", f"the cut of {day} reaches less far than the one before it")


Place = tuple[Month, str, int, str | None, date | None]


def _outside(statement: Statement) -> dict[Place, tuple[int, int]]:
    """Return the statement's orders outside the signed declaration, with the amount of one (0.0001 yuan)."""
    outside: dict[Place, tuple[int, int]] = {}
    for line in statement["lines"]:
        if line["kind"] == OUTSIDE_DECLARATION:
            place = (Month.parse(line["insured_month"]), line["industry"], line["tariff_line"], None, None)
            if place in outside:
                raise NotProved(f"line {line['number']}", "a second line of the same orders outside declarations")
            outside[place] = (line["orders"], parse_yuan(line["base_yuan"]))
    return outside


def _sums(totals: list[ShownTotal], outside: dict[Place, tuple[int, int]]) -> list[BookedSum]:
    groups: dict[Place, list[ShownTotal]] = defaultdict(list, {place: [] for place in outside})
    for total in totals:
        assessed_on = None if total.series is None else total.insured_on
        key = (Month.of(total.insured_on), total.industry, total.tariff_line, total.series, assessed_on)
        groups[key].append(total)

    def outside_of(place: Place) -> list[tuple[int, int]]:
        return [outside[place]] if place in outside else []

    return [
        BookedSum(
            insured_month=month,
            industry=industry,
            tariff_line=line,
            charged=sum(total.orders for total in group if total.outcome == "charged"),
            reversed=sum(total.orders for total in group if total.outcome == "reversed"),
            premium=Amount(sum(total.premium for total in group)),
            base_amounts=frozenset(abs(total.premium) // total.orders for total in group)
            | {amount for _, amount in outside_of(place)},
            series=series,
            insured_on=assessed_on,
            outside=sum(orders for orders, _ in outside_of(place)),
        )
        for place, group in groups.items()
        for month, industry, line, series, assessed_on in [place]
    ]


def _check_lines(statement: Statement, bill: Bill) -> None:
    lines: list[StatementLine] = [
        {
            "number": line.number,
            "kind": line.kind,
            "insured_month": str(line.insured_month),
            "industry": line.industry,
            "tariff_line": line.tariff_line,
            "base_yuan": yuan(line.base_amount),
            "orders": line.orders,
            "exact_yuan": yuan(line.exact_amount),
            "amount_yuan": yuan(line.amount),
            "series": line.series,
            "insured_on": None if line.insured_on is None else str(line.insured_on),
        }
        for line in bill.lines
    ]
    for shown, worked_out in zip(statement["lines"], lines, strict=False):
        if shown != worked_out:
            raise NotProved(f"line {worked_out['number']}", f"the statement says {shown}, the log gives {worked_out}")
    if len(statement["lines"]) != len(lines):
        raise NotProved("lines", f"the statement has {len(statement['lines'])}, the log gives {len(lines)}")
    sums = {
        "orders": (statement["orders"], bill.orders),
        "exact_yuan": (statement["exact_yuan"], yuan(bill.exact_amount)),
        "amount_yuan": (statement["amount_yuan"], yuan(bill.amount)),
        "rounding_yuan": (statement["rounding_yuan"], yuan(bill.rounding)),
    }
    for name, (shown_sum, worked_out_sum) in sums.items():
        if shown_sum != worked_out_sum:
            raise NotProved("total", f"the statement says {name} {shown_sum}, the log gives {worked_out_sum}")
