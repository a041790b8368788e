"""CRC-32C in `crc32c.h`: the tables and the processor's instruction against RFC 3720 and against each other."""

import ctypes
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import _fastpath
from tests.fastpath.harness import compiled

HEADER = Path(_fastpath.__file__).with_name("crc32c.h")
HARNESS = """
#include "{header}"
void init(void) {{ ocspeed_crc32c_init(); }}
uint32_t dispatched(uint32_t state, const uint8_t *data, size_t size) {{ return ocspeed_crc32c(state, data, size); }}
uint32_t software(uint32_t state, const uint8_t *data, size_t size) {{
    return ocspeed_crc32c_software(state, data, size);
}}
"""


class Crc:
    """One of the harness's functions, called with bytes."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._function = library[name]
        self._function.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
        self._function.restype = ctypes.c_uint32

    def __call__(self, data: bytes, state: int = 0) -> int:
        return int(self._function(state, data, len(data)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("crc32c"), HARNESS.format(header=HEADER))


@pytest.fixture(params=["dispatched", "software"])
def crc32c(request: pytest.FixtureRequest, library: ctypes.CDLL) -> Crc:
    return Crc(library, request.param)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
    ids=["nothing", "check", "zeros", "ones", "ascending", "descending"],
)
def test_known_answers_of_rfc_3720(crc32c: Crc, data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(data=st.binary(max_size=100), cut=st.integers(0, 100))
@settings(max_examples=200)
def test_both_ways_agree_and_a_state_goes_on(library: ctypes.CDLL, data: bytes, cut: int) -> None:
    dispatched, software = Crc(library, "dispatched"), Crc(library, "software")
    whole = dispatched(data)
    assert software(data) == whole
    assert software(data[cut:], dispatched(data[:cut])) == whole
    assert dispatched(data[cut:], software(data[:cut])) == whole


def test_it_is_not_the_crc_of_zlib(crc32c: Crc) -> None:
    assert crc32c(b"ocsp") != zlib.crc32(b"ocsp")
