"""`hash32.h`: the processor's instructions and the plain rounds against hashlib's SHA-256."""

import ctypes
import hashlib
from pathlib import Path

import pytest

import _fastpath
from _fastpath.page import hash32
from tests.fastpath.harness import compiled

HEADER = Path(_fastpath.__file__).with_name("hash32.h")
HARNESS = """
#include "{header}"
void init(void) {{ ocspeed_hash32_init(); }}
uint32_t dispatched(const uint8_t *serial, size_t size) {{ return ocspeed_hash32(serial, size); }}
uint32_t software(const uint8_t *serial, size_t size) {{
    ocspeed_sha256_in_hardware = 0;
    return ocspeed_hash32(serial, size);
}}
"""
LONGEST = 55


def expected(serial: bytes) -> int:
    return int.from_bytes(hashlib.sha256(serial).digest()[:4], "big")


def serials() -> list[bytes]:
    """One of every length, with every octet somewhere."""
    return [bytes((17 * place + size) % 256 for place in range(size)) for size in range(LONGEST + 1)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("hash32"), HARNESS.format(header=HEADER))


@pytest.mark.parametrize("name", ["dispatched", "software"])
def test_both_ways_are_sha256(library: ctypes.CDLL, name: str) -> None:
    function = library[name]
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    function.restype = ctypes.c_uint32
    assert [function(serial, len(serial)) for serial in serials()] == [expected(one) for one in serials()]


def test_of_every_length_that_one_block_holds_and_of_no_longer() -> None:
    assert [hash32(serial) for serial in serials()] == [expected(serial) for serial in serials()]
    with pytest.raises(ValueError, match="56 octets"):
        hash32(bytes(LONGEST + 1))
