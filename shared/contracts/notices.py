"""Defines what others report to the regulator's register: injury notices, and their own counts of orders.

At least once; the first notice of an id holds, and another content under it is a finding. The last count of a source
holds: another one corrects it. JSON, msgspec.
"""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from shared.contracts.bounds import Count, Instant, Name, Uscc, check_days
from shared.contracts.events import OrderId, WorkerId


class InjuryNoticed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`injuries.noticed.v1`: an injury notice (一键报案). Here it is only received and matched with orders."""

    notice_id: Name
    worker_id: WorkerId
    injured_at: Annotated[Instant, Meta(description="when the worker says it happened")]
    noticed_at: Annotated[Instant, Meta(description="when the notice was given; an order sent later is a finding")]
    enterprise: Annotated[Uscc | None, Meta(description="where the notice names one")] = None
    order_id: Annotated[OrderId | None, Meta(description="where the notice names one, with its enterprise")] = None

    def __post_init__(self) -> None:
        check_days(self.injured_at, self.noticed_at)


class TotalReported(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`totals.reported.v1`: somebody else's count of the orders that an enterprise's workers accepted on a day."""

    source: Annotated[Name, Meta(description="who counted")]
    enterprise: Uscc
    day: Annotated[date, Meta(description="accepted on, Asia/Shanghai")]
    count: Count

    def __post_init__(self) -> None:
        check_days(self.day)
