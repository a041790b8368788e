"""SoftHSM 2 with a directory of its own: tokens that can be made, filled with keys, taken away and brought back."""

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

__all__ = ["PIN", "PrivateKey", "SoftHsm", "Token"]

PIN = "correct-horse-4711"
MODULES = [
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class SoftHsm:
    """As this process and those that it starts see it, from now to the end of the test."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        module = next((path for path in MODULES if path.is_file()), None)
        if module is None or shutil.which("softhsm2-util") is None:
            pytest.skip("MISSING: softhsm2 (tests/tools.sh installs it); no key in a token was tried")
        self.module: Path = module
        self.directory = directory
        self._tokens = directory / "tokens"
        self._tokens.mkdir()
        config = directory / "softhsm2.conf"
        config.write_text(
            f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        monkeypatch.setenv("SOFTHSM2_CONF", str(config))

    def token(self, pin: str = PIN) -> "Token":
        """A new one. Its label is new too: what failed under it before is remembered for some seconds."""
        made = Token(self, f"test-{secrets.token_hex(6)}", pin)
        made.initialise()
        return made

    def remove(self) -> None:
        """All tokens are gone."""
        self._tokens.rename(self.directory / "away")
        self._tokens.mkdir()

    def bring_back(self) -> None:
        self._tokens.rmdir()
        (self.directory / "away").rename(self._tokens)

    def run(self, *arguments: str) -> None:
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True, timeout=60)


class Token:
    """One token."""

    def __init__(self, hsm: SoftHsm, label: str, pin: str) -> None:
        self.hsm = hsm
        self.label = label
        self.pin = pin
        self.pin_file = hsm.directory / "pin"
        self.write_pin(pin)

    def initialise(self) -> None:
        """An empty token of that label."""
        pins = ("--so-pin", "12345678", "--pin", self.pin)
        self.hsm.run("--init-token", "--free", "--label", self.label, *pins)

    def write_pin(self, pin: str) -> None:
        """Into the file, not the token."""
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def put(self, key: PrivateKey, label: str, id: str) -> None:
        pem = self.hsm.directory / "key.pem"
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        names = ("--label", label, "--id", id)
        self.hsm.run("--import", str(pem), "--token", self.label, "--pin", self.pin, *names)
        pem.unlink()

    def table(self, label: str, more: str = "") -> str:
        """As it stands in ocsp.toml; the PIN's file relative to that, which is in the directory above."""
        pin_file = f"{self.hsm.directory.name}/{self.pin_file.name}"
        return (
            f'{{ kind = "pkcs11", module = "{self.hsm.module}", token = "{self.label}", label = "{label}", '
            f'pin_file = "{pin_file}"{more} }}'
        )
