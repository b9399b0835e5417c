"""Load the scheme, the calendar and the regions and say what is wrong or odd: `python -m deploy.check_scheme`.

For an operator who has added a line, before the services are started with it: they refuse what this refuses.
"""

import sys

from shared.adapters.files.holiday_calendar import load_calendar
from shared.adapters.files.regions import load_regions
from shared.adapters.files.scheme import load_scheme
from shared.domain.errors import Refused
from shared.runtime.settings import Settings


def main(settings: Settings) -> int:
    """Return 0 when the services would take the files, else print the first fault (`file:line: …`) and return 1."""
    try:
        scheme, calendar = load_scheme(settings.scheme), load_calendar(settings.calendar)
        regions = load_regions(settings.regions)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    warnings = (*scheme.warnings, *calendar.warnings)
    for warning in warnings:
        print(f"warning: {warning}")
    print(
        f"{len(scheme.enterprises)} enterprises, {len(regions)} regions, holidays published until "
        f"{calendar.published_until}, {len(warnings)} warnings: the services will take this"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Settings()))
