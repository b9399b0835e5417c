"""What the pages call things: Chinese and English, from the word list and the scheme."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from shared.domain.calendar import SHANGHAI
from shared.domain.industry import Industry
from shared.domain.province import PROVINCES

REASONS: Final = {
    "province_not_in_pilot": "省份尚未参加试点 · province not in the pilot",
    "enterprise_not_enrolled": "企业未参保登记 · enterprise not enrolled",
    "insured_as_employee": "已参加工伤保险 · insured as an employee",
}
STATES: Final = {
    "pending": "待回执 · no receipt yet",
    "received": "已回执 · received",
    "refused": "被拒收 · refused",
    "undeliverable": "无法送达 · undeliverable",
    "open": "未消除 · open",
    "settled": "已消除 · settled",
}
KINDS: Final = {
    "refused": "报告被拒收 · report refused",
    "undeliverable": "报告无法送达 · report undeliverable",
    "receipt_mismatch": "回执不符 · receipt for other bytes",
    "unconfirmed_exclusion": "不计费未获确认 · exclusion not confirmed",
    "registration_count": "登记人数不符 · registration count differs",
    "unbuildable": "日终数据无法成报 · day cannot be reported",
    "orders": "单量不符 · orders differ",
    "exact_yuan": "金额不符 · amount differs",
    "declaration_missing": "缺少申报 · declaration missing",
    "reports_missing": "缺少日报 · daily reports missing",
    "not_held": "平台未存 · not held by the national platform",
    "held_unknown": "平台另有报告 · held and never sent",
    "held_differently": "平台所存不同 · held differently",
    "different_content": "重复告知内容不同 · told again with other content",
    "unreadable_message": "消息无法读取 · unreadable message",
}


class Words:
    """Names for codes; an unknown code is shown as it is."""

    def __init__(self, enterprises: Mapping[str, str]) -> None:
        self._enterprises = enterprises

    def enterprise(self, uscc: str | None) -> str:
        return self._enterprises.get(uscc or "", "")

    def province(self, code: str | None) -> str:
        known = PROVINCES.get(code or "")
        return f"{known.chinese} {known.english}" if known else code or ""

    def industry(self, name: str) -> str:
        return f"{Industry(name).chinese} {name.replace('_', ' ')}" if name in set(Industry) else name

    def reason(self, name: str) -> str:
        return REASONS.get(name, name)

    def state(self, name: str) -> str:
        return STATES.get(name, name)

    def kind(self, name: str) -> str:
        return KINDS.get(name, name)


def grouped(number: int | str) -> str:
    """A count or a decimal string with commas between thousands: "1234.50" is "1,234.50"."""
    whole, point, part = str(number).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{part}"


def shanghai_time(instant: datetime | None) -> str:
    """Date and time in Asia/Shanghai, to the second."""
    return instant.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S") if instant else ""
