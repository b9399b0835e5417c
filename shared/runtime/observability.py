"""Logs: one JSON object a line on standard error, for machines and for grep."""

import logging
import re
import sys
import time
from typing import Final

import structlog

from shared.domain.times import exact_time
from shared.runtime.clock import now

QUIET_SECONDS: Final = 10.0
"""How long a library's line is not said again."""
MOST_REMEMBERED: Final = 1_000
_ADDRESSES: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://[^\s'\"]+|\('[0-9A-Fa-f.:]+', \d+\)|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|\b[\w.-]+:\d{2,5}\b"
)
_TOKENS: Final = re.compile(r"\b[0-9a-f]{64}\b")


def configure_logging(service: str, level: str) -> None:
    """Send structlog and the standard library's loggers to standard error, each line naming the service."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    stamps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _stamp,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*stamps, structlog.processors.JSONRenderer(ensure_ascii=False)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(ensure_ascii=False), foreign_pre_chain=stamps
        )
    )
    handler.addFilter(SaidOnce())
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _stamp(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the time to a line, in Asia/Shanghai."""
    line["timestamp"] = exact_time(now())
    return line


def without_addresses(text: str) -> str:
    """The text for readers who may not learn where the services are, or whose order it is about."""
    return _TOKENS.sub("<token>", _ADDRESSES.sub("<address>", text))


class SaidOnce(logging.Filter):
    """Lets the same line of a library through once in QUIET_SECONDS.

    Kafka's client says several times each tenth of a second that a broker is away, for as long as it is: a hundred
    lines a second and service that bury everything else and fill a disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not said lately."""
        key, now = (record.name, record.getMessage()), time.monotonic()
        if now < self._quiet_until.get(key, now):
            return False
        if len(self._quiet_until) >= MOST_REMEMBERED:
            self._quiet_until.clear()
        self._quiet_until[key] = now + QUIET_SECONDS
        return True
