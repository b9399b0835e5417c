"""The month for a person: tables of enterprises and provinces, the sum of outcomes (I2), the audit's verdict."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from services.demo.summary import Place, Summary
from services.demo.visitors import Visitors
from shared.domain.money import Amount, yuan
from shared.domain.scheme.province import PROVINCES
from shared.domain.times import exact_time


def print_summary(console: Console, summary: Summary, names: Mapping[str, str]) -> None:
    """Everything a person wants to see; `names` are the enterprises'."""
    console.print(_places_table(summary, names))
    console.print(_reasons_table(summary))
    if summary.discrepancies:
        console.print(_discrepancies_table(summary))
    for check in summary.audit:
        mark = "[green]passed[/]" if check["passed"] else "[red]FAILED[/]"
        console.print(f"  {check['invariant']:<4} {mark}  {check['what']}", highlight=False)
        for finding in check["findings"][:5]:
            console.print(f"       {finding}", highlight=False, markup=False)
    console.print(_sum_line(summary), highlight=False)
    console.print(_verdict(summary), highlight=False)


def print_visitors(console: Console, visitors: Visitors, names: Mapping[str, str], *, stays: bool) -> None:
    """Where the portal is, and how each role gets in."""
    table = Table(title=f"\nportal: {visitors.address}/", title_justify="left")
    for column in ("account", "password", "role", "sees"):
        table.add_column(column, no_wrap=True)
    for account in visitors.accounts:
        scope = account.scope or ""
        seen = PROVINCES[scope].chinese if scope in PROVINCES else names.get(scope, "everything")
        table.add_row(account.name, visitors.password, account.role, seen)
    console.print(table)
    at = exact_time(visitors.covered_at)
    console.print(
        f"a worker's link: {visitors.worker_link}  (insured by an order at {at})", highlight=False, soft_wrap=True
    )
    end = "It runs until Ctrl-C." if stays else "All of it is stopped now; `make demo ARGS=--stay` keeps it running."
    console.print(end, highlight=False, markup=False)


def _sum_line(summary: Summary) -> str:
    numbers = [summary.total("charged"), summary.excluded]
    numbers += [summary.total(name) for name in ("recorded", "parked", "repeats", "conflicts")]
    sign = "=" if summary.counted == summary.events else "≠"
    return (
        "\nevents = charged + excluded + recorded + parked + repeats + conflicts\n"
        f"{summary.events:,} {sign} {' + '.join(f'{number:,}' for number in numbers)}\n"
    )


def _verdict(summary: Summary) -> str:
    word = "[bold green]audit passed[/]" if summary.has_passed else "[bold red]audit FAILED[/]"
    billed = sum(place.premium for place in summary.places)
    return (
        f"{word}: {len(summary.statements)} statements, {yuan(Amount(billed))} yuan of premium, "
        f"{summary.reports_sent:,} reports sent, {summary.receipts:,} receipts, "
        f"{len(summary.discrepancies)} discrepancies, {summary.seconds:g} s\n"
        f"evidence log: {summary.log['entries']:,} entries, checkpoint over {summary.log['signed']:,}, "
        f"cosigned by {summary.log['witness']} over {summary.log['cosigned']:,}"
    )


def _places_table(summary: Summary, names: Mapping[str, str]) -> Table:
    table = Table(title="October 2026 by enterprise and province", title_justify="left")
    for column in ("enterprise", "province"):
        table.add_column(column, no_wrap=True)
    for column in ("orders", "charged", "excluded", "reversed", "recorded", "parked", "premium", "statement"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("receipt", overflow="ellipsis", no_wrap=True, max_width=14)
    last = None
    for place in summary.places:
        if last not in {None, place.enterprise}:
            table.add_section()
        name = names.get(place.enterprise, place.enterprise) if place.enterprise != last else ""
        table.add_row(name, *_cells(place))
        last = place.enterprise
    return table


def _cells(place: Place) -> list[str]:
    province = PROVINCES[place.province].chinese if place.province and place.province in PROVINCES else "-"
    counts = (
        place.orders, place.charged, sum(place.excluded.values()), place.reversed, place.recorded, place.parked
    )  # fmt: skip
    numbers = [f"{number:,}" if number else "" for number in counts]
    return [province, *numbers, yuan(Amount(place.premium)), place.amount_yuan or "", place.receipt or ""]


def _reasons_table(summary: Summary) -> Table:
    table = Table(title="Why orders have no premium, and why events are parked", title_justify="left")
    for column in ("outcome", "reason"):
        table.add_column(column)
    table.add_column("events", justify="right")
    for outcome, reasons in (("excluded", summary.excluded_by_reason), ("parked", summary.parked_by_reason)):
        for reason, count in reasons.items():
            table.add_row(outcome, reason, f"{count:,}")
        table.add_section()
    return table


def _discrepancies_table(summary: Summary) -> Table:
    """Counted by kind; the portal lists each."""
    counts: dict[tuple[str, str], int] = {}
    for discrepancy in summary.discrepancies:
        key = (str(discrepancy["kind"]), str(discrepancy["province"] or ""))
        counts[key] = counts.get(key, 0) + 1
    table = Table(title="Discrepancy register", title_justify="left")
    for column in ("kind", "province"):
        table.add_column(column)
    table.add_column("count", justify="right")
    for (kind, province), count in sorted(counts.items()):
        table.add_row(kind, province, f"{count:,}")
    return table
