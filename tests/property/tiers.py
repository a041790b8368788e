"""One definition of a property, run in two tiers: some cases in every run, 10,000 with `-m slow`."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

Property = Callable[..., None]
TIERS = ["fast", pytest.param("slow", marks=pytest.mark.slow)]


def property_of(**cases: SearchStrategy[Any]) -> Callable[[Property], Callable[[str], None]]:
    """The body as a test of both tiers, each with the Hypothesis profile of its name (tests/conftest.py)."""

    def tested(body: Property) -> Callable[[str], None]:
        @pytest.mark.parametrize("tier", TIERS)
        def test(tier: str) -> None:
            settings(settings.get_profile(tier))(given(**cases)(body))()

        test.__name__ = body.__name__
        test.__doc__ = body.__doc__
        return test

    return tested
