#!/bin/sh
# Builds the Cython modules with AddressSanitizer and UndefinedBehaviorSanitizer, in a copy, and runs the tests of the
# codec, of the fast path and of both paths over them (F6).
# usage: tests/sanitize.sh PYTHON [ARGUMENTS OF PYTEST]
set -eu
python=$1
shift
root=$(pwd)
copy=build/sanitize
library=$(cc -print-file-name=libasan.so)
[ -e "$library" ] || { echo "libasan is needed: install it with the compiler (apt-get install gcc)"; exit 1; }

rm -rf "$copy"
mkdir -p "$copy"
cp -R _fastpath store responder signer tests docs setup.py pyproject.toml README.md "$copy"
cd "$copy"
rm -f _fastpath/*.c _fastpath/*.so
OCSPEED_CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" \
    OCSPEED_LDFLAGS="-fsanitize=address,undefined" "$root/$python" setup.py --quiet build_ext --inplace

[ $# -gt 0 ] || set -- tests/fastpath tests/responder/test_both_paths.py tests/responder/test_pipelines.py \
    tests/responder/test_fast_path.py tests/responder/test_lookup.py
# CPython's own allocator would hide a small over-read, and its memory at exit is no leak of ours.
export LD_PRELOAD="$library" PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
"$root/$python" -m pytest -p no:cacheprovider --capture=sys "$@" # a report goes to where the process ends: here
