"""Which tests carry a mark that names rows of a table: read from the sources, so the same whichever tests a run selected."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Shown", "link", "marked_tests"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, order=True)
class Shown:
    """One mark: a test function (or class) of a file below the root, and the row it shows."""

    row: str
    file: str
    test: str
    slow: bool


def marked_tests(mark: str, root: Path = ROOT) -> list[Shown]:
    """Every mark of this name below `tests`, sorted. Raises ValueError for one that stands where it marks no test."""
    paths = sorted((root / "tests").rglob("test_*.py"))
    return sorted({shown for path in paths for shown in _marks_of(mark, path, str(path.relative_to(root)))})


def link(test: Shown) -> str:
    """A test in a document below `docs`."""
    file = test.file.removeprefix("tests/")
    return f"[{file}::{test.test}](../{test.file})" + (" (slow)" if test.slow else "")


def _marks_of(mark: str, path: Path, name: str) -> Iterator[Shown]:
    module = ast.parse(path.read_text(), name)
    constants = _constants(module)
    everywhere = [constants["pytestmark"]] if "pytestmark" in constants else []
    seen = len(_rows_in(mark, everywhere, constants))
    for test, marks in _tests_in(module):
        seen += len(_rows_in(mark, marks, constants))
        slow = any(_is_mark(node, "slow") for node in _walk([*everywhere, *marks]))
        for row in _rows_in(mark, [*everywhere, *marks], constants):
            yield Shown(row, name, test, slow)
    if seen != len(_rows_in(mark, [module], constants)):
        raise ValueError(f"{name}: a mark `{mark}` stands where it marks no test")


def _tests_in(module: ast.Module) -> Iterator[tuple[str, list[ast.AST]]]:
    """Names of test functions and classes, with what can hold their marks."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name, [*node.decorator_list]
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield node.name, [node]


def _constants(module: ast.Module) -> dict[str, ast.AST]:
    return {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)


def _is_mark(node: ast.AST, name: str) -> bool:
    """Whether a node is `pytest.mark.<name>`."""
    return isinstance(node, ast.Attribute) and node.attr == name and ast.unparse(node.value) == "pytest.mark"


def _rows_in(mark: str, nodes: Iterable[ast.AST], constants: Mapping[str, ast.AST]) -> list[str]:
    """The rows that marks within these nodes name: as strings, or as `*NAME` of a tuple of the module."""
    calls = [node for node in _walk(nodes) if isinstance(node, ast.Call) and _is_mark(node.func, mark)]
    rows: list[str] = []
    for argument in (argument for call in calls for argument in call.args):
        if isinstance(argument, ast.Starred):
            rows += ast.literal_eval(constants[ast.unparse(argument.value)])
        else:
            rows.append(ast.literal_eval(argument))
    return rows
