"""Limits of HTTP requests as data: bytes of a body by route, and what one process takes at the same time.

A reverse proxy in front of a service takes the same numbers: `BODY_BYTES` names every route whose body may exceed
`MOST_BODY_BYTES`. Limits with a DANBAO_ setting are fields of `Settings` (http_*).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
MOST_BODY_BYTES: Final = 64 * KIB
"""A longer body is answered 413 unread, unless `BODY_BYTES` names its route."""
MOST_HEADER_BYTES: Final = 16 * KIB
"""A request line and headers that exceed it are answered 400, and the connection is closed."""
BODY_BYTES: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType({
    "charging": {
        # An event of up to 256 KiB in base64, to be tried.
        "/v1/trials": 512 * KIB,
        # 10,000 tokens of workers.
        "/v1/days/{day}/counted-before": 1 * MIB,
    },
    "ledger": {},
    "reporting": {
        # A form with an event in which every byte is escaped.
        "/enterprises/{uscc}/trial": 256 * KIB,
    },
    "national_platform": {
        # A registration report of 10,000 tokens has 0.7 MB; a coverage report some megabytes.
        "/v1/reports": 16 * MIB,
    },
})  # fmt: skip
"""Most bytes of a body, by service and route."""
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths for the service's operators. No limit on requests applies, so that a flood does not make it seem dead."""
DISCARDED_BYTES: Final = 64 * KIB
"""Bytes of a refused body that are read and dropped while the connection is kept; beyond them it is closed."""
LINGER_SECONDS: Final = 2.0
"""A connection that is being closed stays so long for the other side to read the answer."""
MOST_REMEMBERED: Final = 10_000
"""Addresses, keys and unknown keys that limits remember; beyond it the ones used longest ago are forgotten."""
KNOWN_SECONDS: Final = 60.0
"""A key or session that was accepted so lately is no stranger's; whether it still holds is checked each time."""


class BodyLimits:
    """Most bytes of a request's body, by its path."""

    def __init__(self, service: str) -> None:
        self._routes = [
            (re.compile("".join(_pattern(part) for part in re.split(r"(\{\w+\})", route))), most)
            for route, most in BODY_BYTES.get(service, {}).items()
        ]
        self.largest = max([MOST_BODY_BYTES, *(most for _, most in self._routes)])

    def of(self, path: str) -> int:
        """The limit of the route at this path."""
        return next((most for route, most in self._routes if route.fullmatch(path)), MOST_BODY_BYTES)


def _pattern(part: str) -> str:
    return "[^/]+" if part.startswith("{") else re.escape(part)
