"""The service that all clients ask, the databases and programs they need, and the table of what came of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.clients.report import Report
from tests.clients.world import STATUSES, World, world

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def report() -> Report:
    return Report()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("clients")) as made:
        yield made


@pytest.fixture(scope="session")
def nss_databases(served: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By CA: a database that trusts it and knows the certificates by their status."""
    made = {}
    for name, ca in served.authorities.items():
        made[name] = tmp_path_factory.mktemp(f"nss-{name}")
        run("certutil", "-N", "-d", made[name], "--empty-password", check=True)
        certificates = {"ca": ca.directory / "ca.pem"} | {
            status: served.subjects[name, status].path for status in STATUSES
        }
        for nickname, path in certificates.items():
            trust = "CT,C,C" if nickname == "ca" else ",,"
            run("certutil", "-A", "-d", made[name], "-n", nickname, "-t", trust, "-i", path, check=True)
    return made


@pytest.fixture(scope="session")
def java_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Check.class and ReadCrl.class are."""
    directory = tmp_path_factory.mktemp("java")
    run("javac", "-d", directory, HERE / "Check.java", HERE / "ReadCrl.java", check=True)
    return directory


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """check.go, built with Debian's sources of golang.org/x/crypto."""
    path = tmp_path_factory.mktemp("go") / "check"
    run("go", "build", "-o", path, HERE / "check.go", check=True)
    return path
