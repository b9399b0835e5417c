"""Money: whole numbers of 0.0001 yuan inside, decimal strings in yuan outside; the one place that rounds.

A float tier of 1.2 on 0.07 yuan is 8.4 fen, so fen are too coarse for one order (docs/decisions/0004).
"""

import re
from typing import Final, NewType

from shared.domain.errors import Refused

Amount = NewType("Amount", int)
"""A sum of money in units of 0.0001 yuan; negative where something is taken back."""

AMOUNT_PER_YUAN: Final = 10_000
AMOUNT_PER_FEN: Final = 100

WHOLE_YUAN_FORM: Final = "(0|[1-9][0-9]{0,13})"
"""Regular expression of whole yuan: no leading zero, and at most 14 digits, so that every amount fits 64 bits."""
YUAN_FORM: Final = rf"-?{WHOLE_YUAN_FORM}(\.[0-9]{{1,4}})?"
"""Regular expression of an amount in yuan. Every contract with money uses it, or a narrower one made of its parts."""
_YUAN: Final = re.compile(YUAN_FORM)


def round_to_fen(amount: Amount) -> Amount:
    """The nearest whole fen, halves away from zero; still in 0.0001 yuan, so a multiple of 100."""
    return round_fraction_to_fen(amount, 1)


def round_fraction_to_fen(numerator: int, denominator: int) -> Amount:
    """`numerator / denominator` units of 0.0001 yuan to the nearest whole fen, halves away from zero.

    It exists so that an amount with a fraction (a late fee) is rounded once and not twice.
    `denominator` is positive.
    """
    if denominator <= 0:
        raise ValueError(f"denominator must be positive, not {denominator}")
    units = AMOUNT_PER_FEN * denominator
    fen = (2 * abs(numerator) + units) // (2 * units)
    return Amount((fen if numerator >= 0 else -fen) * AMOUNT_PER_FEN)


def yuan(amount: Amount) -> str:
    """Exact decimal string in yuan: two places where the amount is whole fen ("12.30"), else 4 ("0.0840")."""
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), AMOUNT_PER_YUAN)
    if part % AMOUNT_PER_FEN == 0:
        return f"{sign}{whole}.{part // AMOUNT_PER_FEN:02d}"
    return f"{sign}{whole}.{part:04d}"


def parse_yuan(text: str) -> Amount:
    """The amount of a decimal string in yuan, such as "12.30", "0.084" or "-3".

    Raises `Refused` for anything but a string (a float has already lost the exact amount), for more than
    four places, an exponent, a plus sign, spaces or leading zeros.
    """
    if not isinstance(text, str):
        raise Refused(f"an amount in yuan is a string, not {type(text).__name__}")
    if not _YUAN.fullmatch(text):
        raise Refused(f"not an amount in yuan with at most four places: {text!r}")
    whole, _, part = text.lstrip("-").partition(".")
    units = int(whole) * AMOUNT_PER_YUAN + int(part.ljust(4, "0"))
    return Amount(-units if text.startswith("-") else units)
