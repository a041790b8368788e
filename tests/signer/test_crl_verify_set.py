"""Whole sets: from lists and object stores to what is wrong with each CRL and with all of them together."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signer.commands.crl_verify import VerifyRequest, verify
from signer.crl.build import CrlScope
from signer.crl.fetch import Fetcher, FetchFault, Limits
from signer.crl.verify import verify_set
from signer.crl.verify_set import Finding, Found, Target, check_complete, check_disclosed
from signer.crl.verify_source import CrlSet, SourceError, sets_of_objects, sets_of_text, sets_of_url
from store.errors import OcspeedError, UsageError
from store.objects import SIZE_LIMIT, UNSHARDED, Manifest, PublishedShard
from tests.signer.crl_authority import NOW
from tests.signer.crl_forge import AUTHORITY, entry, forge, reason, right
from tests.signer.crl_server import http_message, saying
from tests.signer.works import FakeClock

GENERATED = NOW - 30
SHARDS = 4
FULL = next(series for series, name in UNSHARDED.items() if name == "full")


def url(index: int) -> str:
    return f"http://c.example/crl/r1/0-{index}.crl"


def shard(index: int, *, number: int = 5, this_update: int = NOW - 60) -> bytes:
    return forge(right(bytes([index + 1, index + 1]), number=number, url=url(index), this_update=this_update))


def published(
    index: int, data: bytes, *, number: int = 5, series: int = 0, at: str | None = None
) -> PublishedShard:
    return PublishedShard(
        url=at or url(index), path=f"crl/r1/{series}-{index}.crl", series=series, shard_index=index, crl_number=number,
        this_update=NOW - 60, next_update=NOW - 60 + 604_799, entries=1, size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip


DATA = {url(index): shard(index) for index in range(SHARDS)}
MANIFEST = Manifest(
    issuer="r1", generated_at=GENERATED, shards=[published(n, DATA[url(n)]) for n in range(SHARDS)]
)


def look_in(served: Mapping[str, bytes], at: int = NOW) -> Callable[[Target], Found]:
    def look(target: Target) -> Found:
        if target.url not in served:
            raise FetchFault("status", "status 404, not 200")
        return Found(served[target.url], at)

    return look


def findings(served: Mapping[str, bytes], manifest: Manifest = MANIFEST) -> list[Finding]:
    targets = tuple(Target(one.url, one) for one in manifest.shards)
    crls = CrlSet("manifest", targets, look_in(served), manifest)
    return list(verify_set(crls, AUTHORITY.certificate).findings)


def of_array(served: Mapping[str, bytes], urls: list[str]) -> list[Finding]:
    crls = CrlSet("array", tuple(map(Target, urls)), look_in(served))
    return list(verify_set(crls, AUTHORITY.certificate).findings)


@pytest.mark.conformance("P-09")
def test_a_right_set() -> None:
    done: list[int] = []
    crls = CrlSet("manifest", tuple(Target(one.url, one) for one in MANIFEST.shards), look_in(DATA), MANIFEST)
    verdict = verify_set(crls, AUTHORITY.certificate, progress=done.append)
    assert (verdict.findings, done) == ((), [1] * SHARDS)
    assert [(one.target.url, one.crl_number, one.serials) for one in verdict.crls] == [
        (url(n), 5, [bytes([n + 1, n + 1])]) for n in range(SHARDS)
    ]
    assert of_array(DATA, list(DATA)) == []


@pytest.mark.conformance("P-09")
def test_one_that_is_missing() -> None:
    served = {at: data for at, data in DATA.items() if at != url(2)}
    assert findings(served) == [Finding(url(2), "status", "status 404, not 200")]


@pytest.mark.conformance("P-09")
@pytest.mark.parametrize(
    ("kept", "message"), [([0, 1, 3], "shard 2 is missing"), ([0, 1, 1, 2], "shard 1 is there 2 times")]
)
def test_an_incomplete_manifest(kept: list[int], message: str) -> None:
    manifest = Manifest(issuer="r1", generated_at=GENERATED, shards=[MANIFEST.shards[n] for n in kept])
    assert Finding("manifest", "set", f"series 0: {message}") in findings(DATA, manifest)


@pytest.mark.conformance("P-09")
def test_the_last_shard_is_missing() -> None:
    shards = [msgspec.structs.replace(one, shard_count=SHARDS) for one in MANIFEST.shards]
    assert findings(DATA, Manifest(issuer="r1", generated_at=GENERATED, shards=shards)) == []
    short = Manifest(issuer="r1", generated_at=GENERATED, shards=shards[:3])
    assert findings(DATA, short) == [Finding("manifest", "set", "series 0: shard 3 is missing")]


@pytest.mark.conformance("P-04")
def test_what_is_disclosed_is_what_is_published() -> None:
    def found(full: list[str], partitioned: list[str]) -> list[tuple[str, str]]:
        return [(one.url, one.message) for one in check_disclosed("here", full, partitioned, MANIFEST)]

    assert found([], list(DATA)) == found([], [""]) == found([""], []) == []
    assert found([], []) == [("here", "there is no array for the CCADB beside it")]
    assert found([], list(DATA)[1:]) == [(url(0), "is not in ccadb-partitioned.json")]
    strange = url(0).replace("c.example", "C.example")
    assert found([], [*list(DATA)[1:], strange]) == [
        (strange, "is in ccadb-partitioned.json and not such a CRL of here"),
        (url(0), "is not in ccadb-partitioned.json"),
    ]
    assert found([], [*DATA, url(1)]) == [(url(1), "is 2 times in ccadb-partitioned.json")]
    assert found([url(0)], []) == [(url(0), "is in ccadb-full.json and not such a CRL of here")]


@pytest.mark.conformance("P-04", "U-01")
def test_a_list_names_plain_urls_once() -> None:
    assert of_array(DATA, [*DATA, url(0)]) == [Finding(url(0), "list", "named 2 times")]
    secure = "https://c.example/0.crl"
    assert Finding(secure, "list", "not a URL of http://") in of_array({secure: DATA[url(0)]}, [secure])


@pytest.mark.conformance("P-06", "U-06")
def test_two_swapped() -> None:
    """D6."""
    found = findings(DATA | {url(0): DATA[url(1)], url(1): DATA[url(0)]})
    names = [(one.url, one.message) for one in found if one.check == "distribution point"]
    assert names == [
        (url(a), f"issuingDistributionPoint names {url(b)}, not {url(a)}") for a, b in ((0, 1), (1, 0))
    ]


@pytest.mark.conformance("C-14", "C-19")
@pytest.mark.invariant("D5")
def test_a_serial_in_two_shards() -> None:
    """D5."""
    twice = forge(right(b"\x03\x03", b"\x04\x04", url=url(3)))
    found = of_array(DATA | {url(3): twice}, list(DATA))
    assert found == [Finding(url(3), "partition", f"serial 0303 is in {url(2)} too")]


@pytest.mark.conformance("U-06", "C-08")
def test_what_the_manifest_says() -> None:
    """D1."""

    def at(index: int, data: bytes) -> list[str]:
        return [f"{one.check}: {one.message}" for one in findings(DATA | {url(index): data})]

    assert at(1, shard(1, number=4)) == ["manifest: cRLNumber 4 is below 5 of the manifest"]
    assert at(1, shard(1, number=6, this_update=NOW - 10)) == []  # published since
    assert at(1, shard(1, number=6)) == [
        "manifest: cRLNumber 6 is above that of the manifest, thisUpdate is not later"
    ]
    other = forge(right(b"\x02\x02", b"\x09\x09", number=5, url=url(1)))
    said = at(1, other)
    assert said[0] == f"manifest: size is {len(other)}, in the manifest {len(DATA[url(1)])}"
    assert said[1].startswith("manifest: sha256 is ") and said[2] == "manifest: 2 entries, in the manifest 1"


@pytest.mark.conformance("U-06")
def test_a_cache_may_have_the_one_before_the_manifest() -> None:
    old = {one.url: shard(n, number=4, this_update=NOW - 90) for n, one in enumerate(MANIFEST.shards)}
    targets = tuple(Target(one.url, one) for one in MANIFEST.shards)
    for at, expected in ((GENERATED - 1, 0), (GENERATED, SHARDS)):
        crls = CrlSet("manifest", targets, look_in(old, at), MANIFEST)
        assert len(verify_set(crls, AUTHORITY.certificate).findings) == expected


@pytest.mark.conformance("C-12", "P-04")
def test_full_crls() -> None:
    full = forge(right(b"\x01\x01", b"\x02\x02", url=None))
    mirrors = {f"http://{host}.example/full.crl": full for host in "ab"}
    assert of_array(mirrors, list(mirrors)) == []
    [first, second] = mirrors
    another = mirrors | {second: forge(right(b"\x01\x01", url=None))}
    assert of_array(another, list(mirrors)) == [
        Finding(second, "set", f"is not the full CRL that {first} has")
    ]
    # Among shards a CRL without a distribution point is one that has lost it.
    assert of_array(DATA | {url(3): full}, list(DATA)) == [
        Finding(url(3), "extensions", "no issuingDistributionPoint")
    ]
    # Beside them, where the manifest says so, it repeats their serials.
    listed = published(0, full, series=FULL, at=first)
    listed = msgspec.structs.replace(listed, entries=2, crl_number=1)
    manifest = Manifest(issuer="r1", generated_at=GENERATED, shards=[*MANIFEST.shards, listed])
    assert findings(DATA | {first: full}, manifest) == []
    bad = findings(DATA | {first: forge(right(b"\x01\x01", b"\x02\x02", url=first))}, manifest)
    assert Finding(first, "extensions", "a full CRL has an issuingDistributionPoint") in bad


def request(source: str | Path | None = None, **changes: object) -> VerifyRequest:
    named = {"urls": None, "issuer": None, "issuer_cert": None, "limits": Limits(), "scope": None} | changes
    return VerifyRequest(source=None if source is None else str(source), **named)  # type: ignore[arg-type]


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """An object store with one issuer's set, and the CA's certificate beside it."""
    for one in MANIFEST.shards:
        path = tmp_path / "objects" / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DATA[one.url])
    (tmp_path / "objects/crl/r1/manifest.json").write_bytes(MANIFEST.encode())
    (tmp_path / "objects/crl/r1/ccadb-partitioned.json").write_text(json.dumps(list(DATA)))
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ocsp.toml").write_text(
        '[[issuer]]\nname = "r1"\ncertificate = "ca.pem"\nsigner = { key = "k" }\n'
        'crl = { url = "http://c.example/{series}-{index}.crl" }\n'
    )
    return tmp_path


def test_of_an_object_store(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = objects / "ocsp.toml"
    for asked in (
        request(),  # all that the configuration knows
        request(objects / "objects", issuer="r1"),
        request(objects / "objects", issuer_cert=objects / "ca.pem"),
        request(objects / "objects/crl/r1", issuer_cert=objects / "ca.pem"),
    ):
        assert verify(file, asked, as_json=True, quiet=True, clock=FakeClock()) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["url"] for line in lines[:-1]] == list(DATA)
        assert lines[0]["crl_number"] == 5 and lines[0]["next_update"] == "2026-09-28T14:12:19Z"
        assert (lines[-1]["crls"], lines[-1]["entries"], lines[-1]["findings"]) == (SHARDS, SHARDS, 0)


def test_findings_end_with_1(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (objects / "objects/crl/r1/0-1.crl").unlink()
    (objects / "objects/crl/r1/0-2.crl").write_bytes(DATA[url(2)] + b"\0")
    assert verify(objects / "ocsp.toml", request(), as_json=False, quiet=True, clock=FakeClock()) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{url(1)}: fetch: nothing at crl/r1/0-1.crl"
    assert lines[1] == f"{url(2)}: parse: CertificateList: 1 octets follow it"
    assert lines[-1].endswith("crls=4  entries=2  findings=2")
    assert verify(objects / "ocsp.toml", request(), as_json=True, quiet=True, clock=FakeClock()) == 1
    [_, gone, torn, *_] = map(json.loads, capsys.readouterr().out.splitlines())
    assert gone["findings"] == [{"check": "fetch", "message": "nothing at crl/r1/0-1.crl"}]
    assert (torn["crl_number"], torn["entries"]) == (None, 0)


def test_what_is_too_large_for_a_crl_is_not_read(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor for a list of them."""
    os.truncate(objects / "objects/crl/r1/0-1.crl", SIZE_LIMIT + 1)
    assert verify(objects / "ocsp.toml", request(), as_json=False, quiet=True, clock=FakeClock()) == 1
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(f"{url(1)}: size: object store: crl/r1/0-1.crl: {SIZE_LIMIT + 1} octets, at most")
    os.truncate(objects / "objects/crl/r1/manifest.json", SIZE_LIMIT + 1)
    with pytest.raises(SourceError, match=r"manifest\.json: \d+ octets, at most"):
        verify(objects / "ocsp.toml", request(), as_json=False, quiet=True, clock=FakeClock())


