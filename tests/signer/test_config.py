import os
import re
from pathlib import Path

import pytest

from _fastpath.certid import SHA1, SHA256
from signer.commands.init import EXAMPLE
from signer.config import CrlTable, OcspTable, SeriesTable, Settings, SignerTable, load_settings
from signer.ledger.values import FULL_SERIES, SeriesSpec
from store.errors import ConfigError

HOUR = 3600
DAY = 86_400

ISSUER = """\
[[issuer]]
name = "r1"
certificate = "ca.pem"
signer = { key = "responder.key", certificate = "responder.pem" }
crl = { url = "http://c.example/{series}-{index}.crl" }
"""


def load(directory: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = directory / "ocsp.toml"
    path.write_text(text)
    return load_settings(path, environ or {})


def refusal(directory: Path, text: str, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(directory, text, environ)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value


def with_ocsp(values: str) -> str:
    return ISSUER + f"ocsp = {{ {values} }}\n"


def with_crl(values: str) -> str:
    return ISSUER.replace('{index}.crl"', '{index}.crl", ' + values)


def test_the_defaults_are_the_one_profile(tmp_path: Path) -> None:
    settings = load(tmp_path, ISSUER)
    table = settings.issuer("r1")
    assert (table.ocsp.validity, table.ocsp.cycle) == (4 * DAY, DAY)
    assert (table.crl.validity, table.crl.interval, table.crl.shards) == (7 * DAY, 4 * HOUR, 1)
    assert table.ocsp.algorithms == (SHA1, SHA256)
    assert table.ocsp.page_bits is None
    assert settings.root.signer.worker_count == len(os.sched_getaffinity(0))


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, ISSUER)
    assert settings.ledger_url == f"sqlite:///{tmp_path}/ledger.db"
    assert settings.issuer("r1").certificate == tmp_path / "ca.pem"
    assert settings.ocsp_signer("r1").key == tmp_path / "responder.key"
    absolute = load(tmp_path, ISSUER + '[ledger]\nurl = "sqlite:////var/lib/l.db"\n')
    assert absolute.ledger_url == "sqlite:////var/lib/l.db"


def test_an_unknown_issuer_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no .*is named 'r2'") as caught:
        load(tmp_path, ISSUER).issuer("r2")
    assert caught.value.remedy == "known issuers: r1"


@pytest.mark.conformance("P-01", "R-12", "R-14", "R-15", "R-16", "R-18")
@pytest.mark.invariant("B2", "B3")
@pytest.mark.parametrize(
    ("values", "word"),
    [
        ('validity = "16h"', "`validity`"),
        ('validity = "57601s", cycle = "1h"', "`cycle`"),
        ('validity = "24h", cycle = "8h"', "`cycle`"),
        ('validity = "604801s"', "`validity`"),
        ('cycle = "48h"', "`cycle`"),
        ('cycle = "59m"', "`cycle`"),
        ('validity = "24h", cycle = "12h"', "`cycle`"),
        ("certid_hashes = []", "`certid_hashes`"),
        ('certid_hashes = ["sha1", "sha1"]', "`certid_hashes`"),
        ('certid_hashes = ["sha512"]', "certid_hashes"),
        ("page_bits = 29", "`page_bits`"),
        ("page_bits = -1", "`page_bits`"),
        ('valdity = "4d"', "valdity"),
    ],
)
def test_ocsp_times_outside_the_rules_stop_the_start(tmp_path: Path, values: str, word: str) -> None:
    error = refusal(tmp_path, with_ocsp(values))
    assert word in error.message
    assert error.message.startswith(f"{tmp_path}/ocsp.toml:6: issuer[0].ocsp.{word.strip('`')}")


@pytest.mark.conformance("R-14", "R-15", "R-16")
@pytest.mark.parametrize(
    "values",
    [
        'validity = "61201s", cycle = "1h"',
        'validity = "24h", cycle = "28799s"',
        'validity = "7d"',
        'cycle = "172799s"',
        'cycle = "1h"',
        "page_bits = 0",
    ],
)
def test_ocsp_times_at_the_edge_are_taken(tmp_path: Path, values: str) -> None:
    assert load(tmp_path, with_ocsp(values)).issuer("r1").ocsp != OcspTable()


@pytest.mark.conformance("C-06", "U-03")
@pytest.mark.invariant("B2")
@pytest.mark.parametrize(
    ("values", "word"),
    [
        ('validity = "864001s"', "`validity`"),
        ('validity = "59m"', "`validity`"),
        ('interval = "59s"', "`interval`"),
        ('interval = "86401s"', "`interval`"),
        ('validity = "6h"', "`interval`"),
        ("shards = 0", "`shards`"),
        ("shards = 65537", "`shards`"),
    ],
)
def test_crl_times_outside_the_rules_stop_the_start(tmp_path: Path, values: str, word: str) -> None:
    assert word in refusal(tmp_path, with_crl(values)).message


@pytest.mark.conformance("H-17", "U-01")
@pytest.mark.parametrize(
    "url",
    ["https://c.example/{index}.crl", "ftp://c.example/0.crl", "c.example/0.crl", "http://c.example/a b.crl"],
)
def test_crl_urls_that_clients_do_not_fetch_stop_the_start(tmp_path: Path, url: str) -> None:
    text = ISSUER.replace("http://c.example/{series}-{index}.crl", url)
    assert "`url`" in refusal(tmp_path, text).message


def test_several_shards_need_an_index_in_the_url(tmp_path: Path) -> None:
    text = ISSUER.replace('{series}-{index}.crl"', '0.crl", shards = 2')
    assert "{index}" in refusal(tmp_path, text).message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no [[issuer]]"),
        (ISSUER + ISSUER, "two issuers are named 'r1'"),
        (ISSUER.replace("signer =", "# signer ="), "`signer` is missing"),
        (ISSUER + '[ledger]\nurl = "postgresql://h/d"\n', "sqlite:///"),
        (ISSUER + "[signer]\nworkers = 0\n", "`workers`"),
        (ISSUER + "[surprise]\n", "unknown field `surprise`"),
        (ISSUER.replace('"responder.key"', '"responder.key", pin = "1234"'), "unknown field `pin`"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text).message


SECTIONS = """\
[objects]
target = "o"
also = [
  { target = "p" },
]
[signer]
admin = "127.0.0.1:9561"
workers = 1
[[issuer]]
name = "r1"
certificate = "ca.pem"
[issuer.signer]
key = "k"
[issuer.ocsp]
cycle = "24h"
validity = "96h"
[issuer.crl]
shards = 2
url = "http://c.example/{index}.crl"
[[issuer]]
name = "r2"
certificate = "other.pem"
signer = { key = "k" }
crl = { url = "http://c.example/2.crl" }
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"p"', '"o"', "3: objects.also: `also`: two targets"),
        ('"127.0.0.1:9561"', '"9561"', "7: signer.admin: `admin`: '9561' is not an address"),
        ("workers = 1", "workers = 0", "8: signer.workers: `workers` must be"),
        ('"96h"', '"16h"', "16: issuer[0].ocsp.validity: `validity` must be"),
        ("{index}.crl", "1.crl", "19: issuer[0].crl.url: `url` must contain {index}"),
        ('"r2"', '"r1"', "21: issuer[1].name: `issuer[1].name`: two issuers"),
        ('"r2"', '"R2"', "21: issuer[1].name: `name` 'R2' must be"),
        ('key = "k" }', 'file = "k" }', "23: issuer[1].signer.file: `file` does not go with"),
        ('2.crl" }', '2.crl", shards = 0 }', "24: issuer[1].crl.shards: `shards` must be"),
    ],
)
def test_what_a_section_refuses_is_told_with_the_line_and_name_of_its_key(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    load(tmp_path, SECTIONS)
    assert before in SECTIONS
    assert refusal(tmp_path, SECTIONS.replace(before, after)).message.startswith(
        f"{tmp_path}/ocsp.toml:{message}"
    )


def test_a_section_refuses_what_the_environment_says(tmp_path: Path) -> None:
    error = refusal(tmp_path, SECTIONS, {"OCSP__SIGNER__WORKERS": "0"})
    assert error.message.startswith("OCSP__SIGNER__WORKERS: signer.workers: `workers` must be")
    assert error.remedy == "correct `signer.workers`"


@pytest.mark.parametrize(
    ("text", "line"), [("x = 1\n[issuer\n", 2), ('a = 1\n\nb = """\nc\n', 4), ("=", 1), ("[a]\n[b]\n[a]", 3)]
)
def test_bad_toml_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    assert refusal(tmp_path, text).message.startswith(f"{tmp_path}/ocsp.toml:{line}: not valid TOML: ")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_certificate_that_cannot_be_read_is_told_with_its_place(
    tmp_path: Path, content: str | None
) -> None:
    settings = load(tmp_path, SECTIONS)
    if content:
        (tmp_path / "other.pem").write_text(content)
    place = f"{tmp_path}/ocsp.toml:22: issuer[1].certificate: {tmp_path}/other.pem: "
    with pytest.raises(ConfigError, match=re.escape(place)) as caught:
        settings.load_issuer("r2")
    assert caught.value.remedy


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    environ = {"OCSP__LEDGER__URL": "sqlite:///other.db", "OCSP__SIGNER__WORKERS": "3"}
    settings = load(tmp_path, ISSUER, environ)
    assert settings.ledger_url == f"sqlite:///{tmp_path}/other.db"
    assert settings.root.signer.worker_count == 3
    error = refusal(tmp_path, ISSUER, {"OCSP__SIGNER__WORKERS": "many"})
    assert error.message.startswith("OCSP__SIGNER__WORKERS: signer.workers")


