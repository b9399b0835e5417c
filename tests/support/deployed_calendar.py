"""The working-day calendar as delivered."""

from functools import cache

from shared.adapters.files.holiday_calendar import load_calendar
from shared.domain.working_days import WorkingDays
from shared.runtime.settings import HOUSE


@cache
def deployed_calendar() -> WorkingDays:
    """Load `deploy/calendar`, once."""
    return load_calendar(HOUSE / "deploy" / "calendar")
