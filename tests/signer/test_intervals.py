"""Every configuration that is taken makes intervals that count both ends and keep the limits; others stop the start (B2)."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.config import CrlTable, OcspTable
from signer.context import _template
from store.config import Duration
from tests.signer.ledgers import NOW
from tests.signer.test_ocsp_responses import FAR, next_update_of
from tests.signer.works import DAY, FakeClock, Works

HOUR = 3600
URL = "http://c.example/{series}-{index}.crl"
EDGES = [edge + near for edge in (HOUR, 16 * HOUR, 17 * HOUR, 7 * DAY, 10 * DAY) for near in (-1, 0, 1)]
VALIDITIES = st.one_of(st.integers(0, 11 * DAY), st.sampled_from(EDGES))
CYCLES = st.one_of(st.integers(0, 4 * DAY), st.sampled_from([HOUR, HOUR - 1]))


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """Of which the store is never asked for."""
    works = Works(tmp_path_factory.mktemp("w"), None, FakeClock())
    with works.context:
        yield works


@pytest.mark.conformance("P-01", "R-12", "R-14", "R-15", "R-16", "R-18")
@pytest.mark.invariant("B2", "B3")
@given(validity=VALIDITIES, cycle=CYCLES)
def test_a_response_lasts_as_long_as_configured_and_allowed(works: Works, validity: int, cycle: int) -> None:
    renewed_before = min(validity // 2, 4 * DAY, validity - 16 * HOUR)
    if not (16 * HOUR < validity <= 7 * DAY and HOUR <= cycle < renewed_before):
        with pytest.raises(ValueError, match="`validity` must|`cycle` must"):
            OcspTable(validity=Duration(validity), cycle=Duration(cycle))
        return
    ocsp = OcspTable(validity=Duration(validity), cycle=Duration(cycle))
    table = msgspec.structs.replace(works.context.settings.issuer("demo"), ocsp=ocsp)
    template = _template(table, works.context.ocsp_signer("demo"))
    last_second = next_update_of(NOW, template.validity, FAR, FAR)
    assert last_second - NOW + 1 == validity
    assert 8 * HOUR <= last_second - NOW < 7 * DAY


@pytest.mark.conformance("C-06")
@pytest.mark.invariant("B2")
@given(validity=VALIDITIES, interval=CYCLES)
def test_crls_outside_the_limits_stop_the_start(validity: int, interval: int) -> None:
    allowed = HOUR <= validity <= 10 * DAY and 60 <= interval <= min(DAY, validity // 2)
    try:
        table = CrlTable(url=URL, validity=Duration(validity), interval=Duration(interval))
    except ValueError:
        assert not allowed
    else:
        assert allowed and table.validity == validity
