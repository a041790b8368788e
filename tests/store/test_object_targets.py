"""Where CRLs go, as ocsp.toml says it: what is refused, and where credentials come from."""

from pathlib import Path

import pytest
from obstore.store import S3Store

from store.config import ObjectsSection, ObjectTarget, Section, convert, load_document
from store.errors import ConfigError, StoreUnavailable
from store.objects import open_object_store, read_object

S3 = 'target = "s3://bucket/prefix"\n'


class Root(Section, frozen=True):
    objects: ObjectsSection = ObjectsSection()


def targets(directory: Path, text: str) -> tuple[ObjectTarget, ...]:
    (directory / "ocsp.toml").write_text(f"[objects]\n{text}")
    document = load_document(directory / "ocsp.toml", {})
    return convert(document, Root).objects.targets(document)


def test_the_default_is_one_directory_beside_the_file(tmp_path: Path) -> None:
    assert targets(tmp_path, "") == (ObjectTarget(str(tmp_path / "objects")),)


def test_s3_and_a_mirror(tmp_path: Path) -> None:
    keys = 'access_key_file = "id"\nsecret_key_file = "/run/secret"\n'
    text = f'{S3}endpoint = "https://s3.example:9000"\nregion = "eu"\n{keys}[[objects.also]]\ntarget = "mirror"\n'
    assert targets(tmp_path, text) == (
        ObjectTarget(
            "s3://bucket/prefix", "https://s3.example:9000", "eu", tmp_path / "id", Path("/run/secret")
        ),
        ObjectTarget(str(tmp_path / "mirror")),
    )


def test_plain_http_has_to_be_asked_for(tmp_path: Path) -> None:
    text = f'{S3}endpoint = "http://127.0.0.1:9000"\n'
    with pytest.raises(ConfigError, match="`endpoint` is plain HTTP"):
        targets(tmp_path, text)
    assert targets(tmp_path, f"{text}allow_http = true\n")[0].allow_http


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('target = "s3://key:secret@bucket"\n', r":2: objects\.target: `target` must not hold credentials"),
        ('region = "eu"\n', r":2: objects\.region: `region` goes with a `target` that begins with s3://"),
        (
            f'{S3}access_key_file = "id"\n',
            r":3: objects\.access_key_file: `access_key_file` and `secret_key_file` go together",
        ),
        (
            f'{S3}endpoint = "https://key:secret@host"\n',
            r":3: objects\.endpoint: `endpoint` must be https://HOST",
        ),
        (f'{S3}endpoint = "s3.example"\n', r":3: objects\.endpoint: `endpoint` must be https://HOST"),
        ('[[objects.also]]\ntarget = "a"\n[[objects.also]]\n', r":4: objects\.also\[1\]: .*`target`"),
        (
            '[[objects.also]]\ntarget = "objects"\n',
            r":1: objects\.also: `also`: two targets are the same place",
        ),
        (f'{S3}secret_key = "x"\n', r":3: objects\.secret_key: "),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        targets(tmp_path, text)


def test_the_environment_does_not_allow_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ALLOW_HTTP": "true",
        "ENDPOINT_URL": "http://127.0.0.1:9",
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "REGION": "local",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StoreUnavailable, match="builder error"):
        read_object(open_object_store("s3://bucket/prefix"), "x")


def test_credentials_are_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("the-key\n")
    (tmp_path / "secret").write_text("the-secret\n")
    target = ObjectTarget(
        "s3://bucket/prefix", "https://127.0.0.1:9", "eu", tmp_path / "id", tmp_path / "secret"
    )
    store = open_object_store(target)
    assert isinstance(store, S3Store)
    with pytest.raises(StoreUnavailable) as caught:
        read_object(store, "x")
    shown = f"{caught.value} {caught.value.__cause__} {store!r} {target!r}"
    assert "the-key" not in shown
    assert "the-secret" not in shown


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_credentials_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    for name in ("id", "secret"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"{tmp_path}/id: no credentials"):
        open_object_store(ObjectTarget("s3://b/p", None, "eu", tmp_path / "id", tmp_path / "secret"))
