"""From ocsp.toml to an S3 server and out of the responder: commands as processes, CRLs as HTTP answers."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import obstore
import pytest

from store.clock import SystemClock
from store.objects import open_object_store, read_object
from tests.integration.service import running
from tests.ports import free_port
from tests.signer.processes import wait_until
from tests.signer.works import Works
from tests.store.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, running_s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


def section(server: S3Server, secret_key_file: Path) -> str:
    return (
        f'[objects]\ntarget = "s3://crls/public"\nendpoint = "{server.endpoint}"\nregion = "local"\n'
        f'access_key_file = "{server.access_key_file}"\nsecret_key_file = "{secret_key_file}"\n'
        'allow_http = true\n[[objects.also]]\ntarget = "mirror"\n'
        f'[responder]\nlisten = "127.0.0.1:{free_port()}"\nadmin = "127.0.0.1:{free_port()}"\n[signer]'
    )


@pytest.fixture
def works(server: S3Server, tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path, "unix:///nowhere", SystemClock())
    with made.configured("[signer]", section(server, server.secret_key_file)):
        made.add_some(60, revoked_every=3)
        yield made


def signer(works: Works, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("ocsp-signer")), *arguments, "--config", str(works.file)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    for secret in (SECRET_KEY, ACCESS_KEY, "wrong-secret"):
        assert secret not in done.stdout + done.stderr
    return done


@pytest.mark.conformance("U-07", "P-04")
def test_what_is_built_is_served(works: Works, server: S3Server) -> None:
    done = signer(works, "crl", "build")
    assert done.returncode == 0, done.stderr
    store = open_object_store(server.target("crls", "public"))
    names = sorted(one["path"] for one in obstore.list(store).collect())
    shards = [f"crl/demo/0-{index}.crl" for index in range(3)]
    lists = ["crl/demo/ccadb-full.json", "crl/demo/ccadb-partitioned.json", "crl/demo/manifest.json"]
    assert names == sorted([*(f"archive/demo/0-{index}/1.crl" for index in range(3)), *shards, *lists])
    headers = obstore.get(store, shards[0]).attributes
    assert headers["Content-Type"] == "application/pkix-crl"
    assert headers["Cache-Control"] == "public, max-age=3600, no-transform"

    log = works.directory / "serve.log"
    with running(log, "ocsp-responder", "serve", "--config", str(works.file)):
        wait_until(lambda: served(works, shards[0]) is not None)
        for shard in shards:
            found = read_object(store, shard)
            assert found is not None
            assert served(works, shard) == found.data == (works.directory / "mirror" / shard).read_bytes()
    assert SECRET_KEY not in log.read_text()


def served(works: Works, path: str) -> bytes | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port_of(works)}/{path}").content
    except httpx.ConnectError:
        return None


def port_of(works: Works) -> int:
    return int(tomllib.loads(works.file.read_text())["responder"]["listen"].rpartition(":")[2])


def test_credentials_that_are_refused_are_told_and_not_shown(works: Works, server: S3Server) -> None:
    """The other target gets its CRLs all the same."""
    wrong = works.directory / "wrong"
    wrong.write_text("wrong-secret\n")
    works.file.write_text(works.file.read_text().replace(str(server.secret_key_file), str(wrong)))
    done = signer(works, "crl", "build")
    assert done.returncode == 1
    assert "s3://crls/public: lacks CRLs of demo: " in done.stdout
    assert "403 Forbidden" in done.stdout
    assert (works.directory / "mirror/crl/demo/manifest.json").is_file()
    status = signer(works, "status", "--json")
    assert status.returncode == 1
    assert '"target":"s3://crls/public","up":false' in status.stdout
