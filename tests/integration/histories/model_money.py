"""The steps of a history that are about money: bills, remittances, late fees."""

import json
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.billing.issue_statements import issue_statements
from services.ledger.billing.late_fees import book_late_fees
from services.ledger.billing.remittances import take_remittance
from shared.adapters.postgres.pool import Pool
from shared.domain.calendar import Month
from tests.generators.workload_places import EVERYWHERE
from tests.integration.histories.model_audit import Audit, same, units
from tests.integration.ledger.ledger_harness import ANY_TIME
from tests.model.bills import to_fen
from tests.model.model import CLOSE_AFTER, Model
from tests.model.scheme import midnight
from tests.support.deployed_calendar import deployed_calendar


@dataclass
class Money:
    """The ledger and its model; `pool` reads charging's schema."""

    pool: Pool
    ledger: AsyncEngine
    model: Model

    async def do_bill(self) -> None:
        """Bill the next month, before its time or in it."""
        periods = self.model.bills.periods
        period = Month.parse(periods[-1]).next() if periods else Month.of(self.model.opened_on)
        as_of = midnight(period.next().first_day) + CLOSE_AFTER
        for wish in (period.next(), period, period):
            answer = await issue_statements(self.ledger, wish, as_of, deployed_calendar())
            same(f"the wish to bill {wish}", answer.state, self.model.bill(str(wish), as_of))
        await Audit(self.pool, self.ledger, self.model).same_bills()

    async def do_remit(self, which: int, hundredths: int, on: str, again: str) -> None:
        bills = self.model.bills.issued
        bill = bills[which % len(bills)] if bills else None
        party = bill.party if bill else (EVERYWHERE, "44")
        amount = max(to_fen(abs(bill.amount) * hundredths / 100) if bill else Fraction(hundredths), Fraction(1, 100))
        name = f"R{len(self.model.bills.remittances) + 1}"
        for paid in (amount, *{"same": [amount], "other": [amount + 1]}.get(again, [])):
            reported = {"remittance_id": name, "enterprise": party[0], "province": party[1], "received_on": on}
            payload = json.dumps({**reported, "amount_yuan": f"{int(paid * 100) // 100}.{int(paid * 100) % 100:02d}"})
            state = self.model.bills.remit(name, party, paid, date.fromisoformat(on))
            same("a remittance", await take_remittance(self.ledger, payload.encode(), ANY_TIME), state)

    async def do_fees(self, as_of: str) -> None:
        day = date.fromisoformat(as_of)
        booked = await book_late_fees(self.ledger, day)
        count, amount = self.model.bills.book_late_fees(day)
        same("late fees", (booked.booked, booked.amount), (count, units(amount)))
        await Audit(self.pool, self.ledger, self.model).same_states(day)