def test_the_example_is_a_configuration_of_both_processes(tmp_path: Path) -> None:
    from responder.config import Root as ResponderRoot
    from store.config import convert

    settings = load(tmp_path, EXAMPLE)
    assert settings.issuer("example").crl.key == tmp_path / "ca.key"
    assert convert(settings.document, ResponderRoot).issuer[0].name == "example"


def test_the_example_shows_the_defaults_and_every_key(tmp_path: Path) -> None:
    """With every `# key = value` switched on it must still load, and mean the same where it names a default."""
    lines = [line.removeprefix("# ") if line.startswith("# [[") or " = " in line[1:].split("#")[0] else line
             for line in EXAMPLE.splitlines()[3:]]  # fmt: skip
    # Without its user; another kind of key beside the one shown; of an S3 store.
    other = (
        "password_file",
        "kind",
        "file",
        "module",
        "token =",
        "label",
        "id",
        "pin_file",
        "signer = {",
        'directory = "responders"',
        "renew_command",
        "endpoint",
        "region",
        "access_key_file",
        "secret_key_file",
    )
    shown = load(tmp_path, "\n".join(line for line in lines if not line.startswith(other)) + "\n")
    plain = load(tmp_path, EXAMPLE)
    shown_issuer, plain_issuer = shown.issuer("example"), plain.issuer("example")
    for key in ("enabled", "validity", "cycle", "certid_hashes"):
        assert getattr(shown_issuer.ocsp, key) == getattr(plain_issuer.ocsp, key)
    for key in ("shards", "validity", "interval", "revoked_within", "offline", "url"):
        assert getattr(shown_issuer.crl, key) == getattr(plain_issuer.crl, key)
    assert (shown.ledger_url, shown.root.objects.target, shown.state_directory) == (
        plain.ledger_url,
        plain.root.objects.target,
        plain.state_directory,
    )
    assert shown.root.signer.admin == plain.root.signer.admin
    for key in ("body_limit", "line_limit", "limit_concurrency", "timeout"):
        assert getattr(shown.root.intake, key) == getattr(plain.root.intake, key)
    assert shown.root.intake.enabled and not plain.root.intake.enabled
    assert shown.root.store.url == plain.root.store.url
    named = {line.split(" = ")[0] for line in lines if " = " in line} | {"series"}
    root = plain.root
    own = (type(root.ledger), type(root.signer), type(root.intake))
    sections = (OcspTable, CrlTable, SeriesTable, SignerTable, *own)
    expected = {key for section in sections for key in section.__struct_encode_fields__}
    assert expected <= named
    assert len(shown_issuer.crl.series) == 1


