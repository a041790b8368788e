"""How uvicorn logs: in the form of everything else."""

import logging
from typing import Any

from store.logs import level_of

__all__ = ["uvicorn_config"]


def uvicorn_config(verbosity: int, *, access_log: bool) -> dict[str, Any]:
    """A `logging.config` dictionary for uvicorn's loggers; it travels to the workers."""
    level = logging.getLevelName(level_of(verbosity))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": "store.logs.formatter"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "structured",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {
            "uvicorn": {"handlers": ["stderr"], "level": level, "propagate": False},
            "uvicorn.error": {"level": level},
            "uvicorn.access": {
                "handlers": ["stderr"] if access_log else [],
                "level": "INFO",
                "propagate": False,
            },
        },
    }
