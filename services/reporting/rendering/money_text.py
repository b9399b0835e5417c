"""Sum the money that arrived, for the pages that show it: all of it, what it settled, and what is carried forward."""

from collections.abc import Sequence
from typing import Final

from services.reporting.read_model.payment_state import Balance
from services.reporting.rendering.texts import grouped
from shared.domain.money import Amount, parse_yuan, yuan

_NAMES: Final = ("received_yuan", "settled_yuan", "late_fees_paid_yuan", "balance_yuan")


def sum_money(balances: Sequence[Balance] | None) -> dict[str, str] | None:
    """Sums in yuan over the parties; None while the ledger does not answer."""
    if balances is None:
        return None
    return {
        name: grouped(yuan(Amount(sum(parse_yuan(getattr(balance, name)) for balance in balances)))) for name in _NAMES
    }
