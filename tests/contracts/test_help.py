"""`--help` of every command: quick, because nothing heavy is imported, and never without an example."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

HEAVY = [
    *(
        "sqlalchemy",
        "alembic",
        "redis",
        "obstore",
        "cryptography",
        "msgspec",
        "structlog",
        "prometheus_client",
    ),
    *("httpx", "uvicorn", "starlette", "matplotlib", "pkilint"),
]
# Walks the commands in one process of its own and prints what each said, then what that had imported.
SCRIPT = """
import contextlib, importlib, io, json, sys
name = sys.argv[1]
cli = importlib.import_module(name + ".cli")

def help_of(words):
    sys.argv = ["ocsp-" + name, *words, "--help"]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            cli.main()
        except SystemExit as end:
            return end.code or 0, text.getvalue()

def walk(command, words):
    code, text = help_of(words)
    children = getattr(command, "commands", {})
    said[" ".join(words)] = {"code": code, "text": text, "is_group": bool(children)}
    for child in children:
        walk(children[child], [*words, child])

said = {}
import typer
walk(typer.main.get_command(cli.app), [])
print(json.dumps({"said": said, "imported": sorted(sys.modules)}))
"""


@dataclass(frozen=True, slots=True)
class Help:
    code: int
    text: str
    is_group: bool


@dataclass(frozen=True, slots=True)
class Walk:
    commands: dict[str, Help]
    imported: frozenset[str]


@pytest.fixture(scope="module", params=["signer", "responder"])
def walked(request: pytest.FixtureRequest) -> Walk:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, request.param], capture_output=True, text=True, check=True, timeout=60
    )
    result = json.loads(done.stdout)
    commands = {words: Help(**fields) for words, fields in result["said"].items()}
    return Walk(commands, frozenset(name.split(".")[0] for name in result["imported"]))


def test_help_imports_nothing_heavy(walked: Walk) -> None:
    assert walked.imported.isdisjoint(HEAVY)
    assert "typer" in walked.imported


def test_every_command_has_help(walked: Walk) -> None:
    assert {words: found.code for words, found in walked.commands.items() if found.code} == {}
    assert len(walked.commands) >= 3


def test_every_command_that_does_something_shows_an_example(walked: Walk) -> None:
    without = [
        words
        for words, found in walked.commands.items()
        if not found.is_group and words.split()[-1] not in found.text.partition("Example:")[2]
    ]
    assert without == []


def test_every_group_names_its_commands(walked: Walk) -> None:
    for words, found in walked.commands.items():
        if found.is_group:
            children = [
                other.split()[-1]
                for other in walked.commands
                if other and other.split()[:-1] == words.split()
            ]
            assert [child for child in children if child not in found.text] == []


@pytest.mark.parametrize("name", ["ocsp-signer", "ocsp-responder"])
def test_each_command_says_its_version(name: str) -> None:
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"ocspeed {version('ocspeed')}\n")
