"""Check the ledger's books against the manifests (I3, I4, I5). Posting days are recomputed from the stored cuts."""

from collections import Counter, defaultdict
from datetime import date
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from services.audit.facts import Facts, Manifest
from services.audit.verdict import Check, Verdict
from shared.adapters.postgres.pool import Connection
from shared.adapters.postgres.typed_rows import fetch_structs
from shared.contracts.manifests import Outcome

APPEND_ONLY: Final = (
    "books", "account", "manifest_booked", "day_closing", "day_count", "day_closed", "statement", "statement_line",
    "period_issued", "remittance", "journal_entry", "posting", "day_line", "day_sum", "allocation", "late_fee",
    "refused_message", "refused_review", "outside_declaration", "edition", "edition_file", "due_date_change",
)  # fmt: skip
COMPARED: Final = ("charged", "excluded", "reversed")
_ENTRIES: Final = """
    select e.*, (select json_agg(json_build_array(a.kind, a.enterprise, a.province, p.amount) order by p.line)
        from ledger.posting p join ledger.account a using (account_id) where p.entry_id = e.entry_id) as postings
    from ledger.journal_entry e order by e.entry_id"""

Line = tuple[date, date | None, str, str | None, str | None, int | None, str, str | None, int, int]
Group = tuple[date | None, str, str | None, str | None, int | None, str, str | None]
"""Insured day, enterprise, province, industry, tariff line, outcome and reason."""
EntryKey = tuple[str, int | None, date, date | None, bool]
"""Run, number, posting day, insured day, whether it is a reversal."""


class JournalRow(Struct, frozen=True):
    """A row of `ledger.journal_entry`, with its postings as JSON."""

    entry_id: int
    kind: str
    posting_day: date
    insured_on: date | None
    run: str | None
    number: int | None
    statement_id: str | None
    remittance_id: str | None
    corrects: int | None
    postings: str | None


class _DayLineRow(Struct, frozen=True):
    """A row of `ledger.day_line`."""

    run: str
    number: int
    entry_id: int | None
    posting_day: date
    insured_on: date | None
    enterprise: str
    province: str | None
    industry: str | None
    tariff_line: int | None
    outcome: str
    reason: str | None
    orders: int
    premium: int