@pytest.mark.parametrize(
    ("intake", "message"),
    [
        ('client_ca = "c.pem"', "`client_ca` needs `certificate` and `key`"),
        ('certificate = "c.pem"', "`certificate` and `key` go together"),
        ("line_limit = 0", "`line_limit` must be at least 1"),
        ('tokens = "t"\n[signer]\nadmin = ""', "`intake` is served on `signer.admin`, which is empty"),
        ('tokens = "t"\n[signer]\nadmin = "192.0.2.1:9561"', "is not loopback: tokens go there only"),
        ('[signer]\nadmin = "9561"', "is not an address"),
    ],
)
def test_intake_that_would_be_unsafe_or_nowhere(tmp_path: Path, intake: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[intake]\n{intake}\n{ISSUER}")
    assert message in str(caught.value)


@pytest.mark.parametrize("admin", ["127.0.0.1:1", "[::1]:1", "localhost:1", "192.0.2.1:1"])
def test_intake_in_safe_places(tmp_path: Path, admin: str) -> None:
    tls = 'certificate = "c.pem"\nkey = "k.pem"' if admin.startswith("192") else ""
    text = f'[intake]\ntokens = "t"\n{tls}\n[signer]\nadmin = "{admin}"\n{ISSUER}'
    assert load(tmp_path, text).root.intake.tokens == tmp_path / "t"


PKCS12 = ISSUER.replace('key = "responder.key"', 'kind = "pkcs12", file = "responder.p12"')


PKCS11_KEY = 'kind = "pkcs11", module = "p11.so", token = "t", label = "k", pin_file = "pin"'
PKCS11 = ISSUER.replace('key = "responder.key"', PKCS11_KEY)


def test_a_key_in_a_token(tmp_path: Path) -> None:
    signer = load(tmp_path, PKCS11.replace('label = "k"', 'id = "01:A2"')).ocsp_signer("r1")
    assert (signer.module, signer.pin_file) == (tmp_path / "p11.so", tmp_path / "pin")
    assert (signer.token, signer.label, signer.id) == ("t", None, "01:A2")


DIRECTORY = ISSUER.replace('key = "responder.key", certificate = "responder.pem"', 'directory = "d"')


def test_responder_certificates_in_a_directory(tmp_path: Path) -> None:
    with_key = DIRECTORY.replace('url = "', 'key = "ca.key", url = "')
    assert load(tmp_path, with_key).ocsp_signer("r1").directory == tmp_path / "d"
    tokens = with_key.replace(
        'directory = "d"', 'kind = "pkcs11", module = "p", token = "t", pin_file = "n", directory = "d"'
    )
    assert load(tmp_path, tokens).ocsp_signer("r1").token == "t"
    for more, message in (
        ('kind = "pkcs12"', 'goes with kind = "file"'),
        ('key = "a"', "`key` does not go with `directory`"),
        ('certificate = "a"', "`certificate` does not go with `directory`"),
        ('kind = "pkcs11", module = "p", token = "t"', "`pin_file` is missing"),
        ("renew_command = []", "`renew_command` must be a program"),
        ('renew_command = [""]', "`renew_command` must be a program"),
        ('renew_command = ["a"], renew_every = "59s"', "`renew_every` must be"),
        ('renew_command = ["a"], renew_timeout = "2h"', "`renew_timeout` must be"),
        ('renew_command = ["a"], renew_before = "96h"', "must be more than `ocsp.validity`"),
        ('kind = "pkcs11", module = "p", token = "t", pin_file = "n", id = "01"', "`id` does not go with"),
    ):
        assert (
            message
            in refusal(tmp_path, with_key.replace('directory = "d"', more + ', directory = "d"')).message
        )
    assert "`crl.key` is missing" in refusal(tmp_path, with_key.replace('key = "ca.key", ', "")).message
    stray = ISSUER.replace('key = "responder.key"', 'renew_command = ["a"], key = "responder.key"')
    assert "`renew_command` goes with `directory`" in refusal(tmp_path, stray).message


def test_a_key_of_crls_in_a_token(tmp_path: Path) -> None:
    text = with_crl("signer = { " + PKCS11_KEY + " }").replace('key = "ca.key", ', "")
    signer = load(tmp_path, text).issuer("r1").crl.signer
    assert signer is not None and (signer.token, signer.label) == ("t", "k")


def test_a_key_in_a_pkcs12_file(tmp_path: Path) -> None:
    signer = load(tmp_path, PKCS12.replace(".p12", '.p12", password_file = "secret')).ocsp_signer("r1")
    assert (signer.file, signer.password_file) == (tmp_path / "responder.p12", tmp_path / "secret")
    assert signer.key is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ISSUER.replace('key = "responder.key", ', ""), '`key` is missing: it names the key of kind = "file"'),
        (PKCS12.replace('file = "responder.p12", ', ""), "`file` is missing"),
        (PKCS12.replace("file =", 'key = "a", file ='), '`key` does not go with kind = "pkcs12"'),
        (PKCS12.replace("file =", 'passphrase_file = "a", file ='), "`passphrase_file` does not go"),
        (ISSUER.replace("key =", 'password_file = "a", key ='), '`password_file` does not go with kind = "file"'),
        (ISSUER.replace("key =", 'file = "a", key ='), '`file` does not go with kind = "file"'),
        (ISSUER.replace("key =", 'kind = "tpm", key ='), "'tpm'"),
        (PKCS11.replace('module = "p11.so", ', ""), "`module` is missing"),
        (PKCS11.replace('token = "t", ', ""), "`token` is missing"),
        (PKCS11.replace(', pin_file = "pin"', ""), "`pin_file` is missing"),
        (PKCS11.replace('label = "k", ', ""), "`label` or `id` is missing"),
        (PKCS11.replace("label =", 'id = "0x1", label ='), "`id` must be octets in hexadecimal"),
        (PKCS11.replace("label =", 'id = "123", label ='), "`id` must be octets in hexadecimal"),
        (PKCS11.replace("label =", 'pin = "1234", label ='), "unknown field `pin`"),
        (PKCS11.replace("label =", 'key = "k.pem", label ='), '`key` does not go with kind = "pkcs11"'),
        (ISSUER.replace("key =", 'token = "t", key ='), '`token` does not go with kind = "file"'),
    ],
)  # fmt: skip
def test_fields_go_with_the_kind_of_key(tmp_path: Path, text: str, message: str) -> None:
    found = refusal(tmp_path, text)
    assert message in found.message
    assert "ocsp.toml:4: issuer[0].signer" in found.message


