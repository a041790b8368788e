# Every target works from a fresh clone: it makes .venv, builds the Cython modules and then does its job.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help build demo test test-slow bench-micro bench-serve bench-sign bench-crl bench-import bench-scale bench-revoke bench-mass bench-siege fuzz fuzz-ci sanitize conformance invariants lint package tools clean

help:
	@echo "make build      virtual environment and Cython modules"
	@echo "make demo       a CA with 10,000 certificates: signed, published, served, checked; Ctrl-C ends it"
	@echo "make test       the fast tests"
	@echo "make test-slow  the fast tests and those that take minutes or need redis, gnutls and other clients"
	@echo "make bench-micro  the codec beside cryptography"
	@echo "make bench-serve  what an answer costs beside nginx (ARGS=--quick for direction)"
	@echo "make bench-sign   what signing costs beside a bare loop (ARGS=--quick for direction)"
	@echo "make bench-crl    what a CRL costs beside cryptography and openssl (ARGS=--quick for direction)"
	@echo "make bench-import  what an import costs beside sqlite3 (ARGS=--quick for direction)"
	@echo "make bench-scale  N certificates imported, signed, published and looked up (N=20000000)"
	@echo "make bench-revoke  from a revocation's acceptance until every worker says so (ARGS=--quick for direction)"
	@echo "make bench-mass    N revocations at once until all are signed and in CRLs (N=3048289)"
	@echo "make bench-siege   good requests beside slow clients, under overload, after a flood (ARGS=--quick for direction)"
	@echo "make sanitize   the codec and the fast path under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz       every reader of outside octets against made-up input, under sanitizers (ARGS='--seconds 600')"
	@echo "make fuzz-ci    two minutes of that"
	@echo "make conformance  all tests, and docs/conformance.md from them"
	@echo "make invariants  the tests of invariants, each guard taken out in turn, and docs/invariants.md from both"
	@echo "make lint       ruff, mypy, cython-lint, import-linter"
	@echo "make package    sdist and wheel, installed into a new environment and run there"

$(STAMP): pyproject.toml setup.py
	@command -v openssl >/dev/null || { echo "openssl is needed: install it (apt-get install openssl)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[embedded]"
	@touch $(STAMP)

build: $(STAMP)
	@$(BIN)/python setup.py --quiet build_ext --inplace

demo: build
	$(BIN)/ocsp-signer demo

test: build
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: build tools
	$(BIN)/python -m pytest -m "slow or not slow"

fuzz: build
	@sh bench/tools.sh clang:clang
	@$(BIN)/python -m pip install --quiet --group fuzz
	@sh tests/fuzz.sh "$(BIN)/python" $(ARGS)

fuzz-ci: build # as many processes as cores, and modules that are built fast
	@sh bench/tools.sh clang:clang
	@$(BIN)/python -m pip install --quiet --group fuzz
	@LEVEL=0 sh tests/fuzz.sh "$(BIN)/python" --seconds 120 --together $(ARGS)

sanitize: build
	sh tests/sanitize.sh "$(BIN)/python"

conformance: build tools
	-$(BIN)/python -m pytest -m "slow or not slow" --junitxml=build/conformance.xml
	$(BIN)/python -m tests.conformance.table build/conformance.xml

invariants: build tools
	-$(BIN)/python -m pytest -m invariant --junitxml=build/invariants.xml
	-$(BIN)/python -m tests.invariants
	$(BIN)/python -m tests.invariants.table build/invariants.xml

bench-micro: build
	$(BIN)/python -m pytest bench/micro --benchmark-columns=min,median,iqr,rounds --benchmark-group-by=group

bench-serve: build
	@sh bench/tools.sh
	@$(BIN)/python -m pip install --quiet --group bench
	@$(BIN)/python -m bench.serve $(ARGS)

bench-sign: build
	@sh bench/tools.sh redis-server:redis-server
	@$(BIN)/python -m bench.sign $(ARGS)

bench-crl: build
	@$(BIN)/python -m pip install --quiet --group bench
	@$(BIN)/python -m bench.crl $(ARGS)

bench-import: build
	@$(BIN)/python -m bench.ingest $(ARGS)

bench-scale: build
	@$(BIN)/python -m bench.scale --certificates $(or $(N),20000000) $(ARGS)

bench-revoke: build
	@$(BIN)/python -m bench.revoke $(ARGS)

bench-mass: build
	@$(BIN)/python -m bench.revoke --mass $(or $(N),3048289) $(ARGS)

bench-siege: build
	@$(BIN)/python -m bench.siege $(ARGS)

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint _fastpath # it calls pycodestyle
	$(BIN)/lint-imports

package: build
	sh tests/package.sh "$(BIN)/python"

tools:
	sh tests/tools.sh

clean:
	rm -rf $(VENV) build dist *.egg-info _fastpath/*.c _fastpath/*.so
