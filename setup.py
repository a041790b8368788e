"""The list of Cython modules and the one table of compiler directives; metadata is in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = (
    "der",
    "certid",
    "request",
    "template",
    "ocsp",
    "page",
    "digest",
    "imported",
    "signing",
    "crl",
    "crl_reader",
    "crl_entries",
    "staged",
    "intake",
    "http",
    "head",
    "answer",
    "floor",
    "cache",
    "lookup",
    "replies",
    "tally",
    "serve",
    "connection",
)
HEADERS = [f"_fastpath/{name}.h" for name in ("crc32c", "crc64", "hash32", "sha256", "siphash")]
DIRECTIVES = {
    "language_level": 3,
    "embedsignature": True,
    "embedsignature.format": "python",
    "warn.maybe_uninitialized": True,
}
# OCSPEED_CFLAGS lets a sanitizer or coverage build replace the optimiser's flags.
CFLAGS = os.environ.get("OCSPEED_CFLAGS", "-O2 -Wall -Wextra -Wno-unused-parameter").split()
LDFLAGS = os.environ.get("OCSPEED_LDFLAGS", "").split()
CORES = os.cpu_count() or 1

if __name__ == "__main__":  # Cython starts processes that may read this file again
    setup(
        ext_modules=cythonize(
            [
                Extension(
                    f"_fastpath.{name}",
                    [f"_fastpath/{name}.pyx"],
                    depends=HEADERS,
                    extra_compile_args=CFLAGS,
                    extra_link_args=LDFLAGS,
                )
                for name in MODULES
            ],
            compiler_directives=DIRECTIVES,
            nthreads=CORES,
        ),
        options={"build_ext": {"parallel": CORES}},
    )
