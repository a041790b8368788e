#!/bin/sh
# Builds the Cython modules in a copy, with sanitizers and counters of coverage, and fuzzes every reader of outside octets.
# usage: [LEVEL=0] tests/fuzz.sh PYTHON [ARGUMENTS OF tests.fuzz]
# LEVEL is what clang optimises by: 0 is built four times as fast and fuzzes less in the same time.
set -eu
python=$1
shift
level=${LEVEL:-1}
root=$(pwd)
copy=build/fuzz-O$level
command -v clang >/dev/null || { echo "clang is needed: install it (apt-get install clang)"; exit 1; }

mkdir -p "$copy"
# With the C that Cython made of them, which is newer than its sources or is made again.
for part in _fastpath store responder signer bench tests; do
    mkdir -p "$copy/$part"
    (cd "$part" && find . -name __pycache__ -prune -o -type f ! -name '*.so' -print) |
        tar -C "$part" -T - -cf - | tar -C "$copy/$part" -xf -
done
cp setup.py pyproject.toml README.md "$copy"
(
    cd "$copy"
    case $python in /*) ;; *) python=$root/$python ;; esac
    flags="-fsanitize=address,undefined,fuzzer-no-link"
    CC=clang LDSHARED="clang -shared" OCSPEED_LDFLAGS="$flags" \
        OCSPEED_CFLAGS="-O$level -gline-tables-only -fno-omit-frame-pointer $flags -fno-sanitize-recover=undefined" \
        "$python" setup.py --quiet build_ext --inplace
)
exec "$python" -m tests.fuzz --build "$copy" "$@"
