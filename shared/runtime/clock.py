"""The one place that reads the current time. Rules take `as_of` instead; schedulers and stamps use this."""

from datetime import UTC, datetime


def now() -> datetime:
    """The instant, aware, in UTC."""
    return datetime.now(UTC)
