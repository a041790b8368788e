"""Files of our own that others may have touched, and what operators write: floor, run.json, tokens, ocsp.toml, lists."""

import hashlib
import json
from functools import cache
from typing import Any

import msgspec

import responder.config
import signer.config
from _fastpath.floor import Floor
from responder.crl_trust import UntrustedCrl
from responder.floor_crls import follow
from responder.floor_file import DamagedFloor, FloorState, map_floor, read_floor, write_floor
from signer import run_state
from signer.admin.tokens import Tokens
from signer.crl.fetch import Fetcher, Limits
from signer.crl.verify_set import check_complete, check_disclosed, check_urls
from signer.crl.verify_source import SourceError, sets_of_text
from store.clock import SystemClock
from store.config import convert, load_document
from store.errors import ConfigError, OcspeedError, StoreFormatError, UsageError
from store.objects import Manifest, PublishedShard, decode_manifest
from store.primary import names, primary_id
from store.schema import Head, IssuerRecord
from tests.fuzz.crls import crl_files, floor_issuer
from tests.fuzz.target import scratch, written

__all__ = [
    "check_config",
    "check_floor",
    "check_issuer_record",
    "check_list",
    "check_presence",
    "check_run_state",
    "check_tokens",
    "configs",
    "floors",
    "issuer_records",
    "lists",
    "presences",
    "run_states",
    "token_files",
]

DIGEST = 32
TOKEN = "0123456789abcdef" * 2
NOW = 1_790_000_000
VARIABLE = "OCSP__RESPONDER__WORKERS"
MOST_SHARDS = 50
REPLICATION_ID = b"0123456789abcdef0123456789abcdef01234567"


# The floor


@cache
def _floor() -> bytes:
    """A floor of one CRL."""
    state = FloorState(bytes(range(16)))
    for content in crl_files():
        try:
            follow(state, floor_issuer(), "crl/r1/0-0.crl", content[1:])
        except UntrustedCrl:
            continue
    path = scratch() / "made"
    write_floor(path, state)
    return path.read_bytes()


def floors() -> list[bytes]:
    """The first octet says whether the digest at the end is put right."""
    path = scratch() / "made"
    write_floor(path, FloorState(bytes(16)))
    return [b"\0" + path.read_bytes(), b"\1" + path.read_bytes(), b"\0" + _floor(), b"\1" + _floor()]


def check_floor(data: bytes) -> None:
    """What is read is written and read again as it was; what a worker maps has an answer for any serial."""
    content = data[1:]
    if data[:1] == b"\1" and len(content) > DIGEST:
        content = content[:-DIGEST] + hashlib.sha256(content[:-DIGEST]).digest()
    path = written(content)
    try:
        floor: Floor | None = map_floor(path)
    except DamagedFloor:
        floor = None
    found = (
        [floor.contains(floor_issuer().id, serial) for serial in (b"\0", bytes(range(1, 21)))]
        if floor is not None
        else []
    )
    try:
        state = read_floor(path)
    except DamagedFloor:
        return
    assert floor is not None and len(floor) == state.entries and len(found) == 2
    write_floor(scratch() / "again", state)
    again = read_floor(scratch() / "again")
    assert (again.key, again.followed) == (state.key, state.followed)


# What `ocsp-signer run` leaves for `status`


def run_states() -> list[bytes]:
    issuer = run_state.IssuerState("r1", 0, 0, 17, 0, 0)
    return [
        msgspec.json.encode(run_state.RunState(7, NOW, True, [], [])),
        msgspec.json.encode(run_state.RunState(7, NOW, False, ["\u00e9"], [issuer, issuer])),
    ]


def check_run_state(data: bytes) -> None:
    """The standard library reads the same."""
    path = written(data, "run.json")
    try:
        found = run_state.read(path.parent)
    except OcspeedError:
        return
    said = json.loads(data.decode(errors="replace"))  # names that mean nothing may be no text
    assert found is not None
    assert (found.process, found.at, found.troubles) == (said["process"], said["at"], said["troubles"])
    assert [msgspec.to_builtins(one) for one in found.issuers] == [
        {name: one[name] for name in run_state.IssuerState.__struct_fields__} for one in said["issuers"]
    ]
    run_state.write(path.parent, found)
    assert run_state.read(path.parent) == found


# Tokens


def token_files() -> list[bytes]:
    return [
        f"one {TOKEN}\n".encode(),
        f"# remark\n\n one\t {TOKEN}x\r\ntwo.b-c {TOKEN}=~/+\n".encode(),
        f"one {TOKEN}\none {TOKEN}".encode(),
        b"one short\n",
    ]


def check_tokens(data: bytes) -> None:
    """Every line that says something is of somebody, and nobody has another token."""
    try:
        tokens = Tokens(written(data))
    except ConfigError as error:
        assert TOKEN not in str(error)
        return
    lines = (line.strip() for line in data.decode(errors="replace").splitlines())
    known = [line.split(maxsplit=1) for line in lines if line and line[0] != "#"]
    assert known and len({name for name, _ in known}) == len(known)
    latest = {token: name for name, token in known}
    assert {token: tokens.name(token) for token in latest} == latest
    assert tokens.name(TOKEN[1:]) is None and tokens.name("\udcff") is None


