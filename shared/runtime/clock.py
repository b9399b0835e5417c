"""The one place that asks what time it is. Rules take `as_of` instead; schedulers and stamps use this."""

from datetime import UTC, datetime


def now() -> datetime:
    """The instant, aware, in UTC."""
    return datetime.now(UTC)
