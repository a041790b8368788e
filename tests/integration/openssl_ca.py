"""A CA kept with the real `openssl ca`: keys, certificates, index.txt. What an operator brings to the import."""

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from _fastpath.certid import minimal_serial
from _fastpath.page import hash32

__all__ = ["LEAF", "REVOCATIONS", "Certificate", "OpensslCa", "openssl"]

# Every way `openssl ca -revoke` can write a reason into index.txt.
REVOCATIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("-crl_reason", "unspecified"),
    ("-crl_reason", "keyCompromise"),
    ("-crl_reason", "CACompromise"),
    ("-crl_reason", "affiliationChanged"),
    ("-crl_reason", "superseded"),
    ("-crl_reason", "cessationOfOperation"),
    ("-crl_reason", "certificateHold"),
    ("-crl_reason", "removeFromCRL"),
    ("-crl_hold", "holdInstructionReject"),
    ("-crl_compromise", "20260101000000Z"),
    ("-crl_CA_compromise", "20260102000000Z"),
)

CONFIG = """
[ca]
default_ca = here
[here]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir/certs
serial = $dir/serial
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
default_days = 90
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
[responder]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

LEAF = """
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
crlDistributionPoints = URI:{url}
"""


def openssl(*arguments: str | Path, cwd: Path | None = None, check: bool = True) -> str:
    """Run openssl; its standard output and error together."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, f"openssl {arguments}: {done.stdout}"
    return done.stdout


@dataclass(frozen=True)
class Certificate:
    """One issued certificate and what was done with it."""

    path: Path
    serial: bytes  # minimal unsigned big-endian
    expired: bool
    revoked_with: tuple[str, ...] | None

    @property
    def serial_hex(self) -> str:
        return self.serial.hex()


@dataclass
class OpensslCa:
    """One issuer in its own directory."""

    name: str
    directory: Path
    shard_count: int
    host: str
    certificates: list[Certificate] = field(default_factory=list)
    leaf_extensions: str = LEAF  # a section of openssl's, `{url}` is the distribution point

    @classmethod
    def create(
        cls, name: str, directory: Path, key: tuple[str, ...], shard_count: int, host: str
    ) -> "OpensslCa":
        """Key, self-signed certificate and a delegated responder. `key` is what follows `openssl genpkey`."""
        ca = cls(name, directory, shard_count, host)
        (directory / "certs").mkdir(parents=True)
        (directory / "index.txt").touch()
        (directory / "ca.cnf").write_text(CONFIG.format(directory=directory))
        for owner in ("ca", "responder", "leaf"):
            openssl("genpkey", *key, "-out", directory / f"{owner}.key")
        ca._run("req", "-x509", "-new", "-key", "ca.key", "-subj", f"/CN={name} issuing CA", "-days", "3650",
                "-extensions", "root", "-out", "ca.pem", "-config", "ca.cnf")  # fmt: skip
        for owner in ("responder", "leaf"):
            ca._run("req", "-new", "-key", f"{owner}.key", "-subj", f"/CN={owner}", "-out", f"{owner}.csr",
                    "-config", "ca.cnf")  # fmt: skip
        (directory / "serial").write_text(random.Random(name).randbytes(16).hex().upper() + "\n")
        ca._run("ca", "-batch", "-config", "ca.cnf", "-extensions", "responder", "-in", "responder.csr",
                "-subj", f"/CN={name} OCSP responder", "-days", "60", "-out", "responder.pem", "-notext")  # fmt: skip
        return ca

    def _run(self, *arguments: str | Path, check: bool = True) -> str:
        return openssl(*arguments, cwd=self.directory, check=check)

    def shard_url(self, serial: bytes) -> str:
        """The distribution point of a serial, as ocsp.toml's pattern says."""
        return f"http://{self.host}/crl/{self.name}/0-{hash32(serial) % self.shard_count}.crl"

    def issue(self, serial: bytes, *, expired: bool = False) -> Certificate:
        """Issue one certificate with this serial number."""
        (self.directory / "serial").write_text(serial.hex().upper() + "\n")
        minimal = minimal_serial(serial)
        extensions = self.directory / "leaf.ext"
        extensions.write_text(self.leaf_extensions.format(url=self.shard_url(minimal)))
        path = self.directory / f"leaf-{minimal.hex()}.pem"
        dates = ("-startdate", "20250101000000Z", "-enddate", "20260301000000Z") if expired else ()
        self._run("ca", "-batch", "-config", "ca.cnf", "-extfile", extensions, "-in", "leaf.csr",
                  "-subj", f"/CN={minimal.hex()[:12]}.example", "-out", path, "-notext", *dates)  # fmt: skip
        certificate = Certificate(path, minimal, expired, None)
        self.certificates.append(certificate)
        return certificate

    def revoke(self, certificate: Certificate, how: tuple[str, ...]) -> Certificate:
        """Revoke with the given options of `openssl ca -revoke`."""
        self._run("ca", "-batch", "-config", "ca.cnf", "-revoke", certificate.path, *how)
        revoked = Certificate(certificate.path, certificate.serial, certificate.expired, how)
        self.certificates[self.certificates.index(certificate)] = revoked
        return revoked

    def mark_expired(self) -> None:
        """`openssl ca -updatedb`: rows past their end become E."""
        self._run("ca", "-batch", "-config", "ca.cnf", "-updatedb")

    def populate(self, count: int, revoked: int, expired: int, seed: int) -> None:
        """Issue `count` certificates with serials of 1 and 8 to 20 octets, half of those with the high bit set."""
        chooser = random.Random(seed)
        for number in range(count):
            size = 8 + number % 13
            first = chooser.randrange(0x80, 0x100) if number % 2 and size < 20 else chooser.randrange(1, 0x80)
            serial = bytes([first]) + chooser.randbytes(size - 1)
            self.issue(b"#" if number == 0 else serial, expired=number < expired)
            if number == expired // 2:
                self.mark_expired()
        living = [certificate for certificate in self.certificates if not certificate.expired]
        for number, certificate in enumerate(living[:revoked]):
            self.revoke(certificate, REVOCATIONS[number % len(REVOCATIONS)])

    def reference(self) -> dict[Path, str]:
        """What `openssl ocsp -index` says of every certificate: its status line, times and reason."""
        asked = [
            argument for certificate in self.certificates for argument in ("-cert", str(certificate.path))
        ]
        self._run("ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem", "-rkey", "responder.key",
                  "-issuer", "ca.pem", "-no_nonce", "-respout", "reference.der", *asked)  # fmt: skip
        # It exits with 1, because expired rows have no status in the response.
        text = self._run("ocsp", "-respin", "reference.der", "-issuer", "ca.pem", "-CAfile", "ca.pem", "-no_nonce",
                         *asked, check=False)  # fmt: skip
        assert "Response verify OK" in text
        return split_by_certificate(text, [certificate.path for certificate in self.certificates])


def split_by_certificate(text: str, paths: list[Path]) -> dict[Path, str]:
    """openssl prints `PATH: status` and then indented lines; collect them by path."""
    found: dict[Path, list[str]] = {}
    current: list[str] | None = None
    by_name = {str(path): path for path in paths}
    for line in text.splitlines():
        name, _, rest = line.partition(": ")
        if name in by_name:
            current = found.setdefault(by_name[name], [rest])
        elif line.startswith("\t") and current is not None:
            current.append(line.strip())
        else:
            current = None
    return {path: "\n".join(lines) for path, lines in found.items()}