# ocsp.toml


def configs() -> list[bytes]:
    """The octets before the first 0 are a variable of the environment."""
    issuer = '[[issuer]]\nname = "r1"\ncertificate = "ca.pem"\n'
    more = 'signer = { key = "k.pem" }\ncrl = { url = "http://c.example/{index}.crl", shards = 4 }\n'
    sections = (
        '[store]\nurl = "redis://x"\n[responder]\nworkers = 2\nmax_age_cap = "1h"\n[intake]\nenabled = true\n'
    )
    return [b"2\0" + text.encode() for text in (issuer, sections + issuer + more)] + [b"[1\0a.b = 1"]


def check_config(data: bytes) -> None:
    """Anything but what is allowed is told with its place; paths are not looked at."""
    value, _, content = data.partition(b"\0")
    environment = {VARIABLE: value.decode("utf-8", "surrogateescape")} if value else {}
    try:
        document = load_document(written(content, "ocsp.toml"), environment)
    except ConfigError:
        return
    for root in (responder.config.Root, signer.config.Root):
        try:
            convert(document, root)
        except ConfigError as error:
            assert str(document.path) in error.message or VARIABLE in error.message


# Lists of CRLs


def _shards() -> list[PublishedShard]:
    return [
        PublishedShard(
            url=f"http://c.example/{index}.crl",
            path=f"crl/r1/0-{index}.crl",
            series=0,
            shard_index=index,
            crl_number=7,
            this_update=NOW,
            next_update=NOW + 9,
            entries=3,
            size=999,
            sha256="00" * 32,
            shard_count=2,
        )
        for index in range(2)
    ]


def lists() -> list[bytes]:
    return [
        Manifest(issuer="r1", generated_at=NOW, shards=_shards()).encode(),
        Manifest(issuer="r1", generated_at=NOW, shards=[]).encode(),
        b'["http://c.example/0.crl", ""]',
        b"# remark\nhttp://c.example/0.crl\n\nhttp://c.example/1.crl",
    ]


def check_list(data: bytes) -> None:
    """A manifest, an array for the CCADB, or URLs line by line: as the standard library reads it."""
    try:
        manifest: Manifest | None = decode_manifest(data)
    except StoreFormatError:
        manifest = None
    if manifest is not None:
        _check_manifest(
            manifest, json.loads(data.decode(errors="replace"))
        )  # names that mean nothing may be no text
    fetcher = Fetcher(Limits(), SystemClock())
    try:
        (found,) = sets_of_text(written(data), fetcher)
    except (SourceError, UsageError):
        return
    assert found.manifest == manifest
    urls = [target.url for target in found.targets]
    list(check_urls(urls))
    if manifest is None and data.lstrip()[:1] == b"[":
        assert urls == [url for url in json.loads(data.decode()) if url]


def _check_manifest(manifest: Manifest, said: dict[str, Any]) -> None:
    assert decode_manifest(manifest.encode()) == manifest
    assert (manifest.issuer, manifest.generated_at) == (said["issuer"], said["generated_at"])
    for shard, one in zip(manifest.shards, said["shards"], strict=True):
        fields = msgspec.structs.asdict(shard)
        assert fields == {name: one.get(name, 0) for name in fields}
    if len(manifest.shards) <= MOST_SHARDS:
        list(check_complete("here", manifest))
        list(check_disclosed("here", [], [shard.url for shard in manifest.shards], manifest))


# What the store says of an issuer and of itself


def issuer_records() -> list[bytes]:
    """Lines of field and value."""
    heads = (None, Head(1 << 48, REPLICATION_ID))
    records = [IssuerRecord(b"f" * 64, 3, 12, (1, 2), {0: 7, 255: 1 << 40}, head) for head in heads]
    lines = [[b"%b=%b" % pair for pair in record.encode().items()] for record in records]
    return [b"\n".join(one) for one in lines]


def check_issuer_record(data: bytes) -> None:
    fields = {name: value for name, _, value in (line.partition(b"=") for line in data.split(b"\n"))}
    try:
        record = IssuerRecord.decode("r1", fields)
    except StoreFormatError:
        return
    assert 0 <= record.page_bits <= 32 and all(0 <= slot < 256 for slot in record.templates)
    assert IssuerRecord.decode("r1", record.encode()) == record


def presences() -> list[bytes]:
    info = b"# Replication\r\nrole:%b\r\nconnected_slaves:0\r\nmaster_replid:%b\r\nmaster_repl_offset:0\r\n"
    return [info % (role, REPLICATION_ID) for role in (b"master", b"slave")] + [
        Head(7, REPLICATION_ID).encode()
    ]


def check_presence(data: bytes) -> None:
    """INFO, and the head that is held against it: it names what it was written for and no other server."""
    found = primary_id(data)
    if found is not None:
        assert b"role:master" in data and b"master_replid:" + found in data
        assert not names(b"7 " + found, REPLICATION_ID) or found == REPLICATION_ID
    assert not names(data, REPLICATION_ID) or Head.decode(data).replication_id == REPLICATION_ID
