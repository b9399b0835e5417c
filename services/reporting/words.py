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
    "open": "待处理 · open",
    "explained": "已说明 · explained",
    "corrected": "已更正 · corrected",
    "confirmed": "已查实 · confirmed",
}
KINDS: Final = {
    "sequence_gap": "单号断号 · gap in a series",
    "presumed_orders": "推定漏报订单 · presumed orders",
    "number_used_twice": "单号重复使用 · number used twice",
    "declared_differently": "日申报与收到不符 · declared against received",
    "manifest_missing": "缺少日清单 · manifest missing",
    "manifest_late": "日清单迟到 · manifest late",
    "manifest_changed": "日清单变更 · manifest changed",
    "other_content": "同一订单内容不同 · same order, other content",
    "several_acceptance_times": "同一订单多个接单时间 · several acceptance times",
    "completion_without_acceptance": "有完单无接单 · completion without acceptance",
    "cancellation_without_acceptance": "有取消无接单 · cancellation without acceptance",
    "late_acceptances": "接单迟报 · acceptances sent late",
    "not_enrolled": "未参保登记的业务 · industry or province not enrolled",
    "excluded_share": "不计费占比异常上升 · excluded share has risen",
    "implausible_count": "单量异常 · implausible count",
    "injury_without_order": "报案无订单 · injury without order",
    "order_after_injury": "报案后补报订单 · order after injury notice",
    "independent_total": "与独立统计不符 · independent total differs",
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
