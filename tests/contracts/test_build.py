"""What is built, packed and shipped agrees with what is in the tree."""

import ast
import os
import re
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from setuptools.command.egg_info import FileList  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
FASTPATH = ROOT / "_fastpath"
PACKAGES = ("_fastpath", "store", "responder", "signer")
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
MODULES = sorted(path.stem for path in FASTPATH.glob("*.pyx"))
CIMPORT = re.compile(r"^from _fastpath\.(\w+) cimport", re.MULTILINE)
HEADER = re.compile(r'^(?:cdef extern from|#include) "([\w.]+)"', re.MULTILINE)


def cython_sources(module: str) -> set[Path]:
    """The module's files, the headers it names and the declarations it cimports, also through others."""
    found: set[Path] = set()
    left = [FASTPATH / f"{module}.pyx", FASTPATH / f"{module}.pxd"]
    while left:
        path = left.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        text = path.read_text()
        left += [FASTPATH / f"{name}.pxd" for name in CIMPORT.findall(text)]
        left += [FASTPATH / name for name in HEADER.findall(text)]
    return found


def stale(built: Path, sources: set[Path]) -> list[str]:
    """Names of the sources that are newer than what was built of them."""
    when = built.stat().st_mtime
    return sorted(path.name for path in sources if path.stat().st_mtime > when)


def setup_modules() -> list[str]:
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no MODULES")


def sdist_files(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What MANIFEST.in adds to a source distribution, and the packages' Python files, which go by themselves."""
    monkeypatch.chdir(ROOT)
    files = FileList()
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        files.process_template_line(line)
    python = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return {os.path.normpath(name) for name in files.files} | python


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_older_than_its_sources(module: str) -> None:
    built = FASTPATH / f"{module}{SUFFIX}"
    assert built.exists(), f"_fastpath.{module} is not built: run `make build`"
    changed = stale(built, cython_sources(module))
    assert not changed, f"_fastpath.{module} is older than {', '.join(changed)}: run `make build`"


def test_a_newer_source_is_seen(tmp_path: Path) -> None:
    built, source = tmp_path / "built.so", tmp_path / "source.pyx"
    for when, path in enumerate((built, source)):
        path.touch()
        os.utime(path, (when, when))
    assert stale(built, {source}) == ["source.pyx"]
    assert stale(source, {built}) == []


def test_sources_are_followed_through_cimports() -> None:
    names = {path.name for path in cython_sources("page")}
    assert names >= {
        "page.pyx",
        "page.pxd",
        "crc32c.h",
        "crc64.h",
        "hash32.h",
        "sha256.h",
        "ocsp.pxd",
        "template.pxd",
        "certid.pxd",
        "der.pxd",
    }


def test_setup_builds_every_cython_module_and_nothing_is_left_of_old_ones() -> None:
    assert sorted(setup_modules()) == MODULES
    assert sorted(path.name for path in FASTPATH.glob(f"*{SUFFIX}")) == [
        f"{name}{SUFFIX}" for name in MODULES
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_cython_module_says_what_python_sees(module: str) -> None:
    assert (FASTPATH / f"{module}.pyi").exists()


def packages_in(folder: Path) -> Iterator[str]:
    for path in folder.rglob("__init__.py"):
        yield ".".join(path.parent.relative_to(ROOT).parts)


def test_pyproject_lists_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(name for package in PACKAGES for name in packages_in(ROOT / package))


def test_every_folder_with_python_files_is_a_package() -> None:
    for package in PACKAGES:
        folders = {path.parent for path in (ROOT / package).rglob("*.py")}
        assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("suffix", [".pyx", ".pxd", ".pyi", ".h", ".lua"])
def test_source_distribution_has_every_file_it_is_built_from(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {
        str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob(f"*{suffix}")
    }
    assert wanted
    assert wanted - sdist_files(monkeypatch) == set()


@pytest.mark.parametrize(("folder", "suffix"), [("tests/vectors", ".*"), ("docs", ".md"), ("deploy", ".acl")])
def test_source_distribution_has_documents_and_examples(
    folder: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(f"*{suffix}")}
    assert wanted
    assert wanted - sdist_files(monkeypatch) == set()


def test_source_distribution_has_nothing_that_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    suffixes = {Path(name).suffix for name in sdist_files(monkeypatch)}
    assert suffixes.isdisjoint({".so", ".c", ".pyc"})
