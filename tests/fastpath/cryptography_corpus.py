"""The files of cryptography_vectors that concern OCSP or CRLs, and what is known of those that we treat otherwise."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

import cryptography_vectors
from cryptography import x509
from cryptography.x509 import ocsp as x509_ocsp

from tests.property import crl_differences, request_readers, response_readers

ROOT = Path(cryptography_vectors.__file__).parent
PEM_CRL = re.compile(b"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
LOADERS: dict[str, Callable[[bytes], object]] = {
    "crl": x509.load_der_x509_crl,
    "request": x509_ocsp.load_der_ocsp_request,
    "response": x509_ocsp.load_der_ocsp_response,
}
EXPLAIN = {
    "crl": crl_differences.explain,
    "request": request_readers.explain,
    "response": response_readers.explain,
}


def der_of(data: bytes) -> bytes:
    """The CRL in a PEM file, or the file."""
    pem = PEM_CRL.search(data)
    return base64.b64decode(pem[1]) if pem else data


def loads(kind: str, data: bytes) -> bool:
    """Whether cryptography takes it for one, also one that it then will not read."""
    try:
        LOADERS[kind](data)
    except NotImplementedError:
        return True
    except (ValueError, x509.InvalidVersion):
        return False
    return True


def kind_of(path: Path) -> str | None:
    """What a file is by its name, or else by what it loads as; certificates with CRL in their name are not."""
    data = path.read_bytes()
    if path.parent.name == "ocsp":
        return "request" if "req" in path.name else "response"
    if path.suffix == ".crl" or PEM_CRL.search(data) or path.match("crl_*.der"):
        return "crl"
    return next((kind for kind in LOADERS if data[:1] == b"\x30" and loads(kind, data)), None)


def find_files() -> dict[str, str]:
    """Kind by path, of every file that concerns OCSP or CRLs."""
    kinds = {path: kind_of(path) for path in ROOT.rglob("*") if path.is_file()}
    return {str(path.relative_to(ROOT)): kind for path, kind in sorted(kinds.items()) if kind is not None}


def read(name: str) -> bytes:
    return der_of((ROOT / name).read_bytes())


CRLS = "x509/PKITS_data/crls/"
CUSTOM = "x509/custom/"
OCSP = "x509/ocsp/"
# By the names of the differences (tests/property), the files that show them: read by one side only.
DIFFERENT: dict[tuple[str, ...], list[str]] = {
    ("several-certids",): [OCSP + "req-multi-sha1.der"],
    ("extension-twice",): [OCSP + "req-duplicate-ext.der"],
    ("response-version",): [OCSP + "resp-invalid-version.der"],
    ("error-response",): [OCSP + "resp-unauthorized.der"],
    ("no-next-update", "other-key-identifier"): [CUSTOM + "crl_no_next_update.pem"],
    ("other-key-identifier",): [CUSTOM + "crl_empty.pem"],
    ("no-key-identifier",): [CUSTOM + "invalid_signature_crl.pem", CUSTOM + "valid_signature_crl.pem"],
    ("no-key-identifier", "no-number"): [
        CUSTOM + "crl_almost_10k.pem",
        CUSTOM + "crl_empty_no_sequence.der",
        CUSTOM + "crl_idp_fullname_only.pem",
        CUSTOM + "crl_idp_fullname_only_user.pem",
    ],
    ("no-key-identifier", "no-number", "other-distribution-point"): [
        CUSTOM + "crl_idp_fullname_indirect_crl.pem",
        CUSTOM + "crl_idp_fullname_only_aa.pem",
        CUSTOM + "crl_idp_only_ca.pem",
        CUSTOM + "crl_idp_reasons_only.pem",
        CUSTOM + "crl_idp_relative_user_all_reasons.pem",
        CUSTOM + "crl_idp_relativename_only.pem",
    ],
    ("early-generalized-time", "other-entry-extension", "no-key-identifier", "no-number"): [
        CUSTOM + "crl_all_reasons.pem",
        CUSTOM + "crl_md2_unknown_crit_entry_ext.pem",
    ],
    ("other-extension", "no-key-identifier"): [CUSTOM + "crl_delta_crl_indicator.pem"],
    ("other-extension", "no-key-identifier", "no-number"): [CUSTOM + "crl_unrecognized_extension.der"],
    ("other-extension",): [
        CUSTOM + "crl_ian_aia_aki.pem",
        CRLS + "UnknownCRLExtensionCACRL.crl",
        CRLS + "deltaCRLCA1CRL.crl",
        CRLS + "deltaCRLCA1deltaCRL.crl",
        CRLS + "deltaCRLCA2CRL.crl",
        CRLS + "deltaCRLCA2deltaCRL.crl",
        CRLS + "deltaCRLCA3CRL.crl",
        CRLS + "deltaCRLCA3deltaCRL.crl",
        CRLS + "deltaCRLIndicatorNoBaseCACRL.crl",
    ],
    ("other-signature",): [CRLS + "BadCRLSignatureCACRL.crl"],
    ("other-serial",): [CRLS + "NegativeSerialNumberCACRL.crl"],
    ("other-entry-extension",): [CRLS + "UnknownCRLEntryExtensionCACRL.crl"],
    ("other-entry-extension", "other-distribution-point"): [CRLS + "indirectCRLCA5CRL.crl"],
    ("other-distribution-point",): [
        CRLS + "BasicSelfIssuedCRLSigningKeyCRLCertCRL.crl",
        CRLS + "BasicSelfIssuedOldKeySelfIssuedCertCRL.crl",
        CRLS + "distributionPoint1CACRL.crl",
        CRLS + "distributionPoint2CACRL.crl",
        CRLS + "indirectCRLCA1CRL.crl",
        CRLS + "indirectCRLCA3CRL.crl",
        CRLS + "indirectCRLCA3cRLIssuerCRL.crl",
        CRLS + "indirectCRLCA4cRLIssuerCRL.crl",
        CRLS + "onlyContainsAttributeCertsCACRL.crl",
        CRLS + "onlySomeReasonsCA1compromiseCRL.crl",
        CRLS + "onlySomeReasonsCA1otherreasonsCRL.crl",
        CRLS + "onlySomeReasonsCA2CRL1.crl",
        CRLS + "onlySomeReasonsCA2CRL2.crl",
        CRLS + "onlySomeReasonsCA3compromiseCRL.crl",
        CRLS + "onlySomeReasonsCA3otherreasonsCRL.crl",
        CRLS + "onlySomeReasonsCA4compromiseCRL.crl",
        CRLS + "onlySomeReasonsCA4otherreasonsCRL.crl",
    ],
}
# Responses that our writer does not make, and what in them it never writes; the others it makes octet by octet.
UNLIKE_OURS: dict[str, str] = {
    OCSP + "ocsp-army.deps.mil-resp.der": "R-03: twenty SingleResponses",
    OCSP + "resp-delegate-unknown-cert.der": "R-11: status unknown",
    OCSP + "resp-invalid-signature-oid.der": "A-01: an algorithm that does not exist",
    OCSP + "resp-invalid-version.der": "R-01: version 2",
    OCSP + "resp-response-type-unknown-oid.der": "R-01: another responseType",
    OCSP + "resp-revoked-no-next-update.der": "R-07: no nextUpdate",
    OCSP + "resp-revoked-reason.der": "R-04: responder by name",
    OCSP + "resp-sct-extension.der": "R-04: responder by name",
    OCSP + "resp-sha256.der": "R-04: responder by name",
    OCSP + "resp-single-extension-reason.der": "R-23: reasonCode as singleExtension",
    OCSP + "resp-successful-no-response-bytes.der": "R-01: successful without a response",
    OCSP + "resp-unknown-extension.der": "R-04: responder by name",
    OCSP + "resp-unknown-hash-alg.der": "Q-05: a CertID of another hash algorithm",
    OCSP + "resp-unknown-response-status.der": "R-02: a status that does not exist",
}
