"""The intake API held against its OpenAPI document, with requests made from it and against it."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from signer.admin.openapi import document
from tests.signer.test_intake_api import TOKEN, Signer, at_work

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
]
OPERATIONS = [(path, method) for path, item in document()["paths"].items() for method in item]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    with at_work(tmp_path_factory.mktemp("s")) as found:
        yield found
        assert found.works.ledger.verify_journal() > 0


@pytest.fixture(scope="module")
def api() -> schemathesis.BaseSchema:
    """With the name of an issuer that there is; others are the fast tier's."""
    described = document()
    for path in described["paths"].values():
        for operation in path.values():
            operation["parameters"][0] = {
                **operation["parameters"][0],
                "schema": {"type": "string", "enum": ["demo"]},
            }
    return schemathesis.openapi.from_dict(described)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(
    api: schemathesis.BaseSchema, signer: Signer, path: str, method: str, mode: GenerationMode
) -> None:
    """No 5xx, no answer of another form, nothing accepted that the document forbids."""

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def ask(case: "Case[Any]") -> None:
        case.call_and_validate(
            base_url=f"http://{signer.address}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            checks=CHECKS,
            timeout=30,
        )

    ask()
