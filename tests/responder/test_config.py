"""The responder's configuration: defaults, what it passes over, and errors that name file, line and field."""

import os
from pathlib import Path

import pytest

from responder.config import load_settings
from store.config import load_document
from store.errors import ConfigError
from store.listening import Address
from tests.responder.ca import CA
from tests.responder.conftest import write_config


def test_defaults(tmp_path: Path, ca: CA) -> None:
    settings = load_settings(write_config(tmp_path, ca, "embedded:"))
    section = settings.responder
    assert (section.listen, section.admin, section.workers) == ("127.0.0.1:2560", "127.0.0.1:9560", 1)
    assert (section.body_limit, section.target_limit) == (16384, 8192)
    assert (section.max_age_cap, section.keep_alive, section.lookup_timeout_ms) == (3600, 75, 40)
    assert settings.embedded
    assert settings.state_directory == tmp_path / ".ocspeed"
    assert settings.objects.location == str(tmp_path / "objects")
    assert settings.store.url == f"unix://{tmp_path}/.ocspeed/store/valkey.sock"
    assert [issuer.name for issuer in settings.issuers] == ["demo"]


def test_the_signers_sections_are_passed_over(tmp_path: Path, ca: CA) -> None:
    path = write_config(tmp_path, ca, "embedded:")
    text = 'profile = "public-tls"\n' + path.read_text()
    text += 'signer = { kind = "file" }\nocsp = { validity = "96h" }\ncrl = { shards = 8 }\n'
    path.write_text(text + "[signer]\nx = 1\n[ledger]\ny = 2\n[state]\ndirectory = 'elsewhere'\n")
    assert load_settings(path).state_directory == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('listen = "nowhere"', "is not an address such as"),
        ('listen = "127.0.0.1:65536"', "is not an address such as"),
        ('admin = "::1:80"', "is not an address such as"),
        ('prefix = "ocsp/"', "must be empty or a path such as"),
        ('prefix = "/"', "must be empty or a path such as"),
        ("workers = 0", "not 1 to 256"),
        ("lookup_timeout_ms = 10001", "not 1 to 10000"),
        ("waiting_room = 0", "must be at least 1"),
        ("limit_concurrency = 0", "must be at least 1"),
        ('verify = "never"', "never"),
        ('keep_alive = "soon"', "is not a duration"),
        ("lookup_timeout = 3", "unknown field"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path: Path, ca: CA, line: str, message: str) -> None:
    path = write_config(tmp_path, ca, "embedded:", line)
    number = path.read_text().splitlines().index(line) + 1
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    field = line.partition(" ")[0]
    assert caught.value.message.startswith(f"{path}:{number}: responder.{field}: ")
    assert message in caught.value.message
    assert caught.value.exit_code == 2


def test_issuers_must_be_there_and_distinct(tmp_path: Path, ca: CA) -> None:
    path = write_config(tmp_path, ca, "embedded:")
    table = '[[issuer]]\nname = "{}"\ncertificate = "ca.pem"\n'
    for tables, message in (
        ("", "there is no [[issuer]]"),
        (table.format("a") + table.format("a"), "two issuers are named 'a'"),
        (table.format("a") + table.format("b"), "have the same name and key"),
    ):
        path.write_text(tables)
        with pytest.raises(ConfigError, match=message.replace("[", "\\[")):
            load_settings(path)


def test_a_missing_ca_certificate_is_told_with_its_place(tmp_path: Path, ca: CA) -> None:
    path = write_config(tmp_path, ca, "embedded:")
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(ConfigError, match=rf"{path}:\d+: issuer\[0\].certificate: {tmp_path}/ca.pem: .*read"):
        load_settings(path)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("[::]:2560", "::", 2560), ("10.0.0.1:1", "10.0.0.1", 1), (":80", "", 80)]
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [("a = " + "[" * 5000, "nested too deep"), ("a = " + "1" * 5000, "digits"), ("a = 1 1", "at line 1")],
    ids=["nested", "digits", "no TOML"],
)
def test_what_the_parser_of_toml_gives_up_on(tmp_path: Path, text: str, message: str) -> None:
    """F6: found by fuzzing."""
    path = tmp_path / "ocsp.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"{path}:1: not valid TOML: .*{message}"):
        load_document(path, {})


def test_what_the_environment_may_hold(tmp_path: Path, ca: CA) -> None:
    """F6: found by fuzzing. What is no value of TOML is text, and octets that are no text are refused."""
    path = write_config(tmp_path, ca, "embedded:")
    for value in ("[" * 5000, "1" * 5000):
        assert load_document(path, {"OCSP__STORE__URL": value}).data["store"]["url"] == value
    with pytest.raises(ConfigError, match="OCSP__STORE__URL: holds what is no text"):
        load_document(path, {"OCSP__STORE__URL": os.fsdecode(b"\xff")})


def test_a_path_that_no_file_can_have(tmp_path: Path, ca: CA) -> None:
    path = write_config(tmp_path, ca, "embedded:")
    path.write_text(path.read_text() + '[[issuer]]\nname = "x"\ncertificate = "a\\u0000b"\n')
    with pytest.raises(ConfigError, match="the certificate cannot be read: embedded null"):
        load_settings(path)
