"""A4, D9, G6: full disks under the ledger and under the CRLs. What was acknowledged is there, what is there is whole."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from store.clock import SystemClock
from tests.faults.disks import Disk, mounted
from tests.integration.service import BIN
from tests.signer.test_intake_api import TOKEN, Signer
from tests.signer.works import DAY, Works, row_in_page

pytestmark = pytest.mark.slow

MIB = 1 << 20
REFUSALS = 5  # until the ledger's disk is believed to be full


@contextmanager
def ledger_on(disk: Disk, directory: Path) -> Iterator[Signer]:
    works = Works(directory, None, SystemClock())
    works.context.close()
    table = f'[ledger]\nurl = "sqlite:///{disk.path}/ledger.db"\n[signer]\n'
    with works.configured("[signer]\n", table):
        assert works.issuer  # the ledger is there
        signer = Signer(works)
        signer.write_tokens(f"ra {TOKEN}\n")
        works.file.write_text('[intake]\ntokens = "intake.tokens"\n' + works.file.read_text())
        yield signer


class Deeds:
    """What the intake acknowledged. Of the rest nobody may be sure."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._number = 0
        self.issued: list[str] = []
        self.revoked: list[str] = []
        self.refused = 0

    def issue_and_revoke(self) -> None:
        self._number += 1
        serial = f"5a{self._number:030x}"
        if self._acknowledged(self._signer.issue(serial)):
            self.issued.append(serial)
            if self._acknowledged(self._signer.revoke(serial)):
                self.revoked.append(serial)

    def _acknowledged(self, response: httpx.Response) -> bool:
        if response.status_code == 200:
            return True
        assert response.status_code >= 500 and "Traceback" not in response.text
        self.refused += 1
        return False


@pytest.mark.invariant("A4", "A1", "G6")
def test_the_ledgers_disk_is_full(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It refuses, and when the signer is killed then, nothing is lost that it did not refuse."""
    directory = tmp_path_factory.mktemp("s")
    with mounted(directory / "disk", 4 * MIB) as disk, ledger_on(disk, directory) as signer:
        deeds = Deeds(signer)
        process = signer.run()
        for _ in range(20):
            deeds.issue_and_revoke()
        assert len(deeds.revoked) == 20 and deeds.refused == 0
        disk.fill()
        while deeds.refused < REFUSALS:
            deeds.issue_and_revoke()
        process.kill()
        process.wait()
        disk.clear()
        signer.run()
        for _ in range(5):
            deeds.issue_and_revoke()
        assert deeds.refused == REFUSALS
        signer.end()
        ledger, issuer = signer.works.ledger, signer.works.issuer
        for serial in deeds.issued:
            found = ledger.find(issuer.id, bytes.fromhex(serial))
            assert found is not None
            assert found.revocation_time is not None or serial not in deeds.revoked
        assert ledger.verify_journal() > 0
        assert "Traceback" not in signer.log.read_text()


def build(works: Works) -> "subprocess.CompletedProcess[str]":
    command = [str(BIN / "ocsp-signer"), "crl", "build", "--config", str(works.file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def numbers(disk: Disk) -> dict[str, int]:
    """Of all CRLs that are there, each of which has to be whole."""
    found = {}
    for path in sorted(disk.path.rglob("*.crl")):
        crl = x509.load_der_x509_crl(path.read_bytes())
        found[str(path)] = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return found


@pytest.mark.invariant("D9", "D1", "G6")
def test_the_crls_disk_is_full(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was published stays as it was, to the octet, and the next publication that has room succeeds."""
    directory = tmp_path_factory.mktemp("s")
    with mounted(directory / "disk", 4 * MIB) as disk:
        works = Works(directory, None, SystemClock())
        works.context.close()
        with works.configured("[signer]\n", f'[objects]\ntarget = "{disk.path}"\n[signer]\n'):
            late = works.clock.now() + 50 * DAY
            rows = works.add(row_in_page(page, n, not_after=late) for page in range(4) for n in range(300))
            assert build(works).returncode == 0
            before = numbers(disk)
            assert len(before) == 6  # three of them in the archive
            works.revoke(*(row.serial for row in rows))
            disk.fill()
            done = build(works)
            assert done.returncode == 1
            assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
            assert numbers(disk) == before
            disk.clear()
            assert build(works).returncode == 0
            after = numbers(disk)
            assert all((after[path] > number) is ("archive" not in path) for path, number in before.items())
