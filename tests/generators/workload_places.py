"""Who accepts orders where in a seeded history, and the instants around which the scheme of `tests/seeds` changes."""

EVERYWHERE, JOINING, LEAVING = "91000000FAKE00001F", "91000000FAKE00002J", "91000000FAKE00003M"
REGIONS = {"31": "310101", "44": "440106", "37": "370102", "46": "460105", "12": "120101"}
INDUSTRIES = ("ride_hailing", "instant_delivery", "intracity_freight")
PLACES = (
    (EVERYWHERE, "ride_hailing", "31"),
    (EVERYWHERE, "ride_hailing", "44"),
    (EVERYWHERE, "ride_hailing", "37"),
    (EVERYWHERE, "ride_hailing", "46"),
    (EVERYWHERE, "ride_hailing", "12"),
    (EVERYWHERE, "instant_delivery", "31"),
    (EVERYWHERE, "instant_delivery", "44"),
    (EVERYWHERE, "intracity_freight", "46"),
    (JOINING, "instant_delivery", "31"),
    (JOINING, "instant_delivery", "31"),
    (JOINING, "instant_delivery", "44"),
    (JOINING, "ride_hailing", "44"),
    (LEAVING, "ride_hailing", "44"),
    (LEAVING, "ride_hailing", "44"),
    (LEAVING, "ride_hailing", "31"),
    (LEAVING, "ride_hailing", "37"),
)
"""Where orders are accepted: mostly charged, some before a date, some never."""
CORNERS = (
    "2026-09-30T23:59:59.999999+08:00",
    "2026-10-29T00:00:00+08:00",
    "2026-10-30T00:00:00+08:00",
    "2026-10-30T12:00:00+08:00",
    "2026-10-31T00:00:00+08:00",
    "2026-10-31T08:15:00+08:00",
    "2026-10-31T09:30:00.500000+08:00",
    "2026-10-31T12:00:00+08:00",
    "2026-10-31T23:59:59.999999+08:00",
    "2026-11-01T00:00:00+08:00",
    "2026-11-01T18:00:00+08:00",
    "2026-11-02T00:00:00+08:00",
)
"""Instants at which the scheme changes, or a day or month ends: accepted there, a microsecond before and after."""