class Books:
    """Reads the journal and the day lines once and compares them with the manifests."""

    def __init__(self, facts: Facts, verdict: Verdict) -> None:
        self._facts, self._verdict = facts, verdict
        self.entries: list[JournalRow] = []
        self.lines: dict[tuple[str, int], Counter[Line]] = defaultdict(Counter)
        self.entry_of: dict[tuple[str, int], set[int]] = defaultdict(set)

    async def check(self, connection: Connection) -> None:
        """Run all checks of the books."""
        self.entries = await fetch_structs(connection, JournalRow, _ENTRIES)
        self._check_balance()
        await self._check_append_only(connection)
        await self._check_booked(connection)
        await self._read_lines(connection)
        self._check_lines()
        self._check_premium_entries()
        self._check_days()
        await self._check_sums(connection)
        await self._check_closings(connection)

    def _check_balance(self) -> None:
        check = self._verdict.check("I3", "the postings of every journal entry sum to zero")
        for entry in self.entries:
            postings = postings_of(entry)
            total = sum(amount for *_, amount in postings)
            if total or len(postings) < 2:
                check.find(f"ledger.journal_entry {entry.entry_id}: {len(postings)} postings that sum to {total}")

    async def _check_append_only(self, connection: Connection) -> None:
        check = self._verdict.check("I3", "no role of a service may change the books, and the triggers are in place")
        for table in APPEND_ONLY:
            may = await connection.fetchval(
                "select has_table_privilege('danbao_ledger', $1, 'update')"
                " or has_table_privilege('danbao_ledger', $1, 'delete')"
                " or has_table_privilege('danbao_ledger', $1, 'truncate')",
                f"ledger.{table}",
            )
            standing = await connection.fetchval(
                "select count(*) from pg_trigger where tgrelid = $1::text::regclass and tgenabled in ('O', 'A')"
                " and tgname in ('append_only', 'never_emptied')",
                f"ledger.{table}",
            )
            if may or standing != 2:
                check.find(f"ledger.{table}: {'danbao_ledger may change it' if may else 'a trigger is off'}")

    async def _check_booked(self, connection: Connection) -> None:
        check = self._verdict.check("I4", "every manifest is in the books, once, as charging wrote it")
        booked = {(row["run"], row["number"]): row for row in await connection.fetch(_BOOKED)}
        for manifest in self._facts.manifests.values():
            row = booked.pop((manifest.run, manifest.number), None)
            if row is None:
                if manifest.is_old:
                    check.find(f"{manifest.name}: not booked after {self._facts.patience}")
                continue
            content = sha256(msgspec.json.encode(manifest.reported)).hexdigest()
            stored = (row["kind"], row["leaves"], row["root"], row["content_sha256"].hex())
            worked_out = (manifest.reported.kind, manifest.reported.leaves, manifest.reported.root, content)
            check.compare(f"ledger.manifest_booked {manifest.run}/{manifest.number}", stored, worked_out)
        for run, number in booked:
            what = "no such manifest" if run in self._facts.run_ids else "no such run"
            check.find(f"ledger.manifest_booked {run}/{number}: charging has {what}")
        self._closing_days = {
            (row["run"], row["number"]): row["closing_day"] for row in await connection.fetch(_BOOKED)
        }

    async def _read_lines(self, connection: Connection) -> None:
        for row in await fetch_structs(connection, _DayLineRow, "select * from ledger.day_line"):
            key = (row.run, row.number)
            self.lines[key][_line(row)] += 1
            if row.entry_id is not None:
                self.entry_of[key].add(row.entry_id)

    def _check_lines(self) -> None:
        check = self._verdict.check("I4", "manifests = day lines, each on the posting day that the cuts give")
        for manifest in self._facts.manifests.values():
            if (manifest.run, manifest.number) not in self._closing_days:
                continue
            stored, expected = self.lines.get((manifest.run, manifest.number), Counter()), self._expected(manifest)
            for line in stored - expected:
                check.find(
                    f"ledger.day_line of {manifest.run}/{manifest.number}: {_words(line)} is not in the manifest"
                )
            for line in expected - stored:
                check.find(f"ledger.day_line of {manifest.run}/{manifest.number}: {_words(line)} is missing")

    def _expected(self, manifest: Manifest) -> Counter[Line]:
        open_day = self._facts.booked_while_open(manifest.batch)
        assert open_day is not None
        return Counter(
            (
                max(total.insured_on or open_day, open_day), total.insured_on, total.enterprise, total.province,
                total.industry, total.tariff_line, total.outcome.value, total.reason, total.orders, total.premium,
            )
            for total in manifest.reported.totals
        )  # fmt: skip

    def _check_premium_entries(self) -> None:
        """Check the journal's entries of manifests, posting by posting, against the manifests' totals."""
        check = self._verdict.check("I4", "day lines = journal: receivable and income of every entry, by party")
        stored: dict[EntryKey, list[JournalRow]] = {}
        for entry in self.entries:
            if entry.run is not None:
                key = (
                    entry.run, entry.number, entry.posting_day, entry.insured_on,
                    entry.kind == "reversal",
                )  # fmt: skip
                stored[key] = [*stored.get(key, []), entry]
        expected = self._expected_entries()
        for key in sorted(stored.keys() | expected.keys(), key=repr):
            _compare_entry(check, key, stored.get(key, []), expected.get(key, {}))

    def _expected_entries(self) -> dict[EntryKey, dict[tuple[str, str], int]]:
        expected: dict[EntryKey, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
        for manifest in self._facts.manifests.values():
            if (manifest.run, manifest.number) not in self._closing_days:
                continue
            for line in self._expected(manifest).elements():
                posted, insured, uscc, province, *_, outcome, _reason, _orders, premium = line
                if premium and insured is not None:
                    key = (manifest.run, manifest.number, posted, insured, outcome == "reversed")
                    expected[key][uscc, province or ""] += premium
        return expected

    def _check_days(self) -> None:
        check = self._verdict.check("I5", "every closed day is the sum of the lines posted on it")
        sums: dict[date, dict[Group, tuple[int, int]]] = defaultdict(dict)
        for lines in self.lines.values():
            for line, times in lines.items():
                key, orders, premium = line[1:8], line[8], line[9]
                if key[5] in COMPARED:
                    known = sums[line[0]].get(key, (0, 0))
                    sums[line[0]][key] = (known[0] + orders * times, known[1] + premium * times)
        for closed in self._facts.closed:
            sums_reported: dict[Group, tuple[int, int]] = {}
            for total in closed.reported.totals:
                place = (total.insured_on, total.enterprise, total.province, total.industry, total.tariff_line)
                sums_reported[*place, total.outcome.value, total.reason] = (total.orders, total.premium)
            check.compare_all(f"ledger.day_closed {closed.day},", sums_reported, sums[closed.day])
            signs = {Outcome.CHARGED: 1, Outcome.REVERSED: -1}
            orders = sum(total.orders * signs.get(total.outcome, 0) for total in closed.reported.totals)
            premium = sum(total.premium for total in closed.reported.totals)
            check.compare(f"ledger.day_closed {closed.day}", (closed.orders, closed.premium), (orders, premium))

    async def _check_sums(self, connection: Connection) -> None:
        check = self._verdict.check("I4", "the sums that statements are drawn up from are those of the day's lines")
        orders: Counter[tuple[date, *Group, int]] = Counter()
        premium: Counter[tuple[date, *Group, int]] = Counter()
        for lines in self.lines.values():
            for line, times in lines.items():
                posted, *_, outcome, _reason, count, amount = line
                if outcome in {"charged", "reversed"} and self._facts.closed_on(posted):
                    key = (posted, *line[1:8], abs(amount) // count)
                    orders[key] += count * times
                    premium[key] += amount * times
        stored = {tuple(row[:9]): tuple(row[9:]) for row in await connection.fetch("select * from ledger.day_sum")}
        check.compare_all("ledger.day_sum", stored, {key: (orders[key], premium[key]) for key in orders})

    async def _check_closings(self, connection: Connection) -> None:
        """Check that cuts only grow and that each close used the cut of its request."""
        check = self._verdict.check("I5", "days are closed in order without a gap, each cut holding the one before")
        requests = {(row["day"], row["attempt"]): row for row in await connection.fetch(_CLOSINGS)}
        before: dict[str, int] = {}
        for place, closed in enumerate(self._facts.closed):
            name = f"ledger.day_closed {closed.day}"
            if self._facts.opened_on is None or (closed.day - self._facts.opened_on).days != place:
                check.find(f"{name}: does not follow on the day before")
            if any(closed.cut.get(run, 0) < number for run, number in before.items()):
                check.find(f"{name}: its cut falls behind that of the day before")
            request = requests.get((closed.day, closed.attempt))
            settled = {run: number for (run, number), day in self._closing_days.items() if day == closed.day}
            wished = {} if request is None else msgspec.json.decode(request["cut"]) | settled
            check.compare(f"{name}, cut", closed.cut, wished)
            previous = {} if request is None else msgspec.json.decode(request["previous_cut"])
            check.compare(f"ledger.day_closing {closed.day}, previous cut", previous, before)
            if request is not None:
                check.compare(f"{name}, as_of", closed.as_of, request["as_of"])
            before = closed.cut


_BOOKED: Final = "select * from ledger.manifest_booked"
_CLOSINGS: Final = "select * from ledger.day_closing"


def postings_of(entry: JournalRow) -> list[tuple[str, str, str, int]]:
    """Return account kind, enterprise, province ("" for none) and amount of each posting."""
    listed = msgspec.json.decode(entry.postings) if entry.postings else []
    return [(kind, uscc or "", province or "", amount) for kind, uscc, province, amount in listed]


def _line(row: _DayLineRow) -> Line:
    return (
        row.posting_day, row.insured_on, row.enterprise, row.province, row.industry, row.tariff_line, row.outcome,
        row.reason, row.orders, row.premium,
    )  # fmt: skip


def _words(line: Line) -> str:
    posted, insured, uscc, province, industry, tariff_line, outcome, reason, orders, premium = line
    what = "/".join(str(part) for part in (insured, uscc, province, industry, tariff_line, outcome, reason) if part)
    return f"{what}, {orders} orders, premium {premium}, posted on {posted}"


def _compare_entry(check: Check, key: EntryKey, stored: list[JournalRow], expected: dict[tuple[str, str], int]) -> None:
    run, number, posted, insured, _ = key
    name = f"{run}/{number}, insured {insured}, posted {posted}"
    if len(stored) != 1:
        check.find(f"ledger.journal_entry of {name}: there are {len(stored)}, not one")
        return
    entry = stored[0]
    kind = "reversal" if key[4] else "charge" if insured == posted else "late_charge"
    check.compare(f"ledger.journal_entry {entry.entry_id}, kind", entry.kind, kind)
    moved: Counter[tuple[str, str, str]] = Counter()
    for account, uscc, province, amount in postings_of(entry):
        moved[account, uscc, province] += amount
    wanted: dict[tuple[str, str, str], int] = {}
    for (uscc, province), premium in expected.items():
        wanted["receivable", uscc, province] = premium
        wanted["premium_income", uscc, province] = -premium
    check.compare_all(f"ledger.posting of entry {entry.entry_id} ({name}),", dict(moved), wanted)
