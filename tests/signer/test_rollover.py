"""New responder certificates in a directory: which one signs, and pages that move to it without a bad answer (B5)."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

import signer.ocsp.turns
from signer.errors import ResponderChanged, SignerExpiring
from signer.ocsp.batch import Pool
from signer.ocsp.pages import PageSigner
from signer.ocsp.schedule import PageRange
from signer.ocsp.service import open_service
from store.clock import SystemClock
from store.errors import ConfigError
from store.model import load_certificate
from store.trust import trust_template
from tests.signer.processes import wait_until
from tests.signer.softhsm import PrivateKey, SoftHsm
from tests.signer.test_run import fill, has_socket, is_whole, running
from tests.signer.works import DAY, FakeClock, Works, row_in_page

ALL = PageRange(0, 3)
BY_NAME = '{ key = "responder.key", certificate = "responder.pem" }'


def issue(works: Works, name: str, begins: int, ends: int) -> ec.EllipticCurvePrivateKey:
    """A responder certificate like the first one, with a new key, into the directory; times are seconds since 1970."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = works.directory / "responders" / f"{name}.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certify(works, name, key, begins, ends)
    return key


def certify(works: Works, name: str, key: PrivateKey, begins: int, ends: int) -> None:
    """The certificate alone."""
    ca_key = load_pem_private_key((works.directory / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    model = load_certificate(works.directory / "responder.pem")
    builder = x509.CertificateBuilder(
        model.issuer, model.subject, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(datetime.fromtimestamp(begins, UTC))
    builder = builder.not_valid_after(datetime.fromtimestamp(ends, UTC))
    for extension in model.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(value, extension.critical)
    directory = works.directory / "responders"
    unready = directory / f"{name}.new"
    unready.write_bytes(builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    unready.rename(directory / f"{name}.pem")


def with_directory(works: Works) -> None:
    """Its first certificate, of 60 days, is the only one."""
    directory = works.directory / "responders"
    directory.mkdir()
    for suffix in (".pem", ".key"):
        shutil.copy(works.directory / f"responder{suffix}", directory / f"a{suffix}")
    works.file.write_text(works.file.read_text().replace(BY_NAME, '{ directory = "responders" }'))


@pytest.fixture
def rolling(tmp_path: Path, store_url: str, clock: FakeClock) -> Iterator[Works]:
    works = Works(tmp_path, store_url, clock)
    with_directory(works)
    with works.configured("", ""):
        yield works


def names(works: Works) -> dict[str, int]:
    """Files of the directory by the end of their certificate."""
    found = (works.directory / "responders").glob("*.pem")
    return {path.stem: int(load_certificate(path).not_valid_after_utc.timestamp()) for path in found}


def chosen(works: Works) -> str:
    return next(
        name for name, end in names(works).items() if end == works.context.ocsp_signer("demo").not_after
    )


def check_answers(works: Works) -> set[int]:
    """Every stored record is of a template that the store has, of a fit signer, and ends before it; their slots."""
    issuer = works.context.issuer("demo")
    known = works.reader.issuer("demo")
    assert known is not None
    slots = set()
    for page in range(1 << works.issuer.page_bits):
        found = works.stored(page)
        assert found is not None
        for serial, record in found[1].items():
            number = known.templates[record[1]]
            template = works.reader.template(number)
            assert template is not None
            signer = trust_template(issuer, number, template)
            end = works.response_end(serial)
            assert works.clock.now() < end <= signer.not_after
            slots.add(record[1])
    return slots


def test_the_one_that_ends_last_signs(rolling: Works, clock: FakeClock) -> None:
    now = clock.now()
    assert chosen(rolling) == "a"
    issue(rolling, "shorter", now - 60, now + 30 * DAY)
    assert chosen(rolling) == "a"
    issue(rolling, "b", now - 60, now + 80 * DAY)
    assert chosen(rolling) == "b"
    assert rolling.context.responder("demo")[1] == []
    (rolling.directory / "responders" / "b.pem").unlink()
    assert chosen(rolling) == "a"


def test_unfit_ones_are_passed_over_and_named(rolling: Works, clock: FakeClock) -> None:
    now, first = clock.now(), names(rolling)["a"]
    issue(rolling, "early", now + 3600, now + 90 * DAY)
    issue(rolling, "keyless", now - 60, now + 80 * DAY)
    directory = rolling.directory / "responders"
    (directory / "keyless.key").unlink()
    issue(rolling, "swapped", now - 60, now + 70 * DAY)
    shutil.copy(directory / "a.key", directory / "swapped.key")
    (directory / "half.pem").write_text("-----BEGIN CERTIFICATE-----\nMII")
    assert rolling.context.ocsp_signer("demo").not_after == first
    found = sorted(str(error) for error in rolling.context.responder("demo")[1])
    assert [next(name for name in ("early", "half", "keyless", "swapped") if name in text) for text in found] == [
        "early", "half", "keyless", "swapped",
    ]  # fmt: skip
    clock.pass_time(3601)
    assert rolling.context.ocsp_signer("demo").not_after == now + 90 * DAY


@pytest.mark.parametrize(("content", "message"), [(None, "there is no NAME.pem"), ("x", "certificate")])
def test_a_directory_without_certificates(rolling: Works, content: str | None, message: str) -> None:
    directory = rolling.directory / "responders"
    (directory / "a.pem").unlink()
    if content is not None:
        (directory / "b.pem").write_text(content)
    with pytest.raises(ConfigError, match=message):
        rolling.context.ocsp_signer("demo")
    shutil.rmtree(directory)
    with pytest.raises(ConfigError, match=r"correct `signer\.directory`"):
        rolling.context.ocsp_signer("demo")


@pytest.mark.slow
@pytest.mark.conformance("R-17", "D-08")
def test_pages_move_as_they_are_due(rolling: Works, clock: FakeClock) -> None:
    """Over the end of the first certificate: each answer is of one that outlives it, and there always is one."""
    rows = [
        row_in_page(page, number, not_after=clock.now() + 300 * DAY)
        for page in range(4)
        for number in range(2)
    ]
    rolling.add(rows)
    end = names(rolling)["a"]
    with Pool(rolling.file, 1, clock) as pool:
        service = open_service(rolling.context, "demo", pool)
        assert service.sign_all(lambda pages: None).faults == []
        assert check_answers(rolling) == {0}
        clock.pass_time(end - 9 * DAY - clock.now())
        service.sign_due(lambda pages: None)
        issue(rolling, "b", clock.now() - 60, clock.now() + 60 * DAY)
        service = open_service(rolling.context, "demo", pool)
        moves = [check_answers(rolling)]
        while clock.now() < end + DAY:
            clock.pass_time(6 * 3600)
            assert service.sign_due(lambda pages: None).faults == []
            moves.append(check_answers(rolling))
    assert moves[0] == {0} and {0, 1} in moves and moves[-1] == {1}
    assert moves == sorted(moves, key=sorted)  # none goes back


def test_a_revocation_is_signed_with_the_new_one_at_once(rolling: Works, clock: FakeClock) -> None:
    row = rolling.add([row_in_page(page, 0) for page in range(4)])[0]
    with Pool(rolling.file, 1, clock) as pool:
        open_service(rolling.context, "demo", pool).sign_all(lambda pages: None)
        issue(rolling, "b", clock.now() - 60, clock.now() + 80 * DAY)
        clock.pass_time(60)
        service = open_service(rolling.context, "demo", pool)
        rolling.revoke(row.serial)
        service.step()
    assert check_answers(rolling) == {0, 1}
    assert rolling.is_revoked(row.serial)


def test_nothing_is_signed_under_a_template_that_no_responder_knows(rolling: Works, clock: FakeClock) -> None:
    """A process of the pool that reads the directory later than this one did."""
    rolling.add([row_in_page(page, 0) for page in range(4)])
    with Pool(rolling.file, 1, clock) as pool:
        service = open_service(rolling.context, "demo", pool)
        issue(rolling, "b", clock.now() - 60, clock.now() + 80 * DAY)
        with pytest.raises(ResponderChanged):
            service.sign_all(lambda pages: None)
        assert [rolling.stored(page) for page in range(4)] == [None] * 4
        assert open_service(rolling.context, "demo", pool).sign_all(lambda pages: None).faults == []
    assert check_answers(rolling) == {1}


@pytest.mark.conformance("R-17")
def test_an_expiring_one_alone_signs_nothing(rolling: Works, clock: FakeClock) -> None:
    rolling.add([row_in_page(0, 0, not_after=clock.now() + 300 * DAY)])
    clock.pass_time(names(rolling)["a"] - 15 * 3600 - clock.now())
    signer_of: PageSigner = rolling.context.page_signer("demo")
    with pytest.raises(SignerExpiring):
        signer_of.sign_range(ALL)
    issue(rolling, "b", clock.now() - 60, clock.now() + 60 * DAY)
    assert rolling.context.page_signer("demo").sign_range(ALL).faults == []


def test_a_running_signer_picks_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also out of a token; and is not disturbed by one that is unfit."""
    monkeypatch.setattr(signer.ocsp.turns, "RESPONDERS", 0.2)
    works = Works(tmp_path, None, SystemClock(), page_bits=6)
    with_directory(works)
    now = works.clock.now()
    with works.configured("", ""):
        fill(works)
        with capture_logs() as logs, running(works):
            wait_until(lambda: has_socket(works) and is_whole(works))
            issue(works, "early", now + 3600, now + 90 * DAY)
            wait_until(lambda: any(entry["event"] == "responder certificate not used" for entry in logs))
            issue(works, "b", now - 60, now + 80 * DAY)
            wait_until(lambda: any(entry["event"] == "responder certificate changed" for entry in logs))
            works.revoke(row_in_page(1, 1).serial)
            wait_until(lambda: works.is_revoked(row_in_page(1, 1).serial))
            assert check_answers(works) == {0, 1}
        assert not [entry for entry in logs if entry["event"] in ("issuer failed", "store failed")]


def test_keys_in_a_token(rolling: Works, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their labels are the names of the certificates' files. From P-256 to RSA, too."""
    (rolling.directory / "hsm").mkdir()
    token = SoftHsm(rolling.directory / "hsm", monkeypatch).token()
    directory = rolling.directory / "responders"
    first = load_pem_private_key((directory / "a.key").read_bytes(), None)
    assert isinstance(first, ec.EllipticCurvePrivateKey)
    token.put(first, "a", "01")
    table = token.table("x").replace('label = "x"', 'directory = "responders"')
    with rolling.configured('{ directory = "responders" }', table):
        assert chosen(rolling) == "a"
        token.put(issue(rolling, "b", clock.now() - 60, clock.now() + 80 * DAY), "b", "02")
        for path in directory.glob("*.key"):
            path.unlink()
        assert chosen(rolling) == "b"
        rolling.add([row_in_page(page, 0) for page in range(4)])
        assert rolling.signer().sign_range(ALL).faults == []
        assert check_answers(rolling) == {0}
        third = rsa.generate_private_key(65537, 2048)
        token.put(third, "c", "03")
        certify(rolling, "c", third, clock.now() - 60, clock.now() + 85 * DAY)
        clock.pass_time(60)
        assert rolling.signer().sign_range(ALL).faults == []
        assert check_answers(rolling) == {1}
        rolling.check_store()
