"""`sha256.h` and what Python sees of it: the processor's instructions and the plain rounds against hashlib's SHA-256."""

import ctypes
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import _fastpath
from _fastpath.digest import sha256_each
from tests.fastpath.harness import compiled

HEADER = Path(_fastpath.__file__).with_name("sha256.h")
HARNESS = """
#include "{header}"
void init(void) {{ ocspeed_sha256_init(); }}
void dispatched(const uint8_t *data, size_t size, uint8_t *digest) {{ ocspeed_sha256(data, size, digest); }}
void software(const uint8_t *data, size_t size, uint8_t *digest) {{
    ocspeed_sha256_in_hardware = 0;
    ocspeed_sha256(data, size, digest);
}}
"""
SIZES = (*range(200), 1_000, 65_536)  # up to three blocks all, those around the end of one among them


def expected(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def strings() -> list[bytes]:
    """One of every size, with every octet somewhere."""
    return [bytes((17 * place + size) % 256 for place in range(size)) for size in SIZES]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("sha256"), HARNESS.format(header=HEADER))


@pytest.mark.parametrize("name", ["dispatched", "software"])
def test_both_ways_are_sha256(library: ctypes.CDLL, name: str) -> None:
    function = library[name]
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    function.restype = None
    for data in strings():
        digest = ctypes.create_string_buffer(32)
        function(data, len(data), digest)
        assert digest.raw == expected(data), len(data)


def test_each_has_its_digest_in_order() -> None:
    assert sha256_each(strings()) == [expected(data) for data in strings()]
    assert sha256_each([]) == []


@given(data=st.lists(st.binary(max_size=300), max_size=5))
@settings(max_examples=100)
def test_of_anything(data: list[bytes]) -> None:
    assert sha256_each(iter(data)) == [expected(octets) for octets in data]


@pytest.mark.parametrize("data", [[None], [b"", "text"], [bytearray(3)], None, 3])
def test_only_bytes_are_hashed(data: Any) -> None:
    with pytest.raises(TypeError):
        sha256_each(data)
