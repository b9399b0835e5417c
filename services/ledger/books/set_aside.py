"""The ledger's items that are set aside: statements, late fees of a party, duties of the clock. Each is an alarm."""

from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger import tables
from shared.adapters.postgres.quarantine import Quarantine


class Step(StrEnum):
    """The steps whose items can be set aside."""

    BILL = "bill"
    """A statement: its id."""
    LATE_FEE = "late_fee"
    """The late fees and advances of an enterprise in a province: `<province>-<enterprise>`."""
    DUTY = "duty"
    """A duty of the clock as a whole: its name."""


def open_quarantine(engine: AsyncEngine) -> Quarantine:
    """The one of schema `ledger`."""
    return Quarantine(engine, tables.set_aside)
