"""Send an operator's requests to the running services."""

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from rich.table import Table

from services.cli.wide_table import print_wide
from services.demo.driver import close_day
from services.demo.running.answers import JsonObject, Line, OrderWithReceipt, Receipts, Statement, Statements
from services.demo.running.apis import Api, open_apis
from shared.adapters.qr_codes import receipt_code, terminal_text
from shared.domain.books.billing import OUTSIDE_DECLARATION
from shared.domain.calendar import SHANGHAI, Month
from shared.domain.errors import Refused
from shared.domain.evidence.order_receipt import OrderReceipt
from shared.domain.scheme.enterprise import is_uscc_shaped
from shared.domain.scheme.province import PROVINCES
from shared.domain.times import read_instant, shown_time
from shared.runtime import clock
from shared.runtime.command_settings import CommandSettings
from shared.runtime.exits import CommandFailed

SHORT_PATIENCE_SECONDS: Final = 2.0
EVENTS_WAIT: Final = ("not_charged", "open_transaction", "topic_gone")
"""Beginnings of charging's alarms that say that events wait which a close does not count."""


def parse_instant(text: str) -> datetime:
    """Parse an instant with its offset; an empty text is now; raises Refused for any other form."""
    return (read_instant(text) if text else clock.now()).astimezone(SHANGHAI)


async def read_status(settings: CommandSettings) -> dict[str, JsonObject]:
    """Return every service's status by name, or {"error": reason} where it does not answer."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        services = (apis.charging, apis.ledger, apis.reporting, apis.national_platform)
        return {api.name: await _status_of(api) for api in services}


async def _status_of(api: Api) -> JsonObject:
    try:
        status: JsonObject = await api.get("/v1/status")
    except CommandFailed as error:
        return {"error": str(error)}
    return status


def print_status(states: dict[str, JsonObject]) -> None:
    """Print one line for each figure."""
    table = Table(show_header=False, box=None)
    for service, figures in states.items():
        for number, (name, value) in enumerate(figures.items()):
            table.add_row("" if number else service, name, _shown(name, value))
    print_wide(table)


def _shown(name: str, value: JsonValue) -> str:
    """Format a figure for a person; positions are summed, the calendar is a sentence."""
    if name == "calendar" and isinstance(value, dict):
        return f"holidays are published until {value['published_until']} (edition {value['edition']})"
    if name == "positions" and isinstance(value, list):
        offsets = [position["next_offset"] for position in value if isinstance(position, dict)]
        return f"{sum(offset for offset in offsets if isinstance(offset, int)):,} events"
    return str(value)


async def close(settings: CommandSettings, day: date, as_of: datetime) -> str:
    """Close the day and return a line that says so."""
    if as_of < datetime.combine(day + timedelta(days=1), datetime.min.time(), SHANGHAI):
        raise Refused(f"{day} is not over at {shown_time(as_of)}")
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        state = await close_day(apis, day, as_of)
        said = [f"{day} is closed as of {shown_time(read_instant(state['closed_as_of']))}"]
        alarms: JsonValue = (await apis.charging.get("/v1/status"))["alarms"]
        if isinstance(alarms, list):
            said += [f"not all events may be counted: charging says {alarm}" for alarm in alarms if _is_waiting(alarm)]
        return "\n".join(said)


def _is_waiting(alarm: JsonValue) -> bool:
    return isinstance(alarm, str) and alarm.startswith(EVENTS_WAIT)


async def bill(settings: CommandSettings, period: Month, as_of: datetime) -> str:
    """Issue the month's statements and return a line with the result."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        answer = await apis.ledger.post("/v1/statements", {"period": str(period), "as_of": as_of.isoformat()})
    if answer["state"] == "refused":
        raise CommandFailed(f"the ledger does not bill {period}: {answer['reason']}")
    word = "issued" if answer["state"] == "issued" else "were issued before; nothing was changed"
    aside = f"; {answer['reason']}" if answer["state"] == "issued" and answer["reason"] else ""
    return f"{answer['statements']} statements of {period} {word}{aside}"


