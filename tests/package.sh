#!/bin/sh
# Builds sdist and wheel (the wheel from the sdist), installs the wheel into a new environment and runs the demo there.
# usage: tests/package.sh PYTHON-WITH-BUILD
set -eu
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -40 "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
wheel=$(ls "$work"/dist/*.whl)
"$work/venv/bin/python" -m pip install --quiet "$wheel[embedded]"
cd "$work" # so that nothing is imported from the checkout
"$work/venv/bin/ocsp-responder" --help >/dev/null
"$work/venv/bin/ocsp-signer" demo --check --certs 1000 --dir "$work/demo"
echo "package: $(basename "$wheel") and its sdist build, install and run"
