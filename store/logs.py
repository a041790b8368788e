"""Logs of all processes: JSON lines, or colours on a terminal, always on stderr."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from store.clock import SystemClock

__all__ = ["configure", "formatter", "level_of"]

REPEAT_INTERVAL = 1.0  # seconds: what a flood of requests can cause is logged once in so long (F2)
LEVELS = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}

Event = MutableMapping[str, Any]


class _Throttle:
    """Drops a warning that was logged a moment ago, and says how many were dropped when it comes again."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._last: dict[str, tuple[float, int]] = {}  # event -> (when, dropped since); events are constants

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        if method not in ("warning", "error"):
            return event
        name = str(event.get("event"))
        now = self._clock.monotonic()
        last, dropped = self._last.get(name, (float("-inf"), 0))
        if now - last < REPEAT_INTERVAL:
            self._last[name] = (last, dropped + 1)
            raise structlog.DropEvent
        self._last[name] = (now, 0)
        if dropped:
            event["repeated"] = dropped
        return event


def _shared() -> list[Any]:
    return [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="ts"),
    ]


def _renderer() -> Any:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(timestamp_key="ts")
    return structlog.processors.JSONRenderer()


def level_of(verbosity: int) -> int:
    """The level of the standard library for so many -v less so many -q."""
    return LEVELS[max(-1, min(1, verbosity))]


def configure(verbosity: int, *, throttled: bool = False) -> None:
    """Set up structlog for this process; `verbosity` is the number of -v less that of -q.

    `throttled` is for processes in which outsiders can cause events.
    """
    structlog.configure(
        processors=[
            *([_Throttle()] if throttled else []),
            *_shared(),
            structlog.processors.format_exc_info,
            _renderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level_of(verbosity)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _drop_color_message(logger: Any, method: str, event: Event) -> Event:
    event.pop("color_message", None)
    return event


def formatter() -> logging.Formatter:
    """The standard library's records in the same form, for uvicorn."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_shared()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _drop_color_message,
            structlog.processors.format_exc_info,
            _renderer(),
        ],
    )
