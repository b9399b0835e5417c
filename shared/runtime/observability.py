"""Logs: one JSON object a line on standard error, for machines and for grep."""

import logging
import sys

import structlog


def configure_logging(service: str, level: str) -> None:
    """Send structlog and the standard library's loggers to standard error, each line naming the service."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    stamps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
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
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
