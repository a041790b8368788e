"""pkilint over a CRL: the Baseline Requirements as somebody else reads them (D10, C-01)."""

from functools import cache
from typing import Any

from signer.crl.build import CrlScope

__all__ = ["lint_crl"]

# A fault of the certificate that is revoked. The CRL must name it all the same, octet for octet (C-14).
NOT_OURS = frozenset({"pkix.certificate_serial_number_out_of_range"})


def lint_crl(data: bytes, scope: CrlScope, *, severity: str = "ERROR") -> list[str]:
    """Findings of `severity` and worse, as `code (SEVERITY): message`. Takes 0.4 ms an entry.

    Raises ValueError for what pkilint cannot load.
    """
    from pkilint import loader
    from pkilint.validation import ValidationFindingSeverity

    document = loader.load_der_crl(data, "crl")
    threshold = ValidationFindingSeverity[severity]
    return [
        str(description)
        for result in _validator(scope).validate(document.root)
        for description in result.finding_descriptions
        if description.finding.severity <= threshold and description.finding.code not in NOT_OURS
    ]


@cache
def _validator(scope: CrlScope) -> Any:
    """What `lint_crl lint -p BR` runs. Imported here: pkilint takes a third of a second to load."""
    from pkilint import pkix
    from pkilint.cabf import cabf_crl
    from pkilint.pkix import crl, extension, name

    kinds = crl.CertificateRevocationListType
    kind = kinds.CRL if scope is CrlScope.USER_CERTIFICATES else kinds.ARL
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([cabf_crl.create_validity_period_validator(kind)]),
            crl.create_extensions_validator_container([]),
            cabf_crl.CabfCrlReasonCodeAllowlistValidator(kind),
        ],
    )
