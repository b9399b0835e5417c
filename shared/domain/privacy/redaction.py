"""Redacted forms (脱敏): what stays readable of a message that is kept, when its bytes are sealed or gone.

An allow-list: a value stays where it is a field of the contract in that field's own form and reads as no identity. All
else is an ellipsis. Ids, tokens and insurance numbers are not on the list: they name an order or a person.
"""

import json
import re
from collections.abc import Callable
from typing import Final

from shared.domain.errors import Refused
from shared.domain.privacy.identity import reads_as_identity
from shared.domain.scheme.enterprise import USCC_FORM, is_valid_uscc
from shared.domain.scheme.industry import Industry

LONGEST_READ: Final = 64 * 1024
"""Bytes that are scanned; of a longer message only its length is shown."""
LONGEST_FORM: Final = 4_000
MOST_ITEMS: Final = 20
"""Items of a list or an object that are shown; of the others only their number is."""
HIDDEN: Final = "…"
_DEEPEST: Final = 8
_RUN: Final = re.compile(r"[0-9][0-9\-_.: ]{9,}[0-9][Xx]?")
_FOREIGN: Final = re.compile(r"[^\x20-\x7e…]+")
_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")
_QUOTED_VALUE: Final = re.compile(r"^((?:[A-Za-z]{1,40}: )?Invalid enum value ).*?( - at `[^`]*`)?$", re.DOTALL)
_UNKNOWN_FIELD: Final = re.compile(
    r"^((?:[A-Za-z]{1,40}: )?Object contains unknown field )`(.*?)`( - at `\$[^`]*`)?$", re.DOTALL
)


def _form(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text, re.ASCII) is not None


_INSTANT: Final = _form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9:]{2,6})?")
_KIND: Final = _form(r"(order\.(accepted|completed|cancelled)|day\.declared)\.v[0-9]{1,2}")
_TEXTS: Final[dict[str, Callable[[str], bool]]] = {
    "specversion": _form(r"[0-9.]{1,5}"),
    "type": _KIND,
    "source": _form(f"urn:uscc:{USCC_FORM}"),
    "time": _INSTANT,
    "accepted_at": _INSTANT,
    "completed_at": _INSTANT,
    "cancelled_at": _INSTANT,
    "industry": {industry.value for industry in Industry}.__contains__,
    "acceptance_region": _form(r"[0-9]{1,6}"),
    "series": _form(r"[A-Za-z0-9_-]{1,16}"),
    "agency_uscc": is_valid_uscc,
    "enterprise": is_valid_uscc,
    "reason": {"customer", "worker", "enterprise", "other"}.__contains__,
    "day": _form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "insured_on": _form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "received_on": _form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "province": _form(r"[0-9]{2}"),
    "premium_yuan": _form(r"-?[0-9]{1,9}(\.[0-9]{1,4})?"),
    "amount_yuan": _form(r"[0-9]{1,9}(\.[0-9]{1,4})?"),
}
_NUMBERS: Final = frozenset(
    {"token_key", "sequence", "first", "last", "orders", "premium", "number", "leaves", "attempt", "count"}
)
_HOLDERS: Final = frozenset({"data", "used", "unused", "totals", "series", "departed", "order_id", "worker_id", "id",
                             "declaration_id", "employer_insurance_no", "subject", "datacontenttype", "dataschema",
                             "remittance_id", "notice_id"})  # fmt: skip


def redacted(value: bytes | None) -> str:
    """The redacted form of a message: JSON where it is JSON, else what can be said without its content."""
    if not value:
        return "no bytes"
    if len(value) > LONGEST_READ:
        return f"{len(value)} bytes"
    try:
        form = json.dumps(_redact("", json.loads(value), 0), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return f"{len(value)} bytes that are no JSON"
    return form if len(form) <= LONGEST_FORM else f"{len(value)} bytes of JSON"


Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A decoded value."""


def redact_detail(detail: str) -> str:
    """A sentence about a message without what it may quote of it."""
    detail = _QUOTED_VALUE.sub(rf"\1'{HIDDEN}'\2", detail)
    unknown = _UNKNOWN_FIELD.match(detail)
    if unknown is not None and not _NAME.fullmatch(unknown[2]):
        detail = f"{unknown[1]}`{HIDDEN}`{unknown[3] or ''}"
    detail = _RUN.sub(lambda run: HIDDEN if reads_as_identity(run[0]) else run[0], detail)
    return _FOREIGN.sub(HIDDEN, detail)


def _redact(name: str, value: Json, depth: int) -> Json:
    if depth > _DEEPEST:
        return HIDDEN
    if isinstance(value, dict):
        shown = {
            _shown_name(str(key), place): _redact(str(key), inner, depth + 1)
            for place, (key, inner) in enumerate(list(value.items())[:MOST_ITEMS])
        }
        return shown | ({f"{HIDDEN} and more": len(value) - MOST_ITEMS} if len(value) > MOST_ITEMS else {})
    if isinstance(value, list):
        items = [_redact(name, item, depth + 1) for item in value[:MOST_ITEMS]]
        return items + ([f"{HIDDEN} and {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else [])
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if _is_plain(name, value) else HIDDEN
    return value if name in _NUMBERS and not reads_as_identity(str(value)) else HIDDEN


def _shown_name(name: str, place: int) -> str:
    """A field's name where the contract has it; a stranger's may itself be what somebody typed."""
    return name if name in _TEXTS or name in _NUMBERS or name in _HOLDERS else f"{HIDDEN}{place}"


def _is_plain(name: str, value: str) -> bool:
    fits = _TEXTS.get(name)
    try:
        return fits is not None and fits(value) and not reads_as_identity(value)
    except Refused:
        return False
