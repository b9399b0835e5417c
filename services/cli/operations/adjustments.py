"""Propose, list and consent to adjustments of orders outside signed declarations, and print them."""

from typing import Final

from rich.table import Table

from services.cli.wide_table import print_wide
from services.demo.running.answers import Adjustment, Adjustments
from services.demo.running.apis import open_apis
from shared.runtime.command_settings import CommandSettings

CONSENT_SECONDS: Final = 900.0
"""Timeout of a consent: charging reverses the orders of a day within it."""
_COLUMNS: Final = ("id", "enterprise", "day", "orders", "yuan", "proposed by", "reason", "consented by")


async def read_adjustments(settings: CommandSettings, enterprise: str) -> Adjustments:
    """Return `{"adjustments": [...]}`, oldest first."""
    async with open_apis(settings) as apis:
        query = {"enterprise": enterprise} if enterprise else {}
        adjustments: Adjustments = await apis.charging.get("/v1/adjustments", **query)
    return adjustments


async def propose_adjustment(settings: CommandSettings, wish: dict[str, str]) -> Adjustment:
    """Propose an adjustment; return the proposal as charging keeps it."""
    async with open_apis(settings) as apis:
        adjustment: Adjustment = await apis.charging.post("/v1/adjustments", wish)
    return adjustment


async def consent_to(settings: CommandSettings, proposal: int) -> Adjustment:
    """Consent to a proposal; return it with the number of orders reversed now."""
    async with open_apis(settings) as apis:
        path = f"/v1/adjustments/{proposal}/consent"
        adjustment: Adjustment = await apis.charging.post(path, None, CONSENT_SECONDS)
    return adjustment


def print_adjustments(adjustments: list[Adjustment]) -> None:
    """Print one line for each adjustment."""
    table = Table(box=None)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in {"id", "orders", "yuan"} else "left")
    for row in adjustments:
        table.add_row(
            str(row["id"]), row["enterprise"], row["insured_on"], f"{row['orders']:,}", row["premium_yuan"],
            row["proposed_by"], row["reason"], row["consented_by"] or "nobody yet",
        )  # fmt: skip
    if adjustments:
        print_wide(table)
    else:
        print("nothing was proposed")
