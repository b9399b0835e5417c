"""What both rivals read: the acceptance as pydantic models, with the limits of the contract."""

import os
import time
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from faststream.kafka import KafkaBroker
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Uscc = Annotated[str, Field(pattern=r"^[0-9A-Z]{18}$")]
PREMIUM: Final = {"ride_hailing": 400, "instant_delivery": 600, "intracity_freight": 2_000}
"""0.0001 yuan by industry: a rival knows one tariff line each and ignores province and date."""


class Acceptance(BaseModel):
    """`data` of an acceptance."""

    model_config = ConfigDict(extra="forbid")
    order_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    worker_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    token_key: Annotated[int, Field(ge=1, le=32_767)]
    industry: Literal["ride_hailing", "instant_delivery", "intracity_freight"]
    acceptance_region: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    accepted_at: AwareDatetime
    series: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
    sequence: Annotated[int, Field(ge=1, le=2**53 - 1)]
    agency_uscc: Uscc | None = None
    employer_insurance_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")] | None = None


class OrderAccepted(BaseModel):
    """The CloudEvent."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=128)]
    source: Annotated[str, Field(pattern=r"^urn:uscc:[0-9A-Z]{18}$")]
    type: Literal["order.accepted.v1"]
    time: datetime | None = None
    data: Acceptance

    def columns(self) -> dict[str, Any]:
        """As a row of `charged`."""
        data = self.data
        return {
            "accepted_at": data.accepted_at,
            "enterprise": self.source.removeprefix("urn:uscc:"),
            "order_id": data.order_id,
            "worker_id": data.worker_id,
            "industry": data.industry,
            "region": data.acceptance_region,
            "series": data.series,
            "sequence": data.sequence,
            "premium": PREMIUM[data.industry],
        }


class Progress:
    """One line a commit, its time and how many orders it held, for the benchmark to read; costs two microseconds."""

    def __init__(self) -> None:
        self._file = os.open(os.environ["RIVAL_PROGRESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, orders: int) -> None:
        """A commit of so many orders was answered just now."""
        os.write(self._file, f"{time.time()} {orders}\n".encode())


def topics() -> list[str]:
    """Where the orders are."""
    return os.environ["RIVAL_TOPICS"].split(",")


def database() -> str:
    """Where they go, for SQLAlchemy."""
    return os.environ["RIVAL_DATABASE"].replace("postgresql:", "postgresql+asyncpg:", 1)


def open_broker() -> KafkaBroker:
    """The client, with the metadata age of the workers it is raced with."""
    return KafkaBroker(os.environ["RIVAL_KAFKA"], metadata_max_age_ms=1_000)


JOINING: Final[dict[str, Any]] = {
    "auto_offset_reset": "earliest",
    "session_timeout_ms": 2_000,
    "heartbeat_interval_ms": 300,
}
"""Members of a group find each other as quickly as the workers do."""
