"""What a context opens from ocsp.toml, and which configurations it refuses to sign with."""

from pathlib import Path

import pytest
import redis
from cryptography import x509

from _fastpath.certid import SHA1, SHA256
from signer.context import Context, page_bits_for
from signer.keys.file import EcKey
from signer.ledger.errors import LedgerError
from store.connection import socket_path
from store.errors import ConfigError, StoreError, StoreFormatError, StoreUnavailable
from store.schema import issuer_key
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works


@pytest.mark.parametrize(
    ("certificates", "bits"),
    [(0, 10), (1, 6), (4095, 6), (4096, 7), (10_000, 8), (20_000_000, 19), (79_500_000, 21)],
)
def test_page_bits(certificates: int, bits: int) -> None:
    assert page_bits_for(certificates) == bits
    if certificates > 4096:
        assert 32 <= certificates / (1 << bits) <= 64


def change_config(works: Works, old: str, new: str) -> Context:
    _ = works.ledger
    text = works.file.read_text()
    assert old in text
    works.file.write_text(text.replace(old, new))
    return works.open()


def test_page_bits_of_a_new_issuer_follow_its_size(works: Works) -> None:
    with change_config(works, "ocsp = { page_bits = 2 }\n", "") as context:
        assert context.ledger_issuer("demo", 10_000).page_bits == 8
        assert context.ledger_issuer("demo", 10).page_bits == 8


@pytest.mark.conformance("R-04", "R-29")
@pytest.mark.invariant("B2")
def test_the_template(works: Works) -> None:
    signer = works.context.response_signer("demo")
    template = signer.template
    certificate = x509.load_pem_x509_certificate((works.directory / "responder.pem").read_bytes())
    identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    assert template.responder_key_hash == identifier.digest
    assert template.validity == 96 * 3600 - 1
    assert x509.load_der_x509_certificate(template.certificates) == certificate
    assert signer.certid_algorithms == (SHA1, SHA256)


def test_a_template_keeps_its_slot(works: Works) -> None:
    assert works.context.response_signer("demo").slot == works.context.response_signer("demo").slot == 0
    with change_config(works, "page_bits = 2", 'page_bits = 2, validity = "5d"') as context:
        assert context.response_signer("demo").slot == 1
    assert sorted(works.ledger.templates(works.issuer.id)) == [0, 1]


def test_the_store_is_told(works: Works) -> None:
    works.signer()
    record = works.reader.issuer("demo")
    assert record is not None
    assert (record.page_epoch, record.page_bits, record.certid_algorithms) == (1, 2, (SHA1, SHA256))
    assert record.fingerprint == works.context.issuer("demo").id.fingerprint
    for number in record.templates.values():
        assert works.reader.template(number) is not None


@pytest.mark.conformance("D-09")
@pytest.mark.parametrize("damage", ["another field", "a string"])
def test_a_record_that_cannot_be_read_is_replaced(works: Works, damage: str) -> None:
    client = works.context.client
    record = works.context.announce("demo")
    if damage == "a string":
        client.set(issuer_key("demo"), "x")
    else:
        client.hset(issuer_key("demo"), items=["template:300", "1"])
    with pytest.raises(StoreFormatError):
        works.reader.issuer("demo")
    works.context.announce("demo")
    assert works.reader.issuer("demo") == record


def test_the_ca_signs_itself(works: Works) -> None:
    with change_config(
        works, 'key = "responder.key", certificate = "responder.pem"', 'key = "ca.key"'
    ) as context:
        ca = context.issuer("demo").certificate
        assert context.ocsp_signer("demo").certificate == ca
        template = context.response_signer("demo").template
        assert x509.load_der_x509_certificate(template.certificates) == ca  # D-09
        assert isinstance(context.crl_signer("demo").key, EcKey)


@pytest.mark.conformance("D-08")
@pytest.mark.invariant("G3")
def test_a_key_of_another_certificate(works: Works) -> None:
    with (
        change_config(works, 'key = "responder.key"', 'key = "ca.key"') as context,
        pytest.raises(ConfigError, match=r"ca\.key: issuer demo: not the key of .*responder\.pem"),
    ):
        context.ocsp_signer("demo")


@pytest.mark.invariant("G3")
@pytest.mark.conformance("C-02")
def test_crls_are_signed_by_the_ca_alone(works: Works) -> None:
    with (
        change_config(works, 'crl = { key = "ca.key", ', "crl = { ") as context,
        pytest.raises(ConfigError, match=r"responder\.key.*not the key of .*ca\.pem"),
    ):
        context.crl_signer("demo")


@pytest.mark.invariant("G3")
@pytest.mark.conformance("D-08")
def test_an_expired_responder_certificate(works: Works, clock: FakeClock) -> None:
    clock.seconds = NOW + 60 * DAY
    with pytest.raises(ConfigError, match="D-08"):
        works.context.ocsp_signer("demo")


def test_an_unknown_issuer(works: Works) -> None:
    with pytest.raises(ConfigError, match="'other'"):
        works.context.issuer("other")


def test_a_store_without_functions(works: Works, store_url: str) -> None:
    with redis.Redis.from_url(store_url) as client:
        library = client.execute_command("FUNCTION", "DUMP")
        client.function_delete("ocspeed")
        try:
            with works.open() as context, pytest.raises(StoreError, match="not loaded"):
                _ = context.client
        finally:
            client.execute_command("FUNCTION", "RESTORE", library)


def test_an_embedded_store_lives_as_long_as_its_context(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory: Path = tmp_path_factory.mktemp("s")
    works = Works(directory, None, FakeClock())
    with works.context as context:
        context.client.set("x", "1")
        assert socket_path(context.settings.state_directory).exists()
        with works.open() as second:
            assert second.client.get("x") == b"1"
        context.ensure_store()
        assert context.client.ping()
    assert not socket_path(context.settings.state_directory).exists()
    with works.open() as again:
        assert again.client.get("x") == b"1"


def test_who_does_not_start_the_embedded_store_never_owns_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A process of the pool that owned it would leave it dead until its next chunk, which nobody gives it."""
    works = Works(tmp_path_factory.mktemp("s"), None, FakeClock())
    with Context.open(works.file, starts_store=False) as worker:
        with pytest.raises(StoreUnavailable):
            worker.client.ping()
        with Context.open(works.file) as owner:
            assert owner.client.ping() and worker.client.ping()
            owner.client.shutdown(save=False)
            with pytest.raises(redis.ConnectionError):
                worker.client.ping()
            owner.ensure_store()
            assert owner.client.ping() and worker.client.ping()


def test_a_ledger_is_made_only_where_that_is_meant(works: Works) -> None:
    with works.open() as context, pytest.raises(LedgerError, match="there is no ledger here"):
        context.ledger_issuer("demo")
    assert not (works.directory / "ledger.db").exists()
    assert works.context.ledger_issuer("demo").name == "demo"
    assert (works.directory / "ledger.db").stat().st_mode & 0o777 == 0o600
