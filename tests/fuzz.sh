#!/bin/sh
# Builds the Cython modules in a copy, with sanitizers and counters of coverage, and fuzzes every reader of outside octets.
# usage: tests/fuzz.sh PYTHON [ARGUMENTS OF tests.fuzz]
set -eu
python=$1
shift
root=$(pwd)
copy=build/fuzz
command -v clang >/dev/null || { echo "clang is needed: install it (apt-get install clang)"; exit 1; }

mkdir -p "$copy"
for part in _fastpath store responder signer bench tests; do
    mkdir -p "$copy/$part"
    (cd "$part" && find . -name __pycache__ -prune -o -type f ! -name '*.so' ! -name '*.c' -print) |
        tar -C "$part" -T - -cf - | tar -C "$copy/$part" -xf -
done
cp setup.py pyproject.toml README.md "$copy"
(
    cd "$copy"
    flags="-fsanitize=address,undefined,fuzzer-no-link"
    CC=clang LDSHARED="clang -shared" OCSPEED_LDFLAGS="$flags" \
        OCSPEED_CFLAGS="-O1 -g -fno-omit-frame-pointer $flags -fno-sanitize-recover=undefined" \
        "$root/$python" setup.py --quiet build_ext --inplace
)
exec "$python" -m tests.fuzz "$@"
