"""The example that `ocsp-signer init` writes knows every field of the responder, with its default."""

import re
from pathlib import Path

import msgspec

from responder.config import ResponderSection, load_settings
from signer.commands.init import EXAMPLE
from tests.responder.ca import CA
from tests.responder.conftest import write_config


def test_the_example_names_every_default_of_the_responder(tmp_path: Path) -> None:
    section = re.search(r"^\[responder\]\n(.*?)\n\n", EXAMPLE, re.DOTALL | re.MULTILINE)
    assert section is not None
    lines = [line.removeprefix("# ") for line in section[1].splitlines()]
    names = [line.split(" = ")[0] for line in lines]
    assert sorted(names) == sorted(field.name for field in msgspec.structs.fields(ResponderSection))
    file = write_config(tmp_path, CA("demo"), "embedded:", "\n".join(lines))
    assert load_settings(file).responder == ResponderSection()
