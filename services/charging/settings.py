"""Settings that only charging reads."""

from pydantic import Field

from shared.runtime.settings import Settings


class ChargingSettings(Settings):
    """Settings that only charging reads."""

    batch_events: int = Field(16_000, gt=0, description="most events in one batch; fewer cost rate, more cost memory")
    fetch_bytes: int = Field(
        3 * 1024 * 1024, gt=0, description="most bytes of one fetch: a batch's worth, sent while one is charged"
    )
    fetch_wait_ms: int = Field(
        50, gt=0, description="a broker with nothing answers after it; the embedded one checks again after half of it"
    )
    order_timestamps: str = Field(
        "LogAppendTime", description="message.timestamp.type of an orders topic; another pauses it. Empty: any"
    )
    order_message_bytes: int = Field(
        0, ge=0, description="max.message.bytes of an orders topic; another is an alarm. 0: any"
    )
    order_retention_hours: int = Field(
        0, ge=0, description="an orders topic that keeps its events for less is an alarm. 0: any"
    )
    order_cleanup: str = Field(
        "delete", description="cleanup.policy of an orders topic; another is an alarm. Empty: any"
    )
    topic_look_seconds: float = Field(5.0, gt=0, description="pause between two checks of all order topics")
    max_event_bytes: int = Field(64 * 1024, description="a larger event is parked as too_large")
    max_skew_seconds: int = Field(300, description="an acceptance further after its record time is parked")
    park_window_events: int = Field(1_000, gt=0, description="last events of a topic that count for the park limit")
    park_limit_share: float = Field(0.5, ge=0, le=1, description="a larger share of them parked pauses the topic")
    park_limit_count: int = Field(100, gt=0, description="fewer of them parked never pause the topic")
    transaction_seconds: float = Field(
        30.0, description="a batch whose transaction takes longer is undone by the database and read again"
    )
    settle_seconds: float = Field(2.0, description="pause between settling steps; 0 leaves it to the close")
    gap_days: int = Field(
        7, ge=1, description="a number missing so many days after its day is presumed to be an order that was not sent"
    )
    days_ahead: int = Field(7, ge=1, description="parts of rows that are made ahead of the day")
    least_days_ahead: int = Field(3, ge=1, description="fewer parts ahead of the day are an alarm: not ready")
    late_acceptance_seconds: int = Field(3_600, ge=60, description="an acceptance sent later than this is a finding")
