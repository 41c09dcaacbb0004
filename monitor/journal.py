"""How the process logs: one line for each event, a constant message plus fields, on stderr."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(*, json: bool, quiet: bool = False) -> None:
    """Lines for people, or JSON lines; `quiet` leaves out what is not at least a warning."""
    level = logging.WARNING if quiet else logging.INFO
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # kafka-python reports every failed attempt; what matters of it is in our own one-line errors.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