def with_series(values: str, first: str = "") -> str:
    return ISSUER.replace('{index}.crl" }', '{index}.crl"' + first + ", series = [" + values + "] }")


NEW = 'url = "http://c.example/n{series}-{index}.crl", shards = 8'


@pytest.mark.conformance("C-19", "P-08")
def test_series_are_appended(tmp_path: Path) -> None:
    text = with_series(
        f"{{ {NEW}, from = 2027-01-01T00:00:00Z }}, {{ {NEW}, from = 2028-01-01T00:00:00+01:00 }}"
    )
    plan = load(tmp_path, text).issuer("r1").crl.plan
    pattern = "http://c.example/n{series}-{index}.crl"
    assert plan.shards == (
        SeriesSpec("http://c.example/{series}-{index}.crl", 1),
        SeriesSpec(pattern, 8, 1_798_761_600),
        SeriesSpec(pattern, 8, 1_830_297_600 - 3600),
    )
    assert sorted(plan.specs()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_series(f"{{ {NEW} }}"), "`from`"),
        (with_series(f"{{ {NEW}, from = 2027-01-01T00:00:00 }}"), "`from` must be a time with its zone"),
        (with_series(f"{{ {NEW}, from = 2027-01-01T00:00:00Z }}, {{ {NEW}, from = 2027-01-01T00:00:00Z }}"),
         "a later `from`"),
        (with_series('{ url = "http://c.example/1.crl", shards = 2, from = 2027-01-01T00:00:00Z }'), "{index}"),
        (ISSUER.replace("url =", "shards = 2, full_url ="), "`shards` and `series` go with `url`"),
        (ISSUER.replace("url =", "ca_url ="), "`url` is missing"),
        (with_crl('full_url = "https://c.example/full.crl"'), "`full_url` must begin with http://"),
        (with_crl('ca_url = "c.example/ca.crl"'), "`ca_url` must begin with http://"),
        (with_crl('revoked_within = "25h"'), "`revoked_within`"),
        (with_crl("offline = true"), "`crl.offline` goes with ocsp.enabled = false"),
        (with_crl('offline = true, key = "ca.key"'), "`key` and `signer` do not go with `offline`"),
        (with_crl('offline = true, signer = { kind = "pkcs12", file = "a" }'), "do not go with `offline`"),
        (with_crl('key = "ca.key", signer = { kind = "pkcs12", file = "a" }'), "use one of them"),
        (with_crl('signer = { key = "a" }'), "is named by `key`"),
        (ISSUER.replace("signer =", "# signer =") + "ocsp = { enabled = false }\n", "`crl.key` is missing"),
    ],
)  # fmt: skip
def test_crls_that_cannot_be_meant_stop_the_start(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text).message


@pytest.mark.conformance("P-02")
def test_a_ca_without_ocsp_needs_no_responder_certificate(tmp_path: Path) -> None:
    text = with_crl('key = "ca.key"').replace("signer =", "# signer =") + "ocsp = { enabled = false }\n"
    settings = load(tmp_path, text)
    assert settings.issuer("r1").signer is None
    with pytest.raises(ConfigError, match="issuer r1 has no OCSP"):
        settings.ocsp_signer("r1")


@pytest.mark.conformance("C-12")
def test_a_full_crl_can_be_alone(tmp_path: Path) -> None:
    plan = load(tmp_path, ISSUER.replace("url =", "full_url =")).issuer("r1").crl.plan
    assert list(plan.specs()) == [FULL_SERIES]
