"""Summarise a month from the services' answers and the audit's verdict: the object that `demo --json` prints."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from services.audit.verdict import CheckResult
from services.demo.running.answers import JsonObject, LogState, SentReceipt, Statement, Total
from services.demo.running.apis import Apis
from shared.domain.calendar import Month
from shared.domain.money import Amount, parse_yuan, yuan

Shown = Literal["enterprise", "province", "period", "orders", "amount_yuan"]


@dataclass(slots=True)
class Place:
    """One enterprise in one province; `province` is None for parked events whose province is not known."""

    enterprise: str
    province: str | None
    charged: int = 0
    excluded: dict[str, int] = field(default_factory=dict)
    recorded: int = 0
    parked: int = 0
    repeats: int = 0
    conflicts: int = 0
    reversed: int = 0
    premium: int = 0
    amount_yuan: str | None = None
    receipt: str | None = None

    @property
    def orders(self) -> int:
        """Acceptances that the scheme has an answer for."""
        return self.charged + sum(self.excluded.values())


@dataclass(slots=True)
class Summary:
    """Counts are of events; see `as_json` for the form that is printed."""

    events: int
    places: list[Place]
    excluded_by_reason: dict[str, int]
    parked_by_reason: dict[str, int]
    statements: list[Statement]
    reports_sent: int
    receipts: int
    discrepancies: list[JsonObject]
    differences: list[JsonObject]
    log: LogState
    audit: list[CheckResult] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def has_passed(self) -> bool:
        return bool(self.audit) and all(check["passed"] for check in self.audit)

    def total(self, outcome: str) -> int:
        """Sum over all places of one of `charged`, `recorded`, `parked`, `repeats`, `conflicts`, `reversed`."""
        return sum(getattr(place, outcome) for place in self.places)

    @property
    def excluded(self) -> int:
        return sum(self.excluded_by_reason.values())

    @property
    def counted(self) -> int:
        """The right side of the sum of outcomes (I2)."""
        names = ("charged", "recorded", "parked", "repeats", "conflicts")
        return sum(self.total(name) for name in names) + self.excluded

    def as_json(self) -> dict[str, Any]:
        """Amounts are decimal strings in yuan."""
        wanted: tuple[Shown, ...] = ("enterprise", "province", "period", "orders", "amount_yuan")
        return {
            "events": self.events,
            "charged": self.total("charged"),
            "excluded": self.excluded,
            "excluded_by_reason": self.excluded_by_reason,
            "recorded": self.total("recorded"),
            "parked": self.total("parked"),
            "parked_by_reason": self.parked_by_reason,
            "repeats": self.total("repeats"),
            "conflicts": self.total("conflicts"),
            "reversed": self.total("reversed"),
            "premium_yuan": yuan(Amount(sum(place.premium for place in self.places))),
            "statements": [{name: statement[name] for name in wanted} for statement in self.statements],
            "reports_sent": self.reports_sent,
            "receipts": self.receipts,
            "discrepancies": len(self.discrepancies),
            "reconciliation_differences": len(self.differences),
            "log": self.log,
            "audit": "passed" if self.has_passed else "failed",
            "audit_findings": [check for check in self.audit if not check["passed"]],
            "places": [asdict(place) | {"premium": yuan(Amount(place.premium))} for place in self.places],
            "seconds": self.seconds,
        }


async def summarise(apis: Apis, month: Month, events: int) -> Summary:
    """Query every service for its part; `events` is how many were sent. The caller adds the audit's result."""
    totals = (await apis.ledger.get("/v1/totals", period=str(month)))["totals"]
    statements = (await apis.ledger.get("/v1/statements", period=str(month)))["statements"]
    receipts = (await apis.reporting.get("/v1/receipts", period=str(month)))["receipts"]
    status = await apis.reporting.get("/v1/status")
    return Summary(
        events=events,
        places=_places(totals, statements, receipts),
        excluded_by_reason=_by_reason(totals, "excluded"),
        parked_by_reason=_by_reason(totals, "parked"),
        statements=statements,
        reports_sent=status["sent"],
        receipts=status["receipts"],
        discrepancies=await _discrepancies(apis),
        log=(await apis.ledger.get("/v1/status"))["log"],
        differences=(await apis.national_platform.get(f"/v1/reconciliations/{month}"))["differences"],
    )


async def _discrepancies(apis: Apis) -> list[JsonObject]:
    """The whole register, page by page."""
    discrepancies: list[JsonObject] = []
    after: str | None = "0"
    while after is not None:
        page = await apis.reporting.get("/v1/discrepancies", after=after, limit="5000")
        discrepancies, after = discrepancies + page["discrepancies"], page["next"] and str(page["next"])
    return discrepancies


def _by_reason(totals: Sequence[Total], outcome: str) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for total in totals:
        if total["outcome"] == outcome and not total["is_correction"]:
            counts[total["reason"]] += total["orders"]
    return dict(sorted(counts.items()))


def _places(totals: Sequence[Total], statements: Sequence[Statement], receipts: Sequence[SentReceipt]) -> list[Place]:
    places: dict[tuple[str, str | None], Place] = {}

    def place_of(row: Total | Statement | SentReceipt) -> Place:
        key = (row["enterprise"], row["province"])
        return places.setdefault(key, Place(*key))

    for total in totals:
        _add(place_of(total), total)
    for statement in statements:
        place_of(statement).amount_yuan = statement["amount_yuan"]
    for receipt in receipts:
        if receipt["kind"] == "declaration":
            place_of(receipt).receipt = receipt["receipt_id"]
    return [places[key] for key in sorted(places, key=lambda key: (key[0], key[1] or "~"))]


_FIELDS: Final = {"repeat": "repeats", "conflict": "conflicts"}


def _add(place: Place, total: Total) -> None:
    """Add one total to its place; what a correction charged or excluded is no event, but money."""
    outcome, orders = total["outcome"], total["orders"]
    if total["is_correction"] and outcome != "reversed":
        orders = 0
    if outcome == "excluded":
        place.excluded[total["reason"]] = place.excluded.get(total["reason"], 0) + orders
    else:
        name = _FIELDS.get(outcome, outcome)
        setattr(place, name, getattr(place, name) + orders)
    place.premium += parse_yuan(total["premium_yuan"])
