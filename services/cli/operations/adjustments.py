"""Ask charging for adjustments of orders outside signed declarations, and print them."""

from typing import Final

from rich.console import Console
from rich.table import Table

from services.demo.running.answers import Adjustment, Adjustments
from services.demo.running.apis import open_apis
from shared.runtime.command_settings import CommandSettings

CONSENT_SECONDS: Final = 900.0
"""How long charging may take to reverse the orders of a day."""
_COLUMNS: Final = ("id", "enterprise", "day", "orders", "yuan", "proposed by", "reason", "consented by")


async def read_adjustments(settings: CommandSettings, enterprise: str) -> Adjustments:
    """`{"adjustments": [...]}`, the oldest first."""
    async with open_apis(settings) as apis:
        asked = {"enterprise": enterprise} if enterprise else {}
        found: Adjustments = await apis.charging.get("/v1/adjustments", **asked)
    return found


async def propose_adjustment(settings: CommandSettings, wish: dict[str, str]) -> Adjustment:
    """The proposal as charging keeps it."""
    async with open_apis(settings) as apis:
        found: Adjustment = await apis.charging.post("/v1/adjustments", wish)
    return found


async def consent_to(settings: CommandSettings, proposal: int) -> Adjustment:
    """The proposal with its consent, and how many orders were reversed now."""
    async with open_apis(settings) as apis:
        path = f"/v1/adjustments/{proposal}/consent"
        found: Adjustment = await apis.charging.post(path, None, CONSENT_SECONDS)
    return found


def print_adjustments(found: list[Adjustment]) -> None:
    """A line for each."""
    table = Table(box=None)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in {"id", "orders", "yuan"} else "left")
    for each in found:
        table.add_row(
            str(each["id"]), each["enterprise"], each["insured_on"], f"{each['orders']:,}", each["premium_yuan"],
            each["proposed_by"], each["reason"], each["consented_by"] or "nobody yet",
        )  # fmt: skip
    console = Console(markup=False, highlight=False)
    wide = console if console.is_terminal else Console(width=200, markup=False, highlight=False)
    wide.print(table if found else "nothing was proposed")
