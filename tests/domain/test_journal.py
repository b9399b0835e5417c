"""The journal: entries that sum to zero, reversals, posting days."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.books.journal import (
    CASH,
    ROUNDING,
    Account,
    AccountKind,
    Balance,
    Entry,
    EntryKind,
    Party,
    Posting,
    advances,
    posting_day,
    premium_entry,
    premium_kind,
    receivable,
)
from shared.domain.errors import Refused
from shared.domain.money import Amount

PARTIES = [Party(f"E{number}", province) for number in range(3) for province in ("11", "44")]
DAYS = st.dates(date(2026, 9, 1), date(2026, 12, 31))
premiums = st.lists(st.tuples(st.sampled_from(PARTIES), st.integers(1, 10**9)), min_size=1, max_size=20)


@given(premiums, DAYS)
def test_a_premium_entry_is_a_pair_for_each_party_and_sums_to_zero(
    given_premiums: list[tuple[Party, int]], day: date
) -> None:
    entry = premium_entry(EntryKind.CHARGE, day, given_premiums)
    assert sum(posting.amount for posting in entry.postings) == 0
    parties = {party for party, _ in given_premiums}
    assert len(entry.postings) == 2 * len(parties)
    for party in parties:
        due = sum(amount for other, amount in given_premiums if other == party)
        assert Posting(receivable(party), Amount(due)) in entry.postings


accounts = st.sampled_from([CASH, ROUNDING, *map(advances, PARTIES)])


@given(st.lists(st.tuples(accounts, accounts, st.integers()), max_size=9))
def test_whatever_is_moved_balances(moves: list[tuple[Account, Account, int]]) -> None:
    balance = Balance()
    for debit, credit, amount in moves:
        balance.move(debit, credit, amount)
    entry = balance.entry(EntryKind.REMITTANCE)
    assert entry is None or sum(posting.amount for posting in entry.postings) == 0
    assert entry is None or len({posting.account for posting in entry.postings}) == len(entry.postings)


def test_what_is_not_an_entry_is_refused() -> None:
    party = PARTIES[0]
    one = Posting(receivable(party), Amount(5))
    with pytest.raises(Refused, match="1 postings"):
        Entry(EntryKind.CHARGE, (one,))
    with pytest.raises(Refused, match="sum to 4"):
        Entry(EntryKind.CHARGE, (one, Posting(CASH, Amount(-1))))
    with pytest.raises(Refused, match="nothing"):
        Posting(CASH, Amount(0))
    with pytest.raises(Refused, match="moves nothing"):
        Balance().needed_entry(EntryKind.CREDIT)
    with pytest.raises(Refused, match="needs a party"):
        Account(AccountKind.RECEIVABLE)
    with pytest.raises(Refused, match="has no party"):
        Account(AccountKind.CASH, party)


@given(DAYS, DAYS)
def test_posting_day_is_the_insured_day_while_open(insured_on: date, oldest_open: date) -> None:
    day = posting_day(insured_on, oldest_open)
    assert day == (max(insured_on, oldest_open))
    assert posting_day(None, oldest_open) == oldest_open
    kind = premium_kind(False, insured_on, day)
    assert (kind is EntryKind.CHARGE) == (insured_on >= oldest_open)
    assert premium_kind(True, insured_on, day) is EntryKind.REVERSAL
