"""The auditor's reading of a text: does it hold a citizen's number or a mobile number? Digit by digit, by hand."""

from datetime import date

REGIONS = {
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83,
}  # fmt: skip


def names_a_person(text: str | None) -> bool:
    """Any run of digits, with an X behind it, or the whole text without what separates."""
    if text is None:
        return False
    whole = "".join(sign for sign in text if sign not in "-_.:+ ")
    return any(_is_number(run) for run in [*_runs(text), whole])


def _runs(text: str) -> list[str]:
    runs, run = [], ""
    for sign in text + " ":
        if sign in "0123456789":
            run += sign
            continue
        runs += [run, run + sign] if sign in "Xx" else [run]
        run = ""
    return runs


def _is_number(text: str) -> bool:
    digits = text[:-1] if text[-1:] in ("X", "x") else text
    if not digits or any(sign not in "0123456789" for sign in digits):
        return False
    return _is_mobile(digits) or _is_old(digits) or _is_citizen(text)


def _is_mobile(digits: str) -> bool:
    for code in ("", "86", "0086"):
        rest = digits[len(code) :]
        if digits.startswith(code) and len(rest) == 11 and rest[0] == "1" and rest[1] in "3456789":
            return True
    return False


def _is_old(digits: str) -> bool:
    return len(digits) == 15 and int(digits[:2]) in REGIONS and _is_day("19" + digits[6:12])


def _is_citizen(text: str) -> bool:
    if len(text) != 18 or not _is_day(text[6:14]):
        return False
    value: int = sum((10 if sign in "Xx" else int(sign)) * (1 << 17 - place) for place, sign in enumerate(text))
    return value % 11 == 1


def _is_day(digits: str) -> bool:
    try:
        return 1900 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year <= 2030
    except ValueError:
        return False


SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def is_credit_code(text: str) -> bool:
    """Whether the last sign of a unified social credit code makes the weighted sum a multiple of 31."""
    if any(sign not in SIGNS for sign in text) or not text[2:8].isdigit():
        return False
    value: int = sum(SIGNS.index(sign) * pow(3, place, 31) for place, sign in enumerate(text[:17])) + SIGNS.index(
        text[17]
    )
    return value % 31 == 0
