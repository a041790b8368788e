"""Guards of the invariants of CRLs in compiled code: each is taken out of a copy, which is built, and its tests fail there."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COPIED = ("_fastpath", "store", "signer", "responder", "tests", "pyproject.toml")
# One module alone, as fast as it gets.
BUILD = """
from Cython.Build import cythonize
from setuptools import Extension, setup
module = Extension("_fastpath.{0}", ["_fastpath/{0}.pyx"], extra_compile_args=["-O0", "-w"])
setup(name="copy", packages=[], ext_modules=cythonize([module], language_level=3, quiet=True))
"""
CRL = "tests/fastpath/test_crl.py"
ENTRIES = "tests/fastpath/test_crl_entries.py"
PREFLIGHT = "tests/signer/test_crl_preflight.py"
FAULTS = "tests/signer/test_invariants_crl.py"


@dataclass(frozen=True, slots=True)
class Guard:
    """A piece of a module, what it becomes, and tests that must fail then."""

    module: str
    old: str
    new: str
    tests: tuple[str, ...]


GUARDS = {
    "D4-no-empty-list-is-written": Guard(
        "crl", "    if entries.used:", "    if True:", (f"{CRL}::test_empty_list_is_absent",)
    ),
    "D4-no-empty-list-is-read": Guard(
        "crl_reader", "if self.entries.left == 0:", "if False:", (f"{CRL}::test_second_reader_refuses[empty-list]",)
    ),
    "D4-serials-are-compared-with-the-ledger": Guard(
        "crl_entries",
        "        and memcmp(PyBytes_AS_STRING(serial), entry.serial.pos, <size_t>entry.serial.left) == 0\n",
        "",
        (f"{ENTRIES}::test_first_difference",),
    ),
    "D4-the-end-of-the-list-is-compared": Guard(
        "crl_entries",
        "            return index, None, one\n",
        "            return None\n",
        (f"{FAULTS}::test_a_stream_that_ends_early",),
    ),
    "D3-vanished-entries-are-found": Guard(
        "crl_entries",
        "            absent.append(serial)\n",
        "            pass\n",
        (f"{FAULTS}::test_an_entry_that_leaves_before_its_time", f"{FAULTS}::test_nothing_after_something"),
    ),
    "D7-lengths-of-every-form-are-written": Guard(
        "crl",
        "size += tlv_size(entries.used)",
        "size += entries.used + 4",  # right from 256 to 65,535 octets
        (f"{CRL}::test_length_forms_of_the_list_itself", f"{CRL}::test_openssl_accepts_signature_and_counts_entries"),
    ),
    "D10-reasons-are-written": Guard(
        "crl",
        "elif reason not in (0, 1, 3, 4, 5, 9):",
        "elif reason not in range(11):",
        (f"{CRL}::test_entries_that_are_refused",),
    ),
    "D10-reason-0-is-not-read": Guard(
        "crl_reader", "code.pos[0] == 0 or ", "", (f"{CRL}::test_second_reader_refuses[reason-0]",)
    ),
    "D10-reasons-are-allowed": Guard(
        "crl_entries",
        "if not allowed >> entry.reason & 1:",
        "if False:",
        (f"{PREFLIGHT}::test_reasons_that_subscriber_certificates_never_have", f"{FAULTS}::test_a_bad_template[reason]"),
    ),
    "D10-no-duplicates": Guard(
        "crl_entries",
        "return order > 0 or (order == 0 and serial.left > before.left)",
        "return order >= 0",
        (f"{PREFLIGHT}::test_a_serial_twice", f"{FAULTS}::test_a_bad_template[duplicate]"),
    ),
    "D10-number": Guard(
        "crl_reader", "if self.number.left == 0:", "if False:", (f"{CRL}::test_second_reader_refuses[no-number]",)
    ),
    "D10-key-identifier": Guard(
        "crl_reader", "if self.key_identifier.left == 0:", "if False:", (f"{CRL}::test_second_reader_refuses[no-aki]",)
    ),
    "D10-distribution-point-is-critical": Guard(
        "crl_reader",
        "        if which == 28:\n",
        "        if which == 28 and peek_tag(extension) == BOOLEAN:\n",
        (f"{CRL}::test_second_reader_refuses[idp-not-critical]", f"{PREFLIGHT}::test_second_reader"),
    ),
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", GUARDS)
def test_without_its_guard_a_test_fails(name: str, copy: Path) -> None:
    """D3, D4, D7, D10."""
    guard = GUARDS[name]
    source = copy / "_fastpath" / f"{guard.module}.pyx"
    text = source.read_text()
    assert guard.old in text
    source.write_text(text.replace(guard.old, guard.new))
    built = run(copy, "-c", BUILD.format(guard.module), "--quiet", "build_ext", "--inplace")
    assert built.returncode == 0, built.stderr
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *guard.tests)
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    for test in guard.tests:
        assert any(one.startswith(test) for one in failed), f"{test} passes all the same\n{done.stdout}"
