"""A receipt shown again for what it is not. Noticed at once by its verifier: the worker, or a third party."""

from dataclasses import replace

import pytest

from services.verify.keys import Keys
from services.verify.receipt import Expected, verify_receipt
from services.verify.verdict import NotProved
from shared.domain.evidence.leaf import RowKind
from tests.support.authors import AUTHORS
from tests.support.receipt_cases import (
    ACCEPTED,
    CANCELLED,
    COMPLETED,
    LOG_KEY,
    ORDER,
    REVERSED,
    USCC,
    WITNESS_KEY,
    WORKER,
    content,
    receipt_of,
)

KEYS = Keys((LOG_KEY,), (WITNESS_KEY,), AUTHORS)
OTHER_WORKER = "6" * 64
MINE = Expected(WORKER, ORDER, USCC)
SOUND = receipt_of([ACCEPTED, COMPLETED])


def test_a_receipt_that_is_shown_again_for_a_later_order() -> None:
    with pytest.raises(NotProved) as failed:
        verify_receipt(SOUND, KEYS, replace(MINE, order="order-6"))
    assert failed.value.step == "order"


def test_a_receipt_of_another_worker() -> None:
    with pytest.raises(NotProved) as failed:
        verify_receipt(SOUND, KEYS, replace(MINE, worker=OTHER_WORKER))
    assert failed.value.step == "worker"


def test_a_receipt_in_which_the_worker_was_exchanged() -> None:
    """The token is in the leaf: with another one the row leads to no root."""
    forged = content(RowKind.ACCEPTANCE, premium=100, worker=bytes.fromhex(OTHER_WORKER))
    receipt = replace(SOUND, rows=(replace(SOUND.rows[0], content=forged),))
    with pytest.raises(NotProved) as failed:
        verify_receipt(receipt, KEYS, replace(MINE, worker=OTHER_WORKER))
    assert failed.value.step == "batch proof of row 1"


def test_rows_of_another_order_behind_an_acceptance() -> None:
    """A completion of a long trip is put behind the acceptance of another."""
    foreign = receipt_of([ACCEPTED, content(RowKind.COMPLETION, "order-6", 1_790_999_999_000_000)])
    with pytest.raises(NotProved) as failed:
        verify_receipt(foreign, KEYS, MINE)
    assert failed.value.step == "order"


def test_a_receipt_from_before_the_cancellation_says_how_far_it_reaches() -> None:
    """Not caught, and not false: it proves what was recorded at its checkpoint, whose size and time it says.

    A party that needs the current state requests a new one.
    """
    before = verify_receipt(receipt_of([ACCEPTED]), KEYS, MINE)
    assert "no end is in this receipt" in before
    assert "of 21 entries" in before
    after = verify_receipt(receipt_of([ACCEPTED, CANCELLED, REVERSED]), KEYS, MINE)
    assert "taken back" in after