async def read_statements(settings: CommandSettings, period: Month, enterprise: str, province: str) -> Statements:
    """Return the ledger's answer, `{"statements": [...]}`."""
    narrowed = {"enterprise": enterprise, "province": province}
    query = {"period": str(period)} | {name: value for name, value in narrowed.items() if value}
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        statements: Statements = await apis.ledger.get("/v1/statements", **query)
    return statements


async def write_evidence(settings: CommandSettings, statement_ids: Iterable[str], folder: Path) -> None:
    """Write a file for each statement, named by its id."""
    folder.mkdir(parents=True, exist_ok=True)
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        for statement_id in statement_ids:
            evidence: JsonObject = await apis.ledger.get(f"/v1/statements/{statement_id}/evidence")
            text = json.dumps(evidence, ensure_ascii=False, indent=1)
            (folder / f"{statement_id}.json").write_text(text + "\n", encoding="utf-8")


async def read_receipts(settings: CommandSettings, wish: dict[str, str]) -> Receipts:
    """Return reporting's answer, `{"orders": [...]}`."""
    async with open_apis(settings, SHORT_PATIENCE_SECONDS) as apis:
        query = {name: value for name, value in wish.items() if value}
        receipts: Receipts = await apis.reporting.get("/v1/order-receipts", **query)
    return receipts


def print_receipts(orders: list[OrderWithReceipt], *, has_qr: bool) -> None:
    """Print each order with its link, and with its QR code where one is requested and can hold the link."""
    for order in orders:
        print(f"order {order['order_id']} of {order['enterprise']}, worker {order['worker_id']}: {order['state']}")
        if order["link"] is None:
            continue
        print(order["link"])
        code = receipt_code(order["link"].partition("#")[0], OrderReceipt.parse_text(order["link"])) if has_qr else None
        if has_qr:
            print("too long for a QR code" if code is None else terminal_text(code))
    if not orders:
        print("no open order")


def print_statements(statements: list[Statement]) -> None:
    """Print each statement with its lines."""
    table = Table()
    for name in ("statement", "enterprise", "province", "line", "industry"):
        table.add_column(name, no_wrap=True)
    for name in ("orders", "exact", "amount"):
        table.add_column(name, justify="right", no_wrap=True)
    for statement in statements:
        province = (
            PROVINCES[statement["province"]].chinese if statement["province"] in PROVINCES else statement["province"]
        )
        table.add_row(
            statement["statement_id"], statement["enterprise"], province, _due(statement), "",
            f"{statement['orders']:,}", statement["exact_yuan"], statement["amount_yuan"], style="bold",
        )  # fmt: skip
        for line in statement["lines"]:
            what = _what(line)
            table.add_row(
                "", "", "", what, line["industry"], f"{line['orders']:,}", line["exact_yuan"], line["amount_yuan"]
            )
        table.add_section()
    print_wide(table)


async def read_acknowledgement(settings: CommandSettings, enterprise: str, day: date) -> str:
    """Fetch the signed note; raises Refused for an invalid USCC, CommandFailed for a day that is not closed."""
    if not is_uscc_shaped(enterprise):
        raise Refused(f"not a USCC of 18 signs: {enterprise!r}")
    async with open_apis(settings) as apis:
        answer = await apis.reporting.get(f"/v1/acknowledgements/{enterprise}/{day}")
    return str(answer["acknowledgement"])


def _due(statement: Statement) -> str:
    provisional = " (provisional: holidays not published)" if statement["due_on_is_provisional"] else ""
    return f"due on {statement['due_on']}{provisional}"


def _what(line: Line) -> str:
    """Describe a statement line."""
    if line["kind"] == "assessed":
        return f"assessed: numbers of series {line['series']} missing on {line['insured_on']}"
    if line["kind"] == OUTSIDE_DECLARATION:
        return f"outside the signed declaration: {line['insured_month']}"
    return "line" if line["kind"] == "line" else f"adjustment of {line['insured_month']}"
