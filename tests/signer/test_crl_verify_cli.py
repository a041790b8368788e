"""`ocsp-signer crl` as it is typed: options, exit codes, and errors that say what to do."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner, Result

from signer.cli_crl import crl_app
from store.errors import UsageError
from tests.signer.crl_authority import NOW, URL
from tests.signer.crl_forge import AUTHORITY, forge, right
from tests.signer.crl_server import http_message, saying


def typed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(crl_app, [str(argument) for argument in arguments])


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.certificate.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("bad", ["", "host", "host:", ":80", "host:x", "host:0", "host:65536"])
def test_connect_to(ca: Path, bad: str) -> None:
    done = typed("verify", URL, "--issuer-cert", ca, "--connect-to", bad)
    assert done.exit_code == 2
    assert "is not HOST:PORT" in done.output


def test_the_options_reach_what_they_are_for(ca: Path) -> None:
    """A CRL that is over by now: what is found says so, and ends with 1."""
    data = forge(right(url=URL, this_update=NOW - 10**8))

    def said(method: str, target: str) -> bytes:
        if target != "/crl/r1/0-0.crl":
            return http_message(302, Location=URL)
        whole = http_message(200, data, Content_Type="application/pkix-crl")
        return whole if method == "GET" else whole[: -len(data)]

    with saying(said) as base:
        at = base.removeprefix("http://")
        options = ("--issuer-cert", ca, "--connect-to", at, "--json", "--quiet")
        done = typed("verify", URL, *options)
        line, summary = map(json.loads, done.output.splitlines())
        assert (done.exit_code, summary["crls"]) == (1, 1)
        assert {one["check"] for one in line["findings"]} == {"dates", "caching", "last modified", "etag"}
        moved = URL.replace("0-0", "0-1")
        for more, check in (((), "redirect"), (("--follow-redirects",), "distribution point")):
            line = json.loads(typed("verify", moved, *options, *more).output.splitlines()[0])
            assert check in {one["check"] for one in line["findings"]}
        line = json.loads(typed("verify", URL, *options, "--max-size", "10").output.splitlines()[0])
        assert line["findings"] == [{"check": "size", "message": "more than 10 octets"}]
        assert typed("show", URL, "--connect-to", at, "--json").exit_code == 0
        assert typed("diff", URL, URL, "--connect-to", at).exit_code == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    done = typed("verify", URL, "--config", tmp_path / "none.toml")
    assert isinstance(done.exception, UsageError) and done.exception.exit_code == 2
    assert "the CA is not known" in str(done.exception) and "--issuer-cert FILE" in str(done.exception)


def test_a_path_that_holds_no_set_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "0-0.crl").write_bytes(b"0")
    done = typed("verify", tmp_path / "0-0.crl")
    assert isinstance(done.exception, UsageError) and "not a directory" in str(done.exception)
    assert "crl show FILE" in str(done.exception)
    done = typed("verify", tmp_path / "none")
    assert isinstance(done.exception, UsageError) and "no such directory" in str(done.exception)
