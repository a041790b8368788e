"""Who may import whom: responder | signer over store over _fastpath, in Python and in Cython (architecture, folders)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "_fastpath": {"_fastpath"},
    "store": {"store", "_fastpath"},
    "responder": {"responder", "store", "_fastpath"},
    "signer": {"signer", "store", "_fastpath"},
}
OURS = {*MAY_IMPORT, "bench", "tests"}
CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.,\s]+))", re.MULTILINE)
CYTHON_DOCSTRING = re.compile(r'"""(?:.|\n)*?"""')


def modules_of_python(source: str) -> Iterator[str]:
    """Every module named in an import, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def modules_of_cython(source: str) -> Iterator[str]:
    """The same for Cython, which `ast` does not read."""
    for found in CYTHON_IMPORT.finditer(CYTHON_DOCSTRING.sub("", source)):
        names = found[1] or found[2].split("\n")[0]
        yield from (name.split(" as ")[0].strip() for name in names.split(","))


def strays(package: str, source: str, *, cython: bool) -> list[str]:
    """Modules of ours that a file of `package` imports against the arrows."""
    modules = modules_of_cython(source) if cython else modules_of_python(source)
    forbidden = OURS - MAY_IMPORT[package]
    return [module for module in modules if module.split(".")[0] in forbidden]


def sources() -> list[Path]:
    return sorted(
        path
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}
    )


@pytest.mark.invariant("G1")
@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    cython = path.suffix in {".pyx", ".pxd"}
    assert strays(package, path.read_text(), cython=cython) == []


def test_files_of_every_kind_and_package_are_looked_at() -> None:
    found = {(path.relative_to(ROOT).parts[0], path.suffix) for path in sources()}
    assert found >= {("_fastpath", suffix) for suffix in (".py", ".pyi", ".pyx", ".pxd")}
    assert found >= {(package, ".py") for package in MAY_IMPORT}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("_fastpath", "from store.schema cimport page_key"),
        ("_fastpath", "cimport store.schema"),
        ("_fastpath", "cimport cython, signer.cli as cli"),
        ("_fastpath", "def f():\n    import responder\n"),
    ],
)
def test_a_stray_import_in_cython_is_found(package: str, source: str) -> None:
    assert len(strays(package, source, cython=True)) == 1
    assert (
        strays(package, '"""\nimport signer\n"""\nfrom _fastpath.der cimport (\n    Cursor,\n)', cython=True)
        == []
    )


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("responder", "import signer"),
        ("responder", "def f() -> None:\n    from signer.keys import file\n"),
        ("signer", "if TYPE_CHECKING:\n    from responder.config import Settings\n"),
        ("store", "from signer import cli"),
        ("store", "import sys, responder.cli"),
        ("signer", "from tests.signer import works"),
    ],
)
def test_a_stray_import_in_python_is_found(package: str, source: str) -> None:
    assert len(strays(package, source, cython=False)) == 1
    assert (
        strays(package, f"from store.schema import page_key\nfrom {package} import errors", cython=False)
        == []
    )
