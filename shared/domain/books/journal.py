"""The journal (凭证): a chart of accounts, postings (分录) and entries that sum to zero.

A posting is signed: a debit is positive, a credit negative, in units of 0.0001 yuan. An entry is never
changed; what was wrong is undone by a reversal (冲销), a new entry that names the day it corrects.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from shared.domain.errors import Refused
from shared.domain.money import Amount


class AccountKind(StrEnum):
    """The chart. CASH and ROUNDING exist once, the others for each enterprise and province."""

    CASH = "cash"
    ROUNDING = "rounding"
    RECEIVABLE = "receivable"
    PREMIUM_INCOME = "premium_income"
    ADVANCES = "advances"
    LATE_FEE_RECEIVABLE = "late_fee_receivable"
    LATE_FEE_INCOME = "late_fee_income"

    @property
    def is_single(self) -> bool:
        """Whether there is one such account for all enterprises and provinces."""
        return self in {AccountKind.CASH, AccountKind.ROUNDING}


@dataclass(frozen=True, order=True, slots=True)
class Party:
    """Who owes and to whom: an enterprise (USCC) in a province (two digits)."""

    enterprise: str
    province: str


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the chart; `party` is None exactly for the single ones."""

    kind: AccountKind
    party: Party | None = None

    def __post_init__(self) -> None:
        if self.kind.is_single != (self.party is None):
            raise Refused(f"account {self.kind}: {'has no' if self.kind.is_single else 'needs a'} party")


@dataclass(frozen=True, slots=True)
class Posting:
    """One signed line of an entry, in 0.0001 yuan; never nothing."""

    account: Account
    amount: Amount

    def __post_init__(self) -> None:
        if self.amount == 0:
            raise Refused(f"a posting of nothing to {self.account.kind}")


class EntryKind(StrEnum):
    """The kind of an entry. The first three book manifests, the rest bill and settle."""

    CHARGE = "charge"
    LATE_CHARGE = "late_charge"
    """Adjustment: charged on a day whose books were closed already, posted to the oldest open day."""
    REVERSAL = "reversal"
    """Adjustment: premium taken back, named by the insured day it corrects."""
    ROUNDING = "rounding"
    CREDIT = "credit"
    """A statement below zero becomes an advance, set against what is owed next."""
    REMITTANCE = "remittance"
    REMITTANCE_REVERSAL = "remittance_reversal"
    """Money that did not come, or not so: what it settled is open again (docs/decisions/0027)."""
    ADVANCE = "advance"
    """An advance is set against a statement."""
    LATE_FEE = "late_fee"
    LATE_FEE_RELEASE = "late_fee_release"
    """Late fee paid and later found not owed becomes an advance."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Postings that sum to zero, at least two; raises `Refused` otherwise, as the database does."""

    kind: EntryKind
    postings: tuple[Posting, ...]
    insured_on: date | None = None

    def __post_init__(self) -> None:
        if len(self.postings) < 2:
            raise Refused(f"an entry of {len(self.postings)} postings")
        if total := sum(posting.amount for posting in self.postings):
            raise Refused(f"the postings of an entry sum to {total}, not to zero")


@dataclass(slots=True)
class Balance:
    """Collects postings; amounts of one account add up, and an account that sums to zero has no posting."""

    amounts: dict[Account, int] = field(default_factory=dict)

    def move(self, debit: Account, credit: Account, amount: int) -> None:
        """Debit one account and credit the other by `amount` (below zero: the other way round)."""
        self.amounts[debit] = self.amounts.get(debit, 0) + amount
        self.amounts[credit] = self.amounts.get(credit, 0) - amount

    def entry(self, kind: EntryKind, insured_on: date | None = None) -> Entry | None:
        """The entry, or None when every account sums to zero."""
        postings = tuple(Posting(account, Amount(amount)) for account, amount in self.amounts.items() if amount)
        return Entry(kind, postings, insured_on) if postings else None

    def needed_entry(self, kind: EntryKind, insured_on: date | None = None) -> Entry:
        """The entry, where there must be one; raises `Refused` when every account sums to zero."""
        if entry := self.entry(kind, insured_on):
            return entry
        raise Refused(f"an entry of kind {kind} that moves nothing")


def posting_day(insured_on: date | None, oldest_open_day: date) -> date:
    """Where a total is posted: its insured day while that is open, else the oldest open day (docs/decisions/0004)."""
    return oldest_open_day if insured_on is None else max(insured_on, oldest_open_day)


def premium_entry(kind: EntryKind, insured_on: date, premiums: Iterable[tuple[Party, int]]) -> Entry:
    """Premium due, receivable against income, a pair for each party; below zero where it is taken back.

    Raises `Refused` when the premiums of every party sum to zero.
    """
    balance = Balance()
    for party, premium in premiums:
        balance.move(receivable(party), Account(AccountKind.PREMIUM_INCOME, party), premium)
    return balance.needed_entry(kind, insured_on)


def premium_kind(is_reversal: bool, insured_on: date, posted_on: date) -> EntryKind:
    """A charge on its own day, a late charge after it was closed, or a reversal on any day."""
    if is_reversal:
        return EntryKind.REVERSAL
    return EntryKind.CHARGE if insured_on == posted_on else EntryKind.LATE_CHARGE


def receivable(party: Party) -> Account:
    """What the party owes in premium."""
    return Account(AccountKind.RECEIVABLE, party)


def advances(party: Party) -> Account:
    """What the party paid, or was credited, before it owed it."""
    return Account(AccountKind.ADVANCES, party)


def late_fee_receivable(party: Party) -> Account:
    """What the party owes in late fees."""
    return Account(AccountKind.LATE_FEE_RECEIVABLE, party)


CASH = Account(AccountKind.CASH)
ROUNDING = Account(AccountKind.ROUNDING)