def test_findings_of_the_list_have_a_line_too(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = Manifest(issuer="r1", generated_at=GENERATED, shards=MANIFEST.shards[1:])
    (objects / "objects/crl/r1/manifest.json").write_bytes(short.encode())
    (objects / "objects/crl/r1/ccadb-partitioned.json").write_text('[""]')
    assert verify(objects / "ocsp.toml", request(), as_json=True, quiet=True, clock=FakeClock()) == 1
    line = json.loads(capsys.readouterr().out.splitlines()[-2])
    assert line["findings"] == [{"check": "set", "message": "series 0: shard 0 is missing"}]


@pytest.mark.conformance("P-04")
def test_the_arrays_beside_a_manifest_are_read(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (objects / "objects/crl/r1/ccadb-partitioned.json").write_text(json.dumps(list(DATA)[1:]))
    for asked in (request(), request(objects / "objects/crl/r1")):
        assert verify(objects / "ocsp.toml", asked, as_json=False, quiet=True, clock=FakeClock()) == 1
        assert capsys.readouterr().out.startswith(f"{url(0)}: disclosed: is not in ccadb-partitioned.json")


def test_what_is_not_known_ends_with_2(objects: Path) -> None:
    elsewhere = objects / "none.toml"
    for asked, message in (
        (request(objects / "objects"), "the CA is not known"),
        (request(objects / "objects", urls=objects / "x"), "exclude each other"),
        (request(objects / "nothing", issuer_cert=objects / "ca.pem"), "No such file|not exist|nothing"),
        (request(objects, issuer_cert=objects / "ca.pem"), "no manifest.json"),
        (request(urls=objects / "nothing", issuer_cert=objects / "ca.pem"), "nothing: cannot be read"),
    ):
        with pytest.raises(OcspeedError, match=message) as raised:
            verify(elsewhere, asked, as_json=True, quiet=True, clock=FakeClock())
        assert raised.value.exit_code == 2, asked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[""]', "names no URL"),
        ("[1]", "not a JSON array of URLs"),
        ("{}", "missing required field"),
        ("# x\n", "names no URL"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "urls"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        sets_of_text(path, Fetcher(Limits(), FakeClock()))


def test_a_list_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.crl.read.FILE_SIZE", 1000)
    with pytest.raises(UsageError, match="more than 1000 octets"):
        sets_of_text(Path("/dev/zero"), Fetcher(Limits(), FakeClock()))


def test_lists_in_files(tmp_path: Path) -> None:
    path = tmp_path / "urls"
    for text in (json.dumps(list(DATA)), MANIFEST.encode().decode(), "# ours\n" + "\n".join(DATA) + "\n"):
        path.write_text(text)
        [found] = sets_of_text(path, Fetcher(Limits(), FakeClock()))
        assert [target.url for target in found.targets] == list(DATA)
        assert (found.manifest is not None) == text.startswith("{")


def test_several_issuers_in_one_store(objects: Path) -> None:
    other = objects / "objects/crl/r2"
    other.mkdir()
    (other / "manifest.json").write_bytes(
        Manifest(issuer="r2", generated_at=1, shards=MANIFEST.shards).encode()
    )
    found = sets_of_objects(str(objects / "objects"), FakeClock())
    assert [crls.manifest and crls.manifest.issuer for crls in found] == ["r1", "r2"]
    assert len(sets_of_objects(str(objects / "objects"), FakeClock(), "r2")) == 1
    with pytest.raises(SourceError, match=r"no manifest\.json of issuer r3"):
        sets_of_objects(str(objects / "objects"), FakeClock(), "r3")


@pytest.mark.conformance("U-07", "P-06")
def test_by_http() -> None:
    """A list, then every CRL with HEAD and GET; and a single CRL."""
    bodies = {f"/crl/r1/0-{n}.crl": DATA[url(n)] for n in range(SHARDS)} | {"/manifest": MANIFEST.encode()}
    fields = {
        "Content_Type": "application/pkix-crl", "Cache_Control": "max-age=60", "ETag": '"1"',
        "Last_Modified": "Mon, 21 Sep 2026 14:12:20 GMT",
    }  # fmt: skip

    def said(method: str, target: str) -> bytes:
        whole = http_message(200, bodies[target], **fields)
        return whole if method == "GET" else whole[: whole.index(b"\r\n\r\n") + 4]

    with saying(said) as base:
        host, port = base.removeprefix("http://").split(":")
        fetcher = Fetcher(Limits(connect_to=(host, int(port))), FakeClock())
        for source in ("http://c.example/manifest", url(0)):
            [crls] = sets_of_url(source, fetcher)
            verdict = verify_set(crls, AUTHORITY.certificate)
            assert verdict.findings == () and len(verdict.crls) in (1, SHARDS)
        fields["ETag"] = 'W/"1"'
        assert {one.check for one in verify_set(crls, AUTHORITY.certificate).findings} == {"etag"}
        [gone] = sets_of_url("http://c.example:0/", fetcher)
        assert [one.check for one in verify_set(gone, AUTHORITY.certificate).findings] == ["url"]


def test_the_scope_that_a_full_crl_is_held_to() -> None:
    entries = (entry(b"\x01"), entry(b"\x02", reason(1)))
    full = {"http://c.example/full.crl": forge(right(url=None), entries=entries)}
    crls = CrlSet("array", tuple(map(Target, full)), look_in(full))
    assert verify_set(crls, AUTHORITY.certificate).findings == ()
    found = verify_set(crls, AUTHORITY.certificate, scope=CrlScope.CA_CERTIFICATES).findings
    assert [one.check for one in found] == ["reasons"]
    # A shard says itself what it is about.
    crls = CrlSet("array", tuple(map(Target, DATA)), look_in(DATA))
    assert verify_set(crls, AUTHORITY.certificate, scope=CrlScope.CA_CERTIFICATES).findings == ()


@pytest.mark.conformance("C-06", "C-16")
def test_the_crl_of_an_offline_ca(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is about CA certificates, and for a year."""
    data = forge(right(number=5, url=None, validity=365 * 86_400 - 1), entries=(entry(b"\x02", reason(5)),))
    listed = msgspec.structs.replace(
        published(0, data, series=FULL, at="http://c.example/full.crl"), next_update=NOW - 61 + 365 * 86_400
    )
    directory = objects / "objects/crl/r1"
    (directory / listed.path.rpartition("/")[2]).write_bytes(data)
    (directory / "manifest.json").write_bytes(
        Manifest(issuer="r1", generated_at=GENERATED, shards=[listed]).encode()
    )
    (directory / "ccadb-full.json").write_text(json.dumps([listed.url]))
    (directory / "ccadb-partitioned.json").write_text("[]")
    file = objects / "ocsp.toml"
    issuer = (
        '[[issuer]]\nname = "r1"\ncertificate = "ca.pem"\nocsp.enabled = false\n'
        'crl.full_url = "http://c.example/full.crl"\n'
    )
    for more, expected in (('crl.key = "k"', 1), ("crl.offline = true", 0)):
        file.write_text(issuer + more)
        assert verify(file, request(), as_json=False, quiet=True, clock=FakeClock()) == expected
        out = capsys.readouterr().out
        assert ("dates: nextUpdate is 31535999 s after" in out) == bool(expected), out


def test_a_manifest_may_claim_any_number_of_shards() -> None:
    """Named are so many of those that are missing, and the rest is counted."""
    claim = replace_shard(MANIFEST, shard_count=10**15)
    missing = [found.message for found in check_complete("m", claim)]
    assert missing[0] == f"series 0: shard {len(MANIFEST.shards)} is missing"
    assert missing[-1] == f"series 0: {10**15 - len(MANIFEST.shards) - 1000} more shards are missing"
    assert len(missing) == 1001


def replace_shard(manifest: Manifest, **changes: int) -> Manifest:
    shards = [msgspec.structs.replace(shard, **changes) for shard in manifest.shards]
    return msgspec.structs.replace(manifest, shards=shards)


@pytest.mark.parametrize("text", ['{"a":' * 100_000, "[" * 100_000])
def test_a_list_that_is_nested_without_end(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(SourceError, match="cannot be read|not a JSON array"):
        sets_of_text(path, Fetcher(Limits(), FakeClock()))


@pytest.mark.parametrize("data", [b'{"issuer":"\xff"}', b'["\xff"]'])
def test_a_list_that_is_not_utf_8(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(data)
    with pytest.raises(SourceError, match="utf-8"):
        sets_of_text(path, Fetcher(Limits(), FakeClock()))
