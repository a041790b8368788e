"""pkilint as conformance.md section 9 runs it: its commands, and the same validators over many objects at once."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["COMMANDS", "lint", "lint_by_command"]

BIN = Path(sys.executable).parent
# What is linted -> the command of section 9, to which the file is added.
COMMANDS: dict[str, tuple[str, ...]] = {
    "response": ("lint_ocsp_response", "lint", "-s", "INFO"),
    "crl": ("lint_crl", "lint", "-t", "CRL", "-p", "BR", "-s", "INFO"),
    "crl-pkix": ("lint_crl", "lint", "-t", "CRL", "-p", "PKIX", "-s", "INFO"),
    "responder": ("lint_cabf_serverauth_cert", "lint", "-t", "OCSP-RESPONDER", "-s", "WARNING"),
}


def lint_by_command(kind: str, path: Path) -> list[str]:
    """Finding codes, sorted. The exit status has to be their number."""
    command, *options = COMMANDS[kind]
    done = subprocess.run(
        [BIN / command, *options, "-f", "JSON", "--document-format", "DER", path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "", done.stderr
    codes = sorted(
        finding["code"]
        for result in json.loads(done.stdout)["results"]
        for finding in result["finding_descriptions"]
    )
    assert done.returncode == len(codes)
    return codes


def lint(kind: str, data: bytes) -> list[str]:
    """The same without a process."""
    from pkilint import loader
    from pkilint.validation import ValidationFindingSeverity

    load = loader.load_der_ocsp_response if kind == "response" else loader.load_der_crl
    return sorted(
        description.finding.code
        for result in _validator(kind).validate(load(data, kind).root)
        for description in result.finding_descriptions
        if description.finding.severity <= ValidationFindingSeverity.INFO
    )


@cache
def _validator(kind: str) -> Any:
    from pkilint import pkix
    from pkilint.cabf import cabf_crl
    from pkilint.pkix import crl, extension, name, ocsp

    decoders = [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ]
    if kind == "response":
        return ocsp.create_pkix_ocsp_response_validator_container(
            [ocsp.create_response_decoder(), *decoders], []
        )
    user = crl.CertificateRevocationListType.CRL
    period = [cabf_crl.create_validity_period_validator(user)] if kind == "crl" else []
    reasons = [cabf_crl.CabfCrlReasonCodeAllowlistValidator(user)] if kind == "crl" else []
    return crl.create_pkix_crl_validator_container(
        decoders,
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container(period),
            crl.create_extensions_validator_container([]),
            *reasons,
        ],
    )
