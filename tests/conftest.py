"""Hypothesis profiles: the fast tier runs few cases, the same ones each time; the slow tier 10,000 new ones.

And what every test finds as it was at the start: signals, and where the log goes.
"""

import signal

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A shell that runs pytest in the background has it ignore SIGINT, and whatever the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("fast", max_examples=40, derandomize=True, database=None, deadline=None)
settings.register_profile(
    "slow",
    max_examples=10_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("fast")


@pytest.fixture(autouse=True)
def _log_as_at_the_start() -> None:
    """A command that a test ran in this process has configured the log for itself."""
    structlog.reset_defaults()
